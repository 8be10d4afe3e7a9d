//! Scores of a network on trials: of all, and of each condition.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, Axis};
use pallium_core::{BatchView, Explained, Loss, LossSums, Result, TargetsView, TaskInfo, largest};

use super::super::scores::Sums;
use super::super::trials::ForwardOf;
use super::tested::TestTrials;

/// One number about all trials, or about those of a condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Score {
    /// Index of the condition; `None` for all trials.
    pub condition: Option<u32>,
    pub measure: String,
    pub value: Option<f64>,
    pub trials: usize,
}

/// Sums over the trials of a condition.
#[derive(Default)]
struct OfCondition {
    loss: LossSums,
    correct: f64,
    weight: f64,
    explained: Option<Explained>,
    trials: usize,
    /// Sum of reaction times in steps, and their number.
    reaction: (f64, usize),
    /// Trials that a reaction could be observed in.
    observed: usize,
    /// Weight of each answer.
    answers: BTreeMap<u32, f64>,
}

/// The scores of the network that `forward` runs; `answers` asks for the share of each
/// answer.
pub(super) fn score(
    trials: &mut TestTrials,
    answers: bool,
    forward: &mut ForwardOf<'_>,
) -> Result<Vec<Score>> {
    let (member, info, passes) = (trials.member, trials.info().clone(), trials.passes());
    let outputs = trials.tasks.info.outputs;
    let batch = trials.shown(forward)?.into_owned();
    let tasks = &mut trials.tasks;
    let mut pass = |range: &Range<usize>, view: &BatchView<'_>| -> Result<(Array2<f32>, LossSums)> {
        let mut found = Array2::zeros((view.scored().count(), outputs));
        forward(range.clone(), view, found.view_mut())?;
        let loss = info.loss.compare(view, found.view(), None)?;
        Ok((found, loss))
    };
    let mut sums = Sums::default();
    let mut by: BTreeMap<u32, OfCondition> = BTreeMap::new();
    for range in passes {
        let view = batch.slice(range.clone());
        let (outputs, loss) = pass(&range, &view)?;
        let right = tasks.judged(member, &view, outputs.view())?;
        sums.add(&loss, correct(&view, &right, &loss, &info), 0.0, range.len());
        sums.explain(&info, &view, outputs.view())?;
        for (&condition, trials) in &positions(view.conditions) {
            let of = by.entry(condition).or_default();
            of.trials += trials.len();
            let mask = only(view.mask.to_owned(), view.conditions, condition);
            // A view of its own, since that of the mask lives no longer than this.
            let all = batch.slice(range.clone());
            let own = BatchView::new(all.inputs, all.targets, mask.view(), all.lengths, all.conditions);
            let outputs = outputs.select(Axis(0), &rows_of(&view, condition));
            let found = info.loss.compare(&own, outputs.view(), None)?;
            of.loss.loss += found.loss;
            of.loss.weight += found.weight;
            if !info.loss.of_classes() {
                let explained = of.explained.get_or_insert_default();
                explained.add(&own, outputs.view(), info.loss == Loss::Poisson)?;
            }
        }
        react(&info, &view, &outputs, &mut by);
        if !info.has_accuracy() {
            continue;
        }
        // Accuracy may weight steps differently.
        let (view, outputs, right) = match batch.scored {
            None => (view, outputs, right),
            Some(_) => {
                let view = batch.slice_scored(range.clone());
                let (outputs, loss) = pass(&range, &view)?;
                let right = tasks.judged(member, &view, outputs.view())?;
                sums.add_scored(correct(&view, &right, &loss, &info), loss.weight);
                (view, outputs, right)
            }
        };
        for (row, at) in view.scored().enumerate() {
            let of = by.entry(view.conditions[at.trial]).or_default();
            let weight = f64::from(view.mask[[at.trial, at.step]]);
            of.weight += weight;
            of.correct += if right[row] { weight } else { 0.0 };
            if answers && info.loss.of_classes() {
                *of.answers.entry(largest(outputs.row(row).iter().copied())).or_default() += weight;
            }
        }
    }
    Ok(scores(&info, &sums, by, batch.trials()))
}

/// Weight of the correct answers. What the loss counts itself is taken as it is, so
/// that the sum has the rounding of the evaluation after training.
fn correct(view: &BatchView<'_>, right: &[bool], loss: &LossSums, info: &TaskInfo) -> f64 {
    if !info.judges {
        return loss.correct;
    }
    let weights = view.scored().map(|at| f64::from(view.mask[[at.trial, at.step]]));
    weights.zip(right).filter(|(_, right)| **right).map(|(weight, _)| weight).sum()
}

fn positions(conditions: &[u32]) -> BTreeMap<u32, Vec<usize>> {
    let mut by: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (trial, &condition) in conditions.iter().enumerate() {
        by.entry(condition).or_default().push(trial);
    }
    by
}

