//! Comparison with the published tables.

use super::*;

#[test]
fn values_are_counted_and_compared_with_the_published_ones() {
    let scratch = tempfile::tempdir().unwrap();
    // As published on the first task; too good on the second; diverged on the
    // third.
    let accuracy = |variant: &str, task: usize, run: u32| {
        let jitter = 0.002 * f64::from(run);
        match task {
            0 => {
                let paper = Paper::Unconstrained.value("accuracy", variant, TASKS[0].0).unwrap();
                Some(paper.mean.unwrap() + jitter - 0.004)
            }
            1 => Some(0.99 + 0.001 * f64::from(run)),
            _ => None,
        }
    };
    let made = SyntheticRun {
        variants: &["W*D*C", "WD*C", "W", "mine"],
        runs: 5,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|v, t, r| if v == "mine" { Some(0.7) } else { accuracy(v, t, r) },
    };
    made.write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!(report.papers(), [Paper::Unconstrained]);
    let tally = report.accuracy_tally();
    assert_eq!((tally.same, tally.differs, tally.cannot_be_compared), (3 + 2, 1 + 3, 0), "{tally:?}");
    let group = &report.accuracy[0][0];
    assert!((group.mean.unwrap() - 0.917).abs() < 1e-12);
    assert_eq!((group.values.len(), group.above_memoryless), (5, Some(5)));
    // 0.628 − 0.004 … 0.628 + 0.004 is not clearly above 0.625.
    assert_eq!(report.accuracy[0][1].above_memoryless, Some(0));
    let gone = &report.accuracy[2][0];
    assert_eq!((gone.values.len(), gone.mean, gone.diverged), (0, None, 5));
    assert!(matches!(&gone.verdict, Some(Verdict::Differs(why)) if why.contains("diverged")));
    assert!(report.accuracy[0][3].published.is_none());
    // Every column of numbers can be sorted.
    let table = report.accuracy_table(0);
    let place = table.columns.iter().position(|c| c.title == "published interval").unwrap();
    let widths: Vec<Option<f64>> = table.rows[..4].iter().map(|row| row[place].sort).collect();
    assert!(widths[..3].iter().all(|w| w.is_some_and(|w| w > 0.0)) && widths[3].is_none(), "{widths:?}");
    let uncounted = report.uncounted_table();
    assert_eq!(uncounted.rows.len(), 15);
    assert_eq!(uncounted.rows[0][4].text, "the loss in epoch 2, batch 3");
    // Variants that differ in one aspect alone are compared.
    assert_eq!(report.statistics[0].comparisons, effects::Comparisons::Alone);
    let names: Vec<&str> = report.statistics[0].effects.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["WD*C vs W*D*C", "mine vs W"]);
    let effect = &report.statistics[0].effects[1];
    assert_eq!(effect.meaning, "constraints: none instead of spatial.l1");
    let text = report.in_short().join("\n");
    assert!(
        text.contains("45 of 60 trainings done, 15 diverged") && text.contains("of 9 accuracies 5 agree"),
        "{text}"
    );
    let page = html(&report);
    assert!(page.contains("15 diverged") && page.contains("the loss in epoch 2"));
}

#[test]
fn other_neurons_and_other_measures_cannot_be_compared() {
    let scratch = tempfile::tempdir().unwrap();
    let mut made = SyntheticRun {
        variants: &["W*D*C", "WD*C"],
        runs: 3,
        neurons: 8,
        field: "5_3_4",
        switches: switches(),
        content: &as_named,
        accuracy: &|_, _, run| Some(0.9 + 0.01 * f64::from(run)),
    };
    made.write(&scratch.path().join("field"));
    let report = Report::read(&scratch.path().join("field")).unwrap();
    assert_eq!(report.accuracy_tally().cannot_be_compared, 6);
    let text = report.in_short().join(" ");
    assert!(text.contains("cannot be compared") && text.contains("other neurons: 5_3_4"), "{text}");
    // Without anything to compare there are no published columns.
    let titles = |table: table::Table| table.columns.into_iter().map(|c| c.title).collect::<Vec<_>>();
    for table in [report.overview(), report.accuracy_table(0), report.organization_table(0)] {
        assert!(!table.caption.contains("ublished mean"), "{}", table.caption);
        let titles = titles(table);
        assert!(titles.iter().all(|t| !t.contains("published") && t != "verdict"), "{titles:?}");
    }

    made.field = "6_6_2";
    made.switches = json!({ "accuracy": "evaluated", "interval": "bootstrap", "null": "matched" });
    made.write(&scratch.path().join("corrected"));
    let report = Report::read(&scratch.path().join("corrected")).unwrap();
    assert_eq!(report.run.headline(), ("test".into(), "accuracy".into()));
    assert!((report.accuracy[0][0].mean.unwrap() - 0.9).abs() < 1e-12);
    // The published accuracy is the running one, which the folder also has.
    assert_eq!(report.accuracy_tally().cannot_be_compared, 0);
    let place = |measure: &str| report.measures.iter().position(|m| m == measure).unwrap();
    let verdict = |measure| report.organization[0][place(measure)][0].verdict.clone().unwrap();
    assert!(
        matches!(verdict("small_worldness"), Verdict::CannotBeCompared(why) if why.ends_with("small-worldness = matched"))
    );
    assert!(!matches!(verdict("modularity"), Verdict::CannotBeCompared(_)));
    // The sign stands beside the accuracy that is compared.
    let cell = report.overview().rows[0][1].text.clone();
    assert!(cell.contains("(running 0.910 = 0.917)"), "{cell}");
    let found = &report.statistics[0].effects;
    assert_eq!(
        (found.len(), found[0].name.as_str(), report.statistics[0].comparisons),
        (1, "W* - W", effects::Comparisons::Factors)
    );
}

#[test]
fn agreement_goes_by_content_and_not_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let accuracy = |variant: &str, task: usize, run: u32| {
        let paper = Paper::Unconstrained.value("accuracy", variant, TASKS[task].0);
        Some(paper.map_or(0.6, |p| p.mean.unwrap()) + 0.001 * f64::from(run))
    };
    // `W` has weights from activity and no constraint; `plain` is the study's W.
    let content = |name: &str| match name {
        "W" => ("microns.functional", json!("none"), json!([])),
        "plain" => as_named("W"),
        "weak" => {
            ("init.orthogonal", json!("none"), json!([{ "use": "spatial.l1", "params": {"strength": 0.1} }]))
        }
        name => as_named(name),
    };
    SyntheticRun {
        variants: &["W", "plain", "weak"],
        runs: 3,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &content,
        accuracy: &|v, t, r| accuracy(if v == "plain" { "W" } else { v }, t, r),
    }
    .write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    let verdict = |variant: usize| report.running[0][variant].verdict.clone();
    assert_eq!(verdict(0), None);
    assert!(matches!(verdict(1), Some(Verdict::Same(_))), "{:?}", verdict(1));
    assert_eq!(verdict(2), Some(Verdict::CannotBeCompared("strength of spatial.l1 = 0.1".into())));
    assert_eq!(report.departures(), ["strength of spatial.l1 = 0.1"]);
    assert!(report.in_short().join(" ").contains("not compared with it: strength of spatial.l1 = 0.1."));
    let table = report.overview();
    let texts: Vec<&str> = table.rows[..3].iter().map(|row| row[1].text.as_str()).collect();
    assert!(
        !texts[0].contains('=') && texts[1].contains("(= 0.625)") && !texts[2].contains('='),
        "{texts:?}"
    );
}
