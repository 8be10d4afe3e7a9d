//! `rnn.vanilla`: the recurrent classifier of Shakiba et al. 2026.

use std::ops::Range;

use pallium_core::ndarray::{ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, s};
use pallium_core::prelude::*;

use crate::common::{
    FIRST, SECOND, UPDATES, check_batch, expect, expect_square, find, glorot, in_threads, misshapen,
    no_activity, no_block, no_gradient, no_pass, rates, sizes, take_inputs,
};
use crate::elementwise::add;
use crate::optimizer::{Moments, Rates, count_of, count_tensor};
use crate::readout::{Readout, Score};
use crate::recurrence::{Cell, Part};

pallium_core::params! {
    /// Parameters of the recurrent classifier and of its optimizer.
    pub struct Params {
        /// Standard deviation of the Gaussian noise added to every input
        /// channel at every step while training, in units of the input; at
        /// least 0.
        noise: f64 = 0.05,
        /// Adam's learning rate; at least 0.
        learning_rate: f64 = 1e-3,
        /// Adam's decay of the mean gradient; at least 0, below 1.
        beta1: f64 = 0.9,
        /// Adam's decay of the mean squared gradient; at least 0, below 1.
        beta2: f64 = 0.999,
        /// Adam's ε, added to the root of the mean squared gradient; above 0.
        epsilon: f64 = 1e-7,
        /// α = dt/τ, how much of the state is replaced at each step; above 0
        /// and at most 1. 1 is the published model, without leak.
        leak: f64 = 1.0,
    }
}

/// The published model:
///
/// h_t = (1 − α)·h_{t−1} + α·relu(x_t·Wx + h_{t−1}·W + b), h_0 = 0, with α = 1
/// as published; x_t carries Gaussian noise while training; softmax(h_t·Wo + bo)
/// answers at every step whose mask is above 0. Wx and Wo start Glorot-uniform
/// (Glorot and Bengio 2010), biases at 0.
///
/// The loss is the mean cross-entropy weighted by the mask, in nats; a batch
/// without anything to score has loss 0. A trial ends at its length: its
/// activity is 0 from there on, and an activity gradient there is ignored.
///
/// Adam (Kingma and Ba 2015) as Keras computes it: a step of
/// lr·√(1 − β2^t)/(1 − β1^t)·m/(√v + ε).
///
/// With more than one thread a batch is split by trials. The result is the same
/// bits whenever the number of threads is the same.
pub(crate) struct Vanilla {
    noise: f32,
    rates: Rates,
    threads: usize,
    cell: Cell,
    /// Moments of the cell's weights, in their order.
    moments: Moments,
    /// Number of updates so far.
    updates: u64,
    classes: usize,
    readout: Readout,
    /// The last pass that kept the activity.
    pass: Option<Pass>,
    /// Whether the parts hold gradients of that pass.
    differentiated: bool,
    /// steps × trials × N of that pass.
    hidden: Vec<f32>,
    /// steps × trials × (C + 1) of that pass, the last channel 1.
    inputs: Vec<f32>,
    learning: Vec<Part>,
    evaluating: Vec<Part>,
}

/// What a pass was.
struct Pass {
    steps: usize,
    trials: usize,
    learnt: bool,
}

impl Component for Vanilla {
    const ID: &'static str = "rnn.vanilla";
    const ABOUT: &'static str =
        "recurrent network of rectified units with a softmax read-out, trained by Adam";
    const CITE: &'static str =
        "Shakiba, Rokni, Mohammadi, Dehghani 2026 (arXiv 2606.14975); Werbos 1990; Kingma and Ba 2015";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("noise", params.noise)?;
        let rates = rates(params.learning_rate, params.beta1, params.beta2, params.epsilon)?;
        // Compared after the conversion: what is computed with must not be 0.
        let leak = params.leak as f32;
        one_of_range("leak", params.leak, 0.0, 1.0)?;
        if leak == 0.0 {
            return Err(Error::input(format!("parameter `leak` is {}", params.leak))
                .help("it must be above 0 and at most 1; at 0 no unit would ever change"));
        }
        let (neurons, channels, classes) = sizes(setting)?;
        let mut model = Vanilla {
            noise: params.noise as f32,
            rates,
            threads: setting.threads.max(1),
            cell: Cell { neurons, channels, leak, weights: Vec::new() },
            moments: Moments::zeros(0),
            updates: 0,
            classes,
            readout: Readout::new(neurons, classes, &vec![0.0; neurons * classes], &vec![0.0; classes])?,
            pass: None,
            differentiated: false,
            hidden: Vec::new(),
            inputs: Vec::new(),
            learning: Vec::new(),
            evaluating: Vec::new(),
        };
        model.initialise(Matrix::zeros((neurons, neurons)).view(), setting.seed)?;
        Ok(model)
    }
}

