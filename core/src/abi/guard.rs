//! The plugin's side: components behind wire traits, with panics caught.
//!
//! A panic that reached the boundary would end the process, constructors and
//! drop included, so every way into plugin code goes through [`caught`].

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use abi_stable::erased_types::TD_Opaque;
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RBox, ROption, RStr, RString, RVec};
use ndarray::{Array2, ArrayView2, Ix2, Ix3};

use super::convert::{
    Part, Received, batch_from_loan, batch_parcel, batch_view, buf, buf_to_array, connection_parts,
    from_json, from_wire, json, parcel_of, receive_substrate, substrate_parcel, tensors_from_loan,
    tensors_parcel, to_wire, unpack, view, view_mut, with_setting,
};
use super::headers::{ConstraintWants, MeasuresHeader, MetricWants, MomentHeader, PointHeader};
use super::manifest::{ComponentEntry, Manifest};
use super::wire::*;
use crate::component::{Builder, registration, registrations};
use crate::{
    Activity, BatchView, Constraint, Dynamics, Error, Kind, Learned, Metric, Mode, Model, ModelInfo, Network,
    Optimizer, Point, RecordedTrials, Result, RewiringView, Setting, Split, SubstrateSource, Task,
    TensorView, WeightRequest, WeightSource,
};

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Prepares the library of the crate `name`: the text of a panic is kept for
/// the error that reports it, instead of being printed into the host's output.
pub fn start(name: &'static str) {
    std::panic::set_hook(Box::new(move |info| {
        let text = payload_text(info.payload());
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        // An index out of range panics inside ndarray or the standard library;
        // the plugin's author needs the calling line of the plugin.
        let elsewhere = info.location().is_none_or(|l| Path::new(l.file()).is_absolute());
        let caller = if elsewhere && memory_for_a_backtrace() {
            frame_of(name, &Backtrace::force_capture().to_string())
        } else {
            None
        };
        let caller = caller.map(|frame| format!(", called by {frame}")).unwrap_or_default();
        PANIC.with(|last| *last.borrow_mut() = Some(format!("{text}{place}{caller}")));
    }));
}

/// Whether enough memory is free to resolve the names and lines of a backtrace.
///
/// The standard library resolves them under a lock, and its report of a failed
/// allocation takes the same lock. If memory runs out in between (a worker has
/// a memory limit), the thread deadlocks.
fn memory_for_a_backtrace() -> bool {
    /// Several times what a library with 100 MB of debug information takes.
    const ENOUGH: usize = 256 << 20;
    // Without `black_box` the compiler may remove an unused allocation.
    let mut room = Vec::<u8>::new();
    let found = room.try_reserve_exact(ENOUGH);
    std::hint::black_box(&mut room);
    found.is_ok()
}

/// The innermost function of the crate `name` in a backtrace as it is printed:
/// `  4: <crate::Type as Trait>::function`, and the next line, `at file:line:column`,
/// where the library knows its lines.
fn frame_of(name: &str, backtrace: &str) -> Option<String> {
    let mut lines = backtrace.lines().map(str::trim);
    let function = lines.find_map(|line| {
        let (number, function) = line.split_once(": ")?;
        let whose = function.trim_start_matches(['<', '&']).strip_prefix(name)?;
        (number.parse::<u32>().is_ok() && whose.starts_with("::")).then_some(function)
    })?;
    let place =
        lines.next().and_then(|line| line.strip_prefix("at ")).and_then(|place| place.rsplit_once(':'));
    Some(match place {
        Some((place, _column)) => format!("{function} at {}", place.strip_prefix("./").unwrap_or(place)),
        None => function.to_owned(),
    })
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// Runs plugin code; a panic becomes an error.
fn caught<R>(id: &str, doing: &str, call: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| Err(panic_error(id, doing, payload)))
}

/// Kept out of [`caught`], which is compiled once for each of its callers.
fn panic_error(id: &str, doing: &str, payload: Box<dyn Any + Send>) -> Error {
    let text = PANIC.with(|last| last.borrow_mut().take()).unwrap_or_else(|| payload_text(&*payload));
    // Dropping a payload may panic as well.
    std::mem::forget(payload);
    Error::new(Kind::Panic, format!("component `{id}` panicked in {doing}: {text}"))
        .help("this is a bug in the plugin that provides the component; report it to the plugin's author")
}

