//! A trained model: a layer of any dynamics and a linear read-out.

use std::ops::Range;

use pallium_core::ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Axis, s};
use pallium_core::prelude::*;

use crate::common::{
    check_batch, copy_inputs, expect, expect_outputs, expect_square, in_threads, no_activity, no_gradient,
    no_pass, parts_mut, sizes, wrong_size,
};
use crate::dynamics::{Dynamics, Layer, Part};
use crate::elementwise::add;
use crate::readout::Readout;
use crate::step;
use crate::wiring::{Chosen, Wiring};

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

/// A layer with dynamics D and a linear read-out.
///
/// The outputs at every step whose mask is above 0 are h_t·Wo + bo. A trial ends
/// at its length: its activity is 0 from there on. Gaussian noise is added to the
/// inputs while training. Input and read-out weights start Glorot-uniform; those
/// of units that receive no input, or are not read out, are 0 and stay 0.
/// Several threads divide a batch by trials.
pub(crate) struct Trained<D: Dynamics> {
    noise: f32,
    threads: usize,
    start: Start,
    wiring: Wiring,
    /// The units that receive input, and those that are read out.
    receiving: Chosen,
    read: Chosen,
    layer: Layer<D>,
    outputs: usize,
    readout: Readout,
    /// Gradient of the layer's weights, laid out as they are.
    gradient: Vec<f32>,
    pass: Option<Pass>,
    differentiated: bool,
    /// steps × trials × N of the last pass that kept the activity.
    hidden: Vec<f32>,
    /// steps × trials × (C + 1) of that pass, the last channel 1.
    inputs: Vec<f32>,
    learning: Vec<D::Part>,
    evaluating: Vec<D::Part>,
    /// All parameters; the last two are the read-out's.
    parameters: Vec<ParameterInfo>,
    /// The ranges of the layer's parameters in its weights.
    ranges: Vec<Range<usize>>,
}

/// The last pass that kept the activity.
struct Pass {
    steps: usize,
    trials: usize,
    scored: usize,
    training: bool,
}

impl<D: Dynamics> Trained<D> {
    /// A model of `unit`s with recurrent weights 0; the other weights are drawn
    /// with the setting's seed.
    pub fn new(unit: D, noise: f64, start: Start, wiring: Wiring, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("noise", noise)?;
        let (neurons, channels, outputs) = sizes(setting)?;
        let layer = Layer { unit, neurons, channels, weights: Vec::new() };
        let (parameters, ranges) = layout(&layer, outputs);
        let mut model = Trained {
            noise: noise as f32,
            threads: setting.threads.max(1),
            start,
            wiring,
            receiving: Chosen::default(),
            read: Chosen::default(),
            layer,
            outputs,
            readout: Readout::new(neurons, outputs, vec![0.0; (neurons + 1) * outputs])?,
            gradient: Vec::new(),
            pass: None,
            differentiated: false,
            hidden: Vec::new(),
            inputs: Vec::new(),
            learning: Vec::new(),
            evaluating: Vec::new(),
            parameters,
            ranges,
        };
        model.initialise(Matrix::zeros((neurons, neurons)).view(), setting.seed)?;
        Ok(model)
    }

    /// The parameters with their gradients; see [`Model::learned`].
    pub(crate) fn lend(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        if !self.differentiated {
            return Err(no_gradient());
        }
        let readout = self.readout_ranges();
        let Some(first) = self.learning.first_mut() else { return Err(no_gradient()) };
        let values = parts_mut(&mut self.layer.weights, &self.ranges)
            .into_iter()
            .chain(parts_mut(&mut self.readout.values, &readout));
        let gradients = parts_mut(&mut self.gradient, &self.ranges)
            .into_iter()
            .chain(parts_mut(&mut first.scoring().readout.parameters, &readout));
        let trained = |(index, _): &(usize, _)| self.parameters[*index].trained;
        let lent = values.zip(gradients).enumerate().filter(trained);
        Ok(lent.map(|(index, (values, gradient))| LearnedMut { index, values, gradient }).collect())
    }

    /// The layer with other values of its parameters, which `set` writes: those of
    /// [`ModelInfo::parameters`] without the read-out.
    pub(crate) fn layer_with(&self, set: impl FnOnce(&mut [&mut [f32]])) -> Layer<D>
    where
        D: Copy,
    {
        let Layer { unit, neurons, channels, .. } = self.layer;
        let mut layer = Layer { unit, neurons, channels, weights: self.layer.weights.clone() };
        set(&mut parts_mut(&mut layer.weights, &self.ranges));
        layer
    }

