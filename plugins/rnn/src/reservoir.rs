//! `rnn.reservoir`: an echo-state network.

use pallium_core::ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};
use rand::Rng;

use crate::common::{
    check_batch, check_cotangents, check_states, copy_inputs, expect_outputs, expect_square, leak_of,
    no_activity, no_gradient, no_pass, parts_mut, sizes, wrong_size,
};
use crate::elementwise::tanh_leaky;
use crate::regression::Regression;
use crate::wiring::{Chosen, UnitChoice, Wiring};

pallium_core::params! {
    /// Parameters of the reservoir and of its read-out.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// α, the fraction of the state that is replaced at each step; above 0
        /// and at most 1.
        leak: f64 = 1.0,
        /// Range s of the input weights, which are uniform between −s and s (at
        /// least 0).
        input_scale: f64 = 1.0,
        /// Range s of the biases, which are uniform between −s and s (at least
        /// 0).
        bias_scale: f64 = 0.1,
        /// λ of the ridge regression, relative to the mean squared activity
        /// (above 0).
        ridge: f64 = 1e-4,
        /// Units that receive input: a number of them, drawn with the run's seed,
        /// or a list of indices, counted from 0. The input weights of all others
        /// are 0. All units if left out.
        input_units: Option<UnitChoice> = None,
        /// Units that are read out, as for `input_units`.
        readout_units: Option<UnitChoice> = None,
    }
}

/// An echo-state network (Jaeger 2001; Lukoševičius 2012): a recurrent layer
/// that is never trained,
///
/// > h_t = (1 − α)·h_{t−1} + α·tanh(x_t·Wx + h_{t−1}·W + b), h_0 = 0,
///
/// and a linear read-out y = h·Wo + bo, trained by ridge regression on the
/// targets t: it minimizes ⟨|y − t|²⟩ + λ·|Wo|², where ⟨ ⟩ is the mean over
/// all scored steps seen so far, weighted by the mask. The regression is solved
/// after every batch. A second epoch only adds further draws of the input noise.
///
/// For classes, t is 1 for the correct class and 0 for the others, so that y
/// estimates the probability of each; the outputs are ln y, with y raised to at
/// least 0.001, whose softmax is y scaled to a sum of 1. For values the outputs
/// are y; under a Poisson loss ln y, with y raised to at least 0.001.
///
/// The recurrent weights are used as given. To scale them, use
/// `circuit.spectral-radius`: like all hard constraints, it is applied once.
/// Penalties are refused.
pub(crate) struct Reservoir {
    params: Params,
    wiring: Wiring,
    /// The units that are read out.
    read: Chosen,
    neurons: usize,
    channels: usize,
    outputs: usize,
    loss: Loss,
    /// N×N.
    recurrent: Vec<f32>,
    /// Wx and, below it, b: (C + 1) × N.
    drive: Vec<f32>,
    /// Wo and, below it, bo: (N + 1) × classes.
    readout: Vec<f32>,
    regression: Regression,
    /// Steps and trials of the last pass that kept the activity, and whether it
    /// was a training pass.
    pass: Option<(usize, usize, bool)>,
    differentiated: bool,
    parameters: Vec<ParameterInfo>,
    /// What the last pass that kept the activity left, and what an evaluation did.
    kept: Buffers,
    evaluated: Buffers,
}

/// What a pass computes.
#[derive(Default)]
struct Buffers {
    /// steps × trials × (C + 1), the last channel 1.
    inputs: Vec<f32>,
    /// steps × trials × N.
    hidden: Vec<f32>,
    scored: ScoredSteps,
}

/// The scored steps of the last pass.
#[derive(Default)]
struct ScoredSteps {
    /// Activity followed by a 1, N + 1 values each.
    states: Vec<f32>,
    /// What the read-out shall give, scored × outputs.
    targets: Vec<f64>,
    weights: Vec<f32>,
}

impl ScoredSteps {
    fn clear(&mut self) {
        self.states.clear();
        self.targets.clear();
        self.weights.clear();
    }
}

/// The least value of which a logarithm is taken.
const FLOOR: f32 = 1e-3;

