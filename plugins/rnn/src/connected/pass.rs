//! A batch on its way through a network along connections: trials in tiles of
//! [`WIDTH`], which threads divide, and what each keeps for the way back.
//!
//! Every tile runs through all of its steps by itself, so that the states that it
//! reads stay in the cache. Tiles are divided into groups by the batch alone; each
//! group adds up its own gradients, and these are added in order. So the result does
//! not depend on the number of threads.

use pallium_core::ndarray::{ArrayView2, ArrayView3};
use pallium_core::prelude::*;
use pallium_core::random::Stream;
use pulp::Arch;
use rand::Rng;
use rand_distr::StandardNormal;

use super::lanes::{Lanes, WIDTH};
use super::steps::{Backward, Forward, Gradients, Inputs, Layer, ReadOut};

/// Largest number of groups. Each keeps gradients of all connections.
const GROUPS: usize = 8;

/// Kept states beyond this size are computed again on the way back, from some of
/// them. In bytes, of a batch.
const KEPT: usize = 1 << 30;

/// A batch as the tiles read it.
pub(super) struct Source<'a> {
    /// Inputs, noise included: steps × trials × (C + 1), the last 1.
    pub inputs: ArrayView3<'a, f32>,
    pub lengths: &'a [u32],
    /// Standard deviation of the noise of each unit, and its seed.
    pub noise: Option<(&'a [f32], u64)>,
}

/// Trials that are computed side by side.
pub(super) struct Tile {
    /// The trial of each lane; fewer than [`WIDTH`] in the last tile.
    trials: Vec<u32>,
    /// Scored steps: step, lane, row of the model's outputs; by step.
    scored: Vec<(u32, u32, u32)>,
    /// h of all steps, or of the last step before each segment.
    states: Vec<Lanes>,
    /// y of all steps, if it is kept.
    kept: Vec<Lanes>,
    /// The noise streams of the trials before each segment.
    streams: Vec<Vec<Stream>>,
    /// Outputs of the scored steps, in their order.
    pub outputs: Vec<f32>,
}

/// Tiles whose gradients are added up.
pub(super) struct Group {
    pub tiles: Vec<Tile>,
    pub gradients: Gradients,
}

/// How the steps of a batch are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub steps: usize,
    /// Number of steps of a segment, which are computed again together; all steps
    /// if none are.
    pub segment: usize,
}

impl Plan {
    /// The plan of `tiles` tiles; `least` forces segments of that length.
    pub fn new(layer: &Layer<'_>, tiles: usize, steps: usize, least: Option<usize>) -> Self {
        let vectors = if layer.keeps_nothing() { 1 } else { 2 };
        let bytes = tiles * steps * layer.units() * size_of::<Lanes>() * vectors;
        let segment = match least {
            Some(segment) => segment,
            None if bytes <= KEPT => steps,
            // As many states are kept as are computed again at once.
            None => (steps as f64).sqrt().ceil() as usize,
        };
        Plan { steps, segment: segment.clamp(1, steps.max(1)) }
    }

    /// Whether the states of all steps are kept.
    pub fn is_whole(&self) -> bool {
        self.segment >= self.steps
    }
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct Room {
    states: Vec<Lanes>,
    kept: Vec<Lanes>,
    noise: Vec<Lanes>,
    outputs: Vec<Lanes>,
    deltas: [Vec<Lanes>; 2],
    carry: Vec<Lanes>,
    in_states: Vec<Lanes>,
}

/// Divides trials in the order `order` into tiles, and these into groups. `rows` has
/// for each trial its scored steps: step and row of the outputs.
pub(super) fn divide(order: &[u32], rows: &[Vec<(u32, u32)>]) -> Vec<Group> {
    let tiles: Vec<Tile> = order
        .chunks(WIDTH)
        .map(|trials| {
            let mut scored: Vec<(u32, u32, u32)> = (0..)
                .zip(trials)
                .flat_map(|(lane, &trial)| {
                    rows[trial as usize].iter().map(move |&(step, row)| (step, lane, row))
                })
                .collect();
            scored.sort_unstable();
            Tile {
                trials: trials.to_vec(),
                scored,
                states: Vec::new(),
                kept: Vec::new(),
                streams: Vec::new(),
                outputs: Vec::new(),
            }
        })
        .collect();
    let size = tiles.len().div_ceil(GROUPS).max(1);
    let mut groups = Vec::new();
    let mut tiles = tiles.into_iter().peekable();
    while tiles.peek().is_some() {
        groups.push(Group { tiles: tiles.by_ref().take(size).collect(), gradients: Gradients::default() });
    }
    groups
}

fn resize(buffer: &mut Vec<Lanes>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, Lanes::ZERO);
    }
}

