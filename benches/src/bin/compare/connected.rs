//! Compares training steps of networks on connections with sparse products of
//! PyTorch and JAX.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use clap::Args;
use ndarray::{Array1, Array2, s};
use ndarray_npy::{WriteNpyExt, write_npy};
use pallium::plugins::Catalogue;
use pallium_benches::report::{Comparison, Sample, Timed, digits, seconds};
use pallium_benches::turns::Side;
use pallium_benches::{scene, turns};
use pallium_core::{
    Batch, Constraint, Error, Kind, Learned, Matrix, Mode, Model, Moment, Optimizer, Point, Result, Setting,
    SparseWeights, WeightRequest, random,
};
use pallium_record::spec::Use;
use rand::Rng;
use serde_json::json;

use crate::arguments::Paths;
use crate::rounds::{Round, each, log, machine, take_turns, this_executable};

/// The network and the batch of a case.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Size {
    #[arg(long)]
    units: usize,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    trials: usize,
    #[arg(long)]
    steps: usize,
}

#[derive(Args, Debug)]
pub(crate) struct ConnectedPart {
    #[command(flatten)]
    size: Size,
    #[arg(long)]
    threads: usize,
    /// Adds `spatial.communicability` on these connections.
    #[arg(long)]
    communicability: bool,
    /// Distances are 0 except from so many neurons, so that an exact penalty can be
    /// computed of a large network.
    #[arg(long)]
    rows: Option<usize>,
    /// Writes the network and the batch to this folder, for the peers; with
    /// `--communicability` also the penalty, its gradient and the distances, for
    /// `communicability.py`.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Number of steps after which the loss is reported too, for peers that take
    /// fewer steps.
    #[arg(long)]
    also: Vec<usize>,
    plugins: Vec<PathBuf>,
}

/// Another side: a script with its kind of product and its number of steps, since
/// some would take minutes; or Pallium itself in another way.
enum Peer {
    Script(&'static str, &'static str, usize),
    Pallium { threads: usize },
}

struct Case {
    name: &'static str,
    size: Size,
    threads: usize,
    communicability: bool,
    peers: &'static [Peer],
    goal: Option<f64>,
}

/// The volume of MICrONS, and a batch of the published study.
const VOLUME: Size = Size { units: 15_448, connections: 300_000, trials: 128, steps: 50 };

/// The whole brain of a fly.
const FLY: Size = Size { units: 139_000, connections: 15_000_000, trials: 16, steps: 10 };

const JAX: &str = "jax_connections.py";
const TORCH: &str = "torch_connections.py";

const OTHERS: [Peer; 4] = [
    Peer::Script(JAX, "bcoo", 10),
    Peer::Script(JAX, "segment-sum", 10),
    Peer::Script(TORCH, "coo", 5),
    Peer::Script(TORCH, "gather", 5),
];

const CASES: [Case; 6] = [
    Case {
        name: "connections/one",
        size: VOLUME,
        threads: 1,
        communicability: false,
        peers: &OTHERS,
        goal: Some(10.0),
    },
    Case {
        name: "connections/both",
        size: VOLUME,
        threads: 2,
        communicability: false,
        peers: &OTHERS,
        goal: Some(10.0),
    },
    Case {
        name: "connections/csr",
        size: VOLUME,
        threads: 1,
        communicability: false,
        peers: &[Peer::Script(TORCH, "csr", 2)],
        goal: None,
    },
    Case {
        name: "connections/threads",
        size: VOLUME,
        threads: 2,
        communicability: false,
        peers: &[Peer::Pallium { threads: 1 }],
        goal: Some(1.7),
    },
    Case {
        name: "connections/communicability",
        size: VOLUME,
        threads: 1,
        communicability: true,
        peers: &[Peer::Pallium { threads: 1 }],
        goal: Some(1.0 / 1.5),
    },
    Case {
        name: "connections/fly",
        size: FLY,
        threads: 1,
        communicability: false,
        peers: &[Peer::Script(JAX, "bcoo", 2)],
        goal: None,
    },
];

/// The names of the cases.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}

