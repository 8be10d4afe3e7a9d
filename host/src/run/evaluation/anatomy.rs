//! What lesions need to know of a network.

use ndarray::{Array2, s};
use pallium_core::{Mode, Model, ModelInfo, Result, Tensor};
use pallium_graph::communities::{ORDERS, best_partition};
use pallium_graph::{Cut, Ties, strong_connections};
use pallium_record::spec::CellSpec;

use super::Evaluation;
use super::lesion::{Anatomy, Lesion, Matched};
use super::network;
use super::tested::{Test, TestTrials};
use crate::plugins::Catalogue;
use crate::run::components::{Ground, Options};
use crate::run::train::RECORDED_TRIALS;

/// What the lesions need to know of the network.
#[expect(clippy::too_many_arguments, reason = "the parts of a finished training")]
pub(super) fn anatomy(
    spec: &CellSpec,
    evaluation: &Evaluation,
    ground: &Ground,
    model: &mut dyn Model,
    info: &ModelInfo,
    trained: &[Tensor],
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Anatomy> {
    let needs = |what: fn(&Lesion) -> bool| evaluation.lesions.iter().any(what);
    let [signed, strength] = match evaluation.lesions.is_empty() {
        true => [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
        false => network::sums(info, trained)?,
    };
    let by_distance = evaluation.matched == Matched::Distance && !evaluation.lesions.is_empty();
    let distance = match ground.substrate.positions() {
        Ok(positions) if by_distance || needs(Lesion::needs_distance) => {
            let at = positions.micrometres();
            let apart = |i: usize, j: usize| {
                at.row(i).iter().zip(at.row(j)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
            };
            let all = Array2::from_shape_fn((at.nrows(), at.nrows()), |(i, j)| apart(i, j));
            Some(network::between_units(info, all.view()))
        }
        _ => None,
    };
    let similarity = match needs(Lesion::needs_similarity) {
        true => {
            let all = ground.substrate.matrix(pallium_core::Substrate::CORRELATION)?;
            Some(network::between_units(info, all))
        }
        false => None,
    };
    let activity = match needs(Lesion::needs_activity) {
        true => Some(activity(spec, ground, model, info, catalogue, options)?),
        false => None,
    };
    let community = match needs(Lesion::needs_communities) {
        true => {
            let all = model.parameters()?;
            let whole = match info.recurrent().any(|(_, block)| block.connections) {
                // Such networks have one block of one population.
                true => signed.mapv(|weight| weight as f32),
                false => info.recurrent_matrix(|at, _| Ok(all[at].matrix()?.to_owned()))?,
            };
            let (graph, _) = strong_connections(whole.view(), Cut::new(COMMUNITY_QUANTILE, Ties::Exclude)?);
            let partition = best_partition(&graph, ORDERS);
            let count = partition.sizes.iter().filter(|&&size| size > 1).count();
            Some((info.places().iter().map(|&place| partition.community[place]).collect(), count))
        }
        false => None,
    };
    let mut start = 0;
    let range = |population: &pallium_core::Population| {
        start += population.units;
        (population.name.clone(), start - population.units..start)
    };
    let populations = info.populations.iter().map(range).collect();
    Ok(Anatomy { signed, strength, distance, similarity, activity, community, populations })
}

/// Mean activity of each unit over the steps of the test trials of all of the network's
/// tasks.
fn activity(
    spec: &CellSpec,
    ground: &Ground,
    model: &mut dyn Model,
    info: &ModelInfo,
    catalogue: &Catalogue,
    options: &Options<'_>,
) -> Result<Vec<f64>> {
    let (mut sums, mut steps) = (vec![0.0; info.units], 0.0);
    for test in Test::own(spec, RECORDED_TRIALS) {
        let mut trials = TestTrials::new(spec, &test, ground, catalogue, options)?;
        let outputs = trials.tasks.info.outputs;
        let shown = trials.shown_to(model)?;
        let view = shown.view();
        let mut answers = Array2::zeros((view.scored().count(), outputs));
        model.forward(&view, Mode::Record, answers.view_mut())?;
        let all = model.activity()?;
        for (unit, sum) in sums.iter_mut().enumerate() {
            *sum += all.slice(s![.., .., unit]).iter().map(|&value| f64::from(value)).sum::<f64>();
        }
        steps += shown.lengths.iter().map(|&length| f64::from(length)).sum::<f64>();
    }
    Ok(sums.into_iter().map(|sum| sum / steps.max(1.0)).collect())
}

/// The quantile of |w| from which a connection counts for communities, as for
/// `organization.modularity`.
const COMMUNITY_QUANTILE: f64 = 0.9;