impl Tile {
    /// Takes the buffers of a tile of an earlier batch.
    pub fn reuse(&mut self, old: Tile) {
        (self.states, self.kept) = (old.states, old.kept);
    }

    /// Number of steps until all trials have ended.
    fn steps(&self, source: &Source<'_>) -> usize {
        self.trials.iter().map(|&trial| source.lengths[trial as usize] as usize).max().unwrap_or(0)
    }

    /// Number of steps up to the last scored one.
    fn scored_steps(&self) -> usize {
        self.scored.last().map_or(0, |&(step, ..)| step as usize + 1)
    }

    /// The scored steps at `step`, and where their outputs begin.
    fn scored_at(&self, step: usize) -> (usize, &[(u32, u32, u32)]) {
        let from = self.scored.partition_point(|&(at, ..)| (at as usize) < step);
        let to = self.scored.partition_point(|&(at, ..)| at as usize <= step);
        (from, &self.scored[from..to])
    }

    fn inputs(&self, source: &Source<'_>, step: usize) -> Inputs {
        let width = source.inputs.dim().2;
        let mut values = vec![Lanes::ZERO; width];
        for (lane, &trial) in self.trials.iter().enumerate() {
            for (channel, value) in values.iter_mut().enumerate() {
                value.0[lane] = source.inputs[[step, trial as usize, channel]];
            }
        }
        let active = (0..width as u32 - 1).filter(|&c| !values[c as usize].is_zero()).collect();
        Inputs { values, active }
    }

    /// 1 for each trial that has not ended before `step`; `None` if all lanes go on.
    fn going(&self, source: &Source<'_>, step: usize) -> Option<Lanes> {
        let mut going = Lanes::ZERO;
        for (lane, &trial) in self.trials.iter().enumerate() {
            going.0[lane] = f32::from(u8::from((source.lengths[trial as usize] as usize) > step));
        }
        going.0.contains(&0.0).then_some(going)
    }

    /// The noise streams of the trials before the first step.
    fn streams(&self, source: &Source<'_>) -> Vec<Stream> {
        let of = |seed, trial: &u32| random::stream(seed, &format!("recurrent noise {trial}"));
        source
            .noise
            .map_or_else(Vec::new, |(_, seed)| self.trials.iter().map(|trial| of(seed, trial)).collect())
    }

    /// Runs the steps `from..to` from the state `before`, and gives each to `visit`:
    /// step, h and y. The buffers hold the states of all of these steps.
    #[expect(clippy::too_many_arguments, reason = "what a step reads, and where it writes")]
    fn run_steps(
        &self,
        layer: &Layer<'_>,
        source: &Source<'_>,
        (from, to): (usize, usize),
        before: Option<&[Lanes]>,
        streams: &mut [Stream],
        noise: &mut Vec<Lanes>,
        states: &mut [Lanes],
        kept: &mut [Lanes],
        mut visit: impl FnMut(usize, &[Lanes]),
    ) {
        let n = layer.units();
        for step in from..to {
            let (done, rest) = states.split_at_mut((step - from) * n);
            let previous = match done.len().checked_sub(n) {
                Some(start) => Some(&done[start..]),
                None => before,
            };
            let drawn = source.noise.map(|(scale, _)| {
                resize(noise, n);
                // Each trial has its own stream, as in a network of matrices.
                for (lane, stream) in streams.iter_mut().enumerate() {
                    for (noise, scale) in noise.iter_mut().zip(scale) {
                        noise.0[lane] = scale * stream.sample::<f32, _>(StandardNormal);
                    }
                }
                &noise[..n]
            });
            let inputs = self.inputs(source, step);
            let going = self.going(source, step);
            let kept = match layer.keeps_nothing() {
                true => &mut [],
                false => &mut kept[(step - from) * n..][..n],
            };
            Arch::new().dispatch(Forward {
                layer,
                inputs: &inputs,
                previous,
                noise: drawn,
                going: going.as_ref(),
                next: &mut rest[..n],
                kept,
            });
            visit(step, &rest[..n]);
        }
    }

