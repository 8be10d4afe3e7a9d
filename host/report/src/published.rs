//! The published tables, and the rule for whether a result agrees with them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::study::study;

/// Where the numbers are from.
pub const SOURCE: &str = "arXiv 2606.14975";
/// The field that they were computed on.
pub const FIELD: &str = "6_6_2";
/// Runs behind each of them.
pub const RUNS: usize = 20;
/// Largest difference of accuracies that counts as agreement: all published runs share one data set,
/// whose composition alone moves an accuracy by ±0.014, and the published
/// intervals leave that out.
const ACCURACY_TOLERANCE: f64 = 0.02;
/// Largest relative difference of other measures that counts as agreement.
const ORGANIZATION_TOLERANCE: f64 = 0.1;

/// One of the paper's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paper {
    /// Table 2: weights of either sign.
    Unconstrained,
    /// Table 3: only positive weights.
    PositiveOnly,
}

impl Paper {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Paper::Unconstrained => "Table 2",
            Paper::PositiveOnly => "Table 3",
        }
    }

    /// A published value: of `measure` (as in `results.csv`), of a variant by its
    /// name in the table, on the task of a component.
    pub fn value(self, measure: &str, variant: &str, component: &str) -> Option<Published> {
        let tables = tables().ok()?;
        let table = match self {
            Paper::Unconstrained => &tables.unconstrained,
            Paper::PositiveOnly => &tables.positive_only,
        };
        let task = task_of(component)?;
        let of = |measure: &str| table.get(variant)?.get(&task)?.get(measure).copied();
        let name = match measure {
            "accuracy" | "running_accuracy" => "Accuracy",
            "modularity" => "Modularity",
            "small_worldness" => "SmallWorldness",
            "assortativity" => "Assortativity",
            "entropy" => "Entropy",
            _ => return None,
        };
        let [mean, lower, upper] = of(name)?;
        // A network of finite weights has an entropy.
        let diverged = of("Entropy")?[0].is_none();
        Some(Published { mean, lower, upper, diverged })
    }
}

/// A published number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Published {
    /// Mean over runs.
    pub mean: Option<f64>,
    /// Lower end of its 95 % t interval; none of runs that are all equal.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
    /// Whether the published networks diverged; outputs that are not numbers
    /// count as class 0 in the published accuracies.
    pub diverged: bool,
}

/// The result of a comparison with a published number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "why")]
pub enum Verdict {
    /// It agrees, for this reason.
    Same(String),
    /// It differs, by this much.
    Differs(String),
    /// Something else was computed, or there is nothing to compare: for this reason.
    CannotBeCompared(String),
}

impl Verdict {
    /// The symbol that stands beside the compared number.
    pub fn mark(&self) -> &'static str {
        match self {
            Verdict::Same(_) => "=",
            Verdict::Differs(_) => "≠",
            Verdict::CannotBeCompared(_) => "?",
        }
    }

    /// Whether there is something to compare.
    pub fn is_comparison(&self) -> bool {
        !matches!(self, Verdict::CannotBeCompared(_))
    }

    /// In a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Same(_) => "same",
            Verdict::Differs(_) => "differs",
            Verdict::CannotBeCompared(_) => "cannot be compared",
        }
    }

    /// The reason.
    pub fn why(&self) -> &str {
        match self {
            Verdict::Same(why) | Verdict::Differs(why) | Verdict::CannotBeCompared(why) => why,
        }
    }
}

/// The user's runs of a variant on a task.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Runs with a value.
    pub n: usize,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their 95 % t interval.
    pub t: Option<(f64, f64)>,
    /// Runs that diverged.
    pub diverged: usize,
}

