//! `rnn.candle`: the network of `rnn.vanilla`, written with candle's automatic
//! differentiation alone.
//!
//! A network of one's own starts from a copy of this file: [`step`] is the network,
//! [`Weights`] are its parameters, and [`Candle::new_values`] says what they start
//! from. Nothing else knows what a step computes.

use candle_core::{DType, Device, Result as Computed, Tensor as Values, Var};
use pallium_core::ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2, Axis};
use pallium_core::prelude::*;

use crate::common::{
    check_batch, check_states, copy_inputs, expect, expect_outputs, expect_square, glorot, leak_of,
    no_activity, no_gradient, no_pass, sizes, wrong_size,
};
use crate::device::DeviceName;

pallium_core::params! {
    /// Parameters of the network in candle.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// α = dt/τ, the fraction of the state that is replaced at each step;
        /// above 0 and at most 1.
        leak: f64 = 1.0,
        /// The device that computes. `cuda` and `metal` need a plugin that was
        /// built for them.
        device: DeviceName = DeviceName::Cpu,
    }
}

/// The network of `rnn.vanilla`,
///
/// > h_t = (1 − α)·h_{t−1} + α·relu(x_t·Wx + h_{t−1}·W + b), h_0 = 0,
///
/// with the same initial weights and the same noise. It learns the same, more
/// slowly: candle keeps every intermediate result and differentiates each by
/// itself.
pub(crate) struct Candle {
    noise: f32,
    leak: f64,
    device: Device,
    threads: usize,
    /// Where candle computes: its products take as many threads as the pool they run
    /// in has.
    pool: rayon::ThreadPool,
    /// Number of steps for which the stacks of its threads suffice.
    reach: usize,
    neurons: usize,
    channels: usize,
    outputs: usize,
    parameters: Vec<ParameterInfo>,
    /// The parameters and their gradients, each row-major.
    values: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    /// steps × trials × (C + 1) of the last pass.
    inputs: Vec<f32>,
    /// Steps, trials and units of the last pass that kept the activity, and the
    /// activity.
    activity: Option<((usize, usize, usize), Vec<f32>)>,
    /// The last training pass, as long as the parameters are those of the pass.
    pass: Option<(Vec<Var>, Pass)>,
    differentiated: bool,
}

/// The parameters of the network as candle computes with them.
struct Weights {
    recurrent: Values,
    input: Values,
    bias: Values,
    readout: Values,
    readout_bias: Values,
}

/// One step of the network: from the hidden states (rows × N) and inputs (rows × C)
/// to the next hidden states.
fn step(weights: &Weights, input: &Values, hidden: &Values, leak: f64) -> Computed<Values> {
    let sum = (input.matmul(&weights.input)? + hidden.matmul(&weights.recurrent)?)?;
    let rate = sum.broadcast_add(&weights.bias)?.relu()?;
    (hidden * (1.0 - leak))? + (rate * leak)?
}

/// What a pass computes.
struct Pass {
    /// The outputs of the scored steps (scored × outputs); `None` if no step is.
    outputs: Option<Values>,
    /// The hidden states after each step, trials × N.
    hidden: Vec<Values>,
}

impl Drop for Pass {
    /// From the end: each step's graph holds the one before, and a long chain that
    /// is dropped from its end at once would overflow the stack.
    fn drop(&mut self) {
        self.outputs = None;
        while self.hidden.pop().is_some() {}
    }
}

impl Weights {
    fn new(values: impl IntoIterator<Item = Values>) -> Computed<Self> {
        let mut values = values.into_iter();
        let mut next = || values.next().ok_or_else(|| candle_core::Error::msg("a parameter is missing"));
        Ok(Weights {
            recurrent: next()?,
            input: next()?,
            bias: next()?,
            readout: next()?,
            readout_bias: next()?,
        })
    }
}

impl Component for Candle {
    const ID: &'static str = "rnn.candle";
    const ABOUT: &'static str =
        "the network of rnn.vanilla in candle, on a CPU or GPU: a template for your own networks";
    const CITE: &'static str = "Shakiba, Rokni, Mohammadi, Dehghani 2026 (arXiv 2606.14975); candle: \
                                https://github.com/huggingface/candle";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("noise", params.noise)?;
        leak_of(params.leak)?;
        let (neurons, channels, outputs) = sizes(setting)?;
        use ParameterKind::{Input, Other, Readout, Recurrent};
        let threads = setting.threads.max(1);
        let mut model = Candle {
            noise: params.noise as f32,
            leak: params.leak,
            device: params.device.open()?,
            threads,
            pool: pool(threads, 0)?,
            reach: 0,
            neurons,
            channels,
            outputs,
            parameters: vec![
                ParameterInfo::new("recurrent", [neurons, neurons], Recurrent),
                ParameterInfo::new("input", [channels, neurons], Input),
                ParameterInfo::new("bias", [neurons], Other),
                ParameterInfo::new("readout", [neurons, outputs], Readout),
                ParameterInfo::new("readout_bias", [outputs], Other),
            ],
            values: Vec::new(),
            gradients: Vec::new(),
            inputs: Vec::new(),
            activity: None,
            pass: None,
            differentiated: false,
        };
        model.initialise(Matrix::zeros((neurons, neurons)).view(), setting.seed)?;
        Ok(model)
    }
}
pallium_core::register!(Model, Candle);

