//! What happens to the trainings of a run, as the log, the progress display and
//! the event files need it.

use pallium_record::outcome::Status;
use pallium_record::training::Failure;

/// Something that happened to one of the trainings of a run, which are numbered
/// by their place in the list.
#[derive(Clone, Debug)]
pub enum ProgressEvent {
    /// A worker has taken it up.
    Started(usize),
    /// It goes on.
    Epoch {
        /// Which cell.
        cell: usize,
        /// Number of the epoch, from 1.
        epoch: u32,
        /// How many there are.
        epochs: u32,
        /// Running loss.
        loss: f64,
        /// Running accuracy.
        accuracy: f64,
    },
    /// It is done and in its place.
    Done {
        /// Which cell.
        cell: usize,
        /// How it ended.
        status: Status,
        /// Accuracy on the test trials.
        accuracy: Option<f64>,
        /// Running accuracy of the last epoch.
        running_accuracy: Option<f64>,
        /// Measures that could not be taken.
        failed_measures: usize,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// It failed, and that is recorded.
    Failed(usize, Failure),
    /// It was stopped.
    Stopped(usize),
    /// Another process has finished it.
    Elsewhere(usize),
    /// All that is left is so many cells that other processes are at, such as
    /// this one.
    Waiting(usize, String),
    /// Nothing new; now and then.
    Tick,
}
