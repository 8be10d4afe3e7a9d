//! `representation.pca`: the principal components of activity.

use pallium_core::ndarray::{Array2, Array3, ArrayView2, ArrayViewMut1, Axis, concatenate, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product, symmetric};

use crate::recording::Recording;

pallium_core::params! {
    /// What is kept.
    pub struct Params {
        /// Number of components whose loadings and paths are kept.
        components: u32 = 10,
        /// Share of the variance that the components counted by `pca_components` explain.
        share: f64 = 0.9,
    }
}

/// Principal components of the units' activity over all steps of all trials.
///
/// Measures: `pca_variance_1`, `pca_variance_2` and `pca_variance_3`, the shares of
/// variance that the first components explain; `pca_components`, the smallest number of
/// components that together explain at least `share`. Undefined if nothing varies.
///
/// Arrays: `explained`, the share of each component; `components`, the first ones
/// (components × units), each with its largest loading positive; `mean` of each unit;
/// `paths`, the mean activity of each condition in these components (conditions × steps
/// × components, NaN where no trial lasts so long); and the `conditions` of its rows.
pub struct Pca(Params);

impl Component for Pca {
    const ID: &'static str = "representation.pca";
    const ABOUT: &'static str = "principal components of activity, and the paths of the conditions in them";
    const CITE: &'static str = "Pearson 1901, Philosophical Magazine 2:559";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("components", params.components.into(), 1.0, 1e6)?;
        if !(params.share > 0.0 && params.share <= 1.0) {
            return Err(Error::input(format!("parameter `share` is {}", params.share))
                .help("it must be above 0 and at most 1"));
        }
        Ok(Pca(params))
    }
}

impl Metric for Pca {
    fn wants_activity(&self) -> bool {
        true
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let recording = Recording::new(network)?;
        let all: Vec<Array2<f64>> = (0..recording.steps.len())
            .map(|step| recording.steps[step].select(Axis(0), &recording.trials_at(step)))
            .collect();
        let views: Vec<ArrayView2<'_, f64>> = all.iter().map(|rows| rows.view()).collect();
        let rows = concatenate(Axis(0), &views).map_err(|e| Error::bug(e.to_string()))?;
        let Some(found) = Components::of(&rows) else {
            return Ok(measures(f64::NAN, [f64::NAN; 3]).into());
        };
        let kept = (self.0.components as usize).min(found.explained.len());
        let loadings = found.loadings.slice(s![..kept, ..]);
        let kinds = recording.kinds();
        let mut paths = Array3::zeros((kinds.len(), recording.steps.len(), kept));
        for (mut path, &kind) in paths.outer_iter_mut().zip(&kinds) {
            path.assign(&(recording.mean_of(kind) - &found.mean).dot(&loadings.t()));
        }
        // Rounding may leave the sum of all shares just below 1.
        let mut together = 0.0;
        let reached = |share: &f64| {
            together += share;
            together >= self.0.share - 1e-12
        };
        let count = found.explained.iter().position(reached).map_or(found.explained.len(), |at| at + 1);
        let first = [0, 1, 2].map(|at| found.explained.get(at).copied().unwrap_or(0.0));
        Ok(Measures::from(measures(count as f64, first))
            .with(Tensor::new("explained", [found.explained.len()], found.explained.clone()))
            .with(Tensor::from_view("components", loadings))
            .with(Tensor::from_view("mean", found.mean.view()))
            .with(Tensor::from_view("paths", paths.view()))
            .with(Tensor::new("conditions", [kinds.len()], kinds)))
    }
}
pallium_core::register!(Metric, Pca);

fn measures(count: f64, first: [f64; 3]) -> Vec<Measure> {
    let shares = first.into_iter().enumerate();
    let shares = shares.map(|(at, share)| Measure::new(format!("pca_variance_{}", at + 1), share));
    shares.chain([Measure::new("pca_components", count)]).collect()
}

/// Turns a direction so that its largest value is positive.
pub fn positive(mut direction: ArrayViewMut1<'_, f64>) {
    let largest = direction.iter().fold(0.0_f64, |most, v| if v.abs() > most.abs() { *v } else { most });
    if largest < 0.0 {
        direction.mapv_inplace(|value| -value);
    }
}

/// Principal components of some rows.
pub struct Components {
    /// Mean of each column.
    pub mean: pallium_core::ndarray::Array1<f64>,
    /// Share of variance of each component, descending.
    pub explained: Vec<f64>,
    /// The components as rows, of length 1.
    pub loadings: Array2<f64>,
}

impl Components {
    /// The components of `rows`; `None` if they do not differ.
    pub fn of(rows: &Array2<f64>) -> Option<Self> {
        let mean = rows.mean_axis(Axis(0))?;
        let size = rows.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        let centred: Vec<f64> = (rows - &mean).into_iter().collect();
        let units = rows.ncols();
        let mut covariance = vec![0.0; units * units];
        let view = View::new(&centred, units);
        product(&mut covariance, Write::Replace, view.transposed(), view, 1.0);
        let covariance = Array2::from_shape_vec((units, units), covariance).ok()?;
        let trace = covariance.diag().sum();
        // Rows that are alike differ by rounding of the mean.
        if trace <= (1e-12 * size).powi(2) * rows.len() as f64 {
            return None;
        }
        let eigen = symmetric(covariance.view())?;
        let explained = eigen.values.iter().rev().map(|value| (value / trace).max(0.0)).collect();
        let mut loadings = eigen.vectors.t().slice(s![..;-1, ..]).to_owned();
        loadings.outer_iter_mut().for_each(positive);
        Some(Components { mean, explained, loadings })
    }
}