/// Measures a case.
pub(crate) fn connected(name: &str, turns: usize, paths: &Paths) -> Result<Comparison> {
    let case = CASES.iter().find(|case| case.name == name).ok_or_else(|| Error::bug("no such case"))?;
    let folder = paths.inputs.join(name.replace('/', "-"));
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, &e))?;
    let own = |threads: usize, communicability: bool| -> Result<Command> {
        let mut command = this_executable()?;
        let Size { units, connections, trials, steps } = case.size;
        command.arg("connected");
        for (name, value) in [
            ("--units", units),
            ("--connections", connections),
            ("--trials", trials),
            ("--steps", steps),
            ("--threads", threads),
        ] {
            command.args([name, &value.to_string()]);
        }
        if communicability {
            command.arg("--communicability");
        }
        Ok(command)
    };
    let mut first = own(case.threads, case.communicability)?;
    first.arg("--write").arg(&folder);
    for peer in case.peers {
        if let Peer::Script(_, _, steps) = peer {
            first.args(["--also", &steps.to_string()]);
        }
    }
    first.args(&paths.plugins);
    let mut sides = vec![Side::start(vec![first])?];
    for peer in case.peers {
        let command = match peer {
            Peer::Script(script, kind, steps) => {
                let mut command = Command::new(&paths.python);
                command.arg(paths.scripts.join(script)).arg(&folder);
                command.args([&case.threads.to_string(), *kind, &steps.to_string()]);
                command.stderr(log(&folder, &format!("{kind}.py"))?);
                command
            }
            Peer::Pallium { threads } => {
                let mut command = own(*threads, false)?;
                command.args(&paths.plugins);
                command
            }
        };
        sides.push(Side::start(vec![command])?);
    }
    let rounds = take_turns(&mut sides, turns, case.threads)?;
    agree(case, &sides);
    let timed = |at: usize, name: String, threads: usize, steps: usize| {
        timed(&rounds, &sides[at], at, name, threads, case.size.steps, steps)
    };
    let peers = case.peers.iter().enumerate().map(|(at, peer)| match peer {
        Peer::Script(_, kind, steps) => {
            let name = format!("{} {kind}", sides[at + 1].about["peer"].as_str().unwrap_or("?"));
            timed(at + 1, name, case.threads, *steps)
        }
        Peer::Pallium { threads } => timed(at + 1, "Pallium, plain".into(), *threads, case.size.steps),
    });
    let Size { units, connections, trials, steps } = case.size;
    Ok(Comparison {
        case: name.into(),
        what: format!(
            "a training step of {units} units with {connections} connections, {trials} trials of {steps} steps"
        ),
        peers: peers.collect(),
        own: timed(0, "Pallium".into(), case.threads, case.size.steps),
        operations: Some(6.0 * (connections * trials * steps) as f64),
        peak: each(&rounds, |round| round.peak),
        goal: case.goal,
        machine: machine(),
        others: each(&rounds, |round| round.others),
    })
}

/// The turns of a side that takes `steps` of the case's `all` steps. The remark has
/// its memory and its processor time: a program on a busy machine has less processor
/// time than time by the clock.
fn timed(
    rounds: &[Round],
    side: &Side,
    at: usize,
    name: String,
    threads: usize,
    all: usize,
    steps: usize,
) -> Timed {
    // The first step has no product.
    let factor = (all - 1) as f64 / (steps - 1) as f64;
    let cpu = |at: usize| each(rounds, |round| round.turns[at].cpu);
    let ratio: Vec<f64> = cpu(at).0.iter().zip(&cpu(0).0).map(|(side, own)| factor * side / own).collect();
    let extent = if steps == all { String::new() } else { format!("{steps} steps, extrapolated; ") };
    let note = format!(
        "{extent}{} of processor time ({} × Pallium's), {} GB",
        seconds(factor * cpu(at).median()),
        digits(Sample(ratio).median()),
        digits(side.memory_mb() / 1e3)
    );
    Timed {
        name,
        at_once: 1,
        threads,
        seconds: each(rounds, |round| factor * round.turns[at].wall),
        first: None,
        note,
    }
}

/// Warns if a peer's first loss is not Pallium's after as many steps.
fn agree(case: &Case, sides: &[Side]) {
    for (peer, side) in case.peers.iter().zip(&sides[1..]) {
        let Peer::Script(_, kind, steps) = peer else { continue };
        let loss = |side: &Side, key: &str| side.about[key].as_f64().unwrap_or(f64::NAN);
        let (own, theirs) = (loss(&sides[0], &format!("loss_{steps}")), loss(side, "loss"));
        if (theirs / own - 1.0).abs().partial_cmp(&1e-4) != Some(std::cmp::Ordering::Less) {
            eprintln!("warning: {}: the first loss of {kind} is {theirs}, Pallium's {own}", case.name);
        }
    }
}

