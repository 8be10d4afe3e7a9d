//! Compares metrics of a trained matrix with bctpy and networkx, and matrices
//! from event times with Elephant and scikit-learn.

use std::path::PathBuf;
use std::process::Command;

use ndarray::Array2;
use ndarray_npy::{read_npy, write_npy};
use pallium::plugins::Catalogue;
use pallium::run::components::Options;
use pallium::run::train::train;
use pallium_benches::report::{Comparison, Timed};
use pallium_benches::turns::Side;
use pallium_benches::{inputs, scene};
use pallium_core::{Error, Kind, Result};
use serde_json::Value;

use crate::arguments::{Arguments, Paths};
use crate::rounds::{each, log, machine, take_turns, this_executable};
use crate::trainings::ONE_CHOICE;

pub(crate) fn measured(
    name: &str,
    cached: bool,
    arguments: &Arguments,
    paths: &Paths,
    catalogue: &Catalogue,
) -> Result<Comparison> {
    let matrix = trained_matrix(paths, catalogue)?;
    let mut own = this_executable()?;
    own.arg("metrics").arg("--matrix").arg(&matrix);
    if cached {
        own.arg("--cached");
    }
    own.args(&paths.plugins);
    let graphs = if arguments.full { 1000 } else { arguments.graphs };
    let mut sides = vec![Side::start(vec![own])?];
    let kinds = [("integer", "null graphs of integers as published"), ("float", "null graphs of floats")];
    for (kind, _) in kinds {
        let mut peer = Command::new(&paths.python);
        peer.arg(paths.scripts.join("graph_metrics.py")).arg(&matrix).args(["1", &graphs.to_string(), kind]);
        peer.stderr(log(&paths.inputs, &format!("graph_metrics_{kind}.py"))?);
        sides.push(Side::start(vec![peer])?);
    }
    let rounds = take_turns(&mut sides, arguments.turns, 1)?;
    let reported = |side: usize, key: &str| {
        each(&rounds, |round| round.turns[side].report[key].as_f64().unwrap_or(f64::NAN))
    };
    eprintln!("{name}: Pallium {}\n  peer {}", rounds[0].turns[0].report, rounds[0].turns[1].report);
    let extent =
        if arguments.full { String::new() } else { format!(", {graphs} drawn, extrapolated to 1,000") };
    let peer = sides[1].about["peer"].as_str().unwrap_or("?").to_owned();
    let peers = kinds.iter().enumerate();
    Ok(Comparison {
        case: name.into(),
        what: "all published metrics of one trained matrix".into(),
        own: Timed::alone("Pallium", reported(0, "seconds"), String::new()),
        peers: peers
            .map(|(at, (_, note))| Timed::alone(&peer, reported(at + 1, "whole"), format!("{note}{extent}")))
            .collect(),
        operations: None,
        peak: each(&rounds, |round| round.peak),
        goal: Some(if cached { 5000.0 } else { 1000.0 }),
        machine: machine(),
        others: each(&rounds, |round| round.others),
    })
}

