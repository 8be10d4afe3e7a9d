//! The host's side: components of a loaded library as plain traits.

use std::path::Path;
use std::sync::Mutex;

use abi_stable::erased_types::TD_Opaque;
use abi_stable::std_types::{RBox, RSlice, RStr, RString, RVec};
use ndarray::{Array2, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, Ix2};
use serde::de::DeserializeOwned;

use super::convert::{
    Part, Received, batch_from_parcel, batch_parts, borrow_mut, buf, buf_to_array, connection_parts,
    from_json, from_wire, json, lend, lend_mut, lend_setting, parcel_of, receive_substrate, slice_mut,
    substrate_parts, tensors_from_parcel, to_wire, unpack, values, view,
};
use super::events::host_log;
use super::headers::{ConstraintWants, MeasuresHeader, MetricWants, MomentHeader, PointHeader};
use super::last_call::entered;
use super::manifest::Manifest;
use super::wire::*;
use crate::{
    Activity, Batch, BatchView, Constraint, Description, Dynamics, Error, Learned, LearnedMut, Matrix,
    MatrixView, MatrixViewMut, Measures, Metric, Mode, Model, ModelInfo, Moment, Network, Optimizer, Point,
    Result, Rewiring, RewiringView, Setting, SparseWeights, Split, Substrate, SubstrateSource, SubstrateView,
    Task, TaskInfo, Tensor, TensorView, WeightRequest, WeightSource,
};

/// A plugin library whose module passed the layout check.
#[derive(Clone, Copy)]
pub struct Library {
    module: PluginModuleRef,
}

macro_rules! build {
    ($function:ident, $trait:ident) => {
        build!($function, $trait, |_id, _object| -> Result<()> { Ok(()) });
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
            let info = ($info)(id, &object)?;
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

    /// The description of a component with these parameters (a JSON object), if it
    /// depends on them.
    ///
    /// # Errors
    /// If a parameter is wrong, or names something that cannot be read.
    pub fn describe(&self, id: &str, params: &str) -> Result<Option<Description>> {
        entered(id, "describe");
        let text = from_wire(self.module.describe()(RStr::from_str(id), RStr::from_str(params)))?;
        from_json(&format!("the description of `{id}`"), &text)
    }

    build!(substrate, SubstrateSource);
    build!(weights, WeightSource);
    build!(constraint, Constraint, |id: &str, object: &ConstraintBox| -> Result<ConstraintWants> {
        from_json(&format!("what the constraint `{id}` wants"), &from_wire(object.wants())?)
    });
    build!(task, Task, |id: &str, object: &TaskBox| -> Result<TaskInfo> {
        from_json(&format!("the description of the task `{id}`"), &from_wire(object.info())?)
    });
    build!(model, Model, |id: &str, object: &ModelBox| -> Result<ModelInfo> {
        from_json(&format!("the description of the model `{id}`"), &from_wire(object.info())?)
    });
    build!(optimizer, Optimizer);
    build!(metric, Metric, |id: &str, object: &MetricBox| -> Result<MetricWants> {
        from_json(&format!("what the metric `{id}` wants"), &from_wire(object.wants())?)
    });
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
close!(SubstrateBox, WeightBox, ConstraintBox, TaskBox, ModelBox, OptimizerBox, MetricBox);

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
}

/// The values of an array that the callee lends.
fn lent<'a>(lent: WireBorrow<'a>) -> Result<(Vec<usize>, &'a [f32])> {
    // Only the shape is local; the values live as long as the loan.
    let tensor = WireTensor { name: lent.name, code: lent.code, shape: RSlice::EMPTY, bytes: lent.bytes };
    Ok((lent.shape.to_vec(), values(&tensor)?))
}

impl SubstrateSource for Loaded<SubstrateBox> {
    fn substrate(&mut self, seed: u64) -> Result<Substrate> {
        entered(&self.id, "substrate");
        let parcel = from_wire(self.object.substrate(seed))?;
        unpack(&parcel, |header, received| {
            let header = self.malformed("a substrate", header)?;
            Ok(receive_substrate(header, received)?.into_owned())
        })
    }

