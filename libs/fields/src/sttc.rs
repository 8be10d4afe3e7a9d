//! The spike time tiling coefficient (STTC) of pairs of neurons, from event
//! times.
//!
//! It takes time in proportion to the number of coincidences, not of pairs.

use pallium_core::{ndarray::Array2, prelude::*};

use crate::parallel;
use crate::timeline::Timeline;

/// Coincidence window Δt in seconds of the released matrices. Its tiles are
/// 200 ms long, but events lie on frames of 158.7 ms and coincide only within
/// one frame, so fewer coincidences occur by chance than the tiles predict, and
/// the coefficient is biased negative. With Δt of half a frame, a tile is as
/// long as a frame.
pub const RELEASED_WINDOW_S: f64 = 0.1;

/// Spike time tiling coefficient of all pairs, N×N, symmetric, 1 on the
/// diagonal (Cutts and Eglen 2014, equation 4).
///
/// `events` are ascending times within the recording `timeline`, and `window` is
/// Δt, in seconds. Events coincide if they are at most Δt apart, inclusive. The
/// tiles ±Δt around events are clipped to the recording, and overlaps count
/// once. The coefficient of a neuron without events is undefined and set to 0.
/// The result does not depend on `threads`.
///
/// # Errors
/// If `window` is not positive.
pub fn sttc(events: &[Vec<f64>], window: f64, timeline: &Timeline, threads: usize) -> Result<Array2<f64>> {
    if !(window.is_finite() && window > 0.0) {
        return Err(Error::input(format!("the coincidence window is {window} s"))
            .help("it must be a positive number"));
    }
    let n = events.len();
    let length = timeline.length();
    let covered: Vec<f64> = events
        .iter()
        .map(|times| tiled(times.iter().map(|&time| timeline.since_begin(time)), window, length) / length)
        .collect();
    // Decided in the positions of the timeline, whose comparisons are exact.
    let reach = timeline.reach(window);

    // All events sorted by time, so that events near each other in time are
    // near each other in this list.
    let mut all: Vec<(f64, u32)> = events
        .iter()
        .zip(0_u32..)
        .flat_map(|(times, neuron)| times.iter().map(move |&t| (timeline.position(t), neuron)))
        .collect();
    // A stable sort is fast here, because each neuron's events are sorted.
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut places: Vec<Vec<u32>> = events.iter().map(|times| Vec::with_capacity(times.len())).collect();
    for (place, &(_, neuron)) in (0_u32..).zip(&all) {
        places[neuron as usize].push(place);
    }

    // near[b][a]: fraction of a's events within Δt of an event of b.
    let mut near = Array2::<f64>::zeros((n, n));
    parallel::for_each(near.outer_iter_mut().zip(&places), threads, |(mut counts, places)| {
        // First event not counted yet, because windows of b may overlap.
        let mut next = 0;
        for &place in places {
            let place = place as usize;
            let time = all[place].0;
            let mut first = place;
            while first > next && time - all[first - 1].0 <= reach {
                first -= 1;
            }
            next = first.max(next);
            while let Some(&(_, a)) = all.get(next).filter(|e| e.0 - time <= reach) {
                counts[a as usize] += 1.0;
                next += 1;
            }
        }
        for (count, times) in counts.iter_mut().zip(events).filter(|(count, _)| **count > 0.0) {
            *count /= times.len() as f64;
        }
    });

    let term = |p: f64, t: f64| {
        let rest = 1.0 - p * t;
        if rest == 0.0 { 1.0 } else { (p - t) / rest }
    };
    Ok(Array2::from_shape_fn((n, n), |(a, b)| {
        if a == b {
            1.0
        } else if events[a].is_empty() || events[b].is_empty() {
            0.0
        } else {
            // The same order of summands on both sides keeps the matrix symmetric.
            let (a, b) = (a.min(b), a.max(b));
            (0.5 * (term(near[[b, a]], covered[b]) + term(near[[a, b]], covered[a]))).clamp(-1.0, 1.0)
        }
    }))
}

