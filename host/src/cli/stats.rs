//! `pallium stats`: the statistics of any wide table.

use std::path::PathBuf;

use clap::Args;
use pallium_core::{Error, Result};
use pallium_report::table::TextTable;
use pallium_stats::{
    self as stats, Analysis, Anova, Contrast, Design, Options, Test, WideTable,
    analysis::{Factors, resamples_of},
};
use serde_json::{Map, Value, json};

use super::support::{self, human, number};

mod levels;
mod paired;

use paired::{PairedPair, paired_document, paired_text};

/// Compares the columns of a table with one column per variant and one row per
/// run.
#[derive(Args, Debug)]
#[command(after_help = "Example:
  pallium stats accuracy.csv --json

An empty entry is a run without a value: it is counted, listed and left out. \
The first column may name the runs (titled `simulation`, `run` or `index`, or without a title). \
Columns named as in the paper, such as W*D*C, are also compared by factor.")]
pub struct Stats {
    /// The table, in CSV.
    #[arg(value_name = "TABLE.csv")]
    file: PathBuf,
    /// The family of tests whose p-values are adjusted together: pairs of columns
    /// as `A vs B`, or a column for all of its pairs; may be repeated or contain
    /// several, separated by commas [default: all pairs].
    #[arg(long, value_name = "PAIR", allow_hyphen_values = true)]
    family: Vec<String>,
    /// A CSV file with the factors: the first column names variants, every
    /// other column is a factor [default: read from names such as W*D*C].
    #[arg(long, value_name = "FILE.csv")]
    factors: Option<PathBuf>,
    /// Coverage of the intervals.
    #[arg(long, default_value_t = 0.95, allow_negative_numbers = true)]
    confidence: f64,
    /// Number of resamples of bootstrap intervals and large permutation tests
    /// [default: 99999 up to 200 rows, 9999 beyond and for groups].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(99..), allow_negative_numbers = true)]
    resamples: Option<u32>,
    /// Seed of the resamples.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Also print paired tests, for tables in which variants share the data of a run.
    /// (JSON always contains them.)
    #[arg(long)]
    paired: bool,
    /// Test whether paired runs differ by less than this, in the table's unit; with --levels,
    /// over the means of the outermost groups.
    #[arg(long, value_name = "MARGIN", allow_negative_numbers = true)]
    equivalence: Option<f64>,
    /// Columns that name groups of runs, the outermost first, such as scan,field:
    /// differences of paired runs are averaged and resampled at each of these levels, and
    /// tested over the means of the outermost groups.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    levels: Vec<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// If a file cannot be read or an option does not fit the table.
pub fn stats(args: &Stats) -> Result<()> {
    if !(args.confidence > 0.0 && args.confidence < 1.0) {
        return Err(Error::input(format!("--confidence {} is not between 0 and 1", args.confidence))
            .help("a 95 % interval is --confidence 0.95"));
    }
    if let Some(margin) = args.equivalence.filter(|margin| !(1e-300..=1e300).contains(margin)) {
        return Err(Error::input(format!("--equivalence {margin} is not between 1e-300 and 1e300"))
            .help("it is the largest difference that does not matter, such as 0.02 for accuracies"));
    }
    let table = WideTable::read_grouped(&args.file, &args.levels)?;
    if table.runs.is_empty() {
        return Err(Error::input(format!("{} has a header and no runs", args.file.display()))
            .help("write one row per run below the header"));
    }
    levels::check(&args.levels, &table.groups)?;
    let design = match &args.factors {
        Some(path) => Design::read(path, &table.names)?,
        None => Design::from_names(&table.names),
    };
    let family = Family::read(&args.family, &table.names)?;
    let options = Options {
        family: family.as_ref().map(|f| f.pairs.clone()),
        confidence: args.confidence,
        pairs: true,
        intervals: true,
        // One number for all columns, also if some have missing runs.
        resamples: Some(args.resamples.map_or_else(|| resamples_of(table.runs.len()), |n| n as usize)),
        seed: args.seed,
    };
    let analysis = stats::analyse(&table, &design, &options);
    let paired = PairedPair::all(&analysis, &table, args, &options);
    if args.json {
        let mut document = document(&analysis, family.as_ref(), &options);
        document.extend(paired_document(&paired, args));
        support::print_json(&Value::Object(document))
    } else {
        let mut parts = text(&analysis, &options, args.paired);
        parts.extend(paired_text(&paired, args, &options));
        support::print(&format!("{}\n", parts.join("\n\n")))
    }
}

/// The pairs of the family, in the order and direction of the user.
struct Family {
    pairs: Vec<(usize, usize)>,
}

impl Family {
    fn read(given: &[String], names: &[String]) -> Result<Option<Self>> {
        if given.is_empty() {
            return Ok(None);
        }
        let mut family = Family { pairs: Vec::new() };
        for text in given {
            // A name may contain a comma.
            match family.add(text.trim(), names) {
                Err(_) if text.contains([',', ';']) => {
                    for part in parts(text).filter(|part| !part.is_empty()) {
                        family.add(part, names)?;
                    }
                }
                added => added?,
            }
        }
        Ok(Some(family))
    }

