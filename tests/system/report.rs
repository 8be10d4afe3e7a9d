//! Reports of real runs, opened in a real browser.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

use crate::crates::copy;
use crate::harness::{Scratch, field, pallium, pallium_in, read_json, results, root, shared, skipped, text};

/// A small run, made once for all tests that read it.
static RUN: LazyLock<PathBuf> = LazyLock::new(|| {
    let experiment = root().join("experiments/quickstart.toml");
    let out = shared("report").join("run");
    let sets = ["runs=2", "training.epochs=2", "training.trials=128", "substrate.neurons=24"];
    let mut arguments = vec!["run", text(&experiment), "--out", text(&out)];
    for set in &sets {
        arguments.extend(["--set", set]);
    }
    let ended = pallium(&arguments).ok();
    assert!(
        ended.stdout.contains(&format!("report in {}", out.join("report.html").display())),
        "{}",
        ended.stdout
    );
    assert!(out.join("report.html").exists());
    out
});

fn run() -> PathBuf {
    RUN.clone()
}

/// A report of the run in a separate file.
fn page(name: &str) -> PathBuf {
    let file = shared("report").join(name);
    pallium(&["report", text(&run()), "--html", text(&file)]).ok();
    file
}

#[test]
fn a_report_agrees_with_the_results() {
    let document = pallium(&["report", text(&run()), "--json"]).ok().json();
    assert_eq!(document["written"], serde_json::json!([]), "--json alone writes no page");
    let rows = results(&run());
    let mut sums: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for row in rows.iter().filter(|r| r["split"] == "test" && r["measure"] == "accuracy") {
        let key = (row["variant"].clone(), row["task"].clone());
        sums.entry(key).or_default().push(row["value"].parse().unwrap());
    }
    let groups = document["accuracy"].as_array().unwrap();
    assert_eq!(groups.len(), sums.len());
    for group in groups {
        let key = (group["variant"].as_str().unwrap().to_owned(), group["task"].as_str().unwrap().to_owned());
        let values = &sums[&key];
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((group["mean"].as_f64().unwrap() - mean).abs() < 1e-12, "{group}");
        assert_eq!(group["n"], 2);
        assert_eq!(group["verdict"], "cannot be compared", "a synthetic field is not the published one");
    }
    assert_eq!(document["cells"]["ok"], 24);
    let chance: Vec<f64> =
        document["tasks"].as_array().unwrap().iter().map(|t| t["chance"].as_f64().unwrap()).collect();
    assert_eq!(chance, [0.25, 0.5, 0.5]);
    // The same intervals as in the table of `pallium run`.
    let again = pallium(&[
        "run",
        text(&root().join("experiments/quickstart.toml")),
        "--out",
        text(&run()),
        "--set",
        "runs=2",
        "--set",
        "training.epochs=2",
        "--set",
        "training.trials=128",
        "--set",
        "substrate.neurons=24",
        "--json",
    ])
    .ok()
    .json();
    for (group, printed) in groups.iter().zip(groups.iter().map(|g| find(&again["table"]["groups"], g))) {
        assert_eq!(group["interval"][0], printed["lower"], "{group}");
        assert_eq!(group["interval"][1], printed["upper"], "{group}");
    }
}

fn find<'a>(groups: &'a Value, like: &Value) -> &'a Value {
    let same = |g: &&Value| g["variant"] == like["variant"] && g["task"] == like["task"];
    groups.as_array().unwrap().iter().find(same).unwrap()
}

