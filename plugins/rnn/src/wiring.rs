//! Which units receive input, and which are read out.

use pallium_core::prelude::*;
use pallium_core::schemars::JsonSchema;
use pallium_core::serde::{Deserialize, Serialize};

use crate::common::glorot;

/// Some of the units: a number of them, or their indices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    crate = "pallium_core::serde",
    untagged,
    expecting = "units are a number, or a list of indices such as [0, 1, 2]"
)]
#[schemars(crate = "pallium_core::schemars")]
pub enum UnitChoice {
    /// That many, drawn with the run's seed.
    Number(u32),
    /// These, counted from 0.
    Listed(Vec<u32>),
}

/// The parameters `input_units` and `readout_units` of a model; `None` stands for
/// all units.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wiring {
    pub input: Option<UnitChoice>,
    pub readout: Option<UnitChoice>,
}

impl Wiring {
    /// The units that receive input, and those that are read out, among `units`.
    pub fn choose(&self, units: usize, seed: u64) -> Result<[Chosen; 2]> {
        let chosen = |choice: &Option<UnitChoice>, parameter: &str| match choice {
            Some(choice) => choice.choose(parameter, units, seed),
            None => Ok(Chosen::all(units)),
        };
        Ok([chosen(&self.input, "input_units")?, chosen(&self.readout, "readout_units")?])
    }
}

impl UnitChoice {
    fn choose(&self, parameter: &str, units: usize, seed: u64) -> Result<Chosen> {
        let refuse = |what: String| {
            Err(Error::input(format!("parameter `{parameter}` {what}"))
                .help(format!(
                    "it must be a number of units from 1 to {units}, or a list of indices from 0 to {}; without the \
                     parameter all units are chosen",
                    units.saturating_sub(1)
                )))
        };
        let mut chosen = vec![false; units];
        match self {
            UnitChoice::Number(0) => return refuse("is 0, but at least one unit is needed".into()),
            UnitChoice::Number(number) if *number as usize > units => {
                return refuse(format!("is {number}, but there are {units} units"));
            }
            UnitChoice::Number(number) => {
                let mut stream = random::stream(seed, parameter);
                for unit in pallium_core::rand::seq::index::sample(&mut stream, units, *number as usize) {
                    chosen[unit] = true;
                }
            }
            UnitChoice::Listed(listed) if listed.is_empty() => {
                return refuse("is empty, but at least one unit is needed".into());
            }
            UnitChoice::Listed(listed) => {
                for &index in listed {
                    match chosen.get_mut(index as usize) {
                        None => return refuse(format!("lists unit {index}, but there are {units} units")),
                        Some(true) => return refuse(format!("lists unit {index} twice")),
                        Some(unit) => *unit = true,
                    }
                }
            }
        }
        Ok(Chosen { units, chosen: Some(chosen) })
    }
}

/// Some of the units, or all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    units: usize,
    /// Whether each unit is among them; `None` if all are.
    chosen: Option<Vec<bool>>,
}

impl Chosen {
    pub fn all(units: usize) -> Self {
        Chosen { units, chosen: None }
    }

    /// Whether `unit` is among them.
    pub fn contains(&self, unit: usize) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen[unit])
    }

    fn count(&self) -> usize {
        self.chosen.as_ref().map_or(self.units, |chosen| chosen.iter().filter(|&&c| c).count())
    }

    /// Weights to the units (rows × units), Glorot-uniform as of a layer of the
    /// chosen ones alone; 0 to the others.
    pub fn weights_to(&self, rows: usize, seed: u64, purpose: &str) -> Vec<f32> {
        let mut drawn = glorot(rows, self.count(), seed, purpose).into_iter();
        let mut weight = |at: usize| {
            if self.contains(at % self.units) { drawn.next().unwrap_or_default() } else { 0.0 }
        };
        (0..rows * self.units).map(&mut weight).collect()
    }

    /// As [`Chosen::weights_to`], from the units (units × columns).
    pub fn weights_from(&self, columns: usize, seed: u64, purpose: &str) -> Vec<f32> {
        let mut drawn = glorot(self.count(), columns, seed, purpose).into_iter();
        let mut weight = |at: usize| {
            if self.contains(at / columns) { drawn.next().unwrap_or_default() } else { 0.0 }
        };
        (0..self.units * columns).map(&mut weight).collect()
    }

    /// Sets to 0 what belongs to weights (rows × units) to the other units.
    pub fn clear_to(&self, gradient: &mut [f32]) {
        let Some(chosen) = &self.chosen else { return };
        for row in gradient.chunks_exact_mut(self.units) {
            row.iter_mut().zip(chosen).filter(|(_, chosen)| !**chosen).for_each(|(g, _)| *g = 0.0);
        }
    }

    /// Sets to 0 what belongs to weights (units × columns) from the other units.
    pub fn clear_from(&self, gradient: &mut [f32], columns: usize) {
        let Some(chosen) = &self.chosen else { return };
        for (row, _) in gradient.chunks_exact_mut(columns).zip(chosen).filter(|(_, chosen)| !**chosen) {
            row.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_out_of_range_are_refused() {
        for (choice, words) in [
            (UnitChoice::Number(0), "is 0"),
            (UnitChoice::Number(6), "is 6, but there are 5 units"),
            (UnitChoice::Listed(vec![]), "is empty"),
            (UnitChoice::Listed(vec![1, 5]), "lists unit 5, but there are 5 units"),
            (UnitChoice::Listed(vec![2, 0, 2]), "lists unit 2 twice"),
        ] {
            let error = choice.choose("input_units", 5, 1).unwrap_err();
            assert!(error.message.starts_with("parameter `input_units` "), "{error}");
            assert!(error.message.contains(words) && error.help.is_some(), "{error}");
        }
    }

    #[test]
    fn numbers_are_drawn_with_the_seed_and_lists_are_taken() {
        let drawn = |seed: u64| {
            let chosen = UnitChoice::Number(20).choose("readout_units", 50, seed).unwrap();
            assert_eq!(chosen.count(), 20);
            (0..50).filter(|&unit| chosen.contains(unit)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let listed = UnitChoice::Listed(vec![3, 0]).choose("input_units", 5, 1).unwrap();
        assert_eq!((0..5).filter(|&unit| listed.contains(unit)).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn weights_are_those_of_a_layer_of_the_chosen_units() {
        let chosen = UnitChoice::Listed(vec![3, 0]).choose("input_units", 4, 1).unwrap();
        let small = glorot(2, 2, 7, "to");
        assert_eq!(
            chosen.weights_to(2, 7, "to"),
            [small[0], 0.0, 0.0, small[1], small[2], 0.0, 0.0, small[3]]
        );
        assert_eq!(
            chosen.weights_from(2, 7, "to"),
            [small[0], small[1], 0.0, 0.0, 0.0, 0.0, small[2], small[3]]
        );
        assert_eq!(Chosen::all(4).weights_to(3, 7, "to"), glorot(3, 4, 7, "to"));
        let (mut to, mut from) = (vec![1.0; 8], vec![1.0; 8]);
        chosen.clear_to(&mut to);
        chosen.clear_from(&mut from, 2);
        assert_eq!(to, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
        assert_eq!(from, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    }
}