    fn add(&mut self, text: &str, names: &[String]) -> Result<()> {
        let find = |spelt: fn(&str) -> String, name: &str| names.iter().position(|n| spelt(n) == name);
        let place = |name: &str| {
            find(in_key, name).or_else(|| find(str::to_owned, name)).or_else(|| find(quoted, name))
        };
        let splits = text.match_indices(BETWEEN).map(|(at, _)| (&text[..at], &text[at + BETWEEN.len()..]));
        let pairs: Vec<(usize, usize)> =
            splits.filter_map(|(a, b)| Some((place(a.trim())?, place(b.trim())?))).collect();
        let added: Vec<(usize, usize)> = match (pairs.as_slice(), place(text)) {
            ([(a, b)], None) if a == b => {
                return Err(Error::input(format!("--family `{text}` compares a column with itself"))
                    .help("name two different columns"));
            }
            ([pair], None) => vec![*pair],
            ([], Some(column)) => (0..names.len())
                .filter(|&other| other != column)
                .map(|other| (column.min(other), column.max(other)))
                .collect(),
            ([], None) => {
                return Err(Error::input(format!("--family `{text}` is not a pair of columns")).help(
                    format!(
                        "write `A vs B`, or a column's name for all of its pairs; the columns are {}",
                        names.join(", ")
                    ),
                ));
            }
            (pairs, column) => {
                let column = column.map(|column| quoted(&names[column]));
                let meanings: Vec<String> =
                    pairs.iter().map(|&(a, b)| key(&names[a], &names[b])).chain(column).collect();
                return Err(Error::input(format!("--family `{text}` has several meanings"))
                    .help(format!("write one of them: {}", meanings.join(" or "))));
            }
        };
        for (a, b) in added {
            // A repeated pair would count as two tests.
            if !self.pairs.contains(&(a, b)) && !self.pairs.contains(&(b, a)) {
                self.pairs.push((a, b));
            }
        }
        Ok(())
    }
}

/// The parts of a list that is separated by commas or semicolons; those between
/// quotation marks do not separate.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    list.split(move |c| {
        within ^= c == '"';
        !within && matches!(c, ',' | ';')
    })
    .map(str::trim)
}

/// The word between the columns of a pair.
const BETWEEN: &str = " vs ";

/// The key of a pair of columns. Different pairs have different keys, since names
/// that contain the word between them are quoted.
fn key(a: &str, b: &str) -> String {
    format!("{}{BETWEEN}{}", in_key(a), in_key(b))
}

fn in_key(name: &str) -> String {
    // With the spaces around it: a name may begin or end with the word.
    match format!(" {name} ").contains(BETWEEN) || name.contains('"') {
        true => quoted(name),
        false => name.to_owned(),
    }
}

fn quoted(name: &str) -> String {
    Value::from(name).to_string()
}

fn test(test: Test) -> Value {
    json!([number(test.statistic), number(test.p)])
}

fn ends((low, high): (f64, f64)) -> Value {
    json!([number(low), number(high)])
}

