//! `microns.tables`: reads fields from the tables of the MICrONS volume, as
//! exported by CAVE.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::{ndarray::Array2, prelude::*, tracing};

use pallium_fields::bins::FRAME_HZ;
use pallium_fields::rows::{Header, Rows, number, shown};
use pallium_fields::store;

/// Target of the log events that report progress.
const PROGRESS: &str = "progress";
/// Rows between two progress reports.
const REPORT_INTERVAL: u64 = 1 << 20;
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
        /// Table of coregistration (csv or csv.gz): columns `pt_root_id`,
        /// `session`, `scan_idx`, `field`, `unit_id`, and `pt_position` or
        /// `pt_position_x`, `_y`, `_z`; `target_id` and `score` are optional.
        coregistration: String = String::new(),
        /// Table of synapses (csv or csv.gz): columns `pre_pt_root_id` and
        /// `post_pt_root_id`. Without it, the field has no connectome.
        synapses: String = String::new(),
        /// Names of the fields, `<session>_<scan>_<field>`; all if empty. The
        /// seed selects one of them: seed modulo the number of fields, from 0.
        fields: Vec<String> = Vec::new(),
        /// How several units of the same cell in a field are handled.
        repeats: Repeats = Repeats::First,
        /// Edge lengths of the voxels that positions are in (nm).
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
        Ok(Tables { params, fields: None })
    }
}