    /// Inputs of the last pass that kept the activity, noise included.
    #[cfg(test)]
    pub(crate) fn kept_inputs(&self) -> ArrayView3<'_, f32> {
        let pass = self.pass.as_ref().unwrap();
        ArrayView3::from_shape((pass.steps, pass.trials, self.layer.channels + 1), &self.inputs).unwrap()
    }

    /// The ranges of Wo and bo in the read-out's values.
    fn readout_ranges(&self) -> [Range<usize>; 2] {
        let split = self.layer.neurons * self.outputs;
        [0..split, split..split + self.outputs]
    }

    /// The last pass, if it can be differentiated.
    fn training_pass(&self) -> Result<&Pass> {
        self.pass.as_ref().filter(|pass| pass.training).ok_or_else(no_pass)
    }
}

/// All parameters, and the ranges of the layer's in its weights.
fn layout<D: Dynamics>(layer: &Layer<D>, outputs: usize) -> (Vec<ParameterInfo>, Vec<Range<usize>>) {
    let (n, c) = (layer.neurons, layer.channels);
    let (mut parameters, mut ranges) = (Vec::new(), Vec::new());
    let mut push = |parameter: ParameterInfo, start: usize| {
        ranges.push(start..start + parameter.len());
        parameters.push(parameter);
    };
    for (block, (suffix, title)) in D::SUFFIXES.iter().zip(D::BLOCKS).enumerate() {
        let drive = layer.drive(block);
        let recurrent = ParameterInfo::new(format!("recurrent{suffix}"), [n, n], ParameterKind::Recurrent);
        push(recurrent.titled(*title), layer.block(block).start);
        push(ParameterInfo::new(format!("input{suffix}"), [c, n], ParameterKind::Input), drive.start);
        push(ParameterInfo::new(format!("bias{suffix}"), [n], ParameterKind::Other), drive.start + c * n);
    }
    for (index, name) in D::VECTORS.iter().enumerate() {
        let info = ParameterInfo::new(*name, [n], ParameterKind::Other);
        let info = if layer.unit.trains_vectors() { info } else { info.fixed() };
        push(info, layer.vectors().start + index * n);
    }
    parameters.push(ParameterInfo::new("readout", [n, outputs], ParameterKind::Readout));
    parameters.push(ParameterInfo::new("readout_bias", [outputs], ParameterKind::Other));
    (parameters, ranges)
}

impl<D: Dynamics> Model for Trained<D> {
    fn info(&self) -> ModelInfo {
        let mut info = ModelInfo::new(self.layer.neurons, self.parameters.clone());
        info.states = step::states::<D>(self.layer.neurons);
        info.piecewise_linear = self.layer.unit.piecewise_linear();
        info
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let (n, c, k) = (self.layer.neurons, self.layer.channels, self.outputs);
        expect_square(recurrent, n)?;
        let [receiving, read] = self.wiring.choose(n, seed)?;
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
            weights.extend(receiving.weights_to(c, seed, &format!("input weights{suffix}")));
            weights.resize(weights.len() + n, self.layer.unit.bias(block));
        }
        weights.extend(self.layer.unit.vectors(n, seed));
        let mut readout = read.weights_from(k, seed, "read-out weights");
        readout.resize((n + 1) * k, 0.0);
        self.readout = Readout::new(n, k, readout)?;
        self.gradient = vec![0.0; weights.len()];
        self.layer.weights = weights;
        (self.receiving, self.read) = (receiving, read);
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
        check_batch(batch, self.layer.channels)?;
        let scored = batch.scored().count();
        expect_outputs(outputs.dim(), (scored, self.outputs))?;
        let (trials, steps, channels) = batch.dim();
        // Parameters may have changed since the last pass.
        self.readout.refresh()?;
        // Evaluation leaves the last pass and its gradients as they are.
        let parts = if mode == Mode::Evaluate { &mut self.evaluating } else { &mut self.learning };
        parts.resize_with(self.threads.min(trials), D::Part::default);
        let count = parts.len();
        for (index, part) in parts.iter_mut().enumerate() {
            part.scoring().assign(batch, index * trials / count..(index + 1) * trials / count);
        }

