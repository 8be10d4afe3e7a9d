//! Bandit: find by trial and error the one arm that pays.

use pallium_core::largest;
use pallium_core::ndarray::{ArrayView2, s};
use pallium_core::prelude::*;
use rand::Rng;

use crate::trial::{Period, empty_batch, lay_out};

pallium_core::params! {
    /// Number of arms and rounds, and durations of the periods of a round.
    pub struct Params {
        /// Number of arms, 2 to 100.
        arms: u32 = 3,
        /// Number of choices in a trial, 1 to 100.
        rounds: u32 = 4,
        /// Steps during which the cue to choose is shown; at least 1. The last one is scored.
        cue: u32 = 2,
        /// Steps during which choice and reward are shown; at least 1.
        feedback: u32 = 2,
        /// Steps without input after the feedback.
        delay: u32 = 1,
    }
}

/// In each trial one arm pays. Each round is a cue to choose (channel 0), then the
/// feedback: the chosen arm (channels 1 to k) and whether it paid (channel k + 1), then
/// a delay (zeros); the last round ends with the cue. The answer is the largest
/// output at the last step of the cue. Class and condition: the arm that pays.
///
/// The feedback follows from the network's own answers. Who keeps an arm that paid and
/// else tries another one is right in round r with probability min(r, k)/k.
pub struct Bandit {
    arms: usize,
    /// The scored step of each round.
    choices: Vec<usize>,
    cue: usize,
    feedback: usize,
    steps: usize,
}

impl Component for Bandit {
    const ID: &'static str = "cognition.bandit";
    const ABOUT: &'static str =
        "find the rewarded arm by trial and error; inputs depend on the network's choices";
    const CITE: &'static str =
        "Robbins 1952, Bull. Am. Math. Soc. 58:527; Wang et al. 2018, Nat. Neurosci. 21:860";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        for (name, value, least) in [("arms", params.arms, 2), ("rounds", params.rounds, 1)] {
            if !(least..=100).contains(&value) {
                return Err(Error::input(format!("parameter `{name}` is {value}"))
                    .help(format!("it must be between {least} and 100")));
            }
        }
        let [cue, feedback, delay] = lay_out([
            Period::required("cue", params.cue),
            Period::required("feedback", params.feedback),
            Period::optional("delay", params.delay),
        ])?;
        let (round, rounds) = (delay.end, params.rounds as usize);
        let choices: Vec<usize> = (0..rounds).map(|at| at * round + cue.end - 1).collect();
        let steps = (rounds - 1) * round + cue.end;
        let task =
            Bandit { arms: params.arms as usize, choices, cue: cue.len(), feedback: feedback.len(), steps };
        // Refuses trials that are too long.
        empty_batch(1, task.steps, task.arms + 2)?;
        Ok(task)
    }
}

impl Task for Bandit {
    fn info(&self) -> TaskInfo {
        let (k, rounds) = (self.arms as f64, self.choices.len());
        let mut info = TaskInfo::classes(self.arms + 2, self.arms, self.steps);
        let right: f64 = (1..=rounds).map(|round| (round as f64).min(k) / k).sum();
        let ideal = right / rounds as f64;
        info.levels = Some(Levels { chance: 1.0 / k, memoryless: Some(1.0 / k), ideal: Some(ideal) });
        info.conditions = (1..=self.arms).map(|arm| format!("arm {arm}")).collect();
        // The last choice has no consequences.
        info.reacts = self.choices[..rounds - 1].to_vec();
        info
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        let mut stream = random::stream(seed, Self::ID);
        let mut batch = empty_batch(count, self.steps, self.arms + 2)?;
        for trial in 0..count {
            let pays = stream.random_range(0..self.arms as u32);
            batch.conditions[trial] = pays;
            for &step in &self.choices {
                batch.inputs.slice_mut(s![trial, step + 1 - self.cue..=step, 0]).fill(1.0);
                batch.set_class(trial, step, pays);
                batch.mask[[trial, step]] = 1.0;
            }
        }
        Ok(batch)
    }