    fn store(&mut self, substrate: &SubstrateView<'_>, folder: &Path) -> Result<()> {
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
        let extra = request.draw.map(|draw| Part::new("draw", draw));
        let buf = lend_setting(&setting, extra, |loan| self.object.weights(loan))?;
        let weights: Matrix = buf_to_array(&from_wire(buf)?)?;
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

    fn sparse(&mut self, request: &WeightRequest<'_>) -> Result<SparseWeights> {
        entered(&self.id, "sparse");
        let setting = Setting {
            seed: request.seed,
            neurons: Some(request.neurons),
            substrate: request.substrate,
            connections: request.connections,
            ..Setting::default()
        };
        let parcel = from_wire(lend_setting(&setting, [], |loan| self.object.sparse(loan))?)?;
        let weights = unpack(&parcel, |_, received| {
            Ok(SparseWeights {
                connections: self.connections(received)?,
                values: received.list::<f32>("values")?.to_vec(),
            })
        })?;
        let n = request.neurons;
        let asked = request.connections.is_none_or(|pairs| pairs == weights.connections.view());
        if weights.connections.view().dim() != (n, n) || !asked {
            return Err(Error::plugin(format!(
                "`{}` returned weights on other connections than requested",
                self.id
            )));
        }
        weights.check().map_err(|e| e.context(format!("the weights of `{}`", self.id)))?;
        Ok(weights)
    }
}

impl<O: Close, I> Loaded<O, I> {
    /// The connections that the component returned.
    fn connections(&self, received: &Received<'_>) -> Result<crate::Connections> {
        let found = received.connections()?;
        found
            .map(crate::ConnectionsView::to_owned)
            .ok_or_else(|| Error::plugin(format!("`{}` returned no connections", self.id)))
    }
}

/// Tells a component of a change of connections.
fn tell<R>(change: &RewiringView<'_>, call: impl FnOnce(WireLoan<'_>) -> R) -> R {
    let mut parts = connection_parts(change.connections);
    parts.push(Part::slice("origin", change.origin));
    parts.push(Part::owned("before", vec![change.before as u64]));
    parts.extend(change.distance.map(|distance| Part::new("distance", distance)));
    lend("{}", &parts, call)
}

/// The header and the arrays of a point.
fn point_parts<'a>(at: &Point<'a>) -> Result<(RString, Vec<Part<'a>>)> {
    let initial = at.initial.map(|view| Part::new("initial", view));
    let loss_gradient = at.loss_gradient.map(|view| Part::new("loss gradient", view));
    let connections = at.connections.into_iter().flat_map(connection_parts);
    Ok((json(&PointHeader::new(at))?, initial.into_iter().chain(loss_gradient).chain(connections).collect()))
}

