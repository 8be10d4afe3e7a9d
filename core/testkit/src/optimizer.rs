//! Checks of optimizers.

use crate::clock::{duration, repeat};
use crate::common::orderly;
use crate::state::{differing, spoiled, well_formed};
use crate::toy::uniform;
use crate::{Check, Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Error, Learned, Moment, Optimizer, Result, Tensor};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "descends",
        about: "moves against the gradient, and reaches the minimum of a quadratic function",
        run: descends,
    },
    Check {
        name: "factor",
        about: "the factor on the learning rate scales the update, and 0 changes nothing",
        run: factor,
    },
    Check {
        name: "still",
        about: "gradients of zero keep parameters finite, also in the first update",
        run: still,
    },
    Check {
        name: "deterministic",
        about: "the same gradients give bit-identical parameters in another instance",
        run: deterministic,
    },
    Check {
        name: "restores",
        about: "a restored optimizer continues bit-identically, and an empty state is that of a new one",
        run: restores,
    },
    Check {
        name: "parameters kept",
        about: "refuses other parameters than those of earlier updates, if it remembers anything",
        run: other_parameters,
    },
    Check {
        name: "connections",
        about: "when connections change, what is remembered of the kept ones moves with them",
        run: crate::connections::optimizer,
    },
    Check {
        name: "survives",
        about: "gradients that are not finite, no parameters and odd moments cause at most an error",
        run: survives,
    },
    Check { name: "time", about: "how long an update takes", run: time },
];

/// Share of the function's initial height at which its minimum counts as reached:
/// a tenth of the way is left, which allows for a slight decay of weights.
const REACHED: f64 = 0.01;
/// Maximum number of updates to the minimum.
const UPDATES: u64 = 200_000;

/// A quadratic function of some parameters, Σ a·(x − m)²/2, and where they are.
struct Bowl {
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
    values: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    /// Curvature and minimum of each value.
    curvatures: Vec<Vec<f32>>,
    minima: Vec<Vec<f32>>,
}

impl Bowl {
    /// Parameters of these shapes, all values between −1 and 1, minima at a
    /// distance of about 1.
    fn new(shapes: &[&[usize]]) -> Self {
        let draw = |purpose: &str| -> Vec<Vec<f32>> {
            let lengths = shapes.iter().map(|shape| shape.iter().product::<usize>());
            lengths.enumerate().map(|(at, length)| uniform(at as u64, purpose, length)).collect()
        };
        let map = |all: Vec<Vec<f32>>, f: fn(f32) -> f32| -> Vec<Vec<f32>> {
            all.into_iter().map(|values| values.into_iter().map(f).collect()).collect()
        };
        let mut bowl = Bowl {
            names: (0..shapes.len()).map(|at| format!("parameter_{at}")).collect(),
            shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
            values: draw("testkit values"),
            gradients: draw("testkit gradients"),
            curvatures: map(draw("testkit curvatures"), |v| 1.25 + 0.75 * v),
            minima: map(draw("testkit minima"), |v| v + v.signum()),
        };
        bowl.height();
        bowl
    }

    fn usual() -> Self {
        Bowl::new(&[&[4, 4], &[3, 4], &[4], &[1]])
    }

    /// The function's value; also sets the gradients.
    fn height(&mut self) -> f64 {
        let mut sum = 0.0;
        for (at, gradient) in self.gradients.iter_mut().enumerate() {
            for (index, gradient) in gradient.iter_mut().enumerate() {
                let off = self.values[at][index] - self.minima[at][index];
                *gradient = self.curvatures[at][index] * off;
                sum += 0.5 * f64::from(*gradient) * f64::from(off);
            }
        }
        sum
    }

    /// Random gradients instead of the function's.
    fn draw_gradients(&mut self, seed: u64) {
        for (at, gradient) in self.gradients.iter_mut().enumerate() {
            *gradient = uniform(seed, &format!("testkit gradient {at}"), gradient.len());
        }
    }

