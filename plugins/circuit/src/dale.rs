//! `circuit.dale`: each neuron either excites or inhibits.

use pallium_core::prelude::*;
use pallium_core::rand::seq::SliceRandom;

use crate::shapes::{check_shape, no_penalty};

pallium_core::choice! {
    /// Which neurons are inhibitory.
    pub enum Assignment {
        /// Drawn with the run's seed.
        Drawn = "drawn",
        /// The last ones.
        Last = "last",
    }
}

pallium_core::params! {
    /// Parameters of `circuit.dale`.
    pub struct Params {
        /// Share of excitatory neurons (0 to 1); their number is rounded.
        excitatory: f64 = 0.8,
        /// Which neurons are inhibitory if `inhibitory` does not list them.
        assignment: Assignment = Assignment::Drawn,
        /// Indices of the inhibitory neurons, counted from 0. If given,
        /// `excitatory` and `assignment` are ignored.
        inhibitory: Option<Vec<u32>> = None,
    }
}

/// Dale's law: all weights from an excitatory neuron (its row of W) are at least
/// 0, all weights from an inhibitory one at most 0. After each update, weights
/// of the wrong sign are set to 0, which gives the nearest matrix that obeys the
/// law. There is no penalty. NaN stays NaN.
pub struct Dale {
    /// For each neuron, whether it inhibits.
    inhibits: Vec<bool>,
}

impl Component for Dale {
    const ID: &'static str = "circuit.dale";
    const ABOUT: &'static str = "hard: each neuron's outgoing weights share one sign (Dale's law); weights of the wrong sign become 0, so \
                         inhibitory neurons start silent unless some initial weights are negative";
    const CITE: &'static str = "Eccles, Fatt, Koketsu 1954, J. Physiol. 126:524; in trained networks: \
                                Song, Yang, Wang 2016, PLoS Comput. Biol. 12:e1004792";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("excitatory", params.excitatory, 0.0, 1.0)?;
        let n = setting.neurons()?;
        let mut inhibits = vec![false; n];
        if let Some(listed) = params.inhibitory {
            for index in listed {
                let Some(neuron) = inhibits.get_mut(index as usize) else {
                    return Err(Error::input(format!(
                        "parameter `inhibitory` lists neuron {index}, but there are {n} neurons"
                    ))
                    .help("neurons are counted from 0"));
                };
                if std::mem::replace(neuron, true) {
                    return Err(Error::input(format!("parameter `inhibitory` lists neuron {index} twice")));
                }
            }
            return Ok(Dale { inhibits });
        }
        let excitatory = (params.excitatory * n as f64).round() as usize;
        inhibits[excitatory.min(n)..].fill(true);
        if params.assignment == Assignment::Drawn {
            inhibits.shuffle(&mut random::stream(setting.seed, "inhibitory neurons"));
        }
        Ok(Dale { inhibits })
    }
}

impl Constraint for Dale {
    fn penalty(&mut self, weights: MatrixView<'_>, gradient: MatrixViewMut<'_>) -> Result<f64> {
        no_penalty(Some(self.inhibits.len()), &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>) -> Result<()> {
        check_shape("weights", Some(self.inhibits.len()), weights.dim())?;
        for (mut row, &inhibits) in weights.rows_mut().into_iter().zip(&self.inhibits) {
            // Comparisons, not min and max, which would turn NaN into a
            // plausible 0.
            if inhibits {
                row.mapv_inplace(|w| if w > 0.0 { 0.0 } else { w });
            } else {
                row.mapv_inplace(|w| if w < 0.0 { 0.0 } else { w });
            }
        }
        Ok(())
    }
}
pallium_core::register!(Constraint, Dale);
