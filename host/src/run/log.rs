//! The run folder's log: messages of the run, its workers and its plugins in
//! one file.
//!
//! `log.jsonl` has one JSON object per line: `timestamp` (UTC), `level`,
//! `message`, `target` (`plugin` for a plugin's message; `origin` then names
//! its module and spans), further fields, and `spans`, outermost first:
//! `process` (machine and number) and, in a worker, `cell`.
//!
//! Processes on several machines append to the same file. Each line is written
//! in one piece under the file's lock, which network file systems share between
//! machines. A failing log never stops a run: what cannot be written is
//! dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use pallium_record::machine::Machine;
use pallium_record::outcome::Status;
use tracing::level_filters::LevelFilter;
use tracing::span::EnteredSpan;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use super::progress_event::ProgressEvent;

/// Name of the log within a run folder.
pub const NAME: &str = "log.jsonl";

/// Target of the events that [`on_event`] logs; a terminal shows them as
/// progress.
pub const TRAINING_EVENTS: &str = "course";

/// Bytes buffered until the run folder is known.
const BUFFER_LIMIT: usize = 256 << 10;

enum Sink {
    /// The run folder is not known yet.
    Waiting(Vec<u8>),
    Open(File),
}

static LEVEL: OnceLock<LevelFilter> = OnceLock::new();
static SINK: Mutex<Sink> = Mutex::new(Sink::Waiting(Vec::new()));

/// Begins to log into the run folder `root`, starting with what is buffered.
///
/// Events logged while the span lives carry the name of this process.
pub fn open(root: &Path) -> EnteredSpan {
    let path = root.join(NAME);
    let machine = Machine::current().name.unwrap_or_default();
    let span = tracing::info_span!("process", machine, number = std::process::id());
    if level() == LevelFilter::OFF {
        return span.entered();
    }
    match OpenOptions::new().create(true).append(true).open(&path) {
        Ok(file) => {
            let mut sink = SINK.lock().unwrap_or_else(PoisonError::into_inner);
            if let Sink::Waiting(before) = std::mem::replace(&mut *sink, Sink::Open(file))
                && let Sink::Open(file) = &*sink
            {
                append(file, &before);
            }
        }
        // The error goes to stderr alone; the lock is released by now.
        Err(e) => tracing::warn!("{}: there will be no log: {e}", path.display()),
    }
    span.entered()
}

/// The level of this process's log, which its workers use too; off if there is
/// no log.
pub fn level() -> LevelFilter {
    LEVEL.get().copied().unwrap_or(LevelFilter::OFF)
}

/// The subscriber's layer that writes the log at `level`.
pub fn layer<S>(level: LevelFilter) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    // Fails only if the level was set before.
    let _ = LEVEL.set(level);
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_writer(ToFolder)
        .log_internal_errors(false)
        .with_filter(level)
}

/// Logs an event of a training; `name` maps its number to its folder.
pub fn on_event(event: &ProgressEvent, name: impl Fn(usize) -> String) {
    match event {
        ProgressEvent::Started(cell) => {
            tracing::info!(target: TRAINING_EVENTS, cell = name(*cell), "started")
        }
        &ProgressEvent::Epoch { cell, epoch, epochs, loss, accuracy } => {
            tracing::debug!(target: TRAINING_EVENTS, cell = name(cell), epoch, epochs, loss, accuracy, "epoch");
        }
        ProgressEvent::Done { cell, status, accuracy, seconds, failed_measures, .. } => {
            let (cell, status, accuracy, seconds) = (name(*cell), status.to_string(), *accuracy, *seconds);
            let log = format!("cells/{cell}/log.txt");
            if *failed_measures > 0 || status != Status::Ok.to_string() {
                tracing::warn!(target: TRAINING_EVENTS, cell, status, accuracy, seconds, failed_measures, log, "done");
            } else {
                tracing::info!(target: TRAINING_EVENTS, cell, status, accuracy, seconds, log, "done");
            }
        }
        ProgressEvent::Failed(cell, failure) => {
            let cell = name(*cell);
            let log = format!("failed/{cell}.json");
            tracing::error!(target: TRAINING_EVENTS, cell, reason = failure.reason, log, "failed");
        }
        ProgressEvent::Stopped(cell) => {
            tracing::warn!(target: TRAINING_EVENTS, cell = name(*cell), "stopped")
        }
        ProgressEvent::Elsewhere(cell) => {
            tracing::info!(target: TRAINING_EVENTS, cell = name(*cell), "done elsewhere")
        }
        // They are repeated often.
        ProgressEvent::Waiting(..) | ProgressEvent::Tick => {}
    }
}

struct ToFolder;

impl<'a> MakeWriter<'a> for ToFolder {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line
    }
}

/// Writes one event; the formatter passes it in one piece.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *SINK.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Waiting(before) if before.len() + bytes.len() <= BUFFER_LIMIT => {
                before.extend_from_slice(bytes)
            }
            Sink::Waiting(_) => {}
            Sink::Open(file) => append(file, bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append(mut file: &File, bytes: &[u8]) {
    // A file system without locks still appends.
    let locked = file.lock().is_ok();
    let _ = file.write_all(bytes);
    if locked {
        let _ = file.unlock();
    }
}
