//! Compares gradients with finite differences.

use ndarray::Array2;
use rand::Rng;
use rand::seq::IndexedRandom;

use pallium_core::{Constraint, Error, Matrix, Point, Result, random};

/// The widest step, relative to a weight's own magnitude; each further step is half
/// of the previous one.
const WIDEST: f32 = 0.125;
/// Number of step widths.
const WIDTHS: usize = 8;
/// Steps that are narrow enough to avoid most kinks. The narrowest is as narrow as
/// the rounding of the weights allows; where slopes are small, the rounding of the
/// function's value requires wider ones.
const NARROW: [f32; 2] = [1.0 / 1024.0, 1.0 / 8192.0];

/// How a gradient is compared with finite differences.
#[derive(Clone, Copy)]
pub(crate) struct Precision {
    /// Largest relative error.
    pub limit: f64,
    /// The slope to which errors are relative if all slopes are smaller.
    pub least: f64,
    /// Whether the function may have kinks, as of rectified units. Then slopes over
    /// very narrow steps count too, also those to one side alone.
    pub kinks: bool,
    /// Number of random directions in which all weights move, and of single
    /// weights that are moved alone.
    pub trials: [usize; 2],
}

impl Precision {
    /// For a function without kinks where weights move.
    pub const fn new(limit: f64) -> Self {
        Precision { limit, least: 0.0, kinks: false, trials: [6, 6] }
    }
}

/// The largest relative error of the gradient of a constraint's penalty over
/// several random directions and several single weights, compared with finite
/// differences. For a correct gradient in f32 and a few dozen neurons, expect
/// 1e-5 to 1e-3; for a gradient with a wrong factor f, expect |f − 1|.
///
/// Every weight moves in proportion to its own magnitude and at most by an
/// eighth of it, so none changes sign and the kink of |w| at 0 is never
/// crossed; weights that are 0 stay 0. Weights are first rounded to ten bits,
/// so that each displaced weight is exact in f32. Slopes are central
/// differences extrapolated to width 0 (Richardson); the one with the smallest
/// estimated error counts (Ridders 1982), because wide steps suffer from
/// curvature and narrow ones from rounding. Errors are relative to the slope in
/// the same direction, or to the root mean square of slopes over random
/// directions if that is larger, so that flat directions do not matter. Single
/// weights are drawn among those with a slope above the root mean square.
///
/// # Errors
/// Those of the constraint; if a value or a gradient is not finite; or if the
/// penalty does not *add* its gradient to the matrix it is given.
pub fn gradient_error(constraint: &mut dyn Constraint, weights: &Matrix, seed: u64) -> Result<f64> {
    slope_error(&mut penalty(constraint, &Point::new("recurrent")), weights, seed, Precision::new(0.0))
}

/// The penalty of `constraint` at a point of the training.
pub(crate) fn penalty<'a>(
    constraint: &'a mut dyn Constraint,
    at: &'a Point<'_>,
) -> impl FnMut(&Matrix, Option<&mut Matrix>) -> Result<f64> {
    |weights, gradient| {
        let mut ignored = Matrix::zeros(gradient.as_ref().map_or(weights.dim(), |_| (0, 0)));
        constraint.penalty(weights.view(), gradient.unwrap_or(&mut ignored).view_mut(), at)
    }
}

/// A function of a matrix that returns its value and adds its gradient, if that is
/// wanted.
pub(crate) type Function<'a> = dyn FnMut(&Matrix, Option<&mut Matrix>) -> Result<f64> + 'a;

