//! The parent's side: worker processes, a few at a time.
//!
//! A worker that crashes, panics, is killed or says nothing intelligible costs
//! its own cell and nothing else: the cell is recorded as failed, with the
//! reason and the end of its log.
//!
//! Other processes may be at the same run folder. A cell is claimed before it
//! is run; those that others are at wait for the end, and are taken over if
//! the others turn out to be gone.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use itertools::Itertools;
use pallium_core::{Error, Kind, Result};
use tracing::level_filters::LevelFilter;

use super::claim::{Claim, HEARTBEAT, Owner, STALE, Sight, Standing};
use super::identity::Cell;
use super::limits::Limits;
use super::machine::Machine;
use super::outcome::{Status, one_line};
use super::store::{Failure, Record, Store};
use super::worker::{EVENT, Event, Job, Work};
use crate::cell::CellSpec;
use crate::plugins::{Catalogue, KnownFile};

/// How often a silent worker is looked after.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a worker may take to end after its last event, and its output to
/// close after its end.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long a worker may take to end after its output has closed.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the check before a run may take; it is a courtesy, and gives way.
const CHECK: Duration = Duration::from_secs(120);
/// Bytes of a log that are kept from its beginning, and from its end.
const LOG: (usize, usize) = (64 << 10, 192 << 10);
/// Bytes of a log in a failure's record.
const LOG_TAIL: usize = 16 << 10;
/// How often claims of others are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Longest line on a worker's standard output.
const LINE: u64 = 1 << 20;

/// Asks running workers to stop. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Not yet asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops workers and starts no more.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How cells are run.
#[derive(Clone, Debug)]
pub struct Pool<'a> {
    /// The command that becomes a worker: this executable's `worker`.
    pub worker: Vec<OsString>,
    /// Workers at a time.
    pub jobs: usize,
    /// A folder for what components find worth keeping between cells.
    pub cache: Option<PathBuf>,
    /// Whether the first failure stops the run.
    pub fail_fast: bool,
    /// What bounds each cell.
    pub limits: Limits,
    /// After how many epochs each a checkpoint is kept; 0 for never.
    pub checkpoint_every: u32,
    /// The run folder.
    pub store: &'a Store,
    /// Name of the profile of each variant, for the record.
    pub profiles: &'a BTreeMap<String, String>,
    /// Stops it all.
    pub stop: Stop,
}