#[test]
fn the_page_is_one_file_that_loads_nothing() {
    let page = std::fs::read_to_string(page("alone.html")).unwrap();
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    for outside in ["src=\"http", "href=\"http", "url(http", "@import", "<link", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
    for part in
        ["In short", "Accuracy", "Effects", "Learning", "Organization", "Matrices", "Neurons", "What was run"]
    {
        assert!(page.contains(&format!(">{part}</h2>")), "{part}");
    }
    // By default the page is in the run folder.
    let elsewhere = Scratch::new();
    copy(&run(), &elsewhere.path().join("copy"));
    std::fs::remove_file(elsewhere.path().join("copy/report.html")).unwrap();
    pallium_in(elsewhere.path(), &[], &["report", "copy"]).ok();
    assert!(elsewhere.path().join("copy/report.html").exists());
}

#[test]
fn communities_are_those_that_modularity_measures() {
    let page = std::fs::read_to_string(page("communities.html")).unwrap();
    let known: BTreeMap<String, f64> = results(&run())
        .into_iter()
        .filter(|r| r["measure"] == "modularity" && !r["value"].is_empty())
        .map(|r| (format!("{} {} {}", r["variant"], r["task"], r["run"]), r["value"].parse().unwrap()))
        .collect();
    let mut checked = 0;
    for part in page.split("aria-label=\"recurrent weights of ").skip(1) {
        let (variant, rest) = part.split_once(" before and after training on ").unwrap();
        let (task, rest) = rest.split_once(", run ").unwrap();
        let (number, rest) = rest.split_once('"').unwrap();
        let Some((_, q)) = rest.split("</svg>").next().unwrap().split_once("Q = ") else { continue };
        let q: f64 = q.split('<').next().unwrap().parse().unwrap();
        let measured = known[&format!("{variant} cognition.{task} {number}")];
        // Written with two digits; the two try different orders of equal gains.
        assert!((q - measured).abs() < 0.02, "{variant} on {task}, run {number}: {q}, measured {measured}");
        checked += 1;
    }
    assert!(checked >= 10, "{checked}");
}

/// A script that acts like a reader of the page and reports the results. The test
/// appends it to the page.
const PROBE: &str = r##"<script>
const found = { errors: [] };
const probe = () => {
  const box = (e) => e.getBoundingClientRect();
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  found.figures = Array.from(document.querySelectorAll("figure"), (figure) => ({
    id: figure.id,
    panels: Array.from(figure.querySelectorAll("svg"), (svg) => ({
      width: box(svg).width, height: box(svg).height,
      marks: svg.querySelectorAll("circle, polyline, polygon, rect, line, image").length,
      named: svg.getAttribute("aria-label") || "",
    })),
    save: figure.querySelectorAll("[data-svg]").length,
    caption: figure.querySelector("figcaption").textContent.trim().length,
    saved: figureSvg(figure).length,
    valid: new DOMParser().parseFromString(figureSvg(figure), "image/svg+xml").querySelector("parsererror") === null,
  }));
  found.tables = Array.from(document.querySelectorAll(".table"), (table) => {
    const body = table.querySelector("tbody");
    const rows = body.rows.length;
    let sorted = true;
    table.querySelectorAll("thead th").forEach((head) => {
      const numeric = head.classList.contains("num");
      const keys = () => Array.from(body.rows).filter((r) => !("last" in r.dataset)).map((row) => {
        const cell = row.cells[head.cellIndex];
        return numeric ? (cell.dataset.s === undefined ? NaN : Number(cell.dataset.s)) : cell.textContent.trim();
      });
      const before = keys().map(String).sort().join("|");
      for (const sign of [1, -1]) {
        head.querySelector("button").click();
        const now = keys();
        if (now.map(String).sort().join("|") !== before) sorted = false;
        const known = now.filter((k) => !Number.isNaN(k));
        for (let i = 1; i < known.length; i += 1) {
          const step = numeric ? known[i] - known[i - 1] : known[i].localeCompare(known[i - 1]);
          if (sign * step < 0) sorted = false;
        }
        if (head.getAttribute("aria-sort") !== (sign > 0 ? "ascending" : "descending")) sorted = false;
      }
    });
    return { id: table.id, rows, sorted, wide: box(table).width <= document.documentElement.clientWidth };
  });
  found.requests = performance.getEntriesByType("resource").map((e) => e.name)
    .filter((name) => !name.startsWith("data:"));
  const ids = Array.from(document.querySelectorAll("[id]"), (e) => e.id);
  found.twice = ids.filter((id, i) => ids.indexOf(id) !== i);
  found.lost = Array.from(document.querySelectorAll("nav a"), (a) => a.getAttribute("href"))
    .filter((href) => !document.querySelector(href));
  found.sideways = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const view = document.getElementById("space-view");
  if (view) {
    const place = () => view.querySelector("circle").getAttribute("cx");
    const before = place();
    view.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
    requestAnimationFrame(() => requestAnimationFrame(() => {
      found.keys = place() !== before;
      const at = place();
      const pointer = (type, x) => view.dispatchEvent(new PointerEvent(type, {
        pointerId: 1, clientX: x, clientY: 9, bubbles: true,
      }));
      view.setPointerCapture = () => {};
      pointer("pointerdown", 10);
      pointer("pointermove", 90);
      pointer("pointerup", 90);
      requestAnimationFrame(() => requestAnimationFrame(() => {
        found.drag = place() !== at;
        const choice = document.getElementById("space-network");
        found.networks = choice.options.length;
        const about = document.getElementById("space-about").textContent;
        choice.selectedIndex = choice.options.length - 1;
        choice.dispatchEvent(new Event("change"));
        found.choice = document.getElementById("space-about").textContent !== about;
        done();
      }));
    }));
  } else done();
  const entry = document.querySelector("svg.legend [data-v]");
  if (entry) {
    entry.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    found.picked = entry.closest("figure").classList.contains("picked");
  }
  document.getElementById("theme").click();
  found.theme = document.documentElement.dataset.theme || "";
};
const done = () => {
  found.errors.push(...window.wrong);
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  document.body.append(out);
};
try { probe(); } catch (e) { found.errors.push(String(e)); done(); }
</script>"##;

/// Runs first: records errors, and replaces animation frames by timers, because a
/// browser without a screen may not paint.
const LISTEN: &str = "<script>window.wrong = []; addEventListener('error', (e) => window.wrong.push(e.message)); \
     window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 16);</script>";

fn chromium() -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let found = names.into_iter().find(|name| {
        let ended = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.is_ok_and(|status| status.success())
    });
    if found.is_none() {
        skipped("there is no Chromium here (on Debian: apt-get install chromium)");
    }
    found.map(str::to_owned)
}

