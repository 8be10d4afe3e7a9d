//! The optimizer that models are trained with here.

use pallium_core::LearnedMut;

/// Adam (Kingma and Ba 2015) with the gradients clipped to a norm of 1, because
/// gradients of recurrent networks explode now and then.
#[derive(Clone, Default)]
pub(crate) struct Adam {
    updates: i32,
    /// Running means of the gradient and of its square, for each parameter.
    means: Vec<[Vec<f64>; 2]>,
}

const RATE: f64 = 0.01;
const DECAY: [f64; 2] = [0.9, 0.999];

impl Adam {
    /// Changes the values of `parameters`, which must be the same in every call.
    pub fn update(&mut self, parameters: &mut [LearnedMut<'_>]) {
        self.updates += 1;
        self.means.resize(parameters.len(), [Vec::new(), Vec::new()]);
        let square = |g: &f32| f64::from(*g).powi(2);
        let norm = parameters.iter().flat_map(|p| p.gradient.iter()).map(square).sum::<f64>().sqrt();
        let scale = 1.0 / norm.max(1.0);
        let [first, second] = DECAY.map(|decay| 1.0 - decay.powi(self.updates));
        for (parameter, [mean, variance]) in parameters.iter_mut().zip(&mut self.means) {
            mean.resize(parameter.values.len(), 0.0);
            variance.resize(parameter.values.len(), 0.0);
            let values = parameter.values.iter_mut().zip(parameter.gradient.iter());
            for ((value, gradient), (m, v)) in values.zip(mean.iter_mut().zip(variance)) {
                let gradient = f64::from(*gradient) * scale;
                *m += (1.0 - DECAY[0]) * (gradient - *m);
                *v += (1.0 - DECAY[1]) * (gradient * gradient - *v);
                *value -= (RATE * (*m / first) / ((*v / second).sqrt() + 1e-8)) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_those_of_adam() {
        // scikit-learn 1.9.1's AdamOptimizer(learning_rate_init=0.01) on the
        // parameters 0.5 and −0.25, with these gradients.
        let mut adam = Adam::default();
        let mut values = [0.5, -0.25];
        for mut gradient in [[0.2, -0.4], [0.1, 0.3], [-0.5, 0.05]] {
            adam.update(&mut [LearnedMut { index: 0, values: &mut values, gradient: &mut gradient }]);
        }
        for (value, expected) in values.iter().zip([0.483_571_1_f32, -0.239_055_9]) {
            assert!((value - expected).abs() < 1e-7, "{value} {expected}");
        }
    }
}