fn only(mut mask: Array2<f32>, conditions: &[u32], condition: u32) -> Array2<f32> {
    for (mut row, &kind) in mask.outer_iter_mut().zip(conditions) {
        if kind != condition {
            row.fill(0.0);
        }
    }
    mask
}

fn rows_of(view: &BatchView<'_>, condition: u32) -> Vec<usize> {
    let rows = view.scored().enumerate();
    rows.filter(|(_, at)| view.conditions[at.trial] == condition).map(|(row, _)| row).collect()
}

/// Reaction times: in each trial whose correct class changes at its last change, such
/// as from fixation to a choice, the number of steps until the answer is no longer the
/// class before.
fn react(info: &TaskInfo, view: &BatchView<'_>, outputs: &Array2<f32>, by: &mut BTreeMap<u32, OfCondition>) {
    let TargetsView::Classes(targets) = view.targets else { return };
    if info.judges {
        return;
    }
    let (trials, steps) = view.mask.dim();
    let mut answers = Array2::<Option<u32>>::default((trials, steps));
    for (at, outputs) in view.scored().zip(outputs.rows()) {
        answers[[at.trial, at.step]] = Some(largest(outputs.iter().copied()));
    }
    for trial in 0..trials {
        let scored: Vec<usize> = (0..steps).filter(|&step| view.mask[[trial, step]] > 0.0).collect();
        let change =
            scored.windows(2).rposition(|pair| targets[[trial, pair[0]]] != targets[[trial, pair[1]]]);
        let Some(change) = change else { continue };
        let (before, begin) = (targets[[trial, scored[change]]], scored[change + 1]);
        let of = by.entry(view.conditions[trial]).or_default();
        of.observed += 1;
        let answer = scored[change + 1..].iter().find(|&&step| answers[[trial, step]] != Some(before));
        if let Some(step) = answer {
            of.reaction.0 += (step - begin) as f64;
            of.reaction.1 += 1;
        }
    }
}

fn scores(info: &TaskInfo, sums: &Sums, by: BTreeMap<u32, OfCondition>, trials: usize) -> Vec<Score> {
    let mut found = Vec::new();
    let mut push = |condition: Option<u32>, measure: &str, value: Option<f64>, trials: usize| {
        let value = value.filter(|value| value.is_finite());
        found.push(Score { condition, measure: measure.to_owned(), value, trials });
    };
    let ratio = |sum: f64, weight: f64| (weight > 0.0).then(|| sum / weight);
    if info.has_accuracy() {
        push(None, "accuracy", sums.accuracy(info), trials);
    }
    if !info.loss.of_classes() {
        push(None, "r2", sums.r2(), trials);
    }
    push(None, "task_loss", Some(sums.task_loss()), trials);
    let all = |of: fn(&OfCondition) -> f64| by.values().map(of).sum::<f64>();
    let reaction = |push: &mut dyn FnMut(&str, Option<f64>), sum: f64, count: f64, observed: f64| {
        if observed > 0.0 {
            push("responded", ratio(count, observed));
            let steps = ratio(sum, count);
            push("reaction_steps", steps);
            if let Some(step_ms) = info.step_ms {
                push("reaction_ms", steps.map(|steps| steps * step_ms));
            }
        }
    };
    let observed = [all(|of| of.reaction.0), all(|of| of.reaction.1 as f64), all(|of| of.observed as f64)];
    reaction(&mut |measure, value| push(None, measure, value, trials), observed[0], observed[1], observed[2]);
    // A class that is never the answer has the share 0.
    let mut classes: Vec<u32> = by.values().flat_map(|of| of.answers.keys().copied()).collect();
    if !classes.is_empty() {
        classes.extend(0..info.outputs as u32);
    }
    classes.sort_unstable();
    classes.dedup();
    for class in &classes {
        let sum: f64 = by.values().filter_map(|of| of.answers.get(class)).sum();
        push(None, &format!("answer_{class}"), ratio(sum, all(|of| of.weight)), trials);
    }
    for (&condition, of) in &by {
        let mut push = |measure: &str, value: Option<f64>| push(Some(condition), measure, value, of.trials);
        if info.has_accuracy() {
            push("accuracy", ratio(of.correct, of.weight));
        }
        if let Some(explained) = &of.explained {
            push("r2", explained.r2());
        }
        push("task_loss", ratio(of.loss.loss, of.loss.weight));
        reaction(&mut push, of.reaction.0, of.reaction.1 as f64, of.observed as f64);
        for class in &classes {
            let sum = of.answers.get(class).copied().unwrap_or(0.0);
            push(&format!("answer_{class}"), ratio(sum, of.weight));
        }
    }
    found
}
