//! The output of a child process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a log that are kept from its beginning, and from its end.
const LOG: (usize, usize) = (64 << 10, 192 << 10);
/// Bytes at the end of a log that are searched for a line.
const RECENT: usize = 16 << 10;

/// The beginning and the end of a process's output.
#[derive(Clone, Debug, Default)]
pub struct SharedLog(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: usize,
}

impl SharedLog {
    /// Adds output.
    pub fn add(&self, bytes: &[u8]) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = bytes.len().min(LOG.0 - log.head.len());
        log.head.extend(&bytes[..room]);
        log.tail.extend(&bytes[room..]);
        let excess = log.tail.len().saturating_sub(LOG.1);
        log.tail.drain(..excess);
        log.dropped += excess;
    }

    /// All that is kept.
    pub fn text(&self) -> String {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tail: Vec<u8> = log.tail.iter().copied().collect();
        let (head, tail) = (String::from_utf8_lossy(&log.head), String::from_utf8_lossy(&tail));
        match log.dropped {
            0 => format!("{head}{tail}"),
            n => format!("{head}\n… {n} bytes left out …\n{tail}"),
        }
    }

    /// The last `length` bytes.
    pub fn tail(&self, length: usize) -> String {
        let text = self.text();
        let start = text.ceil_char_boundary(text.len().saturating_sub(length));
        text[start..].to_owned()
    }

    /// The last line that contains `words`.
    pub fn line_with(&self, words: &str) -> Option<String> {
        self.tail(RECENT).lines().rev().find(|line| line.contains(words)).map(|line| line.trim().into())
    }

    /// The last output that may explain why the process ended; see [`last_words`].
    pub fn last_line(&self) -> String {
        last_words(&self.tail(RECENT))
    }
}

/// The last output that may explain why a process ended, shortened; empty if
/// there is none.
pub fn last_words(text: &str) -> String {
    // Reports of panics and aborts put the message before the advice. Progress
    // is not a cause.
    const NOT_CAUSES: [&str; 5] = ["help:", "note:", "INFO ", "DEBUG ", "TRACE "];
    let mut lines = text.lines().map(str::trim).rev().filter(|line| !line.is_empty() && !is_frame(line));
    let line = lines.clone().find(|line| line.starts_with("memory allocation of "));
    let line = line.or_else(|| lines.find(|line| !NOT_CAUSES.iter().any(|prefix| line.starts_with(prefix))));
    // Control characters would act on the terminal of whoever reads the message.
    line.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Whether a line belongs to a backtrace: `12: pallium::main` or the place below it.
fn is_frame(line: &str) -> bool {
    let numbered = line.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    numbered || line.starts_with("at ") || line == "stack backtrace:"
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
