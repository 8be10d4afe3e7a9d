//! The tables of a comparison of run folders.

use std::collections::BTreeSet;

use itertools::Itertools;
use pallium_record::outcome::Status;

use super::Report;
use super::compare::{Comparison, SharedTask};
use super::figure::effects::SIGNIFICANT;
use super::published::{Paper, Published, SOURCE};
use super::short::Tally;
use super::summary::Group;
use super::table::{Emphasis, Table, TableCell};
use super::tables::{absent, verdict_style};
use super::text::{measure_name, p_cell, signed, three};

impl Comparison {
    /// What is compared, in words.
    fn accuracy_name(&self) -> &'static str {
        match self.key.1.as_str() {
            "running_accuracy" => "Running accuracy of the last training epoch",
            _ => "Accuracy on the test trials after training",
        }
    }

    /// What was run, and where the folders differ.
    pub(crate) fn runs_table(&self) -> Table {
        let mut table = Table::new("what-was-run", "Runs", "Marked rows differ between runs.")
            .columns(["what"])
            .columns(self.names.iter());
        let mut row = |name: &str, always: bool, of: &dyn Fn(&Report) -> String| {
            let texts: Vec<String> = self.reports.iter().map(of).collect();
            let differs = texts.iter().any(|t| *t != texts[0]);
            if differs || always {
                let emphasis = if differs { Emphasis::Bad } else { Emphasis::Plain };
                let mut cells = vec![TableCell::text(name)];
                cells.extend(texts.into_iter().map(|t| TableCell::text(t).emphasis(emphasis)));
                table.row(cells);
            }
        };
        row("experiment", true, &|r| r.run.manifest.experiment.clone());
        row("profile", true, &|r| r.run.manifest.profile.clone());
        row("neurons", true, &|r| {
            let number = r.run.example().map_or_else(|| "?".into(), |e| e.model_info.neurons.to_string());
            format!("{}: {number}", r.run.field())
        });
        row("seed", true, &|r| r.run.manifest.seed.to_string());
        row("runs", true, &|r| r.run.manifest.runs.to_string());
        // Names may have commas.
        row("variants", false, &|r| r.run.variants.join("; "));
        row("tasks", false, &|r| r.run.tasks.iter().map(|t| t.short()).collect::<Vec<_>>().join(", "));
        row("weights", false, &|r| every(r, &|e| uses(std::slice::from_ref(&e.spec.weights))));
        row("constraints", false, &|r| every(r, &|e| uses(&e.spec.constraints)));
        row("training", false, &|r| {
            r.run.example().map_or_else(String::new, |e| {
                let t = &e.spec.training;
                format!("{} epochs, {} trials, batches of {}", t.epochs, t.trials, t.batch)
            })
        });
        let switches: BTreeSet<&String> =
            self.reports.iter().flat_map(|r| r.run.manifest.switches.keys()).collect();
        for switch in switches {
            row(switch, false, &|r| r.run.manifest.switches.get(switch).cloned().unwrap_or_default());
        }
        row("Pallium", false, &|r| r.run.manifest.pallium.clone());
        row("trainings done", true, &|r| {
            format!("{} of {}", r.run.count(|s| *s == Status::Ok), r.run.manifest.cells)
        });
        row("trainings diverged", false, &|r| r.run.count(|s| *s == Status::Diverged).to_string());
        row("trainings failed", false, &|r| r.run.count(|s| matches!(s, Status::Failed(_))).to_string());
        table
    }

    /// Agreement of each folder with the published table.
    pub(crate) fn agreement_table(&self) -> Table {
        let mut table = Table::new(
            "agreement",
            "Agreement with the published tables",
            format!(
                "{SOURCE}. Running accuracies and measures of organization that have a published counterpart."
            ),
        )
        .columns(["run", "table", "#accuracies the same", "#differ", "#cannot be compared"])
        .columns(["#organization the same", "#differ", "#cannot be compared"]);
        for (report, name) in self.reports.iter().zip(&self.names) {
            let papers = report.papers();
            if papers.is_empty() {
                continue;
            }
            let tables = papers.iter().map(|p| p.name()).join(", ");
            let mut row = vec![TableCell::text(name), TableCell::text(tables)];
            for tally in [report.accuracy_tally(), report.organization_tally()] {
                let Tally { same, differs, cannot_be_compared, .. } = tally;
                row.extend(
                    [same, differs, cannot_be_compared].map(|n| TableCell::number(n as f64, n.to_string())),
                );
            }
            table.row(row);
        }
        table
    }

    /// A task's accuracies.
    pub(crate) fn accuracy_table(&self, task: &SharedTask) -> Table {
        let first = &self.names[0];
        let mut table = Table::new(
            format!("accuracy-{}", task.name),
            format!("Accuracy, {}", task.name),
            format!(
                "{}: mean and 95 % interval (runs); ± where it is symmetric. Differences are from {first}; p by the Mann–Whitney test, \
                 adjusted by Holm over all comparisons on this task.",
                self.accuracy_name()
            ),
        )
        .columns(["variant"]);
        for (place, name) in self.names.iter().enumerate() {
            table = table.columns([format!("#{name}")]);
            if place > 0 {
                table = table.columns(["#difference", "#p (Holm)"]);
            }
        }
        let any = (0..self.variants.len()).any(|v| !self.published(task, v, "running_accuracy").is_empty());
        if any {
            table = table.columns(["#published"]);
            table.caption += " Running accuracies against the published ones: = the same, ≠ differs.";
        }
        for (place, variant) in self.variants.iter().enumerate() {
            if task.rows[place].iter().all(Option::is_none) {
                continue;
            }
            let mut row = vec![TableCell::text(variant)];
            for (number, group) in task.rows[place].iter().enumerate() {
                row.push(match group {
                    None => TableCell::text("–").note("this run lacks it"),
                    Some(group) if group.values.is_empty() => {
                        TableCell::text(absent(group)).emphasis(Emphasis::Faint)
                    }
                    Some(g) => {
                        let running = Self::own(&self.reports[number], task, variant, "running_accuracy");
                        let text = format!("{} ({})", g.estimate(), g.values.len());
                        match running.and_then(|r| r.verdict.as_ref().filter(|v| v.is_comparison())) {
                            Some(verdict) => {
                                // The mark stands beside the number that is compared.
                                let compared = match (self.key.1.as_str(), running.and_then(|r| r.mean)) {
                                    ("running_accuracy", _) | (_, None) => String::new(),
                                    (_, Some(mean)) => format!("; running {}", three(mean)),
                                };
                                let text = format!("{text}{compared} {}", verdict.mark());
                                TableCell::interval(g.mean, g.interval, text)
                                    .part("runs", g.values.len() as f64)
                                    .note(format!("{}: {}", verdict.name(), verdict.why()))
                            }
                            None => TableCell::interval(g.mean, g.interval, text)
                                .part("runs", g.values.len() as f64),
                        }
                    }
                });
                if number > 0 {
                    match task.tests[place][number - 1] {
                        None => row.extend([TableCell::text("–"), TableCell::text("–")]),
                        Some(a) => {
                            let significant = a.holm < SIGNIFICANT;
                            let emphasis = if significant { Emphasis::Bad } else { Emphasis::Faint };
                            row.push(
                                TableCell::number(a.difference, signed(a.difference))
                                    .emphasis(emphasis)
                                    .note(format!("δ = {}", signed(a.delta))),
                            );
                            row.push(TableCell::number(a.holm, p_cell(a.holm)).emphasis(emphasis));
                        }
                    }
                }
            }
            row.extend(any.then(|| self.published_cell(task, place, "running_accuracy")));
            table.row(row);
        }
        table
    }

    /// As [`Comparison::published`], as a table's cell that names the table if there
    /// are several.
    fn published_cell(&self, task: &SharedTask, variant: usize, measure: &str) -> TableCell {
        let found = self.published(task, variant, measure);
        let text = |(paper, published): &(Paper, Published)| {
            let value = published.mean.map_or_else(|| "–".into(), three);
            if self.papers().len() > 1 { format!("{value} ({})", paper.name()) } else { value }
        };
        match found.first() {
            Some(first) => TableCell::number(first.1.mean, found.iter().map(text).join(", ")),
            None => TableCell::text("–"),
        }
    }

    /// A task's measures of organization.
    pub(crate) fn organization_table(&self, task: &SharedTask) -> Table {
        let measures: Vec<&String> = self.reports.iter().flat_map(|r| &r.measures).unique().collect();
        let places = 0..self.variants.len();
        let any = places.clone().any(|v| measures.iter().any(|m| !self.published(task, v, m).is_empty()));
        let title = format!("Organization, {}", task.name);
        let marks = if any { "; = the same as published, ≠ differs" } else { "" };
        let caption = format!("Mean and 95 % interval; ± where it is symmetric{marks}.");
        let mut table = Table::new(format!("organization-{}", task.name), title, caption)
            .columns(["variant", "measure"])
            .columns(self.names.iter().map(|n| format!("#{n}")))
            .columns(any.then_some("#published"));
        for place in places {
            let variant = &self.variants[place];
            for measure in &measures {
                let groups: Vec<Option<&Group>> =
                    self.reports.iter().map(|r| Self::own(r, task, variant, measure)).collect();
                if groups.iter().flatten().all(|g| g.values.is_empty()) {
                    continue;
                }
                let mut row = vec![TableCell::text(variant), TableCell::text(measure_name(measure))];
                row.extend(groups.iter().map(|group| match group {
                    None => TableCell::text("–"),
                    Some(g) => match g.verdict.as_ref().filter(|v| v.is_comparison()) {
                        Some(verdict) => {
                            let text = format!("{} {}", g.estimate(), verdict.mark());
                            TableCell::interval(g.mean, g.interval, text)
                                .emphasis(verdict_style(verdict))
                                .note(verdict.why())
                        }
                        None => TableCell::interval(g.mean, g.interval, g.estimate()),
                    },
                }));
                row.extend(any.then(|| self.published_cell(task, place, measure)));
                table.row(row);
            }
        }
        table
    }
}

/// The distinct values of a property of the variants.
fn every(report: &Report, of: &dyn Fn(&pallium_record::training::TrainingFile) -> String) -> String {
    let all: BTreeSet<String> =
        (0..report.run.variants.len()).filter_map(|v| report.run.example_of(v)).map(of).collect();
    all.into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join("; ")
}

fn uses(all: &[pallium_record::spec::Use]) -> String {
    let one = |u: &pallium_record::spec::Use| match u.params.is_empty() {
        true => u.id.clone(),
        false => format!("{} {}", u.id, u.json()),
    };
    all.iter().map(one).collect::<Vec<_>>().join(" + ")
}