/// What is heard of the cells, by their place in the list.
#[derive(Clone, Debug)]
pub enum Report {
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

/// What a thread of the pool sends.
enum Message {
    Report(Report),
    /// The run folder cannot be written: no cell can be kept any more.
    Broken(Error),
}

impl Pool<'_> {
    /// Runs `cells`, telling `observe` how it goes.
    ///
    /// # Errors
    /// If the run folder cannot be written, or `observe` fails; running
    /// workers are stopped then. That a cell fails is not an error.
    pub fn run(
        &self,
        cells: &[&Cell],
        catalogue: &Catalogue,
        observe: &mut dyn FnMut(Report) -> Result<()>,
    ) -> Result<()> {
        let plugins: Vec<_> =
            cells.iter().map(|cell| plugins([&cell.spec], catalogue)).collect::<Result<_>>()?;
        let queue = Queue::new(self.store, cells);
        let (send, receive) = mpsc::channel();
        let mut outcome = Ok(());
        thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, cells.len().max(1)) {
                let (send, queue, plugins) = (send.clone(), &queue, &plugins);
                scope.spawn(move || {
                    // Nobody listens any more only if the run is over.
                    let tell = |message| drop(send.send(message));
                    while !self.stop.is_set() {
                        let turn = queue.next(&mut |report| tell(Message::Report(report)));
                        let (at, claim) = match turn {
                            Ok(Turn::Run(at, claim)) => (at, claim),
                            Ok(Turn::Wait) => {
                                thread::sleep(GLANCE);
                                continue;
                            }
                            Ok(Turn::End) => break,
                            Err(error) => return tell(Message::Broken(error)),
                        };
                        let (Some(cell), Some(plugins)) = (cells.get(at), plugins.get(at)) else { break };
                        let last = self.cell(at, cell, plugins.clone(), &send);
                        queue.leave(claim);
                        tell(last.map_or_else(Message::Broken, Message::Report));
                    }
                });
            }
            drop(send);
            let mut beat = Instant::now();
            loop {
                let report = match receive.recv_timeout(GLANCE) {
                    Ok(Message::Report(report)) => report,
                    Ok(Message::Broken(error)) => {
                        self.stop.set();
                        outcome = std::mem::replace(&mut outcome, Ok(())).and(Err(error));
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => Report::Tick,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if beat.elapsed() > HEARTBEAT {
                    queue.touch();
                    beat = Instant::now();
                }
                if self.fail_fast && matches!(report, Report::Failed(..)) {
                    self.stop.set();
                }
                if outcome.is_ok()
                    && let Err(error) = observe(report)
                {
                    self.stop.set();
                    outcome = Err(error);
                }
            }
        });
        outcome
    }

    /// Runs one cell to its end. An error is of the run folder.
    fn cell(
        &self,
        at: usize,
        cell: &Cell,
        plugins: Vec<KnownFile>,
        send: &Sender<Message>,
    ) -> Result<Report> {
        let work = Work::Train {
            cell: Box::new(cell.clone()),
            store: self.store.root().to_owned(),
            profile: self.profiles.get(&cell.spec.variant).cloned().unwrap_or_default(),
            checkpoint_every: self.checkpoint_every,
        };
        let job = Job::new(work, plugins, self.cache.clone());
        let job = Job { memory_mb: self.limits.memory_mb, ..job };
        let mut reached = None;
        let end = self.drive(&job, self.limits.timeout, &mut |event| {
            let report = match event {
                Event::Started => Report::Started(at),
                &Event::Epoch { epoch, epochs, loss, accuracy } => {
                    reached = Some((epoch, epochs));
                    Report::Epoch { cell: at, epoch, epochs, loss, accuracy }
                }
                _ => return,
            };
            let _ = send.send(Message::Report(report));
        });
        let reason = match &end.last {
            Some(Event::Finished {
                folder,
                status,
                accuracy,
                running_accuracy,
                failed_measures,
                seconds,
            }) => {
                if self.store.is_unfinished(folder) {
                    let log = format!("{}\n{}", self.headline(cell), end.log.text());
                    self.store.commit(cell, folder, &log)?;
                    return Ok(Report::Done {
                        cell: at,
                        status: status.clone(),
                        accuracy: *accuracy,
                        running_accuracy: *running_accuracy,
                        failed_measures: *failed_measures,
                        seconds: *seconds,
                    });
                }
                format!("its process left its result in {}, which is not its place", folder.display())
            }
            // What stands in the way of this result does so of any other.
            Some(Event::Unwritten(error)) => return Err(error.clone()),
            Some(Event::Failed(error)) => {
                std::iter::once(&error.message).chain(&error.causes).cloned().join(": ")
            }
            _ if end.stopped || self.stopped_too(&end) => return Ok(Report::Stopped(at)),
            _ => end.reason(&self.limits, reached),
        };
        let error = match end.last {
            Some(Event::Failed(error)) => Some(error),
            _ => None,
        };
        let log = format!("{}\n{}", self.headline(cell), end.log.tail(LOG_TAIL));
        let failure = Failure { reason: one_line(&reason), error, log };
        self.store.fail(cell, &failure)?;
        Ok(Report::Failed(at, failure))
    }

    fn headline(&self, cell: &Cell) -> String {
        let machine = Machine::this();
        format!(
            "{} on {} ({}, {}, {} cores); threads: {}",
            cell.spec.label(),
            machine.name.as_deref().unwrap_or("a machine"),
            machine.cpu.as_deref().unwrap_or(&machine.architecture),
            machine.system,
            machine.cores,
            cell.spec.training.threads
        )
    }

    /// Whether a worker was ended by a signal that is meant for the whole run
    /// (a batch system's, say) and that this process is about to receive too.
    fn stopped_too(&self, end: &End) -> bool {
        if !end.exit.and_then(signal).is_some_and(|signal| [1, 2, 15].contains(&signal)) {
            return false;
        }
        let patience = Instant::now();
        while !self.stop.is_set() && patience.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(10));
        }
        self.stop.is_set()
    }

    /// Has a worker build what `cells` name, so that a mistake shows before
    /// anything is trained. It is done in a process of its own because a
    /// component may crash even here.
    ///
    /// # Errors
    /// If the user's input is wrong or cannot be read. Anything else is left
    /// for the cells to run into, each on its own.
    pub fn check(&self, cells: &[&CellSpec], catalogue: &Catalogue) -> Result<()> {
        let plugins = plugins(cells.iter().copied(), catalogue)?;
        let work = Work::Check { cells: cells.iter().copied().cloned().collect() };
        let job = Job::new(work, plugins, self.cache.clone());
        let job = Job { memory_mb: self.limits.memory_mb, ..job };
        let patience = self.limits.timeout.map_or(CHECK, |limit| limit.min(CHECK));
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
                tracing::warn!("the check before the run came to nothing: {last:?}, {}", end.exit_text());
                Ok(())
            }
        }
    }

    /// How much work each of `cells` is; see
    /// [`weigh`](crate::experiment::cost::weigh).
    ///
    /// # Errors
    /// If a substrate or a task cannot be built.
    pub fn weigh(&self, cells: &[&CellSpec], catalogue: &Catalogue) -> Result<Vec<f64>> {
        let plugins = plugins(cells.iter().copied(), catalogue)?;
        let work = Work::Weigh { cells: cells.iter().copied().cloned().collect() };
        let job = Job::new(work, plugins, self.cache.clone());
        let end = self.drive(&job, Some(CHECK), &mut |_| ());
        match end.last {
            Some(Event::Weighed { weights }) if weights.len() == cells.len() => Ok(weights),
            Some(Event::Failed(error)) => Err(error),
            _ => Err(Error::plugin(format!(
                "the plan cannot be split, as its cells cannot be weighed: {}",
                end.reason(&Limits::default(), None)
            ))),
        }
    }

    /// Starts a worker on `job` and follows it to its end.
    fn drive(&self, job: &Job, limit: Option<Duration>, hear: &mut dyn FnMut(&Event)) -> End {
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
        let (lines, heard) = mpsc::channel();
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
        // Kept open until the worker is gone; see `worker`.
        let mut input = child.stdin.take();
        if let (Some(input), Ok(mut text)) = (&mut input, serde_json::to_vec(job)) {
            text.push(b'\n');
            // A worker that is gone already has said why, or its exit will.
            let _ = input.write_all(&text).and_then(|()| input.flush());
        }
        let mut deadline: Option<Instant> = None;
        loop {
            match heard.recv_timeout(GLANCE) {
                Ok(Ok(event)) => {
                    hear(&event);
                    if !matches!(event, Event::Started | Event::Epoch { .. }) {
                        end.last = Some(event);
                        deadline.get_or_insert(Instant::now() + FAREWELL);
                    }
                }
                Ok(Err(trouble)) => {
                    end.trouble = Some(trouble);
                    deadline = Some(Instant::now());
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                        // Output that stays open belongs to a process that
                        // the worker has left behind.
                        let patience = if end.last.is_some() { GLANCE } else { FAREWELL };
                        let latest = Instant::now() + patience;
                        deadline = Some(deadline.map_or(latest, |at| at.min(latest)));
                    }
                }
            }
            // A worker that has finished is not interrupted any more.
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
        end.exit = farewell(&mut child, if end.last.is_some() { FAREWELL } else { Duration::ZERO }, &end);
        end
    }

    fn spawn(&self, threads: usize) -> io::Result<Child> {
        let (program, arguments) =
            self.worker.split_first().ok_or_else(|| io::Error::other("there is no command for it"))?;
        let mut command = Command::new(program);
        // A cell's log is worth more than silence, whatever the parent tells.
        let level = LevelFilter::current().max(LevelFilter::INFO).to_string();
        command.args(arguments).args(["--log", &level, "--keep-log", &super::log::level().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let threads = threads.to_string();
        // Libraries that components bring along read these once, at the start.
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, &threads);
        }
        // A group of its own: Ctrl-C on the terminal is for the parent, which
        // then stops its workers in order.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn()
    }
}

