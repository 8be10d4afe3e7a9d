//! `init.synapses`: W, proportional to numbers or sizes of synapses.

use pallium_core::prelude::*;

pallium_core::choice! {
    /// How a weight follows from a number or size of synapses s.
    pub enum Transform {
        /// s.
        Linear = "linear",
        /// ln(1 + s), for sizes that range over several orders of magnitude.
        Log = "log",
        /// 1 if there is a synapse.
        Binary = "binary",
    }
}

pallium_weights::weight_params! {
    /// Which synapses, and size and sign of the weights.
    pub struct Params (spectral_radius = 0.95) {
        /// The substrate's matrix: `connectome` holds numbers of synapses; your
        /// own field may have others, such as their sizes.
        matrix: String = Substrate::CONNECTOME.to_owned(),
        /// How a weight follows from the number or size of the synapses.
        transform: Transform = Transform::Linear,
    }
}

/// Weights proportional to the number (or size) of the synapses from neuron i to
/// neuron j, scaled to `spectral_radius`. Signs of the matrix are kept: of a
/// negative number, `log` is −ln(1 + |s|) and `binary` −1. N×N.
pub struct Synapses {
    params: Params,
}

impl Component for Synapses {
    const ID: &'static str = "init.synapses";
    const ABOUT: &'static str = "W: proportional to numbers or sizes of synapses";
    const CITE: &'static str = "this work";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        params.finish(Self::ID).check()?;
        Ok(Synapses { params })
    }
}

impl WeightSource for Synapses {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let substrate = request.substrate.ok_or_else(|| {
            Error::input("weights from synapses need a substrate, but there is none")
                .help("add [substrate] to the experiment file")
        })?;
        if substrate.neurons != request.neurons {
            let (name, has, n) = (&substrate.name, substrate.neurons, request.neurons);
            return Err(Error::input(format!("substrate `{name}` has {has} neurons, but {n} are requested"))
                .help("remove the number of neurons; it follows from the substrate"));
        }
        let synapses = substrate.matrix(&self.params.matrix)?;
        let weights = synapses.mapv(|s| match self.params.transform {
            Transform::Linear => s,
            Transform::Log => s.abs().ln_1p().copysign(s),
            Transform::Binary if s == 0.0 => 0.0,
            Transform::Binary => s.signum(),
        });
        self.params.finish(Self::ID).apply(weights)
    }
}
pallium_core::register!(WeightSource, Synapses);
