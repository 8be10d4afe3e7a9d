//! Times of a recording: when it begins and ends, on which frames its events lie,
//! and on which side of an edge a time is.
//!
//! A time in a file is a rounded number, so whether it reaches an edge (of a bin,
//! of a coincidence window) cannot be decided by comparing floats: at 5 Hz, frame
//! 3 is at 0.6 s, and 0.6 / 0.2 < 3. Where events lie on frames, the decision is
//! made in whole frames; elsewhere a time within `Timeline::slack` of an edge
//! counts as on it. For times with up to eight decimals both equal exact
//! arithmetic with the decimals in the file.

use pallium_core::prelude::*;

use crate::events::check_events;

/// Largest distance between an event and its frame, in frames. Times in single
/// precision or rounded to a tenth of a millisecond stay well below.
const OFF_FRAME: f64 = 0.05;
/// Times closer to each other than this (s) count as equal.
const SLACK_S: f64 = 1e-9;
/// Relative error of a quotient of rounded numbers, generously.
const ROUNDING: f64 = 8.0 * f64::EPSILON;
/// Silence before the first event, relative to the time from 0 to the end,
/// beyond which it is not taken for recorded time without a remark.
const LATE: f64 = 0.01;

/// Begin and end of the recorded or analysed time, and its frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeline {
    begin: f64,
    end: f64,
    /// The frame rate, if all events lie on frames counted from `begin`.
    frame_hz: Option<f64>,
}

impl Timeline {
    /// The time from `begin` to `end` (s) with these events. Frames are used if
    /// the rate is given and every event lies on one.
    ///
    /// # Errors
    /// If an event is outside, times do not ascend, or `begin` is not before `end`.
    pub fn new(events: &[Vec<f64>], (begin, end): (f64, f64), frame_hz: Option<f64>) -> Result<Self> {
        if !(begin.is_finite() && end.is_finite() && begin < end) {
            let (begin, end) = (shown(begin), shown(end));
            return Err(Error::input(format!("a recording from {begin} s to {end} s has no duration"))
                .help("it must end after it begins"));
        }
        check_events(events, Some((begin, end)))?;
        let on_frames = |hz: &f64| {
            let off = |t: &f64| ((t - begin) * hz - ((t - begin) * hz).round()).abs();
            events.iter().flatten().all(|t| off(t) <= OFF_FRAME)
        };
        Ok(Timeline { begin, end, frame_hz: frame_hz.filter(on_frames) })
    }

    /// Whether its events are counted in whole frames.
    pub fn in_frames(&self) -> bool {
        self.frame_hz.is_some()
    }

    /// Its length in seconds.
    pub fn length(&self) -> f64 {
        self.end - self.begin
    }

    /// Seconds from the begin to `time`.
    pub fn since_begin(&self, time: f64) -> f64 {
        time - self.begin
    }

    /// Number of complete bins of `bin` seconds, at least 0.
    pub fn bins(&self, bin: f64) -> f64 {
        floor(self.length() / bin, self.slack() / bin)
    }

    /// Which of `bins` bins of `bin` seconds contains `time`: the one that begins
    /// at or before it, the last one for a time at its end, as in
    /// `numpy.histogram`; `None` after that.
    pub fn bin_of(&self, time: f64, bin: f64, bins: usize) -> Option<usize> {
        let (place, slack) = match self.frame_hz {
            Some(hz) => (self.position(time) / (hz * bin), 0.0),
            None => (self.position(time) / bin, self.slack() / bin),
        };
        match floor(place, slack) as usize {
            k if k == bins && reached(place, k as f64, slack) => k.checked_sub(1),
            k => (k < bins).then_some(k),
        }
    }

    /// A number that orders times and is the same for equal ones: frames, or
    /// seconds without frames.
    pub fn position(&self, time: f64) -> f64 {
        match self.frame_hz {
            Some(hz) => (self.since_begin(time) * hz).round(),
            None => self.since_begin(time),
        }
    }

