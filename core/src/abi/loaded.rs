//! The host's side: components of a loaded library as plain traits.

use std::path::Path;
use std::sync::Mutex;

use abi_stable::std_types::{ROption, RStr};
use ndarray::{ArrayView3, ArrayViewMut3, Ix2, Ix3};
use serde::de::DeserializeOwned;

use super::convert::{
    Part, batch_from_parcel, from_json, from_wire, json, lend, lend_mut, lend_setting, matrix_from_buf,
    state_from_parcel, substrate_parts, unpack, view_borrow, view_mut,
};
use super::events::host_log;
use super::last_call::entered;
use super::manifest::Manifest;
use super::wire::*;
use crate::{
    Batch, BatchView, Constraint, Error, Matrix, MatrixView, MatrixViewMut, Measure, Metric, Mode, Model,
    ModelInfo, Network, Outcome, Result, Setting, Substrate, SubstrateSource, Task, TaskInfo, Tensor,
    WeightRequest, WeightSource,
};

/// A plugin library whose module passed the layout check.
#[derive(Clone, Copy)]
pub struct Library {
    module: PluginModuleRef,
}

macro_rules! build {
    ($function:ident, $trait:ident) => {
        build!($function, $trait, |_object| -> Result<()> { Ok(()) });
    };
    ($function:ident, $trait:ident, $info:expr) => {
        #[doc = concat!("Builds a [`", stringify!($trait), "`] of this library from its id, a JSON object of parameters and a setting.")]
        ///
        /// # Errors
        /// If the component's constructor fails or panics.
        pub fn $function(&self, id: &str, params: &str, setting: &Setting<'_>) -> Result<Box<dyn $trait>> {
            entered(id, "build");
            let object = lend_setting(setting, [], |loan| {
                self.module.$function()(RStr::from_str(id), RStr::from_str(params), loan)
            })?;
            let object = from_wire(object)?;
            entered(id, "info");
            let info = ($info)(&object)?;
            Ok(Box::new(Loaded { id: id.to_owned(), object, info }))
        }
    };
}

impl Library {
    /// Wraps a module that passed the layout check, and connects its log to the
    /// host's.
    pub fn new(module: PluginModuleRef) -> Self {
        module.log_to()(host_log());
        Library { module }
    }

    /// The components that are compiled into the running program, behind the same
    /// wire as those of a loaded library.
    pub fn from_this_crate() -> Self {
        extern "C" fn manifest() -> abi_stable::std_types::RString {
            super::guard::manifest_json("this crate", "0.0.0", cfg!(panic = "unwind"))
        }
        Library { module: super::guard::module(manifest) }
    }

    /// The plugin's manifest.
    ///
    /// # Errors
    /// If the plugin does not return a valid one.
    pub fn manifest(&self) -> Result<Manifest> {
        let text = self.module.manifest()();
        from_json("a plugin's manifest", text.as_str()).map_err(|e| {
            Error::plugin(format!("the plugin's manifest cannot be read: {text}")).context(e.message)
        })
    }

    build!(substrate, SubstrateSource);
    build!(weights, WeightSource);
    build!(constraint, Constraint);
    build!(task, Task, |object: &TaskBox| -> Result<TaskInfo> {
        from_json("a task's description", &from_wire(object.info())?)
    });
    build!(model, Model, |object: &ModelBox| -> Result<ModelInfo> {
        from_json("a model's description", &from_wire(object.info())?)
    });
    build!(metric, Metric);
}

static CLOSE_FAILURES: Mutex<Vec<Error>> = Mutex::new(Vec::new());

/// Returns and clears the errors of components that failed in `drop`, which
/// itself cannot return them.
pub fn take_close_failures() -> Vec<Error> {
    match CLOSE_FAILURES.lock() {
        Ok(mut failures) => std::mem::take(&mut *failures),
        Err(_) => Vec::new(),
    }
}

/// The method that every wire object has.
trait Close {
    fn close_now(&mut self) -> WireResult<()>;
}

macro_rules! close {
    ($($object:ident),*) => {
        $(impl Close for $object {
            fn close_now(&mut self) -> WireResult<()> {
                self.close()
            }
        })*
    };
}
close!(SubstrateBox, WeightBox, ConstraintBox, TaskBox, ModelBox, MetricBox);