    fn update(&mut self, optimizer: &mut dyn Optimizer, at: &Moment) -> Result<()> {
        let named = self.names.iter().zip(&self.shapes);
        let numbers = self.values.iter_mut().zip(&self.gradients);
        let mut learned: Vec<Learned<'_>> = named
            .zip(numbers)
            .map(|((name, shape), (values, gradient))| Learned { name, shape, values, gradient })
            .collect();
        optimizer.update(&mut learned, at)
    }

    /// The first value that is not finite, for messages.
    fn not_finite(&self) -> Option<f32> {
        self.values.iter().flatten().copied().find(|value| !value.is_finite())
    }

    fn bits(&self) -> Vec<u32> {
        self.values.iter().flatten().map(|value| value.to_bits()).collect()
    }
}

fn built(subject: &Subject<'_>) -> Result<Box<dyn Optimizer>> {
    subject.optimizer(&World::new(world::NEURONS, 1).setting())
}

fn descends(subject: &Subject<'_>) -> Result<Note> {
    let mut optimizer = built(subject)?;
    let mut bowl = Bowl::usual();
    let initial = bowl.height();
    let before = bowl.values.clone();
    bowl.update(&mut *optimizer, &Moment::new(1))?;
    let moved = bowl.values.iter().flatten().zip(before.iter().flatten()).map(|(a, b)| f64::from(a - b));
    let along: f64 = moved.zip(bowl.gradients.iter().flatten()).map(|(m, g)| m * f64::from(*g)).sum();
    if along.is_nan() || along >= 0.0 {
        return broken(if along == 0.0 {
            "the first update moves nothing along the gradient".to_owned()
        } else {
            "the first update moves along the gradient instead of against it".to_owned()
        });
    }
    let mut reached = None;
    let mut height = bowl.height();
    for step in 2..=UPDATES {
        bowl.update(&mut *optimizer, &Moment::new(step))?;
        height = bowl.height();
        if height.is_nan() || height > 1e3 * initial {
            return broken(format!(
                "after {step} updates a quadratic function went from {initial:.3} to {height:.3}"
            ));
        }
        match reached {
            None if height <= REACHED * initial => reached = Some(step),
            // It must also stay there.
            Some(at) if step == 2 * at + 100 => break,
            _ => {}
        }
    }
    match reached {
        Some(at) if height <= 10.0 * REACHED * initial => {
            passed(format!("the minimum is reached in {at} updates"))
        }
        Some(at) => broken(format!("it reaches the minimum in {at} updates, but leaves it again")),
        None => broken(format!(
            "after {UPDATES} updates a quadratic function went only from {initial:.3} to {height:.3}"
        )),
    }
}

fn factor(subject: &Subject<'_>) -> Result<Note> {
    let size = |factor: f64| -> Result<f64> {
        let (mut optimizer, mut bowl) = (built(subject)?, Bowl::usual());
        let before = bowl.values.clone();
        bowl.update(&mut *optimizer, &Moment::new(1).with_factor(factor))?;
        let pairs = bowl.values.iter().flatten().zip(before.iter().flatten());
        Ok(pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt())
    };
    let help = "multiply the learning rate by `at.factor`: it is the experiment's schedule";
    let (full, half) = (size(1.0)?, size(0.5)?);
    if half.is_nan() || half >= full {
        return Err(Error::plugin(format!(
            "half the factor moves the parameters by {half:.3e}, and the whole factor by {full:.3e}"
        ))
        .help(help));
    }
    let (mut optimizer, mut bowl) = (built(subject)?, Bowl::usual());
    for step in 1..=4 {
        let before = bowl.values.clone();
        let factor = if step % 2 == 0 { 0.0 } else { 1.0 };
        bowl.draw_gradients(step);
        bowl.update(&mut *optimizer, &Moment::new(step).with_factor(factor))?;
        if factor == 0.0 && bowl.values != before {
            return Err(Error::plugin("an update with the factor 0 changes parameters").help(help));
        }
    }
    passed("")
}

