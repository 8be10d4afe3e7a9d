//! Compares trainings with Keras and PyTorch.

use std::process::Command;

use pallium::plugins::Catalogue;
use pallium_benches::report::{Comparison, Timed};
use pallium_benches::turns::Side;
use pallium_benches::{inputs, scene};
use pallium_core::{Error, Result, Setting};

use crate::arguments::Paths;
use crate::rounds::{each, log, machine, take_turns, this_executable};

/// A comparison of trainings.
pub(crate) struct Trainings {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) variant: &'static str,
    pub(crate) task: &'static str,
    /// Overrides of the published study.
    pub(crate) sets: &'static [&'static str],
    /// Trainings of Pallium at once, one thread each.
    pub(crate) own: usize,
    /// Script, trainings at once, threads of each.
    pub(crate) peers: &'static [(&'static str, usize, usize)],
    pub(crate) goal: Option<f64>,
}

const TEN_STEPS: [&str; 2] = ["training.trials=1280", "training.validation=1"];

const ONE_CORE: [(&str, usize, usize); 2] = [("torch_rnn.py", 1, 1), ("keras_rnn.py", 1, 1)];

const BOTH_CORES: [(&str, usize, usize); 3] =
    [("keras_rnn.py", 1, 2), ("keras_rnn.py", 2, 1), ("torch_rnn.py", 2, 1)];

const KERAS_ALONE: [(&str, usize, usize); 1] = [("keras_rnn.py", 1, 2)];

pub(crate) const ONE_CHOICE: &str = "one-choice";

/// The tasks of the published study.
pub(crate) const TASKS: [&str; 3] = [ONE_CHOICE, "go-no-go", "perceptual-decision"];

const STEPS: &str = "10 training steps of the published size";

const EPOCH: &str = "an epoch of 40 steps and its 20 validation batches";

/// The comparisons of trainings. Variants that differ from one of these only in
/// weights or geometry cost the same.
pub(crate) fn trainings() -> Vec<Trainings> {
    let step = |name, variant, sets, goal| Trainings {
        name,
        what: STEPS,
        variant,
        task: ONE_CHOICE,
        sets,
        own: 1,
        peers: &ONE_CORE,
        goal,
    };
    let two = |name, variant, sets, goal| Trainings {
        name,
        what: EPOCH,
        variant,
        task: ONE_CHOICE,
        sets,
        own: 2,
        peers: &BOTH_CORES,
        goal,
    };
    let keras = |name, variant, task| Trainings {
        name,
        what: EPOCH,
        variant,
        task,
        sets: &[],
        own: 2,
        peers: &KERAS_ALONE,
        goal: None,
    };
    vec![
        step("step/none", "W", &["variant.W.constraints=[]"], Some(1.3)),
        step("step/distance", "WD*", &[], None),
        step("step/communicability", "W*D*C", &[], Some(2.5)),
        step("step/communicability-emd", "W*D*C*", &[], None),
        two("two/none", "W", &["variant.W.constraints=[]"], None),
        two("two/distance", "WD*", &[], Some(3.0)),
        two("two/communicability", "W*D*C", &[], Some(3.5)),
        two("two/communicability-emd", "W*D*C*", &[], Some(4.0)),
        keras("study/one-choice/l1", "W", "one-choice"),
        keras("study/go-no-go/l1", "W", "go-no-go"),
        keras("study/go-no-go/distance", "WD*", "go-no-go"),
        keras("study/go-no-go/communicability", "W*D*C", "go-no-go"),
        keras("study/go-no-go/communicability-emd", "W*D*C*", "go-no-go"),
        keras("study/perceptual-decision/l1", "W", "perceptual-decision"),
        keras("study/perceptual-decision/distance", "WD*", "perceptual-decision"),
        keras("study/perceptual-decision/communicability", "W*D*C", "perceptual-decision"),
        keras("study/perceptual-decision/communicability-emd", "W*D*C*", "perceptual-decision"),
    ]
}

pub(crate) fn trained(
    case: &Trainings,
    turns: usize,
    paths: &Paths,
    catalogue: &Catalogue,
) -> Result<Comparison> {
    let mut sets: Vec<String> = case.sets.iter().map(|&set| set.to_owned()).collect();
    if case.what == STEPS {
        sets.extend(TEN_STEPS.map(str::to_owned));
    }
    let cell = scene::cell(catalogue, case.variant, case.task, &sets)?;
    let folder = paths.inputs.join(case.name.replace('/', "-"));
    inputs::write(&cell, catalogue, &folder)?;

    let own = || -> Result<Command> {
        let mut command = this_executable()?;
        command.args(["train", "--variant", case.variant, "--task", case.task]);
        command.args(sets.iter().flat_map(|set| ["--set", set]));
        command.args(&paths.plugins);
        Ok(command)
    };
    let mut sides = vec![Side::start((0..case.own).map(|_| own()).collect::<Result<_>>()?)?];
    for &(script, processes, threads) in case.peers {
        let peer = |_| {
            let mut command = Command::new(&paths.python);
            command.arg(paths.scripts.join(script)).arg(&folder).arg(threads.to_string());
            command.stderr(log(&folder, script)?);
            Ok(command)
        };
        sides.push(Side::start((0..processes).map(peer).collect::<Result<_>>()?)?);
    }
    let rounds = take_turns(&mut sides, turns, case.own)?;

    let steps = catalogue.task(&cell.task_component, &Setting::default())?.info().steps;
    let step = scene::step_operations(312, cell.training.batch, steps);
    // A validation batch is a forward pass, a third of a step; less than one
    // batch is ignored.
    let batches = |trials: usize| (trials / cell.training.batch) as f64;
    let operations = step * (batches(cell.training.trials) + batches(cell.training.validation) / 3.0);
    let mut timed = sides.iter().enumerate().map(|(at, side)| {
        let (name, threads) = match at {
            0 => ("Pallium".to_owned(), 1),
            _ => (side.about["peer"].as_str().unwrap_or("?").to_owned(), case.peers[at - 1].2),
        };
        Timed {
            name,
            at_once: side.processes(),
            threads,
            seconds: each(&rounds, |round| round.turns[at].wall / side.processes() as f64),
            first: side.about["seconds"].as_f64(),
            note: String::new(),
        }
    });
    let own = timed.next().ok_or_else(|| Error::bug("no side"))?;
    let peers: Vec<Timed> = timed.collect();
    agree(case.name, &sides);
    Ok(Comparison {
        case: case.name.into(),
        what: case.what.into(),
        own,
        peers,
        operations: Some(operations),
        peak: each(&rounds, |round| round.peak),
        goal: case.goal,
        machine: machine(),
        others: each(&rounds, |round| round.others),
    })
}

/// Warns if the sides did different work: their running losses in the first
/// epoch should differ only by the random input weights and noise.
fn agree(case: &str, sides: &[Side]) {
    let losses: Vec<f64> = sides.iter().map(|s| s.about["loss"].as_f64().unwrap_or(f64::NAN)).collect();
    if losses
        .iter()
        .any(|loss| (loss / losses[0] - 1.0).abs().partial_cmp(&0.1) != Some(std::cmp::Ordering::Less))
    {
        eprintln!("warning: {case}: the sides' losses differ: {losses:?}");
    }
}
