//! An Elman network; with `own_updates` only its read-out is trained, by itself.

use pallium_core::ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis, Zip, s};
use pallium_core::prelude::*;
use pallium_core::rand_distr::{Distribution, StandardNormal};
use pallium_core::serde_json::json;

use super::{conforms, fails, faulty};

pallium_core::params! {
    /// Parameters of the sample.
    pub struct Params {
        /// Whether the read-out alone is trained, by gradient descent with
        /// momentum.
        own_updates: bool = false,
        /// Whether units are rectified instead of saturating.
        rectified: bool = false,
        /// The promise to break.
        fault: String = String::new(),
    }
}

const RECURRENT: usize = 0;
const INPUT: usize = 1;
const BIAS: usize = 2;
const READOUT: usize = 3;
const READOUT_BIAS: usize = 4;

pub struct Sample {
    params: Params,
    infos: Vec<ParameterInfo>,
    weights: Vec<Matrix>,
    gradients: Vec<Matrix>,
    velocity: Vec<Matrix>,
    /// Inputs of the last training pass, steps first, with its scored steps.
    pass: Option<(Array3<f32>, Vec<Scored>)>,
    hidden: Option<Array3<f32>>,
    differentiated: bool,
    /// What a step that is never renewed would use.
    stale: Matrix,
}

impl Component for Sample {
    const ID: &'static str = "sample.model";
    const ABOUT: &'static str = "an Elman network";
    const CITE: &'static str = "Elman 1990";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        use ParameterKind::{Input, Other, Readout, Recurrent};
        let (n, c, k) = (setting.neurons()?, setting.inputs()?, setting.outputs()?);
        let shapes = [(n, n), (c, n), (1, n), (n, k), (1, k)];
        let names = ["recurrent", "input", "bias", "readout", "readout_bias"];
        let kinds = [Recurrent, Input, Other, Readout, Other];
        let described = names.into_iter().zip(shapes).zip(kinds).enumerate();
        let infos = described.map(|(index, ((name, (rows, columns)), kind))| {
            let info = ParameterInfo::new(name, [rows, columns], kind);
            if params.own_updates && index < READOUT { info.fixed() } else { info }
        });
        let zeros = || shapes.map(Matrix::zeros).to_vec();
        Ok(Sample {
            infos: infos.collect(),
            params,
            weights: zeros(),
            gradients: zeros(),
            velocity: zeros(),
            pass: None,
            hidden: None,
            differentiated: false,
            stale: Matrix::zeros((n, n)),
        })
    }
}

impl Sample {
    fn has(&self, fault: &str) -> bool {
        self.params.fault == fault
    }

    fn rate<A: pallium_core::ndarray::NdFloat>(&self, drive: A) -> A {
        if self.params.rectified { drive.max(A::zero()) } else { drive.tanh() }
    }

    /// The derivative of a rate, by the rate.
    fn slope<A: pallium_core::ndarray::NdFloat>(&self, rate: A) -> A {
        match self.params.rectified {
            true if rate > A::zero() => A::one(),
            true => A::zero(),
            false => A::one() - rate * rate,
        }
    }

    fn no_pass() -> Error {
        Error::input("there was no such pass before")
    }

    fn double(&self, index: usize) -> Array2<f64> {
        if index == RECURRENT && self.has("stale-step") {
            return self.stale.mapv(f64::from);
        }
        self.weights[index].mapv(f64::from)
    }
}

