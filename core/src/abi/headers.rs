//! The JSON that accompanies arrays on the wire. New keys have a default, and no
//! key is removed, so that older and newer sides understand each other.

use serde::{Deserialize, Serialize};

use crate::{Measure, Moment, Point};

#[derive(Serialize, Deserialize)]
pub(super) struct ConstraintWants {
    pub activity: bool,
    #[serde(default)]
    pub loss_gradient: bool,
    #[serde(default)]
    pub rewires: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct MetricWants {
    pub activity: bool,
    pub permutation_invariant: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PointHeader<'a> {
    pub step: u64,
    #[serde(default)]
    pub updates: Option<u64>,
    pub epoch: u32,
    #[serde(default)]
    pub task: u32,
    pub parameter: &'a str,
}

impl<'a> PointHeader<'a> {
    pub fn new(at: &Point<'a>) -> Self {
        PointHeader {
            step: at.step,
            updates: at.updates,
            epoch: at.epoch,
            task: at.task,
            parameter: at.parameter,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct MomentHeader {
    step: u64,
    epoch: u32,
    factor: f64,
}

impl MomentHeader {
    pub fn new(at: &Moment) -> Self {
        MomentHeader { step: at.step, epoch: at.epoch, factor: at.factor }
    }

    pub fn moment(&self) -> Moment {
        Moment { step: self.step, epoch: self.epoch, factor: self.factor }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct MeasuresHeader {
    pub values: Vec<Measure>,
}
