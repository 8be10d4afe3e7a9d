//! Where neurons and initial weights come from.

use std::path::Path;

use ndarray::ArrayView2;

use crate::setting::missing_substrate;
use crate::{ConnectionsView, Error, Matrix, Result, SparseWeights, Substrate, SubstrateView};

/// Supplies the neurons that a network is built from.
pub trait SubstrateSource: Send + Sync {
    /// Reads or generates the substrate. `seed` is for sources that draw random
    /// numbers.
    ///
    /// # Errors
    /// If the data cannot be read or are inconsistent.
    fn substrate(&mut self, seed: u64) -> Result<Substrate>;

    /// Writes `substrate` to a new folder, in the format that this source reads.
    ///
    /// # Errors
    /// If the folder exists, cannot be written, or this source has no format of
    /// its own (the default).
    fn store(&mut self, substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
        let _ = (substrate, folder);
        Err(Error::unsupported("this substrate source cannot write"))
    }
}

/// A request for initial recurrent weights.
#[derive(Clone, Copy)]
pub struct WeightRequest<'a> {
    /// Number of neurons N.
    pub neurons: usize,
    /// The substrate, if the experiment has one.
    pub substrate: Option<&'a SubstrateView<'a>>,
    /// Seed of this run.
    pub seed: u64,
    /// An N×N matrix of random numbers to use instead of the source's own draw
    /// (the lognormal factor L of functional weights), so that results can be
    /// compared with those of other programs.
    pub draw: Option<ArrayView2<'a, f64>>,
    /// The pairs whose weights [`WeightSource::sparse`] must return; `None` if the
    /// source chooses them.
    pub connections: Option<ConnectionsView<'a>>,
}

impl<'a> WeightRequest<'a> {
    /// The substrate.
    ///
    /// # Errors
    /// If there is none, or it has another number of neurons than requested.
    pub fn substrate(&self) -> Result<&'a SubstrateView<'a>> {
        let substrate = self.substrate.ok_or_else(missing_substrate)?;
        if substrate.neurons != self.neurons {
            let (name, has, n) = (&substrate.name, substrate.neurons, self.neurons);
            return Err(Error::input(format!("substrate `{name}` has {has} neurons, but {n} are requested"))
                .help("remove the number of neurons; it follows from the substrate"));
        }
        Ok(substrate)
    }
}

/// Supplies the initial recurrent weights.
pub trait WeightSource: Send + Sync {
    /// The recurrent matrix, N×N: row i, column j holds the weight from neuron i
    /// to neuron j.
    ///
    /// # Errors
    /// If the substrate lacks what the source needs.
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix>;

    /// The weights on a set of connections, without an N×N matrix: at the pairs of
    /// [`WeightRequest::connections`], or else at the pairs that the source
    /// connects. Called only if the component states
    /// [`Component::CONNECTIONS`](crate::Component::CONNECTIONS); from any other
    /// source the host requests the matrix.
    ///
    /// # Errors
    /// As [`WeightSource::weights`].
    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        Ok(SparseWeights::from_matrix(self.weights(request)?.view(), request.connections))
    }
}
