//! `spatial.l1`: λ Σ|W|.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::views::{check_shapes, sign, sum_of, with_slices};

pallium_core::choice! {
    /// What the strength does.
    pub enum StrengthRule {
        /// The penalty is strength · Σ|W|.
        Applied = "applied",
        /// The penalty is Σ|W| regardless of the strength, as in the published
        /// baseline.
        Ignored = "ignored",
    }
}

pallium_core::params! {
    /// Parameters of `spatial.l1`.
    pub struct Params {
        /// Factor λ of the penalty (dimensionless, at least 0).
        strength: f64 = 0.3,
        /// Whether the strength is applied, or ignored (λ = 1) as in the
        /// published baseline.
        strength_rule: StrengthRule = StrengthRule::Applied,
    }
}

/// λ Σ|W|: all weights cost the same, regardless of distance.
pub struct L1 {
    shape: Option<(usize, usize)>,
    strength: f64,
    arch: Arch,
}

impl Component for L1 {
    const ID: &'static str = "spatial.l1";
    const ABOUT: &'static str = "sum of absolute weights, regardless of distance";
    const CITE: &'static str = "Tibshirani 1996, J. R. Stat. Soc. B 58:267";
    type Params = Params;
    const CONNECTIONS: bool = true;
    const PROFILES: &'static [ProfileValue] = &[
        ProfileValue::new("published", "strength_rule", r#""ignored""#),
        ProfileValue::new("corrected", "strength_rule", r#""applied""#),
    ];

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        if params.strength_rule == StrengthRule::Ignored
            && ![Params::default().strength, 1.0].contains(&params.strength)
        {
            pallium_core::tracing::warn!(
                "`spatial.l1`: strength = {} is ignored and λ = 1 used, as in the published baseline; set \
                 strength_rule = \"applied\" to use it",
                params.strength
            );
        }
        let strength = match params.strength_rule {
            StrengthRule::Applied => params.strength,
            StrengthRule::Ignored => 1.0,
        };
        Ok(L1 { shape: setting.shape().ok(), strength, arch: Arch::new() })
    }
}

impl Constraint for L1 {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        check_shapes(self.shape, &weights, &gradient)?;
        let strength = self.strength as f32;
        let arch = self.arch;
        let sum = with_slices(weights, gradient, |w, g| {
            arch.dispatch(|| {
                for (g, &w) in g.iter_mut().zip(w) {
                    *g += strength * sign(w);
                }
                sum_of(w, w, |w, _| w.abs())
            })
        })?;
        Ok(self.strength * sum)
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Nothing is kept for single connections.
        Ok(())
    }
}
pallium_core::register!(Constraint, L1);