impl Model for Sample {
    fn info(&self) -> ModelInfo {
        let n = self.weights[RECURRENT].nrows();
        let mut info = ModelInfo::new(n, self.infos.clone());
        info.updates_itself = self.params.own_updates;
        info.states = vec![StatePart { name: "hidden".into(), length: n }];
        info.piecewise_linear = self.params.rectified || self.has("claims-linear");
        match self.params.fault.as_str() {
            "populations" => info.populations[0].units += 1,
            "names" => info.parameters[BIAS].name = "input".into(),
            "unknown-population" => info.parameters[RECURRENT].rows = "inhibitory".into(),
            "misses-one" => info.parameters[READOUT_BIAS].trained = true,
            _ => {}
        }
        info
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        let seed = if self.has("unseeded") { 1 } else { seed };
        let mut stream = random::stream(seed, Self::ID);
        for (index, weights) in self.weights.iter_mut().enumerate() {
            let scale = if weights.nrows() == 1 { 0.0 } else { 1.0 / (weights.nrows() as f32).sqrt() };
            if index != RECURRENT {
                weights.mapv_inplace(|_| {
                    let normal: f32 = StandardNormal.sample(&mut stream);
                    scale * normal
                });
            }
        }
        let given = if self.has("transposed") { recurrent.reversed_axes() } else { recurrent };
        self.weights[RECURRENT].assign(&given);
        self.stale.assign(&given);
        if !self.has("keeps-velocity") {
            self.velocity.iter_mut().for_each(|v| v.fill(0.0));
        }
        (self.pass, self.hidden, self.differentiated) = (None, None, false);
        Ok(())
    }

