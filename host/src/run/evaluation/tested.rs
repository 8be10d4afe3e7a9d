//! The trials of a test: of a task that the network was trained on, or of another one
//! in its place.

use ndarray::ArrayViewMut2;
use pallium_core::{Batch, BatchView, Error, Mode, Model, Result, Split, TaskInfo};
use pallium_record::spec::CellSpec;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::Range;

use pallium_record::spec::Use;

use crate::plugins::Catalogue;
use crate::run::components::{Ground, Options, build_tasks_for};
use crate::run::tasks::Tasks;
use crate::run::training_loop::at_once;
use crate::run::trials::{ForwardOf, presented};

/// Trials of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Label of the task in tables.
    pub task: String,
    /// The parameters that were set for it.
    pub settings: String,
    /// Index of the task that it stands for among several that the network was trained
    /// on; 0 for one.
    pub member: usize,
    /// The component.
    pub component: Use,
    /// Number of trials.
    pub trials: usize,
    /// Seed of the trials; by default that of the test trials.
    pub seed: Option<u64>,
}

impl Test {
    /// The tests after training: one for each task of the training, of at most `trials`
    /// trials.
    pub fn own(spec: &CellSpec, trials: usize) -> Vec<Self> {
        let test = |(member, component): (usize, &Use)| Test {
            task: spec.task.clone(),
            settings: String::new(),
            member,
            component: component.clone(),
            trials: spec.training.test.min(trials),
            seed: None,
        };
        match &spec.members {
            None => vec![test((0, &spec.task_component))],
            Some(members) => members.tasks.iter().map(|task| &task.component).enumerate().map(test).collect(),
        }
    }
}

/// The drawn trials of a test, and the tasks that present and judge them.
pub(in crate::run) struct TestTrials {
    /// All tasks of the network, with the tested one in its place.
    pub tasks: Tasks,
    /// Index of the tested task.
    pub member: usize,
    /// The trials, before any reaction to answers.
    pub batch: Batch,
    /// Number of trials of one pass.
    length: usize,
}

impl TestTrials {
    /// Draws the trials of a test for the network of `spec`.
    ///
    /// # Errors
    /// If the task does not have the network's inputs and outputs, or cannot draw trials.
    pub fn new(
        spec: &CellSpec,
        test: &Test,
        ground: &Ground,
        catalogue: &Catalogue,
        options: &Options<'_>,
    ) -> Result<Self> {
        if test.trials == 0 {
            return Err(Error::input(format!("the training {} has no test trials", spec.label()))
                .help("set their number with --trials"));
        }
        // The trials of the task itself, whatever came before it.
        let mut tested = spec.clone();
        tested.curriculum.clear();
        match &mut tested.members {
            None => tested.task_component = test.component.clone(),
            Some(members) => {
                members.tasks.iter_mut().for_each(|task| task.curriculum.clear());
                let missing = || Error::bug(format!("there is no task {} to be tested", test.member));
                members.tasks.get_mut(test.member).ok_or_else(missing)?.component = test.component.clone();
            }
        }
        let mut tasks = build_tasks_for(&tested, ground, catalogue, options)?;
        check(spec, test, &tasks.info, &ground.tasks.info)?;
        let seed = test.seed.unwrap_or_else(|| spec.trial_seed(Split::Test.name()));
        let stage = tasks.members[test.member].last_stage();
        let batch = tasks.draw(test.member, stage, Split::Test, test.trials, seed)?;
        Ok(TestTrials { tasks, member: test.member, batch, length: at_once(spec.training.batch) })
    }

    /// The tested task.
    pub fn info(&self) -> &TaskInfo {
        self.tasks.members[self.member].info()
    }

    /// The trials of each pass.
    pub fn passes(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        crate::run::trials::ranges(self.batch.trials(), self.length)
    }

    /// The trials as the network sees them that `forward` runs.
    ///
    /// # Errors
    /// If the network or the task fails.
    pub fn shown(&mut self, forward: &mut ForwardOf<'_>) -> Result<Cow<'_, Batch>> {
        presented(&mut self.tasks, self.member, &self.batch, self.length, forward)
    }

    /// The trials as `model` sees them, without noise.
    ///
    /// # Errors
    /// If the network or the task fails.
    pub fn shown_to(&mut self, model: &mut dyn Model) -> Result<Cow<'_, Batch>> {
        self.shown(&mut |_: Range<usize>, view: &BatchView<'_>, outputs: ArrayViewMut2<'_, f32>| {
            model.forward(view, Mode::Evaluate, outputs)
        })
    }
}

/// Refuses a task that does not fit the network.
fn check(spec: &CellSpec, test: &Test, info: &TaskInfo, own: &TaskInfo) -> Result<()> {
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
    Ok(())
}
