//! The parent's side: starts a child, receives its events, and describes how it
//! ended.
//!
//! An event is one line on the child's standard output: the character U+001E
//! (record separator, as in RFC 7464) and a JSON object. Everything else is
//! output of a component and goes to the log, together with all of standard
//! error.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use pallium_process::{exit_text, signal, wait_or_kill};
use serde::de::DeserializeOwned;

use super::last_call::{LastCall, Page};
use super::log::SharedLog;

/// Begins an event on standard output.
pub const EVENT: u8 = 0x1e;
/// How often a silent child is checked.
pub const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Time for a child to end after its last event, and for its output to close
/// after its end.
const EXIT_GRACE: Duration = Duration::from_secs(10);
/// Time for a child to end after its output has closed.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// Longest line on a child's standard output.
const LONGEST_LINE: u64 = 64 << 20;

/// A request to stop children. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Not requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops children and starts no more.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was requested.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a child receives, and its limits.
#[derive(Clone, Debug, Default)]
pub struct Terms<'a> {
    /// Text for its standard input, which then stays open until it has ended.
    pub input: &'a [u8],
    /// Time limit; no limit if `None`.
    pub limit: Option<Duration>,
    /// Whether the limit is on the time between two events, and not on the whole.
    pub renewed: bool,
    /// Time after which a warning says what plugin code it is in, once; never if `None`.
    pub notice: Option<Duration>,
    /// The request to stop it.
    pub stop: Stop,
}

/// Starts `command`, a command of this executable, as a child and supervises it
/// to its end. `on_event` receives its events and returns whether more follow.
pub fn supervise<E: DeserializeOwned>(
    command: &mut Command,
    terms: &Terms<'_>,
    on_event: &mut dyn FnMut(E) -> ControlFlow<()>,
) -> End {
    let mut begun = Instant::now();
    let log = SharedLog::default();
    let mut end = End {
        finished: false,
        exit: None,
        stopped: false,
        late: None,
        trouble: None,
        last_call: None,
        log: log.clone(),
    };
    // Without a page the end of the child is described all the same.
    let page = Page::new().inspect_err(|e| tracing::debug!("calls of components are not recorded: {e}")).ok();
    command.arg("--child").arg(page.as_ref().map_or_else(|| "".as_ref(), Page::path));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // In a process group of its own: Ctrl-C on the terminal reaches the parent
    // alone, which then stops its children in order.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = match command.spawn() {
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
        thread::spawn(move || listen(output, &lines, &log));
    } else {
        drop(lines);
    }
    // Stays open until the child has ended; see `inside::end_with_parent`.
    let mut input = child.stdin.take();
    if let Some(input) = &mut input {
        // If the child has ended already, its log or exit code has the reason.
        let _ = input.write_all(terms.input).and_then(|()| input.flush());
    }
    let mut deadline: Option<Instant> = None;
    let (started, mut notice) = (Instant::now(), terms.notice);
    loop {
        match received.recv_timeout(POLL_INTERVAL) {
            Ok(line) => match serde_json::from_slice(&line) {
                Ok(event) => {
                    if terms.renewed {
                        begun = Instant::now();
                    }
                    if on_event(event).is_break() {
                        end.finished = true;
                        deadline.get_or_insert(Instant::now() + EXIT_GRACE);
                    }
                }
                Err(e) => {
                    end.log.add(&line);
                    end.trouble = Some(format!("its process sent an invalid event: {e}"));
                    deadline = Some(Instant::now());
                }
            },
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                    // Output that stays open belongs to a process that the child
                    // left behind.
                    let patience = if end.finished { POLL_INTERVAL } else { EXIT_GRACE };
                    let latest = Instant::now() + patience;
                    deadline = Some(deadline.map_or(latest, |at| at.min(latest)));
                }
            }
        }
        if !end.finished && notice.is_some_and(|after| started.elapsed() > after) {
            notice = None;
            if let Some(call) = page.as_ref().and_then(Page::last_call) {
                let seconds = started.elapsed().as_secs();
                tracing::warn!(
                    "no result after {seconds} s; last plugin code: {call}. Ctrl-C ends the command"
                );
            }
        }
        // A child that has finished is not interrupted.
        if !end.finished {
            end.stopped = terms.stop.is_set();
            end.late = terms.limit.filter(|limit| begun.elapsed() > *limit);
            if end.stopped || end.late.is_some() {
                break;
            }
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            break;
        }
    }
    end.exit = wait_for_exit(&mut child, &end);
    end.last_call = page.and_then(|page| page.last_call());
    end
}

/// How a child ended.
#[derive(Debug)]
pub struct End {
    /// Whether it sent its last event.
    pub finished: bool,
    /// Its exit status; `None` if it was killed.
    pub exit: Option<ExitStatus>,
    /// Ended by this process, on request.
    pub stopped: bool,
    /// Ended by this process, because it exceeded this limit.
    pub late: Option<Duration>,
    /// Why it was ended, or not started, otherwise.
    trouble: Option<String>,
    /// The plugin code that it entered last.
    pub last_call: Option<LastCall>,
    /// Its output.
    pub log: SharedLog,
}

impl End {
    /// Why there is no result, as a clause with "it" for the child; `reached` says
    /// how far it came, such as ` before the end of its first epoch`.
    pub fn reason(&self, memory_mb: Option<u64>, reached: &str) -> String {
        if let Some(trouble) = &self.trouble {
            return trouble.clone();
        }
        let last_call = self.last_call.as_ref();
        let last_call = last_call.map_or_else(String::new, |call| format!("; last plugin code: {call}"));
        if let Some(limit) = self.late {
            let limit = limit.as_secs_f64();
            return format!("it took longer than its limit of {limit} s and was ended{reached}{last_call}");
        }
        if let Some(limit) = memory_mb {
            // Rust's message before it aborts.
            if let Some(words) = self.log.line_with("memory allocation of ") {
                return format!("it needed more than its limit of {limit} MB of memory: {words}{last_call}");
            }
        }
        let limit = match (memory_mb, self.exit.and_then(signal)) {
            // How other programs end when there is no memory.
            (Some(limit), Some(6 | 7 | 9 | 11)) => format!(" within a limit of {limit} MB of memory"),
            _ => String::new(),
        };
        let words = self.log.last_line();
        let words = if words.is_empty() { String::new() } else { format!("; its last output: {words}") };
        format!("its process {}{limit}{last_call}{words}", self.exit_text())
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

/// Waits for a child, then kills it. `None` if it had to be killed.
fn wait_for_exit(child: &mut Child, end: &End) -> Option<ExitStatus> {
    let patience = match end {
        End { stopped: true, .. } | End { late: Some(_), .. } | End { trouble: Some(_), .. } => {
            Duration::ZERO
        }
        End { finished: true, .. } => EXIT_GRACE,
        _ => OUTPUT_GRACE,
    };
    wait_or_kill(child, patience)
}

/// Reads a child's standard output: sends events, logs everything else.
fn listen(output: impl Read, events: &Sender<Vec<u8>>, log: &SharedLog) {
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
        if events.send(line.split_off(start + 1)).is_err() {
            return;
        }
    }
}

/// Logs a child's standard error.
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
