//! Ready, set, go: measure an interval and reproduce it.

use std::collections::BTreeMap;
use std::ops::Range;

use pallium_core::ndarray::{Array2, ArrayView2, Axis, s};
use pallium_core::prelude::*;
use pallium_core::random::Stream;

use crate::design::{Canvas, Design, FIXATION, Frame, check_length, info, trials};
use crate::duration::{Duration, ms, uniform};

pallium_core::params! {
    /// Timing, and the factor between measured and produced interval.
    pub struct Params {
        /// Duration of a step in milliseconds, 1 to 1e6.
        dt_ms: u32 = 80,
        /// Duration of fixation before the ready cue, in ms.
        fixation: Duration = ms(100.0),
        /// Duration of the ready cue, in ms.
        ready: Duration = ms(83.0),
        /// Interval between the onsets of the ready cue and the set cue, in ms.
        measure: Duration = uniform(800.0, 1500.0),
        /// Duration of the set cue, in ms.
        set: Duration = ms(83.0),
        /// Factor on the measured interval (above 0, at most 100).
        gain: f64 = 1.0,
        /// Weight in the loss of each step outside the production.
        fixation_weight: f64 = 1.0,
        /// What the network outputs: classes, or a ramp.
        answer: Answer = Answer::Class,
        /// Largest error of a produced interval, as a share of it; a ramp's answer
        /// is correct up to this and 25 ms (0 to 1; NeuroGym's `prod_margin`).
        margin: f64 = 0.2,
    }
}

pallium_core::choice! {
    /// What the network puts out.
    pub enum Answer {
        /// Wait or go: one of two classes at each step, as in NeuroGym.
        Class = "class",
        /// A value that rises from 0 at the set cue to 1 when the interval has
        /// elapsed and stays there, compared by mean squared error.
        Ramp = "ramp",
    }
}

/// A ramp has arrived at this value, a little below its end, which noise would
/// reach at a random time.
const ARRIVED: f32 = 0.9;
/// What NeuroGym adds to the margin, in ms.
const LEAST_MARGIN_MS: f64 = 25.0;

/// Channel 0: fixation, 1 except in the production; channel 1: ready; channel
/// 2: set. The production begins after the set cue and lasts for twice the
/// interval to be produced. Classes: 0 wait, 1 go, which is correct at the one
/// step of the production at which the interval has elapsed. In the accuracy,
/// that step counts as much as all other steps of the production together, so
/// always waiting gives an accuracy of one half. Conditions: number of steps of
/// the measured interval.
///
/// With `answer = "ramp"` there is one output: 0 until the production, in which it
/// rises linearly to 1 at the step that is correct above, and stays there. The trial
/// is correct if the output first reaches 0.9 at most `margin`·interval + 25 ms before
/// or after the target does; its steps are correct together.
pub struct ReadySetGo {
    pub frame: Frame,
    gain: f64,
    answer: Answer,
    margin: f64,
    /// Number of steps of the shortest interval to measure.
    shortest: usize,
}

const FIXATING: usize = 0;
const READY: usize = 1;
const MEASURE: usize = 2;
const SET: usize = 3;
const PRODUCTION: usize = 4;

impl ReadySetGo {
    /// The interval to produce, in ms, after `steps` of measuring.
    fn production(&self, steps: usize) -> f64 {
        (steps as f64 * f64::from(self.frame.dt_ms)) * self.gain
    }

    /// The targets as a ramp: of each trial, the one step with class 1 is where it
    /// arrives.
    fn ramp(&self, batch: Batch) -> Result<Batch> {
        let (trials, steps, _) = batch.inputs.dim();
        let mut ramps = Batch::of_values(trials, steps, self.frame.inputs, 1);
        let classes = batch.targets.view().classes()?;
        for (trial, classes) in classes.outer_iter().enumerate() {
            let production = production(&batch.inputs.index_axis(Axis(0), trial), batch.lengths[trial]);
            let go = classes.iter().position(|&class| class == 1).unwrap_or(production.end);
            let rise = (go - production.start).max(1) as f32;
            for step in production.clone() {
                let value = ((step - production.start) as f32 / rise).min(1.0);
                ramps.set_values(trial, step, &[value]);
            }
            if let Some(scored) = &batch.scored {
                let mut own = scored.row(trial).to_owned();
                own.slice_mut(s![production]).fill(1.0);
                ramps.scored.get_or_insert_with(|| scored.mapv(|_| 0.0)).row_mut(trial).assign(&own);
            }
        }
        (ramps.inputs, ramps.mask) = (batch.inputs, batch.mask);
        (ramps.lengths, ramps.conditions) = (batch.lengths, batch.conditions);
        Ok(ramps)
    }

