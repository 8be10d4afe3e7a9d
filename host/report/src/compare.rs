//! Comparisons of run folders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use itertools::Itertools;
use pallium_core::{Error, Result};
use serde_json::{Value, json};

use super::Report;
use super::document;
use super::effects::delta;
use super::published::{Paper, Published};
use super::summary::{Group, group};
use super::table::Table;
use crate::text::number;
use pallium_stats as stats;

/// Several run folders, compared.
pub struct Comparison {
    /// The reports, in the order in which they were named.
    pub reports: Vec<Report>,
    /// Their names.
    pub names: Vec<String>,
    /// Split and measure of the accuracy that is compared: the one that the
    /// tables of all folders show, otherwise test accuracy after training, which
    /// every folder has.
    pub key: (String, String),
    /// Tasks that any folder has, by label.
    pub tasks: Vec<SharedTask>,
    /// Variants that any folder has.
    pub variants: Vec<String>,
}

/// A task in all folders.
pub struct SharedTask {
    /// Its label without the plugin's name.
    pub name: String,
    pub(crate) label: String,
    /// Results of each folder, by variant; `None` where a folder lacks them.
    pub rows: Vec<Vec<Option<Group>>>,
    /// Each further folder compared with the first, by variant.
    pub tests: Vec<Vec<Option<Against>>>,
}

/// A folder compared with the first, for one variant on one task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Against {
    /// Difference of the means.
    pub difference: f64,
    /// Cliff's δ.
    pub delta: f64,
    /// By the Mann–Whitney test.
    pub p: f64,
    /// Adjusted by Holm over all of the task.
    pub holm: f64,
}

impl Comparison {
    /// Reads run folders.
    ///
    /// # Errors
    /// If there are fewer than two, or as [`Report::read`].
    pub fn read(folders: &[PathBuf]) -> Result<Self> {
        if folders.len() < 2 {
            return Err(Error::input("one run folder alone cannot be compared")
                .help("name two folders or more; `pallium report DIR` looks at one"));
        }
        let reports: Vec<Report> = folders.iter().map(|f| Report::read(f)).collect::<Result<_>>()?;
        let headlines: BTreeSet<(String, String)> = reports.iter().map(|r| r.run.headline()).collect();
        let mut headlines = headlines.into_iter();
        let key = match (headlines.next(), headlines.next()) {
            (Some(only), None) => only,
            _ => ("test".into(), "accuracy".into()),
        };
        let mut variants: Vec<String> = Vec::new();
        let mut labels: Vec<(String, String)> = Vec::new();
        for report in &reports {
            for variant in
                report.run.variants.iter().filter(|v| !variants.contains(v)).cloned().collect::<Vec<_>>()
            {
                variants.push(variant);
            }
            for task in &report.run.tasks {
                if !labels.iter().any(|(label, _)| *label == task.label) {
                    labels.push((task.label.clone(), task.short().to_owned()));
                }
            }
        }
        let tasks = labels
            .into_iter()
            .map(|(label, name)| shared(&reports, &variants, &key, label, name))
            .collect::<Result<_>>()?;
        Ok(Comparison { names: names(folders), reports, key, tasks, variants })
    }

    /// The published tables with values that some folder is compared with, each
    /// once.
    pub fn papers(&self) -> Vec<Paper> {
        let groups = self.reports.iter().flat_map(|r| r.running.iter().flatten());
        groups.filter(|g| g.published.is_some()).filter_map(|g| g.paper).unique().sorted().collect()
    }

