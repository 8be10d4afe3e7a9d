//! Mock components with results that can be computed by hand.

use ndarray::{Array2, Array3, ArrayView3, ArrayViewMut3, Axis};
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
        /// Step size.
        rate: f32 = 0.1,
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
    fn penalty(&mut self, weights: MatrixView<'_>, mut gradient: MatrixViewMut<'_>) -> Result<f64> {
        gradient.scaled_add(2.0 * self.0.strength as f32, &weights);
        Ok(self.0.strength * weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>())
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>) -> Result<()> {
        weights.mapv_inplace(|w| w.max(self.0.least));
        Ok(())
    }

    fn wants_activity(&self) -> bool {
        self.0.activity > 0.0
    }

    fn activity_penalty(
        &mut self,
        activity: ArrayView3<'_, f32>,
        mut gradient: ArrayViewMut3<'_, f32>,
    ) -> Result<f64> {
        assert_eq!(activity.dim(), gradient.dim());
        assert!(gradient.iter().all(|&g| g == 0.0));
        gradient += self.0.activity as f32;
        Ok(self.0.activity * f64::from(activity.sum()))
    }
}

impl Task for Alternating {
    fn info(&self) -> TaskInfo {
        TaskInfo {
            inputs: 1,
            classes: self.0.classes,
            steps: 2,
            step_ms: None,
            conditions: vec!["even".into(), "odd".into()],
            levels: Levels { chance: 0.5, memoryless: Some(0.5), ideal: Some(1.0) },
        }
    }

    fn trials(&mut self, count: usize, _: u64) -> Result<Batch> {
        let mut batch = Batch::zeros(count, 2, 1);
        for trial in 0..count {
            batch.label_at_end(trial, (trial % 2) as u32);
            batch.conditions[trial] = (trial % 2) as u32;
        }
        if self.0.scored {
            let mut scored = Array2::zeros(batch.mask.dim());
            scored.column_mut(0).fill(2.0);
            batch.scored = Some(scored);
        }
        Ok(batch)
    }
}

/// Loss ½·Σ (w − target)², whatever the trials; always answers class 0.
/// Activity is the first weight, at every step, in every trial and neuron.
pub struct Bowl {
    params: Slope,
    weights: Array3<f32>,
    gradient_seen: bool,
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
        setting.classes()?;
        let n = setting.neurons()?;
        let weights = Array3::zeros((params.blocks, n, n));
        Ok(Bowl { params, weights, gradient_seen: false, activity: None })
    }
}

impl Model for Bowl {
    fn info(&self) -> ModelInfo {
        let (blocks, neurons, _) = self.weights.dim();
        let block_names = (0..blocks).map(|b| format!("block {b}")).collect();
        ModelInfo { neurons, blocks, block_names, parameters: self.weights.len() + 1 }
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, _: u64) -> Result<()> {
        self.weights.axis_iter_mut(Axis(0)).for_each(|mut block| block.assign(&recurrent));
        Ok(())
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Outcome> {
        let (trials, steps, _) = batch.dim();
        let mut loss: f64 =
            self.weights.iter().map(|&w| 0.5 * f64::from(w - self.params.target).powi(2)).sum();
        let keep = match mode {
            Mode::Train { noise_seed } => {
                loss += self.params.noise * (noise_seed % 1000) as f64;
                true
            }
            Mode::Evaluate => false,
            Mode::Record => true,
        };
        let n = self.weights.dim().1;
        self.activity = keep.then(|| Array3::from_elem((steps, trials, n), self.weights[[0, 0, 0]]));
        let weight = batch.mask.iter().map(|&m| f64::from(m)).sum();
        let right = |((trial, step), &mask): ((usize, usize), &f32)| {
            f64::from(mask) * f64::from(u8::from(batch.targets[[trial, step]] == 0))
        };
        Ok(Outcome { loss, correct: batch.mask.indexed_iter().map(right).sum(), weight })
    }

    fn plastic(&self) -> bool {
        !self.params.fixed
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        self.activity.as_ref().map(|a| a.view()).ok_or_else(|| Error::bug("nothing was recorded"))
    }

    fn backward(
        &mut self,
        activity: Option<ArrayView3<'_, f32>>,
        mut recurrent: ArrayViewMut3<'_, f32>,
    ) -> Result<()> {
        recurrent.assign(&(&self.weights - self.params.target));
        recurrent[[0, 0, 0]] += activity.map_or(0.0, |a| a.sum());
        self.gradient_seen = true;
        Ok(())
    }

    fn update(&mut self, recurrent: ArrayView3<'_, f32>) -> Result<()> {
        assert!(std::mem::take(&mut self.gradient_seen));
        if self.plastic() {
            self.weights.scaled_add(-self.params.rate, &recurrent);
        }
        Ok(())
    }

    fn recurrent(&self, block: usize) -> Result<MatrixView<'_>> {
        Ok(self.weights.index_axis(Axis(0), block))
    }

    fn recurrent_mut(&mut self, block: usize) -> Result<MatrixViewMut<'_>> {
        Ok(self.weights.index_axis_mut(Axis(0), block))
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        let tensor = |name: &str, shape: &[usize], values: Vec<f32>| Tensor {
            name: name.into(),
            shape: shape.into(),
            values,
        };
        Ok(vec![
            tensor("recurrent", self.weights.shape(), self.weights.iter().copied().collect()),
            tensor("bias", &[1], vec![0.5]),
            tensor("optimizer.step", &[1], vec![f32::NAN]),
        ])
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let recurrent = state.iter().find(|t| t.name == "recurrent");
        let recurrent = recurrent.ok_or_else(|| Error::input("there is no tensor `recurrent`"))?;
        self.weights.iter_mut().zip(&recurrent.values).for_each(|(to, from)| *to = *from);
        Ok(())
    }
}

impl Metric for Probe {
    fn wants_activity(&self) -> bool {
        self.0.kind == "activity"
    }

    fn measure(&mut self, network: &pallium_core::Network<'_>) -> Result<Vec<Measure>> {
        assert!(network.initial.is_some() && network.substrate.is_some());
        assert_eq!(network.activity.is_some(), self.wants_activity());
        Ok(vec![match self.0.kind.as_str() {
            "fails" => return Err(Error::input("the network is too small")),
            "undefined" => Measure::new("undefined", f64::NAN),
            "activity" => {
                let trials = network.activity.map_or(0, |a| a.dim().1);
                assert_eq!((trials, trials), (network.conditions.len(), network.lengths.len()));
                Measure::new("recorded", trials as f64)
            }
            _ => Measure::new("sum", f64::from(network.recurrent.sum())),
        }])
    }
}

/// A catalogue of all mock components.
pub fn catalogue() -> Catalogue {
    static ALL: [Registration; 6] = [
        Registration::substrate::<Neurons>(),
        Registration::weights::<Flat>(),
        Registration::constraint::<Ridge>(),
        Registration::task::<Alternating>(),
        Registration::model::<Bowl>(),
        Registration::metric::<Probe>(),
    ];
    Catalogue::in_process(&ALL)
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
        geometry: Geometry {
            space: Space::None,
            coordinate_layout: CoordinateLayout::Rows,
            coordinate_scale: CoordinateScale::Micrometre,
            distance_scale: DistanceScale::None,
            shuffled: false,
        },
        constraints: vec![Use::new("mock.ridge")],
        task_component: Use::new("mock.task"),
        model: Use::new("mock.model"),
        metrics: vec![Use::new("mock.metric")],
        training: Training { epochs: 2, trials: 5, validation: 3, test: 4, batch: 2, threads: 1 },
    }
}
