//! `init.file`: W, a matrix in a file, or the weights of a finished training.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pallium_core::{ndarray::Array2, prelude::*, tracing::warn};
use pallium_fields::own_field;

use crate::{connections_file, safetensors_file};

/// The file of weights in a finished training's folder.
const WEIGHTS: &str = "weights.safetensors";

pallium_weights::weight_params! {
    /// The file, and size and sign of the weights.
    pub struct Params (spectral_radius = 0.0) {
        /// The file: npy, npz, csv or safetensors; or the folder of a finished
        /// training, `RUN/cells/NAME`, for its weights after training.
        path: String = String::new(),
        /// Name of the array in an npz, or of the tensor in a safetensors file
        /// (`initial` holds the weights before a training). Needed if there are
        /// several.
        array: Option<String> = None,
        /// Whether the file has the weight from neuron i to neuron j in row j,
        /// column i, as PyTorch's layers do.
        transposed: bool = false,
    }
}

/// A matrix of weights from a file: row i, column j holds the weight from neuron
/// i to neuron j, N×N. All runs start with the same weights.
///
/// Neurons that a csv names in its first row and column, or a training in its
/// `weights.safetensors`, are matched with the substrate's by their ids. If a
/// training's are others, its order is kept, with a warning.
///
/// On a set of connections, also a sparse array that `scipy.sparse.save_npz` wrote
/// (CSR, CSC or COO), or the weights of a training on connections; the neurons are then
/// in the file's order.
pub struct FromFile {
    params: Params,
}

impl Component for FromFile {
    const ID: &'static str = "init.file";
    const ABOUT: &'static str =
        "W: a matrix in a file (npy, npz, csv, safetensors), or the weights of a finished training";
    const CITE: &'static str = "this work";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        if params.path.is_empty() {
            return Err(Error::input("`init.file` needs a path")
                .help("name the file: weights = { use = \"init.file\", path = \"weights.npy\" }"));
        }
        params.finish(Self::ID).check()?;
        Ok(FromFile { params })
    }
}

impl WeightSource for FromFile {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        let path = file_of(Path::new(&self.params.path))?;
        let none = BTreeMap::new();
        let ids = request.substrate.map_or(&none, |substrate| &substrate.ids);
        let array = self.params.array.as_deref();
        let mut weights = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors")) {
            let (weights, own) = safetensors_file::read(&path, array)?;
            in_order(weights, &own, ids, &path)
        } else {
            own_field::read_matrix(&path, array, ids).map_err(|mut error| {
                // This component reads one more format.
                if let Some(help) =
                    error.help.as_mut().filter(|help| help.starts_with("the file name must end in"))
                {
                    help.push_str(", .safetensors");
                }
                error
            })?
        };
        connections_file::check_size(&path, weights.nrows(), request.neurons)?;
        if self.params.transposed {
            weights = weights.reversed_axes();
        }
        self.params.finish(Self::ID).apply(weights)
    }

    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        let path = file_of(Path::new(&self.params.path))?;
        let Some((mut connections, mut values)) =
            connections_file::read(&path, self.params.array.as_deref(), request.neurons)?
        else {
            return Ok(SparseWeights::from_matrix(self.weights(request)?.view(), request.connections));
        };
        if self.params.transposed {
            let (reversed, places) = connections.view().reversed();
            values = places.iter().map(|&place| values[place as usize]).collect();
            connections = reversed;
        }
        if let Some(given) = request.connections {
            let of = connections.view();
            let at_given = given.pairs().map(|(i, j)| of.find(i, j).map_or(0.0, |place| values[place]));
            values = at_given.collect();
            connections = given.to_owned();
        }
        self.params.finish(Self::ID).apply_on(connections, values)
    }
}
pallium_core::register!(WeightSource, FromFile);

/// The file itself, or the weights in a training's folder.
fn file_of(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let file = path.join(WEIGHTS);
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::input(format!("{} has no {WEIGHTS}", path.display()))
        .help("name a file, or the folder of one finished training, RUN/cells/NAME"))
}

/// Puts the weights of neurons with `own` ids into the order of the substrate's
/// `ids`, if both have the same kind of ids.
fn in_order(
    weights: Array2<f64>,
    own: &BTreeMap<String, Vec<i64>>,
    ids: &BTreeMap<String, Cow<'_, [i64]>>,
    path: &Path,
) -> Array2<f64> {
    let n = weights.nrows();
    let mut common = own.iter().filter_map(|(kind, own)| Some((own, ids.get(kind)?))).peekable();
    if common.peek().is_none() {
        return weights;
    }
    let places = common.find_map(|(own, ids)| {
        let places: BTreeMap<i64, usize> = own.iter().copied().zip(0..).collect();
        let all: Option<Vec<usize>> = ids.iter().map(|id| places.get(id).copied()).collect();
        all.filter(|all| [own.len(), places.len(), all.len()] == [n; 3])
    });
    match places {
        Some(places) => Array2::from_shape_fn(weights.dim(), |(i, j)| weights[[places[i], places[j]]]),
        None => {
            warn!(
                "`init.file`: the neurons of {} are not the substrate's; their order is kept",
                path.display()
            );
            weights
        }
    }
}
