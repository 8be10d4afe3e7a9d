//! Positions within the imaged plane: the centres of ROIs' masks.

use pallium_core::prelude::*;

use crate::hdf5::Column;
use crate::scan::Plane;

/// Micrometres per unit of a length column.
fn unit_um(column: &Column) -> Result<f64> {
    match column.attribute("unit").as_deref() {
        // The default of NWB is meters.
        None | Some("meters" | "meter" | "m") => Ok(1e6),
        Some("millimeters" | "mm") => Ok(1e3),
        Some("micrometers" | "microns" | "um" | "µm") => Ok(1.0),
        Some(other) => Err(column
            .bad(format!("is in `{other}`"))
            .help("supported units: meters, millimeters and micrometers")),
    }
}

/// Centres of the masks of the ROIs in `rows` in µm, weighted, in coordinates of
/// the imaging plane; the third is the same for all. `None` for an empty mask.
/// `pixel_um` is the width and height of a pixel, 0 if the file states them.
///
/// # Errors
/// If the table has no `image_mask`, or the size of a pixel is not known.
pub fn centres(plane: &Plane, rows: &[usize], pixel_um: [f64; 2]) -> Result<Vec<Option<[f64; 3]>>> {
    let masks = plane.table.column("image_mask")?.ok_or_else(|| {
        plane
            .table
            .bad("has no image masks")
            .help("positions = \"imaging\" needs the column `image_mask`; or set positions = \"none\"")
    })?;
    let &[count, _, width] = masks.shape()?.as_slice() else {
        return Err(masks.bad("does not have three axes").help("one mask per ROI is expected: ROI × x × y"));
    };
    if count != plane.rows() {
        return Err(masks.bad(format!("has {count} masks for {} ROIs", plane.rows())));
    }
    let imaged = plane.table.group("imaging_plane")?.ok_or_else(|| {
        plane
            .table
            .bad("does not name its imaging plane")
            .help("set positions = \"none\" to read the field without positions")
    })?;
    let step_um = match imaged.column("grid_spacing")? {
        _ if pixel_um.iter().all(|side| *side > 0.0) => pixel_um.to_vec(),
        Some(spacing) => {
            let step_um = scaled(&spacing)?;
            if step_um.len() < 2 || step_um.iter().any(|step| !(step.is_finite() && *step > 0.0)) {
                return Err(spacing.bad(format!("is {step_um:?} µm")).help(
                    "it must hold the width and height of a pixel, both positive; or set the parameter pixel_um",
                ));
            }
            step_um
        }
        None => {
            return Err(imaged.bad("has no `grid_spacing`, so the size of a pixel is not known").help(
                "set the parameter pixel_um = [width, height] in µm, or positions = \"none\" to read the field \
                 without positions",
            ));
        }
    };
    let mut origin_um = match imaged.column("origin_coords")? {
        Some(origin) => scaled(&origin)?,
        None => Vec::new(),
    };
    origin_um.resize(3, 0.0);
    if let Some(wrong) = origin_um.iter().find(|v| !v.is_finite()) {
        return Err(imaged.bad(format!("has {wrong} in `origin_coords`")));
    }

    let centre = |&row: &usize| {
        let mask = masks.rows(row, row + 1)?;
        let (mut total, mut x, mut y) = (0.0, 0.0, 0.0);
        for (line, weights) in mask.chunks_exact(width.max(1)).enumerate() {
            for (column, &weight) in weights.iter().enumerate() {
                total += weight;
                x += weight * line as f64;
                y += weight * column as f64;
            }
        }
        let usable = total.is_finite() && total > 0.0 && x.is_finite() && y.is_finite();
        Ok(usable.then(|| {
            [origin_um[0] + x / total * step_um[0], origin_um[1] + y / total * step_um[1], origin_um[2]]
        }))
    };
    rows.iter().map(centre).collect()
}

fn scaled(column: &Column) -> Result<Vec<f64>> {
    let unit = unit_um(column)?;
    Ok(column.numbers()?.into_iter().map(|v| v * unit).collect())
}