impl Constraint for Loaded<ConstraintBox, ConstraintWants> {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        at: &Point<'_>,
    ) -> Result<f64> {
        entered(&self.id, "penalty");
        let (header, mut parts) = point_parts(at)?;
        parts.push(Part::new("weights", weights));
        from_wire(lend_mut(gradient, |gradient| {
            lend(&header, &parts, |at| self.object.penalty(at, gradient))
        }))
    }

    fn project(&mut self, weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        entered(&self.id, "project");
        let (header, parts) = point_parts(at)?;
        from_wire(lend_mut(weights, |weights| lend(&header, &parts, |at| self.object.project(weights, at))))
    }

    fn wants_activity(&self) -> bool {
        self.info.activity
    }

    fn wants_loss_gradient(&self) -> bool {
        self.info.loss_gradient
    }

    fn activity_penalty(&mut self, activity: &Activity<'_>, gradient: ArrayViewMut3<'_, f32>) -> Result<f64> {
        entered(&self.id, "activity_penalty");
        let parts = [Part::new("activity", activity.values), Part::slice("lengths", activity.lengths)];
        from_wire(lend_mut(gradient, |gradient| {
            lend("{}", &parts, |activity| self.object.activity_penalty(activity, gradient))
        }))
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        entered(&self.id, "state");
        tensors_from_parcel(&from_wire(self.object.state())?)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        entered(&self.id, "restore");
        let parts: Vec<_> = state.iter().map(Part::tensor).collect();
        from_wire(lend("{}", &parts, |loan| self.object.restore(loan)))
    }

    fn rewires(&self) -> bool {
        self.info.rewires
    }

    fn rewire(&mut self, weights: MatrixView<'_>, at: &Point<'_>) -> Result<Option<Rewiring>> {
        entered(&self.id, "rewire");
        let (header, mut parts) = point_parts(at)?;
        parts.push(Part::new("weights", weights));
        let parcel = from_wire(lend(&header, &parts, |at| self.object.rewire(at)))?;
        if parcel.tensors.is_empty() {
            return Ok(None);
        }
        let change = unpack(&parcel, |_, received| {
            Ok(Rewiring {
                connections: self.connections(received)?,
                origin: received.list::<i64>("origin")?.to_vec(),
                values: received.list::<f32>("values")?.to_vec(),
            })
        })?;
        change.check(at.connections()?).map_err(|e| e.context(format!("from `{}`", self.id)))?;
        Ok(Some(change))
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        entered(&self.id, "rewired");
        from_wire(tell(change, |loan| self.object.rewired(loan)))
            .map_err(|e| e.context(format!("`{}`", self.id)))
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

    fn trials_of(&mut self, split: Split, count: usize, seed: u64) -> Result<Batch> {
        entered(&self.id, "trials_of");
        let number = Split::ALL.iter().position(|&known| known == split).unwrap_or_default() as u8;
        batch_from_parcel(&from_wire(self.object.trials_of(number, count, seed))?)
    }

    fn judge(&mut self, batch: &BatchView<'_>, outputs: ArrayView2<'_, f32>) -> Result<Vec<bool>> {
        entered(&self.id, "judge");
        let rows = outputs.nrows();
        let outputs = Part::new("outputs", outputs);
        let judged =
            from_wire(lend("{}", &batch_parts(batch), |loan| self.object.judge(loan, outputs.wire())))?;
        if judged.len() != rows {
            return Err(Error::plugin(format!("`{}` judged {} of {rows} answers", self.id, judged.len())));
        }
        Ok(judged.into_iter().map(|correct| correct != 0).collect())
    }

    fn react(&mut self, batch: Batch, step: usize, outputs: ArrayView2<'_, f32>) -> Result<Batch> {
        entered(&self.id, "react");
        let outputs = Part::new("outputs", outputs);
        let view = batch.view();
        let mut parts = batch_parts(&view);
        parts.extend(batch.scored.as_ref().map(|scored| Part::new("scored", scored.view())));
        let changed = lend("{}", &parts, |loan| self.object.react(loan, step, outputs.wire()));
        batch_from_parcel(&from_wire(changed)?)
    }
}

impl Model for Loaded<ModelBox, ModelInfo> {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn initialise(&mut self, recurrent: MatrixView<'_>, seed: u64) -> Result<()> {
        entered(&self.id, "initialise");
        let recurrent = Part::new("recurrent", recurrent);
        from_wire(self.object.initialise(recurrent.wire(), seed))
    }

    fn forward(&mut self, batch: &BatchView<'_>, mode: Mode, outputs: ArrayViewMut2<'_, f32>) -> Result<()> {
        entered(&self.id, "forward");
        let (mode, noise_seed) = match mode {
            Mode::Train { noise_seed } => (TRAIN, noise_seed),
            Mode::Evaluate => (EVALUATE, 0),
            Mode::Record => (RECORD, 0),
        };
        from_wire(lend_mut(outputs, |outputs| {
            lend("{}", &batch_parts(batch), |loan| self.object.forward(loan, mode, noise_seed, outputs))
        }))
    }

