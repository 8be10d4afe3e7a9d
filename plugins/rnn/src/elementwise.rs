//! Loops over whole slices, compiled for each instruction set and chosen when
//! they run, so that one binary is fast everywhere.
//!
//! All slices of one call have the same length. Nothing is reassociated and
//! nothing contracted to a fused multiply-add, so results do not depend on the
//! instruction set.
//!
//! Each loop is a function of slices that is inlined into the dispatch: written
//! inside the closure, the slices would be captured by reference and the
//! compiler would not vectorise all of them (measured on `gate_leaky`: 6 times
//! slower).

use pulp::Arch;

/// `x` where `pass`, else 0. Done on the bits: a plain `if` around a value in
/// place becomes a conditional store, which is not vectorised (measured: 8
/// times slower).
#[inline(always)]
fn passed(x: f32, pass: bool) -> f32 {
    f32::from_bits(x.to_bits() & u32::from(pass).wrapping_neg())
}

/// max(x, 0), but a NaN stays a NaN: a diverged run must be seen in the loss.
#[inline(always)]
fn rectified(x: f32) -> f32 {
    passed(x, x.is_nan() || x >= 0.0)
}

/// `next` ← (1 − leak)·`previous` + leak·relu(`next`).
pub(crate) fn activate_leaky(next: &mut [f32], previous: &[f32], leak: f32) {
    #[inline(always)]
    fn work(next: &mut [f32], previous: &[f32], leak: f32) {
        let keep = 1.0 - leak;
        for (value, &before) in next.iter_mut().zip(previous) {
            *value = keep * before + leak * rectified(*value);
        }
    }
    Arch::new().dispatch(|| work(next, previous, leak));
}

/// `next` ← leak·relu(`next`): the first step of a leaky unit.
pub(crate) fn activate_leaky_first(next: &mut [f32], leak: f32) {
    #[inline(always)]
    fn work(next: &mut [f32], leak: f32) {
        for value in next {
            *value = leak * rectified(*value);
        }
    }
    Arch::new().dispatch(|| work(next, leak));
}

/// `delta` ← `delta` where `hidden` > 0, else 0. As a product with 0 or 1, for
/// the reason given at [`passed`].
pub(crate) fn gate(delta: &mut [f32], hidden: &[f32]) {
    #[inline(always)]
    fn work(delta: &mut [f32], hidden: &[f32]) {
        for (delta, &h) in delta.iter_mut().zip(hidden) {
            *delta *= f32::from(u8::from(h > 0.0));
        }
    }
    Arch::new().dispatch(|| work(delta, hidden));
}

/// The same for a leaky unit. On entry `delta` is the gradient in h_t but for
/// what reaches it directly from h_{t+1}, whose whole gradient is in `carry`.
/// On return `carry` is the whole gradient in h_t and `delta` the gradient in
/// the argument of the relu.
///
/// Whether the relu passed follows from `hidden` > (1 − leak)·`previous`, both
/// sides computed as in [`activate_leaky`]. The comparison errs only where what
/// passed was too small to change h_t in f32.
pub(crate) fn gate_leaky(delta: &mut [f32], carry: &mut [f32], hidden: &[f32], previous: &[f32], leak: f32) {
    #[inline(always)]
    fn work(delta: &mut [f32], carry: &mut [f32], hidden: &[f32], previous: &[f32], leak: f32) {
        let keep = 1.0 - leak;
        for (((delta, carry), &h), &before) in delta.iter_mut().zip(carry).zip(hidden).zip(previous) {
            let whole = *delta + keep * *carry;
            *carry = whole;
            *delta = passed(leak * whole, h > keep * before);
        }
    }
    Arch::new().dispatch(|| work(delta, carry, hidden, previous, leak));
}

/// What a gradient in a unit's argument must exceed to be carried further back
/// in time. A part of a weight's gradient that comes of smaller ones moves that
/// weight by less than 1e-20, which no weight notices, while its products with
/// weights and states would sink below the normal numbers, which Intel's
/// processors compute up to a hundred times as slowly.
pub(crate) const NEGLIGIBLE: f32 = 1e-30;

/// Zeroes what is [`NEGLIGIBLE`]; whether anything is left. A NaN is.
pub(crate) fn settle(values: &mut [f32]) -> bool {
    #[inline(always)]
    fn work(values: &mut [f32]) -> u32 {
        let mut any = 0;
        for value in values {
            let left = passed(*value, value.is_nan() || value.abs() > NEGLIGIBLE);
            *value = left;
            any |= left.to_bits();
        }
        any
    }
    Arch::new().dispatch(|| work(values)) != 0
}