/// Whether `own` agrees with `published`: the 95 % intervals overlap; or
/// accuracies differ by at most 0.02, other measures by at most 10 %; or both
/// diverged. If some runs diverged, the reason says how many, because only the
/// others are compared.
pub fn judge(measure: &str, published: &Published, own: &Sample) -> Verdict {
    use Verdict::{CannotBeCompared, Differs, Same};
    let all = own.n + own.diverged;
    if all == 0 {
        return CannotBeCompared("no run here has a value".into());
    }
    if own.n == 0 {
        return match published.diverged {
            true => Same("both diverged".into()),
            false => Differs("all runs here diverged, the published ones did not".into()),
        };
    }
    let aside = match (published.diverged, own.diverged) {
        (false, 0) => String::new(),
        (false, some) => format!("; {some} of {all} runs here diverged"),
        (true, 0) => "; published runs diverged, here none did".into(),
        (true, some) => format!("; published runs diverged, here {some} of {all}"),
    };
    let (Some(theirs), Some(ours)) = (published.mean, own.mean) else {
        return match published.diverged {
            true => Differs("published runs diverged, here they did not".into()),
            false => CannotBeCompared("the published value is not defined".into()),
        };
    };
    // Runs that are all equal have an interval of one point.
    let (low, high) = (published.lower.unwrap_or(theirs), published.upper.unwrap_or(theirs));
    if let Some((own_low, own_high)) = own.t
        && own_low <= high
        && low <= own_high
    {
        return Same(format!("intervals overlap{aside}"));
    }
    let difference = (ours - theirs).abs();
    // Published numbers have three decimals: ignore rounding.
    let slack = 1e-9;
    let (near, why) = match measure.ends_with("accuracy") {
        true => (
            difference <= ACCURACY_TOLERANCE + slack,
            format!("{difference:.3} apart, within {ACCURACY_TOLERANCE}"),
        ),
        false => {
            let relative = difference / theirs.abs();
            let why = format!("{:.0} % apart, within 10 %", 100.0 * relative);
            (relative <= ORGANIZATION_TOLERANCE + slack, why)
        }
    };
    match near {
        true => Same(why + &aside),
        false => Differs(super::text::signed(ours - theirs) + &aside),
    }
}

/// The paper's name for a component's task.
fn task_of(component: &str) -> Option<String> {
    let at = study().ok()?.tasks.iter().position(|id| id == component)?;
    Some(format!("Task{}", at + 1))
}

/// By variant, then task, then measure: mean and both ends of the interval.
type Numbers = BTreeMap<String, BTreeMap<String, BTreeMap<String, [Option<f64>; 3]>>>;

#[derive(Deserialize)]
struct Tables {
    unconstrained: Numbers,
    positive_only: Numbers,
}

