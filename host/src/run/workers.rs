//! Worker processes: how they are started, supervised and ended, and their work
//! besides training.
//!
//! Components run only in them; see [`child`].

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use ndarray::Array2;
use pallium_core::{Error, Kind, Result};
use pallium_record::spec::CellSpec;
use tracing::level_filters::LevelFilter;

use super::cost::Cost;
use super::protocol::{Event, Job, Work};
use crate::child::{self, End, Terms, supervise};
use crate::limits::Limits;
use crate::plugins::{Catalogue, KnownFile};

/// Time limit of the check before a run, which is optional.
const CHECK_LIMIT: Duration = Duration::from_secs(120);
/// Time after which a warning says where a check is.
const NOTICE: Duration = Duration::from_secs(20);
/// Number of attempts to compute the work of trainings: it has no substitute,
/// since all machines must compute the same shards.
const WEIGH_ATTEMPTS: usize = 3;

/// Bytes of a log in the record of a failure.
pub(super) const LOG_TAIL: usize = 16 << 10;

pub use crate::child::Stop;

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
        let executable = child::executable()?;
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
            if end.end.late.is_some() {
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

    /// Positions of the neurons of a training's substrate, N×3 in micrometres.
    ///
    /// # Errors
    /// If the substrate cannot be built, or has no positions.
    pub fn positions(&self, cell: &CellSpec, catalogue: &Catalogue) -> Result<Array2<f64>> {
        let plugin = &catalogue.get(&cell.substrate.id)?.plugin;
        let plugins = plugin.iter().map(|file| file.known()).collect();
        let work = Work::Positions { cell: Box::new(cell.clone()) };
        let end = self.drive(&Job::new(work, plugins, self.cache.clone()), Some(CHECK_LIMIT), &mut |_| ());
        match end.last {
            Some(Event::Positions { values }) => Ok(values.into()),
            Some(Event::Failed(error)) => Err(error),
            _ => Err(Error::plugin(format!(
                "the positions of the neurons cannot be read: {}",
                end.end.reason(None, "")
            ))),
        }
    }

    /// Starts a worker on `job` and supervises it to its end.
    pub(super) fn drive(
        &self,
        job: &Job,
        limit: Option<Duration>,
        on_event: &mut dyn FnMut(&Event),
    ) -> JobEnd {
        // A job is plain data, so it can be written.
        let mut input = serde_json::to_vec(job).unwrap_or_default();
        input.push(b'\n');
        let notice = matches!(job.work, Work::Check { .. }).then_some(NOTICE);
        let terms = Terms { input: &input, limit, renewed: false, notice, stop: self.stop.clone() };
        let mut last = None;
        let end = supervise(&mut self.command(job.work.threads()), &terms, &mut |event: Event| {
            on_event(&event);
            if matches!(event, Event::Started | Event::Epoch { .. } | Event::Estimated { .. }) {
                return ControlFlow::Continue(());
            }
            last = Some(event);
            ControlFlow::Break(())
        });
        JobEnd { last, end }
    }

    fn command(&self, threads: usize) -> Command {
        let mut words = self.command.iter();
        // An empty command cannot be started, which is reported.
        let mut command = Command::new(words.next().cloned().unwrap_or_default());
        // The log of a training is useful at any verbosity of the parent.
        let level = LevelFilter::current().max(LevelFilter::INFO).to_string();
        command.args(words).args(["--log", &level, "--keep-log", &super::log::level().to_string()]);
        let threads = threads.to_string();
        // Libraries of components read these once, at the start.
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, &threads);
        }
        command
    }
}

/// How a job ended.
pub(super) struct JobEnd {
    /// The worker's last event.
    pub last: Option<Event>,
    /// How its process ended.
    pub end: End,
}

impl JobEnd {
    /// Why there is no result; `reached` is the last reported epoch and the
    /// number of epochs.
    pub fn reason(&self, limits: &Limits, reached: Option<(u32, u32)>) -> String {
        let reached = reached.map_or_else(
            || " before the end of its first epoch".into(),
            |(epoch, epochs)| format!(" after {epoch} of {epochs} epochs"),
        );
        self.end.reason(limits.memory_mb, &reached)
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