    /// Whether a ramp is correct that arrives `found` steps after the set cue, if the
    /// interval to produce has `interval` steps.
    fn is_correct(&self, found: usize, interval: usize) -> bool {
        let dt = f64::from(self.frame.dt_ms);
        let rise = interval.max(1) as f32;
        let target = (0..=interval).position(|step| step as f32 / rise >= ARRIVED).unwrap_or(interval);
        target.abs_diff(found) as f64 * dt <= self.margin * interval as f64 * dt + LEAST_MARGIN_MS
    }

    /// The accuracy of the best ramp that ignores the inputs: one that arrives at a fixed
    /// step of the trial.
    fn best_fixed_time(&self) -> f64 {
        let of = |name: &str| self.frame.period(name).distribution(self.frame.dt_ms);
        let mut before = BTreeMap::new();
        for (fixation, p) in of("fixation") {
            for (set, q) in of("set") {
                *before.entry(fixation + set).or_insert(0.0) += p * q;
            }
        }
        // Changes of the accuracy from one step to the next.
        let mut changes: BTreeMap<usize, f64> = BTreeMap::new();
        for (measured, p) in of("measure") {
            let interval = self.steps(self.production(measured));
            let correct: Vec<usize> =
                (0..=3 * interval).filter(|&at| self.is_correct(at, interval)).collect();
            let (Some(&first), Some(&last)) = (correct.first(), correct.last()) else { continue };
            for (steps, q) in &before {
                let start = steps + measured;
                // What arrives before the production has arrived when it begins.
                let from = if first == 0 { 0 } else { start + first };
                *changes.entry(from).or_insert(0.0) += p * q;
                *changes.entry(start + last + 1).or_insert(0.0) -= p * q;
            }
        }
        let running = changes.values().scan(0.0, |sum, change| {
            *sum += change;
            Some(*sum)
        });
        running.fold(0.0, f64::max)
    }

    /// Number of steps in `milliseconds`, truncated as by Python's `int`.
    fn steps(&self, milliseconds: f64) -> usize {
        (milliseconds / f64::from(self.frame.dt_ms)) as usize
    }
}

impl Component for ReadySetGo {
    const ID: &'static str = "neurogym.ready-set-go";
    const ABOUT: &'static str = "measure the interval between two cues and reproduce it";
    const CITE: &'static str =
        "Remington, Narain, Hosseini, Jazayeri 2018; Molano-Mazón et al. 2022 (NeuroGym 2.2.0, ReadySetGo)";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("gain", params.gain, 0.0, 100.0)?;
        one_of_range("margin", params.margin, 0.0, 1.0)?;
        let frame = Frame {
            purpose: Self::ID,
            dt_ms: params.dt_ms,
            periods: vec![
                ("fixation", params.fixation),
                ("ready", params.ready),
                ("measure", params.measure),
                ("set", params.set),
            ],
            inputs: 3,
            classes: 2,
            fixation_weight: params.fixation_weight,
            noise: 0.0,
        };
        frame.check(&["ready", "measure", "set"])?;
        let shortest = frame.period("measure").distribution(frame.dt_ms).keys().next().copied().unwrap_or(1);
        if frame.period("ready").longest(frame.dt_ms) > shortest {
            return Err(Error::input("parameter `ready` may be longer than `measure`, which begins with it")
                .help("shorten the cue or lengthen the interval"));
        }
        let task =
            ReadySetGo { frame, gain: params.gain, answer: params.answer, margin: params.margin, shortest };
        if task.steps(task.production(shortest)) == 0 {
            return Err(Error::input(format!("parameter `gain` is {}", params.gain))
                .help("the interval to produce must have at least one step"));
        }
        check_length(task)
    }
}

