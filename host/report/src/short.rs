//! The section *In short*: a report in a few sentences.

use super::Report;
use super::published::{FIELD, RUNS, SOURCE, Verdict};
use super::summary::Group;
use super::text::{count, three};
use itertools::Itertools;
use pallium_record::outcome::{Status, count_warnings};

/// Names that are listed; further ones are only counted.
const MAX_LISTED: usize = 8;

/// How many results agree with the published ones.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Tally {
    /// Number of results that agree.
    pub same: usize,
    /// Number of results that differ.
    pub differs: usize,
    /// Number of results that have nothing to be compared with.
    pub cannot_be_compared: usize,
    /// Names of the results that differ.
    pub differing: Vec<String>,
}

impl Tally {
    fn new<'a>(groups: impl Iterator<Item = &'a Group>, name: impl Fn(&Group) -> String) -> Self {
        let mut tally = Tally::default();
        for group in groups {
            match &group.verdict {
                Some(Verdict::Same(_)) => tally.same += 1,
                Some(Verdict::Differs(_)) => {
                    tally.differs += 1;
                    tally.differing.push(name(group));
                }
                Some(Verdict::CannotBeCompared(_)) => tally.cannot_be_compared += 1,
                None => {}
            }
        }
        tally
    }

    /// Number of results with a published counterpart.
    pub fn all(&self) -> usize {
        self.same + self.differs + self.cannot_be_compared
    }
}

impl Report {
    /// Agreement of accuracies with the published table.
    pub fn accuracy_tally(&self) -> Tally {
        Tally::new(self.running.iter().flatten(), |g| {
            format!("{} on {}", g.variant, self.short_task(&g.task))
        })
    }

    /// Agreement of measures of organization.
    pub fn organization_tally(&self) -> Tally {
        let groups = self.organization.iter().flatten().flatten();
        Tally::new(groups, |g| {
            let measure = super::text::measure_name(&g.measure);
            format!("{measure} of {} on {}", g.variant, self.short_task(&g.task))
        })
    }

    fn short_task<'a>(&'a self, label: &'a str) -> &'a str {
        self.run.tasks.iter().find(|t| t.label == label).map_or(label, |t| t.short())
    }

    /// The report in a few sentences: what was run, which variant is best, and
    /// whether it agrees with the published values.
    pub fn in_short(&self) -> Vec<String> {
        let run = &self.run;
        let mut sentences = Vec::new();
        let ok = run.count(|s| *s == Status::Ok);
        let mut parts = vec![format!("{ok} of {} done", count(run.manifest.cells, "training"))];
        for (number, what) in [
            (run.count(|s| *s == Status::Diverged), "diverged"),
            (run.count(|s| matches!(s, Status::Failed(_))), "failed"),
            (run.missing, "still to run"),
        ] {
            if number > 0 {
                parts.push(format!("{number} {what}"));
            }
        }
        let neurons = match run.example() {
            Some(_) => format!(" neurons of {},", run.field()),
            None => String::new(),
        };
        sentences.push(format!(
            "{}: {} on {}, {},{neurons} profile {}.",
            parts.join(", "),
            count(run.variants.len(), "variant"),
            count(run.whole_tasks().count(), "task"),
            count(run.manifest.runs as usize, "run"),
            run.manifest.profile
        ));
        sentences.extend((0..run.tasks.len()).filter_map(|task| self.best(task)));
        sentences.extend(self.agreement());
        // Variants may share a training, which warns once.
        let abouts = run.trainings.iter().filter_map(|training| training.about.as_ref());
        let trainings = abouts.unique_by(|about| &about.folder).map(|about| about.warnings.as_slice());
        sentences.extend(
            count_warnings(trainings).into_iter().map(|(warning, trainings)| {
                format!("Warning in {}: {warning}", count(trainings, "training"))
            }),
        );
        sentences
    }

