//! A trained model: a layer of any dynamics, a softmax read-out and the
//! optimizer.

use std::ops::Range;

use pallium_core::ndarray::{ArrayView3, ArrayViewMut3, Axis, s};
use pallium_core::prelude::*;

use crate::common::{
    check_batch, copy_inputs, expect, expect_square, glorot, in_threads, no_activity, no_block, no_gradient,
    no_pass, sizes, wrong_size,
};
use crate::dynamics::{Dynamics, Layer, Learn, Part};
use crate::elementwise::add;
use crate::optimizer::{Adam, FIRST, Moments, SECOND, UPDATES};
use crate::readout::{Readout, Score};
use crate::saved::{count_tensor, find, find_count};

pallium_core::choice! {
    /// Initial recurrent weights of the blocks other than block 0.
    pub enum Start {
        /// The same matrix as block 0.
        Same = "same",
        /// Zeros.
        Zero = "zero",
        /// The same matrix with its neurons relabelled, differently for each
        /// block.
        Relabelled = "relabelled",
    }
}

/// A layer with dynamics D, a softmax read-out, and Adam.
///
/// The answer at every step whose mask is above 0 is softmax(h_t·Wo + bo). The
/// loss is the mean cross-entropy weighted by the mask, in nats. A trial ends at
/// its length: its activity is 0 from there on. Gaussian noise is added to the
/// inputs while training. Input and read-out weights start Glorot-uniform.
/// Several threads divide a batch by trials.
pub(crate) struct Trained<D: Dynamics> {
    noise: f32,
    optimizer: Adam,
    threads: usize,
    start: Start,
    layer: Layer<D>,
    moments: Moments,
    updates: u64,
    classes: usize,
    readout: Readout,
    pass: Option<Pass>,
    differentiated: bool,
    /// steps × trials × N of the last pass that kept the activity.
    hidden: Vec<f32>,
    /// steps × trials × (C + 1) of that pass, the last channel 1.
    inputs: Vec<f32>,
    learning: Vec<D::Part>,
    evaluating: Vec<D::Part>,
}

/// The last pass that kept the activity.
struct Pass {
    steps: usize,
    trials: usize,
    training: bool,
}

/// A tensor's name, its shape, and its range in a buffer of weights or moments.
type Slot = (String, Vec<usize>, Range<usize>);