/// A component, and whether it panicked: after a panic its state cannot be
/// trusted, so every further call is refused.
struct Guard<T: ?Sized> {
    id: &'static str,
    component: Option<Box<T>>,
    poisoned: AtomicBool,
    size: Size,
}

/// The size that the component was built for. Calls of another size are refused
/// before they reach the component, so that authors need not check shapes.
#[derive(Clone, Copy, Default)]
struct Size {
    /// Rows and columns of the recurrent matrix or parameter.
    shape: Option<(usize, usize)>,
    inputs: Option<usize>,
    outputs: Option<usize>,
}

impl Size {
    fn from_setting(setting: &Setting<'_>) -> Self {
        Size { shape: setting.shape().ok(), inputs: setting.inputs, outputs: setting.outputs }
    }

    /// Refuses a matrix of another shape.
    fn matrix(&self, id: &str, what: &str, (rows, columns): (usize, usize)) -> Result<()> {
        let (n, m) = self.shape.unwrap_or((rows, rows));
        if (rows, columns) == (n, m) {
            return Ok(());
        }
        let size = if n == m { format!("{n} neurons") } else { format!("{n}×{m} connections") };
        Err(Error::input(format!("`{id}` was built for {size}, but {what} are {rows}×{columns}"))
            .help("build the component for the other size"))
    }

    /// Refuses a batch whose parts disagree with each other or with the setting.
    fn batch(&self, id: &str, batch: &BatchView<'_>) -> Result<()> {
        let (trials, steps, channels) = batch.dim();
        let wrong = |what: String| Err(Error::input(format!("a batch does not fit `{id}`: {what}")));
        if let Some(inputs) = self.inputs
            && channels != inputs
        {
            return wrong(format!("it has {channels} input channels, but the model was built for {inputs}"));
        }
        if batch.targets.dim() != (trials, steps) || batch.mask.dim() != (trials, steps) {
            return wrong(format!("targets or mask do not have {trials} trials × {steps} steps"));
        }
        if batch.lengths.len() != trials || batch.conditions.len() != trials {
            return wrong(format!("expected {trials} lengths and conditions, one a trial"));
        }
        if let Some(length) = batch.lengths.iter().find(|&&length| length as usize > steps) {
            return wrong(format!("a trial has {length} steps, but the batch has {steps}"));
        }
        Ok(())
    }

    /// Refuses outputs, or gradients in them, of another shape.
    fn outputs(&self, id: &str, found: (usize, usize), scored: usize) -> Result<()> {
        let expected = (scored, self.outputs.unwrap_or(found.1));
        if found == expected {
            return Ok(());
        }
        Err(Error::input(format!(
            "outputs of `{id}` are {}×{}, but must be {}×{} (scored steps × outputs)",
            found.0, found.1, expected.0, expected.1
        )))
    }
}

impl<T: ?Sized> Guard<T> {
    fn new(id: &'static str, component: Box<T>, size: Size) -> Self {
        Guard { id, component: Some(component), poisoned: AtomicBool::new(false), size }
    }

    /// The wire form of a result; a panic makes the component unusable.
    fn finish<R>(&self, result: Result<R>) -> WireResult<R> {
        if matches!(&result, Err(error) if error.kind == Kind::Panic) {
            self.poisoned.store(true, Ordering::Relaxed);
        }
        to_wire(result)
    }

    /// # Errors
    /// If the component panicked earlier.
    fn check_usable(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Relaxed) { Err(panicked_earlier(self.id)) } else { Ok(()) }
    }

    fn look<R>(&self, doing: &str, call: impl FnOnce(&T) -> Result<R>) -> WireResult<R> {
        let result = self.check_usable().and_then(|()| match &self.component {
            Some(component) => caught(self.id, doing, || call(component)),
            None => Err(closed(self.id)),
        });
        self.finish(result)
    }

    fn call<R>(&mut self, doing: &str, call: impl FnOnce(&mut T) -> Result<R>) -> WireResult<R> {
        let id = self.id;
        let result = self.check_usable().and_then(|()| match &mut self.component {
            Some(component) => caught(id, doing, || call(component)),
            None => Err(closed(id)),
        });
        self.finish(result)
    }

    fn close(&mut self) -> WireResult<()> {
        let component = self.component.take();
        to_wire(caught(self.id, "drop", move || {
            drop(component);
            Ok(())
        }))
    }
}

