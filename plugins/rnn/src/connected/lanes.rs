//! Values of several trials side by side, and the vectors they are computed in.

use pulp::Simd;

/// Number of trials that are computed side by side. 16 trials of 15,000 units are
/// 1 MB, so that the states of one step stay in a core's second cache while its
/// connections are read one after another. With 32 the first cost less, but the
/// states no longer fit.
pub(super) const WIDTH: usize = 16;

/// One value of each of [`WIDTH`] trials. Aligned, since loads across the borders of
/// cache lines take twice as long.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub [f32; WIDTH]);

impl Lanes {
    pub const ZERO: Lanes = Lanes([0.0; WIDTH]);

    /// Whether every value is 0; NaN is not. Without a branch for each value.
    #[inline(always)]
    pub fn is_zero(&self) -> bool {
        let mut any = 0;
        for value in self.0 {
            // Shifted to ignore the sign: -0 is 0 as well.
            any |= value.to_bits() << 1;
        }
        any == 0
    }
}

/// The values as V vectors of the instructions S; V times the length of a vector is
/// [`WIDTH`].
#[inline(always)]
pub(super) fn load<S: Simd, const V: usize>(simd: S, lanes: &Lanes) -> [S::f32s; V] {
    let (vectors, _) = S::as_simd_f32s(&lanes.0);
    let mut loaded = [simd.splat_f32s(0.0); V];
    for (to, from) in loaded.iter_mut().zip(vectors) {
        *to = *from;
    }
    loaded
}

#[inline(always)]
pub(super) fn store<S: Simd, const V: usize>(_: S, to: &mut Lanes, values: [S::f32s; V]) {
    let (vectors, _) = S::as_mut_simd_f32s(&mut to.0);
    for (to, from) in vectors.iter_mut().zip(values) {
        *to = from;
    }
}

/// `sums` + `factor`·`values`.
#[inline(always)]
pub(super) fn add_times<S: Simd, const V: usize>(
    simd: S,
    sums: [S::f32s; V],
    factor: f32,
    values: [S::f32s; V],
) -> [S::f32s; V] {
    let factor = simd.splat_f32s(factor);
    let mut result = sums;
    for (sum, value) in result.iter_mut().zip(values) {
        *sum = simd.mul_add_e_f32s(factor, value, *sum);
    }
    result
}

/// Σ `a`·`b` over all trials.
#[inline(always)]
pub(super) fn dot<S: Simd, const V: usize>(simd: S, a: [S::f32s; V], b: [S::f32s; V]) -> f32 {
    let mut sum = simd.mul_f32s(a[0], b[0]);
    for v in 1..V {
        sum = simd.mul_add_e_f32s(a[v], b[v], sum);
    }
    simd.reduce_sum_f32s(sum)
}

/// Applies a function of one value to each.
#[inline(always)]
pub(super) fn each<S: Simd, const V: usize>(
    simd: S,
    values: [S::f32s; V],
    of: impl Fn(f32) -> f32,
) -> [S::f32s; V] {
    let mut lanes = Lanes::ZERO;
    store(simd, &mut lanes, values);
    for value in &mut lanes.0 {
        *value = of(*value);
    }
    load(simd, &lanes)
}

/// Chooses the number of vectors by the length of the instructions' vectors.
macro_rules! by_length {
    ($simd:ident, $work:ident, $of:expr) => {
        match S::F32_LANES {
            16 => $work::<S, 1>($simd, $of),
            8 => $work::<S, 2>($simd, $of),
            4 => $work::<S, 4>($simd, $of),
            2 => $work::<S, 8>($simd, $of),
            _ => $work::<S, 16>($simd, $of),
        }
    };
}
pub(super) use by_length;
