//! Signal and noise correlations of units.

use pallium_core::ndarray::{Array2, ArrayView2, Axis, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product};

use crate::recording::Recording;

/// Correlations between units, N×N in the order of the neurons, NaN for a unit that does
/// not vary.
pub struct Tuning {
    /// Of the conditions' mean activity, over conditions and steps.
    pub signal: Array2<f64>,
    /// Of what differs from it, over trials and steps.
    pub noise: Array2<f64>,
}

impl Tuning {
    /// The correlations of a network, over the steps that every trial has.
    ///
    /// # Errors
    /// As [`Recording::new`].
    pub fn new(network: &Network<'_>) -> Result<Self> {
        let recording = Recording::new(network)?;
        let (steps, units, trials) = (recording.shortest(), recording.units(), recording.lengths.len());
        let kinds = recording.kinds();
        let mut means = Array2::zeros((kinds.len() * steps, units));
        let mut rest = Array2::zeros((trials * steps, units));
        for (at, &kind) in kinds.iter().enumerate() {
            let mean = recording.mean_of(kind);
            means.slice_mut(s![at * steps..(at + 1) * steps, ..]).assign(&mean.slice(s![..steps, ..]));
            for trial in (0..trials).filter(|&trial| recording.conditions[trial] == kind) {
                for step in 0..steps {
                    let own = &recording.steps[step].row(trial) - &mean.row(step);
                    rest.row_mut(trial * steps + step).assign(&own);
                }
            }
        }
        let size = recording.steps.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs()));
        let order = order(network, units);
        let of = |rows: &Array2<f64>| {
            correlations(rows.view(), size).select(Axis(0), &order).select(Axis(1), &order)
        };
        Ok(Tuning { signal: of(&means), noise: of(&rest) })
    }
}

/// The unit at each place of the recurrent matrix.
fn order(network: &Network<'_>, units: usize) -> Vec<usize> {
    let places = network.model.map_or_else(|| (0..units).collect(), ModelInfo::places);
    let mut order: Vec<usize> = (0..units).collect();
    for (unit, place) in
        places.into_iter().enumerate().filter(|(unit, place)| *unit < units && *place < units)
    {
        order[place] = unit;
    }
    order
}

/// Pearson correlations of columns; NaN where one does not vary by more than rounding of
/// values of this `size`.
pub fn correlations(rows: ArrayView2<'_, f64>, size: f64) -> Array2<f64> {
    let units = rows.ncols();
    let Some(mean) = rows.mean_axis(Axis(0)) else { return Array2::from_elem((units, units), f64::NAN) };
    let centred: Vec<f64> = (&rows - &mean).into_iter().collect();
    let mut sums = vec![0.0; units * units];
    let view = View::new(&centred, units);
    product(&mut sums, Write::Replace, view.transposed(), view, 1.0);
    let least = (1e-9 * size).powi(2) * rows.nrows() as f64;
    Array2::from_shape_fn((units, units), |(i, j)| {
        let (a, b) = (sums[i * units + i], sums[j * units + j]);
        if a <= least || b <= least { f64::NAN } else { sums[i * units + j] / (a.sqrt() * b.sqrt()) }
    })
}
