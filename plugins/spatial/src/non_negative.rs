//! `spatial.non-negative`: sets negative weights to 0.

use pallium_core::prelude::*;

use crate::views::{check_shape, check_shapes};

pallium_core::params! {
    /// `spatial.non-negative` has no parameters.
    pub struct Params {}
}

/// W ← max(W, 0) after each update; no penalty. NaN stays NaN.
pub struct NonNegative {
    shape: Option<(usize, usize)>,
}

impl Component for NonNegative {
    const ID: &'static str = "spatial.non-negative";
    const ABOUT: &'static str = "hard: negative weights are set to 0 after each update";
    const CITE: &'static str = "Shakiba, Rokni, Mohammadi, Dehghani 2026, arXiv 2606.14975, Table 3";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(_: Params, setting: &Setting<'_>) -> Result<Self> {
        Ok(NonNegative { shape: setting.shape().ok() })
    }
}

impl Constraint for NonNegative {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        check_shapes(self.shape, &weights, &gradient)?;
        Ok(0.0)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, _: &Point<'_>) -> Result<()> {
        check_shape("weights", self.shape, weights.dim())?;
        // Not f32::max, which would turn a diverged weight into a plausible 0.
        weights.mapv_inplace(|w| if w < 0.0 { 0.0 } else { w });
        Ok(())
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Nothing is kept for single connections.
        Ok(())
    }
}
pallium_core::register!(Constraint, NonNegative);
