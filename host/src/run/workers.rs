//! Worker processes: how they are started, supervised and ended, and their work
//! besides training.
//!
//! A component may crash, hang or end the process wherever its code runs, so no
//! component runs in the parent.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pallium_core::{Error, Kind, Result};
use pallium_process::{exit_text, signal, wait_or_kill};
use pallium_record::spec::CellSpec;
use tracing::level_filters::LevelFilter;

use super::cost::Cost;
use super::protocol::{EVENT, Event, Job, Work};
use crate::limits::Limits;
use crate::plugins::{Catalogue, KnownFile};

/// How often a silent worker is checked.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Time for a worker to end after its last event, and for its output to close
/// after its end.
const EXIT_GRACE: Duration = Duration::from_secs(10);
/// Time for a worker to end after its output has closed.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// Time limit of the check before a run, which is optional.
const CHECK_LIMIT: Duration = Duration::from_secs(120);
/// Bytes of a log that are kept from its beginning, and from its end.
const LOG: (usize, usize) = (64 << 10, 192 << 10);
/// Longest line on a worker's standard output.
const LONGEST_LINE: u64 = 1 << 20;
/// Number of attempts to compute the work of trainings: it has no substitute,
/// since all machines must compute the same shards.
const WEIGH_ATTEMPTS: usize = 3;

/// Bytes of a log in the record of a failure.
pub(super) const LOG_TAIL: usize = 16 << 10;

/// A request to stop running workers. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Not requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops workers and starts no more.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was requested.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How worker processes are started, and their limits.
#[derive(Clone, Debug, Default)]
pub struct Workers {
    /// The command that becomes a worker: this executable's `worker`.
    pub command: Vec<OsString>,
    /// Folder in which components may cache results.
    pub cache: Option<PathBuf>,
    /// Limits of each worker.
    pub limits: Limits,
    /// The request to stop them.
    pub stop: Stop,
}

impl Workers {
    /// Processes of this executable, without limits.
    ///
    /// # Errors
    /// If the executable cannot be found.
    pub fn new(cache: Option<PathBuf>) -> Result<Self> {
        let executable = std::env::current_exe()
            .map_err(|e| Error::new(Kind::Io, format!("cannot find this executable: {e}")))?;
        Ok(Workers { command: vec![executable.into(), "worker".into()], cache, ..Workers::default() })
    }

    /// Builds the components of `cells` in a worker, so that a mistake shows
    /// before anything is trained. A separate process is necessary because a
    /// component may crash even here.
    ///
    /// # Errors
    /// If the user's input is wrong or cannot be read. Other errors are left to
    /// the trainings, which record them.
    pub fn check(&self, cells: &[&CellSpec], catalogue: &Catalogue) -> Result<()> {
        let plugins = plugins(cells.iter().copied(), catalogue)?;
        let work = Work::Check { cells: cells.iter().copied().cloned().collect() };
        let job = Job::new(work, plugins, self.cache.clone());
        let job = Job { memory_mb: self.limits.memory_mb, ..job };
        let patience = self.limits.timeout.map_or(CHECK_LIMIT, |limit| limit.min(CHECK_LIMIT));
        let end = self.drive(&job, Some(patience), &mut |_| ());
        match end.last {
            Some(Event::Failed(error))
                if matches!(error.kind, Kind::Input | Kind::Unsupported | Kind::Io) =>
            {
                Err(error)
            }
            Some(Event::Checked) => Ok(()),
            _ if self.stop.is_set() => Ok(()),
            ref last => {
                let why = match last {
                    Some(Event::Failed(error)) => error.to_string(),
                    _ => end.reason(&self.limits, None),
                };
                tracing::warn!("the check before the run did not complete: {why}");
                Ok(())
            }
        }
    }

