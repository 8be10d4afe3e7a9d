//! `pallium field restore`.

use std::path::PathBuf;

use clap::Args;
use pallium_core::Result;

use super::{check_free, read, store};
use crate::cli::support;

/// Writes a copy of a field with its connectome in the order of its neurons.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field restore data/6_6_2 --out data/6_6_2-restored")]
pub struct Restore {
    /// The field's folder, as released.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The folder to write: a new or an empty one.
    #[arg(long, value_name = "DIR2")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If the field cannot be read or written, or its order cannot be restored.
pub fn restore(args: &Restore) -> Result<()> {
    check_free(&args.out)?;
    let catalogue = support::catalogue(&[])?;
    let field = read(&catalogue, &args.folder, "restored", true)?;
    store(&catalogue, &field, &args.out)?;
    support::print(&format!(
        "field {} with its connectome in order is in {}\n",
        field.name,
        args.out.display()
    ))
}
