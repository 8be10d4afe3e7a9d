//! Loops over slices, compiled for several instruction sets and dispatched at
//! run time, so that one binary is fast everywhere.
//!
//! All slices of one call have the same length. Sums are not reordered and not
//! contracted to fused multiply-adds, so results do not depend on the
//! instruction set.
//!
//! Each loop is a function of slices that is inlined into the dispatch. Inside
//! the closure, slices would be captured by reference and not all loops would
//! vectorise (`gate_leaky` would be 6 times slower).

use pulp::Arch;

/// `x` if `pass`, else 0, computed on the bits: an `if` would become a
/// conditional store, which does not vectorise (8 times slower).
#[inline(always)]
fn passed(x: f32, pass: bool) -> f32 {
    f32::from_bits(x.to_bits() & u32::from(pass).wrapping_neg())
}

/// max(x, 0), but NaN stays NaN so that a diverged run shows in the loss.
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

/// `delta` ← `delta` if `hidden` > 0, else 0. Multiplies by 0 or 1 because a
/// conditional store does not vectorise.
pub(crate) fn gate(delta: &mut [f32], hidden: &[f32]) {
    #[inline(always)]
    fn work(delta: &mut [f32], hidden: &[f32]) {
        for (delta, &h) in delta.iter_mut().zip(hidden) {
            *delta *= f32::from(u8::from(h > 0.0));
        }
    }
    Arch::new().dispatch(|| work(delta, hidden));
}

/// [`gate`] for leaky units. On entry, `carry` is the gradient with respect to
/// h_{t+1}, and `delta` the gradient with respect to h_t without the direct
/// path through h_{t+1}. On return, `carry` is the complete gradient with
/// respect to h_t and `delta` the gradient with respect to the argument of the
/// relu.
///
/// The relu was active if `hidden` > (1 − leak)·`previous`, both sides computed
/// as in [`activate_leaky`]. The comparison is wrong only if the relu's output
/// was too small to change h_t in f32.
pub(crate) fn gate_leaky(delta: &mut [f32], carry: &mut [f32], hidden: &[f32], previous: &[f32], leak: f32) {
    #[inline(always)]
    fn work(delta: &mut [f32], carry: &mut [f32], hidden: &[f32], previous: &[f32], leak: f32) {
        let keep = 1.0 - leak;
        for (((delta, carry), &h), &before) in delta.iter_mut().zip(carry).zip(hidden).zip(previous) {
            let total = *delta + keep * *carry;
            *carry = total;
            *delta = passed(leak * total, h > keep * before);
        }
    }
    Arch::new().dispatch(|| work(delta, carry, hidden, previous, leak));
}

/// Gradients up to this size are set to 0 before they are propagated further
/// back in time. They would change a weight by less than 1e-20, but their
/// products would become subnormal numbers, which are up to a hundred times
/// slower on Intel processors.
pub(crate) const NEGLIGIBLE: f32 = 1e-30;

/// Sets [`NEGLIGIBLE`] values to 0 and returns whether any other value is left;
/// NaN counts as left.
pub(crate) fn drop_negligible(values: &mut [f32]) -> bool {
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

/// eˣ to within 2 units in the last place, with operations that vectorise: e^x
/// = 2ⁿ·eʳ with |r| ≤ ½·ln 2, and a polynomial for eʳ (coefficients of the
/// Cephes library, Moshier 1992). x is clamped to −87…88; NaN stays NaN.
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

/// The hyperbolic tangent with small relative error: a polynomial near 0
/// (Cephes), [`exp`] elsewhere.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negligible_gradients_become_zero() {
        let mut values = vec![0.0, -0.0, 1e-40, -1e-40, 9e-31, -9e-31];
        assert!(!drop_negligible(&mut values));
        assert!(values.iter().all(|value| value.to_bits() == 0));
        for left in [2e-30, -2e-30, 1.0, f32::NEG_INFINITY] {
            let mut values = [vec![1e-35; 40], vec![left]].concat();
            assert!(drop_negligible(&mut values));
            assert_eq!(values, [vec![0.0; 40], vec![left]].concat());
        }
        assert!(drop_negligible(&mut [f32::NAN]), "a diverged run must show");
    }

    #[test]
    fn sigmoid_and_tanh_match_double_precision() {
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
        assert!(sigmoid(f32::NAN).is_nan() && tanh(f32::NAN).is_nan(), "a diverged run must show");
    }
}
