//! Numbers, names and times for display.

use pallium_profile::Interval;
use serde_json::Value;

/// A measure's name in words.
pub fn measure_name(measure: &str) -> String {
    match measure {
        "small_worldness" => "small-worldness".into(),
        "running_accuracy" => "running accuracy".into(),
        other => other.replace('_', " "),
    }
}

/// A p-value: `p = 0.012`, `p < 0.0001`; an en dash if it is undefined.
pub fn p_value(p: f64) -> String {
    match p {
        p if p.is_nan() => "p –".into(),
        p if p < 1e-4 => "p < 0.0001".into(),
        p if p < 0.01 => format!("p = {p:.4}"),
        p => format!("p = {p:.3}"),
    }
}

/// A p-value in a table: `0.012`, `< 0.0001`.
pub fn p_cell(p: f64) -> String {
    match p_value(p) {
        text if text.starts_with("p = ") => text[4..].into(),
        text => text[2..].into(),
    }
}

/// A number with three decimals, as the published tables have.
pub fn three(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let text = format!("{value:.3}");
    // Minus zero is zero.
    let text = if text == "-0.000" { "0.000".into() } else { text };
    text.replace('-', "−")
}

/// A number with two decimals, as test statistics are written.
pub fn two(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}").replace('-', "−") } else { "–".into() }
}

/// As [`three`], with a sign.
pub fn signed(value: f64) -> String {
    match three(value) {
        text if value > 0.0 && text != "0.000" => format!("+{text}"),
        text => text,
    }
}

/// A mean and its interval: `0.500 ± 0.010` of a t interval, which is symmetric,
/// `0.500 [0.470, 0.510]` of a bootstrap interval, which is not.
pub fn estimate(mean: Option<f64>, ends: Option<(f64, f64)>, kind: Interval) -> String {
    match (mean, ends, kind) {
        (Some(mean), Some((low, high)), Interval::T) => {
            format!("{} ± {}", three(mean), three((high - low) / 2.0))
        }
        (Some(mean), Some((low, high)), Interval::Bootstrap) => {
            format!("{} [{}, {}]", three(mean), three(low), three(high))
        }
        (Some(mean), None, _) => three(mean),
        _ => "–".into(),
    }
}

/// What [`estimate`] shows, for captions; `has_ends` says whether any mean has an
/// interval: it takes two runs, or four for the bootstrap.
pub fn estimate_caption(kind: Interval, has_ends: bool) -> &'static str {
    match kind {
        _ if !has_ends => "mean (too few runs for an interval)",
        Interval::T => "mean ± half of the 95 % t interval",
        Interval::Bootstrap => "mean and 95 % bootstrap interval (BCa)",
    }
}

/// A duration with two or three digits.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "under 1 s".into(),
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 597.0 => format!("{:.1} min", s / 60.0),
        s if s < 5970.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// A number with `digits` significant digits.
pub fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor() as i32;
    format!("{value:.*}", usize::try_from(digits - 1 - magnitude).unwrap_or(0))
}

/// An integer in full, or a number with six significant digits.
pub fn human(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "not defined".into(),
        size if value.fract() == 0.0 && size < 1e15 => format!("{}", value + 0.0),
        1e-5..1e9 => significant(value, 6),
        _ => format!("{value:.5e}"),
    }
}

/// Date and time (UTC) of seconds since 1970, in the order of ISO 8601.
pub fn date(seconds: u64) -> String {
    let rest = seconds % 86_400;
    format!("{} {:02}:{:02} UTC", day(seconds), rest / 3600, rest / 60 % 60)
}

/// Date and time of seconds since 1970, as ISO 8601 and RFC 3339 write them.
pub fn timestamp(seconds: u64) -> String {
    let rest = seconds % 86_400;
    format!("{}T{:02}:{:02}:{:02}+00:00", day(seconds), rest / 3600, rest / 60 % 60, rest % 60)
}

/// Date of seconds since 1970, such as 2026-11-23.
fn day(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64;
    // Days to a civil date (Hinnant, "chrono-compatible low-level date
    // algorithms"): years begin in March, so that a leap day is a year's last.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `1 run`, `2 runs`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A number for JSON: `null` if it is not finite.
pub fn number(value: f64) -> Value {
    // Adding zero takes the sign off a zero.
    serde_json::Number::from_f64(value + 0.0).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_reading() {
        assert_eq!([0.5, 0.004, 1e-9].map(p_value), ["p = 0.500", "p = 0.0040", "p < 0.0001"]);
        assert_eq!([0.5, 1e-9, f64::NAN].map(p_cell), ["0.500", "< 0.0001", "–"]);
        assert_eq!([-0.25, -0.0001, f64::NAN].map(three), ["−0.250", "0.000", "–"]);
        assert_eq!([0.25, -0.25, 0.0].map(signed), ["+0.250", "−0.250", "0.000"]);
        assert_eq!(estimate(Some(0.5), None, Interval::T), "0.500");
        assert_eq!(estimate(Some(0.5), Some((0.4, 0.6)), Interval::T), "0.500 ± 0.100");
        assert_eq!(estimate(Some(0.9), Some((0.7, 0.95)), Interval::Bootstrap), "0.900 [0.700, 0.950]");
        assert_eq!(
            [0.2, 59.0, 99.4, 192.0, 600.0, 7200.0, 1e6].map(duration),
            ["under 1 s", "59 s", "99 s", "3.2 min", "10 min", "2.0 h", "11.6 days"]
        );
        assert_eq!((count(1, "run"), count(0, "run")), ("1 run".into(), "0 runs".into()));
    }

    #[test]
    fn numbers_have_the_requested_digits() {
        assert_eq!([0.0, 0.123, 12.3, 0.00456].map(|v| significant(v, 2)), ["0", "0.12", "12", "0.0046"]);
        for (value, text) in [
            (316.0, "316"),
            (-0.0, "0"),
            (318.717602, "318.718"),
            (0.00766711, "0.00766711"),
            (1.5e-9, "1.50000e-9"),
            (f64::NAN, "not defined"),
            (123456789.5, "123456790"),
            (-2.5e10, "-25000000000"),
            (2.5e15 + 0.5, "2.50000e15"),
        ] {
            assert_eq!(human(value), text);
        }
    }

    #[test]
    fn dates_are_civil() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_478_111), "2026-11-23 23:55 UTC");
        assert_eq!(timestamp(1_795_478_111), "2026-11-23T23:55:11+00:00");
    }

    #[test]
    fn json_has_null_for_numbers_that_are_not_finite() {
        assert_eq!(number(f64::INFINITY), Value::Null);
        assert_eq!(number(-0.0).to_string(), "0.0");
    }
}
