//! Positions within the imaged plane: the centres of ROIs' masks.

use pallium_core::{ndarray::Array2, prelude::*};

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

/// Positions of the ROIs in `rows` in µm, N×3: the weighted centres of their
/// masks, in coordinates of the imaging plane; the third is the same for all.
///
/// # Errors
/// If the table has no `image_mask`, a mask is empty, or the plane does not state
/// the size of a pixel.
pub fn centres(plane: &Plane, rows: &[usize]) -> Result<Array2<f64>> {
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
        plane.table.bad("does not name its imaging plane").help("is the file complete, and in NWB 2?")
    })?;
    let spacing = imaged.needed("grid_spacing")?;
    let step_um: Vec<f64> = scaled(&spacing)?;
    if step_um.len() < 2 || step_um.iter().any(|step| !(step.is_finite() && *step > 0.0)) {
        return Err(spacing
            .bad(format!("is {step_um:?} µm"))
            .help("it must hold the width and height of a pixel, both positive"));
    }
    let mut origin_um = match imaged.column("origin_coords")? {
        Some(origin) => scaled(&origin)?,
        None => Vec::new(),
    };
    origin_um.resize(3, 0.0);
    if let Some(wrong) = origin_um.iter().find(|v| !v.is_finite()) {
        return Err(imaged.bad(format!("has {wrong} in `origin_coords`")));
    }

    let mut centres = Array2::zeros((rows.len(), 3));
    for (mut centre, &row) in centres.rows_mut().into_iter().zip(rows) {
        let mask = masks.rows(row, row + 1)?;
        let (mut total, mut x, mut y) = (0.0, 0.0, 0.0);
        for (line, weights) in mask.chunks_exact(width.max(1)).enumerate() {
            for (column, &weight) in weights.iter().enumerate() {
                total += weight;
                x += weight * line as f64;
                y += weight * column as f64;
            }
        }
        if !(total.is_finite() && total > 0.0 && x.is_finite() && y.is_finite()) {
            return Err(masks
                .bad(format!("is empty for ROI {}", plane.ids[row]))
                .help("exclude the ROI with the parameter `rois`, or set positions = \"none\""));
        }
        centre[0] = origin_um[0] + x / total * step_um[0];
        centre[1] = origin_um[1] + y / total * step_um[1];
        centre[2] = origin_um[2];
    }
    Ok(centres)
}

fn scaled(column: &Column) -> Result<Vec<f64>> {
    let unit = unit_um(column)?;
    Ok(column.numbers()?.into_iter().map(|v| v * unit).collect())
}
