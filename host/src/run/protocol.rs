//! The messages between a parent and its worker processes.
//!
//! A job is one line of JSON on the worker's standard input; events travel as
//! those of every [`child`](crate::child).

use std::path::PathBuf;

use pallium_core::Error;
use pallium_record::identity::Cell;
use pallium_record::outcome::{Status, Value};
use pallium_record::spec::CellSpec;
use pallium_record::{FORMAT, VERSION};
use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::evaluation::{Evaluated, Evaluation, Test};
use super::traces::What;
use crate::dataset::Format;
use crate::plugins::KnownFile;

/// A job for a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Version of the parent; a worker of another version refuses the job.
    pub host: String,
    /// Version of the format of run folders.
    pub format: u32,
    /// The work.
    pub work: Work,
    /// Plugin files to load, as the parent found them.
    pub plugins: Vec<KnownFile>,
    /// Folder in which components may cache results.
    pub cache: Option<PathBuf>,
    /// Memory limit of the worker, in MB.
    pub memory_mb: Option<u64>,
}

impl Job {
    /// A job of this version.
    pub fn new(work: Work, plugins: Vec<KnownFile>, cache: Option<PathBuf>) -> Self {
        Job { host: VERSION.into(), format: FORMAT, work, plugins, cache, memory_mb: None }
    }
}

/// The kinds of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Train one cell and write its folder.
    Train {
        /// The training.
        cell: Box<Cell>,
        /// The run folder.
        store: PathBuf,
        /// Name of the profile, for the record.
        profile: String,
        /// Number of epochs between checkpoints; 0 writes none.
        checkpoint_every: u32,
        /// Whether the state after training is kept with the result.
        keep_state: bool,
    },
    /// Compute the missing metrics of a finished training.
    Measure {
        /// The training.
        cell: Box<Cell>,
        /// The run folder.
        store: PathBuf,
    },
    /// Compute metrics of the snapshots of a finished training.
    MeasureSnapshots {
        /// The training, with these metrics.
        cell: Box<Cell>,
        /// The run folder.
        store: PathBuf,
    },
    /// Test a finished network; see [`evaluation`](super::evaluation).
    Evaluate {
        /// The training.
        cell: Box<Cell>,
        /// The run folder.
        store: PathBuf,
        /// The tests.
        evaluation: Box<Evaluation>,
    },
    /// Record a finished network on trials, and write it to a new file; see
    /// [`traces`](super::traces).
    Trace {
        /// The training.
        cell: Box<Cell>,
        /// The run folder.
        store: PathBuf,
        /// The trials.
        test: Box<Test>,
        /// What is recorded.
        what: Vec<What>,
        /// The file.
        file: PathBuf,
        /// Its format.
        format: Format,
    },
    /// Build the components of trainings, without training; see
    /// [`check`](super::check::check).
    Check {
        /// The trainings.
        cells: Vec<CellSpec>,
    },
    /// Compute the work of trainings; see [`cost::weigh`](super::cost::weigh).
    Weigh {
        /// The trainings.
        cells: Vec<CellSpec>,
    },
    /// Estimate the cost of trainings; see
    /// [`Estimator`](super::cost::Estimator).
    Estimate {
        /// The trainings.
        cells: Vec<CellSpec>,
    },
    /// Read the positions of the neurons of a training's substrate.
    Positions {
        /// The training.
        cell: Box<CellSpec>,
    },
}

impl Work {
    /// Number of threads that the work may use.
    pub fn threads(&self) -> usize {
        match self {
            Work::Train { cell, .. }
            | Work::Measure { cell, .. }
            | Work::MeasureSnapshots { cell, .. }
            | Work::Evaluate { cell, .. }
            | Work::Trace { cell, .. } => cell.spec.training.threads,
            Work::Positions { cell } => cell.training.threads,
            Work::Check { cells } | Work::Weigh { cells } | Work::Estimate { cells } => most_threads(cells),
        }
    }
}

