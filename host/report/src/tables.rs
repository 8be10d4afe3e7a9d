//! The tables of a report.

use super::Report;
use super::folder::log_tails;
use super::published::Verdict;
use super::summary::Group;
use super::table::{Emphasis, Table, TableCell};
use super::text::{count, estimate_caption, measure_name, three};
use pallium_profile::Accuracy;
use pallium_record::outcome::Status;
use pallium_record::spec::Space;

/// Characters of a failed training's log that are shown.
const LOG_TAIL: usize = 400;

impl Report {
    /// Which accuracy and which interval the tables show.
    pub fn accuracy_caption(&self) -> String {
        let accuracy = match self.run.accuracy {
            Accuracy::Running => "Running accuracy of the last training epoch (noise on), as published",
            Accuracy::Evaluated => "Accuracy on the test trials after training, without noise",
        };
        let has_ends = self.accuracy.iter().flatten().any(|group| group.interval.is_some());
        format!("{accuracy}: {} over runs that have a value.", estimate_caption(self.run.interval, has_ends))
    }

    /// Accuracies, variants against tasks: the counterpart of the published
    /// table.
    pub fn overview(&self) -> Table {
        let tasks: Vec<&str> = self.run.tasks.iter().map(|t| t.short()).collect();
        let mut table = Table::new("overview", "Accuracy", self.accuracy_caption());
        let running = self.run.accuracy == Accuracy::Running;
        if self.running.iter().flatten().any(|g| g.published.is_some()) {
            let which = if running { "" } else { "the running accuracy, and " };
            table.caption += &format!(
                " In brackets: {which}whether it equals the published mean ({}): = same, ≠ differs.",
                super::published::SOURCE
            );
        }
        table = table.columns(["variant"]).columns(tasks.iter().map(|t| format!("#{t}")));
        for (place, variant) in self.run.variants.iter().enumerate() {
            let mut row = vec![TableCell::text(variant).emphasis(Emphasis::Variant(place))];
            for task in 0..tasks.len() {
                let group = &self.accuracy[task][place];
                let mut cell = TableCell::interval(group.mean, group.interval, group.estimate());
                if group.values.is_empty() {
                    cell.text = absent(group);
                }
                let against = &self.running[task][place];
                if let (Some(published), Some(verdict)) = (&against.published, &against.verdict) {
                    let own = match (running, against.mean) {
                        (false, Some(mean)) => format!("running {} ", three(mean)),
                        _ => String::new(),
                    };
                    let theirs = published.mean.map_or_else(|| "–".into(), three);
                    cell.text += &format!(" ({own}{} {theirs})", verdict.mark());
                    cell.parts.extend(published.mean.map(|mean| ("published", mean)));
                    cell.note = format!("{}: {}", verdict.name(), verdict.why());
                    cell.emphasis = verdict_style(verdict);
                }
                row.push(cell);
            }
            table.row(row);
        }
        let level = |name: &str, of: &dyn Fn(&pallium_core::Levels) -> Option<f64>| {
            let mut row = vec![TableCell::text(name).emphasis(Emphasis::Faint)];
            row.extend(self.run.tasks.iter().map(|t| {
                let value = t.info.as_ref().and_then(|i| of(&i.levels?));
                TableCell::number(value, value.map_or_else(|| "–".into(), three)).emphasis(Emphasis::Faint)
            }));
            row
        };
        table.row(level("chance", &|l| Some(l.chance)));
        table.row(level("best without memory", &|l| l.memoryless));
        table.row(level("ideal", &|l| l.ideal));
        table
    }

