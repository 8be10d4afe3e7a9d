//! Checks of constraints.

mod activity;
mod memory;
mod shape;

use ndarray::Array3;

use crate::clock::{duration, repeat};
use crate::common::orderly;
use crate::gradient::{Precision, entries_within, penalty, slope_within};
use crate::{Check, Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Activity, Constraint, Error, Matrix, Point, Result, Setting};

/// Largest relative error of a gradient: far above rounding errors in single
/// precision, far below the effect of a wrong factor.
pub(crate) const GRADIENT: Precision = Precision::new(2e-3);
/// Largest relative error of a single steep entry of a gradient, which includes
/// the rounding errors of all others.
pub(crate) const ENTRY: Precision = Precision::new(1e-2);
/// Weights are tried at several scales: an error may show only beyond some
/// size.
const SCALES: [f32; 3] = [1.0, 0.1, 10.0];

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "finite",
        about: "the penalty and its gradient are finite, also at zero, with a silent neuron and for one neuron",
        run: finite,
    },
    Check {
        name: "deterministic",
        about: "the same weights give bit-identical results, in a second call and in another instance",
        run: deterministic,
    },
    Check {
        name: "gradient",
        about: "the gradient is the derivative of the penalty, and is added",
        run: gradient,
    },
    Check {
        name: "project",
        about: "projection keeps finite weights finite, and without memory a second one changes nothing",
        run: project,
    },
    Check {
        name: "memory",
        about: "a restored constraint continues bit-identically; penalties leave no trace",
        run: memory::memory,
    },
    Check {
        name: "shape",
        about: "works on connections between two populations, or refuses to be built for them",
        run: shape::shape,
    },
    Check {
        name: "connections",
        about: "on a set of connections the gradient is the derivative, and changes of connections are followed",
        run: crate::connections::constraint,
    },
    Check {
        name: "activity",
        about: "the gradient of a penalty on activity is its derivative, and padding is not activity",
        run: activity::activity,
    },
    Check {
        name: "survives",
        about: "wrong shapes, weights that are not finite and a single neuron cause at most an error",
        run: survives,
    },
    Check { name: "time", about: "how long a call takes", run: time },
];

/// What a host knows at a moment of the training, owned.
struct Moment {
    step: u64,
    epoch: u32,
    task: u32,
    initial: Matrix,
    /// Present if the constraint wants it.
    loss_gradient: Option<Matrix>,
}

impl Moment {
    /// Before update `step`, with ten updates an epoch, for `constraint`.
    fn new(constraint: &dyn Constraint, world: &World, step: u64) -> Self {
        let n = world.substrate().neurons;
        Moment::with_initial(constraint, world.weights(9), step, n as f32)
    }

    /// The same for a parameter of any shape.
    fn with_initial(constraint: &dyn Constraint, initial: Matrix, step: u64, scale: f32) -> Self {
        let loss_gradient = constraint.wants_loss_gradient().then(|| {
            let wave = |(i, j)| ((7 * i + 3 * j) as f32 + step as f32).sin() / scale;
            Matrix::from_shape_fn(initial.dim(), wave)
        });
        Moment { step, epoch: 1 + (step / 10) as u32, task: 0, initial, loss_gradient }
    }

    fn point(&self) -> Point<'_> {
        let mut point = Point::new("recurrent");
        point.step = self.step;
        point.epoch = self.epoch;
        point.task = self.task;
        point.initial = Some(self.initial.view());
        point.loss_gradient = self.loss_gradient.as_ref().map(|gradient| gradient.view());
        point
    }
}

fn value_at(constraint: &mut dyn Constraint, weights: &Matrix, at: &Point<'_>) -> Result<(f64, Matrix)> {
    let mut gradient = Matrix::zeros(weights.dim());
    let value = constraint.penalty(weights.view(), gradient.view_mut(), at)?;
    Ok((value, gradient))
}