/// What a thread of the pool does next.
enum Turn {
    /// Run this cell, which is claimed.
    Run(usize, Claim),
    /// Ask again a little later.
    Wait,
    /// Nothing: all is done or being done.
    End,
}

/// The cells that are still to be run, in their order.
struct Queue<'a> {
    store: &'a Store,
    cells: &'a [&'a Cell],
    owner: Owner,
    state: Mutex<Waiting>,
    /// Files of this process's claims.
    claims: Mutex<Vec<PathBuf>>,
}

struct Waiting {
    fresh: VecDeque<usize>,
    /// Cells that other processes are at.
    others: BTreeMap<usize, Other>,
    looked: Instant,
    /// Whether it was told that only others' are left.
    told: bool,
}

struct Other {
    sight: Sight,
    /// When the cell had failed for the last time when it was first seen.
    failed: Option<SystemTime>,
}

impl<'a> Queue<'a> {
    fn new(store: &'a Store, cells: &'a [&'a Cell]) -> Self {
        let state = Waiting {
            fresh: (0..cells.len()).collect(),
            others: BTreeMap::new(),
            looked: Instant::now(),
            told: false,
        };
        Queue { store, cells, owner: Owner::this(), state: Mutex::new(state), claims: Mutex::default() }
    }

    /// What to do next. An error is of the run folder.
    fn next(&self, tell: &mut dyn FnMut(Report)) -> Result<Turn> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some(at) = state.fresh.pop_front() {
                let Some(cell) = self.cells.get(at) else { continue };
                match self.store.claim(cell, &self.owner)? {
                    // Another process may have finished it since.
                    Ok(_) if self.store.holds(cell)? => tell(Report::Elsewhere(at)),
                    Ok(claim) => {
                        self.claims().push(claim.path().to_owned());
                        return Ok(Turn::Run(at, claim));
                    }
                    Err(sight) => {
                        let failed = self.store.failed_at(cell);
                        state.others.insert(at, Other { sight, failed });
                    }
                }
            }
            if state.others.is_empty() {
                return Ok(Turn::End);
            }
            if !state.told {
                state.told = true;
                let owner = state.others.values().next().map(|o| o.sight.owner()).unwrap_or_default();
                tell(Report::Waiting(state.others.len(), owner));
            }
            if state.looked.elapsed() < LOOK {
                return Ok(Turn::Wait);
            }
            state.looked = Instant::now();
            self.look_at_others(&mut state, tell)?;
            if state.fresh.is_empty() && !state.others.is_empty() {
                return Ok(Turn::Wait);
            }
        }
    }

    /// Sees what has become of the cells that other processes were at.
    fn look_at_others(&self, state: &mut Waiting, tell: &mut dyn FnMut(Report)) -> Result<()> {
        for (at, other) in std::mem::take(&mut state.others) {
            let Some(cell) = self.cells.get(at) else { continue };
            let path = self.store.claim_of(cell);
            let standing = Claim::look(&path, &other.sight, STALE).map_err(|e| Error::io(&path, &e))?;
            match standing {
                _ if self.store.holds(cell)? => tell(Report::Elsewhere(at)),
                Standing::Alive(sight) => {
                    state.others.insert(at, Other { sight, ..other });
                }
                Standing::Gone if self.store.failed_at(cell) == other.failed => state.fresh.push_back(at),
                Standing::Gone => match self.store.record(cell)? {
                    Some(Record::Failed(reason)) => {
                        let log = String::new();
                        tell(Report::Failed(at, Failure { reason, error: None, log }));
                    }
                    Some(Record::Finished(_)) => tell(Report::Elsewhere(at)),
                    None => state.fresh.push_back(at),
                },
            }
        }
        Ok(())
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a claim up.
    fn leave(&self, claim: Claim) {
        self.claims().retain(|path| path != claim.path());
    }

    /// Gives signs of life.
    fn touch(&self) {
        self.claims().iter().for_each(|path| Claim::touch(path));
    }
}

