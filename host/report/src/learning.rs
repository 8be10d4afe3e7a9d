//! How fast networks learn: trials to a criterion, and the mean accuracy over a training.
//!
//! A run that ends below the criterion is censored at the planned length of its training: it
//! is not known when, or whether, it would reach it. So times are compared by survival curves
//! and log-rank tests, which use every run, and not by means of those that arrive. A run that
//! stopped early counts as one that does not reach it within the planned length: it stopped
//! because it no longer improved. Were it censored when it stopped, variants that give up
//! would seem to learn fast.

use pallium_core::{Levels, random};
use pallium_record::outcome::{Epoch, Status};
use pallium_stats::survival::{Duration, SurvivalStep, kaplan_meier, logrank, median_time};
use pallium_stats::{self as stats, Test};
use serde_json::{Value, json};

use super::Report;
use super::effects::Effect;
use super::folder::{RunFolder, curve};
use super::run_table::ends;
use super::table::{Emphasis, Table, TableCell};
use super::text::{count, estimate_caption, human, number, p_cell, signed, three, two};
use crate::figure::effects::SIGNIFICANT;
use crate::text::estimate;

/// Learning of one task.
#[derive(Clone, Debug)]
pub struct TaskLearning {
    /// The accuracy that counts as learned; none for tasks without accuracy.
    pub criterion: Option<f64>,
    /// Whether the default criterion is the ideal, because that is possible without memory.
    pub criterion_is_ideal: bool,
    /// By variant.
    pub groups: Vec<GroupLearning>,
    /// Log-rank test over all variants.
    pub all: Test,
    /// Log-rank tests of the report's effects, in their order.
    pub effects: Vec<EffectOnLearning>,
}

/// Learning of one variant.
#[derive(Clone, Debug)]
pub struct GroupLearning {
    /// Runs that have a learning curve.
    pub runs: Vec<u32>,
    /// For each run the trials until the criterion was reached, or those of its planned
    /// training.
    pub durations: Vec<Duration>,
    /// For each run the mean accuracy over all epochs.
    pub areas: Vec<f64>,
    /// Ends of the interval of their mean, of the kind that the experiment sets.
    pub interval: Option<(f64, f64)>,
    /// The share of runs below the criterion, by trials.
    pub curve: Vec<SurvivalStep>,
}

/// What an effect of the design does to learning.
#[derive(Clone, Debug)]
pub struct EffectOnLearning {
    /// Difference of the shares of runs that reach the criterion, the mean over pairs.
    pub difference: f64,
    /// The log-rank test, stratified by the pairs of variants.
    pub test: Test,
    /// Its p adjusted by Holm over the task's effects.
    pub holm: f64,
}

impl GroupLearning {
    /// Number of runs that reached the criterion.
    pub fn reached(&self) -> usize {
        self.durations.iter().filter(|duration| duration.observed).count()
    }

    /// Median of the trials to the criterion; NaN if fewer than half reach it.
    pub fn median(&self) -> f64 {
        median_time(&self.curve)
    }

    fn share(&self) -> f64 {
        self.reached() as f64 / self.durations.len() as f64
    }
}

/// The accuracy that counts as learned if the experiment states none: halfway from what
/// is possible without memory, or from chance, to the ideal; 1 if that is unknown.
fn default_criterion(levels: Levels) -> f64 {
    let (low, high) = ends_of(levels);
    0.5 * (low + high)
}

/// The levels between which the default criterion lies.
fn ends_of(levels: Levels) -> (f64, f64) {
    (levels.memoryless.unwrap_or(levels.chance), levels.ideal.unwrap_or(1.0))
}