impl Component for Reservoir {
    const ID: &'static str = "rnn.reservoir";
    const ABOUT: &'static str = "echo-state network: fixed recurrent weights, read-out by ridge regression";
    const CITE: &'static str = "Jaeger 2001, GMD Report 148; Lukoševičius 2012, Neural Networks: Tricks of the \
                                Trade 659; Hoerl and Kennard 1970";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("noise", params.noise)?;
        leak_of(params.leak)?;
        one_of_range("input_scale", params.input_scale, 0.0, 1e6)?;
        one_of_range("bias_scale", params.bias_scale, 0.0, 1e6)?;
        one_of_range("ridge", params.ridge, 0.0, 1e12)?;
        if params.ridge < 1e-12 {
            return Err(Error::input(format!("parameter `ridge` is {}", params.ridge))
                .help("it must be at least 1e-12: otherwise the regression has no solution for perfectly correlated neurons"));
        }
        let (neurons, channels, outputs) = sizes(setting)?;
        use ParameterKind::{Input, Other, Readout, Recurrent};
        let parameters = vec![
            ParameterInfo::new("recurrent", [neurons, neurons], Recurrent).fixed(),
            ParameterInfo::new("input", [channels, neurons], Input).fixed(),
            ParameterInfo::new("bias", [neurons], Other).fixed(),
            ParameterInfo::new("readout", [neurons, outputs], Readout),
            ParameterInfo::new("readout_bias", [outputs], Other),
        ];
        let wiring = Wiring { input: params.input_units.clone(), readout: params.readout_units.clone() };
        let mut model = Reservoir {
            params,
            wiring,
            read: Chosen::default(),
            neurons,
            channels,
            outputs,
            loss: setting.loss.unwrap_or_default(),
            recurrent: Vec::new(),
            drive: Vec::new(),
            readout: Vec::new(),
            regression: Regression::default(),
            pass: None,
            differentiated: false,
            parameters,
            kept: Buffers::default(),
            evaluated: Buffers::default(),
        };
        model.initialise(Matrix::zeros((neurons, neurons)).view(), setting.seed)?;
        Ok(model)
    }
}
pallium_core::register!(Model, Reservoir);

impl Reservoir {
    /// Computes a step from `previous` (none at the first step) and `input`.
    fn advance(&self, input: &[f32], previous: Option<&[f32]>, zeros: &[f32], next: &mut [f32]) {
        let n = self.neurons;
        product(next, Write::Replace, View::new(input, self.channels + 1), View::new(&self.drive, n), 1.0);
        if let Some(previous) = previous {
            product(next, Write::Add, View::new(previous, n), View::new(&self.recurrent, n), 1.0);
        }
        tanh_leaky(next, previous.unwrap_or(zeros), self.params.leak as f32);
    }

    /// The recurrent and the input weights, and x·Wx + h·W + b, in double precision.
    fn driven(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>, Array2<f64>)> {
        let (n, c) = (self.neurons, self.channels);
        check_states(states, inputs, n, c)?;
        let wide = |rows: usize, values: &[f32]| {
            let values = values.iter().map(|&value| f64::from(value)).collect();
            Array2::from_shape_vec((rows, n), values).map_err(wrong_size)
        };
        let recurrent = wide(n, &self.recurrent)?;
        let (input, bias) = self.drive.split_at(c * n);
        let (input, bias) = (wide(c, input)?, wide(1, bias)?);
        let driven = states.dot(&recurrent) + inputs.dot(&input) + bias;
        Ok((recurrent, input, driven))
    }

    /// Runs the inputs, keeping all states (0 past a trial's end) and the scored
    /// ones.
    fn run(&self, batch: &BatchView<'_>, buffers: &mut Buffers) -> Result<()> {
        let Buffers { inputs, hidden, scored } = buffers;
        let k = self.outputs;
        let (trials, steps, _) = batch.dim();
        let (n, width) = (self.neurons, self.channels + 1);
        let size = trials * n;
        hidden.clear();
        hidden.resize(steps * size, 0.0);
        scored.clear();
        let zeros = vec![0.0; size];
        for step in 0..steps {
            let (before, now) = hidden.split_at_mut(step * size);
            let previous = step.checked_sub(1).map(|last| &before[last * size..]);
            let next = &mut now[..size];
            self.advance(&inputs[step * trials * width..][..trials * width], previous, &zeros, next);
            for (trial, row) in next.chunks_exact_mut(n).enumerate() {
                if batch.lengths[trial] as usize <= step {
                    row.fill(0.0);
                }
                let weight = batch.mask[[trial, step]];
                if weight > 0.0 {
                    // Units that are not read out are 0 to the regression, and so
                    // are their weights.
                    let read = |(unit, &h)| if self.read.contains(unit) { h } else { 0.0 };
                    scored.states.extend(row.iter().enumerate().map(read));
                    scored.states.push(1.0);
                    scored.weights.push(weight);
                    let targets = &mut scored.targets;
                    if self.loss.of_classes() {
                        let class = batch.targets.classes()?[[trial, step]] as usize;
                        targets.extend((0..k).map(|k| f64::from(u8::from(k == class))));
                    } else {
                        let values = batch.targets.values()?.slice_move(s![trial, step, ..]);
                        targets.extend(values.iter().map(|&value| f64::from(value)));
                    }
                }
            }
        }
        Ok(())
    }

    /// The outputs of the scored steps of a pass.
    fn read_out(&self, scored: &ScoredSteps) -> Vec<f32> {
        let rows = scored.weights.len();
        let mut outputs = vec![0.0; rows * self.outputs];
        product(
            &mut outputs,
            Write::Replace,
            View::new(&scored.states, self.neurons + 1),
            View::new(&self.readout, self.outputs),
            1.0,
        );
        if self.loss != Loss::MeanSquaredError {
            // NaN stays NaN.
            outputs.iter_mut().for_each(|y| *y = if *y < FLOOR { FLOOR } else { *y }.ln());
        }
        outputs
    }
}

