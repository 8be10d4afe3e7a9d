//! `microns.tables`: reads fields from the tables of the MICrONS volume, as
//! exported by CAVE.

mod position_unit;
mod properties;
mod synapses;
mod unmatched;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pallium_core::{ndarray::Array2, prelude::*, tracing};

use pallium_fields::bins::FRAME_HZ;
use pallium_fields::released::refuse_repeats;
use pallium_fields::rows::{Header, Rows, number, shown};
use pallium_fields::store;

use position_unit::{implausible, position_unit};

pub use position_unit::PositionUnit;

/// Target of the log events that report progress.
const PROGRESS: &str = "progress";
/// Fields that an error lists.
const FIELDS_LISTED: usize = 20;
/// Maximum number of neurons in a field; the largest released one has 632.
const MOST_NEURONS: usize = 20_000;

pallium_core::choice! {
    /// How units of the same cell are handled.
    pub enum Repeats {
        /// Keep the unit with the best score; the first of equal ones.
        BestScore = "best-score",
        /// Keep the first unit in the table.
        First = "first",
        /// Report an error.
        Refuse = "refuse",
    }
}

pallium_core::params! {
    /// The tables, and the fields to read.
    pub struct Params {
        /// Folder with the tables, instead of naming each: `units.csv` is the
        /// table of coregistration, `synapses.csv` that of synapses, and
        /// `functional.csv`, if it is there, that of functional similarity.
        path: Option<String> = None,
        /// Table of coregistration (csv, csv.gz or parquet): columns `pt_root_id`,
        /// `session`, `scan_idx`, `field`, `unit_id`, and `pt_position` or
        /// `pt_position_x`, `_y`, `_z`; `target_id` and `score` are optional.
        #[schemars(extend("format" = "path"))]
        coregistration: String = String::new(),
        /// Table of synapses (csv, csv.gz or parquet): columns `pre_pt_root_id` and
        /// `post_pt_root_id`; rows with the same `id` count once. Without it, the
        /// field has no connectome.
        #[schemars(extend("format" = "path"))]
        synapses: String = String::new(),
        /// Column with the number of synapses of each row, if rows are connections;
        /// `none` if each row is one synapse although the table has such a column.
        count: String = String::new(),
        /// Names of the fields, `<session>_<scan>_<field>`; all if empty. The
        /// seed selects one of them: seed modulo the number of fields, from 0.
        fields: Vec<String> = Vec::new(),
        /// Whether all fields are joined to one substrate, with each cell once: cells are
        /// identified by `target_id`, or by `pt_root_id` where there is none. The
        /// connectome and activity are known only for some pairs, so a joined substrate
        /// needs components that take connections.
        joined: bool = false,
        /// For `joined`: table of pairs with columns `pre_pt_root_id`,
        /// `post_pt_root_id`, `correlation` and `sttc`, a row for each field in which
        /// both cells were imaged; the rows of a pair are averaged.
        #[schemars(extend("format" = "path"))]
        functional: String = String::new(),
        /// Table of cell types, such as `aibs_metamodel_celltypes_v661`: columns
        /// `classification_system`, `cell_type`, and `target_id` or `pt_root_id`. The
        /// cells get `inhibitory` (1, 0, or −1 if unknown), `type` and `layer` beside
        /// their ids.
        #[schemars(extend("format" = "path"))]
        cell_types: String = String::new(),
        /// Table of areas, such as `nucleus_functional_area_assignment`: columns `tag`,
        /// and `target_id` or `pt_root_id`. The cells get `area`.
        #[schemars(extend("format" = "path"))]
        areas: String = String::new(),
        /// Table of proofreading, such as `proofreading_status_and_strategy`: columns
        /// `status_axon`, and `pt_root_id` or `target_id`. The cells get `axon`: 1 if
        /// it was proofread, otherwise 0. Only from proofread axons does a missing synapse
        /// mean that a pair is not connected.
        #[schemars(extend("format" = "path"))]
        proofreading: String = String::new(),
        /// How several units of the same cell in a field are handled.
        repeats: Repeats = Repeats::First,
        /// Unit of the positions.
        unit: PositionUnit = PositionUnit::Voxel,
        /// Edge lengths of the voxels, for `unit = "voxel"` (nm).
        voxel_nm: [f64; 3] = [4.0, 4.0, 40.0],
    }
}

