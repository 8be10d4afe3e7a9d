//! `representation.axes`: the directions in which activity encodes choice and stimulus.

use pallium_conditions::{Factor, evidence};
use pallium_core::ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis, s};
use pallium_core::prelude::*;
use pallium_linalg::{View, Write, product, solve};

use crate::design::{design, names};
use crate::pca::Components;
use crate::recording::{Recording, choices};

pallium_core::params! {
    /// How axes are found.
    pub struct Params {
        /// Number of principal components to which axes are restricted; 0 for no limit.
        components: u32 = 12,
    }
}

/// Axes of the task's variables by targeted dimensionality reduction: linear regression of
/// each unit's activity at each step on the variables of the trials.
///
/// Variables are the network's choice, −1 or 1, if it makes two different ones; the signed
/// evidence, if a part of the conditions' names is a strength after a part with two levels,
/// as in `direction 0°, coherence 6.4 %`; and each other part with two levels (−1 and 1)
/// or with numbers. Numbers are divided by the largest one. Activity has mean 0 and
/// standard deviation 1 in each unit. The axis of a variable is its regression
/// coefficients, within the first principal components of the conditions' mean activity,
/// at the step at which they are longest. A variable that follows from those before it in
/// this order, such as an evidence of two values from the choice, is left out.
///
/// Measures: `axes`, their number; `axes_angle`, between the first two before they are made
/// orthogonal, in degrees from 0 to 90; `axis_1_step` and `axis_2_step`, their steps;
/// `axis_1_variance` and `axis_2_variance`, the shares of the variance of the conditions'
/// mean activity along each, after the second was made orthogonal to the first.
/// Undefined where there are fewer. Arrays: `coefficients` (variables × units), as found;
/// `orthogonal` (variables × units), of length 1; `steps`, of each; `paths`, the mean
/// activity of each condition along the orthogonal axes (conditions × steps × variables),
/// and the `conditions` of its rows.
pub struct Axes(Params);

impl Component for Axes {
    const ID: &'static str = "representation.axes";
    const ABOUT: &'static str = "axes of choice, evidence and context in activity, by regression";
    const CITE: &'static str = "Mante et al. 2013, Nature 503:78";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        Ok(Axes(params))
    }
}

impl Metric for Axes {
    fn wants_activity(&self) -> bool {
        true
    }

    /// The order of sums may decide which step is the best of equal ones.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let recording = Recording::new(network)?;
        let targeted = Standardised::new(&recording)
            .and_then(|own| target(&own, &variables(network), self.0.components as usize));
        let Some(found) = targeted else { return Ok(values(0, f64::NAN, [], []).into()) };
        let count = found.steps.len();
        let steps = || found.steps.iter().map(|&step| step as f64);
        let steps_of =
            Tensor::new("steps", [count], found.steps.iter().map(|&s| s as u32).collect::<Vec<_>>());
        Ok(Measures::from(values(count, found.angle(), steps(), found.variance.iter().copied()))
            .with(Tensor::from_view("coefficients", found.coefficients.view()))
            .with(Tensor::from_view("orthogonal", found.orthogonal.view()))
            .with(steps_of)
            .with(Tensor::from_view("paths", found.paths.view()))
            .with(Tensor::new("conditions", [recording.kinds().len()], recording.kinds())))
    }
}
pallium_core::register!(Metric, Axes);

fn values(
    count: usize,
    angle: f64,
    steps: impl IntoIterator<Item = f64>,
    variance: impl IntoIterator<Item = f64>,
) -> Vec<Measure> {
    let named = |what: &str, values: Vec<f64>| {
        let of = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
        [1, 2].map(|at| Measure::new(format!("axis_{at}_{what}"), of(at - 1)))
    };
    let [steps, variance] =
        [("step", steps.into_iter().collect()), ("variance", variance.into_iter().collect::<Vec<f64>>())]
            .map(|(what, values)| named(what, values));
    let first = [Measure::new("axes", count as f64), Measure::new("axes_angle", angle).unit("°")];
    first.into_iter().chain(steps).chain(variance).collect()
}

