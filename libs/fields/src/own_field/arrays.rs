//! Reads positions, ids and matrices from npy, npz and csv files.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::{ndarray::Array2, prelude::*};
use serde::Deserialize;

use super::{FileRef, Format, MOST_NEURONS, check};
use crate::released::NeuronCount;
use crate::rows::{Rows, number, shown};
use pallium_npy as npy;
use pallium_npy::npz::{Member, Npz};

/// Bytes allowed for the header of an npy.
const HEAD: u64 = 1 << 17;

/// Unit of positions.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LengthUnit {
    /// Voxels, whose size is given separately.
    Voxel,
    /// Nanometres.
    Nm,
    /// Micrometres.
    Um,
    /// Millimetres.
    Mm,
}

/// `[positions]`: soma positions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionsSpec {
    /// The file: npy or npz with N×3 values (or N×2 for a single plane), or csv.
    file: String,
    /// Name of the array in an npz.
    array: Option<String>,
    /// Names of a csv's columns; by default x, y and z.
    columns: Option<Vec<String>>,
    /// Their unit.
    unit: LengthUnit,
    /// Edge lengths of a voxel (nm), for `unit = "voxel"`.
    voxel_size_nm: Option<[f64; 3]>,
}

impl PositionsSpec {
    /// The file.
    pub fn source(&self) -> FileRef {
        FileRef { file: self.file.clone(), array: self.array.clone(), column: None }
    }

    /// Micrometres per unit along each axis.
    fn unit_um(&self, path: &Path) -> Result<[f64; 3]> {
        let wrong = |what: &str, help: &str| {
            Err(Error::input(format!("the positions of {}: {what}", path.display())).help(help))
        };
        match (self.unit, self.voxel_size_nm) {
            (LengthUnit::Voxel, Some(nm)) if nm.iter().all(|nm| nm.is_finite() && *nm > 0.0) => {
                Ok(nm.map(|nm| nm / 1e3))
            }
            (LengthUnit::Voxel, Some(_)) => wrong(
                "voxel_size_nm is not three positive numbers",
                "give the edge lengths of a voxel in nanometres",
            ),
            (LengthUnit::Voxel, None) => wrong(
                "the voxel size is missing",
                "add voxel_size_nm = [x, y, z], the edge lengths of a voxel in nanometres (MICrONS: [4, 4, 40])",
            ),
            (_, Some(_)) => wrong(
                "`voxel_size_nm` does not apply to a unit of length",
                "set unit = \"voxel\", or remove voxel_size_nm",
            ),
            (LengthUnit::Nm, None) => Ok([1e-3; 3]),
            (LengthUnit::Um, None) => Ok([1.0; 3]),
            (LengthUnit::Mm, None) => Ok([1e3; 3]),
        }
    }

    /// Reads the positions.
    ///
    /// # Errors
    /// If the file does not match the description.
    pub fn read(&self, folder: &Path) -> Result<Positions> {
        let source = self.source();
        let path = source.path(folder);
        let unit_um = self.unit_um(&path)?;
        let format = source.format(folder, &[Format::Npy, Format::Npz, Format::Csv])?;
        if self.columns.is_some() && format != Format::Csv {
            return Err(Error::input(format!("{}: `columns` applies to csv files only", path.display()))
                .help("an array must be N×3; remove `columns`"));
        }
        let values = match format {
            Format::Csv => self.read_rows(&path)?,
            Format::Npz => {
                let mut archive = Npz::open(&path)?;
                let Member { called, npy, length } = archive.array(self.array.as_deref(), 0)?;
                let values = npy::matrix(&called, npy, length, &|shape| coordinates(&called, shape))?;
                three_dimensional(&called, values)?
            }
            _ => {
                let lists = npy::read_lists(&path, &|shape| coordinates(&path, shape))?;
                let width = lists.first().map_or(0, Vec::len);
                if let Some(i) = lists.iter().position(|list| list.len() != width) {
                    return Err(Error::input(format!(
                        "{}: neuron {i} has {} coordinates, neuron 0 has {width}",
                        path.display(),
                        lists[i].len()
                    ))
                    .help("every neuron needs three coordinates"));
                }
                let values = Array2::from_shape_fn((lists.len(), width), |(i, k)| lists[i][k]);
                if let Some(((i, _), v)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
                    return Err(Error::input(format!("{}: neuron {i} has coordinate {v}", path.display()))
                        .help("remove the neuron from all files of the field"));
                }
                three_dimensional(&path, values)?
            }
        };
        Ok(Positions::new(values, unit_um))
    }

