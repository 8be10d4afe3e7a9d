//! Detects events in fluorescence traces: steep rises.

/// A normal distribution's standard deviation is this many times its median
/// absolute deviation.
const SD_OF_MAD: f64 = 1.482_602_218_505_602;

/// Frames at which a trace rises steeply.
///
/// Let d be the differences of successive frames. The noise σ is estimated from
/// their median absolute deviation, which a few events do not affect (as
/// Quiroga, Nadasdy and Ben-Shaul 2004 do for voltages). A frame is an event if
/// d > max(median d, 0) + threshold·σ. Drifts and the unit of the trace do not
/// matter. A trace that is constant most of the time, such as a deconvolved one,
/// has σ = 0, so every rise is an event.
pub fn steep_rises(trace: impl IntoIterator<Item = f64>, threshold: f64) -> Vec<usize> {
    let mut trace = trace.into_iter();
    let Some(mut before) = trace.next() else { return Vec::new() };
    let rises: Vec<f64> = trace.map(|value| value - std::mem::replace(&mut before, value)).collect();
    let middle = median(rises.clone());
    let noise = SD_OF_MAD * median(rises.iter().map(|rise| (rise - middle).abs()).collect());
    let steep = middle.max(0.0) + threshold * noise;
    (1..).zip(&rises).filter(|(_, rise)| **rise > steep).map(|(frame, _)| frame).collect()
}

/// The median; 0 if there are no values.
fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if even { f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), *upper) } else { *upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_values() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn rises_beyond_the_noise_are_events() {
        assert!(steep_rises([], 3.0).is_empty());
        // Differences alternate between 0.1 and −0.1, with one of 5.
        let trace = (0..40).map(|k| f64::from(k % 2) * 0.1 + if k >= 21 { 5.0 } else { 0.0 });
        assert_eq!(steep_rises(trace, 3.0), [21]);
        // Constant most of the time: every rise is an event.
        let mut resting = [0.0; 30];
        resting[7] = 0.01;
        assert_eq!(steep_rises(resting, 3.0), [7]);
    }
}
