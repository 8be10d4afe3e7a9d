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
use abi_stable::std_types::{ROption, RStr, RString, RVec};
use ndarray::{Ix2, Ix3};

use super::convert::{
    Received, batch_parcel, from_json, json, matrix_buf, receive_substrate, state_from_loan, state_parcel,
    substrate_parcel, to_wire, view_f32, view_mut, with_setting,
};
use super::manifest::{ComponentEntry, Manifest};
use super::wire::*;
use crate::component::{Builder, registration, registrations};
use crate::{
    BatchView, Constraint, Error, Kind, Metric, Mode, Model, Network, Result, Setting, SubstrateSource, Task,
    WeightRequest, WeightSource,
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
#[derive(Clone, Copy)]
struct Size {
    neurons: Option<usize>,
    inputs: Option<usize>,
    classes: Option<usize>,
}

impl Size {
    fn from_setting(setting: &Setting<'_>) -> Self {
        Size { neurons: setting.neurons, inputs: setting.inputs, classes: setting.classes }
    }

    /// Refuses a matrix that is not N×N.
    fn matrix(&self, id: &str, what: &str, (rows, columns): (usize, usize)) -> Result<()> {
        let n = self.neurons.unwrap_or(rows);
        if (rows, columns) == (n, n) {
            return Ok(());
        }
        Err(Error::input(format!("`{id}` was built for {n} neurons, but {what} are {rows}×{columns}"))
            .help("build the component for the other size"))
    }

    /// Refuses activity of another number of neurons than N, and a gradient of
    /// another shape than the activity.
    fn cube(&self, id: &str, activity: (usize, usize, usize), gradient: &[usize]) -> Result<()> {
        let (steps, trials, columns) = activity;
        let n = self.neurons.unwrap_or(columns);
        if columns == n && *gradient == [steps, trials, n] {
            return Ok(());
        }
        Err(Error::input(format!(
            "`{id}` was built for {n} neurons, but activity is {steps}×{trials}×{columns} and its gradient {gradient:?}"
        )))
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
        let classes = self.classes.map_or(u64::MAX, |c| c as u64);
        let scored = batch.targets.iter().zip(batch.mask.iter()).filter(|(_, mask)| **mask > 0.0);
        if let Some((class, _)) = { scored }.find(|(class, _)| u64::from(**class) >= classes) {
            return wrong(format!(
                "a target has class {class}, but the model was built for {classes} classes"
            ));
        }
        Ok(())
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
        if self.poisoned.load(Ordering::Relaxed) {
            return Err(Error::plugin(format!(
                "component `{}` panicked earlier and is not called again",
                self.id
            )));
        }
        Ok(())
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
            let received = Received::new(&request);
            let draw = received.f64_if::<Ix2>("draw")?;
            with_setting(&request, |setting| {
                let request = WeightRequest {
                    neurons: setting.neurons()?,
                    substrate: setting.substrate,
                    seed: setting.seed,
                    draw,
                };
                source.weights(&request).map(matrix_buf)
            })
        })
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }
}

impl WireConstraint for Guard<dyn Constraint> {
    fn penalty(&mut self, weights: WireTensor<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64> {
        let (id, size) = (self.id, self.size);
        self.call("penalty", |constraint| {
            let (weights, gradient) = (view_f32::<Ix2>(&weights)?, view_mut::<Ix2>("gradient", gradient)?);
            size.matrix(id, "weights", weights.dim())?;
            Size { neurons: Some(weights.nrows()), ..size }.matrix(id, "gradients", gradient.dim())?;
            constraint.penalty(weights, gradient)
        })
    }

    fn project(&mut self, weights: WireTensorMut<'_>) -> WireResult<()> {
        let (id, size) = (self.id, self.size);
        self.call("project", |constraint| {
            let weights = view_mut::<Ix2>("weights", weights)?;
            size.matrix(id, "weights", weights.dim())?;
            constraint.project(weights)
        })
    }

    fn wants_activity(&self) -> WireResult<bool> {
        self.look("wants_activity", |constraint| Ok(constraint.wants_activity()))
    }

    fn activity_penalty(&mut self, activity: WireTensor<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64> {
        let (id, size) = (self.id, self.size);
        self.call("activity_penalty", |constraint| {
            let (activity, gradient) = (view_f32::<Ix3>(&activity)?, view_mut::<Ix3>("gradient", gradient)?);
            size.cube(id, activity.dim(), gradient.shape())?;
            constraint.activity_penalty(activity, gradient)
        })
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }
}

impl WireTask for Guard<dyn Task> {
    fn info(&self) -> WireResult<RString> {
        self.look("info", |task| json(&task.info()))
    }

    fn trials(&mut self, count: usize, seed: u64) -> WireResult<WireParcel> {
        self.call("trials", |task| task.trials(count, seed).map(batch_parcel))
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
            let recurrent = view_f32::<Ix2>(&recurrent)?;
            size.matrix(id, "recurrent weights", recurrent.dim())?;
            model.initialise(recurrent, seed)
        })
    }

    fn forward(&mut self, batch: WireLoan<'_>, mode: u8, noise_seed: u64) -> WireResult<WireOutcome> {
        let (id, size) = (self.id, self.size);
        self.call("forward", |model| {
            let received = Received::new(&batch);
            let batch = BatchView {
                inputs: received.f32::<Ix3>("inputs")?,
                targets: received.u32::<Ix2>("targets")?,
                mask: received.f32::<Ix2>("mask")?,
                lengths: received.u32s("lengths")?,
                conditions: received.u32s("conditions")?,
            };
            size.batch(id, &batch)?;
            let mode = match mode {
                TRAIN => Mode::Train { noise_seed },
                EVALUATE => Mode::Evaluate,
                _ => Mode::Record,
            };
            let outcome = model.forward(&batch, mode)?;
            Ok(WireOutcome { loss: outcome.loss, correct: outcome.correct, weight: outcome.weight })
        })
    }

