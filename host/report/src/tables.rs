//! The tables of a report.

use super::Report;
use super::effects::{Comparisons, Effect, TaskStatistics};
use super::folder::log_tails;
use super::published::Verdict;
use super::summary::Group;
use super::table::{Emphasis, Table, TableCell};
use super::text::{count, estimate_caption, measure_name, p_cell, p_value, signed, three, two};
use pallium_profile::Accuracy;
use pallium_record::outcome::Status;
use pallium_record::spec::{DataSeed, Space};

/// Characters of a failed training's log that are shown.
const LOG_TAIL: usize = 400;

impl Report {
    /// Which accuracy and which interval the tables show.
    pub fn accuracy_caption(&self) -> String {
        let accuracy = match self.run.accuracy {
            Accuracy::Running => "Running accuracy of the last training epoch (noise on), as published",
            Accuracy::Evaluated => "Accuracy on the test trials after training, without noise",
        };
        format!("{accuracy}: {} over runs that have a value.", estimate_caption(self.run.interval))
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
                " Above memoryless: runs above {bar:.3}, that is {} and three standard errors of a share of the \
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
        let mut table = Table::new(
            format!("accuracy-{}", self.run.tasks[task].slug()),
            format!("Accuracy, {name}"),
            caption,
        )
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
        let mut caption =
            format!("Of the trained recurrent matrix: {}.", estimate_caption(self.run.interval));
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
            format!("organization-table-{}", self.run.tasks[task].slug()),
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

    /// What the factors of the design do to accuracy.
    pub fn effects_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let TaskStatistics { effects, comparisons, alone, .. } = &self.statistics[task];
        let swept = self.run.swept();
        let reference =
            super::design::reference(&self.run.manifest.analysis, &self.run.variants, &self.run.bases);
        let mut caption = match comparisons {
            Comparisons::Factors => {
                let within = if swept { " within each point of the sweep" } else { "" };
                format!(
                    "Planned contrasts on ranks{within}, all else equal; Holm over the rows of this table; δ is the \
                     mean over the pairs of variants compared."
                )
            }
            Comparisons::Alone => {
                "Variants that differ in one aspect alone: Mann–Whitney, two-sided; Holm over the \
                                   rows of this table."
                    .into()
            }
            Comparisons::Stated => {
                "The contrasts of the experiment file: Mann–Whitney, two-sided; Holm over the rows \
                                    of this table."
                    .into()
            }
            Comparisons::Reference => {
                let stated = self.run.manifest.analysis.reference.is_some();
                let against = match (swept, stated, self.run.variants.get(reference)) {
                    (true, false, _) => "Each point of a sweep against the first of its variant".into(),
                    (true, true, _) => {
                        format!("Each variant against {} at its point", self.run.bases[reference])
                    }
                    (false, _, Some(name)) => format!("Each variant against {name}"),
                    (false, _, None) => "Each variant against the reference".into(),
                };
                format!("{against}: Mann–Whitney, two-sided; Holm over the rows of this table.")
            }
        };
        if !alone.is_empty() && matches!(comparisons, Comparisons::Factors | Comparisons::Alone) {
            caption += &format!(
                " Not compared, since no other variant differs from it in one aspect alone: {}.",
                alone.join("; ")
            );
        }
        let title = format!("Effects on accuracy, {name}");
        self.effects_as(effects, format!("effects-{}", self.run.tasks[task].slug()), title, caption)
    }

    /// In a sweep: each point against the one before it, and against the first.
    pub fn points_table(&self, task: usize) -> Table {
        let title = format!("From point to point, {}", self.run.tasks[task].short());
        let caption = "Each point of a sweep against the one before it, then against the first, of the same variant: \
                       Mann–Whitney, two-sided; Holm over the rows of this table.";
        let id = format!("points-{}", self.run.tasks[task].slug());
        self.effects_as(&self.statistics[task].points, id, title, caption)
    }

    fn effects_as(&self, effects: &[Effect], id: String, title: String, caption: impl Into<String>) -> Table {
        let mut table = Table::new(id, title, caption).columns([
            "effect",
            "in words",
            "#difference",
            "#Cliff's δ",
            "#p",
            "#p (Holm)",
        ]);
        let factorial = effects.iter().any(|e| e.factor.is_some());
        if factorial {
            table = table.columns(["compared"]);
        }
        for effect in effects {
            let pairs: Vec<String> = effect.pairs.iter().map(|(a, b)| format!("{a} with {b}")).collect();
            let significant = effect.holm < super::figure::effects::SIGNIFICANT;
            let emphasis = if significant { Emphasis::Plain } else { Emphasis::Faint };
            let mut row = vec![
                TableCell::text(effect.label()),
                TableCell::text(&effect.meaning).emphasis(emphasis),
                TableCell::number(effect.difference, signed(effect.difference)).emphasis(emphasis),
                TableCell::number(effect.delta, signed(effect.delta)).emphasis(emphasis),
                TableCell::number(effect.p, p_cell(effect.p)).emphasis(emphasis),
                TableCell::number(effect.holm, p_cell(effect.holm)).emphasis(emphasis),
            ];
            row.extend(factorial.then(|| TableCell::text(pairs.join(", ")).emphasis(emphasis)));
            table.row(row);
        }
        table
    }

