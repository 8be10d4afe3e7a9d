//! Times to an event that some runs do not reach: survival curves and their comparison.

use super::Test;
use super::tail::chi_squared_sf;

/// The time of an event, or the time up to which it did not occur.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duration {
    /// The time; finite.
    pub time: f64,
    /// Whether the event occurred then. Otherwise the run is censored: it was observed
    /// up to this time, without the event.
    pub observed: bool,
}

/// A step of a survival curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurvivalStep {
    /// Time of one or several events.
    pub time: f64,
    /// Number of runs that were observed up to this time, without an event before.
    pub at_risk: usize,
    /// Number of events.
    pub events: usize,
    /// Estimated share without an event up to and including this time.
    pub survival: f64,
}

/// The estimate of Kaplan and Meier (1958): a step for each time of an event, ascending.
/// Runs that are censored at the time of an event still count as at risk then.
pub fn kaplan_meier(durations: &[Duration]) -> Vec<SurvivalStep> {
    let mut survival = 1.0;
    event_times(durations.iter())
        .into_iter()
        .map(|time| {
            let (at_risk, events) = counts(durations, time);
            survival *= 1.0 - events as f64 / at_risk as f64;
            SurvivalStep { time, at_risk, events, survival }
        })
        .collect()
}

/// The earliest time by which at least half of the runs are estimated to have had the
/// event; NaN if it is not reached.
pub fn median_time(curve: &[SurvivalStep]) -> f64 {
    // Half of a product of shares may be off by rounding.
    curve.iter().find(|step| step.survival <= 0.5 + 1e-12).map_or(f64::NAN, |step| step.time)
}

/// The log-rank test (Mantel 1966; Peto and Peto 1972): whether the groups have one
/// survival curve. With several strata, each of which has the same groups, expected
/// events and variances are summed over them; pass one stratum for the plain test.
/// p from χ² with one degree of freedom less than there are groups.
///
/// Groups that are never at risk at the time of an event do not count. Undefined with
/// fewer than two other groups.
pub fn logrank(strata: &[Vec<&[Duration]>]) -> Test {
    let groups = strata.iter().map(Vec::len).min().unwrap_or(0);
    let mut excess = vec![0.0; groups];
    let mut variance = vec![vec![0.0; groups]; groups];
    for stratum in strata {
        for time in event_times(stratum.iter().copied().flatten()) {
            let each: Vec<(usize, usize)> = stratum.iter().map(|group| counts(group, time)).collect();
            let at_risk = each.iter().map(|c| c.0).sum::<usize>() as f64;
            let events = each.iter().map(|c| c.1).sum::<usize>() as f64;
            let share = |group: usize| each[group].0 as f64 / at_risk;
            // Of a hypergeometric distribution; the last run at risk tells nothing.
            let spread = match at_risk > 1.0 {
                true => events * (at_risk - events) / (at_risk - 1.0),
                false => 0.0,
            };
            for (a, (excess, variance)) in excess.iter_mut().zip(&mut variance).enumerate() {
                *excess += each[a].1 as f64 - events * share(a);
                for (b, variance) in variance.iter_mut().enumerate() {
                    let own = if a == b { share(a) } else { 0.0 };
                    *variance += spread * (own - share(a) * share(b));
                }
            }
        }
    }
    let compared: Vec<usize> = (0..groups).filter(|&group| variance[group][group] > 0.0).collect();
    // The excesses add up to 0, so one group is redundant.
    let Some((_, independent)) = compared.split_last().filter(|(_, rest)| !rest.is_empty()) else {
        return Test::UNDEFINED;
    };
    let matrix: Vec<Vec<f64>> =
        independent.iter().map(|&a| independent.iter().map(|&b| variance[a][b]).collect()).collect();
    let excess: Vec<f64> = independent.iter().map(|&a| excess[a]).collect();
    let Some(statistic) = quadratic_form(matrix, &excess) else { return Test::UNDEFINED };
    Test { statistic, p: chi_squared_sf(statistic, independent.len() as f64) }
}

/// The times of events, ascending, each once.
fn event_times<'a>(durations: impl Iterator<Item = &'a Duration>) -> Vec<f64> {
    let mut times: Vec<f64> = durations.filter(|d| d.observed).map(|d| d.time).collect();
    times.sort_by(f64::total_cmp);
    times.dedup();
    times
}