    fn read_rows(&self, path: &Path) -> Result<Array2<f64>> {
        let default = || ["x", "y", "z"].map(str::to_owned).to_vec();
        let names = self.columns.clone().unwrap_or_else(default);
        if !(2..=3).contains(&names.len()) {
            return Err(Error::input(format!("{}: `columns` names {} columns", path.display(), names.len()))
                .help("name three columns, or two if all somata lie in one plane"));
        }
        let mut rows = Rows::open(path)?;
        let header = rows.header()?;
        let columns = names.iter().map(|name| header.column(name)).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::new();
        while rows.advance_under(&header)? {
            for (&column, name) in columns.iter().zip(&names) {
                values.push(rows.number(column, name)?);
            }
            if values.len() > names.len() * MOST_NEURONS {
                return Err(rows.wrong("too many neurons").help(TOO_MANY));
            }
        }
        let shape = (values.len() / names.len(), names.len());
        let values =
            Array2::from_shape_vec(shape, values).map_err(|e| Error::bug(format!("positions: {e}")))?;
        three_dimensional(path, values)
    }
}

const TOO_MANY: &str = "the maximum is 20,000: every matrix has one row and one column per neuron";

/// Refuses an array whose shape cannot be that of coordinates.
fn coordinates(path: &Path, shape: &[usize]) -> Result<()> {
    match *shape {
        [n, k @ (..=1 | 4..)] => Err(wrong_shape(path, n, k)),
        [n, ..] if n > MOST_NEURONS => {
            Err(Error::input(format!("{} is for {n} neurons", path.display())).help(TOO_MANY))
        }
        _ => Ok(()),
    }
}

fn wrong_shape(path: &Path, n: usize, k: usize) -> Error {
    Error::input(format!("{}: expected N×3 positions, found {n}×{k}", path.display()))
        .help("one row per neuron is expected, with three coordinates, or two if all somata lie in one plane")
}

/// Adds a third coordinate of 0 to positions in a plane.
fn three_dimensional(path: &Path, values: Array2<f64>) -> Result<Array2<f64>> {
    match values.dim() {
        (_, 3) => Ok(values),
        (n, 2) => Ok(Array2::from_shape_fn((n, 3), |(i, k)| if k < 2 { values[[i, k]] } else { 0.0 })),
        (n, k) => Err(wrong_shape(path, n, k)),
    }
}

/// Reads the ids of neurons: 64-bit integers.
///
/// # Errors
/// If the file holds anything else.
pub fn ids(folder: &Path, file: &FileRef, count: &NeuronCount) -> Result<Vec<i64>> {
    let path = file.path(folder);
    let one_per_neuron = |shape: &[usize]| check(count, &path, shape[0]);
    match file.format(folder, &[Format::Npy, Format::Npz, Format::Csv])? {
        Format::Npz => {
            let mut archive = Npz::open(&path)?;
            let Member { called, npy, length } = archive.array(file.array.as_deref(), 0)?;
            npy::ids(&called, npy, length, &one_per_neuron)
        }
        Format::Csv => {
            let mut rows = Rows::open(&path)?;
            let header = rows.header()?;
            let Some(name) = &file.column else {
                return Err(Error::input(format!("{}: the column of the ids is missing", path.display()))
                    .help(format!("use {{ file = \"{}\", column = … }}", file.file)));
            };
            let column = header.column(name)?;
            let mut ids = Vec::new();
            while rows.advance_under(&header)? {
                ids.push(rows.id(column, name)?);
                if ids.len() > MOST_NEURONS {
                    return Err(rows.wrong("too many neurons").help(TOO_MANY));
                }
            }
            Ok(ids)
        }
        _ => npy::read_ids(&path, &one_per_neuron),
    }
}

/// Row and column labels of a matrix in a csv.
#[derive(Default, Debug, PartialEq)]
pub struct Labels {
    rows: Option<Vec<String>>,
    columns: Option<Vec<String>>,
    /// Whether the columns' labels are numbers, so that only the shape of the
    /// table tells that they are labels.
    numbers: bool,
}

/// Reads a square matrix with its labels; checks the number of neurons if that
/// is known. `empty` is the help for an empty cell of a csv.
///
/// # Errors
/// If the matrix is not square or not finite.
pub fn matrix(
    folder: &Path,
    file: &FileRef,
    count: &NeuronCount,
    empty: &str,
) -> Result<(Array2<f64>, Labels)> {
    let path = file.path(folder);
    let square = |shape: &[usize]| {
        let (rows, columns) = (shape[0], shape[1]);
        if rows != columns {
            return Err(Error::input(format!("{}: {rows}×{columns} is not square", path.display()))
                .help("one row and one column per neuron are expected; is the file complete?"));
        }
        check(count, &path, rows)
    };
    Ok(match file.format(folder, &[Format::Npy, Format::Npz, Format::Csv])? {
        Format::Npz => {
            let expected = (count.neurons() as u64).pow(2).saturating_mul(8) + HEAD;
            let mut archive = Npz::open(&path)?;
            let Member { called, npy, length } = archive.array(file.array.as_deref(), expected)?;
            (npy::matrix(&called, npy, length, &square)?, Labels::default())
        }
        Format::Csv if file.column.is_some() => {
            return Err(Error::input(format!("{}: `column` does not apply to a matrix", path.display()))
                .help("remove `column`: all rows and columns are read"));
        }
        Format::Csv => {
            let (matrix, labels) = table(&path, empty)?;
            square(matrix.shape())?;
            (matrix, labels)
        }
        _ => (npy::read_matrix(&path, &square)?, Labels::default()),
    })
}

