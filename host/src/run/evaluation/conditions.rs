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
    /// Those in which the network had left the correct answer before it changed.
    premature: usize,
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
/// class before. A network that left this class earlier did not react to the change.
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
        if answers[[trial, scored[change]]] != Some(before) {
            of.premature += 1;
            continue;
        }
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
    let reaction = |push: &mut dyn FnMut(&str, Option<f64>), of: [f64; 4]| {
        let [sum, count, premature, observed] = of;
        if observed > 0.0 {
            push("responded", ratio(count, observed));
            push("premature", ratio(premature, observed));
            let steps = ratio(sum, count);
            push("reaction_steps", steps);
            if let Some(step_ms) = info.step_ms {
                push("reaction_ms", steps.map(|steps| steps * step_ms));
            }
        }
    };
    let reactions =
        |of: &OfCondition| [of.reaction.0, of.reaction.1 as f64, of.premature as f64, of.observed as f64];
    let sum = |sum: [f64; 4], of| std::array::from_fn(|k| sum[k] + reactions(of)[k]);
    reaction(&mut |measure, value| push(None, measure, value, trials), by.values().fold([0.0; 4], sum));
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
        reaction(&mut push, reactions(of));
        for class in &classes {
            let sum = of.answers.get(class).copied().unwrap_or(0.0);
            push(&format!("answer_{class}"), ratio(sum, of.weight));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn a_network_that_answers_early_does_not_react() {
        // Fixation (class 0) for two steps, then class 1. The network leaves fixation at
        // the change, a step later, a step before it, and never.
        let answers = [[0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0]];
        let targets = Array2::from_shape_fn((4, 4), |(_, step)| u32::from(step >= 2));
        let (mask, inputs) = (Array2::ones((4, 4)), Array3::zeros((4, 4, 1)));
        let view = BatchView::new(
            inputs.view(),
            TargetsView::Classes(targets.view()),
            mask.view(),
            &[4; 4],
            &[0; 4],
        );
        let outputs = Array2::from_shape_fn((16, 2), |(row, class)| {
            f32::from(u8::from(answers[row % 4][row / 4] == class))
        });
        let info = TaskInfo::classes(1, 2, 4);
        let mut by = BTreeMap::new();
        react(&info, &view, &outputs, &mut by);
        let of = &by[&0];
        assert_eq!((of.observed, of.premature, of.reaction), (4, 1, (1.0, 2)));
        let found = scores(&info, &Sums::default(), by, 4);
        let of_all = |measure: &str| {
            let score = found.iter().find(|score| score.condition.is_none() && score.measure == measure);
            score.unwrap().value.unwrap()
        };
        let shares = ["responded", "premature", "reaction_steps"].map(of_all);
        assert_eq!(array![0.5, 0.25, 0.5], ndarray::Array1::from_iter(shares));
    }
}
