//! A Python process that answers requests over a pair of sockets.
//!
//! Unlike a pipe, a socket can be read with a time limit by the thread that needs the
//! answer: a thread that reads ahead would cost another switch at each request.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pallium_core::prelude::*;
use pallium_core::serde_json::{self, Value};
use pallium_core::tracing;
use pallium_process::{exit_text, wait_or_kill};

/// The script that the process starts with.
const BOOT: &str = include_str!("worker/boot.py");

/// The modules of the process, which it reads from its first line of input, in the
/// order in which they import each other.
const MODULES: [(&str, &str); 5] = [
    ("common", include_str!("worker/common.py")),
    ("describe", include_str!("worker/describe.py")),
    ("environments", include_str!("worker/environments.py")),
    ("components", include_str!("worker/components.py")),
    ("main", include_str!("worker/main.py")),
];

/// Number of lines of standard error kept for messages.
const KEPT_LINES: usize = 12;

/// Maximum length of a kept line in bytes.
const KEPT_BYTES: usize = 400;

/// How often to check whether the process has ended while waiting for an answer:
/// its child processes may keep its sockets open after its end.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait for the remaining output of a process that has ended.
const EXIT_GRACE: Duration = Duration::from_secs(1);

/// Maximum number of bytes after an answer (4 GiB).
const MAX_BYTES: u64 = 1 << 32;

/// An answer: the value of `ok`, and the bytes that follow it.
pub type Answer = (Value, Vec<u8>);

/// Why a request failed.
pub enum Failure {
    /// The process ended or was killed; a new one may succeed.
    Died(Error),
    /// The process reported an error.
    Refused(Error),
}

impl Failure {
    /// The error, whoever is to blame.
    pub fn error(self) -> Error {
        match self {
            Failure::Died(error) | Failure::Refused(error) => error,
        }
    }
}

/// The last lines that a process wrote to its standard error.
type Tail = Arc<Mutex<VecDeque<String>>>;

/// A running process.
pub struct Process {
    child: Child,
    stream: UnixStream,
    ended: bool,
    tail: Tail,
    /// Keeps the last lines of standard error.
    reader: Option<JoinHandle<()>>,
    patience: Duration,
}

impl Process {
    /// Starts `python` with the script. The process is killed if an answer takes
    /// longer than `patience`.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(python: &str, threads: usize, patience: Duration) -> Result<Self> {
        let mut command = Command::new(interpreter(python)?);
        command.args(["-u", "-c", BOOT]);
        let no_sockets = |e: std::io::Error| Error::io(std::path::Path::new("socket"), &e);
        let (stream, theirs) = UnixStream::pair().map_err(no_sockets)?;
        stream.set_read_timeout(Some(POLL_INTERVAL)).map_err(no_sockets)?;
        command.stdin(OwnedFd::from(theirs.try_clone().map_err(no_sockets)?));
        command.stdout(OwnedFd::from(theirs)).stderr(Stdio::piped());
        command.env("PYTHONHASHSEED", "0");
        // Several trainings run at once, so each is limited to its threads.
        let threads = threads.max(1).to_string();
        for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(name, &threads);
        }
        let mut child = command.spawn().map_err(|e| unstartable(python, &reason(&e)))?;
        // Closes the process's end of the sockets here, so that its end is noticed.
        drop(command);
        let tail = Tail::default();
        let reader = child.stderr.take().map(|complaints| {
            let tail = tail.clone();
            thread::spawn(move || keep_tail(complaints, &tail))
        });
        let process = Process { child, stream, ended: false, tail, reader, patience };
        // If writing fails, the first request reports it.
        let _ = (&process.stream).write_all(format!("{}\n", serde_json::json!(MODULES)).as_bytes());
        Ok(process)
    }

    /// Sets the time limit of the next requests.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    /// See [`Failure`]. After [`Failure::Died`] no further request is possible.
    pub fn request(&mut self, request: &Value) -> Result<Answer, Failure> {
        if self.ended {
            return Err(Failure::Died(Error::bug("the process was ended")));
        }
        let until = Instant::now() + self.patience;
        let line = format!("{request}\n");
        // If writing fails, no answer arrives.
        let _ = self.stream.set_write_timeout(Some(self.patience));
        let _ = (&self.stream).write_all(line.as_bytes());
        let waiting = Waiting { stream: &self.stream, child: &mut self.child, until, gone: false };
        let outcome = read_answer(&mut BufReader::new(waiting));
        match outcome {
            Ok((mut answer, bytes)) => match answer["error"].as_str() {
                None => Ok((answer["ok"].take(), bytes)),
                Some(message) => {
                    let mut error = Error::input(message);
                    error.help = answer["help"].as_str().map(str::to_owned);
                    Err(Failure::Refused(error))
                }
            },
            Err(error) if error.kind() != ErrorKind::TimedOut => Err(Failure::Died(self.post_mortem())),
            Err(_) => {
                self.end(Duration::ZERO);
                Err(Failure::Died(
                    self.with_tail(Error::plugin(format!(
                        "the Python process did not answer within {} s and was killed",
                        self.patience.as_secs_f64()
                    )))
                    .help("raise the parameter `patience_s` if the code needs more time"),
                ))
            }
        }
    }

    /// An error that says how the process ended.
    fn post_mortem(&mut self) -> Error {
        // Its output is closed, so it has ended or is about to end.
        let status = self.end(Duration::from_secs(5));
        let how = status.map_or("closed its output".to_owned(), exit_text);
        self.with_tail(Error::plugin(format!("the Python process {how}")))
    }

    fn with_tail(&mut self, mut error: Error) -> Error {
        // The output is complete when the reader ends. It may not end, if a child
        // process keeps the pipe open.
        let until = Instant::now() + EXIT_GRACE;
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        self.reader = None;
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if !tail.is_empty() {
            let lines: Vec<&str> = tail.iter().map(String::as_str).collect();
            error.causes.push(format!("its last output: {}", lines.join(" | ")));
        }
        error
    }

    /// Closes its input, waits for its end, and kills it after `patience`.
    fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        self.ended = true;
        // Fails only if the process has closed its end.
        let _ = self.stream.shutdown(Shutdown::Write);
        wait_or_kill(&mut self.child, patience)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The script ends when its input closes, so the task can close its files.
        self.end(Duration::from_secs(2));
    }
}

