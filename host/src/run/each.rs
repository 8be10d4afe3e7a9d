//! The same work for each of some finished trainings, in worker processes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use pallium_core::{Error, Result};
use pallium_record::identity::Cell;
use pallium_record::spec::{CellSpec, Use};

use super::protocol::{Event, Job, Work};
use super::workers::{Workers, plugins};
use crate::limits::Limits;
use crate::plugins::Catalogue;

/// Work for one training, and the tasks that it builds besides the training's own.
pub struct Given {
    /// The work.
    pub work: Work,
    /// Further tasks.
    pub tasks: Vec<Use>,
}

impl Workers {
    /// The last event of each training's work, in the order of the trainings; `jobs` of
    /// them run at a time. `given` is the work of the training at a position.
    ///
    /// # Errors
    /// The error of the first training that fails; the others are ended.
    pub fn each(
        &self,
        jobs: usize,
        cells: &[&Cell],
        catalogue: &Catalogue,
        given: &(dyn Fn(usize) -> Result<Given> + Sync),
    ) -> Result<Vec<Event>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, cells.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(cell) = cells.get(at).filter(|_| !self.stop.is_set()) else { break };
                        let event = given(at).and_then(|given| self.one(cell, given, catalogue));
                        if event.is_err() {
                            self.stop.set();
                        }
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((at, event));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        let failed = |(_, event): &(usize, Result<Event>)| matches!(event, Err(error) if !is_stop(error));
        if let Some(first) = done.iter().position(failed)
            && let (at, Err(error)) = done.swap_remove(first)
        {
            let label = cells.get(at).map(|cell| cell.spec.label()).unwrap_or_default();
            return Err(error.context(label));
        }
        done.into_iter().map(|(_, event)| event).collect()
    }

    fn one(&self, cell: &Cell, given: Given, catalogue: &Catalogue) -> Result<Event> {
        let with = |task: Use| CellSpec { task_component: task, ..cell.spec.clone() };
        let specs: Vec<CellSpec> =
            std::iter::once(cell.spec.clone()).chain(given.tasks.into_iter().map(with)).collect();
        let job = Job::new(given.work, plugins(&specs, catalogue)?, self.cache.clone());
        let end = self.drive(&job, None, &mut |_| ());
        match end.last {
            Some(Event::Failed(error) | Event::Unwritten(error)) => Err(error),
            Some(event) => Ok(event),
            None if end.end.stopped => Err(Error::input(STOPPED)),
            None => Err(Error::plugin(end.reason(&Limits::default(), None))),
        }
    }
}

/// The message of work that was ended because other work failed.
const STOPPED: &str = "stopped";

fn is_stop(error: &Error) -> bool {
    error.message == STOPPED
}
