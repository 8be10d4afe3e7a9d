//! Command-line arguments, and the paths that all comparisons use.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::connected::ConnectedPart;
use crate::own::{DerivePart, MetricsPart, TrainPart};

/// Compares Pallium with other implementations, taking turns.
#[derive(Parser, Debug)]
#[command(after_help = "Example:
  cargo run --release -p pallium-benches --bin compare -- --only two/ --turns 5

Cases: step/… (training steps, one core), two/… (training, both cores),
study/… (the tasks and constraints that two/ leaves out), connections/…
(training steps of networks on connections), metrics/…, field/…
(matrices from event times), startup, overhead, memory, whole-study. Any other
prefix only writes the table again.")]
pub(crate) struct Arguments {
    /// Measures only the cases with this prefix; may be given several times.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) only: Vec<String>,
    /// Number of turns of each side.
    #[arg(long, default_value_t = 5)]
    pub(crate) turns: usize,
    /// Lets the peers draw all 1,000 null graphs instead of --graphs.
    #[arg(long)]
    pub(crate) full: bool,
    /// Number of null graphs that the peers draw in a turn.
    #[arg(long, default_value_t = 20)]
    pub(crate) graphs: usize,
    /// Number of pairs of neurons whose STTC Elephant computes in a turn.
    #[arg(long, default_value_t = 100)]
    pub(crate) pairs: usize,
    /// Number of trainings of the study to run, chosen evenly from variants ×
    /// tasks.
    #[arg(long, default_value_t = 11)]
    pub(crate) cells: usize,
    /// Maximum time to wait for other programs to leave the cores.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) patience: u64,
    /// Measures the existing plugins and executable instead of building them.
    #[arg(long)]
    pub(crate) as_built: bool,
    /// Uses this Python, with the packages of benches/peers/requirements.txt,
    /// instead of creating an environment.
    #[arg(long, value_name = "PYTHON")]
    pub(crate) python: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) side: Option<Side>,
}

/// Runs this executable as one of the sides.
#[derive(Subcommand, Debug)]
pub(crate) enum Side {
    /// Trains, one epoch and its validation per turn.
    #[command(hide = true)]
    Train(TrainPart),
    /// Measures a matrix.
    #[command(hide = true)]
    Metrics(MetricsPart),
    /// Computes a matrix from event times.
    #[command(hide = true)]
    Derive(DerivePart),
    /// Trains along connections, a step per turn.
    #[command(hide = true)]
    Connected(ConnectedPart),
}

/// Files and folders of a comparison.
pub(crate) struct Paths {
    pub(crate) plugins: Vec<PathBuf>,
    pub(crate) python: PathBuf,
    /// The peers' scripts.
    pub(crate) scripts: PathBuf,
    pub(crate) inputs: PathBuf,
    pub(crate) results: PathBuf,
    pub(crate) table: PathBuf,
}
