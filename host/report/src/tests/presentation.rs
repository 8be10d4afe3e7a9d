//! What figures and tables show of large and unusual runs.

use super::*;

/// Every text of a drawing: left, right, upper and lower end, and the text.
fn texts(elements: &[figure::drawing::Element], shift: (f64, f64), found: &mut Vec<([f64; 4], String)>) {
    use figure::canvas::Anchor;
    use figure::drawing::Element;
    for element in elements {
        match element {
            Element::Group { shift: (x, y), elements, .. } => {
                texts(elements, (shift.0 + x, shift.1 + y), found);
            }
            Element::Text(text) => {
                let (x, y) = (text.at.0 + shift.0, text.at.1 + shift.1);
                let (length, half) = (text.size * figure::font::width(&text.text), 0.35 * text.size);
                let begin = match text.anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => -0.5 * length,
                    Anchor::End => -length,
                };
                let place = match text.upwards {
                    true => [x - half, x + half, y + begin, y + begin + length],
                    false => [x + begin, x + begin + length, y - half, y + half],
                };
                found.push((place, text.text.clone()));
            }
            _ => {}
        }
    }
}

#[test]
fn every_label_is_inside_of_its_picture() {
    let scratch = tempfile::tempdir().unwrap();
    let long = "a variant with quite a long name that says everything about itself and more of that until nobody reads on";
    let mut names: Vec<String> =
        (0..45).map(|i| format!("S[strength={}]", 10f64.powf(f64::from(i) / 9.0 - 3.0))).collect();
    names.push(long.into());
    let variants: Vec<&str> = names.iter().map(String::as_str).collect();
    SyntheticRun {
        variants: &variants,
        runs: 3,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|v, _, run| Some(0.5 + 0.004 * (v.len() % 40) as f64 + 0.01 * f64::from(run)),
    }
    .write(scratch.path());
    let rows = names[..45].iter().map(|n| format!("{n},t,{}\n", n[11..].trim_end_matches(']')));
    let axes = format!("variant,task,strength\n{}", rows.collect::<String>());
    put(scratch.path(), "axes.csv", axes.as_bytes());
    // Losses of trainings that nearly diverged.
    for entry in fs::read_dir(scratch.path().join("cells")).unwrap() {
        let path = entry.unwrap().path().join("curves.csv");
        let curve =
            fs::read_to_string(&path).unwrap().replace(",1.5,", ",2.5e31,").replace(",0.1,0.", ",0.1,7e12");
        fs::write(path, curve).unwrap();
    }
    let mut report = Report::read(scratch.path()).unwrap();
    report.run.tasks[0].label = format!("{long} <task>");
    report.run.tasks[0].component = Some("cognition.one-choice".into());
    let positions = ndarray::Array2::from_shape_fn((8, 3), |(i, k)| (i * (k + 3) % 7) as f64);
    let material = Material::read(&report.run, &|_, _| Ok(positions.clone()));
    let figures = figures(&report, &material);
    assert!(figures.iter().any(|f| f.id == "sweep") && figures.iter().any(|f| f.id == "learning"));
    let mut count = 0;
    for figure in &figures {
        for width in [85.0, 176.0, 56.0] {
            let drawing = figure.drawing(width);
            let mut found = Vec::new();
            texts(&drawing.elements, (0.0, 0.0), &mut found);
            count += found.len();
            for ([left, right, top, bottom], text) in found {
                let inside =
                    left > -0.1 && right < width + 0.1 && top > -0.1 && bottom < drawing.height + 0.1;
                assert!(
                    inside,
                    "{}, {width} mm: `{text}` at {left:.1} … {right:.1}, {top:.1} … {bottom:.1}",
                    figure.id
                );
            }
        }
    }
    assert!(count > 1000, "{count}");
}

#[test]
fn large_networks_and_many_measures_are_sampled() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W"],
        runs: 1,
        neurons: 1200,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|_, _, run| Some(0.5 + 0.1 * f64::from(run)),
    }
    .write(scratch.path());
    let table = scratch.path().join("results.csv");
    let mut text = fs::read_to_string(&table).unwrap();
    for measure in 0..2000 {
        text += &format!("W,{},0,,m{measure},0.5,ok\n", TASKS[0].0);
    }
    // Rows of one training follow each other in the file of the training, too.
    fs::write(&table, text).unwrap();
    let path = scratch.path().join("cells/W.0.0/results.csv");
    let mut text = fs::read_to_string(&path).unwrap();
    for measure in 0..2000 {
        text += &format!("W,{},0,,m{measure},0.5,ok\n", TASKS[0].0);
    }
    fs::write(&path, text).unwrap();
    let report = Report::read(scratch.path()).unwrap();
    assert_eq!((report.measures.len(), report.other_measures), (MAX_MEASURES, 2004 - MAX_MEASURES));
    assert_eq!(report.measures[0], "modularity");
    let positions = ndarray::Array2::from_shape_fn((1200, 3), |(i, k)| (i * (k + 1)) as f64);
    let material = Material::read(&report.run, &|_, _| Ok(positions.clone()));
    let first = &material.networks[0];
    assert_eq!((first.neurons(), first.size), (network::MAX_NEURONS, 1200));
    assert!(first.shown.is_sorted() && *first.shown.last().unwrap() < 1200);
    // The weights between the neurons that are shown, and their positions.
    let folder = &report.run.group(first.variant, first.task).find(|c| c.run == first.run).unwrap().about;
    let folder = &folder.as_ref().unwrap().folder;
    let complete = pallium_record::weights::read(&folder.join("weights.safetensors")).unwrap();
    let (i, j) = (first.shown[3], first.shown[700]);
    assert_eq!(first.initial[[3, 700]], complete.initial[[i, j]]);
    assert_eq!(material.places[0].as_ref().unwrap()[[700, 0]], j as f64);
    let figures = figures(&report, &material);
    for id in ["matrices-one-choice", "weights", "space-one-choice"] {
        let figure = figures.iter().find(|f| f.id == id).unwrap();
        assert!(figure.caption.contains("1000 are shown, drawn at random"), "{}", figure.caption);
    }
    assert!(report.organization_table(0).caption.contains("1964 others are in results.csv"));
}

#[test]
fn columns_of_numbers_have_numbers_for_csv() {
    let scratch = tempfile::tempdir().unwrap();
    SyntheticRun {
        variants: &["W", "WD", "WD*"],
        runs: 8,
        neurons: 8,
        field: "6_6_2",
        switches: switches(),
        content: &as_named,
        accuracy: &|v, t, run| (t < 2).then(|| 0.5 + 0.03 * v.len() as f64 + 0.01 * f64::from(run)),
    }
    .write(scratch.path());
    let report = Report::read(scratch.path()).unwrap();
    let tables =
        [report.for_paper(), vec![report.steps_table(), report.omnibus_table(0), report.pairs_table(0)]]
            .concat();
    for table in &tables {
        for row in &table.rows {
            for (cell, column) in row.iter().zip(&table.columns).filter(|(_, column)| column.numeric) {
                let empty = cell.text == "–" || cell.text.ends_with("diverged") || cell.text == "?";
                let number = cell.sort.is_some() || !cell.parts.is_empty();
                assert_ne!(empty, number, "{}, {}: {cell:?}", table.id, column.title);
            }
        }
    }
    let overview = &tables[0].rows[0][1];
    let names: Vec<&str> = overview.parts.iter().map(|p| p.0).collect();
    assert_eq!(names, ["", "low", "high", "published"]);
    let page = html(&report);
    assert!(page.contains("data-n=\"=0.5") && page.contains(";low="), "no numbers for CSV");
}