    fn forward(
        &mut self,
        batch: &BatchView<'_>,
        mode: Mode,
        mut outputs: ArrayViewMut2<'_, f32>,
    ) -> Result<()> {
        let (trials, steps, _) = batch.dim();
        let n = self.weights[RECURRENT].nrows();
        let inputs = batch.inputs.permuted_axes([1, 0, 2]).as_standard_layout().into_owned();
        let mut hidden = Array3::zeros((steps, trials, n));
        let mut h = Matrix::zeros((trials, n));
        for step in 0..steps {
            let drive = inputs.index_axis(Axis(0), step).dot(&self.weights[INPUT])
                + h.dot(&self.weights[RECURRENT])
                + &self.weights[BIAS];
            h = drive.mapv(|drive| self.rate(drive));
            for (trial, mut row) in h.rows_mut().into_iter().enumerate() {
                if step >= batch.lengths[trial] as usize && !self.has("padding") {
                    row.fill(0.0);
                }
            }
            hidden.index_axis_mut(Axis(0), step).assign(&h);
        }
        let mut scored: Vec<Scored> = batch.scored().collect();
        if self.has("row-order") {
            scored.sort_by_key(|at| (at.trial, at.step));
        }
        let count = scored.len();
        for (row, at) in
            scored.iter().enumerate().filter(|(row, _)| !self.has("unwritten") || row + 1 < count)
        {
            let h = hidden.slice(s![at.step, at.trial, ..]);
            let mut answer = h.dot(&self.weights[READOUT]) + self.weights[READOUT_BIAS].row(0);
            if self.has("sees-targets")
                && let TargetsView::Classes(classes) = batch.targets
            {
                answer[0] += classes[[at.trial, at.step]] as f32;
            }
            outputs.row_mut(row).assign(&answer);
        }
        if self.has("pass-changes") {
            self.weights[BIAS] += 1e-3;
        }
        if mode == Mode::Evaluate && !self.has("evaluation-disturbs") {
            return Ok(());
        }
        self.differentiated = false;
        if matches!(mode, Mode::Train { .. }) {
            self.pass = Some((inputs, scored));
        } else if mode == Mode::Record {
            // The activity of the training pass is overwritten.
            self.pass = None;
        }
        self.hidden = Some(hidden);
        Ok(())
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        if self.has("unwraps") {
            return Ok(self.hidden.as_ref().unwrap().view());
        }
        Ok(self.hidden.as_ref().ok_or_else(Self::no_pass)?.view())
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        let (Some((inputs, scored)), Some(hidden)) = (&self.pass, &self.hidden) else {
            return Err(Self::no_pass());
        };
        let (steps, trials, n) = hidden.dim();
        let fits = outputs.dim() == (scored.len(), self.weights[READOUT].ncols())
            && activity.is_none_or(|activity| activity.dim() == hidden.dim())
            && inputs.dim().0 == steps;
        if !fits {
            return Err(Error::input("the gradients do not have the shapes of the last training pass"));
        }
        if !self.has("accumulates") {
            self.gradients.iter_mut().for_each(|g| g.fill(0.0));
        }
        let mut own = Array3::zeros((steps, trials, n));
        for (at, error) in scored.iter().zip(outputs.rows()) {
            let h = hidden.slice(s![at.step, at.trial, ..]);
            own.slice_mut(s![at.step, at.trial, ..]).assign(&self.weights[READOUT].dot(&error));
            for (unit, &h) in h.iter().enumerate() {
                self.gradients[READOUT].row_mut(unit).scaled_add(h, &error);
            }
            self.gradients[READOUT_BIAS].row_mut(0).scaled_add(1.0, &error);
        }
        if let Some(activity) = activity
            && !self.has("ignores-term")
        {
            own += &activity;
        }
        let mut back = Matrix::zeros((trials, n));
        for step in (0..steps).rev() {
            let h = hidden.index_axis(Axis(0), step);
            back += &own.index_axis(Axis(0), step);
            let slope = Zip::from(&back).and(h).map_collect(|&back, &h| back * self.slope(h));
            self.gradients[INPUT] += &inputs.index_axis(Axis(0), step).t().dot(&slope);
            let factor = if self.has("bias-gradient") { 1.05 } else { 1.0 };
            self.gradients[BIAS].row_mut(0).scaled_add(factor, &slope.sum_axis(Axis(0)));
            if step > 0 {
                self.gradients[RECURRENT] += &hidden.index_axis(Axis(0), step - 1).t().dot(&slope);
            }
            back = slope.dot(&self.weights[RECURRENT].t());
        }
        self.differentiated = true;
        Ok(())
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        let named = self.infos.iter().zip(&self.weights);
        let lent = named.map(|(info, weights)| {
            let values = weights.as_slice().ok_or_else(Self::no_pass)?;
            Ok(TensorView { name: &info.name, shape: &info.shape, values })
        });
        lent.collect()
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        let lost = self.has("loses-writes");
        let from = if lost { &mut self.gradients } else { &mut self.weights };
        Ok(from.iter_mut().filter_map(|weights| weights.as_slice_mut()).collect())
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        if !self.differentiated {
            return Err(Self::no_pass());
        }
        let missing = if self.has("misses-one") { READOUT_BIAS } else { usize::MAX };
        let lent = self.weights.iter_mut().zip(&mut self.gradients).zip(&self.infos).enumerate();
        let lent = lent.filter(|(index, (_, info))| info.trained && *index != missing);
        let lent = lent.filter_map(|(index, ((weights, gradients), _))| {
            Some(LearnedMut { index, values: weights.as_slice_mut()?, gradient: gradients.as_slice_mut()? })
        });
        Ok(lent.collect())
    }

