//! `pallium stats` on complete tables, compared with scipy and statsmodels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Scratch, execute, golden, pallium, read_json, results, root, skipped, text};

/// Six runs of three variants, and the results of scipy 1.17 and statsmodels 0.14.
const SMALL: &str = "simulation,W*D*C,WD*C,WD*
0,0.8152,0.5998,0.9393
1,0.6144,0.2726,0.672
2,0.7927,0.3572,0.6076
3,0.582,0.316,0.763
4,0.5459,0.3446,1.0249
5,0.4524,0.3281,
";

fn stats(file: &Path, more: &[&str]) -> Value {
    let mut arguments = vec!["stats", text(file), "--json"];
    arguments.extend(more);
    pallium(&arguments).ok().json()
}

fn written(folder: &Scratch, table: &str) -> PathBuf {
    let path = folder.path().join("table.csv");
    fs::write(&path, table).expect("the scratch folder can be written");
    path
}

#[track_caller]
fn near(found: &Value, expected: f64, relative: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number, expected {expected}"));
    assert!((found - expected).abs() <= relative * expected.abs(), "{found:e} against {expected:e}");
}

/// Statistic and p.
#[track_caller]
fn test(found: &Value, statistic: f64, p: f64) {
    near(&found[0], statistic, 1e-9);
    near(&found[1], p, 1e-6);
}

/// The term of one factor in the analysis of variance.
fn term<'a>(found: &'a Value, factor: &str) -> &'a Value {
    let terms = found["anova"]["terms"].as_array().expect("an analysis of variance");
    terms.iter().find(|t| t["factors"] == serde_json::json!([factor])).expect("the factor")
}

const KRUSKAL: (f64, f64) = (10.351633986928107, 0.005651597708890248);
const SPEARMAN: (f64, f64) = (0.48571428571428577, 0.3287230320699708);
/// Student's interval of `W*D*C`.
const T: (f64, f64) = (0.48398963760336233, 0.7835436957299708);
/// Its bootstrap interval: the mean of scipy's over eight seeds.
const BCA: (f64, f64) = (0.5374125, 0.74050833);
/// `anova_lm(ols("rank ~ C(w) + C(c)"), typ=2)`: factor, sum of squares, F, p.
const ANOVA: [(&str, f64, f64, f64); 2] = [
    ("W", 114.08333333333337, 11.088868317519095, 0.004957409382452),
    ("C", 251.34545454545463, 24.430708379794243, 0.00021635021194981523),
];

#[test]
fn a_small_table_gives_what_scipy_gives() {
    let folder = Scratch::new();
    let file = written(&folder, SMALL);
    let found = stats(&file, &[]);
    let pair = "W*D*C vs WD*C";
    test(&found["kruskal"], KRUSKAL.0, KRUSKAL.1);
    test(&found["mannwhitney"][pair], 33.0, 0.015151515151515152);
    test(&found["wilcoxon"][pair], 0.0, 0.03125);
    near(&found["permutation"][pair][1], 0.03125, 1e-12);
    test(&found["spearman"][pair], SPEARMAN.0, SPEARMAN.1);
    near(&found["cliffs_delta"][pair], 0.8333333333333334, 1e-12);
    near(&found["intervals"]["W*D*C"]["t"][0], T.0, 1e-9);
    near(&found["intervals"]["W*D*C"]["t"][1], T.1, 1e-9);
    // One standard deviation of scipy's bootstrap of 99,999 is 0.0005.
    for (end, expected) in [(0, BCA.0), (1, BCA.1)] {
        let found = found["intervals"]["W*D*C"]["bootstrap"][end].as_f64().unwrap();
        assert!((found - expected).abs() < 0.0025, "{found} {expected}");
    }
    assert_eq!(found["intervals"]["WD*"]["n"], 5);
    assert_eq!(found["missing"]["WD*"], serde_json::json!({ "count": 1, "runs": ["5"], "cells": [""] }));
    assert_eq!(found["methods"][pair]["mannwhitney"], "exact");
    for (factor, sum, f, p) in ANOVA {
        let term = term(&found, factor);
        near(&term["sum_of_squares"], sum, 1e-9);
        near(&term["f"], f, 1e-9);
        near(&term["p"], p, 1e-6);
    }
    let contrasts = found["contrasts"].as_array().unwrap();
    let of = |c: &&Value| c["factor"] == "C" && c["upper"] == "C" && c["lower"] == "none";
    assert_eq!(contrasts.iter().find(of).unwrap()["pairs"], serde_json::json!([["WD*C", "WD*"]]));
}

