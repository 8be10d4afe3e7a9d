//! The setting that a component is built for.

use std::path::Path;

use ndarray::ArrayView2;

use crate::{ConnectionsView, Error, Loss, Matrix, MatrixView, Result, SubstrateView};

/// The part of an experiment that a component is built for. The methods return
/// what a component needs, or an error that says how the user can supply it.
#[derive(Clone, Copy, Default)]
pub struct Setting<'a> {
    /// Seed of this component's random stream; see [`crate::random`].
    pub seed: u64,
    /// Number of threads that the component may use; 0 means 1.
    pub threads: usize,
    /// A folder for expensive results that depend only on their file name, such as
    /// null ensembles. Files in it may be deleted at any time.
    pub cache: Option<&'a Path>,
    /// Number of neurons N.
    pub neurons: Option<usize>,
    /// Number of input channels of the task.
    pub inputs: Option<usize>,
    /// Number of outputs of the task: of its classes, or of the values at each
    /// step.
    pub outputs: Option<usize>,
    /// How the task's outputs are compared with its targets.
    pub loss: Option<Loss>,
    /// Duration of a step of the task in milliseconds, if the task defines one.
    pub step_ms: Option<f64>,
    /// The substrate of the experiment.
    pub substrate: Option<&'a SubstrateView<'a>>,
    /// Distances between neurons in the variant's geometry, N×N with a zero
    /// diagonal, in the scale of the geometry: by default multiples of their mean.
    /// For a constraint on connections between two populations, rows × columns; on
    /// a set of connections, 1 × C: the distance of each.
    pub distance: Option<ArrayView2<'a, f32>>,
    /// Micrometres in one unit of [`distance`](Setting::distance); `None` if the
    /// geometry has none, as a grid.
    pub distance_unit_um: Option<f64>,
    /// The units that the rows of a constraint's parameter stand for; `None` if
    /// row i is neuron i.
    pub rows: Option<Units<'a>>,
    /// As [`rows`](Setting::rows), for the columns.
    pub columns: Option<Units<'a>>,
    /// The connections that the recurrent weights lie on; `None` if they are a
    /// matrix. Only components with
    /// [`Component::CONNECTIONS`](crate::Component::CONNECTIONS) receive them.
    pub connections: Option<ConnectionsView<'a>>,
    /// For a source of weights that changes those of another source, such as a null
    /// model: the weights that it changes, N×N; on a set of connections, 1 × C.
    pub original: Option<MatrixView<'a>>,
}

/// Units of a model, by their neurons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units<'a> {
    /// For each unit its neuron in the substrate, or −1 for a free unit.
    pub neurons: &'a [i64],
}

impl Units<'_> {
    /// Number of units.
    pub fn len(&self) -> usize {
        self.neurons.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.neurons.is_empty()
    }

    /// The substrate's neuron of a unit; `None` for a free unit.
    pub fn neuron(&self, unit: usize) -> Option<usize> {
        self.neurons.get(unit).and_then(|&neuron| usize::try_from(neuron).ok())
    }
}

