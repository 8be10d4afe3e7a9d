//! Clipping and decay: what happens to gradients before the optimizer's update.

use pallium_core::LearnedMut;
use pallium_record::spec::Training;

/// Clips the gradients of all parameters, by norm and then by value, and adds the
/// weight decay: PyTorch's `clip_grad_norm_`, `clip_grad_value_`, and the
/// `weight_decay` of its optimizers.
pub(super) fn clip_and_decay(training: &Training, learned: &mut [LearnedMut<'_>]) {
    if let Some(most) = training.clip_norm {
        let squares = learned.iter().flat_map(|l| l.gradient.iter()).map(|&g| f64::from(g).powi(2));
        let norm = squares.sum::<f64>().sqrt();
        // PyTorch's small number avoids a division by 0.
        let factor = most / (norm + 1e-6);
        if factor < 1.0 {
            each(learned, |_, g| *g = (f64::from(*g) * factor) as f32);
        }
    }
    if let Some(most) = training.clip_value {
        let most = most as f32;
        // `clamp` keeps NaN.
        each(learned, |_, g| *g = g.clamp(-most, most));
    }
    if training.weight_decay > 0.0 {
        let decay = training.weight_decay as f32;
        each(learned, |w, g| *g += decay * w);
    }
}

fn each(learned: &mut [LearnedMut<'_>], change: impl Fn(f32, &mut f32)) {
    for parameter in learned {
        parameter.values.iter().zip(parameter.gradient.iter_mut()).for_each(|(&w, g)| change(w, g));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradients after clipping and decay; all weights are 2.
    fn clipped(training: &Training, gradients: &[&[f32]]) -> Vec<Vec<f32>> {
        let mut weights: Vec<Vec<f32>> = gradients.iter().map(|g| vec![2.0; g.len()]).collect();
        let mut gradients: Vec<Vec<f32>> = gradients.iter().map(|g| g.to_vec()).collect();
        let lent = weights.iter_mut().zip(&mut gradients).enumerate();
        let mut learned: Vec<_> =
            lent.map(|(index, (values, gradient))| LearnedMut { index, values, gradient }).collect();
        clip_and_decay(training, &mut learned);
        gradients
    }

    #[test]
    fn the_norm_is_that_of_all_parameters_together() {
        let training = Training { clip_norm: Some(1.0), ..Training::new(1, 1, 1, 1, 1) };
        // torch.nn.utils.clip_grad_norm_([3, 4], [12], max_norm=1): norm 13.
        let found = clipped(&training, &[&[3.0, 4.0], &[12.0]]);
        for (found, expected) in found.concat().iter().zip([3.0 / 13.0, 4.0 / 13.0, 12.0 / 13.0]) {
            assert!((found - expected as f32).abs() < 1e-6, "{found} and not {expected}");
        }
        assert_eq!(clipped(&training, &[&[0.3], &[0.4]]), [[0.3], [0.4]]);
    }

    #[test]
    fn values_are_cut_and_decay_follows() {
        let training = Training { clip_value: Some(0.5), weight_decay: 0.1, ..Training::new(1, 1, 1, 1, 1) };
        assert_eq!(clipped(&training, &[&[3.0, -4.0, 0.25]]), [[0.7, -0.3, 0.45]]);
    }
}