#[test]
fn the_family_decides_the_adjustment() {
    let folder = Scratch::new();
    let file = written(&folder, SMALL);
    let all = stats(&file, &[]);
    let p = |pair: &str| all["mannwhitney"][pair][1].as_f64().unwrap();
    assert_eq!(all["holm"].as_object().unwrap().len(), 3);
    let two = stats(&file, &["--family", "W*D*C vs WD*C", "--family", "WD* vs WD*C"]);
    let holm = two["holm"].as_object().unwrap();
    assert_eq!(holm.keys().collect::<Vec<_>>(), ["W*D*C vs WD*C", "WD* vs WD*C"]);
    let (first, second) = (p("W*D*C vs WD*C"), p("WD*C vs WD*"));
    assert!(second < first);
    assert_eq!(holm["WD* vs WD*C"].as_f64().unwrap(), 2.0 * second);
    assert_eq!(holm["W*D*C vs WD*C"].as_f64().unwrap(), first.max(2.0 * second));
    assert_eq!(stats(&file, &["--family", "WD*"])["holm"].as_object().unwrap().len(), 2);
    pallium(&["stats", text(&file), "--family", "W vs Q"]).refused(&["`W vs Q`", "W*D*C, WD*C, WD*"]);
}

/// The keys of the documentation's table.
#[test]
fn every_documented_key_is_there() {
    let documentation = fs::read_to_string(root().join("docs/statistics.md")).unwrap();
    let table = documentation.split("| JSON key |").nth(1).unwrap().split("\n\n").next().unwrap();
    let keys =
        table.lines().skip(2).flat_map(|line| line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2));
    // Of options that are not given here.
    let optional = ["equivalence", "hierarchical"];
    let keys: Vec<&str> = keys.filter(|key| !optional.contains(key)).collect();
    assert!(keys.len() > 15, "{keys:?}");
    let folder = Scratch::new();
    for table in ["a\n1\n", "a,b\n1,2\n2,4\n", SMALL] {
        let found = stats(&written(&folder, table), &[]);
        let found: Vec<&String> = found.as_object().unwrap().keys().collect();
        for key in &keys {
            assert!(found.iter().any(|f| f == key), "no key `{key}` of {table}");
        }
        assert_eq!(found.len(), keys.len(), "keys without a documentation: {found:?}");
    }
}

#[test]
fn no_name_hides_another() {
    let folder = Scratch::new();
    let rows =
        (0..8).map(|i| format!("{},{},{},{}\n", i % 3, i % 5 + 2, i % 4, i % 7 + 3)).collect::<String>();
    let file = written(&folder, &format!("base,masked,dale,both\n{rows}"));
    let factors = folder.path().join("factors.csv");
    let levels = "base,no,no\nmasked,yes,no\ndale,no,yes\nboth,yes,yes\n";
    fs::write(&factors, format!("variant,residual,terms\n{levels}")).unwrap();
    let found = stats(&file, &["--factors", text(&factors)]);
    let contrasts = found["contrasts"].as_array().unwrap();
    let named: Vec<&Value> = contrasts.iter().map(|c| &c["factor"]).collect();
    assert_eq!(named, ["residual", "terms"]);
    assert!(term(&found, "residual")["f"].is_f64() && found["anova"]["residual"]["df"] == 29);
    fs::write(&factors, format!("variant,m,m\n{levels}")).unwrap();
    pallium(&["stats", text(&file), "--factors", text(&factors)]).refused(&["line 1, column 3", "`m`"]);
    let pairs = written(&folder, "A,B vs C,A vs B,C\n1,2,3,4\n2,3,4,5\n3,5,6,7\n");
    let found = stats(&pairs, &["--family", "A vs \"B vs C\""]);
    assert_eq!(found["mannwhitney"].as_object().unwrap().len(), 6);
    assert_eq!(found["holm"]["A vs \"B vs C\""], found["mannwhitney"]["A vs \"B vs C\""][1]);
    pallium(&["stats", text(&pairs), "--family", "A vs B vs C"]).refused(&["several meanings"]);
}

