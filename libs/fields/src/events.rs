//! Event times of neurons, in seconds: their checks, and lists cut at offsets.

use pallium_core::prelude::*;

use crate::timeline::slack;

/// Checks that event times are finite, ascending and within the recording; not
/// negative if the recording is unknown.
///
/// # Errors
/// If they are not; the message names the neuron and the event.
pub fn check_events(events: &[Vec<f64>], recording: Option<(f64, f64)>) -> Result<()> {
    for (neuron, times) in events.iter().enumerate() {
        let mut before = f64::NEG_INFINITY;
        for (event, &time) in times.iter().enumerate() {
            let wrong = |what: String| {
                Error::input(format!("event {event} of neuron {neuron} is at {time} s, {what}"))
            };
            if !time.is_finite() {
                return Err(wrong("which is not a time".into()).help("event times must be finite"));
            }
            if time < before {
                return Err(
                    wrong(format!("after one at {before} s")).help("event times of each neuron must ascend")
                );
            }
            match recording {
                None if time < 0.0 => {
                    return Err(wrong("and the start of the recording is not stated".into()).help(
                        "state start and end, recording = [begin, end] (s) in field.toml; or remove the event",
                    ));
                }
                Some((begin, end)) if !(begin - time).max(time - end).le(&slack(begin, end)) => {
                    return Err(wrong(format!("outside the recording, {begin} s to {end} s"))
                        .help("remove the event, or correct start and end of the recording"));
                }
                _ => before = time,
            }
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