pallium_core::register!(Model, Vanilla);

impl Vanilla {
    /// The trained tensors besides the read-out, with their place in the
    /// cell's weights.
    fn layout(&self) -> [(&'static str, Vec<usize>, Range<usize>); 3] {
        let (n, c) = (self.cell.neurons, self.cell.channels);
        let (recurrent, input) = (n * n, (n + c) * n);
        [
            ("recurrent", vec![n, n], 0..recurrent),
            ("input", vec![c, n], recurrent..input),
            ("bias", vec![n], input..input + n),
        ]
    }

    /// The read-out's tensors, with their place in the read-out's moments.
    fn readout_layout(&self) -> [(&'static str, Vec<usize>, Range<usize>); 2] {
        let (n, k) = (self.cell.neurons, self.classes);
        [("readout", vec![n, k], 0..n * k), ("readout_bias", vec![k], n * k..n * k + k)]
    }

    /// Inputs of the last pass that kept the activity, noise included.
    #[cfg(test)]
    pub(crate) fn kept_inputs(&self) -> ArrayView3<'_, f32> {
        let pass = self.pass.as_ref().unwrap();
        ArrayView3::from_shape((pass.steps, pass.trials, self.cell.channels + 1), &self.inputs).unwrap()
    }
}

impl Model for Vanilla {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            neurons: self.cell.neurons,
            blocks: 1,
            block_names: vec!["recurrent".into()],
            parameters: self.cell.weights.len() + self.readout.parameters(),
        }
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let (n, c, k) = (self.cell.neurons, self.cell.channels, self.classes);
        expect_square(recurrent, n)?;
        let mut weights = Vec::with_capacity((n + c + 1) * n);
        weights.extend(recurrent.iter());
        weights.extend(glorot(c, n, seed, "input weights"));
        weights.resize((n + c + 1) * n, 0.0);
        self.readout = Readout::new(n, k, &glorot(n, k, seed, "read-out weights"), &vec![0.0; k])?;
        self.moments = Moments::zeros(weights.len());
        self.cell.weights = weights;
        self.updates = 0;
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Outcome> {
        let weight = check_batch(batch, self.cell.channels, self.classes)?;
        let (trials, steps, channels) = batch.dim();
        // Evaluation leaves the last pass and its gradients as they are.
        let parts = if mode == Mode::Evaluate { &mut self.evaluating } else { &mut self.learning };
        parts.resize_with(self.threads.min(trials), Part::default);
        let count = parts.len();
        for (index, part) in parts.iter_mut().enumerate() {
            part.assign(batch, index * trials / count..(index + 1) * trials / count);
        }

        let scores = if mode == Mode::Evaluate {
            let (cell, readout) = (&self.cell, &self.readout);
            in_threads(self.evaluating.iter_mut(), |part| part.evaluate(cell, readout, batch))
        } else {
            self.pass = None;
            self.differentiated = false;
            let learn = match mode {
                Mode::Train { noise_seed } => {
                    take_inputs(&mut self.inputs, batch, Some((self.noise, noise_seed)));
                    Some(if weight > 0.0 { 1.0 / weight } else { 0.0 })
                }
                _ => {
                    take_inputs(&mut self.inputs, batch, None);
                    None
                }
            };
            let (cell, readout, n) = (&self.cell, &self.readout, self.cell.neurons);
            self.hidden.resize(steps * trials * n, 0.0);
            let mut inputs =
                ArrayView3::from_shape((steps, trials, channels + 1), &self.inputs).map_err(misshapen)?;
            let mut hidden =
                ArrayViewMut3::from_shape((steps, trials, n), &mut self.hidden).map_err(misshapen)?;
            let mut jobs = Vec::with_capacity(count);
            for part in &mut self.learning {
                let (mine, rest) = inputs.split_at(Axis(1), part.count());
                let (states, other) = hidden.split_at(Axis(1), part.count());
                (inputs, hidden) = (rest, other);
                jobs.push((part, mine, states));
            }
            let scores = in_threads(jobs.into_iter(), |(part, inputs, hidden)| {
                part.run(cell, readout, inputs, hidden, learn)
            });
            self.pass = Some(Pass { steps, trials, learnt: learn.is_some() });
            scores
        };

        let mut sum = Score::default();
        for score in scores {
            let score = score.inspect_err(|_| self.pass = None)?;
            sum.loss += score.loss;
            sum.correct += score.correct;
        }
        Ok(Outcome { loss: if weight > 0.0 { sum.loss / weight } else { 0.0 }, correct: sum.correct, weight })
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        let pass = self.pass.as_ref().ok_or_else(no_activity)?;
        ArrayView3::from_shape((pass.steps, pass.trials, self.cell.neurons), &self.hidden).map_err(misshapen)
    }

