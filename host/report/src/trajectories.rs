//! Paths of the conditions in the principal components of activity, with fixed points.
//!
//! They are read from the arrays that metrics stored with a training, whatever metrics
//! these are: components (`components`, `mean`, `paths`) and fixed points (`points`, `q`,
//! `stable`).

use std::fs;
use std::path::Path;

use ndarray::{Array2, Array3, ArrayView1, Ix2, Ix3, s};
use pallium_core::Values;
use pallium_record::safetensors_file::from_bytes;
use pallium_record::training::TrainingFile;
use safetensors::SafeTensors;

use crate::folder::RunFolder;
use crate::network::TrainedNetwork;

/// The paths of one network.
#[derive(Clone, Debug)]
pub struct Trajectories {
    /// Index of the variant.
    pub variant: usize,
    /// Index of the task.
    pub task: usize,
    /// The run.
    pub run: u32,
    /// Names of the conditions.
    pub conditions: Vec<String>,
    /// The first two components of each condition's mean activity, conditions × steps × 2;
    /// NaN past the end.
    pub paths: Array3<f64>,
    /// Shares of variance of these components.
    pub explained: [f64; 2],
    /// Fixed and slow points.
    pub points: Vec<FixedPoint>,
}

/// A fixed or slow point in the plane of two components.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedPoint {
    /// Its place.
    pub at: [f64; 2],
    /// ½·|F(x) − x|².
    pub q: f64,
    /// Whether all directions are stable.
    pub stable: bool,
}

impl FixedPoint {
    /// Whether activity stays there, and does not only pass slowly.
    pub fn is_fixed(&self) -> bool {
        self.q <= FIXED
    }
}

/// Largest q of a fixed point, as FixedPointFinder's.
const FIXED: f64 = 1e-12;

/// The arrays of a metric.
struct Arrays(Vec<(String, Vec<usize>, Vec<f64>)>);

impl Arrays {
    fn read(file: &Path) -> Option<Self> {
        let bytes = fs::read(file).ok()?;
        let tensors = SafeTensors::deserialize(&bytes).ok()?;
        let all = tensors.iter().filter_map(|(name, view)| {
            let values = match from_bytes(view.dtype(), view.data())? {
                Values::F64(values) => values,
                Values::U32(values) => values.into_iter().map(f64::from).collect(),
                Values::U8(values) => values.into_iter().map(f64::from).collect(),
                Values::F32(values) => values.into_iter().map(f64::from).collect(),
                _ => return None,
            };
            Some((name.to_owned(), view.shape().to_vec(), values))
        });
        Some(Arrays(all.collect()))
    }

    fn values(&self, name: &str) -> Option<&[f64]> {
        self.0.iter().find(|array| array.0 == name).map(|array| array.2.as_slice())
    }

    fn array<D: ndarray::Dimension>(&self, name: &str) -> Option<ndarray::Array<f64, D>> {
        let (_, shape, values) = self.0.iter().find(|array| array.0 == name)?;
        let array = ndarray::ArrayD::from_shape_vec(shape.clone(), values.clone()).ok()?;
        array.into_dimensionality().ok()
    }
}

/// The paths of the networks whose metrics stored them.
pub fn read(run: &RunFolder, networks: &[TrainedNetwork]) -> Vec<Trajectories> {
    let about = |network: &TrainedNetwork| {
        let mut own = run.group(network.variant, network.task);
        own.find(|result| result.run == network.run)?.about.as_ref()
    };
    networks.iter().filter_map(|network| trajectories(network, about(network)?)).collect()
}

fn trajectories(network: &TrainedNetwork, about: &TrainingFile) -> Option<Trajectories> {
    let mut files: Vec<_> = fs::read_dir(about.folder.join("measures"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "safetensors"))
        .collect();
    files.sort();
    let all: Vec<Arrays> = files.iter().filter_map(|file| Arrays::read(file)).collect();
    let (components, mean, paths) = all.iter().find_map(|arrays| {
        let components: Array2<f64> = arrays.array::<Ix2>("components")?;
        let paths: Array3<f64> = arrays.array::<Ix3>("paths")?;
        let mean = arrays.values("mean")?;
        let fits = components.nrows() >= 2 && components.ncols() == mean.len() && paths.dim().2 >= 2;
        fits.then_some((components, arrays, paths))
    })?;
    let (mean, arrays): (&[f64], &Arrays) = (mean.values("mean")?, mean);
    let explained = arrays.values("explained").unwrap_or_default();
    let explained = [0, 1].map(|at| explained.get(at).copied().unwrap_or(f64::NAN));
    let name = |&condition: &f64| {
        let names = &about.task_info.conditions;
        names.get(condition as usize).cloned().unwrap_or_else(|| format!("condition {condition}"))
    };
    let conditions: Vec<String> = arrays.values("conditions")?.iter().map(name).collect();
    let points = all.iter().find_map(|arrays| {
        let points: Array2<f64> = arrays.array::<Ix2>("points")?;
        let (q, stable) = (arrays.values("q")?, arrays.values("stable")?);
        // The activity comes first in a state.
        if points.ncols() < mean.len() || q.len() != points.nrows() || stable.len() != q.len() {
            return None;
        }
        let place = |state: ArrayView1<'_, f64>| {
            let centred = &state.slice(s![..mean.len()]) - &ArrayView1::from(mean);
            [0, 1].map(|at| components.row(at).dot(&centred))
        };
        let rows = points.outer_iter().zip(q).zip(stable);
        Some(
            rows.map(|((state, &q), &stable)| FixedPoint { at: place(state), q, stable: stable > 0.0 })
                .collect::<Vec<_>>(),
        )
    });
    (paths.dim().0 == conditions.len()).then(|| Trajectories {
        variant: network.variant,
        task: network.task,
        run: network.run,
        conditions,
        paths: paths.slice(s![.., .., ..2]).to_owned(),
        explained,
        points: points.unwrap_or_default(),
    })
}
