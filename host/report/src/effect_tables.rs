//! The tables of effects and tests.

use super::Report;
use super::design;
use super::effects::{Comparisons, Effect, Equivalent, TaskStatistics};
use super::figure::effects::SIGNIFICANT;
use super::table::{Emphasis, Table, TableCell};
use super::text::{count, human, p_cell, p_value, signed, two};
use pallium_record::spec::DataSeed;

impl Report {
    /// What the factors of the design do to accuracy.
    pub fn effects_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let TaskStatistics { effects, comparisons, alone, .. } = &self.statistics[task];
        let swept = self.run.swept();
        let reference = design::reference(&self.run.manifest.analysis, &self.run.variants, &self.run.bases);
        let mut caption = match comparisons {
            Comparisons::Factors => {
                let within = if swept { " within each point of the sweep" } else { "" };
                format!(
                    "Planned contrasts on ranks{within}, all else equal; Holm over the rows of this table; δ is the \
                     mean over the pairs of variants compared."
                )
            }
            Comparisons::Alone => {
                "Variants that differ in exactly one aspect: Mann–Whitney, two-sided; Holm over the \
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
                let factors = &self.run.manifest.analysis.factors;
                let why = match factors.is_empty() {
                    true => "",
                    false => {
                        " No two variants differ in exactly one factor of the experiment file, so its \
                         factors are not compared."
                    }
                };
                format!("{against}: Mann–Whitney, two-sided; Holm over the rows of this table.{why}")
            }
        };
        if !alone.is_empty() && matches!(comparisons, Comparisons::Factors | Comparisons::Alone) {
            caption += &format!(
                " Not compared, because no other variant differs from it in exactly one aspect: {}.",
                alone.join("; ")
            );
        }
        let title = format!("Effects on accuracy, {name}");
        self.effects_as(effects, format!("effects-{}", self.run.slug(task)), title, caption)
    }

    /// In a sweep: each point against the one before it, and against the first.
    pub fn points_table(&self, task: usize) -> Table {
        let title = format!("From point to point, {}", self.run.tasks[task].short());
        let caption = "Each point of a sweep against the one before it, then against the first, of the same variant: \
                       Mann–Whitney, two-sided; Holm over the rows of this table.";
        let id = format!("points-{}", self.run.slug(task));
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
            let significant = effect.holm < SIGNIFICANT;
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

    /// Whether the variants that are compared differ by less than the margin that the
    /// experiment states; without rows if it states none.
    pub fn equivalence_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let margin = self.run.manifest.analysis.equivalence.unwrap_or(f64::NAN);
        let mut table = Table::new(
            format!("equivalence-{}", self.run.slug(task)),
            format!("No difference, {name}"),
            format!(
                "Two one-sided t-tests of paired runs: p below 0.05 means that the mean difference lies \
                 within ±{margin}; p is not adjusted. Size of the effect: mean difference in standard \
                 deviations of the differences, d_z, with its 95 % interval.",
            ),
        )
        .columns([
            "variants",
            "#pairs",
            "#difference",
            "#90 % interval",
            "#p",
            "within the margin",
            "#d_z",
        ]);
        for Equivalent { pair: (a, b), test, effect } in &self.statistics[task].equivalences {
            let interval = |(low, high): (f64, f64)| match low.is_nan() {
                true => "–".to_owned(),
                false => format!("{} … {}", signed(low), signed(high)),
            };
            let (low, high) = test.interval;
            let verdict = match () {
                () if test.p < SIGNIFICANT => "yes",
                () if low >= margin || high <= -margin => "no",
                () => "undecided",
            };
            let size = format!("{} ({})", signed(effect.d_z), interval(effect.interval));
            table.row(vec![
                TableCell::text(format!("{a} with {b}")),
                TableCell::number(test.n as f64, test.n.to_string()),
                TableCell::number(test.difference, signed(test.difference)),
                TableCell::text(interval(test.interval)),
                TableCell::number(test.p, p_cell(test.p)),
                TableCell::text(verdict),
                TableCell::number(effect.d_z, size),
            ]);
        }
        table
    }

    /// Whether variants differ at all, and whether the levels of each factor
    /// do.
    pub fn omnibus_table(&self, task: usize) -> Table {
        let name = self.run.tasks[task].short();
        let analysis = &self.statistics[task].analysis;
        let mut table = Table::new(
            format!("omnibus-{}", self.run.slug(task)),
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
            Err(why) => table.caption += &format!(" No analysis of variance: {}.", why.message),
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
            format!("pairs-{}", self.run.slug(task)),
            format!("All pairs of variants, {name}"),
            "Mann–Whitney, two-sided; Holm and Benjamini–Hochberg over all pairs that have a p. Choose the few \
             comparisons that matter before you see results, and test only those: `pallium stats --family`.",
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
                TableCell::number(pair.mann_whitney.u, human(pair.mann_whitney.u)),
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
                        let significant = own.holm < SIGNIFICANT;
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
}