impl Design for ReadySetGo {
    /// Only durations are drawn.
    type Trial = ();

    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn draw(&self, _: &mut Stream) {}

    fn ranges(&self, steps: &[usize]) -> Vec<Range<usize>> {
        let ready = steps[FIXATING]..steps[FIXATING] + steps[READY];
        let measure = steps[FIXATING]..steps[FIXATING] + steps[MEASURE];
        let set = measure.end..measure.end + steps[SET];
        let production = set.end..set.end + self.steps(2.0 * self.production(steps[MEASURE]));
        vec![0..steps[FIXATING], ready, measure, set, production]
    }

    fn longest(&self) -> usize {
        let longest = |name: &str| self.frame.period(name).longest(self.frame.dt_ms);
        let measure = longest("measure");
        longest("fixation") + measure + longest("set") + self.steps(2.0 * self.production(measure))
    }

    fn lay(&self, (): &(), canvas: &mut Canvas<'_>) -> u32 {
        let measured = canvas.range(MEASURE).len();
        canvas.show(&[FIXATING, MEASURE, SET], FIXATION, 1.0);
        canvas.show(&[READY], 1, 1.0);
        canvas.show(&[SET], 2, 1.0);
        canvas.decide_at(PRODUCTION, self.steps(self.production(measured)));
        (measured - self.shortest) as u32
    }

    fn conditions(&self) -> Vec<String> {
        let longest = self.frame.period("measure").longest(self.frame.dt_ms);
        (self.shortest..=longest)
            .map(|steps| format!("{} ms", steps as u64 * u64::from(self.frame.dt_ms)))
            .collect()
    }

    fn levels(&self) -> Levels {
        Levels { chance: 0.5, memoryless: Some(0.5), ideal: Some(1.0) }
    }
}
/// The steps of the production: those from the first without fixation to the end.
fn production(inputs: &ArrayView2<'_, f32>, length: u32) -> Range<usize> {
    let length = length as usize;
    let fixating = inputs.slice(s![..length, FIXATION]).iter().take_while(|&&input| input > 0.0).count();
    fixating..length
}

impl Task for ReadySetGo {
    fn info(&self) -> TaskInfo {
        let classes = info(self);
        if self.answer == Answer::Class {
            return classes;
        }
        let mut ramp = TaskInfo::values(classes.inputs, 1, classes.steps, Loss::MeanSquaredError);
        ramp.judges = true;
        ramp.step_ms = classes.step_ms;
        ramp.conditions = classes.conditions;
        ramp.levels = Some(Levels { chance: self.best_fixed_time(), memoryless: None, ideal: Some(1.0) });
        ramp
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        let batch = trials(self, count, seed)?;
        if self.answer == Answer::Class { Ok(batch) } else { self.ramp(batch) }
    }

    fn judge(&mut self, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        let values = batch.targets.values()?;
        let mut answers = Array2::<f32>::zeros(batch.mask.dim());
        for (at, answer) in batch.scored().zip(outputs.outer_iter()) {
            answers[[at.trial, at.step]] = answer.first().copied().unwrap_or(0.0);
        }
        let correct = |trial: usize| {
            let steps = production(&batch.inputs.index_axis(Axis(0), trial), batch.lengths[trial]);
            let arrives = |of: &dyn Fn(usize) -> f32| steps.clone().position(|step| of(step) >= ARRIVED);
            let interval = steps.clone().position(|step| values[[trial, step, 0]] >= 1.0);
            let found = arrives(&|step| answers[[trial, step]]);
            interval.zip(found).is_some_and(|(interval, found)| self.is_correct(found, interval))
        };
        let trials: Vec<bool> = (0..batch.lengths.len()).map(correct).collect();
        Ok(batch.scored().zip(outputs.outer_iter()).map(|(at, _)| trials[at.trial]).collect())
    }
}
pallium_core::register!(Task, ReadySetGo);

#[cfg(test)]
mod tests {
    use super::*;

    fn task(answer: Answer) -> ReadySetGo {
        ReadySetGo::build(Params { answer, ..Params::default() }, &Setting::default()).unwrap()
    }

