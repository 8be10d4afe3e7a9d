//! The worker's side: one job from standard input, events on standard output.
//!
//! A job is one line of JSON. An event is one line too: the character U+001E
//! (record separator, as in RFC 7464) and a JSON object. Whatever else appears
//! on standard output was printed by a component and goes to the cell's log,
//! together with all of standard error.
//!
//! Standard input stays open for as long as the parent lives. When it closes,
//! the worker ends: nobody is left to receive its result.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use pallium_core::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

use super::identity::{Cell, HOST};
use super::limits;
use super::log;
use super::outcome::Status;
use super::store::{FORMAT, Store};
use super::train::{self, Options};
use crate::cell::CellSpec;
use crate::experiment::cost::{self, Cost, Estimator};
use crate::plugins::{Catalogue, KnownFile};

/// Begins an event on standard output.
pub const EVENT: u8 = 0x1e;

/// Exit code of a worker whose parent is gone.
const ORPHANED: i32 = 70;

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Version of the parent; a worker of another version refuses.
    pub host: String,
    /// Version of the stored format.
    pub format: u32,
    /// The work.
    pub work: Work,
    /// Plugin files to load, as the parent found them.
    pub plugins: Vec<KnownFile>,
    /// A folder for what components find worth keeping between cells.
    pub cache: Option<PathBuf>,
    /// The most memory that the worker may hold, in MB.
    pub memory_mb: Option<u64>,
}

impl Job {
    /// A job of this version.
    pub fn new(work: Work, plugins: Vec<KnownFile>, cache: Option<PathBuf>) -> Self {
        Job { host: HOST.into(), format: FORMAT, work, plugins, cache, memory_mb: None }
    }
}

/// The kinds of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Train one cell and write its folder.
    Train {
        /// The cell.
        cell: Box<Cell>,
        /// The run folder.
        store: PathBuf,
        /// Name of the profile, for the record.
        profile: String,
        /// After how many epochs each a checkpoint is kept; 0 for never.
        checkpoint_every: u32,
    },
    /// Build what cells name, without training; see [`train::check`].
    Check {
        /// The cells.
        cells: Vec<CellSpec>,
    },
    /// Tell how much work cells are; see [`cost::weigh`].
    Weigh {
        /// The cells.
        cells: Vec<CellSpec>,
    },
    /// Tell what each cell will cost; see [`Estimator`].
    Estimate {
        /// The cells.
        cells: Vec<CellSpec>,
    },
}

impl Work {
    /// Threads that the work may use.
    pub fn threads(&self) -> usize {
        match self {
            Work::Train { cell, .. } => cell.spec.training.threads,
            Work::Check { cells } | Work::Weigh { cells } | Work::Estimate { cells } => most_threads(cells),
        }
    }
}