    fn update_itself(&mut self) -> Result<()> {
        if !self.params.own_updates {
            return Err(Error::plugin("an optimizer updates this model"));
        }
        if !self.differentiated {
            return Err(Self::no_pass());
        }
        for index in [READOUT, READOUT_BIAS] {
            let sign = if self.has("ascends") { -1.0 } else { 1.0 };
            let (velocity, gradient) = (&mut self.velocity[index], &self.gradients[index]);
            velocity.zip_mut_with(gradient, |v, &g| *v = 0.9 * *v - 0.1 * sign * g);
            self.weights[index] += &self.velocity[index];
        }
        if self.has("changes-fixed") {
            self.weights[RECURRENT] *= 0.99;
        }
        Ok(())
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        if !self.params.own_updates || self.has("no-state") {
            return Ok(Vec::new());
        }
        let velocity = self.velocity.iter().enumerate().skip(READOUT);
        Ok(velocity.map(|(at, v)| Tensor::from_view(format!("velocity.{at}"), v.view())).collect())
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        if !self.params.own_updates || self.has("no-state") {
            return Ok(());
        }
        for index in [READOUT, READOUT_BIAS] {
            let shape = self.velocity[index].shape().to_vec();
            let found = Tensor::find::<f32>(state, &format!("velocity.{index}"), &shape);
            let found = if self.has("lenient") { found.unwrap_or(&[]) } else { found? };
            self.velocity[index].iter_mut().zip(found).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let (n, c) = (self.weights[RECURRENT].nrows(), self.weights[INPUT].nrows());
        if states.ncols() != n || inputs.dim() != (states.nrows(), c) {
            return Err(Error::input("the states and inputs do not have the model's size"));
        }
        let drive = states.dot(&self.double(RECURRENT)) + inputs.dot(&self.double(INPUT)) + self.double(BIAS);
        Ok(drive.mapv(|drive| self.rate(drive)))
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        let rates = self.step(states, inputs)?;
        if cotangents.dim() != rates.dim() {
            return Err(Error::input("the cotangents do not have the model's size"));
        }
        let sums = &cotangents * &rates.mapv(|rate| self.slope(rate));
        let factor = if self.has("step-gradient") { 1.001 } else { 1.0 };
        Ok((sums.dot(&self.double(RECURRENT).t()) * factor, sums.dot(&self.double(INPUT).t())))
    }
}
pallium_core::register!(Model, Sample);

#[test]
fn models_that_keep_their_promises_conform() {
    conforms("sample.model", &json!({}), &["profiles", "fixed", "own updates", "connections"]);
    conforms(
        "sample.model",
        &json!({ "rectified": true }),
        &["profiles", "fixed", "own updates", "connections"],
    );
    conforms("sample.model", &json!({ "own_updates": true }), &["profiles", "gradient", "connections"]);
}

#[test]
fn broken_promises_of_models_are_found() {
    for (fault, check, message) in [
        ("populations", "description of the network", "its populations have 17 units"),
        ("names", "description of the network", "duplicate parameter `input`"),
        ("unknown-population", "description of the network", "the population `inhibitory`"),
        ("transposed", "description of the network", "but the given matrix is"),
        ("loses-writes", "lent parameters", "is not what `parameters` returns"),
        ("misses-one", "lent parameters", "does not lend `readout_bias`"),
        ("row-order", "outputs", "a trial alone has other outputs"),
        ("unwritten", "outputs", "is NaN at step"),
        ("sees-targets", "outputs", "other targets"),
        ("padding", "outputs", "it must be 0"),
        ("pass-changes", "passes", "a pass changes `bias`"),
        ("evaluation-disturbs", "passes", "an evaluation changes the activity"),
        ("accumulates", "passes", "another backward pass"),
        ("unseeded", "deterministic", "ignores its seed"),
        ("bias-gradient", "gradient", "in `bias`"),
        ("ignores-term", "gradient", "a term on activity"),
        ("stale-step", "step", "`step` leads unit"),
        ("step-gradient", "step", "value 0 of the states"),
        ("claims-linear", "step", "piecewise linear"),
        ("unwraps", "survives", "panic"),
    ] {
        faulty("sample.model", fault, check, message);
    }
}

#[test]
fn broken_promises_of_models_that_update_themselves_are_found() {
    for (fault, check, message) in [
        ("changes-fixed", "fixed", "`recurrent` changes in training"),
        ("ascends", "own updates", "increases along"),
        ("keeps-velocity", "deterministic", "does not reset `velocity.3`"),
        ("no-state", "restores", "after `restore` it differs"),
        ("lenient", "restores", "accepts a state without `velocity.3`"),
    ] {
        fails("sample.model", json!({ "own_updates": true, "fault": fault }), check, message);
    }
}
