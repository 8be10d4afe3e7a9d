//! Perturbations: noise on weights, states or inputs, and changes of all weights.

use ndarray::{Array2, Array3, Axis, s};
use pallium_core::{Batch, BatchView, Error, Model, ModelInfo, Result, Tensor, random};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::network::each_block;

/// What a perturbation changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// w·(1 + σ·ξ) for every recurrent weight.
    WeightNoise,
    /// The recurrent weights times a factor.
    WeightScale,
    /// The recurrent weights of existing connections, permuted among them.
    WeightShuffle,
    /// σ·ξ added to the hidden activity after every step, in units of its root mean
    /// square.
    StateNoise,
    /// σ·ξ added to every input at every step.
    InputNoise,
}

/// A perturbation, as `weights:noise:0.1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Perturbation {
    /// How it was written.
    pub text: String,
    /// What it changes.
    pub kind: Kind,
    /// σ or the factor; 0 for a permutation.
    pub size: f64,
}

const FORMS: &str =
    "weights:noise:0.1, weights:scale:0.9, weights:shuffle, states:noise:0.1 or inputs:noise:0.1";

impl Perturbation {
    /// Parses a perturbation; one for each of several sizes.
    ///
    /// # Errors
    /// If it has another form.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let wrong =
            |why: String| Error::input(format!("--perturb {text}: {why}")).help(format!("such as {FORMS}"));
        let parts: Vec<&str> = text.splitn(3, ':').collect();
        let kind = match parts[..] {
            ["weights", "noise", _] => Kind::WeightNoise,
            ["weights", "scale", _] => Kind::WeightScale,
            ["weights", "shuffle"] => {
                return Ok(vec![Perturbation {
                    text: text.to_owned(),
                    kind: Kind::WeightShuffle,
                    size: 0.0,
                }]);
            }
            ["states", "noise", _] => Kind::StateNoise,
            ["inputs", "noise", _] => Kind::InputNoise,
            _ => return Err(wrong("this is not a perturbation".into())),
        };
        let sizes = parts[2];
        sizes
            .split(',')
            .map(|one| {
                let size: f64 = one.trim().parse().map_err(|_| wrong(format!("`{one}` is not a number")))?;
                let least = if kind == Kind::WeightScale { f64::MIN } else { 0.0 };
                if !size.is_finite() || size < least {
                    return Err(wrong(format!("`{one}` must be a number of at least 0")));
                }
                let text = format!("{}{}", &text[..text.len() - sizes.len()], one.trim());
                Ok(Perturbation { text, kind, size })
            })
            .collect()
    }

    /// Whether it has random draws.
    pub fn is_random(&self) -> bool {
        self.kind != Kind::WeightScale
    }

    /// Changes the recurrent weights in a state, if it concerns them.
    pub(super) fn of_weights(&self, info: &ModelInfo, state: &mut [Tensor], seed: u64) -> Result<()> {
        let mut rng = random::stream(seed, &format!("perturbation {}", self.text));
        match self.kind {
            Kind::WeightNoise => each_block(info, state, |mut block, _, _| {
                for weight in block.iter_mut().filter(|weight| **weight != 0.0) {
                    let factor = 1.0 + self.size * rng.sample::<f64, _>(StandardNormal);
                    *weight = (f64::from(*weight) * factor) as f32;
                }
            }),
            Kind::WeightScale => each_block(info, state, |mut block, _, _| {
                block.mapv_inplace(|weight| (f64::from(weight) * self.size) as f32);
            }),
            Kind::WeightShuffle => each_block(info, state, |mut block, rows, columns| {
                // A connection of a unit to itself stays one.
                let exists = |at: (usize, usize), weight: f32| {
                    weight != 0.0 && rows.start + at.0 != columns.start + at.1
                };
                let mut values: Vec<f32> =
                    block.indexed_iter().filter(|(at, w)| exists(*at, **w)).map(|(_, w)| *w).collect();
                values.shuffle(&mut rng);
                let mut next = values.into_iter();
                for (at, weight) in block.indexed_iter_mut() {
                    if exists(at, *weight) {
                        *weight = next.next().unwrap_or(*weight);
                    }
                }
            }),
            Kind::StateNoise | Kind::InputNoise => Ok(()),
        }
    }

    /// Noise on the inputs of a batch (trials × steps × channels), 0 past the end of a
    /// trial.
    pub(super) fn of_inputs(&self, batch: &Batch, seed: u64) -> Array3<f64> {
        let mut rng = random::stream(seed, &format!("perturbation {}", self.text));
        let mut noise = Array3::zeros(batch.inputs.dim());
        for (trial, &length) in batch.lengths.iter().enumerate() {
            for value in noise.slice_mut(s![trial, ..length as usize, ..]) {
                *value = self.size * rng.sample::<f64, _>(StandardNormal);
            }
        }
        noise
    }
}

