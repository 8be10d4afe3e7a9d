//! `pallium weights`: initial recurrent weights from a source.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Matrix, Result, Setting, SparseWeights, WeightRequest};
use pallium_record::defaults;
use pallium_record::seeds::run_seed;
use pallium_record::spec::Use;
use serde_json::Value;

use super::npy;
use super::output::{check, is_stdout};
use super::support::{self, ProfileArgs};
use crate::run::components;
use crate::run::nulls::likeness;

/// Writes the initial recurrent weights of a weight source.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium weights microns.functional --field data/6_6_2 --seed 1 --out weights.npy
  pallium weights microns.functional --field data/6_6_2 --seed 1 --null null.strengths --out null.npy

The file contains an N×N array in single precision; row i, column j is the weight \
from neuron i to neuron j.")]
pub struct Weights {
    /// The weight source.
    #[arg(value_name = "ID")]
    id: String,
    /// Folder of the field.
    #[arg(long, value_name = "DIR")]
    field: Option<PathBuf>,
    /// Number of neurons, if the source does not need a field.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000), allow_negative_numbers = true)]
    neurons: Option<u32>,
    /// The experiment's seed.
    #[arg(long, allow_negative_numbers = true)]
    seed: u64,
    /// Number of the run: the weights are the initial ones of this run in an
    /// experiment with this seed.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    run: u32,
    /// The file to write; `-` is standard output.
    #[arg(long, value_name = "FILE.npy|-")]
    out: PathBuf,
    /// N×N random numbers to use instead of the source's own (the lognormal
    /// factor L of functional weights), to compare with other programs.
    #[arg(long, value_name = "FILE.npy")]
    lognormal: Option<PathBuf>,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Set a parameter of the source; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
    /// Null model to apply to these weights; the command prints what it keeps.
    #[arg(long, value_name = "ID")]
    null: Option<String>,
    /// Set a parameter of the null model; may be repeated.
    #[arg(long = "null-param", value_name = "NAME=VALUE", value_parser = support::value_pair, requires = "null")]
    null_params: Vec<(String, Value)>,
    /// Replace FILE.npy if it exists.
    #[arg(long)]
    force: bool,
}

/// Runs the command.
///
/// # Errors
/// If the source is missing, wrongly set, or lacks something it needs; if the draw
/// has another size; or if the file exists already.
pub fn weights(args: &Weights) -> Result<()> {
    check(&args.out, args.force)?;
    let catalogue = support::catalogue(&[])?;
    let source = args.profile.component(&catalogue, &args.id, &args.params)?;
    catalogue.find(&source.id, pallium_core::Role::Weights)?;

    let substrate = match &args.field {
        Some(folder) => {
            let reader = args.profile.component(&catalogue, defaults::FIELD, &[])?;
            Some(support::field(&catalogue, reader, folder)?)
        }
        None => None,
    };
    let requested = args.neurons.map(|n| n as usize);
    let neurons = match (&substrate, requested) {
        (Some(field), Some(n)) if field.neurons != n => {
            return Err(Error::input(format!(
                "--neurons is {n}, but field `{}` has {}",
                field.name, field.neurons
            ))
            .help("leave out --neurons, or --field"));
        }
        (Some(field), _) => field.neurons,
        (None, Some(n)) => n,
        (None, None) => {
            return Err(Error::input("the number of neurons is unknown")
                .help("name a field with --field, or set --neurons"));
        }
    };
    let draw = args.lognormal.as_deref().map(npy::read_square).transpose()?;
    if let (Some(draw), Some(path)) = (&draw, &args.lognormal)
        && draw.nrows() != neurons
    {
        let n = draw.nrows();
        return Err(Error::input(format!(
            "`{}` is {n}×{n}, but there are {neurons} neurons",
            path.display()
        ))
        .help("the draw needs one entry for each pair of neurons"));
    }

    let seed = run_seed(args.seed, args.run, "weights");
    let setting = Setting { seed, ..support::setting(Some(neurons), substrate.as_ref(), None) };
    let request = WeightRequest {
        neurons,
        substrate: substrate.as_ref(),
        seed,
        draw: draw.as_ref().map(|d| d.view()),
        connections: None,
    };
    let draw = |source: &Use, setting: &Setting<'_>, request: &WeightRequest<'_>| {
        catalogue
            .weights(source, setting)
            .and_then(|mut source| source.weights(request))
            .map_err(|e| support::lacking(e, "--field DIR supplies a substrate"))
    };
    let weights = draw(&source, &setting, &request)?;
    let Some(id) = &args.null else {
        npy::write(&args.out, &weights, args.force)?;
        return report(args, &format!("{neurons}×{neurons} weights of {}", args.id), &[]);
    };
    let null = args.profile.component(&catalogue, id, &args.null_params)?;
    catalogue.find(&null.id, pallium_core::Role::Weights)?;
    let seed = run_seed(args.seed, args.run, "null");
    let setting = Setting { seed, original: Some(weights.view()), ..setting.reborrow() };
    let changed = draw(&null, &setting, &WeightRequest { seed, draw: None, ..request })?;
    if components::unchanged(&weights, &changed) {
        tracing::warn!("{}", components::changes_nothing(id));
    }
    npy::write(&args.out, &changed, args.force)?;
    let sparse = |of: &Matrix| SparseWeights::from_matrix(of.view(), None);
    let kept = likeness(&sparse(&weights), &sparse(&changed), substrate.as_ref());
    report(args, &format!("{neurons}×{neurons} weights of {}, changed by {id},", args.id), &kept)
}

/// Says what was written, and of a null model what it keeps.
fn report(args: &Weights, what: &str, kept: &[(&str, f64)]) -> Result<()> {
    if is_stdout(&args.out) {
        return Ok(());
    }
    let text = |value: f64| if value.is_nan() { "undefined".to_owned() } else { format!("{value:.6}") };
    let kept: String = kept.iter().map(|(name, value)| format!("{name:<29} {}\n", text(*value))).collect();
    support::print(&format!("{what} written to {}\n{kept}", args.out.display()))
}
