//! The summary that `pallium run` prints at its end, and the command that repeats
//! what failed.

use std::collections::BTreeMap;
use std::time::Duration;

use pallium_core::Result;
use pallium_record::finished::{Record, Records};
use pallium_record::identity::Cell;
use pallium_record::outcome::Status;
use pallium_record::store::Store;
use pallium_report::text::duration;

use crate::cli::support;
use crate::submit::quote;

/// Maximum number of failures listed.
const SHOWN: usize = 20;

/// The status of the selected trainings.
#[derive(Default)]
pub struct Tally<'a> {
    pub cells: usize,
    pub ok: usize,
    pub diverged: usize,
    pub missing: usize,
    pub failed_measures: usize,
    /// Failed trainings, with their reasons.
    pub failed: Vec<(&'a Cell, &'a str)>,
    /// Failed measures, as text.
    pub measures: Vec<String>,
    /// Trainings of which metrics can be computed again.
    pub unmeasured: usize,
}

impl<'a> Tally<'a> {
    /// Counts the `wanted` trainings; `records` are those of `plan`.
    pub fn new(wanted: &'a [Cell], plan: &[Cell], records: &'a Records) -> Self {
        let mut tally = Tally { cells: wanted.len(), ..Tally::default() };
        let known: BTreeMap<&str, &Option<Record>> =
            plan.iter().map(|cell| cell.folder.as_str()).zip(records).collect();
        for cell in wanted {
            match known.get(cell.folder.as_str()).copied().and_then(Option::as_ref) {
                Some(Record::Finished(finished)) => {
                    match finished.status {
                        Status::Diverged => tally.diverged += 1,
                        _ => tally.ok += 1,
                    }
                    tally.unmeasured += usize::from(finished.unmeasured > 0);
                    for value in finished.values.iter().filter(|v| v.failed.is_some()) {
                        tally.failed_measures += 1;
                        let why = value.failed.as_deref().unwrap_or_default();
                        tally.measures.push(format!("{}: {}: {why}", cell.spec.label(), value.measure));
                    }
                }
                Some(Record::Failed(why)) => tally.failed.push((cell, why)),
                None => tally.missing += 1,
            }
        }
        tally
    }

    /// Prints the counts, the failures and the command that repeats them to stderr.
    /// `selected` are the options that select trainings, and whether they are set.
    pub fn print(&self, selected: &[(&str, bool)], store: &Store, elapsed: Duration) -> Result<()> {
        let Tally { cells, ok, diverged, missing, failed_measures, failed, measures, unmeasured } = self;
        let mut parts = vec![format!("{ok} of {cells} trainings done")];
        for (count, what) in [
            (*diverged, "diverged"),
            (failed.len(), "failed"),
            (*missing, "still to run"),
            (*failed_measures, if *failed_measures == 1 { "measure failed" } else { "measures failed" }),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        status!("{} in {}", parts.join(", "), duration(elapsed.as_secs_f64()));
        for reason in measures.iter().take(SHOWN) {
            status!("  {reason}");
        }
        if measures.len() > SHOWN {
            status!("  … and {} more", measures.len() - SHOWN);
        }
        if *unmeasured > 0 && !measures.is_empty() && failed.is_empty() {
            status!("to compute only these again:\n  {}", command());
        }
        if !failed.is_empty() {
            let mut table = support::table(["failed training", "reason"]);
            for (cell, why) in failed.iter().take(SHOWN) {
                table.add_row([cell.spec.label(), why.to_string()]);
            }
            status!("{table}");
            if failed.len() > SHOWN {
                status!("… and {} more", failed.len() - SHOWN);
            }
            let folder = store.root().join("failed");
            status!("their last output is in {}", folder.display());
            status!("to run only these again:\n  {}", self.again(selected));
        }
        Ok(())
    }

    /// The command that runs only the failed trainings.
    fn again(&self, selected: &[(&str, bool)]) -> String {
        let mut words = command_words();
        // The same command runs everything that is not done. With many failures a
        // short command is better than an exact one.
        if self.missing == 0 || self.failed.len() > SHOWN {
            return words.join(" ");
        }
        for (option, _) in selected.iter().filter(|(_, is_set)| *is_set) {
            remove_option(&mut words, option);
        }
        for (cell, _) in &self.failed {
            words.push("--only".into());
            words.push(quote(&cell.spec.label()));
        }
        words.join(" ")
    }
}

/// Removes every use of an option and its value from quoted words.
fn remove_option(words: &mut Vec<String>, option: &str) {
    let mut keep = Vec::new();
    let mut rest = std::mem::take(words).into_iter();
    while let Some(word) = rest.next() {
        if word == option {
            rest.next();
        } else if !word.trim_start_matches('\'').starts_with(&format!("{option}=")) {
            keep.push(word);
        }
    }
    *words = keep;
}

/// The command line, quoted for a shell.
pub fn command() -> String {
    command_words().join(" ")
}

fn command_words() -> Vec<String> {
    std::env::args_os().map(|word| quote(&word.to_string_lossy())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_removed_with_their_values() {
        let mut words: Vec<String> =
            ["run", "--only", "'a*'", "x.toml", "--only=b", "'--only=c*'", "--shard", "1/3", "--onlyx", "d"]
                .map(String::from)
                .into();
        remove_option(&mut words, "--only");
        assert_eq!(words, ["run", "x.toml", "--shard", "1/3", "--onlyx", "d"]);
    }
}