#[test]
fn intervals_repeat_and_follow_the_seed() {
    let folder = Scratch::new();
    let file = written(&folder, SMALL);
    let bootstrap = |more: &[&str]| stats(&file, more)["intervals"]["WD*C"]["bootstrap"].clone();
    assert_eq!(bootstrap(&[]), bootstrap(&[]));
    assert_ne!(bootstrap(&["--resamples", "999"]), bootstrap(&["--resamples", "999", "--seed", "1"]));
}

#[test]
fn edge_cases_have_results() {
    let folder = Scratch::new();
    let one = stats(&written(&folder, "a,b\n1,2\n"), &[]);
    assert_eq!(
        one["intervals"]["a"],
        serde_json::json!({ "mean": 1.0, "t": [null, null], "bootstrap": [null, null], "n": 1 })
    );
    assert_eq!(one["kruskal"], serde_json::json!([1.0, null]));
    for key in ["mannwhitney", "wilcoxon", "permutation"] {
        assert_eq!(one[key]["a vs b"][1], Value::Null, "one run has no p: {key}");
    }
    assert!(one["contrasts"]["refused"].as_str().unwrap().contains("--factors"));
    let ties = stats(&written(&folder, "a,b\n1,1\n1,1\n1,1\n"), &[]);
    assert_eq!(ties["kruskal"], serde_json::json!([null, null]));
    assert_eq!(ties["mannwhitney"]["a vs b"], serde_json::json!([4.5, 1.0]));
    assert_eq!(ties["intervals"]["a"]["t"], serde_json::json!([1.0, 1.0]));
    assert_eq!(ties["intervals"]["a"]["bootstrap"], serde_json::json!([1.0, 1.0]));
    let empty = stats(&written(&folder, "a,b,c\n1,,NaN\n2,,3\n4,diverged,4\n"), &[]);
    assert_eq!(empty["intervals"]["b"]["mean"], Value::Null);
    assert_eq!(empty["missing"]["b"]["cells"], serde_json::json!(["", "", "diverged"]));
    assert_eq!(empty["mannwhitney"]["a vs b"], serde_json::json!([null, null]));
    assert_eq!(empty["holm"]["a vs b"], Value::Null);
    assert_eq!(empty["holm"]["a vs c"], empty["mannwhitney"]["a vs c"][1]);
    let column = stats(&written(&folder, "a\n1\n2\n"), &[]);
    assert_eq!(column["mannwhitney"], serde_json::json!({}));
    let file = written(&folder, "W,WD,WD*\n1,,3\n2,4,3\n");
    let out = pallium(&["stats", text(&file)]).ok().stdout;
    assert!(out.contains("WD: 1 without a value (run 1)") && !out.contains("Wilcoxon"), "{out}");
    assert!(pallium(&["stats", text(&file), "--paired"]).ok().stdout.contains("Wilcoxon"));
}

