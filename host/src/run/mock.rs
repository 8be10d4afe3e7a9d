//! Mock components with results that can be computed by hand.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3};
use pallium_core::prelude::*;
use pallium_core::{Registration, params};
use pallium_record::spec::{
    CellSpec, CoordinateLayout, CoordinateScale, DataSeed, DistanceScale, Geometry, Space, Training, Use,
};

use crate::plugins::Catalogue;

params! {
    /// The substrate's parameters.
    pub struct Nothing {
        /// Number of neurons.
        neurons: usize = 3,
        /// Path of data that are not read.
        path: String = String::new(),
    }
}
params! {
    /// Parameters of the weights.
    pub struct Scale {
        /// The value of every weight.
        scale: f32 = 1.0,
    }
}
params! {
    /// The task's parameters.
    pub struct Labels {
        /// Number of classes.
        classes: usize = 2,
        /// Whether the accuracy counts the first step, where class 0 is right.
        scored: bool = false,
    }
}
params! {
    /// The model's parameters.
    pub struct Slope {
        /// The minimum of the loss.
        target: f32 = 0.25,
        /// Number of blocks.
        blocks: usize = 1,
        /// Size of a part of the loss that depends on the noise's seed alone.
        noise: f64 = 0.0,
        /// Ends the process that builds it.
        panics: bool = false,
        /// Whether the weights never change.
        fixed: bool = false,
    }
}
params! {
    /// The optimizer's parameters.
    pub struct Step {
        /// Step size.
        rate: f32 = 0.1,
    }
}
params! {
    /// The constraint's parameters.
    pub struct Strength {
        /// Factor in front of Σ w².
        strength: f64 = 0.5,
        /// Smallest weight that the hard constraint allows.
        least: f32 = f32::MIN,
        /// Factor in front of the sum of activity.
        activity: f64 = 0.0,
    }
}
params! {
    /// The metric's parameters.
    pub struct Which {
        /// `fails`, `undefined`, `activity` or anything else.
        kind: String = "sum".into(),
    }
}

macro_rules! component {
    ($name:ident, $id:literal, $params:ty) => {
        #[derive(Debug)]
        pub struct $name($params);
        impl Component for $name {
            const ID: &'static str = $id;
            const ABOUT: &'static str = "for tests";
            const CITE: &'static str = "this work";
            type Params = $params;
            fn build(params: $params, _: &Setting<'_>) -> Result<Self> {
                Ok(Self(params))
            }
        }
    };
}
component!(Neurons, "mock.substrate", Nothing);
component!(Flat, "mock.weights", Scale);
component!(Ridge, "mock.ridge", Strength);
component!(Alternating, "mock.task", Labels);
component!(Probe, "mock.metric", Which);

impl SubstrateSource for Neurons {
    fn substrate(&mut self, _: u64) -> Result<Substrate> {
        Ok(Substrate { name: "mock".into(), neurons: self.0.neurons, ..Substrate::default() })
    }
}

impl WeightSource for Flat {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        if self.0.scale < 0.0 {
            return Err(Error::input("scale must be at least 0"));
        }
        Ok(Array2::from_elem((request.neurons, request.neurons), self.0.scale))
    }
}

impl Constraint for Ridge {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        mut gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        gradient.scaled_add(2.0 * self.0.strength as f32, &weights);
        Ok(self.0.strength * weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>())
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, _: &Point<'_>) -> Result<()> {
        weights.mapv_inplace(|w| w.max(self.0.least));
        Ok(())
    }

    fn wants_activity(&self) -> bool {
        self.0.activity > 0.0
    }

    fn activity_penalty(
        &mut self,
        activity: &Activity<'_>,
        mut gradient: ArrayViewMut3<'_, f32>,
    ) -> Result<f64> {
        assert_eq!(activity.values.dim(), gradient.dim());
        assert_eq!(activity.lengths.len(), gradient.dim().1);
        assert!(gradient.iter().all(|&g| g == 0.0));
        gradient += self.0.activity as f32;
        Ok(self.0.activity * f64::from(activity.values.sum()))
    }
}

impl Task for Alternating {
    fn info(&self) -> TaskInfo {
        let mut info = TaskInfo::values(1, self.0.classes - 1, 2, Loss::MeanSquaredError);
        info.judges = true;
        info.conditions = vec!["even".into(), "odd".into()];
        info.levels = Some(Levels { chance: 0.5, memoryless: Some(0.5), ideal: Some(1.0) });
        info
    }

