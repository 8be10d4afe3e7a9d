//! Initial weights and, of a null model, how much of the original it kept.

use pallium_core::{Result, Setting, SparseWeights, Substrate};
use pallium_likeness::{Weights, null_likeness};
use pallium_record::outcome::Value;
use pallium_record::spec::CellSpec;

use super::components::Grown;
use crate::plugins::Catalogue;

/// The initial weights of a training, and its measures that compare a null model with
/// the weights that it was made from; none without a null model.
pub(super) fn grown(
    spec: &CellSpec,
    catalogue: &Catalogue,
    base: &Setting<'_>,
    substrate: &Substrate,
) -> Result<(Grown, Vec<Value>)> {
    let original = Grown::original(spec, catalogue, base, substrate)?;
    if spec.null.is_none() {
        return Ok((original, Vec::new()));
    }
    let null = original.null(spec, catalogue, base, substrate)?;
    let sparse = |of: &Grown| match &of.connections {
        None => SparseWeights::from_matrix(of.values.view(), None),
        Some(connections) => {
            SparseWeights { connections: connections.clone(), values: of.values.iter().copied().collect() }
        }
    };
    let values = likeness(&sparse(&original), &sparse(&null), Some(substrate));
    Ok((null, values.into_iter().map(|(name, value)| Value::new("", name, Some(value))).collect()))
}

/// The measures of [`null_likeness`]; those of lengths are undefined without positions.
pub fn likeness(
    original: &SparseWeights,
    null: &SparseWeights,
    substrate: Option<&Substrate>,
) -> Vec<(&'static str, f64)> {
    let weights = |of| {
        let SparseWeights { connections, values }: &SparseWeights = of;
        Weights { pairs: connections.view(), values }
    };
    let positions = substrate.and_then(|of| of.positions().ok()).map(|positions| positions.micrometres());
    null_likeness(weights(original), weights(null), positions.as_ref().map(|positions| positions.view()))
}
