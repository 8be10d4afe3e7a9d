//! `pallium field new`.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Result};

use crate::cli::output::{check_folder, write};
use crate::cli::support;

/// The template, with a placeholder for the name.
const TEMPLATE: &str = include_str!("field.toml");

/// Creates a field.toml for your own data, which describes the files beside it and
/// explains every option.
///
/// It is complete once the files that it names exist: cells.csv, connections.csv
/// and events.csv.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field new data/mine
  pallium field info data/mine")]
pub struct New {
    /// The field's folder; existing files are kept.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the folder has a field.toml already, or cannot be written.
pub fn new(args: &New) -> Result<()> {
    let folder = &args.folder;
    check_folder(folder)?;
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
    let absolute = folder.canonicalize().map_err(|e| Error::io(folder, &e))?;
    let name =
        absolute.file_name().map_or_else(|| "field".into(), |name| name.to_string_lossy().into_owned());
    let path = folder.join("field.toml");
    if path.symlink_metadata().is_ok() {
        return Err(Error::input(format!("{} already exists", path.display()))
            .help("name another folder, or edit that file"));
    }
    let text = TEMPLATE.replace("NAME", &toml::Value::String(name).to_string());
    write(&path, text.as_bytes(), false)?;
    support::print(&format!("wrote {}; it describes the files that belong beside it\n", path.display()))
}