    /// A folder's results of a variant on a task: of a measure of organization, or
    /// the running accuracy.
    pub(crate) fn own<'a>(
        report: &'a Report,
        task: &SharedTask,
        variant: &str,
        measure: &str,
    ) -> Option<&'a Group> {
        let t = report.run.tasks.iter().position(|t| t.label == task.label)?;
        let groups = match measure {
            "running_accuracy" => &report.running[t],
            _ => &report.organization[t][report.measures.iter().position(|m| m == measure)?],
        };
        groups.iter().find(|g| g.variant == variant)
    }

    /// The published values that folders' results are compared with, by table.
    pub fn published(&self, task: &SharedTask, variant: usize, measure: &str) -> Vec<(Paper, Published)> {
        let groups = self.reports.iter().filter_map(|r| Self::own(r, task, &self.variants[variant], measure));
        groups
            .filter_map(|g| Some((g.paper?, g.published?)))
            .unique_by(|p| p.0)
            .sorted_by_key(|p| p.0)
            .collect()
    }

    /// All tables.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = vec![self.runs_table(), self.agreement_table()];
        tables.retain(|t| !t.rows.is_empty());
        tables.extend(self.tasks.iter().map(|t| self.accuracy_table(t)));
        tables
    }

    /// One JSON document.
    pub fn document(&self) -> Value {
        let runs: Vec<Value> = self
            .reports
            .iter()
            .zip(&self.names)
            .map(|(report, name)| {
                let mut value = report.document();
                if let Some(object) = value.as_object_mut() {
                    object.insert("name".into(), json!(name));
                }
                value
            })
            .collect();
        let mut accuracy = Vec::new();
        for task in &self.tasks {
            for (place, variant) in self.variants.iter().enumerate() {
                let groups: Vec<Value> = task.rows[place]
                    .iter()
                    .map(|g| g.as_ref().map_or(Value::Null, document::group))
                    .collect();
                let tests: Vec<Value> = task.tests[place]
                    .iter()
                    .map(|a| {
                        a.map_or(Value::Null, |a| {
                            json!({
                                "difference": number(a.difference), "cliffs_delta": number(a.delta),
                                "p": number(a.p), "holm": number(a.holm),
                            })
                        })
                    })
                    .collect();
                accuracy.push(json!({
                    "task": task.label, "variant": variant, "runs": groups, "against_first": tests,
                }));
            }
        }
        json!({ "runs": runs, "split": self.key.0, "measure": self.key.1, "accuracy": accuracy })
    }
}

fn shared(
    reports: &[Report],
    variants: &[String],
    key: &(String, String),
    label: String,
    name: String,
) -> Result<SharedTask> {
    let of = |report: &Report, variant: &String| -> Result<Option<Group>> {
        let t = report.run.tasks.iter().position(|t| t.label == label);
        let v = report.run.variants.iter().position(|v| v == variant);
        let Some((t, v)) = t.zip(v) else { return Ok(None) };
        group(&report.run, report.counterparts[t][v].as_ref(), v, t, (&key.0, &key.1)).map(Some)
    };
    let rows: Vec<Vec<Option<Group>>> =
        variants.iter().map(|v| reports.iter().map(|r| of(r, v)).collect()).collect::<Result<_>>()?;
    let mut tests: Vec<Vec<Option<Against>>> = rows
        .iter()
        .map(|row| {
            let first = row[0].as_ref().filter(|g| !g.values.is_empty());
            let test = |own: &Option<Group>| {
                let (first, own) = (&first?.values, &own.as_ref().filter(|g| !g.values.is_empty())?.values);
                Some(Against {
                    difference: stats::mean(own) - stats::mean(first),
                    delta: delta(own, first),
                    p: stats::mann_whitney(own, first).p,
                    holm: f64::NAN,
                })
            };
            row[1..].iter().map(test).collect()
        })
        .collect();
    let p: Vec<f64> = tests.iter().flatten().flatten().map(|a| a.p).collect();
    for (against, adjusted) in tests.iter_mut().flatten().flatten().zip(stats::holm(&p)) {
        against.holm = adjusted;
    }
    Ok(SharedTask { name, label, rows, tests })
}

/// The shortest ends of the paths that are all different.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let parts = |folder: &Path| -> Vec<String> {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        whole.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let parts: Vec<Vec<String>> = folders.iter().map(|f| parts(f)).collect();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(1);
    let tail = |length: usize| -> Vec<String> {
        parts.iter().map(|p| p[p.len().saturating_sub(length)..].join("/")).collect()
    };
    (1..=longest)
        .map(tail)
        .find(|names| names.iter().collect::<BTreeSet<_>>().len() == names.len())
        // The same folder twice.
        .unwrap_or_else(|| {
            folders.iter().enumerate().map(|(i, f)| format!("{} ({})", f.display(), i + 1)).collect()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_shortest_different_ends() {
        let of = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a", "runs/b"]), ["a", "b"]);
        assert_eq!(of(&["one/a", "two/a"]), ["one/a", "two/a"]);
        assert_eq!(of(&["x/a", "x/a"]), ["x/a (1)", "x/a (2)"]);
    }

    #[test]
    fn one_folder_cannot_be_compared() {
        let error = Comparison::read(&[PathBuf::from("x")]).err().unwrap();
        assert!(error.help.unwrap().contains("pallium report"));
    }
}