    /// The relative work of each of `cells`; see
    /// [`weigh`](crate::run::cost::weigh).
    ///
    /// # Errors
    /// If a substrate or a task cannot be built, or every attempt crashes.
    pub fn weigh(&self, cells: &[&CellSpec], catalogue: &Catalogue) -> Result<Vec<f64>> {
        let plugins = plugins(cells.iter().copied(), catalogue)?;
        let work = Work::Weigh { cells: cells.iter().copied().cloned().collect() };
        let job = Job::new(work, plugins, self.cache.clone());
        let mut reason = String::new();
        for _ in 0..WEIGH_ATTEMPTS {
            let end = self.drive(&job, Some(CHECK_LIMIT), &mut |_| ());
            match end.last {
                Some(Event::Weighed { weights }) if weights.len() == cells.len() => return Ok(weights),
                Some(Event::Failed(error)) => return Err(error),
                _ => reason = end.reason(&Limits::default(), None),
            }
            if self.stop.is_set() {
                break;
            }
        }
        Err(Error::plugin(format!(
            "cannot divide the trainings into shards, since their work cannot be estimated: {reason}"
        )))
    }

    /// The cost of each of `cells`; `None` for those that could not be tried
    /// within `patience` or whose components crash.
    ///
    /// # Errors
    /// As [`Workers::check`].
    pub fn estimate(
        &self,
        cells: &[&CellSpec],
        catalogue: &Catalogue,
        patience: Duration,
    ) -> Result<Vec<Option<Cost>>> {
        // Refuse what a run would refuse.
        self.check(cells, catalogue)?;
        let begun = Instant::now();
        let mut costs = vec![None; cells.len()];
        // A component that ends its process loses the estimate of its own training
        // only; another process continues with the next.
        let mut next = 0;
        while next < cells.len() && !self.stop.is_set() {
            let rest = &cells[next..];
            let plugins = plugins(rest.iter().copied(), catalogue)?;
            let work = Work::Estimate { cells: rest.iter().copied().cloned().collect() };
            let job = Job::new(work, plugins, self.cache.clone());
            let left = patience.saturating_sub(begun.elapsed());
            let mut current = next;
            let end = self.drive(&job, Some(left), &mut |event| {
                if let Event::Estimated { cost, reason } = event
                    && let (Some(place), Some(cell)) = (costs.get_mut(current), cells.get(current))
                {
                    *place = *cost;
                    current += 1;
                    if let Some(reason) = reason {
                        no_estimate(cell, reason);
                    }
                }
            });
            if matches!(end.last, Some(Event::Checked)) {
                break;
            }
            if end.late.is_some() {
                tracing::warn!("estimating took too long; some trainings have no estimate");
                break;
            }
            if let Some(cell) = cells.get(current) {
                let reason = match &end.last {
                    Some(Event::Failed(error)) => error.to_string(),
                    _ => end.reason(&Limits::default(), None),
                };
                no_estimate(cell, &reason);
            }
            next = current + 1;
        }
        Ok(costs)
    }

