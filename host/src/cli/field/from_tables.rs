//! `pallium field from-tables`.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Result};
use pallium_record::defaults;
use pallium_record::spec::Use;
use serde_json::{Value, json};

use super::{check_free, store};
use crate::cli::output::folder_of;
use crate::cli::support;

/// Writes fields from tables of the MICrONS volume as CAVE exports them: units
/// and their cells, and synapses.
///
/// Tables (csv, csv.gz or parquet) are read row by row, so they may have any length.
/// Rows of synapses with the same id count once. Tables contain no activity: add
/// spikes_<field>.npy to a field's folder, and run `pallium field derive`.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium field from-tables --coregistration coregistration.csv.gz --synapses synapses.csv.gz --out fields

Two fields; if a cell has several units, use the one that fits best:
  pallium field from-tables --coregistration c.csv --synapses s.csv --field 6_6_2 --field 5_3_4 \\
    --param repeats=best-score --out fields")]
pub struct FromTables {
    /// Table of units and their cells, with columns pt_root_id, session,
    /// scan_idx, field, unit_id, and pt_position or pt_position_x, _y, _z.
    #[arg(long, value_name = "FILE")]
    coregistration: PathBuf,
    /// Table of synapses, with columns pre_pt_root_id and post_pt_root_id; if
    /// its rows are connections, --param count=COLUMN names the column with the number of
    /// synapses.
    #[arg(long, value_name = "FILE")]
    synapses: Option<PathBuf>,
    /// A field, <session>_<scan>_<field>; may be repeated
    /// [default: all].
    #[arg(long = "field", value_name = "NAME")]
    fields: Vec<String>,
    /// Folder in which the fields' folders are created: a new or an empty one.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Set a further parameter of `microns.tables`; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = support::value_pair)]
    params: Vec<(String, Value)>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Parts of the notes that the table shows.
const NOTES: [&str; 5] = ["skipped", "repeated", "look like", "implausible", "occur in no row"];

/// Runs the command.
///
/// # Errors
/// If a table cannot be read or a folder cannot be written; then no folder is
/// written.
pub fn from_tables(args: &FromTables) -> Result<()> {
    check_free(&args.out)?;
    let catalogue = support::catalogue(&[])?;
    let mut params = support::parameters([
        ("coregistration", support::path_text(&args.coregistration)?.into()),
        ("fields", args.fields.clone().into()),
    ]);
    if let Some(synapses) = &args.synapses {
        params.insert("synapses".into(), support::path_text(synapses)?.into());
    }
    params.extend(args.params.iter().cloned());
    let mut source = catalogue
        .substrate(&Use { params, ..Use::new(defaults::TABLES) }, &support::setting(None, None, None))?;

    let parent = folder_of(&args.out);
    std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, &e))?;
    let beside =
        tempfile::Builder::new().prefix(".pallium-").tempdir_in(parent).map_err(|e| Error::io(parent, &e))?;
    // In a subfolder, since the temporary folder itself is private.
    let inside = beside.path().join("fields");
    std::fs::create_dir(&inside).map_err(|e| Error::io(&inside, &e))?;
    let mut fields: Vec<Value> = Vec::new();
    let mut table = support::table(["field", "neurons", "synapses", "notes"]);
    // The source returns its fields in turn, by seed.
    for seed in 0.. {
        let field = source.substrate(seed)?;
        field.check()?;
        if fields.first().is_some_and(|first| first["name"] == field.name.as_str()) {
            break;
        }
        store(&catalogue, &field, &inside.join(&field.name))?;
        let connectome = field.matrices.get(pallium_core::Substrate::CONNECTOME);
        let synapses = connectome.map(|counts| counts.view().sum());
        table.add_row([
            field.name.clone(),
            field.neurons.to_string(),
            synapses.map_or_else(|| "unknown".into(), support::human),
            field
                .notes
                .iter()
                .filter(|note| NOTES.iter().any(|part| note.contains(part)))
                .cloned()
                .collect::<Vec<_>>()
                .join("; "),
        ]);
        fields.push(json!({
            "name": field.name,
            "folder": args.out.join(&field.name).display().to_string(),
            "neurons": field.neurons,
            "synapses": synapses,
            "notes": field.notes,
        }));
    }
    std::fs::rename(&inside, &args.out).map_err(|e| Error::io(&args.out, &e))?;
    if args.json {
        return support::print_json(&json!({ "fields": fields }));
    }
    support::print_table(&table)?;
    support::print(&format!("\nwrote the folders to {}\n", args.out.display()))
}
