//! Durations of periods: a number of milliseconds, or a distribution.

use std::collections::BTreeMap;

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use pallium_core::schemars::JsonSchema;
use pallium_core::serde::{Deserialize, Serialize};
use rand::Rng;
use rand_distr::{Distribution as _, Exp1};

/// Longest period, in milliseconds: an hour.
const MAX_MS: f64 = 3.6e6;

/// Minimum probability that a draw falls inside the bounds of a truncated
/// exponential, because draws are repeated until one does.
const MIN_PROBABILITY: f64 = 1e-6;

/// Milliseconds, or the distribution from which they are drawn for each trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    crate = "pallium_core::serde",
    untagged,
    expecting = "a duration is a number of milliseconds, or { uniform = [low, high] }, { choice = [a, b, …] }, \
                 { truncated_exponential = [mean, low, high] }"
)]
#[schemars(crate = "pallium_core::schemars")]
pub enum Duration {
    /// The same in every trial.
    Constant(f64),
    /// Drawn for every trial.
    Drawn(Distribution),
}

/// A distribution of durations in milliseconds, by NeuroGym's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "pallium_core::serde", rename_all = "snake_case")]
#[schemars(crate = "pallium_core::schemars")]
pub enum Distribution {
    /// Uniform from the first to below the second.
    Uniform([f64; 2]),
    /// One of these, equally often.
    Choice(Vec<f64>),
    /// Exponential with the first as its mean before truncation, drawn until
    /// it is at least the second and below the third.
    TruncatedExponential([f64; 3]),
}
use Distribution::{Choice, TruncatedExponential, Uniform};

/// Uniform between two durations.
pub fn uniform(low: f64, high: f64) -> Duration {
    Duration::Drawn(Uniform([low, high]))
}

/// Milliseconds.
pub fn ms(duration: f64) -> Duration {
    Duration::Constant(duration)
}

impl Duration {
    /// Refuses invalid durations. `least` is the minimum number of steps.
    ///
    /// # Errors
    /// If a value is not between 0 and an hour, the values are out of order,
    /// or the period may be shorter than `least` steps.
    pub fn check(&self, parameter: &str, dt_ms: u32, least: usize) -> Result<()> {
        let wrong = |what: String, help: &str| {
            Err(Error::input(format!("parameter `{parameter}` {what}")).help(help.to_owned()))
        };
        for &value in self.values() {
            if !(value.is_finite() && (0.0..=MAX_MS).contains(&value)) {
                return wrong(
                    format!("has the duration {value}"),
                    "durations are in milliseconds, between 0 and 3600000",
                );
            }
        }
        match self {
            Duration::Drawn(Choice(values)) if values.is_empty() || values.len() > 1_000 => {
                return wrong(
                    format!("offers {} durations to choose from", values.len()),
                    "name between 1 and 1000 durations in milliseconds",
                );
            }
            Duration::Drawn(Uniform([low, high]) | TruncatedExponential([_, low, high])) if low > high => {
                return wrong(format!("is drawn between {low} and {high} ms"), "name the shorter one first");
            }
            Duration::Drawn(TruncatedExponential([mean, low, high]))
                if low < high
                    && (*mean <= 0.0 || (-low / mean).exp() - (-high / mean).exp() < MIN_PROBABILITY) =>
            {
                return wrong(
                    format!("would almost never be between {low} and {high} ms with a mean of {mean}"),
                    "choose a mean that is above 0 and not far from the bounds",
                );
            }
            _ => {}
        }
        let shortest = self.distribution(dt_ms).keys().next().copied().unwrap_or(0);
        if shortest < least {
            return wrong(
                format!("may be as short as {shortest} steps of {dt_ms} ms"),
                &format!("the task needs at least {least} here: lengthen the period or decrease dt_ms"),
            );
        }
        Ok(())
    }

    fn values(&self) -> &[f64] {
        match self {
            Duration::Constant(value) => std::slice::from_ref(value),
            Duration::Drawn(Uniform(values)) => values,
            Duration::Drawn(Choice(values)) => values,
            Duration::Drawn(TruncatedExponential(values)) => values,
        }
    }

    /// Number of steps of one trial's period.
    pub fn draw(&self, dt_ms: u32, stream: &mut Stream) -> usize {
        let milliseconds = match self {
            Duration::Constant(value) => *value,
            Duration::Drawn(Uniform([low, high])) => low + (high - low) * stream.random::<f64>(),
            Duration::Drawn(Choice(values)) => values[stream.random_range(0..values.len())],
            Duration::Drawn(TruncatedExponential([_, low, high])) if low >= high => *high,
            Duration::Drawn(TruncatedExponential([mean, low, high])) => loop {
                let unit: f64 = Exp1.sample(stream);
                let value = mean * unit;
                if (*low..*high).contains(&value) {
                    break value;
                }
            },
        };
        steps(milliseconds, dt_ms)
    }