/// A network on connections, its optimizer and a penalty.
struct Trained {
    weights: SparseWeights,
    model: Box<dyn Model>,
    optimizer: Box<dyn Optimizer>,
    penalty: Option<Box<dyn Constraint>>,
    distance: Matrix,
    batch: Batch,
    updates: u64,
}

/// Trains on connections, a step per turn.
pub(crate) fn step_in_turns(part: &ConnectedPart) -> Result<()> {
    let mut trained = Trained::new(part)?;
    let mut about = serde_json::Map::new();
    for &steps in &part.also {
        about.insert(format!("loss_{steps}"), json!(trained.loss(steps)?));
    }
    if let Some(folder) = &part.write {
        trained.write(folder)?;
        if part.communicability {
            trained.write_penalty(folder)?;
        }
    }
    trained.step()?;
    turns::ready(&about.into())?;
    while turns::wait()? {
        let clock = Instant::now();
        let loss = trained.step()?;
        turns::done(&json!({ "seconds": clock.elapsed().as_secs_f64(), "loss": loss }))?;
    }
    Ok(())
}

impl Trained {
    fn new(part: &ConnectedPart) -> Result<Self> {
        let Size { units, connections, trials, steps } = part.size;
        let catalogue = Catalogue::load(&part.plugins)?;
        let density = connections as f64 / (units * (units - 1)) as f64;
        let bare = Setting { threads: part.threads, neurons: Some(units), seed: 1, ..Setting::default() };
        let request =
            WeightRequest { neurons: units, substrate: None, seed: 1, draw: None, connections: None };
        let drawn = scene::component("init.sparse", json!({ "density": density, "diagonal": "zero" }));
        let weights = catalogue.weights(&drawn, &bare)?.sparse(&request)?;
        let mut task = catalogue.task(&Use::new("cognition.one-choice"), &bare)?;
        let info = task.info();
        let mut batch = task.trials(trials, 1)?;
        if batch.inputs.dim().1 != steps {
            batch = first_steps(&batch, steps)?;
        }
        // Somata anywhere in a cube.
        let mut stream = random::stream(1, "positions");
        let at: Vec<[f32; 3]> = (0..units).map(|_| stream.random()).collect();
        let rows = part.rows.unwrap_or(units);
        let between = |(i, j): (usize, usize)| {
            if i >= rows {
                return 0.0;
            }
            at[i].iter().zip(at[j]).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
        };
        let pairs = weights.connections.view();
        let distance = Matrix::from_shape_vec((1, pairs.len()), pairs.pairs().map(between).collect())
            .map_err(|e| Error::bug(e.to_string()))?;
        let setting = Setting {
            inputs: Some(info.inputs),
            outputs: Some(info.outputs),
            loss: Some(info.loss),
            connections: Some(pairs),
            distance: Some(distance.view()),
            ..bare
        };
        let mut model = catalogue.model(&Use::new("rnn.vanilla"), &setting)?;
        let recurrent = Matrix::from_shape_vec((1, pairs.len()), weights.values.clone())
            .map_err(|e| Error::bug(e.to_string()))?;
        model.initialise(recurrent.view(), 1)?;
        let optimizer = catalogue.optimizer(&Use::new("optimizer.adam"), &bare)?;
        let penalty = match part.communicability {
            true => Some(catalogue.constraint(&Use::new("spatial.communicability"), &setting)?),
            false => None,
        };
        Ok(Trained { weights, model, optimizer, penalty, distance, batch, updates: 0 })
    }

    /// The loss before training of the first `steps` steps, without noise.
    fn loss(&mut self, steps: usize) -> Result<f64> {
        let batch = first_steps(&self.batch, steps)?;
        let mut outputs = self.outputs();
        self.model.forward(&batch.view(), Mode::Evaluate, outputs.view_mut())?;
        Ok(pallium_core::Loss::CrossEntropy.compare(&batch.view(), outputs.view(), None)?.mean())
    }

    fn outputs(&self) -> Array2<f32> {
        let outputs = self.model.info().parameters.last().map_or(0, |bias| bias.shape[0]);
        Array2::zeros((self.batch.view().scored().count(), outputs))
    }