/// Plugin files that `cells` use, in the order of their first use.
fn plugins<'a>(
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
struct End {
    last: Option<Event>,
    exit: Option<ExitStatus>,
    /// By this process, on request.
    stopped: bool,
    /// By this process, because it took longer than this.
    late: Option<Duration>,
    trouble: Option<String>,
    log: SharedLog,
}

impl End {
    /// Why there is no result; `reached` is the last epoch that was heard of,
    /// and how many there are.
    fn reason(&self, limits: &Limits, reached: Option<(u32, u32)>) -> String {
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
            // What Rust says before it aborts.
            if let Some(words) = self.log.line_with("memory allocation of ") {
                return format!("it wanted more than its limit of {limit} MB of memory: {words}");
            }
        }
        let limit = match (limits.memory_mb, self.exit.and_then(signal)) {
            // What other languages' programs die of when there is no memory.
            (Some(limit), Some(6 | 7 | 9 | 11)) => format!(" within a limit of {limit} MB of memory"),
            _ => String::new(),
        };
        let words = self.log.last_line();
        let words = if words.is_empty() { String::new() } else { format!("; its last words: {words}") };
        format!("its process {}{limit}{words}", self.exit_text())
    }

    fn exit_text(&self) -> String {
        let Some(exit) = self.exit else { return "did not end and was killed".into() };
        if let Some(number) = signal(exit) {
            let name = match number {
                4 => " (illegal instruction)",
                6 => " (abort)",
                7 => " (bus error)",
                8 => " (arithmetic error)",
                9 => " (killed from outside, most often because memory ran out)",
                11 => " (segmentation fault)",
                15 => " (termination)",
                24 => " (limit of processor time)",
                _ => "",
            };
            return format!("was ended by signal {number}{name}");
        }
        match exit.code() {
            Some(101) => "panicked (exit code 101)".into(),
            Some(code) => format!("ended with exit code {code} without a result"),
            None => "ended without a result".into(),
        }
    }
}

