//! `pallium cite`: the works that an experiment builds on, as BibTeX.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use pallium_core::{Error, Result};
use pallium_record::spec::Use;

use super::finished::existing;
use super::support;
use crate::citation::{bibliography, entry};
use crate::experiment::Experiment;
use crate::plugins::Catalogue;

/// Prints the works that the components of an experiment cite, as BibTeX.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium cite runs/quickstart

A comment above each entry names the components that cite it. Pallium's own entry comes first. Data that the experiment \
reads need not exist.")]
pub struct Cite {
    /// A run folder or an experiment file.
    #[arg(value_name = "RUN|FILE.toml")]
    of: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If it is neither a run folder nor an experiment file, or a component is not found.
pub fn cite(args: &Cite) -> Result<()> {
    let (catalogue, components) = components(&args.of)?;
    support::print(&works(&catalogue, &components)?)
}

/// The components of a run folder or an experiment file. Their data need not exist.
///
/// # Errors
/// As [`cite`].
pub(super) fn components(of: &Path) -> Result<(Catalogue, Vec<Use>)> {
    let file = if of.is_dir() { of.join("experiment.toml") } else { of.to_owned() };
    if !file.exists() {
        return Err(Error::input(format!("{} does not contain a run", of.display()))
            .help("name a folder that `pallium run` wrote, or an experiment file"));
    }
    let experiment = Experiment::load(&file, &[])?;
    let catalogue = support::catalogue(&experiment.plugin_path)?;
    let mut components = experiment.components(&catalogue)?;
    if of.is_dir() {
        for metric in existing(of)?.manifest()?.added_metrics {
            components.push(experiment.added_metric(&metric, &catalogue)?);
        }
    }
    Ok((catalogue, components))
}

/// The works that components cite, as BibTeX.
///
/// # Errors
/// If a component is not found or cannot be described.
pub(super) fn works(catalogue: &Catalogue, components: &[Use]) -> Result<String> {
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for component in components {
        if !sources.contains_key(component.id.as_str()) {
            let known = catalogue.get(&component.id)?;
            let described = catalogue.describe_with(known, &component.params)?;
            sources.insert(&component.id, described.map_or_else(|| known.cite.clone(), |own| own.cite));
        }
    }
    let (works, unknown) = bibliography(sources.iter().map(|(id, source)| (*id, source.as_str())));
    for text in unknown {
        status!("left out, because it is not a reference to a publication: {text}");
    }
    Ok(format!("{}\n{works}", pallium()))
}

/// Pallium itself.
fn pallium() -> String {
    let fields = [
        ("title", "Pallium".to_owned()),
        ("author", "{The Pallium developers}".to_owned()),
        ("howpublished", format!("Software, version {}", pallium_record::VERSION)),
        ("note", "MIT or Apache-2.0".to_owned()),
    ];
    format!("% the software\n{}", entry("misc", "pallium", &fields))
}