/// The variables of the trials, each a number for each trial.
fn variables(network: &Network<'_>) -> Vec<Vec<f64>> {
    let mut found = Vec::new();
    let choices: Option<Vec<u32>> = choices(network).into_iter().collect();
    let mut kinds = choices.clone().unwrap_or_default();
    kinds.sort_unstable();
    kinds.dedup();
    if let (Some(choices), &[low, _]) = (choices, &kinds[..]) {
        found.push(choices.into_iter().map(|choice| if choice == low { -1.0 } else { 1.0 }).collect());
    }
    let of_trials = |values: &[f64]| {
        let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        network.conditions.iter().map(|&at| values[at as usize] / largest.max(f64::MIN_POSITIVE)).collect()
    };
    let other = |factor: &Factor| -> Option<Vec<f64>> {
        let number = |level: usize| match (&factor.values, factor.levels.len()) {
            (_, 2) => Some(if level == 0 { -1.0 } else { 1.0 }),
            (Some(values), _) => Some(values[level]),
            _ => None,
        };
        factor.of.iter().map(|&level| number(level)).collect()
    };
    let others = match evidence(names(network)) {
        Some(evidence) => {
            found.push(of_trials(&evidence.values));
            evidence.others
        }
        None => design(network),
    };
    found.extend(others.iter().filter_map(other).map(|values| of_trials(&values)));
    found
}

/// Activity with mean 0 and standard deviation 1 in each unit, at the steps that every
/// trial has.
pub struct Standardised {
    /// One matrix for each step, trials × units.
    pub steps: Vec<Array2<f64>>,
    /// The mean of each condition at each step, conditions × steps × units.
    pub means: Array3<f64>,
}

impl Standardised {
    /// The activity of a recording; `None` if nothing varies. A unit that does not vary
    /// is 0.
    pub fn new(recording: &Recording) -> Option<Self> {
        let steps = &recording.steps[..recording.shortest()];
        let count = (steps.len() * recording.lengths.len()) as f64;
        let sum = |of: &dyn Fn(&Array2<f64>) -> Array1<f64>| {
            steps.iter().map(of).fold(Array1::<f64>::zeros(recording.units()), |all, one| all + one)
        };
        let mean = sum(&|step| step.sum_axis(Axis(0))) / count;
        let squares = sum(&|step| (step - &mean).mapv(|v| v * v).sum_axis(Axis(0)));
        let size = steps.iter().flatten().fold(0.0_f64, |most, value| most.max(value.abs()));
        let deviation = (squares / count).mapv(f64::sqrt);
        let varies = |deviation: f64| deviation > 1e-9 * size;
        if !deviation.iter().any(|&deviation| varies(deviation)) {
            return None;
        }
        let scale = deviation.mapv(|deviation| if varies(deviation) { 1.0 / deviation } else { 0.0 });
        let kinds = recording.kinds();
        let mut means = Array3::zeros((kinds.len(), steps.len(), recording.units()));
        for (mut to, &kind) in means.outer_iter_mut().zip(&kinds) {
            to.assign(&((&recording.mean_of(kind).slice(s![..steps.len(), ..]) - &mean) * &scale));
        }
        Some(Standardised { steps: steps.iter().map(|step| (step - &mean) * &scale).collect(), means })
    }
}

/// Targeted dimensions.
pub struct Targeted {
    /// The coefficients of each variable at its step, variables × units.
    pub coefficients: Array2<f64>,
    /// The same, made orthogonal in this order and of length 1.
    pub orthogonal: Array2<f64>,
    /// The step of each.
    pub steps: Vec<usize>,
    /// Share of the variance of the conditions' means along each orthogonal axis.
    pub variance: Vec<f64>,
    /// Means of the conditions along the orthogonal axes, conditions × steps × variables.
    pub paths: Array3<f64>,
}

impl Targeted {
    /// Between the first two axes as found, in degrees.
    pub fn angle(&self) -> f64 {
        if self.coefficients.nrows() < 2 {
            return f64::NAN;
        }
        let (a, b) = (self.coefficients.row(0), self.coefficients.row(1));
        let length = |axis: ArrayView1<'_, f64>| axis.dot(&axis).sqrt();
        (a.dot(&b).abs() / (length(a) * length(b))).min(1.0).acos().to_degrees()
    }
}

