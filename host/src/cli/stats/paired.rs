//! What `pallium stats` says of paired runs beyond tests of a difference: the size of the
//! effect, equivalence, and the difference over groups of runs.

use pallium_core::random;
use pallium_stats::analysis::resamples_of;
use pallium_stats::{
    Analysis, Equivalence, Hierarchical, Options, PairedEffect, Test, WideTable, equivalence,
    hierarchical_bootstrap, paired_effect,
};
use serde_json::{Map, Value, json};

use super::{Stats, ends, key, test};
use crate::cli::support::{self, human, number};

/// A pair of columns.
pub(super) struct PairedPair {
    key: String,
    runs: usize,
    effect: PairedEffect,
    equivalence: Option<Equivalence>,
    grouped: Option<Hierarchical>,
}

impl PairedPair {
    /// All pairs that an analysis compares.
    pub(super) fn all(analysis: &Analysis, table: &WideTable, args: &Stats, options: &Options) -> Vec<Self> {
        let of = |a: usize, b: usize| {
            let (left, right) = table.paired(a, b);
            let key = key(&table.names[a], &table.names[b]);
            let seed = random::derive(options.seed, 0, &format!("groups {key}"));
            let resamples = options.resamples.unwrap_or_else(|| resamples_of(left.len()).min(9_999));
            let grouped =
                || hierarchical_bootstrap(&table.differences(a, b), options.confidence, resamples, seed);
            PairedPair {
                runs: left.len(),
                effect: paired_effect(&left, &right, options.confidence),
                equivalence: args
                    .equivalence
                    .map(|margin| equivalence(&left, &right, margin, 1.0 - options.confidence)),
                grouped: (!args.levels.is_empty()).then(grouped),
                key,
            }
        };
        analysis.pairs.iter().map(|pair| of(pair.a, pair.b)).collect()
    }
}

pub(super) fn paired_document(pairs: &[PairedPair], args: &Stats) -> Map<String, Value> {
    let all = |of: &dyn Fn(&PairedPair) -> Value| -> Value {
        pairs.iter().map(|pair| (pair.key.clone(), of(pair))).collect::<Map<_, _>>().into()
    };
    let effect = |pair: &PairedPair| {
        let PairedEffect { d_z, interval, g_z, rank_biserial } = pair.effect;
        json!({
            "d_z": number(d_z),
            "interval": ends(interval),
            "g_z": number(g_z),
            "rank_biserial": number(rank_biserial),
        })
    };
    let mut document = support::parameters([("paired_effects", all(&effect))]);
    if let Some(margin) = args.equivalence {
        let equivalent = |pair: &PairedPair| {
            pair.equivalence.map_or(Value::Null, |found| {
                json!({
                    "margin": margin,
                    "difference": number(found.difference),
                    "lower": test(found.lower),
                    "upper": test(found.upper),
                    "p": number(found.p),
                    "interval": ends(found.interval),
                })
            })
        };
        document.insert("equivalence".into(), all(&equivalent));
    }
    if !args.levels.is_empty() {
        let grouped = |pair: &PairedPair| {
            pair.grouped.map_or(Value::Null, |found| {
                json!({
                    "levels": args.levels,
                    "difference": number(found.mean),
                    "interval": ends(found.interval),
                    "p": number(found.p),
                })
            })
        };
        document.insert("hierarchical".into(), all(&grouped));
    }
    document
}

pub(super) fn paired_text(pairs: &[PairedPair], args: &Stats, options: &Options) -> Vec<String> {
    let range = |(low, high): (f64, f64)| match low.is_nan() {
        true => "not defined".into(),
        false => format!("{} … {}", human(low), human(high)),
    };
    let mut parts = Vec::new();
    let percent = |confidence: f64| human(100.0 * confidence);
    if args.paired {
        let interval = format!("{} %", percent(options.confidence));
        let mut table = support::table(["pair", "runs", "d_z", &interval, "g_z", "rank-biserial"]);
        for pair in pairs {
            let PairedEffect { d_z, interval, g_z, rank_biserial } = pair.effect;
            let row = [pair.key.clone(), pair.runs.to_string(), human(d_z), range(interval), human(g_z)];
            table.add_row(row.into_iter().chain([human(rank_biserial)]));
        }
        parts.push(format!("Size of the effect in paired runs\n{table}"));
    }
    if let Some(margin) = args.equivalence {
        let interval = format!("{} %", percent(2.0 * options.confidence - 1.0));
        let mut table =
            support::table(["pair", "runs", "difference", &interval, "t, lower", "t, upper", "p"]);
        for pair in pairs {
            let Some(Equivalence { n, difference, lower, upper, p, interval }) = pair.equivalence else {
                continue;
            };
            let t = |test: Test| human(test.statistic);
            let row =
                [pair.key.clone(), n.to_string(), human(difference), range(interval), t(lower), t(upper)];
            table.add_row(row.into_iter().chain([human(p)]));
        }
        parts.push(format!(
            "Equivalence of paired runs: two one-sided t-tests of a difference within ±{margin}\n{table}"
        ));
    }
    if !args.levels.is_empty() {
        let interval = format!("{} %", percent(options.confidence));
        let mut table = support::table(["pair", "difference", &interval, "p"]);
        for pair in pairs {
            let Some(Hierarchical { mean, interval, p }) = pair.grouped else { continue };
            table.add_row([pair.key.clone(), human(mean), range(interval), human(p)]);
        }
        let levels = args.levels.join(", then ");
        parts.push(format!("Difference of paired runs, bootstrap of {levels}, then runs\n{table}"));
    }
    parts
}
