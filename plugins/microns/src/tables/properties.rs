//! Properties of cells from tables of cell types, areas and proofreading: numbers beside
//! the cells' ids, −1 where a table does not know a cell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pallium_core::prelude::*;
use pallium_fields::rows::{Header, Rows, shown};

use super::Params;

/// The neurons of a substrate by the ids that tables name.
pub(super) struct Named {
    pub(super) neurons: usize,
    pub(super) of_root: BTreeMap<i64, u32>,
    /// By the id of their nucleus, if it is known.
    pub(super) of_target: BTreeMap<i64, u32>,
}

/// The columns of a table that name cells.
struct Keys {
    target: Option<usize>,
    root: Option<usize>,
}

impl Keys {
    /// # Errors
    /// If the table names no cells.
    fn find(header: &Header) -> Result<Self> {
        let (target, root) = (header.find("target_id"), header.find("pt_root_id"));
        match (target, root) {
            (None, None) => Err(header.column("pt_root_id").err().unwrap_or_else(|| Error::bug("a column"))),
            _ => Ok(Keys { target, root }),
        }
    }

    /// The neuron of the current row. Root ids change between versions of the
    /// segmentation, so the nucleus is asked first.
    fn neuron(&self, rows: &Rows, named: &Named) -> Result<Option<usize>> {
        let look = |at: Option<usize>, name: &str, of: &BTreeMap<i64, u32>| match at {
            Some(at) if !of.is_empty() && !rows.cell(at).is_empty() => {
                rows.id(at, name).map(|id| of.get(&id).filter(|_| id != 0).copied())
            }
            _ => Ok(None),
        };
        let by_target = look(self.target, "target_id", &named.of_target)?;
        let by_root = look(self.root, "pt_root_id", &named.of_root)?;
        Ok(by_target.or(by_root).map(|neuron| neuron as usize))
    }
}

/// Adds the properties that the tables of `params` know to the substrate's ids.
pub(super) fn add(params: &Params, named: &Named, substrate: &mut Substrate) -> Result<()> {
    if !params.cell_types.is_empty() {
        cell_types(Path::new(&params.cell_types), named, substrate)?;
    }
    if !params.areas.is_empty() {
        areas(Path::new(&params.areas), named, substrate)?;
    }
    if !params.proofreading.is_empty() {
        proofreading(Path::new(&params.proofreading), named, substrate)?;
    }
    Ok(())
}

/// Excitatory or inhibitory, type and layer.
fn cell_types(path: &Path, named: &Named, substrate: &mut Substrate) -> Result<()> {
    let mut rows = Rows::open(path)?;
    let header = rows.header()?;
    let keys = Keys::find(&header)?;
    let class_at = header.column("classification_system")?;
    let type_at = header.column("cell_type")?;
    let mut inhibitory = vec![-1; named.neurons];
    let mut types = vec![None; named.neurons];
    let mut layers = vec![-1; named.neurons];
    while rows.advance_under(&header)? {
        let Some(neuron) = keys.neuron(&rows, named)? else { continue };
        let kind = shown(rows.cell(type_at));
        let class = shown(rows.cell(class_at));
        // `excitatory_neuron`, `aibs_coarse_inhibitory`, `nonneuron`, ….
        inhibitory[neuron] = match class.as_str() {
            class if class.contains("inhibitory") => 1,
            class if class.contains("excitatory") => 0,
            _ => -1,
        };
        layers[neuron] = match kind.as_bytes() {
            [b'2', b'3', b'P', ..] => 23,
            [layer @ b'4'..=b'6', b'P', ..] => i64::from(layer - b'0'),
            _ => -1,
        };
        types[neuron] = (!kind.is_empty()).then_some(kind);
    }
    let count = |value: i64| inhibitory.iter().filter(|&&of| of == value).count();
    let (inhibits, excites) = (count(1), count(0));
    placed(path, types.iter().flatten().count())?;
    substrate.notes.push(format!(
        "cells: {excites} excitatory and {inhibits} inhibitory of {}, the others are unknown",
        named.neurons
    ));
    codes("type", &types, substrate);
    substrate.ids.insert("inhibitory".into(), inhibitory.into());
    substrate.ids.insert("layer".into(), layers.into());
    Ok(())
}

fn areas(path: &Path, named: &Named, substrate: &mut Substrate) -> Result<()> {
    let mut rows = Rows::open(path)?;
    let header = rows.header()?;
    let keys = Keys::find(&header)?;
    let tag_at = header.column("tag")?;
    let mut areas = vec![None; named.neurons];
    while rows.advance_under(&header)? {
        if let Some(neuron) = keys.neuron(&rows, named)? {
            areas[neuron] = Some(shown(rows.cell(tag_at))).filter(|tag| !tag.is_empty());
        }
    }
    placed(path, areas.iter().flatten().count())?;
    codes("area", &areas, substrate);
    Ok(())
}

/// Whether the axon of a cell was proofread: only then is a pair without a synapse
/// known to be unconnected.
fn proofreading(path: &Path, named: &Named, substrate: &mut Substrate) -> Result<()> {
    let mut rows = Rows::open(path)?;
    let header = rows.header()?;
    let keys = Keys::find(&header)?;
    let axon_at = header.column("status_axon")?;
    let mut axons = vec![0_i64; named.neurons];
    let mut listed = 0;
    while rows.advance_under(&header)? {
        let Some(neuron) = keys.neuron(&rows, named)? else { continue };
        listed += 1;
        let text = rows.cell(axon_at);
        axons[neuron] = match text.to_ascii_lowercase().as_slice() {
            b"t" | b"true" | b"1" => 1,
            b"f" | b"false" | b"0" | b"" => 0,
            _ => {
                return Err(rows
                    .wrong(&format!("`{}` in column `status_axon` is not true or false", shown(text)))
                    .help("t and f, True and False, or 1 and 0 are expected"));
            }
        };
    }
    placed(path, listed)?;
    let proofread = axons.iter().filter(|&&axon| axon == 1).count();
    substrate.notes.push(format!(
        "connectome: {proofread} of {} axons were proofread; of the others, synapses may be missing",
        named.neurons
    ));
    substrate.ids.insert("axon".into(), axons.into());
    Ok(())
}

/// Refuses a table that knows none of the cells.
fn placed(path: &Path, cells: usize) -> Result<()> {
    if cells > 0 {
        return Ok(());
    }
    Err(Error::input(format!("{} names none of the cells", path.display())).help(
        "its column `target_id` or `pt_root_id` must have ids of the same version of the segmentation as the table \
         of coregistration",
    ))
}

/// Adds names as numbers, in alphabetical order, with a note of what they mean.
fn codes(property: &str, names: &[Option<String>], substrate: &mut Substrate) {
    let all: BTreeSet<&String> = names.iter().flatten().collect();
    let code = |name: &String| all.range::<String, _>(..name).count() as i64;
    let of = names.iter().map(|name| name.as_ref().map_or(-1, code)).collect::<Vec<i64>>();
    let parts: Vec<String> = (0..)
        .zip(&all)
        .map(|(code, name): (i64, _)| {
            let cells = of.iter().filter(|&&of| of == code).count();
            format!("{code} is {name} ({cells})")
        })
        .collect();
    let unknown = of.iter().filter(|&&of| of < 0).count();
    substrate.notes.push(format!("cells: {property} {}; {unknown} unknown", parts.join(", ")));
    substrate.ids.insert(property.into(), of.into());
}
