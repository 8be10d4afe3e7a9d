//! `rnn.reservoir`: an echo-state network.

use pallium_core::ndarray::{Array2, ArrayView3, ArrayViewMut3};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};
use rand::Rng;

use crate::common::{
    check_batch, copy_inputs, expect, expect_square, no_activity, no_block, no_gradient, no_pass, sizes,
    wrong_size,
};
use crate::elementwise::tanh_leaky;
use crate::optimizer::UPDATES;
use crate::saved::{count_tensor, exact_tensor, find, find_count, find_exact};

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
    }
}

/// An echo-state network (Jaeger 2001; Lukoševičius 2012): a recurrent layer
/// that is never trained,
///
/// > h_t = (1 − α)·h_{t−1} + α·tanh(x_t·Wx + h_{t−1}·W + b), h_0 = 0,
///
/// and a linear read-out y = h·Wo + bo, trained by ridge regression on the
/// classes: it minimizes ⟨|y − e_class|²⟩ + λ·|Wo|², where ⟨ ⟩ is the mean over
/// all scored steps seen so far, weighted by the mask. The regression is solved
/// after every batch. A second epoch only adds further draws of the input noise.
///
/// y estimates the probability of each class. The answer is the class of the
/// largest y. The loss is the cross-entropy of y, with each value raised to at
/// least 0.001 and the sum scaled to 1.
///
/// The recurrent weights are used as given. To scale them, use
/// `circuit.spectral-radius`: like all hard constraints, it is applied once.
/// Penalties are refused.
pub(crate) struct Reservoir {
    params: Params,
    neurons: usize,
    channels: usize,
    classes: usize,
    /// N×N.
    recurrent: Vec<f32>,
    /// Wx and, below it, b: (C + 1) × N.
    drive: Vec<f32>,
    /// Wo and, below it, bo: (N + 1) × classes.
    readout: Vec<f32>,
    updates: u64,
    regression: Regression,
    /// Steps and trials of the last pass that kept the activity, and whether it
    /// was a training pass.
    pass: Option<(usize, usize, bool)>,
    differentiated: bool,
    hidden: Vec<f32>,
    inputs: Vec<f32>,
    scored: ScoredSteps,
}

/// Sums over all scored steps so far, in f64.
#[derive(Clone, Default)]
struct Regression {
    /// Σ w·φφᵀ, where φ is the activity followed by a 1: (N + 1) × (N + 1).
    gram: Vec<f64>,
    /// Σ w·φeᵀ: (N + 1) × classes.
    cross: Vec<f64>,
    /// Σ w.
    weight: f64,
}

/// ScoredSteps steps of the last pass.
#[derive(Default)]
struct ScoredSteps {
    /// Activity followed by a 1, N + 1 values each.
    states: Vec<f32>,
    classes: Vec<u32>,
    weights: Vec<f32>,
}

impl ScoredSteps {
    fn clear(&mut self) {
        self.states.clear();
        self.classes.clear();
        self.weights.clear();
    }

    fn push(&mut self, state: &[f32], class: u32, weight: f32) {
        self.states.extend_from_slice(state);
        self.states.push(1.0);
        self.classes.push(class);
        self.weights.push(weight);
    }
}

/// The minimum probability in the loss.
const FLOOR: f32 = 1e-3;

