//! The types that cross between the host and a plugin.
//!
//! These rules keep plugins and hosts of different versions compatible: structs
//! here never change; traits and the module only grow at their end, a trait by
//! methods with a default, and `last_prefix_field` stays where it is. In JSON from
//! a plugin, a new key has a default (`#[serde(default)]`), and no key is ever
//! removed. `tests/system/compatibility.rs` extends a copy of this crate in all of
//! these ways and tests old plugins with the new host and the reverse.

use abi_stable::{
    StableAbi,
    library::RootModule,
    package_version_strings, sabi_trait,
    sabi_types::VersionStrings,
    std_types::{RBox, ROption, RResult, RSlice, RSliceMut, RStr, RString, RVec},
};

/// The type of an array's elements.
pub mod code {
    /// 32-bit floats.
    pub const F32: u8 = 0;
    /// 64-bit floats.
    pub const F64: u8 = 1;
    /// Signed 64-bit integers.
    pub const I64: u8 = 2;
    /// Unsigned 64-bit integers.
    pub const U64: u8 = 3;
    /// Unsigned 32-bit integers.
    pub const U32: u8 = 4;
    /// Bytes.
    pub const U8: u8 = 5;
}

/// An array that is lent for the duration of a call, row-major. `bytes` is aligned
/// for its element type.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WireTensor<'a> {
    pub name: RStr<'a>,
    /// See [`code`].
    pub code: u8,
    pub shape: RSlice<'a, usize>,
    pub bytes: RSlice<'a, u8>,
}

/// An array lent for writing, row-major, aligned.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireTensorMut<'a> {
    /// See [`code`].
    pub code: u8,
    pub shape: RVec<usize>,
    pub bytes: RSliceMut<'a, u8>,
}

/// An array lent by the callee, row-major, aligned.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireBorrow<'a> {
    pub name: RStr<'a>,
    /// See [`code`].
    pub code: u8,
    pub shape: RVec<usize>,
    pub bytes: RSlice<'a, u8>,
}

/// An array handed over. The values are stored in 64-bit words, so that they are
/// aligned for every type; the last word may be padded.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireTensorBuf {
    pub name: RString,
    /// See [`code`].
    pub code: u8,
    pub shape: RVec<usize>,
    pub words: RVec<u64>,
}

/// A trained parameter of a model: its place among the parameters, its values and
/// its gradient.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireLearned<'a> {
    pub index: usize,
    pub values: WireTensorMut<'a>,
    pub gradient: WireTensorMut<'a>,
}

/// A trained parameter as an optimizer receives it.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireUpdate<'a> {
    pub gradient: WireTensor<'a>,
    pub values: WireTensorMut<'a>,
}

/// Text and arrays handed over together: a substrate, trials, a model's state.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireParcel {
    /// JSON object.
    pub header: RString,
    pub tensors: RVec<WireTensorBuf>,
}

/// Text and arrays lent together: a setting, a batch, a network.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WireLoan<'a> {
    /// JSON object.
    pub header: RStr<'a>,
    pub tensors: RSlice<'a, WireTensor<'a>>,
}

/// An error as JSON text of [`crate::Error`].
#[repr(C)]
#[derive(StableAbi)]
pub struct WireError {
    pub json: RString,
}

/// Shorthand.
pub type WireResult<T> = RResult<T, WireError>;

/// The answer of a component that was built before a method existed.
fn not_offered<T>(what: &str) -> WireResult<T> {
    super::convert::to_wire(Err(crate::Error::unsupported(format!("this component does not offer {what}"))))
}

/// Where a plugin's log events go.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WireLog {
    /// 1 error … 5 trace; 0 is off.
    pub level: u8,
    /// Level, target, message.
    pub sink: extern "C" fn(u8, RStr<'_>, RStr<'_>),
}

#[sabi_trait]
pub trait WireSubstrateSource: Send + Sync {
    fn substrate(&mut self, seed: u64) -> WireResult<WireParcel>;
    fn store(&mut self, substrate: WireLoan<'_>, folder: RStr<'_>) -> WireResult<()>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
}

