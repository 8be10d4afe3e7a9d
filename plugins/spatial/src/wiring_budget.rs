//! `spatial.wiring-budget`: limits the total length of wire.

use pallium_core::prelude::*;
use pulp::Arch;

use crate::views::{check_shape, check_shapes, distances, distances_after, sign, sum_of, with_slices};

pallium_core::choice! {
    /// How the budget is enforced.
    pub enum Rule {
        /// Weights are reduced after each update until the budget is met.
        Limit = "limit",
        /// λ·(excess / budget)² is added to the loss.
        Penalty = "penalty",
    }
}

pallium_core::params! {
    /// Parameters of `spatial.wiring-budget`.
    pub struct Params {
        /// Maximum wire per presynaptic neuron, Σ|W|∘D / N (in the geometry's unit of
        /// length; above 0). In a geometry of mean distance 1, a budget of 1 lets a
        /// neuron's outgoing |weights| add up to about 1.
        budget: f64 = 1.0,
        /// How the budget is enforced.
        rule: Rule = Rule::Limit,
        /// Factor λ of the penalty (at least 0).
        strength: f64 = 0.3,
    }
}

/// A budget B on the total wire L = Σ|W|∘D.
///
/// As a limit: after each update, W is projected onto the matrices that meet the
/// budget, a weighted ℓ1 ball: |wᵢⱼ| is reduced by τ·dᵢⱼ, but not below 0, with
/// the τ ≥ 0 for which L = B (Duchi et al. 2008). Long connections are reduced
/// most, and the weakest of them become 0.
///
/// As a penalty: λ·max(0, L/B − 1)².
pub struct WiringBudget {
    shape: (usize, usize),
    budget: f64,
    rule: Rule,
    strength: f64,
    distance: Vec<f32>,
    arch: Arch,
}

/// Relative excess that is accepted: the rounding error of a projection.
const NEAR: f64 = 1e-6;
/// Maximum number of steps to find τ. Each step but the last removes at least
/// one weight; in practice ten suffice.
const STEPS: usize = 100;

impl Component for WiringBudget {
    const ID: &'static str = "spatial.wiring-budget";
    const ABOUT: &'static str = "hard or soft: a budget limits the total length of wire";
    const CITE: &'static str = "Chklovskii, Schikorski, Stevens 2002, Neuron 34:341; projection: Duchi, \
                                Shalev-Shwartz, Singer, Chandra 2008, ICML 272";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("budget", params.budget, 0.0, 1e12)?;
        if params.budget < 1e-12 {
            return Err(Error::input(format!("parameter `budget` is {}", params.budget))
                .help("it must be above 0; otherwise all weights would be 0"));
        }
        at_least_zero("strength", params.strength)?;
        let (shape, distance) = distances(setting)?;
        let neurons = match setting.connections {
            Some(_) => setting.neurons()?,
            None => shape.0,
        };
        let budget = params.budget * neurons as f64;
        let Params { rule, strength, .. } = params;
        Ok(WiringBudget { shape, budget, rule, strength, distance, arch: Arch::new() })
    }
}

impl Constraint for WiringBudget {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        check_shapes(Some(self.shape), &weights, &gradient)?;
        if self.rule == Rule::Limit {
            return Ok(0.0);
        }
        let (arch, distance, budget, strength) = (self.arch, &self.distance, self.budget, self.strength);
        with_slices(weights, gradient, |w, g| {
            arch.dispatch(|| {
                let excess = wire(w, distance) / budget - 1.0;
                // "at most 0", not "not above 0": NaN must propagate.
                if excess <= 0.0 {
                    return 0.0;
                }
                let factor = (2.0 * strength * excess / budget) as f32;
                for ((g, &w), &d) in g.iter_mut().zip(w).zip(distance) {
                    *g += factor * d * sign(w);
                }
                strength * excess * excess
            })
        })
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, _: &Point<'_>) -> Result<()> {
        check_shape("weights", Some(self.shape), weights.dim())?;
        if self.rule == Rule::Penalty {
            return Ok(());
        }
        let (arch, distance, budget) = (self.arch, &self.distance, self.budget);
        let shorten = |w: &mut [f32]| {
            arch.dispatch(|| {
                let total = wire(w, distance);
                if total > budget * (1.0 + NEAR) && total.is_finite() {
                    let threshold = threshold(w, distance, budget);
                    shrink(w, distance, threshold as f32);
                }
            });
        };
        match weights.as_slice_mut() {
            Some(w) => shorten(w),
            None => {
                let mut entries: Vec<f32> = weights.iter().copied().collect();
                shorten(&mut entries);
                weights.iter_mut().zip(entries).for_each(|(to, from)| *to = from);
            }
        }
        Ok(())
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        self.distance = distances_after(change)?;
        Ok(())
    }
}
pallium_core::register!(Constraint, WiringBudget);

/// Σ|w|·d.
#[inline(always)]
fn wire(w: &[f32], d: &[f32]) -> f64 {
    sum_of(w, d, |w, d| w.abs() * d)
}