    /// Adds the outputs of a step to `outputs`, if it is scored.
    fn read(
        scored: &[(u32, u32, u32)],
        layer: &Layer<'_>,
        states: &[Lanes],
        room: &mut Vec<Lanes>,
        outputs: &mut Vec<f32>,
    ) {
        if scored.is_empty() {
            return;
        }
        resize(room, layer.outputs);
        let values = &mut room[..layer.outputs];
        Arch::new().dispatch(ReadOut { layer, states, outputs: values });
        for &(_, lane, _) in scored {
            outputs.extend(values.iter().map(|value| value.0[lane as usize]));
        }
    }

    /// Runs all steps; keeps what [`Tile::backward`] needs if `keep`, and otherwise
    /// stops after the last scored step.
    pub fn forward(
        &mut self,
        layer: &Layer<'_>,
        source: &Source<'_>,
        plan: Plan,
        keep: bool,
        room: &mut Room,
    ) {
        let n = layer.units();
        let end = if keep { self.steps(source) } else { self.scored_steps() };
        self.outputs.clear();
        self.streams.clear();
        let mut streams = self.streams(source);
        let mut outputs = std::mem::take(&mut self.outputs);
        if keep && plan.is_whole() {
            let (mut states, mut kept) = (std::mem::take(&mut self.states), std::mem::take(&mut self.kept));
            resize(&mut states, end * n);
            resize(&mut kept, if layer.keeps_nothing() { 0 } else { end * n });
            let Room { noise, outputs: read, .. } = room;
            self.run_steps(
                layer,
                source,
                (0, end),
                None,
                &mut streams,
                noise,
                &mut states,
                &mut kept,
                |step, state| {
                    Self::read(self.scored_at(step).1, layer, state, read, &mut outputs);
                },
            );
            (self.states, self.kept) = (states, kept);
        } else {
            // Two steps at a time are enough if nothing is kept.
            let segment = if keep { plan.segment } else { 1 };
            let mut checkpoints = std::mem::take(&mut self.states);
            let mut last: Option<Vec<Lanes>> = None;
            if keep {
                resize(&mut checkpoints, end.div_ceil(segment).saturating_sub(1) * n);
            }
            let Room { states, kept, noise, outputs: read, .. } = room;
            resize(states, segment * n);
            resize(kept, if layer.keeps_nothing() { 0 } else { segment * n });
            for from in (0..end).step_by(segment) {
                let to = end.min(from + segment);
                if keep {
                    self.streams.push(streams.clone());
                }
                self.run_steps(
                    layer,
                    source,
                    (from, to),
                    last.as_deref(),
                    &mut streams,
                    noise,
                    states,
                    kept,
                    |step, state| {
                        Self::read(self.scored_at(step).1, layer, state, read, &mut outputs);
                    },
                );
                let state = &states[(to - from - 1) * n..][..n];
                if keep && to < end {
                    checkpoints[from / segment * n..][..n].copy_from_slice(state);
                }
                match &mut last {
                    Some(last) => last.copy_from_slice(state),
                    None => last = Some(state.to_vec()),
                }
            }
            self.states = checkpoints;
        }
        self.outputs = outputs;
    }

    /// Gives the states of the segment `from..to` to `work`: those before it, h and y.
    fn segment<R>(
        &self,
        layer: &Layer<'_>,
        source: &Source<'_>,
        plan: Plan,
        (from, to): (usize, usize),
        room: (&mut Vec<Lanes>, &mut Vec<Lanes>, &mut Vec<Lanes>),
        work: impl FnOnce(Option<&[Lanes]>, &[Lanes], &[Lanes]) -> R,
    ) -> R {
        let n = layer.units();
        if plan.is_whole() {
            return work(None, &self.states, &self.kept);
        }
        let (states, kept, noise) = room;
        let before = (from / plan.segment).checked_sub(1).map(|at| &self.states[at * n..][..n]);
        let mut streams = self.streams[from / plan.segment].clone();
        resize(states, plan.segment * n);
        resize(kept, if layer.keeps_nothing() { 0 } else { plan.segment * n });
        self.run_steps(layer, source, (from, to), before, &mut streams, noise, states, kept, |_, _| ());
        work(before, states, kept)
    }

