//! Go/no-go: one of two stimuli, a delay, then respond or withhold.

use pallium_core::ndarray::s;
use pallium_core::prelude::*;

use crate::trial::{Period, Repertoire, empty_batch, lay_out};

pallium_core::params! {
    /// Durations of the periods of a trial, in their order.
    pub struct Params {
        /// Steps of fixation before the stimulus.
        fixation: u32 = 5,
        /// Steps during which the stimulus is shown; at least 1.
        stimulus: u32 = 20,
        /// Steps of fixation between stimulus and decision. If `delay` and
        /// `decision` are both 0, nothing needs to be remembered.
        delay: u32 = 10,
        /// Steps without input at the end; the last one is scored.
        decision: u32 = 5,
    }
}

/// Fixation ([1,0,0]) → stimulus ([0,1,0] no-go, [0,0,1] go) → delay ([1,0,0])
/// → decision (zeros). Class and condition 0 mean no-go, 1 go.
struct GoNoGo(Repertoire);

impl Component for GoNoGo {
    const ID: &'static str = "cognition.go-no-go";
    const ABOUT: &'static str = "report after a delay whether the stimulus meant to respond or to withhold";
    const CITE: &'static str = "Zhang et al. 2019; Molano-Mazón et al. 2022 (NeuroGym); as in Shakiba et al. 2026, arXiv 2606.14975, Task 2";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let [fixation, stimulus, delay, decision] = lay_out([
            Period::optional("fixation", params.fixation),
            Period::required("stimulus", params.stimulus),
            Period::optional("delay", params.delay),
            Period::optional("decision", params.decision),
        ])?;
        let mut kinds = empty_batch(2, decision.end, 3)?;
        for class in 0..2 {
            kinds.inputs.slice_mut(s![class, fixation.clone(), 0]).fill(1.0);
            kinds.inputs.slice_mut(s![class, stimulus.clone(), 1 + class]).fill(1.0);
            kinds.inputs.slice_mut(s![class, delay.clone(), 0]).fill(1.0);
            kinds.label_at_end(class, class as u32);
        }
        let repertoire = Repertoire::new(Self::ID, kinds, vec!["no-go".into(), "go".into()], 2)?;
        let periods =
            [("fixation", fixation), ("stimulus", stimulus), ("delay", delay), ("decision", decision)];
        Ok(GoNoGo(repertoire.with_periods(&periods)))
    }
}

impl Task for GoNoGo {
    fn info(&self) -> TaskInfo {
        self.0.info()
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        self.0.draw(count, seed)
    }
}
pallium_core::register!(Task, GoNoGo);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::{assert_share, check_properties, learnt_accuracy};

    fn task(params: Params) -> GoNoGo {
        GoNoGo::build(params, &Setting::default()).unwrap()
    }

    #[test]
    fn it_has_the_properties_of_all_tasks() {
        check_properties(&mut task(Params::default()));
        check_properties(&mut task(Params { fixation: 0, stimulus: 1, delay: 0, decision: 1 }));
    }

    #[test]
    fn trials_are_as_published() {
        let mut task = task(Params::default());
        let info = task.info();
        assert_eq!((info.inputs, info.outputs, info.steps), (3, 2, 40));
        assert_eq!(info.conditions, ["no-go", "go"]);
        assert_eq!(info.periods, ["fixation", "stimulus", "delay", "decision"]);
        let periods = task.trials(1, 3).unwrap().periods.unwrap();
        assert_eq!([4, 5, 24, 25, 35, 39].map(|step| periods[[0, step]]), [0, 1, 1, 2, 3, 3]);
        let batch = task.trials(100, 1).unwrap();
        for trial in 0..100 {
            let go = batch.conditions[trial];
            assert_eq!(batch.targets.view().classes().unwrap()[[trial, 39]], go);
            for step in 0..40 {
                let expected = match (step, go) {
                    (0..5 | 25..35, _) => [1.0, 0.0, 0.0],
                    (5..25, 0) => [0.0, 1.0, 0.0],
                    (5..25, _) => [0.0, 0.0, 1.0],
                    _ => [0.0; 3],
                };
                assert_eq!(
                    batch.inputs.slice(s![trial, step, ..]).to_vec(),
                    expected,
                    "trial {trial}, step {step}"
                );
            }
        }
    }

    #[test]
    fn observers_reach_the_levels() {
        let levels = |params| task(params).info().levels.unwrap();
        let half = Levels { chance: 0.5, memoryless: Some(0.5), ideal: Some(1.0) };
        assert_eq!(levels(Params::default()), half);
        assert_eq!(levels(Params { decision: 0, ..Params::default() }), half);
        // Here the stimulus is the last input.
        let seen = Levels { memoryless: Some(1.0), ..half };
        assert_eq!(levels(Params { decision: 0, delay: 0, ..Params::default() }), seen);

        let batch = task(Params::default()).trials(20_000, 3).unwrap();
        let (right, n) = learnt_accuracy(&batch, 1);
        assert_share("memoryless", right, n, 0.5);
        assert_eq!(learnt_accuracy(&batch, 16), (10_000, 10_000));
    }

    #[test]
    fn a_task_without_stimulus_is_refused() {
        let e =
            GoNoGo::build(Params { stimulus: 0, ..Params::default() }, &Setting::default()).err().unwrap();
        assert_eq!(e.message, "parameter `stimulus` is 0");
        assert!(e.help.is_some());
    }
}
