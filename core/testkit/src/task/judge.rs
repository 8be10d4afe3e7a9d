//! Checks of how a task judges answers, and of the chance level of such a task.

use ndarray::{Array2, Axis, s};

use super::{built, count};
use crate::common::orderly;
use crate::toy::uniform;
use crate::{Note, Subject, passed, skipped};
use pallium_core::{Batch, BatchView, Error, Loss, Result, Scored, TargetsView, Task, TaskInfo};

/// What a perfect network answers: the targets.
fn perfect(batch: &BatchView<'_>, info: &TaskInfo) -> Array2<f32> {
    let scored: Vec<Scored> = batch.scored().collect();
    let mut outputs = Array2::zeros((scored.len(), info.outputs));
    for (mut row, at) in outputs.axis_iter_mut(Axis(0)).zip(&scored) {
        match batch.targets {
            TargetsView::Classes(classes) => row[classes[[at.trial, at.step]] as usize] = 10.0,
            TargetsView::Values(values) => row.assign(&values.slice(s![at.trial, at.step, ..])),
            _ => {}
        }
        if info.loss == Loss::Poisson {
            // Outputs are logarithms of rates; a count of 0 has none.
            row.mapv_inplace(|count| count.max(1e-6).ln());
        }
    }
    outputs
}

pub(super) fn judge(subject: &Subject<'_>) -> Result<Note> {
    let mut task = built(subject)?;
    let info = task.info();
    let batch = task.trials(count(&info, 300), 5)?;
    batch.check(&info)?;
    let scored = batch.slice_scored(0..batch.trials());
    let rows = scored.scored().count();
    if !info.judges {
        return skipped("answers are not judged by the task");
    }
    let right = perfect(&scored, &info);
    let judged = task.judge(&scored, right.view())?;
    if let Some((at, _)) = scored.scored().zip(&judged).find(|(_, correct)| !**correct) {
        return Err(Error::plugin(format!(
            "outputs equal to the targets are judged wrong at step {} of trial {}",
            at.step, at.trial
        ))
        .help("rows of the outputs are ordered as `BatchView::scored`"));
    }
    let values = uniform(6, "testkit answers", rows * info.outputs);
    let drawn =
        Array2::from_shape_vec((rows, info.outputs), values).map_err(|e| Error::bug(e.to_string()))?;
    let first = task.judge(&scored, drawn.view())?;
    task.judge(&scored, right.view())?;
    for (what, again) in [
        ("a second call", task.judge(&scored, drawn.view())?),
        ("another instance", built(subject)?.judge(&scored, drawn.view())?),
    ] {
        if again != first {
            return Err(Error::plugin(format!("{what} judges the same answers otherwise"))
                .help("judge by the batch and the outputs alone, without random numbers"));
        }
    }
    odd(subject, &scored, &drawn)?;
    let blind = blind(&mut *task, &batch, &scored, right, drawn)?;
    if blind > 1.0 - 1e-9 {
        return Err(Error::plugin("answers that have nothing to do with the trials are all judged correct")
            .help("`judge` must compare each row of the outputs with its target"));
    }
    let slack = 4.0 * (0.25 / batch.trials().max(1) as f64).sqrt();
    match info.levels.map(|levels| levels.chance) {
        Some(chance) if chance < blind - slack => {
            return Err(Error::plugin(format!(
                "it states the chance level {chance}, but an answer that ignores the inputs is correct in {blind:.3} ± {slack:.3}"
            ))
            .help("if the task judges, chance is what the best answer without inputs reaches"));
        }
        Some(chance) if chance > blind + slack + 0.1 => {
            return Err(Error::plugin(format!(
                "it states the chance level {chance}, but answers that ignore the inputs are correct in at most {blind:.3} ± {slack:.3}"
            ))
            .help("if the task judges, chance is what the best answer without inputs reaches"));
        }
        _ => {}
    }
    passed(format!("{rows} answers; answers that ignore the inputs are correct in {:.0} %", 100.0 * blind))
}

/// The largest share of answers judged correct, weighed as in the accuracy, among answers
/// that ignore the inputs: random ones, and each trial's answer to all trials.
fn blind(
    task: &mut dyn Task,
    batch: &Batch,
    scored: &BatchView<'_>,
    right: Array2<f32>,
    drawn: Array2<f32>,
) -> Result<f64> {
    let at: Vec<Scored> = scored.scored().collect();
    let weights = batch.accuracy_mask();
    let mut best = 0.0_f64;
    let mut share = |answers: &Array2<f32>| -> Result<()> {
        let judged = task.judge(scored, answers.view())?;
        let weighed = || at.iter().map(|at| f64::from(weights[[at.trial, at.step]]));
        let correct: f64 = weighed().zip(&judged).filter(|(_, correct)| **correct).map(|(w, _)| w).sum();
        best = best.max(correct / weighed().sum::<f64>().max(f64::MIN_POSITIVE));
        Ok(())
    };
    share(&drawn)?;
    share(&Array2::zeros(drawn.dim()))?;
    let mean = right.mean_axis(Axis(0)).unwrap_or_default();
    share(&Array2::from_shape_fn(drawn.dim(), |(_, output)| mean[output]))?;
    for trial in 0..batch.trials().min(60) {
        // Rows are ordered by step. Where this trial is not scored, it keeps its answer.
        let own: Vec<(usize, usize)> = at
            .iter()
            .enumerate()
            .filter(|(_, at)| at.trial == trial)
            .map(|(row, at)| (at.step, row))
            .collect();
        let row = |step: usize| {
            let after = own.partition_point(|(own, _)| *own <= step);
            own.get(after.saturating_sub(1)).map(|(_, row)| *row)
        };
        let mut answers = Array2::zeros(drawn.dim());
        for (mut answer, at) in answers.axis_iter_mut(Axis(0)).zip(&at) {
            if let Some(row) = row(at.step) {
                answer.assign(&right.row(row));
            }
        }
        share(&answers)?;
    }
    Ok(best)
}

/// Answers that must cause at most an error.
fn odd(subject: &Subject<'_>, scored: &BatchView<'_>, drawn: &Array2<f32>) -> Result<()> {
    let call = |doing: &str, batch: &BatchView<'_>, outputs: Array2<f32>| {
        orderly(doing, built(subject)?.judge(batch, outputs.view()).map(drop))
    };
    call("answers that are not finite", scored, drawn.mapv(|_| f32::NAN))?;
    let trials = scored.dim().0;
    let none = BatchView::new(
        scored.inputs.slice_move(s![trials.., .., ..]),
        scored.targets.slice(trials..trials),
        scored.mask.slice_move(s![trials.., ..]),
        &[],
        &[],
    );
    call("no answers", &none, Array2::zeros((0, drawn.ncols())))?;
    call("fewer answers than scored steps", scored, drawn.slice(s![..drawn.nrows() / 2, ..]).to_owned())
}
