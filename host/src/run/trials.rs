//! The trials of a training's splits, and the batches of an epoch.

use std::borrow::Cow;
use std::ops::Range;

use ndarray::{ArrayViewMut2, s};
use pallium_core::{Batch, BatchView, Mode, Model, Result, Split, Targets, random};
use pallium_record::spec::{CellSpec, Order};
use rand::seq::SliceRandom;

use super::tasks::{Tasks, gather};

/// The trials of the three splits, a batch for each task.
pub(super) struct Trials {
    pub train: Vec<Batch>,
    pub validation: Vec<Batch>,
    pub test: Vec<Batch>,
    /// What the training trials of each task were drawn for: its stage, and the epoch
    /// if every epoch has its own.
    drawn: Vec<(usize, u32)>,
}

/// The trials of one update.
pub(super) enum Chunk {
    /// Consecutive trials of a task.
    Of(usize, Range<usize>),
    /// Trials of several tasks: task and place.
    Mixed(Vec<(usize, usize)>),
}

impl Trials {
    /// The trials of all tasks in these stages, before the first epoch. Test trials
    /// are those of the last stages.
    pub fn draw(spec: &CellSpec, tasks: &mut Tasks, stages: &[usize]) -> Result<Self> {
        let training = &spec.training;
        let counts = tasks.counts(training.trials)?;
        tasks.enter(stages);
        let all = |tasks: &mut Tasks, split: Split, stages: &[usize], count: &dyn Fn(usize) -> usize| {
            let seed = spec.trial_seed(split.name());
            let draw = |(at, &stage): (usize, &usize)| tasks.draw(at, stage, split, count(at), seed);
            stages.iter().enumerate().map(draw).collect::<Result<Vec<_>>>()
        };
        let last = tasks.last_stages();
        Ok(Trials {
            train: all(tasks, Split::Train, stages, &|at| counts[at])?,
            validation: all(tasks, Split::Validation, stages, &|_| training.validation)?,
            test: all(tasks, Split::Test, &last, &|_| training.test)?,
            drawn: stages.iter().map(|&stage| (stage, 1)).collect(),
        })
    }

    /// The trials of `epoch`, counted from 1, with the tasks in these stages: training
    /// trials are drawn anew for a new stage, or for every epoch if the training asks
    /// for it; those of the first epoch are the ones that [`Trials::draw`] drew.
    pub fn prepare(
        &mut self,
        spec: &CellSpec,
        tasks: &mut Tasks,
        stages: &[usize],
        epoch: u32,
    ) -> Result<()> {
        let training = &spec.training;
        let epoch = if training.fresh { epoch.max(1) } else { 1 };
        let counts = tasks.counts(training.trials)?;
        tasks.enter(stages);
        for (at, &stage) in stages.iter().enumerate() {
            let before = self.drawn[at];
            if before == (stage, epoch) {
                continue;
            }
            let seed = match epoch {
                1 => spec.trial_seed("train"),
                _ => random::derive(spec.trial_seed("train"), u64::from(epoch), "fresh trials"),
            };
            self.train[at] = tasks.draw(at, stage, Split::Train, counts[at], seed)?;
            if before.0 != stage {
                let seed = spec.trial_seed("validation");
                self.validation[at] = tasks.draw(at, stage, Split::Validation, training.validation, seed)?;
            }
            self.drawn[at] = (stage, epoch);
        }
        Ok(())
    }

    /// The updates of `epoch`, in order.
    pub fn chunks(&self, spec: &CellSpec, tasks: &Tasks, epoch: u32) -> Vec<Chunk> {
        let length = spec.training.batch;
        let of = |at: usize| {
            ranges(self.train[at].trials(), length).map(move |range| Chunk::Of(at, range)).collect::<Vec<_>>()
        };
        if !tasks.several {
            return of(0);
        }
        if let Some(active) = tasks.active(epoch) {
            return of(active);
        }
        let seed = random::derive(spec.trial_seed("train"), u64::from(epoch), "order of tasks");
        let mut stream = random::stream(seed, "order of tasks");
        let members = 0..self.train.len();
        if tasks.order == Order::Mixed {
            let mut all: Vec<(usize, usize)> =
                members.flat_map(|at| (0..self.train[at].trials()).map(move |trial| (at, trial))).collect();
            all.shuffle(&mut stream);
            return all.chunks(length.max(1)).map(|places| Chunk::Mixed(places.to_vec())).collect();
        }
        let mut all: Vec<Chunk> = members.flat_map(of).collect();
        all.shuffle(&mut stream);
        all
    }

    /// Presents the trials of an update to the network; with the task that they belong
    /// to, if it is one.
    pub fn update(
        &self,
        chunk: &Chunk,
        tasks: &mut Tasks,
        model: &mut dyn Model,
    ) -> Result<(Presented<'_>, Option<usize>)> {
        Ok(match chunk {
            Chunk::Of(at, range) => (present(tasks, model, *at, &self.train[*at], range.clone())?, Some(*at)),
            Chunk::Mixed(places) => (Presented::Own(Box::new(gather(&self.train, places))), None),
        })
    }