/// The most threads that one of the cells uses; at least 1.
pub fn most_threads<'a>(cells: impl IntoIterator<Item = &'a CellSpec>) -> usize {
    cells.into_iter().map(|cell| cell.training.threads).max().unwrap_or(1)
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The job is understood and its plugins are loaded.
    Started,
    /// An epoch is over.
    Epoch {
        /// Number of the epoch, from 1.
        epoch: u32,
        /// How many there are.
        epochs: u32,
        /// Running loss, in nats.
        loss: f64,
        /// Running accuracy.
        accuracy: f64,
    },
    /// The cell is trained and written, but not yet in its place.
    Finished {
        /// Where it is written.
        folder: PathBuf,
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
    /// What the next of the cells will cost.
    Estimated {
        /// The cost; none if the cell cannot be tried.
        cost: Option<Cost>,
        /// Why not.
        reason: Option<String>,
    },
    /// Everything could be built, or was tried.
    Checked,
    /// How much work each cell is, in an arbitrary unit.
    Weighed {
        /// One entry a cell, in their order.
        weights: Vec<f64>,
    },
    /// The cell is trained, but its result cannot be written.
    Unwritten(Error),
    /// The work could not be done.
    Failed(Error),
}

/// The process of a worker: does the job on standard input.
///
/// # Errors
/// If the parent does not listen. A job that cannot be done is told to the
/// parent, and ends with exit code 1.
pub fn main() -> Result<ExitCode> {
    super::durable::write_for_parent();
    let event = receive().and_then(|job| perform(&job)).unwrap_or_else(|error| {
        tracing::error!("{error}");
        Event::Failed(error)
    });
    emit(&event)?;
    Ok(if matches!(event, Event::Failed(_) | Event::Unwritten(_)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn receive() -> Result<Job> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|e| Error::bug(format!("a worker cannot read its job: {e}")))?;
    let hint = "workers are started by `pallium run`; there is no need to start one by hand";
    let job: Job = serde_json::from_str(&line)
        .map_err(|e| Error::input(format!("a worker does not understand its job: {e}")).help(hint))?;
    std::thread::spawn(end_with_parent);
    if (job.host.as_str(), job.format) != (HOST, FORMAT) {
        return Err(Error::input(format!(
            "the executable was replaced while it ran: version {} started a worker of version {HOST}",
            job.host
        ))
        .help("start the run again; it continues"));
    }
    Ok(job)
}

#[expect(clippy::disallowed_methods, reason = "there is nobody left whom to return an error to")]
fn end_with_parent() {
    let mut rest = [0; 64];
    let mut input = io::stdin().lock();
    loop {
        match input.read(&mut rest) {
            Ok(n) if n > 0 => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => std::process::exit(ORPHANED),
        }
    }
}

fn perform(job: &Job) -> Result<Event> {
    limits::settle(job.memory_mb)?;
    let catalogue = Catalogue::load_known(&job.plugins)?;
    emit(&Event::Started)?;
    let options = Options { cache: job.cache.as_deref(), checkpoint: None };
    match &job.work {
        Work::Check { cells } => {
            train::check(cells, &catalogue, &options)?;
            Ok(Event::Checked)
        }
        Work::Weigh { cells } => Ok(Event::Weighed { weights: cost::weigh(cells, &catalogue)? }),
        Work::Estimate { cells } => {
            let mut estimator = Estimator::new(&catalogue);
            for cell in cells {
                emit(&match estimator.cell(cell) {
                    Ok(cost) => Event::Estimated { cost: Some(cost), reason: None },
                    Err(error) => Event::Estimated { cost: None, reason: Some(error.to_string()) },
                })?;
            }
            Ok(Event::Checked)
        }
        Work::Train { cell, store, profile, checkpoint_every } => {
            let _log = log::open(store);
            let store = Store::at(store);
            let checkpoint = store.checkpoint(cell, *checkpoint_every);
            let options = Options { checkpoint: Some(&checkpoint), ..options };
            let epochs = cell.spec.training.epochs;
            let mut gone = None;
            let trained = train::train(&cell.spec, &catalogue, &options, &mut |at| {
                let event = Event::Epoch {
                    epoch: at.epoch,
                    epochs,
                    loss: at.running_loss,
                    accuracy: at.running_accuracy,
                };
                gone = emit(&event).err();
            })?;
            if let Some(error) = gone {
                return Err(error);
            }
            // A component that fails while it is dropped cannot say so itself.
            if let Some(error) = pallium_core::abi::take_close_failures().into_iter().next() {
                return Err(error);
            }
            let folder = match store.write(cell, &trained, profile) {
                Ok(folder) => folder,
                Err(error) if error.kind == Kind::Io => return Ok(Event::Unwritten(error)),
                Err(error) => return Err(error),
            };
            let seconds = trained.times.iter().find(|t| t.measure == "seconds_total").and_then(|t| t.value);
            Ok(Event::Finished {
                folder,
                accuracy: trained.value("test", "accuracy"),
                running_accuracy: trained.value("train", "running_accuracy"),
                failed_measures: trained.values.iter().filter(|v| v.failed.is_some()).count(),
                seconds: seconds.unwrap_or_default(),
                status: trained.status,
            })
        }
    }
}

fn emit(event: &Event) -> Result<()> {
    let mut line = vec![EVENT];
    serde_json::to_writer(&mut line, event)
        .map_err(|e| Error::bug(format!("an event cannot be written: {e}")))?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)
        .and_then(|()| out.flush())
        .map_err(|e| Error::new(Kind::Io, format!("the parent process does not listen: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_wire() {
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
    fn a_job_survives_the_wire_bit_for_bit() {
        let mut spec = super::super::mock::spec();
        spec.seed = u64::MAX - 1;
        spec.weights.params.insert("scale".into(), 0.1.into());
        let cell = Cell { identity: "0123456789abcdef".into(), inputs: vec![], folder: "x".into(), spec };
        let work = Work::Train {
            cell: Box::new(cell),
            store: "runs/x".into(),
            profile: "corrected".into(),
            checkpoint_every: 1,
        };
        let file = KnownFile { path: "a.so".into(), sha256: "00".into(), stamp: None };
        let job = Job { memory_mb: Some(500), ..Job::new(work, vec![file], None) };
        let text = serde_json::to_string(&job).unwrap();
        assert!(!text.contains('\n'));
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}
