//! What the files of a run folder hold: tables of values and curves, and the
//! weights.

use std::collections::BTreeMap;
use std::path::Path;

use itertools::Itertools;
use pallium_core::{Error, Kind, Result, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use super::identity::Cell;
use super::outcome::{Status, Value};
use super::train::Trained;
use crate::cell::CellSpec;

/// How recurrent matrices in `weights.safetensors` are to be read.
pub(super) const ORIENTATION: &str = "row = from, column = to";

const COLUMNS: [&str; 7] = ["variant", "task", "run", "split", "measure", "value", "status"];

/// A CSV file in the making.
pub(super) type Table = csv::Writer<Vec<u8>>;

/// `results.csv` or `times.csv` without rows.
pub(super) fn header() -> Result<Table> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(COLUMNS).map_err(|e| unwritable(&e))?;
    Ok(table)
}

/// Adds a row for each value of a cell.
pub(super) fn add_rows(table: &mut Table, spec: &CellSpec, values: &[Value], status: &Status) -> Result<()> {
    let run = spec.run.to_string();
    let of_cell = status.to_string();
    for value in values {
        let of_value = value.failed.as_ref().map(|why| Status::Failed(why.clone()).to_string());
        let row = [
            &spec.variant,
            &spec.task,
            &run,
            &value.split,
            &value.measure,
            &number(value.value),
            of_value.as_ref().unwrap_or(&of_cell),
        ];
        table.write_record(row).map_err(|e| unwritable(&e))?;
    }
    Ok(())
}

/// The shortest text that reads back as the same number.
fn number(value: Option<f64>) -> String {
    value.filter(|v| v.is_finite()).map_or_else(String::new, |v| format!("{v:?}"))
}

/// The bytes of a table.
pub(super) fn finish(table: Table) -> Result<Vec<u8>> {
    table.into_inner().map_err(|e| unwritable(&e))
}

/// Writing into memory failed, which it cannot.
pub(super) fn unwritable(error: &dyn std::fmt::Display) -> Error {
    Error::bug(format!("a table cannot be written: {error}"))
}

/// Values from `results.csv` or `times.csv`.
pub(super) fn read_rows(path: &Path) -> Result<Vec<Value>> {
    let mut table = csv::Reader::from_path(path).map_err(|e| damaged(path, &e))?;
    let mut values = Vec::new();
    for row in table.records() {
        let row = row.map_err(|e| damaged(path, &e))?;
        let cell = |at: usize| row.get(at).unwrap_or_default();
        let value = match cell(5) {
            "" => None,
            text => Some(text.parse::<f64>().map_err(|e| damaged(path, &format!("`{text}`: {e}")))?),
        };
        let failed = match Status::parse(cell(6)) {
            Some(Status::Failed(why)) => Some(why),
            Some(_) => None,
            None => return Err(damaged(path, &format!("`{}` is no status", cell(6)))),
        };
        values.push(Value { failed, ..Value::new(cell(3), cell(4), value) });
    }
    Ok(values)
}

/// `curves.csv`.
pub(super) fn curves(trained: &Trained) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let columns =
        ["epoch", "running_loss", "running_accuracy", "penalty", "validation_loss", "validation_accuracy"];
    table.write_record(columns).map_err(|e| unwritable(&e))?;
    for at in &trained.curves {
        let row = [
            at.epoch.to_string(),
            number(Some(at.running_loss)),
            number(Some(at.running_accuracy)),
            number(Some(at.penalty)),
            number(at.validation_loss),
            number(at.validation_accuracy),
        ];
        table.write_record(row).map_err(|e| unwritable(&e))?;
    }
    finish(table)
}

/// `weights.safetensors`: `initial`, then the trained parameters under the model's names, in f32, and
/// what identifies the neurons (`ids.root`), in i64, in the order of rows and
/// columns.
pub(super) fn weights(cell: &Cell, trained: &Trained, profile: &str) -> Result<Vec<u8>> {
    let initial = Tensor {
        name: "initial".into(),
        shape: trained.initial.shape().into(),
        values: trained.initial.iter().copied().collect(),
    };
    let wrong = |what: String| Error::plugin(format!("the state of `{}`: {what}", cell.spec.model.id));
    let mut tensors: BTreeMap<&str, (&[usize], Vec<u8>)> = BTreeMap::new();
    for tensor in std::iter::once(&initial).chain(&trained.parameters) {
        let bytes = tensor.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        if tensors.insert(&tensor.name, (&tensor.shape, bytes)).is_some() {
            return Err(wrong(format!("two tensors are named `{}`", tensor.name)));
        }
    }
    let mut views = Vec::new();
    let ids: Vec<(String, Vec<u8>)> = trained
        .ids
        .iter()
        .map(|(name, ids)| (format!("ids.{name}"), ids.iter().flat_map(|id| id.to_le_bytes()).collect()))
        .collect();
    for (name, bytes) in &ids {
        if tensors.contains_key(name.as_str()) {
            return Err(wrong(format!("the tensor `{name}` has the name of the neurons' identifiers")));
        }
        let view = TensorView::new(Dtype::I64, vec![bytes.len() / 8], bytes)
            .map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        views.push((name.as_str(), view));
    }
    for (name, (shape, bytes)) in &tensors {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes)
            .map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        views.push((*name, view));
    }
    let file = safetensors::serialize(views, None).map_err(|e| wrong(e.to_string()))?;
    let spec = &cell.spec;
    let run = spec.run.to_string();
    let label = spec.label();
    let ids = ids.iter().map(|(name, _)| name.as_str()).join(" ");
    let about = BTreeMap::from([
        ("cell", label.as_str()),
        ("format", "pallium 1"),
        ("ids", &ids),
        ("identity", &cell.identity),
        ("orientation", ORIENTATION),
        ("profile", profile),
        ("run", &run),
        ("task", &spec.task),
        ("variant", &spec.variant),
    ]);
    with_metadata(&file, &about)
}

/// Puts `about` into the header of a safetensors file. The crate itself would
/// write it in the order of a hash map, which is another one every time.
fn with_metadata(file: &[u8], about: &BTreeMap<&str, &str>) -> Result<Vec<u8>> {
    let malformed = || Error::bug("a safetensors file has no header");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(malformed)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| malformed())?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(malformed)?;
    let tensors = std::str::from_utf8(header).ok().and_then(|h| h.trim_end().strip_prefix('{'));
    let tensors = tensors.ok_or_else(malformed)?;
    let about = serde_json::to_string(about).map_err(|e| unwritable(&e))?;
    let mut header = format!("{{\"__metadata__\":{about},{tensors}").into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut whole = Vec::with_capacity(8 + header.len() + data.len());
    whole.extend((header.len() as u64).to_le_bytes());
    whole.extend(header);
    whole.extend(data);
    Ok(whole)
}

/// Indented, so that people can read it.
pub(super) fn json_text(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| unwritable(&e))?;
    text.push(b'\n');
    Ok(text)
}

/// A file that was found other than it was written.
pub(super) fn damaged(path: &Path, what: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Input, format!("{} is damaged: {what}", path.display()))
        .help("move its folder away to have the cell run again")
}