/// Opens a page in a browser of a width, runs the probe, and returns its results.
fn opened(browser: &str, page: &Path, width: u32) -> Value {
    let scratch = Scratch::new();
    let html = std::fs::read_to_string(page).unwrap();
    let html = html.replacen("<body>", &format!("<body>{LISTEN}"), 1);
    let html = html.replacen("</body>", &format!("{PROBE}</body>"), 1);
    // In a frame, because browser windows have a minimum width.
    let inner = scratch.path().join("page.html");
    std::fs::write(&inner, html).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", text(&scratch.path().join("profile"))))
        .arg(format!("--window-size={width},1200"))
        .args(["--virtual-time-budget=8000", "--dump-dom"])
        .arg(format!("file://{}", inner.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = printed.lines().filter(|l| l.contains(":CONSOLE")).collect();
    assert!(console.is_empty(), "the console says: {console:#?}");
    let dom = String::from_utf8_lossy(&output.stdout);
    let coded = dom.split("<pre id=\"probe\">").nth(1).and_then(|rest| rest.split('<').next());
    let coded = coded.unwrap_or_else(|| panic!("the page's script did not finish:\n{printed}"));
    serde_json::from_slice(&decoded(coded)).unwrap()
}

/// Base64 (RFC 4648).
fn decoded(text: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<usize> = text.chars().filter_map(|c| LETTERS.find(c)).collect();
    let mut bytes = Vec::new();
    for four in bits.chunks(4) {
        let number = four.iter().fold(0, |n, b| n << 6 | b) << (6 * (4 - four.len()));
        let whole = [(number >> 16) as u8, (number >> 8) as u8, number as u8];
        bytes.extend(&whole[..four.len() * 3 / 4]);
    }
    bytes
}

#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = chromium() else { return };
    let page = page("browser.html");
    let found = opened(&browser, &page, 1300);
    assert_eq!((&found["errors"], &found["requests"]), (&serde_json::json!([]), &serde_json::json!([])));
    let figures = found["figures"].as_array().unwrap();
    // Accuracy, effects, learning, weights, space; organization and matrices of
    // three tasks each.
    assert_eq!(figures.len(), 11, "{figures:#?}");
    for figure in figures {
        assert_eq!(figure["save"], 1, "{figure}");
        assert!(figure["valid"] == true && figure["saved"].as_u64().unwrap() > 1000, "{figure}");
        assert!(figure["caption"].as_u64().unwrap() > 40, "{figure}");
        let panels = figure["panels"].as_array().unwrap();
        assert!(!panels.is_empty(), "{figure}");
        for panel in panels {
            let number = |key: &str| panel[key].as_f64().unwrap();
            assert!(number("width") > 150.0 && number("height") > 10.0 && number("marks") > 3.0, "{figure}");
            assert!(!panel["named"].as_str().unwrap().is_empty(), "{figure}");
        }
    }
    let tables = found["tables"].as_array().unwrap();
    assert!(tables.len() >= 15, "{tables:#?}");
    for table in tables {
        assert!(table["rows"].as_u64().unwrap() > 0 && table["sorted"] == true, "{table}");
    }
    for key in ["keys", "drag", "choice", "picked"] {
        assert_eq!(found[key], true, "{key}");
    }
    assert_eq!(found["networks"], 12, "four variants on three tasks");
    assert_eq!((&found["twice"], &found["lost"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert!(!found["theme"].as_str().unwrap().is_empty());
}

#[test]
fn the_page_fits_a_phone() {
    let Some(browser) = chromium() else { return };
    let page = page("phone.html");
    // Chromium's narrowest window is wider than a phone.
    let framed = shared("report").join("framed.html");
    let inner = std::fs::read_to_string(&page).unwrap();
    // Names of variants can be long, also in the list of networks.
    let measure = "<script>addEventListener('load', () => { const e = document.documentElement; \
        document.getElementById('space-network').add(new Option('W*D*C, shuffled within distances, perceptual-decision')); \
        const out = [e.clientWidth, e.scrollWidth, Math.min(...Array.from(document.querySelectorAll('.panel:not(.legend)')) \
        .filter((p) => p.getBoundingClientRect().width > 0).map((p) => p.getBoundingClientRect().width))]; \
        parent.postMessage(out.join(' '), '*'); });</script>";
    std::fs::write(&page, inner.replacen("</body>", &format!("{measure}</body>"), 1)).unwrap();
    let outer = format!(
        "<body><iframe src='file://{}' style='width:375px;height:800px;border:0'></iframe>\
         <script>addEventListener('message', (e) => {{ document.body.dataset.found = e.data; }});</script>",
        page.display()
    );
    std::fs::write(&framed, outer).unwrap();
    let profile = Scratch::new();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=8000",
        ])
        .arg(format!("--user-data-dir={}", text(profile.path())))
        .args(["--dump-dom", &format!("file://{}", framed.display())])
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let found =
        dom.split("data-found=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a measurement");
    let numbers: Vec<f64> = found.split(' ').map(|n| n.parse().unwrap()).collect();
    assert_eq!(numbers[0], 375.0);
    assert!(numbers[1] <= 375.0, "the page is wider than the phone: {found}");
    assert!(numbers[2] > 290.0, "a panel is too small to read: {found}");
}

#[test]
fn figures_fit_a_journals_page() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("figures");
    let document = pallium(&["report", text(&run()), "--figures", text(&folder), "--json"]).ok().json();
    let written = document["written"].as_array().unwrap();
    let figures = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(written.len(), figures);
    // Seventeen figures, two widths, two formats; a table of each, except that the numbers
    // of learning curves and of three figures of organization are in the run folder.
    assert_eq!(figures, 17 * 4 + 13, "{written:#?}");
    let table = |name: &str| -> Vec<BTreeMap<String, String>> {
        let file = csv::Reader::from_path(folder.join(name));
        file.unwrap().deserialize().map(Result::unwrap).collect()
    };
    let accuracies = table("accuracy.csv");
    let known = results(&run());
    for row in &accuracies {
        let same = |other: &&BTreeMap<String, String>| {
            (&*other["split"], &*other["measure"]) == ("test", "accuracy")
                && ["variant", "task", "run"].iter().all(|key| other[*key] == row[*key])
        };
        let value = |text: &str| text.parse::<f64>().unwrap();
        assert_eq!(value(&row["value"]), value(&known.iter().find(same).unwrap()["value"]), "{row:?}");
    }
    assert!(accuracies.len() > 10);
    let mut shares: BTreeMap<[String; 3], f64> = BTreeMap::new();
    for row in table("weights.csv") {
        let of = ["variant", "task", "training"].map(|key| row[key].clone());
        *shares.entry(of).or_default() += row["share"].parse::<f64>().unwrap();
    }
    assert!(shares.values().all(|sum| (sum - 1.0).abs() < 1e-9), "{shares:?}");
    for (name, millimetres, points) in [("one-column", 85.0, 240.94), ("two-column", 176.0, 498.9)] {
        let svg = std::fs::read_to_string(folder.join(format!("accuracy-{name}.svg"))).unwrap();
        assert!(svg.contains(&format!("width=\"{millimetres}mm\"")), "{}", &svg[..300]);
        let pdf = std::fs::read(folder.join(format!("accuracy-{name}.pdf"))).unwrap();
        let pdf = String::from_utf8_lossy(&pdf);
        let width = pdf.split("/MediaBox [0 0 ").nth(1).unwrap().split(' ').next().unwrap();
        assert!((width.parse::<f64>().unwrap() - points).abs() < 0.1, "{width}");
        assert!(pdf.contains("Roboto"), "text must be text, in an embedded font");
    }
    let printed = Command::new("pdftotext").arg(folder.join("accuracy-two-column.pdf")).arg("-").output();
    match printed {
        Err(_) => skipped("there is no pdftotext here (on Debian: apt-get install poppler-utils)"),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stdout);
            for word in ["W*D*C*", "perceptual-decision", "accuracy", "chance"] {
                assert!(words.contains(word), "no {word} in {words}");
            }
        }
    }
}

