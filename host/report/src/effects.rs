//! Effects on accuracy: which variants are compared, and with what result.
//!
//! The experiment file may state the comparisons. Otherwise they follow from
//! what differs between variants (see [`design`]): those that
//! differ in one aspect alone are compared.

use itertools::Itertools;
use pallium_record::spec::{CellSpec, CoordinateLayout, DataSeed};
use pallium_stats::{self as stats, Analysis, Design, Equivalence, Options, PairedEffect, WideTable};
use serde::Serialize;

use super::design::{self, ContentDesign};
use super::folder::RunFolder;
use super::summary::wide;

/// All pairs are listed up to this number of variants.
pub const MAX_PAIRED_VARIANTS: usize = 16;
/// Up to this number of levels of a factor, all are compared with each other;
/// of more, each with the first.
const MAX_LEVELS: usize = 3;

/// The effect of a factor, or of a variant, on a task's accuracy.
#[derive(Clone, Debug, Serialize)]
pub struct Effect {
    /// Such as `D* - D`; in a sweep with the point, `D* - D [λ=0.1]`.
    pub name: String,
    /// In words.
    pub meaning: String,
    /// The factor, if there is one.
    pub factor: Option<String>,
    /// The pairs of variants that are compared: each with its reference.
    pub pairs: Vec<(String, String)>,
    /// Mean difference, in the measure's unit.
    pub difference: f64,
    /// Cliff's δ, the mean over the pairs.
    pub delta: f64,
    /// p-value.
    pub p: f64,
    /// p adjusted by Holm over all effects of the task.
    pub holm: f64,
}

impl Effect {
    /// Its name for display: with a minus sign between the levels of a factor.
    pub fn label(&self) -> String {
        match self.factor {
            Some(_) => self.name.replacen(" - ", " − ", 1),
            None => self.name.clone(),
        }
    }
}

/// Why variants are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparisons {
    /// They differ in one factor, and several pairs may tell its effect.
    Factors,
    /// They differ in one aspect alone.
    Alone,
    /// The experiment file states the pairs.
    Stated,
    /// No two differ in one aspect alone, or the experiment file names a
    /// reference: each is compared with it.
    Reference,
}

/// A task's statistics.
#[derive(Debug)]
pub struct TaskStatistics {
    /// The analysis of `pallium stats`.
    pub analysis: Analysis,
    /// Effects, in a sweep at each point.
    pub effects: Vec<Effect>,
    /// Why these are compared.
    pub comparisons: Comparisons,
    /// Variants with values that no effect compares.
    pub alone: Vec<String>,
    /// In a sweep: each point against the one before, and against the first.
    pub points: Vec<Effect>,
    /// If the experiment states a margin of equivalence and runs are paired: every pair of
    /// variants that an effect compares.
    pub equivalences: Vec<Equivalent>,
}

/// Whether two variants differ by less than a margin.
#[derive(Clone, Debug)]
pub struct Equivalent {
    /// The two variants.
    pub pair: (String, String),
    /// The test.
    pub test: Equivalence,
    /// Size of the effect.
    pub effect: PairedEffect,
}

/// What the functions below need of a task.
struct Task<'a> {
    run: &'a RunFolder,
    names: &'a [String],
    /// A specification of each variant, once a training is finished.
    specs: Vec<Option<&'a CellSpec>>,
    values: Vec<Vec<f64>>,
    /// The variant that others are compared with.
    reference: usize,
}

/// Statistics of the headline accuracy of a task.
pub fn statistics(run: &RunFolder, task: usize) -> TaskStatistics {
    let (split, measure) = run.headline_on(task);
    let table = wide(run, task, (&split, &measure));
    let specs: Vec<Option<&CellSpec>> =
        (0..run.variants.len()).map(|v| run.example_on(v, task).map(|about| &about.spec)).collect();
    let reference = design::reference(&run.manifest.analysis, &run.variants, &run.bases);
    let values = (0..table.names.len()).map(|v| table.values(v)).collect();
    let task = Task { run, names: &run.variants, specs, values, reference };
    let (effects, comparisons) = task.effects();
    let compared: Vec<&String> = effects.iter().flat_map(|e| &e.pairs).flat_map(|(a, b)| [a, b]).collect();
    let with_values = (0..run.variants.len()).filter(|&v| !task.values[v].is_empty());
    let alone =
        with_values.map(|v| run.variants[v].clone()).filter(|name| !compared.contains(&name)).collect();
    let points = if run.swept() { task.between_points() } else { Vec::new() };
    let equivalences = task.equivalences(&effects, &table);
    TaskStatistics { analysis: task.analysis(&table), effects, comparisons, alone, points, equivalences }
}

