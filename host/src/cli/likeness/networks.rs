//! What is compared of a network, read from its recording.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ndarray::{Array2, ArrayView1, Axis};
use pallium_core::{Error, Matrix, Result, Values, largest, random};
use pallium_likeness::{Activity, Flow, distances};
use pallium_record::identity::Cell;
use pallium_record::safetensors_file::from_bytes;
use pallium_record::training::TrainingFile;
use rand::seq::index::sample;
use safetensors::SafeTensors;

use super::{Likeness, LikenessMeasure};
use crate::cli::finished::FinishedRun;

/// What is compared of a network.
pub struct Compared {
    /// Activity at some states.
    pub activity: Activity,
    /// Distances between mean states.
    pub distances: Vec<f64>,
    /// The flow of activity.
    pub flow: Option<Flow>,
    /// What it answers at the scored steps.
    pub answers: Option<Answers>,
    /// Recurrent weights in the order of the units; none on connections.
    pub weights: Option<Matrix>,
    /// For pairs of units, the correlation of their activity and of the recorded neurons.
    pub recorded: Option<[Vec<f64>; 2]>,
}

/// A network's outputs at the scored steps of its trials.
pub enum Answers {
    /// The largest of several.
    Classes(Vec<u32>),
    /// All of them.
    Values(Vec<f64>),
}

/// Largest number of mean states whose distances are compared.
const STATES: usize = 200;

/// A recorded network.
struct Recording<'a> {
    file: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Recording<'_> {
    fn wrong(&self, what: &str) -> Error {
        Error::bug(format!("{}: {what}", self.file.display()))
    }

    fn single(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let tensor = self.tensors.tensor(name).map_err(|e| self.wrong(&e.to_string()))?;
        match from_bytes(tensor.dtype(), tensor.data()) {
            Some(Values::F32(values)) => Ok((tensor.shape().to_vec(), values)),
            _ => Err(self.wrong(&format!("`{name}` is not of single precision"))),
        }
    }

    fn whole(&self, name: &str) -> Result<Vec<i64>> {
        let tensor = self.tensors.tensor(name).map_err(|e| self.wrong(&e.to_string()))?;
        match from_bytes(tensor.dtype(), tensor.data()) {
            Some(Values::I64(values)) => Ok(values),
            _ => Err(self.wrong(&format!("`{name}` is not of whole numbers"))),
        }
    }

    /// The answers at the steps that count in the accuracy.
    fn answers(&self) -> Result<Answers> {
        let (shape, outputs) = self.single("logits")?;
        let (_, weights) = self.single("accuracy_weight")?;
        let width = shape.last().copied().unwrap_or(0).max(1);
        let scored = outputs.chunks(width).zip(&weights).filter(|(_, weight)| **weight > 0.0);
        let of_classes = self.whole("target").is_ok();
        Ok(match of_classes {
            true => Answers::Classes(scored.map(|(row, _)| largest(row.iter().copied())).collect()),
            false => Answers::Values(scored.flat_map(|(row, _)| row).map(|&v| f64::from(v)).collect()),
        })
    }

    /// Correlations of activity and of the recorded neurons, of each pair of units for
    /// which both are defined.
    fn beside_recorded(&self, rows: &Array2<f64>) -> Result<[Vec<f64>; 2]> {
        let tensor = self.tensors.tensor("recorded").map_err(|e| self.wrong(&e.to_string()))?;
        let Some(Values::F64(recorded)) = from_bytes(tensor.dtype(), tensor.data()) else {
            return Err(self.wrong("`recorded` is not of double precision"));
        };
        let units = rows.ncols();
        let mean = rows.mean_axis(Axis(0)).unwrap_or_default();
        let centred = rows - &mean;
        let sums = centred.t().dot(&centred);
        let (mut own, mut of_neurons) = (Vec::new(), Vec::new());
        for i in 0..units {
            for j in i + 1..units {
                let both = (sums[[i, i]] * sums[[j, j]]).sqrt();
                let value = recorded[i * units + j];
                if both > 0.0 && value.is_finite() {
                    own.push(sums[[i, j]] / both);
                    of_neurons.push(value);
                }
            }
        }
        Ok([own, of_neurons])
    }
}

