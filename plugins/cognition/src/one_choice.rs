//! One-choice inference: a goal is shown, then a delay, then two ways to move,
//! one of which leads towards the goal.

use pallium_core::ndarray::s;
use pallium_core::prelude::*;

use crate::trial::{Period, Repertoire, empty_batch, lay_out};

pallium_core::params! {
    /// Durations of the periods of a trial, in their order.
    pub struct Params {
        /// Steps during which the goal is shown; at least 1.
        goal: u32 = 20,
        /// Steps without input between goal and choices.
        delay: u32 = 10,
        /// Steps during which the two choices are shown; at least 1. The last
        /// one is scored.
        choices: u32 = 20,
    }
}

/// A way to move. Its index is its class; its input channel is the index plus
/// 4.
#[derive(Clone, Copy)]
enum Way {
    Left,
    Up,
    Right,
    Down,
}
use Way::{Down, Left, Right, Up};

const WAYS: [&str; 4] = ["left", "up", "right", "down"];

/// The goals, one channel each: the corners of a square.
const GOALS: [&str; 4] = ["top left", "top right", "bottom left", "bottom right"];

/// The eight types of trial: goal (counted from 1, as published), the two
/// choices, and the correct one. In each, one choice leads towards the goal's
/// corner and the other away from it.
const TYPES: [(usize, [Way; 2], Way); 8] = [
    (2, [Left, Up], Up),
    (2, [Right, Down], Right),
    (4, [Left, Down], Down),
    (3, [Right, Down], Down),
    (3, [Left, Up], Left),
    (1, [Up, Right], Up),
    (4, [Left, Right], Right),
    (1, [Left, Right], Left),
];

/// Goal (one-hot, channels 0–3) → delay (zeros) → two choices (two-hot,
/// channels 4–7: left, up, right, down). Four classes: left, up, right, down.
///
/// An observer that sees only the choices is correct in at most five of eight
/// trials, so an accuracy above 0.625 shows memory of the goal. The types are
/// equally likely, but the classes are not: right is the answer to three of the
/// eight types, the others to fewer.
struct OneChoice(Repertoire);

impl Component for OneChoice {
    const ID: &'static str = "cognition.one-choice";
    const ABOUT: &'static str = "remember a goal over a delay, then choose which of two ways leads to it";
    const CITE: &'static str = "Achterberg et al. 2023; as in Shakiba et al. 2026, arXiv 2606.14975, Task 1";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        let [goal, delay, choices] = lay_out([
            Period::required("goal", params.goal),
            Period::optional("delay", params.delay),
            Period::required("choices", params.choices),
        ])?;
        let mut kinds = empty_batch(TYPES.len(), choices.end, GOALS.len() + WAYS.len())?;
        let mut names = Vec::new();
        for (kind, (corner, [first, second], answer)) in TYPES.into_iter().enumerate() {
            kinds.inputs.slice_mut(s![kind, goal.clone(), corner - 1]).fill(1.0);
            for way in [first, second] {
                kinds.inputs.slice_mut(s![kind, choices.clone(), GOALS.len() + way as usize]).fill(1.0);
            }
            kinds.label_at_end(kind, answer as u32);
            names.push(format!(
                "goal {corner} ({}); {} or {}; {}",
                GOALS[corner - 1],
                WAYS[first as usize],
                WAYS[second as usize],
                WAYS[answer as usize]
            ));
        }
        let repertoire = Repertoire::new(Self::ID, kinds, names, WAYS.len())?;
        Ok(OneChoice(repertoire.with_periods(&[("goal", goal), ("delay", delay), ("choices", choices)])))
    }
}

impl Task for OneChoice {
    fn info(&self) -> TaskInfo {
        self.0.info()
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        self.0.draw(count, seed)
    }
}
pallium_core::register!(Task, OneChoice);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::tests::{assert_share, check_properties, learnt_accuracy};

    fn task(params: Params) -> OneChoice {
        OneChoice::build(params, &Setting::default()).unwrap()
    }

    #[test]
    fn it_has_the_properties_of_all_tasks() {
        check_properties(&mut task(Params::default()));
        check_properties(&mut task(Params { goal: 1, delay: 0, choices: 1 }));
    }

    #[test]
    fn trials_are_as_published() {
        // Goal channel, choice channels and class of each type, written
        // independently of the table above.
        let expected: [(usize, [usize; 2], u32); 8] = [
            (1, [4, 5], 1),
            (1, [6, 7], 2),
            (3, [4, 7], 3),
            (2, [6, 7], 3),
            (2, [4, 5], 0),
            (0, [5, 6], 1),
            (3, [4, 6], 2),
            (0, [4, 6], 0),
        ];
        let mut task = task(Params::default());
        let info = task.info();
        assert_eq!((info.inputs, info.outputs, info.steps, info.step_ms), (8, 4, 50, None));
        let batch = task.trials(400, 1).unwrap();
        for trial in 0..400 {
            let (goal, choices, class) = expected[batch.conditions[trial] as usize];
            assert_eq!(batch.targets.view().classes().unwrap()[[trial, 49]], class);
            for step in 0..50 {
                for channel in 0..8 {
                    let on = match step {
                        0..20 => channel == goal,
                        20..30 => false,
                        _ => choices.contains(&channel),
                    };
                    let value = batch.inputs[[trial, step, channel]];
                    assert_eq!(
                        value,
                        f32::from(u8::from(on)),
                        "trial {trial}, step {step}, channel {channel}"
                    );
                }
            }
        }
        assert_eq!(info.conditions[0], "goal 2 (top right); left or up; up");
    }

    #[test]
    fn only_the_correct_choice_leads_towards_the_goal() {
        for (corner, choices, answer) in TYPES {
            let name = GOALS[corner - 1].replace("top", "up").replace("bottom", "down");
            for way in choices {
                let towards = name.contains(WAYS[way as usize]);
                assert_eq!(towards, way as usize == answer as usize, "{name}: {}", WAYS[way as usize]);
            }
        }
    }

    #[test]
    fn observers_reach_the_levels() {
        let mut task = task(Params::default());
        let levels = task.info().levels.unwrap();
        assert_eq!(levels, Levels { chance: 0.25, memoryless: Some(0.625), ideal: Some(1.0) });
        let batch = task.trials(20_000, 3).unwrap();
        let (right, n) = learnt_accuracy(&batch, 1);
        assert_share("memoryless", right, n, 0.625);
        let (right, n) = learnt_accuracy(&batch, 30);
        assert_share("choices and delay", right, n, 0.625);
        assert_eq!(learnt_accuracy(&batch, 31), (10_000, 10_000), "one step of the goal is enough");
    }

    #[test]
    fn a_task_without_goal_or_choices_is_refused() {
        for params in [Params { goal: 0, ..Params::default() }, Params { choices: 0, ..Params::default() }] {
            let e = OneChoice::build(params, &Setting::default()).err().unwrap();
            assert!(e.message.ends_with("is 0") && e.help.is_some(), "{e}");
        }
    }
}