/// `sum` ← `sum` + `term`.
pub(crate) fn add(sum: &mut [f32], term: &[f32]) {
    #[inline(always)]
    fn work(sum: &mut [f32], term: &[f32]) {
        for (sum, &term) in sum.iter_mut().zip(term) {
            *sum += term;
        }
    }
    Arch::new().dispatch(|| work(sum, term));
}

/// eˣ to within 2 units in the last place, in operations that vectorise: e^x =
/// 2ⁿ·eʳ with |r| ≤ ½·ln 2, and a polynomial for eʳ (coefficients of the Cephes
/// library, Moshier 1992). Below −87 and above 88 it stays at its bounds; a NaN
/// stays a NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding this leaves n, rounded, in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, so that n·ln 2 loses nothing.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_65;
    let p = p * r + 0.5;
    let power = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    power * f32::from_bits(exponent << 23)
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, accurate relative to itself: near 0 a polynomial
/// (Cephes), elsewhere by [`exp`].
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let z = x * x;
    let p = -5.704_988_7e-3;
    let p = p * z + 2.063_909e-2;
    let p = p * z - 5.373_971_5e-2;
    let p = p * z + 0.133_314_42;
    let p = p * z - 0.333_332_8;
    let near = p * z * x + x;
    let far = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    if z < 0.390_625 { near } else { far }
}

/// `next` ← (1 − leak)·`previous` + leak·tanh(`next`).
pub(crate) fn tanh_leaky(next: &mut [f32], previous: &[f32], leak: f32) {
    #[inline(always)]
    fn work(next: &mut [f32], previous: &[f32], leak: f32) {
        let keep = 1.0 - leak;
        for (value, &before) in next.iter_mut().zip(previous) {
            *value = keep * before + leak * tanh(*value);
        }
    }
    Arch::new().dispatch(|| work(next, previous, leak));
}

/// What one step of Adam needs.
#[derive(Clone, Copy)]
pub(crate) struct AdamStep {
    /// lr·√(1 − β2^t)/(1 − β1^t).
    pub rate: f32,
    /// 1 − β1.
    pub first: f32,
    /// 1 − β2.
    pub second: f32,
    /// ε, added to √v.
    pub epsilon: f32,
}

/// Adam in one pass over parameters, gradient and both moments.
pub(crate) fn adam(
    step: AdamStep,
    parameters: &mut [f32],
    gradient: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    #[inline(always)]
    fn work(step: AdamStep, parameters: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        for (((w, &g), m), v) in parameters.iter_mut().zip(gradient).zip(first).zip(second) {
            *m += (g - *m) * step.first;
            *v += (g * g - *v) * step.second;
            *w -= step.rate * *m / (v.sqrt() + step.epsilon);
        }
    }
    Arch::new().dispatch(|| work(step, parameters, gradient, first, second));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negligible_gradients_become_zero() {
        let mut values = vec![0.0, -0.0, 1e-40, -1e-40, 9e-31, -9e-31];
        assert!(!settle(&mut values));
        assert!(values.iter().all(|value| value.to_bits() == 0));
        for left in [2e-30, -2e-30, 1.0, f32::NEG_INFINITY] {
            let mut values = [vec![1e-35; 40], vec![left]].concat();
            assert!(settle(&mut values));
            assert_eq!(values, [vec![0.0; 40], vec![left]].concat());
        }
        assert!(settle(&mut [f32::NAN]), "a diverged run must be seen");
    }

    #[test]
    fn exponentials_are_those_of_double_precision() {
        let (mut worst_sigmoid, mut worst_tanh) = (0.0_f64, 0.0_f64);
        for k in -400_000..=400_000 {
            let x = k as f32 * 5e-5;
            let wide = f64::from(x);
            let expected = 1.0 / (1.0 + (-wide).exp());
            worst_sigmoid = worst_sigmoid.max((f64::from(sigmoid(x)) / expected - 1.0).abs());
            if x != 0.0 {
                worst_tanh = worst_tanh.max((f64::from(tanh(x)) / wide.tanh() - 1.0).abs());
            }
        }
        assert!(worst_sigmoid < 3e-7 && worst_tanh < 3e-7, "{worst_sigmoid:.1e} {worst_tanh:.1e}");
        for (x, s, t) in [(0.0, 0.5, 0.0), (200.0, 1.0, 1.0), (f32::INFINITY, 1.0, 1.0)] {
            assert_eq!((sigmoid(x), tanh(x), tanh(-x)), (s, t, -t));
        }
        assert!(sigmoid(-200.0) < 1e-37 && sigmoid(f32::NEG_INFINITY) < 1e-37);
        assert!(sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan(), "a diverged run must be seen");
    }
}