impl<D: Dynamics> Trained<D> {
    /// A model of `unit`s with recurrent weights 0; the other weights are drawn
    /// with the setting's seed.
    pub fn new(unit: D, noise: f64, optimizer: Adam, start: Start, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("noise", noise)?;
        let (neurons, channels, classes) = sizes(setting)?;
        let mut model = Trained {
            noise: noise as f32,
            optimizer,
            threads: setting.threads.max(1),
            start,
            layer: Layer { unit, neurons, channels, weights: Vec::new() },
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

    /// The trained tensors except the read-out.
    fn layout(&self) -> Vec<Slot> {
        let (layer, n, c) = (&self.layer, self.layer.neurons, self.layer.channels);
        let mut all = Vec::new();
        for (block, suffix) in D::SUFFIXES.iter().enumerate() {
            let drive = layer.drive(block);
            let bias = drive.start + c * n;
            all.push((format!("recurrent{suffix}"), vec![n, n], layer.block(block)));
            all.push((format!("input{suffix}"), vec![c, n], drive.start..bias));
            all.push((format!("bias{suffix}"), vec![n], bias..drive.end));
        }
        for (index, name) in D::VECTORS.iter().enumerate() {
            let start = layer.vectors().start + index * n;
            all.push(((*name).to_owned(), vec![n], start..start + n));
        }
        all
    }

    /// Inputs of the last pass that kept the activity, noise included.
    #[cfg(test)]
    pub(crate) fn kept_inputs(&self) -> ArrayView3<'_, f32> {
        let pass = self.pass.as_ref().unwrap();
        ArrayView3::from_shape((pass.steps, pass.trials, self.layer.channels + 1), &self.inputs).unwrap()
    }

    /// The read-out's tensors, with their ranges in the read-out's moments.
    fn readout_layout(&self) -> [Slot; 2] {
        let (n, k) = (self.layer.neurons, self.classes);
        [("readout".into(), vec![n, k], 0..n * k), ("readout_bias".into(), vec![k], n * k..n * k + k)]
    }
}

impl<D: Dynamics> Model for Trained<D> {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            neurons: self.layer.neurons,
            blocks: D::BLOCKS.len(),
            block_names: D::BLOCKS.iter().map(|&name| name.into()).collect(),
            parameters: self.layer.weights.len() + self.readout.parameters(),
        }
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let (n, c, k) = (self.layer.neurons, self.layer.channels, self.classes);
        expect_square(recurrent, n)?;
        let mut weights = Vec::with_capacity(self.layer.vectors().end);
        weights.extend(recurrent.iter());
        for name in &D::BLOCKS[1..] {
            match self.start {
                Start::Same => weights.extend(recurrent.iter()),
                Start::Zero => weights.resize(weights.len() + n * n, 0.0),
                Start::Relabelled => {
                    use rand::seq::SliceRandom;
                    let mut order: Vec<usize> = (0..n).collect();
                    order.shuffle(&mut random::stream(seed, &format!("labels of {name}")));
                    weights.extend(order.iter().flat_map(|&i| order.iter().map(move |&j| recurrent[[i, j]])));
                }
            }
        }
        for (block, suffix) in D::SUFFIXES.iter().enumerate() {
            weights.extend(glorot(c, n, seed, &format!("input weights{suffix}")));
            weights.resize(weights.len() + n, self.layer.unit.bias(block));
        }
        weights.extend(self.layer.unit.vectors(n, seed));
        self.readout = Readout::new(n, k, &glorot(n, k, seed, "read-out weights"), &vec![0.0; k])?;
        self.moments = Moments::zeros(weights.len());
        self.layer.weights = weights;
        self.updates = 0;
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Outcome> {
        let weight = check_batch(batch, self.layer.channels, self.classes)?;
        let (trials, steps, channels) = batch.dim();
        // Evaluation leaves the last pass and its gradients as they are.
        let parts = if mode == Mode::Evaluate { &mut self.evaluating } else { &mut self.learning };
        parts.resize_with(self.threads.min(trials), D::Part::default);
        let count = parts.len();
        for (index, part) in parts.iter_mut().enumerate() {
            part.scoring().assign(batch, index * trials / count..(index + 1) * trials / count);
        }

        let scores = if mode == Mode::Evaluate {
            let (layer, readout) = (&self.layer, &self.readout);
            in_threads(self.evaluating.iter_mut(), |part| part.evaluate(layer, readout, batch))
        } else {
            self.pass = None;
            self.differentiated = false;
            let learn = match mode {
                Mode::Train { noise_seed } => {
                    copy_inputs(&mut self.inputs, batch, Some((self.noise, noise_seed)));
                    Some(Learn { scale: if weight > 0.0 { 1.0 / weight } else { 0.0 }, noise_seed })
                }
                _ => {
                    copy_inputs(&mut self.inputs, batch, None);
                    None
                }
            };
            let (layer, readout, n) = (&self.layer, &self.readout, self.layer.neurons);
            self.hidden.resize(steps * trials * n, 0.0);
            let mut inputs =
                ArrayView3::from_shape((steps, trials, channels + 1), &self.inputs).map_err(wrong_size)?;
            let mut hidden =
                ArrayViewMut3::from_shape((steps, trials, n), &mut self.hidden).map_err(wrong_size)?;
            let mut jobs = Vec::with_capacity(count);
            for part in &mut self.learning {
                let count = part.scoring().count();
                let (mine, rest) = inputs.split_at(Axis(1), count);
                let (states, other) = hidden.split_at(Axis(1), count);
                (inputs, hidden) = (rest, other);
                jobs.push((part, mine, states));
            }
            let scores = in_threads(jobs.into_iter(), |(part, inputs, hidden)| {
                part.run(layer, readout, batch, inputs, hidden, learn)
            });
            self.pass = Some(Pass { steps, trials, training: learn.is_some() });
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
        ArrayView3::from_shape((pass.steps, pass.trials, self.layer.neurons), &self.hidden)
            .map_err(wrong_size)
    }

    fn backward(
        &mut self,
        activity: Option<ArrayView3<'_, f32>>,
        mut recurrent: ArrayViewMut3<'_, f32>,
    ) -> Result<()> {
        let (n, blocks) = (self.layer.neurons, D::BLOCKS.len());
        let pass = self.pass.as_ref().filter(|pass| pass.training).ok_or_else(no_pass)?;
        let shape = (pass.steps, pass.trials, n);
        expect("the gradient of the recurrent blocks", recurrent.dim(), (blocks, n, n))?;
        if let Some(activity) = &activity {
            expect("the gradient in the activity", activity.dim(), shape)?;
        }
        let hidden = ArrayView3::from_shape(shape, &self.hidden).map_err(wrong_size)?;
        let inputs = ArrayView3::from_shape((pass.steps, pass.trials, self.layer.channels + 1), &self.inputs)
            .map_err(wrong_size)?;

        // The first part adds into the caller's array if it is contiguous;
        // every other part needs its own buffer.
        let direct = recurrent.is_standard_layout();
        let mut own = vec![vec![0.0; blocks * n * n]; self.learning.len() - usize::from(direct)];
        let mut sums: Vec<&mut [f32]> = recurrent.as_slice_mut().into_iter().collect();
        sums.extend(own.iter_mut().map(Vec::as_mut_slice));

        let (mut jobs, mut from) = (Vec::with_capacity(sums.len()), 0);
        for (part, sum) in self.learning.iter_mut().zip(sums) {
            let count = part.scoring().count();
            let trials = s![.., from..from + count, ..];
            from += count;
            let activity = activity.map(|activity| activity.slice_move(trials));
            jobs.push((part, inputs.slice(trials), hidden.slice(trials), activity, sum));
        }
        let layer = &self.layer;
        let done = in_threads(jobs.into_iter(), |(part, inputs, hidden, activity, sum)| {
            part.backward(layer, inputs, hidden, activity, sum)
        });
        done.into_iter().collect::<Result<()>>()?;

        if let Some(values) = recurrent.as_slice_mut() {
            own.iter().for_each(|term| add(values, term));
        } else {
            recurrent.fill(0.0);
            for term in own {
                recurrent += &ArrayView3::from_shape((blocks, n, n), &term).map_err(wrong_size)?;
            }
        }
        if let Some((first, others)) = self.learning.split_first_mut() {
            for part in others {
                let (sum, term) = (first.gradients(), part.gradients());
                add(sum.drive, term.drive);
                add(sum.vectors, term.vectors);
                let term = &mut part.scoring().readout.parameters;
                add(&mut first.scoring().readout.parameters, term);
                // A second backward pass must not add it again.
                term.fill(0.0);
            }
        }
        self.differentiated = true;
        Ok(())
    }

    fn update(&mut self, recurrent: ArrayView3<'_, f32>) -> Result<()> {
        let (n, blocks) = (self.layer.neurons, D::BLOCKS.len());
        let Some(part) = self.learning.first_mut().filter(|_| self.differentiated) else {
            return Err(no_gradient());
        };
        expect("the gradient of the recurrent blocks", recurrent.dim(), (blocks, n, n))?;
        let recurrent = recurrent.as_standard_layout();
        let gradient =
            recurrent.as_slice().ok_or_else(|| Error::bug("an array in standard layout has gaps"))?;

        self.updates += 1;
        let step = self.optimizer.step(self.updates);
        let (drive, vectors) = (self.layer.drive(0).start, self.layer.vectors().start);
        let weights = &mut self.layer.weights;
        self.moments.update(step, 0, &mut weights[..drive], gradient);
        let gradients = part.gradients();
        self.moments.update(step, drive, &mut weights[drive..vectors], gradients.drive);
        self.moments.update(step, vectors, &mut weights[vectors..], gradients.vectors);
        self.readout.update(step, &part.scoring().readout.parameters)?;
        // The activity can still be read, but no longer differentiated.
        self.differentiated = false;
        if let Some(pass) = &mut self.pass {
            pass.training = false;
        }
        Ok(())
    }

    fn recurrent(&self, block: usize) -> Result<MatrixView<'_>> {
        let (n, blocks) = (self.layer.neurons, D::BLOCKS.len());
        if block >= blocks {
            return Err(no_block(block, blocks));
        }
        MatrixView::from_shape((n, n), &self.layer.weights[self.layer.block(block)]).map_err(wrong_size)
    }

