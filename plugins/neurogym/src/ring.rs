//! Rings of channels with preferred angles, and the patterns that stimuli evoke
//! in them.

use std::f64::consts::{PI, TAU};

use pallium_core::prelude::*;

/// Maximum number of channels of a ring.
const MOST: u32 = 1_000;

/// `channels` preferred angles, equally spaced from 0 on, in radians.
#[derive(Clone, Debug)]
pub struct Ring(Vec<f64>);

impl Ring {
    /// A ring of `channels` channels.
    ///
    /// # Errors
    /// If `channels` is not between 2 and 1000.
    pub fn new(channels: u32) -> Result<Self> {
        one_of_range("dim_ring", channels.into(), 2.0, MOST.into())?;
        let step = TAU / f64::from(channels);
        Ok(Ring((0..channels).map(|k| f64::from(k) * step).collect()))
    }

    /// Number of channels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Preferred angle of channel `k`, in radians.
    pub fn angle(&self, k: usize) -> f64 {
        self.0[k]
    }

    /// The angle opposite to that of channel `k`, in radians.
    pub fn opposite(&self, k: usize) -> f64 {
        (self.0[k] + PI).rem_euclid(TAU)
    }

    /// amplitude · cos(θ_k − angle) + baseline.
    pub fn cosine(&self, angle: f64, amplitude: f64, baseline: f64) -> Vec<f64> {
        self.0.iter().map(|theta| (theta - angle).cos() * amplitude + baseline).collect()
    }

    /// 0.8 · strength · exp(−½ (d/(π/8))²), where d is the distance of θ_k from
    /// `angle` along the circle.
    pub fn bump(&self, angle: f64, strength: f64) -> Vec<f64> {
        let height = |theta: &f64| {
            let apart = (angle - theta).abs();
            let distance = apart.min(TAU - apart) / (PI / 8.0);
            0.8 * (-(distance * distance) / 2.0).exp() * strength
        };
        self.0.iter().map(height).collect()
    }

    /// The preferred angle of channel `k` in degrees, as text.
    pub fn degrees(&self, k: usize) -> String {
        let degrees = 360.0 * k as f64 / self.len() as f64;
        format!("{}°", (degrees * 100.0).round() / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_peak_where_the_stimulus_is() {
        let ring = Ring::new(16).unwrap();
        for at in 0..16 {
            let bump = ring.bump(ring.angle(at), 1.0);
            let cosine = ring.cosine(ring.angle(at), 0.5, 0.5);
            assert_eq!((bump[at], cosine[at]), (0.8, 1.0));
            let next = 0.8 * (-0.5_f64).exp();
            assert!((bump[(at + 1) % 16] - next).abs() < 1e-12, "one channel is π/8 away");
            assert!((bump[(at + 15) % 16] - next).abs() < 1e-12);
            assert!((ring.opposite(at) - ring.angle((at + 8) % 16)).abs() < 1e-12);
        }
        assert_eq!(ring.degrees(1), "22.5°");
        assert!(Ring::new(1).is_err() && Ring::new(1_001).is_err());
    }
}