impl Component for Reservoir {
    const ID: &'static str = "rnn.reservoir";
    const ABOUT: &'static str = "echo-state network: fixed recurrent weights, read-out by ridge regression";
    const CITE: &'static str = "Jaeger 2001, GMD Report 148; Lukoševičius 2012, Neural Networks: Tricks of the \
                                Trade 659; Hoerl and Kennard 1970";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("noise", params.noise)?;
        one_of_range("leak", params.leak, 0.0, 1.0)?;
        if params.leak as f32 == 0.0 {
            return Err(Error::input(format!("parameter `leak` is {}", params.leak))
                .help("it must be above 0 and at most 1; at 0 units would never change"));
        }
        one_of_range("input_scale", params.input_scale, 0.0, 1e6)?;
        one_of_range("bias_scale", params.bias_scale, 0.0, 1e6)?;
        one_of_range("ridge", params.ridge, 0.0, 1e12)?;
        if params.ridge < 1e-12 {
            return Err(Error::input(format!("parameter `ridge` is {}", params.ridge))
                .help("it must be at least 1e-12: otherwise the regression has no solution for perfectly correlated neurons"));
        }
        let (neurons, channels, classes) = sizes(setting)?;
        let mut model = Reservoir {
            params,
            neurons,
            channels,
            classes,
            recurrent: Vec::new(),
            drive: Vec::new(),
            readout: Vec::new(),
            updates: 0,
            regression: Regression::default(),
            pass: None,
            differentiated: false,
            hidden: Vec::new(),
            inputs: Vec::new(),
            scored: ScoredSteps::default(),
        };
        model.initialise(Matrix::zeros((neurons, neurons)).view(), setting.seed)?;
        Ok(model)
    }
}
pallium_core::register!(Model, Reservoir);

impl Reservoir {
    /// Computes a step from `previous` (none at the first step) and `input`.
    fn step(&self, input: &[f32], previous: Option<&[f32]>, zeros: &[f32], next: &mut [f32]) {
        let n = self.neurons;
        product(next, Write::Replace, View::new(input, self.channels + 1), View::new(&self.drive, n), 1.0);
        if let Some(previous) = previous {
            product(next, Write::Add, View::new(previous, n), View::new(&self.recurrent, n), 1.0);
        }
        tanh_leaky(next, previous.unwrap_or(zeros), self.params.leak as f32);
    }

    /// Runs `self.inputs`, keeping all states in `self.hidden` (0 past a
    /// trial's end) and the scored ones in `self.scored`.
    fn run(&mut self, batch: &BatchView<'_>) {
        let (trials, steps, _) = batch.dim();
        let (n, width) = (self.neurons, self.channels + 1);
        let size = trials * n;
        let mut hidden = std::mem::take(&mut self.hidden);
        hidden.clear();
        hidden.resize(steps * size, 0.0);
        self.scored.clear();
        let zeros = vec![0.0; size];
        for step in 0..steps {
            let (before, now) = hidden.split_at_mut(step * size);
            let previous = step.checked_sub(1).map(|last| &before[last * size..]);
            let next = &mut now[..size];
            self.step(&self.inputs[step * trials * width..][..trials * width], previous, &zeros, next);
            for (trial, row) in next.chunks_exact_mut(n).enumerate() {
                if batch.lengths[trial] as usize <= step {
                    row.fill(0.0);
                }
                let weight = batch.mask[[trial, step]];
                if weight > 0.0 {
                    self.scored.push(row, batch.targets[[trial, step]], weight);
                }
            }
        }
        self.hidden = hidden;
    }

    /// Σ weight · loss and Σ weight of correct answers. An answer of NaNs
    /// counts as class 0.
    fn score(&self) -> (f64, f64) {
        let k = self.classes;
        let mut answers = vec![0.0; self.scored.classes.len() * k];
        product(
            &mut answers,
            Write::Replace,
            View::new(&self.scored.states, self.neurons + 1),
            View::new(&self.readout, k),
            1.0,
        );
        let (mut loss, mut correct) = (0.0, 0.0);
        for ((row, &class), &weight) in
            answers.chunks_exact(k).zip(&self.scored.classes).zip(&self.scored.weights)
        {
            let floored = |y: f32| f64::from(if y < FLOOR { FLOOR } else { y });
            let sum: f64 = row.iter().map(|&y| floored(y)).sum();
            let best = (1..k).fold(0, |best, c| if row[c] > row[best] { c } else { best });
            loss += f64::from(weight) * (sum / floored(row[class as usize])).ln();
            correct += f64::from(weight) * f64::from(u8::from(best == class as usize));
        }
        (loss, correct)
    }

