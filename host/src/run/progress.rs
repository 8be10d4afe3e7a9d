//! Shows the progress of a run: bars on a terminal, lines elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pallium_profile::Accuracy;
use pallium_record::identity::Cell;
use pallium_record::outcome::Status;
use pallium_report::text::duration;

use super::progress_event::ProgressEvent;

/// The progress display of a run, on standard error.
pub struct Progress<'a> {
    cells: &'a [&'a Cell],
    accuracy: Accuracy,
    done: usize,
    face: Face,
}

enum Face {
    Bars { all: MultiProgress, total: ProgressBar, running: BTreeMap<usize, ProgressBar> },
    Lines { begun: Instant },
}

impl<'a> Progress<'a> {
    /// A display for `cells`, with the accuracy that the tables show.
    pub fn new(cells: &'a [&'a Cell], accuracy: Accuracy) -> Self {
        let face = if io::stderr().is_terminal() {
            let all = MultiProgress::new();
            let total = all.add(ProgressBar::new(cells.len() as u64).with_style(style(
                "{bar:30.cyan/black} {pos}/{len} trainings, elapsed {elapsed}, remaining {eta}",
            )));
            total.tick();
            Face::Bars { all, total, running: BTreeMap::new() }
        } else {
            Face::Lines { begun: Instant::now() }
        };
        Progress { cells, accuracy, done: 0, face }
    }

    /// Updates the display.
    pub fn on_event(&mut self, report: &ProgressEvent) {
        let cells = self.cells;
        let label = |cell: usize| cells.get(cell).map(|c| c.spec.label()).unwrap_or_default();
        let line = match report {
            ProgressEvent::Started(cell) => {
                if let Face::Bars { all, running, .. } = &mut self.face {
                    let epochs = cells.get(*cell).map_or(0, |c| c.spec.training.epochs);
                    let bar = ProgressBar::new(epochs.into())
                        .with_style(style("  {prefix:40!} {bar:12} epoch {pos}/{len} {msg}"))
                        .with_prefix(label(*cell));
                    let bar = all.add(bar);
                    bar.tick();
                    running.insert(*cell, bar);
                }
                return;
            }
            &ProgressEvent::Epoch { cell, epoch, loss, accuracy, .. } => {
                if let Face::Bars { running, .. } = &self.face
                    && let Some(bar) = running.get(&cell)
                {
                    bar.set_position(epoch.into());
                    let accuracy = accuracy.map(|accuracy| format!(", accuracy {accuracy:.3}"));
                    bar.set_message(format!("loss {loss:.4}{}", accuracy.unwrap_or_default()));
                }
                return;
            }
            ProgressEvent::Tick => {
                if let Face::Bars { total, .. } = &self.face {
                    total.tick();
                }
                return;
            }
            ProgressEvent::Stopped(cell) => return self.leave(*cell),
            ProgressEvent::Waiting(count, owner) => {
                let trainings = if *count == 1 { "training" } else { "trainings" };
                let line = format!("waiting for {count} {trainings} of another process ({owner})");
                match &self.face {
                    // As below, errors of the terminal are ignored.
                    Face::Bars { all, .. } => drop(all.println(line)),
                    Face::Lines { .. } => drop(writeln!(io::stderr().lock(), "{line}")),
                }
                return;
            }
            ProgressEvent::Elsewhere(cell) => {
                self.done += 1;
                format!("{}: finished by another process", label(*cell))
            }
            ProgressEvent::Done { cell, status, accuracy, running_accuracy, failed_measures, seconds } => {
                self.done += 1;
                self.leave(*cell);
                let accuracy = match self.accuracy {
                    Accuracy::Running => running_accuracy,
                    Accuracy::Evaluated => accuracy,
                };
                let accuracy = match (status, accuracy) {
                    (Status::Ok, Some(accuracy)) => format!("accuracy {accuracy:.3}"),
                    (status, _) => status.to_string(),
                };
                let missing = match failed_measures {
                    0 => String::new(),
                    n => format!(", {n} measure(s) failed"),
                };
                format!("{}: {accuracy}{missing}, {seconds:.1} s", label(*cell))
            }
            ProgressEvent::Failed(cell, failure) => {
                self.done += 1;
                self.leave(*cell);
                format!("{}: failed: {}", label(*cell), failure.reason)
            }
        };
        let quiet = matches!(report, ProgressEvent::Done { status: Status::Ok, failed_measures: 0, .. });
        match &self.face {
            Face::Bars { all, total, .. } => {
                total.set_position(self.done as u64);
                // Bars already show successes; other results should stay visible.
                if !quiet {
                    // A closed terminal does not end a run.
                    let _ = all.println(line);
                }
            }
            Face::Lines { begun } => {
                let left = remaining(begun.elapsed(), self.done, cells.len());
                let _ = writeln!(io::stderr().lock(), "[{}/{}] {line}{left}", self.done, cells.len());
            }
        }
    }

    /// Removes the bars.
    pub fn close(self) {
        if let Face::Bars { all, .. } = self.face {
            // As above.
            let _ = all.clear();
        }
    }

    fn leave(&mut self, cell: usize) {
        if let Face::Bars { running, .. } = &mut self.face
            && let Some(bar) = running.remove(&cell)
        {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn remaining(elapsed: Duration, done: usize, all: usize) -> String {
    if done == 0 || done >= all {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() / done as f64 * (all - done) as f64;
    let about = if seconds < 1.0 { "" } else { "about " };
    format!("; {about}{} remaining", duration(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_is_estimated_from_finished_trainings() {
        assert_eq!(remaining(Duration::from_secs(10), 5, 20), "; about 30 s remaining");
        assert_eq!(remaining(Duration::from_secs(10), 20, 20), "");
    }

    #[test]
    fn templates_are_understood() {
        for template in [
            "{bar:30.cyan/black} {pos}/{len} trainings, elapsed {elapsed}, remaining {eta}",
            "  {prefix:40!} {bar:12} epoch {pos}/{len} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }
}