    /// Largest difference of two positions that are at most `window` seconds
    /// apart.
    pub fn reach(&self, window: f64) -> f64 {
        match self.frame_hz {
            Some(hz) => floor(window * hz, 0.0),
            None => window + self.slack(),
        }
    }

    /// Difference of times that counts as none: a nanosecond, or the rounding of
    /// times that are too large for it.
    fn slack(&self) -> f64 {
        slack(self.begin, self.end)
    }
}

/// As `Timeline::slack`, between these times.
pub(crate) fn slack(begin: f64, end: f64) -> f64 {
    SLACK_S + ROUNDING * begin.abs().max(end.abs())
}

/// The frame, of those at `begin` and every `1 / hz` s after it, that `time` lies on;
/// `time` itself if it differs from it by no more than rounding.
pub(crate) fn on_frame(time: f64, begin: f64, hz: f64) -> Option<f64> {
    let frames = (time - begin) * hz;
    if (frames - frames.round()).abs() > OFF_FRAME {
        return None;
    }
    let frame = begin + frames.round() / hz;
    Some(if (frame - time).abs() <= slack(begin, time) { time } else { frame })
}

/// A time or duration for messages, without the digits that only rounding explains.
pub(crate) fn shown(seconds: f64) -> String {
    if seconds.abs() < 1e12 {
        format!("{}", (seconds * 1e6).round() / 1e6 + 0.0)
    } else {
        format!("{seconds:e}")
    }
}

/// The largest whole number not above `value`, or one that is [`reached`].
fn floor(value: f64, slack: f64) -> f64 {
    let nearest = value.round();
    if reached(value, nearest, slack) { nearest } else { value.floor() }
}

/// Whether `value` differs from `edge` by no more than rounding or `slack`.
fn reached(value: f64, edge: f64, slack: f64) -> bool {
    (value - edge).abs() <= slack.max(ROUNDING * value.abs())
}