#[test]
fn tables_are_written_as_markdown_and_latex() {
    let markdown = pallium(&["report", text(&run()), "--markdown", "-"]).ok().stdout;
    assert!(markdown.starts_with("### Accuracy\n\n| variant |"), "{markdown}");
    let scratch = Scratch::new();
    let file = scratch.path().join("tables.tex");
    pallium(&["report", text(&run()), "--latex", text(&file)]).ok();
    let latex = std::fs::read_to_string(&file).unwrap();
    let count = |what: &str| latex.matches(what).count();
    assert!(count("\\begin{tabular}") >= 10 && count("\\begin{tabular}") == count("\\end{tabular}"));
    assert_eq!(count("\\begin{table}"), count("\\caption{"));
    let body: String = latex.lines().filter(|l| !l.trim_start().starts_with('\\')).collect();
    assert!(body.is_ascii(), "what LaTeX cannot set by itself: {body}");
}

#[test]
fn a_failed_report_writes_nothing() {
    let scratch = Scratch::new();
    let other = scratch.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let table = other.join("results.csv");
    std::fs::write(&table, "a,b\n").unwrap();
    pallium(&["report", text(&other)]).refused(&["holds no run", "pallium run"]);
    pallium(&["report", text(&table)]).refused(&["is not a folder"]);
    pallium(&["report", text(&run()), "--latex", text(scratch.path())]).refused(&["is a folder"]);
    let (lost, fresh) = (scratch.path().join("no/such/folder/report.html"), scratch.path().join("fresh"));
    pallium(&["report", text(&run()), "--html", text(&lost), "--figures", text(&fresh)])
        .refused(&["report.html", "create it first"]);
    assert!(!fresh.exists());
    pallium(&["compare", text(&run()), text(&run()), "--html", text(&lost)]).refused(&["report.html"]);
    pallium(&["compare", text(&run()), text(&scratch.path().join("none"))]).refused(&["does not exist"]);
}

