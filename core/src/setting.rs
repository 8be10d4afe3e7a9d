//! What a component is told when it is built.

use std::path::Path;

use ndarray::ArrayView2;

use crate::{Error, Matrix, Result, Substrate};

/// The circumstances that a component is built for. A component asks for what
/// it needs; asking for what is not there is an error that says how to supply
/// it.
#[derive(Clone, Copy, Default)]
pub struct Setting<'a> {
    /// Seed of this component's own random stream; see [`crate::random`].
    pub seed: u64,
    /// Threads that the component may use; 0 means 1.
    pub threads: usize,
    /// A folder for results that are expensive and depend on nothing but their
    /// name (null ensembles, say). Files in it may vanish at any time.
    pub cache: Option<&'a Path>,
    /// Number of neurons N.
    pub neurons: Option<usize>,
    /// Number of input channels of the task.
    pub inputs: Option<usize>,
    /// Number of classes of the task.
    pub classes: Option<usize>,
    /// Duration of a step of the task in milliseconds, where the task states
    /// one.
    pub step_ms: Option<f64>,
    /// The substrate in use.
    pub substrate: Option<&'a Substrate>,
    /// N×N distances between neurons in the geometry in use, zero diagonal,
    /// in the geometry's own scale: by default multiples of their mean.
    pub distance: Option<ArrayView2<'a, f32>>,
    /// Micrometres in one unit of [`distance`](Setting::distance), where the
    /// geometry has any: a grid has steps, and no micrometres.
    pub distance_unit_um: Option<f64>,
}

impl<'a> Setting<'a> {
    /// Number of neurons.
    pub fn neurons(&self) -> Result<usize> {
        self.neurons.ok_or_else(|| missing("the number of neurons"))
    }

    /// Number of input channels.
    pub fn inputs(&self) -> Result<usize> {
        self.inputs.ok_or_else(|| missing("a task (its number of input channels)"))
    }

    /// Number of classes.
    pub fn classes(&self) -> Result<usize> {
        self.classes.ok_or_else(|| missing("a task (its number of classes)"))
    }

    /// The substrate.
    pub fn substrate(&self) -> Result<&'a Substrate> {
        self.substrate
            .ok_or_else(|| missing("a substrate").help("name one under [substrate] in the experiment file"))
    }

    /// The distances between neurons in the variant's geometry, in its own
    /// scale: by default their mean is 1. For lengths in micrometres ask
    /// [`distance_um`](Setting::distance_um).
    pub fn distance(&self) -> Result<ArrayView2<'a, f32>> {
        self.distance.ok_or_else(|| {
            missing("distances between neurons")
                .help("give the variant a geometry: geometry = \"soma\" or geometry = \"grid:12x13x2\"")
        })
    }

    /// The distances between neurons in micrometres, N×N, whatever they are
    /// scaled to: those of the variant's geometry, so that shuffled positions
    /// are shuffled here too.
    ///
    /// # Errors
    /// If there are no distances, or the geometry is not one of micrometres
    /// (a grid; coordinates scaled to the field's extent, or interleaved).
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

fn missing(what: &str) -> Error {
    Error::input(format!("this component needs {what}, and there is none here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micrometres_are_what_was_divided_out() {
        let distance = ndarray::array![[0.0_f32, 1.5], [1.5, 0.0]];
        let scaled = Setting { distance: Some(distance.view()), ..Setting::default() };
        let error = scaled.distance_um().unwrap_err();
        assert!(error.message.contains("micrometres") && error.help.unwrap().contains("soma"));
        let um = Setting { distance_unit_um: Some(200.0), ..scaled }.distance_um().unwrap();
        assert_eq!(um, ndarray::array![[0.0, 300.0], [300.0, 0.0]]);
        assert!(Setting::default().distance_um().unwrap_err().message.contains("distances between neurons"));
    }
}