/// The recorded time of `events`: `recording` if it is known, with a remark
/// otherwise where that matters.
///
/// Without a recording it ends 0.1 s after the last event, as in the released
/// matrices, and begins with the whole second of the first event: the silence
/// before was either not recorded or is so long that it is remarked upon. So
/// shifting all times by whole seconds changes nothing.
pub fn recorded(events: &[Vec<f64>], recording: Option<(f64, f64)>) -> ((f64, f64), Option<String>) {
    if let Some(known) = recording {
        return (known, None);
    }
    let first = events.iter().filter_map(|times| times.first()).copied().fold(f64::INFINITY, f64::min);
    let last = events.iter().filter_map(|times| times.last()).copied().fold(0.0, f64::max);
    let begin = if first.is_finite() { first.floor() } else { 0.0 };
    let span = (begin, last + 0.1);
    let late = (begin > LATE * span.1).then(|| {
        let (first, begin, end) = (shown(first), shown(begin), shown(span.1));
        format!(
            "events: the first one is at {first} s, and the start of the recording is not stated, so the time before \
             {begin} s is not counted. Was it recorded? Then correlations and STTC are too low: set recording = \
             [0, {end}] (s) in field.toml. If not, set recording = [{begin}, {end}]"
        )
    });
    (span, late)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(begin: f64, end: f64) -> Timeline {
        Timeline::new(&[], (begin, end), None).unwrap()
    }

    #[test]
    fn edges_in_frames_are_exact() {
        // Frames of 30 Hz in bins of 200 ms are 6 a bin, of 5 Hz one.
        for (hz, per_bin) in [(30.0, 6), (5.0, 1), (10.0, 2), (100.0, 20)] {
            let events = [(0..6000).map(|k| f64::from(k) / hz).collect::<Vec<_>>()];
            let timeline = Timeline::new(&events, (0.0, 6000.0 / hz), Some(hz)).unwrap();
            assert_eq!(timeline.frame_hz, Some(hz));
            for (k, &time) in (0..).zip(&events[0]) {
                assert_eq!(timeline.bin_of(time, 0.2, 6000), Some(k / per_bin), "{hz} Hz, frame {k}");
            }
            assert_eq!(timeline.bins(0.2), (6000 / per_bin) as f64);
            assert_eq!(timeline.reach(3.0 / hz), 3.0);
            assert_eq!(timeline.reach(0.5 / hz), 0.0);
        }
    }

    #[test]
    fn times_rounded_to_milliseconds_or_single_precision_stay_on_their_frames() {
        let hz = 30.0;
        for rounded in [|t: f64| (t * 1e3).round() / 1e3, |t: f64| f64::from(t as f32)] {
            let events = [(0..60_000).map(|k| rounded(f64::from(k) / hz)).collect::<Vec<_>>()];
            let timeline = Timeline::new(&events, (0.0, 2000.0), Some(hz)).unwrap();
            for (k, &time) in (0..).zip(&events[0]) {
                assert_eq!(timeline.bin_of(time, 0.2, 60_000), Some(k / 6), "frame {k}");
            }
        }
    }

    #[test]
    fn events_between_frames_are_not_moved() {
        let events = [vec![0.48, 0.652]];
        let timeline = Timeline::new(&events, (0.0, 1.0), Some(10.0)).unwrap();
        assert_eq!((timeline.frame_hz, timeline.position(0.48)), (None, 0.48));
    }

    #[test]
    fn times_before_zero_and_far_from_it_are_binned_alike() {
        for begin in [0.0, -10.0, 600.0, 86_400.0, 1.7e9] {
            let timeline = free(begin, begin + 100.0);
            for k in 0..1000_usize {
                let time = begin + k as f64 * 0.1;
                assert_eq!(timeline.bin_of(time, 0.2, 500), Some(k / 2), "{time} from {begin}");
            }
            assert_eq!(timeline.bins(0.2), 500.0);
        }
    }

    #[test]
    fn an_unknown_begin_is_the_second_of_the_first_event() {
        let events = |shift: f64| vec![vec![shift + 0.25, shift + 9.0], vec![], vec![shift + 20.0]];
        assert_eq!(recorded(&events(0.0), None), ((0.0, 20.1), None));
        let (span, remark) = recorded(&events(600.0), None);
        assert_eq!(span, (600.0, 620.1));
        let remark = remark.unwrap();
        assert!(remark.contains("600.25 s"), "{remark}");
        for choice in ["recording = [0, 620.1]", "recording = [600, 620.1]"] {
            assert!(remark.contains(choice), "{remark}");
        }
        assert_eq!(recorded(&events(600.0), Some((590.0, 630.0))), ((590.0, 630.0), None));
        assert_eq!(recorded(&[vec![], vec![]], None), ((0.0, 0.1), None));
    }

    #[test]
    fn times_are_shown_without_rounding_errors() {
        for (time, text) in [
            (0.099_999_999_999_999_64, "0.1"),
            (14.999_999_999_999_998, "15"),
            (-0.000_000_000_1, "0"),
            (600.25, "600.25"),
            (1e300, "1e300"),
        ] {
            assert_eq!(shown(time), text);
        }
    }

    #[test]
    fn a_time_lies_on_a_frame_or_between_two() {
        assert_eq!(on_frame(0.003, 0.0, 10.0), Some(0.0));
        assert_eq!(on_frame(0.006, 0.0, 10.0), None);
        assert_eq!(on_frame(10.404, 10.1, 10.0), Some(10.1 + 3.0 / 10.0));
        // Rounding is not a move.
        let time = 0.1 + 0.2;
        assert_eq!(on_frame(time, 0.0, 10.0), Some(time));
    }

    #[test]
    fn a_recording_without_duration_is_refused() {
        for (begin, end) in [(1.0, 1.0), (2.0, 1.0), (0.0, f64::NAN), (f64::NEG_INFINITY, 0.0)] {
            assert!(Timeline::new(&[], (begin, end), None).unwrap_err().help.is_some(), "{begin} {end}");
        }
    }
}