/// Reads rows of numbers, with or without row and column labels; `empty` is the
/// help for an empty cell.
fn table(path: &Path, empty: &str) -> Result<(Array2<f64>, Labels)> {
    let mut rows = Rows::open(path)?;
    let mut header: Option<Vec<String>> = None;
    let mut first_line = Vec::new();
    let mut labels = Vec::new();
    let mut values: Vec<f64> = Vec::new();
    let mut width = 0;
    let mut first_column = Vec::new();
    while rows.advance()? {
        if width == 0 {
            width = rows.len();
            if width > MOST_NEURONS + 1 {
                return Err(rows.wrong(&format!("{width} columns are too many")).help(TOO_MANY));
            }
            first_line = rows.cells().map(shown).collect();
            // A first line that is not all numbers is the header.
            if rows.cells().any(|cell| number(cell).is_none()) {
                header = Some(first_line.clone());
                continue;
            }
        }
        if rows.len() != width {
            return Err(rows
                .wrong(&format!("{} cells, but the first line has {width}", rows.len()))
                .help("every line must have the same number of cells; is the file complete?"));
        }
        for column in 0..width {
            let cell = rows.cell(column);
            match number(cell) {
                Some(value) if column == 0 => first_column.push(Some(value)),
                Some(value) => values.push(value),
                None if column == 0 && header.is_some() => first_column.push(None),
                None if cell.is_empty() => {
                    return Err(rows.wrong(&format!("cell {} is empty", column + 1)).help(empty));
                }
                None => {
                    return Err(rows
                        .wrong(&format!("cell {}: `{}` is not a finite number", column + 1, shown(cell)))
                        .help(
                            "every element must be a finite number: remove the neuron or correct the element",
                        ));
                }
            }
        }
        if header.is_some() {
            labels.push(shown(rows.cell(0)));
        }
        if first_column.len() > MOST_NEURONS {
            return Err(rows.wrong("too many rows").help(TOO_MANY));
        }
    }
    let n = first_column.len();
    if width == 1 && n > 1 {
        return Err(Error::input(format!("{}: every line has a single cell", path.display()))
            .help("cells must be separated by commas: numpy.savetxt(…, delimiter=\",\")"));
    }
    let shaped = |shape, values| {
        Array2::from_shape_vec(shape, values).map_err(|e| Error::bug(format!("a matrix of text: {e}")))
    };
    if n == 0 {
        return Err(Error::input(format!("{} has no numbers", path.display())).help("is the file complete?"));
    }
    // One more row than columns, all numbers: the first line holds labels that are
    // numbers, such as ids.
    let numbers = header.is_none() && n == width + 1 && width > 1;
    if numbers {
        let values = (1..n)
            .flat_map(|i| {
                first_column[i].into_iter().chain(values[i * (width - 1)..(i + 1) * (width - 1)].to_vec())
            })
            .collect();
        let labels = Labels { rows: None, columns: Some(first_line), numbers };
        return Ok((shaped((width, width), values)?, labels));
    }
    // One more column than rows: the first column holds labels.
    if let Some(header) = &mut header
        && n == width - 1
    {
        header.remove(0);
        let labels = Labels { rows: Some(labels), columns: Some(std::mem::take(header)), numbers: false };
        return Ok((shaped((n, width - 1), values)?, labels));
    }
    let mut all = Vec::with_capacity(n * width);
    for (i, first) in first_column.into_iter().enumerate() {
        let Some(first) = first else {
            return Err(Error::input(format!(
                "{}: {n} rows of {width} cells, but row {i} starts with `{}`",
                path.display(),
                labels.get(i).map_or("", String::as_str)
            ))
            .help("a matrix with row and column labels must have one more column than rows"));
        };
        all.push(first);
        all.extend_from_slice(&values[i * (width - 1)..(i + 1) * (width - 1)]);
    }
    Ok((shaped((n, width), all)?, Labels { rows: None, columns: header, numbers: false }))
}

