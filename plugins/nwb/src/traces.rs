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

/// Largest distance of a time stamp from its frame, in frames, in a regular
/// recording.
const OFF_FRAME: f64 = 0.05;
/// Precision of time stamps (s), and their relative rounding.
const STAMP_S: f64 = 1e-9;
const ROUNDING: f64 = 8.0 * f64::EPSILON;
/// An interval between two frames of more than this many usual ones is a gap.
const GAP: f64 = 1.5;

/// Traces of some ROIs of a field.
#[derive(Debug)]
pub struct Traces {
    /// ROI × frame, in the unit of the file.
    pub values: Array2<f64>,
    /// Row of the field's table of each ROI.
    pub rows: Vec<usize>,
    /// When the frames were recorded.
    pub clock: Clock,
    /// Rows of the requested ROIs without a complete trace, and what is missing.
    pub incomplete: Vec<(usize, String)>,
}

/// Times of the frames of a series.
#[derive(Debug)]
pub struct Clock {
    /// Time of each frame (s), ascending.
    pub times: Vec<f64>,
    /// Frames per second, if the file states it.
    rate: Option<f64>,
}

impl Clock {
    /// Frames per second: the rate of the file; or of regular time stamps, their
    /// mean; or else the inverse of the median interval. A rate of time stamps is
    /// the simplest one within their precision, because bins and windows are counted
    /// in whole frames. `None` if there are fewer than two frames.
    pub fn frame_hz(&self) -> Option<f64> {
        if self.rate.is_some() {
            return self.rate;
        }
        let (first, last) = (*self.times.first()?, *self.times.last()?);
        if self.times.len() < 2 {
            return None;
        }
        let rounding = STAMP_S + ROUNDING * first.abs().max(last.abs());
        let mean = (self.times.len() - 1) as f64 / (last - first);
        let off = |(frame, time): (usize, &f64)| ((time - first) * mean - frame as f64).abs();
        let most = self.times.iter().enumerate().map(off).fold(0.0, f64::max);
        let hz = if most <= OFF_FRAME {
            simplest(mean, (rounding + 2.0 * most / mean) / (last - first))
        } else {
            let mut steps: Vec<f64> = self.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let middle = steps.len() / 2;
            let (_, step, _) = steps.select_nth_unstable_by(middle, f64::total_cmp);
            simplest(1.0 / *step, rounding / *step)
        };
        Some(hz).filter(|hz| hz.is_finite())
    }

    /// The longest time without frames, if some are missing: when it begins and
    /// ends (s), and the number of such gaps.
    pub fn gap(&self) -> Option<((f64, f64), usize)> {
        let step = 1.0 / self.frame_hz()?;
        let gaps = self.times.windows(2).filter(|pair| pair[1] - pair[0] > GAP * step);
        let longest = gaps.clone().max_by(|a, b| (a[1] - a[0]).total_cmp(&(b[1] - b[0])))?;
        Some(((longest[0], longest[1]), gaps.count()))
    }

    /// Begin and end of the recording (s): the last frame lasts as long as others. If
    /// the frames are regular, their number gives the end, so that 200 frames at 10 Hz
    /// are 20 s rather than a sum of rounded times.
    pub fn recording(&self) -> Option<(f64, f64)> {
        let (begin, last, hz) = (*self.times.first()?, *self.times.last()?, self.frame_hz()?);
        let (counted, summed) = (begin + self.times.len() as f64 / hz, last + 1.0 / hz);
        let rounding = STAMP_S + ROUNDING * begin.abs().max(last.abs());
        let end = if (counted - summed).abs() <= rounding { counted } else { summed };
        Some((begin, end)).filter(|(begin, end)| begin < end && end.is_finite())
    }
}

