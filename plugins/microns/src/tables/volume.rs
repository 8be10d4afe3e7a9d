//! All requested fields as one substrate: each cell once, pairs without a matrix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pallium_core::{PairTable, ndarray::Array2, prelude::*, tracing};
use pallium_fields::rows::Rows;

use super::properties::{self, Named};
use super::synapses::count_column;
use super::unmatched::Unmatched;
use super::{PROGRESS, Params, PositionColumns, implausible, position_unit};

/// Largest number of cells.
const MOST_CELLS: usize = 1_000_000;

/// A cell, and the first unit that it was imaged as.
struct Cell {
    root: i64,
    target: i64,
    unit: i64,
    place: [i64; 3],
    position: [f64; 3],
}

/// The cells, and the cell of each root id.
struct Cells {
    cells: Vec<Cell>,
    of_root: BTreeMap<i64, u32>,
    /// Root ids of units in fields that are not requested.
    other_roots: BTreeSet<i64>,
    fields: BTreeSet<[i64; 3]>,
    units: usize,
    unknown: usize,
    several_roots: usize,
}

/// Numbers that rows of a table add to pairs of cells.
#[derive(Default)]
struct Pairs {
    /// Sum and number of the rows of each pair.
    sums: BTreeMap<(u32, u32), (f64, f64)>,
    unplaced: u64,
}

impl Pairs {
    fn table(&self, n: usize, of: impl Fn(f64, f64) -> f64) -> Result<PairTable<'static>> {
        let connections = Connections::from_pairs(n, n, self.sums.keys().copied().collect())?;
        PairTable::new(&connections, self.sums.values().map(|&(sum, rows)| of(sum, rows)).collect())
    }
}

/// The substrate of all requested fields, and what readers must know before they use it.
pub(super) fn substrate(params: &Params) -> Result<(Substrate, Vec<String>)> {
    let read = read_cells(params)?;
    let mut remarks = Vec::new();
    let positions: Vec<[f64; 3]> = read.cells.iter().map(|cell| cell.position).collect();
    remarks.extend(implausible(&positions, params));
    let mut pairs_of = |path: &str, values: Values<'_>, what: &str| {
        let path = PathBuf::from(path);
        let (pairs, remark) = read_pairs(&path, &read, values)?;
        remarks.extend(remark.map(|remark| format!("{what}: {remark}")));
        Ok::<_, Error>(pairs)
    };
    let synapses = match params.synapses.as_str() {
        "" => None,
        path => pairs_of(path, Values::Count(&params.count), "connectome")?.into_iter().next(),
    };
    let names = [Substrate::CORRELATION, Substrate::STTC];
    let activity = match params.functional.as_str() {
        "" => Vec::new(),
        path => pairs_of(path, Values::Columns(&names), "activity")?,
    };
    let Cells { cells, of_root, fields, units, unknown, several_roots, .. } = read;
    let n = cells.len();
    let positions = Array2::from_shape_fn((n, 3), |(i, k)| cells[i].position[k]);
    let ids = |of: &dyn Fn(&Cell) -> i64| cells.iter().map(of).collect::<Vec<i64>>().into();
    let mut substrate = Substrate {
        name: if fields.len() == 1 { "field".into() } else { "volume".into() },
        neurons: n,
        positions: Some(Positions::new(positions, position_unit(params))),
        ..Substrate::default()
    };
    substrate.ids.insert("root".into(), ids(&|cell| cell.root));
    substrate.ids.insert("target".into(), ids(&|cell| cell.target));
    substrate.ids.insert("unit".into(), ids(&|cell| cell.unit));
    for (k, name) in ["session", "scan", "field"].into_iter().enumerate() {
        substrate.ids.insert(name.into(), ids(&|cell| cell.place[k]));
    }
    let mut note = |text: String| substrate.notes.push(text);
    note(format!(
        "cells: {units} units of {n} cells in {} fields; a cell has the scan and field in which it was imaged first",
        fields.len()
    ));
    if unknown > 0 {
        note(format!("cells: {unknown} have no root id (0), so no table of pairs names them"));
    }
    if several_roots > 0 {
        note(format!("cells: {several_roots} have several root ids, which count as one cell"));
    }
    if let Some(synapses) = synapses {
        let total: f64 = synapses.sums.values().map(|(sum, _)| sum).sum();
        let pairs: Vec<(u32, u32)> = synapses.sums.keys().copied().collect();
        note(format!("connectome: {total} synapses of {} pairs of these cells", pairs.len()));
        if synapses.unplaced > 0 {
            note(format!("connectome: {} rows name a cell that is not among the units", synapses.unplaced));
        }
        let (alone, parts, largest) = parts(n, &pairs);
        note(format!(
            "connectome: {alone} cells have no connection; the others form {parts} connected components; \
             the largest has {largest} cells, and the largest strongly connected one has {} cells",
            largest_strong(n, &pairs)
        ));
        substrate.pairs.insert(Substrate::CONNECTOME.into(), synapses.table(n, |sum, _| sum)?);
    }
    for (name, pairs) in names.into_iter().zip(activity) {
        if name == names[0] {
            substrate.notes.push(format!(
                "activity: correlation and sttc of {} pairs, means over the fields in which both were imaged; \
                 all other pairs are unknown",
                pairs.sums.len()
            ));
            if pairs.unplaced > 0 {
                substrate.notes.push(format!(
                    "activity: {} rows name a cell that is not among the units",
                    pairs.unplaced
                ));
            }
        }
        substrate.pairs.insert(name.into(), pairs.table(n, |sum, rows| sum / rows)?);
    }
    let of_target = (0..).zip(&cells).map(|(at, cell)| (cell.target, at)).collect();
    properties::add(params, &Named { neurons: n, of_root, of_target }, &mut substrate)?;
    Ok((substrate, remarks))
}