/// Learning of a task, from the curves of its finished trainings.
pub fn learning(run: &RunFolder, task: usize, effects: &[Effect]) -> TaskLearning {
    let info = run.tasks[task].info.as_ref().filter(|info| info.has_accuracy());
    let stated = run.manifest.analysis.criterion;
    let criterion = info.and_then(|info| stated.or_else(|| info.levels.map(default_criterion)));
    let criterion_is_ideal = stated.is_none()
        && info.and_then(|info| info.levels).map(ends_of).is_some_and(|(low, high)| low >= high);
    let groups: Vec<GroupLearning> =
        (0..run.variants.len()).map(|variant| group(run, variant, task, criterion)).collect();
    let place = |name: &String| run.variants.iter().position(|variant| variant == name);
    let samples: Vec<&[Duration]> = groups.iter().map(|group| group.durations.as_slice()).collect();
    let mut on_learning: Vec<EffectOnLearning> = effects
        .iter()
        .map(|effect| {
            let pairs: Vec<(usize, usize)> =
                effect.pairs.iter().filter_map(|(a, b)| Some((place(a)?, place(b)?))).collect();
            let shares: Vec<f64> =
                pairs.iter().map(|&(a, b)| groups[a].share() - groups[b].share()).collect();
            let strata: Vec<Vec<&[Duration]>> =
                pairs.iter().map(|&(a, b)| vec![samples[a], samples[b]]).collect();
            let difference = shares.iter().sum::<f64>() / shares.len() as f64;
            EffectOnLearning { difference, test: logrank(&strata), holm: f64::NAN }
        })
        .collect();
    let p: Vec<f64> = on_learning.iter().map(|effect| effect.test.p).collect();
    on_learning.iter_mut().zip(stats::holm(&p)).for_each(|(effect, holm)| effect.holm = holm);
    TaskLearning { criterion, criterion_is_ideal, all: logrank(&[samples]), groups, effects: on_learning }
}

fn group(run: &RunFolder, variant: usize, task: usize, criterion: Option<f64>) -> GroupLearning {
    let mut found = GroupLearning {
        runs: Vec::new(),
        durations: Vec::new(),
        areas: Vec::new(),
        interval: None,
        curve: Vec::new(),
    };
    let member = run.tasks[task].member.as_deref();
    for training in run.group(variant, task) {
        let Some(about) = training.about.as_ref() else { continue };
        let Some(criterion) = criterion else { continue };
        let settings = &about.spec.training;
        let curve = curve(about, member);
        let diverged = training.status == Status::Diverged;
        let Some(duration) = duration(&curve, criterion, diverged, settings.epochs) else { continue };
        let trials = settings.trials as f64;
        found.runs.push(training.run);
        found.durations.push(Duration { time: trials * duration.time, ..duration });
        found.areas.extend(area(&curve, settings.epochs).filter(|_| training.status == Status::Ok));
    }
    let seed = random::derive(
        run.manifest.seed,
        0,
        &format!("interval {} {} learning", run.variants[variant], run.tasks[task].label),
    );
    found.interval = ends(&found.areas, run.interval, seed);
    found.curve = kaplan_meier(&found.durations);
    found
}

/// The accuracy on validation trials, or without these what training saw.
fn accuracy(epoch: &Epoch) -> Option<f64> {
    epoch.validation_accuracy.or(epoch.running_accuracy).filter(|value| value.is_finite())
}

/// The first epoch at the criterion, or the `planned` one if none is, also if the run
/// diverged or stopped early: it would not have reached it. `None` of a run that did not
/// diverge and has no curve.
fn duration(curve: &[Epoch], criterion: f64, diverged: bool, planned: u32) -> Option<Duration> {
    if curve.is_empty() && !diverged {
        return None;
    }
    let reached = curve.iter().find(|epoch| accuracy(epoch).is_some_and(|value| value >= criterion));
    Some(Duration {
        time: f64::from(reached.map_or(planned, |epoch| epoch.epoch)),
        observed: reached.is_some(),
    })
}

/// The mean accuracy over the planned epochs; after an early end its last value counts.
fn area(curve: &[Epoch], planned: u32) -> Option<f64> {
    let values: Vec<f64> = curve.iter().filter_map(accuracy).collect();
    let last = *values.last()?;
    let held = (planned as usize).saturating_sub(values.len()) as f64;
    Some((values.iter().sum::<f64>() + held * last) / (values.len() as f64 + held))
}

