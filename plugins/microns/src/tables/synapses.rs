//! Counts synapses in a table of synapses or of connections.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pallium_core::{prelude::*, tracing};
use pallium_fields::rows::{Header, Rows};

use super::unmatched::Unmatched;
use super::{Field, PROGRESS};

/// Rows between two progress reports.
const REPORT_INTERVAL: u64 = 1 << 20;
/// Names of columns that hold numbers of synapses in tables of connections.
const COUNTS: [&str; 9] = [
    "n_syn",
    "n_synapses",
    "num_syn",
    "num_synapses",
    "syn_count",
    "synapse_count",
    "synapses",
    "count",
    "weight",
];
/// Value of `count` for tables whose rows are synapses.
const NO_COUNT: &str = "none";

/// The column with the number of synapses of a row, if rows are connections.
pub(super) fn count_column(header: &Header, path: &Path, wanted: &str) -> Result<Option<usize>> {
    if wanted == NO_COUNT {
        return Ok(None);
    }
    if !wanted.is_empty() {
        return header.column(wanted).map(Some);
    }
    match COUNTS.iter().find(|name| header.find(name).is_some()) {
        None => Ok(None),
        Some(name) => Err(Error::input(format!(
            "{} has a column `{name}`, so its rows may be connections instead of synapses",
            path.display()
        ))
        .help(format!(
            "set count = \"{name}\" (--param count={name}) to add up that column, or count = \"{NO_COUNT}\" to \
             count rows"
        ))),
    }
}

/// Counts the synapses between cells of the same field: one a row, or those in
/// `column`. `others` are root ids of units in other fields.
///
/// # Errors
/// If the table cannot be read, an id has two meanings, or it is not clear whether
/// rows are synapses.
pub(super) fn count(path: &Path, column: &str, fields: &mut [Field], others: &BTreeSet<i64>) -> Result<()> {
    // Cell, field, unit; sorted for binary search.
    let mut cells: Vec<(i64, u32, u32)> = (0..)
        .zip(fields.iter())
        .flat_map(|(f, field)| (0..).zip(&field.units).map(move |(u, unit)| (unit.root, f, u)))
        .collect();
    cells.sort_unstable();
    let places = |id: i64| {
        let from = cells.partition_point(|cell| cell.0 < id);
        let length = cells[from..].iter().take_while(|cell| cell.0 == id).count();
        from..from + length
    };
    // Whether a cell occurs in a row.
    let mut seen = vec![false; cells.len()];
    let mut unmatched = Unmatched::default();
    let mut rows = Rows::open(path)?;
    let header = rows.header()?;
    let [pre_name, post_name] = ["pre_pt_root_id", "post_pt_root_id"];
    let (pre_at, post_at) = (header.column(pre_name)?, header.column(post_name)?);
    let count_at = count_column(&header, path, column)?;
    let id_at = header.find("id");
    // Cells of each counted id. Few of a table's synapses are within a field.
    let mut counted: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut read: u64 = 0;
    while rows.advance_under(&header)? {
        read += 1;
        if read.is_multiple_of(REPORT_INTERVAL) {
            // The length of the table is unknown, so this only approaches 1.
            let fraction = 1.0 - 1.0 / (1.0 + read as f64 / 1e7);
            tracing::info!(target: PROGRESS, fraction, "synapses");
        }
        let (pre, post) = (rows.id(pre_at, pre_name)?, rows.id(post_at, post_name)?);
        let (from, to) = (places(pre), places(post));
        let known = |id: i64, at: &std::ops::Range<usize>| !at.is_empty() || others.contains(&id);
        let unknown = [(pre, &from), (post, &to)].into_iter().find(|(id, at)| !known(*id, at));
        unmatched.row(unknown.map(|(id, _)| id));
        seen[from.clone()].fill(true);
        seen[to.clone()].fill(true);
        let within: Vec<(u32, u32, u32)> = cells[from]
            .iter()
            .flat_map(|&(_, f, i)| {
                cells[to.clone()].iter().filter(move |cell| cell.1 == f).map(move |&(_, _, j)| (f, i, j))
            })
            .collect();
        if within.is_empty() {
            continue;
        }
        if let Some(at) = id_at {
            let id = rows.id(at, "id")?;
            match counted.insert(id, (pre, post)) {
                None => {}
                Some(before) if before == (pre, post) => {
                    within.iter().for_each(|&(f, ..)| fields[f as usize].repeated_synapses += 1);
                    continue;
                }
                Some((a, b)) => {
                    return Err(rows
                        .wrong(&format!("synapse {id} connects {pre} to {post}, but {a} to {b} before"))
                        .help("ids must be unique: are these rows of two versions of the volume? Use one of them"));
                }
            }
        }
        let synapses = match count_at {
            None => 1,
            Some(at) => rows.count(at, column)?,
        };
        for (f, i, j) in within {
            *fields[f as usize].synapses.entry((i, j)).or_insert(0) += synapses;
        }
    }
    for (f, field) in (0..).zip(fields.iter_mut()) {
        let mut absent = cells.iter().zip(&seen).filter(|(cell, seen)| cell.1 == f && !**seen);
        let first = absent.next().map(|(cell, _)| cell.0);
        let absent = (usize::from(first.is_some()) + absent.count(), first);
        let remark = unmatched.remark(field.units.len(), absent, path);
        field.remarks.extend(remark.map(|remark| format!("connectome: {remark}")));
    }
    tracing::info!(target: PROGRESS, fraction = 1.0, "synapses");
    Ok(())
}
