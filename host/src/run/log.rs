//! The run folder's log: what the run, its workers and the plugins say, in one
//! file for all of them.
//!
//! `log.jsonl` has one JSON object a line: `timestamp` (UTC), `level`,
//! `message`, `target` (`plugin` for what a plugin says; `origin` then names
//! its module and its spans), further fields, and `spans`, from the outermost
//! in: `process` (machine and number) and, in a worker, `cell`.
//!
//! Processes on several machines append to the same file. A line is written in
//! one piece under the file's lock, which network file systems pass on to each
//! other. A log is never worth a run: what cannot be written is dropped.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::span::EnteredSpan;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::registry::LookupSpan;

use super::progress_event::ProgressEvent;
use pallium_record::machine::Machine;
use pallium_record::outcome::Status;

/// Name of the log within a run folder.
pub const NAME: &str = "log.jsonl";

/// Target of what [`tell`] tells, which a terminal shows in its own way.
pub const COURSE: &str = "course";

/// Bytes kept for the time before it is known where the run folder is.
const BEFORE: usize = 256 << 10;

enum Sink {
    /// Nobody has said where yet.
    Waiting(Vec<u8>),
    Open(File),
}

static LEVEL: OnceLock<LevelFilter> = OnceLock::new();
static SINK: Mutex<Sink> = Mutex::new(Sink::Waiting(Vec::new()));

/// Begins to log into the run folder `root`, with what was said before.
///
/// Whatever is logged while the span lives is marked as this process's.
pub fn open(root: &Path) -> EnteredSpan {
    let path = root.join(NAME);
    let machine = Machine::this().name.unwrap_or_default();
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
        // Not into the log, and the lock is free again.
        Err(e) => tracing::warn!("{}: there will be no log: {e}", path.display()),
    }
    span.entered()
}

/// The level down to which this process keeps a log, and its workers are to;
/// off if it keeps none.
pub fn level() -> LevelFilter {
    LEVEL.get().copied().unwrap_or(LevelFilter::OFF)
}

/// The subscriber's layer that writes the log, down to `level`.
pub fn layer<S>(level: LevelFilter) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    // Fails only if this is the second one.
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

/// Logs a report of a training; `name` gives the name of its folder.
pub fn on_event(event: &ProgressEvent, name: impl Fn(usize) -> String) {
    match event {
        ProgressEvent::Started(cell) => tracing::info!(target: COURSE, cell = name(*cell), "started"),
        &ProgressEvent::Epoch { cell, epoch, epochs, loss, accuracy } => {
            tracing::debug!(target: COURSE, cell = name(cell), epoch, epochs, loss, accuracy, "epoch");
        }
        ProgressEvent::Done { cell, status, accuracy, seconds, failed_measures, .. } => {
            let (cell, status, accuracy, seconds) = (name(*cell), status.to_string(), *accuracy, *seconds);
            let log = format!("cells/{cell}/log.txt");
            if *failed_measures > 0 || status != Status::Ok.to_string() {
                tracing::warn!(target: COURSE, cell, status, accuracy, seconds, failed_measures, log, "done");
            } else {
                tracing::info!(target: COURSE, cell, status, accuracy, seconds, log, "done");
            }
        }
        ProgressEvent::Failed(cell, failure) => {
            let cell = name(*cell);
            let log = format!("failed/{cell}.json");
            tracing::error!(target: COURSE, cell, reason = failure.reason, log, "failed");
        }
        ProgressEvent::Stopped(cell) => tracing::warn!(target: COURSE, cell = name(*cell), "stopped"),
        ProgressEvent::Elsewhere(cell) => {
            tracing::info!(target: COURSE, cell = name(*cell), "done elsewhere")
        }
        // Said again and again.
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

/// One event: the formatter writes it in one piece.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *SINK.lock().unwrap_or_else(PoisonError::into_inner) {
            Sink::Waiting(before) if before.len() + bytes.len() <= BEFORE => before.extend_from_slice(bytes),
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