#[sabi_trait]
pub trait WireWeightSource: Send + Sync {
    fn weights(&mut self, request: WireLoan<'_>) -> WireResult<WireTensorBuf>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
    /// The connections and their values.
    fn sparse(&mut self, _request: WireLoan<'_>) -> WireResult<WireParcel> {
        not_offered("weights on a set of connections")
    }
}

#[sabi_trait]
pub trait WireConstraint: Send + Sync {
    /// What the constraint wants, as JSON.
    fn wants(&self) -> WireResult<RString>;
    /// The loan has the point as its header, and the weights, the initial weights
    /// and the gradient of the loss as far as they are known.
    fn penalty(&mut self, at: WireLoan<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64>;
    fn project(&mut self, weights: WireTensorMut<'_>, at: WireLoan<'_>) -> WireResult<()>;
    fn activity_penalty(&mut self, activity: WireLoan<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64>;
    fn state(&self) -> WireResult<WireParcel>;
    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
    /// The loan as for `penalty`; without tensors if nothing changes.
    fn rewire(&mut self, _at: WireLoan<'_>) -> WireResult<WireParcel> {
        not_offered("changes of the connections")
    }
    fn rewired(&mut self, _change: WireLoan<'_>) -> WireResult<()> {
        not_offered("changes of the connections")
    }
}

#[sabi_trait]
pub trait WireTask: Send + Sync {
    fn info(&self) -> WireResult<RString>;
    fn trials(&mut self, count: usize, seed: u64) -> WireResult<WireParcel>;
    /// `split` is an index into `Split::ALL`.
    fn trials_of(&mut self, split: u8, count: usize, seed: u64) -> WireResult<WireParcel>;
    /// One byte for each row of the outputs, 1 if it is correct.
    fn judge(&mut self, batch: WireLoan<'_>, outputs: WireTensor<'_>) -> WireResult<RVec<u8>>;
    /// `batch` may have the tensor `scored`, too.
    fn react(&mut self, batch: WireLoan<'_>, step: usize, outputs: WireTensor<'_>) -> WireResult<WireParcel>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
}

/// `mode` of a forward pass.
pub const TRAIN: u8 = 0;
/// See [`TRAIN`].
pub const EVALUATE: u8 = 1;
/// See [`TRAIN`].
pub const RECORD: u8 = 2;

#[sabi_trait]
pub trait WireModel: Send + Sync {
    fn info(&self) -> WireResult<RString>;
    fn initialise(&mut self, recurrent: WireTensor<'_>, seed: u64) -> WireResult<()>;
    fn forward(
        &mut self,
        batch: WireLoan<'_>,
        mode: u8,
        noise_seed: u64,
        outputs: WireTensorMut<'_>,
    ) -> WireResult<()>;
    fn activity(&self) -> WireResult<WireBorrow<'_>>;
    fn backward(&mut self, outputs: WireTensor<'_>, activity: ROption<WireTensor<'_>>) -> WireResult<()>;
    fn parameters(&self) -> WireResult<RVec<WireBorrow<'_>>>;
    fn parameters_mut(&mut self) -> WireResult<RVec<WireTensorMut<'_>>>;
    fn learned(&mut self) -> WireResult<RVec<WireLearned<'_>>>;
    fn update_itself(&mut self) -> WireResult<()>;
    fn state(&self) -> WireResult<WireParcel>;
    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()>;
    fn step(&self, states: WireTensor<'_>, inputs: WireTensor<'_>) -> WireResult<WireTensorBuf>;
    /// The gradients in the states and in the inputs.
    fn step_gradient(
        &self,
        states: WireTensor<'_>,
        inputs: WireTensor<'_>,
        cotangents: WireTensor<'_>,
    ) -> WireResult<WireParcel>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
    fn rewired(&mut self, _change: WireLoan<'_>) -> WireResult<()> {
        not_offered("changes of the connections")
    }
}

#[sabi_trait]
pub trait WireOptimizer: Send + Sync {
    /// `moment` is JSON.
    fn update(&mut self, parameters: RVec<WireUpdate<'_>>, moment: RStr<'_>) -> WireResult<()>;
    fn state(&self) -> WireResult<WireParcel>;
    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
    fn rewired(&mut self, _parameter: RStr<'_>, _change: WireLoan<'_>) -> WireResult<()> {
        not_offered("changes of the connections")
    }
}

/// A model's step, lent by the host to a metric.
#[sabi_trait]
pub trait WireDynamics: Send + Sync {
    fn step(&self, states: WireTensor<'_>, inputs: WireTensor<'_>) -> WireResult<WireTensorBuf>;
    #[sabi(last_prefix_field)]
    fn step_gradient(
        &self,
        states: WireTensor<'_>,
        inputs: WireTensor<'_>,
        cotangents: WireTensor<'_>,
    ) -> WireResult<WireParcel>;
}

#[sabi_trait]
pub trait WireMetric: Send + Sync {
    /// What the metric wants and promises, as JSON.
    fn wants(&self) -> WireResult<RString>;
    /// The values are the parcel's header, the arrays its tensors.
    fn measure(
        &mut self,
        network: WireLoan<'_>,
        dynamics: ROption<WireDynamics_TO<'_, RBox<()>>>,
    ) -> WireResult<WireParcel>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
}

/// A substrate source on the wire.
pub type SubstrateBox = WireSubstrateSource_TO<'static, RBox<()>>;
/// A weight source on the wire.
pub type WeightBox = WireWeightSource_TO<'static, RBox<()>>;
/// A constraint on the wire.
pub type ConstraintBox = WireConstraint_TO<'static, RBox<()>>;
/// A task on the wire.
pub type TaskBox = WireTask_TO<'static, RBox<()>>;
/// A model on the wire.
pub type ModelBox = WireModel_TO<'static, RBox<()>>;
/// An optimizer on the wire.
pub type OptimizerBox = WireOptimizer_TO<'static, RBox<()>>;
/// A metric on the wire.
pub type MetricBox = WireMetric_TO<'static, RBox<()>>;

/// What a plugin library exports. Grows only at its end.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef, prefix_fields = PluginModulePrefix)))]
#[sabi(missing_field(panic))]
pub struct PluginModule {
    /// The plugin's manifest as JSON; see [`super::Manifest`].
    pub manifest: extern "C" fn() -> RString,
    /// Sends the plugin's log events to the host from now on.
    pub log_to: extern "C" fn(WireLog),
    /// The description of a component with the given parameters (id, JSON object),
    /// as JSON; `null` if the manifest already has it.
    pub describe: extern "C" fn(RStr<'_>, RStr<'_>) -> RResult<RString, WireError>,
    // Builders: id, parameters as JSON, setting. (Written out, since the derive
    // macro must see a function pointer.)
    pub substrate: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<SubstrateBox, WireError>,
    pub weights: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<WeightBox, WireError>,
    pub constraint: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<ConstraintBox, WireError>,
    pub task: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<TaskBox, WireError>,
    pub model: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<ModelBox, WireError>,
    pub optimizer: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<OptimizerBox, WireError>,
    #[sabi(last_prefix_field)]
    pub metric: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<MetricBox, WireError>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "pallium_plugin";
    const NAME: &'static str = "pallium plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
