//! The ROIs that become neurons, their ids, and their positions in the electron
//! microscopy volume.

use pallium_core::{ndarray::Array2, prelude::*};

use crate::scan::Plane;

pallium_core::choice! {
    /// The ROIs that become neurons.
    pub enum Rois {
        /// ROIs matched to a cell of the electron microscopy volume, which have
        /// a position in it.
        Matched = "matched",
        /// ROIs classified as somata (`mask_type`).
        Soma = "soma",
        /// All ROIs.
        All = "all",
    }
}

pallium_core::choice! {
    /// What happens to ROIs whose data are incomplete.
    pub enum Incomplete {
        /// They are left out; notes and log name them.
        LeaveOut = "leave-out",
        /// The field is refused.
        Refuse = "refuse",
    }
}

/// Positions in the volume of every ROI in voxels, NaN for unmatched ones. `None`
/// if the table has no such columns.
///
/// # Errors
/// If the table has only some of them.
pub fn structure(plane: &Plane) -> Result<Option<Array2<f64>>> {
    let mut voxels = Array2::from_elem((plane.rows(), 3), f64::NAN);
    let mut found = 0;
    for (mut axis, letter) in voxels.columns_mut().into_iter().zip(["x", "y", "z"]) {
        if let Some(values) = plane.numbers(&format!("pt_{letter}_position"))? {
            found += 1;
            axis.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        }
    }
    match found {
        3 => Ok(Some(voxels)),
        0 => Ok(None),
        _ => Err(plane
            .table
            .bad("has some of `pt_x_position`, `pt_y_position` and `pt_z_position`")
            .help("all three are needed: the file is incomplete")),
    }
}

/// The error for a field without positions in the volume, because `what`; the help
/// names only what this file has.
fn unmatched(plane: &Plane, what: &str) -> Error {
    let has = |name: &str| plane.table.column(name).is_ok_and(|column| column.is_some());
    let rois = if has("mask_type") { "soma" } else { "all" };
    plane
        .table
        .bad(format!("{what}: no ROI of this field was matched to the volume"))
        .help(format!("choose another field, or set rois = \"{rois}\" and {}", other(plane)))
}

/// The source of positions other than the volume that this file has, as parameters.
fn other(plane: &Plane) -> &'static str {
    let grid = || {
        let imaged = plane.table.group("imaging_plane").ok()??;
        imaged.column("grid_spacing").ok()?
    };
    let masks = plane.table.column("image_mask").is_ok_and(|column| column.is_some());
    match (masks, grid().is_some()) {
        (true, true) => "positions = \"imaging\"",
        (true, false) => {
            "positions = \"none\"; for positions in the image, set positions = \"imaging\" and the size of a pixel in µm, \
             pixel_um = [width, height]"
        }
        (false, _) => "positions = \"none\"",
    }
}

const NO_COLUMN: &str = "has no `pt_x_position`";
const NO_POSITION: &str = "has only NaN in `pt_x_position`, `pt_y_position` or `pt_z_position`";

/// Selects the rows of the table that become neurons.
///
/// # Errors
/// If there are none, or the table lacks the column that decides.
pub fn chosen(plane: &Plane, rois: Rois, voxels: Option<&Array2<f64>>) -> Result<Vec<usize>> {
    let rows: Vec<usize> = match rois {
        Rois::All => (0..plane.rows()).collect(),
        Rois::Matched => {
            let voxels = voxels.ok_or_else(|| unmatched(plane, NO_COLUMN))?;
            let matched = |row: &usize| voxels.row(*row).iter().all(|v| v.is_finite());
            let rows: Vec<usize> = (0..plane.rows()).filter(matched).collect();
            if rows.is_empty() {
                return Err(unmatched(plane, NO_POSITION));
            }
            rows
        }
        Rois::Soma => {
            let kinds = plane.texts("mask_type")?.ok_or_else(|| {
                plane.table.bad("has no `mask_type`").help("set rois = \"all\" or rois = \"matched\"")
            })?;
            (0..plane.rows()).filter(|&row| kinds[row] == "soma").collect()
        }
    };
    if rows.is_empty() {
        return Err(plane
            .table
            .bad(format!("has {} ROIs, but none of the requested kind", plane.rows()))
            .help("set the parameter `rois` to \"matched\", \"soma\" or \"all\""));
    }
    Ok(rows)
}

/// Positions of the ROIs in `rows` in the electron microscopy volume.
///
/// # Errors
/// If one has none.
pub fn in_volume(
    plane: &Plane,
    voxels: Option<&Array2<f64>>,
    rows: &[usize],
    unit_um: [f64; 3],
) -> Result<Positions> {
    let voxels = voxels.ok_or_else(|| unmatched(plane, NO_COLUMN))?;
    let values = voxels.select(pallium_core::ndarray::Axis(0), rows);
    let placed = |row: usize| values.row(row).iter().all(|v| v.is_finite());
    if let Some(at) = (0..rows.len()).find(|&row| !placed(row)) {
        if !(0..rows.len()).any(placed) {
            return Err(unmatched(plane, NO_POSITION));
        }
        return Err(plane.table.bad(format!("has no position for ROI {}", plane.ids[rows[at]])).help(
            format!(
                "set rois = \"matched\" for ROIs with a position, or positions = \"{}\" for all",
                other(plane)
            ),
        ));
    }
    Ok(Positions::new(values, unit_um))
}

/// Adds the numbers of the ROIs as ids `roi`; or, if they repeat, the rows of the
/// table as ids `row`.
pub fn roi_ids(plane: &Plane, rows: &[usize], field: &mut Substrate) {
    let ids: Vec<i64> = rows.iter().map(|&row| plane.ids[row]).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        None => field.ids.insert("roi".into(), ids.into()),
        Some(pair) => {
            field.notes.push(format!(
                "ids: several ROIs have the number {}, so rows of the table, from 0, are the ids `row`",
                pair[0]
            ));
            field.ids.insert("row".into(), rows.iter().map(|&row| row as i64).collect())
        }
    };
}

/// Reads the segmentation ids if they are stored as integers.
///
/// # Errors
/// If they cannot be read.
pub fn root_ids(plane: &Plane, rows: &[usize], field: &mut Substrate) -> Result<()> {
    let Some(column) = plane.table.column("pt_root_id")? else { return Ok(()) };
    if !column.is_integer() {
        field.notes.push(
            "ids: pt_root_id is not used, because this file stores it as floats, which round ids beyond 2^53; \
             take root ids from a coregistration table"
                .into(),
        );
        return Ok(());
    }
    let all = column.integers()?;
    if all.len() != plane.rows() {
        return Err(column.bad(format!("has {} entries for {} ROIs", all.len(), plane.rows())));
    }
    let root: Vec<i64> = rows.iter().map(|&row| all[row]).collect();
    let mut sorted = root.clone();
    sorted.sort_unstable();
    if sorted.first().is_some_and(|&id| id <= 0) || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        field.notes.push(
            "ids: pt_root_id is not used, because it is missing or repeated for some of these ROIs".into(),
        );
    } else {
        field.ids.insert("root".into(), root.into());
    }
    Ok(())
}