/// Runs trials step by step in double precision, with noise on the hidden activity,
/// and reads the outputs out linearly.
pub(super) struct Stepwise {
    units: usize,
    width: usize,
    readout: Array2<f64>,
    bias: Vec<f64>,
}

/// Largest difference between outputs that are computed in single and in double
/// precision, relative to the largest output.
const SAME: f64 = 1e-3;

impl Stepwise {
    /// For a model whose outputs are a linear read-out of its hidden activity.
    ///
    /// # Errors
    /// If the model does not offer its step, or has no such read-out.
    pub fn new(model: &dyn Model, info: &ModelInfo) -> Result<Self> {
        let unsupported = |why: &str| {
            Error::unsupported(format!("states cannot be perturbed: {why}"))
                .help("perturb the weights or the inputs of this model instead")
        };
        if info.states.is_empty() {
            return Err(unsupported("the model does not offer its step"));
        }
        let parameters = model.parameters()?;
        let find = |name: &str| parameters.iter().find(|parameter| parameter.name == name);
        let (Some(readout), Some(bias)) = (find("readout"), find("readout_bias")) else {
            return Err(unsupported("the model has no parameters `readout` and `readout_bias`"));
        };
        let readout = readout.matrix()?.mapv(f64::from);
        if readout.nrows() != info.units || info.states[0].length != info.units {
            return Err(unsupported("its read-out does not read its hidden activity"));
        }
        let bias = bias.values.iter().map(|&value| f64::from(value)).collect();
        let width = info.states.iter().map(|part| part.length).sum();
        Ok(Stepwise { units: info.units, width, readout, bias })
    }

    /// The outputs of the scored steps, in their order, and the root mean square of the
    /// hidden activity. `noise` is added to the activity after each step.
    pub fn outputs(
        &self,
        model: &dyn Model,
        batch: &BatchView<'_>,
        mut noise: Option<(f64, &mut random::Stream)>,
    ) -> Result<(Array2<f32>, f64)> {
        let (trials, steps, _) = batch.dim();
        let mut states = Array2::<f64>::zeros((trials, self.width));
        let scored: Vec<_> = batch.scored().collect();
        let mut outputs = Array2::zeros((scored.len(), self.bias.len()));
        let (mut squares, mut count, mut row) = (0.0, 0, 0);
        for step in 0..steps {
            let inputs = batch.inputs.index_axis(Axis(1), step).mapv(f64::from);
            states = model.step(states.view(), inputs.view())?;
            if let Some((size, rng)) = &mut noise {
                let hidden = states.slice_mut(s![.., ..self.units]);
                hidden.into_iter().for_each(|value| *value += *size * rng.sample::<f64, _>(StandardNormal));
            }
            for trial in (0..trials).filter(|&trial| step < batch.lengths[trial] as usize) {
                let hidden = states.slice(s![trial, ..self.units]);
                squares += hidden.iter().map(|value| value * value).sum::<f64>();
                count += hidden.len();
            }
            while let Some(at) = scored.get(row).filter(|at| at.step == step) {
                let out = states.slice(s![at.trial, ..self.units]).dot(&self.readout);
                for ((to, value), bias) in outputs.row_mut(row).iter_mut().zip(&out).zip(&self.bias) {
                    *to = (value + bias) as f32;
                }
                row += 1;
            }
        }
        Ok((outputs, (squares / count.max(1) as f64).sqrt()))
    }

    /// The root mean square of the hidden activity.
    ///
    /// # Errors
    /// If the outputs are not those of the model, so that its step does not describe
    /// it.
    pub fn check(&self, model: &dyn Model, batch: &BatchView<'_>, expected: &Array2<f32>) -> Result<f64> {
        let (outputs, size) = self.outputs(model, batch, None)?;
        let largest = expected.iter().fold(1.0_f64, |most, value| most.max(f64::from(value.abs())));
        let apart = outputs.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        if apart > SAME * largest {
            return Err(Error::unsupported(format!(
                "states cannot be perturbed: outputs computed from the model's step differ by {apart:.2e}"
            ))
            .help("perturb the weights or the inputs of this model instead"));
        }
        Ok(size)
    }
}
