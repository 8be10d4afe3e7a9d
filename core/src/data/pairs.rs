//! Numbers of some pairs of neurons.

use std::borrow::Cow;

use ndarray::ArrayView2;

use super::{Connections, ConnectionsView};
use crate::{Error, Result};

/// A number for each of some pairs of neurons, in compressed rows: owned by a source's
/// substrate, borrowed in the substrate that a component receives.
// As `Table`, so that it can be lent for a shorter time.
#[derive(Clone, Debug, PartialEq)]
pub struct PairTable<'a> {
    columns: usize,
    indptr: Cow<'a, [u64]>,
    indices: Cow<'a, [u32]>,
    values: Cow<'a, [f64]>,
}

impl PairTable<'static> {
    /// A number for each of `connections`.
    ///
    /// # Errors
    /// If there are not as many values as connections.
    pub fn new(connections: &Connections, values: Vec<f64>) -> Result<Self> {
        Ok(PairTable::lent(connections.view(), &values)?.into_owned())
    }

    /// The entries of a matrix that are not 0.
    pub fn where_not_zero(matrix: ArrayView2<'_, f64>) -> Self {
        let connections = Connections::where_not_zero(matrix);
        let view = connections.view();
        PairTable {
            columns: matrix.ncols(),
            indptr: Cow::Owned(view.indptr().to_vec()),
            indices: Cow::Owned(view.indices().to_vec()),
            values: Cow::Owned(view.gather(matrix)),
        }
    }
}

impl<'a> PairTable<'a> {
    /// A number for each of `connections`, borrowed.
    ///
    /// # Errors
    /// If there are not as many values as connections.
    pub fn lent(connections: ConnectionsView<'a>, values: &'a [f64]) -> Result<Self> {
        if values.len() != connections.len() {
            return Err(Error::input(format!(
                "there are {} values for {} pairs",
                values.len(),
                connections.len()
            )));
        }
        Ok(PairTable {
            columns: connections.dim().1,
            indptr: Cow::Borrowed(connections.indptr()),
            indices: Cow::Borrowed(connections.indices()),
            values: Cow::Borrowed(values),
        })
    }
}

impl PairTable<'_> {
    /// The pairs.
    pub fn connections(&self) -> ConnectionsView<'_> {
        ConnectionsView::lent(self.columns, &self.indptr, &self.indices)
            .unwrap_or_else(|_| unreachable!("checked when it was made"))
    }

    /// The number of each pair.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The same, borrowed.
    pub fn lend(&self) -> PairTable<'_> {
        PairTable {
            columns: self.columns,
            indptr: Cow::Borrowed(&self.indptr),
            indices: Cow::Borrowed(&self.indices),
            values: Cow::Borrowed(&self.values),
        }
    }

    /// The same, owned.
    pub fn into_owned(self) -> PairTable<'static> {
        PairTable {
            columns: self.columns,
            indptr: Cow::Owned(self.indptr.into_owned()),
            indices: Cow::Owned(self.indices.into_owned()),
            values: Cow::Owned(self.values.into_owned()),
        }
    }
}
