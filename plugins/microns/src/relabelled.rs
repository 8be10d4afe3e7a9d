//! `microns.relabelled`: W!, functional weights with neurons in random order.

use pallium_core::{ndarray::Array2, prelude::*};
use rand::seq::SliceRandom;

use crate::functional::{self, Params, functional_weights};

/// W!: the weights of `microns.functional` with one random permutation of rows
/// and columns, different in every run.
///
/// All properties that do not depend on the neurons' labels are kept, such as
/// spectrum and degrees; only the correspondence with positions and wiring is
/// lost. With the same seed it is the W\* of `microns.functional`, relabelled.
/// N×N, row i to column j.
///
/// Source: Shakiba, Rokni, Mohammadi and Dehghani 2026 (arXiv 2606.14975),
/// shuffled weights.
pub struct Relabelled {
    params: Params,
}

impl Component for Relabelled {
    const ID: &'static str = "microns.relabelled";
    const ABOUT: &'static str = "W!: functional weights with neurons in random order";
    const CITE: &'static str = "Shakiba et al. 2026, arXiv 2606.14975";
    type Params = Params;
    const PROFILES: &'static [ProfileValue] = functional::PROFILES;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        params.check()?;
        Ok(Relabelled { params })
    }
}

impl WeightSource for Relabelled {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let weights = functional_weights(&self.params, request)?;
        let mut places: Vec<usize> = (0..request.neurons).collect();
        places.shuffle(&mut random::stream(request.seed, "relabelled weights: permutation"));
        Ok(Array2::from_shape_fn(weights.dim(), |(i, j)| weights[[places[i], places[j]]] as f32))
    }
}
pallium_core::register!(WeightSource, Relabelled);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random_field;
    use pallium_weights::spectral_radius;

    #[test]
    fn only_the_order_of_neurons_changes() {
        let field = random_field(60);
        let n = field.neurons;
        let request =
            WeightRequest { neurons: n, substrate: Some(&field), seed: 9, draw: None, connections: None };
        let plain = functional_weights(&Params::default(), &request).unwrap().mapv(|w| w as f32);
        let mut source = Relabelled::build(Params::default(), &Setting::default()).unwrap();
        let relabelled = source.weights(&request).unwrap();
        assert_ne!(relabelled, plain);
        assert_eq!(relabelled, source.weights(&request).unwrap());
        assert_ne!(relabelled, source.weights(&WeightRequest { seed: 10, ..request }).unwrap());
        // Diagonal values are distinct, so they reveal the permutation.
        let places: Vec<usize> = relabelled
            .diag()
            .iter()
            .map(|value| plain.diag().iter().position(|other| other == value).unwrap())
            .collect();
        for i in 0..n {
            for j in 0..n {
                assert_eq!(relabelled[[i, j]], plain[[places[i], places[j]]]);
            }
        }
        let radius = spectral_radius(&relabelled.mapv(f64::from)).unwrap();
        assert!((radius - 0.95).abs() < 1e-6);
    }
}