/// A wire object, with its id and its description.
struct Loaded<O: Close, I = ()> {
    id: String,
    object: O,
    info: I,
}

impl<O: Close, I> Drop for Loaded<O, I> {
    fn drop(&mut self) {
        entered(&self.id, "drop");
        if let Err(error) = from_wire(self.object.close_now()) {
            tracing::error!(component = self.id, "{error}");
            if let Ok(mut failures) = CLOSE_FAILURES.lock() {
                failures.push(error);
            }
        }
    }
}

impl<O: Close, I> Loaded<O, I> {
    fn malformed<T: DeserializeOwned>(&self, what: &str, text: &str) -> Result<T> {
        from_json(&format!("{what} of `{}`", self.id), text)
    }

    /// The value of a method that cannot fail in the plain trait; if it panicked,
    /// the error is logged and `otherwise` returned.
    fn or<T>(&self, answer: WireResult<T>, otherwise: T) -> T {
        from_wire(answer).unwrap_or_else(|error| {
            tracing::error!(component = self.id, "{error}");
            otherwise
        })
    }
}

impl SubstrateSource for Loaded<SubstrateBox> {
    fn substrate(&mut self, seed: u64) -> Result<Substrate> {
        entered(&self.id, "substrate");
        let parcel = from_wire(self.object.substrate(seed))?;
        unpack(&parcel, |header, received| {
            let header = self.malformed("a substrate", header)?;
            super::convert::receive_substrate(header, received)
        })
    }

    fn store(&mut self, substrate: &Substrate, folder: &Path) -> Result<()> {
        entered(&self.id, "store");
        let (header, parts) = substrate_parts(substrate);
        let folder = folder.to_string_lossy();
        from_wire(lend(&json(&header)?, &parts, |loan| self.object.store(loan, RStr::from_str(&folder))))
    }
}

impl WeightSource for Loaded<WeightBox> {
    fn weights(&mut self, request: &WeightRequest<'_>) -> Result<Matrix> {
        entered(&self.id, "weights");
        let setting = Setting {
            seed: request.seed,
            neurons: Some(request.neurons),
            substrate: request.substrate,
            ..Setting::default()
        };
        let extra = request.draw.map(|draw| Part::f64("draw", draw));
        let buf = lend_setting(&setting, extra, |loan| self.object.weights(loan))?;
        let weights = matrix_from_buf(from_wire(buf)?)?;
        let n = request.neurons;
        if weights.dim() != (n, n) {
            let (rows, columns) = weights.dim();
            return Err(Error::plugin(format!(
                "`{}` returned {rows}×{columns} weights for {n} neurons",
                self.id
            )));
        }
        Ok(weights)
    }
}

impl Constraint for Loaded<ConstraintBox> {
    fn penalty(&mut self, weights: MatrixView<'_>, gradient: MatrixViewMut<'_>) -> Result<f64> {
        entered(&self.id, "penalty");
        let weights = Part::f32("weights", weights);
        from_wire(lend_mut(gradient, |gradient| self.object.penalty(weights.wire(), gradient)))
    }

    fn project(&mut self, weights: MatrixViewMut<'_>) -> Result<()> {
        entered(&self.id, "project");
        from_wire(lend_mut(weights, |weights| self.object.project(weights)))
    }

    fn wants_activity(&self) -> bool {
        entered(&self.id, "wants_activity");
        self.or(self.object.wants_activity(), false)
    }

    fn activity_penalty(
        &mut self,
        activity: ArrayView3<'_, f32>,
        gradient: ArrayViewMut3<'_, f32>,
    ) -> Result<f64> {
        entered(&self.id, "activity_penalty");
        let activity = Part::f32("activity", activity);
        from_wire(lend_mut(gradient, |gradient| self.object.activity_penalty(activity.wire(), gradient)))
    }
}

impl Task for Loaded<TaskBox, TaskInfo> {
    fn info(&self) -> TaskInfo {
        self.info.clone()
    }

