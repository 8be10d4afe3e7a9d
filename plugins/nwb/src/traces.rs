//! Traces of ROIs: reads them in pieces, and computes their correlation.

use pallium_core::{
    ndarray::{Array2, ArrayView1, Axis, linalg::general_mat_mul, s},
    prelude::*,
};

use crate::scan::{Plane, Series};

/// Bytes read at once.
const PIECE: usize = 1 << 26;
/// Maximum total size in bytes of the traces of all selected ROIs.
const MAX_BYTES: usize = 1 << 32;
/// Frames multiplied at once.
const FRAMES: usize = 2048;

/// Traces of some ROIs of a field.
#[derive(Debug)]
pub struct Traces {
    /// ROI × frame, in the unit of the file.
    pub values: Array2<f64>,
    /// Time of each frame (s), ascending.
    pub times: Vec<f64>,
}

impl Traces {
    /// Reads the traces of the ROIs in `rows` of the field's table, in that order.
    ///
    /// # Errors
    /// If an ROI has no trace, a value is not finite, or the parts of the series
    /// do not match.
    pub fn read(series: &Series, plane: &Plane, rows: &[usize]) -> Result<Traces> {
        let (frames, columns) = match *series.data.shape()?.as_slice() {
            [frames] => (frames, 1),
            [frames, columns] => (frames, columns),
            _ => {
                return Err(series
                    .data
                    .bad("does not have two axes")
                    .help("traces must be a matrix with one row per frame and one column per ROI"));
            }
        };
        let of_column = series.rois.integers()?;
        if of_column.len() != columns {
            let transposed = if of_column.len() == frames { "; it may be transposed" } else { "" };
            return Err(series
                .data
                .bad(format!("is {frames}×{columns}, but `rois` lists {} ROIs{transposed}", of_column.len()))
                .help("traces must be a matrix with one row per frame and one column per ROI"));
        }
        // Column of each row of the table.
        let mut column_of = vec![None; plane.rows()];
        for (column, &row) in of_column.iter().enumerate() {
            match usize::try_from(row).ok().and_then(|row| column_of.get_mut(row)) {
                Some(place) => *place = Some(column),
                None => {
                    return Err(series
                        .rois
                        .bad(format!("refers to row {row}, but the table has {} ROIs", plane.rows()))
                        .help("the file is damaged or was written incorrectly"));
                }
            }
        }
        let chosen =
            rows.iter()
                .map(|&row| {
                    column_of[row].ok_or_else(|| {
                        series.node.bad(format!("has no trace of ROI {}", plane.ids[row])).help(
                            "select other traces with the parameter `series`, or other ROIs with `rois`",
                        )
                    })
                })
                .collect::<Result<Vec<usize>>>()?;
        let times = times(series, frames)?;
        if frames.checked_mul(rows.len()).and_then(|all| all.checked_mul(8)).is_none_or(|b| b > MAX_BYTES) {
            return Err(series
                .data
                .bad(format!("has {frames} frames of {} ROIs, too many for memory", rows.len()))
                .help("select fewer ROIs with the parameter `rois`"));
        }

        let mut values = Array2::zeros((rows.len(), frames));
        // Read complete chunks, so that each is decompressed once.
        let per_chunk = series.data.rows_per_chunk();
        let most = (PIECE / (8 * columns.max(1))).max(1);
        let step = if per_chunk < most { most / per_chunk * per_chunk } else { most };
        let mut from = 0;
        while from < frames {
            let to = (from + step).min(frames);
            let piece = series.data.rows(from, to)?;
            if piece.len() != (to - from) * columns {
                return Err(series.data.bad("has fewer values than its shape requires"));
            }
            for (frame, row) in (from..to).zip(piece.chunks_exact(columns.max(1))) {
                for (roi, &column) in chosen.iter().enumerate() {
                    values[[roi, frame]] = row[column];
                }
            }
            from = to;
        }
        if let Some(((roi, frame), value)) = values.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(series
                .data
                .bad(format!("is {value} in frame {frame} for ROI {}", plane.ids[rows[roi]]))
                .help("exclude the ROI, or set `series` to traces without gaps"));
        }
        Ok(Traces { values, times })
    }

    /// Frames per second: the inverse of the median interval between frames. `None`
    /// if there are fewer than two frames, or the interval is 0.
    pub fn frame_hz(&self) -> Option<f64> {
        let mut steps: Vec<f64> = self.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let middle = steps.len() / 2;
        if steps.is_empty() {
            return None;
        }
        let (_, step, _) = steps.select_nth_unstable_by(middle, f64::total_cmp);
        Some(1.0 / *step).filter(|hz| hz.is_finite())
    }

    /// Pearson correlation of the traces, frame by frame, N×N, symmetric, 1 on
    /// the diagonal. A constant trace has correlation 0 with all others. The result
    /// does not depend on `threads`.
    pub fn correlation(&self, threads: usize) -> Array2<f64> {
        let (n, frames) = self.values.dim();
        // Scaled by powers of two, which is exact and prevents overflow.
        let units: Vec<f64> = self.values.rows().into_iter().map(unit).collect();
        let mean = |(row, unit): (ArrayView1<'_, f64>, &f64)| {
            // Exact for a constant trace, so that its deviations are 0.
            let constant = row.iter().all(|v| *v == row[0]);
            if constant { row[0] / unit } else { row.mapv(|v| v / unit).sum() / frames as f64 }
        };
        let means: Vec<f64> = self.values.rows().into_iter().zip(&units).map(mean).collect();
        let mut products = Array2::<f64>::zeros((n, n));
        let mut from = 0;
        while from < frames {
            let to = (from + FRAMES).min(frames);
            let mut part = self.values.slice(s![.., from..to]).to_owned();
            for (mut row, (unit, mean)) in part.axis_iter_mut(Axis(0)).zip(units.iter().zip(&means)) {
                row.mapv_inplace(|v| v / unit - mean);
            }
            // Every row belongs to one thread, so the order of sums is fixed.
            let each = n.div_ceil(threads.max(1)).max(1);
            std::thread::scope(|scope| {
                for (mut rows, left) in
                    products.axis_chunks_iter_mut(Axis(0), each).zip(part.axis_chunks_iter(Axis(0), each))
                {
                    let part = &part;
                    scope.spawn(move || general_mat_mul(1.0, &left, &part.t(), 1.0, &mut rows));
                }
            });
            from = to;
        }
        let scale: Vec<f64> = (0..n).map(|i| products[[i, i]].sqrt()).collect();
        Array2::from_shape_fn((n, n), |(i, j)| {
            // The same entry on both sides keeps the matrix symmetric.
            let (i, j) = (i.min(j), i.max(j));
            match scale[i] * scale[j] {
                _ if i == j => 1.0,
                0.0 => 0.0,
                scale => (products[[i, j]] / scale).clamp(-1.0, 1.0),
            }
        })
    }
}

