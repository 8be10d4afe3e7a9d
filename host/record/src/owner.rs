//! The process that writes a file or works on a training.

use std::fs;

use pallium_files::hash::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::machine::Machine;

/// A process, identified among all processes on any machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Name of the machine, for messages.
    pub machine: String,
    /// Identifies the running system: its boot and namespace of process
    /// numbers; empty if the system does not provide them.
    pub system: String,
    /// Process number.
    pub process: u32,
    /// Start time in the system's own unit; 0 if unknown.
    pub started: u64,
}

impl Owner {
    /// This process.
    pub fn current() -> Self {
        Self::from_process(std::process::id())
    }

    /// The process of this machine with the number `process`.
    pub fn from_process(number: u32) -> Self {
        Owner {
            machine: Machine::current().name.unwrap_or_else(|| "a machine".into()),
            system: system().unwrap_or_default(),
            process: number,
            started: started(number).unwrap_or(0),
        }
    }

    /// Whether the process has certainly ended. Processes on other machines are
    /// unknown.
    pub fn is_gone(&self) -> bool {
        !self.system.is_empty()
            && system().as_ref() == Some(&self.system)
            && started(self.process) != Some(self.started)
    }

    /// A short identifier, used in file names.
    pub fn mark(&self) -> String {
        format!("{}.{}.{}", self.process, self.started, short(&self.system))
    }

    /// Whether the process with this [`mark`](Owner::mark) has certainly ended.
    pub fn is_gone_by_mark(mark: &str) -> bool {
        let Some(system) = system() else { return false };
        let parts: Vec<&str> = mark.split('.').collect();
        let [process, started, of] = parts[..] else { return false };
        let (Ok(process), Ok(since)) = (process.parse(), started.parse()) else { return false };
        of == short(&system) && self::started(process) != Some(since)
    }
}

fn short(system: &str) -> String {
    hex(&Sha256::digest(system)[..4])
}

fn system() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), space.display()))
}

/// Start time of a process of this machine, if it runs.
fn started(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain parentheses.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // A process that has ended but was not waited for counts as ended.
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_shows_whether_its_process_has_ended() {
        let this = Owner::current();
        let elsewhere = Owner { system: "another boot".into(), ..this.clone() };
        assert!(!Owner::is_gone_by_mark(&this.mark()));
        let gone = Owner { started: this.started + 1, ..this.clone() }.mark();
        assert_eq!(Owner::is_gone_by_mark(&gone), cfg!(target_os = "linux"));
        assert!(!Owner::is_gone_by_mark(&elsewhere.mark()));
        assert!(!Owner::is_gone_by_mark("") && !Owner::is_gone_by_mark("a.b.c"));
    }
}
