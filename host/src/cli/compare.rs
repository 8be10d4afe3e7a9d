//! `pallium compare`: run folders side by side.

use std::path::PathBuf;

use clap::Args;
use pallium_core::Result;

use super::report::{check_file, write};
use super::support;
use crate::report::compare::Comparison;
use crate::report::table::terminal;

/// Puts run folders side by side: what they differ in, accuracies with tests,
/// organization, and how each agrees with the published tables.
///
/// Variants and tasks are matched by name. Accuracies are those that all of
/// the runs show in their tables, or, where these differ, those on the test
/// trials after training.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium compare runs/published runs/corrected --html compared.html

Differences and tests are against the first folder.")]
pub struct Compare {
    /// The run folders, two or more.
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Writes a page into this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If there are fewer than two folders, one holds no run with results, or the
/// page cannot be written.
pub fn compare(args: &Compare) -> Result<()> {
    args.html.iter().try_for_each(|file| check_file(file))?;
    let comparison = Comparison::of(&args.folders)?;
    if let Some(file) = &args.html {
        write(file, comparison.page().as_bytes())?;
    }
    if args.json {
        support::print_json(&comparison.document())?;
    } else {
        let tables: Vec<String> = comparison.tables().iter().map(terminal).collect();
        support::print(&tables.join("\n"))?;
    }
    if let Some(file) = &args.html {
        tell!("written: {}", file.display());
    }
    Ok(())
}