fn read_cells(params: &Params) -> Result<Cells> {
    let path = PathBuf::from(&params.coregistration);
    let mut rows = Rows::open(&path)?;
    let header = rows.header()?;
    let names = ["session", "scan_idx", "field"];
    let place_at = [header.column(names[0])?, header.column(names[1])?, header.column(names[2])?];
    let [root_at, unit_at] = [header.column("pt_root_id")?, header.column("unit_id")?];
    let target_at = header.find("target_id");
    let position_at = PositionColumns::find(&header)?;
    tracing::info!(target: PROGRESS, fraction = 0.0, "units and cells");
    let mut found = Cells {
        cells: Vec::new(),
        of_root: BTreeMap::new(),
        other_roots: BTreeSet::new(),
        fields: BTreeSet::new(),
        units: 0,
        unknown: 0,
        several_roots: 0,
    };
    let mut known: BTreeMap<i64, u32> = BTreeMap::new();
    let mut roots_of: BTreeMap<u32, BTreeSet<i64>> = BTreeMap::new();
    while rows.advance_under(&header)? {
        let mut place = [0; 3];
        for ((to, &at), name) in place.iter_mut().zip(&place_at).zip(names) {
            *to = rows.id(at, name)?;
        }
        let name = format!("{}_{}_{}", place[0], place[1], place[2]);
        let root = rows.id(root_at, "pt_root_id")?;
        if !params.fields.is_empty() && !params.fields.contains(&name) {
            found.other_roots.insert(root);
            continue;
        }
        // Root ids change between versions of the segmentation; the id of the nucleus
        // stays.
        let target = match target_at {
            Some(at) => rows.id(at, "target_id")?,
            None => root,
        };
        if target == 0 {
            continue;
        }
        found.units += 1;
        found.fields.insert(place);
        let cell = match known.get(&target) {
            Some(&cell) => cell,
            None => {
                if found.cells.len() == MOST_CELLS {
                    return Err(rows
                        .wrong(&format!("there are more than {MOST_CELLS} cells"))
                        .help("is this the table of coregistered units?"));
                }
                let unit = rows.id(unit_at, "unit_id")?;
                let position = position_at.read(&rows)?;
                let cell = found.cells.len() as u32;
                found.cells.push(Cell { root, target, unit, place, position });
                known.insert(target, cell);
                cell
            }
        };
        if root == 0 {
            continue;
        }
        if let Some(&other) = found.of_root.get(&root).filter(|&&other| other != cell) {
            let other = found.cells[other as usize].target;
            return Err(rows
                .wrong(&format!("root id {root} is the cell {target}, but {other} before"))
                .help("a root id is one cell: remove the row that is wrong"));
        }
        found.of_root.insert(root, cell);
        roots_of.entry(cell).or_default().insert(root);
    }
    if found.cells.is_empty() {
        return Err(Error::input(format!("{} has no unit with a cell", path.display()))
            .help("is the table complete, and are the fields in it?"));
    }
    found.unknown = (0..found.cells.len() as u32).filter(|cell| !roots_of.contains_key(cell)).count();
    found.several_roots = roots_of.values().filter(|roots| roots.len() > 1).count();
    Ok(found)
}

/// What rows hold for a pair.
#[derive(Clone, Copy)]
enum Values<'a> {
    /// Synapses: those in the column of this name, or one a row.
    Count(&'a str),
    /// Numbers in these columns.
    Columns(&'a [&'a str]),
}