/// Length of the union of the tiles ±`window` around `times` in 0..`length`.
fn tiled(times: impl Iterator<Item = f64>, window: f64, length: f64) -> f64 {
    let (mut total, mut reached) = (0.0, 0.0);
    for time in times {
        let (from, to) = ((time - window).max(reached), (time + window).min(length));
        if to > from {
            total += to - from;
            reached = to;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins::{BIN_S, FRAME_HZ, count_correlation};
    use crate::timeline::recorded;
    use pallium_npy as npy;
    use pallium_testing::real_field;

    fn largest_difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        assert_eq!(a.dim(), b.dim());
        a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn reproduces_the_released_matrices() {
        for field in ["5_3_8", "4_7_2", "5_3_4", "5_6_8"] {
            let Some(folder) = real_field(field) else { return };
            let events = npy::read_lists(&folder.join(format!("spikes_{field}.npy")), &npy::any).unwrap();
            let timeline = Timeline::new(&events, recorded(&events, None).0, Some(FRAME_HZ)).unwrap();
            let correlation = count_correlation(&events, BIN_S, &timeline, 2).unwrap();
            let released = npy::read_matrix(&folder.join("corr_matrix.npy"), &npy::any).unwrap();
            let off = largest_difference(&correlation, &released);
            assert!(off < 1e-12, "{field}: correlation off by {off}");
            let mut released = npy::read_matrix(&folder.join("sttc_matrix.npy"), &npy::any).unwrap();
            let n = released.nrows();
            for i in 0..n {
                for j in i + 1..n {
                    released[[i, j]] = released[[j, i]];
                }
            }
            let off = largest_difference(&sttc(&events, RELEASED_WINDOW_S, &timeline, 2).unwrap(), &released);
            assert!(off < 1e-10, "{field}: sttc off by {off}");
        }
    }

    /// From 0 to `end`, without frames.
    fn free(events: &[Vec<f64>], end: f64) -> Timeline {
        Timeline::new(events, (0.0, end), None).unwrap()
    }

    /// The definition, for one pair.
    fn sttc_by_definition(a: &[f64], b: &[f64], window: f64, end: f64) -> f64 {
        let near = |a: &[f64], b: &[f64]| {
            a.iter().filter(|x| b.iter().any(|y| (*x - y).abs() <= window)).count() as f64 / a.len() as f64
        };
        let steps = 200_000;
        let inside = |times: &[f64]| {
            let at = |k: usize| (k as f64 + 0.5) * end / f64::from(steps);
            (0..steps as usize).filter(|&k| times.iter().any(|t| (t - at(k)).abs() <= window)).count() as f64
                / f64::from(steps)
        };
        let (ta, tb, pa, pb) = (inside(a), inside(b), near(a, b), near(b, a));
        0.5 * ((pa - tb) / (1.0 - pa * tb) + (pb - ta) / (1.0 - pb * ta))
    }

    #[test]
    fn agrees_with_the_definition() {
        // Ties, overlapping tiles, tiles beyond both ends, exact distances.
        let events =
            vec![vec![0.0, 0.5, 0.625, 3.0, 9.9], vec![0.25, 0.875, 3.0, 3.0, 5.0], vec![2.75, 3.25, 10.0]];
        let (window, end) = (0.25, 10.1);
        let all = sttc(&events, window, &free(&events, end), 3).unwrap();
        for a in 0..3 {
            for b in 0..3 {
                let expected =
                    if a == b { 1.0 } else { sttc_by_definition(&events[a], &events[b], window, end) };
                assert!((all[[a, b]] - expected).abs() < 1e-4, "{a} {b}: {} {expected}", all[[a, b]]);
            }
        }
        assert_eq!(all, all.t());
    }

    #[test]
    fn correlation_and_sttc_equal_exact_rational_arithmetic() {
        // By fixtures/timelines.py: events on frames, rounded to 0.1 ms, between
        // frames and without frames; edges of bins and windows often among them.
        let cases = include_str!("../fixtures/timelines.txt").lines();
        let list = |text: &str| text.split(',').map(|time| time.parse().unwrap()).collect::<Vec<f64>>();
        let mut compared = 0;
        for line in cases {
            let parts: Vec<&str> = line.split(' ').collect();
            let number = |k: usize| parts[k].parse::<f64>().unwrap();
            let (hz, span, bin, window) = (number(0), (number(1), number(2)), number(3), number(4));
            let events = [list(parts[5]), list(parts[6])];
            let timeline = Timeline::new(&events, span, Some(hz).filter(|hz| *hz > 0.0)).unwrap();
            let r = count_correlation(&events, bin, &timeline, 1).unwrap()[[0, 1]];
            assert!((r - number(7)).abs() < 1e-12, "correlation {r}: {line}");
            let coefficient = sttc(&events, window, &timeline, 1).unwrap()[[0, 1]];
            assert!((coefficient - number(8)).abs() < 1e-11, "sttc {coefficient}: {line}");
            compared += 1;
        }
        assert_eq!(compared, 400);
    }

    #[test]
    fn silent_and_constant_neurons_are_unrelated_to_others() {
        let events = vec![vec![], vec![0.1, 0.3, 0.5], vec![0.3]];
        let all = sttc(&events, 0.1, &free(&events, 0.6), 1).unwrap();
        assert_eq!((all[[0, 0]], all[[0, 1]], all[[1, 0]]), (1.0, 0.0, 0.0));
        let all = count_correlation(&events, 0.2, &free(&events, 0.65), 1).unwrap();
        assert_eq!((all[[1, 1]], all[[1, 2]], all[[0, 2]]), (1.0, 0.0, 0.0));
        assert!(all.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn invalid_times_are_refused() {
        for (times, event) in [(vec![0.2, 0.1], 1), (vec![-1.0], 0), (vec![0.1, f64::NAN], 1), (vec![1.1], 0)]
        {
            let error = Timeline::new(&[vec![], times], (0.0, 1.0), None).unwrap_err();
            assert!(error.message.starts_with(&format!("event {event} of neuron 1")), "{error}");
            assert!(error.help.is_some(), "{error}");
        }
        let nothing = [vec![]];
        assert!(sttc(&nothing, 0.0, &free(&nothing, 1.0), 1).is_err());
        assert!(count_correlation(&nothing, 0.2, &free(&nothing, 0.3), 1).is_err());
    }
}
