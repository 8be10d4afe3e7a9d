//! Who is at which cell, so that several processes in one run folder do not do
//! the same work.
//!
//! A claim is a small file that names a process. It is advice and no lock:
//! where it is missing or judged wrongly, two processes train the same cell,
//! come to the same bytes, and the first one's folder stays. A claim counts for
//! as long as its process gives signs of life by touching it. One that has not
//! been touched for [`STALE`] is taken over; that is measured on the own clock,
//! since machines that share a folder need not agree on the time. A process of
//! this very machine is asked for directly, so that a run that was killed can
//! be continued at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hash::hex;

/// How often a process touches its claims.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long a claim may stay untouched.
pub const STALE: Duration = Duration::from_secs(60);

/// A process, among all that ever ran on any machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The machine's name, for people.
    pub machine: String,
    /// What tells running systems apart: the boot and the space of process
    /// numbers; empty where the system does not say.
    pub system: String,
    /// Process number.
    pub process: u32,
    /// When it started, in the system's own count; 0 if unknown.
    pub started: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> Self {
        Self::of(std::process::id())
    }

    /// The process of this machine with that number.
    pub fn of(process: u32) -> Self {
        Owner {
            machine: super::machine::Machine::this().name.unwrap_or_else(|| "a machine".into()),
            system: system().unwrap_or_default(),
            process,
            started: started(process).unwrap_or(0),
        }
    }

    /// Whether it is known to be gone. Nothing is known of other machines.
    pub fn is_gone(&self) -> bool {
        !self.system.is_empty()
            && system().as_ref() == Some(&self.system)
            && started(self.process) != Some(self.started)
    }

    /// A short name for it, to be a part of a file's name.
    pub fn mark(&self) -> String {
        format!("{}.{}.{}", self.process, self.started, short(&self.system))
    }

    /// Whether the process of a [`mark`](Owner::mark) is known to be gone.
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

/// When a process of this machine started, if it runs.
fn started(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses included.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // A process that has ended but was not yet waited for is gone as well.
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// What another's claim looked like, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    touched: Option<SystemTime>,
    owner: Option<Owner>,
    since: Instant,
}

impl Sight {
    fn of(path: &Path) -> io::Result<Option<Self>> {
        let about = match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            about => about?,
        };
        let owner = fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Some(Sight { touched: about.modified().ok(), owner, since: Instant::now() }))
    }

    /// Who it is, for people.
    pub fn owner(&self) -> String {
        match &self.owner {
            Some(owner) => format!("process {} on {}", owner.process, owner.machine),
            None => "another process".into(),
        }
    }
}

/// How another's claim stands.
#[derive(Debug)]
pub enum Standing {
    /// Its process is at it.
    Alive(Sight),
    /// There is none any more.
    Gone,
}

/// This process's claim on a cell. Given up when dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
}