#[test]
fn results_of_paired_runs_do_not_depend_on_the_unit() {
    let folder = Scratch::new();
    // Two groups without a difference, and a pair of columns with a constant one.
    let runs = [("x", 8, 7), ("x", 5, 8), ("x", 7, 5), ("y", 6, 5), ("y", 5, 7), ("y", 6, 5)];
    let found = |cell: &dyn Fn(i32) -> String| {
        let row = |(group, a, b): &(&str, i32, i32)| {
            format!("{group},{},{},{}\n", cell(*a), cell(*b), cell(*b + 1))
        };
        let table = format!("scan,a,b,c\n{}", runs.iter().map(row).collect::<String>());
        let options = ["--levels", "scan", "--resamples", "9999", "--equivalence", &cell(2)];
        stats(&written(&folder, &table), &options)
    };
    let whole = found(&|k| k.to_string());
    assert_eq!(whole["hierarchical"]["a vs b"]["difference"], 0.0);
    assert_eq!(whole["paired_effects"]["b vs c"]["d_z"], Value::Null);
    assert_eq!(whole["paired_effects"]["b vs c"]["rank_biserial"], -1.0);
    assert_eq!(whole["equivalence"]["b vs c"]["p"], Value::Null, "two equal groups");
    let units: [&dyn Fn(i32) -> String; 5] = [
        &|k| format!("0.{k}"),
        &|k| (f64::from(k) / 60.0).to_string(),
        &|k| (f64::from(k) / 60.0 * 100.0).to_string(),
        &|k| format!("{k}e-300"),
        &|k| format!("{k}e299"),
    ];
    for unit in units {
        let found = found(unit);
        for pair in ["a vs b", "a vs c", "b vs c"] {
            for (test, key) in
                [("paired_effects", "d_z"), ("paired_effects", "rank_biserial"), ("equivalence", "p")]
            {
                let (found, expected) = (&found[test][pair][key], &whole[test][pair][key]);
                match expected.as_f64() {
                    Some(expected) => near(found, expected, 1e-9),
                    None => assert!(found.is_null(), "{key} of {pair}: {found}"),
                }
            }
        }
        let grouped = |all: &Value| all["hierarchical"]["a vs b"].clone();
        assert_eq!(grouped(&found)["difference"], 0.0);
        assert_eq!(grouped(&found)["p"], grouped(&whole)["p"]);
    }
}

/// Three fields of three scans; the runs of a field agree.
const FIELDS: &str = "scan,field,run,a,b\n\
    6,6_6_2,1,1.0,0.9\n6,6_6_2,2,0.9,0.8\n6,6_6_2,3,0.8,0.7\n\
    5,5_3_4,1,0.5,0.55\n5,5_3_4,2,0.6,0.65\n5,5_3_4,3,0.7,0.75\n\
    4,4_3_8,1,0.9,0.85\n4,4_3_8,2,0.8,0.75\n4,4_3_8,3,0.7,0.65\n";

#[test]
fn groups_are_tested_over_their_means() {
    let folder = Scratch::new();
    let file = written(&folder, FIELDS);
    let levels = ["--levels", "scan,field", "--resamples", "999"];
    let found = stats(&file, &levels)["hierarchical"]["a vs b"].clone();
    assert_eq!((&found["groups"], &found["resamples"]), (&3.into(), &999.into()));
    // Student's t with two degrees of freedom over 0.1, −0.05 and 0.05:
    // P(T ≤ t) = 1/2 + t / (2·√(2 + t²)).
    near(&found["difference"], 0.1 / 3.0, 1e-9);
    near(&found["t"]["interval"][0], -0.15639581834650473, 1e-9);
    near(&found["t"]["interval"][1], 0.22306248501317139, 1e-9);
    near(&found["t"]["p"], 0.5285954792089684, 1e-9);
    assert_eq!(found["t"]["holm"], found["t"]["p"]);
    // Over a family of two, Holm doubles the smaller p and leaves the larger.
    let mut three = FIELDS.replace(",b\n", ",b,c\n");
    for value in ["0.55", "0.65", "0.75", "0.85", "0.9", "0.8", "0.7"] {
        let lower = value.parse::<f64>().unwrap() - 0.5;
        three = three.replace(&format!(",{value}\n"), &format!(",{value},{lower}\n"));
    }
    let found = stats(&written(&folder, &three), &[&levels[..], &["--family", "a"]].concat());
    let t = |pair: &str| found["hierarchical"][pair]["t"].clone();
    assert_eq!(t("a vs b")["holm"], t("a vs b")["p"]);
    near(&t("a vs c")["holm"], 2.0 * t("a vs c")["p"].as_f64().unwrap(), 1e-12);
    near(&t("a vs c")["p"], 0.0067666316092786, 1e-9);
    assert!(t("b vs c")["holm"].is_null());
    let said = pallium(&["stats", text(&file), "--levels", "scan,field"]).ok().stdout;
    assert!(said.contains("p of t") && said.contains("fewer than 10 groups by scan"), "{said}");
    let many: String = (0..10).map(|group| format!("{group},0.{group},0.5\n")).collect();
    let many = written(&folder, &format!("scan,a,b\n{many}"));
    let said = pallium(&["stats", text(&many), "--levels", "scan"]).ok().stdout;
    assert!(said.contains("p of t") && !said.contains("fewer than 10"), "{said}");
}