/// [`gradient_error`] of any function of a matrix.
pub(crate) fn slope_error(
    function: &mut Function<'_>,
    weights: &Matrix,
    seed: u64,
    precision: Precision,
) -> Result<f64> {
    let weights = rounded(weights);
    let magnitude = magnitude(&weights);

    let mut gradient = Matrix::zeros(weights.dim());
    let value = function(&weights, Some(&mut gradient))?;
    if !value.is_finite() {
        return Err(Error::plugin(format!("the value is {value}")));
    }
    if let Some(((i, j), g)) = gradient.indexed_iter().find(|(_, g)| !g.is_finite()) {
        return Err(Error::plugin(format!("the gradient is {g} at row {i}, column {j}")));
    }
    let same = |one: &Matrix, two: &Matrix, factor: f32| {
        one.iter().zip(two).all(|(one, two)| (two - factor * one).abs() <= 1e-5 * one.abs())
    };
    let mut again = Matrix::zeros(weights.dim());
    function(&weights, Some(&mut again))?;
    if !same(&gradient, &again, 1.0) {
        return Err(Error::plugin("two calls with the same weights give different gradients")
            .help("the penalty must depend on the weights alone, not on earlier calls"));
    }
    let mut twice = gradient.clone();
    function(&weights, Some(&mut twice))?;
    if !same(&gradient, &twice, 2.0) {
        return Err(Error::plugin(
            "it does not add its gradient to the values that the matrix already holds",
        )
        .help("all penalties share one matrix: add to every entry (`*g += …`) instead of assigning"));
    }

    let slopes = (&gradient * &magnitude).mapv(f64::from);
    let norm = norm(&slopes);
    let rms = norm / (slopes.len() as f64).sqrt();
    let steep: Vec<(usize, usize)> =
        slopes.indexed_iter().filter(|(_, s)| s.abs() >= rms).map(|(place, _)| place).collect();
    let mut stream = random::stream(seed, "testkit gradient");
    let mut worst = 0.0_f64;
    let [directions, singles] = precision.trials;
    for trial in 0..directions + singles {
        let mut direction = Matrix::zeros(weights.dim());
        let mut unit = norm;
        if trial < directions {
            direction.zip_mut_with(&magnitude, |d, &m| *d = if stream.random() { m } else { -m });
        } else if let Some(&place) = steep.choose(&mut stream) {
            direction[place] = magnitude[place];
            unit = slopes[place].abs();
        }
        let expected: f64 = gradient.iter().zip(&direction).map(|(&g, &d)| f64::from(g) * f64::from(d)).sum();
        let unit = unit.max(expected.abs()).max(precision.least);
        let stated = Stated { slope: expected, near: precision.limit * unit };
        let error = (slope(function, &weights, &direction, stated, precision)? - expected).abs();
        // A penalty that is constant everywhere has no slope to compare with.
        worst = worst.max(if error == 0.0 { 0.0 } else { error / unit });
    }
    Ok(worst)
}

fn norm(slopes: &Array2<f64>) -> f64 {
    slopes.iter().map(|s| s * s).sum::<f64>().sqrt()
}

/// The norm of a function's slopes at `weights`, by its own gradient.
pub(crate) fn slope_norm(gradient: &Matrix, weights: &Matrix) -> f64 {
    norm(&(gradient * &magnitude(weights)).mapv(f64::from))
}

/// [`slope_error`], or an error if it exceeds the limit. The error names the
/// entry with the largest deviation, formatted by `place`.
pub(crate) fn slope_within(
    function: &mut Function<'_>,
    weights: &Matrix,
    seed: u64,
    precision: Precision,
    what: &str,
    place: impl Fn(usize, usize) -> String,
) -> Result<f64> {
    let limit = precision.limit;
    let error = slope_error(function, weights, seed, precision)?;
    if error <= limit {
        return Ok(error);
    }
    let at = match largest_deviation(function, weights, precision)? {
        Some(Entry { place: (i, j), stated, found, .. }) => format!(
            "; largest deviation at {}, where it is {stated:.5e} and finite differences give {found:.5e}",
            place(i, j)
        ),
        None => String::new(),
    };
    Err(Error::plugin(format!(
        "{what} is off by {error:.1e} of the slope found by finite differences (at most {limit:.1e}){at}"
    ))
    .help("it must be the derivative of the returned value, including factor and sign"))
}

/// Compares every steep entry of a gradient by itself, because a single wrong
/// entry has little effect in directions in which all weights move. The
/// relative error of each must be within the limit.
pub(crate) fn entries_within(
    function: &mut Function<'_>,
    weights: &Matrix,
    precision: Precision,
    what: &str,
    place: impl Fn(usize, usize) -> String,
) -> Result<()> {
    let Some(Entry { place: (i, j), stated, found, slope, rms }) =
        largest_deviation(function, weights, precision)?
    else {
        return Ok(());
    };
    let [stated_slope, found_slope] = slope;
    let steep = rms.max(stated_slope.abs()).max(found_slope.abs());
    if (found_slope - stated_slope).abs() <= precision.limit * steep {
        return Ok(());
    }
    Err(Error::plugin(format!(
        "{what} is {stated:.5e} at {}, where finite differences give {found:.5e}",
        place(i, j)
    ))
    .help("it must be the derivative of the returned value, at every entry"))
}