impl SubstrateSource for Tables {
    fn substrate(&mut self, seed: u64) -> Result<Substrate> {
        let fields = match self.fields.take() {
            Some(fields) => fields,
            None => read(&self.params)?,
        };
        let chosen = (seed % fields.len() as u64) as usize;
        let substrate = fields[chosen].substrate(&self.params);
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
    synapses: BTreeMap<(u32, u32), u32>,
    without_cell: usize,
    repeated: usize,
}

impl Field {
    fn substrate(&self, params: &Params) -> Result<Substrate> {
        let n = self.units.len();
        let positions = Array2::from_shape_fn((n, 3), |(i, k)| self.units[i].position[k]);
        let mut substrate = Substrate {
            name: self.name.clone(),
            neurons: n,
            positions: Some(Positions::new(positions, params.voxel_nm.map(|nm| nm / 1e3))),
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
        if !params.synapses.is_empty() {
            let mut wiring = Array2::zeros((n, n));
            for (&(pre, post), &count) in &self.synapses {
                wiring[[pre as usize, post as usize]] = f64::from(count);
            }
            let total = wiring.sum();
            substrate.matrices.insert(Substrate::CONNECTOME.into(), wiring.into());
            substrate.notes.push(format!(
                "connectome: {total} synapses between these cells in {}",
                file(&params.synapses)
            ));
        }
        let ids = |of: fn(&Unit) -> i64| self.units.iter().map(of).collect::<Vec<i64>>().into();
        substrate.ids.insert("root".into(), ids(|unit| unit.root));
        substrate.ids.insert("unit".into(), ids(|unit| unit.unit));
        if let Some(target) = self.units.iter().map(|unit| unit.target).collect() {
            substrate.ids.insert("target".into(), target);
        }
        Ok(substrate)
    }
}

fn read(params: &Params) -> Result<Vec<Field>> {
    if params.coregistration.is_empty() {
        return Err(Error::input("`microns.tables`: parameter `coregistration` is not set").help(
            "set `coregistration` to the table of units and cells, and `synapses` to the table of synapses",
        ));
    }
    let mut fields = coregistration(params)?;
    if !params.synapses.is_empty() {
        synapses(&PathBuf::from(&params.synapses), &mut fields)?;
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

/// Reads the requested fields, sorted by session, scan and field.
fn coregistration(params: &Params) -> Result<Vec<Field>> {
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
    // Index of each cell within its field.
    let mut known: BTreeMap<((i64, i64, i64), i64), usize> = BTreeMap::new();
    while rows.advance_under(&header)? {
        let key = (rows.id(session_at, session)?, rows.id(scan_at, scan)?, rows.id(field_at, field)?);
        let name = format!("{}_{}_{}", key.0, key.1, key.2);
        if !params.fields.is_empty() && !params.fields.contains(&name) {
            continue;
        }
        let field = found.entry(key).or_insert_with(|| Field {
            name,
            units: Vec::new(),
            synapses: BTreeMap::new(),
            without_cell: 0,
            repeated: 0,
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
        known.insert((key, cell), field.units.len());
        field.units.push(read);
    }
    let there: Vec<String> = found.values().map(|field| field.name.clone()).collect();
    if let Some(missing) = params.fields.iter().find(|name| !there.contains(name)) {
        let any = if there.is_empty() { "none of those requested".into() } else { there.join(", ") };
        return Err(Error::input(format!("{} has no units of field `{missing}`", path.display()))
            .help(format!("field names are <session>_<scan>_<field>, such as 6_6_2; found: {any}")));
    }
    found.retain(|_, field| !field.units.is_empty());
    if found.is_empty() {
        return Err(Error::input(format!("{} has no unit with a cell", path.display()))
            .help("is the table complete?"));
    }
    Ok(found.into_values().collect())
}

/// Counts the synapses between cells of the same field.
fn synapses(path: &Path, fields: &mut [Field]) -> Result<()> {
    // Cell, field, unit; sorted for binary search.
    let mut cells: Vec<(i64, u32, u32)> = (0..)
        .zip(fields.iter())
        .flat_map(|(f, field)| (0..).zip(&field.units).map(move |(u, unit)| (unit.root, f, u)))
        .collect();
    cells.sort_unstable();
    let places = |id: i64| {
        let from = cells.partition_point(|cell| cell.0 < id);
        cells[from..].iter().take_while(move |cell| cell.0 == id)
    };
    let mut rows = Rows::open(path)?;
    let header = rows.header()?;
    let [pre_name, post_name] = ["pre_pt_root_id", "post_pt_root_id"];
    let (pre_at, post_at) = (header.column(pre_name)?, header.column(post_name)?);
    let mut count: u64 = 0;
    while rows.advance_under(&header)? {
        count += 1;
        if count.is_multiple_of(REPORT_INTERVAL) {
            // The length of the table is unknown, so this only approaches 1.
            let fraction = 1.0 - 1.0 / (1.0 + count as f64 / 1e7);
            tracing::info!(target: PROGRESS, fraction, "synapses");
        }
        let (pre, post) = (rows.id(pre_at, pre_name)?, rows.id(post_at, post_name)?);
        for &(_, f, i) in places(pre) {
            for &(_, _, j) in places(post).filter(|cell| cell.1 == f) {
                *fields[f as usize].synapses.entry((i, j)).or_insert(0) += 1;
            }
        }
    }
    tracing::info!(target: PROGRESS, fraction = 1.0, "synapses");
    Ok(())
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;
    use pallium_testing::Folder;

    const ROOT: i64 = 864_691_135_927_097_000;

    fn units(split: bool) -> String {
        let head = if split { "pt_position_x,pt_position_y,pt_position_z" } else { "pt_position" };
        let place = |x: u32| match (split, x % 2) {
            (true, _) => format!("{x},20,3.5"),
            (false, 0) => format!("\"[{x}, 20, 3.5]\""),
            (false, _) => format!("[ {x}  20 3.5]"),
        };
        let mut text = format!("id,session,scan_idx,unit_id,field,score,{head},pt_root_id,target_id\n");
        for (k, (session, field, root)) in
            [(6, 2, 1), (6, 2, 2), (5, 4, 2), (6, 2, 0), (6, 2, 1), (6, 2, 3), (5, 4, 3)]
                .into_iter()
                .enumerate()
        {
            let root = if root == 0 { 0 } else { ROOT + root };
            let k = k as u32;
            text += &format!("{k},{session},6,{},{field},{},{},{root},{}\n", 100 + k, k, place(k), 7 + k);
        }
        text
    }

    fn synapses() -> String {
        let pairs = [(1, 2), (1, 2), (2, 3), (3, 3), (9, 1), (1, 9), (3, 2)];
        let row = |(pre, post): (i64, i64)| format!("{},{},{}\n", ROOT + pre, ROOT + post, 10);
        "pre_pt_root_id,post_pt_root_id,size\n".to_owned() + &pairs.into_iter().map(row).collect::<String>()
    }

    fn build(folder: &Folder, units: &str, synapses: &str, change: impl FnOnce(&mut Params)) -> Tables {
        let text = |name: &str, text: &str| folder.file(name, text.as_bytes()).to_str().unwrap().to_owned();
        let mut params = Params {
            coregistration: text("units.csv", units),
            synapses: text("synapses.csv", synapses),
            ..Params::default()
        };
        change(&mut params);
        Tables::build(params, &Setting::default()).unwrap()
    }

    fn fields(units: &str, change: impl FnOnce(&mut Params)) -> Vec<Substrate> {
        let folder = Folder::new();
        let mut tables = build(&folder, units, &synapses(), change);
        (0..2).map(|seed| tables.substrate(seed).unwrap()).collect()
    }

    #[test]
    fn fields_come_out_of_tables() {
        for split in [true, false] {
            let fields = fields(&units(split), |_| {});
            let [five, six] = fields.as_slice() else { panic!() };
            assert_eq!((five.name.as_str(), six.name.as_str()), ("5_6_4", "6_6_2"));
            assert_eq!(*six.ids["root"], [ROOT + 1, ROOT + 2, ROOT + 3]);
            assert_eq!((&*six.ids["unit"], &*six.ids["target"]), (&[100, 101, 105][..], &[7, 8, 12][..]));
            let positions = six.positions.as_ref().unwrap();
            assert_eq!(positions.values.view(), array![[0.0, 20.0, 3.5], [1.0, 20.0, 3.5], [5.0, 20.0, 3.5]]);
            assert_eq!(positions.unit_um, [0.004, 0.004, 0.04]);
            assert_eq!(
                six.matrices["connectome"].view(),
                array![[0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]]
            );
            // The same cells also belong to another field.
            assert_eq!(*five.ids["root"], [ROOT + 2, ROOT + 3]);
            assert_eq!(five.matrices["connectome"].view(), array![[0.0, 1.0], [1.0, 1.0]]);
            assert!(six.notes.iter().any(|n| n.contains("1 without a cell")), "{:?}", six.notes);
            assert!(six.notes.iter().any(|n| n.contains("1 repeated cells")), "{:?}", six.notes);
            six.check().unwrap();
        }
        let one = fields(&units(true), |params| params.fields = vec!["6_6_2".into()]);
        assert_eq!((one[0].name.as_str(), one[1].name.as_str()), ("6_6_2", "6_6_2"));
        let best = fields(&units(true), |params| params.repeats = Repeats::BestScore);
        assert_eq!(*best[1].ids["unit"], [104, 101, 105]);
        let bare = fields(&units(true), |params| params.synapses.clear());
        assert!(bare[0].matrices.is_empty());
    }

    #[test]
    fn errors_in_a_table_name_the_line() {
        let folder = Folder::new();
        let (units, synapses) = (units(true), synapses());
        let refused = |units: &str, synapses: &str, change: fn(&mut Params), part: &str| {
            let error = build(&folder, units, synapses, change).substrate(0).unwrap_err();
            assert!(error.message.contains(part), "`{error}` does not contain `{part}`");
            assert!(error.kind == pallium_core::Kind::Input && error.help.is_some(), "{error}");
        };
        let nothing: fn(&mut Params) = |_| {};
        refused("", &synapses, nothing, "units.csv is empty");
        refused(&units.replace("scan_idx", "scan"), &synapses, nothing, "no column `scan_idx`");
        refused(&units.replace("pt_position_y", "y"), &synapses, nothing, "no column `pt_position_y`");
        let float = format!("{}.0", ROOT + 2);
        refused(
            &units.replace(&(ROOT + 2).to_string(), &float),
            &synapses,
            nothing,
            "units.csv, line 3: `86469113592709700",
        );
        refused(
            &units.replace("1,20,3.5", "1,20,"),
            &synapses,
            nothing,
            "line 3: column `pt_position_z` is empty",
        );
        refused(&units, &synapses.replace("size", "size,more"), nothing, "synapses.csv, line 2: 3 cells");
        refused(&units, &synapses.replace("post_pt", "pt"), nothing, "no column `post_pt_root_id`");
        refused(&units, &synapses, |p| p.fields = vec!["7_3_2".into()], "no units of field `7_3_2`");
        refused(
            &units,
            &synapses,
            |p| p.repeats = Repeats::Refuse,
            "line 6: units 100 and 104 of field 6_6_2 are the same cell",
        );
        refused(&units, &synapses, |p| p.coregistration = "nowhere.csv".into(), "nowhere.csv does not exist");
        refused(&units, &synapses, |p| p.coregistration.clear(), "`coregistration` is not set");
        let head: String = units.lines().take(1).map(|line| format!("{line}\n")).collect();
        refused(&head, &synapses, nothing, "no unit with a cell");
        let whole = super::tests::units(false);
        refused(
            &whole.replace("[ 1  20 3.5]", "[1 20]"),
            &synapses,
            nothing,
            "`[1 20]` in column `pt_position`",
        );
    }

    #[test]
    fn positions_in_brackets() {
        assert_eq!(bracketed(b"[1, 2, 3]"), Some([1.0, 2.0, 3.0]));
        assert_eq!(bracketed(b"[ 1  2.5\n 3e2 ]"), Some([1.0, 2.5, 300.0]));
        for text in ["1 2 3", "[1 2]", "[1 2 3 4]", "[a b c]", "[1 2 nan]", "[]", "", "[1 2 3"] {
            assert_eq!(bracketed(text.as_bytes()), None, "{text}");
        }
    }
}
