//! The unit of positions, and whether they can be in it. Tables do not state it: CAVE
//! exports voxels, nanometres or micrometres, depending on the call.

use super::Params;

/// Largest distance of a cell from the origin along an axis (µm): the volume ends
/// at 1.7 mm.
const FARTHEST_UM: f64 = 3_000.0;
/// Smallest such distance (µm) of the cell that is farthest: the volume begins at 0.6 mm
/// along z.
const NEAREST_UM: f64 = 400.0;
/// No volume is so small (µm).
const TINY_UM: f64 = 100.0;

pallium_core::choice! {
    /// Unit of positions.
    pub enum PositionUnit {
        /// Voxels, with edges `voxel_nm`.
        Voxel = "voxel",
        /// Nanometres.
        Nm = "nm",
        /// Micrometres.
        Um = "um",
    }
}

impl PositionUnit {
    /// Its name, and the value of the parameter.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            PositionUnit::Voxel => ("voxels", "voxel"),
            PositionUnit::Nm => ("nanometres", "nm"),
            PositionUnit::Um => ("micrometres", "um"),
        }
    }

    /// Micrometres in one of them, along each axis.
    fn um(&self, voxel_nm: [f64; 3]) -> [f64; 3] {
        match self {
            PositionUnit::Voxel => voxel_nm.map(|nm| nm / 1e3),
            PositionUnit::Nm => [1e-3; 3],
            PositionUnit::Um => [1.0; 3],
        }
    }
}

/// Micrometres in a unit of position.
pub(super) fn position_unit(params: &Params) -> [f64; 3] {
    params.unit.um(params.voxel_nm)
}

/// A remark if `positions` are probably in another unit than that of `params`.
pub(super) fn implausible(positions: &[[f64; 3]], params: &Params) -> Option<String> {
    let all = |edges: [f64; 3]| positions.iter().flat_map(move |at| at.iter().copied().zip(edges));
    let farthest = |unit: &PositionUnit| {
        all(unit.um(params.voxel_nm)).map(|(at, um)| (at * um).abs()).fold(0.0, f64::max)
    };
    let plausible = |unit: &PositionUnit| (NEAREST_UM..=FARTHEST_UM).contains(&farthest(unit));
    let (unit, far) = (params.unit.names().0, farthest(&params.unit));
    let others = [PositionUnit::Voxel, PositionUnit::Nm, PositionUnit::Um];
    let mut others: Vec<_> = others
        .iter()
        .filter(|other| **other != params.unit && plausible(other))
        .map(PositionUnit::names)
        .collect();
    let why = if far > FARTHEST_UM {
        format!("in {unit} the farthest cell would be {far:.0} µm from the origin")
    } else if far < TINY_UM || (far < NEAREST_UM && !others.is_empty()) {
        format!("in {unit} all cells would be within {far:.1} µm of the origin")
    } else if on_edges(positions, params) {
        others = vec![PositionUnit::Nm.names()];
        "every one is a multiple of the voxel's edges".into()
    } else {
        return None;
    };
    if others.is_empty() {
        return Some(format!(
            "positions: these are implausible, because {why}; set `unit` to voxel, nm or um (--param unit=…), and \
             voxel_nm if voxels are not of 4×4×40 nm"
        ));
    }
    let either =
        |of: &dyn Fn(&(&str, &str)) -> String| others.iter().map(of).collect::<Vec<_>>().join(" or ");
    Some(format!(
        "positions: these look like {} instead of {unit}, because {why}; set {} ({}) if they are",
        either(&|(name, _)| (*name).to_owned()),
        either(&|(_, value)| format!("unit = \"{value}\"")),
        either(&|(_, value)| format!("--param unit={value}"))
    ))
}

/// Whether positions in voxels are all multiples of the voxel's edges, as positions in
/// nanometres are; by chance one in 640 positions in voxels of 4×4×40 nm is.
fn on_edges(positions: &[[f64; 3]], params: &Params) -> bool {
    params.unit == PositionUnit::Voxel
        && positions.len() > 1
        && params.voxel_nm.iter().any(|edge| *edge > 1.0)
        && positions.iter().all(|at| at.iter().zip(params.voxel_nm).all(|(at, edge)| at % edge == 0.0))
}