    fn trials(&mut self, count: usize, seed: u64) -> Result<Batch> {
        entered(&self.id, "trials");
        batch_from_parcel(&from_wire(self.object.trials(count, seed))?)
    }
}

impl Model for Loaded<ModelBox, ModelInfo> {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        entered(&self.id, "initialise");
        let recurrent = Part::f32("recurrent", recurrent);
        from_wire(self.object.initialise(recurrent.wire(), seed))
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode) -> Result<Outcome> {
        entered(&self.id, "forward");
        let parts = [
            Part::f32("inputs", batch.inputs),
            Part::u32("targets", batch.targets),
            Part::f32("mask", batch.mask),
            Part::u32("lengths", ndarray::aview1(batch.lengths)),
            Part::u32("conditions", ndarray::aview1(batch.conditions)),
        ];
        let (mode, noise_seed) = match mode {
            Mode::Train { noise_seed } => (TRAIN, noise_seed),
            Mode::Evaluate => (EVALUATE, 0),
            Mode::Record => (RECORD, 0),
        };
        let outcome = from_wire(lend("{}", &parts, |loan| self.object.forward(loan, mode, noise_seed)))?;
        Ok(Outcome { loss: outcome.loss, correct: outcome.correct, weight: outcome.weight })
    }

    fn plastic(&self) -> bool {
        entered(&self.id, "plastic");
        self.or(self.object.plastic(), true)
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        entered(&self.id, "activity");
        let lent = from_wire(self.object.activity())?;
        view_borrow::<Ix3>("activity", &lent.shape, lent.values)
    }

    fn backward(
        &mut self,
        activity: Option<ArrayView3<'_, f32>>,
        recurrent: ArrayViewMut3<'_, f32>,
    ) -> Result<()> {
        entered(&self.id, "backward");
        let activity = activity.map(|view| Part::f32("activity", view));
        from_wire(lend_mut(recurrent, |recurrent| {
            let activity = match &activity {
                Some(part) => ROption::RSome(part.wire()),
                None => ROption::RNone,
            };
            self.object.backward(activity, recurrent)
        }))
    }

    fn update(&mut self, recurrent: ArrayView3<'_, f32>) -> Result<()> {
        entered(&self.id, "update");
        let recurrent = Part::f32("gradient", recurrent);
        from_wire(self.object.update(recurrent.wire()))
    }

    fn recurrent(&self, block: usize) -> Result<MatrixView<'_>> {
        entered(&self.id, "recurrent");
        let lent = from_wire(self.object.recurrent(block))?;
        view_borrow::<Ix2>("recurrent", &lent.shape, lent.values)
    }

    fn recurrent_mut(&mut self, block: usize) -> Result<MatrixViewMut<'_>> {
        entered(&self.id, "recurrent_mut");
        view_mut::<Ix2>("recurrent", from_wire(self.object.recurrent_mut(block))?)
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        entered(&self.id, "state");
        Ok(state_from_parcel(from_wire(self.object.state())?))
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        entered(&self.id, "restore");
        let parts: Vec<_> = state.iter().map(Part::tensor).collect();
        from_wire(lend("{}", &parts, |loan| self.object.restore(loan)))
    }
}

impl Metric for Loaded<MetricBox> {
    fn wants_activity(&self) -> bool {
        entered(&self.id, "wants_activity");
        self.or(self.object.wants_activity(), false)
    }

    fn invariant(&self) -> bool {
        entered(&self.id, "invariant");
        self.or(self.object.invariant(), false)
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Vec<Measure>> {
        entered(&self.id, "measure");
        let setting = Setting { substrate: network.substrate, ..Setting::default() };
        let extra = [
            Some(Part::f32("recurrent", network.recurrent)),
            network.initial.map(|view| Part::f32("initial", view)),
            network.activity.map(|view| Part::f32("activity", view)),
            Some(Part::u32("conditions", ndarray::aview1(network.conditions))),
            Some(Part::u32("lengths", ndarray::aview1(network.lengths))),
        ];
        let text = lend_setting(&setting, extra.into_iter().flatten(), |loan| self.object.measure(loan))?;
        self.malformed("the measures", &from_wire(text)?)
    }
}