/// A pool whose threads can differentiate trials of so many steps. candle walks the
/// graph of a pass recursively, which takes some kilobytes of stack a step.
fn pool(threads: usize, steps: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|_| "rnn.candle".into())
        .stack_size((2 << 20) + steps * (16 << 10))
        .build()
        .map_err(|error| Error::input(format!("cannot start threads: {error}")))
}

fn failed(error: candle_core::Error) -> Error {
    Error::bug(format!("candle cannot compute the network: {error}"))
}

/// A matrix in double precision on the processor.
fn wide(matrix: ArrayView2<'_, f64>) -> Computed<Values> {
    Values::from_vec(matrix.iter().copied().collect(), matrix.dim(), &Device::Cpu)
}

fn array(values: &Values) -> Result<Array2<f64>> {
    let rows = values.to_vec2::<f64>().map_err(failed)?;
    let shape = (rows.len(), rows.first().map_or(0, Vec::len));
    Array2::from_shape_vec(shape, rows.concat()).map_err(wrong_size)
}

impl Candle {
    /// What the parameters start from.
    fn new_values(&self, recurrent: MatrixView<'_>, seed: u64) -> Vec<Vec<f32>> {
        let (n, c, k) = (self.neurons, self.channels, self.outputs);
        vec![
            recurrent.iter().copied().collect(),
            glorot(c, n, seed, "input weights"),
            vec![0.0; n],
            glorot(n, k, seed, "read-out weights"),
            vec![0.0; k],
        ]
    }

    /// The parameters on a device.
    fn on(&self, device: &Device) -> Computed<Vec<Values>> {
        let all = self.values.iter().zip(&self.parameters);
        all.map(|(values, info)| Values::from_slice(values, &*info.shape, device)).collect()
    }

    /// Runs the trials. Without variables among the weights, no graph is kept.
    fn run(&self, weights: &Weights, batch: &BatchView<'_>) -> Computed<Pass> {
        let (trials, steps, channels) = batch.dim();
        let inputs = Values::from_slice(&self.inputs, (steps, trials, channels + 1), &self.device)?;
        let mut hidden = Values::zeros((trials, self.neurons), DType::F32, &self.device)?;
        let mut pass = Pass { outputs: None, hidden: Vec::with_capacity(steps) };
        let mut scored = Vec::new();
        for at in 0..steps {
            let input = inputs.get(at)?.narrow(1, 0, channels)?.contiguous()?;
            hidden = step(weights, &input, &hidden, self.leak)?;
            let ended = |&length: &u32| length as usize <= at;
            if batch.lengths.iter().any(ended) {
                let alive = batch.lengths.iter().map(|length| if ended(length) { 0.0 } else { 1.0_f32 });
                let alive = Values::from_vec(alive.collect(), (trials, 1), &self.device)?;
                hidden = hidden.broadcast_mul(&alive)?;
            }
            let mask = batch.mask.index_axis(Axis(1), at);
            let rows: Vec<u32> = (0..trials).filter(|&t| mask[t] > 0.0).map(|t| t as u32).collect();
            if !rows.is_empty() {
                let rows = Values::from_vec(rows.clone(), rows.len(), &self.device)?;
                scored.push(hidden.index_select(&rows, 0)?);
            }
            pass.hidden.push(hidden.clone());
        }
        if !scored.is_empty() {
            let outputs = Values::cat(&scored, 0)?.matmul(&weights.readout)?;
            pass.outputs = Some(outputs.broadcast_add(&weights.readout_bias)?);
        }
        Ok(pass)
    }

