//! `pallium field new`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Result};

use crate::cli::output::check_folder;
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
    let failed = |e: &std::io::Error| Error::io(&path, e);
    let text = TEMPLATE.replace("NAME", &toml::Value::String(name).to_string());
    let mut file = File::create_new(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Error::input(format!("{} already exists", path.display()))
            .help("name another folder, or edit that file"),
        _ => failed(&e),
    })?;
    file.write_all(text.as_bytes()).map_err(|e| failed(&e))?;
    support::print(&format!("wrote {}; it describes the files that belong beside it\n", path.display()))
}