#[test]
fn runs_are_compared() {
    let scratch = Scratch::new();
    let experiment = root().join("experiments/quickstart.toml");
    let out = scratch.path().join("published");
    let sets =
        ["profile=published", "runs=2", "training.epochs=1", "training.trials=64", "substrate.neurons=24"];
    let mut arguments = vec!["run", text(&experiment), "--out", text(&out), "--only", "W"];
    for set in &sets {
        arguments.extend(["--set", set]);
    }
    pallium(&arguments).ok();
    let page = scratch.path().join("compared.html");
    let (own, other) = (run(), out);
    let document =
        pallium(&["compare", text(&own), text(&other), "--html", text(&page), "--json"]).ok().json();
    let accuracy = document["accuracy"].as_array().unwrap();
    assert_eq!(accuracy.len(), 12, "four variants on three tasks");
    for entry in accuracy {
        let (first, second) = (&entry["runs"][0]["mean"], &entry["runs"][1]["mean"]);
        match entry["variant"].as_str() {
            Some("W") => {
                let difference = second.as_f64().unwrap() - first.as_f64().unwrap();
                let printed = entry["against_first"][0]["difference"].as_f64().unwrap();
                assert!((difference - printed).abs() < 1e-12, "{entry}");
            }
            _ => assert!(entry["against_first"][0].is_null(), "{entry}"),
        }
    }
    let printed = pallium(&["compare", text(&own), text(&other)]).ok().stdout;
    for part in ["profile", "coordinate_layout", "interleaved", "Accuracy, one-choice"] {
        assert!(printed.contains(part), "no {part} in\n{printed}");
    }
    let Some(browser) = chromium() else { return };
    let found = opened(&browser, &page, 1300);
    assert_eq!(found["errors"], serde_json::json!([]));
    assert_eq!(found["twice"], serde_json::json!([]));
    assert!(found["tables"].as_array().unwrap().iter().all(|t| t["sorted"] == true), "{found:#}");
    assert!(found["figures"][0]["panels"].as_array().unwrap().len() == 4, "{found:#}");
}