fn panicked_earlier(id: &str) -> Error {
    Error::plugin(format!("component `{id}` panicked earlier and is not called again"))
}

fn closed(id: &str) -> Error {
    Error::bug(format!("component `{id}` was used after it was closed"))
}

impl<T: ?Sized> Drop for Guard<T> {
    fn drop(&mut self) {
        // The host calls `close` before it drops; this covers the case that it could not.
        let _ = self.close();
    }
}

impl WireSubstrateSource for Guard<dyn SubstrateSource> {
    fn substrate(&mut self, seed: u64) -> WireResult<WireParcel> {
        self.call("substrate", |source| {
            let substrate = source.substrate(seed)?;
            substrate.check()?;
            substrate_parcel(&substrate)
        })
    }

    fn store(&mut self, substrate: WireLoan<'_>, folder: RStr<'_>) -> WireResult<()> {
        self.call("store", |source| {
            let header = from_json("a substrate", substrate.header.as_str())?;
            let substrate = receive_substrate(header, &Received::new(&substrate))?;
            source.store(&substrate, std::path::Path::new(folder.as_str()))
        })
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }
}

impl WireWeightSource for Guard<dyn WeightSource> {
    fn weights(&mut self, request: WireLoan<'_>) -> WireResult<WireTensorBuf> {
        self.call("weights", |source| {
            let draw = Received::new(&request).array_if::<f64, Ix2>("draw")?;
            with_setting(&request, |setting| {
                let request = WeightRequest {
                    neurons: setting.neurons()?,
                    substrate: setting.substrate,
                    seed: setting.seed,
                    draw,
                    connections: setting.connections,
                };
                source.weights(&request).map(|weights| buf("weights", weights.view()))
            })
        })
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }

    fn sparse(&mut self, request: WireLoan<'_>) -> WireResult<WireParcel> {
        self.call("sparse", |source| {
            with_setting(&request, |setting| {
                let request = WeightRequest {
                    neurons: setting.neurons()?,
                    substrate: setting.substrate,
                    seed: setting.seed,
                    draw: None,
                    connections: setting.connections,
                };
                let weights = source.sparse(&request)?;
                let mut parts = connection_parts(weights.connections.view());
                parts.push(Part::slice("values", &weights.values));
                Ok(parcel_of(RString::new(), &parts))
            })
        })
    }
}

/// The change of connections in a loan.
fn rewiring<'a>(loan: &WireLoan<'a>) -> Result<RewiringView<'a>> {
    let received = Received::new(loan);
    let connections = received
        .connections()?
        .ok_or_else(|| Error::bug("a change of connections came without the connections"))?;
    let before = received.list::<u64>("before")?.first().copied().unwrap_or_default();
    let mut change = RewiringView::new(connections, received.list("origin")?, before as usize);
    change.distance = received.array_if::<f32, Ix2>("distance")?;
    Ok(change)
}

/// The point of a loan.
fn point<'a>(loan: &WireLoan<'a>) -> Result<Point<'a>> {
    let header: PointHeader<'a> = from_json("a point of the training", loan.header.as_str())?;
    let received = Received::new(loan);
    Ok(Point {
        step: header.step,
        updates: header.updates,
        epoch: header.epoch,
        task: header.task,
        parameter: header.parameter,
        initial: received.array_if::<f32, Ix2>("initial")?,
        loss_gradient: received.array_if::<f32, Ix2>("loss gradient")?,
        connections: received.connections()?,
    })
}

impl WireConstraint for Guard<dyn Constraint> {
    fn wants(&self) -> WireResult<RString> {
        self.look("wants_activity", |constraint| {
            json(&ConstraintWants {
                activity: constraint.wants_activity(),
                loss_gradient: constraint.wants_loss_gradient(),
                rewires: constraint.rewires(),
            })
        })
    }