/// The largest power of two not above the trace's maximum; 1 for a zero trace.
fn unit(trace: ArrayView1<'_, f64>) -> f64 {
    let largest = trace.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
    if largest > 0.0 { largest.log2().floor().exp2() } else { 1.0 }
}

/// Reads the time of each frame.
fn times(series: &Series, frames: usize) -> Result<Vec<f64>> {
    let (times, place) = match series.node.column("timestamps")? {
        Some(column) => (column.numbers()?, column),
        None => {
            let start = series.node.column("starting_time")?.ok_or_else(|| {
                series
                    .node
                    .bad("has neither `timestamps` nor `starting_time`")
                    .help("is the file complete and in NWB 2?")
            })?;
            let first = start.numbers()?.first().copied().unwrap_or(f64::NAN);
            let rate = start.attribute_number("rate").unwrap_or(f64::NAN);
            if !(first.is_finite() && rate.is_finite() && rate > 0.0) {
                return Err(start
                    .bad(format!("is {first} s with a rate of {rate} Hz"))
                    .help("it must be a time, with a positive number of frames per second"));
            }
            ((0..frames).map(|frame| first + frame as f64 / rate).collect(), start)
        }
    };
    if times.len() != frames {
        return Err(place
            .bad(format!("has {} times for {frames} frames", times.len()))
            .help("traces must be a matrix with one row per frame and one column per ROI"));
    }
    if let Some(frame) = times.iter().position(|time| !time.is_finite()) {
        return Err(place.bad(format!("is {} for frame {frame}", times[frame])));
    }
    if let Some(frame) = times.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(place
            .bad(format!(
                "does not ascend: {} s, then {} s, at frame {frame}",
                times[frame],
                times[frame + 1]
            ))
            .help("every frame must be later than the previous one"));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correlation(values: Array2<f64>) -> f64 {
        let times = (0..values.ncols()).map(|frame| frame as f64).collect();
        let correlation = Traces { values, times }.correlation(2);
        assert!(correlation.iter().all(|r| r.is_finite()), "{correlation}");
        correlation[[0, 1]]
    }

    #[test]
    fn the_unit_of_a_trace_does_not_matter() {
        let correlation_with = |units: [f64; 2]| {
            let value = |(roi, frame): (usize, usize)| ((frame * 7 + roi * frame) % 11) as f64 * units[roi];
            correlation(Array2::from_shape_fn((2, 50), value))
        };
        let plain = correlation_with([1.0, 1.0]);
        assert!(plain.abs() < 1.0);
        for units in [[1e307, 1.0], [1e-300, 1e300], [1e307, 1e307], [5e-324, 1.0]] {
            assert!((correlation_with(units) - plain).abs() < 1e-12, "{units:?}");
        }
    }

    #[test]
    fn constant_traces_have_correlation_0() {
        let constant = |level: f64| {
            correlation(Array2::from_shape_fn((2, 50), |(roi, f)| if roi == 0 { level } else { f as f64 }))
        };
        for level in [0.0, 1.0, -0.1, 1e300, f64::MAX] {
            assert_eq!(constant(level), 0.0, "{level}");
            assert_eq!(correlation(Array2::from_elem((2, 50), level)), 0.0, "{level}");
        }
    }
}
