//! Observes other processes and the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use pallium_core::{Error, Kind, Result};

/// Time and memory of a command.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Wall time in seconds.
    pub wall: f64,
    /// Resident memory of its largest process at its largest, in MB (10^6
    /// bytes); 0 without `/proc`.
    pub peak_mb: f64,
    /// The same of the largest process below the command's own.
    pub child_peak_mb: f64,
}

/// Runs a command and records the memory of its process and of all its
/// descendants.
///
/// # Errors
/// If it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<Taken> {
    let clock = Instant::now();
    let mut child: Child =
        command.spawn().map_err(|e| Error::new(Kind::Io, format!("{command:?} cannot be started: {e}")))?;
    let (mut own, mut below) = (0.0_f64, 0.0_f64);
    let status = loop {
        for pid in family(child.id()) {
            let peak = high_water(pid);
            let place = if pid == child.id() { &mut own } else { &mut below };
            *place = place.max(peak);
        }
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Err(e) => return Err(Error::new(Kind::Io, format!("{command:?}: {e}"))),
        }
    };
    let wall = clock.elapsed().as_secs_f64();
    if !status.success() {
        return Err(Error::input(format!("{command:?} ended with {status}")));
    }
    Ok(Taken { wall, peak_mb: own.max(below), child_peak_mb: below })
}

/// A process and all its descendants.
fn family(root: u32) -> BTreeSet<u32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in brackets may contain any character; the parent is the
        // second field after it.
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.insert(pid, parent.unwrap_or(0));
    }
    let mut family = BTreeSet::from([root]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| family.contains(parent) && !family.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}

/// Largest resident memory of a process so far, in MB.
pub(crate) fn high_water(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0 / 1e6
}

/// How busy the machine is with programs other than those of the comparison.
pub struct Others {
    pids: Vec<u32>,
    clock: Instant,
    all: f64,
    ours: f64,
}

/// Ticks per second of the kernel's clock, as Linux reports them.
const TICKS: f64 = 100.0;

impl Others {
    /// Starts observing. `ours` are the processes of the comparison besides
    /// this one.
    pub fn watch(ours: &[u32]) -> Self {
        let mut pids = vec![std::process::id()];
        pids.extend_from_slice(ours);
        let own = pids.iter().map(|&pid| process_seconds(pid)).sum();
        Others { pids, clock: Instant::now(), all: machine_seconds(), ours: own }
    }

    /// Cores that other programs kept busy since then; 0 without `/proc`.
    pub fn cores(&self) -> f64 {
        let ours = self.pids.iter().map(|&pid| process_seconds(pid)).sum::<f64>() - self.ours;
        let all = machine_seconds() - self.all;
        ((all - ours) / self.clock.elapsed().as_secs_f64()).max(0.0)
    }
}

/// Seconds that all cores together have been busy since the machine started,
/// time taken by the machine's own host included.
fn machine_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).take(8).map(|t| t.parse().unwrap_or(0.0)).enumerate();
    // The fourth and the fifth are the time without work.
    ticks.filter(|(at, _)| ![3, 4].contains(at)).map(|(_, t)| t).sum::<f64>() / TICKS
}

/// Seconds of processor time that a process has used.
pub(crate) fn process_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields = rest.split_whitespace().skip(11).take(2);
    fields.map(|t| t.parse().unwrap_or(0.0)).sum::<f64>() / TICKS
}
