//! Recurrent networks whose weights lie on a set of connections.
//!
//! [`steps`] computes one time step of some trials, [`pass`] a batch, and
//! [`Connected`] is the model. Cost and memory grow with the connections, not with
//! the square of the units.

mod lanes;
mod pass;
mod steps;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use pallium_core::ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2, s};
use pallium_core::prelude::*;

use crate::common::{
    check_batch, check_cotangents, check_states, copy_inputs, expect, expect_outputs, in_threads,
    no_activity, no_gradient, no_pass, sizes, wrong_size,
};
use crate::dynamics::Dynamics;
use crate::leaky::Transfer;
use crate::step;
use crate::wiring::{Chosen, Wiring};
use pass::{Group, Plan, Room, Source, divide};
use steps::Layer;

/// Units that can be computed along connections: one recurrent block, and a state
/// that follows from a transfer function and a leak.
pub(crate) trait ConnectedUnit: Dynamics {
    /// The transfer function.
    fn transfer(&self) -> Transfer;

    /// α of each unit, given the further parameters; empty if all are 1.
    fn alphas(&self, units: usize, vectors: &[f32]) -> Vec<f32>;

    /// Standard deviation of the noise of each unit while training; empty for none.
    fn noise(&self, vectors: &[f32]) -> Vec<f32>;

    /// Whether the gradient of ln τ is needed, the further parameter.
    fn learns_time_constants(&self) -> bool;
}

/// The places of the parameters.
const RECURRENT: usize = 0;
const INPUT: usize = 1;
const BIAS: usize = 2;

/// A layer of units D on a set of connections, and a linear read-out. Outputs,
/// noise, initial weights and the ends of trials are those of
/// [`Trained`](crate::trained::Trained).
pub(crate) struct Connected<D> {
    unit: D,
    noise: f32,
    threads: usize,
    wiring: Wiring,
    receiving: Chosen,
    read: Chosen,
    channels: usize,
    outputs: usize,
    pairs: Connections,
    /// The connections in the other direction, and the place of each in `pairs`.
    reversed: Connections,
    places: Vec<u32>,
    parameters: Vec<ParameterInfo>,
    values: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    /// What the steps read, computed from the values before each pass.
    prepared: Prepared,
    learning: Vec<Group>,
    rooms: Vec<Room>,
    inputs: Vec<f32>,
    pass: Option<Pass>,
    differentiated: bool,
    /// Activity of the last pass that kept it, computed when it is asked for.
    activity: OnceLock<Vec<f32>>,
    /// Forces segments of this length.
    segment: Option<usize>,
}

#[derive(Default)]
struct Prepared {
    incoming: Vec<f32>,
    drive: Vec<f32>,
    alphas: Vec<f32>,
    noise: Vec<f32>,
}

/// The last pass that kept its states.
struct Pass {
    steps: usize,
    trials: usize,
    scored: usize,
    training: bool,
    /// Whether parameters may have changed since.
    stale: bool,
    noise_seed: u64,
    lengths: Vec<u32>,
    plan: Plan,
}

impl<D: ConnectedUnit> Connected<D> {
    /// A model of `unit`s on the setting's connections, with recurrent weights 0.
    pub fn new(
        unit: D,
        noise: f64,
        wiring: Wiring,
        pairs: ConnectionsView<'_>,
        setting: &Setting<'_>,
    ) -> Result<Self> {
        at_least_zero("noise", noise)?;
        let (n, channels, outputs) = sizes(setting)?;
        if pairs.dim() != (n, n) {
            return Err(Error::input(format!(
                "the connections are of {:?} units, but there are {n} neurons",
                pairs.dim()
            )));
        }
        if u32::try_from(pairs.len()).is_err() {
            return Err(Error::unsupported(format!(
                "{} connections are more than {}",
                pairs.len(),
                u32::MAX
            )));
        }
        let mut parameters = vec![
            ParameterInfo::new("recurrent", [pairs.len()], ParameterKind::Recurrent)
                .titled(D::BLOCKS[0])
                .on_connections(),
            ParameterInfo::new("input", [channels, n], ParameterKind::Input),
            ParameterInfo::new("bias", [n], ParameterKind::Other),
        ];
        for name in D::VECTORS {
            let info = ParameterInfo::new(*name, [n], ParameterKind::Other);
            parameters.push(if unit.trains_vectors() { info } else { info.fixed() });
        }
        parameters.push(ParameterInfo::new("readout", [n, outputs], ParameterKind::Readout));
        parameters.push(ParameterInfo::new("readout_bias", [outputs], ParameterKind::Other));
        let (reversed, places) = pairs.reversed();
        let mut model = Connected {
            unit,
            noise: noise as f32,
            threads: setting.threads.max(1),
            wiring,
            receiving: Chosen::default(),
            read: Chosen::default(),
            channels,
            outputs,
            pairs: pairs.to_owned(),
            reversed,
            places,
            parameters,
            values: Vec::new(),
            gradients: Vec::new(),
            prepared: Prepared::default(),
            learning: Vec::new(),
            rooms: Vec::new(),
            inputs: Vec::new(),
            pass: None,
            differentiated: false,
            activity: OnceLock::new(),
            segment: None,
        };
        let none = Matrix::zeros((1, pairs.len()));
        model.initialise(none.view(), setting.seed)?;
        Ok(model)
    }

