//! What constraints promise.

use std::time::Instant;

use ndarray::Array3;

use super::common::orderly;
use super::gradient::{gradient_error, slope_error};
use super::{Check, Note, Subject, World, broken, passed, skipped, world};
use crate::{Constraint, Error, Matrix, Result, Setting};

/// Largest relative error of a gradient: far above what rounding in single
/// precision does to a right one, far below what a wrong factor does.
const GRADIENT: f64 = 5e-3;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "finite",
        about: "the penalty and its gradient are finite, for weights of zero too",
        run: finite,
    },
    Check {
        name: "deterministic",
        about: "the same weights give the same bits, again and in another instance",
        run: deterministic,
    },
    Check {
        name: "gradient",
        about: "the gradient is the slope of the penalty, and is added",
        run: gradient,
    },
    Check { name: "project", about: "the hard part changes nothing the second time", run: project },
    Check { name: "activity", about: "the same of a penalty on activity", run: activity },
    Check {
        name: "survives",
        about: "wrong shapes, weights that are not finite and one neuron end in an error at worst",
        run: survives,
    },
    Check { name: "time", about: "how long a call takes", run: time },
];

fn value(constraint: &mut dyn Constraint, weights: &Matrix) -> Result<(f64, Matrix)> {
    let mut gradient = Matrix::zeros(weights.dim());
    let value = constraint.penalty(weights.view(), gradient.view_mut())?;
    Ok((value, gradient))
}

fn finite(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut constraint = subject.constraint(&world.setting())?;
    let mut at = |what: &str, weights: &Matrix| {
        let (value, gradient) = value(&mut *constraint, weights)?;
        if !value.is_finite() {
            return broken(format!("the penalty is {value} at {what}"));
        }
        match gradient.indexed_iter().find(|(_, g)| !g.is_finite()) {
            Some(((i, j), g)) => broken(format!("the gradient is {g} at row {i}, column {j} at {what}")),
            None => Ok(value),
        }
    };
    let typical = at("typical weights", &world.weights(1))?;
    at("weights of zero", &Matrix::zeros((world::NEURONS, world::NEURONS)))?;
    at("tiny weights", &world.weights(1).mapv(|w| w * 1e-20))?;
    passed(format!("{typical:.4e} at typical weights"))
}

fn bits(matrix: &Matrix) -> Vec<u32> {
    matrix.iter().map(|v| v.to_bits()).collect()
}

fn deterministic(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let weights = world.weights(1);
    let mut one = subject.constraint(&world.setting())?;
    let mut two = subject.constraint(&world.setting())?;
    let first = value(&mut *one, &weights)?;
    // A constraint that remembers its last call would show it now.
    value(&mut *one, &world.weights(2))?;
    for (what, second) in
        [("a second call", value(&mut *one, &weights)?), ("another instance", value(&mut *two, &weights)?)]
    {
        if first.0.to_bits() != second.0.to_bits() || bits(&first.1) != bits(&second.1) {
            return Err(Error::plugin(format!(
                "{what} gives {} after {}, or another gradient",
                second.0, first.0
            ))
            .help("draw only from pallium_core::random::stream(setting.seed, …), and sum in a fixed order"));
        }
    }
    passed("")
}

fn gradient(subject: &Subject<'_>) -> Result<Note> {
    let mut worst = 0.0_f64;
    for seed in 1..=3 {
        let world = World::new(world::NEURONS, seed);
        let mut constraint = subject.constraint(&world.setting())?;
        let mut weights = world.weights(seed);
        if seed == 3 {
            // Hard rules may keep weights at or above zero, and a penalty may
            // be meant for those alone.
            weights.mapv_inplace(f32::abs);
        }
        worst = worst.max(gradient_error(&mut *constraint, &weights, seed)?);
    }
    if worst > GRADIENT {
        return Err(Error::plugin(format!(
            "the gradient is off by {worst:.1e} of the slope found by finite differences (at most {GRADIENT:.0e})"
        ))
        .help("it must be the derivative of the very penalty that is returned, its factor and sign included"));
    }
    passed(format!("off by {worst:.1e} at most"))
}

