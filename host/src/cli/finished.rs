//! The finished trainings of a run folder, for commands that use them.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_record::identity::{self, Cell};
use pallium_record::spec::CellSpec;
use pallium_record::store::Store;
use pallium_record::training::TrainingFile;

use super::support;
use crate::experiment::{Experiment, TestedTask, filter};
use crate::plugins::Catalogue;
use crate::run::evaluation::Test;
use crate::run::workers::Workers;

/// Which trainings of a run are used, and on which trials.
#[derive(Args, Clone, Debug)]
pub struct OnTrials {
    /// Use only the trainings that match variant/task/run or a part of it; may be
    /// repeated.
    #[arg(long = "only", value_name = "GLOB", allow_hyphen_values = true)]
    pub only: Vec<String>,
    /// Name of a task of the experiment, or id of any other task with the same inputs
    /// and outputs; may be repeated [default: the task of the training]
    #[arg(long = "task", value_name = "TASK")]
    pub tasks: Vec<String>,
    /// Set a parameter of the task, such as task.delay=20, or several values as
    /// 'task.delay={ sweep = [10, 20] }'; may be repeated.
    #[arg(long = "set", value_name = "task.NAME=VALUE")]
    pub set: Vec<String>,
    /// Number of trials [default: as many as in the test after training]
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    pub trials: Option<u32>,
    /// Seed of the trials [default: that of the test after training; in `likeness`, one
    /// seed for all networks, so that all receive the same trials]
    #[arg(long, value_name = "S")]
    pub trial_seed: Option<u64>,
    /// Number of networks that run at the same time [default: the number of cores
    /// divided by the threads of a training]
    #[arg(long, value_name = "N", value_parser = support::at_least_one::<u32>, allow_negative_numbers = true)]
    pub jobs: Option<u32>,
}

impl OnTrials {
    /// Whether the test trials themselves are used.
    pub fn is_own_test(&self) -> bool {
        self.tasks.is_empty() && self.set.is_empty() && self.trials.is_none() && self.trial_seed.is_none()
    }

    /// Refuses every option, for a command that has no use for them with `option`.
    ///
    /// # Errors
    /// If one is set.
    pub fn refuse(&self, option: &str) -> Result<()> {
        if self.is_own_test() && self.only.is_empty() && self.jobs.is_none() {
            return Ok(());
        }
        Err(Error::input(format!("{option} exports the results of all trainings; nothing can be selected"))
            .help("leave out --only, --task, --set, --trials, --trial-seed and --jobs"))
    }
}

/// The finished trainings of a run folder.
pub struct FinishedRun {
    /// The run folder.
    pub store: Store,
    /// Its experiment.
    pub experiment: Experiment,
    /// The components.
    pub catalogue: Catalogue,
    /// The selected trainings that are finished and did not diverge.
    pub cells: Vec<Cell>,
}

/// The run folder at `folder`.
///
/// # Errors
/// If it is not one.
pub fn existing(folder: &Path) -> Result<Store> {
    Store::existing(folder)?.ok_or_else(|| {
        Error::input(format!("{} does not contain a run", folder.display()))
            .help("name a folder that `pallium run` wrote")
    })
}

/// The trainings of `specs`, each with the folder that holds it if it is finished in
/// `store`.
///
/// # Errors
/// If a component does not exist, or data or the run folder cannot be read.
pub fn located(specs: Vec<CellSpec>, store: &Store, catalogue: &Catalogue) -> Result<Vec<Cell>> {
    let of = |spec| identity::identify(spec, &catalogue.files());
    let mut cells: Vec<Cell> = specs.into_iter().map(of).collect::<Result<_>>()?;
    store.locate(&mut cells)?;
    Ok(cells)
}

/// The error for a run folder without a finished training of `plan`. Its causes name what
/// differs from the finished trainings that are there.
pub fn none_finished(folder: &Path, store: &Store, plan: &[Cell]) -> Error {
    let error = Error::input(format!(
        "{} has no finished training of this experiment with these plugins and data",
        folder.display()
    ));
    let files = store.trainings().unwrap_or_default();
    let files = files.into_iter().filter_map(|name| TrainingFile::read(&store.cells().join(name)).ok());
    let mut others = BTreeSet::new();
    for file in files {
        let same = |cell: &&Cell| {
            let spec = &cell.spec;
            (&spec.variant, &spec.task, spec.run) == (&file.spec.variant, &file.spec.task, file.spec.run)
        };
        let Some(cell) = plan.iter().find(same) else { continue };
        let changed = cell.inputs.iter().filter(|(name, sum)| file.inputs.get(name) != Some(sum));
        others.extend(changed.map(|(name, _)| name.clone()));
    }
    let of = |kind: &str| others.iter().filter_map(|name| name.strip_prefix(kind)).join(", ");
    let [builds, data] = [of("component "), of("data ")];
    let causes = [
        (
            ["pallium", "format"].iter().any(|name| others.contains(*name)),
            "its trainings are of another version of Pallium".to_owned(),
        ),
        (!builds.is_empty(), format!("its trainings used other builds of the plugins of {builds}")),
        (!data.is_empty(), format!("its trainings used other data of {data}")),
    ];
    let causes: Vec<String> = causes.into_iter().filter_map(|(is, cause)| is.then_some(cause)).collect();
    match causes.is_empty() {
        true => error.help("finish the run first"),
        false => Error { causes, ..error }
            .help("use the plugins and data that it was run with, or repeat the run with the present ones"),
    }
}

impl FinishedRun {
    /// Opens the run folder at `folder`.
    ///
    /// # Errors
    /// If it is not one, or no selected training is finished with the present plugins
    /// and data.
    pub fn open(folder: &Path, only: &[String]) -> Result<Self> {
        support::unicode(folder)?;
        let store = existing(folder)?;
        let experiment = Experiment::load(&folder.join("experiment.toml"), &[])?;
        let catalogue = support::catalogue(&experiment.plugin_path)?;
        let specs = filter(experiment.expand(&catalogue)?, only)?;
        let plan = located(specs, &store, &catalogue)?;
        let (mut cells, mut diverged) = (Vec::new(), 0);
        for cell in &plan {
            if store.holds(cell)? {
                match store.weights(cell)?.parameters.is_empty() {
                    true => diverged += 1,
                    false => cells.push(cell.clone()),
                }
            }
        }
        if diverged > 0 {
            tracing::warn!("left out: {diverged} trainings that diverged");
        }
        if cells.is_empty() {
            return Err(none_finished(folder, &store, &plan));
        }
        Ok(FinishedRun { store, experiment, catalogue, cells })
    }

    /// The tests of one training.
    ///
    /// # Errors
    /// If there is no such task, or it does not have a parameter.
    pub fn tests(&self, cell: &Cell, on: &OnTrials) -> Result<Vec<Test>> {
        let tested = self.experiment.tested_tasks(&self.catalogue, &cell.spec, &on.tasks, &on.set)?;
        let trials = on.trials.map_or(cell.spec.training.test, |count| count as usize);
        let test = |TestedTask { label, settings, member, component }| Test {
            task: label,
            settings,
            member,
            component,
            trials,
            seed: on.trial_seed,
        };
        Ok(tested.into_iter().map(test).collect())
    }

    /// Worker processes, and how many at a time.
    ///
    /// # Errors
    /// If this executable cannot be found.
    pub fn workers(&self, on: &OnTrials) -> Result<(Workers, usize)> {
        let jobs = support::jobs(on.jobs, self.cells.iter().map(|cell| &cell.spec));
        Ok((Workers::new(support::cache_folder())?, jobs))
    }
}