    fn trials(&mut self, count: usize, _: u64) -> Result<Batch> {
        let mut batch = Batch::of_values(count, 2, 1, self.0.classes - 1);
        for trial in 0..count {
            batch.mask[[trial, 1]] = 1.0;
            batch.conditions[trial] = (trial % 2) as u32;
        }
        if self.0.scored {
            let mut scored = Array2::zeros(batch.mask.dim());
            scored.column_mut(0).fill(2.0);
            batch.scored = Some(scored);
        }
        Ok(batch)
    }

    /// The first class is always answered, and right in even trials, and at every
    /// first step.
    fn judge(&mut self, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        assert_eq!(outputs.nrows(), batch.scored().count());
        Ok(batch.scored().map(|at| at.step == 0 || batch.conditions[at.trial] == 0).collect())
    }
}

/// The output is the root of ½·Σ (w − target)², whatever the trials, and the
/// targets are 0: so the loss is ½·Σ (w − target)². Activity is the first weight,
/// at every step, in every trial and unit.
pub struct Bowl {
    params: Slope,
    parameters: Vec<ParameterInfo>,
    /// blocks × N × N.
    weights: Array3<f32>,
    gradient: Array3<f32>,
    bias: [f32; 1],
    ready: bool,
    activity: Option<Array3<f32>>,
}

impl Component for Bowl {
    const ID: &'static str = "mock.model";
    const ABOUT: &'static str = "for tests";
    const CITE: &'static str = "this work";
    type Params = Slope;
    fn build(params: Slope, setting: &Setting<'_>) -> Result<Self> {
        if params.panics {
            return Err(Error::new(pallium_core::Kind::Panic, "it panicked"));
        }
        setting.inputs()?;
        setting.outputs()?;
        let n = setting.neurons()?;
        let names =
            (0..params.blocks).map(|b| if b == 0 { "recurrent".into() } else { format!("block_{b}") });
        let mut parameters: Vec<_> = names
            .map(|name: String| {
                let block = ParameterInfo::new(name, [n, n], ParameterKind::Recurrent);
                if params.fixed { block.fixed() } else { block }
            })
            .collect();
        parameters.push(ParameterInfo::new("bias", [1], ParameterKind::Other).fixed());
        let zeros = || Array3::zeros((params.blocks, n, n));
        let (weights, gradient) = (zeros(), zeros());
        Ok(Bowl { params, parameters, weights, gradient, bias: [0.5], ready: false, activity: None })
    }
}

impl Bowl {
    fn output(&self, noise: f64) -> f64 {
        let squares = self.weights.iter().map(|&w| 0.5 * f64::from(w - self.params.target).powi(2));
        (squares.sum::<f64>() + noise).sqrt()
    }
}

fn parts(blocks: &mut Array3<f32>) -> impl Iterator<Item = &mut [f32]> {
    let size = blocks.dim().1 * blocks.dim().2;
    blocks.as_slice_mut().unwrap().chunks_exact_mut(size)
}

impl Model for Bowl {
    fn info(&self) -> ModelInfo {
        ModelInfo::new(self.weights.dim().1, self.parameters.clone())
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, _: u64) -> Result<()> {
        self.weights.outer_iter_mut().for_each(|mut block| block.assign(&recurrent));
        Ok(())
    }

