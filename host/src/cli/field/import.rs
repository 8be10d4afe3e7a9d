//! `pallium field import`.

use std::path::PathBuf;

use clap::Args;
use pallium_core::Result;
use pallium_record::defaults;
use pallium_record::spec::Use;
use serde_json::Value;

use super::{check_free, store};
use crate::cli::support;

/// Writes one imaged field of a two-photon recording (NWB) as a field's folder.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field import scan.nwb --field 4 --param events=detected --out data/4_10_4
  pallium field derive data/4_10_4 --out data/4_10_4-derived

`pallium plugins show nwb.field` documents what --param can set.")]
pub struct Import {
    /// The NWB file of the recording.
    #[arg(value_name = "FILE.nwb")]
    file: PathBuf,
    /// The field of the scan: its number, or the name of its table of ROIs;
    /// may be left out if there is only one.
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    /// The folder to write: a new or an empty one.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The substrate component that reads the file.
    #[arg(long = "use", value_name = "ID", default_value = defaults::RECORDING)]
    source: String,
    /// Set a further parameter of that component; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
}

/// Runs the command.
///
/// # Errors
/// If the field cannot be read or written.
pub fn import(args: &Import) -> Result<()> {
    check_free(&args.out)?;
    let catalogue = support::catalogue(&[])?;
    let mut source = Use::new(&args.source);
    source.params.extend(args.params.iter().cloned());
    if let Some(field) = &args.field {
        source.params.insert("field".into(), field.clone().into());
    }
    let field = support::field(&catalogue, source, &args.file)?;
    store(&catalogue, &field, &args.out)?;
    let notes: String = field.notes.iter().map(|note| format!("  {note}\n")).collect();
    support::print(&format!(
        "field {} of {} neurons is in {}\n{notes}",
        field.name,
        field.neurons,
        args.out.display()
    ))
}
