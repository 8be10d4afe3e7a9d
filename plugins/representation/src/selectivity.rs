//! `representation.selectivity`: pure, linear mixed and nonlinear mixed selectivity.

use pallium_core::ndarray::{Array2, ArrayView1, Axis};
use pallium_core::prelude::*;
use pallium_linalg::solve;
use statrs::function::beta::checked_beta_reg;

use crate::design::{Levels, levels, two_parts};
use crate::recording::Recording;

pallium_core::params! {
    /// What units may be selective to.
    pub struct Params {
        /// Position (from 1) of the first variable among those parts of the conditions'
        /// names that differ between conditions; 0 is the network's choice.
        first: u32 = 1,
        /// Position of the second variable among them; if the names have no such part,
        /// the network's choice is used.
        second: u32 = 2,
        /// Number of steps before the end of the shortest trial over which activity is
        /// averaged; 0 for all.
        last: u32 = 0,
        /// Level of significance of each effect, without correction for the number of
        /// units.
        level: f64 = 0.05,
    }
}

/// Selectivity of units to two variables of the trials and to their interaction: an
/// analysis of variance (type II) of each unit's mean activity in each trial.
///
/// The variables are parts of the conditions' names, such as direction and coherence in
/// `direction 0°, coherence 6.4 %`, or the network's choice. A unit is selective to one of
/// them if its effect is significant; *pure* if that is the only effect, *linear mixed* if
/// both have an effect and do not interact, and *nonlinear mixed* if they interact.
///
/// Measures, as shares of the units that vary: `selective_condition`, whose activity differs
/// between conditions (one-way); `selective_first`, `selective_second` and
/// `selective_interaction`; `selectivity_pure`, `selectivity_linear` and
/// `selectivity_nonlinear`. Undefined if a variable has one level, and where the choice
/// follows from the first variable. Arrays: `f` and `p` (units × effects, in this order),
/// NaN for units that do not vary.
pub struct Selectivity(Params);

impl Component for Selectivity {
    const ID: &'static str = "representation.selectivity";
    const ABOUT: &'static str = "shares of units with pure, linear mixed and nonlinear mixed selectivity";
    const CITE: &'static str = "Rigotti et al. 2013, Nature 497:585";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        two_parts(params.first, params.second)?;
        if !(params.level > 0.0 && params.level < 1.0) {
            return Err(Error::input(format!("parameter `level` is {}", params.level))
                .help("it must be between 0 and 1"));
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
        let (trials, units) = (recording.lengths.len(), recording.units());
        let end = recording.shortest();
        let begin = match self.0.last as usize {
            0 => 0,
            last => end.saturating_sub(last),
        };
        let mut means = Array2::<f64>::zeros((trials, units));
        recording.steps[begin..end].iter().for_each(|step| means += step);
        means /= (end - begin).max(1) as f64;
        let mut found = Array2::from_elem((units, 2 * EFFECTS), f64::NAN);
        let variables = [self.0.first, self.0.second].map(|position| levels(network, position));
        if let [Some(first), Some(second)] = &variables
            && let Some(anova) = Anova::new(first, second)
        {
            for (mut row, unit) in found.outer_iter_mut().zip(means.axis_iter(Axis(1))) {
                for (effect, test) in anova.tests(unit).into_iter().enumerate() {
                    (row[effect], row[EFFECTS + effect]) = test;
                }
            }
        }
        let significant: Vec<[bool; EFFECTS]> = found
            .outer_iter()
            .filter(|row| row.iter().skip(EFFECTS).all(|p| !p.is_nan()))
            .map(|row| [0, 1, 2].map(|effect| row[EFFECTS + effect] < self.0.level))
            .collect();
        let share = |name: &str, of: fn(&[bool; EFFECTS]) -> bool| {
            let count = significant.iter().filter(|effects| of(effects)).count();
            // 0 / 0 is NaN: nothing varies.
            Measure::new(name, count as f64 / significant.len() as f64)
        };
        let condition = Levels::of_conditions(network);
        let of_condition: Vec<f64> =
            means.axis_iter(Axis(1)).map(|unit| one_way(&condition, unit)).filter(|p| !p.is_nan()).collect();
        let differ = of_condition.iter().filter(|p| **p < self.0.level).count();
        let values = vec![
            Measure::new("selective_condition", differ as f64 / of_condition.len() as f64),
            share("selective_first", |effects| effects[0]),
            share("selective_second", |effects| effects[1]),
            share("selective_interaction", |effects| effects[2]),
            share("selectivity_pure", |effects| !effects[2] && effects[0] != effects[1]),
            share("selectivity_linear", |effects| !effects[2] && effects[0] && effects[1]),
            share("selectivity_nonlinear", |effects| effects[2]),
        ];
        let part = |name: &str, from: usize| {
            Tensor::from_view(name, found.slice(pallium_core::ndarray::s![.., from..from + EFFECTS]))
        };
        Ok(Measures::from(values).with(part("f", 0)).with(part("p", EFFECTS)))
    }
}
pallium_core::register!(Metric, Selectivity);

/// The first variable, the second, their interaction.
const EFFECTS: usize = 3;

/// An analysis of variance with two variables and their interaction.
pub struct Anova<'a> {
    variables: [&'a Levels; 2],
    /// The cell of each trial, and the number of trials in each.
    cells: (Vec<usize>, Vec<f64>),
    /// The normal equations of the additive model: an intercept, and each level but the
    /// first.
    additive: Array2<f64>,
    /// Degrees of freedom of each effect, and of the residuals.
    freedom: [f64; EFFECTS + 1],
}

