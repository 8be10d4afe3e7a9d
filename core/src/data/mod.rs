//! The data that pass between the host and a component.

mod batch;
mod connections;
mod measure;
mod pairs;
mod substrate;
mod table;
mod tensor;

use ndarray::{Array2, ArrayView2, ArrayViewMut2};

pub use batch::{Batch, BatchView, Scored, Targets, TargetsView};
pub use connections::{Connections, ConnectionsView, Rewiring, RewiringView, SparseWeights};
pub use measure::{Direction, Measure, Measures};
pub use pairs::PairTable;
pub use substrate::{Positions, PositionsBase, Substrate, SubstrateBase, SubstrateView};
pub use table::Table;
pub use tensor::{Element, Tensor, TensorView, Values};

/// A matrix in row-major order. In a recurrent matrix, row i, column j is the
/// weight of the connection *from* neuron i *to* neuron j (the h·W convention).
pub type Matrix = Array2<f32>;
/// A borrowed [`Matrix`].
pub type MatrixView<'a> = ArrayView2<'a, f32>;
/// A mutably borrowed [`Matrix`].
pub type MatrixViewMut<'a> = ArrayViewMut2<'a, f32>;