    fn penalty(&mut self, at: WireLoan<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64> {
        let (id, size) = (self.id, self.size);
        self.call("penalty", |constraint| {
            let weights = Received::new(&at).array::<f32, Ix2>("weights")?;
            let gradient = view_mut::<Ix2>("gradient", gradient)?;
            size.matrix(id, "weights", weights.dim())?;
            Size { shape: Some(weights.dim()), ..size }.matrix(id, "gradients", gradient.dim())?;
            constraint.penalty(weights, gradient, &point(&at)?)
        })
    }

    fn project(&mut self, weights: WireTensorMut<'_>, at: WireLoan<'_>) -> WireResult<()> {
        let (id, size) = (self.id, self.size);
        self.call("project", |constraint| {
            let weights = view_mut::<Ix2>("weights", weights)?;
            size.matrix(id, "weights", weights.dim())?;
            constraint.project(weights, &point(&at)?)
        })
    }

    fn activity_penalty(&mut self, activity: WireLoan<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64> {
        let id = self.id;
        self.call("activity_penalty", |constraint| {
            let received = Received::new(&activity);
            let values = received.array::<f32, Ix3>("activity")?;
            let gradient = view_mut::<Ix3>("gradient", gradient)?;
            let lengths: &[u32] = received.list("lengths")?;
            if gradient.dim() != values.dim() || lengths.len() != values.dim().1 {
                return Err(Error::input(format!(
                    "activity for `{id}` is {:?}, but its gradient is {:?} and there are {} lengths",
                    values.dim(),
                    gradient.dim(),
                    lengths.len()
                )));
            }
            constraint.activity_penalty(&Activity::new(values, lengths), gradient)
        })
    }

    fn state(&self) -> WireResult<WireParcel> {
        self.look("state", |constraint| Ok(tensors_parcel(RString::new(), &constraint.state()?)))
    }

    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()> {
        self.call("restore", |constraint| constraint.restore(&tensors_from_loan(&state)?))
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }

    fn rewire(&mut self, at: WireLoan<'_>) -> WireResult<WireParcel> {
        let (id, size) = (self.id, self.size);
        self.call("rewire", |constraint| {
            let weights = Received::new(&at).array::<f32, Ix2>("weights")?;
            size.matrix(id, "weights", weights.dim())?;
            let Some(change) = constraint.rewire(weights, &point(&at)?)? else {
                return Ok(parcel_of(RString::new(), &[]));
            };
            let mut parts = connection_parts(change.connections.view());
            parts.push(Part::slice("origin", &change.origin));
            parts.push(Part::slice("values", &change.values));
            Ok(parcel_of(RString::new(), &parts))
        })
    }

    fn rewired(&mut self, change: WireLoan<'_>) -> WireResult<()> {
        self.call("rewired", |constraint| constraint.rewired(&rewiring(&change)?))
    }
}

impl WireTask for Guard<dyn Task> {
    fn info(&self) -> WireResult<RString> {
        self.look("info", |task| {
            let info = task.info();
            info.check_finite()
                .map_err(|e| e.context(format!("the description of the task `{}`", self.id)))?;
            json(&info)
        })
    }

    fn trials(&mut self, count: usize, seed: u64) -> WireResult<WireParcel> {
        self.call("trials", |task| task.trials(count, seed).map(|batch| batch_parcel(&batch)))
    }

    fn trials_of(&mut self, split: u8, count: usize, seed: u64) -> WireResult<WireParcel> {
        self.call("trials_of", |task| {
            let split = *Split::ALL
                .get(usize::from(split))
                .ok_or_else(|| Error::unsupported(format!("there is no split number {split}")))?;
            task.trials_of(split, count, seed).map(|batch| batch_parcel(&batch))
        })
    }

    fn judge(&mut self, batch: WireLoan<'_>, outputs: WireTensor<'_>) -> WireResult<RVec<u8>> {
        self.call("judge", |task| {
            let judged = task.judge(&batch_view(&batch)?, view::<f32, Ix2>(&outputs)?)?;
            Ok(judged.into_iter().map(u8::from).collect())
        })
    }

    fn react(&mut self, batch: WireLoan<'_>, step: usize, outputs: WireTensor<'_>) -> WireResult<WireParcel> {
        self.call("react", |task| {
            let changed = task.react(batch_from_loan(&batch)?, step, view::<f32, Ix2>(&outputs)?)?;
            Ok(batch_parcel(&changed))
        })
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }
}

impl WireModel for Guard<dyn Model> {
    fn info(&self) -> WireResult<RString> {
        self.look("info", |model| json(&model.info()))
    }

    fn initialise(&mut self, recurrent: WireTensor<'_>, seed: u64) -> WireResult<()> {
        let (id, size) = (self.id, self.size);
        self.call("initialise", |model| {
            let recurrent = view::<f32, Ix2>(&recurrent)?;
            size.matrix(id, "recurrent weights", recurrent.dim())?;
            model.initialise(recurrent, seed)
        })
    }

    fn forward(
        &mut self,
        batch: WireLoan<'_>,
        mode: u8,
        noise_seed: u64,
        outputs: WireTensorMut<'_>,
    ) -> WireResult<()> {
        let (id, size) = (self.id, self.size);
        self.call("forward", |model| {
            let batch = batch_view(&batch)?;
            size.batch(id, &batch)?;
            let outputs = view_mut::<Ix2>("outputs", outputs)?;
            size.outputs(id, outputs.dim(), batch.scored().count())?;
            let mode = match mode {
                TRAIN => Mode::Train { noise_seed },
                EVALUATE => Mode::Evaluate,
                _ => Mode::Record,
            };
            model.forward(&batch, mode, outputs)
        })
    }

    fn activity(&self) -> WireResult<WireBorrow<'_>> {
        self.lend("activity", |model| {
            let activity = model.activity()?;
            let shape = RVec::from(activity.shape().to_vec());
            let values = activity.to_slice().ok_or_else(|| not_contiguous(self.id, "activity"))?;
            Ok(WireBorrow {
                name: RStr::from_str("activity"),
                code: code::F32,
                shape,
                bytes: bytemuck::cast_slice(values).into(),
            })
        })
    }

    fn backward(&mut self, outputs: WireTensor<'_>, activity: ROption<WireTensor<'_>>) -> WireResult<()> {
        self.call("backward", |model| {
            let activity = activity.into_option().as_ref().map(view::<f32, Ix3>).transpose()?;
            model.backward(view::<f32, Ix2>(&outputs)?, activity)
        })
    }

    fn parameters(&self) -> WireResult<RVec<WireBorrow<'_>>> {
        self.lend("parameters", |model| {
            let lent = model.parameters()?.into_iter().map(|parameter: TensorView<'_>| WireBorrow {
                name: parameter.name.into(),
                code: code::F32,
                shape: RVec::from(parameter.shape.to_vec()),
                bytes: bytemuck::cast_slice(parameter.values).into(),
            });
            Ok(lent.collect())
        })
    }

    fn parameters_mut(&mut self) -> WireResult<RVec<WireTensorMut<'_>>> {
        self.lend_mut("parameters_mut", |model| {
            Ok(model.parameters_mut()?.into_iter().map(lent_mut).collect())
        })
    }

    fn learned(&mut self) -> WireResult<RVec<WireLearned<'_>>> {
        self.lend_mut("learned", |model| {
            let lent = model.learned()?.into_iter().map(|learned| WireLearned {
                index: learned.index,
                values: lent_mut(learned.values),
                gradient: lent_mut(learned.gradient),
            });
            Ok(lent.collect())
        })
    }

    fn update_itself(&mut self) -> WireResult<()> {
        self.call("update_itself", |model| model.update_itself())
    }

    fn state(&self) -> WireResult<WireParcel> {
        self.look("state", |model| Ok(tensors_parcel(RString::new(), &model.state()?)))
    }

    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()> {
        self.call("restore", |model| model.restore(&tensors_from_loan(&state)?))
    }

    fn step(&self, states: WireTensor<'_>, inputs: WireTensor<'_>) -> WireResult<WireTensorBuf> {
        self.look("step", |model| {
            let next = model.step(view::<f64, Ix2>(&states)?, view::<f64, Ix2>(&inputs)?)?;
            Ok(buf("states", next.view()))
        })
    }

    fn step_gradient(
        &self,
        states: WireTensor<'_>,
        inputs: WireTensor<'_>,
        cotangents: WireTensor<'_>,
    ) -> WireResult<WireParcel> {
        self.look("step_gradient", |model| {
            let (in_states, in_inputs) = model.step_gradient(
                view::<f64, Ix2>(&states)?,
                view::<f64, Ix2>(&inputs)?,
                view::<f64, Ix2>(&cotangents)?,
            )?;
            let parts = [Part::new("states", in_states.view()), Part::new("inputs", in_inputs.view())];
            Ok(parcel_of(RString::new(), &parts))
        })
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }

    fn rewired(&mut self, change: WireLoan<'_>) -> WireResult<()> {
        self.call("rewired", |model| model.rewired(&rewiring(&change)?))
    }
}