impl Model for Reservoir {
    fn info(&self) -> ModelInfo {
        let mut info = ModelInfo::new(self.neurons, self.parameters.clone());
        info.updates_itself = true;
        info.states = vec![StatePart { name: "hidden".into(), length: self.neurons }];
        info
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let (n, c, k) = (self.neurons, self.channels, self.outputs);
        expect_square(recurrent, n)?;
        let uniform = |count: usize, scale: f64, purpose: &str| -> Vec<f32> {
            let (scale, mut stream) = (scale as f32, random::stream(seed, purpose));
            (0..count).map(|_| stream.random_range(-scale..=scale)).collect()
        };
        let [receiving, read] = self.wiring.choose(n, seed)?;
        self.read = read;
        self.recurrent = recurrent.iter().copied().collect();
        self.drive = uniform(c * n, self.params.input_scale, "input weights");
        receiving.clear_to(&mut self.drive);
        self.drive.extend(uniform(n, self.params.bias_scale, "biases"));
        self.readout = vec![0.0; (n + 1) * k];
        self.regression = Regression::new(n + 1, k);
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }

    fn forward(
        &mut self,
        batch: &BatchView<'_>,
        mode: Mode,
        mut outputs: ArrayViewMut2<'_, f32>,
    ) -> Result<()> {
        check_batch(batch, self.channels)?;
        expect_outputs(outputs.dim(), (batch.scored().count(), self.outputs))?;
        let (trials, steps, _) = batch.dim();
        let noise = match mode {
            Mode::Train { noise_seed } => Some((self.params.noise as f32, noise_seed)),
            Mode::Evaluate | Mode::Record => None,
        };
        let evaluates = mode == Mode::Evaluate;
        let mut buffers = std::mem::take(if evaluates { &mut self.evaluated } else { &mut self.kept });
        copy_inputs(&mut buffers.inputs, batch, noise);
        let found = self.run(batch, &mut buffers).map(|()| self.read_out(&buffers.scored));
        // Evaluation leaves the last pass as it is.
        if evaluates {
            self.evaluated = buffers;
        } else {
            self.kept = buffers;
            self.differentiated = false;
            self.pass = found.is_ok().then_some((steps, trials, noise.is_some()));
        }
        let shape = outputs.dim();
        outputs.assign(&ArrayView2::from_shape(shape, &found?).map_err(wrong_size)?);
        Ok(())
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        let (steps, trials, _) = self.pass.ok_or_else(no_activity)?;
        ArrayView3::from_shape((steps, trials, self.neurons), &self.kept.hidden).map_err(wrong_size)
    }

    /// Only notes that the pass may be learned from: the regression needs no
    /// gradients.
    fn backward(&mut self, _: ArrayView2<'_, f32>, _: Option<ArrayView3<'_, f32>>) -> Result<()> {
        self.pass.filter(|(_, _, training)| *training).ok_or_else(no_pass)?;
        self.differentiated = true;
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let (input, bias) = self.drive.split_at(self.channels * self.neurons);
        let (readout, readout_bias) = self.readout.split_at(self.neurons * self.outputs);
        let values = [&self.recurrent[..], input, bias, readout, readout_bias];
        let named = self.parameters.iter().zip(values);
        Ok(named.map(|(info, values)| TensorView { name: &info.name, shape: &info.shape, values }).collect())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        self.differentiated = false;
        let (input, readout) = (self.channels * self.neurons, self.neurons * self.outputs);
        let (drive, out) = (self.drive.len(), self.readout.len());
        let mut parts = vec![&mut self.recurrent[..]];
        parts.extend(parts_mut(&mut self.drive, &[0..input, input..drive]));
        parts.extend(parts_mut(&mut self.readout, &[0..readout, readout..out]));
        Ok(parts)
    }

    /// Nothing: no parameter is learned along a gradient.
    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        if self.differentiated { Ok(Vec::new()) } else { Err(no_gradient()) }
    }

    fn update_itself(&mut self) -> Result<()> {
        if !self.differentiated {
            return Err(no_gradient());
        }
        let ScoredSteps { states, targets, weights } = &self.kept.scored;
        self.regression.add(states, targets, weights);
        if let Some(readout) = self.regression.solve(self.params.ridge)? {
            self.readout = readout;
        }
        // The activity can still be read, but not learned from again.
        self.differentiated = false;
        if let Some(pass) = &mut self.pass {
            pass.2 = false;
        }
        Ok(())
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let (_, _, driven) = self.driven(states, inputs)?;
        let leak = self.params.leak;
        Ok(&states * (1.0 - leak) + driven.mapv(f64::tanh) * leak)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        let (recurrent, input, driven) = self.driven(states, inputs)?;
        check_cotangents(states, cotangents)?;
        let leak = self.params.leak;
        let inner = &cotangents * &driven.mapv(|d| leak * (1.0 - d.tanh().powi(2)));
        Ok((&cotangents * (1.0 - leak) + inner.dot(&recurrent.t()), inner.dot(&input.t())))
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        Ok(self.regression.state())
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        self.regression.restore(state)?;
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }
}