impl Claim {
    /// Claims what `path` stands for, or says who has it.
    ///
    /// # Errors
    /// If the claim cannot be written.
    pub fn take(path: &Path, owner: &Owner) -> io::Result<Result<Claim, Sight>> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let text = serde_json::to_vec(owner)?;
        // Whoever finishes a run removes folders that are empty.
        for attempt in 0..100 {
            fs::create_dir_all(folder)?;
            let write = || {
                let mut file = super::durable::temporary(0o666).tempfile_in(folder)?;
                file.write_all(&text)?;
                file.persist_noclobber(path).map_err(|e| e.error).map(drop)
            };
            match write() {
                Ok(()) => return Ok(Ok(Claim { path: path.to_owned() })),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match Sight::of(path)? {
                    Some(sight) if sight.owner.as_ref().is_some_and(Owner::is_gone) => remove(path)?,
                    Some(sight) => return Ok(Err(sight)),
                    None => {}
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < 99 => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("a claim cannot be written"))
    }

    /// Looks again at another's claim, which last looked like `before`. A
    /// claim that is stale is removed.
    ///
    /// # Errors
    /// If it cannot be read or removed.
    pub fn look(path: &Path, before: &Sight, stale: Duration) -> io::Result<Standing> {
        let Some(now) = Sight::of(path)? else { return Ok(Standing::Gone) };
        let same = (&now.touched, &now.owner) == (&before.touched, &before.owner);
        let since = if same { before.since } else { now.since };
        let dead = now.owner.as_ref().is_some_and(Owner::is_gone);
        if dead || since.elapsed() > stale {
            tracing::info!("{}: taken over from {}", path.display(), now.owner());
            remove(path)?;
            return Ok(Standing::Gone);
        }
        Ok(Standing::Alive(Sight { since, ..now }))
    }

    /// Gives a sign of life. If someone has judged this process dead, so be it.
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
    fn a_claim_keeps_others_away_until_it_is_dropped() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("claims/a");
        let claim = Claim::take(&path, &Owner::this()).unwrap().unwrap();
        let sight = Claim::take(&path, &other()).unwrap().unwrap_err();
        assert!(sight.owner().contains(&std::process::id().to_string()), "{}", sight.owner());
        assert!(matches!(Claim::look(&path, &sight, STALE).unwrap(), Standing::Alive(_)));
        drop(claim);
        assert!(matches!(Claim::look(&path, &sight, STALE).unwrap(), Standing::Gone));
        assert!(Claim::take(&path, &other()).unwrap().is_ok());
        assert_eq!(fs::read_dir(here.path().join("claims")).unwrap().count(), 0);
    }

    #[test]
    fn a_claim_of_a_process_that_is_gone_is_taken_over_at_once() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a");
        // The number may have been given to another process since.
        for dead in [Owner { process: u32::MAX, ..Owner::this() }, Owner { started: 1, ..Owner::this() }] {
            fs::write(&path, serde_json::to_vec(&dead).unwrap()).unwrap();
            let taken = Claim::take(&path, &Owner::this()).unwrap();
            assert_eq!(taken.is_ok(), cfg!(target_os = "linux"));
        }
    }

    #[test]
    fn a_mark_tells_whether_its_process_is_gone() {
        let this = Owner::this();
        assert!(!Owner::is_gone_by_mark(&this.mark()));
        let gone = Owner { started: this.started + 1, ..this.clone() }.mark();
        assert_eq!(Owner::is_gone_by_mark(&gone), cfg!(target_os = "linux"));
        assert!(!Owner::is_gone_by_mark(&other().mark()));
        assert!(!Owner::is_gone_by_mark("") && !Owner::is_gone_by_mark("a.b.c"));
    }

    #[test]
    fn a_claim_from_elsewhere_counts_as_long_as_it_is_touched() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a");
        let stale = Duration::from_millis(200);
        std::mem::forget(Claim::take(&path, &other()).unwrap().unwrap());
        let mut sight = Claim::take(&path, &Owner::this()).unwrap().unwrap_err();
        for _ in 0..3 {
            std::thread::sleep(stale * 2 / 3);
            Claim::touch(&path);
            match Claim::look(&path, &sight, stale).unwrap() {
                Standing::Alive(now) => sight = now,
                Standing::Gone => panic!("it was touched"),
            }
        }
        std::thread::sleep(stale * 3 / 2);
        assert!(matches!(Claim::look(&path, &sight, stale).unwrap(), Standing::Gone));
        assert!(!path.exists());
    }

    #[test]
    fn a_claim_that_cannot_be_read_counts_until_it_is_stale() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("a");
        fs::write(&path, "").unwrap();
        let sight = Claim::take(&path, &Owner::this()).unwrap().unwrap_err();
        assert_eq!(sight.owner(), "another process");
        assert!(matches!(Claim::look(&path, &sight, STALE).unwrap(), Standing::Alive(_)));
        assert!(matches!(Claim::look(&path, &sight, Duration::ZERO).unwrap(), Standing::Gone));
    }
}
