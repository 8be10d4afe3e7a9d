//! Events of a run, for the log, the progress display and the event files.

use pallium_record::outcome::Status;
use pallium_record::training::Failure;

/// An event of one of the trainings of a run, which are numbered by their
/// position in the list.
#[derive(Clone, Debug)]
pub enum ProgressEvent {
    /// A worker has started it.
    Started(usize),
    /// An epoch ended.
    Epoch {
        /// Number of the training.
        cell: usize,
        /// Number of the epoch, from 1.
        epoch: u32,
        /// Number of epochs.
        epochs: u32,
        /// Running loss.
        loss: f64,
        /// Running accuracy.
        accuracy: Option<f64>,
    },
    /// It is finished and stored.
    Done {
        /// Number of the training.
        cell: usize,
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
    /// It failed, and the failure is recorded.
    Failed(usize, Failure),
    /// It was stopped.
    Stopped(usize),
    /// Another process has finished it.
    Elsewhere(usize),
    /// Only trainings that other processes have claimed remain: their number,
    /// and the owner of one.
    Waiting(usize, String),
    /// Nothing new; sent at intervals.
    Tick,
}