/// Fields from tables: the units of an imaged field, the positions of their cells,
/// and the number of synapses between cells, including autapses.
///
/// The connectome is in the order of the units in the table. Units without a cell
/// (`pt_root_id` 0) are skipped. Tables are read row by row, so memory is that of
/// the units and connected pairs. Ids are 64-bit integers.
pub struct Tables {
    params: Params,
    fields: Option<Vec<Field>>,
    /// Whether remarks on the joined fields were logged.
    remarked: bool,
}

impl Component for Tables {
    const ID: &'static str = "microns.tables";
    const ABOUT: &'static str = "fields from tables of coregistered units and synapses, as exported by CAVE";
    const CITE: &'static str = "MICrONS Consortium 2025; Dorkenwald et al. 2025 (CAVE)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        for edge in params.voxel_nm {
            one_of_range("voxel_nm", edge, 1e-3, 1e6)?;
        }
        let params = in_folder(params)?;
        Ok(Tables { params, fields: None, remarked: false })
    }
}

impl SubstrateSource for Tables {
    fn substrate(&mut self, seed: u64) -> Result<Substrate> {
        if self.params.joined {
            named(&self.params)?;
            let (mut substrate, remarks) = volume::substrate(&self.params)?;
            if !std::mem::replace(&mut self.remarked, true) {
                remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
            }
            substrate.notes.extend(remarks);
            return Ok(substrate);
        }
        if !self.params.functional.is_empty() {
            return Err(Error::input("parameter `functional` is set, but the fields are not joined")
                .help("set joined = true, or leave `functional` out"));
        }
        let fields = match self.fields.take() {
            Some(fields) => fields,
            None => read(&self.params)?,
        };
        let chosen = (seed % fields.len() as u64) as usize;
        let substrate = fields[chosen].substrate(&self.params).and_then(|mut substrate| {
            properties::add(&self.params, &fields[chosen].named(), &mut substrate)?;
            Ok(substrate)
        });
        self.fields = Some(fields);
        substrate
    }

    fn store(&mut self, substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
        store::write(substrate, folder)
    }
}
pallium_core::register!(SubstrateSource, Tables);

/// A unit of a field.
struct Unit {
    root: i64,
    unit: i64,
    target: Option<i64>,
    score: f64,
    position: [f64; 3],
}

/// The rows of a field.
struct Field {
    name: String,
    units: Vec<Unit>,
    /// Number of synapses by presynaptic and postsynaptic unit.
    synapses: BTreeMap<(u32, u32), u64>,
    without_cell: usize,
    repeated: usize,
    /// Rows of synapses whose id was already counted.
    repeated_synapses: u64,
    /// What readers must know before they use the field.
    remarks: Vec<String>,
}

impl Field {
    fn substrate(&self, params: &Params) -> Result<Substrate> {
        let n = self.units.len();
        let positions = Array2::from_shape_fn((n, 3), |(i, k)| self.units[i].position[k]);
        let mut substrate = Substrate {
            name: self.name.clone(),
            neurons: n,
            positions: Some(Positions::new(positions, position_unit(params))),
            frame_hz: Some(FRAME_HZ),
            ..Substrate::default()
        };
        let file = |path: &str| {
            Path::new(path)
                .file_name()
                .map_or_else(|| path.into(), |name| name.to_string_lossy().into_owned())
        };
        substrate.notes.push(format!("units: from {}", file(&params.coregistration)));
        if self.without_cell > 0 {
            substrate.notes.push(format!("units: {} without a cell skipped", self.without_cell));
        }
        if self.repeated > 0 {
            let how = match params.repeats {
                Repeats::BestScore => "the unit with the best score is kept",
                _ => "the first unit is kept",
            };
            substrate.notes.push(format!("units: {} repeated cells; {how}", self.repeated));
        }
        substrate.notes.extend(self.remarks.iter().cloned());
        if !params.synapses.is_empty() {
            let mut wiring = Array2::zeros((n, n));
            for (&(pre, post), &count) in &self.synapses {
                wiring[[pre as usize, post as usize]] = count as f64;
            }
            let total = wiring.sum();
            substrate.matrices.insert(Substrate::CONNECTOME.into(), wiring.into());
            substrate.notes.push(format!(
                "connectome: {total} synapses between these cells in {}",
                file(&params.synapses)
            ));
            if self.repeated_synapses > 0 {
                substrate.notes.push(format!(
                    "connectome: {} rows skipped, because their id was already counted",
                    self.repeated_synapses
                ));
            }
        }
        let ids = |of: fn(&Unit) -> i64| self.units.iter().map(of).collect::<Vec<i64>>().into();
        substrate.ids.insert("root".into(), ids(|unit| unit.root));
        substrate.ids.insert("unit".into(), ids(|unit| unit.unit));
        if let Some(target) = self.units.iter().map(|unit| unit.target).collect::<Option<Vec<i64>>>() {
            match refuse_repeats(Path::new(&params.coregistration), &target) {
                Ok(()) => drop(substrate.ids.insert("target".into(), target.into())),
                Err(_) => substrate.notes.push(
                    "ids: target_id is not used, because it is missing (0) or repeated for some of these cells".into(),
                ),
            }
        }
        Ok(substrate)
    }

