//! Reproduce a value that was shown; right within 0.2.

use pallium_core::ndarray::{Array2, ArrayView2};
use pallium_core::prelude::*;
use pallium_core::rand::Rng;
use pallium_core::serde_json::json;

use super::{conforms, fails, faulty, finding};
use crate::Verdict;

pallium_core::params! {
    /// Parameters of the sample.
    pub struct Params {
        /// Whether answers are judged.
        judges: bool = true,
        /// Whether the second channel shows the answer to the first step.
        reacts: bool = false,
        /// The promise to break.
        fault: String = String::new(),
    }
}

pub struct Sample(Params, u64);

impl Component for Sample {
    const ID: &'static str = "sample.task";
    const ABOUT: &'static str = "reproduce a value that was shown";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(Sample(params, 0))
    }
}

impl Task for Sample {
    fn info(&self) -> TaskInfo {
        let mut info = TaskInfo::values(2, 1, 4, Loss::MeanSquaredError);
        info.judges = self.0.judges;
        if self.0.judges || self.0.fault == "levels" {
            let chance = if self.0.fault == "chance" { 0.05 } else { 0.2 };
            info.levels = Some(Levels::chance(if self.0.fault == "high-chance" { 0.5 } else { chance }));
        }
        if self.0.reacts {
            info.reacts = if self.0.fault == "react-late" { vec![3] } else { vec![0] };
        }
        match self.0.fault.as_str() {
            "outputs" => info.outputs = 2,
            "periods" => info.periods = vec!["one".into(), "two".into()],
            _ => {}
        }
        info
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        if count > 1_000_000 {
            return Err(Error::input(format!("{count} trials are too many")));
        }
        let mut stream = random::stream(seed, Self::ID);
        let mut batch = Batch::of_values(count, 4, 2, 1);
        for trial in 0..count {
            let value: f32 = stream.random_range(-1.0..1.0);
            batch.inputs[[trial, 0, 0]] = value;
            batch.inputs[[trial, 3, 1]] = 1.0;
            // Not scored, so of no concern.
            batch.set_values(trial, 1, &[f32::NAN]);
            batch.set_values(trial, 3, &[if self.0.fault == "nan" { f32::NAN } else { value }]);
            batch.mask[[trial, 3]] = 1.0;
        }
        match self.0.fault.as_str() {
            "untrained" => batch.scored = Some(std::mem::replace(&mut batch.mask, Array2::zeros((count, 4)))),
            "periods" => {
                self.1 += 1;
                batch.periods = Some(Array2::from_elem((count, 4), (self.1 % 2) as u32));
            }
            _ => {}
        }
        Ok(batch)
    }

    fn trials_of(&mut self, split: Split, count: usize, seed: u64) -> Result<Batch> {
        match (self.0.fault.as_str(), split) {
            ("counts-splits", Split::Test) => {
                self.1 += 1;
                self.trials(count, seed + self.1)
            }
            ("short-split", Split::Validation) => self.trials(count / 2, seed),
            _ => self.trials(count, seed),
        }
    }

    fn judge(&mut self, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        self.1 += 1;
        let values = batch.targets.values()?;
        let width = if self.0.fault == "random" { 0.05 * self.1 as f32 } else { 0.2 };
        let judged = batch.scored().zip(outputs.rows()).map(|(at, row)| {
            let off = (row[0] - values[[at.trial, at.step, 0]]).abs();
            match self.0.fault.as_str() {
                "strict" => false,
                "lenient" => true,
                _ => off <= width,
            }
        });
        let mut judged: Vec<bool> = judged.collect();
        if self.0.fault == "short" {
            judged.pop();
        }
        Ok(judged)
    }

    fn react(&mut self, mut batch: Batch, step: usize, outputs: ArrayView2<'_, f32>) -> Result<Batch> {
        self.1 += 1;
        for (trial, answer) in outputs.outer_iter().enumerate() {
            let shown = match self.0.fault.as_str() {
                "react-random" => self.1 as f32,
                "react-deaf" => 1.0,
                _ if answer[0].is_finite() => answer[0],
                _ => 0.0,
            };
            batch.inputs[[trial, step + 1, 1]] = shown;
            if self.0.fault == "react-past" {
                batch.inputs[[trial, 0, 1]] = shown;
            }
        }
        Ok(batch)
    }
}
pallium_core::register!(Task, Sample);

#[test]
fn a_task_of_values_that_keeps_its_promises_conforms() {
    let levels = ["profiles", "chance", "memoryless", "ideal"];
    conforms("sample.task", &json!({ "reacts": true }), &levels);
    let judge = ["profiles", "chance", "memoryless", "ideal", "judge", "react"];
    conforms("sample.task", &json!({ "judges": false }), &judge);
}

#[test]
fn broken_promises_of_reactions_are_found() {
    for (fault, message) in [
        ("react-late", "before the last of 4 steps"),
        ("react-past", "changes more than later steps"),
        ("react-random", "reacts to the same answers otherwise"),
        ("react-deaf", "no answer changes anything"),
    ] {
        fails("sample.task", json!({ "reacts": true, "fault": fault }), "react", message);
    }
}

#[test]
fn broken_promises_of_tasks_of_values_are_found() {
    for (fault, check, message) in [
        ("outputs", "trials", "targets of 1 outputs, but the task states 2"),
        ("nan", "trials", "has the target NaN"),
        ("counts-splits", "deterministic", "a second call gives other trials of the split `test`"),
        ("short-split", "trials", "of the split `validation`"),
        ("strict", "judge", "judged wrong"),
        ("random", "judge", "judges the same answers otherwise"),
        ("short", "judge", "answers"),
        ("lenient", "judge", "are all judged correct"),
        ("chance", "judge", "states the chance level 0.05"),
        ("high-chance", "judge", "states the chance level 0.5"),
        ("untrained", "trials", "nothing is trained"),
        ("periods", "deterministic", "gives other trials for the same seed"),
    ] {
        faulty("sample.task", fault, check, message);
    }
    let given = json!({ "judges": false, "fault": "levels" });
    let found = finding("sample.task", given, "description of trials");
    assert!(found.verdict == Verdict::Failed && found.detail.contains("levels of an accuracy"));
}
