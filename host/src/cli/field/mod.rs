//! `pallium field`: describes and creates fields.

mod derive;
mod fetch;
mod from_tables;
mod import;
mod info;
mod join;
mod new;
pub mod progress;
mod restore;
mod synth;

use std::path::Path;

use clap::{Args, Subcommand};
use pallium_core::{Error, Result, Substrate};
use pallium_record::defaults;
use pallium_record::spec::Use;

use super::output::check_folder;
use super::support;
use crate::plugins::Catalogue;

/// Describes, downloads, imports, joins, recomputes, restores and synthesizes fields.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field info data/6_6_2 --svg 6_6_2.svg")]
pub struct Field {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Info(info::Info),
    Derive(derive::Derive),
    Import(import::Import),
    Join(join::Join),
    Restore(restore::Restore),
    Synth(synth::Synth),
    Fetch(fetch::Fetch),
    FromTables(from_tables::FromTables),
    New(new::New),
}

impl Field {
    /// Whether the command builds components.
    pub fn builds_components(&self) -> bool {
        !matches!(self.command, Command::Fetch(_) | Command::New(_))
    }

    /// Whether the command takes long enough to show its progress.
    pub fn takes_long(&self) -> bool {
        matches!(
            self.command,
            Command::Derive(_) | Command::FromTables(_) | Command::Join(_) | Command::Synth(_)
        )
    }
}

/// Runs the command.
///
/// # Errors
/// If a field cannot be read, made or written.
pub fn field(args: &Field) -> Result<()> {
    match &args.command {
        Command::Info(args) => info::info(args),
        Command::Derive(args) => derive::derive(args),
        Command::Import(args) => import::import(args),
        Command::Join(args) => join::join(args),
        Command::Restore(args) => restore::restore(args),
        Command::Synth(args) => synth::synth(args),
        Command::Fetch(args) => fetch::fetch(args),
        Command::FromTables(args) => from_tables::from_tables(args),
        Command::New(args) => new::new(args),
    }
}

/// Parameters that read a field's files unchanged, whatever the profile; with
/// event times if they are requested and exist.
fn read(catalogue: &Catalogue, folder: &Path, order: &str, events: bool) -> Result<Substrate> {
    let params = support::parameters([
        ("connectome_order", order.into()),
        ("sttc", "released".into()),
        ("events", events.into()),
    ]);
    support::field(catalogue, Use { params, ..Use::new(defaults::FIELD) }, folder)
}

/// Writes `field` as a new folder in the released format.
fn store(catalogue: &Catalogue, field: &Substrate, out: &Path) -> Result<()> {
    let params = support::parameters([("path", support::path_text(out)?.into())]);
    let writer = Use { params, ..Use::new(defaults::FIELD) };
    catalogue.substrate(&writer, &support::setting(None, None, None))?.store(field, out)
}

/// Refuses a folder that cannot be written to, before long work.
fn check_free(out: &Path) -> Result<()> {
    check_folder(out)?;
    let taken = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(Error::input(format!("{} exists and is not empty", out.display()))
            .help("choose another folder, or remove this one first"));
    }
    Ok(())
}
