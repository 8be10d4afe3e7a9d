//! Ends child processes and describes how they ended. It does not know what a
//! process is for.
//!
//! The host's workers, the conformance checks and the Python components run
//! third-party code in child processes and report their end in the same words.

use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// The number of the signal that ended the process, if one did.
pub fn signal(status: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    return std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    None
}

/// Describes how a process ended, as the predicate of a sentence: `ended with exit
/// code 3`, `was ended by signal 6 (abort)`.
pub fn exit_text(status: ExitStatus) -> String {
    if let Some(number) = signal(status) {
        let name = match number {
            4 => " (illegal instruction)",
            6 => " (abort)",
            7 => " (bus error)",
            8 => " (arithmetic error)",
            9 => " (killed by the system or a user, most often because memory ran out)",
            11 => " (segmentation fault)",
            15 => " (termination)",
            24 => " (limit of processor time)",
            25 => " (limit of file size)",
            _ => "",
        };
        return format!("was ended by signal {number}{name}");
    }
    status.code().map_or_else(|| "ended".into(), |code| format!("ended with exit code {code}"))
}

/// Whether the system or a limit ended the process, so that what it was doing is most
/// likely not at fault: killed from outside, or the limits of processor time and file size.
pub fn is_ended_by_limit(status: ExitStatus) -> bool {
    signal(status).is_some_and(|number| [9, 24, 25].contains(&number))
}

/// Waits up to `patience` for `child` to end, then kills it. `None` if it was
/// killed.
pub fn wait_or_kill(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begun.elapsed() < patience => thread::sleep(Duration::from_millis(1)),
            _ => break,
        }
    }
    // Fails only if the process has just ended.
    let _ = child.kill();
    let _ = child.wait();
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;

    use super::*;

    fn shell(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).spawn().expect("sh starts")
    }

    #[test]
    fn exit_codes_and_signals_are_described() {
        let end = |script| exit_text(wait_or_kill(&mut shell(script), Duration::from_secs(60)).unwrap());
        assert_eq!(end("exit 3"), "ended with exit code 3");
        assert_eq!(end("kill -ABRT $$"), "was ended by signal 6 (abort)");
        let limit = |script| is_ended_by_limit(shell(script).wait().unwrap());
        assert!(limit("kill -KILL $$") && limit("kill -XFSZ $$"));
        assert!(!limit("kill -SEGV $$") && !limit("exit 9"));
    }

    #[test]
    fn a_process_that_outlasts_the_wait_is_killed() {
        let mut child = shell("exec sleep 1000");
        assert!(wait_or_kill(&mut child, Duration::ZERO).is_none());
        assert_eq!(signal(child.wait().unwrap()), Some(9));
    }
}
