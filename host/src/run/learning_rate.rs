//! The factor on the learning rate over a training; the rate itself is a parameter of the
//! optimizer (`plugins/optimizer`).

use pallium_record::outcome::Epoch;
use pallium_record::spec::{Schedule, ScheduleKind, Training};

/// The factor for an update: `epoch` is the number of epochs before this one,
/// `update` that of updates before this one, `steps` that of updates in an epoch.
/// `curves` are the epochs before this one.
pub(super) fn factor(training: &Training, epoch: u32, update: u64, steps: u64, curves: &[Epoch]) -> f64 {
    let Schedule { kind, warm_up } = &training.schedule;
    let rising = u64::from(*warm_up) * steps;
    let warm = if update < rising { (update + 1) as f64 / rising as f64 } else { 1.0 };
    // What follows the warm-up begins after it.
    let behind = epoch.saturating_sub(*warm_up);
    let course = match *kind {
        ScheduleKind::Constant => 1.0,
        ScheduleKind::Step { every, factor } => factor.powf(f64::from(behind / every.max(1))),
        ScheduleKind::Cosine { to } => {
            let length = training.epochs.saturating_sub(*warm_up).max(1);
            let angle = std::f64::consts::PI * f64::from(behind) / f64::from(length);
            to + (1.0 - to) * (1.0 + angle.cos()) / 2.0
        }
        ScheduleKind::Plateau { factor, patience } => factor.powi(falls(curves, patience)),
    };
    warm * course
}

/// How often the validation loss (or, without validation trials, the running loss)
/// did not fall by more than a ten-thousandth of itself for more than `patience`
/// epochs: PyTorch's `ReduceLROnPlateau` with its defaults. Where another task or
/// another stage of a curriculum begins, the lowest loss is forgotten.
fn falls(curves: &[Epoch], patience: u32) -> i32 {
    let (mut best, mut waiting, mut count) = (f64::INFINITY, 0, 0);
    for (at, epoch) in curves.iter().enumerate() {
        if at > 0 && !epoch.same_phase(&curves[at - 1]) {
            (best, waiting) = (f64::INFINITY, 0);
        }
        let loss = epoch.validation_loss.unwrap_or(epoch.running_loss);
        if loss < best * (1.0 - 1e-4) {
            best = loss;
            waiting = 0;
        } else {
            waiting += 1;
        }
        if waiting > patience {
            count += 1;
            waiting = 0;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(kind: ScheduleKind, warm_up: u32) -> Training {
        Training { schedule: Schedule { kind, warm_up }, ..Training::new(8, 1, 1, 1, 1) }
    }

    fn factors(training: &Training) -> Vec<f64> {
        (0..8).map(|epoch| factor(training, epoch, u64::from(epoch) * 4, 4, &[])).collect()
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn steps_and_cosine_follow_pytorch() {
        // torch.optim.lr_scheduler.StepLR(step_size=3, gamma=0.5)
        let step = training(ScheduleKind::Step { every: 3, factor: 0.5 }, 0);
        near(&factors(&step), &[1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]);
        // torch.optim.lr_scheduler.CosineAnnealingLR(T_max=8, eta_min=0.1), lr 1
        let cosine = training(ScheduleKind::Cosine { to: 0.1 }, 0);
        let torch = [1.0, 0.965745789630079, 0.868198051533946, 0.722207544564219, 0.55];
        near(&factors(&cosine), &torch);
    }

    #[test]
    fn a_warm_up_rises_with_every_update() {
        let warm = training(ScheduleKind::Constant, 2);
        let found: Vec<_> =
            (0..10).map(|update| factor(&warm, update / 4, u64::from(update), 4, &[])).collect();
        near(&found, &[0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_plateau_is_a_loss_that_does_not_fall() {
        let plateau = training(ScheduleKind::Plateau { factor: 0.1, patience: 1 }, 0);
        let losses = [1.0, 0.5, 0.5, 0.5, 0.49, 0.6, 0.6, 0.6, 0.6];
        let curves: Vec<Epoch> = losses
            .iter()
            .zip(1..)
            .map(|(&loss, epoch)| Epoch {
                epoch,
                running_loss: 0.0,
                running_accuracy: None,
                penalty: 0.0,
                validation_loss: Some(loss),
                validation_accuracy: None,
                ..Epoch::default()
            })
            .collect();
        // torch.optim.lr_scheduler.ReduceLROnPlateau(factor=0.1, patience=1) after each loss.
        let torch = [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001];
        let found: Vec<_> =
            (0..=9).map(|epoch| factor(&plateau, epoch as u32, 0, 1, &curves[..epoch])).collect();
        near(&found, &torch);
    }
}
