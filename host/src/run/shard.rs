//! Divides the trainings of an experiment between machines.

use std::fmt;
use std::str::FromStr;

use pallium_record::identity::Cell;

/// Shard `index` of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub index: usize,
    /// At least 1.
    pub count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        match parts {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
            _ => Err("expected I/N, such as 1/3, 2/3 or 3/3".into()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Shard {
    /// The positions of those `cells` that are in this shard; see [`deal`].
    pub fn select(&self, cells: &[Cell], weights: &[f64]) -> Vec<bool> {
        deal(cells, weights, self.count).into_iter().map(|part| part == self.index).collect()
    }
}

/// The shard of each of `cells`, from 1 to `count`; `weights` are their
/// estimated work.
///
/// The heaviest trainings are assigned first, each to the shard with the least
/// work so far. Trainings of equal weight are assigned by variant and task, so
/// that every shard gets its share of each: the weights are a rough estimate,
/// and this evens out their errors.
pub fn deal(cells: &[Cell], weights: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cells.len().min(weights.len())).collect();
    let rest = |at: usize| {
        let spec = &cells[at].spec;
        (&spec.variant, &spec.task, spec.run, at)
    };
    order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then_with(|| rest(a).cmp(&rest(b))));
    // Trainings without work are assigned by their number.
    let mut loads = vec![(0.0_f64, 0_usize); count.max(1)];
    let mut parts = vec![1; cells.len()];
    for at in order {
        let least = (0..loads.len())
            .min_by(|&a, &b| loads[a].0.total_cmp(&loads[b].0).then(loads[a].1.cmp(&loads[b].1)))
            .unwrap_or(0);
        loads[least].0 += weights[at];
        loads[least].1 += 1;
        parts[at] = least + 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use pallium_record::identity::identify;

    use super::super::mock;
    use super::*;

    fn cells(count: u32) -> Vec<Cell> {
        (0..count)
            .map(|at| {
                let mut spec = mock::spec();
                (spec.run, spec.variant) = (at / 3, format!("v{}", at % 3));
                identify(spec, &mock::catalogue().files()).unwrap()
            })
            .collect()
    }

    #[test]
    fn shards_are_written_as_fractions() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        assert_eq!("1/1".parse::<Shard>().unwrap().to_string(), "1/1");
        for wrong in ["", "2", "0/3", "4/3", "a/b", "1/0", "-1/3", "1/3/5"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_contain_every_training_and_are_balanced() {
        let cells = cells(24);
        let weights: Vec<f64> = (0..24).map(|at| [1.0, 5.0, 20.0][at % 3]).collect();
        for count in [1, 2, 3, 5, 30] {
            let parts: Vec<_> =
                (1..=count).map(|index| Shard { index, count }.select(&cells, &weights)).collect();
            for at in 0..24 {
                assert_eq!(parts.iter().filter(|part| part[at]).count(), 1);
            }
            let load = |part: &Vec<bool>| -> f64 {
                part.iter().zip(&weights).filter(|(own, _)| **own).map(|(_, weight)| weight).sum()
            };
            let loads: Vec<f64> = parts.iter().map(load).collect();
            let (least, most) = loads.iter().fold((f64::MAX, 0.0_f64), |(l, m), &x| (l.min(x), m.max(x)));
            assert!(most - least <= 20.0, "{count}: {loads:?}");
        }
    }

    #[test]
    fn every_shard_gets_each_variant_of_equal_trainings() {
        let cells = cells(27);
        for weight in [1.0, 0.0] {
            for index in 1..=3 {
                let own = Shard { index, count: 3 }.select(&cells, &[weight; 27]);
                for variant in ["v0", "v1", "v2"] {
                    let share =
                        cells.iter().zip(&own).filter(|(c, own)| **own && c.spec.variant == variant).count();
                    assert_eq!(share, 3);
                }
            }
        }
    }
}