fn project(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut constraint = subject.constraint(&world.setting())?;
    let before = world.weights(1);
    let mut once = before.clone();
    constraint.project(once.view_mut())?;
    if once.iter().any(|w| !w.is_finite()) {
        return broken("finite weights are not finite after it");
    }
    let mut twice = once.clone();
    constraint.project(twice.view_mut())?;
    if bits(&once) != bits(&twice) {
        let most = once.iter().zip(&twice).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A rescaling may move the last bit once more.
        let size = once.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        if most > 4.0 * f32::EPSILON * size {
            return broken(format!("the second time it changes weights by up to {most:.1e}"));
        }
    }
    let changed = before.iter().zip(&once).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    if changed == 0 {
        skipped("it has no hard part, or nothing to do here")
    } else {
        passed(format!("it changed {changed} of {} weights", once.len()))
    }
}

fn activity(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let mut constraint = subject.constraint(&world.setting())?;
    if !constraint.wants_activity() {
        return skipped("it looks at no activity");
    }
    let cube = world.activity(7, 5);
    let (steps, trials, n) = cube.dim();
    let flat = Matrix::from_shape_vec((steps * trials, n), cube.iter().copied().collect())
        .map_err(|e| Error::bug(e.to_string()))?;
    let mut function = |at: &Matrix, gradient: &mut Matrix| {
        let shape = (steps, trials, n);
        let view = at.view().into_shape_with_order(shape).map_err(|e| Error::bug(e.to_string()))?;
        let into = gradient.view_mut().into_shape_with_order(shape).map_err(|e| Error::bug(e.to_string()))?;
        constraint.activity_penalty(view, into)
    };
    let error = slope_error(&mut function, &flat, 1)?;
    if error > GRADIENT {
        return broken(format!(
            "the activity gradient is off by {error:.1e} of the slope (at most {GRADIENT:.0e})"
        ));
    }
    let silent = constraint.activity_penalty(
        Array3::zeros((steps, trials, n)).view(),
        Array3::zeros((steps, trials, n)).view_mut(),
    )?;
    if !silent.is_finite() {
        return broken(format!("the penalty is {silent} where no neuron is active"));
    }
    passed(format!("off by {error:.1e} at most"))
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let setting = world.setting();
    let n = world::NEURONS;
    let call = |doing: &str, setting: &Setting<'_>, weights: Matrix| {
        // Built anew each time, since one that panicked answers nothing more.
        let mut constraint = match subject.constraint(setting) {
            Ok(constraint) => constraint,
            Err(error) => return orderly(doing, Err(error)),
        };
        orderly(doing, value(&mut *constraint, &weights).map(drop))?;
        let mut weights = weights;
        orderly(doing, constraint.project(weights.view_mut()))?;
        let mut nothing = Array3::zeros((0, 0, weights.ncols()));
        orderly(
            doing,
            constraint
                .activity_penalty(Array3::zeros((0, 0, weights.ncols())).view(), nothing.view_mut())
                .map(drop),
        )
    };
    let mut nan = world.weights(1);
    nan[[1, 2]] = f32::NAN;
    nan[[3, 2]] = f32::INFINITY;
    call("weights of one neuron more", &setting, Matrix::zeros((n + 1, n + 1)))?;
    call("weights of no neuron", &setting, Matrix::zeros((0, 0)))?;
    call("weights that are not square", &setting, Matrix::zeros((n, n - 1)))?;
    call("weights that are not finite", &setting, nan)?;
    call("very large weights", &setting, world.weights(1).mapv(|w| w * 1e30))?;
    let single = World::new(1, 1);
    call("a single neuron", &single.setting(), single.weights(1))?;
    call("a single neuron at zero", &single.setting(), Matrix::zeros((1, 1)))?;
    passed("7 cases")
}

fn time(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(100, 1);
    let weights = world.weights(1);
    let mut constraint = subject.constraint(&world.setting())?;
    let each = repeat(|| value(&mut *constraint, &weights).map(drop))?;
    passed(format!("{} a penalty at N = 100", duration(each)))
}

/// Seconds a call, over about a fifth of a second.
pub(super) fn repeat(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let start = Instant::now();
    let mut calls = 0_u32;
    while calls == 0 || (start.elapsed().as_secs_f64() < 0.2 && calls < 10_000) {
        call()?;
        calls += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(calls))
}

/// A duration, for people.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