/// The τ with Σ max(|w| − τd, 0)·d = budget if Σ|w|·d exceeds the budget, by
/// Newton's method from the left. The sum is convex in τ, so a step never
/// overshoots, and the result is exact once no further weight becomes 0.
#[inline(always)]
fn threshold(w: &[f32], d: &[f32], budget: f64) -> f64 {
    let mut threshold = 0.0_f64;
    for _ in 0..STEPS {
        let (mut length, mut square) = (0.0, 0.0);
        for (&w, &d) in w.iter().zip(d) {
            let (size, d) = (f64::from(w.abs()), f64::from(d));
            if size > threshold * d {
                length += size * d;
                square += d * d;
            }
        }
        let next = (length - budget) / square;
        if next.is_nan() || next <= threshold {
            break;
        }
        threshold = next;
    }
    threshold
}

/// |w| ← max(|w| − τ·d, 0).
#[inline(always)]
fn shrink(w: &mut [f32], d: &[f32], threshold: f32) {
    for (w, &d) in w.iter_mut().zip(d) {
        let left = w.abs() - threshold * d;
        *w = if left > 0.0 { left.copysign(*w) } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use pallium_testkit::World;

    use super::*;

    fn build(world: &World, budget: f64, rule: Rule) -> WiringBudget {
        WiringBudget::build(Params { budget, rule, strength: 0.7 }, &world.setting()).unwrap()
    }

    fn length(world: &World, w: &Matrix) -> f64 {
        let d = world.setting().distance.unwrap();
        w.iter().zip(d).map(|(&w, &d)| f64::from(w.abs()) * f64::from(d)).sum()
    }

    /// The projection is where the conditions of Karush, Kuhn and Tucker hold:
    /// the budget is met, what is left has moved by one τ·d, and what has
    /// vanished was no longer than that.
    #[test]
    fn a_limit_leaves_the_nearest_weights_within_the_budget() {
        for seed in 1..5 {
            let world = World::new(40, seed);
            let before = world.weights(seed);
            let total = length(&world, &before) / 40.0;
            for share in [0.9, 0.5, 0.1, 1e-3] {
                let mut w = before.clone();
                let mut constraint = build(&world, share * total, Rule::Limit);
                constraint.project(w.view_mut(), &Point::new("recurrent")).unwrap();
                assert!((length(&world, &w) / (share * total * 40.0) - 1.0).abs() < 1e-5);
                let d = world.setting().distance.unwrap();
                let mut moved = Vec::new();
                for ((place, &after), &was) in w.indexed_iter().zip(&before) {
                    assert!(after == 0.0 || after.signum() == was.signum());
                    if place.0 == place.1 {
                        assert_eq!(after, was, "a connection without length costs nothing");
                    } else if after != 0.0 {
                        moved.push((was.abs() - after.abs()) / d[place]);
                    }
                }
                let (low, high) = moved.iter().fold((f32::MAX, 0.0_f32), |(l, h), &m| (l.min(m), h.max(m)));
                assert!(high - low < 1e-5 * high.max(1e-3), "{low} {high}");
                for ((place, &after), &was) in w.indexed_iter().zip(&before) {
                    assert!(after != 0.0 || was.abs() <= high * d[place] * (1.0 + 1e-4));
                }
                let once = w.clone();
                constraint.project(w.view_mut(), &Point::new("recurrent")).unwrap();
                assert_eq!(w, once);
            }
            let mut w = before.clone();
            build(&world, 1.01 * total, Rule::Limit).project(w.view_mut(), &Point::new("recurrent")).unwrap();
            assert_eq!(w, before, "within the budget nothing happens");
        }
    }

    #[test]
    fn the_penalty_depends_only_on_the_excess() {
        let world = World::new(20, 1);
        let w = world.weights(1);
        let total = length(&world, &w) / 20.0;
        for (share, expected) in [(2.0, 0.0), (0.5, 0.7), (0.25, 0.7 * 9.0)] {
            let mut gradient = Matrix::zeros((20, 20));
            let mut constraint = build(&world, share * total, Rule::Penalty);
            let value = constraint.penalty(w.view(), gradient.view_mut(), &Point::new("recurrent")).unwrap();
            assert!((value - expected).abs() < 1e-5 * expected.max(1e-9), "{value} {expected}");
            assert_eq!(gradient.iter().any(|&g| g != 0.0), expected > 0.0);
            let error = pallium_testkit::gradient_error(&mut constraint, &w, 1).unwrap();
            assert!(error < 1e-3, "{error}");
            let mut after = w.clone();
            constraint.project(after.view_mut(), &Point::new("recurrent")).unwrap();
            assert_eq!(after, w);
        }
        for budget in [0.0, -1.0, f64::NAN] {
            assert!(WiringBudget::build(Params { budget, ..Params::default() }, &world.setting()).is_err());
        }
    }
}
