//! A scan: its imaged fields and their traces.
//!
//! The layout is that of DANDI 000402 (NWB 2):
//!
//! | path | content |
//! |---|---|
//! | `/processing/ophys/ImageSegmentation/PlaneSegmentation<f>` | table of the ROIs of field f, one row per ROI |
//! | … `/id`, `/mask_type`, `/image_mask` | number, `soma` or `artifact`, pixel weights (ROI × x × y) |
//! | … `/pt_x_position`, `/pt_y_position`, `/pt_z_position` | soma in the electron microscopy volume, NaN for unmatched ROIs |
//! | `/processing/ophys/Fluorescence/RoiResponseSeries<f>` | `data` (frame × ROI), `timestamps` (s) or `starting_time` with a rate |
//! | … `/rois` | row of the table for each column of `data`; its attribute `table` refers to the table |

use pallium_core::prelude::*;

use crate::hdf5::{Column, Node};

/// Prefix of the names of ROI tables, followed by the number of the field.
const TABLE: &str = "PlaneSegmentation";

/// The distinguishing part of a table's name: the number of the field.
fn label(name: &str) -> &str {
    match name.strip_prefix(TABLE) {
        Some("") | None => name,
        Some(number) => number,
    }
}

/// One field: its table of ROIs.
pub struct Plane {
    /// The table.
    pub table: Node,
    /// Its number.
    pub label: String,
    /// Numbers of its ROIs, one per row, for messages; they may repeat.
    pub ids: Vec<i64>,
}

/// All groups of NWB type `kind` in the file's processing modules and in its
/// acquired data.
fn all(root: &Node, kind: &str) -> Result<Vec<Node>> {
    let mut found = Vec::new();
    let mut modules = match root.group("processing")? {
        Some(processing) => processing.groups()?,
        None => Vec::new(),
    };
    modules.extend(root.group("acquisition")?);
    for module in modules {
        for interface in module.groups()? {
            if interface.kind().as_deref() == Some(kind) {
                found.push(interface);
                continue;
            }
            for inner in interface.groups()? {
                if inner.kind().as_deref() == Some(kind) {
                    found.push(inner);
                }
            }
        }
    }
    // 2 before 10.
    found.sort_by_key(|node| {
        let label = label(node.name()).to_owned();
        (label.parse::<u64>().unwrap_or(u64::MAX), label)
    });
    Ok(found)
}

impl Plane {
    /// Selects the field `wanted` by its number or the name of its table; if empty,
    /// the only field.
    ///
    /// # Errors
    /// If there is no such field, or `wanted` is empty and there are several.
    pub fn choose(root: &Node, wanted: &str) -> Result<Plane> {
        let tables = all(root, TABLE)?;
        let known: Vec<&str> = tables.iter().map(|table| label(table.name())).collect();
        let file = root.path().display();
        let there = match known.as_slice() {
            [] => {
                return Err(Error::input(format!("{file} has no imaged field: no {TABLE} in /processing"))
                    .help("a two-photon recording with ROIs is expected, in the layout of NWB 2"));
            }
            known => format!("fields in this file: {}", known.join(", ")),
        };
        let fitting: Vec<&Node> = tables
            .iter()
            .filter(|table| wanted.is_empty() || table.name() == wanted || label(table.name()) == wanted)
            .collect();
        let table = match fitting.as_slice() {
            [one] => (*one).clone(),
            [] => return Err(Error::input(format!("{file} has no field `{wanted}`")).help(there)),
            several => {
                return Err(Error::input(format!("{file} has {} fields; `field` is not set", several.len()))
                    .help(format!("set the parameter `field`; {there}")));
            }
        };
        let ids = table.needed("id")?.integers()?;
        if ids.is_empty() {
            return Err(table.bad("has no ROIs").help(there));
        }
        Ok(Plane { label: label(table.name()).to_owned(), table, ids })
    }

    /// Number of ROIs.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// A column of the table with one number per row, if it exists.
    ///
    /// # Errors
    /// If it cannot be read, or its length differs from the table's.
    pub fn numbers(&self, name: &str) -> Result<Option<Vec<f64>>> {
        let Some(column) = self.table.column(name)? else { return Ok(None) };
        let values = column.numbers()?;
        self.fits(&column, values.len())?;
        Ok(Some(values))
    }

    /// A column of the table with one string per row, if it exists.
    ///
    /// # Errors
    /// As [`Plane::numbers`].
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(column) = self.table.column(name)? else { return Ok(None) };
        let values = column.texts()?;
        self.fits(&column, values.len())?;
        Ok(Some(values))
    }

    fn fits(&self, column: &Column, length: usize) -> Result<()> {
        if length == self.rows() {
            return Ok(());
        }
        Err(column
            .bad(format!("has {length} entries, but the table has {} ROIs", self.rows()))
            .help("a column must have one entry per row: the file is damaged or was written incorrectly"))
    }

    /// The traces of this field: the series `wanted`, or the series in the container
    /// `wanted`; if empty, the only series.
    ///
    /// # Errors
    /// If there is no such series, or `wanted` is empty and there are several.
    pub fn series(&self, root: &Node, wanted: &str) -> Result<Option<Series>> {
        let mut own = Vec::new();
        for series in all(root, "RoiResponseSeries")? {
            let rois = series.needed("rois")?;
            if rois.reference("table") == Some(self.table.address()) {
                own.push(Series { data: series.needed("data")?, rois, node: series });
            }
        }
        let known: Vec<String> = own.iter().map(Series::name).collect();
        let is_wanted =
            |name: &str| wanted.is_empty() || name == wanted || name.split('/').any(|part| part == wanted);
        let mut fitting: Vec<Series> = own.into_iter().filter(|series| is_wanted(&series.name())).collect();
        let there = || format!("traces of field {}: {}", self.label, known.join(", "));
        match fitting.len() {
            1 => Ok(fitting.pop()),
            0 if wanted.is_empty() => Ok(None),
            0 if known.is_empty() => Err(self.table.bad("has no traces").help(
                "no RoiResponseSeries in the file refers to this table; remove the parameter `series`",
            )),
            0 => Err(self.table.bad(format!("has no traces `{wanted}`")).help(there())),
            many => Err(self
                .table
                .bad(format!("has {many} series of traces"))
                .help(format!("set the parameter `series`; {}", there()))),
        }
    }
}

/// The traces of a field.
pub struct Series {
    /// The group.
    pub node: Node,
    /// Frame × ROI.
    pub data: Column,
    /// Row of the table for each column of the data.
    pub rois: Column,
}

impl Series {
    /// Its path below the processing module or `/acquisition`, such as
    /// `Fluorescence/RoiResponseSeries2`.
    pub fn name(&self) -> String {
        let at = self.node.at();
        match at.strip_prefix("/acquisition/") {
            Some(name) => name.to_owned(),
            // Below /processing/<module>/.
            None => at.splitn(4, '/').nth(3).unwrap_or_default().to_owned(),
        }
    }
}

/// Session and scan of a MICrONS recording, from a session id such as `4-scan-10`.
pub fn session_and_scan(root: &Node) -> Option<(u32, u32)> {
    let texts = root.group("general").ok()??.column("session_id").ok()??.texts().ok()?;
    let (session, scan) = texts.first()?.split_once("-scan-")?;
    Some((session.parse().ok()?, scan.parse().ok()?))
}
