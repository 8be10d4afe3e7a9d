//! Prints results, and summarises them as Markdown.

use pallium_benches::report::{self, Comparison, Sample, digits, seconds, spread};
use pallium_benches::scene;

use crate::arguments::Paths;
use crate::connected;
use crate::runs::{Memory, Overhead, StartUp, Study};
use crate::trainings::{ONE_CHOICE, TASKS, trainings};

/// Number of variants of the published study by constraint.
const SHARES: [(&str, f64); 4] =
    [("l1", 1.0), ("distance", 2.0), ("communicability", 4.0), ("communicability-emd", 4.0)];

/// Trainings of the published study.
const STUDY: f64 = 11.0 * 3.0 * 20.0;

/// Epochs of a training.
const EPOCHS: f64 = 10.0;

pub(crate) fn print(found: &Comparison) {
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

/// All results as Markdown.
pub(crate) fn summary(paths: &Paths) -> String {
    let found: Vec<Comparison> = trainings()
        .iter()
        .map(|case| case.name)
        .chain(connected::names())
        .chain(["metrics/first", "metrics/cached", "field/sttc", "field/precision"])
        .filter_map(|name| report::load(&paths.results, name))
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
    if let Some(start) = report::load::<StartUp>(&paths.results, "startup") {
        text += &format!(
            "\nStart-up of `pallium run` to the first training step on 312 neurons: {} (aim: below 0.3 s). Memory of a worker: {} MB (aim: below 150 MB); of the parent: {} MB.\n",
            spread(&start.seconds),
            digits(start.worker_mb.median()),
            digits(start.parent_mb.median())
        );
    }
    if let Some(overhead) = report::load::<Overhead>(&paths.results, "overhead") {
        text += &format!(
            "\nProcess and storage, {} trainings one at a time: {} per training (aim: below 50 ms).\n",
            overhead.cells,
            spread(&overhead.seconds)
        );
    }
    if let Some(memory) = report::load::<Memory>(&paths.results, "memory") {
        let sizes: Vec<String> = memory.iter().map(|(n, mb)| format!("{n}: {} MB", digits(*mb))).collect();
        text += &format!("\nMemory of a worker by number of neurons, on one batch: {}.\n", sizes.join(", "));
    }
    if let Some(study) = report::load::<Study>(&paths.results, "whole-study") {
        let all = study.wall * STUDY / study.cells as f64;
        text += &format!(
            "\nStudy: {} of {STUDY} trainings in {} of wall time, {} at once, each {}; all {STUDY} would take {}. Memory of a worker at most {} MB.\n",
            study.cells,
            seconds(study.wall),
            study.jobs,
            spread(&study.each),
            seconds(all),
            digits(study.worker_mb)
        );
        let shares: Vec<String> = study
            .parts
            .iter()
            .map(|(name, sum)| {
                format!("{} {}", name.trim_start_matches("seconds_"), seconds(sum / study.cells as f64))
            })
            .collect();
        text += &format!("Parts of a training: {}.\n", shares.join(", "));
        text += &published(paths, &found, all);
    }
    text += &report::components(&scene::target().join("criterion"));
    text
}

/// The published pipeline's time for the study, extrapolated from its parts.
fn published(paths: &Paths, found: &[Comparison], own: f64) -> String {
    let Some(metrics) = report::load::<Comparison>(&paths.results, "metrics/first") else {
        return String::new();
    };
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
        "The published pipeline, one training after another with both cores: trainings {}, metrics {}, together {}: **{}** times as long (aim: ≥ 18).\n",
        seconds(trainings),
        seconds(measuring),
        seconds(trainings + measuring),
        digits((trainings + measuring) / own)
    )
}