    /// Whether variants differ at all, and whether the levels of each factor
    /// do.
    pub fn omnibus_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let analysis = &self.statistics[task].analysis;
        let mut table = Table::new(
            format!("omnibus-{}", self.run.tasks[task].slug()),
            format!("Tests over all variants, {name}"),
            "Kruskal–Wallis over all variants, and between the levels of each factor with their variants pooled; analysis \
             of variance of ranks, additive, type II: what a factor explains beyond the others.",
        )
        .columns(["test", "of", "#statistic", "#degrees of freedom", "#p"]);
        let mut add = |test: &str, of: &str, statistic: f64, df: TableCell, p: f64| {
            let statistic = TableCell::number(statistic, two(statistic));
            let p = TableCell::number(p, p_cell(p));
            table.row(vec![TableCell::text(test), TableCell::text(of), statistic, df, p]);
        };
        let groups = analysis.variants.iter().filter(|v| v.n > 0).count();
        let df = match groups {
            0 | 1 => TableCell::text("–"),
            n => TableCell::number((n - 1) as f64, (n - 1).to_string()),
        };
        add("Kruskal–Wallis, H", "all variants", analysis.kruskal.statistic, df, analysis.kruskal.p);
        let Ok(factors) = &analysis.factors else { return table };
        for (factor, test) in factors.kruskal.iter().filter(|(_, test)| !test.statistic.is_nan()) {
            add("Kruskal–Wallis, H", factor, test.statistic, TableCell::text("–"), test.p);
        }
        match &factors.additive {
            Ok(anova) => {
                for term in &anova.terms {
                    let (own, rest) = (term.df as f64, anova.residual_df as f64);
                    let df = TableCell::number(own, format!("{}, {}", term.df, anova.residual_df));
                    let df = df.part("", own).part("of the residual", rest);
                    add("variance of ranks, F", &term.name(), term.f, df, term.p);
                }
            }
            Err(why) => table.caption += &format!(" The analysis of variance is refused: {}.", why.message),
        }
        if let Err(why) = &factors.interactions {
            table.caption += &format!(" Interactions cannot be separated: {}.", why.message);
        }
        table
    }

    /// All pairs of variants.
    pub fn pairs_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let analysis = &self.statistics[task].analysis;
        let mut table = Table::new(
            format!("pairs-{}", self.run.tasks[task].slug()),
            format!("All pairs of variants, {name}"),
            "Mann–Whitney, two-sided; Holm and Benjamini–Hochberg over all pairs that have a p. State the few \
             comparisons that matter before looking, and test those alone: `pallium stats --family`.",
        )
        .columns(["first", "second", "#difference", "#U", "#p", "#p (Holm)", "#p (BH)", "#Cliff's δ"]);
        // Runs are pairs only where variants share the trials of each run.
        let paired = self.run.example().is_some_and(|about| about.spec.data_seed == DataSeed::PerRun);
        if paired {
            table = table.columns(["#p (Wilcoxon)", "#p (permutation)"]);
            table.caption += " All variants share the trials of a run, so runs are also compared in pairs: Wilcoxon's \
                              signed ranks, and a permutation test of the mean difference, not adjusted.";
        }
        for (pair, adjusted) in analysis.pairs.iter().zip(&analysis.family) {
            let (a, b) = (&analysis.variants[pair.a], &analysis.variants[pair.b]);
            let difference = a.mean - b.mean;
            let mut row = vec![
                TableCell::text(&a.name).emphasis(Emphasis::Variant(pair.a)),
                TableCell::text(&b.name).emphasis(Emphasis::Variant(pair.b)),
                TableCell::number(difference, signed(difference)),
                TableCell::number(pair.mann_whitney.u, super::text::human(pair.mann_whitney.u)),
                TableCell::number(adjusted.p, p_cell(adjusted.p)),
                TableCell::number(adjusted.holm, p_cell(adjusted.holm)),
                TableCell::number(adjusted.benjamini_hochberg, p_cell(adjusted.benjamini_hochberg)),
                TableCell::number(pair.cliffs_delta, signed(pair.cliffs_delta)),
            ];
            if paired {
                let runs = count(pair.paired, "pair");
                let tests = [pair.wilcoxon.p, pair.permutation.p];
                row.extend(tests.map(|p| TableCell::number(p, p_cell(p)).note(runs.clone())));
            }
            table.row(row);
        }
        table
    }

    /// Difference and p of the effects, one column for each task.
    pub fn steps_table(&self) -> Table {
        let caption = "Difference in mean accuracy, and p adjusted by Holm within the task; in full below, under Effects.";
        let tasks = self.run.tasks.iter().map(|t| format!("#{}", t.short()));
        let mut table = Table::new("steps", "What each step does to accuracy", caption)
            .columns(["step"])
            .columns(tasks)
            .columns(["in words"]);
        let Some(first) = self.statistics.iter().map(|s| &s.effects).max_by_key(|e| e.len()) else {
            return table;
        };
        for effect in first {
            let mut row = vec![TableCell::text(effect.label())];
            for statistics in &self.statistics {
                let own = statistics.effects.iter().find(|e| e.name == effect.name);
                row.push(own.map_or_else(
                    || TableCell::text("–"),
                    |own| {
                        let significant = own.holm < super::figure::effects::SIGNIFICANT;
                        // One run has no p.
                        let p = if own.holm.is_nan() {
                            String::new()
                        } else {
                            format!(" ({})", p_value(own.holm))
                        };
                        TableCell::number(own.difference, signed(own.difference) + &p)
                            .part("", own.difference)
                            .part("p", own.holm)
                            .note(format!("Cliff's δ = {}", signed(own.delta)))
                            .emphasis(if significant { Emphasis::Plain } else { Emphasis::Faint })
                    },
                ));
            }
            row.push(TableCell::text(&effect.meaning));
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
        for cell in &self.run.trainings {
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
            tables.extend([
                self.accuracy_table(task),
                self.organization_table(task),
                self.effects_table(task),
            ]);
        }
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