impl Traces {
    /// Reads the traces of the ROIs in `rows` of the field's table, in that order.
    /// ROIs without a trace, or with values that are not finite, are left out.
    ///
    /// # Errors
    /// If no ROI remains, or the parts of the series do not match.
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
                Some(Some(first)) => {
                    return Err(series
                        .rois
                        .bad(format!("refers to row {row} for columns {first} and {column}"))
                        .help("set `series` to traces in which every ROI has one column"));
                }
                Some(place) => *place = Some(column),
                None => {
                    return Err(series
                        .rois
                        .bad(format!("refers to row {row}, but the table has {} ROIs", plane.rows()))
                        .help("the file is damaged or was written incorrectly"));
                }
            }
        }
        let mut incomplete = Vec::new();
        let mut chosen: Vec<(usize, usize)> = Vec::new();
        for &row in rows {
            match column_of[row] {
                Some(column) => chosen.push((row, column)),
                None => incomplete.push((row, "no trace".to_owned())),
            }
        }
        if chosen.is_empty() {
            return Err(series
                .node
                .bad("has no trace of the selected ROIs")
                .help("select other traces with the parameter `series`, or other ROIs with `rois`"));
        }
        let clock = Clock::read(series, frames)?;
        if frames.checked_mul(chosen.len()).and_then(|all| all.checked_mul(8)).is_none_or(|b| b > MAX_BYTES) {
            return Err(series
                .data
                .bad(format!("has {frames} frames of {} ROIs, too many for memory", chosen.len()))
                .help("select fewer ROIs with the parameter `rois`"));
        }

        let mut values = Array2::zeros((chosen.len(), frames));
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
                for (roi, &(_, column)) in chosen.iter().enumerate() {
                    values[[roi, frame]] = row[column];
                }
            }
            from = to;
        }
        let mut complete = Vec::new();
        for (roi, trace) in values.rows().into_iter().enumerate() {
            let gaps = trace.iter().filter(|v| !v.is_finite()).count();
            match trace.iter().position(|v| !v.is_finite()) {
                None => complete.push(roi),
                Some(frame) => {
                    incomplete.push((
                        chosen[roi].0,
                        format!("{} in {gaps} frames from frame {frame}", trace[frame]),
                    ));
                }
            }
        }
        if complete.is_empty() {
            let (row, what) = incomplete.pop().unwrap_or_default();
            return Err(series
                .data
                .bad(format!("has no complete trace: ROI {} has {what}", plane.ids[row]))
                .help("set `series` to traces without gaps, or fill the gaps"));
        }
        if complete.len() < chosen.len() {
            values = values.select(Axis(0), &complete);
        }
        Ok(Traces {
            values,
            rows: complete.into_iter().map(|roi| chosen[roi].0).collect(),
            clock,
            incomplete,
        })
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

/// The rate with the fewest digits, or with an interval of the fewest digits, that
/// differs from `hz` by at most the relative `error`.
fn simplest(hz: f64, error: f64) -> f64 {
    let rounded = |value: f64, digits: usize| format!("{value:.digits$e}").parse().unwrap_or(value);
    let near = |other: &f64| (other - hz).abs() <= error * hz;
    (0..15).flat_map(|digits| [rounded(hz, digits), 1.0 / rounded(1.0 / hz, digits)]).find(near).unwrap_or(hz)
}

/// The largest power of two not above the trace's maximum; 1 for a zero trace.
fn unit(trace: ArrayView1<'_, f64>) -> f64 {
    let largest = trace.iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
    if largest > 0.0 { largest.log2().floor().exp2() } else { 1.0 }
}