    pub fn all(&self) -> [&[Batch]; 3] {
        [&self.train, &self.validation, &self.test]
    }

    /// The first `count` trials of the test, or of another split if it has none; of
    /// several tasks, equally many of each.
    pub fn sample(&self, tasks: &mut Tasks, model: &mut dyn Model, count: usize) -> Result<Option<Batch>> {
        let has_trials = |batches: &&[Batch]| batches.iter().any(|batch| batch.trials() > 0);
        let Some(batches) = self.all().into_iter().rev().find(has_trials) else { return Ok(None) };
        let each = count.div_ceil(batches.len());
        let mut own = Vec::with_capacity(batches.len());
        for (at, batch) in batches.iter().enumerate() {
            own.push(present(tasks, model, at, batch, 0..batch.trials().min(each))?.take());
        }
        let places = |(at, batch): (usize, &Batch)| (0..batch.trials()).map(move |trial| (at, trial));
        Ok(Some(gather(&own, &own.iter().enumerate().flat_map(places).collect::<Vec<_>>())))
    }
}

/// Trials as the network sees them.
pub(super) enum Presented<'a> {
    /// Trials that do not depend on answers.
    Lent(&'a Batch, Range<usize>),
    /// Trials whose stimuli followed from the network's answers, or of several tasks.
    Own(Box<Batch>),
}

impl Presented<'_> {
    /// The batch, and the trials in it.
    pub fn trials(&self) -> (&Batch, Range<usize>) {
        match self {
            Presented::Lent(batch, range) => (batch, range.clone()),
            Presented::Own(batch) => (batch, 0..batch.trials()),
        }
    }

    fn take(self) -> Batch {
        match self {
            Presented::Lent(batch, range) => copied(batch, range),
            Presented::Own(batch) => *batch,
        }
    }
}

fn copied(batch: &Batch, range: Range<usize>) -> Batch {
    gather(std::slice::from_ref(batch), &range.map(|trial| (0, trial)).collect::<Vec<_>>())
}

/// Presents trials of the task `of` to a network.
pub(super) fn present<'a>(
    tasks: &mut Tasks,
    model: &mut dyn Model,
    of: usize,
    batch: &'a Batch,
    range: Range<usize>,
) -> Result<Presented<'a>> {
    Ok(match tasks.reacts(of) {
        true => {
            let mut forward = |view: &BatchView<'_>, outputs: ArrayViewMut2<'_, f32>| {
                model.forward(view, Mode::Evaluate, outputs)
            };
            Presented::Own(Box::new(tasks.roll_out(of, copied(batch, range), &mut forward)?))
        }
        false => Presented::Lent(batch, range),
    })
}

/// Fills an array with the network's outputs at the scored steps of a batch, which are
/// those of the trials in the range.
pub(super) type ForwardOf<'a> =
    dyn FnMut(Range<usize>, &BatchView<'_>, ArrayViewMut2<'_, f32>) -> Result<()> + 'a;

/// All trials of a batch as the network sees them, run by `forward` in passes of `length`
/// trials.
pub(super) fn presented<'a>(
    tasks: &mut Tasks,
    of: usize,
    batch: &'a Batch,
    length: usize,
    forward: &mut ForwardOf<'_>,
) -> Result<Cow<'a, Batch>> {
    if !tasks.reacts(of) {
        return Ok(Cow::Borrowed(batch));
    }
    let mut all = batch.clone();
    for range in ranges(batch.trials(), length) {
        let mut forward =
            |view: &BatchView<'_>, outputs: ArrayViewMut2<'_, f32>| forward(range.clone(), view, outputs);
        let own = tasks.roll_out(of, copied(batch, range.clone()), &mut forward)?;
        all.inputs.slice_mut(s![range.clone(), .., ..]).assign(&own.inputs);
        all.mask.slice_mut(s![range.clone(), ..]).assign(&own.mask);
        if let Some(scored) = own.scored {
            let to = all.scored.get_or_insert_with(|| batch.mask.clone());
            to.slice_mut(s![range.clone(), ..]).assign(&scored);
        }
        match (&mut all.targets, own.targets) {
            (Targets::Classes(to), Targets::Classes(own)) => to.slice_mut(s![range, ..]).assign(&own),
            (Targets::Values(to), Targets::Values(own)) => to.slice_mut(s![range, .., ..]).assign(&own),
            _ => {}
        }
    }
    Ok(Cow::Owned(all))
}

/// `0..count` in ranges of `length`; the last one may be shorter.
pub(super) fn ranges(count: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).step_by(length.max(1)).map(move |start| start..count.min(start + length))
}
