//! `representation.decoding`: what a linear read-out of activity tells of a trial.

use pallium_core::ndarray::{Array2, Axis};
use pallium_core::prelude::*;
use rand::seq::SliceRandom;

use crate::recording::{Recording, choices, targets};
use crate::ridge::cross_validated;

pallium_core::params! {
    /// How variables are decoded.
    pub struct Params {
        /// Number of folds: the trials of each are decoded by a classifier trained on the
        /// others.
        folds: u32 = 5,
        /// Penalty of the classifiers, in units of the mean squared distance of the
        /// activity from its mean; above 0.
        ridge: f64 = 0.1,
        /// Number of steps from one decoded step to the next; 1 decodes every step.
        every: u32 = 1,
    }
}

/// Cross-validated decoding of the variables of a trial from the units' activity at
/// each step, by linear classifiers (ridge regression of one class against the others).
///
/// Variables: `condition`, the trial's condition; `target`, the correct class at its last
/// scored step; `choice`, the network's answer there. Classes of fewer trials than
/// `folds` are left out; folds have like shares of each class and are drawn from the
/// seed. The last two are undefined for tasks of values.
///
/// Measures: for each variable `decoding_NAME_mean`, the accuracy as a mean over steps,
/// `decoding_NAME_last`, that at the last step of the shortest trial, and
/// `decoding_NAME_chance`, the share of the most frequent class. Undefined with fewer
/// than two classes. Arrays: `accuracy` (variables in this order × steps), NaN at steps
/// that are not decoded; `steps`, those that are.
pub struct Decoding {
    params: Params,
    seed: u64,
}

impl Component for Decoding {
    const ID: &'static str = "representation.decoding";
    const ABOUT: &'static str = "cross-validated decoding of condition, target and choice at each step";
    const CITE: &'static str =
        "Hoerl and Kennard 1970, Technometrics 12:55; Meyers et al. 2008, J Neurophysiol 100:1407";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("folds", params.folds.into(), 2.0, 1000.0)?;
        one_of_range("every", params.every.into(), 1.0, 1e6)?;
        if !(params.ridge > 0.0 && params.ridge.is_finite()) {
            return Err(
                Error::input(format!("parameter `ridge` is {}", params.ridge)).help("it must be above 0")
            );
        }
        Ok(Decoding { params, seed: setting.seed })
    }
}

const VARIABLES: [&str; 3] = ["condition", "target", "choice"];

impl Metric for Decoding {
    fn wants_activity(&self) -> bool {
        true
    }

    /// The order of sums may decide between two classes.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let recording = Recording::new(network)?;
        let steps: Vec<usize> = (0..recording.shortest()).step_by(self.params.every as usize).collect();
        let conditions = recording.conditions.iter().map(|&condition| Some(condition)).collect();
        let variables: [Vec<Option<u32>>; 3] = [conditions, targets(network), choices(network)];
        let mut accuracy = Array2::from_elem((VARIABLES.len(), recording.steps.len()), f64::NAN);
        let mut values = Vec::new();
        for ((mut row, labels), name) in accuracy.outer_iter_mut().zip(&variables).zip(VARIABLES) {
            let split = Split::new(labels, self.params.folds as usize, random::derive(self.seed, 0, name));
            let mut found = Vec::new();
            if let Some(split) = &split {
                for &step in &steps {
                    let features = recording.steps[step].select(Axis(0), &split.trials);
                    let share =
                        cross_validated(features.view(), &split.labels, &split.folds, self.params.ridge)?;
                    row[step] = share;
                    found.push(share);
                }
            }
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            let named = |what: &str, value: f64| Measure::new(format!("decoding_{name}_{what}"), value);
            values.push(named("mean", mean));
            values.push(named("last", found.last().copied().unwrap_or(f64::NAN)));
            values.push(named("chance", split.map_or(f64::NAN, |split| split.chance())));
        }
        let steps: Vec<u32> = steps.into_iter().map(|step| step as u32).collect();
        Ok(Measures::from(values).with(Tensor::from_view("accuracy", accuracy.view())).with(Tensor::new(
            "steps",
            [steps.len()],
            steps,
        )))
    }
}
pallium_core::register!(Metric, Decoding);

/// The trials whose label is decoded.
pub struct Split {
    /// Their indices.
    pub trials: Vec<usize>,
    /// Their classes, from 0.
    pub labels: Vec<usize>,
    /// Their folds.
    pub folds: Vec<usize>,
}

impl Split {
    /// Divides trials into folds, so that each class has about the same number in each;
    /// `None` with fewer than two classes of at least `folds` trials.
    pub fn new(labels: &[Option<u32>], folds: usize, seed: u64) -> Option<Self> {
        let mut kinds: Vec<u32> = labels.iter().copied().flatten().collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut rng = random::stream(seed, "folds");
        let mut split = Split { trials: Vec::new(), labels: Vec::new(), folds: Vec::new() };
        let mut classes = 0;
        // Where the next class begins, so that folds of many small classes are alike.
        let mut next = 0;
        for kind in kinds {
            let mut own: Vec<usize> =
                (0..labels.len()).filter(|&trial| labels[trial] == Some(kind)).collect();
            if own.len() < folds {
                continue;
            }
            own.shuffle(&mut rng);
            for trial in own {
                split.trials.push(trial);
                split.labels.push(classes);
                split.folds.push(next % folds);
                next += 1;
            }
            classes += 1;
        }
        (classes > 1).then_some(split)
    }

    /// The share of the most frequent class.
    pub fn chance(&self) -> f64 {
        let classes = self.labels.iter().max().map_or(0, |most| most + 1);
        let counts = (0..classes).map(|class| self.labels.iter().filter(|&&label| label == class).count());
        counts.max().unwrap_or(0) as f64 / self.labels.len() as f64
    }
}
