//! `spatial.distance`: λ Σ|W|∘D, the wiring cost.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::views::{check_shapes, distances, distances_after, sign, sum_of, with_slices};

pallium_core::params! {
    /// Parameters of `spatial.distance`.
    pub struct Params {
        /// Factor λ of the penalty (per unit of length of the geometry, at
        /// least 0).
        strength: f64 = 0.3,
    }
}

/// λ Σ|W|∘D: a weight costs its size times the distance it spans.
pub struct Distance {
    shape: (usize, usize),
    strength: f64,
    distance: Vec<f32>,
    arch: Arch,
}

impl Component for Distance {
    const ID: &'static str = "spatial.distance";
    const ABOUT: &'static str = "sum of absolute weights times the distance they span";
    const CITE: &'static str = "Achterberg, Akarca, Strouse, Duncan, Astle 2023, Nat. Mach. Intell. 5:1369";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        let (shape, distance) = distances(setting)?;
        Ok(Distance { shape, strength: params.strength, distance, arch: Arch::new() })
    }
}

impl Constraint for Distance {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        check_shapes(Some(self.shape), &weights, &gradient)?;
        let (arch, distance) = (self.arch, &self.distance);
        let strength = self.strength as f32;
        let sum = with_slices(weights, gradient, |w, g| {
            arch.dispatch(|| {
                for ((g, &w), &d) in g.iter_mut().zip(w).zip(distance) {
                    *g += strength * d * sign(w);
                }
                sum_of(w, distance, |w, d| w.abs() * d)
            })
        })?;
        Ok(self.strength * sum)
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        self.distance = distances_after(change)?;
        Ok(())
    }
}
pallium_core::register!(Constraint, Distance);
