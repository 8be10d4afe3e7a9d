//! The parent's side of a run: a few [worker processes](super::workers) at a
//! time, each with one training.
//!
//! A worker that crashes, panics, is killed or sends an invalid event costs
//! only its own training, which is recorded as failed, with the reason and the
//! end of its log.
//!
//! Several processes may work on one run folder. Each training is claimed
//! before it starts. Trainings that other processes have claimed wait until the
//! end, and are taken over if those processes have ended.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use itertools::Itertools;
use pallium_core::{Error, Result};
use pallium_process::signal;
use pallium_record::claim::HEARTBEAT;
use pallium_record::finished::Record;
use pallium_record::identity::Cell;
use pallium_record::machine::Machine;
use pallium_record::outcome::one_line;
use pallium_record::store::Store;
use pallium_record::training::Failure;

use super::progress_event::ProgressEvent;
use super::protocol::{Event, Job, Work};
use super::queue::{Queue, Turn};
use super::workers::{LOG_TAIL, Workers, plugins};
use crate::child::{End, POLL_INTERVAL};
use crate::plugins::{Catalogue, KnownFile};

/// How trainings are run.
#[derive(Clone, Debug)]
pub struct Pool<'a> {
    /// How worker processes are started.
    pub workers: Workers,
    /// Maximum number of workers at a time.
    pub jobs: usize,
    /// Whether the first failure stops the run.
    pub fail_fast: bool,
    /// Number of epochs between checkpoints; 0 writes none.
    pub checkpoint_every: u32,
    /// Whether the state after training is kept with each result.
    pub keep_state: bool,
    /// The run folder.
    pub store: &'a Store,
    /// Name of the profile of each variant, for the record.
    pub profiles: &'a BTreeMap<String, String>,
}

/// A message from a thread of the pool.
enum PoolMessage {
    Progress(ProgressEvent),
    /// The run folder cannot be written, so no training can be stored any more.
    Broken(Error),
}

