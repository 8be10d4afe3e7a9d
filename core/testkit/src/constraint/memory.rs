//! Checks of what a constraint remembers between calls.

use super::{Moment, bits, value_at};
use crate::state::{differing, refuses_spoiled, well_formed};
use crate::{Note, Subject, World, broken, passed, skipped, world};
use pallium_core::{Constraint, Error, Result, Tensor};

/// Updates before the state is saved, and afterwards.
pub(super) const UPDATES: u64 = 6;

/// Weights of a training at one update, and the penalty there.
type Trace = Vec<(u64, Vec<u32>, Vec<u32>)>;

/// The moment before update `step`; every [`UPDATES`] updates another task begins.
pub(super) fn moment(constraint: &dyn Constraint, world: &World, step: u64) -> Moment {
    Moment { task: (step / UPDATES) as u32, ..Moment::new(constraint, world, step) }
}

/// Calls a constraint as a training does: a penalty, an update, a projection.
pub(super) fn train(
    constraint: &mut dyn Constraint,
    world: &World,
    steps: std::ops::Range<u64>,
) -> Result<Trace> {
    let mut trace = Trace::new();
    for step in steps {
        let moment = moment(constraint, world, step);
        // Other weights in each update, as if by a large learning rate.
        let mut weights = world.weights(20 + step);
        let (value, gradient) = value_at(constraint, &weights, &moment.point())?;
        constraint.project(weights.view_mut(), &moment.point())?;
        trace.push((value.to_bits(), bits(&gradient), bits(&weights)));
    }
    Ok(trace)
}

pub(super) fn memory(subject: &Subject<'_>) -> Result<Note> {
    // At the change to another task, and in the middle of one.
    let state = resumes_after(subject, UPDATES)?;
    resumes_after(subject, UPDATES + UPDATES / 2)?;
    let world = World::new(world::NEURONS, 1);
    refuses_spoiled(&state, |spoiled| subject.constraint(&world.setting())?.restore(spoiled))?;
    if state.is_empty() {
        skipped("it remembers nothing")
    } else {
        passed(format!("{} tensors", state.len()))
    }
}

/// Saves the state after some updates and restores it in another instance: both must
/// go on alike. Returns the state.
fn resumes_after(subject: &Subject<'_>, saved: u64) -> Result<Vec<Tensor>> {
    let world = World::new(world::NEURONS, 1);
    let setting = world.setting();
    let mut through = subject.constraint(&setting)?;
    train(&mut *through, &world, 0..saved)?;
    let state = through.state()?;
    well_formed(&state)?;
    penalties_leave_no_trace(&mut *through, &world, saved)?;
    if let Some(name) = differing(&state, &through.state()?) {
        return Err(Error::plugin(format!("a penalty changes `{name}` of the state"))
            .help("change what is remembered in `project` alone"));
    }

    let mut resumed = subject.constraint(&setting)?;
    resumed.restore(&state).map_err(|e| e.context("`restore` refuses what `state` returned"))?;
    if let Some(name) = differing(&state, &resumed.state()?) {
        return broken(format!("after `restore`, `{name}` differs from the saved state"));
    }
    let ahead = saved..saved + 2 * UPDATES;
    let (one, two) =
        (train(&mut *through, &world, ahead.clone())?, train(&mut *resumed, &world, ahead.clone())?);
    let differs = |(one, two): (&(u64, Vec<u32>, Vec<u32>), _)| one != two;
    if let Some(at) = one.iter().zip(&two).position(differs) {
        let what = if state.is_empty() {
            "it depends on earlier projections, but `state` is empty: a new instance differs".to_owned()
        } else {
            "a restored constraint differs".to_owned()
        };
        return Err(Error::plugin(format!("{what} from the original in projection {}", at + 1)).help(
            "return everything that later calls depend on from `state`: also the present task, and random numbers \
             drawn so far",
        ));
    }
    if let Some(name) = differing(&through.state()?, &resumed.state()?) {
        return broken(format!("`{name}` of the state differs {} projections after `restore`", 2 * UPDATES));
    }
    Ok(state)
}

/// The same weights at the same point give the same penalty, whatever other
/// penalties were computed in between.
fn penalties_leave_no_trace(constraint: &mut dyn Constraint, world: &World, updates: u64) -> Result<()> {
    let moment = moment(constraint, world, updates);
    let weights = world.weights(1);
    let first = value_at(constraint, &weights, &moment.point())?;
    let other = Moment::new(constraint, world, updates + 1);
    value_at(constraint, &world.weights(2), &other.point())?;
    let again = value_at(constraint, &weights, &moment.point())?;
    if first.0.to_bits() == again.0.to_bits() && bits(&first.1) == bits(&again.1) {
        return Ok(());
    }
    Err(Error::plugin(format!(
        "after {updates} projections, the same weights at the same point give {} and then {}, or another gradient",
        first.0, again.0
    ))
    .help("change what is remembered in `project` alone"))
}
