//! What a cell's training comes to: a status, values and curves.

use std::fmt;

use itertools::Itertools;
use serde::{Deserialize, Serialize};

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It trained to the end and every number is finite.
    Ok,
    /// The loss or a weight stopped being a finite number. That is a result
    /// like any other; the cell is not run again.
    Diverged,
    /// It could not be run, for this reason; it is run again next time.
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

/// A text without line breaks, for a table's cell.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().join(" ")
}

/// One number about a trained cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// `train`, `validation` or `test`; empty for what belongs to no split.
    pub split: String,
    /// Name of the measure, such as `accuracy`.
    pub measure: String,
    /// The number, always finite; `None` where there is none: the cell
    /// diverged, the split has no trials, or the measure is not defined for
    /// this network (modularity of a graph without edges, say).
    pub value: Option<f64>,
    /// Why this one measure could not be taken, where that is so. The rest of
    /// the cell stands.
    pub failed: Option<String>,
}

impl Value {
    /// A value; one that is not finite counts as not defined.
    pub fn new(split: &str, measure: impl Into<String>, value: Option<f64>) -> Self {
        Value {
            split: split.into(),
            measure: measure.into(),
            value: value.filter(|v| v.is_finite()),
            failed: None,
        }
    }
}

/// One epoch of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Number of the epoch, from 1.
    pub epoch: u32,
    /// Mean over the epoch's batches, each weighted by its trials, of the loss
    /// with penalty, each taken before the batch's update, noise on; in nats.
    pub running_loss: f64,
    /// Share of right answers in the same passes.
    pub running_accuracy: f64,
    /// The part of `running_loss` that is penalty.
    pub penalty: f64,
    /// Cross-entropy on the validation trials after the epoch, without noise
    /// and without penalty, in nats; `None` without validation trials.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation trials after the epoch.
    pub validation_accuracy: Option<f64>,
}

/// Where and how a training left the finite numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Epoch, from 1; 0 if it showed only after training.
    pub epoch: u32,
    /// Batch within the epoch, from 1; 0 after the epoch's last.
    pub batch: usize,
    /// What was not finite.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_being_written() {
        for status in [Status::Ok, Status::Diverged, Status::Failed("killed: signal 9, out of memory".into())]
        {
            assert_eq!(Status::parse(&status.to_string()), Some(status));
        }
        assert_eq!(Status::Failed("one\n  two".into()).to_string(), "failed: one two");
        assert_eq!(Status::parse("fine"), None);
    }

    #[test]
    fn a_value_is_never_nan() {
        assert_eq!(Value::new("", "q", Some(f64::NAN)).value, None);
        assert_eq!(Value::new("", "q", Some(f64::INFINITY)).value, None);
    }
}