impl Pool<'_> {
    /// Trains `cells`, and passes what happens to `observe`.
    ///
    /// # Errors
    /// If the run folder cannot be written, or `observe` fails; running workers
    /// are stopped then. A failed training is not an error.
    pub fn run(
        &self,
        cells: &[&Cell],
        catalogue: &Catalogue,
        observe: &mut dyn FnMut(ProgressEvent) -> Result<()>,
    ) -> Result<()> {
        let plugins: Vec<_> =
            cells.iter().map(|cell| plugins([&cell.spec], catalogue)).collect::<Result<_>>()?;
        let queue = Queue::new(self.store, cells);
        let (send, receive) = mpsc::channel();
        let mut outcome = Ok(());
        thread::scope(|scope| {
            for _ in 0..self.jobs.clamp(1, cells.len().max(1)) {
                let (send, queue, plugins) = (send.clone(), &queue, &plugins);
                scope.spawn(move || {
                    // Sending fails only when the run is over.
                    let emit = |message| drop(send.send(message));
                    while !self.workers.stop.is_set() {
                        let turn = queue.next(&mut |report| emit(PoolMessage::Progress(report)));
                        let (at, claim) = match turn {
                            Ok(Turn::Run(at, claim)) => (at, claim),
                            Ok(Turn::Wait) => {
                                thread::sleep(POLL_INTERVAL);
                                continue;
                            }
                            Ok(Turn::End) => break,
                            Err(error) => return emit(PoolMessage::Broken(error)),
                        };
                        let (Some(cell), Some(plugins)) = (cells.get(at), plugins.get(at)) else { break };
                        let last = self.cell(at, cell, plugins.clone(), &send);
                        queue.release(claim);
                        emit(last.map_or_else(PoolMessage::Broken, PoolMessage::Progress));
                    }
                });
            }
            drop(send);
            let mut beat = Instant::now();
            loop {
                let report = match receive.recv_timeout(POLL_INTERVAL) {
                    Ok(PoolMessage::Progress(report)) => report,
                    Ok(PoolMessage::Broken(error)) => {
                        self.workers.stop.set();
                        outcome = std::mem::replace(&mut outcome, Ok(())).and(Err(error));
                        continue;
                    }
                    Err(RecvTimeoutError::Timeout) => ProgressEvent::Tick,
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if beat.elapsed() > HEARTBEAT {
                    queue.touch();
                    beat = Instant::now();
                }
                if self.fail_fast && matches!(report, ProgressEvent::Failed(..)) {
                    self.workers.stop.set();
                }
                if outcome.is_ok()
                    && let Err(error) = observe(report)
                {
                    self.workers.stop.set();
                    outcome = Err(error);
                }
            }
        });
        outcome
    }

    /// Runs one training to its end. An error concerns the run folder.
    fn cell(
        &self,
        at: usize,
        cell: &Cell,
        plugins: Vec<KnownFile>,
        send: &Sender<PoolMessage>,
    ) -> Result<ProgressEvent> {
        let (boxed, store) = (Box::new(cell.clone()), self.store.root().to_owned());
        let work = match self.store.holds(cell)? {
            true => Work::Measure { cell: boxed, store },
            false => Work::Train {
                cell: boxed,
                store,
                profile: self.profiles.get(&cell.spec.variant).cloned().unwrap_or_default(),
                checkpoint_every: self.checkpoint_every,
                keep_state: self.keep_state,
            },
        };
        let job = Job::new(work, plugins, self.workers.cache.clone());
        let job = Job { memory_mb: self.workers.limits.memory_mb, ..job };
        let mut reached = None;
        let end = self.workers.drive(&job, self.workers.limits.timeout, &mut |event| {
            let report = match event {
                Event::Started => ProgressEvent::Started(at),
                &Event::Epoch { epoch, epochs, loss, accuracy } => {
                    reached = Some((epoch, epochs));
                    ProgressEvent::Epoch { cell: at, epoch, epochs, loss, accuracy }
                }
                _ => return,
            };
            let _ = send.send(PoolMessage::Progress(report));
        });
        let reason = match &end.last {
            Some(Event::Finished {
                folder,
                status,
                accuracy,
                running_accuracy,
                failed_measures,
                seconds,
            }) => {
                if self.store.is_unfinished(folder) {
                    let log = format!("{}\n{}", self.headline(cell), end.end.log.text());
                    self.store.commit(cell, folder, &log)?;
                    return Ok(ProgressEvent::Done {
                        cell: at,
                        status: status.clone(),
                        accuracy: *accuracy,
                        running_accuracy: *running_accuracy,
                        failed_measures: *failed_measures,
                        seconds: *seconds,
                    });
                }
                format!(
                    "its process wrote its result to {}, which is not in cells/.unfinished",
                    folder.display()
                )
            }
            Some(Event::Measured { failed_measures }) => {
                return self.measured(at, cell, *failed_measures);
            }
            // The cause would affect every other result as well.
            Some(Event::Unwritten(error)) => return Err(error.clone()),
            Some(Event::Failed(error)) => {
                std::iter::once(&error.message).chain(&error.causes).cloned().join(": ")
            }
            _ if end.end.stopped || self.stopped_too(&end.end) => return Ok(ProgressEvent::Stopped(at)),
            _ => end.reason(&self.workers.limits, reached),
        };
        let error = match end.last {
            Some(Event::Failed(error)) => Some(error),
            _ => None,
        };
        let log = format!("{}\n{}", self.headline(cell), end.end.log.tail(LOG_TAIL));
        let failure = Failure { reason: one_line(&reason), error, log };
        self.store.fail(cell, &failure)?;
        Ok(ProgressEvent::Failed(at, failure))
    }

    /// Reports a training whose missing metrics were computed.
    fn measured(&self, at: usize, cell: &Cell, failed_measures: usize) -> Result<ProgressEvent> {
        let Some(Record::Finished(finished)) = self.store.record(cell)? else {
            return Err(Error::bug(format!("{} was removed while it was measured", cell.folder)));
        };
        Ok(ProgressEvent::Done {
            cell: at,
            accuracy: finished.value("test", "accuracy"),
            running_accuracy: finished.value("train", "running_accuracy"),
            status: finished.status,
            failed_measures,
            seconds: 0.0,
        })
    }

    fn headline(&self, cell: &Cell) -> String {
        let machine = Machine::current();
        format!(
            "{} on {} ({}, {}, {} cores); threads: {}",
            cell.spec.label(),
            machine.name.as_deref().unwrap_or("a machine"),
            machine.cpu.as_deref().unwrap_or(&machine.architecture),
            machine.system,
            machine.cores,
            cell.spec.training.threads
        )
    }

    /// Whether a worker was ended by a signal for the complete run (from a
    /// batch system, say), which this process is about to receive too.
    fn stopped_too(&self, end: &End) -> bool {
        if !end.exit.and_then(signal).is_some_and(|signal| [1, 2, 15].contains(&signal)) {
            return false;
        }
        let patience = Instant::now();
        while !self.workers.stop.is_set() && patience.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(10));
        }
        self.workers.stop.is_set()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::ffi::OsString;

    use pallium_record::identity::identify;
    use pallium_record::outcome::Status;
    use pallium_record::owner::Owner;

    use super::super::mock;
    use super::super::workers::Stop;
    use super::*;
    use crate::limits::Limits;

    fn pool<'a>(store: &'a Store, worker: &[&str]) -> Pool<'a> {
        static PROFILES: BTreeMap<String, String> = BTreeMap::new();
        Pool {
            workers: Workers { command: worker.iter().map(OsString::from).collect(), ..Workers::default() },
            jobs: 2,
            fail_fast: false,
            checkpoint_every: 1,
            keep_state: true,
            store,
            profiles: &PROFILES,
        }
    }

    /// Runs one training with a shell script in place of the worker.
    fn run(script: &str, stop: &Stop) -> (tempfile::TempDir, Vec<ProgressEvent>, Duration) {
        run_within(Limits::default(), script, stop)
    }

    fn run_within(
        limits: Limits,
        script: &str,
        stop: &Stop,
    ) -> (tempfile::TempDir, Vec<ProgressEvent>, Duration) {
        let here = tempfile::tempdir().unwrap();
        let store = Store::new(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let mut pool = pool(&store, &["sh", "-c", script]);
        pool.workers.limits = limits;
        pool.workers.stop = stop.clone();
        let cell = identify(mock::spec(), &mock::catalogue().files()).unwrap();
        let mut reports = Vec::new();
        let begun = Instant::now();
        pool.run(&[&cell], &mock::catalogue(), &mut |report| {
            if !matches!(report, ProgressEvent::Tick) {
                reports.push(report);
            }
            Ok(())
        })
        .unwrap();
        (here, reports, begun.elapsed())
    }

    fn failure(script: &str) -> Failure {
        let (here, reports, _) = run(script, &Stop::new());
        let [.., ProgressEvent::Failed(0, failure)] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!(std::fs::read_dir(here.path().join("failed")).unwrap().count(), 1);
        failure.clone()
    }

    #[test]
    fn the_cause_of_a_workers_death_is_the_reason_of_the_failure() {
        for (script, reason) in [
            ("kill -SEGV $$", "its process was ended by signal 11 (segmentation fault)"),
            ("kill -KILL $$", "was ended by signal 9 (killed by the system or a user"),
            ("exit 0", "its process ended with exit code 0 without a result"),
            ("echo no more room >&2; exit 3", "exit code 3 without a result; its last output: no more room"),
            (
                "printf 'error: bad\\n  help: tell us\\n' >&2; exit 101",
                "panicked (exit code 101); its last output: error: bad",
            ),
            ("printf '\\036{\"event\":\"dance\"}\\n'; sleep 20", "its process sent an invalid event"),
            (
                "printf '\\036{\"event\":\"failed\",\"kind\":\"input\",\"message\":\"no field\",\"help\":null,\"causes\":[\"so\"]}\\n'",
                "no field: so",
            ),
        ] {
            let failure = failure(script);
            assert!(failure.reason.contains(reason), "{script}: {}", failure.reason);
        }
    }

    #[test]
    fn output_of_a_component_is_logged_and_ignored() {
        let failure =
            failure("echo hello; printf 'half a line\\036{\"event\":\"started\"}\\n'; echo bye >&2; exit 1");
        for words in ["hello\n", "half a line", "bye\n", "W*D/alternating/0 on "] {
            assert!(failure.log.contains(words), "{words}: {}", failure.log);
        }
        assert!(!failure.log.contains("started"));
    }

    #[test]
    fn a_process_left_behind_does_not_delay_the_run() {
        let event = "printf '\\036{\"event\":\"failed\",\"kind\":\"bug\",\"message\":\"x\",\"help\":null,\"causes\":[]}\\n'";
        let (_here, reports, took) = run(&format!("sleep 15 & {event}"), &Stop::new());
        assert!(matches!(reports.as_slice(), [ProgressEvent::Failed(..)]), "{reports:?}");
        assert!(took < Duration::from_secs(8), "{took:?}");
    }

    #[test]
    fn a_result_in_the_wrong_place_is_refused() {
        let folder = std::env::temp_dir();
        let event = Event::Finished {
            folder,
            status: Status::Ok,
            accuracy: None,
            running_accuracy: None,
            failed_measures: 0,
            seconds: 0.0,
        };
        let text = serde_json::to_string(&event).unwrap();
        assert!(
            failure(&format!("printf '\\036%s\\n' '{text}'")).reason.contains("not in cells/.unfinished")
        );
    }

    #[test]
    fn stopping_ends_workers_and_records_nothing() {
        let stop = Stop::new();
        let later = stop.clone();
        let timer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            later.set();
        });
        let (here, reports, took) = run("sleep 30", &stop);
        timer.join().unwrap();
        assert!(matches!(reports.as_slice(), [ProgressEvent::Stopped(0)]), "{reports:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(std::fs::read_dir(here.path().join("failed")).unwrap().count(), 0);
    }

    #[test]
    fn a_worker_that_takes_too_long_is_ended_and_its_epoch_reported() {
        let limits = Limits { timeout: Some(Duration::from_millis(400)), memory_mb: None };
        let epoch =
            r#"printf '\036{"event":"epoch","epoch":3,"epochs":10,"loss":1.0,"accuracy":0.5}\n'; sleep 30"#;
        for (script, reached) in
            [("sleep 30", "before the end of its first"), (epoch, "after 3 of 10 epochs")]
        {
            let (_here, reports, took) = run_within(limits, script, &Stop::new());
            let [.., ProgressEvent::Failed(0, failure)] = reports.as_slice() else { panic!("{reports:?}") };
            assert!(failure.reason.contains("longer than its limit of 0.4 s"), "{}", failure.reason);
            assert!(failure.reason.contains(reached), "{}", failure.reason);
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }

    #[test]
    fn a_worker_that_runs_out_of_memory_is_recognized() {
        let limits = Limits { timeout: None, memory_mb: Some(100) };
        for (script, reason) in [
            (
                "echo 'memory allocation of 7 bytes failed' >&2; kill -ABRT $$",
                "it needed more than its limit of 100 MB of memory: memory allocation of 7 bytes failed",
            ),
            ("kill -SEGV $$", "signal 11 (segmentation fault) within a limit of 100 MB of memory"),
        ] {
            let (_here, reports, _) = run_within(limits, script, &Stop::new());
            let [.., ProgressEvent::Failed(0, failure)] = reports.as_slice() else { panic!("{reports:?}") };
            assert!(failure.reason.contains(reason), "{}", failure.reason);
        }
    }

    #[test]
    fn a_result_that_cannot_be_written_stops_the_run_and_is_no_failure_of_the_training() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::new(here.path());
        let event = "printf '\\036{\"event\":\"unwritten\",\"kind\":\"io\",\"message\":\"no room\",\"help\":null,\"causes\":[]}\\n'";
        let cell = identify(mock::spec(), &mock::catalogue().files()).unwrap();
        let pool = pool(&store, &["sh", "-c", event]);
        let error = pool.run(&[&cell], &mock::catalogue(), &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.message, "no room");
        assert!(pool.workers.stop.is_set() && !here.path().join("failed").exists());
    }

    #[test]
    fn a_training_that_another_process_has_claimed_is_waited_for() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::new(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let cells = [0, 1].map(|run| {
            let mut spec = mock::spec();
            spec.run = run;
            identify(spec, &mock::catalogue().files()).unwrap()
        });
        // The other process is this one under another machine name.
        let other = Owner { machine: "elsewhere".into(), system: String::new(), process: 1, started: 0 };
        let mut held = Some(store.claim(&cells[0], &other).unwrap().unwrap());
        let pool = pool(&store, &["sh", "-c", "exit 3"]);
        let mut seen = Vec::new();
        pool.run(&[&cells[0], &cells[1]], &mock::catalogue(), &mut |report| {
            match report {
                ProgressEvent::Waiting(1, owner) => {
                    seen.push(owner);
                    held = None;
                }
                ProgressEvent::Failed(at, failure) => seen.push(format!("{at}: {}", failure.reason)),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
        assert!(seen.contains(&"process 1 on elsewhere".into()), "{seen:?}");
        // The first claim was released without a result, so the training runs here.
        assert!(seen.last().unwrap().starts_with("0: its process ended with exit code 3"), "{seen:?}");
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn the_result_of_another_process_is_taken_over() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::new(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let cell = identify(mock::spec(), &mock::catalogue().files()).unwrap();
        let other = Owner { machine: "elsewhere".into(), system: String::new(), process: 1, started: 0 };
        let mut held = Some(store.claim(&cell, &other).unwrap().unwrap());
        let mut seen = Vec::new();
        pool(&store, &["sh", "-c", "exit 3"])
            .run(&[&cell], &mock::catalogue(), &mut |report| {
                match report {
                    ProgressEvent::Waiting(..) => {
                        let failure =
                            Failure { reason: "it was bad".into(), error: None, log: String::new() };
                        store.fail(&cell, &failure)?;
                        held = None;
                    }
                    ProgressEvent::Failed(_, failure) => seen.push(failure.reason),
                    _ => {}
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, ["it was bad"]);
    }

    #[test]
    fn a_missing_command_fails_the_training() {
        let here = tempfile::tempdir().unwrap();
        let store = Store::new(here.path());
        std::fs::create_dir_all(here.path().join("failed")).unwrap();
        let pool = Pool { jobs: 1, fail_fast: true, ..pool(&store, &["/no/such/pallium"]) };
        let cell = identify(mock::spec(), &mock::catalogue().files()).unwrap();
        let mut second = cell.clone();
        second.folder.push('2');
        let mut failed = Vec::new();
        pool.run(&[&cell, &second], &mock::catalogue(), &mut |report| {
            if let ProgressEvent::Failed(_, failure) = report {
                failed.push(failure.reason);
            }
            Ok(())
        })
        .unwrap();
        assert!(failed[0].contains("cannot be started"), "{failed:?}");
        // The first failure stops the run, though another thread may have started
        // the next.
        assert!(pool.workers.stop.is_set());
    }
}