fn times(left: ArrayView2<'_, f64>, right: ArrayView2<'_, f64>) -> Array2<f64> {
    let [a, b]: [Vec<f64>; 2] = [left, right].map(|m| m.iter().copied().collect());
    let mut out = vec![0.0; left.nrows() * right.ncols()];
    product(&mut out, Write::Replace, View::new(&a, left.ncols()), View::new(&b, right.ncols()), 1.0);
    Array2::from_shape_vec((left.nrows(), right.ncols()), out).unwrap_or_default()
}

/// Axes of `variables` in activity, within `components` principal components of the
/// conditions' means; `None` without variables that vary.
pub fn target(own: &Standardised, variables: &[Vec<f64>], components: usize) -> Option<Targeted> {
    let trials = own.steps.first()?.nrows();
    // Each variable that does not follow from the intercept and those before it.
    let mut design = Array2::<f64>::ones((trials, 1));
    let mut basis = vec![Array1::from_elem(trials, 1.0 / (trials as f64).sqrt())];
    for variable in variables {
        let column = Array1::from(variable.clone());
        let size = column.dot(&column).sqrt();
        let mut rest = column.clone();
        for _ in 0..2 {
            basis.iter().for_each(|known| rest = &rest - &(known * known.dot(&rest)));
        }
        let length = rest.dot(&rest).sqrt();
        if length > 1e-6 * size {
            basis.push(rest / length);
            design.push_column(column.view()).ok()?;
        }
    }
    let count = design.ncols() - 1;
    if count == 0 {
        return None;
    }
    let (kinds, steps, units) = own.means.dim();
    let all: Vec<f64> = own.means.iter().copied().collect();
    let rows = Array2::from_shape_vec((kinds * steps, units), all).ok()?;
    let limit = |coefficients: Array2<f64>| -> Option<Array2<f64>> {
        if components == 0 || components >= units {
            return Some(coefficients);
        }
        let found = Components::of(&rows)?;
        let kept = found.loadings.slice(s![..components, ..]);
        Some(coefficients.dot(&kept.t()).dot(&kept))
    };
    let normal = design.t().dot(&design);
    let mut fits = Vec::with_capacity(steps);
    for step in &own.steps {
        let fit = solve(normal.view(), times(design.t(), step.view()).view())?;
        fits.push(fit.slice(s![1.., ..]).to_owned());
    }
    let views: Vec<ArrayView2<'_, f64>> = fits.iter().map(|fit| fit.view()).collect();
    let together = pallium_core::ndarray::concatenate(Axis(0), &views).ok()?;
    let fits = limit(together)?;
    let (mut best, mut coefficients) = (Vec::new(), Array2::zeros((count, units)));
    for variable in 0..count {
        let length = |step: usize| {
            let row = fits.row(step * count + variable);
            row.dot(&row)
        };
        let step = (0..steps).reduce(|best, step| if length(step) > length(best) { step } else { best })?;
        coefficients.row_mut(variable).assign(&fits.row(step * count + variable));
        best.push(step);
    }
    let mut orthogonal = coefficients.clone();
    for at in 0..count {
        let mut row = orthogonal.row(at).to_owned();
        for _ in 0..2 {
            for known in 0..at {
                let known = orthogonal.row(known);
                row = &row - &(&known * known.dot(&row));
            }
        }
        let length = row.dot(&row).sqrt();
        orthogonal.row_mut(at).assign(&(row / length.max(f64::MIN_POSITIVE)));
    }
    let centred = &rows - &rows.mean_axis(Axis(0))?;
    let total = centred.iter().map(|value| value * value).sum::<f64>();
    let along = centred.dot(&orthogonal.t());
    let variance = along.axis_iter(Axis(1)).map(|path| path.dot(&path) / total).collect();
    let paths = rows.dot(&orthogonal.t());
    let paths = Array3::from_shape_vec((kinds, steps, count), paths.iter().copied().collect()).ok()?;
    Some(Targeted { coefficients, orthogonal, steps: best, variance, paths })
}