/// The path of the interpreter that `python` starts. `python` may be a launcher (such
/// as pyenv's) that runs the interpreter as a separate process, which could not be
/// killed and whose exit status would be lost.
fn interpreter(python: &str) -> Result<String> {
    let probe =
        ["-c", "import sys; assert sys.version_info >= (3, 8), sys.version; print('Python', sys.executable)"];
    let output = Command::new(python)
        .args(probe)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| unstartable(python, &reason(&e)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().last().unwrap_or("no message");
        return Err(unstartable(python, &format!("it {}: {last}", exit_text(output.status))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix("Python") {
        None => Err(unstartable(python, "it is not a Python interpreter")),
        // An embedded interpreter may not know its path.
        Some("") => Ok(python.to_owned()),
        Some(path) => Ok(path.trim().to_owned()),
    }
}

fn unstartable(python: &str, why: &str) -> Error {
    Error::input(format!("cannot start Python: `{python}`: {why}")).help(
        "install Python 3.8 or later, or set its path with the parameter `python` or the variable PALLIUM_PYTHON",
    )
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such program".into(),
        ErrorKind::PermissionDenied => "no permission to run it".into(),
        _ => error.to_string(),
    }
}

/// The socket of a process, of which a read waits for the deadline or the end of the
/// process.
struct Waiting<'a> {
    stream: &'a UnixStream,
    child: &'a mut Child,
    until: Instant,
    gone: bool,
}

impl Read for Waiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                outcome => return outcome,
            }
            if self.gone {
                return Ok(0);
            }
            if Instant::now() >= self.until {
                return Err(ErrorKind::TimedOut.into());
            }
            // Read once more for an answer sent just before the end.
            self.gone = matches!(self.child.try_wait(), Ok(Some(_)));
        }
    }
}

fn read_answer(output: &mut impl BufRead) -> std::io::Result<Answer> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let answer: Value = serde_json::from_str(&line)?;
    let count = answer["bytes"].as_u64().unwrap_or(0);
    if count > MAX_BYTES {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    output.take(count).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == count { Ok((answer, bytes)) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Reads standard error to its end, logs each line and keeps the last ones.
fn keep_tail(complaints: impl Read, tail: &Tail) {
    let mut complaints = BufReader::new(complaints);
    let mut line = Vec::new();
    while matches!(complaints.read_until(b'\n', &mut line), Ok(1..)) {
        let mut text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        text.truncate(
            (0..=KEPT_BYTES.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0),
        );
        if text.trim().is_empty() {
            continue;
        }
        tracing::debug!("python: {text}");
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == KEPT_LINES {
            tail.pop_front();
        }
        tail.push_back(text);
    }
}