    /// The units by the ids of their cells.
    fn named(&self) -> properties::Named {
        let units = || (0..).zip(&self.units);
        properties::Named {
            neurons: self.units.len(),
            of_root: units().map(|(at, unit)| (unit.root, at)).collect(),
            of_target: units().filter_map(|(at, unit)| Some((unit.target?, at))).collect(),
        }
    }
}

/// Names the tables of the folder.
fn in_folder(mut params: Params) -> Result<Params> {
    let Some(path) = params.path.clone() else { return Ok(params) };
    let folder = Path::new(&path);
    for (name, table, needed) in [
        ("units.csv", &mut params.coregistration, true),
        ("synapses.csv", &mut params.synapses, true),
        ("functional.csv", &mut params.functional, false),
    ] {
        let path = folder.join(name);
        if !table.is_empty() || (!needed && !path.exists()) || (name == "functional.csv" && !params.joined) {
            continue;
        }
        if !path.is_file() {
            return Err(Error::unsupported(format!("{} has no {name}", folder.display())).help(
                "`path` is a folder with units.csv and synapses.csv; or name each table: `coregistration`, `synapses` \
                 and `functional`",
            ));
        }
        *table = path.to_string_lossy().into_owned();
    }
    Ok(params)
}

/// Refuses parameters that name no table of units.
fn named(params: &Params) -> Result<()> {
    if params.coregistration.is_empty() {
        return Err(Error::input("`microns.tables`: parameter `coregistration` is not set").help(
            "set `coregistration` to the table of units and cells, and `synapses` to the table of synapses",
        ));
    }
    Ok(())
}

fn read(params: &Params) -> Result<Vec<Field>> {
    named(params)?;
    let (mut fields, others) = coregistration(params)?;
    for field in &mut fields {
        let positions: Vec<[f64; 3]> = field.units.iter().map(|unit| unit.position).collect();
        field.remarks.extend(implausible(&positions, params));
    }
    if !params.synapses.is_empty() {
        synapses::count(&PathBuf::from(&params.synapses), &params.count, &mut fields, &others)?;
    }
    for field in &fields {
        field.remarks.iter().for_each(|remark| tracing::warn!("field {}: {remark}", field.name));
    }
    Ok(fields)
}

/// Columns of positions.
enum PositionColumns {
    /// One column per axis.
    Split([usize; 3]),
    /// One column, as `[1, 2, 3]` or `[1 2 3]`.
    Joint(usize),
}

impl PositionColumns {
    fn find(header: &Header) -> Result<Self> {
        if let Some(column) = header.find("pt_position") {
            return Ok(PositionColumns::Joint(column));
        }
        let axis = |axis: &str| header.column(&format!("pt_position_{axis}"));
        Ok(PositionColumns::Split([axis("x")?, axis("y")?, axis("z")?]))
    }

    fn read(&self, rows: &Rows) -> Result<[f64; 3]> {
        match *self {
            PositionColumns::Split([x, y, z]) => Ok([
                rows.number(x, "pt_position_x")?,
                rows.number(y, "pt_position_y")?,
                rows.number(z, "pt_position_z")?,
            ]),
            PositionColumns::Joint(column) => {
                let text = rows.cell(column);
                bracketed(text).ok_or_else(|| {
                    rows.wrong(&format!("`{}` in column `pt_position` is not a position", shown(text)))
                        .help("three numbers in brackets are expected, such as [175232 133248 19834]")
                })
            }
        }
    }
}

/// Parses `[1, 2, 3]` or `[1 2 3]`.
fn bracketed(text: &[u8]) -> Option<[f64; 3]> {
    let inside = text.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let mut numbers =
        inside.split(|c| c.is_ascii_whitespace() || *c == b',').filter(|part| !part.is_empty()).map(number);
    let position = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(position)
}

