//! Which process works on which training, so that several processes in one run
//! folder do not repeat work.
//!
//! A claim is a small file that names a process. It is advisory: if it is
//! missing or misjudged, two processes run the same training, compute the same
//! bytes, and the first folder stays. A claim is valid while its process keeps
//! touching it. One that is untouched for [`STALE`] is taken over; this is
//! measured on the local clock, since machines that share a folder may disagree
//! on the time. A process of this machine is looked up directly, so that a
//! killed run can be continued at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::owner::Owner;

/// How often a process touches its claims.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a claim may stay untouched.
pub const STALE: Duration = Duration::from_secs(60);

/// The contents of another process's claim, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimSnapshot {
    touched: Option<SystemTime>,
    owner: Option<Owner>,
    since: Instant,
}

impl ClaimSnapshot {
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let about = match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            about => about?,
        };
        let owner = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Some(ClaimSnapshot { touched: about.modified().ok(), owner, since: Instant::now() }))
    }

    /// The owner, for messages.
    pub fn owner(&self) -> String {
        match &self.owner {
            Some(owner) => format!("process {} on {}", owner.process, owner.machine),
            None => "another process".into(),
        }
    }
}

/// The status of another process's claim.
#[derive(Debug)]
pub enum ClaimStatus {
    /// Its process is working.
    Alive(ClaimSnapshot),
    /// The claim is gone.
    Gone,
}

/// This process's claim on a training. Released when dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
}

impl Claim {
    /// Takes the claim at `path`, or returns the claim of its owner.
    ///
    /// # Errors
    /// If the claim cannot be written.
    pub fn take(path: &Path, owner: &Owner) -> io::Result<Result<Claim, ClaimSnapshot>> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let text = serde_json::to_vec(owner)?;
        // A process that finishes a run removes empty folders.
        for attempt in 0..100 {
            fs::create_dir_all(folder)?;
            let write = || {
                let mut file = crate::durable::temporary(0o666).tempfile_in(folder)?;
                file.write_all(&text)?;
                file.persist_noclobber(path).map_err(|e| e.error).map(drop)
            };
            match write() {
                Ok(()) => return Ok(Ok(Claim { path: path.to_owned() })),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match ClaimSnapshot::take(path)? {
                    Some(found) if found.owner.as_ref().is_some_and(Owner::is_gone) => remove(path)?,
                    Some(found) => return Ok(Err(found)),
                    None => {}
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < 99 => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("a claim cannot be written"))
    }

    /// Checks another process's claim, which was `before` at the last check. A
    /// stale claim is removed.
    ///
    /// # Errors
    /// If it cannot be read or removed.
    pub fn look(path: &Path, before: &ClaimSnapshot, stale: Duration) -> io::Result<ClaimStatus> {
        let Some(now) = ClaimSnapshot::take(path)? else { return Ok(ClaimStatus::Gone) };
        let same = (&now.touched, &now.owner) == (&before.touched, &before.owner);
        let since = if same { before.since } else { now.since };
        let dead = now.owner.as_ref().is_some_and(Owner::is_gone);
        if dead || since.elapsed() > stale {
            tracing::info!("{}: taken over from {}", path.display(), now.owner());
            remove(path)?;
            return Ok(ClaimStatus::Gone);
        }
        Ok(ClaimStatus::Alive(ClaimSnapshot { since, ..now }))
    }

    /// Renews the claim. An error is ignored: another process may have taken it
    /// over.
    pub fn touch(path: &Path) {
        let touched =
            File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(e) = touched {
            tracing::debug!("{}: {e}", path.display());
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(e) = remove(&self.path) {
            tracing::warn!("{}: cannot remove it: {e}", self.path.display());
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other() -> Owner {
        Owner { machine: "elsewhere".into(), system: "another boot".into(), process: 1, started: 1 }
    }

    #[test]
    fn a_claim_excludes_others_until_it_is_dropped() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("claims/a");
        let claim = Claim::take(&path, &Owner::current()).unwrap().unwrap();
        let snapshot = Claim::take(&path, &other()).unwrap().unwrap_err();
        assert!(snapshot.owner().contains(&std::process::id().to_string()), "{}", snapshot.owner());
        assert!(matches!(Claim::look(&path, &snapshot, STALE).unwrap(), ClaimStatus::Alive(_)));
        drop(claim);
        assert!(matches!(Claim::look(&path, &snapshot, STALE).unwrap(), ClaimStatus::Gone));
        assert!(Claim::take(&path, &other()).unwrap().is_ok());
        assert_eq!(fs::read_dir(here.path().join("claims")).unwrap().count(), 0);
    }

    #[test]
    fn a_claim_of_an_ended_process_is_taken_over_at_once() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a");
        // Another process may have the same number since.
        for dead in
            [Owner { process: u32::MAX, ..Owner::current() }, Owner { started: 1, ..Owner::current() }]
        {
            fs::write(&path, serde_json::to_vec(&dead).unwrap()).unwrap();
            let taken = Claim::take(&path, &Owner::current()).unwrap();
            assert_eq!(taken.is_ok(), cfg!(target_os = "linux"));
        }
    }

    #[test]
    fn a_claim_of_another_machine_is_valid_while_it_is_touched() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a");
        let stale = Duration::from_millis(200);
        std::mem::forget(Claim::take(&path, &other()).unwrap().unwrap());
        let mut snapshot = Claim::take(&path, &Owner::current()).unwrap().unwrap_err();
        for _ in 0..3 {
            std::thread::sleep(stale * 2 / 3);
            Claim::touch(&path);
            match Claim::look(&path, &snapshot, stale).unwrap() {
                ClaimStatus::Alive(now) => snapshot = now,
                ClaimStatus::Gone => panic!("it was touched"),
            }
        }
        std::thread::sleep(stale * 3 / 2);
        assert!(matches!(Claim::look(&path, &snapshot, stale).unwrap(), ClaimStatus::Gone));
        assert!(!path.exists());
    }

    #[test]
    fn an_unreadable_claim_is_valid_until_it_is_stale() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a");
        fs::write(&path, "").unwrap();
        let snapshot = Claim::take(&path, &Owner::current()).unwrap().unwrap_err();
        assert_eq!(snapshot.owner(), "another process");
        assert!(matches!(Claim::look(&path, &snapshot, STALE).unwrap(), ClaimStatus::Alive(_)));
        assert!(matches!(Claim::look(&path, &snapshot, Duration::ZERO).unwrap(), ClaimStatus::Gone));
    }
}