    fn forward(
        &mut self,
        batch: &BatchView<'_>,
        mode: Mode,
        mut outputs: ArrayViewMut2<'_, f32>,
    ) -> Result<()> {
        let (trials, steps, _) = batch.dim();
        let noise = match mode {
            Mode::Train { noise_seed } => self.params.noise * (noise_seed % 1000) as f64,
            _ => 0.0,
        };
        outputs.fill(self.output(noise) as f32);
        let n = self.weights.dim().1;
        let keep = mode != Mode::Evaluate;
        self.activity = keep.then(|| Array3::from_elem((steps, trials, n), self.weights[[0, 0, 0]]));
        Ok(())
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        self.activity.as_ref().map(|a| a.view()).ok_or_else(|| Error::bug("nothing was recorded"))
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        let slope = f64::from(outputs.sum()) / (2.0 * self.output(0.0));
        self.gradient = self.weights.mapv(|w| (slope * f64::from(w - self.params.target)) as f32);
        self.gradient[[0, 0, 0]] += activity.map_or(0.0, |a| a.sum());
        self.ready = true;
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let size = self.weights.dim().1 * self.weights.dim().2;
        let blocks = self.weights.as_slice().unwrap().chunks_exact(size).chain([&self.bias[..]]);
        let named = self.parameters.iter().zip(blocks);
        Ok(named.map(|(info, values)| TensorView { name: &info.name, shape: &info.shape, values }).collect())
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        Ok(parts(&mut self.weights).chain([&mut self.bias[..]]).collect())
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        assert!(std::mem::take(&mut self.ready));
        if self.params.fixed {
            return Ok(Vec::new());
        }
        let lent = parts(&mut self.weights).zip(parts(&mut self.gradient)).enumerate();
        Ok(lent.map(|(index, (values, gradient))| LearnedMut { index, values, gradient }).collect())
    }
}

component!(Descent, "mock.optimizer", Step);

impl Optimizer for Descent {
    fn update(&mut self, parameters: &mut [Learned<'_>], _: &Moment) -> Result<()> {
        for parameter in parameters {
            parameter.values.iter_mut().zip(parameter.gradient).for_each(|(w, g)| *w -= self.0.rate * g);
        }
        Ok(())
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        // A count beyond what f32 holds, and no number.
        Ok(vec![Tensor::new("count", [1], vec![u64::MAX]), Tensor::new("odd", [1], vec![f32::NAN])])
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        assert!(state.is_empty() || Tensor::find::<u64>(state, "count", &[1])? == [u64::MAX]);
        Ok(())
    }
}

impl Metric for Probe {
    fn wants_activity(&self) -> bool {
        self.0.kind == "activity"
    }

    fn measure(&mut self, network: &pallium_core::Network<'_>) -> Result<Measures> {
        assert!(network.initial.is_some() && network.substrate.is_some());
        assert_eq!(network.activity.is_some(), self.wants_activity());
        Ok(vec![match self.0.kind.as_str() {
            "fails" => return Err(Error::input("the network is too small")),
            "undefined" => Measure::new("undefined", f64::NAN),
            "taken" => Measure::new("accuracy", 1.0),
            "activity" => {
                let trials = network.activity.map_or(0, |a| a.dim().1);
                assert_eq!((trials, trials), (network.conditions.len(), network.lengths.len()));
                Measure::new("recorded", trials as f64)
            }
            _ => Measure::new("sum", f64::from(network.recurrent.sum())),
        }]
        .into())
    }
}

/// A catalogue of all mock components.
pub fn catalogue() -> Catalogue {
    static ALL: [Registration; 7] = [
        Registration::substrate::<Neurons>(),
        Registration::weights::<Flat>(),
        Registration::constraint::<Ridge>(),
        Registration::task::<Alternating>(),
        Registration::model::<Bowl>(),
        Registration::optimizer::<Descent>(),
        Registration::metric::<Probe>(),
    ];
    Catalogue::in_process(&ALL).unwrap()
}

/// A component with one parameter set.
pub fn with(id: &str, name: &str, value: impl Into<serde_json::Value>) -> Use {
    let mut component = Use::new(id);
    component.params.insert(name.into(), value.into());
    component
}

/// A small cell: 5 trials in batches of 2, two epochs.
pub fn spec() -> CellSpec {
    CellSpec {
        variant: "W*D".into(),
        task: "alternating".into(),
        run: 0,
        seed: 7,
        data_seed: DataSeed::Shared,
        substrate: Use::new("mock.substrate"),
        weights: Use::new("mock.weights"),
        connections: None,
        null: None,
        geometry: Geometry {
            space: Space::None,
            coordinate_layout: CoordinateLayout::Rows,
            coordinate_scale: CoordinateScale::Micrometre,
            distance_scale: DistanceScale::None,
            shuffled: false,
        },
        constraints: vec![Use::new("mock.ridge")],
        task_component: Use::new("mock.task"),
        curriculum: vec![],
        members: None,
        model: Use::new("mock.model"),
        optimizer: Use::new("mock.optimizer"),
        metrics: vec![Use::new("mock.metric")],
        training: Training::new(2, 5, 3, 4, 2),
    }
}
