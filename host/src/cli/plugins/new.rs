//! `pallium plugins new`: creates a plugin crate.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Result, Role};

use super::support;
use crate::plugins::Catalogue;
use crate::scaffold::{self, Core, Scaffold, With, vendor};

/// Creates a plugin: a crate with a working example component and its tests.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pallium plugins new my-penalty --role constraint
  pallium plugins new long-wires --role constraint --language python
  pallium plugins new my-unit --role model --with candle

With --language python, the folder has a Python file with a class, and an experiment that uses it.
Otherwise it has a crate, which is its own workspace and contains the sources of pallium-core that \
this executable was built from, so it builds on every machine; --core names another pallium-core.")]
pub struct New {
    /// Name of the crate, and of its folder.
    #[arg(value_name = "NAME")]
    name: String,
    /// Role of its component: substrate, weights, constraint, task, model, optimizer
    /// or metric.
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Role,
    /// Language that it is written in.
    #[arg(long, value_name = "LANGUAGE", value_parser = ["rust", "python"], default_value = "rust")]
    language: String,
    /// Build on another library: candle, for a model whose step is written with
    /// candle's operations and differentiated by candle.
    #[arg(long, value_name = "LIBRARY", value_parser = With::parse)]
    with: Option<With>,
    /// Id of its component [default: own.NAME].
    #[arg(long, value_name = "FAMILY.NAME")]
    id: Option<String>,
    /// The pallium-core to depend on: the folder `core` of a checkout, the address
    /// of a git repository (ADDRESS#TAG for a tag or commit), or a version if your
    /// registry has pallium-core (crates.io does not) [default: a copy in the
    /// crate's folder vendor/].
    #[arg(long, value_name = "PATH|ADDRESS|VERSION")]
    core: Option<String>,
    /// The folder in which the crate's folder is created.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

fn role(text: &str) -> std::result::Result<Role, String> {
    Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// Runs the command.
///
/// # Errors
/// If the name is not allowed, pallium-core is not found, or the folder exists or
/// cannot be written.
pub fn new(args: &New) -> Result<()> {
    if args.language == "python" {
        return new_python(args);
    }
    let core = match &args.core {
        Some(text) => Core::parse(text)?,
        None => Core::Vendored,
    };
    let scaffold = Scaffold::new(&args.name, args.role, args.id.as_deref(), core, args.with)?;
    let folder = args.dir.join(&args.name);
    scaffold.write(&folder)?;
    if let Ok(catalogue) = Catalogue::discover(&[], support::cache_folder().as_deref())
        && let Ok(taken) = catalogue.get(&scaffold.id)
    {
        let whose = taken.plugin.as_ref().map_or_else(|| "Pallium".into(), |p| p.path.display().to_string());
        tracing::warn!(
            "`{}` is already an id of {whose}; two plugins with one id cannot be loaded together, so change ID in {}",
            scaffold.id,
            folder.join("src/lib.rs").display()
        );
    }
    let library = args.name.replace('-', "_");
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    support::print(&format!(
        "created {} with the component `{}` ({}). Next:\n  \
         cd {}\n  \
         cargo test\n  \
         cargo build --release\n  \
         pallium plugins check target/release/{prefix}{library}{suffix}\n  \
         pallium run experiment.toml --out runs/first\n",
        folder.display(),
        scaffold.id,
        args.role,
        folder.display()
    ))
}

/// Creates a component in Python.
fn new_python(args: &New) -> Result<()> {
    for (given, option) in [(args.id.is_some(), "--id"), (args.core.is_some(), "--core")] {
        if given {
            return Err(Error::input(format!("{option} does not apply to a component in Python"))
                .help(format!("leave out {option}: its id is python.{}", args.role)));
        }
    }
    let made = scaffold::python::Scaffold::new(&args.name, args.role)?;
    let folder = args.dir.join(&args.name);
    made.write(&folder)?;
    support::print(&format!(
        "created {} with the {} `{}`. Next:\n  cd {}\n  pallium plugins check {}\n  \
         pallium run experiment.toml --out runs/first\n",
        folder.display(),
        args.role,
        made.class,
        folder.display(),
        made.file
    ))
}

/// Replaces the copy of pallium-core in a plugin's folder by that of this
/// executable.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  pallium plugins vendor my-penalty

It writes vendor/pallium, for a plugin that was created by an older version of pallium or depends on
another copy of pallium-core. Then build the plugin again.")]
pub struct Vendor {
    /// The folder of the plugin's crate.
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// Runs the command `plugins vendor`.
///
/// # Errors
/// If the folder is not a crate or cannot be written.
pub fn vendor(args: &Vendor) -> Result<()> {
    let manifest = args.folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .map_err(|e| Error::io(&manifest, &e).help("name the folder of a plugin's crate"))?;
    vendor::write(&args.folder)?;
    let place = args.folder.join(vendor::FOLDER);
    support::print(&format!("wrote pallium-core {} to {}\n", pallium_core::VERSION, place.display()))?;
    let core = Core::Vendored;
    if !text.contains(&core.dependency()) {
        support::print(&format!(
            "{} does not depend on it yet; change these lines:\n  [workspace]\n  exclude = [\"vendor\"]\n  \
             [dependencies]\n  {}\n  [dev-dependencies]\n  {}\n",
            manifest.display(),
            core.dependency(),
            core.dev_dependency()
        ))?;
    }
    Ok(())
}