/// The specification of the only training of an experiment with these options.
fn spec(file: &str, extra: &[&str]) -> Value {
    let scratch = Scratch::new();
    let experiment = root().join("experiments").join(file);
    let out = scratch.path().join("out");
    let small =
        ["substrate.use=synthetic.field", "substrate.neurons=16", "training.epochs=1", "training.trials=16"];
    let mut arguments = vec!["run", text(&experiment), "--out", text(&out)];
    for set in &small {
        arguments.extend(["--set", set]);
    }
    arguments.extend(extra);
    pallium(&arguments).ok();
    let mut cells = std::fs::read_dir(out.join("cells")).unwrap();
    let cell = cells.next().unwrap().unwrap().path();
    assert!(cells.next().is_none(), "more than one training");
    let mut spec = read_json(&cell.join("cell.json"))["spec"].take();
    spec.as_object_mut().unwrap().remove("variant");
    spec
}

#[test]
fn the_ladder_leads_from_the_published_study_to_the_corrected_one() {
    for variant in ["W*D*C*", "W"] {
        let at =
            |file: &str, variant: &str| spec(file, &["--only", &format!("{variant}/cognition.go-no-go/0")]);
        let (first, last) = (
            at("ladder.toml", &format!("{variant}[step=0]")),
            at("ladder.toml", &format!("{variant}[step=9]")),
        );
        assert_ne!(first, last);
        assert_eq!(first, at("cortical-blueprint.toml", variant));
        let mut corrected = at("corrected.toml", variant);
        // A parameter for a matrix that these variants do not use.
        if let Some(Value::Object(parameters)) = corrected["weights"].get_mut("params") {
            assert_eq!(
                parameters.insert("precision".into(), "raw".into()),
                Some("partial-correlation".into())
            );
        }
        assert_eq!(last, corrected);
    }
}