    fn backward(
        &mut self,
        activity: Option<ArrayView3<'_, f32>>,
        mut recurrent: ArrayViewMut3<'_, f32>,
    ) -> Result<()> {
        let n = self.cell.neurons;
        let pass = self.pass.as_ref().filter(|pass| pass.learnt).ok_or_else(no_pass)?;
        let shape = (pass.steps, pass.trials, n);
        expect("the gradient of the recurrent blocks", recurrent.dim(), (1, n, n))?;
        if let Some(activity) = &activity {
            expect("the gradient in the activity", activity.dim(), shape)?;
        }
        let hidden = ArrayView3::from_shape(shape, &self.hidden).map_err(misshapen)?;
        let inputs = ArrayView3::from_shape((pass.steps, pass.trials, self.cell.channels + 1), &self.inputs)
            .map_err(misshapen)?;

        // The caller's matrix takes the first part's sum; each other part, and
        // a caller's matrix with gaps, needs room of its own.
        let direct = recurrent.is_standard_layout();
        let mut own = vec![vec![0.0; n * n]; self.learning.len() - usize::from(direct)];
        let mut sums: Vec<&mut [f32]> = recurrent.as_slice_mut().into_iter().collect();
        sums.extend(own.iter_mut().map(Vec::as_mut_slice));

        let (mut jobs, mut from) = (Vec::with_capacity(sums.len()), 0);
        for (part, sum) in self.learning.iter_mut().zip(sums) {
            let trials = s![.., from..from + part.count(), ..];
            from += part.count();
            let activity = activity.map(|activity| activity.slice_move(trials));
            jobs.push((part, inputs.slice(trials), hidden.slice(trials), activity, sum));
        }
        let cell = &self.cell;
        let done = in_threads(jobs.into_iter(), |(part, inputs, hidden, activity, sum)| {
            part.backward(cell, inputs, hidden, activity, sum)
        });
        done.into_iter().collect::<Result<()>>()?;

        if let Some(values) = recurrent.as_slice_mut() {
            own.iter().for_each(|term| add(values, term));
        } else {
            let mut block = recurrent.index_axis_mut(Axis(0), 0);
            block.fill(0.0);
            for term in own {
                let term = MatrixView::from_shape((n, n), &term).map_err(misshapen)?;
                block += &term;
            }
        }
        if let Some((first, others)) = self.learning.split_first_mut() {
            for part in others {
                add(&mut first.drive, &part.drive);
                add(&mut first.readout().parameters, &part.readout().parameters);
                // Added once, should the caller ask again.
                part.readout().parameters.fill(0.0);
            }
        }
        self.differentiated = true;
        Ok(())
    }

