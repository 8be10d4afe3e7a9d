//! `representation.demixed`: demixed principal components.

use pallium_core::ndarray::{Array2, Array4, Axis, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product, solve, symmetric};

use crate::design::{design, two_parts};
use crate::pca::positive;
use crate::recording::Recording;

pallium_core::params! {
    /// How activity is demixed.
    pub struct Params {
        /// Position (from 1) of the first variable among those parts of the conditions'
        /// names that differ between conditions.
        first: u32 = 1,
        /// Position (from 1) of the second variable among them.
        second: u32 = 2,
        /// Number of components for each part: time, either variable, and their
        /// interaction.
        components: u32 = 3,
        /// Penalty on the decoders, in units of the mean variance of a unit; above 0.
        ridge: f64 = 1e-3,
    }
}

/// Demixed principal components: axes on which activity depends on time alone, on one
/// variable of the task, on another, or on their interaction.
///
/// The mean activity of each condition at each step that every trial has is the sum of
/// four parts: what depends on time, what further on the first variable (and time), on the
/// second, and on both together. For each part, decoders D and encoders P of few
/// components minimise |X_part − P·D·X|² + λ|D|². The variables are parts of the
/// conditions' names; if these do not have two such parts, or not all of their
/// combinations occur in the trials, the condition is the first variable and there is no
/// second one.
///
/// Measures: `demixed_time`, `demixed_first`, `demixed_second` and `demixed_interaction`,
/// the shares of variance of the parts; `demixed_explained`, the share that all components
/// together reconstruct. Undefined if nothing varies. Arrays, of the components by part in
/// this order: `part` (0 to 3), `explained`, the share of variance that one alone
/// reconstructs, `encoders` and `decoders` (components × units) and `paths` (components ×
/// first × second × steps).
pub struct Demixed(Params);

impl Component for Demixed {
    const ID: &'static str = "representation.demixed";
    const ABOUT: &'static str =
        "demixed principal components: time, two variables of the task, and their interaction";
    const CITE: &'static str = "Kobak et al. 2016, eLife 5:e10989";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("first", params.first.into(), 1.0, 1e6)?;
        one_of_range("second", params.second.into(), 1.0, 1e6)?;
        one_of_range("components", params.components.into(), 1.0, 1e6)?;
        two_parts(params.first, params.second)?;
        if !(params.ridge > 0.0 && params.ridge.is_finite()) {
            return Err(
                Error::input(format!("parameter `ridge` is {}", params.ridge)).help("it must be above 0")
            );
        }
        Ok(Demixed(params))
    }
}

impl Metric for Demixed {
    fn wants_activity(&self) -> bool {
        true
    }

    /// The order of sums may decide between components of equal variance.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let recording = Recording::new(network)?;
        let means = self.means(network, &recording);
        let Some(found) = demix(&means, self.0.components as usize, self.0.ridge) else {
            return Ok(values([f64::NAN; PARTS], f64::NAN).into());
        };
        let parts: Vec<u32> = found.axes.iter().map(|axis| axis.part as u32).collect();
        let explained: Vec<f64> = found.axes.iter().map(|axis| axis.explained).collect();
        let stack = |of: &dyn Fn(&Axes) -> Vec<f64>| {
            let rows: Vec<f64> = found.axes.iter().flat_map(of).collect();
            Array2::from_shape_vec((parts.len(), recording.units()), rows)
                .map_err(|e| Error::bug(e.to_string()))
        };
        let decoders = stack(&|axis| axis.decoder.clone())?;
        let (_, first, second, steps) = means.dim();
        let paths = decoders.dot(&found.centred);
        let paths =
            Tensor::new("paths", [parts.len(), first, second, steps], paths.into_iter().collect::<Vec<_>>());
        Ok(Measures::from(values(found.shares, found.together))
            .with(Tensor::new("part", [parts.len()], parts.clone()))
            .with(Tensor::new("explained", [explained.len()], explained))
            .with(Tensor::from_view("encoders", stack(&|axis| axis.encoder.clone())?.view()))
            .with(Tensor::from_view("decoders", decoders.view()))
            .with(paths))
    }
}
pallium_core::register!(Metric, Demixed);

fn values(shares: [f64; PARTS], together: f64) -> Vec<Measure> {
    let names = ["demixed_time", "demixed_first", "demixed_second", "demixed_interaction"];
    let shares = names.into_iter().zip(shares).map(|(name, share)| Measure::new(name, share));
    shares.chain([Measure::new("demixed_explained", together)]).collect()
}

impl Demixed {
    /// Mean activity, units × first × second × steps.
    fn means(&self, network: &Network<'_>, recording: &Recording) -> Array4<f64> {
        let (steps, units) = (recording.shortest(), recording.units());
        let kinds = recording.kinds();
        let design = design(network);
        let factor = |position: u32| design.get(position as usize - 1);
        let whole = |means: &Array4<f64>| means.iter().all(|value| value.is_finite());
        if let (Some(first), Some(second)) = (factor(self.0.first), factor(self.0.second)) {
            let levels = (first.levels.len(), second.levels.len());
            let mut sums = Array4::zeros((units, levels.0, levels.1, steps));
            let mut counts = Array2::<f64>::zeros(levels);
            for (trial, &condition) in recording.conditions.iter().enumerate() {
                let at = [first.of[condition as usize], second.of[condition as usize]];
                counts[at] += 1.0;
                for (step, values) in recording.steps[..steps].iter().enumerate() {
                    let mut sum = sums.slice_mut(s![.., at[0], at[1], step]);
                    sum += &values.row(trial);
                }
            }
            // A combination without trials is 0 / 0.
            sums /= &counts.insert_axis(Axis(0)).insert_axis(Axis(3));
            if whole(&sums) {
                return sums;
            }
        }
        let mut means = Array4::zeros((units, kinds.len(), 1, steps));
        for (at, &kind) in kinds.iter().enumerate() {
            let mean = recording.mean_of(kind);
            means.slice_mut(s![.., at, 0, ..]).assign(&mean.slice(s![..steps, ..]).t());
        }
        means
    }
}