/// Reads the requested fields, sorted by session, scan and field, and the root ids of
/// the others.
fn coregistration(params: &Params) -> Result<(Vec<Field>, BTreeSet<i64>)> {
    let path = PathBuf::from(&params.coregistration);
    let mut rows = Rows::open(&path)?;
    let header = rows.header()?;
    let [root, session, scan, field, unit] = ["pt_root_id", "session", "scan_idx", "field", "unit_id"];
    let columns = [root, session, scan, field, unit].map(|name| header.column(name));
    let [root_at, session_at, scan_at, field_at, unit_at] = columns;
    let (root_at, session_at, scan_at) = (root_at?, session_at?, scan_at?);
    let (field_at, unit_at) = (field_at?, unit_at?);
    let place = PositionColumns::find(&header)?;
    let target_at = header.find("target_id");
    let score_at = match params.repeats {
        Repeats::BestScore => Some(header.column("score")?),
        _ => None,
    };
    tracing::info!(target: PROGRESS, fraction = 0.0, "units and cells");
    let mut found: BTreeMap<(i64, i64, i64), Field> = BTreeMap::new();
    // Names of fields that are not requested.
    let mut others: BTreeSet<String> = BTreeSet::new();
    let mut other_roots: BTreeSet<i64> = BTreeSet::new();
    // Index of each cell within its field.
    let mut known: BTreeMap<((i64, i64, i64), i64), usize> = BTreeMap::new();
    // Cell of each unit.
    let mut units: BTreeMap<((i64, i64, i64), i64), i64> = BTreeMap::new();
    while rows.advance_under(&header)? {
        let key = (rows.id(session_at, session)?, rows.id(scan_at, scan)?, rows.id(field_at, field)?);
        let name = format!("{}_{}_{}", key.0, key.1, key.2);
        if !params.fields.is_empty() && !params.fields.contains(&name) {
            others.insert(name);
            other_roots.insert(rows.id(root_at, root)?);
            continue;
        }
        let field = found.entry(key).or_insert_with(|| Field {
            name,
            units: Vec::new(),
            synapses: BTreeMap::new(),
            without_cell: 0,
            repeated: 0,
            repeated_synapses: 0,
            remarks: Vec::new(),
        });
        let cell = rows.id(root_at, root)?;
        if cell == 0 {
            field.without_cell += 1;
            continue;
        }
        let read = Unit {
            root: cell,
            unit: rows.id(unit_at, unit)?,
            target: target_at.map(|at| rows.id(at, "target_id")).transpose()?,
            score: score_at.map_or(Ok(0.0), |at| rows.number(at, "score"))?,
            position: place.read(&rows)?,
        };
        if let Some(&at) = known.get(&(key, cell)) {
            if params.repeats == Repeats::Refuse {
                let first = field.units[at].unit;
                return Err(rows
                    .wrong(&format!(
                        "units {first} and {} of field {} are the same cell, {cell}",
                        read.unit, field.name
                    ))
                    .help("remove one from the table, or set repeats = \"first\" or \"best-score\""));
            }
            field.repeated += 1;
            if read.score > field.units[at].score {
                field.units[at] = read;
            }
            continue;
        }
        if field.units.len() == MOST_NEURONS {
            return Err(rows
                .wrong(&format!("field {} has more than {MOST_NEURONS} units", field.name))
                .help("is this the table of coregistered units?"));
        }
        if let Some(other) = units.insert((key, read.unit), cell) {
            return Err(rows
                .wrong(&format!(
                    "unit {} of field {} is cell {cell}, but {other} before",
                    read.unit, field.name
                ))
                .help("a unit is one cell: remove the row that is wrong"));
        }
        known.insert((key, cell), field.units.len());
        field.units.push(read);
    }
    let there: Vec<String> = found.values().map(|field| field.name.clone()).collect();
    if let Some(missing) = params.fields.iter().find(|name| !there.contains(name)) {
        let all: BTreeSet<String> = there.iter().cloned().chain(others).collect();
        let mut listed: Vec<String> = all.into_iter().take(FIELDS_LISTED + 1).collect();
        if listed.len() > FIELDS_LISTED {
            listed[FIELDS_LISTED] = "…".into();
        }
        let any = if listed.is_empty() { "none".into() } else { listed.join(", ") };
        return Err(Error::input(format!("{} has no units of field `{missing}`", path.display()))
            .help(format!("field names are <session>_<scan>_<field>, such as 6_6_2; found: {any}")));
    }
    found.retain(|_, field| !field.units.is_empty());
    if found.is_empty() {
        return Err(Error::input(format!("{} has no unit with a cell", path.display()))
            .help("is the table complete?"));
    }
    Ok((found.into_values().collect(), other_roots))
}

#[cfg(test)]
mod tests;