impl Clock {
    /// Reads the times of a series of `frames` frames.
    ///
    /// # Errors
    /// If there are none, or they do not ascend.
    pub fn read(series: &Series, frames: usize) -> Result<Clock> {
        let (times, rate, place) = match series.node.column("timestamps")? {
            Some(column) => (column.numbers()?, None, column),
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
                ((0..frames).map(|frame| first + frame as f64 / rate).collect(), Some(rate), start)
            }
        };
        if times.len() != frames {
            return Err(place
                .bad(format!("has {} times for {frames} frames", times.len()))
                .help("traces must be a matrix with one row per frame and one column per ROI"));
        }
        if let Some(frame) = times.iter().position(|time| !time.is_finite()) {
            return Err(place
                .bad(format!("is {} for frame {frame}", times[frame]))
                .help("write a time for every frame, or leave the frame out of the traces"));
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
        Ok(Clock { times, rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Traces {
        /// Traces without a file.
        pub fn of(values: Array2<f64>, times: Vec<f64>) -> Self {
            let rows = (0..values.nrows()).collect();
            Traces { values, rows, clock: Clock { times, rate: None }, incomplete: Vec::new() }
        }
    }

    #[test]
    fn regular_time_stamps_have_the_rate_of_all_of_them() {
        let clock = |times: Vec<f64>| Clock { times, rate: None };
        // Time stamps to a tenth of a millisecond: single intervals are rounded.
        let rounded = |k: i32| (f64::from(k) / 6.3009 * 1e4).round() / 1e4;
        let hz = clock((0..60_000).map(rounded).collect()).frame_hz().unwrap();
        assert!((hz - 6.3009).abs() < 1e-7, "{hz}");
        // With a pause the mean is not the rate.
        let paused = clock((0..100).map(|k| f64::from(if k < 50 { k } else { k + 900 }) / 10.0).collect());
        assert!((paused.frame_hz().unwrap() - 10.0).abs() < 1e-9);
        let recording = clock((0..50).map(|k| f64::from(k) / 10.0 - 2.0).collect()).recording().unwrap();
        assert!(recording.0 == -2.0 && (recording.1 - 3.0).abs() < 1e-12, "{recording:?}");
        assert_eq!(clock(vec![1.0]).recording(), None);
        // A sum of times would end at 14.999999999999998 s.
        let times = (0..200).map(|k| -5.0 + f64::from(k) / 10.0).collect();
        assert_eq!(Clock { times, rate: Some(10.0) }.recording(), Some((-5.0, 15.0)));
        // Time stamps in milliseconds end a frame after the last of them.
        let stamps: Vec<f64> = (0..101).map(|k| (f64::from(k) / 30.0 * 1e3).round() / 1e3).collect();
        let (last, hz) = (stamps[100], clock(stamps.clone()).frame_hz().unwrap());
        assert_eq!(clock(stamps).recording(), Some((0.0, last + 1.0 / hz)));
    }

    #[test]
    fn regular_time_stamps_far_from_zero_have_a_rate_that_counts_whole_frames() {
        for hz in [10.0, 6.3, 29.97, 20.0 / 3.0, 30.0, 1.0 / 0.15, 500.0] {
            for first in [0.0, 0.123, 86_400.7, -5.0, 1.7e9] {
                let times: Vec<f64> = (0..200).map(|k| first + f64::from(k) / hz).collect();
                let found = Clock { times, rate: None }.frame_hz().unwrap();
                assert!((found / hz - 1.0).abs() < 4.0 * f64::EPSILON, "{hz} Hz from {first} s: {found}");
            }
        }
        // A rate that no short number describes stays as it is.
        let odd = 12.345_678_912;
        let times = (0..200_000).map(|k| f64::from(k) / odd).collect();
        let found = Clock { times, rate: None }.frame_hz().unwrap();
        assert!((found / odd - 1.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn missing_frames_are_found() {
        let clock = |missing: std::ops::Range<i32>| {
            let times = (0..100).filter(|k| !missing.contains(k)).map(|k| f64::from(k) / 10.0).collect();
            Clock { times, rate: None }
        };
        assert_eq!(clock(0..0).gap(), None);
        let clock = clock(50..60);
        assert_eq!((clock.gap(), clock.frame_hz()), (Some(((4.9, 6.0), 1)), Some(10.0)));
    }

    fn correlation(values: Array2<f64>) -> f64 {
        let times = (0..values.ncols()).map(|frame| frame as f64).collect();
        let correlation = Traces::of(values, times).correlation(2);
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
