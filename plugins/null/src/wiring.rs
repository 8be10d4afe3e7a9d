//! Connections with their weights, as null models change them.

use pallium_core::prelude::*;
use pallium_core::random::Stream;
use rand::seq::SliceRandom;

pallium_core::choice! {
    /// The weights from neurons to themselves.
    pub enum Diagonal {
        /// They move like other weights. Weights move to the diagonal only if the original
        /// has some there.
        Move = "move",
        /// Each stays in place, and no other weight moves to the diagonal.
        Keep = "keep",
    }
}

/// A connection: from, to, weight.
pub type Connection = (u32, u32, f32);

/// Connections of n neurons with their weights, by rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Wiring {
    /// Number of neurons.
    pub n: usize,
    /// The connections, ascending; their weights may be 0.
    pub all: Vec<Connection>,
}

impl Wiring {
    /// The original weights of a setting: those of its connections, or those of a
    /// matrix that are not 0.
    ///
    /// # Errors
    /// If there are none, or their shape fits neither.
    pub fn original(setting: &Setting<'_>) -> Result<Self> {
        let matrix = setting.original()?;
        let on = setting.connections.filter(|pairs| matrix.dim() == (1, pairs.len()));
        let (n, pairs, values) = match on {
            Some(pairs) => (pairs.dim().0, pairs.to_owned(), matrix.iter().copied().collect()),
            None => {
                let (rows, columns) = matrix.dim();
                if rows != columns {
                    return Err(Error::input(format!("the original weights are {rows}×{columns}"))
                        .help("they must be N×N, or one row with a weight for each connection"));
                }
                let SparseWeights { connections, values } = SparseWeights::from_matrix(matrix, None);
                (rows, connections, values)
            }
        };
        let all = pairs.view().pairs().zip(values).map(|((i, j), w)| (i as u32, j as u32, w)).collect();
        Ok(Wiring { n, all })
    }

    /// Whether some neuron is connected to itself.
    pub fn has_loops(&self) -> bool {
        self.all.iter().any(|(i, j, _)| i == j)
    }

    /// The connections that move and those that stay.
    pub fn split(&self, diagonal: Diagonal) -> (Self, Vec<Connection>) {
        let stays = |(i, j, _): &Connection| diagonal == Diagonal::Keep && i == j;
        let (stay, all) = self.all.iter().copied().partition(stays);
        (Wiring { n: self.n, all }, stay)
    }

    /// These connections and those that stayed.
    pub fn with(mut self, stay: Vec<Connection>) -> Self {
        self.all.extend(stay);
        self.all.sort_unstable_by_key(|&(i, j, _)| (i, j));
        self
    }

    /// The pairs.
    pub fn pairs(&self) -> Vec<(u32, u32)> {
        self.all.iter().map(|&(i, j, _)| (i, j)).collect()
    }

    /// The weights.
    pub fn weights(&self) -> Vec<f32> {
        self.all.iter().map(|&(_, _, w)| w).collect()
    }

    /// Other pairs with the same weights in any order.
    pub fn at(&self, pairs: Vec<(u32, u32)>, stream: &mut Stream) -> Self {
        let mut weights = self.weights();
        weights.shuffle(stream);
        Wiring::new(self.n, pairs, weights)
    }

    /// Pairs and the weight of each.
    pub fn new(n: usize, pairs: Vec<(u32, u32)>, weights: Vec<f32>) -> Self {
        let mut all: Vec<Connection> = pairs.into_iter().zip(weights).map(|((i, j), w)| (i, j, w)).collect();
        all.sort_unstable_by_key(|&(i, j, _)| (i, j));
        Wiring { n, all }
    }

    /// The weights on connections: at the requested ones, otherwise at all of them.
    ///
    /// # Errors
    /// If the network has another size than requested.
    pub fn sparse(self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        same_size(self.n, request)?;
        let connections = Connections::from_pairs(self.n, self.n, self.pairs())?;
        let values = self.weights();
        let Some(given) = request.connections else { return Ok(SparseWeights { connections, values }) };
        let own = connections.view();
        let at = |(i, j)| own.find(i, j).map_or(0.0, |place| values[place]);
        Ok(SparseWeights { connections: given.to_owned(), values: given.pairs().map(at).collect() })
    }

    /// The weights as a matrix.
    ///
    /// # Errors
    /// If the network has another size than requested.
    pub fn matrix(&self, request: &WeightRequest<'_>) -> Result<Matrix> {
        same_size(self.n, request)?;
        let mut matrix = Matrix::zeros((self.n, self.n));
        self.all.iter().for_each(|&(i, j, w)| matrix[[i as usize, j as usize]] = w);
        Ok(matrix)
    }
}

/// Refuses a request for another number of neurons.
///
/// # Errors
/// If it is one.
pub fn same_size(n: usize, request: &WeightRequest<'_>) -> Result<()> {
    if n == request.neurons {
        return Ok(());
    }
    Err(Error::input(format!("the original weights are those of {n} neurons, not {}", request.neurons)))
}

/// `count` different pairs of rows × columns, of different neurons unless `loops`.
pub fn draw([rows, columns]: [&[u32]; 2], loops: bool, count: usize, stream: &mut Stream) -> Vec<(u32, u32)> {
    // Rows and columns are the same neurons, or have none in common.
    let without = !loops && rows.first() == columns.first();
    let across = columns.len() - usize::from(without && !columns.is_empty());
    let drawn = rand::seq::index::sample(stream, rows.len() * across, count);
    let pair = |at: usize| {
        let (i, j) = (at / across, at % across);
        (rows[i], columns[j + usize::from(without && j >= i)])
    };
    drawn.into_iter().map(pair).collect()
}

/// Implements a weight source whose `draw` gives a [`Wiring`].
macro_rules! weight_source {
    ($name:ident) => {
        impl WeightSource for $name {
            fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
                self.draw(request)?.matrix(request)
            }

            fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
                self.draw(request)?.sparse(request)
            }
        }
        pallium_core::register!(WeightSource, $name);
    };
}
pub(crate) use weight_source;
