//! Event times of neurons, in seconds: their checks, the recording's end, and
//! lists cut at offsets.

use pallium_core::prelude::*;

/// The end of a recording in seconds: 0.1 s after the last event of any neuron.
pub fn recorded_until(events: &[Vec<f64>]) -> f64 {
    events.iter().filter_map(|times| times.last()).fold(0.0, |end: f64, &t| end.max(t)) + 0.1
}

/// Checks that event times are finite, not negative and ascending.
///
/// # Errors
/// If they are not; the message names the neuron and the event.
pub fn check_events(events: &[Vec<f64>]) -> Result<()> {
    for (neuron, times) in events.iter().enumerate() {
        let mut before = 0.0;
        for (event, &time) in times.iter().enumerate() {
            if !time.is_finite() || time < before {
                return Err(Error::input(format!(
                    "event {event} of neuron {neuron} is at {time} s, after one at {before} s"
                ))
                .help("event times must be finite, at least 0, and ascending"));
            }
            before = time;
        }
    }
    Ok(())
}

/// Cuts `times` at `offsets` into one list per neuron: N + 1 offsets, which
/// ascend from 0 to the number of times. `None` if they do not.
pub(crate) fn split_at_offsets(times: &[f64], offsets: &[i64]) -> Option<Vec<Vec<f64>>> {
    let offsets: Vec<usize> = offsets.iter().map(|&o| usize::try_from(o).ok()).collect::<Option<_>>()?;
    if offsets.first() != Some(&0) || offsets.last() != Some(&times.len()) {
        return None;
    }
    offsets.windows(2).map(|pair| Some(times.get(pair[0]..pair[1])?.to_vec())).collect()
}