    /// The gradients of all variables, given those in the outputs and activity of a
    /// pass.
    fn differentiate(
        &self,
        variables: &[Var],
        pass: &Pass,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Computed<Vec<Vec<f32>>> {
        // Σ outputs · gradient has the given gradient in the outputs.
        let mut sums = Vec::new();
        if let Some(found) = &pass.outputs {
            let gradient = Values::from_vec(outputs.iter().copied().collect(), outputs.dim(), &self.device)?;
            sums.push((found * gradient)?.sum_all()?);
        }
        if let Some(activity) = activity {
            let gradient =
                Values::from_vec(activity.iter().copied().collect(), activity.dim(), &self.device)?;
            sums.push((Values::stack(&pass.hidden, 0)? * gradient)?.sum_all()?);
        }
        let Some(first) = sums.pop() else {
            return Ok(self.values.iter().map(|values| vec![0.0; values.len()]).collect());
        };
        let sum = sums.iter().try_fold(first, |sum, term| sum + term)?;
        let gradients = sum.backward()?;
        let all = variables.iter().zip(&self.values);
        all.map(|(variable, values)| match gradients.get(variable) {
            Some(gradient) => gradient.flatten_all()?.to_vec1(),
            None => Ok(vec![0.0; values.len()]),
        })
        .collect()
    }

    /// The parameters in double precision, on the processor.
    fn wide_weights(&self) -> Computed<Weights> {
        let wide = self.on(&Device::Cpu)?.into_iter().map(|values| values.to_dtype(DType::F64));
        Weights::new(wide.collect::<Computed<Vec<_>>>()?)
    }
}

impl Model for Candle {
    fn info(&self) -> ModelInfo {
        let mut info = ModelInfo::new(self.neurons, self.parameters.clone());
        info.states = vec![StatePart { name: "hidden".into(), length: self.neurons }];
        info.piecewise_linear = true;
        info
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        expect_square(recurrent, self.neurons)?;
        self.values = self.new_values(recurrent, seed);
        (self.pass, self.activity, self.differentiated) = (None, None, false);
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
        let noise = match mode {
            Mode::Train { noise_seed } => Some((self.noise, noise_seed)),
            Mode::Evaluate | Mode::Record => None,
        };
        copy_inputs(&mut self.inputs, batch, noise);
        // Evaluation leaves the last pass and its gradients as they are.
        if mode != Mode::Evaluate {
            (self.pass, self.activity, self.differentiated) = (None, None, false);
        }
        let steps = batch.dim().1;
        if steps > self.reach {
            (self.pool, self.reach) = (pool(self.threads, steps)?, steps);
        }
        let this = &*self;
        let computed = this.pool.install(|| -> Computed<_> {
            let values = this.on(&this.device)?;
            let variables: Vec<Var> = match noise {
                Some(_) => values.iter().map(Var::from_tensor).collect::<Computed<_>>()?,
                None => Vec::new(),
            };
            let weights = match noise {
                Some(_) => Weights::new(variables.iter().map(|variable| variable.as_tensor().clone()))?,
                None => Weights::new(values)?,
            };
            let pass = this.run(&weights, batch)?;
            let found = match &pass.outputs {
                Some(outputs) => outputs.flatten_all()?.to_vec1::<f32>()?,
                None => Vec::new(),
            };
            let mut activity = Vec::new();
            if mode != Mode::Evaluate {
                for hidden in &pass.hidden {
                    activity.extend(hidden.flatten_all()?.to_vec1::<f32>()?);
                }
            }
            Ok((variables, pass, found, activity))
        });
        let (variables, pass, found, activity) = computed.map_err(failed)?;
        let shape = outputs.dim();
        outputs.assign(&ArrayView2::from_shape(shape, &found).map_err(wrong_size)?);
        if mode != Mode::Evaluate {
            let trials = batch.dim().0;
            self.activity = Some(((steps, trials, self.neurons), activity));
            self.pass = noise.map(|_| (variables, pass));
        }
        Ok(())
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        let (shape, values) = self.activity.as_ref().ok_or_else(no_activity)?;
        ArrayView3::from_shape(*shape, values).map_err(wrong_size)
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        let (variables, pass) = self.pass.as_ref().ok_or_else(no_pass)?;
        let scored = match &pass.outputs {
            Some(outputs) => outputs.dim(0).map_err(failed)?,
            None => 0,
        };
        expect_outputs(outputs.dim(), (scored, self.outputs))?;
        if let (Some(activity), Some((shape, _))) = (&activity, &self.activity) {
            expect("the gradient in the activity", activity.dim(), *shape)?;
        }
        let computed = self.pool.install(|| self.differentiate(variables, pass, outputs, activity));
        self.gradients = computed.map_err(failed)?;
        self.differentiated = true;
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let all = self.parameters.iter().zip(&self.values);
        Ok(all.map(|(info, values)| TensorView { name: &info.name, shape: &info.shape, values }).collect())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        // What a pass kept belongs to the parameters before this change.
        (self.pass, self.differentiated) = (None, false);
        Ok(self.values.iter_mut().map(Vec::as_mut_slice).collect())
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        if !self.differentiated {
            return Err(no_gradient());
        }
        self.pass = None;
        let all = self.values.iter_mut().zip(&mut self.gradients).enumerate();
        Ok(all.map(|(index, (values, gradient))| LearnedMut { index, values, gradient }).collect())
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        check_states(states, inputs, self.neurons, self.channels)?;
        let next =
            self.pool.install(|| step(&self.wide_weights()?, &wide(inputs)?, &wide(states)?, self.leak));
        array(&next.map_err(failed)?)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        check_states(states, inputs, self.neurons, self.channels)?;
        check_states(cotangents, inputs, self.neurons, self.channels)?;
        let computed = self.pool.install(|| -> Computed<_> {
            let (states, inputs) = (Var::from_tensor(&wide(states)?)?, Var::from_tensor(&wide(inputs)?)?);
            let next = step(&self.wide_weights()?, &inputs, &states, self.leak)?;
            let gradients = (next * wide(cotangents)?)?.sum_all()?.backward()?;
            let of = |variable: &Var| match gradients.get(variable) {
                Some(gradient) => Ok(gradient.clone()),
                None => variable.zeros_like(),
            };
            Ok((of(&states)?, of(&inputs)?))
        });
        let (in_states, in_inputs) = computed.map_err(failed)?;
        Ok((array(&in_states)?, array(&in_inputs)?))
    }
}