    fn react(&mut self, mut batch: Batch, step: usize, outputs: ArrayView2<'_, f32>) -> Result<Batch> {
        let (trials, steps, channels) = batch.inputs.dim();
        if outputs.dim() != (trials, self.arms) || (steps, channels) != (self.steps, self.arms + 2) {
            return Err(Error::input("the trials or the answers do not have the task's shape"));
        }
        let shown = (step + 1).min(steps)..(step + 1 + self.feedback).min(steps);
        for (trial, answer) in outputs.outer_iter().enumerate() {
            let arm = largest(answer.iter().copied());
            let mut feedback = batch.inputs.slice_mut(s![trial, shown.clone(), 1..]);
            feedback.fill(0.0);
            feedback.slice_mut(s![.., arm as usize]).fill(1.0);
            if arm == batch.conditions[trial] {
                feedback.slice_mut(s![.., self.arms]).fill(1.0);
            }
        }
        Ok(batch)
    }
}
pallium_core::register!(Task, Bandit);

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::Array2;

    use super::*;

    fn task(arms: u32, rounds: u32) -> Bandit {
        Bandit::build(Params { arms, rounds, ..Params::default() }, &Setting::default()).unwrap()
    }

    /// Share of correct choices of a strategy that sees, for each trial, the inputs so far.
    fn play(task: &mut Bandit, choose: &dyn Fn(usize, usize, ArrayView2<'_, f32>) -> usize) -> f64 {
        let trials = 20_000;
        let mut batch = task.trials(trials, 1).unwrap();
        let (info, mut right) = (task.info(), 0);
        for (round, step) in task.choices.clone().into_iter().enumerate() {
            let mut answers = Array2::zeros((trials, info.outputs));
            for trial in 0..trials {
                let arm = choose(trial, round, batch.inputs.slice(s![trial, ..=step, ..]));
                answers[[trial, arm]] = 1.0;
                right += usize::from(arm as u32 == batch.conditions[trial]);
            }
            if info.reacts.contains(&step) {
                batch = task.react(batch, step, answers.view()).unwrap();
                batch.check(&info).unwrap();
            }
        }
        right as f64 / (trials * task.choices.len()) as f64
    }

    #[test]
    fn strategies_reach_the_levels() {
        for (arms, rounds) in [(3, 4), (2, 1), (5, 3)] {
            let mut task = task(arms, rounds);
            let levels = task.info().levels.unwrap();
            let k = arms as usize;
            // The arm that paid, else the first one that was not tried.
            let wise = |_: usize, _: usize, seen: ArrayView2<'_, f32>| -> usize {
                let tried = |arm: usize| seen.column(1 + arm).iter().any(|&v| v > 0.0);
                let paid = |arm: usize| seen.outer_iter().any(|at| at[1 + arm] > 0.0 && at[1 + k] > 0.0);
                (0..k).find(|&arm| paid(arm)).or_else(|| (0..k).find(|&arm| !tried(arm))).unwrap_or(0)
            };
            let found = play(&mut task, &wise);
            assert!((found - levels.ideal.unwrap()).abs() < 0.012, "{arms} {rounds}: {found} {levels:?}");
            let found = play(&mut task, &|trial, round, _| (trial + round) % k);
            assert!((found - levels.chance).abs() < 0.012, "{arms} {rounds}: {found} {levels:?}");
        }
    }

    #[test]
    fn a_choice_and_its_reward_are_shown_after_it_and_nowhere_else() {
        let mut task = task(3, 2);
        let batch = task.trials(50, 3).unwrap();
        // Cue 2, feedback 2, delay 1, cue 2.
        assert_eq!((task.steps, &task.info().reacts), (7, &vec![1]));
        let mut answers = Array2::zeros((50, 3));
        answers.column_mut(2).fill(1.0);
        let shown = task.react(batch.clone(), 1, answers.view()).unwrap();
        for trial in 0..50 {
            let pays = if batch.conditions[trial] == 2 { 1.0 } else { 0.0 };
            for step in 0..7 {
                let expected = match step {
                    2 | 3 => [0.0, 0.0, 0.0, 1.0, pays],
                    4 => [0.0; 5],
                    _ => [1.0, 0.0, 0.0, 0.0, 0.0],
                };
                assert_eq!(shown.inputs.slice(s![trial, step, ..]).to_vec(), expected, "{trial} {step}");
            }
        }
        assert_eq!((&shown.targets, &shown.mask), (&batch.targets, &batch.mask));
    }

    #[test]
    fn impossible_parameters_are_refused() {
        for (params, what) in [
            (Params { arms: 1, ..Params::default() }, "`arms` is 1"),
            (Params { rounds: 0, ..Params::default() }, "`rounds` is 0"),
            (Params { cue: 0, ..Params::default() }, "`cue` is 0"),
        ] {
            let e = Bandit::build(params, &Setting::default()).err().unwrap();
            assert!(e.message.contains(what) && e.help.is_some(), "{e}");
        }
    }
}