#[test]
fn experiment_files_change_what_they_say() {
    let of = |file: &str, variant: &str| spec(file, &["--only", &format!("{variant}/cognition.go-no-go/0")]);
    for variant in ["W*D*C", "W!D*C"] {
        assert_eq!(of("precision.toml", variant)["weights"]["params"]["matrix"], "precision");
        assert_eq!(of("sttc-only.toml", variant)["weights"]["params"]["matrix"], "none");
    }
    let matched = of("matched-l1.toml", "W, as strong as D");
    let constraint = &matched["constraints"][0];
    assert_eq!(
        (&constraint["use"], &constraint["params"]["strength"]),
        (&"spatial.l1".into(), &1.972.into())
    );
    assert_eq!(constraint["params"]["strength_rule"], "applied");
    let weak = of("lambda.toml", "WD*[λ=0.01]");
    assert_eq!(weak["constraints"][0]["params"]["strength"], 0.01);
}

/// Reports take a departure from these values for another study.
#[test]
fn the_studys_parameters_are_the_components_values_under_its_profile() {
    let study = read_json(&root().join("host/report/src/study.json"));
    for (id, expected) in study["parameters"].as_object().unwrap() {
        let shown = pallium(&["plugins", "show", id, "--json"]).ok().json();
        let list = |key: &str| shown[key].as_array().unwrap().clone();
        let mut found: BTreeMap<String, Value> = list("parameters")
            .iter()
            .map(|p| (p["name"].as_str().unwrap().to_owned(), p["default"].clone()))
            .filter(|(name, _)| name != "path")
            .collect();
        for declared in list("profiles").iter().filter(|declared| declared["profile"] == "published") {
            found.insert(declared["parameter"].as_str().unwrap().to_owned(), declared["value"].clone());
        }
        let names = |keys: &mut dyn Iterator<Item = &String>| keys.cloned().collect::<BTreeSet<_>>();
        let expected = expected.as_object().unwrap();
        assert_eq!(names(&mut expected.keys()), names(&mut found.keys()), "{id}");
        for (name, value) in expected {
            let found = &found[name];
            let equal = value == found || value.as_f64().is_some_and(|v| found.as_f64() == Some(v));
            assert!(equal, "{name} of {id}: {found}, in the study {value}");
        }
    }
    // Every component that the study names is described.
    let described = |id: &Value| study["parameters"].get(id.as_str().unwrap()).is_some();
    for key in ["substrate", "model", "optimizer", "without_space", "positive"] {
        assert!(described(&study[key]), "{key}");
    }
    assert!(study["tasks"].as_array().unwrap().iter().all(described));
    assert!(study["measures"].as_object().unwrap().values().all(described));
    for key in ["weights", "constraints"] {
        assert!(study[key].as_object().unwrap().keys().all(|id| described(&id.as_str().into())), "{key}");
    }
}

/// The switches that set parameters of components have, under each profile, the values
/// that Pallium's components declare.
#[test]
fn switches_and_components_agree_about_profiles() {
    let table = std::fs::read_to_string(root().join("host/profile/src/profiles.toml")).unwrap();
    let table: toml::Table = table.parse().unwrap();
    let components = pallium(&["plugins", "list", "--json"]).ok().json();
    let ids: Vec<String> =
        components.as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap().to_owned()).collect();
    let mut declared: BTreeSet<(String, String, String)> = BTreeSet::new();
    for id in &ids {
        let shown = pallium(&["plugins", "show", id, "--json"]).ok().json();
        for value in shown["profiles"].as_array().unwrap() {
            let text = |key: &str| value[key].as_str().unwrap().to_owned();
            declared.insert((text("profile"), text("parameter"), text("value")));
            if let Some(constraint) = value["constraint"].as_str() {
                assert!(ids.iter().any(|known| known == constraint), "{id}: {constraint}");
            }
        }
    }
    let mut switched = BTreeSet::new();
    for switch in table["switch"].as_array().unwrap() {
        let Some(parameter) = switch.get("parameter") else { continue };
        for profile in table["profile"].as_array().unwrap() {
            let name = profile["name"].as_str().unwrap();
            let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
            switched.insert((name.to_owned(), text(parameter), text(&switch[name])));
        }
    }
    assert_eq!(declared, switched);
}