    fn activity(&self) -> Result<ArrayView3<'_, f32>> {
        entered(&self.id, "activity");
        let (shape, values) = lent(from_wire(self.object.activity())?)?;
        let count = values.len();
        ArrayView3::from_shape(three(&shape).unwrap_or_default(), values).map_err(|_| {
            Error::plugin(format!("`activity` is malformed: shape {shape:?} with {count} values"))
        })
    }

    fn backward(
        &mut self,
        outputs: ArrayView2<'_, f32>,
        activity: Option<ArrayView3<'_, f32>>,
    ) -> Result<()> {
        entered(&self.id, "backward");
        let outputs = Part::new("outputs", outputs);
        let activity = activity.map(|view| Part::new("activity", view));
        from_wire(self.object.backward(outputs.wire(), activity.as_ref().map(Part::wire).into()))
    }

    fn parameters(&self) -> Result<Vec<TensorView<'_>>> {
        entered(&self.id, "parameters");
        let found = from_wire(self.object.parameters())?;
        self.count("parameters", found.len())?;
        self.info
            .parameters
            .iter()
            .zip(found)
            .map(|(info, found)| {
                let name = found.name.as_str();
                let (shape, values) = lent(found)?;
                if name != info.name || shape != info.shape {
                    return Err(Error::plugin(format!(
                        "`{}` lends the parameter `{name}` of shape {shape:?} as its parameter `{}` of shape {:?}",
                        self.id, info.name, info.shape
                    )));
                }
                self.length(name, info.len(), values.len())?;
                Ok(TensorView { name: &info.name, shape: &info.shape, values })
            })
            .collect()
    }

    fn parameters_mut(&mut self) -> Result<Vec<&mut [f32]>> {
        entered(&self.id, "parameters_mut");
        let (id, infos) = (&self.id, &self.info.parameters);
        let found = from_wire(self.object.parameters_mut())?;
        if found.len() != infos.len() {
            return Err(Error::plugin(format!(
                "`{id}` lends {} of its {} parameters",
                found.len(),
                infos.len()
            )));
        }
        found
            .into_iter()
            .zip(infos)
            .map(|(found, info)| slice_of(id, &info.name, info.len(), found))
            .collect()
    }

    fn learned(&mut self) -> Result<Vec<LearnedMut<'_>>> {
        entered(&self.id, "learned");
        let (id, infos) = (&self.id, &self.info.parameters);
        from_wire(self.object.learned())?
            .into_iter()
            .map(|WireLearned { index, values, gradient }| {
                let info = infos.get(index).ok_or_else(|| {
                    Error::plugin(format!("`{id}` has no parameter number {index}, which it says it learned"))
                })?;
                Ok(LearnedMut {
                    index,
                    values: slice_of(id, &info.name, info.len(), values)?,
                    gradient: slice_of(id, &info.name, info.len(), gradient)?,
                })
            })
            .collect()
    }

    fn update_itself(&mut self) -> Result<()> {
        entered(&self.id, "update_itself");
        from_wire(self.object.update_itself())
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        entered(&self.id, "state");
        tensors_from_parcel(&from_wire(self.object.state())?)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        entered(&self.id, "restore");
        let parts: Vec<_> = state.iter().map(Part::tensor).collect();
        from_wire(lend("{}", &parts, |loan| self.object.restore(loan)))
    }

    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        entered(&self.id, "step");
        let (states, inputs) = (Part::new("states", states), Part::new("inputs", inputs));
        buf_to_array(&from_wire(self.object.step(states.wire(), inputs.wire()))?)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        entered(&self.id, "step_gradient");
        let (states, inputs) = (Part::new("states", states), Part::new("inputs", inputs));
        let cotangents = Part::new("cotangents", cotangents);
        let parcel = from_wire(self.object.step_gradient(states.wire(), inputs.wire(), cotangents.wire()))?;
        unpack(&parcel, |_, received| {
            Ok((
                received.array::<f64, Ix2>("states")?.to_owned(),
                received.array::<f64, Ix2>("inputs")?.to_owned(),
            ))
        })
    }

    fn rewired(&mut self, change: &RewiringView<'_>) -> Result<()> {
        entered(&self.id, "rewired");
        from_wire(tell(change, |loan| self.object.rewired(loan)))
            .map_err(|e| e.context(format!("`{}`", self.id)))
    }
}

impl Loaded<ModelBox, ModelInfo> {
    fn count(&self, what: &str, found: usize) -> Result<()> {
        let stated = self.info.parameters.len();
        if found == stated {
            return Ok(());
        }
        Err(Error::plugin(format!("`{}` lends {found} {what}, but states {stated}", self.id)))
    }

    fn length(&self, name: &str, stated: usize, found: usize) -> Result<()> {
        length(&self.id, name, stated, found)
    }
}

fn length(id: &str, name: &str, stated: usize, found: usize) -> Result<()> {
    if found == stated {
        return Ok(());
    }
    Err(Error::plugin(format!("parameter `{name}` of `{id}` has {found} values, but states {stated}")))
}

fn slice_of<'a>(id: &str, name: &str, stated: usize, found: WireTensorMut<'a>) -> Result<&'a mut [f32]> {
    let values = slice_mut(name, found)?;
    length(id, name, stated, values.len())?;
    Ok(values)
}

fn three(shape: &[usize]) -> Option<(usize, usize, usize)> {
    match *shape {
        [steps, trials, units] => Some((steps, trials, units)),
        _ => None,
    }
}

