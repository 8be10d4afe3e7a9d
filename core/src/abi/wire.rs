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

/// An array that is lent for the duration of a call, row-major. Exactly one of
/// the value slices is used; the others are empty.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WireTensor<'a> {
    pub name: RStr<'a>,
    pub shape: RSlice<'a, usize>,
    pub f32s: RSlice<'a, f32>,
    pub f64s: RSlice<'a, f64>,
    pub i64s: RSlice<'a, i64>,
    pub u32s: RSlice<'a, u32>,
}

/// An array lent for writing, row-major.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireTensorMut<'a> {
    pub shape: RVec<usize>,
    pub values: RSliceMut<'a, f32>,
}

/// A matrix or cube lent by the callee, row-major.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireBorrow<'a> {
    pub shape: RVec<usize>,
    pub values: RSlice<'a, f32>,
}

/// An array handed over.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireTensorBuf {
    pub name: RString,
    pub shape: RVec<usize>,
    pub f32s: RVec<f32>,
    pub f64s: RVec<f64>,
    pub i64s: RVec<i64>,
    pub u32s: RVec<u32>,
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
}

#[sabi_trait]
pub trait WireConstraint: Send + Sync {
    fn penalty(&mut self, weights: WireTensor<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64>;
    fn project(&mut self, weights: WireTensorMut<'_>) -> WireResult<()>;
    fn wants_activity(&self) -> WireResult<bool>;
    fn activity_penalty(&mut self, activity: WireTensor<'_>, gradient: WireTensorMut<'_>) -> WireResult<f64>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
}

#[sabi_trait]
pub trait WireTask: Send + Sync {
    fn info(&self) -> WireResult<RString>;
    fn trials(&mut self, count: usize, seed: u64) -> WireResult<WireParcel>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
}

/// `mode` of a forward pass.
pub const TRAIN: u8 = 0;
/// See [`TRAIN`].
pub const EVALUATE: u8 = 1;
/// See [`TRAIN`].
pub const RECORD: u8 = 2;

/// What came out of a forward pass.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WireOutcome {
    pub loss: f64,
    pub correct: f64,
    pub weight: f64,
}

#[sabi_trait]
pub trait WireModel: Send + Sync {
    fn info(&self) -> WireResult<RString>;
    fn initialise(&mut self, recurrent: WireTensor<'_>, seed: u64) -> WireResult<()>;
    fn forward(&mut self, batch: WireLoan<'_>, mode: u8, noise_seed: u64) -> WireResult<WireOutcome>;
    fn activity(&self) -> WireResult<WireBorrow<'_>>;
    fn backward(&mut self, activity: ROption<WireTensor<'_>>, recurrent: WireTensorMut<'_>)
    -> WireResult<()>;
    fn update(&mut self, recurrent: WireTensor<'_>) -> WireResult<()>;
    fn recurrent(&self, block: usize) -> WireResult<WireBorrow<'_>>;
    fn recurrent_mut(&mut self, block: usize) -> WireResult<WireTensorMut<'_>>;
    fn state(&self) -> WireResult<WireParcel>;
    fn restore(&mut self, state: WireLoan<'_>) -> WireResult<()>;
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> WireResult<()>;
    fn plastic(&self) -> WireResult<bool> {
        RResult::ROk(true)
    }
}

#[sabi_trait]
pub trait WireMetric: Send + Sync {
    fn wants_activity(&self) -> WireResult<bool>;
    fn invariant(&self) -> WireResult<bool>;
    fn measure(&mut self, network: WireLoan<'_>) -> WireResult<RString>;
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
    // Builders: id, parameters as JSON, setting. (Written out, since the derive
    // macro must see a function pointer.)
    pub substrate: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<SubstrateBox, WireError>,
    pub weights: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<WeightBox, WireError>,
    pub constraint: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<ConstraintBox, WireError>,
    pub task: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<TaskBox, WireError>,
    pub model: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<ModelBox, WireError>,
    #[sabi(last_prefix_field)]
    pub metric: extern "C" fn(RStr<'_>, RStr<'_>, WireLoan<'_>) -> RResult<MetricBox, WireError>,
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "pallium_plugin";
    const NAME: &'static str = "pallium plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