#[cfg(unix)]
fn signal(exit: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&exit)
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}

/// Waits for a worker for as long as `patience` lasts (or, where its output has
/// closed by itself, as long as a farewell does), then kills it. `None` if it
/// had to be killed.
fn farewell(child: &mut Child, patience: Duration, end: &End) -> Option<ExitStatus> {
    let at_once = end.stopped || end.late.is_some() || end.trouble.is_some();
    let patience = if at_once { Duration::ZERO } else { patience.max(SETTLE) };
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(exit)) => return Some(exit),
            Ok(None) if begun.elapsed() < patience => thread::sleep(Duration::from_millis(1)),
            _ => break,
        }
    }
    // Fails only if it has just ended.
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Reads a worker's standard output: events are passed on, the rest is logged.
fn listen(output: impl Read, events: &Sender<Result<Event, String>>, log: &SharedLog) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        line.clear();
        match output.by_ref().take(LINE).read_until(b'\n', &mut line) {
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
            format!("its process said something unintelligible: {e}")
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

/// The beginning and the end of what a process said.
#[derive(Clone, Debug, Default)]
struct SharedLog(Arc<Mutex<Log>>);

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

    fn text(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail: Vec<u8> = log.tail.iter().copied().collect();
        let (head, tail) = (String::from_utf8_lossy(&log.head), String::from_utf8_lossy(&tail));
        match log.dropped {
            0 => format!("{head}{tail}"),
            n => format!("{head}\n… {n} bytes left out …\n{tail}"),
        }
    }

    fn tail(&self, length: usize) -> String {
        let text = self.text();
        let start = text.ceil_char_boundary(text.len().saturating_sub(length));
        text[start..].to_owned()
    }

    /// The last line that has `words` in it.
    fn line_with(&self, words: &str) -> Option<String> {
        self.tail(LOG_TAIL).lines().rev().find(|line| line.contains(words)).map(|line| line.trim().into())
    }

    fn last_line(&self) -> String {
        let text = self.tail(4096);
        // A panic's report ends in advice; what it says comes before. How the
        // training went is no cause.
        let line = text
            .lines()
            .map(str::trim)
            .rev()
            .find(|line| {
                !line.is_empty()
                    && !["help:", "INFO ", "DEBUG ", "TRACE "].iter().any(|w| line.starts_with(w))
            })
            .unwrap_or_default();
        line.chars().take(200).collect()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::super::identity::identify;
    use super::super::mock;
    use super::*;

    fn pool<'a>(store: &'a Store, worker: &[&str]) -> Pool<'a> {
        static PROFILES: BTreeMap<String, String> = BTreeMap::new();
        Pool {
            worker: worker.iter().map(OsString::from).collect(),
            jobs: 2,
            cache: None,
            fail_fast: false,
            limits: Limits::default(),
            checkpoint_every: 1,
            store,
            profiles: &PROFILES,
            stop: Stop::new(),
        }
    }

    /// Runs one cell by a shell script in a worker's place.
    fn run(script: &str, stop: &Stop) -> (tempfile::TempDir, Vec<Report>, Duration) {
        run_within(Limits::default(), script, stop)
    }

    fn run_within(limits: Limits, script: &str, stop: &Stop) -> (tempfile::TempDir, Vec<Report>, Duration) {
        let here = tempfile::tempdir().unwrap();
        let store = Store::at(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let pool = Pool { limits, stop: stop.clone(), ..pool(&store, &["sh", "-c", script]) };
        let cell = identify(mock::spec(), &mock::catalogue()).unwrap();
        let mut reports = Vec::new();
        let begun = Instant::now();
        pool.run(&[&cell], &mock::catalogue(), &mut |report| {
            if !matches!(report, Report::Tick) {
                reports.push(report);
            }
            Ok(())
        })
        .unwrap();
        (here, reports, begun.elapsed())
    }

    fn failure(script: &str) -> Failure {
        let (here, reports, _) = run(script, &Stop::new());
        let [.., Report::Failed(0, failure)] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!(std::fs::read_dir(here.path().join("failed")).unwrap().count(), 1);
        failure.clone()
    }

    #[test]
    fn whatever_a_worker_dies_of_is_the_cells_reason() {
        for (script, reason) in [
            ("kill -SEGV $$", "its process was ended by signal 11 (segmentation fault)"),
            ("kill -KILL $$", "was ended by signal 9 (killed from outside"),
            ("exit 0", "its process ended with exit code 0 without a result"),
            ("echo no more room >&2; exit 3", "exit code 3 without a result; its last words: no more room"),
            (
                "printf 'error: bad\\n  help: tell us\\n' >&2; exit 101",
                "panicked (exit code 101); its last words: error: bad",
            ),
            ("printf '\\036{\"event\":\"dance\"}\\n'; sleep 20", "its process said something unintelligible"),
            (
                "printf '\\036{\"event\":\"failed\",\"kind\":\"input\",\"message\":\"no field\",\"help\":null,\"causes\":[\"so\"]}\\n'",
                "no field: so",
            ),
        ] {
            let failure = failure(script);
            assert!(failure.reason.contains(reason), "{script}: {}", failure.reason);
        }
    }

    #[test]
    fn what_a_component_prints_is_logged_and_does_no_harm() {
        let failure =
            failure("echo hello; printf 'half a line\\036{\"event\":\"started\"}\\n'; echo bye >&2; exit 1");
        for words in ["hello\n", "half a line", "bye\n", "W*D/alternating/0 on "] {
            assert!(failure.log.contains(words), "{words}: {}", failure.log);
        }
        assert!(!failure.log.contains("started"));
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_run_up() {
        let said = "printf '\\036{\"event\":\"failed\",\"kind\":\"bug\",\"message\":\"x\",\"help\":null,\"causes\":[]}\\n'";
        let (_here, reports, took) = run(&format!("sleep 15 & {said}"), &Stop::new());
        assert!(matches!(reports.as_slice(), [Report::Failed(..)]), "{reports:?}");
        assert!(took < Duration::from_secs(8), "{took:?}");
    }

    #[test]
    fn a_result_in_the_wrong_place_is_refused() {
        let folder = std::env::temp_dir();
        let event = Event::Finished {
            folder,
            status: Status::Ok,
            accuracy: None,
            running_accuracy: None,
            failed_measures: 0,
            seconds: 0.0,
        };
        let text = serde_json::to_string(&event).unwrap();
        assert!(failure(&format!("printf '\\036%s\\n' '{text}'")).reason.contains("not its place"));
    }

    #[test]
    fn stopping_ends_workers_and_records_nothing() {
        let stop = Stop::new();
        let later = stop.clone();
        let timer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            later.set();
        });
        let (here, reports, took) = run("sleep 30", &stop);
        timer.join().unwrap();
        assert!(matches!(reports.as_slice(), [Report::Stopped(0)]), "{reports:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(std::fs::read_dir(here.path().join("failed")).unwrap().count(), 0);
    }

    #[test]
    fn a_worker_that_takes_too_long_is_ended_and_says_how_far_it_came() {
        let limits = Limits { timeout: Some(Duration::from_millis(400)), memory_mb: None };
        let epoch =
            r#"printf '\036{"event":"epoch","epoch":3,"epochs":10,"loss":1.0,"accuracy":0.5}\n'; sleep 30"#;
        for (script, reached) in
            [("sleep 30", "before the end of its first"), (epoch, "after 3 of 10 epochs")]
        {
            let (_here, reports, took) = run_within(limits, script, &Stop::new());
            let [.., Report::Failed(0, failure)] = reports.as_slice() else { panic!("{reports:?}") };
            assert!(failure.reason.contains("longer than its limit of 0.4 s"), "{}", failure.reason);
            assert!(failure.reason.contains(reached), "{}", failure.reason);
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }

    #[test]
    fn a_worker_that_runs_out_of_memory_is_told_from_others() {
        let limits = Limits { timeout: None, memory_mb: Some(100) };
        for (script, reason) in [
            (
                "echo 'memory allocation of 7 bytes failed' >&2; kill -ABRT $$",
                "it wanted more than its limit of 100 MB of memory: memory allocation of 7 bytes failed",
            ),
            ("kill -SEGV $$", "signal 11 (segmentation fault) within a limit of 100 MB of memory"),
        ] {
            let (_here, reports, _) = run_within(limits, script, &Stop::new());
            let [.., Report::Failed(0, failure)] = reports.as_slice() else { panic!("{reports:?}") };
            assert!(failure.reason.contains(reason), "{}", failure.reason);
        }
    }

    #[test]
    fn a_result_that_cannot_be_written_stops_the_run_and_is_not_the_cells_failure() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::at(here.path());
        let said = "printf '\\036{\"event\":\"unwritten\",\"kind\":\"io\",\"message\":\"no room\",\"help\":null,\"causes\":[]}\\n'";
        let cell = identify(mock::spec(), &mock::catalogue()).unwrap();
        let pool = pool(&store, &["sh", "-c", said]);
        let error = pool.run(&[&cell], &mock::catalogue(), &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.message, "no room");
        assert!(pool.stop.is_set() && !here.path().join("failed").exists());
    }

    #[test]
    fn a_cell_that_another_process_is_at_is_waited_for() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::at(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let cells = [0, 1].map(|run| {
            let mut spec = mock::spec();
            spec.run = run;
            identify(spec, &mock::catalogue()).unwrap()
        });
        // The other one is this process too, by another name.
        let other = Owner { machine: "elsewhere".into(), system: String::new(), process: 1, started: 0 };
        let mut held = Some(store.claim(&cells[0], &other).unwrap().unwrap());
        let pool = pool(&store, &["sh", "-c", "exit 3"]);
        let mut heard = Vec::new();
        pool.run(&[&cells[0], &cells[1]], &mock::catalogue(), &mut |report| {
            match report {
                Report::Waiting(1, owner) => {
                    heard.push(owner);
                    held = None;
                }
                Report::Failed(at, failure) => heard.push(format!("{at}: {}", failure.reason)),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        assert!(heard.contains(&"process 1 on elsewhere".into()), "{heard:?}");
        // The first one was given up without a result, so it was run here.
        assert!(heard.last().unwrap().starts_with("0: its process ended with exit code 3"), "{heard:?}");
        assert_eq!(heard.len(), 3);
    }

    #[test]
    fn what_another_process_comes_to_is_taken_over() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::at(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let cell = identify(mock::spec(), &mock::catalogue()).unwrap();
        let other = Owner { machine: "elsewhere".into(), system: String::new(), process: 1, started: 0 };
        let mut held = Some(store.claim(&cell, &other).unwrap().unwrap());
        let mut heard = Vec::new();
        pool(&store, &["sh", "-c", "exit 3"])
            .run(&[&cell], &mock::catalogue(), &mut |report| {
                match report {
                    Report::Waiting(..) => {
                        let failure =
                            Failure { reason: "it was bad".into(), error: None, log: String::new() };
                        store.fail(&cell, &failure)?;
                        held = None;
                    }
                    Report::Failed(_, failure) => heard.push(failure.reason),
                    _ => {}
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(heard, ["it was bad"]);
    }

    #[test]
    fn a_command_that_is_not_there_fails_the_cell() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::at(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let pool = Pool { jobs: 1, fail_fast: true, ..pool(&store, &["/no/such/pallium"]) };
        let cell = identify(mock::spec(), &mock::catalogue()).unwrap();
        let mut second = cell.clone();
        second.folder.push('2');
        let mut failed = Vec::new();
        pool.run(&[&cell, &second], &mock::catalogue(), &mut |report| {
            if let Report::Failed(_, failure) = report {
                failed.push(failure.reason);
            }
            Ok(())
        })
        .unwrap();
        assert!(failed[0].contains("cannot be started"), "{failed:?}");
        // The first failure stops the run, though a thread may be at the next.
        assert!(pool.stop.is_set());
    }

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