/// The penalty after three updates, and its gradient.
fn value(constraint: &mut dyn Constraint, weights: &Matrix) -> Result<(f64, Matrix)> {
    let moment = Moment::with_initial(constraint, weights.mapv(|w| 0.9 * w), 3, weights.nrows() as f32);
    value_at(constraint, weights, &moment.point())
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
    at("large weights", &world.weights(1).mapv(|w| w * 10.0))?;
    at("a neuron without connections", &silenced(&world))?;
    let single = World::new(1, 1);
    // Components that need more than one neuron may return an error.
    if let Ok(mut constraint) = subject.constraint(&single.setting()) {
        for weights in [single.weights(1), Matrix::zeros((1, 1))] {
            let Ok((value, gradient)) = value(&mut *constraint, &weights) else { continue };
            if !value.is_finite() || !gradient[[0, 0]].is_finite() {
                return Err(Error::plugin(format!(
                    "for a single neuron the penalty is {value} and its gradient {}",
                    gradient[[0, 0]]
                ))
                .help("beware of dividing by N − 1; return an Error if it needs more neurons"));
            }
        }
    }
    passed(format!("{typical:.4e} at typical weights"))
}

/// Typical weights, except that one neuron has no connections.
fn silenced(world: &World) -> Matrix {
    let mut weights = world.weights(1);
    weights.row_mut(2).fill(0.0);
    weights.column_mut(2).fill(0.0);
    weights
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
    // Exposes a constraint that depends on earlier calls.
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

/// The gradient that is handed in must still be there, whatever the penalty is.
fn is_added(constraint: &mut dyn Constraint, weights: &Matrix, at: &Point<'_>) -> Result<()> {
    let own = value_at(constraint, weights, at)?.1;
    let before = Matrix::from_shape_fn(weights.dim(), |(i, j)| ((3 * i + 5 * j) as f32).cos());
    let mut gradient = before.clone();
    constraint.penalty(weights.view(), gradient.view_mut(), at)?;
    for ((place, found), (own, before)) in gradient.indexed_iter().zip(own.iter().zip(&before)) {
        let expected = own + before;
        if (found - expected).abs() > 1e-5 * (own.abs() + before.abs()) {
            return Err(Error::plugin(format!(
                "a gradient of {before} at row {}, column {} becomes {found} instead of {expected}",
                place.0, place.1
            ))
            .help("add to `gradient` with +=: it holds the gradients of the other constraints"));
        }
    }
    Ok(())
}

/// The gradient after updates and a change of task, when a constraint with memory
/// has something to remember.
fn gradient_with_memory(subject: &Subject<'_>, place: &dyn Fn(usize, usize) -> String) -> Result<f64> {
    let world = World::new(world::NEURONS, 1);
    let mut constraint = subject.constraint(&world.setting())?;
    memory::train(&mut *constraint, &world, 0..2 * memory::UPDATES)?;
    let weights = world.weights(1);
    let moment = memory::moment(&*constraint, &world, 2 * memory::UPDATES);
    let point = moment.point();
    is_added(&mut *constraint, &weights, &point)?;
    let mut function = penalty(&mut *constraint, &point);
    let what = "after updates and a change of task, the gradient";
    let worst = slope_within(&mut function, &weights, 1, GRADIENT, what, place)?;
    entries_within(&mut function, &weights, ENTRY, what, place)?;
    Ok(worst)
}

fn gradient(subject: &Subject<'_>) -> Result<Note> {
    let (mut worst, mut constant) = (0.0_f64, true);
    for (seed, scale) in [(1, 1.0), (2, 1.0), (3, 1.0), (1, SCALES[1]), (1, SCALES[2]), (3, SCALES[2])] {
        let world = World::new(world::NEURONS, seed);
        let mut constraint = subject.constraint(&world.setting())?;
        let mut weights = world.weights(seed) * scale;
        if seed == 3 {
            // Hard rules may keep weights non-negative, and a penalty may be
            // valid only for those.
            weights.mapv_inplace(f32::abs);
        }
        constant &= value(&mut *constraint, &weights)?.1.iter().all(|&g| g == 0.0);
        let moment = Moment::new(&*constraint, &world, 3);
        let point = moment.point();
        is_added(&mut *constraint, &weights, &point)?;
        let mut function = penalty(&mut *constraint, &point);
        let place = |i, j| {
            let times = if scale == 1.0 { String::new() } else { format!(" (weights × {scale})") };
            format!("row {i}, column {j}{times}")
        };
        worst = worst.max(slope_within(&mut function, &weights, seed, GRADIENT, "the gradient", place)?);
        if (seed, scale) == (1, 1.0) {
            entries_within(&mut function, &weights, ENTRY, "the gradient", place)?;
        }
    }
    let place = |i, j| format!("row {i}, column {j}");
    let remembering = gradient_with_memory(subject, &place)?;
    worst = worst.max(remembering);
    if constant && remembering == 0.0 {
        return skipped(
            "the penalty is constant at all weights tried: it has none, or needs other parameters (--param)",
        );
    }
    passed(format!("largest relative error {worst:.1e}"))
}

fn project(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let single = World::new(1, 1);
    let n = world::NEURONS;
    let mut cases: Vec<(String, &World, Matrix)> = SCALES
        .map(|scale| {
            let what = if scale == 1.0 { "typical weights".into() } else { format!("weights × {scale}") };
            (what, &world, world.weights(1) * scale)
        })
        .into();
    cases.push(("positive weights".into(), &world, world.weights(1).mapv(f32::abs)));
    cases.push(("weights of zero".into(), &world, Matrix::zeros((n, n))));
    cases.push(("a neuron without connections".into(), &world, silenced(&world)));
    cases.push(("a single neuron".into(), &single, single.weights(1)));
    cases.push(("a single neuron at zero".into(), &single, Matrix::zeros((1, 1))));
    let (mut changed, mut size) = (0, 0);
    for (what, world, before) in cases {
        let mut constraint = match subject.constraint(&world.setting()) {
            // Components that need more than one neuron may return an error.
            Err(_) if before.len() == 1 => continue,
            built => built?,
        };
        let mut once = before.clone();
        let moment = Moment::new(&*constraint, world, 3);
        match constraint.project(once.view_mut(), &moment.point()) {
            Err(_) if before.len() == 1 => continue,
            ended => ended.map_err(|e| e.context(format!("at {what}")))?,
        }
        if let Some(((i, j), w)) = once.indexed_iter().find(|(_, w)| !w.is_finite()) {
            return Err(Error::plugin(format!("projecting {what} gives {w} at row {i}, column {j}"))
                .help("beware of dividing by a sum or norm that is zero"));
        }
        let mut other = before.clone();
        subject.constraint(&world.setting())?.project(other.view_mut(), &moment.point())?;
        if bits(&once) != bits(&other) {
            return broken(format!("at {what} another instance gives other weights"));
        }
        // With memory, a second projection may go on from the first.
        let mut twice = once.clone();
        if constraint.state()?.is_empty() {
            constraint.project(twice.view_mut(), &moment.point())?;
        }
        if bits(&once) != bits(&twice) {
            let most = once.iter().zip(&twice).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            // A rescaling may change the last bit again.
            let size = once.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
            if most.is_nan() || most > 4.0 * f32::EPSILON * size {
                return Err(Error::plugin(format!(
                    "a second projection changes weights by up to {most:.1e} (at {what})"
                ))
                .help("it must leave allowed weights unchanged, or return what it remembers from `state`"));
            }
        }
        changed += before.iter().zip(&once).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
        size += once.len();
    }
    if changed == 0 {
        skipped("it has no projection, or the projection changed nothing")
    } else {
        passed(format!("it changed {changed} of {size} weights"))
    }
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    let world = World::new(world::NEURONS, 1);
    let setting = world.setting();
    let n = world::NEURONS;
    let call = |doing: &str, setting: &Setting<'_>, weights: Matrix| {
        // Built for each call, because a component is not called again after a
        // panic.
        let mut constraint = match subject.constraint(setting) {
            Ok(constraint) => constraint,
            Err(error) => return orderly(doing, Err(error)),
        };
        orderly(doing, value(&mut *constraint, &weights).map(drop))?;
        // At the beginning and the end of a training there is no loss gradient.
        let bare = Point::new("recurrent");
        orderly(doing, value_at(&mut *constraint, &weights, &bare).map(drop))?;
        let mut weights = weights;
        orderly(doing, constraint.project(weights.view_mut(), &bare))?;
        let none = Array3::zeros((0, 0, weights.ncols()));
        orderly(
            doing,
            constraint.activity_penalty(&Activity::new(none.view(), &[]), none.clone().view_mut()).map(drop),
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
    let first = value(&mut *constraint, &weights)?;
    let each = repeat(|| value(&mut *constraint, &weights).map(drop))?;
    let last = value(&mut *constraint, &weights)?;
    if first.0.to_bits() != last.0.to_bits() || bits(&first.1) != bits(&last.1) {
        return broken(format!(
            "after many calls the penalty at the same weights is {} instead of {}",
            last.0, first.0
        ));
    }
    passed(format!("{} per penalty at N = 100", duration(each)))
}