    /// Starts a worker on `job` and supervises it to its end.
    pub(super) fn drive(&self, job: &Job, limit: Option<Duration>, on_event: &mut dyn FnMut(&Event)) -> End {
        let begun = Instant::now();
        let log = SharedLog::default();
        let mut end =
            End { last: None, exit: None, stopped: false, late: None, trouble: None, log: log.clone() };
        let mut child = match self.spawn(job.work.threads()) {
            Ok(child) => child,
            Err(e) => {
                end.trouble = Some(format!("its process cannot be started: {e}"));
                return end;
            }
        };
        let (lines, received) = mpsc::channel();
        if let Some(errors) = child.stderr.take() {
            let (log, done) = (log.clone(), lines.clone());
            thread::spawn(move || {
                copy(errors, &log);
                drop(done);
            });
        }
        if let Some(output) = child.stdout.take() {
            let log = log.clone();
            thread::spawn(move || listen(output, &lines, &log));
        } else {
            drop(lines);
        }
        // Stays open until the worker has ended; see `worker`.
        let mut input = child.stdin.take();
        if let (Some(input), Ok(mut text)) = (&mut input, serde_json::to_vec(job)) {
            text.push(b'\n');
            // If the worker has ended already, its log or exit code has the reason.
            let _ = input.write_all(&text).and_then(|()| input.flush());
        }
        let mut deadline: Option<Instant> = None;
        loop {
            match received.recv_timeout(POLL_INTERVAL) {
                Ok(Ok(event)) => {
                    on_event(&event);
                    if !matches!(event, Event::Started | Event::Epoch { .. } | Event::Estimated { .. }) {
                        end.last = Some(event);
                        deadline.get_or_insert(Instant::now() + EXIT_GRACE);
                    }
                }
                Ok(Err(trouble)) => {
                    end.trouble = Some(trouble);
                    deadline = Some(Instant::now());
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                        // Output that stays open belongs to a process that the
                        // worker left behind.
                        let patience = if end.last.is_some() { POLL_INTERVAL } else { EXIT_GRACE };
                        let latest = Instant::now() + patience;
                        deadline = Some(deadline.map_or(latest, |at| at.min(latest)));
                    }
                }
            }
            // A worker that has finished is not interrupted.
            if end.last.is_none() {
                end.stopped = self.stop.is_set();
                end.late = limit.filter(|limit| begun.elapsed() > *limit);
                if end.stopped || end.late.is_some() {
                    break;
                }
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                break;
            }
        }
        end.exit =
            wait_for_exit(&mut child, if end.last.is_some() { EXIT_GRACE } else { Duration::ZERO }, &end);
        end
    }

    fn spawn(&self, threads: usize) -> io::Result<Child> {
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| io::Error::other("the worker has no command"))?;
        let mut command = Command::new(program);
        // The log of a training is useful at any verbosity of the parent.
        let level = LevelFilter::current().max(LevelFilter::INFO).to_string();
        command.args(arguments).args(["--log", &level, "--keep-log", &super::log::level().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let threads = threads.to_string();
        // Libraries of components read these once, at the start.
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, &threads);
        }
        // In a process group of its own: Ctrl-C on the terminal reaches the parent
        // alone, which then stops its workers in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }
}

fn no_estimate(cell: &CellSpec, reason: &str) {
    tracing::warn!("{} has no estimate: {reason}", cell.label());
}

/// Plugin files that `cells` use, in order of first use.
pub(super) fn plugins<'a>(
    cells: impl IntoIterator<Item = &'a CellSpec>,
    catalogue: &Catalogue,
) -> Result<Vec<KnownFile>> {
    let mut used = Vec::new();
    for component in cells.into_iter().flat_map(CellSpec::components) {
        if let Some(plugin) = &catalogue.get(&component.id)?.plugin {
            let file = plugin.known();
            if !used.contains(&file) {
                used.push(file);
            }
        }
    }
    Ok(used)
}

/// How a worker ended.
pub(super) struct End {
    pub last: Option<Event>,
    pub exit: Option<ExitStatus>,
    /// Ended by this process, on request.
    pub stopped: bool,
    /// Ended by this process, because it exceeded this limit.
    late: Option<Duration>,
    trouble: Option<String>,
    pub log: SharedLog,
}

impl End {
    /// Why there is no result; `reached` is the last reported epoch and the
    /// number of epochs.
    pub fn reason(&self, limits: &Limits, reached: Option<(u32, u32)>) -> String {
        if let Some(trouble) = &self.trouble {
            return trouble.clone();
        }
        if let Some(limit) = self.late {
            let reached = reached.map_or_else(
                || "before the end of its first epoch".into(),
                |(epoch, epochs)| format!("after {epoch} of {epochs} epochs"),
            );
            return format!(
                "it took longer than its limit of {} s and was ended {reached}",
                limit.as_secs_f64()
            );
        }
        if let Some(limit) = limits.memory_mb {
            // Rust's message before it aborts.
            if let Some(words) = self.log.line_with("memory allocation of ") {
                return format!("it needed more than its limit of {limit} MB of memory: {words}");
            }
        }
        let limit = match (limits.memory_mb, self.exit.and_then(signal)) {
            // How other programs end when there is no memory.
            (Some(limit), Some(6 | 7 | 9 | 11)) => format!(" within a limit of {limit} MB of memory"),
            _ => String::new(),
        };
        let words = self.log.last_line();
        let words = if words.is_empty() { String::new() } else { format!("; its last words: {words}") };
        format!("its process {}{limit}{words}", self.exit_text())
    }

