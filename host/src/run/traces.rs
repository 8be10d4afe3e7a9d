//! What a finished network does on trials: outputs, activity and states at every
//! step, with everything that tells trials, steps and units apart.

use ndarray::{Array2, Array3, Axis, s};
use pallium_core::{
    Batch, BatchView, Error, Mode, Model, ModelInfo, Result, Substrate, TargetsView, TaskInfo, largest,
};
use pallium_record::spec::CellSpec;
use pallium_record::weights::Weights;
use serde::{Deserialize, Serialize};

use super::components::{Ground, Options};
use super::evaluation::{Test, TestTrials, between_units, neurons};
use super::finished_network::FinishedNetwork;
use crate::dataset::{Content, Dataset};
use crate::plugins::Catalogue;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
pub enum What {
    /// Stimuli, correct answers and weights of the steps.
    Trials,
    /// The network's outputs at every step.
    Logits,
    /// The hidden activity at every step.
    Activity,
    /// The complete state at every step, in double precision.
    States,
    /// Correlations of the recorded neurons that the units were grown from.
    Recorded,
}

/// Largest difference between hidden activity in single and in double precision,
/// relative to the largest activity.
const SAME: f64 = 1e-3;

/// Records the network of a finished training on the trials of a test.
///
/// # Errors
/// If a component is missing or fails, the task does not fit the network, or states
/// are wanted of a model that does not offer its step.
pub fn traces(
    spec: &CellSpec,
    weights: &Weights,
    test: &Test,
    what: &[What],
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Dataset> {
    let ground = Ground::new(spec, catalogue, options)?;
    let FinishedNetwork { mut model, info, .. } =
        FinishedNetwork::new(spec, weights, &ground, catalogue, options)?;
    let mut of_test = TestTrials::new(spec, test, &ground, catalogue, options)?;
    let passes = of_test.passes();
    let batch = of_test.shown_to(model.as_mut())?.into_owned();
    let mut data = Dataset::default();
    label(&mut data, spec, test, &of_test, &batch);
    units(&mut data, &info, &ground.substrate);
    // The network's outputs, of which the task may use the first ones.
    let width = of_test.tasks.info.outputs;
    if what.contains(&What::Trials) {
        trials(&mut data, width, &batch);
    }
    let (count, steps, _) = batch.inputs.dim();
    let mut outputs = Array3::from_elem((count, steps, width), f32::NAN);
    let mut activity = Array3::from_elem((count, steps, info.units), f32::NAN);
    for range in passes {
        let view = batch.slice(range.clone());
        // Every step of a trial is read out.
        let every = Array2::from_shape_fn(view.mask.dim(), |(trial, step)| {
            if step < view.lengths[trial] as usize { 1.0 } else { 0.0 }
        });
        let all = BatchView::new(view.inputs, view.targets, every.view(), view.lengths, view.conditions);
        let mut found = Array2::zeros((all.scored().count(), width));
        model.forward(&all, Mode::Record, found.view_mut())?;
        for (at, row) in all.scored().zip(found.outer_iter()) {
            outputs.slice_mut(s![range.start + at.trial, at.step, ..]).assign(&row);
        }
        let hidden = model.activity()?;
        for (trial, &length) in view.lengths.iter().enumerate() {
            let length = length as usize;
            activity.slice_mut(s![range.start + trial, ..length, ..]).assign(&hidden.slice(s![
                ..length,
                trial,
                ..
            ]));
        }
    }
    let axes = [("trial", count), ("step", steps)];
    if what.contains(&What::Logits) {
        correct(&mut data, of_test.info(), &batch, &outputs);
        let axes = [axes[0], axes[1], ("output", width)];
        data.push(
            "logits",
            &axes,
            Content::Single(flat(&outputs)),
            "outputs of the network; NaN past a trial's end",
        );
    }
    if what.contains(&What::States) {
        let states = states(model.as_ref(), &info, &batch, &activity)?;
        let width = states.dim().2;
        let names = info.states.iter().flat_map(|part| vec![part.name.clone(); part.length]).collect();
        data.label("state_part", ("state", width), Content::Text(names), "part of the state");
        let axes = [axes[0], axes[1], ("state", width)];
        let values = states.into_raw_vec_and_offset().0;
        data.push("states", &axes, Content::Double(values), "state after each step; NaN past a trial's end");
    }
    if what.contains(&What::Recorded) {
        let all = ground.substrate.matrix(Substrate::CORRELATION).map_err(|e| {
            Error::input(format!("the recorded correlation is missing: {}", e.message))
                .help("leave `recorded` out, or use a substrate with recorded activity")
        })?;
        let values = between_units(&info, all).into_iter().collect();
        let axes = [("unit", info.units), ("other_unit", info.units)];
        let about = "correlation of the recorded activity of two units' neurons; NaN for free units";
        data.push("recorded", &axes, Content::Double(values), about);
    }
    if what.contains(&What::Activity) {
        let axes = [axes[0], axes[1], ("unit", info.units)];
        data.push(
            "activity",
            &axes,
            Content::Single(flat(&activity)),
            "hidden activity; NaN past a trial's end",
        );
    }
    Ok(data)
}

fn flat(values: &Array3<f32>) -> Vec<f32> {
    values.iter().copied().collect()
}

/// What tells trials and steps apart.
fn label(data: &mut Dataset, spec: &CellSpec, test: &Test, trials: &TestTrials, batch: &Batch) {
    let (task, member) = (trials.info(), &trials.tasks.members[trials.member]);
    let about = [
        ("variant", spec.variant.clone()),
        ("trained_on", spec.task.clone()),
        ("run", spec.run.to_string()),
        ("task", test.task.clone()),
        ("settings", test.settings.clone()),
        ("model", spec.model.id.clone()),
        ("loss", task.loss.to_string()),
    ];
    data.attributes.extend(about.map(|(name, text)| (name.to_owned(), text)));
    let (trials, steps, _) = batch.inputs.dim();
    let whole = |values: &[u32]| Content::Whole(values.iter().map(|&value| i64::from(value)).collect());
    let conditions: Vec<u32> = batch.conditions.iter().map(|&c| member.own_condition(c)).collect();
    data.label("condition", ("trial", trials), whole(&conditions), "index of the condition");
    let names = batch.conditions.iter().map(|&condition| member.condition_name(condition)).collect();
    data.label("condition_name", ("trial", trials), Content::Text(names), "the condition");
    data.label("length", ("trial", trials), whole(&batch.lengths), "number of steps");
    if let Some(step_ms) = task.step_ms {
        let times = (0..steps).map(|step| step as f64 * step_ms).collect();
        data.label("time_ms", ("step", steps), Content::Double(times), "start of the step in milliseconds");
    }
    if let Some(periods) = &batch.periods {
        let of = |((trial, step), &period): ((usize, usize), &u32)| {
            if step < batch.lengths[trial] as usize { i64::from(period) } else { -1 }
        };
        let values = periods.indexed_iter().map(of).collect();
        let axes = [("trial", trials), ("step", steps)];
        data.push("period", &axes, Content::Whole(values), "index into period_name; -1 past a trial's end");
        let names = task.periods.clone();
        data.label("period_name", ("period_index", names.len()), Content::Text(names), "the periods");
    }
}

/// What tells units apart.
fn units(data: &mut Dataset, info: &ModelInfo, substrate: &Substrate) {
    let neurons = neurons(info);
    let axis = ("unit", info.units);
    let own = neurons.iter().map(|neuron| neuron.map_or(-1, |neuron| neuron as i64)).collect();
    data.label("neuron", axis, Content::Whole(own), "index of the substrate's neuron; -1 for a free unit");
    let populations = info.populations.iter().flat_map(|p| vec![p.name.clone(); p.units]).collect();
    data.label("population", axis, Content::Text(populations), "population of the unit");
    for (name, ids) in &substrate.ids {
        let of = |neuron: &Option<usize>| neuron.and_then(|at| ids.get(at).copied()).unwrap_or(-1);
        let values = neurons.iter().map(of).collect();
        data.label(
            format!("id_{name}"),
            axis,
            Content::Whole(values),
            "identifier of the neuron; -1 for none",
        );
    }
}

fn trials(data: &mut Dataset, outputs: usize, batch: &Batch) {
    let (trials, steps, channels) = batch.inputs.dim();
    let axes = [("trial", trials), ("step", steps)];
    let inputs = Content::Single(flat(&batch.inputs));
    data.push(
        "inputs",
        &[axes[0], axes[1], ("channel", channels)],
        inputs,
        "stimuli, without noise of the model",
    );
    let target = "correct answer; it counts only where a weight is above 0";
    match batch.targets.view() {
        TargetsView::Classes(classes) => {
            let values = classes.iter().map(|&class| i64::from(class)).collect();
            data.push("target", &axes, Content::Whole(values), target);
        }
        TargetsView::Values(values) => {
            let values = Content::Single(values.iter().copied().collect());
            data.push("target", &[axes[0], axes[1], ("output", outputs)], values, target);
        }
        _ => {}
    }
    let weights = Content::Single(batch.mask.iter().copied().collect());
    data.push("loss_weight", &axes, weights, "weight of the step in the loss");
    let weights = Content::Single(batch.accuracy_mask().iter().copied().collect());
    data.push("accuracy_weight", &axes, weights, "weight of the step in the accuracy");
}

/// The share of correct answers of each trial.
fn correct(data: &mut Dataset, task: &TaskInfo, batch: &Batch, outputs: &Array3<f32>) {
    let TargetsView::Classes(classes) = batch.targets.view() else { return };
    if task.judges {
        return;
    }
    let weights = batch.accuracy_mask();
    let share = |trial: usize| {
        let (mut right, mut all) = (0.0, 0.0);
        for (step, &weight) in weights.row(trial).indexed_iter().filter(|(_, weight)| **weight > 0.0) {
            let answer = largest(outputs.slice(s![trial, step, ..]).iter().copied());
            all += weight;
            right += if answer == classes[[trial, step]] { weight } else { 0.0 };
        }
        right / all
    };
    let shares = (0..batch.trials()).map(share).collect();
    let about = "share of the trial's answers that are correct, by accuracy_weight";
    data.push("correct", &[("trial", batch.trials())], Content::Single(shares), about);
}

/// The complete states: the model's step from zero.
fn states(model: &dyn Model, info: &ModelInfo, batch: &Batch, activity: &Array3<f32>) -> Result<Array3<f64>> {
    let unsupported = |why: String| {
        Error::unsupported(format!("the states cannot be exported: {why}"))
            .help("leave `states` out of --what")
    };
    if info.states.is_empty() {
        return Err(unsupported("this model does not offer its step".into()));
    }
    let width = info.states.iter().map(|part| part.length).sum();
    let (trials, steps, _) = batch.inputs.dim();
    let mut all = Array3::from_elem((trials, steps, width), f64::NAN);
    let mut states = Array2::zeros((trials, width));
    for step in 0..steps {
        let inputs = batch.inputs.index_axis(Axis(1), step).mapv(f64::from);
        states = model.step(states.view(), inputs.view())?;
        for trial in (0..trials).filter(|&trial| step < batch.lengths[trial] as usize) {
            all.slice_mut(s![trial, step, ..]).assign(&states.row(trial));
        }
    }
    if width >= info.units {
        let hidden = all.slice(s![.., .., ..info.units]);
        let largest =
            activity.iter().filter(|v| v.is_finite()).fold(1e-6, |m: f64, v| m.max(f64::from(v.abs())));
        let apart = hidden.iter().zip(activity).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max);
        if apart > SAME * largest {
            return Err(unsupported(format!("they differ from the activity by {apart:.2e}")));
        }
    }
    Ok(all)
}