    /// Adds the gradients of the last forward pass. `in_outputs` are those in the
    /// model's outputs, `activity` of a further term in the states, steps × trials ×
    /// units.
    #[expect(clippy::too_many_arguments, reason = "what a batch consists of")]
    pub fn backward(
        &self,
        layer: &Layer<'_>,
        source: &Source<'_>,
        plan: Plan,
        in_outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
        gradients: &mut Gradients,
        room: &mut Room,
    ) {
        let n = layer.units();
        let all = self.steps(source);
        let end = if activity.is_some() { all } else { self.scored_steps() };
        let Room { states, kept, noise, deltas: [later, delta], carry, in_states, outputs } = room;
        for buffer in [&mut *later, &mut *delta, &mut *carry] {
            resize(buffer, n);
        }
        carry[..n].fill(Lanes::ZERO);
        resize(in_states, if activity.is_some() { n } else { 0 });
        resize(outputs, layer.outputs);
        // The forward pass left outputs here.
        outputs[..layer.outputs].fill(Lanes::ZERO);
        let mut alive = false;
        let segments: Vec<usize> = (0..end).step_by(plan.segment).collect();
        for from in segments.into_iter().rev() {
            // The states of a whole segment, even if its last steps have no gradient.
            let to = all.min(from + plan.segment);
            self.segment(layer, source, plan, (from, to), (states, kept, noise), |before, states, kept| {
                for step in (from..end.min(to)).rev() {
                    let at = step - from;
                    let (_, scored) = self.scored_at(step);
                    for &(_, lane, row) in scored {
                        for (k, slope) in outputs[..layer.outputs].iter_mut().enumerate() {
                            slope.0[lane as usize] = in_outputs[[row as usize, k]];
                        }
                    }
                    if let Some(activity) = &activity {
                        for (lane, &trial) in self.trials.iter().enumerate() {
                            let row = (0..n).map(|unit| activity[[step, trial as usize, unit]]);
                            in_states.iter_mut().zip(row).for_each(|(to, from)| to.0[lane] = from);
                        }
                    }
                    let inputs = self.inputs(source, step);
                    let going = self.going(source, step);
                    let previous = match at.checked_sub(1) {
                        Some(at) => Some(&states[at * n..][..n]),
                        None => before,
                    };
                    alive = Arch::new().dispatch(Backward {
                        layer,
                        inputs: &inputs,
                        states: &states[at * n..][..n],
                        kept: if layer.keeps_nothing() { &[] } else { &kept[at * n..][..n] },
                        previous,
                        later: alive.then_some(&later[..n]),
                        in_outputs: (!scored.is_empty()).then_some(&outputs[..layer.outputs]),
                        in_states: activity.map(|_| &in_states[..n]),
                        going: going.as_ref(),
                        carry: &mut carry[..n],
                        delta: &mut delta[..n],
                        gradients,
                    });
                    std::mem::swap(later, delta);
                    outputs[..layer.outputs].fill(Lanes::ZERO);
                }
            });
        }
    }

    /// Gives each step's states to `visit`: step and h.
    pub fn replay(
        &self,
        layer: &Layer<'_>,
        source: &Source<'_>,
        plan: Plan,
        room: &mut Room,
        mut visit: impl FnMut(usize, &[u32], &[Lanes]),
    ) {
        let n = layer.units();
        let end = self.steps(source);
        let Room { states, kept, noise, .. } = room;
        for from in (0..end).step_by(plan.segment) {
            let to = end.min(from + plan.segment);
            self.segment(layer, source, plan, (from, to), (states, kept, noise), |_, states, _| {
                for step in from..to {
                    visit(step, &self.trials, &states[(step - from) * n..][..n]);
                }
            });
        }
    }

    /// Writes the outputs of the last pass to their rows.
    pub fn write_outputs(&self, outputs: &mut pallium_core::ndarray::ArrayViewMut2<'_, f32>) {
        let width = outputs.ncols();
        for (&(_, _, row), from) in self.scored.iter().zip(self.outputs.chunks_exact(width)) {
            outputs.row_mut(row as usize).iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }
}