fn still(subject: &Subject<'_>) -> Result<Note> {
    for moving in [0, 5] {
        let (mut optimizer, mut bowl) = (built(subject)?, Bowl::usual());
        for step in 1..=moving + 200 {
            bowl.gradients.iter_mut().for_each(|gradient| gradient.fill(0.0));
            if step <= moving {
                bowl.draw_gradients(step);
            }
            bowl.update(&mut *optimizer, &Moment::new(step))?;
            if let Some(value) = bowl.not_finite() {
                return Err(Error::plugin(format!(
                    "gradients of zero lead to a parameter of {value} in update {step}"
                ))
                .help("beware of dividing by a mean of squared gradients that is zero"));
            }
        }
    }
    passed("")
}

/// Parameters after each of some updates along random gradients.
fn trace(
    optimizer: &mut dyn Optimizer,
    bowl: &mut Bowl,
    steps: std::ops::Range<u64>,
) -> Result<Vec<Vec<u32>>> {
    steps
        .map(|step| {
            bowl.draw_gradients(step);
            let factor = 1.0 / (1.0 + 0.1 * step as f64);
            bowl.update(optimizer, &Moment::new(step).with_factor(factor))?;
            Ok(bowl.bits())
        })
        .collect()
}

fn deterministic(subject: &Subject<'_>) -> Result<Note> {
    let runs = (0..2).map(|_| trace(&mut *built(subject)?, &mut Bowl::usual(), 1..20));
    let runs = runs.collect::<Result<Vec<_>>>()?;
    match runs[0].iter().zip(&runs[1]).position(|(one, two)| one != two) {
        None => passed(""),
        Some(at) => {
            Err(Error::plugin(format!("another instance gives other parameters in update {}", at + 1)).help(
                "draw only from pallium_core::random::stream(setting.seed, …), and sum in a fixed order",
            ))
        }
    }
}

/// An optimizer after some updates, and where it is.
fn used(subject: &Subject<'_>) -> Result<(Box<dyn Optimizer>, Bowl)> {
    let (mut optimizer, mut bowl) = (built(subject)?, Bowl::usual());
    trace(&mut *optimizer, &mut bowl, 1..8)?;
    Ok((optimizer, bowl))
}

fn restores(subject: &Subject<'_>) -> Result<Note> {
    let (mut original, mut bowl) = used(subject)?;
    let state = original.state()?;
    well_formed(&state)?;
    let mut resumed = built(subject)?;
    resumed.restore(&state).map_err(|e| e.context("`restore` refuses what `state` returned"))?;
    if let Some(name) = differing(&state, &resumed.state()?) {
        return broken(format!("after `restore`, `{name}` differs from the saved state"));
    }
    let (_, mut other) = used(subject)?;
    let one = trace(&mut *original, &mut bowl, 8..16)?;
    let two = trace(&mut *resumed, &mut other, 8..16)?;
    if let Some(at) = one.iter().zip(&two).position(|(one, two)| one != two) {
        return Err(Error::plugin(format!(
            "in update {} after `restore` it differs from the original",
            at + 1
        ))
        .help("return everything that later updates depend on from `state`, a number of updates included"));
    }
    let (mut reset, _) = used(subject)?;
    reset
        .restore(&[])
        .map_err(|e| e.context("it refuses an empty state, which is that of a new optimizer"))?;
    let again = trace(&mut *reset, &mut Bowl::usual(), 1..6)?;
    if again != trace(&mut *built(subject)?, &mut Bowl::usual(), 1..6)? {
        return broken("after an empty state is restored, it differs from a new optimizer");
    }
    refuses(subject, &state)?;
    if state.is_empty() {
        skipped("it remembers nothing")
    } else {
        passed(format!("{} tensors", state.len()))
    }
}