fn document(analysis: &Analysis, family: Option<&Family>, options: &Options) -> Map<String, Value> {
    let name = |place: usize| analysis.variants[place].name.as_str();
    let pairs = |of: &dyn Fn(&stats::analysis::Pair) -> Value| -> Map<String, Value> {
        analysis.pairs.iter().map(|p| (key(name(p.a), name(p.b)), of(p))).collect()
    };
    let adjusted = |of: &dyn Fn(&stats::analysis::Adjusted) -> f64| -> Map<String, Value> {
        analysis.family.iter().map(|x| (key(name(x.a), name(x.b)), number(of(x)))).collect()
    };
    let intervals: Map<String, Value> = analysis
        .variants
        .iter()
        .map(|v| {
            let about = json!({
                "mean": number(v.mean),
                "t": ends(v.t),
                "bootstrap": ends(v.bootstrap),
                "n": v.n,
            });
            (v.name.clone(), about)
        })
        .collect();
    let missing: Map<String, Value> = analysis
        .variants
        .iter()
        .filter(|v| !v.missing.is_empty())
        .map(|v| {
            let (runs, cells): (Vec<&String>, Vec<&String>) =
                v.missing.iter().map(|(run, text)| (run, text)).unzip();
            (v.name.clone(), json!({ "count": v.missing.len(), "runs": runs, "cells": cells }))
        })
        .collect();
    let mut document = support::parameters([
        ("kruskal", test(analysis.kruskal)),
        ("mannwhitney", pairs(&|p| json!([number(p.mann_whitney.u), number(p.mann_whitney.p)])).into()),
        ("holm", adjusted(&|x| x.holm).into()),
        ("bh", adjusted(&|x| x.benjamini_hochberg).into()),
        ("intervals", intervals.into()),
        ("cliffs_delta", pairs(&|p| number(p.cliffs_delta)).into()),
        ("wilcoxon", pairs(&|p| json!([number(p.wilcoxon.w), number(p.wilcoxon.p)])).into()),
        (
            "permutation",
            pairs(&|p| json!([number(p.permutation.difference), number(p.permutation.p)])).into(),
        ),
        ("spearman", pairs(&|p| test(p.spearman)).into()),
        ("missing", missing.into()),
    ]);
    document.extend(match &analysis.factors {
        Ok(factors) => factors_document(factors, &name),
        Err(why) => {
            let refused = || json!({ "refused": why });
            let all: Vec<&String> = analysis.variants.iter().map(|v| &v.name).collect();
            support::parameters([
                ("kruskal_factors", refused()),
                ("anova", refused()),
                ("anova_interactions", refused()),
                ("contrasts", refused()),
                ("without_factors", json!(all)),
            ])
        }
    });
    let methods = pairs(&|p| {
        json!({
            "mannwhitney": p.mann_whitney.method.name(),
            "wilcoxon": p.wilcoxon.method.name(),
            "permutation": p.permutation.method.name(),
            "paired_runs": p.paired,
        })
    });
    document.insert("methods".into(), methods.into());
    document.insert(
        "settings".into(),
        json!({
            "confidence": options.confidence,
            "resamples": options.resamples,
            "seed": options.seed,
            "family": family.map_or_else(|| json!("all pairs"), |family| {
                family.pairs.iter().map(|&(a, b)| json!([name(a), name(b)])).collect()
            }),
        }),
    );
    document
}

fn factors_document<'a>(factors: &Factors, name: &dyn Fn(usize) -> &'a str) -> Map<String, Value> {
    let anova = |anova: &Result<Anova>| match anova {
        Ok(anova) => {
            let left_out: Vec<&str> = anova.left_out.iter().map(|&v| name(v)).collect();
            let terms: Vec<Value> = anova
                .terms
                .iter()
                .map(|t| {
                    json!({
                        "factors": t.factors,
                        "sum_of_squares": number(t.sum_of_squares),
                        "df": t.df,
                        "f": number(t.f),
                        "p": number(t.p),
                    })
                })
                .collect();
            json!({
                "terms": terms,
                "residual": { "sum_of_squares": number(anova.residual), "df": anova.residual_df },
                "left_out": left_out,
                "constant": anova.constant,
            })
        }
        Err(why) => json!({ "refused": why.to_string() }),
    };
    let contrast = |c: &Contrast| {
        json!({
            "factor": c.factor,
            "upper": c.upper,
            "lower": c.lower,
            "difference": number(c.difference),
            "rank_difference": number(c.rank_difference),
            "t": number(c.t),
            "df": c.df,
            "p": number(c.p),
            "holm": number(c.holm),
            "pairs": c.pairs.iter().map(|&(a, b)| [name(a), name(b)]).collect::<Vec<_>>(),
        })
    };
    let contrasts = match &factors.contrasts {
        Ok(all) => all.iter().map(contrast).collect(),
        Err(why) => json!({ "refused": why.to_string() }),
    };
    let kruskal: Map<String, Value> =
        factors.kruskal.iter().map(|(name, t)| (name.clone(), test(*t))).collect();
    support::parameters([
        ("kruskal_factors", kruskal.into()),
        ("anova", anova(&factors.additive)),
        ("anova_interactions", anova(&factors.interactions)),
        ("contrasts", contrasts),
        ("without_factors", json!(factors.unknown)),
    ])
}