    fn update(&mut self, recurrent: ArrayView3<'_, f32>) -> Result<()> {
        let n = self.cell.neurons;
        let Some(part) = self.learning.first_mut().filter(|_| self.differentiated) else {
            return Err(no_gradient());
        };
        expect("the gradient of the recurrent blocks", recurrent.dim(), (1, n, n))?;
        let recurrent = recurrent.as_standard_layout();
        let gradient =
            recurrent.as_slice().ok_or_else(|| Error::bug("a matrix in standard layout has gaps"))?;

        self.updates += 1;
        let step = self.rates.step(self.updates);
        let (block, drive) = self.cell.weights.split_at_mut(n * n);
        self.moments.update(step, 0, block, gradient);
        self.moments.update(step, n * n, drive, &part.drive);
        self.readout.update(step, &part.readout().parameters)?;
        // The activity can still be looked at, but no longer differentiated.
        self.differentiated = false;
        if let Some(pass) = &mut self.pass {
            pass.learnt = false;
        }
        Ok(())
    }

    fn recurrent(&self, block: usize) -> Result<MatrixView<'_>> {
        expect_block(block)?;
        let n = self.cell.neurons;
        MatrixView::from_shape((n, n), &self.cell.weights[..n * n]).map_err(misshapen)
    }

    fn recurrent_mut(&mut self, block: usize) -> Result<MatrixViewMut<'_>> {
        expect_block(block)?;
        let n = self.cell.neurons;
        ArrayViewMut2::<f32>::from_shape((n, n), &mut self.cell.weights[..n * n]).map_err(misshapen)
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        let (weights, bias) = self.readout.values()?;
        let mut tensors = Vec::new();
        for (name, shape, range) in self.layout() {
            tensors.push(Tensor { name: name.into(), shape, values: self.cell.weights[range].to_vec() });
        }
        for ((name, shape, _), values) in self.readout_layout().into_iter().zip([weights, bias]) {
            tensors.push(Tensor { name: name.into(), shape, values });
        }
        tensors.push(count_tensor(UPDATES, self.updates));
        for (moments, layout) in
            [(&self.moments, &self.layout()[..]), (self.readout.moments(), &self.readout_layout()[..])]
        {
            for (kind, values) in [(FIRST, &moments.first), (SECOND, &moments.second)] {
                for (name, shape, range) in layout {
                    tensors.push(Tensor {
                        name: format!("{kind}.{name}"),
                        shape: shape.clone(),
                        values: values[range.clone()].to_vec(),
                    });
                }
            }
        }
        Ok(tensors)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        // All is read before anything is replaced, so that a state that does
        // not fit leaves the model as it was.
        let gather = |prefix: &str, layout: &[(&str, Vec<usize>, Range<usize>)]| -> Result<Vec<f32>> {
            let mut values = Vec::new();
            for (name, shape, _) in layout {
                values.extend_from_slice(find(state, &format!("{prefix}{name}"), shape)?);
            }
            Ok(values)
        };
        let (cell, readout) = (self.layout(), self.readout_layout());
        let weights = gather("", &cell)?;
        let [in_weights, in_bias] = [gather("", &readout[..1])?, gather("", &readout[1..])?];
        let moments = |layout: &[(&str, Vec<usize>, Range<usize>)]| -> Result<Moments> {
            Ok(Moments {
                first: gather(&format!("{FIRST}."), layout)?,
                second: gather(&format!("{SECOND}."), layout)?,
            })
        };
        let (of_cell, of_readout) = (moments(&cell)?, moments(&readout)?);
        let updates = count_of(UPDATES, find(state, UPDATES, &[2])?)?;

        self.readout.set(in_weights, in_bias)?;
        *self.readout.moments_mut() = of_readout;
        self.cell.weights = weights;
        self.moments = of_cell;
        self.updates = updates;
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }
}

/// Refuses any recurrent block but the only one.
fn expect_block(block: usize) -> Result<()> {
    if block == 0 { Ok(()) } else { Err(no_block(block, 1)) }
}