#[test]
fn equivalence_is_judged_from_groups() {
    let folder = Scratch::new();
    let file = written(&folder, FIELDS);
    let margin = ["--equivalence", "0.12"];
    let test = |more: &[&str]| stats(&file, more)["equivalence"]["a vs b"].clone();
    let grouped = test(&[&margin[..], &["--levels", "scan,field", "--resamples", "99"]].concat());
    // Twelve hundredths lie within the 90 % interval of the three groups.
    assert_eq!(grouped["groups"], 3);
    near(&grouped["p"], 0.09414614831459928, 1e-9);
    assert!(grouped["interval"][1].as_f64().unwrap() > 0.12);
    // As independent runs, they seem equivalent.
    let said = pallium(&[&["stats", text(&file)][..], &margin, &["--levels", "scan,field"]].concat()).ok();
    assert!(said.stdout.contains("Equivalence of groups by scan"), "{}", said.stdout);
    assert!(!said.stdout.contains("Equivalence of paired runs"), "{}", said.stdout);
    let runs = FIELDS.lines().map(|line| line.splitn(4, ',').nth(3).unwrap());
    let runs = written(&folder, &runs.map(|line| format!("{line}\n")).collect::<String>());
    let rows = stats(&runs, &margin)["equivalence"]["a vs b"].clone();
    assert!(rows["p"].as_f64().unwrap() < 0.05 && rows["groups"].is_null(), "{rows}");
}

#[test]
fn groups_and_runs_that_cannot_be_meant_are_refused() {
    let folder = Scratch::new();
    let fields = FIELDS.replace("4,4_3_8", "5,4_3_8");
    let file = written(&folder, &fields);
    let refused = |more: &[&str], parts: &[&str]| {
        pallium(&[&["stats", text(&file)][..], more].concat()).refused(parts);
    };
    refused(&["--levels", "field,scan"], &["each `field` lies in one `scan`", "--levels scan,field"]);
    refused(&[], &["column `field`: `6_6_2` is not a number", "name it in --levels"]);
    pallium(&["stats", text(&file), "--levels", "scan,field"]).ok();
    let file = written(&folder, "field,run,a,b\nx,1,1,2\nx,1,2,2\nx,1,3,4\n");
    pallium(&["stats", text(&file), "--levels", "field"]).refused(&["line 3: run `1` occurs twice"]);
    let file = written(&folder, "run,a,b\n");
    pallium(&["stats", text(&file)]).refused(&["table.csv has a header and no runs"]);
}

#[test]
fn the_number_of_resamples_is_stated() {
    let folder = Scratch::new();
    let file = written(&folder, SMALL);
    let number = |more: &[&str]| stats(&file, more)["settings"]["resamples"].clone();
    assert_eq!((number(&[]), number(&["--resamples", "999"])), (99_999.into(), 999.into()));
    let found = stats(&written(&folder, FIELDS), &["--levels", "scan,field"]);
    assert_eq!(found["hierarchical"]["a vs b"]["resamples"], 9_999);
}

#[test]
fn bad_cells_are_named() {
    let folder = Scratch::new();
    let file = written(&folder, "simulation,a,b\n0,1,2\n1,high,2\n");
    pallium(&["stats", text(&file)]).refused(&["table.csv, line 3, column `a`: `high` is not a number"]);
    let file = written(&folder, "a,b\n1,2\n2,1e400\n");
    pallium(&["stats", text(&file)]).refused(&[
        "table.csv, line 3, column `b`: 1e400 is not between 1e-300 and 1e300",
        "leave the cell empty",
    ]);
    let file = written(&folder, "a,b\n1,2\n2,inf\n");
    assert_eq!(stats(&file, &[])["missing"]["b"]["cells"], serde_json::json!(["inf"]));
    pallium(&["stats", text(&file), "--equivalence", "1e400"]).refused(&["--equivalence inf is not between"]);
    pallium(&["stats", "nowhere.csv"]).refused(&["nowhere.csv"]);
    pallium(&["stats", text(&file), "--confidence", "95"]).refused(&["0.95"]);
}

