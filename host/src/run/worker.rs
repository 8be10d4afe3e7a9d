//! A worker process: reads one job from standard input and reports on standard
//! output; see [`protocol`](super::protocol).
//!
//! Standard input stays open while the parent lives. When it closes, the worker
//! ends, since its result would not be received.

use std::io::BufRead;

use pallium_core::{Error, Kind, Result};
use pallium_record::FORMAT;
use pallium_record::VERSION;
use pallium_record::continuation::Continuation;
use pallium_record::outcome::Value;
use pallium_record::store::Store;

use super::components::{Options, read_substrate};
use super::cost::{self, Estimator};
use super::evaluation::evaluate;
use super::log;
use super::protocol::{Event, Job, Work};
use super::traces::traces;
use super::{check, train, warnings};
use crate::child::inside::{self, emit};
use crate::limits;
use crate::plugins::Catalogue;

/// Runs the job on standard input.
///
/// # Errors
/// If the parent does not listen. A job that fails is reported to the parent,
/// with exit code 1.
pub fn main() -> Result<u8> {
    pallium_record::durable::write_for_parent();
    let event = receive().and_then(|job| perform(&job)).unwrap_or_else(|error| {
        tracing::error!("{error}");
        Event::Failed(error)
    });
    emit(&event)?;
    Ok(u8::from(matches!(event, Event::Failed(_) | Event::Unwritten(_))))
}

fn receive() -> Result<Job> {
    let mut line = String::new();
    let mut input = inside::take_input()?;
    input.read_line(&mut line).map_err(|e| Error::bug(format!("a worker cannot read its job: {e}")))?;
    let hint = "`pallium run` starts workers; do not start one by hand";
    let job: Job = serde_json::from_str(&line)
        .map_err(|e| Error::input(format!("a worker cannot parse its job: {e}")).help(hint))?;
    inside::end_with_parent(input);
    if (job.host.as_str(), job.format) != (VERSION, FORMAT) {
        return Err(Error::input(format!(
            "the executable was replaced while it ran: version {} started a worker of version {VERSION}",
            job.host
        ))
        .help("repeat the command: the run continues"));
    }
    Ok(job)
}

fn perform(job: &Job) -> Result<Event> {
    limits::settle(job.memory_mb)?;
    let catalogue = Catalogue::load_known(&job.plugins)?;
    emit(&Event::Started)?;
    let options = Options { cache: job.cache.as_deref(), checkpoint: None, earlier: None, keep_state: false };
    match &job.work {
        Work::Check { cells } => {
            check::check(cells, &catalogue, &options)?;
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
        Work::Positions { cell } => {
            let positions = read_substrate(cell, &catalogue, &options)?.positions()?.micrometres();
            let values = positions.rows().into_iter().map(|row| [row[0], row[1], row[2]]).collect();
            Ok(Event::Positions { values })
        }
        Work::Train { cell, store, profile, checkpoint_every, keep_state } => {
            let _log = log::open(store);
            let store = Store::new(store);
            let checkpoint = store.checkpoint(cell, *checkpoint_every);
            let earlier = store.continuation(cell)?.and_then(|found| {
                let why = |why: &String| tracing::warn!("a shorter training is not continued: {why}");
                matches!(found, Continuation::From { .. })
                    .then(|| found.load().inspect_err(why).ok())
                    .flatten()
            });
            let options = Options {
                checkpoint: Some(&checkpoint),
                earlier: earlier.as_ref(),
                keep_state: *keep_state,
                ..options
            };
            let epochs = cell.spec.training.epochs;
            let mut gone = None;
            let mut trained = train::train(&cell.spec, &catalogue, &options, &mut |at| {
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
            closed()?;
            trained.warnings = warnings::take();
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
                failed_measures: failures(&trained.measures),
                seconds: seconds.unwrap_or_default(),
                status: trained.status,
            })
        }
        Work::MeasureSnapshots { cell, store } => {
            let store = Store::new(store);
            let (weights, snapshots) = (store.weights(cell)?, store.snapshots(cell)?);
            let rows = train::measure_snapshots(&cell.spec, &weights, &snapshots, &catalogue, &options)?;
            closed()?;
            Ok(Event::SnapshotsMeasured { rows })
        }
        Work::Evaluate { cell, store, evaluation } => {
            let weights = Store::new(store).weights(cell)?;
            let rows = evaluate(&cell.spec, &weights, evaluation, &catalogue, &options)?;
            closed()?;
            Ok(Event::Evaluated { rows })
        }
        Work::Trace { cell, store, test, what, file, format } => {
            let weights = Store::new(store).weights(cell)?;
            let data = traces(&cell.spec, &weights, test, what, &catalogue, &options)?;
            closed()?;
            data.write(file, *format)?;
            Ok(Event::Traced)
        }
        Work::Measure { cell, store } => {
            let _log = log::open(store);
            let store = Store::new(store);
            let wanted = store.to_measure(cell)?;
            let weights = store.weights(cell)?;
            let measures = train::measure_finished(&cell.spec, &wanted, &weights, &catalogue, &options)?;
            closed()?;
            for (&metric, (values, arrays)) in wanted.iter().zip(&measures) {
                match store.add_measures(cell, metric, values, arrays) {
                    Err(error) if error.kind == Kind::Io => return Ok(Event::Unwritten(error)),
                    outcome => outcome?,
                }
            }
            Ok(Event::Measured { failed_measures: failures(measures.iter().map(|(values, _)| values)) })
        }
    }
}

/// A component that fails while it is dropped cannot return its error.
fn closed() -> Result<()> {
    pallium_core::abi::take_close_failures().into_iter().next().map_or(Ok(()), Err)
}

fn failures<'a>(measures: impl IntoIterator<Item = &'a Vec<Value>>) -> usize {
    measures.into_iter().flatten().filter(|value| value.failed.is_some()).count()
}