/// How many are at risk at a time, and how many have their event then.
fn counts(durations: &[Duration], time: f64) -> (usize, usize) {
    let at_risk = durations.iter().filter(|d| d.time >= time).count();
    (at_risk, durations.iter().filter(|d| d.observed && d.time == time).count())
}

/// xᵀ·M⁻¹·x of a positive definite M, by Cholesky's decomposition; `None` if M is not.
fn quadratic_form(mut matrix: Vec<Vec<f64>>, x: &[f64]) -> Option<f64> {
    let mut solved: Vec<f64> = Vec::with_capacity(x.len());
    for i in 0..x.len() {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - known;
            matrix[i][j] = match i == j {
                // What is left of a diagonal that depends on the others is rounding.
                true if rest > 1e-12 * matrix[i][i] => rest.sqrt(),
                true => return None,
                false => rest / matrix[j][j],
            };
        }
        let known: f64 = solved.iter().zip(&matrix[i]).map(|(value, factor)| value * factor).sum();
        solved.push((x[i] - known) / matrix[i][i]);
    }
    Some(solved.iter().map(|value| value * value).sum())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// Random durations with ties and censoring, and what scipy and statsmodels give.
    #[derive(Deserialize)]
    struct Case {
        /// By stratum, then group: times, and whether each is an event (1).
        strata: Vec<Vec<[Vec<f64>; 2]>>,
        /// Kaplan and Meier of the first group: times of events and survival.
        curve: [Vec<f64>; 2],
        /// Statistic (χ²) and p.
        logrank: Option<[f64; 2]>,
    }

    fn durations([times, events]: &[Vec<f64>; 2]) -> Vec<Duration> {
        times.iter().zip(events).map(|(&time, &event)| Duration { time, observed: event == 1.0 }).collect()
    }

    #[test]
    fn random_durations_give_what_scipy_and_statsmodels_give() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("reference/survival.json")).unwrap();
        assert_eq!(cases.len(), 300);
        let mut compared = 0;
        for (number, case) in cases.iter().enumerate() {
            let strata: Vec<Vec<Vec<Duration>>> =
                case.strata.iter().map(|groups| groups.iter().map(durations).collect()).collect();
            let curve = kaplan_meier(&strata[0][0]);
            let times: Vec<f64> = curve.iter().map(|step| step.time).collect();
            assert_eq!(times, case.curve[0], "case {number}");
            for (step, expected) in curve.iter().zip(&case.curve[1]) {
                assert!((step.survival - expected).abs() < 1e-12, "case {number}: {step:?}");
            }
            let slices: Vec<Vec<&[Duration]>> =
                strata.iter().map(|groups| groups.iter().map(Vec::as_slice).collect()).collect();
            let found = logrank(&slices);
            match case.logrank {
                None => assert!(found.p.is_nan(), "case {number}: {found:?}"),
                Some([statistic, p]) => {
                    compared += 1;
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs() + 1e-12;
                    assert!(near(found.statistic, statistic) && near(found.p, p), "case {number}: {found:?}");
                }
            }
        }
        assert!(compared >= 200, "{compared}");
    }

    #[test]
    fn the_median_is_where_half_are_left() {
        let at = |time, observed| Duration { time, observed };
        let curve = kaplan_meier(&[at(1.0, true), at(2.0, false), at(3.0, true), at(3.0, false)]);
        // 3/4, then half of that.
        assert_eq!(curve.iter().map(|step| step.survival).collect::<Vec<_>>(), [0.75, 0.375]);
        assert_eq!(median_time(&curve), 3.0);
        assert_eq!(median_time(&kaplan_meier(&[at(1.0, true), at(2.0, true)])), 1.0);
        assert!(median_time(&kaplan_meier(&[at(1.0, true), at(2.0, false), at(2.0, false)])).is_nan());
        assert!(kaplan_meier(&[]).is_empty());
    }

    #[test]
    fn groups_that_cannot_differ_are_undefined() {
        let one = [Duration { time: 1.0, observed: true }];
        let never = [Duration { time: 1.0, observed: false }];
        assert!(logrank(&[]).p.is_nan());
        assert!(logrank(&[vec![&one, &[]]]).p.is_nan());
        assert!(logrank(&[vec![&never, &never]]).p.is_nan());
        assert!(logrank(&[vec![&one, &one]]).p.is_nan(), "all have the event at once");
    }
}