    /// The classes are compared with NeuroGym elsewhere.
    #[test]
    fn the_ramp_arrives_where_the_class_is_go() {
        let (classes, ramps) =
            (task(Answer::Class).trials(300, 4).unwrap(), task(Answer::Ramp).trials(300, 4).unwrap());
        assert_eq!(
            (&classes.inputs, &classes.mask, &classes.lengths),
            (&ramps.inputs, &ramps.mask, &ramps.lengths)
        );
        assert_eq!(classes.conditions, ramps.conditions);
        ramps.check(&task(Answer::Ramp).info()).unwrap();
        let (class, value) =
            (classes.targets.view().classes().unwrap(), ramps.targets.view().values().unwrap());
        for trial in 0..300 {
            let go = class.row(trial).iter().position(|&class| class == 1).unwrap();
            let ramp = value.slice(s![trial, .., 0]);
            assert_eq!(ramp.iter().position(|&value| value >= 1.0), Some(go), "{trial}");
            let start = ramps.inputs.slice(s![trial, .., FIXATION]).iter().position(|&on| on == 0.0).unwrap();
            let slope = 1.0 / (go - start) as f32;
            for step in 0..ramps.lengths[trial] as usize {
                let expected = (step.saturating_sub(start) as f32 * slope).min(1.0);
                assert!((ramp[step] - expected).abs() < 1e-6, "{trial} {step}: {} {expected}", ramp[step]);
            }
            let scored = ramps.scored.as_ref().unwrap().row(trial).to_vec();
            let counted = (0..scored.len()).filter(|&step| scored[step] > 0.0);
            assert!(counted.eq(start..ramps.lengths[trial] as usize), "{trial}");
        }
    }

    /// `eps_threshold` of NeuroGym 2.2.0: prod_margin · production + 25 ms.
    #[test]
    fn a_ramp_may_arrive_within_the_margin() {
        let mut task = task(Answer::Ramp);
        let batch = task.trials(40, 1).unwrap();
        let view = batch.slice_scored(0..40);
        let values = view.targets.values().unwrap();
        for shift in -6_i64..=6 {
            // The target, delayed by some steps.
            let answers: Vec<f32> = view
                .scored()
                .map(|at| {
                    let from = at.step as i64 - shift;
                    let last = batch.lengths[at.trial] as i64 - 1;
                    values[[at.trial, from.clamp(0, last) as usize, 0]]
                })
                .collect();
            let outputs = ArrayView2::from_shape((answers.len(), 1), &answers).unwrap();
            let judged = task.judge(&view, outputs).unwrap();
            for (at, correct) in view.scored().zip(judged) {
                let steps = production(&batch.inputs.index_axis(Axis(0), at.trial), batch.lengths[at.trial]);
                let interval = steps.clone().position(|step| values[[at.trial, step, 0]] >= 1.0).unwrap();
                let allowed = 0.2 * (interval * 80) as f64 + 25.0;
                assert_eq!(correct, (shift.abs() * 80) as f64 <= allowed, "{shift} {interval}");
            }
        }
        let nothing = Array2::zeros((view.scored().count(), 1));
        assert!(!task.judge(&view, nothing.view()).unwrap().contains(&true));
    }

    #[test]
    fn chance_is_the_accuracy_of_the_best_answer_at_a_fixed_time() {
        let mut task = task(Answer::Ramp);
        let batch = task.trials(4000, 1).unwrap();
        let view = batch.slice_scored(0..4000);
        let mut best = 0.0_f64;
        for fixed in 0..60 {
            let answers: Vec<f32> = view.scored().map(|at| f32::from(u8::from(at.step >= fixed))).collect();
            let outputs = ArrayView2::from_shape((answers.len(), 1), &answers).unwrap();
            let judged = task.judge(&view, outputs).unwrap();
            let trials: BTreeMap<usize, bool> = view.scored().map(|at| at.trial).zip(judged).collect();
            best = best.max(trials.values().filter(|&&right| right).count() as f64 / 4000.0);
        }
        let chance = task.info().levels.unwrap().chance;
        assert!(chance > 0.3 && (chance - best).abs() < 0.03, "{chance} {best}");
    }
}