    fn units(&self) -> usize {
        self.pairs.view().dim().0
    }

    /// The further parameters of the units.
    fn vectors(&self) -> &[f32] {
        if D::VECTORS.is_empty() { &[] } else { &self.values[BIAS + 1] }
    }

    /// The place of the read-out; its bias follows.
    fn readout(&self) -> usize {
        BIAS + 1 + D::VECTORS.len()
    }

    /// Prepares the steps, since parameters may have changed since the last pass.
    fn prepare(&mut self) {
        let (n, c) = (self.units(), self.channels);
        let mut prepared = std::mem::take(&mut self.prepared);
        prepared.incoming.clear();
        prepared.incoming.extend(self.places.iter().map(|&place| self.values[RECURRENT][place as usize]));
        prepared.drive.resize(n * (c + 1), 0.0);
        for (unit, drive) in prepared.drive.chunks_exact_mut(c + 1).enumerate() {
            for (channel, weight) in drive[..c].iter_mut().enumerate() {
                *weight = self.values[INPUT][channel * n + unit];
            }
            drive[c] = self.values[BIAS][unit];
        }
        prepared.alphas = self.unit.alphas(n, self.vectors());
        prepared.noise = self.unit.noise(self.vectors());
        self.prepared = prepared;
    }

    fn layer(&self) -> Layer<'_> {
        let readout = self.readout();
        Layer {
            transfer: self.unit.transfer(),
            alphas: &self.prepared.alphas,
            channels: self.channels,
            outputs: self.outputs,
            incoming: (self.reversed.view(), &self.prepared.incoming),
            outgoing: (self.pairs.view(), &self.values[RECURRENT]),
            drive: &self.prepared.drive,
            readout: &self.values[readout],
            readout_bias: &self.values[readout + 1],
        }
    }

    /// The inputs of the last pass that kept its states.
    fn source<'a>(&'a self, pass: &'a Pass) -> Result<Source<'a>> {
        let shape = (pass.steps, pass.trials, self.channels + 1);
        Ok(Source {
            inputs: ArrayView3::from_shape(shape, &self.inputs).map_err(wrong_size)?,
            lengths: &pass.lengths,
            noise: (pass.training && !self.prepared.noise.is_empty())
                .then_some((&self.prepared.noise, pass.noise_seed)),
        })
    }

    /// The trials in an order in which similar ones are adjacent, so that units are
    /// silent in all trials of a tile.
    fn order(batch: &BatchView<'_>, trials: Vec<u32>) -> Vec<u32> {
        let mut means: Vec<(Vec<f32>, u32)> = trials
            .into_iter()
            .map(|trial| {
                let length = (batch.lengths[trial as usize] as usize).max(1);
                let sums = batch.inputs.slice(s![trial as usize, ..length, ..]);
                let means = sums.columns().into_iter().map(|channel| channel.sum() / length as f32);
                (means.collect(), trial)
            })
            .collect();
        means.sort_by(|(a, _), (b, _)| {
            a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).fold(std::cmp::Ordering::Equal, |x, y| x.then(y))
        });
        means.into_iter().map(|(_, trial)| trial).collect()
    }

    /// Runs the forward pass of `groups` on all threads.
    fn run(&self, groups: &mut [Group], rooms: &mut [Room], source: &Source<'_>, plan: Plan, keep: bool) {
        let layer = self.layer();
        let share = groups.len().div_ceil(self.threads).max(1);
        let jobs = groups.chunks_mut(share).zip(rooms);
        in_threads(jobs, |(groups, room)| {
            for tile in groups.iter_mut().flat_map(|group| &mut group.tiles) {
                tile.forward(&layer, source, plan, keep, room);
            }
        });
    }

    fn evaluate(&mut self, batch: &BatchView<'_>, outputs: &mut ArrayViewMut2<'_, f32>) -> Result<()> {
        let (trials, steps, channels) = batch.dim();
        // Without noise, trials with the same inputs have the same states.
        let mut rows: Vec<Vec<(u32, u32)>> = vec![Vec::new(); trials];
        let mut firsts: Vec<u32> = Vec::new();
        let same: Vec<usize> = (0..trials)
            .map(|trial| {
                let of = |trial: usize| (batch.inputs.slice(s![trial, .., ..]), batch.lengths[trial]);
                let known = firsts.iter().find(|&&first| of(first as usize) == of(trial)).copied();
                if known.is_none() {
                    firsts.push(trial as u32);
                }
                known.unwrap_or(trial as u32) as usize
            })
            .collect();
        for (row, at) in (0..).zip(batch.scored()) {
            rows[same[at.trial]].push((at.step as u32, row));
        }
        let mut inputs = Vec::new();
        copy_inputs(&mut inputs, batch, None);
        let source = Source {
            inputs: ArrayView3::from_shape((steps, trials, channels + 1), &inputs).map_err(wrong_size)?,
            lengths: batch.lengths,
            noise: None,
        };
        let mut groups = divide(&Self::order(batch, firsts), &rows);
        let mut rooms = std::mem::take(&mut self.rooms);
        rooms.resize_with(self.threads, Room::default);
        self.run(&mut groups, &mut rooms, &source, Plan { steps, segment: 1 }, false);
        self.rooms = rooms;
        groups.iter().flat_map(|group| &group.tiles).for_each(|tile| tile.write_outputs(outputs));
        Ok(())
    }

    /// The last pass, if it can be differentiated.
    fn training_pass(&self) -> Result<&Pass> {
        self.pass.as_ref().filter(|pass| pass.training && !pass.stale).ok_or_else(no_pass)
    }
}