impl Optimizer for Loaded<OptimizerBox> {
    fn update(&mut self, parameters: &mut [Learned<'_>], at: &Moment) -> Result<()> {
        entered(&self.id, "update");
        let gradients: Vec<Part<'_>> =
            parameters.iter().map(|p| Part::shaped(p.name, p.shape, p.gradient)).collect();
        let updates: RVec<WireUpdate<'_>> = parameters
            .iter_mut()
            .zip(&gradients)
            .map(|(parameter, gradient)| WireUpdate {
                gradient: gradient.wire(),
                values: borrow_mut(vec![parameter.values.len()], parameter.values),
            })
            .collect();
        let moment = json(&MomentHeader::new(at))?;
        from_wire(self.object.update(updates, moment.as_rstr()))
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        entered(&self.id, "state");
        tensors_from_parcel(&from_wire(self.object.state())?)
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        entered(&self.id, "restore");
        let parts: Vec<_> = state.iter().map(Part::tensor).collect();
        from_wire(lend("{}", &parts, |loan| self.object.restore(loan)))
    }

    fn rewired(&mut self, parameter: &str, change: &RewiringView<'_>) -> Result<()> {
        entered(&self.id, "rewired");
        from_wire(tell(change, |loan| self.object.rewired(RStr::from_str(parameter), loan)))
            .map_err(|e| e.context(format!("`{}`", self.id)))
    }
}

/// Lends a model's step to a metric.
struct LentDynamics<'a>(&'a dyn Dynamics);

impl WireDynamics for LentDynamics<'_> {
    fn step(&self, states: WireTensor<'_>, inputs: WireTensor<'_>) -> WireResult<WireTensorBuf> {
        to_wire((|| {
            let next = self.0.step(view::<f64, Ix2>(&states)?, view::<f64, Ix2>(&inputs)?)?;
            Ok(buf("states", next.view()))
        })())
    }

    fn step_gradient(
        &self,
        states: WireTensor<'_>,
        inputs: WireTensor<'_>,
        cotangents: WireTensor<'_>,
    ) -> WireResult<WireParcel> {
        to_wire((|| {
            let (in_states, in_inputs) = self.0.step_gradient(
                view::<f64, Ix2>(&states)?,
                view::<f64, Ix2>(&inputs)?,
                view::<f64, Ix2>(&cotangents)?,
            )?;
            let parts = [Part::new("states", in_states.view()), Part::new("inputs", in_inputs.view())];
            Ok(parcel_of(RString::new(), &parts))
        })())
    }
}

impl Metric for Loaded<MetricBox, MetricWants> {
    fn wants_activity(&self) -> bool {
        self.info.activity
    }

    fn permutation_invariant(&self) -> bool {
        self.info.permutation_invariant
    }

    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        entered(&self.id, "measure");
        let setting = Setting { substrate: network.substrate, ..Setting::default() };
        let model = network.model.map(json).transpose()?.unwrap_or_default();
        let mut parts =
            vec![Part::new("recurrent", network.recurrent), Part::slice("model", model.as_bytes())];
        let names = json(&network.condition_names)?;
        if !network.condition_names.is_empty() {
            parts.push(Part::slice("condition_names", names.as_bytes()));
        }
        parts.extend(network.initial.map(|view| Part::new("initial", view)));
        parts.extend(network.connections.into_iter().flat_map(connection_parts));
        parts.extend(network.activity.map(|view| Part::new("activity", view)));
        for parameter in network.parameters {
            parts.push(Part::named(
                format!("parameter:{}", parameter.name),
                parameter.shape,
                parameter.values,
            ));
        }
        match &network.trials {
            Some(trials) => {
                let batch = BatchView::new(
                    trials.inputs,
                    trials.targets,
                    trials.mask,
                    network.lengths,
                    network.conditions,
                );
                parts.extend(batch_parts(&batch));
                parts.push(Part::new("outputs", trials.outputs));
            }
            None => {
                parts.push(Part::slice("conditions", network.conditions));
                parts.push(Part::slice("lengths", network.lengths));
            }
        }
        let parcel = lend_setting(&setting, parts, |loan| {
            let dynamics = network.dynamics.map(|dynamics| {
                WireDynamics_TO::<'_, RBox<()>>::from_value(LentDynamics(dynamics), TD_Opaque)
            });
            self.object.measure(loan, dynamics.into())
        })?;
        let parcel = from_wire(parcel)?;
        let header: MeasuresHeader = self.malformed("the measures", &parcel.header)?;
        let mut measures = Measures::from(header.values);
        measures.arrays = tensors_from_parcel(&parcel)?;
        Ok(measures)
    }
}