/// Weights rounded to ten bits, so that each displaced weight is exact in f32.
fn rounded(weights: &Matrix) -> Matrix {
    weights.mapv(|w| f32::from_bits(w.to_bits() & 0xFFFF_E000))
}

/// The power of two at or below |w|.
fn magnitude(weights: &Matrix) -> Matrix {
    weights.mapv(|w| f32::from_bits(w.to_bits() & 0x7F80_0000))
}

/// An entry of a gradient.
struct Entry {
    place: (usize, usize),
    /// The function's value, and that of finite differences.
    stated: f64,
    found: f64,
    /// Both as slopes for a step of the weight's own magnitude.
    slope: [f64; 2],
    /// Root mean square of the function's slopes over all entries.
    rms: f64,
}

/// The entry with the largest deviation from finite differences.
fn largest_deviation(
    function: &mut Function<'_>,
    weights: &Matrix,
    precision: Precision,
) -> Result<Option<Entry>> {
    let weights = rounded(weights);
    let magnitude = magnitude(&weights);
    let mut gradient = Matrix::zeros(weights.dim());
    function(&weights, Some(&mut gradient))?;
    let slopes = (&gradient * &magnitude).mapv(f64::from);
    let rms = (slopes.iter().map(|s| s * s).sum::<f64>() / slopes.len().max(1) as f64).sqrt();
    let mut most = (0.0, None);
    for (place, &width) in magnitude.indexed_iter() {
        if width == 0.0 {
            continue;
        }
        let mut direction = Matrix::zeros(weights.dim());
        direction[place] = width;
        let stated = slopes[place];
        let near = precision.limit * rms.max(stated.abs());
        let found = slope(function, &weights, &direction, Stated { slope: stated, near }, precision)?;
        let off = (found - stated).abs();
        if off > most.0 {
            let width = f64::from(width);
            let entry =
                Entry { place, stated: stated / width, found: found / width, slope: [stated, found], rms };
            most = (off, Some(entry));
        }
    }
    Ok(most.1)
}

/// The slope that a gradient states.
#[derive(Clone, Copy)]
struct Stated {
    slope: f64,
    /// Deviations up to this are rounding.
    near: f64,
}

/// Slope of the function at `weights` for a step of `direction`, by Ridders' method
/// (1982). If the function may have kinks and the result is not near what is
/// stated, the nearest of it and of the slopes over narrow steps: most of these
/// cross no kink.
fn slope(
    function: &mut Function<'_>,
    weights: &Matrix,
    direction: &Matrix,
    stated: Stated,
    precision: Precision,
) -> Result<f64> {
    let mut value = |width: f32| function(&(weights + &(direction * width)), None);
    let mut best = (f64::INFINITY, f64::NAN);
    let mut width = WIDEST;
    let mut above: Vec<f64> = Vec::new();
    for _ in 0..WIDTHS {
        let mut row = vec![(value(width)? - value(-width)?) / (2.0 * f64::from(width))];
        let mut factor = 1.0;
        for (order, &wider) in above.iter().enumerate() {
            factor *= 4.0;
            let narrower = row[order];
            let extrapolated = narrower + (narrower - wider) / (factor - 1.0);
            let error = (extrapolated - narrower).abs().max((extrapolated - wider).abs());
            if error < best.0 {
                best = (error, extrapolated);
            }
            row.push(extrapolated);
        }
        // Good enough to tell a wrong gradient.
        if best.0 < 0.01 * stated.near && precision.kinks {
            break;
        }
        above = row;
        width /= 2.0;
    }
    let mut nearest = best.1;
    if precision.kinks && (nearest - stated.slope).abs() > 0.5 * stated.near {
        let middle = value(0.0)?;
        for width in NARROW {
            let (up, down, width) = (value(width)?, value(-width)?, f64::from(width));
            for found in [(up - down) / (2.0 * width), (up - middle) / width, (middle - down) / width] {
                if (found - stated.slope).abs() < (nearest - stated.slope).abs() {
                    nearest = found;
                }
            }
        }
    }
    Ok(nearest)
}

#[cfg(test)]
mod tests;
