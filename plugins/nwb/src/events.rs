//! Event times: recorded in the file, or detected as steep rises of traces.

use pallium_core::prelude::*;
use pallium_fields::steep_rises::steep_rises;

use crate::hdf5::{Column, Node};
use crate::scan::Plane;
use crate::traces::Traces;

/// Names of columns of event times, in the table of ROIs or in `/units`.
const NAMES: [&str; 2] = ["spike_times", "event_times"];

/// Reads the event times of the ROIs in `rows`: a ragged column of the table of
/// ROIs, or of the table of units if that has the same number of rows.
///
/// # Errors
/// If the file has none, or they do not ascend.
pub fn recorded(root: &Node, plane: &Plane, rows: &[usize]) -> Result<Vec<Vec<f64>>> {
    let units = root.group("units")?;
    for table in [Some(&plane.table), units.as_ref()].into_iter().flatten() {
        for name in NAMES {
            let Some(column) = table.column(name)? else { continue };
            let ends = table.needed(&format!("{name}_index"))?;
            let events = ragged(&column, &ends)?;
            if events.len() != plane.rows() {
                return Err(column
                    .bad(format!("has {} units, but the field has {} ROIs", events.len(), plane.rows()))
                    .help("event times need one list per ROI"));
            }
            return rows.iter().map(|&row| ascending(&column, plane.ids[row], events[row].clone())).collect();
        }
    }
    Err(plane
        .table
        .bad("has no event times")
        .help("set events = \"detected\" to detect events as steep rises of the traces"))
}

fn ascending(column: &Column, roi: i64, times: Vec<f64>) -> Result<Vec<f64>> {
    let good = times.iter().all(|t| t.is_finite()) && times.windows(2).all(|p| p[0] <= p[1]);
    if good {
        return Ok(times);
    }
    Err(column
        .bad(format!("does not ascend for ROI {roi}"))
        .help("event times are finite numbers of seconds in ascending order; write them again sorted"))
}

/// Splits a ragged column into rows; `ends` holds the end of each row.
fn ragged(column: &Column, ends: &Column) -> Result<Vec<Vec<f64>>> {
    let (values, positions) = (column.numbers()?, ends.integers()?);
    let mut from = 0;
    let mut rows = Vec::with_capacity(positions.len());
    for &end in &positions {
        let row = usize::try_from(end).ok().and_then(|to| values.get(from..to));
        let Some(row) = row else {
            return Err(ends
                .bad(format!("has end {end} after {from}, but there are {} values", values.len()))
                .help("the file is damaged or was written incorrectly"));
        };
        rows.push(row.to_vec());
        from += row.len();
    }
    Ok(rows)
}

/// The times of the frames at which a trace rises steeply (see [`steep_rises`]).
pub fn detected(traces: &Traces, threshold: f64) -> Vec<Vec<f64>> {
    let times = |frames: Vec<usize>| frames.into_iter().map(|frame| traces.clock.times[frame]).collect();
    traces
        .values
        .rows()
        .into_iter()
        .map(|trace| times(steep_rises(trace.iter().copied(), threshold)))
        .collect()
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::Array2;

    use super::*;

    #[test]
    fn steep_rises_are_events_and_drifts_are_not() {
        let frames = 400;
        let times: Vec<f64> = (0..frames).map(|f| f as f64 / 10.0).collect();
        // Deterministic noise of ±1, a drift, and two transients.
        let wave = |f: usize| [0.0, 1.0, -0.5, 0.25, -1.0, 0.5, 0.75][f * f % 7] + 0.05 * f as f64;
        let transient = |f: usize, at: usize| if f < at { 0.0 } else { 20.0 * 0.9_f64.powi((f - at) as i32) };
        let trace = |f: usize| wave(f) + transient(f, 100) + transient(f, 250);
        let values = Array2::from_shape_fn((2, frames), |(roi, f)| match roi {
            0 => trace(f),
            _ => 1e6 * trace(f) - 3.0,
        });
        let events = detected(&Traces::of(values, times), 5.0);
        assert_eq!(events[0], [10.0, 25.0]);
        assert_eq!(events[0], events[1], "the unit does not matter");
    }

    #[test]
    fn every_rise_of_a_resting_trace_is_an_event() {
        let values = Array2::from_shape_fn((1, 20), |(_, f)| if f == 5 || f == 12 { 0.1 } else { 0.0 });
        let times = (0..20).map(f64::from).collect();
        assert_eq!(detected(&Traces::of(values, times), 3.0), [[5.0, 12.0]]);
    }
}
