//! The design of the recorded trials: two factors of their conditions, or the network's
//! choice in the place of one.

use pallium_conditions::{Factor, factors};
use pallium_core::prelude::*;

use crate::recording::choices;

/// A variable with levels, for each trial.
pub struct Levels {
    /// Number of levels that occur.
    pub count: usize,
    /// The level of each trial, from 0.
    pub of: Vec<usize>,
}

impl Levels {
    /// The condition of each trial.
    pub fn of_conditions(network: &Network<'_>) -> Self {
        let own = network.conditions.iter().map(|&condition| Some(condition));
        Levels::new(own).unwrap_or(Levels { count: 0, of: Vec::new() })
    }

    /// The levels that these labels of trials have, ascending; `None` if a trial has none.
    fn new(labels: impl Iterator<Item = Option<u32>>) -> Option<Self> {
        let labels: Vec<u32> = labels.collect::<Option<_>>()?;
        let mut kinds = labels.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let of = labels.iter().map(|label| kinds.partition_point(|kind| kind < label)).collect();
        Some(Levels { count: kinds.len(), of })
    }
}

/// Refuses parameters `first` and `second` that name the same part of the conditions'
/// names.
///
/// # Errors
/// If they are equal.
pub fn two_parts(first: u32, second: u32) -> Result<()> {
    if first == second {
        return Err(Error::input(format!("parameters `first` and `second` are both {first}"))
            .help("name two different parts of the conditions' names"));
    }
    Ok(())
}

/// The names of the conditions, if all that occur have one.
pub fn names<'a>(network: &Network<'a>) -> &'a [String] {
    let named = network.conditions.iter().all(|&at| (at as usize) < network.condition_names.len());
    if named { network.condition_names } else { &[] }
}

/// The factors in the names of the conditions.
pub fn design(network: &Network<'_>) -> Vec<Factor> {
    factors(names(network))
}

/// The factor at a position from 1 in the names of the conditions, the network's choice
/// at position 0 or where there is no such factor. `None` if the choice is unknown, as in
/// tasks of values.
pub fn levels(network: &Network<'_>, position: u32) -> Option<Levels> {
    let design = design(network);
    match (position as usize).checked_sub(1).and_then(|at| design.get(at)) {
        Some(factor) => {
            let level = |&condition: &u32| Some(factor.of[condition as usize] as u32);
            Levels::new(network.conditions.iter().map(level))
        }
        None => {
            let choices = choices(network);
            if choices.is_empty() { None } else { Levels::new(choices.into_iter()) }
        }
    }
}
