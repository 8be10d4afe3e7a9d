//! Tests finished networks: on other conditions and tasks, with lesions, and
//! perturbed. Nothing is trained.

mod conditions;
mod lesion;
mod network;
mod perturbation;

use ndarray::Array2;
use pallium_core::{Error, LossSums, Mode, Model, ModelInfo, Result, Split, Task, TaskInfo, Tensor, random};
use pallium_graph::communities::{ORDERS, best_partition};
use pallium_graph::{Cut, Ties, strong_connections};
use pallium_record::spec::{CellSpec, Use};
use pallium_record::weights::Weights;
use serde::{Deserialize, Serialize};

pub use self::lesion::{Lesion, Matched};
pub(super) use self::network::neurons;
pub use self::perturbation::Perturbation;

use self::conditions::{Forward, score};
use self::lesion::{Anatomy, Elements};
use self::perturbation::{Kind, Stepwise};
use super::components::{Ground, Options, build_task_for};
use super::finished_network::FinishedNetwork;
use super::on_matrix::MATRIX_UP_TO;
use super::scores::Answers;
use super::tasks::drawn;
use super::train::RECORDED_TRIALS;
use super::training_loop::{at_once, parameters, set_parameters};
use super::trials::ranges;
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

/// Trials of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Label of the task in tables.
    pub task: String,
    /// The parameters that were set for it.
    pub settings: String,
    /// The component.
    pub component: Use,
    /// Number of trials.
    pub trials: usize,
    /// Seed of the trials; by default that of the test trials.
    pub seed: Option<u64>,
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
    check_testable(spec)?;
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
        let (mut task, task_info, batch) = trials_of(spec, test, &ground, catalogue, options)?;
        for change in &changes {
            set_parameters(model.as_mut(), &info, change.state.as_deref().unwrap_or(&trained))?;
            let scores =
                run(spec, model.as_mut(), &info, task.as_mut(), &task_info, &batch, change, evaluation)?;
            found.extend(scores.into_iter().map(|score| Evaluated {
                task: test.task.clone(),
                settings: test.settings.clone(),
                lesion: change.lesion.clone(),
                perturbation: change.perturbation.clone(),
                draw: change.draw,
                removed: change.removed,
                condition: score.condition.map_or_else(String::new, |at| condition_name(&task_info, at)),
                trials: score.trials,
                measure: score.measure,
                value: score.value,
            }));
        }
    }
    Ok(found)
}

/// Refuses networks whose trials a test cannot draw.
///
/// # Errors
/// If the network was trained on several tasks.
pub(super) fn check_testable(spec: &CellSpec) -> Result<()> {
    match spec.members {
        None => Ok(()),
        Some(_) => Err(Error::unsupported(format!(
            "the network of {} was trained on several tasks, and such networks cannot be tested here",
            spec.label()
        ))
        .help("results.csv has the measures of each of its tasks; leave the network out with --only")),
    }
}

/// The name of a condition.
pub(super) fn condition_name(info: &TaskInfo, condition: u32) -> String {
    info.conditions.get(condition as usize).cloned().unwrap_or_else(|| format!("condition {condition}"))
}