/// Reads the pairs of a table, and a remark if it does not fit the cells.
fn read_pairs(path: &Path, known: &Cells, values: Values<'_>) -> Result<(Vec<Pairs>, Option<String>)> {
    let Cells { cells, of_root, other_roots, .. } = known;
    let mut rows = Rows::open(path)?;
    let header = rows.header()?;
    let [pre_name, post_name] = ["pre_pt_root_id", "post_pt_root_id"];
    let (pre_at, post_at) = (header.column(pre_name)?, header.column(post_name)?);
    let columns: Vec<Option<usize>> = match values {
        Values::Count(wanted) => vec![count_column(&header, path, wanted)?],
        Values::Columns(names) => {
            names.iter().map(|name| header.column(name).map(Some)).collect::<Result<_>>()?
        }
    };
    let id_at = header.find("id").filter(|_| matches!(values, Values::Count(_)));
    let mut counted = BTreeSet::new();
    let mut all: Vec<Pairs> = columns.iter().map(|_| Pairs::default()).collect();
    let mut unmatched = Unmatched::default();
    let mut seen = vec![false; cells.len()];
    while rows.advance_under(&header)? {
        let (pre, post) = (rows.id(pre_at, pre_name)?, rows.id(post_at, post_name)?);
        let of = [of_root.get(&pre), of_root.get(&post)];
        of.iter().flatten().for_each(|cell| seen[**cell as usize] = true);
        let unknown =
            |(id, of): (i64, Option<&u32>)| (of.is_none() && !other_roots.contains(&id)).then_some(id);
        unmatched.row([pre, post].into_iter().zip(of).find_map(unknown));
        let [Some(&i), Some(&j)] = of else {
            all.iter_mut().for_each(|pairs| pairs.unplaced += 1);
            continue;
        };
        if let Some(at) = id_at
            && !counted.insert(rows.id(at, "id")?)
        {
            continue;
        }
        for (pairs, column) in all.iter_mut().zip(&columns) {
            let value = match (column, values) {
                (None, _) => 1.0,
                (Some(at), Values::Count(name)) => rows.count(*at, name)? as f64,
                (Some(at), Values::Columns(_)) => rows.number(*at, "a column of activity")?,
            };
            let (sum, count) = pairs.sums.entry((i, j)).or_insert((0.0, 0.0));
            *sum += value;
            *count += 1.0;
        }
    }
    let absent: BTreeMap<u32, i64> = of_root
        .iter()
        .filter(|(_, cell)| !seen[**cell as usize])
        .map(|(root, cell)| (*cell, *root))
        .collect();
    let with_root = of_root.values().collect::<BTreeSet<_>>().len();
    let remark = unmatched.remark(with_root, (absent.len(), absent.into_values().next()), path);
    Ok((all, remark))
}

/// Number of cells without a pair, number of connected parts of the others, and cells
/// in the largest, regardless of direction.
fn parts(n: usize, pairs: &[(u32, u32)]) -> (usize, usize, usize) {
    let mut of: Vec<usize> = (0..n).collect();
    fn root(of: &mut [usize], mut at: usize) -> usize {
        while of[at] != at {
            of[at] = of[of[at]];
            at = of[at];
        }
        at
    }
    let mut paired = vec![false; n];
    for &(i, j) in pairs {
        (paired[i as usize], paired[j as usize]) = (true, true);
        let (a, b) = (root(&mut of, i as usize), root(&mut of, j as usize));
        of[a] = b;
    }
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for cell in (0..n).filter(|&cell| paired[cell]) {
        *sizes.entry(root(&mut of, cell)).or_default() += 1;
    }
    let alone = paired.iter().filter(|paired| !**paired).count();
    (alone, sizes.len(), sizes.values().copied().max().unwrap_or(0))
}

/// Number of cells in the largest strongly connected part (Kosaraju's two searches).
fn largest_strong(n: usize, pairs: &[(u32, u32)]) -> usize {
    let (mut from, mut to) = (vec![Vec::new(); n], vec![Vec::new(); n]);
    for &(i, j) in pairs {
        from[i as usize].push(j as usize);
        to[j as usize].push(i as usize);
    }
    let mut order = Vec::with_capacity(n);
    let mut seen = vec![false; n];
    for start in 0..n {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut stack = vec![(start, 0)];
        while let Some((cell, next)) = stack.pop() {
            match from[cell].get(next) {
                Some(&other) => {
                    stack.push((cell, next + 1));
                    if !seen[other] {
                        seen[other] = true;
                        stack.push((other, 0));
                    }
                }
                None => order.push(cell),
            }
        }
    }
    let mut largest = 0;
    let mut left = vec![true; n];
    for start in order.into_iter().rev() {
        if !std::mem::take(&mut left[start]) {
            continue;
        }
        let (mut stack, mut size) = (vec![start], 0);
        while let Some(cell) = stack.pop() {
            size += 1;
            stack.extend(to[cell].iter().filter(|&&other| std::mem::take(&mut left[other])));
        }
        largest = largest.max(size);
    }
    largest
}
