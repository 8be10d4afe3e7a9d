//! Early stopping: ends a training when a measure no longer improves.

use pallium_core::{Error, Result, TaskInfo};
use pallium_record::outcome::Epoch;
use pallium_record::spec::{CellSpec, EarlyStopping, Order, Watched};

/// Refuses a rule that watches what the task does not have, so that the training would
/// never stop early, and one that ends a training before its last task.
pub(super) fn check(spec: &CellSpec, info: &TaskInfo) -> Result<()> {
    let sequential = spec.members.as_ref().is_some_and(|members| members.order == Order::Sequential);
    if sequential && spec.training.early_stopping.is_some() {
        return Err(Error::input(format!("early_stopping would end `{}` before its last task", spec.task))
            .help("remove `training.early_stopping`, or choose another order than sequential"));
    }
    let watched = spec.training.early_stopping.as_ref().map(|rule| rule.measure);
    let accuracy = matches!(watched, Some(Watched::ValidationAccuracy | Watched::RunningAccuracy));
    if accuracy && !info.has_accuracy() {
        let task = if spec.members.is_some() { &spec.task } else { &spec.task_component.id };
        return Err(Error::input(format!("early_stopping watches an accuracy, but `{task}` has none"))
            .help("watch validation_loss or running_loss"));
    }
    Ok(())
}

/// Whether the training ends after the epochs of `curves`: the measure has not
/// improved for `patience` epochs of the present stage of a curriculum. It depends on the curves alone, so that a
/// training that continues stops where an uninterrupted one does.
pub(super) fn is_over(rule: &EarlyStopping, curves: &[Epoch]) -> bool {
    let sign = match rule.measure {
        Watched::ValidationLoss | Watched::RunningLoss => -1.0,
        Watched::ValidationAccuracy | Watched::RunningAccuracy => 1.0,
    };
    let (mut best, mut waiting) = (f64::NEG_INFINITY, 0);
    for (at, epoch) in curves.iter().enumerate() {
        if at > 0 && !epoch.same_phase(&curves[at - 1]) {
            (best, waiting) = (f64::NEG_INFINITY, 0);
        }
        let value = match rule.measure {
            Watched::ValidationLoss => epoch.validation_loss,
            Watched::ValidationAccuracy => epoch.validation_accuracy,
            Watched::RunningLoss => Some(epoch.running_loss),
            Watched::RunningAccuracy => epoch.running_accuracy,
        };
        // A training without the measure is never over.
        let Some(value) = value.map(|value| sign * value) else { return false };
        if value > best + rule.least {
            (best, waiting) = (value, 0);
        } else {
            waiting += 1;
        }
    }
    waiting >= rule.patience.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(losses: &[f64]) -> Vec<Epoch> {
        let epoch = |(&loss, epoch)| Epoch {
            epoch,
            running_loss: 0.0,
            running_accuracy: None,
            penalty: 0.0,
            validation_loss: Some(loss),
            validation_accuracy: Some(1.0 - loss),
            ..Epoch::default()
        };
        losses.iter().zip(1..).map(epoch).collect()
    }

    #[test]
    fn a_training_ends_after_as_many_epochs_without_improvement() {
        for measure in [Watched::ValidationLoss, Watched::ValidationAccuracy] {
            let rule = EarlyStopping { measure, patience: 2, least: 0.05 };
            assert!(!is_over(&rule, &curve(&[0.9, 0.8, 0.78])));
            assert!(is_over(&rule, &curve(&[0.9, 0.8, 0.78, 0.76])));
            assert!(!is_over(&rule, &curve(&[0.9, 0.8, 0.78, 0.7])));
        }
        let rule = EarlyStopping { measure: Watched::RunningAccuracy, patience: 1, least: 0.0 };
        assert!(!is_over(&rule, &curve(&[0.5; 9])));
    }

    #[test]
    fn a_new_stage_starts_to_wait_again() {
        let rule = EarlyStopping { measure: Watched::ValidationLoss, patience: 2, least: 0.0 };
        let mut curve = curve(&[0.2, 0.3, 0.4, 0.9, 0.8, 0.8, 0.8]);
        for (epoch, stage) in curve.iter_mut().zip([1, 1, 1, 2, 2, 2, 2]) {
            epoch.stage = Some(stage);
        }
        assert!(is_over(&rule, &curve[..3]));
        assert!(!is_over(&rule, &curve[..6]));
        assert!(is_over(&rule, &curve));
    }
}