/// What is compared of the network of `cell`, whose recording is `file`.
///
/// # Errors
/// If the file cannot be read.
pub fn read(run: &FinishedRun, cell: &Cell, file: &Path, args: &Likeness) -> Result<Compared> {
    let bytes = fs::read(file).map_err(|e| Error::io(file, &e))?;
    let tensors =
        SafeTensors::deserialize(&bytes).map_err(|e| Error::bug(format!("{}: {e}", file.display())))?;
    let recording = Recording { file, tensors };
    let (shape, values) = recording.single("activity")?;
    let &[trials, steps, units] = &shape[..] else {
        return Err(recording.wrong("activity does not have three axes"));
    };
    let (lengths, conditions) = (recording.whole("length")?, recording.whole("condition")?);
    let at = |trial: usize, step: usize| &values[(trial * steps + step) * units..][..units];
    // The same states of all networks of a task: their trials are the same.
    let all: Vec<(usize, usize)> =
        (0..trials).flat_map(|trial| (0..lengths[trial] as usize).map(move |step| (trial, step))).collect();
    let mut rng = random::stream(run.experiment.seed, "likeness");
    let points = args.points as usize;
    let mut chosen = sample(&mut rng, all.len(), points.min(all.len())).into_vec();
    chosen.sort_unstable();
    let rows = Array2::from_shape_fn((chosen.len(), units), |(row, unit)| {
        let (trial, step) = all[chosen[row]];
        f64::from(at(trial, step)[unit])
    });
    // The mean state of each condition at each step.
    let mut means: BTreeMap<(i64, usize), (Vec<f64>, f64)> = BTreeMap::new();
    for &(trial, step) in &all {
        let (sum, count) = means.entry((conditions[trial], step)).or_insert_with(|| (vec![0.0; units], 0.0));
        sum.iter_mut().zip(at(trial, step)).for_each(|(sum, value)| *sum += f64::from(*value));
        *count += 1.0;
    }
    let means: Vec<(Vec<f64>, f64)> = means.into_values().collect();
    let mut states = sample(&mut rng, means.len(), STATES.min(means.len())).into_vec();
    states.sort_unstable();
    let states = Array2::from_shape_fn((states.len(), units), |(row, unit)| {
        let (sum, count) = &means[states[row]];
        sum[unit] / count
    });
    let wants = |measure| args.measures.contains(&measure);
    let flow = wants(LikenessMeasure::Dsa).then(|| {
        let trial = |trial: usize| {
            let length = lengths[trial] as usize;
            Array2::from_shape_fn((length, units), |(step, unit)| f64::from(at(trial, step)[unit]))
        };
        let trials: Vec<Array2<f64>> = (0..trials).map(trial).collect();
        let longest = trials.iter().map(Array2::nrows).max().unwrap_or(0);
        match longest > args.delays as usize {
            true => Ok(Flow::new(&trials, args.delays as usize, args.rank as usize)),
            false => Err(Error::input(format!(
                "--delays {} is not below the number of steps of the longest trial, {longest}",
                args.delays
            ))
            .help(match longest {
                0..=1 => "leave out the measure dsa: these trials are too short".to_owned(),
                _ => format!("set --delays to at most {}", longest - 1),
            })),
        }
    });
    let flow = flow.transpose()?;
    Ok(Compared {
        flow: flow.flatten(),
        answers: if wants(LikenessMeasure::Answers) { Some(recording.answers()?) } else { None },
        recorded: match wants(LikenessMeasure::Recorded) {
            true => Some(recording.beside_recorded(&rows)?),
            false => None,
        },
        activity: Activity::new(&rows),
        distances: distances(states.view()),
        weights: weights(run, cell, &recording.whole("neuron")?)?,
    })
}

/// How often two networks answer alike: the share of equal answers, or Pearson's
/// correlation of values. NaN if they answered at different steps.
pub fn agreement(a: &Answers, b: &Answers) -> f64 {
    match (a, b) {
        (Answers::Classes(a), Answers::Classes(b)) if a.len() == b.len() => {
            a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
        }
        (Answers::Values(a), Answers::Values(b)) if a.len() == b.len() => {
            let centred = |values: &[f64]| {
                let own = ArrayView1::from(values);
                &own - own.mean().unwrap_or(0.0)
            };
            let (a, b) = (centred(a), centred(b));
            a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
        }
        _ => f64::NAN,
    }
}

/// The recurrent weights in the order of the units.
fn weights(run: &FinishedRun, cell: &Cell, neurons: &[i64]) -> Result<Option<Matrix>> {
    let stored = run.store.weights(cell)?;
    if stored.connections.is_some() {
        return Ok(None);
    }
    let about = TrainingFile::read(&run.store.root().join("cells").join(&cell.folder))?;
    if about.model_info.tensors.is_empty() {
        // An older folder, where unit i is neuron i.
        let block = about.model_info.single_block().and_then(|name| stored.block(name, neurons.len()));
        return Ok(block);
    }
    let matrix = about.model_info.recurrent_matrix(&stored.parameters)?;
    // Its rows are the neurons, then free units.
    let mut order: Vec<usize> = (0..neurons.len()).collect();
    order.sort_by_key(|&unit| if neurons[unit] < 0 { i64::MAX } else { neurons[unit] });
    let mut places = vec![0; order.len()];
    order.into_iter().enumerate().for_each(|(place, unit)| places[unit] = place);
    Ok((matrix.nrows() == places.len()).then(|| matrix.select(Axis(0), &places).select(Axis(1), &places)))
}
