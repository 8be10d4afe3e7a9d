//! Positions within the imaged plane: the centres of ROIs' masks.

use pallium_core::{ndarray::Array2, prelude::*};

use crate::hdf5::Column;
use crate::scan::Plane;

/// Micrometres per unit of a length in NWB.
fn unit_um(column: &Column) -> Result<f64> {
    match column.attribute("unit").as_deref() {
        // Meters unless said.
        None | Some("meters" | "meter" | "m") => Ok(1e6),
        Some("millimeters" | "mm") => Ok(1e3),
        Some("micrometers" | "microns" | "um" | "µm") => Ok(1.0),
        Some(other) => {
            Err(column.bad(format!("is in `{other}`")).help("meters, millimeters and micrometers are known"))
        }
    }
}

/// Positions of the ROIs in `rows` in µm, N×3: the centre of each one's mask,
/// pixels weighted as the mask says, in the plane's own coordinates; the third
/// is the same for all.
///
/// # Errors
/// If the table has no masks of the kind `image_mask`, a mask is empty, or the
/// plane does not say how wide a pixel is.
pub fn centres(plane: &Plane, rows: &[usize]) -> Result<Array2<f64>> {
    let masks = plane.table.column("image_mask")?.ok_or_else(|| {
        plane
            .table
            .bad("has no image masks")
            .help("positions = \"imaging\" needs the column `image_mask`; positions = \"none\" does without")
    })?;
    let &[count, _, width] = masks.shape()?.as_slice() else {
        return Err(masks.bad("does not have three axes").help("a mask an ROI is expected: ROI × x × y"));
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
            .help("the width and height of a pixel are expected, both positive"));
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
                .help("leave the ROI out with the parameter `rois`, or do without positions"));
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
