//! What was found, in words and as Markdown.

use pallium_benches::report::{self, Found, Sample, digits, seconds, spread};
use pallium_benches::scene;

use crate::Place;
use crate::runs::{Memory, Overhead, StartUp, Study};
use crate::trainings::{ONE_CHOICE, trainings};

/// Variants of the published study by constraint.
const SHARES: [(&str, f64); 4] =
    [("l1", 1.0), ("distance", 2.0), ("communicability", 4.0), ("communicability-emd", 4.0)];

pub(crate) const TASKS: [&str; 3] = ["one-choice", "go-no-go", "perceptual-decision"];

/// Cells of the published study.
const STUDY: f64 = 11.0 * 3.0 * 20.0;

/// Epochs of a training.
const EPOCHS: f64 = 10.0;

pub(crate) fn tell(found: &Found) {
    eprintln!(
        "{}: Pallium {}, peak {} GFLOP/s",
        found.case,
        spread(&found.own.seconds),
        digits(found.peak.median() / 1e9)
    );
    for peer in &found.peers {
        eprintln!(
            "  {} × {} at once: {}, ratio {}",
            peer.name,
            peer.at_once,
            spread(&peer.seconds),
            digits(found.ratios(peer).median())
        );
    }
}

/// Everything that was measured, as Markdown.
pub(crate) fn summary(place: &Place) -> String {
    let found: Vec<Found> = trainings()
        .iter()
        .map(|case| case.name)
        .chain(["metrics/first", "metrics/cached", "field/sttc", "field/precision"])
        .filter_map(|name| report::load(&place.results, name))
        .collect();
    let mut text = report::table(&found);
    let peak = |cores: usize| {
        let all = found.iter().filter(|f| f.own.at_once == cores).flat_map(|f| f.peak.0.clone()).collect();
        digits(Sample(all).median() / 1e9)
    };
    if let Some(first) = found.first() {
        text += &format!(
            "\n{}: peak {} GFLOP/s on one core, {} on two (f32 FMA).\n",
            first.machine,
            peak(1),
            peak(2)
        );
        let busiest = found.iter().max_by(|a, b| a.others.range().1.total_cmp(&b.others.range().1));
        if let Some(busiest) = busiest {
            let cores = digits(busiest.others.range().1);
            text += &format!(
                "Other programs kept at most {cores} cores busy in a round (in {}).\n",
                busiest.case
            );
        }
    }
    if let Some(start) = report::load::<StartUp>(&place.results, "startup") {
        text += &format!(
            "\nStart-up of `pallium run` to the first training step on 312 neurons: {} (aim: below 0.3 s). Memory of a worker: {} MB (aim: below 150 MB); of the parent: {} MB.\n",
            spread(&start.seconds),
            digits(start.worker_mb.median()),
            digits(start.parent_mb.median())
        );
    }
    if let Some(overhead) = report::load::<Overhead>(&place.results, "overhead") {
        text += &format!(
            "\nProcess and storage, {} cells one at a time: {} a cell (aim: below 50 ms).\n",
            overhead.cells,
            spread(&overhead.seconds)
        );
    }
    if let Some(memory) = report::load::<Memory>(&place.results, "memory") {
        let sizes: Vec<String> = memory.iter().map(|(n, mb)| format!("{n}: {} MB", digits(*mb))).collect();
        text += &format!("\nMemory of a worker by number of neurons, on one batch: {}.\n", sizes.join(", "));
    }
    if let Some(study) = report::load::<Study>(&place.results, "whole-study") {
        let whole = study.wall * STUDY / study.cells as f64;
        text += &format!(
            "\nStudy: {} of its {STUDY} cells in {} by the clock, {} at once, each {}; all {STUDY} in {} by proportion. Memory of a worker at most {} MB.\n",
            study.cells,
            seconds(study.wall),
            study.jobs,
            spread(&study.each),
            seconds(whole),
            digits(study.worker_mb)
        );
        let shares: Vec<String> = study
            .parts
            .iter()
            .map(|(name, sum)| {
                format!("{} {}", name.trim_start_matches("seconds_"), seconds(sum / study.cells as f64))
            })
            .collect();
        text += &format!("Parts of a cell: {}.\n", shares.join(", "));
        text += &published(place, &found, whole);
    }
    text += &report::components(&scene::target().join("criterion"));
    text
}

/// The published pipeline's time for the study, from its parts.
fn published(place: &Place, found: &[Found], own: f64) -> String {
    let Some(metrics) = report::load::<Found>(&place.results, "metrics/first") else { return String::new() };
    let training = |task: &str, constraint: &str| {
        let name = if task == ONE_CHOICE && constraint != "l1" {
            format!("two/{constraint}")
        } else {
            format!("study/{task}/{constraint}")
        };
        let case = found.iter().find(|f| f.case == name)?;
        let keras = case.peers.iter().find(|p| p.name.starts_with("Keras") && p.at_once == 1)?;
        let epoch = keras.seconds.median();
        Some(keras.first.unwrap_or(epoch) + (EPOCHS - 1.0) * epoch)
    };
    let mut trainings = 0.0;
    for task in TASKS {
        for (constraint, variants) in SHARES {
            let Some(seconds) = training(task, constraint) else {
                return format!(
                    "The published pipeline's time for the study needs the case of {task} under {constraint}.\n"
                );
            };
            trainings += 20.0 * variants * seconds;
        }
    }
    let measuring = STUDY * metrics.peers[0].seconds.median();
    format!(
        "The published pipeline, cell after cell with both cores: trainings {}, metrics {}, together {}: **{}** times as long (aim: ≥ 18).\n",
        seconds(trainings),
        seconds(measuring),
        seconds(trainings + measuring),
        digits((trainings + measuring) / own)
    )
}