/// Probability of claiming an equivalence where there is none.
const ALPHA: f64 = 0.05;

impl Task<'_> {
    fn analysis(&self, table: &WideTable) -> Analysis {
        let stated = &self.run.manifest.analysis.factors;
        let nothing = Design { factors: Vec::new(), variants: vec![Vec::new(); self.names.len()] };
        let design = match (stated.is_empty(), self.run.swept()) {
            (false, _) => design::stated(stated, self.names, &self.run.bases, self.reference),
            // Points differ in more than the factors of the design.
            (true, true) => nothing,
            (true, false) => design::by_content(&self.specs, self.reference).design,
        };
        // Beyond this many variants the family must be chosen: `pallium stats --family`.
        let pairs = table.names.len() <= MAX_PAIRED_VARIANTS;
        // The report has intervals of its own, of the kind that the experiment sets.
        let options = Options { seed: self.run.manifest.seed, pairs, intervals: false, ..Options::default() };
        stats::analyse(table, &design, &options)
    }

    fn equivalences(&self, effects: &[Effect], table: &WideTable) -> Vec<Equivalent> {
        let paired = self.run.example().is_some_and(|about| about.spec.data_seed == DataSeed::PerRun);
        let Some(margin) = self.run.manifest.analysis.equivalence.filter(|_| paired) else {
            return Vec::new();
        };
        let place = |name: &String| self.names.iter().position(|n| n == name);
        let pairs = effects.iter().flat_map(|effect| &effect.pairs).unique();
        let of = |pair: &(String, String)| {
            let (left, right) = table.paired(place(&pair.0)?, place(&pair.1)?);
            Some(Equivalent {
                pair: pair.clone(),
                test: stats::equivalence(&left, &right, margin, ALPHA),
                effect: stats::paired_effect(&left, &right, 1.0 - ALPHA),
            })
        };
        pairs.filter_map(of).collect()
    }

    fn effects(&self) -> (Vec<Effect>, Comparisons) {
        let stated = &self.run.manifest.analysis;
        if !stated.contrasts.is_empty() {
            let pairs = stated.contrasts.iter().flat_map(|(upper, lower)| self.pairs_of(upper, lower));
            return (self.pairwise(pairs.unique(), true), Comparisons::Stated);
        }
        if stated.factors.is_empty() && stated.reference.is_some() {
            return (self.against_reference(), Comparisons::Reference);
        }
        let mut found = Vec::new();
        for point in self.run.points.iter().unique() {
            let own: Vec<usize> = (0..self.names.len()).filter(|&v| self.run.points[v] == *point).collect();
            let reference = own.iter().position(|&v| self.run.bases[v] == self.run.bases[self.reference]);
            let design = match stated.factors.is_empty() {
                true => {
                    let specs: Vec<Option<&CellSpec>> = own.iter().map(|&v| self.specs[v]).collect();
                    design::by_content(&specs, reference.unwrap_or(0))
                }
                false => {
                    let of = |all: &[String]| own.iter().map(|&v| all[v].clone()).collect::<Vec<_>>();
                    let (names, bases) = (of(self.names), of(&self.run.bases));
                    let design = design::stated(&stated.factors, &names, &bases, reference.unwrap_or(0));
                    ContentDesign { design, is_study: false }
                }
            };
            found.push((point.as_str(), own, design));
        }
        let mut effects: Vec<Effect> =
            found.iter().flat_map(|(point, own, design)| self.contrasts(point, own, design)).collect();
        let planned = !stated.factors.is_empty() || found.iter().all(|(.., design)| design.is_study);
        match (effects.iter().map(|e| e.pairs.len()).max(), planned) {
            (None, _) => (self.against_reference(), Comparisons::Reference),
            (Some(1), false) => (self.alone(&effects), Comparisons::Alone),
            _ => {
                adjust(&mut effects);
                (effects, Comparisons::Factors)
            }
        }
    }

    /// Pairs of variants by their names, or at each point of a sweep by the names
    /// of variants without their points.
    fn pairs_of(&self, upper: &str, lower: &str) -> Vec<(usize, usize)> {
        let of = |name: &str| -> Vec<usize> {
            match self.names.iter().position(|n| n == name) {
                Some(variant) => vec![variant],
                None => self.run.bases.iter().positions(|b| b == name).collect(),
            }
        };
        let (upper, lower) = (of(upper), of(lower));
        let single = |all: &[usize]| all.len() == 1;
        let at_one_point = |&(a, b): &(usize, usize)| {
            single(&upper) || single(&lower) || self.run.points[a] == self.run.points[b]
        };
        upper.iter().copied().cartesian_product(lower.iter().copied()).filter(at_one_point).collect()
    }

    /// The contrasts of a design over the variants `own`, which are at one point.
    fn contrasts(&self, point: &str, own: &[usize], content: &ContentDesign) -> Vec<Effect> {
        let samples: Vec<&[f64]> = own.iter().map(|&v| self.values[v].as_slice()).collect();
        // One run has no spread, and no p; its differences are still shown.
        let Ok(found) = stats::contrasts(&content.design, &samples) else {
            return self.unspread(point, own, content);
        };
        let levels =
            |factor: &str| content.design.factors.iter().find(|f| f.name == factor).map(|f| &f.levels);
        let shown = found.into_iter().filter(|c| {
            levels(&c.factor).is_none_or(|all| all.len() <= MAX_LEVELS || all.first() == Some(&c.lower))
        });
        shown
            .map(|c| {
                let pairs: Vec<(usize, usize)> = c.pairs.iter().map(|&(a, b)| (own[a], own[b])).collect();
                Effect { p: c.p, ..self.effect(point, content, (&c.factor, &c.upper, &c.lower), &pairs) }
            })
            .collect()
    }

    fn unspread(&self, point: &str, own: &[usize], content: &ContentDesign) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (place, factor) in content.design.factors.iter().enumerate() {
            let count = factor.levels.len();
            for (lower, upper) in
                (0..count).tuple_combinations().filter(|l: &(usize, usize)| count <= MAX_LEVELS || l.0 == 0)
            {
                let pairs = content.design.matched(place, lower, upper).into_iter();
                let pairs: Vec<(usize, usize)> = pairs
                    .map(|(low, high)| (own[high], own[low]))
                    .filter(|&(a, b)| !self.values[a].is_empty() && !self.values[b].is_empty())
                    .collect();
                if !pairs.is_empty() {
                    let levels =
                        (factor.name.as_str(), factor.levels[upper].as_str(), factor.levels[lower].as_str());
                    effects.push(self.effect(point, content, levels, &pairs));
                }
            }
        }
        effects
    }

    /// An effect without its p.
    fn effect(
        &self,
        point: &str,
        content: &ContentDesign,
        (factor, upper, lower): (&str, &str, &str),
        pairs: &[(usize, usize)],
    ) -> Effect {
        let mean = |v: usize| stats::mean(&self.values[v]);
        let over_pairs = |of: &dyn Fn(usize, usize) -> f64| {
            stats::mean(&pairs.iter().map(|&(a, b)| of(a, b)).collect::<Vec<_>>())
        };
        let name = match content.is_study {
            true => format!("{upper} - {lower}"),
            // Levels of two factors may have one name.
            false => format!("{factor}: {upper} - {lower}"),
        };
        let meaning = match content.is_study {
            true => self.meaning(factor, (upper, lower), pairs.first().map(|p| p.0)),
            false => format!("{factor}: {upper} instead of {lower}"),
        };
        Effect {
            name: if point.is_empty() { name } else { format!("{name} [{point}]") },
            meaning,
            factor: Some(factor.into()),
            pairs: pairs.iter().map(|&(a, b)| (self.names[a].clone(), self.names[b].clone())).collect(),
            difference: over_pairs(&|a, b| mean(a) - mean(b)),
            delta: over_pairs(&|a, b| delta(&self.values[a], &self.values[b])),
            p: f64::NAN,
            holm: f64::NAN,
        }
    }

    /// Effects of single pairs of variants, by the Mann–Whitney test instead of
    /// contrasts, whose ranks depend on all variants.
    fn alone(&self, effects: &[Effect]) -> Vec<Effect> {
        let place = |name: &String| self.names.iter().position(|n| n == name);
        let mut found: Vec<Effect> = effects
            .iter()
            .filter_map(|effect| {
                let (upper, lower) = effect.pairs.first()?;
                let mut own = self.pairwise(std::iter::once((place(upper)?, place(lower)?)), true).pop()?;
                own.meaning = effect.meaning.clone();
                Some(own)
            })
            .collect();
        adjust(&mut found);
        found
    }

    /// Every variant against the reference; every point of a sweep against the
    /// reference at that point, or against the first of its own variant.
    fn against_reference(&self) -> Vec<Effect> {
        let (bases, points) = (&self.run.bases, &self.run.points);
        let all = 0..self.names.len();
        let stated = self.run.manifest.analysis.reference.is_some();
        let other = |v: usize| match (self.run.swept(), stated) {
            (false, _) => Some(self.reference),
            (true, true) => {
                all.clone().find(|&o| bases[o] == bases[self.reference] && points[o] == points[v])
            }
            (true, false) => all.clone().find(|&o| bases[o] == bases[v]),
        };
        let pairs = all.clone().filter_map(|v| Some((v, other(v).filter(|o| *o != v)?)));
        self.pairwise(pairs, false)
    }

    /// Every point of a sweep against the one before of the same variant, and
    /// against the first, where that is another.
    fn between_points(&self) -> Vec<Effect> {
        let alike = |a: usize, b: usize| self.run.bases[a] == self.run.bases[b];
        let all = 0..self.names.len();
        let before: Vec<(usize, usize)> =
            all.clone().filter_map(|v| Some((v, (0..v).rev().find(|&other| alike(other, v))?))).collect();
        let first = all.filter_map(|v| Some((v, (0..v).find(|&other| alike(other, v))?)));
        let beyond: Vec<(usize, usize)> = first.filter(|pair| !before.contains(pair)).collect();
        self.pairwise(before.into_iter().chain(beyond), false)
    }

    /// Mann–Whitney tests of the pairs that have values. Their names are those of
    /// the first variant, or `both`.
    fn pairwise(&self, pairs: impl Iterator<Item = (usize, usize)>, both: bool) -> Vec<Effect> {
        let name = |v: usize| self.names[v].clone();
        let mut effects: Vec<Effect> = pairs
            .filter(|&(v, other)| !self.values[v].is_empty() && !self.values[other].is_empty())
            .map(|(v, other)| Effect {
                name: if both { format!("{} vs {}", name(v), name(other)) } else { name(v) },
                meaning: format!("instead of {}{}", name(other), self.what_differs(v, other)),
                factor: None,
                pairs: vec![(name(v), name(other))],
                difference: stats::mean(&self.values[v]) - stats::mean(&self.values[other]),
                delta: delta(&self.values[v], &self.values[other]),
                p: stats::mann_whitney(&self.values[v], &self.values[other]).p,
                holm: f64::NAN,
            })
            .collect();
        adjust(&mut effects);
        effects
    }

    /// ` (weights, geometry differ)`.
    fn what_differs(&self, a: usize, b: usize) -> String {
        let (Some(a), Some(b)) = (self.specs[a], self.specs[b]) else { return String::new() };
        match design::differences(a, b).as_slice() {
            [] => String::new(),
            [one] => format!(" ({one} differ{})", if one.ends_with('s') { "" } else { "s" }),
            several => format!(" ({} differ)", several.join(", ")),
        }
    }

    /// A contrast of the study's factors in words.
    fn meaning(&self, factor: &str, (upper, lower): (&str, &str), variant: Option<usize>) -> String {
        // Interleaved axes mix the coordinates of different neurons.
        let interleaved = variant
            .and_then(|v| self.specs[v])
            .is_some_and(|spec| spec.geometry.coordinate_layout == CoordinateLayout::Interleaved);
        match (factor, upper, lower) {
            ("W", "W*", "W") => "weights from activity instead of orthogonal ones",
            ("W", "W!", "W") => "weights from activity, neurons relabelled, instead of orthogonal ones",
            ("W", "W!", "W*") => "neurons relabelled instead of each weight at its own neurons",
            ("D", "D*", "D") if interleaved => {
                "positions as published (axes interleaved, so not those of the neurons) instead of a grid"
            }
            ("D", "D*", "D") => "positions of the neurons instead of a grid",
            ("C", "C", "none") => "communicability on top of distance",
            ("C", "C*", "none") => "communicability like the connectome's on top of distance",
            ("C", "C*", "C") => "communicability like the connectome's instead of communicability alone",
            _ => return format!("{upper} instead of {lower}"),
        }
        .into()
    }
}

/// Adjusts p by Holm over all of them.
fn adjust(effects: &mut [Effect]) {
    let p: Vec<f64> = effects.iter().map(|e| e.p).collect();
    for (effect, holm) in effects.iter_mut().zip(stats::holm(&p)) {
        effect.holm = holm;
    }
}

/// Cliff's δ; NaN of one run against one, of which it is 1 or −1, whatever they
/// are.
pub fn delta(a: &[f64], b: &[f64]) -> f64 {
    if a.len() + b.len() == 2 { f64::NAN } else { stats::cliffs_delta(a, b) }
}