    /// Which variant did best on a task.
    fn best(&self, task: usize) -> Option<String> {
        let groups = self.accuracy[task].iter().filter(|g| g.mean.is_some());
        // Of several, the first.
        let best = groups.reduce(|best, group| if group.mean > best.mean { group } else { best })?;
        let levels = self.run.tasks[task].info.as_ref().and_then(|i| i.levels);
        let above = match (best.above_memoryless, levels.and_then(|l| l.memoryless)) {
            (Some(above), Some(memoryless)) => {
                let runs = count(best.values.len(), "run");
                let verb = if best.values.len() == 1 { "exceeds" } else { "exceed" };
                format!(
                    "; {above} of {runs} {verb} the {} that is possible without memory",
                    three(memoryless)
                )
            }
            _ => String::new(),
        };
        let stuck =
            self.accuracy[task].iter().filter(|g| g.above_memoryless == Some(0) && !g.values.is_empty());
        let stuck: Vec<&str> = stuck.map(|g| g.variant.as_str()).collect();
        let stuck = match stuck.len() {
            0 => String::new(),
            n if n == self.run.variants.len() => " No run of any variant does.".into(),
            n if n <= MAX_LISTED => format!(" Variants without such a run: {}.", stuck.join("; ")),
            n => format!(" {n} variants have no such run."),
        };
        Some(format!(
            "{}: best is {} with {}{above}.{stuck}",
            self.run.tasks[task].short(),
            best.variant,
            best.estimate(),
        ))
    }

    /// Whether the run agrees with the published tables.
    fn agreement(&self) -> Vec<String> {
        let papers = self.papers();
        if papers.is_empty() {
            return Vec::new();
        }
        let names = papers.iter().map(|p| p.name()).join(" and ");
        let about = format!("{SOURCE}, {names}: field {FIELD}, {RUNS} runs");
        // All of them: what is left out would be taken for equal.
        let departures = grouped(&self.departures());
        let (accuracy, organization) = (self.accuracy_tally(), self.organization_tally());
        let agree = |what: &str, tally: &Tally| {
            let mut text = format!("of {} {what} {} agree", tally.all(), tally.same);
            if tally.differs > 0 {
                let few: Vec<&str> = tally.differing.iter().take(MAX_LISTED).map(String::as_str).collect();
                let more = if tally.differs > MAX_LISTED { ", …" } else { "" };
                let verb = if tally.differs == 1 { "differs" } else { "differ" };
                text += &format!(", {} {verb} ({}{more})", tally.differs, few.join(", "));
            }
            if tally.cannot_be_compared > 0 {
                text += &format!(", {} cannot be compared", tally.cannot_be_compared);
            }
            text
        };
        if accuracy.same + accuracy.differs + organization.same + organization.differs == 0 {
            let why = match departures.as_str() {
                "" => "no training has a value".to_owned(),
                departures => format!("this run differs from the study: {departures}"),
            };
            return vec![format!(
                "The published values ({about}) cannot be compared with these, because {why}."
            )];
        }
        let runs = self.run.manifest.runs as usize;
        let fewer = match runs < RUNS {
            true => format!(
                " With {} here instead of {RUNS}, intervals are wide and overlap easily.",
                count(runs, "run")
            ),
            false => String::new(),
        };
        let mut all = vec![format!(
            "Against the published values ({about}): {}; {}.{fewer}",
            agree("accuracies", &accuracy),
            agree("measures of organization", &organization),
        )];
        if !departures.is_empty() {
            all.push(format!("Variants that differ from the study are not compared with it: {departures}."));
        }
        all
    }
}

/// Departures in words: the values of one setting together.
fn grouped(departures: &[String]) -> String {
    let split = |text: &'_ String| match text.split_once(" = ") {
        Some((setting, value)) => (setting.to_owned(), Some(value.to_owned())),
        None => (text.clone(), None),
    };
    let mut settings: Vec<(String, Vec<String>)> = Vec::new();
    for (setting, value) in departures.iter().map(split) {
        match settings.iter_mut().find(|known| known.0 == setting) {
            Some(known) => known.1.extend(value),
            None => settings.push((setting, value.into_iter().collect())),
        }
    }
    let text = |(setting, values): &(String, Vec<String>)| match values.as_slice() {
        [] => setting.clone(),
        values if values.len() <= MAX_LISTED => format!("{setting} = {}", values.join(" or ")),
        [first, .., last] => format!("{setting} = {} values, {first} … {last}", values.len()),
        [only] => format!("{setting} = {only}"),
    };
    settings.iter().map(text).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_setting_are_listed_together() {
        let of = |all: &[&str]| grouped(&all.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            of(&["other neurons: x, published y", "a = 1", "b = 2", "a = 3"]),
            "other neurons: x, published y, a = 1 or 3, b = 2"
        );
        let many: Vec<String> = (0..45).map(|i| format!("λ = {i}")).collect();
        assert_eq!(grouped(&many), "λ = 45 values, 0 … 44");
    }
}
