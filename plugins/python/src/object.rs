//! An object of a user's class in a Python process.
//!
//! All components of a training share one process for each interpreter, so that
//! large packages are imported once. A process that dies, or takes too long, takes
//! all of its objects with it; the error names the component that was called.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pallium_core::prelude::*;
use pallium_core::serde_json::{Map, Value, json};
use pallium_core::{SubstrateView, Tensor};

use crate::memory::{Memory, Sent};
use crate::params::Params;
use crate::process::{Failure, Process};

/// A process with its memory; `None` once it has died.
struct Shared {
    running: Option<(Process, Memory)>,
    /// The component whose call ended it.
    ended_by: String,
}

/// The processes by interpreter. They end with this process, which closes their
/// sockets: an object that is created after others were dropped, as in conformance
/// checks, does not import large packages again.
static RUNNING: Mutex<BTreeMap<String, Arc<Mutex<Shared>>>> = Mutex::new(BTreeMap::new());
/// Numbers of objects.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process of an interpreter, started if there is none.
fn process(params: &Params, threads: usize) -> Result<Arc<Mutex<Shared>>> {
    let python = params.interpreter();
    let mut running = locked(&RUNNING);
    if let Some(shared) = running.get(&python)
        && locked(shared).running.is_some()
    {
        return Ok(shared.clone());
    }
    let patience = Duration::from_secs_f64(params.patience_s);
    let mut process = Process::start(&python, threads, patience)?;
    let mut memory = Memory::new()?;
    process.request(&json!({"do": "memory", "path": memory.path()})).map_err(Failure::error)?;
    memory.unlink();
    let shared = Arc::new(Mutex::new(Shared { running: Some((process, memory)), ended_by: String::new() }));
    running.insert(python, shared.clone());
    Ok(shared)
}

/// An object.
pub struct Object {
    shared: Arc<Mutex<Shared>>,
    number: u64,
    /// Its name in messages.
    name: String,
    patience: Duration,
}

/// The answer to a call: a JSON object, and arrays.
pub type Called = (Value, Vec<Tensor>);

impl Object {
    /// Creates an object in a role; returns it, and what it says of itself.
    ///
    /// # Errors
    /// If Python cannot be started, the class does not exist or its constructor
    /// fails.
    pub fn new(role: &str, params: &Params, setting: &Setting<'_>) -> Result<(Self, Value)> {
        params.check()?;
        if params.name.trim().is_empty() {
            return Err(Error::input("parameter `name` is empty")
                .help("set it to the name of a class in the Python file `path`, or to `module:Class`"));
        }
        let object = Object {
            shared: process(params, setting.threads)?,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            name: format!("`{}`{}", params.name, place(params)),
            patience: Duration::from_secs_f64(params.patience_s),
        };
        let (header, arrays) = setting_parts(setting);
        let mut request = params.request("build");
        request["role"] = role.into();
        request["object"] = object.number.into();
        request["setting"] = header;
        let about = object.ask(request, &arrays, "its constructor")?.0;
        Ok((object, about))
    }

    /// Calls a method of the object's role.
    ///
    /// # Errors
    /// If the method raises an exception or returns something wrong, or the process
    /// dies or takes too long.
    pub fn call(&self, method: &str, header: Value, arrays: &[Sent<'_>]) -> Result<Called> {
        let request = json!({"do": "call", "object": self.number, "method": method, "header": header});
        self.ask(request, arrays, &format!("{method}()"))
    }

    /// Takes back the arrays of an answer, for those of the next one.
    pub fn recycle(&self, answer: Vec<Tensor>) {
        if let Some((_, memory)) = &mut locked(&self.shared).running {
            memory.recycle(answer);
        }
    }

    fn ask(&self, mut request: Value, arrays: &[Sent<'_>], doing: &str) -> Result<Called> {
        let mut shared = locked(&self.shared);
        let Some((process, memory)) = &mut shared.running else {
            return Err(Error::plugin(format!(
                "{}: {doing} is impossible, since the Python process was ended by {}",
                self.name, shared.ended_by
            )));
        };
        let (places, end) = memory.put(arrays)?;
        request["arrays"] = places;
        request["end"] = end.into();
        process.set_patience(self.patience);
        match process.request(&request) {
            Ok((mut answer, _)) => {
                if !answer["arrays"].is_array() {
                    return Ok((answer, Vec::new()));
                }
                let tensors = answer["arrays"].as_array().into_iter().flatten();
                let tensors = tensors.map(|about| memory.get(about)).collect::<Result<_>>()?;
                Ok((answer["about"].take(), tensors))
            }
            Err(Failure::Refused(error)) => {
                Err(Error { kind: error.kind, ..error }.context(format!("{}: {doing} failed", self.name)))
            }
            Err(Failure::Died(error)) => {
                shared.running = None;
                shared.ended_by = format!("{doing} of {}", self.name);
                let error = error.context(format!("{}: {doing} was interrupted", self.name));
                Err(match error.help {
                    Some(_) => error,
                    None => {
                        error.help("run it directly in Python to find the cause; other trainings continue")
                    }
                })
            }
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let mut shared = locked(&self.shared);
        if let Some((process, _)) = &mut shared.running {
            // An exception in close() cannot be returned from here.
            let _ = process.request(&json!({"do": "drop", "object": self.number}));
        }
    }
}

fn place(params: &Params) -> String {
    params.path.as_ref().map(|path| format!(" of {path}")).unwrap_or_default()
}

/// The setting as JSON and arrays.
fn setting_parts<'a>(setting: &Setting<'a>) -> (Value, Vec<Sent<'a>>) {
    let mut header = json!({
        "seed": setting.seed,
        "threads": setting.threads.max(1),
        "neurons": setting.neurons,
        "shape": setting.shape().ok(),
        "inputs": setting.inputs,
        "outputs": setting.outputs,
        "loss": setting.loss,
        "step_ms": setting.step_ms,
        "distance_unit_um": setting.distance_unit_um,
    });
    let mut arrays = Vec::new();
    if let Some(distance) = setting.distance {
        arrays.push(Sent::f32("distance", distance));
    }
    for (name, units) in [("rows", setting.rows), ("columns", setting.columns)] {
        if let Some(units) = units {
            arrays.push(Sent::i64(name, pallium_core::ndarray::aview1(units.neurons)));
        }
    }
    header["substrate"] = substrate_parts(setting.substrate, &mut arrays);
    (header, arrays)
}

/// A substrate as JSON; its arrays are added under names that begin with
/// `substrate.`.
pub fn substrate_parts<'a>(substrate: Option<&'a SubstrateView<'a>>, arrays: &mut Vec<Sent<'a>>) -> Value {
    let Some(substrate) = substrate else { return Value::Null };
    if let Some(positions) = &substrate.positions {
        // Positions in their own unit; Python multiplies.
        arrays.push(Sent::f64("substrate.positions", positions.values.view()));
    }
    for (name, matrix) in &substrate.matrices {
        arrays.push(Sent::f64(format!("substrate.matrices.{name}"), matrix.view()));
    }
    for (name, ids) in &substrate.ids {
        arrays.push(Sent::i64(format!("substrate.ids.{name}"), pallium_core::ndarray::aview1(ids)));
    }
    json!({
        "name": substrate.name,
        "neurons": substrate.neurons,
        "unit_um": substrate.positions.as_ref().map(|p| p.unit_um),
        "events": substrate.events,
        "frame_hz": substrate.frame_hz,
        "recording": substrate.recording,
    })
}

/// Parameters of a component as an empty map, for headers without values.
pub fn nothing() -> Value {
    Value::Object(Map::new())
}
