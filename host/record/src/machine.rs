//! The machine that a run used, for the record.

use std::fs;

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Name of the machine, if the system provides it.
    pub name: Option<String>,
    /// Model of the processor, if the system provides it.
    pub cpu: Option<String>,
    /// Operating system and kernel.
    pub system: String,
    /// Architecture, such as `x86_64`.
    pub architecture: String,
    /// Cores that this process may use.
    pub cores: usize,
}

impl Machine {
    /// This machine.
    pub fn current() -> Self {
        let line = |path| fs::read_to_string(path).ok().map(|text: String| text.trim().to_owned());
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let system = match line("/proc/sys/kernel/osrelease") {
            Some(kernel) => format!("{} {kernel}", std::env::consts::OS),
            None => std::env::consts::OS.into(),
        };
        Machine {
            name: line("/proc/sys/kernel/hostname"),
            cpu,
            system,
            architecture: std::env::consts::ARCH.into(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
