//! `spatial.communicability-emd`: wiring cost, and the distance between the
//! distributions of communicability of weights and measured connectome.

use pallium_core::Units;
use pallium_core::ndarray::{Array2, ArrayView2, Axis, CowArray};
use pallium_core::prelude::*;
use pulp::Arch;

use crate::network::{NetworkCommunicability, measured_communicability};
use crate::ranks::Ranks;
use crate::views::{check_shape, check_shapes, square_distances, sum_of, with_slices};

pallium_core::choice! {
    /// How neurons without outgoing synapses in the measured connectome are
    /// treated.
    pub enum EmptyRows {
        /// Their communicability is 0.
        Zero = "zero",
        /// Their strength is set to 1e-10, as published. Entries in their
        /// columns then reach 1e5 and dominate the penalty's value (not its
        /// gradient).
        Floor = "floor",
    }
}

pallium_core::params! {
    /// Parameters of `spatial.communicability-emd`.
    pub struct Params {
        /// Factor λ of the wiring cost Σ|W|∘D (per unit of length of the
        /// geometry, at least 0).
        strength: f64 = 0.3,
        /// Factor of the earth mover's distance between the two distributions
        /// of communicability (dimensionless, at least 0).
        emd_strength: f64 = 0.1,
        /// How neurons without outgoing synapses in the measured connectome are
        /// treated.
        empty_rows: EmptyRows = EmptyRows::Zero,
    }
}

/// The strength of a neuron without outgoing synapses in the published
/// computation.
const FLOOR: f64 = 1e-10;

/// λ Σ|W|∘D + λ′ mean|sort(C) − sort(C′)| over all N² entries, including the
/// zero diagonals: the wiring cost, and the earth mover's distance between the
/// communicability C of the weights and C′ of the substrate's connectome.
///
/// Only the distribution of C′ matters, not the order of the connectome's
/// neurons. Equal entries of C are ranked in row-major order; where an entry
/// equals its counterpart, the derivative is 0. Empty rows of W are treated as
/// in [`crate::communicability`].
pub struct CommunicabilityEmd {
    neurons: usize,
    strength: f64,
    emd_strength: f64,
    distance: Vec<f32>,
    /// Entries of C′ in ascending order.
    measured: Vec<f32>,
    network: NetworkCommunicability,
    ranks: Ranks,
    arch: Arch,
}

impl Component for CommunicabilityEmd {
    const ID: &'static str = "spatial.communicability-emd";
    const ABOUT: &'static str =
        "wiring cost plus the distance between the weights' communicability and the connectome's";
    const CITE: &'static str = "Shakiba, Rokni, Mohammadi, Dehghani 2026, arXiv 2606.14975";
    type Params = Params;
    const PROFILES: &'static [ProfileValue] = &[
        ProfileValue::new("published", "empty_rows", r#""floor""#),
        ProfileValue::new("corrected", "empty_rows", r#""zero""#),
    ];

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        at_least_zero("strength", params.strength)?;
        at_least_zero("emd_strength", params.emd_strength)?;
        let (neurons, distance) = square_distances(setting)?;
        if u32::try_from(distance.len()).is_err() {
            return Err(Error::unsupported(format!("{neurons} neurons are too many to rank their pairs"))
                .help("use fewer neurons, or another constraint such as spatial.communicability"));
        }
        let substrate = setting.substrate()?;
        let whole = substrate.matrix(Substrate::CONNECTOME)?;
        let connectome = match setting.rows {
            Some(units) => CowArray::from(of_units(whole, units)?),
            None => CowArray::from(whole),
        };
        check_shape("connectome", Some((neurons, neurons)), connectome.dim())?;
        let empty = match params.empty_rows {
            EmptyRows::Zero => 0.0,
            EmptyRows::Floor => FLOOR,
        };
        let mut measured: Vec<f32> = measured_communicability(connectome.view(), empty, setting.threads)
            .into_iter()
            .map(|c| c as f32)
            .collect();
        measured.sort_unstable_by(f32::total_cmp);
        Ok(CommunicabilityEmd {
            neurons,
            strength: params.strength,
            emd_strength: params.emd_strength,
            distance,
            network: NetworkCommunicability::new(neurons, setting.threads),
            ranks: Ranks::new(measured.len()),
            measured,
            arch: Arch::new(),
        })
    }
}

/// The connectome between the neurons of `units`.
fn of_units(whole: ArrayView2<'_, f64>, units: Units<'_>) -> Result<Array2<f64>> {
    let neurons: Option<Vec<usize>> = (0..units.len()).map(|unit| units.neuron(unit)).collect();
    let neurons = neurons.ok_or_else(|| {
        Error::unsupported("some units are not neurons, so the connectome has no data on them")
            .help("select parameters between neurons with `on = […]`, or use a model without free units")
    })?;
    Ok(whole.select(Axis(0), &neurons).select(Axis(1), &neurons))
}

impl Constraint for CommunicabilityEmd {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        check_shapes(Some((self.neurons, self.neurons)), &weights, &gradient)?;
        let CommunicabilityEmd { strength, emd_strength, distance, measured, network, ranks, arch, .. } =
            self;
        let factor = *strength as f32;
        let per_entry = *emd_strength / measured.len() as f64;
        let step = per_entry as f32;
        with_slices(weights, gradient, |w, g| {
            let (c, seed) = network.communicability(w);
            let mut apart = 0.0_f64;
            for ((value, index), &goal) in ranks.sort(c).zip(&*measured) {
                let difference = value - goal;
                apart += f64::from(difference.abs());
                seed[index] = if difference == 0.0 { 0.0 } else { step.copysign(difference) };
            }
            network.add_gradient(w, distance, g, |d, _| factor * d);
            let wire = arch.dispatch(|| sum_of(w, distance, |w, d| w.abs() * d));
            *strength * wire + per_entry * apart
        })
    }
}
pallium_core::register!(Constraint, CommunicabilityEmd);