fn text(analysis: &Analysis, options: &Options, paired: bool) -> Vec<String> {
    let name = |place: usize| analysis.variants[place].name.as_str();
    let percent = human(100.0 * options.confidence);
    let range = |(low, high): (f64, f64)| {
        if low.is_nan() { "not defined".into() } else { format!("{} … {}", human(low), human(high)) }
    };
    let mut parts = Vec::new();
    let mut add = |title: String, table: TextTable| parts.push(format!("{title}\n{}", table));

    let (t, bootstrap) = (format!("t, {percent} %"), format!("bootstrap, {percent} %"));
    let mut table = support::table(["variant", "runs", "missing", "mean", &t, &bootstrap]);
    for v in &analysis.variants {
        let cells = [v.name.clone(), v.n.to_string(), v.missing.len().to_string(), human(v.mean), range(v.t)];
        table.add_row(cells.into_iter().chain([range(v.bootstrap)]));
    }
    add("Variants".into(), table);

    let mut table = support::table(["pair", "U", "p", "Holm", "BH", "Cliff's δ"]);
    for x in &analysis.family {
        let found = analysis.pairs.iter().find(|p| (p.a, p.b) == (x.a.min(x.b), x.a.max(x.b)));
        let (mut u, mut delta) = found.map_or((f64::NAN, f64::NAN), |p| (p.mann_whitney.u, p.cliffs_delta));
        if x.a > x.b {
            u = (analysis.variants[x.a].n * analysis.variants[x.b].n) as f64 - u;
            delta = -delta;
        }
        let numbers = [u, x.p, x.holm, x.benjamini_hochberg, delta].map(human);
        table.add_row(std::iter::once(key(name(x.a), name(x.b))).chain(numbers));
    }
    let size = analysis.family.iter().filter(|x| !x.p.is_nan()).count();
    add(format!("Mann–Whitney, two-sided; Holm and Benjamini–Hochberg over {size} pairs"), table);

    if paired {
        let mut table =
            support::table(["pair", "runs", "W", "p", "difference", "permutation p", "Spearman ρ", "ρ's p"]);
        for p in &analysis.pairs {
            let numbers = [p.wilcoxon.w, p.wilcoxon.p, p.permutation.difference, p.permutation.p];
            let row = numbers.into_iter().chain([p.spearman.statistic, p.spearman.p]).map(human);
            table.add_row([key(name(p.a), name(p.b)), p.paired.to_string()].into_iter().chain(row));
        }
        add("Wilcoxon, permutation and Spearman, over runs with a value in both".into(), table);
    }

    let Test { statistic, p } = analysis.kruskal;
    parts.push(format!("Kruskal–Wallis over all variants: H = {}, p = {}", human(statistic), human(p)));
    match &analysis.factors {
        Ok(factors) => parts.extend(factors_text(factors, &name)),
        Err(why) => parts.push(format!("Factors: skipped, since {why}")),
    }
    let missing: Vec<String> = analysis
        .variants
        .iter()
        .filter(|v| !v.missing.is_empty())
        .map(|v| {
            let runs: Vec<&str> = v.missing.iter().map(|(run, _)| run.as_str()).collect();
            format!("  {}: {} without a value (run {})", v.name, runs.len(), runs.join(", "))
        })
        .collect();
    if !missing.is_empty() {
        parts.push(format!("Missing values (left out)\n{}", missing.join("\n")));
    }
    parts
}