/// The largest number of threads of one training; at least 1.
pub fn most_threads<'a>(cells: impl IntoIterator<Item = &'a CellSpec>) -> usize {
    cells.into_iter().map(|cell| cell.training.threads).max().unwrap_or(1)
}

/// A worker's message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The job was parsed and its plugins are loaded.
    Started,
    /// An epoch ended.
    Epoch {
        /// Number of the epoch, from 1.
        epoch: u32,
        /// Number of epochs.
        epochs: u32,
        /// Running loss, in nats.
        loss: f64,
        /// Running accuracy, if the task has one.
        accuracy: Option<f64>,
    },
    /// The training is finished and written, but not yet moved into place.
    Finished {
        /// The folder that it was written to.
        folder: PathBuf,
        /// How it ended.
        status: Status,
        /// Accuracy on the test trials.
        accuracy: Option<f64>,
        /// Running accuracy of the last epoch.
        running_accuracy: Option<f64>,
        /// Number of measures that failed.
        failed_measures: usize,
        /// Duration in seconds.
        seconds: f64,
    },
    /// The missing metrics of a finished training are computed and stored.
    Measured {
        /// Number of measures that failed.
        failed_measures: usize,
    },
    /// The snapshots of a finished training are measured.
    SnapshotsMeasured {
        /// Each value with its epoch.
        rows: Vec<(u32, Value)>,
    },
    /// A finished network is tested.
    Evaluated {
        /// The values.
        rows: Vec<Evaluated>,
    },
    /// A finished network is recorded, and the file is written.
    Traced,
    /// The estimate of the next training.
    Estimated {
        /// The cost; `None` if the training cannot be tried.
        cost: Option<Cost>,
        /// Why there is no estimate.
        reason: Option<String>,
    },
    /// All components were built, or all trainings tried.
    Checked,
    /// The work of each training, in an arbitrary unit.
    Weighed {
        /// One entry per training, in order.
        weights: Vec<f64>,
    },
    /// The positions of the neurons.
    Positions {
        /// One entry per neuron: x, y and z in micrometres.
        values: Vec<[f64; 3]>,
    },
    /// The training is finished, but its result cannot be written.
    Unwritten(Error),
    /// The job failed.
    Failed(Error),
}

#[cfg(test)]
mod tests {
    use pallium_core::Kind;

    use super::*;

    #[test]
    fn events_are_read_back_as_written() {
        let failed = Event::Failed(Error::input("no such field").help("name one").context("cell a/b/0"));
        let finished = Event::Finished {
            folder: "runs/x/cells/.unfinished/.unfinished-1-a".into(),
            status: Status::Ok,
            accuracy: Some(0.625),
            running_accuracy: None,
            failed_measures: 0,
            seconds: 1.5,
        };
        let unwritten = Event::Unwritten(Error::new(Kind::Io, "no room"));
        let weighed = Event::Weighed { weights: vec![0.1, 1e12] };
        let cost = Cost { seconds: 0.1, memory_mb: 72.0 };
        let estimated = Event::Estimated { cost: Some(cost), reason: None };
        for event in [Event::Started, Event::Checked, failed, finished, unwritten, weighed, estimated] {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        }
    }

    #[test]
    fn a_job_is_read_back_bit_for_bit() {
        let mut spec = super::super::mock::spec();
        spec.seed = u64::MAX - 1;
        spec.weights.params.insert("scale".into(), 0.1.into());
        let cell = Cell {
            identity: "0123456789abcdef".into(),
            inputs: vec![],
            folder: "x".into(),
            measures: vec![],
            spec,
        };
        let work = Work::Train {
            cell: Box::new(cell),
            store: "runs/x".into(),
            profile: "corrected".into(),
            checkpoint_every: 1,
            keep_state: true,
        };
        let file = KnownFile { path: "a.so".into(), sha256: "00".into(), stamp: None };
        let job = Job { memory_mb: Some(500), ..Job::new(work, vec![file], None) };
        let text = serde_json::to_string(&job).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}
