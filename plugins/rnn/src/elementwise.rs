//! Loops over whole slices, compiled for each instruction set and chosen when
//! they run, so that one binary is fast everywhere.
//!
//! All slices of one call have the same length. Nothing is reassociated and
//! nothing contracted to a fused multiply-add, so results do not depend on the
//! instruction set.

use pulp::Arch;

/// max(x, 0), but a NaN stays a NaN: a diverged run must be seen in the loss.
#[inline(always)]
fn rectified(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `next` ← relu(`next`).
pub(crate) fn activate(next: &mut [f32]) {
    Arch::new().dispatch(|| {
        for value in next {
            *value = rectified(*value);
        }
    });
}

/// `next` ← (1 − leak)·`previous` + leak·relu(`next`).
pub(crate) fn activate_leaky(next: &mut [f32], previous: &[f32], leak: f32) {
    let keep = 1.0 - leak;
    Arch::new().dispatch(|| {
        for (value, &before) in next.iter_mut().zip(previous) {
            *value = keep * before + leak * rectified(*value);
        }
    });
}

/// `next` ← leak·relu(`next`): the first step of a leaky unit.
pub(crate) fn activate_leaky_first(next: &mut [f32], leak: f32) {
    Arch::new().dispatch(|| {
        for value in next {
            *value = leak * rectified(*value);
        }
    });
}

/// `delta` ← `delta` ∘ [`hidden` > 0].
pub(crate) fn gate(delta: &mut [f32], hidden: &[f32]) {
    Arch::new().dispatch(|| {
        for (delta, &h) in delta.iter_mut().zip(hidden) {
            *delta = if h > 0.0 { *delta } else { 0.0 };
        }
    });
}

/// The same for a leaky unit. On entry `delta` is the gradient in h_t but for
/// what reaches it directly from h_{t+1}, whose whole gradient is in `carry`.
/// On return `carry` is the whole gradient in h_t and `delta` the gradient in
/// the argument of the relu.
///
/// Whether the relu passed is told from `hidden` > (1 − leak)·`previous`, both
/// sides computed as in [`activate_leaky`]. The comparison errs only where what
/// passed was too small to change h_t in f32.
pub(crate) fn gate_leaky(delta: &mut [f32], carry: &mut [f32], hidden: &[f32], previous: &[f32], leak: f32) {
    let keep = 1.0 - leak;
    Arch::new().dispatch(|| {
        let units = delta.iter_mut().zip(carry.iter_mut()).zip(hidden.iter().zip(previous));
        for ((delta, carry), (&h, &before)) in units {
            let whole = *delta + keep * *carry;
            *carry = whole;
            *delta = if h > keep * before { leak * whole } else { 0.0 };
        }
    });
}

/// `sum` ← `sum` + `term`.
pub(crate) fn add(sum: &mut [f32], term: &[f32]) {
    Arch::new().dispatch(|| {
        for (sum, &term) in sum.iter_mut().zip(term) {
            *sum += term;
        }
    });
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
    Arch::new().dispatch(|| {
        let moments = first.iter_mut().zip(second.iter_mut());
        for ((w, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m += (g - *m) * step.first;
            *v += (g * g - *v) * step.second;
            *w -= step.rate * *m / (v.sqrt() + step.epsilon);
        }
    });
}
