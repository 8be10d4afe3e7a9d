//! Checks of how a task judges answers.

use ndarray::{Array2, Axis, s};

use super::{built, count};
use crate::common::orderly;
use crate::toy::uniform;
use crate::{Note, Subject, passed, skipped};
use pallium_core::{BatchView, Error, Loss, Result, Scored, TargetsView, TaskInfo};

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
    let share = first.iter().filter(|correct| **correct).count() as f64 / rows.max(1) as f64;
    passed(format!("{rows} answers; {:.0} % of random ones are correct", 100.0 * share))
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
