//! Tests finished networks: on other conditions and tasks, with lesions, and
//! perturbed. Nothing is trained.

mod anatomy;
mod conditions;
mod lesion;
mod network;
mod perturbation;
mod tested;

use std::ops::Range;

use ndarray::{Array2, ArrayViewMut2, Zip, s};
use pallium_core::{BatchView, Error, Mode, Model, ModelInfo, Result, TargetsView, Tensor, random};
use pallium_record::spec::CellSpec;
use pallium_record::weights::Weights;
use serde::{Deserialize, Serialize};

pub use self::lesion::{Lesion, Matched};
pub(super) use self::network::{between_units, neurons};
pub use self::perturbation::Perturbation;
pub use self::tested::Test;
pub(super) use self::tested::TestTrials;

use self::anatomy::anatomy;
use self::conditions::{Score, score};
use self::lesion::{Anatomy, Elements};
use self::perturbation::{Kind, Stepwise};
use super::components::{Ground, Options};
use super::finished_network::FinishedNetwork;
use super::on_matrix::MATRIX_UP_TO;
use super::training_loop::{parameters, set_parameters};
use crate::plugins::Catalogue;

/// What a finished network is tested on, and how it is changed before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Tasks.
    pub tests: Vec<Test>,
    /// Lesions; each is made of the intact network.
    pub lesions: Vec<Lesion>,
    /// Perturbations; each is made of the intact network.
    pub perturbations: Vec<Perturbation>,
    /// Number of matched random lesions for each lesion, and of draws of each
    /// perturbation.
    pub draws: u32,
    /// What random lesions are matched in.
    pub matched: Matched,
    /// Seed of random lesions and perturbations; by default it follows from the
    /// experiment's.
    pub seed: Option<u64>,
    /// Whether the share of each answer is measured.
    pub answers: bool,
}

impl Evaluation {
    /// Whether a change needs the recurrent weights as a matrix.
    fn needs_matrix(&self) -> bool {
        let noise =
            |perturbation: &Perturbation| matches!(perturbation.kind, Kind::StateNoise | Kind::InputNoise);
        !self.lesions.is_empty() || !self.perturbations.iter().all(noise)
    }
}

/// One value of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Label of the task.
    pub task: String,
    /// The parameters that were set for it.
    pub settings: String,
    /// The lesion; empty if there is none.
    pub lesion: String,
    /// The perturbation; empty if there is none.
    pub perturbation: String,
    /// Number of a matched random lesion, or of a draw of a perturbation.
    pub draw: Option<u32>,
    /// Number of silenced units or cut connections.
    pub removed: usize,
    /// Name of the condition; empty for all trials.
    pub condition: String,
    /// Number of trials.
    pub trials: usize,
    /// Name of the measure.
    pub measure: String,
    /// The value; `None` if it is undefined.
    pub value: Option<f64>,
}

/// How a network is changed before it is tested.
#[derive(Clone, Debug, Default)]
struct Change<'a> {
    lesion: String,
    perturbation: String,
    draw: Option<u32>,
    removed: usize,
    /// The parameters; `None` for the trained ones.
    state: Option<Vec<Tensor>>,
    /// Noise on states or inputs, with its seed.
    noise: Option<(&'a Perturbation, u64)>,
}