    fn recurrent_mut(&mut self, block: usize) -> Result<MatrixViewMut<'_>> {
        let (n, blocks) = (self.layer.neurons, D::BLOCKS.len());
        if block >= blocks {
            return Err(no_block(block, blocks));
        }
        let place = self.layer.block(block);
        MatrixViewMut::from_shape((n, n), &mut self.layer.weights[place]).map_err(wrong_size)
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        let (weights, bias) = self.readout.values()?;
        let (layer, readout) = (self.layout(), self.readout_layout());
        let mut tensors = Vec::new();
        for (name, shape, place) in &layer {
            let values = self.layer.weights[place.clone()].to_vec();
            tensors.push(Tensor { name: name.clone(), shape: shape.clone(), values });
        }
        for ((name, shape, _), values) in readout.iter().zip([weights, bias]) {
            tensors.push(Tensor { name: name.clone(), shape: shape.clone(), values });
        }
        tensors.push(count_tensor(UPDATES, self.updates));
        for (moments, layout) in [(&self.moments, &layer[..]), (self.readout.moments(), &readout[..])] {
            for (kind, values) in [(FIRST, &moments.first), (SECOND, &moments.second)] {
                for (name, shape, place) in layout {
                    tensors.push(Tensor {
                        name: format!("{kind}.{name}"),
                        shape: shape.clone(),
                        values: values[place.clone()].to_vec(),
                    });
                }
            }
        }
        Ok(tensors)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let (layer, readout) = (self.layout(), self.readout_layout());
        // Everything is read before anything is replaced, so that a wrong state
        // leaves the model unchanged.
        let gather = |prefix: &str, layout: &[Slot]| -> Result<Vec<f32>> {
            let mut values = vec![0.0; layout.iter().map(|(_, _, place)| place.end).max().unwrap_or(0)];
            for (name, shape, place) in layout {
                values[place.clone()].copy_from_slice(find(state, &format!("{prefix}{name}"), shape)?);
            }
            Ok(values)
        };
        let weights = gather("", &layer)?;
        let mut in_weights = gather("", &readout)?;
        let in_bias = in_weights.split_off(readout[1].2.start);
        let moments = |layout: &[Slot]| -> Result<Moments> {
            Ok(Moments {
                first: gather(&format!("{FIRST}."), layout)?,
                second: gather(&format!("{SECOND}."), layout)?,
            })
        };
        let (of_layer, of_readout) = (moments(&layer)?, moments(&readout)?);
        let updates = find_count(state, UPDATES)?;

        self.readout.set(in_weights, in_bias)?;
        *self.readout.moments_mut() = of_readout;
        self.layer.weights = weights;
        self.moments = of_layer;
        self.updates = updates;
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }
}