    fn step(&mut self) -> Result<f64> {
        let batch = self.batch.view();
        let mut outputs = self.outputs();
        let mut gradient = outputs.clone();
        self.updates += 1;
        let mode = Mode::Train { noise_seed: self.updates };
        self.model.forward(&batch, mode, outputs.view_mut())?;
        let loss =
            pallium_core::Loss::CrossEntropy.compare(&batch, outputs.view(), Some(gradient.view_mut()))?;
        self.model.backward(gradient.view(), None)?;
        let info = self.model.info();
        let mut learned = self.model.learned()?;
        if let (Some(penalty), Some(recurrent)) = (&mut self.penalty, learned.first_mut()) {
            add_penalty(&mut **penalty, &self.weights, recurrent.values, recurrent.gradient)?;
        }
        let mut given: Vec<Learned<'_>> =
            learned.iter_mut().map(|one| one.learned(&info.parameters[one.index])).collect();
        self.optimizer.update(&mut given, &Moment::new(self.updates))?;
        Ok(loss.mean())
    }

    /// Writes the penalty at the first weights, its gradient and the distances, in the
    /// order of the connections by their sources.
    fn write_penalty(&mut self, folder: &Path) -> Result<()> {
        let Some(penalty) = &mut self.penalty else { return Ok(()) };
        let mut gradient = vec![0.0; self.weights.values.len()];
        let value = add_penalty(&mut **penalty, &self.weights, &self.weights.values, &mut gradient)?;
        let pairs = self.weights.connections.view();
        save(folder, "row", &pairs.pairs().map(|(from, _)| from as i32).collect::<Array1<_>>())?;
        save(folder, "column", &pairs.pairs().map(|(_, to)| to as i32).collect::<Array1<_>>())?;
        save(folder, "weight", &Array1::from(self.weights.values.clone()))?;
        save(folder, "distance", &self.distance)?;
        save(folder, "penalty", &Array1::from(vec![value]))?;
        save(folder, "gradient", &Array1::from(gradient))
    }

    /// Writes the connections, the parameters and the batch.
    fn write(&self, folder: &Path) -> Result<()> {
        let (into, places) = self.weights.connections.view().reversed();
        let to: Array1<i32> = into.view().pairs().map(|(to, _)| to as i32).collect();
        let from: Array1<i32> = into.view().indices().iter().map(|&from| from as i32).collect();
        let values: Array1<f32> = places.iter().map(|&at| self.weights.values[at as usize]).collect();
        save(folder, "to", &to)?;
        save(folder, "from", &from)?;
        save(folder, "values", &values)?;
        save(folder, "inputs", &self.batch.inputs)?;
        let last = self.batch.inputs.dim().1 - 1;
        let labels = self.batch.targets.view().classes()?.column(last).mapv(|class| class as i32);
        save(folder, "labels", &labels)?;
        for parameter in self.model.parameters()?.into_iter().skip(1) {
            let values = ndarray::ArrayView::from_shape(parameter.shape, parameter.values)
                .map_err(|e| Error::bug(e.to_string()))?;
            save(folder, parameter.name, &values)?;
        }
        Ok(())
    }
}

/// Writes an array as `NAME.npy`.
fn save(folder: &Path, name: &str, array: &(impl WriteNpyExt + ?Sized)) -> Result<()> {
    let path = folder.join(format!("{name}.npy"));
    write_npy(&path, array).map_err(|e| Error::new(Kind::Io, format!("{}: {e}", path.display())))
}

/// Returns the penalty on weights of these connections, and adds its gradient.
fn add_penalty(
    penalty: &mut dyn Constraint,
    network: &SparseWeights,
    weights: &[f32],
    gradient: &mut [f32],
) -> Result<f64> {
    let shape = (1, weights.len());
    let wrong = |e: ndarray::ShapeError| Error::bug(e.to_string());
    let weights = ndarray::ArrayView2::from_shape(shape, weights).map_err(wrong)?;
    let gradient = ndarray::ArrayViewMut2::from_shape(shape, gradient).map_err(wrong)?;
    let mut point = Point::new("recurrent");
    point.connections = Some(network.connections.view());
    penalty.penalty(weights, gradient, &point)
}

/// The first steps of a batch, with the labels at their end.
fn first_steps(batch: &Batch, steps: usize) -> Result<Batch> {
    let (trials, all, channels) = batch.inputs.dim();
    let mut first = Batch::zeros(trials, steps, channels);
    first.inputs.assign(&batch.inputs.slice(s![.., ..steps, ..]));
    for (trial, class) in batch.targets.view().classes()?.column(all - 1).iter().enumerate() {
        first.label_at_end(trial, *class);
    }
    Ok(first)
}