/// Reorders `matrix` to the order of the neurons. A label is the id of a neuron
/// or its index from 0. If the field has no ids, other labels are ignored and
/// the order is kept.
///
/// # Errors
/// If the field has ids and a label is not one, a label occurs twice, or
/// ignored labels differ between rows and columns.
pub fn in_order(
    matrix: Array2<f64>,
    labels: &Labels,
    ids: &BTreeMap<String, Cow<'_, [i64]>>,
    path: &Path,
) -> Result<Array2<f64>> {
    let Some(columns) = &labels.columns else { return Ok(matrix) };
    let rows = labels.rows.as_ref().unwrap_or(columns);
    let (Some(to_row), Some(to_column)) = (places(rows, ids, path)?, places(columns, ids, path)?) else {
        if labels.numbers {
            let n = columns.len();
            return Err(Error::input(format!("{}: {}×{n} is not square", path.display(), n + 1)).help(
                "one row and one column per neuron are expected; if the first line holds ids, the field's ids must be \
                 known: remove that line, or add the ids to field.toml under [ids]",
            ));
        }
        if rows != columns {
            return Err(Error::input(format!("{}: row and column labels differ", path.display()))
                .help("use the neurons' ids, in any order, or the same labels for rows and columns"));
        }
        return Ok(matrix);
    };
    let mut ordered = Array2::zeros(matrix.dim());
    for ((i, j), &value) in matrix.indexed_iter() {
        ordered[[to_row[i], to_column[j]]] = value;
    }
    Ok(ordered)
}

/// The neuron that each label names; `None` if the labels are not ids or
/// indices.
fn places(
    labels: &[String],
    ids: &BTreeMap<String, Cow<'_, [i64]>>,
    path: &Path,
) -> Result<Option<Vec<usize>>> {
    let wrong = |what: String| {
        Error::input(format!("{}: {what}", path.display()))
            .help("label every row and column with its neuron's id (an integer), or write the matrix without labels")
    };
    let numbers: Vec<Option<i64>> = labels.iter().map(|label| label.parse().ok()).collect();
    let by_number = (0..labels.len() as i64).zip(0..).collect();
    let by_id = ids.iter().map(|(kind, ids)| (kind.as_str(), ids.iter().copied().zip(0..).collect()));
    // Take the kind of id that matches most labels.
    let meanings = by_id.chain([("", by_number)]);
    let best = meanings
        .map(|(kind, index): (&str, BTreeMap<i64, usize>)| {
            let found: Vec<Option<usize>> =
                numbers.iter().map(|number| index.get(&(*number)?).copied()).collect();
            (kind, found)
        })
        .min_by_key(|(_, found)| found.iter().filter(|place| place.is_none()).count());
    let Some((kind, found)) = best else { return Ok(None) };
    if let Some(unmatched) = found.iter().position(Option::is_none) {
        let some = found.iter().any(Option::is_some);
        return match labels.get(unmatched) {
            Some(label) if !ids.is_empty() && some && !kind.is_empty() => {
                Err(wrong(format!("the label {label} is not a `{kind}` id, but others are")))
            }
            Some(label) if !ids.is_empty() => {
                Err(wrong(format!("the label `{label}` is not the id of a neuron")))
            }
            _ => Ok(None),
        };
    }
    let places: Vec<usize> = found.into_iter().flatten().collect();
    let mut seen = vec![false; places.len()];
    for (&place, label) in places.iter().zip(labels) {
        match seen.get_mut(place) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(wrong(format!("the label {label} occurs twice"))),
        }
    }
    Ok(Some(places))
}

/// Reads one table of an npy or npz, whose numbers need not be finite, and the name to
/// use for it in messages.
///
/// # Errors
/// If the file is neither, or the array does not have two axes.
pub fn numbers(folder: &Path, file: &FileRef, expected: u64) -> Result<(PathBuf, Array2<f64>)> {
    let path = file.path(folder);
    let table = |called: &Path, shape: &[usize]| match shape {
        [_, _] => Ok(()),
        _ => Err(Error::input(format!("{} has {} axes", called.display(), shape.len()))
            .help("a table is expected: one axis for the neurons, the other for the frames")),
    };
    let (called, array) = match file.format(folder, &[Format::Npy, Format::Npz])? {
        Format::Npz => {
            let mut archive = Npz::open(&path)?;
            let Member { called, npy, length } = archive.array(file.array.as_deref(), expected)?;
            let array = npy::array(&called, npy, length, &|shape| table(&called, shape))?;
            (called, array)
        }
        _ => {
            let array = npy::read_array(&path, &|shape| table(&path, shape))?;
            (path, array)
        }
    };
    let array =
        array.into_dimensionality().map_err(|e| Error::bug(format!("a checked shape does not fit: {e}")))?;
    Ok((called, array))
}