#[test]
fn other_fields_are_named_and_not_compared() {
    let Some(folder) = field("5_3_8") else { return };
    let scratch = Scratch::new();
    let out = scratch.path().join("out");
    let experiment = root().join("experiments/cortical-blueprint.toml");
    let path = format!("substrate.path={}", text(&folder));
    let mut arguments =
        vec!["run", text(&experiment), "--out", text(&out), "--only", "W*D*C*/cognition.go-no-go/*"];
    for set in [path.as_str(), "runs=2", "training.epochs=1", "training.trials=64"] {
        arguments.extend(["--set", set]);
    }
    pallium(&arguments).ok();
    let document = pallium(&["report", text(&out), "--json"]).ok().json();
    assert_eq!(document["field"], "5_3_8");
    assert_eq!(document["published"]["table"], "Table 2");
    let why = document["in_short"].to_string();
    assert!(why.contains("other neurons: 5_3_8, published 6_6_2"), "{why}");
    // The page shows the positions of real neurons.
    let page = scratch.path().join("page.html");
    pallium(&["report", text(&out), "--html", text(&page)]).ok();
    assert!(std::fs::read_to_string(&page).unwrap().contains("space-data"));
}

#[test]
fn a_sweep_over_fields_shows_the_positions_of_each() {
    let (Some(small), Some(large)) = (field("5_3_8"), field("4_7_2")) else { return };
    let scratch = Scratch::new();
    let out = scratch.path().join("out");
    let experiment = root().join("experiments/cross-field.toml");
    let path = format!("substrate.path={{sweep=[\"{}\",\"{}\"]}}", text(&small), text(&large));
    let mut arguments = vec!["run", text(&experiment), "--out", text(&out)];
    for only in ["WD[[]*/cognition.go-no-go/*", "WD[*][[]*/cognition.go-no-go/*"] {
        arguments.extend(["--only", only]);
    }
    for set in [path.as_str(), "runs=3", "training.epochs=1", "training.trials=64"] {
        arguments.extend(["--set", set]);
    }
    let ended = pallium(&arguments).ok();
    assert!(ended.stderr.contains("12 trainings to run"), "{}", ended.stderr);
    let document = pallium(&["report", text(&out), "--json"]).ok().json();
    assert_eq!(document["field"], "5_3_8 and 4_7_2");
    // The paper's factors are tested in each field.
    let statistics = &document["statistics"]["cognition.go-no-go"];
    let names = |of: &str| -> Vec<String> {
        statistics[of].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("effects"), ["D* - D [path=5_3_8]", "D* - D [path=4_7_2]"]);
    assert_eq!(names("points"), ["WD*[path=4_7_2]", "WD[path=4_7_2]"]);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("id=\"figure-sweep\""));
    let data = page.split("id=\"space-data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    let points: Vec<usize> =
        data["places"].as_array().unwrap().iter().map(|p| p["points"].as_array().unwrap().len()).collect();
    assert_eq!(points, [42, 88]);
    for network in data["networks"].as_array().unwrap() {
        let place = network["place"].as_u64().unwrap() as usize;
        assert_eq!(network["community"].as_array().unwrap().len(), points[place], "{network}");
        assert_eq!(network["variant"].as_str().unwrap().contains("4_7_2"), place == 1);
    }
    let Some(browser) = chromium() else { return };
    let found = opened(&browser, &out.join("report.html"), 1300);
    assert_eq!(found["errors"], serde_json::json!([]));
    assert!(found["keys"] == true && found["choice"] == true, "{found:#}");
}