impl<'a> Anova<'a> {
    /// For trials with these levels; `None` if an effect has no degree of freedom.
    pub fn new(first: &'a Levels, second: &'a Levels) -> Option<Self> {
        let trials = first.of.len();
        let mut counts = vec![0.0; first.count * second.count];
        let cells: Vec<usize> =
            (0..trials).map(|trial| first.of[trial] * second.count + second.of[trial]).collect();
        cells.iter().for_each(|&cell| counts[cell] += 1.0);
        let taken = counts.iter().filter(|&&count| count > 0.0).count() as f64;
        let (a, b) = (first.count as f64 - 1.0, second.count as f64 - 1.0);
        let freedom = [a, b, taken - a - b - 1.0, trials as f64 - taken];
        if freedom.iter().any(|&df| df < 1.0) {
            return None;
        }
        let mut anova = Anova {
            variables: [first, second],
            cells: (cells, counts),
            additive: Array2::zeros((0, 0)),
            freedom,
        };
        let size = first.count + second.count - 1;
        let mut normal = Array2::zeros((size, size));
        for trial in 0..trials {
            let columns = anova.columns(trial);
            columns.iter().for_each(|&i| columns.iter().for_each(|&j| normal[[i, j]] += 1.0));
        }
        anova.additive = normal;
        Some(anova)
    }

    /// The columns of the additive model that are 1 in a trial.
    fn columns(&self, trial: usize) -> Vec<usize> {
        let [first, second] = self.variables;
        let (a, b) = (first.of[trial], second.of[trial]);
        let all = [Some(0), (a > 0).then_some(a), (b > 0).then(|| first.count - 1 + b)];
        all.into_iter().flatten().collect()
    }

    /// F and p of each effect on the values of trials; NaN if they do not vary.
    pub fn tests(&self, values: ArrayView1<'_, f64>) -> [(f64, f64); EFFECTS] {
        let undefined = [(f64::NAN, f64::NAN); EFFECTS];
        let count = values.len() as f64;
        let mean = values.sum() / count;
        let centred = &values - mean;
        let total = centred.dot(&centred);
        let size = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        // Sums of squares below this are rounding.
        let least = (1e-7 * size).powi(2) * count;
        if total <= least {
            return undefined;
        }
        // What the group means explain of the sum of squares.
        let between = |of: &dyn Fn(usize) -> usize, groups: usize| {
            let mut sums = vec![(0.0, 0.0); groups];
            for (trial, value) in centred.iter().enumerate() {
                let sum = &mut sums[of(trial)];
                *sum = (sum.0 + value, sum.1 + 1.0);
            }
            sums.iter().filter(|sum| sum.1 > 0.0).map(|sum| sum.0 * sum.0 / sum.1).sum::<f64>()
        };
        let [first, second] = self.variables;
        let of_first = between(&|trial| first.of[trial], first.count);
        let of_second = between(&|trial| second.of[trial], second.count);
        let of_cells = between(&|trial| self.cells.0[trial], self.cells.1.len());
        let mut right = Array2::zeros((self.additive.nrows(), 1));
        for (trial, value) in centred.iter().enumerate() {
            self.columns(trial).into_iter().for_each(|column| right[[column, 0]] += value);
        }
        let Some(effects) = solve(self.additive.view(), right.view()) else { return undefined };
        let additive = (&effects * &right).sum();
        let [df_first, df_second, df_both, df_rest] = self.freedom;
        let rest = (total - of_cells).max(0.0);
        let test = |squares: f64, df: f64| {
            let squares = squares.max(0.0);
            if rest <= least {
                // Without noise, what is not rounding is an effect.
                return if squares > least { (f64::INFINITY, 0.0) } else { (0.0, 1.0) };
            }
            let f = squares / df / (rest / df_rest);
            (f, tail(f, df, df_rest))
        };
        [
            test(additive - of_second, df_first),
            test(additive - of_first, df_second),
            test(of_cells - additive, df_both),
        ]
    }
}

/// P of a one-way analysis of variance; NaN if the values do not vary, or there are too
/// few levels or values.
fn one_way(levels: &Levels, values: ArrayView1<'_, f64>) -> f64 {
    let count = values.len() as f64;
    let centred = &values - values.sum() / count;
    let total = centred.dot(&centred);
    let size = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let least = (1e-7 * size).powi(2) * count;
    let (df, df_rest) = (levels.count as f64 - 1.0, count - levels.count as f64);
    if total <= least || df < 1.0 || df_rest < 1.0 {
        return f64::NAN;
    }
    let mut sums = vec![(0.0, 0.0); levels.count];
    for (&level, value) in levels.of.iter().zip(&centred) {
        sums[level] = (sums[level].0 + value, sums[level].1 + 1.0);
    }
    let between: f64 = sums.iter().map(|sum| sum.0 * sum.0 / sum.1).sum();
    let rest = (total - between).max(0.0);
    if rest <= least {
        return if between > least { 0.0 } else { 1.0 };
    }
    tail(between / df / (rest / df_rest), df, df_rest)
}

/// P(X ≥ f) of Fisher's F.
fn tail(f: f64, df1: f64, df2: f64) -> f64 {
    checked_beta_reg(df2 / 2.0, df1 / 2.0, df2 / (df2 + df1 * f)).unwrap_or(f64::NAN)
}