/// A flat array lent for writing.
fn lent_mut(values: &mut [f32]) -> WireTensorMut<'_> {
    super::convert::borrow_mut(vec![values.len()], values)
}

fn not_contiguous(id: &str, doing: &str) -> Error {
    Error::plugin(format!("component `{id}` returned an array from {doing} that is not contiguous"))
        .help("return a row-major array")
}

impl Guard<dyn Model> {
    /// As [`Guard::look`], for results that borrow from the model.
    fn lend<'a, R>(&'a self, doing: &str, call: impl FnOnce(&'a dyn Model) -> Result<R>) -> WireResult<R> {
        let result = self.check_usable().and_then(|()| match &self.component {
            Some(component) => caught(self.id, doing, || call(component.as_ref())),
            None => Err(closed(self.id)),
        });
        self.finish(result)
    }

    /// As [`Guard::call`], for results that borrow from the model.
    fn lend_mut<'a, R>(
        &'a mut self,
        doing: &str,
        call: impl FnOnce(&'a mut (dyn Model + 'static)) -> Result<R>,
    ) -> WireResult<R> {
        let id = self.id;
        let poisoned = &self.poisoned;
        let result = match (&mut self.component, poisoned.load(Ordering::Relaxed)) {
            (_, true) => Err(panicked_earlier(id)),
            (Some(component), false) => caught(id, doing, || call(component.as_mut())),
            (None, false) => Err(closed(id)),
        };
        if matches!(&result, Err(error) if error.kind == Kind::Panic) {
            poisoned.store(true, Ordering::Relaxed);
        }
        to_wire(result)
    }
}