        let done: Vec<Result<()>> = if mode == Mode::Evaluate {
            let (layer, readout) = (&self.layer, &self.readout);
            in_threads(self.evaluating.iter_mut(), |part| part.evaluate(layer, readout, batch))
        } else {
            self.pass = None;
            self.differentiated = false;
            let noise_seed = match mode {
                Mode::Train { noise_seed } => Some(noise_seed),
                _ => None,
            };
            copy_inputs(&mut self.inputs, batch, noise_seed.map(|seed| (self.noise, seed)));
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
            let done = in_threads(jobs.into_iter(), |(part, inputs, hidden)| {
                part.run(layer, readout, batch, inputs, hidden, noise_seed)
            });
            self.pass = Some(Pass { steps, trials, scored, training: noise_seed.is_some() });
            done
        };
        if let Some(error) = done.into_iter().find_map(Result::err) {
            self.pass = None;
            return Err(error);
        }
        let parts = if mode == Mode::Evaluate { &mut self.evaluating } else { &mut self.learning };
        parts.iter_mut().for_each(|part| part.scoring().write_outputs(&mut outputs));
        Ok(())
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        let pass = self.pass.as_ref().ok_or_else(no_activity)?;
        ArrayView3::from_shape((pass.steps, pass.trials, self.layer.neurons), &self.hidden)
            .map_err(wrong_size)
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        let (n, pass) = (self.layer.neurons, self.training_pass()?);
        let shape = (pass.steps, pass.trials, n);
        expect_outputs(outputs.dim(), (pass.scored, self.outputs))?;
        if let Some(activity) = &activity {
            expect("the gradient in the activity", activity.dim(), shape)?;
        }
        let hidden = ArrayView3::from_shape(shape, &self.hidden).map_err(wrong_size)?;
        let inputs = ArrayView3::from_shape((pass.steps, pass.trials, self.layer.channels + 1), &self.inputs)
            .map_err(wrong_size)?;

        // The first part writes the gradient of the recurrent blocks where it
        // belongs; every other part needs its own buffer.
        let (drive, vectors) = (self.layer.drive(0).start, self.layer.vectors().start);
        let (recurrent, others) = self.gradient.split_at_mut(drive);
        let (in_drive, in_vectors) = others.split_at_mut(vectors - drive);
        let mut own = vec![vec![0.0; drive]; self.learning.len() - 1];
        let mut sums = vec![&mut *recurrent];
        sums.extend(own.iter_mut().map(Vec::as_mut_slice));

        let (mut jobs, mut from) = (Vec::with_capacity(sums.len()), 0);
        for (part, sum) in self.learning.iter_mut().zip(sums) {
            let count = part.scoring().count();
            let trials = s![.., from..from + count, ..];
            from += count;
            let activity = activity.map(|activity| activity.slice_move(trials));
            jobs.push((part, inputs.slice(trials), hidden.slice(trials), activity, sum));
        }
        let (layer, readout) = (&self.layer, &self.readout);
        let done = in_threads(jobs.into_iter(), |(part, inputs, hidden, activity, sum)| {
            part.scoring().differentiate(readout, hidden, outputs)?;
            part.backward(layer, inputs, hidden, activity, sum)
        });
        done.into_iter().collect::<Result<()>>()?;

        own.iter().for_each(|term| add(recurrent, term));
        if let Some((first, others)) = self.learning.split_first_mut() {
            for part in others {
                let (sum, term) = (first.gradients(), part.gradients());
                add(sum.drive, term.drive);
                add(sum.vectors, term.vectors);
                add(&mut first.scoring().readout.parameters, &part.scoring().readout.parameters);
            }
            let gradients = first.gradients();
            in_drive.copy_from_slice(gradients.drive);
            in_vectors.copy_from_slice(gradients.vectors);
            // The last row of a block's drive is its bias, which every unit has.
            let (c, n) = (self.layer.channels, self.layer.neurons);
            for drive in in_drive.chunks_exact_mut((c + 1) * n) {
                self.receiving.clear_to(&mut drive[..c * n]);
            }
            let in_readout = &mut first.scoring().readout.parameters[..n * self.outputs];
            self.read.clear_from(in_readout, self.outputs);
        }
        self.differentiated = true;
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let layer = self.ranges.iter().map(|range| &self.layer.weights[range.clone()]);
        let [weights, bias] = self.readout_ranges().map(|range| &self.readout.values[range]);
        let values = layer.chain([weights, bias]);
        let named = self.parameters.iter().zip(values);
        Ok(named.map(|(info, values)| TensorView { name: &info.name, shape: &info.shape, values }).collect())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        // What a pass kept belongs to the parameters before this change.
        self.differentiated = false;
        if let Some(pass) = &mut self.pass {
            pass.training = false;
        }
        let readout = self.readout_ranges();
        let mut parts = parts_mut(&mut self.layer.weights, &self.ranges);
        parts.extend(parts_mut(&mut self.readout.values, &readout));
        Ok(parts)
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        // What is lent may be changed, and the pass belongs to the values before.
        if let Some(pass) = self.pass.as_mut().filter(|_| self.differentiated) {
            pass.training = false;
        }
        self.lend()
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        step::step(&self.layer, states, inputs)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        step::step_gradient(&self.layer, states, inputs, cotangents)
    }
}