    /// Adds the scored steps of the last pass to the regression.
    fn learn(&mut self) {
        let (f, k) = (self.neurons + 1, self.classes);
        let rows = self.scored.classes.len();
        let wide: Vec<f64> = self.scored.states.iter().map(|&v| f64::from(v)).collect();
        let weights = &self.scored.weights;
        let weighted: Vec<f64> = wide
            .chunks_exact(f)
            .zip(weights)
            .flat_map(|(row, &w)| row.iter().map(move |v| v * f64::from(w)))
            .collect();
        let mut targets = vec![0.0; rows * k];
        for (row, &class) in targets.chunks_exact_mut(k).zip(&self.scored.classes) {
            row[class as usize] = 1.0;
        }
        let weighted = View::new(&weighted, f).transposed();
        let Regression { gram, cross, weight } = &mut self.regression;
        for (sum, right, columns) in [(gram, &wide, f), (cross, &targets, k)] {
            product(sum, Write::Add, weighted, View::new(right, columns), 1.0);
        }
        *weight += weights.iter().map(|&w| f64::from(w)).sum::<f64>();
    }

    /// Solves the regression; the bias is not penalised.
    fn solve(&mut self) -> Result<()> {
        let (f, k) = (self.neurons + 1, self.classes);
        let Regression { gram, cross, weight } = &self.regression;
        if *weight == 0.0 {
            return Ok(());
        }
        let ridge = |i: usize, j: usize| if i == j && i < self.neurons { self.params.ridge } else { 0.0 };
        let gram = Array2::from_shape_fn((f, f), |(i, j)| gram[i * f + j] / weight + ridge(i, j));
        let cross = Array2::from_shape_fn((f, k), |(i, j)| cross[i * k + j] / weight);
        let solution = pallium_linalg::solve(gram.view(), cross.view()).ok_or_else(|| {
            Error::input(
                "the read-out's regression has no solution: activity is not finite, or `ridge` is too small",
            )
            .help("raise `ridge`, or scale the recurrent weights down")
        })?;
        for (i, row) in self.readout.chunks_exact_mut(k).enumerate() {
            row.iter_mut().enumerate().for_each(|(j, w)| *w = solution[[i, j]] as f32);
        }
        Ok(())
    }

