//! `pallium compare`: run folders side by side.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Result};
use pallium_report::compare::Comparison;
use pallium_report::table::terminal;

use super::output::{check, is_stdout, write};
use super::support;

/// Compares run folders: differences of their experiments, accuracies and their
/// differences, organization, and agreement with the published tables.
///
/// Variants and tasks are matched by name. Accuracy is the measure that the tables of
/// all runs show or, if these differ, accuracy on the test trials after training.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium compare runs/published runs/corrected --html compared.html

The other folders are compared with the first one.")]
pub struct Compare {
    /// The run folders, two or more.
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// Write a page to this file; `-` is standard output.
    #[arg(long, value_name = "FILE|-")]
    html: Option<PathBuf>,
    /// Replace FILE if it exists.
    #[arg(long)]
    force: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If there are fewer than two folders, one does not contain a run with results, or
/// the page cannot be written.
pub fn compare(args: &Compare) -> Result<()> {
    args.html.iter().try_for_each(|file| check(file, args.force))?;
    let on_stdout = args.html.as_deref().is_some_and(is_stdout);
    if on_stdout && args.json {
        return Err(Error::input("only one document can be written to standard output")
            .help("name a file for --html, or leave out --json"));
    }
    let comparison = Comparison::read(&args.folders)?;
    if let Some(file) = &args.html {
        write(file, pallium_report::page::comparison::page(&comparison).as_bytes(), args.force)?;
    }
    if on_stdout {
        return Ok(());
    }
    if args.json {
        support::print_json(&comparison.document())?;
    } else {
        let tables: Vec<String> = comparison.tables().iter().map(terminal).collect();
        support::print(&tables.join("\n"))?;
    }
    if let Some(file) = &args.html {
        status!("written: {}", file.display());
    }
    Ok(())
}