impl WireOptimizer for Guard<dyn Optimizer> {
    fn update(&mut self, parameters: RVec<WireUpdate<'_>>, moment: RStr<'_>) -> WireResult<()> {
        let id = self.id;
        self.call("update", |optimizer| {
            let moment: MomentHeader = from_json("a moment of the training", moment.as_str())?;
            let mut learned = Vec::with_capacity(parameters.len());
            for WireUpdate { gradient, values } in parameters {
                let values = super::convert::slice_mut("values", values)?;
                let (name, shape) = (gradient.name.as_str(), gradient.shape.as_slice());
                let gradient: &[f32] = super::convert::values(&gradient)?;
                if values.len() != gradient.len() || shape.iter().product::<usize>() != values.len() {
                    return Err(Error::bug(format!(
                        "parameter `{name}` for `{id}` has {} values, {} gradients and shape {shape:?}",
                        values.len(),
                        gradient.len()
                    )));
                }
                learned.push(Learned { name, shape, values, gradient });
            }
            optimizer.update(&mut learned, &moment.moment())
        })
    }

    fn state(&self) -> WireResult<WireParcel> {
        self.look("state", |optimizer| Ok(tensors_parcel(RString::new(), &optimizer.state()?)))
    }

    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()> {
        self.call("restore", |optimizer| optimizer.restore(&tensors_from_loan(&state)?))
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }

    fn rewired(&mut self, parameter: RStr<'_>, change: WireLoan<'_>) -> WireResult<()> {
        self.call("rewired", |optimizer| optimizer.rewired(parameter.as_str(), &rewiring(&change)?))
    }
}