#[test]
fn five_thousand_runs_are_analysed() {
    let folder = Scratch::new();
    let mut table = String::from("W,WD,WD*\n");
    for i in 0..5000_u64 {
        let number = |k: u64| ((i * 2_654_435_761 + k * 40_503) % 1_000_003) as f64 / 1e6;
        table.push_str(&format!("{},{},{}\n", number(1), number(2), number(3)));
    }
    let found = stats(&written(&folder, &table), &[]);
    assert_eq!(found["intervals"]["WD"]["n"], 5000);
    let p = found["permutation"]["WD vs WD*"][1].as_f64().unwrap();
    assert!(p > 0.0 && p <= 1.0, "{p}");
}

#[test]
fn complete_tables_agree_with_the_reference_values() {
    let Some(path) = golden("statistics.json") else { return };
    let reference = read_json(&path);
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    for (name, expected) in reference["tables"].as_object().unwrap() {
        println!("{name}");
        let folder = Scratch::new();
        let columns = expected["data"].as_object().unwrap();
        let mut table = format!("simulation,{}\n", columns.keys().cloned().collect::<Vec<_>>().join(","));
        for run in 0..columns["W"].as_array().unwrap().len() {
            let cells =
                columns.values().map(|c| c[run].as_f64().map_or_else(String::new, |v| format!("{v:?}")));
            table.push_str(&format!("{run},{}\n", cells.collect::<Vec<_>>().join(",")));
        }
        let file = written(&folder, &table);
        let found = stats(&file, &[]);
        let both = |found: &Value, expected: &Value| {
            let expected = numbers(expected);
            test(found, expected[0], expected[1]);
        };
        both(&found["kruskal"], &expected["kruskal_all"]);
        let pairs = expected["mannwhitney"].as_object().unwrap();
        assert_eq!(found["mannwhitney"].as_object().unwrap().len(), pairs.len());
        pairs.iter().for_each(|(pair, value)| both(&found["mannwhitney"][pair], value));
        both(&found["spearman"]["W*D*C vs WD*C"], &expected["spearman"]);
        near(
            &found["cliffs_delta"]["W*D*C vs WD*C"],
            expected["cliffs_delta_W*D*C_vs_WD*C"].as_f64().unwrap(),
            1e-12,
        );
        for (variant, value) in expected["t_ci95"].as_object().unwrap() {
            let (found, expected) = (&found["intervals"][variant], numbers(value));
            near(&found["mean"], expected[0], 1e-9);
            near(&found["t"][0], expected[1], 1e-9);
            near(&found["t"][1], expected[2], 1e-9);
        }
        for (name, value) in expected["rank_anova_type2_additive"].as_object().unwrap() {
            let factor = name.trim_start_matches("C(").trim_end_matches(')').to_uppercase();
            let (found, expected) = (term(&found, &factor), numbers(value));
            near(&found["sum_of_squares"], expected[0], 1e-9);
            near(&found["df"], expected[1], 0.0);
            near(&found["f"], expected[2], 1e-9);
            near(&found["p"], expected[3], 1e-6);
        }
        assert!(found["anova_interactions"]["refused"].as_str().unwrap().contains("rank-deficient"));
        let family: Vec<&str> =
            expected["holm"]["family"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        let options: Vec<&str> = family.iter().flat_map(|f| ["--family", f]).collect();
        let adjusted = stats(&file, &options);
        for (i, pair) in family.iter().enumerate() {
            near(&adjusted["holm"][pair], numbers(&expected["holm"]["adjusted"])[i], 1e-12);
            near(&adjusted["bh"][pair], numbers(&expected["holm"]["bh"])[i], 1e-12);
        }
    }
}

/// Runs scipy on a new table.
#[test]
fn scipy_agrees_where_it_is_installed() {
    let python = |program: &str, arguments: &[&str]| {
        Command::new("python3")
            .arg("-c")
            .arg(program)
            .args(arguments)
            .output()
            .ok()
            .filter(|o| o.status.success())
    };
    if python("import scipy, numpy", &[]).is_none() {
        skipped("there is no python3 with scipy");
        return;
    }
    let folder = Scratch::new();
    for (runs, step) in [(5_u64, 0.0), (8, 0.01), (12, 0.0), (20, 0.25), (60, 0.0)] {
        let mut table = String::from("a,b,c\n");
        for i in 0..runs {
            let cell = |k: u64| {
                let value =
                    ((i * 7_919 + k * 104_729 + i * i * 31) % 1_009) as f64 / 1_009.0 + k as f64 * 0.1;
                if (i + k) % 17 == 16 {
                    String::new()
                } else if step > 0.0 {
                    ((value / step).round() * step).to_string()
                } else {
                    value.to_string()
                }
            };
            table.push_str(&format!("{},{},{}\n", cell(0), cell(1), cell(2)));
        }
        let file = written(&folder, &table);
        let output = python(SCIPY, &[text(&file)]).expect("scipy runs");
        let expected: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = stats(&file, &[]);
        for (key, values) in expected.as_object().unwrap() {
            for (pair, value) in values.as_object().unwrap() {
                println!("{runs} runs: {key}, {pair}: {} against {value}", found[key][pair]);
                test(&found[key][pair], value[0].as_f64().unwrap(), value[1].as_f64().unwrap());
            }
        }
    }
}

const SCIPY: &str = "
import csv, itertools, json, math, sys
import numpy as np
from scipy import stats
rows = list(csv.DictReader(open(sys.argv[1])))
table = {k: np.array([float(r[k] or 'nan') for r in rows]) for k in rows[0]}
out = {'mannwhitney': {}, 'wilcoxon': {}, 'spearman': {}}
for (a, x), (b, y) in itertools.combinations(table.items(), 2):
    both = ~(np.isnan(x) | np.isnan(y))
    pair = a + ' vs ' + b
    out['mannwhitney'][pair] = list(map(float, stats.mannwhitneyu(x[~np.isnan(x)], y[~np.isnan(y)])))
    out['wilcoxon'][pair] = list(map(float, stats.wilcoxon(x[both], y[both])))
    rho, p = map(float, stats.spearmanr(x[both], y[both]))
    # Rounding of a perfect correlation makes a p out of nothing.
    perfect = abs(rho) > 1 - 1e-12
    out['spearman'][pair] = [round(rho), 0.0] if perfect else [rho, p]
json.dump(out, sys.stdout)
";

/// Three of the eleven variants, one that the layout lacks, and a missing run.
const EXPORTED: &str = "seed = 3\nruns = 3\nprofile = \"published\"\n\
    tasks = [\"cognition.go-no-go\", { use = \"cognition.one-choice\", name = \"choice\" }]\n\
    [substrate]\nuse = \"synthetic.field\"\nneurons = 24\n\
    [training]\nepochs = 1\ntrials = 64\nbatch = 32\n\
    [[variant]]\nname = \"WD\"\nweights = \"init.orthogonal\"\ngeometry = \"grid\"\nconstraints = [\"spatial.distance\"]\n\
    [[variant]]\nname = \"W\"\nweights = \"init.orthogonal\"\nconstraints = [\"spatial.l1\"]\n\
    [[variant]]\nname = \"W*D*C\"\nweights = { use = \"microns.functional\", matrix = \"precision\" }\ngeometry = \"soma\"\n\
    constraints = [{ use = \"spatial.communicability\", strength = 0.25 }]\n\
    [[variant]]\nname = \"mine\"\nweights = \"init.orthogonal\"\nconstraints = [\"spatial.l1\"]\n";

#[test]
fn the_authors_layout_has_the_values_of_the_run_folder() {
    let scratch = Scratch::new();
    let (file, run, out) =
        (scratch.path().join("e.toml"), scratch.path().join("run"), scratch.path().join("out"));
    fs::write(&file, EXPORTED).unwrap();
    for only in ["*/*/0", "*/*/1", "WD/*/2"] {
        pallium(&["run", text(&file), "--out", text(&run), "--only", only]).ok();
    }
    let ended = pallium(&["export", text(&run), "--layout", "authors", "--out", text(&out)]).ok();
    assert!(ended.stderr.contains("variants: `mine`"), "{}", ended.stderr);
    let folder = PathBuf::from(ended.stdout.trim());
    assert_eq!(folder, out.join("synthetic.field_sttc-precision"));
    let table = |name: &str| -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_path(folder.join(name)).unwrap();
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    };
    let raw = table("Task1/Accuracy_raw.csv");
    let header = "simulation,W*D*C,WD*C,WDC,WD*,WD,W,W*D*C*,WD*C*,W*DC*,W!D*C,W!D*C*";
    assert_eq!(raw[0].join(","), header);
    assert_eq!(raw.len(), 4);
    let rows = results(&run);
    let value = |variant: &str, task: &str, run: &str, split: &str, measure: &str| {
        let fits =
            [("variant", variant), ("task", task), ("run", run), ("split", split), ("measure", measure)];
        let row = rows.iter().find(|row| fits.iter().all(|(key, expected)| row[*key] == *expected));
        row.map_or("", |row| row["value"].as_str())
    };
    assert_eq!(raw[2][5], value("WD", "choice", "1", "train", "running_accuracy"));
    assert_eq!(raw[3][5], value("WD", "choice", "2", "train", "running_accuracy"));
    assert!(!raw[3][5].is_empty() && raw[3][1].is_empty() && raw[1][2].is_empty(), "{raw:?}");
    assert_eq!(table("Task2/Entropy_raw.csv")[1][6], value("W", "cognition.go-no-go", "0", "", "entropy"));
    let loss: f64 = table("Task2/Validation_Loss_raw.csv")[1][1].parse().unwrap();
    let part =
        |measure| -> f64 { value("W*D*C", "cognition.go-no-go", "0", "test", measure).parse().unwrap() };
    assert_eq!(loss, part("task_loss") + part("penalty"));
    assert!(!folder.join("Task3").exists(), "no cell is of this task");
    let (means, deviations) = (table("metrics.csv"), table("metrics_SD.csv"));
    assert_eq!((means.len(), deviations.len()), (17, 17));
    assert_eq!((means[1][0].as_str(), means[1][1].as_str()), ("Task1", "Accuracy"));
    assert_eq!(deviations[16][..2], ["Task2", "Entropy_SD"]);
    let config = fs::read_to_string(folder.join("config.txt")).unwrap();
    for line in [
        "simulations = 3",
        "number_of_nodes = 24",
        "network_grid = (3, 4, 2)",
        "use_precison_matrix = True",
        "noise_level = 0.05",
        "regu_strength = 0.3, 0.25",
        "sign_constraint = False",
        "session = None",
    ] {
        assert!(config.lines().any(|l| l == line), "no «{line}» in:\n{config}");
    }
    // `stats` and pandas read its tables.
    let found = stats(&folder.join("Task1/Loss_raw.csv"), &[]);
    assert_eq!(found["missing"]["W"]["runs"], serde_json::json!(["2"]));
    let python = Command::new("python3").arg("-c").arg("import pandas").output();
    if !python.is_ok_and(|o| o.status.success()) {
        skipped("there is no python3 with pandas");
        return;
    }
    execute(Command::new("python3").arg("-c").arg(PANDAS).arg(&folder)).ok();
}

