//! `activity.selectivity`: how much a trial's condition explains of activity.

use pallium_core::prelude::*;
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use crate::recording::{ByCondition, Recording, mean};

pallium_core::params! {
    /// Parameters of `activity.selectivity`.
    pub struct Params {
        /// Significance level at which a neuron counts as selective (above 0,
        /// below 1); it is divided by the number of neurons.
        level: f64 = 0.05,
    }
}

/// The share of the variance of a neuron's mean activity in a trial that lies
/// between the task's conditions: η² of a one-way analysis of variance (Fisher
/// 1925). `selectivity` is its mean over the neurons whose activity varies;
/// `selective_units` is the share of all neurons whose F is significant
/// (Bonferroni-corrected). NaN with fewer than two conditions, or if there are
/// not more trials than conditions.
pub struct Selectivity(Params);

impl Component for Selectivity {
    const ID: &'static str = "activity.selectivity";
    const ABOUT: &'static str = "share of each neuron's variance that a trial's condition explains";
    const CITE: &'static str = "Fisher 1925, Statistical Methods for Research Workers; Rigotti et al. 2013, Nature \
                                497:585";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("level", params.level, 0.0, 1.0)?;
        if params.level == 0.0 || params.level == 1.0 {
            return Err(Error::input(format!("parameter `level` is {}", params.level))
                .help("it must be above 0 and below 1; the usual value is 0.05"));
        }
        Ok(Selectivity(params))
    }
}

impl Metric for Selectivity {
    fn wants_activity(&self) -> bool {
        true
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let recording = Recording::new(network)?;
        let found = analyse(&recording.means(), recording.neurons());
        let n = recording.neurons() as f64;
        let (selectivity, selective) = match found {
            Some(neurons) => (
                mean(neurons.iter().filter_map(|neuron| neuron.share)),
                neurons.iter().filter(|neuron| neuron.p < self.0.level / n).count() as f64 / n,
            ),
            None => (f64::NAN, f64::NAN),
        };
        Ok(vec![Measure::new("selectivity", selectivity), Measure::new("selective_units", selective)].into())
    }
}
pallium_core::register!(Metric, Selectivity);

/// A neuron's analysis of variance.
pub struct Analysis {
    /// η²; `None` if the neuron's activity does not vary.
    pub share: Option<f64>,
    /// The p value of F.
    pub p: f64,
}

/// Every neuron's analysis; `None` without conditions to compare.
pub fn analyse(trials: &[(u32, Vec<f64>)], neurons: usize) -> Option<Vec<Analysis>> {
    let mut by = ByCondition::default();
    let mut total = vec![0.0; neurons];
    for (condition, means) in trials {
        by.add(*condition, neurons, means.iter().copied());
        total.iter_mut().zip(means).for_each(|(sum, m)| *sum += m);
    }
    let (groups, count) = (by.0.len() as f64, trials.len() as f64);
    if groups < 2.0 || count <= groups {
        return None;
    }
    let distribution = FisherSnedecor::new(groups - 1.0, count - groups).ok()?;
    let of = |i: usize| {
        let grand = total[i] / count;
        let between: f64 = by.0.values().map(|(k, sums)| k * (sums[i] / k - grand).powi(2)).sum();
        let within: f64 = trials
            .iter()
            .filter_map(|(condition, means)| {
                let (k, sums) = by.0.get(condition)?;
                Some((means[i] - sums[i] / k).powi(2))
            })
            .sum();
        let scale: f64 = trials.iter().map(|(_, means)| means[i] * means[i]).sum();
        // The rounding error of a neuron that does not vary.
        if between + within <= 1e-12 * scale || scale == 0.0 {
            return Analysis { share: None, p: 1.0 };
        }
        let f = between / (groups - 1.0) / (within / (count - groups));
        Analysis {
            share: Some(between / (between + within)),
            p: if f.is_finite() { distribution.sf(f) } else { 0.0 },
        }
    };
    Some((0..neurons).map(of).collect())
}