fn factors_text<'a>(factors: &Factors, name: &dyn Fn(usize) -> &'a str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut table = support::table(["factor", "H", "p"]);
    for (factor, test) in &factors.kruskal {
        table.add_row([factor.clone(), human(test.statistic), human(test.p)]);
    }
    parts.push(format!("Kruskal–Wallis by factor\n{}", table));
    let titles = [("additive", &factors.additive), ("with interactions", &factors.interactions)];
    for (title, anova) in titles {
        let title = format!("Analysis of variance of ranks, type II, {title}");
        match anova {
            Ok(anova) => {
                let mut table = support::table(["term", "sum of squares", "df", "F", "p"]);
                for t in &anova.terms {
                    let row = [t.name(), human(t.sum_of_squares), t.df.to_string(), human(t.f), human(t.p)];
                    table.add_row(row);
                }
                table.add_row(["residual".to_string(), human(anova.residual), anova.residual_df.to_string()]);
                let out: Vec<&str> = anova.left_out.iter().map(|&v| name(v)).collect();
                let out =
                    if out.is_empty() { String::new() } else { format!(" (without {})", out.join(", ")) };
                parts.push(format!("{title}{out}\n{}", table));
            }
            Err(why) => parts.push(format!("{title}: not computed, {why}")),
        }
    }
    match &factors.contrasts {
        Ok(all) => {
            let mut table =
                support::table(["factor", "contrast", "difference", "t", "df", "p", "Holm", "pairs"]);
            for c in all {
                let pairs: Vec<String> = c.pairs.iter().map(|&(a, b)| key(name(a), name(b))).collect();
                let numbers = [human(c.difference), human(c.t), c.df.to_string(), human(c.p), human(c.holm)];
                let names = [c.factor.clone(), c.name()];
                table.add_row(names.into_iter().chain(numbers).chain([pairs.join(", ")]));
            }
            parts.push(format!("Planned contrasts, on ranks\n{}", table));
        }
        Err(why) => parts.push(format!("Planned contrasts: not computed, {why}")),
    }
    if !factors.unknown.is_empty() {
        parts.push(format!("Without factors: {}", factors.unknown.join(", ")));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["W*D*C", "WD", "W", "a, b", "x vs y", "x", "y vs W"].map(String::from).to_vec()
    }

    fn read(given: &[&str]) -> Result<Vec<(usize, usize)>> {
        let given: Vec<String> = given.iter().map(|g| (*g).into()).collect();
        Ok(Family::read(&given, &names())?.map(|family| family.pairs).unwrap_or_default())
    }

    #[test]
    fn families_are_pairs_lists_and_columns() {
        assert_eq!(read(&["W*D*C vs WD"]).unwrap(), [(0, 1)]);
        assert_eq!(read(&["WD vs W*D*C, WD vs W"]).unwrap(), [(1, 0), (1, 2)]);
        assert_eq!(read(&["W vs WD", "WD vs W"]).unwrap(), [(2, 1)]);
        assert_eq!(read(&["a, b vs x vs y"]).unwrap(), [(3, 4)]);
        assert_eq!(read(&["\"a, b\" vs WD; WD vs W"]).unwrap(), [(3, 1), (1, 2)]);
        assert_eq!(read(&["WD"]).unwrap(), [(0, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]);
        assert!(Family::read(&[], &names()).unwrap().is_none());
    }

    #[test]
    fn a_family_without_valid_pairs_is_refused() {
        assert!(read(&["W vs Q"]).unwrap_err().help.unwrap().contains("W*D*C, WD, W"));
        assert!(read(&["W vs W"]).unwrap_err().message.contains("with itself"));
        assert!(read(&["W vs WD, W vs Q"]).unwrap_err().message.contains("`W vs Q`"));
    }

    #[test]
    fn a_pair_with_two_meanings_is_refused_and_its_keys_have_one() {
        let error = read(&["x vs y vs W"]).unwrap_err();
        assert!(error.message.contains("several meanings"), "{error}");
        let help = error.help.unwrap();
        for meaning in ["\"x vs y\" vs W", "x vs \"y vs W\"", " or "] {
            assert!(help.contains(meaning), "{help}");
        }
        assert_eq!(read(&["\"x vs y\" vs W"]).unwrap(), [(4, 2)]);
        assert_eq!(read(&["x vs \"y vs W\""]).unwrap(), [(5, 6)]);
        let names = names();
        let pairs =
            (0..names.len()).flat_map(|a| (0..names.len()).filter(move |b| *b != a).map(move |b| (a, b)));
        for (a, b) in pairs {
            assert_eq!(read(&[&key(&names[a], &names[b])]).unwrap(), [(a, b)]);
        }
    }
}
