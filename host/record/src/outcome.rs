//! The outcome of a training: status, values and curves.

use std::fmt;

use itertools::Itertools;
use serde::{Deserialize, Serialize};

/// How a training ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It completed, and every number is finite.
    Ok,
    /// The loss or a weight became infinite or NaN. This is a result; the
    /// training is not repeated.
    Diverged,
    /// It failed for this reason; it is repeated by the next run.
    Failed(String),
}

impl Status {
    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ok" => Some(Status::Ok),
            "diverged" => Some(Status::Diverged),
            _ => text.strip_prefix("failed: ").map(|why| Status::Failed(why.into())),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Ok => f.write_str("ok"),
            Status::Diverged => f.write_str("diverged"),
            Status::Failed(why) => write!(f, "failed: {}", one_line(why)),
        }
    }
}

/// The warnings of several trainings, each with the number of trainings that have
/// it, in the order in which they first occur.
pub fn count_warnings<'a>(trainings: impl IntoIterator<Item = &'a [String]>) -> Vec<(&'a str, usize)> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for warning in trainings.into_iter().flatten() {
        match counts.iter_mut().find(|(known, _)| known == warning) {
            Some((_, count)) => *count += 1,
            None => counts.push((warning, 1)),
        }
    }
    counts
}

/// A text without line breaks, for one cell of a table.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().join(" ")
}

/// One number about a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// Name of the task, for one of several tasks of the network; empty for a value
    /// of the whole training.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// `train`, `validation` or `test`; empty for a measure without a split.
    pub split: String,
    /// Name of the measure, such as `accuracy`.
    pub measure: String,
    /// The number, always finite. `None` if the training diverged, the split
    /// has no trials, or the measure is undefined for this network (modularity
    /// of a graph without edges, for example).
    pub value: Option<f64>,
    /// Why this measure failed, if it did. Other values are not affected.
    pub failed: Option<String>,
}

impl Value {
    /// A value; a number that is not finite is undefined.
    pub fn new(split: &str, measure: impl Into<String>, value: Option<f64>) -> Self {
        Value {
            task: String::new(),
            split: split.into(),
            measure: measure.into(),
            value: value.filter(|v| v.is_finite()),
            failed: None,
        }
    }
}

/// One epoch of a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean over the epoch's batches of the loss with penalty, weighted by
    /// their trials; each taken before the batch's update, with noise; in nats.
    pub running_loss: f64,
    /// Share of correct answers in the same passes.
    pub running_accuracy: Option<f64>,
    /// The penalty within `running_loss`.
    pub penalty: f64,
    /// Cross-entropy on the validation trials after the epoch, without noise
    /// and penalty, in nats; `None` without validation trials.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation trials after the epoch.
    pub validation_accuracy: Option<f64>,
    /// Stage of the curriculum, from 1, if the task has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
    /// Each task, if the network has several. Losses and accuracies above are then
    /// means over the tasks, and running ones over the batches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskEpoch>,
}

impl Epoch {
    /// Whether the network was trained on the same tasks, in the same stages.
    pub fn same_phase(&self, other: &Epoch) -> bool {
        let tasks = |epoch: &Epoch| -> Vec<_> {
            epoch.tasks.iter().map(|task| (task.stage, task.running_loss.is_some())).collect()
        };
        self.stage == other.stage && tasks(self) == tasks(other)
    }
}

/// One of several tasks in one epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskEpoch {
    /// Its name.
    pub name: String,
    /// As [`Epoch::running_loss`] over the batches of this task; `None` if the epoch
    /// has none.
    pub running_loss: Option<f64>,
    /// As [`Epoch::running_accuracy`].
    pub running_accuracy: Option<f64>,
    /// As [`Epoch::validation_loss`].
    pub validation_loss: Option<f64>,
    /// As [`Epoch::validation_accuracy`].
    pub validation_accuracy: Option<f64>,
    /// As [`Epoch::stage`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<u32>,
}

/// Where a training diverged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Epoch, from 1; 0 if it diverged after training.
    pub epoch: u32,
    /// Batch within the epoch, from 1; 0 after the last batch.
    pub batch: usize,
    /// The value that was not finite.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_back_as_written() {
        for status in [Status::Ok, Status::Diverged, Status::Failed("killed: signal 9, out of memory".into())]
        {
            assert_eq!(Status::parse(&status.to_string()), Some(status));
        }
        assert_eq!(Status::Failed("one\n  two".into()).to_string(), "failed: one two");
        assert_eq!(Status::parse("fine"), None);
    }

    #[test]
    fn warnings_are_counted_by_trainings() {
        let all = [vec!["a".to_owned(), "b".into()], vec![], vec!["b".into()]];
        assert_eq!(count_warnings(all.iter().map(Vec::as_slice)), [("a", 1), ("b", 2)]);
    }

    #[test]
    fn a_value_is_never_nan() {
        assert_eq!(Value::new("", "q", Some(f64::NAN)).value, None);
        assert_eq!(Value::new("", "q", Some(f64::INFINITY)).value, None);
    }
}