fn tables() -> Result<&'static Tables, &'static serde_json::Error> {
    static TABLES: LazyLock<Result<Tables, serde_json::Error>> =
        LazyLock::new(|| serde_json::from_str(include_str!("published_tables.json")));
    TABLES.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "cognition.one-choice";

    #[test]
    fn every_published_number_is_there() {
        let tables = tables().unwrap();
        for (name, table) in [("2", &tables.unconstrained), ("3", &tables.positive_only)] {
            assert_eq!(table.len(), 11, "table {name}");
            for tasks in table.values() {
                assert_eq!(tasks.len(), 3);
                assert!(tasks.values().all(|measures| measures.len() == 5));
            }
        }
        let of = |paper: Paper, measure, variant| paper.value(measure, variant, TASK);
        let known = of(Paper::Unconstrained, "running_accuracy", "W*D*C").unwrap();
        assert_eq!((known.mean, known.lower, known.upper), (Some(0.917), Some(0.853), Some(0.981)));
        assert!(of(Paper::PositiveOnly, "accuracy", "WD").unwrap().diverged);
        // Twenty equal runs have no interval, and have not diverged.
        let equal = of(Paper::PositiveOnly, "accuracy", "W*D*C*").unwrap();
        assert_eq!((equal.mean, equal.lower, equal.diverged), (Some(1.0), None, false));
        assert!(of(Paper::Unconstrained, "clustering", "W").is_none());
        assert!(of(Paper::Unconstrained, "accuracy", "mine").is_none());
        assert!(Paper::Unconstrained.value("accuracy", "W", "my.task").is_none());
    }

    #[test]
    fn verdicts_follow_the_rule() {
        let published = Published { mean: Some(0.8), lower: Some(0.75), upper: Some(0.85), diverged: false };
        let of = |mean: f64, half: f64| Sample {
            n: 20,
            mean: Some(mean),
            t: Some((mean - half, mean + half)),
            diverged: 0,
        };
        let judge = |measure, published: &Published, own: &Sample| judge(measure, published, own).name();
        assert_eq!(judge("accuracy", &published, &of(0.9, 0.06)), "same");
        assert_eq!(judge("accuracy", &published, &of(0.9, 0.04)), "differs");
        let narrow = Published { lower: None, upper: None, ..published };
        assert_eq!(judge("running_accuracy", &narrow, &of(0.82, 0.001)), "same");
        assert_eq!(judge("running_accuracy", &narrow, &of(0.8215, 0.001)), "differs");
        // The tolerance of organization is relative.
        assert_eq!(judge("modularity", &narrow, &of(0.875, 0.001)), "same");
        assert_eq!(judge("modularity", &narrow, &of(0.885, 0.001)), "differs");
        let gone = Published { mean: Some(0.238), lower: None, upper: None, diverged: true };
        let diverged = Sample { diverged: 20, ..Sample::default() };
        assert_eq!(judge("accuracy", &gone, &diverged), "same");
        // What networks that diverged are published with is class 0's share of
        // the trials; by the rule it is a number like any other.
        assert_eq!(judge("accuracy", &gone, &of(0.25, 0.001)), "same");
        assert_eq!(judge("accuracy", &gone, &of(0.5, 0.001)), "differs");
        let undefined = Published { mean: None, ..gone };
        assert_eq!(judge("modularity", &undefined, &of(0.4, 0.1)), "differs");
        assert_eq!(
            judge("modularity", &Published { diverged: false, ..undefined }, &of(0.4, 0.1)),
            "cannot be compared"
        );
        assert_eq!(judge("accuracy", &published, &diverged), "differs");
        assert_eq!(judge("modularity", &undefined, &diverged), "same");
        assert_eq!(judge("accuracy", &published, &Sample::default()), "cannot be compared");
        // One run has no interval, and is still near or far.
        let one = Sample { n: 1, mean: Some(0.81), t: None, diverged: 0 };
        assert_eq!(judge("accuracy", &published, &one), "same");
        assert_eq!(judge("accuracy", &published, &Sample { mean: Some(0.84), ..one }), "differs");
    }

    /// Every number of both tables, as if runs here had come out so many
    /// thousandths higher, with intervals of no width.
    fn agreeing(paper: Paper, measure: &str, thousandths: f64) -> (usize, usize) {
        let tables = tables().unwrap();
        let names = tables.unconstrained.keys();
        let tasks = [TASK, "cognition.go-no-go", "cognition.perceptual-decision"];
        let all = names.flat_map(|v| tasks.map(|t| paper.value(measure, v, t).unwrap()));
        let judged = all.filter_map(|published| {
            let shift = match measure {
                "accuracy" => 1e-3 * thousandths,
                _ => 1e-3 * thousandths * published.mean?.abs(),
            };
            // Without intervals, which would overlap.
            let published = Published { lower: None, upper: None, ..published };
            let mean = published.mean? + shift;
            let own = Sample { n: 20, mean: Some(mean), t: Some((mean, mean)), diverged: 0 };
            Some(judge(measure, &published, &own).name() == "same")
        });
        let judged: Vec<bool> = judged.collect();
        (judged.iter().filter(|same| **same).count(), judged.len())
    }

    #[test]
    fn the_published_tables_agree_with_themselves_up_to_the_tolerances() {
        for paper in [Paper::Unconstrained, Paper::PositiveOnly] {
            assert_eq!(agreeing(paper, "accuracy", 0.0), (33, 33));
            assert_eq!(agreeing(paper, "accuracy", 20.0), (33, 33));
            assert_eq!(agreeing(paper, "accuracy", -20.0), (33, 33));
            assert_eq!(agreeing(paper, "accuracy", 20.1), (0, 33));
            assert_eq!(agreeing(paper, "accuracy", -20.1), (0, 33));
        }
        // Of Table 3, 18 cells diverged and have no organization.
        for measure in ["modularity", "small_worldness", "assortativity", "entropy"] {
            assert_eq!(agreeing(Paper::Unconstrained, measure, 100.0), (33, 33), "{measure}");
            assert_eq!(agreeing(Paper::Unconstrained, measure, -100.1), (0, 33), "{measure}");
            assert_eq!(agreeing(Paper::PositiveOnly, measure, 100.0), (15, 15), "{measure}");
            assert_eq!(agreeing(Paper::PositiveOnly, measure, 100.1), (0, 15), "{measure}");
        }
    }

    #[test]
    fn published_intervals_are_what_must_overlap() {
        // Table 2, W*D*C on the first task: 0.917 (0.853, 0.981).
        let cell = Paper::Unconstrained.value("accuracy", "W*D*C", TASK).unwrap();
        let of = |mean: f64, half: f64, diverged| Sample {
            n: 20 - diverged,
            mean: Some(mean),
            t: Some((mean - half, mean + half)),
            diverged,
        };
        let judge = |own: &Sample| judge("running_accuracy", &cell, own);
        assert_eq!(judge(&of(0.8, 0.053, 0)), Verdict::Same("intervals overlap".into()));
        assert_eq!(judge(&of(0.8, 0.0529, 0)), Verdict::Differs("−0.117".into()));
        assert_eq!(
            judge(&of(0.9, 0.1, 4)),
            Verdict::Same("intervals overlap; 4 of 20 runs here diverged".into())
        );
    }
}