/// Spoiled states must be refused when they are restored, or in the next update,
/// when the shapes are known.
fn refuses(subject: &Subject<'_>, state: &[Tensor]) -> Result<()> {
    for (what, state) in spoiled(state).into_iter().filter(|(_, state)| !state.is_empty()) {
        let mut optimizer = built(subject)?;
        let restored = optimizer.restore(&state);
        orderly(&format!("a state {what}"), restored.clone())?;
        if restored.is_ok() {
            let updated = Bowl::usual().update(&mut *optimizer, &Moment::new(8));
            orderly(&format!("an update after a state {what}"), updated.clone())?;
            if updated.is_ok() {
                return broken(format!("it accepts a state {what}"));
            }
        }
    }
    Ok(())
}

fn other_parameters(subject: &Subject<'_>) -> Result<Note> {
    if used(subject)?.0.state()?.is_empty() {
        return skipped("it remembers nothing of earlier updates");
    }
    let cases: [(&str, &[&[usize]]); 4] = [
        ("fewer parameters", &[&[4, 4], &[3, 4], &[4]]),
        ("more parameters", &[&[4, 4], &[3, 4], &[4], &[1], &[2]]),
        ("no parameters", &[]),
        ("a parameter of another shape", &[&[4, 4], &[3, 4], &[5], &[1]]),
    ];
    for (what, shapes) in cases {
        let (mut optimizer, _) = used(subject)?;
        let updated = Bowl::new(shapes).update(&mut *optimizer, &Moment::new(8));
        orderly(what, updated.clone())?;
        if updated.is_ok() {
            return Err(Error::plugin(format!("it accepts {what} after earlier updates"))
                .help("compare the parameters with what is remembered of them, and return an error"));
        }
    }
    passed(format!("{} cases", cases.len()))
}

fn survives(subject: &Subject<'_>) -> Result<Note> {
    let mut cases = 0;
    let mut call = |what: &str, bowl: &mut Bowl, at: &Moment| -> Result<()> {
        cases += 1;
        orderly(what, bowl.update(&mut *built(subject)?, at))?;
        let (mut used, _) = used(subject)?;
        orderly(what, bowl.update(&mut *used, at))
    };
    for value in [f32::NAN, f32::INFINITY, 1e30, 1e-30] {
        let mut bowl = Bowl::usual();
        bowl.gradients[0].fill(value);
        call(&format!("gradients of {value}"), &mut bowl, &Moment::new(8))?;
        let mut bowl = Bowl::usual();
        bowl.values[0].fill(value);
        call(&format!("parameters of {value}"), &mut bowl, &Moment::new(8))?;
    }
    call("no parameters", &mut Bowl::new(&[]), &Moment::new(1))?;
    call("a parameter without values", &mut Bowl::new(&[&[0], &[3, 0]]), &Moment::new(1))?;
    call("a parameter of three axes", &mut Bowl::new(&[&[2, 3, 2]]), &Moment::new(1))?;
    call("update 0", &mut Bowl::usual(), &Moment::new(0))?;
    call("the last update of all", &mut Bowl::usual(), &Moment::new(u64::MAX))?;
    for factor in [f64::NAN, -1.0, 1e300] {
        call(&format!("the factor {factor}"), &mut Bowl::usual(), &Moment::new(1).with_factor(factor))?;
    }
    let strange = [Tensor::new("other", [2], vec![1.0_f32; 2])];
    orderly("a state of other tensors", built(subject)?.restore(&strange))?;
    passed(format!("{} cases", cases + 1))
}

fn time(subject: &Subject<'_>) -> Result<Note> {
    let (mut optimizer, mut bowl) = (built(subject)?, Bowl::new(&[&[100, 100]]));
    let each = repeat(|| bowl.update(&mut *optimizer, &Moment::new(1)))?;
    passed(format!("{} for 10,000 values", duration(each)))
}