/// A matrix of field 5_6_8 from its event times; `None` if the field is not
/// available.
pub(crate) fn derived(
    name: &str,
    matrix: &str,
    arguments: &Arguments,
    paths: &Paths,
    catalogue: &Catalogue,
) -> Result<Option<Comparison>> {
    let Some(field) = scene::field("5_6_8") else {
        eprintln!("{name}: skipped, no field 5_6_8; set PALLIUM_DATA to the folder of fields");
        return Ok(None);
    };
    let folder = paths.inputs.join(name.replace('/', "-"));
    let neurons = inputs::events(&field, &folder, catalogue)?;
    let out = folder.join("own.npy");
    let mut own = this_executable()?;
    own.args(["derive", "--matrix", matrix, "--field"]).arg(&field).arg("--out").arg(&out);
    own.args(&paths.plugins);
    let mut peer = Command::new(&paths.python);
    let (script, goal) =
        if matrix == "sttc" { ("elephant_sttc.py", 500.0) } else { ("sklearn_lasso.py", 3.0) };
    peer.arg(paths.scripts.join(script)).arg(&folder).stderr(log(&folder, script)?);
    if matrix == "sttc" {
        peer.arg(arguments.pairs.to_string());
    }
    let mut sides = vec![Side::start(vec![own])?, Side::start(vec![peer])?];
    let rounds = take_turns(&mut sides, arguments.turns, 1)?;
    let read = |path: PathBuf| -> Result<Array2<f64>> {
        read_npy(&path).map_err(|e| Error::input(format!("{}: {e}", path.display())))
    };
    let found = read(out)?;
    let (key, note) = if matrix == "sttc" {
        let about = &sides[1].about;
        let off = |key: &str| differences(&found, &about["pairs"], &about[key]);
        let (with, without) = (off("values"), off("without_tolerance"));
        let mean = with.iter().sum::<f64>() / with.len() as f64;
        let note = format!(
            "{} pairs, extrapolated to {}; its values are {mean:.1e} higher on average and differ by at most {:.1e}, \
             without its relative tolerance by at most {:.1e}",
            arguments.pairs,
            neurons * (neurons - 1) / 2,
            largest(&with),
            largest(&without),
        );
        ("whole", note)
    } else {
        let theirs = read(folder.join("precision_peer.npy"))?;
        let norm = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
        let note =
            format!("its values differ by {:.1e} of their norm", norm(&(&found - &theirs)) / norm(&theirs));
        ("seconds", note)
    };
    let reported = |side: usize, key: &str| {
        each(&rounds, |round| round.turns[side].report[key].as_f64().unwrap_or(f64::NAN))
    };
    Ok(Some(Comparison {
        case: name.into(),
        what: format!("the {matrix} of 160 neurons from 255,797 events; Pallium also reads the field"),
        own: Timed::alone("Pallium", reported(0, "seconds"), String::new()),
        peers: vec![Timed::alone(sides[1].about["peer"].as_str().unwrap_or("?"), reported(1, key), note)],
        operations: None,
        peak: each(&rounds, |round| round.peak),
        goal: Some(goal),
        machine: machine(),
        others: each(&rounds, |round| round.others),
    }))
}

/// A peer's values of some pairs minus those of a matrix.
fn differences(matrix: &Array2<f64>, pairs: &Value, values: &Value) -> Vec<f64> {
    let index = |pair: &Value, at: usize| pair[at].as_u64().unwrap_or(u64::MAX) as usize;
    let all = pairs.as_array().into_iter().flatten().zip(values.as_array().into_iter().flatten());
    all.map(|(pair, value)| {
        let own = matrix.get([index(pair, 0), index(pair, 1)]).copied().unwrap_or(f64::NAN);
        value.as_f64().unwrap_or(f64::NAN) - own
    })
    .collect()
}

fn largest(differences: &[f64]) -> f64 {
    differences.iter().map(|d| d.abs()).fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
}

/// A recurrent matrix after a complete training of W*D*C; computed once and
/// kept.
fn trained_matrix(paths: &Paths, catalogue: &Catalogue) -> Result<PathBuf> {
    let path = paths.inputs.join("trained.npy");
    if path.exists() {
        return Ok(path);
    }
    eprintln!("training a matrix to measure");
    let cell = scene::cell(catalogue, "W*D*C", ONE_CHOICE, &["metrics.use=[]".to_owned()])?;
    let trained = train(&cell, catalogue, &Options::default(), &mut |_| ())?;
    let recurrent = trained
        .parameters
        .iter()
        .find(|tensor| tensor.name == "recurrent")
        .ok_or_else(|| Error::bug("a trained model without recurrent weights"))?;
    let n = trained.initial.nrows();
    let matrix = Array2::from_shape_vec((n, n), recurrent.slice::<f32>()?.to_vec())
        .map_err(|e| Error::bug(format!("the trained matrix: {e}")))?;
    std::fs::create_dir_all(&paths.inputs).map_err(|e| Error::io(&paths.inputs, &e))?;
    write_npy(&path, &matrix).map_err(|e| Error::new(Kind::Io, format!("{}: {e}", path.display())))?;
    Ok(path)
}
