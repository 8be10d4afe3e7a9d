//! `representation.like-to-like`: are units with like tuning connected?

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;

use crate::correlations::recorded;
use crate::pairs::{correlation, mean, ordered};
use crate::tuning::Tuning;

pallium_core::params! {
    /// How distance is taken into account.
    pub struct Params {
        /// Number of bins of distance, with about equally many pairs each.
        distances: u32 = 5,
    }
}

/// Whether connections go with like tuning: Pearson's correlation over ordered pairs of
/// different units between the recurrent weight w and the signal correlation of the two
/// (see `representation.correlations`), after training and before it. Positive: the more
/// alike, the more excitatory.
///
/// Near neurons are alike and may have stronger weights for other reasons. So pairs are
/// also divided by the distance between their somata into `distances` groups, and the
/// correlations within the groups are averaged.
///
/// Measures: `like_to_like` and `like_to_like_initial`, with the tuning of the trained
/// network; `like_to_like_recorded` and `like_to_like_recorded_initial`, with the
/// substrate's `correlation` instead; each with the ending `_near` as the mean within
/// groups of distance. Undefined without these matrices, positions or initial weights.
/// Array: `by_distance`, a row for each group: mean distance in µm, then the four
/// correlations in this order.
pub struct LikeToLike(Params);

impl Component for LikeToLike {
    const ID: &'static str = "representation.like-to-like";
    const ABOUT: &'static str =
        "correlation of weights with similarity of tuning, before and after training, and by distance";
    const CITE: &'static str = "Ko et al. 2011, Nature 473:87; Ding et al. 2025, Nature 640:459";
    type Params = Params;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        one_of_range("distances", params.distances.into(), 1.0, 1000.0)?;
        Ok(LikeToLike(params))
    }
}

const NAMES: [&str; 4] =
    ["like_to_like", "like_to_like_initial", "like_to_like_recorded", "like_to_like_recorded_initial"];

impl Metric for LikeToLike {
    fn wants_activity(&self) -> bool {
        true
    }

    /// Pairs of equal distance may fall into different groups.
    fn permutation_invariant(&self) -> bool {
        false
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let signal = Tuning::new(network)?.signal;
        let recorded = recorded(network);
        let weights = [Some(network.recurrent), network.initial];
        let units = signal.nrows().min(network.recurrent.nrows());
        // For each of the four: the weight and the likeness of a pair, if both are known.
        let of = |what: usize, at: (usize, usize)| -> (f64, f64) {
            let likeness = match what {
                0 | 1 => Some(signal[at]),
                _ => recorded.as_ref().and_then(|all| all.get(at).copied()),
            };
            let weight = weights[what % 2].and_then(|all| all.get(at).copied());
            (weight.map_or(f64::NAN, f64::from), likeness.unwrap_or(f64::NAN))
        };
        let mut values: Vec<Measure> = NAMES
            .iter()
            .enumerate()
            .map(|(what, name)| Measure::new(*name, correlation(ordered(units).map(|at| of(what, at)))))
            .collect();
        let groups = groups(network, units, self.0.distances as usize);
        let mut by_distance = Array2::from_elem((groups.len(), 1 + NAMES.len()), f64::NAN);
        for (mut row, group) in by_distance.outer_iter_mut().zip(&groups) {
            row[0] = mean(group.iter().map(|(distance, _)| *distance));
            for what in 0..NAMES.len() {
                row[1 + what] = correlation(group.iter().map(|(_, at)| of(what, *at)));
            }
        }
        for (what, name) in NAMES.iter().enumerate() {
            let within = mean(by_distance.column(1 + what).iter().copied());
            values.push(Measure::new(format!("{name}_near"), within));
        }
        Ok(Measures::from(values).with(Tensor::from_view("by_distance", by_distance.view())))
    }
}
pallium_core::register!(Metric, LikeToLike);

/// Distances and pairs, ascending by distance, in groups; none without positions.
fn groups(network: &Network<'_>, units: usize, count: usize) -> Vec<Vec<(f64, (usize, usize))>> {
    let Some(positions) = network.substrate.and_then(|s| s.positions.as_ref()) else { return Vec::new() };
    let at = positions.micrometres();
    let neurons = at.nrows().min(units);
    let apart = |(i, j): (usize, usize)| {
        at.row(i).iter().zip(at.row(j)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    let mut pairs: Vec<(f64, (usize, usize))> = ordered(neurons).map(|pair| (apart(pair), pair)).collect();
    // Of pairs at one distance, the order is that of the neurons.
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    (0..count)
        .map(|group| pairs[group * pairs.len() / count..(group + 1) * pairs.len() / count].to_vec())
        .filter(|group| !group.is_empty())
        .collect()
}