impl<'a> Setting<'a> {
    /// The same setting for a shorter time, so that parts of it can be replaced by
    /// what lives only as long.
    pub fn reborrow(&self) -> Setting<'_> {
        Setting {
            seed: self.seed,
            threads: self.threads,
            cache: self.cache,
            neurons: self.neurons,
            inputs: self.inputs,
            outputs: self.outputs,
            loss: self.loss,
            step_ms: self.step_ms,
            substrate: self.substrate,
            distance: self.distance.as_ref().map(|distance| distance.view()),
            distance_unit_um: self.distance_unit_um,
            rows: self.rows,
            columns: self.columns,
            connections: self.connections,
            original: self.original.as_ref().map(|original| original.view()),
        }
    }

    /// The number of neurons.
    ///
    /// # Errors
    /// If it is unknown.
    pub fn neurons(&self) -> Result<usize> {
        self.neurons.ok_or_else(|| missing("the number of neurons"))
    }

    /// The number of input channels of the task.
    ///
    /// # Errors
    /// If there is no task.
    pub fn inputs(&self) -> Result<usize> {
        self.inputs.ok_or_else(|| missing("a task (its number of input channels)"))
    }

    /// The number of outputs of the task.
    ///
    /// # Errors
    /// If there is no task.
    pub fn outputs(&self) -> Result<usize> {
        self.outputs.ok_or_else(|| missing("a task (its number of outputs)"))
    }

    /// The shape of the parameter that a constraint is built for: N×N, or the
    /// units of its rows and columns; 1 × C on a set of C connections.
    ///
    /// # Errors
    /// If the number of neurons is unknown.
    pub fn shape(&self) -> Result<(usize, usize)> {
        if let Some(connections) = self.connections {
            return Ok((1, connections.len()));
        }
        let count = |units: Option<Units<'_>>| units.map_or_else(|| self.neurons(), |units| Ok(units.len()));
        Ok((count(self.rows)?, count(self.columns)?))
    }

    /// The substrate.
    ///
    /// # Errors
    /// If the experiment has none.
    pub fn substrate(&self) -> Result<&'a SubstrateView<'a>> {
        self.substrate.ok_or_else(missing_substrate)
    }

    /// The weights that a null model changes, N×N; 1 × C on a set of connections.
    ///
    /// # Errors
    /// If the component is not used as a null model.
    pub fn original(&self) -> Result<MatrixView<'a>> {
        self.original.ok_or_else(|| {
            missing("the weights that it changes").help(
                "it is a null model: name it as `null` of a variant, whose `weights` it then changes, or in \
                 `keep` of [nulls]",
            )
        })
    }

    /// The distances between neurons in the variant's geometry, N×N, in the scale
    /// of the geometry: by default their mean is 1. For micrometres use
    /// [`distance_um`](Setting::distance_um).
    ///
    /// # Errors
    /// If the variant has no geometry.
    pub fn distance(&self) -> Result<ArrayView2<'a, f32>> {
        self.distance.ok_or_else(|| {
            missing("distances between neurons")
                .help("give the variant a geometry: geometry = \"soma\" or geometry = \"grid:12x13x2\"")
        })
    }

    /// The distances between neurons in the variant's geometry in micrometres,
    /// N×N, regardless of the scale of the geometry. If the geometry shuffles
    /// positions, these are the shuffled ones.
    ///
    /// # Errors
    /// If there are no distances, or the geometry has no micrometres: a grid, or
    /// coordinates that are scaled to the extent of the field or interleaved.
    pub fn distance_um(&self) -> Result<Matrix> {
        let distance = self.distance()?;
        let unit = self.distance_unit_um.ok_or_else(|| {
            missing("distances in micrometres").help(
                "give the variant a geometry that has them: geometry = { space = \"soma\", \
                 coordinate_layout = \"rows\", coordinate_scale = \"micrometre\" }; a grid has none",
            )
        })?;
        Ok(distance.mapv(|d| (f64::from(d) * unit) as f32))
    }
}

/// The error of a component that needs a substrate, but was given none.
pub(crate) fn missing_substrate() -> Error {
    missing("a substrate").help("name one under [substrate] in the experiment file")
}

fn missing(what: &str) -> Error {
    Error::input(format!("this component needs {what}, but was given none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_in_micrometres_undo_the_scale() {
        let distance = ndarray::array![[0.0_f32, 1.5], [1.5, 0.0]];
        let scaled = Setting { distance: Some(distance.view()), ..Setting::default() };
        let error = scaled.distance_um().unwrap_err();
        assert!(error.message.contains("micrometres") && error.help.unwrap().contains("soma"));
        let um = Setting { distance_unit_um: Some(200.0), ..scaled }.distance_um().unwrap();
        assert_eq!(um, ndarray::array![[0.0, 300.0], [300.0, 0.0]]);
        assert!(Setting::default().distance_um().unwrap_err().message.contains("distances between neurons"));
    }
}