impl Report {
    /// Whether any task has a criterion and a curve.
    pub fn has_learning(&self) -> bool {
        self.learning.iter().any(TaskLearning::is_known)
    }

    /// How fast the variants learn a task.
    pub fn learning_table(&self, task: usize) -> Table {
        let TaskLearning { criterion, criterion_is_ideal, groups, all, .. } = &self.learning[task];
        let name = self.run.tasks[task].short();
        let caption = format!(
            "Reached: runs with a validation accuracy of {} or more after any epoch. Median number of trials to \
             reach it: Kaplan–Meier estimate, which includes runs that never do; – if fewer than half do. Mean \
             accuracy: over all epochs, that is the area under the learning curve; {}. Log-rank test over all \
             variants: χ² {}, p {}.{}",
            criterion.map_or_else(|| "–".into(), three),
            estimate_caption(self.run.interval, groups.iter().any(|group| group.interval.is_some())),
            two(all.statistic),
            p_cell(all.p),
            match criterion_is_ideal {
                true => {
                    " The ideal accuracy is possible without memory, so the criterion is the ideal; set \
                     analysis.criterion to a lower accuracy."
                }
                false => "",
            }
        );
        let id = format!("learning-{}", self.run.slug(task));
        let mut table = Table::new(id, format!("Learning, {name}"), caption).columns([
            "variant",
            "#reached",
            "#median trials to criterion",
            "#mean accuracy",
        ]);
        for (place, group) in groups.iter().enumerate() {
            let n = group.durations.len();
            let reached = match n {
                0 => TableCell::text("–"),
                _ => TableCell::number(group.share(), format!("{:.0} %", 100.0 * group.share()))
                    .note(format!("{} of {}", group.reached(), count(n, "run"))),
            };
            let median = group.median();
            let mean = (!group.areas.is_empty()).then(|| stats::mean(&group.areas));
            table.row(vec![
                TableCell::text(&self.run.variants[place]).emphasis(Emphasis::Variant(place)),
                reached,
                TableCell::number(median, if median.is_nan() { "–".into() } else { human(median) }),
                TableCell::interval(mean, group.interval, estimate(mean, group.interval, self.run.interval))
                    .note(count(group.areas.len(), "run")),
            ]);
        }
        table
    }

    /// What the effects of the design do to learning.
    pub fn learning_effects_table(&self, task: usize) -> Table {
        let caption = "Log-rank tests of the trials to the criterion, stratified by the pairs of variants that an effect \
                       compares; difference in the share of runs that reach it, the mean over the pairs; Holm over the rows of this table.";
        let id = format!("learning-effects-{}", self.run.slug(task));
        let title = format!("Effects on learning, {}", self.run.tasks[task].short());
        let mut table = Table::new(id, title, caption).columns([
            "effect",
            "in words",
            "#difference",
            "#χ²",
            "#p",
            "#p (Holm)",
        ]);
        for (effect, found) in self.statistics[task].effects.iter().zip(&self.learning[task].effects) {
            let emphasis = if found.holm < SIGNIFICANT { Emphasis::Plain } else { Emphasis::Faint };
            let cell = |value: f64, text: String| TableCell::number(value, text).emphasis(emphasis);
            table.row(vec![
                TableCell::text(effect.label()),
                TableCell::text(&effect.meaning).emphasis(emphasis),
                cell(found.difference, signed(found.difference)),
                cell(found.test.statistic, two(found.test.statistic)),
                cell(found.test.p, p_cell(found.test.p)),
                cell(found.holm, p_cell(found.holm)),
            ]);
        }
        table
    }
}

impl TaskLearning {
    /// Whether any run has a duration.
    pub fn is_known(&self) -> bool {
        self.groups.iter().any(|group| !group.durations.is_empty())
    }