/// A model's step, lent by the host.
struct LentDynamics<'a>(WireDynamics_TO<'a, RBox<()>>);

impl Dynamics for LentDynamics<'_> {
    fn step(&self, states: ArrayView2<'_, f64>, inputs: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
        let (states, inputs) = (Part::new("states", states), Part::new("inputs", inputs));
        buf_to_array(&from_wire(self.0.step(states.wire(), inputs.wire()))?)
    }

    fn step_gradient(
        &self,
        states: ArrayView2<'_, f64>,
        inputs: ArrayView2<'_, f64>,
        cotangents: ArrayView2<'_, f64>,
    ) -> Result<(Array2<f64>, Array2<f64>)> {
        let (states, inputs) = (Part::new("states", states), Part::new("inputs", inputs));
        let cotangents = Part::new("cotangents", cotangents);
        let parcel = from_wire(self.0.step_gradient(states.wire(), inputs.wire(), cotangents.wire()))?;
        unpack(&parcel, |_, received| {
            Ok((
                received.array::<f64, Ix2>("states")?.to_owned(),
                received.array::<f64, Ix2>("inputs")?.to_owned(),
            ))
        })
    }
}

impl WireMetric for Guard<dyn Metric> {
    fn wants(&self) -> WireResult<RString> {
        self.look("wants_activity", |metric| {
            json(&MetricWants {
                activity: metric.wants_activity(),
                permutation_invariant: metric.permutation_invariant(),
            })
        })
    }

    fn measure(
        &mut self,
        loan: WireLoan<'_>,
        dynamics: ROption<WireDynamics_TO<'_, RBox<()>>>,
    ) -> WireResult<WireParcel> {
        let id = self.id;
        self.call("measure", |metric| {
            let received = Received::new(&loan);
            let recurrent = received.array::<f32, Ix2>("recurrent")?;
            let initial = received.array_if::<f32, Ix2>("initial")?;
            let (rows, columns) = recurrent.dim();
            let connections = received.connections()?;
            if let Some(connections) = connections
                && (rows, columns) != (1, connections.len())
            {
                return Err(Error::input(format!(
                    "`{id}` got {rows}×{columns} weights for {} connections",
                    connections.len()
                )));
            }
            if rows != columns && connections.is_none() {
                return Err(Error::input(format!(
                    "`{id}` measures square matrices, but this one is {rows}×{columns}"
                )));
            }
            if let Some(initial) = &initial {
                let size = Size { shape: Some((rows, columns)), ..Size::default() };
                size.matrix(id, "initial weights", initial.dim())?;
            }
            // Text crosses as bytes, since the header is that of the setting.
            let model: Option<ModelInfo> = match received.list::<u8>("model")? {
                [] => None,
                json => Some(
                    serde_json::from_slice(json)
                        .map_err(|e| Error::bug(format!("a model's description is malformed: {e}")))?,
                ),
            };
            let parameters: Vec<TensorView<'_>> = received
                .tensors()
                .iter()
                .filter_map(|tensor| Some((tensor.name.as_str().strip_prefix("parameter:")?, tensor)))
                .map(|(name, tensor)| {
                    Ok(TensorView {
                        name,
                        shape: tensor.shape.as_slice(),
                        values: super::convert::values(tensor)?,
                    })
                })
                .collect::<Result<_>>()?;
            let dynamics = dynamics.into_option().map(LentDynamics);
            with_setting(&loan, |setting| {
                let trials = match received.find("outputs") {
                    Some(outputs) => {
                        let batch = batch_view(&loan)?;
                        let outputs = view::<f32, Ix2>(outputs)?;
                        Some(RecordedTrials::new(batch.inputs, batch.targets, batch.mask, outputs))
                    }
                    None => None,
                };
                let names: Vec<String> = match received.find("condition_names") {
                    Some(_) => serde_json::from_slice(received.list("condition_names")?)
                        .map_err(|e| Error::bug(format!("the names of conditions are malformed: {e}")))?,
                    None => Vec::new(),
                };
                let network = Network {
                    recurrent,
                    initial,
                    connections,
                    substrate: setting.substrate,
                    model: model.as_ref(),
                    parameters: &parameters,
                    activity: received.array_if::<f32, Ix3>("activity")?,
                    conditions: received.list("conditions")?,
                    condition_names: &names,
                    lengths: received.list("lengths")?,
                    trials,
                    dynamics: dynamics.as_ref().map(|dynamics| dynamics as &dyn Dynamics),
                };
                let measures = metric.measure(&network)?;
                Ok(tensors_parcel(json(&MeasuresHeader { values: measures.values })?, &measures.arrays))
            })
        })
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }
}

