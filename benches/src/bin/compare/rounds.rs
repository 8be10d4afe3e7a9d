//! Lets the sides take turns while no other program uses the cores.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pallium_benches::report::Sample;
use pallium_benches::turns::{self, Side};
use pallium_benches::{peak, watch};
use pallium_core::{Error, Kind, Result};
use pallium_record::machine::Machine;

/// A round: the machine's peak, then a turn of each side.
pub(crate) struct Round {
    pub(crate) peak: f64,
    pub(crate) turns: Vec<turns::Turn>,
    /// Cores that other programs kept busy during the round.
    pub(crate) others: f64,
}

/// Maximum cores that other programs may keep busy in an undisturbed round.
const MAX_OTHERS: f64 = 0.05;

/// Lets the sides take turns until there are `rounds` undisturbed rounds, or
/// three times as many have been tried; then the least disturbed ones count.
pub(crate) fn take_turns(sides: &mut [Side], rounds: usize, cores: usize) -> Result<Vec<Round>> {
    let rounds = rounds.max(1);
    let pids: Vec<u32> = sides.iter().flat_map(|side| side.pids().collect::<Vec<_>>()).collect();
    let mut all: Vec<Round> = Vec::new();
    while all.len() < 3 * rounds && all.iter().filter(|r| r.others <= MAX_OTHERS).count() < rounds {
        let others = watch::Others::watch(&pids);
        let peak = if cores == 1 { peak::one_core() } else { peak::cores(cores) };
        let turns = sides.iter_mut().map(Side::turn).collect::<Result<Vec<_>>>()?;
        all.push(Round { peak, turns, others: others.cores() });
    }
    let mut quietest: Vec<f64> = all.iter().map(|round| round.others).collect();
    quietest.sort_by(f64::total_cmp);
    let limit = quietest[rounds.min(quietest.len()) - 1].max(MAX_OTHERS);
    all.retain(|round| round.others <= limit);
    all.truncate(rounds);
    Ok(all)
}

/// A value from each round.
pub(crate) fn each(rounds: &[Round], of: impl Fn(&Round) -> f64) -> Sample {
    Sample(rounds.iter().map(of).collect())
}

/// Waits until other programs leave the cores idle, at most `patience` seconds.
pub(crate) fn wait_for_quiet(patience: u64) {
    let end = Instant::now() + Duration::from_secs(patience);
    while others() > MAX_OTHERS && Instant::now() < end {
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Cores that other programs keep busy, measured over a second.
pub(crate) fn others() -> f64 {
    let watch = watch::Others::watch(&[]);
    std::thread::sleep(Duration::from_secs(1));
    watch.cores()
}

pub(crate) fn machine() -> String {
    let machine = Machine::current();
    format!("{}, {} cores, {}", machine.cpu.unwrap_or_default(), machine.cores, machine.system)
}

/// A file for a peer's standard error.
pub(crate) fn log(folder: &Path, script: &str) -> Result<std::fs::File> {
    let path = folder.join(script).with_extension("log");
    std::fs::File::create(&path).map_err(|e| Error::io(&path, &e))
}

pub(crate) fn this_executable() -> Result<Command> {
    let path = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Io, format!("cannot find this executable: {e}")))?;
    Ok(Command::new(path))
}
