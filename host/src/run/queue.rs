//! The trainings that remain to be run, shared by the threads of a pool and by
//! other processes through claims.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use pallium_core::{Error, Result};
use pallium_record::claim::{Claim, ClaimSnapshot, ClaimStatus, STALE};
use pallium_record::finished::Record;
use pallium_record::identity::Cell;
use pallium_record::owner::Owner;
use pallium_record::store::Store;
use pallium_record::training::Failure;

use super::progress_event::ProgressEvent;

/// How often the claims of other processes are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The next action of a thread of the pool.
pub(super) enum Turn {
    /// Run this training, which is claimed.
    Run(usize, Claim),
    /// Ask again a little later.
    Wait,
    /// Nothing: all trainings are finished or in progress.
    End,
}

/// The trainings that remain to be run, in order.
pub(super) struct Queue<'a> {
    store: &'a Store,
    cells: &'a [&'a Cell],
    owner: Owner,
    state: Mutex<Waiting>,
    /// Files of this process's claims.
    claims: Mutex<Vec<PathBuf>>,
}

struct Waiting {
    fresh: VecDeque<usize>,
    /// Trainings that other processes have claimed.
    others: BTreeMap<usize, Other>,
    checked: Instant,
    /// Whether it was reported that only trainings of others remain.
    reported: bool,
}

struct Other {
    claim: ClaimSnapshot,
    /// When the training had last failed, when it was first seen.
    failed: Option<SystemTime>,
}

impl<'a> Queue<'a> {
    pub fn new(store: &'a Store, cells: &'a [&'a Cell]) -> Self {
        let state = Waiting {
            fresh: (0..cells.len()).collect(),
            others: BTreeMap::new(),
            checked: Instant::now(),
            reported: false,
        };
        Queue { store, cells, owner: Owner::current(), state: Mutex::new(state), claims: Mutex::default() }
    }

    /// The next action. An error concerns the run folder.
    pub fn next(&self, emit: &mut dyn FnMut(ProgressEvent)) -> Result<Turn> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some(at) = state.fresh.pop_front() {
                let Some(cell) = self.cells.get(at) else { continue };
                match self.store.claim(cell, &self.owner)? {
                    // Another process may have finished it in the meantime.
                    Ok(_) if self.store.is_complete(cell)? => emit(ProgressEvent::Elsewhere(at)),
                    Ok(claim) => {
                        self.claims().push(claim.path().to_owned());
                        return Ok(Turn::Run(at, claim));
                    }
                    Err(claim) => {
                        let failed = self.store.failed_at(cell);
                        state.others.insert(at, Other { claim, failed });
                    }
                }
            }
            if state.others.is_empty() {
                return Ok(Turn::End);
            }
            if !state.reported {
                state.reported = true;
                let owner = state.others.values().next().map(|o| o.claim.owner()).unwrap_or_default();
                emit(ProgressEvent::Waiting(state.others.len(), owner));
            }
            if state.checked.elapsed() < CHECK_INTERVAL {
                return Ok(Turn::Wait);
            }
            state.checked = Instant::now();
            self.check_others(&mut state, emit)?;
            if state.fresh.is_empty() && !state.others.is_empty() {
                return Ok(Turn::Wait);
            }
        }
    }

    /// Checks the trainings that other processes had claimed.
    fn check_others(&self, state: &mut Waiting, emit: &mut dyn FnMut(ProgressEvent)) -> Result<()> {
        for (at, other) in std::mem::take(&mut state.others) {
            let Some(cell) = self.cells.get(at) else { continue };
            let path = self.store.claim_file(cell);
            let status = Claim::look(&path, &other.claim, STALE).map_err(|e| Error::io(&path, &e))?;
            match status {
                _ if self.store.is_complete(cell)? => emit(ProgressEvent::Elsewhere(at)),
                ClaimStatus::Alive(claim) => {
                    state.others.insert(at, Other { claim, ..other });
                }
                ClaimStatus::Gone if self.store.failed_at(cell) == other.failed => state.fresh.push_back(at),
                ClaimStatus::Gone => match self.store.record(cell)? {
                    Some(Record::Failed(reason)) => {
                        let log = String::new();
                        emit(ProgressEvent::Failed(at, Failure { reason, error: None, log }));
                    }
                    Some(Record::Finished(f)) if f.unmeasured == 0 => emit(ProgressEvent::Elsewhere(at)),
                    Some(Record::Finished(_)) => state.fresh.push_back(at),
                    None => state.fresh.push_back(at),
                },
            }
        }
        Ok(())
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a claim.
    pub fn release(&self, claim: Claim) {
        self.claims().retain(|path| path != claim.path());
    }

    /// Renews all claims.
    pub fn touch(&self) {
        self.claims().iter().for_each(|path| Claim::touch(path));
    }
}