macro_rules! builder {
    ($function:ident, $role:ident, $trait:ident, $boxed:ident, $object:ident) => {
        extern "C" fn $function(id: RStr<'_>, params: RStr<'_>, setting: WireLoan<'_>) -> WireResult<$boxed> {
            let id = id.as_str();
            to_wire(caught(id, "its constructor", || {
                let registration = registration(id)?;
                let Builder::$role(build) = registration.builder else {
                    return Err(Error::bug(format!("`{id}` is not a {}", stringify!($role))));
                };
                let (component, size) = with_setting(&setting, |setting: &Setting<'_>| {
                    Ok((build(params.as_str(), setting)?, Size::from_setting(setting)))
                })?;
                let guard: Guard<dyn $trait> = Guard::new(registration.id, component, size);
                Ok($object::from_value(guard, TD_Opaque))
            }))
        }
    };
}
builder!(substrate, Substrate, SubstrateSource, SubstrateBox, WireSubstrateSource_TO);
builder!(weights, Weights, WeightSource, WeightBox, WireWeightSource_TO);
builder!(constraint, Constraint, Constraint, ConstraintBox, WireConstraint_TO);
builder!(task, Task, Task, TaskBox, WireTask_TO);
builder!(model, Model, Model, ModelBox, WireModel_TO);
builder!(optimizer, Optimizer, Optimizer, OptimizerBox, WireOptimizer_TO);
builder!(metric, Metric, Metric, MetricBox, WireMetric_TO);

extern "C" fn describe(id: RStr<'_>, params: RStr<'_>) -> WireResult<RString> {
    let id = id.as_str();
    to_wire(caught(id, "describe", || json(&(registration(id)?.describe)(params.as_str())?)))
}

/// The library's module; called by [`plugin!`](crate::plugin).
pub fn module(manifest: extern "C" fn() -> RString) -> PluginModuleRef {
    PluginModule {
        manifest,
        log_to: super::events::log_to,
        describe,
        substrate,
        weights,
        constraint,
        task,
        model,
        optimizer,
        metric,
    }
    .leak_into_prefix()
}

/// The library's manifest as JSON; called by [`plugin!`](crate::plugin), which
/// knows the crate it stands in.
pub fn manifest_json(name: &str, version: &str, unwinds: bool) -> RString {
    let manifest = caught(name, "its manifest", || {
        Ok(Manifest {
            name: name.into(),
            version: version.into(),
            core_version: crate::VERSION.into(),
            unwinds,
            requires: Vec::new(),
            components: registrations().into_iter().map(ComponentEntry::new).collect::<Result<_>>()?,
        })
    });
    manifest.and_then(|m| json(&m)).unwrap_or_else(|error| RString::from(error.report()))
}

#[cfg(test)]
mod tests {
    use super::frame_of;

    #[test]
    fn the_author_s_function_is_found_in_a_backtrace() {
        let printed = "   0: std::backtrace_rs::trace\n             at /rustc/1/library/std/src/lib.rs:1:9\n   \
            1: ndarray::arraytraits::array_out_of_bounds\n   \
            2: pallium_core::abi::guard::caught\n   \
            3: <wires::Long as pallium_core::Constraint>::penalty\n             at ./src/lib.rs:20:9\n   \
            4: wires::outer\n";
        let found = |name| frame_of(name, printed);
        let place = "<wires::Long as pallium_core::Constraint>::penalty at src/lib.rs:20";
        assert_eq!(found("wires").as_deref(), Some(place));
        assert_eq!(found("ndarray").as_deref(), Some("ndarray::arraytraits::array_out_of_bounds"));
        assert_eq!(found("wire"), None);
        assert_eq!(found("other"), None);
    }
}