impl<D: ConnectedUnit> Model for Connected<D> {
    fn info(&self) -> ModelInfo {
        let mut info = ModelInfo::new(self.units(), self.parameters.clone());
        info.states = step::states::<D>(self.units());
        info.piecewise_linear = self.unit.piecewise_linear();
        info
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let (n, c, k) = (self.units(), self.channels, self.outputs);
        let count = self.pairs.view().len();
        if recurrent.dim() != (1, count) {
            return Err(Error::input(format!(
                "the recurrent weights are {:?}, but must be 1 × {count}, one for each connection",
                recurrent.dim()
            )));
        }
        let [receiving, read] = self.wiring.choose(n, seed)?;
        self.values = vec![
            recurrent.iter().copied().collect(),
            receiving.weights_to(c, seed, &format!("input weights{}", D::SUFFIXES[0])),
            vec![self.unit.bias(0); n],
        ];
        if !D::VECTORS.is_empty() {
            self.values.push(Dynamics::vectors(&self.unit, n, seed));
        }
        self.values.push(read.weights_from(k, seed, "read-out weights"));
        self.values.push(vec![0.0; k]);
        self.gradients = self.values.iter().map(|values| vec![0.0; values.len()]).collect();
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
        check_batch(batch, self.channels)?;
        let scored = batch.scored().count();
        expect_outputs(outputs.dim(), (scored, self.outputs))?;
        self.prepare();
        if mode == Mode::Evaluate {
            return self.evaluate(batch, &mut outputs);
        }
        let (trials, steps, _) = batch.dim();
        self.differentiated = false;
        self.activity = OnceLock::new();
        let noise_seed = match mode {
            Mode::Train { noise_seed } => Some(noise_seed),
            _ => None,
        };
        copy_inputs(&mut self.inputs, batch, noise_seed.map(|seed| (self.noise, seed)));
        let mut rows: Vec<Vec<(u32, u32)>> = vec![Vec::new(); trials];
        for (row, at) in (0..).zip(batch.scored()) {
            rows[at.trial].push((at.step as u32, row));
        }
        // Buffers of an earlier batch are kept where the tiles are the same.
        let mut groups = divide(&Self::order(batch, (0..trials as u32).collect()), &rows);
        let old = std::mem::take(&mut self.learning);
        for (group, old) in groups.iter_mut().zip(old) {
            group.gradients = old.gradients;
            for (tile, old) in group.tiles.iter_mut().zip(old.tiles) {
                tile.reuse(old);
            }
        }
        let mut rooms = std::mem::take(&mut self.rooms);
        rooms.resize_with(self.threads, Room::default);
        let tiles = groups.iter().map(|group| group.tiles.len()).sum();
        let plan = Plan::new(&self.layer(), tiles, steps, self.segment);
        let pass = Pass {
            steps,
            trials,
            scored,
            training: noise_seed.is_some(),
            stale: false,
            noise_seed: noise_seed.unwrap_or_default(),
            lengths: batch.lengths.to_vec(),
            plan,
        };
        let source = self.source(&pass)?;
        self.run(&mut groups, &mut rooms, &source, plan, true);
        groups.iter().flat_map(|group| &group.tiles).for_each(|tile| tile.write_outputs(&mut outputs));
        (self.learning, self.rooms, self.pass) = (groups, rooms, Some(pass));
        Ok(())
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        // The states of a pass in segments are computed again, which needs its weights.
        let known = |pass: &&Pass| !pass.stale || pass.plan.is_whole() || self.activity.get().is_some();
        let pass = self.pass.as_ref().filter(known).ok_or_else(no_activity)?;
        let n = self.units();
        let shape = (pass.steps, pass.trials, n);
        let source = self.source(pass)?;
        let values = self.activity.get_or_init(|| {
            let mut values = vec![0.0; pass.steps * pass.trials * n];
            let (layer, mut room) = (self.layer(), Room::default());
            for tile in self.learning.iter().flat_map(|group| &group.tiles) {
                tile.replay(&layer, &source, pass.plan, &mut room, |step, trials, states| {
                    for (lane, &trial) in trials.iter().enumerate() {
                        let row = &mut values[(step * pass.trials + trial as usize) * n..][..n];
                        row.iter_mut().zip(states).for_each(|(to, from)| *to = from.0[lane]);
                    }
                });
            }
            values
        });
        ArrayView3::from_shape(shape, values).map_err(wrong_size)
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        self.training_pass()?;
        let Some(pass) = self.pass.take() else { return Err(no_pass()) };
        let n = self.units();
        expect_outputs(outputs.dim(), (pass.scored, self.outputs))?;
        if let Some(activity) = &activity {
            expect("the gradient in the activity", activity.dim(), (pass.steps, pass.trials, n))?;
        }
        let mut groups = std::mem::take(&mut self.learning);
        let mut rooms = std::mem::take(&mut self.rooms);
        let (layer, source, plan) = (self.layer(), self.source(&pass)?, pass.plan);
        let alphas = self.unit.learns_time_constants();
        let share = groups.len().div_ceil(self.threads).max(1);
        in_threads(groups.chunks_mut(share).zip(&mut rooms), |(groups, room)| {
            for Group { tiles, gradients } in groups {
                gradients.clear(&layer, alphas);
                for tile in tiles {
                    tile.backward(&layer, &source, plan, outputs, activity, gradients, room);
                }
            }
        });
        if let Some((first, others)) = groups.split_first_mut() {
            for other in others {
                for (sum, term) in first.gradients.parts().into_iter().zip(other.gradients.parts()) {
                    crate::elementwise::add(sum, term);
                }
            }
            let (c, readout) = (self.channels, self.readout());
            let found = &first.gradients;
            self.gradients[RECURRENT].copy_from_slice(&found.weights);
            for (unit, drive) in found.drive.chunks_exact(c + 1).enumerate() {
                for (channel, &gradient) in drive[..c].iter().enumerate() {
                    self.gradients[INPUT][channel * n + unit] = gradient;
                }
                self.gradients[BIAS][unit] = drive[c];
            }
            if alphas {
                // dα/d ln τ is −α, but 0 where α is clamped to 1.
                let slopes = self.prepared.alphas.iter().map(|&a| if a < 1.0 { -a } else { 0.0 });
                for ((to, slope), from) in self.gradients[BIAS + 1].iter_mut().zip(slopes).zip(&found.alphas)
                {
                    *to = slope * from;
                }
            }
            self.gradients[readout].copy_from_slice(&found.readout);
            for (k, to) in self.gradients[readout + 1].iter_mut().enumerate() {
                *to = outputs.column(k).sum();
            }
            self.receiving.clear_to(&mut self.gradients[INPUT]);
            self.read.clear_from(&mut self.gradients[readout], self.outputs);
        }
        (self.learning, self.rooms, self.pass) = (groups, rooms, Some(pass));
        self.differentiated = true;
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let named = self.parameters.iter().zip(&self.values);
        Ok(named.map(|(info, values)| TensorView { name: &info.name, shape: &info.shape, values }).collect())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        self.differentiated = false;
        self.forget();
        Ok(self.values.iter_mut().map(Vec::as_mut_slice).collect())
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        if !self.differentiated {
            return Err(no_gradient());
        }
        // What is lent may be changed, and the pass belongs to the values before.
        self.forget();
        let trained = |(index, _): &(usize, _)| self.parameters[*index].trained;
        let lent = self.values.iter_mut().zip(&mut self.gradients).enumerate().filter(trained);
        Ok(lent.map(|(index, (values, gradient))| LearnedMut { index, values, gradient }).collect())
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let n = self.units();
        check_states(states, inputs, self.units(), self.channels)?;
        let mut next = Array2::zeros(states.dim());
        for row in 0..states.nrows() {
            let [drive, product] = self.sums(states, inputs, row);
            for unit in 0..n {
                let mut of_unit = [0.0];
                self.unit.next(
                    &[drive[unit]],
                    &[product[unit]],
                    &[states[[row, unit]]],
                    &self.vector(unit),
                    &mut of_unit,
                );
                next[[row, unit]] = of_unit[0];
            }
        }
        Ok(next)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        let n = self.units();
        check_states(states, inputs, self.units(), self.channels)?;
        check_cotangents(states, cotangents)?;
        let (mut in_states, mut in_inputs) = (Array2::zeros(states.dim()), Array2::zeros(inputs.dim()));
        for row in 0..states.nrows() {
            let [drive, product] = self.sums(states, inputs, row);
            let mut in_product = vec![0.0; n];
            for unit in 0..n {
                let (mut in_drive, mut through, mut in_state) = ([0.0], [0.0], [0.0]);
                self.unit.gradient(
                    &[drive[unit]],
                    &[product[unit]],
                    &[states[[row, unit]]],
                    &self.vector(unit),
                    &[cotangents[[row, unit]]],
                    &mut in_drive,
                    &mut through,
                    &mut in_state,
                );
                in_product[unit] = through[0];
                in_states[[row, unit]] += in_state[0];
                for channel in 0..self.channels {
                    let weight = f64::from(self.values[INPUT][channel * n + unit]);
                    in_inputs[[row, channel]] += in_drive[0] * weight;
                }
            }
            for ((i, j), &w) in self.pairs.view().pairs().zip(&self.values[RECURRENT]) {
                in_states[[row, i]] += f64::from(w) * in_product[j];
            }
        }
        Ok((in_states, in_inputs))
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        let pairs = change.connections;
        if (pairs.dim(), pairs.len()) != (self.pairs.view().dim(), self.pairs.view().len()) {
            return Err(Error::input(format!(
                "{} connections of {:?} units cannot take the place of {} of {:?}",
                pairs.len(),
                pairs.dim(),
                self.pairs.view().len(),
                self.pairs.view().dim()
            )));
        }
        self.values[RECURRENT] = change.carry(&self.values[RECURRENT], 0.0);
        (self.reversed, self.places) = pairs.reversed();
        self.pairs = pairs.to_owned();
        self.pass = None;
        self.differentiated = false;
        Ok(())
    }
}

impl<D: ConnectedUnit> Connected<D> {
    /// What a pass kept belongs to the parameters before a change.
    fn forget(&mut self) {
        if let Some(pass) = &mut self.pass {
            pass.stale = true;
        }
    }

    /// x·Wx + b and h·W of a row of states, in double precision.
    fn sums(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>, row: usize) -> [Vec<f64>; 2] {
        let n = self.units();
        let mut drive: Vec<f64> = self.values[BIAS].iter().map(|&b| f64::from(b)).collect();
        for (channel, &x) in inputs.row(row).iter().enumerate() {
            let weights = &self.values[INPUT][channel * n..][..n];
            drive.iter_mut().zip(weights).for_each(|(sum, &w)| *sum += x * f64::from(w));
        }
        let mut product = vec![0.0; n];
        for ((i, j), &w) in self.pairs.view().pairs().zip(&self.values[RECURRENT]) {
            product[j] += states[[row, i]] * f64::from(w);
        }
        [drive, product]
    }

    /// The further parameters of a unit.
    fn vector(&self, unit: usize) -> Vec<f64> {
        self.vectors().iter().skip(unit).step_by(self.units()).map(|&v| f64::from(v)).collect()
    }
}
