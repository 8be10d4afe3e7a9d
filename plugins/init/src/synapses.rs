//! `init.synapses`: W, proportional to numbers or sizes of synapses.

use pallium_core::prelude::*;

use crate::controls;

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

pallium_core::choice! {
    /// Which pairs are connected.
    pub enum Pairs {
        /// Those with synapses.
        Measured = "measured",
        /// As many, drawn from all pairs of different neurons.
        Random = "random",
        /// Others, such that every neuron keeps its numbers of inputs and
        /// outputs: the targets of two connections are exchanged, 20 times as often as
        /// there are connections.
        DegreePreserving = "degree-preserving",
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
        /// Which pairs are connected: the measured ones, or a control that is
        /// drawn with the run's seed.
        pairs: Pairs = Pairs::Measured,
    }
}

/// Weights proportional to the number (or size) of the synapses from neuron i to
/// neuron j, scaled to `spectral_radius`. Signs of the matrix are kept: of a
/// negative number, `log` is −ln(1 + |s|) and `binary` −1. N×N, or on the pairs with
/// synapses.
///
/// The controls (Erdős and Rényi 1959; Maslov and Sneppen 2002) keep the weights and
/// change the pairs: a connection takes its weight along.
pub struct Synapses {
    params: Params,
}

impl Component for Synapses {
    const ID: &'static str = "init.synapses";
    const ABOUT: &'static str = "W: proportional to numbers or sizes of synapses";
    const CITE: &'static str = "this work";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        params.finish(Self::ID).check()?;
        Ok(Synapses { params })
    }
}

impl Synapses {
    fn transformed(&self, s: f64) -> f64 {
        match self.params.transform {
            Transform::Linear => s,
            Transform::Log => s.abs().ln_1p().copysign(s),
            Transform::Binary if s == 0.0 => 0.0,
            Transform::Binary => s.signum(),
        }
    }

    /// The connected pairs and their weights, before they are finished.
    fn on_pairs(&self, request: &WeightRequest<'_>) -> Result<(Connections, Vec<f64>)> {
        let substrate = request.substrate()?;
        let synapses = substrate.pairs(&self.params.matrix)?;
        let n = request.neurons;
        let mut pairs: Vec<(u32, u32, f64)> = synapses
            .connections()
            .pairs()
            .zip(synapses.values())
            .map(|((i, j), &s)| (i as u32, j as u32, self.transformed(s)))
            .filter(|(_, _, weight)| *weight != 0.0)
            .collect();
        let mut stream = random::stream(request.seed, "pairs with synapses");
        match self.params.pairs {
            Pairs::Measured => {}
            Pairs::Random => controls::draw(&mut pairs, n, &mut stream),
            Pairs::DegreePreserving => controls::exchange(&mut pairs, &mut stream),
        }
        pairs.sort_unstable_by_key(|&(i, j, _)| (i, j));
        let connections = Connections::from_pairs(n, n, pairs.iter().map(|&(i, j, _)| (i, j)).collect())?;
        Ok((connections, pairs.into_iter().map(|(_, _, weight)| weight).collect()))
    }
}

impl WeightSource for Synapses {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        if self.params.pairs != Pairs::Measured {
            let (connections, values) = self.on_pairs(request)?;
            return self.params.finish(Self::ID).apply(connections.view().scatter(&values));
        }
        let synapses = request.substrate()?.matrix(&self.params.matrix)?;
        let weights = synapses.mapv(|s| self.transformed(s));
        self.params.finish(Self::ID).apply(weights)
    }

    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        let (connections, values) = self.on_pairs(request)?;
        let finish = self.params.finish(Self::ID);
        let Some(given) = request.connections else { return finish.apply_on(connections, values) };
        let of = connections.view();
        let at_given = given.pairs().map(|(i, j)| of.find(i, j).map_or(0.0, |place| values[place]));
        let at_given = at_given.collect();
        finish.apply_on(given.to_owned(), at_given)
    }
}
pallium_core::register!(WeightSource, Synapses);

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::Array2;
    use rand::Rng;

    use super::*;

    const N: usize = 30;

    fn substrate() -> Substrate {
        let mut stream = random::stream(1, "synapses");
        let synapses = Array2::from_shape_fn((N, N), |(i, j)| {
            let count = f64::from(stream.random_range(1..6_u32));
            if i != j && stream.random_bool(0.1) { count } else { 0.0 }
        });
        let mut field = Substrate { name: "field".into(), neurons: N, ..Substrate::default() };
        field.matrices.insert(Substrate::CONNECTOME.into(), synapses.into());
        field
    }

    fn sparse(params: Params, field: &Substrate) -> (Matrix, SparseWeights) {
        let request =
            WeightRequest { neurons: N, substrate: Some(field), seed: 5, draw: None, connections: None };
        let mut source = Synapses::build(params, &Setting::default()).unwrap();
        (source.weights(&request).unwrap(), source.sparse(&request).unwrap())
    }

    fn degrees(weights: &SparseWeights) -> [Vec<usize>; 2] {
        let (reversed, _) = weights.connections.view().reversed();
        [weights.connections.view(), reversed.view()]
            .map(|graph| (0..N).map(|unit| graph.row(unit).len()).collect())
    }

    #[test]
    fn connections_have_the_weights_of_the_matrix() {
        let field = substrate();
        for transform in [Transform::Linear, Transform::Log, Transform::Binary] {
            for pairs in [Pairs::Measured, Pairs::Random, Pairs::DegreePreserving] {
                let (matrix, on) = sparse(Params { transform, pairs, ..Params::default() }, &field);
                let all = on.connections.view().scatter(&on.values);
                assert!((all - matrix).iter().all(|off| off.abs() < 1e-6));
            }
        }
    }

    #[test]
    fn controls_keep_weights_and_degrees_and_connect_no_neuron_to_itself() {
        let field = substrate();
        let plain = |pairs| sparse(Params { pairs, spectral_radius: 0.0, ..Params::default() }, &field).1;
        let measured = plain(Pairs::Measured);
        for pairs in [Pairs::Random, Pairs::DegreePreserving] {
            let control = plain(pairs);
            assert_ne!(control.connections, measured.connections);
            assert!(control.connections.view().pairs().all(|(i, j)| i != j));
            let sorted = |weights: &SparseWeights| {
                let mut values = weights.values.clone();
                values.sort_by(f32::total_cmp);
                values
            };
            assert_eq!(sorted(&control), sorted(&measured));
        }
        assert_eq!(degrees(&plain(Pairs::DegreePreserving)), degrees(&measured));
    }
}