const PANDAS: &str = "
import sys
import numpy as np, pandas as pd
folder = sys.argv[1]
means, deviations = pd.read_csv(folder + '/metrics.csv'), pd.read_csv(folder + '/metrics_SD.csv')
for i in range(len(means)):
    task, metric = means.Task[i], means.Metric[i]
    assert deviations.Metric[i] == metric + '_SD'
    raw = pd.read_csv(f'{folder}/{task}/{metric}_raw.csv', index_col='simulation')
    assert list(raw.index) == [0, 1, 2] and raw.shape == (3, 11)
    assert all(kind == float for kind in raw.dtypes), raw.dtypes
    assert list(raw.columns) == list(means.columns[2:]) == list(deviations.columns[2:])
    np.testing.assert_allclose(means.iloc[i, 2:].astype(float), raw.mean(), rtol=1e-13)
    np.testing.assert_allclose(deviations.iloc[i, 2:].astype(float), raw.std(), rtol=1e-10, atol=1e-15)
";

#[test]
fn runs_that_cannot_be_exported_are_refused() {
    let scratch = Scratch::new();
    let export =
        |run: &Path| pallium(&["export", text(run), "--layout", "authors", "--out", text(scratch.path())]);
    export(&scratch.path().join("nothing")).refused(&["nothing does not contain a run"]);
}