    /// A task's accuracies in detail.
    pub fn accuracy_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let running = self.run.accuracy == Accuracy::Running;
        let published = self.running[task].iter().any(|g| g.published.is_some());
        let mut caption = self.accuracy_caption();
        if let Some(bar) = super::summary::threshold(&self.run, task) {
            let memoryless = self.run.tasks[task].info.as_ref().and_then(|i| i.levels?.memoryless);
            caption += &format!(
                " Above memoryless: runs above {bar:.3}, that is {} plus three standard errors of a share of the \
                 trials.",
                memoryless.map_or_else(|| "–".into(), three)
            );
        }
        let mut columns = vec!["variant", "#mean", "#95 % interval", "#runs", "#above memoryless"];
        if published {
            if !running {
                columns.push("#running accuracy");
            }
            columns.extend(["#published", "#published interval", "verdict"]);
            caption += " Verdicts compare running accuracies with the published ones.";
        }
        let uncounted = self.accuracy[task].iter().any(|g| !absent(g).is_empty());
        columns.extend(uncounted.then_some("not counted"));
        let mut table =
            Table::new(format!("accuracy-{}", self.run.slug(task)), format!("Accuracy, {name}"), caption)
                .columns(columns);
        for (place, group) in self.accuracy[task].iter().enumerate() {
            let range = |ends: Option<(f64, f64)>| match ends {
                Some((low, high)) => format!("{} – {}", three(low), three(high)),
                None => "–".into(),
            };
            let n = group.values.len();
            let mut row = vec![
                TableCell::text(&group.variant).emphasis(Emphasis::Variant(place)),
                TableCell::number(group.mean, group.mean.map_or_else(|| "–".into(), three)),
                TableCell::ends(group.interval, range(group.interval)),
                TableCell::number(n as f64, n.to_string()),
                match group.above_memoryless {
                    Some(above) if n > 0 => {
                        let share = above as f64 / n as f64;
                        TableCell::number(share, format!("{:.0} %", 100.0 * share))
                            .note(format!("{above} of {n}"))
                    }
                    _ => TableCell::text("–"),
                },
            ];
            if published {
                let against = &self.running[task][place];
                if !running {
                    row.push(TableCell::interval(against.mean, against.interval, against.estimate()));
                }
                row.extend(published_cells(against));
            }
            row.extend(uncounted.then(|| TableCell::text(absent(group)).emphasis(Emphasis::Faint)));
            table.row(row);
        }
        table
    }

    /// A task's measures of organization.
    pub fn organization_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let groups = &self.organization[task];
        let published = |measure: usize| groups[measure].iter().any(|g| g.published.is_some());
        let has_ends = groups.iter().flatten().any(|group| group.interval.is_some());
        let mut caption =
            format!("Of the trained recurrent matrix: {}.", estimate_caption(self.run.interval, has_ends));
        if self.other_measures > 0 {
            caption += &format!(
                " The first {} measures are shown; {} others are in results.csv.",
                self.measures.len(),
                self.other_measures
            );
        }
        if (0..groups.len()).any(published) {
            caption += " Published values beside ours: = same, ≠ differs.";
        }
        let mut table = Table::new(
            format!("organization-table-{}", self.run.slug(task)),
            format!("Organization, {name}"),
            caption,
        )
        .columns(["variant"]);
        for (place, measure) in self.measures.iter().enumerate() {
            table = table.columns([format!("#{}", measure_name(measure))]);
            if published(place) {
                table = table.columns(["#published"]);
            }
        }
        for (variant, label) in self.run.variants.iter().enumerate() {
            let mut row = vec![TableCell::text(label).emphasis(Emphasis::Variant(variant))];
            for (place, of_measure) in groups.iter().enumerate() {
                let group = &of_measure[variant];
                row.push(
                    TableCell::interval(group.mean, group.interval, group.estimate())
                        .note(count(group.values.len(), "run")),
                );
                if published(place) {
                    row.push(match (&group.published, &group.verdict) {
                        (Some(published), Some(verdict)) => {
                            let text = published.mean.map_or_else(|| "–".into(), three);
                            TableCell::number(published.mean, format!("{} {text}", verdict.mark()))
                                .note(format!("{}: {}", verdict.name(), verdict.why()))
                                .emphasis(verdict_style(verdict))
                        }
                        (_, Some(verdict)) => {
                            TableCell::text(verdict.mark()).note(verdict.why()).emphasis(Emphasis::Faint)
                        }
                        _ => TableCell::text("–"),
                    });
                }
            }
            table.row(row);
        }
        table
    }

    /// What each variant is.
    pub fn variants_table(&self) -> Table {
        let mut table = Table::new("variants", "Variants", "").columns([
            "variant",
            "initial weights",
            "distances",
            "constraints",
        ]);
        let described = |use_: &pallium_record::spec::Use| match use_.params.is_empty() {
            true => use_.id.clone(),
            false => {
                let params: Vec<String> =
                    use_.params.iter().map(|(k, v)| format!("{k} = {}", plain(v))).collect();
                format!("{} ({})", use_.id, params.join(", "))
            }
        };
        for (place, variant) in self.run.variants.iter().enumerate() {
            let name = TableCell::text(variant).emphasis(Emphasis::Variant(place));
            let Some(about) = self.run.example_of(place) else {
                table.row(vec![
                    name,
                    TableCell::text("no training is finished yet"),
                    TableCell::default(),
                    TableCell::default(),
                ]);
                continue;
            };
            let spec = &about.spec;
            let space = match spec.geometry.space {
                Space::None => "none".to_owned(),
                Space::Soma => "soma".to_owned(),
                Space::Grid(None) => "grid".to_owned(),
                Space::Grid(Some([a, b, c])) => format!("grid of {a}×{b}×{c}"),
            };
            let space = if spec.geometry.shuffled { format!("{space}, shuffled") } else { space };
            let constraints: Vec<String> = spec.constraints.iter().map(described).collect();
            table.row(vec![
                name,
                TableCell::text(described(&spec.weights)),
                TableCell::text(space),
                TableCell::text(constraints.join("; ")),
            ]);
        }
        table
    }

    /// Trainings and measures that are not counted, and why.
    pub fn uncounted_table(&self) -> Table {
        let logs = log_tails(&self.run.root);
        let mut table = Table::new(
            "uncounted",
            "Trainings and measures that are not counted",
            "A diverged training is a result without an accuracy. A failed one is tried again when the run is started \
             again.",
        )
        .columns(["variant", "task", "#run", "status", "why"]);
        for cell in self.run.whole_trainings() {
            let (variant, task) = (&self.run.variants[cell.variant], &self.run.tasks[cell.task]);
            let mut add = |status: &str, why: String, note: String| {
                table.row(vec![
                    TableCell::text(variant).emphasis(Emphasis::Variant(cell.variant)),
                    TableCell::text(task.short()),
                    TableCell::number(f64::from(cell.run), cell.run.to_string()),
                    TableCell::text(status).emphasis(Emphasis::Bad),
                    TableCell::text(why).note(note),
                ]);
            };
            match &cell.status {
                Status::Ok => {}
                Status::Diverged => {
                    let how = cell.about.as_ref().and_then(|a| a.divergence.as_ref());
                    let why = how.map_or_else(String::new, |d| match d.epoch {
                        0 => format!("{} after training", d.what),
                        epoch => format!("{} in epoch {epoch}, batch {}", d.what, d.batch),
                    });
                    add("diverged", why, String::new());
                }
                Status::Failed(why) => {
                    let log = logs.get(&(variant.clone(), task.label.clone(), cell.run));
                    let end = log.map(|log| {
                        let skip = log.chars().count().saturating_sub(LOG_TAIL);
                        log.chars().skip(skip).collect::<String>()
                    });
                    add("failed", why.clone(), end.unwrap_or_default());
                }
            }
            for (measure, why) in &cell.failed_measures {
                add("measure failed", format!("{}: {why}", measure_name(measure)), String::new());
            }
        }
        table
    }

    /// The tables that go into a paper.
    pub fn for_paper(&self) -> Vec<Table> {
        let mut tables = vec![self.overview()];
        for task in 0..self.run.tasks.len() {
            tables.push(self.accuracy_table(task));
            // The network is that of the whole.
            tables.extend(self.run.tasks[task].is_whole().then(|| self.organization_table(task)));
            tables.push(self.effects_table(task));
            let equivalence = self.equivalence_table(task);
            tables.extend((!equivalence.rows.is_empty()).then_some(equivalence));
            if self.learning[task].is_known() {
                tables.extend([self.learning_table(task), self.learning_effects_table(task)]);
            }
        }
        tables.extend(self.tested.tables.iter().cloned());
        tables.extend(self.likeness.tables.iter().cloned());
        let uncounted = self.uncounted_table();
        tables.extend((!uncounted.rows.is_empty()).then_some(uncounted));
        tables
    }
}

