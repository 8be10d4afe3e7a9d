//! Which variants are compared, and how.

use super::*;

/// A run of variants `free`, `masked`, `dale` and `both`, with this analysis.
fn factorial(root: &Path, analysis: &Value) -> Report {
    let (mask, dale) = (json!({ "use": "circuit.mask" }), json!({ "use": "circuit.dale" }));
    let content = |name: &str| -> Content {
        let constraints = match name {
            "free" => json!([]),
            "masked" => json!([mask]),
            "dale" => json!([dale]),
            _ => json!([mask, dale]),
        };
        ("init.orthogonal", json!("none"), constraints)
    };
    SyntheticRun {
        variants: &["free", "masked", "dale", "both"],
        runs: 6,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &content,
        accuracy: &|v, _, run| Some(0.5 + 0.03 * v.len() as f64 + 0.01 * f64::from(run)),
    }
    .write(root);
    let path = root.join("manifest.json");
    let mut manifest: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["analysis"] = analysis.clone();
    fs::write(path, manifest.to_string()).unwrap();
    Report::read(root).unwrap()
}

#[test]
fn comparisons_follow_from_content_or_from_the_experiment_file() {
    let scratch = tempfile::tempdir().unwrap();
    let of = |analysis: Value| {
        let report = factorial(scratch.path(), &analysis);
        let statistics = &report.statistics[0];
        let names: Vec<String> = statistics.effects.iter().map(|e| e.name.clone()).collect();
        (names, statistics.comparisons, report.effects_table(0).caption)
    };
    // Four levels of one aspect: each against the first.
    let (names, why, _) = of(json!({}));
    assert_eq!(names, ["masked vs free", "dale vs free", "both vs free"]);
    assert_eq!(why, effects::Comparisons::Alone);
    let (names, why, caption) = of(json!({ "reference": "dale" }));
    assert_eq!(
        (names, why),
        (["free", "masked", "both"].map(String::from).to_vec(), effects::Comparisons::Reference)
    );
    assert!(caption.starts_with("Each variant against dale"), "{caption}");
    let factors = json!([
        {"name": "mask", "levels": [["no", ["free", "dale"]], ["yes", ["masked", "both"]]]},
        {"name": "Dale", "levels": [["no", ["free", "masked"]], ["yes", ["dale", "both"]]]},
    ]);
    let (names, why, _) = of(json!({ "factors": factors }));
    assert_eq!(names, ["mask: yes - no", "Dale: yes - no"]);
    assert_eq!(why, effects::Comparisons::Factors);
    let (names, why, caption) = of(json!({ "factors": factors, "contrasts": [["both", "dale"]] }));
    assert_eq!((names, why), (vec!["both vs dale".to_owned()], effects::Comparisons::Stated));
    assert!(caption.contains("experiment file"), "{caption}");
    let report = factorial(scratch.path(), &json!({ "factors": factors }));
    // The same as `pallium stats --factors`.
    let table = summary::wide(&report.run, 0, ("train", "running_accuracy"));
    let samples: Vec<Vec<f64>> = (0..4).map(|v| table.values(v)).collect();
    let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
    let level = |levels: [usize; 4]| levels.map(Some);
    let [mask, dale] = [level([0, 1, 0, 1]), level([0, 0, 1, 1])];
    let factor =
        |name: &str| pallium_stats::Factor { name: name.into(), levels: vec!["no".into(), "yes".into()] };
    let design = pallium_stats::Design {
        factors: vec![factor("mask"), factor("Dale")],
        variants: (0..4).map(|v| vec![mask[v], dale[v]]).collect(),
    };
    for (own, expected) in
        report.statistics[0].effects.iter().zip(pallium_stats::contrasts(&design, &samples).unwrap())
    {
        assert_eq!((own.p, own.holm, own.pairs.len()), (expected.p, expected.holm, 2));
    }
    let omnibus = report.omnibus_table(0);
    assert!(
        omnibus.rows.iter().any(|row| row[1].text == "mask")
            && omnibus.rows.iter().any(|row| row[1].text == "Dale")
    );
}

#[test]
fn points_of_a_sweep_are_known_by_its_axes() {
    let scratch = tempfile::tempdir().unwrap();
    let content = |name: &str| -> Content {
        let strength: f64 = name.split(['=', ']']).nth(1).and_then(|s| s.parse().ok()).unwrap_or(0.3);
        let constraint = if name.starts_with("WD") { "spatial.distance" } else { "spatial.l1" };
        let space = if name.starts_with("WD") { json!({ "grid": null }) } else { json!("none") };
        ("init.orthogonal", space, json!([{ "use": constraint, "params": {"strength": strength} }]))
    };
    SyntheticRun {
        variants: &["W[λ=1]", "WD[λ=1]", "W[λ=2]", "WD[λ=2]", "mine[x]"],
        runs: 4,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &content,
        accuracy: &|v, _, run| Some(0.5 + 0.01 * v.len() as f64 + 0.01 * f64::from(run)),
    }
    .write(scratch.path());
    // Without axes, brackets are a part of a name.
    let report = Report::read(scratch.path()).unwrap();
    assert!(!report.run.swept() && report.statistics[0].points.is_empty());
    let axes = "variant,task,λ\nW[λ=1],t,1\nWD[λ=1],t,1\nW[λ=2],t,2\nWD[λ=2],t,2\nmine[x],t,\n";
    put(scratch.path(), "axes.csv", axes.as_bytes());
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!(report.run.bases, ["W", "WD", "W", "WD", "mine[x]"]);
    assert_eq!(report.run.points, ["λ=1", "λ=1", "λ=2", "λ=2", ""]);
    let pairs = |effects: &[effects::Effect]| effects.iter().map(|e| e.pairs[0].clone()).collect::<Vec<_>>();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let points = [pair("W[λ=2]", "W[λ=1]"), pair("WD[λ=2]", "WD[λ=1]")];
    assert_eq!(pairs(&report.statistics[0].points), points);
    // W and WD differ in two aspects: each point is compared with the first of its variant.
    assert_eq!(pairs(&report.statistics[0].effects), points);
}

#[test]
fn one_run_has_neither_p_nor_effects() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W", "WD", "WD*"],
        runs: 1,
        neurons: 8,
        field: "6_6_2",
        switches: json!({ "accuracy": "evaluated", "interval": "bootstrap" }),
        content: &as_named,
        accuracy: &|v, _, _| Some(0.5 + 0.1 * v.len() as f64),
    }
    .write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    for statistics in &report.statistics {
        assert!(
            statistics.effects.iter().all(|e| e.p.is_nan() && e.delta.is_nan()),
            "{:?}",
            statistics.effects
        );
        assert!(statistics.analysis.kruskal.p.is_nan());
    }
    let material = Material::read(&report.run, &|_, _| Err(pallium_core::Error::input("no plugins here")));
    assert!(figures(&report, &material).iter().all(|f| f.id != "effects"));
    assert!(!terminal_of(&report).contains("(p"), "{}", terminal_of(&report));
}
