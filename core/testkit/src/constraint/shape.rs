//! Checks of constraints on connections between two populations.

use super::{ENTRY, GRADIENT, Moment, value as value_of, value_at};
use crate::common::orderly;
use crate::gradient::{entries_within, penalty, slope_within};
use crate::{Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Matrix, Result, Setting, Units};

pub(super) fn shape(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let n = world::NEURONS as i64;
    // From the first ten neurons to the other ones, in reverse.
    let (rows, columns): (Vec<i64>, Vec<i64>) = ((0..10).collect(), (10..n).rev().collect());
    let distance = world.distance_between(&rows, &columns);
    let setting = Setting {
        rows: Some(Units { neurons: &rows }),
        columns: Some(Units { neurons: &columns }),
        distance: Some(distance.view()),
        ..world.setting()
    };
    let shape = (rows.len(), columns.len());
    let text = format!("{}×{} connections", shape.0, shape.1);
    let mut constraint = match subject.constraint(&setting) {
        Ok(constraint) => constraint,
        Err(error) => {
            let message = error.message.clone();
            orderly(&format!("a setting of {text}"), Err(error))?;
            return skipped(format!("it refuses {text}: {message}"));
        }
    };
    let all = world.weights(1);
    let weights = Matrix::from_shape_fn(shape, |(i, j)| all[[rows[i] as usize, columns[j] as usize]]);
    let moment = Moment::with_initial(&*constraint, weights.mapv(|w| 0.9 * w), 3, 1.0);
    let point = moment.point();
    let value = value_at(&mut *constraint, &weights, &point).map_err(|e| {
        // What also fails for square matrices does not fail because of the shape.
        let of_square = subject.constraint(&world.setting());
        if of_square.and_then(|mut other| value_of(&mut *other, &all)).is_err() {
            return e;
        }
        let remedy = "`setting.shape()` is the shape of the parameter; return an error from `build` if it must be square";
        let help = e.help.clone().unwrap_or_else(|| remedy.into());
        e.context(format!("it was built for {text}, but fails on them")).help(help)
    })?;
    if !value.0.is_finite() {
        return broken(format!("the penalty of {text} is {}", value.0));
    }
    let place = |i, j| format!("row {i}, column {j} of {text}");
    let mut function = penalty(&mut *constraint, &point);
    slope_within(&mut function, &weights, 1, GRADIENT, "the gradient", place)?;
    entries_within(&mut function, &weights, ENTRY, "the gradient", place)?;
    drop(function);
    let mut projected = weights.clone();
    constraint
        .project(projected.view_mut(), &point)
        .map_err(|e| e.context(format!("it was built for {text}, but cannot project them")))?;
    if projected.iter().any(|w| !w.is_finite()) {
        return broken(format!("projecting {text} gives weights that are not finite"));
    }
    passed(text)
}