/// Evaluates the network of a finished training.
///
/// # Errors
/// If a component is missing or fails, a task does not fit the network, or the network
/// lacks what a lesion or a perturbation needs.
pub fn evaluate(
    spec: &CellSpec,
    weights: &Weights,
    evaluation: &Evaluation,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Vec<Evaluated>> {
    let ground = Ground::new(spec, catalogue, options)?;
    let FinishedNetwork { mut model, info, .. } =
        FinishedNetwork::new(spec, weights, &ground, catalogue, options)?;
    let after = weights.connections.as_ref().map(|[_, after]| after);
    if after.is_some() && info.units > MATRIX_UP_TO && evaluation.needs_matrix() {
        return Err(Error::unsupported(format!(
            "lesions and perturbed weights need a matrix, and the network of {} has {} units on connections, above \
             the limit of {MATRIX_UP_TO}",
            spec.label(),
            info.units
        ))
        .help("evaluate it without --lesion and without perturbations of weights"));
    }
    let trained = network::with_connections(parameters(model.as_ref())?, after);
    let seed = evaluation.seed.unwrap_or_else(|| spec.derived_seed("evaluation"));
    let anatomy = anatomy(spec, evaluation, &ground, model.as_mut(), &info, &trained, catalogue, options)?;
    let changes = changes(evaluation, &anatomy, &info, &trained, seed)?;
    let mut found = Vec::new();
    for test in &evaluation.tests {
        let mut trials = TestTrials::new(spec, test, &ground, catalogue, options)?;
        for change in &changes {
            set_parameters(model.as_mut(), &info, change.state.as_deref().unwrap_or(&trained))?;
            let scores = run(model.as_mut(), &info, &mut trials, change, evaluation.answers)?;
            let tested = &trials.tasks.members[test.member];
            found.extend(scores.into_iter().map(|score| Evaluated {
                task: test.task.clone(),
                settings: test.settings.clone(),
                lesion: change.lesion.clone(),
                perturbation: change.perturbation.clone(),
                draw: change.draw,
                removed: change.removed,
                condition: score.condition.map_or_else(String::new, |at| tested.condition_name(at)),
                trials: score.trials,
                measure: score.measure,
                value: score.value,
            }));
        }
    }
    Ok(found)
}

/// The intact network, then each lesion with its random ones, then each perturbation.
fn changes<'a>(
    evaluation: &'a Evaluation,
    anatomy: &Anatomy,
    info: &ModelInfo,
    trained: &[Tensor],
    seed: u64,
) -> Result<Vec<Change<'a>>> {
    let mut all = vec![Change::default()];
    for lesion in &evaluation.lesions {
        for selection in anatomy.select(lesion, seed)? {
            let change = |chosen: &[(usize, usize)], draw: Option<u32>| -> Result<Change<'a>> {
                let mut state = trained.to_vec();
                match selection.elements {
                    Elements::Units => {
                        let units: Vec<usize> = chosen.iter().map(|&(unit, _)| unit).collect();
                        if !units.is_empty() {
                            network::silence(info, &mut state, &units)?;
                        }
                    }
                    Elements::Connections => network::cut_connections(info, &mut state, chosen)?,
                }
                let lesion = selection.text.clone();
                Ok(Change { lesion, draw, removed: chosen.len(), state: Some(state), ..Change::default() })
            };
            all.push(change(&selection.chosen, None)?);
            for draw in 0..evaluation.draws {
                let seed = random::derive(seed, u64::from(draw), "control lesion");
                let Some(control) = anatomy.control(&selection, evaluation.matched, seed)? else { break };
                all.push(change(&control, Some(draw))?);
            }
        }
    }
    for perturbation in &evaluation.perturbations {
        let draws = if perturbation.is_random() { evaluation.draws } else { 1 };
        for draw in 0..draws {
            let seed = random::derive(seed, u64::from(draw), "perturbation");
            let mut state = trained.to_vec();
            perturbation.of_weights(info, &mut state, seed)?;
            let noise = matches!(perturbation.kind, Kind::StateNoise | Kind::InputNoise);
            all.push(Change {
                perturbation: perturbation.text.clone(),
                draw: perturbation.is_random().then_some(draw),
                state: Some(state),
                noise: noise.then_some((perturbation, seed)),
                ..Change::default()
            });
        }
    }
    Ok(all)
}

/// Tests the network of `model` on trials.
fn run(
    model: &mut dyn Model,
    info: &ModelInfo,
    trials: &mut TestTrials,
    change: &Change<'_>,
    answers: bool,
) -> Result<Vec<Score>> {
    let Some((perturbation, seed)) = change.noise else {
        let mut plain = |_: Range<usize>, view: &BatchView<'_>, outputs: ArrayViewMut2<'_, f32>| {
            model.forward(view, Mode::Evaluate, outputs)
        };
        return score(trials, answers, &mut plain);
    };
    if perturbation.kind == Kind::InputNoise {
        let noise = perturbation.of_inputs(&trials.batch, seed);
        let mut noisy = |range: Range<usize>, view: &BatchView<'_>, outputs: ArrayViewMut2<'_, f32>| {
            let own = noise.slice(s![range, ..view.dim().1, ..]);
            let inputs = Zip::from(view.inputs).and(own).map_collect(|&v, &n| (f64::from(v) + n) as f32);
            // Views of views, since those live longer than the noisy inputs.
            let targets = match &view.targets {
                TargetsView::Values(values) => TargetsView::Values(values.view()),
                TargetsView::Classes(classes) => TargetsView::Classes(classes.view()),
                _ => return Err(Error::bug("targets of an unknown kind")),
            };
            let mask = view.mask.view();
            let seen = BatchView::new(inputs.view(), targets, mask, view.lengths, view.conditions);
            model.forward(&seen, Mode::Evaluate, outputs)
        };
        return score(trials, answers, &mut noisy);
    }
    let stepwise = Stepwise::new(model, info)?;
    let outputs = trials.tasks.info.outputs;
    let Some(first) = trials.passes().next() else { return Ok(Vec::new()) };
    let shown = trials.shown_to(model)?;
    let view = shown.slice(first);
    let mut expected = Array2::zeros((view.scored().count(), outputs));
    model.forward(&view, Mode::Evaluate, expected.view_mut())?;
    let size = perturbation.size * stepwise.check(model, &view, &expected)?;
    let model: &dyn Model = model;
    let mut noisy = |range: Range<usize>, view: &BatchView<'_>, mut outputs: ArrayViewMut2<'_, f32>| {
        // The same noise in every pass over these trials.
        let mut rng = random::stream(seed, &format!("perturbation {} {}", perturbation.text, range.start));
        outputs.assign(&stepwise.outputs(model, view, Some((size, &mut rng)))?.0);
        Ok(())
    };
    score(trials, answers, &mut noisy)
}