    /// Number of steps of the longest period.
    pub fn longest(&self, dt_ms: u32) -> usize {
        self.distribution(dt_ms).keys().next_back().copied().unwrap_or(0)
    }

    /// Probability of each number of steps that occurs.
    pub fn distribution(&self, dt_ms: u32) -> BTreeMap<usize, f64> {
        let mut shares = BTreeMap::new();
        // Adds the shares of a density between `low` and `high`; `below` is its
        // cumulative distribution up to a constant.
        let mut spread = |low: f64, high: f64, below: &dyn Fn(f64) -> f64| {
            let dt = f64::from(dt_ms);
            let all = below(high) - below(low);
            for k in steps(low, dt_ms)..=steps(high, dt_ms) {
                let (from, to) = ((k as f64 * dt).max(low), ((k + 1) as f64 * dt).min(high));
                if to > from {
                    shares.insert(k, (below(to) - below(from)) / all);
                }
            }
        };
        match self {
            Duration::Drawn(Uniform([low, high])) if low < high => spread(*low, *high, &|t| t),
            Duration::Drawn(TruncatedExponential([mean, low, high])) if low < high => {
                // Relative to `low`, where rounding errors are smallest.
                spread(*low, *high, &|t| -(-(t - low) / mean).exp_m1());
            }
            Duration::Drawn(Choice(values)) => {
                for value in values {
                    *shares.entry(steps(*value, dt_ms)).or_insert(0.0) += 1.0 / values.len() as f64;
                }
            }
            Duration::Constant(value)
            | Duration::Drawn(Uniform([_, value]) | TruncatedExponential([_, _, value])) => {
                shares.insert(steps(*value, dt_ms), 1.0);
            }
        }
        shares
    }
}

/// ⌊t / dt⌋, exact.
fn steps(milliseconds: f64, dt_ms: u32) -> usize {
    milliseconds.div_euclid(f64::from(dt_ms)) as usize
}

#[cfg(test)]
mod tests {
    use pallium_core::serde_json;

    use super::*;

    fn parsed(json: &str) -> Duration {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn durations_parse_with_the_names_of_neurogym() {
        assert_eq!(parsed("300"), ms(300.0));
        assert_eq!(parsed(r#"{"uniform": [200, 500]}"#), uniform(200.0, 500.0));
        assert_eq!(parsed(r#"{"choice": [1, 2]}"#), Duration::Drawn(Choice(vec![1.0, 2.0])));
        let e = serde_json::from_str::<Duration>(r#"{"unifrom": [1, 2]}"#).unwrap_err();
        assert!(e.to_string().contains("{ uniform = [low, high] }"), "{e}");
    }

    #[test]
    fn draws_have_the_stated_distribution() {
        for text in [
            "83",
            r#"{"uniform": [300, 600]}"#,
            r#"{"uniform": [400, 400]}"#,
            r#"{"choice": [200, 400, 410, 600]}"#,
            r#"{"truncated_exponential": [600, 300, 3000]}"#,
            r#"{"truncated_exponential": [600, 300, 300]}"#,
        ] {
            let duration = parsed(text);
            duration.check("p", 80, 1).unwrap();
            let stated = duration.distribution(80);
            assert!((stated.values().sum::<f64>() - 1.0).abs() < 1e-12, "{text}: {stated:?}");
            let mut stream = random::stream(1, "test");
            let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
            for _ in 0..20_000 {
                *counts.entry(duration.draw(80, &mut stream)).or_default() += 1.0;
            }
            assert!(counts.keys().all(|k| stated.contains_key(k)), "{text}: {counts:?} {stated:?}");
            for (k, p) in &stated {
                let (found, sd) = (counts.get(k).copied().unwrap_or(0.0), (20_000.0 * p * (1.0 - p)).sqrt());
                assert!((found - 20_000.0 * p).abs() <= 5.0 * sd + 1e-9, "{text}, {k} steps: {found}, {p}");
            }
        }
    }

    #[test]
    fn invalid_durations_are_refused() {
        for (text, part) in [
            ("-1", "has the duration -1"),
            ("1e9", "has the duration 1000000000"),
            (r#"{"choice": []}"#, "offers 0 durations"),
            (r#"{"uniform": [500, 200]}"#, "is drawn between 500 and 200 ms"),
            (r#"{"truncated_exponential": [1, 300, 400]}"#, "would almost never be between 300 and 400 ms"),
            (r#"{"truncated_exponential": [0, 300, 400]}"#, "with a mean of 0"),
            (r#"{"uniform": [50, 200]}"#, "may be as short as 0 steps of 100 ms"),
        ] {
            let e = parsed(text).check("delay", 100, 1).unwrap_err();
            assert!(e.message.contains(part) && e.message.contains("`delay`") && e.help.is_some(), "{e}");
        }
    }
}