    fn exit_text(&self) -> String {
        let Some(exit) = self.exit else { return "did not end and was killed".into() };
        match exit.code() {
            Some(101) => "panicked (exit code 101)".into(),
            Some(_) => format!("{} without a result", exit_text(exit)),
            None => exit_text(exit),
        }
    }
}

/// Waits for a worker for up to `patience`, or [`OUTPUT_GRACE`] if its output has
/// closed, then kills it. `None` if it had to be killed.
fn wait_for_exit(child: &mut Child, patience: Duration, end: &End) -> Option<ExitStatus> {
    let at_once = end.stopped || end.late.is_some() || end.trouble.is_some();
    let patience = if at_once { Duration::ZERO } else { patience.max(OUTPUT_GRACE) };
    wait_or_kill(child, patience)
}

/// Reads a worker's standard output: sends events, logs everything else.
fn listen(output: impl Read, events: &Sender<Result<Event, String>>, log: &SharedLog) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match output.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Some(start) = line.iter().position(|&byte| byte == EVENT) else {
            log.add(&line);
            continue;
        };
        log.add(&line[..start]);
        let event = serde_json::from_slice(&line[start + 1..]).map_err(|e| {
            log.add(&line[start + 1..]);
            format!("its process sent an invalid event: {e}")
        });
        let bad = event.is_err();
        if events.send(event).is_err() || bad {
            return;
        }
    }
}

/// Logs a worker's standard error.
fn copy(mut errors: impl Read, log: &SharedLog) {
    let mut buffer = [0; 8192];
    loop {
        match errors.read(&mut buffer) {
            Ok(n) if n > 0 => log.add(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// The beginning and the end of a process's output.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedLog(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: usize,
}

impl SharedLog {
    fn add(&self, bytes: &[u8]) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = bytes.len().min(LOG.0 - log.head.len());
        log.head.extend(&bytes[..room]);
        log.tail.extend(&bytes[room..]);
        let excess = log.tail.len().saturating_sub(LOG.1);
        log.tail.drain(..excess);
        log.dropped += excess;
    }

    pub fn text(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail: Vec<u8> = log.tail.iter().copied().collect();
        let (head, tail) = (String::from_utf8_lossy(&log.head), String::from_utf8_lossy(&tail));
        match log.dropped {
            0 => format!("{head}{tail}"),
            n => format!("{head}\n… {n} bytes left out …\n{tail}"),
        }
    }

    pub fn tail(&self, length: usize) -> String {
        let text = self.text();
        let start = text.ceil_char_boundary(text.len().saturating_sub(length));
        text[start..].to_owned()
    }

    /// The last line that contains `words`.
    fn line_with(&self, words: &str) -> Option<String> {
        self.tail(LOG_TAIL).lines().rev().find(|line| line.contains(words)).map(|line| line.trim().into())
    }

    fn last_line(&self) -> String {
        last_words(&self.tail(4096))
    }
}

/// The last output that may explain why a process ended, shortened; empty if
/// there is none.
pub(crate) fn last_words(text: &str) -> String {
    // Reports of panics and aborts put the message before the advice. Progress
    // is not a cause.
    const NOT_CAUSES: [&str; 5] = ["help:", "note:", "INFO ", "DEBUG ", "TRACE "];
    let mut lines = text.lines().map(str::trim).rev().filter(|line| !line.is_empty());
    let line = lines.clone().find(|line| line.starts_with("memory allocation of "));
    let line = line.or_else(|| lines.find(|line| !NOT_CAUSES.iter().any(|prefix| line.starts_with(prefix))));
    line.unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_beginning_and_its_end() {
        let log = SharedLog::default();
        log.add(b"first\n");
        for _ in 0..100 {
            log.add(&[b'x'; 4096]);
        }
        log.add("\nlast — words\n".as_bytes());
        let text = log.text();
        assert!(text.starts_with("first\n") && text.ends_with("last — words\n"));
        assert!(text.contains("bytes left out"));
        assert!(text.len() < LOG.0 + LOG.1 + 100);
        assert_eq!(log.last_line(), "last — words");
    }
}