/// Time, the first variable, the second, their interaction.
const PARTS: usize = 4;

/// One demixed component.
pub struct Axes {
    /// Index of its part.
    pub part: usize,
    /// Share of variance that it reconstructs alone.
    pub explained: f64,
    /// How much it adds to each unit.
    pub encoder: Vec<f64>,
    /// How it is read out of the units.
    pub decoder: Vec<f64>,
}

/// Demixed components of mean activity.
pub struct Demixing {
    /// Shares of variance of the parts.
    pub shares: [f64; PARTS],
    /// The share of variance that all components reconstruct.
    pub together: f64,
    /// The components, by part.
    pub axes: Vec<Axes>,
    /// Activity minus each unit's mean, units × (first · second · steps).
    pub centred: Array2<f64>,
}

fn flat(values: &Array4<f64>) -> Array2<f64> {
    let (units, a, b, steps) = values.dim();
    let all: Vec<f64> = values.iter().copied().collect();
    Array2::from_shape_vec((units, a * b * steps), all).unwrap_or_default()
}

/// A·Bᵀ.
fn times_transposed(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let mut out = vec![0.0; a.nrows() * b.nrows()];
    let [left, right]: [Vec<f64>; 2] = [a, b].map(|m| m.iter().copied().collect());
    let (left, right) = (View::new(&left, a.ncols()), View::new(&right, b.ncols()));
    product(&mut out, Write::Replace, left, right.transposed(), 1.0);
    Array2::from_shape_vec((a.nrows(), b.nrows()), out).unwrap_or_default()
}

/// Demixes `means` (units × first × second × steps) into up to `components` components of
/// each part; `None` if they do not vary.
pub fn demix(means: &Array4<f64>, components: usize, ridge: f64) -> Option<Demixing> {
    let units = means.dim().0;
    let over = |values: &Array4<f64>, axis: usize| {
        values.mean_axis(Axis(axis)).map(|mean| mean.insert_axis(Axis(axis)))
    };
    let time = over(&over(means, 1)?, 2)?;
    let centred = means - &over(&time, 3)?;
    let time = over(&over(&centred, 1)?, 2)?;
    // Means over the other variable, without what depends on time alone.
    let first = over(&centred, 2)? - &time;
    let second = over(&centred, 1)? - &time;
    let whole = |part: &Array4<f64>| part.broadcast(centred.dim()).map(|view| view.to_owned());
    let [time, first, second] = [whole(&time)?, whole(&first)?, whole(&second)?];
    let interaction = &centred - &time - &first - &second;
    let x = flat(&centred);
    let total = x.iter().map(|value| value * value).sum::<f64>();
    let size = means.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let least = (1e-9 * size).powi(2) * x.len() as f64;
    if total <= least {
        return None;
    }
    let gram = times_transposed(&x, &x);
    let mut penalised = gram.clone();
    penalised.diag_mut().mapv_inplace(|value| value + ridge * total / units as f64);
    let (mut shares, mut axes) = ([0.0; PARTS], Vec::new());
    for (at, part) in [time, first, second, interaction].iter().enumerate() {
        let part = flat(part);
        let squares = part.iter().map(|value| value * value).sum::<f64>();
        shares[at] = squares / total;
        if squares <= least {
            continue;
        }
        // The regression of the part on all activity, C = X_part·Xᵀ·(X·Xᵀ + λ)⁻¹.
        let cross = times_transposed(&part, &x);
        let regression = solve(penalised.view(), cross.t())?.t().to_owned();
        let eigen = symmetric(regression.dot(&cross.t()).view())?;
        for component in 0..components.min(units) {
            let place = units - 1 - component;
            // What rounding leaves has no direction.
            if eigen.values[place] <= 1e-12 * eigen.values[units - 1] {
                break;
            }
            let mut encoder = eigen.vectors.column(place).to_owned();
            positive(encoder.view_mut());
            let decoder = encoder.dot(&regression);
            // |X − p·d·X|² with |p| = 1.
            let read = decoder.dot(&gram);
            let explained = (2.0 * encoder.dot(&read) - decoder.dot(&read)) / total;
            axes.push(Axes { part: at, explained, encoder: encoder.to_vec(), decoder: decoder.to_vec() });
        }
    }
    let mut rest = x.clone();
    for axis in &axes {
        let read = pallium_core::ndarray::aview1(&axis.decoder).dot(&x);
        for (mut row, weight) in rest.outer_iter_mut().zip(&axis.encoder) {
            row.scaled_add(-weight, &read);
        }
    }
    let left = rest.iter().map(|value| value * value).sum::<f64>();
    Some(Demixing { shares, together: 1.0 - left / total, axes, centred: x })
}