    fn activity(&self) -> WireResult<WireBorrow<'_>> {
        self.borrow("activity", |model| {
            let view = model.activity()?;
            Ok((view.shape().to_vec(), view.to_slice()))
        })
    }

    fn backward(
        &mut self,
        activity: ROption<WireTensor<'_>>,
        recurrent: WireTensorMut<'_>,
    ) -> WireResult<()> {
        self.call("backward", |model| {
            let activity = activity.into_option().as_ref().map(view_f32::<Ix3>).transpose()?;
            model.backward(activity, view_mut::<Ix3>("gradient", recurrent)?)
        })
    }

    fn update(&mut self, recurrent: WireTensor<'_>) -> WireResult<()> {
        self.call("update", |model| model.update(view_f32::<Ix3>(&recurrent)?))
    }

    fn recurrent(&self, block: usize) -> WireResult<WireBorrow<'_>> {
        self.borrow("recurrent", |model| {
            let view = model.recurrent(block)?;
            Ok((view.shape().to_vec(), view.to_slice()))
        })
    }

    fn recurrent_mut(&mut self, block: usize) -> WireResult<WireTensorMut<'_>> {
        let id = self.id;
        let result = self.check_usable().and_then(|()| match &mut self.component {
            Some(model) => caught(id, "recurrent_mut", || {
                let view = model.recurrent_mut(block)?;
                let shape = RVec::from(view.shape().to_vec());
                let values = view.into_slice().ok_or_else(|| not_contiguous(id, "recurrent_mut"))?;
                Ok(WireTensorMut { shape, values: values.into() })
            }),
            None => Err(closed(id)),
        });
        to_wire(result)
    }

    fn state(&self) -> WireResult<WireParcel> {
        self.look("state", |model| model.state().map(state_parcel))
    }

    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()> {
        self.call("restore", |model| model.restore(&state_from_loan(&state)))
    }

    fn plastic(&self) -> WireResult<bool> {
        self.look("plastic", |model| Ok(model.plastic()))
    }

    fn close(&mut self) -> WireResult<()> {
        Guard::close(self)
    }
}

fn not_contiguous(id: &str, doing: &str) -> Error {
    Error::plugin(format!("component `{id}` returned an array from {doing} that is not contiguous"))
        .help("return a row-major array")
}

/// Shape and values of what a model lends; no values if it is not contiguous.
type Lent<'a> = (Vec<usize>, Option<&'a [f32]>);

impl Guard<dyn Model> {
    /// As [`Guard::look`], for results that borrow from the model.
    fn borrow<'a>(
        &'a self,
        doing: &str,
        call: impl FnOnce(&'a dyn Model) -> Result<Lent<'a>>,
    ) -> WireResult<WireBorrow<'a>> {
        let result = self.check_usable().and_then(|()| match &self.component {
            Some(component) => caught(self.id, doing, || {
                let (shape, values) = call(component.as_ref())?;
                let values = values.ok_or_else(|| not_contiguous(self.id, doing))?;
                Ok(WireBorrow { shape: RVec::from(shape), values: values.into() })
            }),
            None => Err(closed(self.id)),
        });
        self.finish(result)
    }
}

impl WireMetric for Guard<dyn Metric> {
    fn wants_activity(&self) -> WireResult<bool> {
        self.look("wants_activity", |metric| Ok(metric.wants_activity()))
    }

    fn invariant(&self) -> WireResult<bool> {
        self.look("invariant", |metric| Ok(metric.invariant()))
    }

    fn measure(&mut self, network: WireLoan<'_>) -> WireResult<RString> {
        let id = self.id;
        self.call("measure", |metric| {
            let received = Received::new(&network);
            let recurrent = received.f32::<Ix2>("recurrent")?;
            let initial = received.f32_if::<Ix2>("initial")?;
            let activity = received.f32_if::<Ix3>("activity")?;
            let (rows, columns) = recurrent.dim();
            if rows != columns {
                return Err(Error::input(format!(
                    "`{id}` measures square matrices, but this one is {rows}×{columns}"
                )));
            }
            let size = Size { neurons: Some(rows), inputs: None, classes: None };
            if let Some(initial) = &initial {
                size.matrix(id, "initial weights", initial.dim())?;
            }
            if let Some(activity) = &activity {
                size.cube(id, activity.dim(), activity.shape())?;
            }
            let conditions = received.u32s("conditions")?;
            let lengths = received.u32s_if("lengths");
            with_setting(&network, |setting| {
                let network = Network {
                    recurrent,
                    initial,
                    substrate: setting.substrate,
                    activity,
                    conditions,
                    lengths,
                };
                json(&metric.measure(&network)?)
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
builder!(metric, Metric, Metric, MetricBox, WireMetric_TO);

/// The library's module; called by [`plugin!`](crate::plugin).
pub fn module(manifest: extern "C" fn() -> RString) -> PluginModuleRef {
    PluginModule {
        manifest,
        log_to: super::events::log_to,
        substrate,
        weights,
        constraint,
        task,
        model,
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
            components: registrations()
                .into_iter()
                .map(|r| ComponentEntry {
                    role: r.role.name().into(),
                    id: r.id.into(),
                    about: r.about.into(),
                    cite: r.cite.into(),
                    schema: (r.schema)(),
                })
                .collect(),
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