    /// Names, shapes and values of the network's tensors.
    fn layout(&self) -> [(&'static str, Vec<usize>, &[f32]); 5] {
        let (n, c, k) = (self.neurons, self.channels, self.classes);
        let (input, bias) = self.drive.split_at(c * n);
        let (readout, readout_bias) = self.readout.split_at(n * k);
        [
            ("recurrent", vec![n, n], &self.recurrent),
            ("input", vec![c, n], input),
            ("bias", vec![n], bias),
            ("readout", vec![n, k], readout),
            ("readout_bias", vec![k], readout_bias),
        ]
    }
}

const GRAM: &str = "optimizer.gram";
const CROSS: &str = "optimizer.cross";
const WEIGHT: &str = "optimizer.weight";

impl Model for Reservoir {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            neurons: self.neurons,
            blocks: 1,
            block_names: vec!["recurrent".into()],
            parameters: self.recurrent.len() + self.drive.len() + self.readout.len(),
        }
    }

    fn plastic(&self) -> bool {
        false
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let (n, c, k) = (self.neurons, self.channels, self.classes);
        expect_square(recurrent, n)?;
        let uniform = |count: usize, scale: f64, purpose: &str| -> Vec<f32> {
            let (scale, mut stream) = (scale as f32, random::stream(seed, purpose));
            (0..count).map(|_| stream.random_range(-scale..=scale)).collect()
        };
        self.recurrent = recurrent.iter().copied().collect();
        self.drive = uniform(c * n, self.params.input_scale, "input weights");
        self.drive.extend(uniform(n, self.params.bias_scale, "biases"));
        self.readout = vec![0.0; (n + 1) * k];
        self.regression =
            Regression { gram: vec![0.0; (n + 1) * (n + 1)], cross: vec![0.0; (n + 1) * k], weight: 0.0 };
        self.updates = 0;
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Outcome> {
        let weight = check_batch(batch, self.channels, self.classes)?;
        let (trials, steps, _) = batch.dim();
        let noise = match mode {
            Mode::Train { noise_seed } => Some((self.params.noise as f32, noise_seed)),
            Mode::Evaluate | Mode::Record => None,
        };
        copy_inputs(&mut self.inputs, batch, noise);
        self.differentiated = false;
        self.run(batch);
        self.pass = Some((steps, trials, noise.is_some()));
        let (loss, correct) = self.score();
        Ok(Outcome { loss: if weight > 0.0 { loss / weight } else { 0.0 }, correct, weight })
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        let (steps, trials, _) = self.pass.ok_or_else(no_activity)?;
        ArrayView3::from_shape((steps, trials, self.neurons), &self.hidden).map_err(wrong_size)
    }

    /// Sets the gradient to 0: the recurrent weights are not trained.
    fn backward(
        &mut self,
        activity: Option<ArrayView3<'_, f32>>,
        mut recurrent: ArrayViewMut3<'_, f32>,
    ) -> Result<()> {
        let n = self.neurons;
        let (steps, trials, _) = self.pass.filter(|(_, _, training)| *training).ok_or_else(no_pass)?;
        expect("the gradient of the recurrent blocks", recurrent.dim(), (1, n, n))?;
        if let Some(activity) = &activity {
            expect("the gradient in the activity", activity.dim(), (steps, trials, n))?;
        }
        recurrent.fill(0.0);
        self.differentiated = true;
        Ok(())
    }

    fn update(&mut self, recurrent: ArrayView3<'_, f32>) -> Result<()> {
        let n = self.neurons;
        if !std::mem::take(&mut self.differentiated) {
            return Err(no_gradient());
        }
        expect("the gradient of the recurrent blocks", recurrent.dim(), (1, n, n))?;
        self.learn();
        self.solve()?;
        self.updates += 1;
        if let Some((_, _, training)) = &mut self.pass {
            *training = false;
        }
        Ok(())
    }

    fn recurrent(&self, block: usize) -> Result<MatrixView<'_>> {
        if block > 0 {
            return Err(no_block(block, 1));
        }
        MatrixView::from_shape((self.neurons, self.neurons), &self.recurrent).map_err(wrong_size)
    }

    fn recurrent_mut(&mut self, block: usize) -> Result<MatrixViewMut<'_>> {
        if block > 0 {
            return Err(no_block(block, 1));
        }
        MatrixViewMut::from_shape((self.neurons, self.neurons), &mut self.recurrent).map_err(wrong_size)
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        let (f, k) = (self.neurons + 1, self.classes);
        let tensors = self.layout().map(|(name, shape, values)| Tensor {
            name: name.into(),
            shape,
            values: values.to_vec(),
        });
        let mut tensors = Vec::from(tensors);
        tensors.push(count_tensor(UPDATES, self.updates));
        tensors.push(exact_tensor(GRAM, &[f, f], &self.regression.gram));
        tensors.push(exact_tensor(CROSS, &[f, k], &self.regression.cross));
        tensors.push(exact_tensor(WEIGHT, &[1], &[self.regression.weight]));
        Ok(tensors)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let (f, k) = (self.neurons + 1, self.classes);
        // Everything is read before anything is replaced, so that a wrong state
        // leaves the model unchanged.
        let mut found = Vec::new();
        for (name, shape, _) in self.layout() {
            found.push(find(state, name, &shape)?.to_vec());
        }
        let updates = find_count(state, UPDATES)?;
        let gram = find_exact(state, GRAM, &[f, f])?;
        let cross = find_exact(state, CROSS, &[f, k])?;
        let weight = find_exact(state, WEIGHT, &[1])?.iter().sum();
        let [recurrent, input, bias, readout, readout_bias]: [Vec<f32>; 5] =
            found.try_into().map_err(|_| Error::bug("a reservoir has five tensors"))?;
        self.recurrent = recurrent;
        self.drive = [input, bias].concat();
        self.readout = [readout, readout_bias].concat();
        self.regression = Regression { gram, cross, weight };
        self.updates = updates;
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }
}