/// The task of a test, which must have the network's inputs and outputs, and its
/// trials.
pub(super) fn trials_of(
    spec: &CellSpec,
    test: &Test,
    ground: &Ground,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<(Box<dyn Task>, TaskInfo, pallium_core::Batch)> {
    let spec = CellSpec { task_component: test.component.clone(), ..spec.clone() };
    let mut task = build_task_for(&spec, ground, catalogue, options)?;
    let info = task.info();
    if !info.reacts.is_empty() {
        return Err(Error::unsupported(format!(
            "the stimuli of `{}` depend on the network's answers, so networks cannot be tested on it",
            test.task
        ))
        .help("results.csv has the test accuracy of its training"));
    }
    let own = &ground.tasks.info;
    let differs = |what: &str, has: usize, needs: usize| {
        Err(Error::input(format!(
            "the task `{}` has {has} {what}, but the network of {} has {needs}",
            test.task,
            spec.label()
        ))
        .help(
            "a network can only be tested on tasks with the inputs and outputs of the one it was trained on",
        ))
    };
    if info.inputs != own.inputs {
        return differs("input channels", info.inputs, own.inputs);
    }
    if info.outputs != own.outputs {
        return differs("outputs", info.outputs, own.outputs);
    }
    if info.loss.of_classes() != own.loss.of_classes() {
        return Err(Error::input(format!(
            "the loss of the task `{}` is {}, but the network of {} was trained with {}",
            test.task,
            info.loss,
            spec.label(),
            own.loss
        ))
        .help("a network of classes cannot be tested on a task of values, nor the reverse"));
    }
    let seed = test.seed.unwrap_or_else(|| spec.trial_seed(Split::Test.name()));
    let batch = drawn(task.as_mut(), &info, Split::Test, test.trials, seed)
        .map_err(|e| e.context(format!("trials of `{}`", test.task)))?;
    Ok((task, info, batch))
}

/// What the lesions need to know of the network.
#[expect(clippy::too_many_arguments, reason = "the parts of a finished training")]
fn anatomy(
    spec: &CellSpec,
    evaluation: &Evaluation,
    ground: &Ground,
    model: &mut dyn Model,
    info: &ModelInfo,
    trained: &[Tensor],
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Anatomy> {
    let needs = |what: fn(&Lesion) -> bool| evaluation.lesions.iter().any(what);
    let [signed, strength] = match evaluation.lesions.is_empty() {
        true => [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
        false => network::sums(info, trained)?,
    };
    let by_distance = evaluation.matched == Matched::Distance && !evaluation.lesions.is_empty();
    let distance = match ground.substrate.positions() {
        Ok(positions) if by_distance || needs(Lesion::needs_distance) => {
            let at = positions.micrometres();
            let apart = |i: usize, j: usize| {
                at.row(i).iter().zip(at.row(j)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
            };
            let all = Array2::from_shape_fn((at.nrows(), at.nrows()), |(i, j)| apart(i, j));
            Some(network::between_units(info, all.view()))
        }
        _ => None,
    };
    let similarity = match needs(Lesion::needs_similarity) {
        true => {
            let all = ground.substrate.matrix(pallium_core::Substrate::CORRELATION)?;
            Some(network::between_units(info, all))
        }
        false => None,
    };
    let activity = match needs(Lesion::needs_activity) {
        true => {
            let test = Test {
                task: spec.task.clone(),
                settings: String::new(),
                component: spec.task_component.clone(),
                trials: spec.training.test.min(RECORDED_TRIALS),
                seed: None,
            };
            let (_, task_info, batch) = trials_of(spec, &test, ground, catalogue, options)?;
            let view = batch.view();
            Answers::new().pass(model, &task_info, &view, Mode::Record, false)?;
            let steps: f64 = batch.lengths.iter().map(|&length| f64::from(length)).sum();
            let all = model.activity()?;
            let sum =
                |unit: usize| all.slice(ndarray::s![.., .., unit]).iter().map(|&v| f64::from(v)).sum::<f64>();
            Some((0..info.units).map(|unit| sum(unit) / steps.max(1.0)).collect())
        }
        false => None,
    };
    let community = match needs(Lesion::needs_communities) {
        true => {
            let all = model.parameters()?;
            let whole = match info.recurrent().any(|(_, block)| block.connections) {
                // Such networks have one block of one population.
                true => signed.mapv(|weight| weight as f32),
                false => info.recurrent_matrix(|at, _| Ok(all[at].matrix()?.to_owned()))?,
            };
            let (graph, _) = strong_connections(whole.view(), Cut::new(COMMUNITY_QUANTILE, Ties::Exclude)?);
            let partition = best_partition(&graph, ORDERS);
            let count = partition.sizes.iter().filter(|&&size| size > 1).count();
            Some((info.places().iter().map(|&place| partition.community[place]).collect(), count))
        }
        false => None,
    };
    let mut start = 0;
    let range = |population: &pallium_core::Population| {
        start += population.units;
        (population.name.clone(), start - population.units..start)
    };
    let populations = info.populations.iter().map(range).collect();
    Ok(Anatomy { signed, strength, distance, similarity, activity, community, populations })
}

/// The quantile of |w| from which a connection counts for communities, as for
/// `organization.modularity`.
const COMMUNITY_QUANTILE: f64 = 0.9;

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

/// Tests one network on trials.
#[expect(clippy::too_many_arguments, reason = "the network, the trials and the change")]
fn run(
    spec: &CellSpec,
    model: &mut dyn Model,
    info: &ModelInfo,
    task: &mut dyn Task,
    task_info: &TaskInfo,
    batch: &pallium_core::Batch,
    change: &Change<'_>,
    evaluation: &Evaluation,
) -> Result<Vec<conditions::Score>> {
    let ranges = || ranges(batch.trials(), at_once(spec.training.batch));
    let plain = |model: &mut dyn Model, view: &pallium_core::BatchView<'_>, pass: &mut Answers| {
        pass.pass(model, task_info, view, Mode::Evaluate, false)
    };
    match change.noise {
        None => score(model, task, task_info, batch, ranges(), evaluation.answers, &mut { plain }),
        Some((perturbation, seed)) if perturbation.kind == Kind::InputNoise => {
            let noisy = perturbation.of_inputs(batch, seed);
            score(model, task, task_info, &noisy, ranges(), evaluation.answers, &mut { plain })
        }
        Some((perturbation, seed)) => {
            let stepwise = Stepwise::new(model, info)?;
            let Some(first) = ranges().next() else { return Ok(Vec::new()) };
            let view = batch.slice(first);
            let mut expected = Answers::new();
            plain(model, &view, &mut expected)?;
            let size = perturbation.size * stepwise.check(model, &view, &expected.outputs)?;
            let mut rng = random::stream(seed, &format!("perturbation {}", perturbation.text));
            let mut forward = |model: &mut dyn Model,
                               view: &pallium_core::BatchView<'_>,
                               pass: &mut Answers|
             -> Result<LossSums> {
                let (outputs, _) = stepwise.outputs(model, view, Some((size, &mut rng)))?;
                pass.outputs = outputs;
                task_info.loss.compare(view, pass.outputs.view(), None)
            };
            let forward: &mut Forward<'_> = &mut forward;
            score(model, task, task_info, batch, ranges(), evaluation.answers, forward)
        }
    }
}