/// How a verdict is displayed.
pub fn verdict_style(verdict: &Verdict) -> Emphasis {
    match verdict {
        Verdict::Same(_) => Emphasis::Good,
        Verdict::Differs(_) => Emphasis::Bad,
        Verdict::CannotBeCompared(_) => Emphasis::Faint,
    }
}

/// The published value, its interval, and the verdict.
fn published_cells(group: &Group) -> [TableCell; 3] {
    let Some(published) = &group.published else {
        let why = match &group.verdict {
            Some(verdict) => format!("{}: {}", verdict.name(), verdict.why()),
            None => "no published value".into(),
        };
        let why = TableCell::text(why).emphasis(Emphasis::Faint);
        return [TableCell::text("–"), TableCell::text("–"), why];
    };
    let range = match (published.lower, published.upper) {
        (Some(low), Some(high)) => format!("{} – {}", three(low), three(high)),
        _ if published.diverged => "diverged".into(),
        _ => "–".into(),
    };
    let verdict = match &group.verdict {
        Some(verdict) => {
            TableCell::text(format!("{}: {}", verdict.name(), verdict.why())).emphasis(verdict_style(verdict))
        }
        None => TableCell::default(),
    };
    let mark = group.verdict.as_ref().map_or("", Verdict::mark);
    let mean = published.mean.map_or_else(|| "–".into(), three);
    [
        TableCell::number(published.mean, format!("{mark} {mean}")),
        // Sorted by its width, as the interval of the runs is.
        TableCell::ends(published.lower.zip(published.upper), range),
        verdict,
    ]
}

/// Runs without a value, in words; empty if there are none.
pub fn absent(group: &Group) -> String {
    let states = [(group.diverged, "diverged"), (group.failed, "failed"), (group.missing, "to do")];
    let parts: Vec<String> =
        states.iter().filter(|state| state.0 > 0).map(|(n, what)| format!("{n} {what}")).collect();
    parts.join(", ")
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
