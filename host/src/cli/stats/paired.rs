//! What `pallium stats` says of paired runs beyond tests of a difference: the size of the
//! effect, equivalence, and the difference over groups of runs. With groups, equivalence is
//! judged from them, because runs of one group are not independent.

use pallium_core::random;
use pallium_stats::analysis::Pair;
use pallium_stats::hierarchical::RESAMPLES;
use pallium_stats::{
    Analysis, Equivalence, GroupT, Hierarchical, Options, PairedEffect, Test, WideTable, equivalence,
    grouped_equivalence, hierarchical_bootstrap, holm, paired_effect,
};
use serde_json::{Map, Value, json};

use super::{Stats, ends, key, test};
use crate::cli::support::{self, human, number};

/// Outermost groups below which the bootstrap is clearly too certain.
const FEW: usize = 10;

/// A pair of columns.
pub(super) struct PairedPair {
    key: String,
    runs: usize,
    effect: PairedEffect,
    equivalence: Option<Equivalence>,
    grouped: Option<Hierarchical>,
    /// p of the groups' t-test after Holm's adjustment over the family, if the pair belongs to it.
    grouped_holm: Option<f64>,
}

impl PairedPair {
    /// All pairs that an analysis compares.
    pub(super) fn all(analysis: &Analysis, table: &WideTable, args: &Stats, options: &Options) -> Vec<Self> {
        let of = |a: usize, b: usize| {
            let (left, right) = table.paired(a, b);
            let key = key(&table.names[a], &table.names[b]);
            let seed = random::derive(options.seed, 0, &format!("groups {key}"));
            let groups = (!args.levels.is_empty()).then(|| table.differences(a, b));
            let alpha = 1.0 - options.confidence;
            PairedPair {
                runs: left.len(),
                effect: paired_effect(&left, &right, options.confidence),
                equivalence: args.equivalence.map(|margin| match &groups {
                    Some(groups) => grouped_equivalence(groups, margin, alpha),
                    None => equivalence(&left, &right, margin, alpha),
                }),
                grouped: groups
                    .map(|groups| hierarchical_bootstrap(&groups, options.confidence, resamples(args), seed)),
                grouped_holm: None,
                key,
            }
        };
        let mut pairs: Vec<_> = analysis.pairs.iter().map(|pair| of(pair.a, pair.b)).collect();
        let in_family = |pair: &Pair| {
            analysis
                .family
                .iter()
                .any(|member| [(pair.a, pair.b), (pair.b, pair.a)].contains(&(member.a, member.b)))
        };
        let members: Vec<usize> =
            (0..pairs.len()).filter(|&place| in_family(&analysis.pairs[place])).collect();
        let p: Vec<f64> = members.iter().filter_map(|&place| Some(pairs[place].grouped?.t.p)).collect();
        for (place, adjusted) in members.into_iter().zip(holm(&p)) {
            pairs[place].grouped_holm = Some(adjusted);
        }
        pairs
    }
}

/// Number of resamples of groups.
fn resamples(args: &Stats) -> usize {
    args.resamples.map_or(RESAMPLES, |n| n as usize)
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
                let mut document = json!({
                    "margin": margin,
                    "difference": number(found.difference),
                    "lower": test(found.lower),
                    "upper": test(found.upper),
                    "p": number(found.p),
                    "interval": ends(found.interval),
                });
                if !args.levels.is_empty() {
                    document["groups"] = found.n.into();
                }
                document
            })
        };
        document.insert("equivalence".into(), all(&equivalent));
    }
    if !args.levels.is_empty() {
        let grouped = |pair: &PairedPair| {
            pair.grouped.map_or(Value::Null, |found| {
                json!({
                    "levels": args.levels,
                    "groups": found.groups,
                    "difference": number(found.mean),
                    "t": {
                        "interval": ends(found.t.interval),
                        "p": number(found.t.p),
                        "holm": pair.grouped_holm.map_or(Value::Null, number),
                    },
                    "interval": ends(found.interval),
                    "p": number(found.p),
                    "resamples": resamples(args),
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
        let (counted, title) = match args.levels.first() {
            None => ("runs", "Equivalence of paired runs: two one-sided t-tests of a difference".to_owned()),
            Some(level) => {
                let tests = "two one-sided t-tests over the mean differences";
                ("groups", format!("Equivalence of groups by {level}: {tests}"))
            }
        };
        let mut table =
            support::table(["pair", counted, "difference", &interval, "t, lower", "t, upper", "p"]);
        for pair in pairs {
            let Some(Equivalence { n, difference, lower, upper, p, interval }) = pair.equivalence else {
                continue;
            };
            let t = |test: Test| human(test.statistic);
            let row =
                [pair.key.clone(), n.to_string(), human(difference), range(interval), t(lower), t(upper)];
            table.add_row(row.into_iter().chain([human(p)]));
        }
        parts.push(format!("{title} within ±{margin}\n{table}"));
    }
    if !args.levels.is_empty() {
        let percent = percent(options.confidence);
        let (by_t, bootstrap) = (format!("t, {percent} %"), format!("bootstrap, {percent} %"));
        let heads = ["pair", "groups", "difference", &by_t, "p of t", "Holm", &bootstrap, "p of bootstrap"];
        let mut table = support::table(heads);
        let mut fewest = usize::MAX;
        for pair in pairs {
            let Some(Hierarchical { groups, mean, interval, p, t }) = pair.grouped else { continue };
            let GroupT { interval: within, p: of_t } = t;
            fewest = fewest.min(groups);
            let row = [pair.key.clone(), groups.to_string(), human(mean), range(within), human(of_t)];
            let holm = pair.grouped_holm.map_or(String::new(), human);
            table.add_row(row.into_iter().chain([holm, range(interval), human(p)]));
        }
        let (levels, outermost) = (args.levels.join(", then "), &args.levels[0]);
        let mut part = format!(
            "Difference of paired runs: t over the means of groups by {outermost}; bootstrap of {levels}, then \
             runs\n{table}"
        );
        if fewest < FEW {
            part.push_str(&format!(
                "\nThere are fewer than {FEW} groups by {outermost}: the bootstrap interval is too narrow and its p \
                 too small, so use the t interval."
            ));
        }
        parts.push(part);
    }
    parts
}