    /// As JSON; effects are in the order of the report's.
    pub fn document(&self, variants: &[String], effects: &[Effect]) -> Value {
        let test = |test: Test| json!([number(test.statistic), number(test.p)]);
        let groups = variants.iter().zip(&self.groups).map(|(variant, group)| {
            json!({
                "variant": variant,
                "runs": group.runs,
                "trials": group.durations.iter().map(|d| number(d.time)).collect::<Vec<_>>(),
                "reached": group.durations.iter().map(|d| d.observed).collect::<Vec<_>>(),
                "median_trials": number(group.median()),
                "mean_accuracy": group.areas,
                "interval": group.interval,
                "survival": group.curve.iter()
                    .map(|step| json!([number(step.time), step.at_risk, step.events, number(step.survival)]))
                    .collect::<Vec<_>>(),
            })
        });
        let effects = effects.iter().zip(&self.effects).map(|(effect, found)| {
            json!({
                "name": effect.name,
                "difference": number(found.difference),
                "logrank": test(found.test),
                "holm": number(found.holm),
            })
        });
        json!({
            "criterion": self.criterion,
            "logrank": test(self.all),
            "groups": groups.collect::<Vec<_>>(),
            "effects": effects.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> Vec<Epoch> {
        let epoch = |(at, &value): (usize, &f64)| Epoch {
            epoch: at as u32 + 1,
            validation_accuracy: Some(value),
            running_accuracy: Some(1.0),
            ..Epoch::default()
        };
        values.iter().enumerate().map(epoch).collect()
    }

    #[test]
    fn a_run_that_never_reaches_the_criterion_is_censored() {
        let of = |values: &[f64], diverged| {
            duration(&curve(values), 0.8, diverged, 10).map(|d| (d.time, d.observed))
        };
        assert_eq!(of(&[0.5, 0.8, 0.6], false), Some((2.0, true)), "the first epoch at it, whatever follows");
        assert_eq!(of(&[0.5, 0.79, 0.6], false), Some((10.0, false)), "stopped early");
        assert_eq!(of(&[0.6; 10], false), Some((10.0, false)), "trained to the end");
        assert_eq!(of(&[0.5], true), Some((10.0, false)), "diverged");
        assert_eq!(of(&[0.9], true), Some((1.0, true)), "diverged afterwards");
        assert_eq!(of(&[], false), None);
        // Without validation trials, what training saw.
        let running = [Epoch { epoch: 4, running_accuracy: Some(0.9), ..Epoch::default() }];
        assert_eq!(duration(&running, 0.8, false, 10).map(|d| d.time), Some(4.0));
    }

    #[test]
    fn a_variant_that_gives_up_does_not_seem_fast() {
        // 3 of 10 runs reach the criterion in the last epoch; the others stop after 2.
        let last = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9];
        let give_up: Vec<Duration> = (0..10)
            .filter_map(|run| duration(&curve(if run < 3 { &last } else { &[0.5, 0.5] }), 0.8, false, 10))
            .collect();
        let steps = kaplan_meier(&give_up);
        assert_eq!((steps[0].at_risk, steps[0].events), (10, 3));
        assert!(median_time(&steps).is_nan(), "fewer than half reach it");
        // The same as runs that go on without learning.
        let go_on: Vec<Duration> = (0..10)
            .filter_map(|run| duration(&curve(if run < 3 { &last } else { &[0.5; 10] }), 0.8, false, 10))
            .collect();
        assert_eq!(give_up, go_on);
    }

    #[test]
    fn the_area_under_a_curve_is_its_mean_with_the_last_value_held() {
        assert_eq!(area(&curve(&[0.5, 0.75, 1.0]), 3), Some(0.75));
        assert_eq!(area(&curve(&[0.5, 1.0]), 4), Some(0.875));
        assert_eq!(area(&[], 4), None);
    }

    #[test]
    fn the_criterion_is_halfway_from_without_memory_to_the_ideal() {
        let levels = |memoryless, ideal| Levels { chance: 0.25, memoryless, ideal };
        assert_eq!(default_criterion(levels(Some(0.5), Some(0.75))), 0.625);
        assert_eq!(default_criterion(levels(None, None)), 0.625);
        assert_eq!(default_criterion(levels(Some(1.0), None)), 1.0);
    }
}
