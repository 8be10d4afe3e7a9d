//! Converts the plain types of the contract to their wire forms and back.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use abi_stable::std_types::{RResult, RSlice, RSliceMut, RStr, RString, RVec};
use ndarray::{Array2, Array3, ArrayBase, ArrayView, ArrayViewMut, Data, Dimension, Ix2, Ix3};
use serde::{Deserialize, Serialize};

use super::wire::{WireError, WireLoan, WireParcel, WireResult, WireTensor, WireTensorBuf, WireTensorMut};
use crate::{Batch, Error, Positions, Result, Setting, Substrate, Tensor};

pub(super) fn wire_error(error: &Error) -> WireError {
    let json = serde_json::to_string(error).unwrap_or_else(|_| "{}".into());
    WireError { json: RString::from(json) }
}

pub(super) fn to_wire<T>(result: Result<T>) -> WireResult<T> {
    match result {
        Ok(value) => RResult::ROk(value),
        Err(error) => RResult::RErr(wire_error(&error)),
    }
}

pub(super) fn from_wire<T>(result: WireResult<T>) -> Result<T> {
    match result {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(WireError { json }) => {
            let error: Error = serde_json::from_str(json.as_str())
                .unwrap_or_else(|_| Error::plugin(format!("a plugin reported an unreadable error: {json}")));
            Err(Error {
                kind: error.kind,
                message: printable(error.message),
                causes: error.causes.into_iter().map(printable).collect(),
                help: error.help.map(printable),
            })
        }
    }
}

/// Text from a plugin, made safe for a terminal and a table: control characters
/// other than line breaks and tabs are replaced.
fn printable(text: String) -> String {
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(odd) { text.replace(odd, "\u{fffd}") } else { text }
}

pub(super) fn from_json<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::plugin(format!("{what} is malformed: {e}")))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<RString> {
    serde_json::to_string(value)
        .map(RString::from)
        .map_err(|e| Error::bug(format!("a header cannot be serialized: {e}")))
}

// Lending: arrays borrowed where they are contiguous, copied where not.

enum Values<'a> {
    F32(Cow<'a, [f32]>),
    F64(Cow<'a, [f64]>),
    I64(Cow<'a, [i64]>),
    U32(Cow<'a, [u32]>),
}

pub(super) struct Part<'a> {
    name: Cow<'a, str>,
    shape: Vec<usize>,
    values: Values<'a>,
}

fn contiguous<'a, A: Clone, D: Dimension>(view: ArrayView<'a, A, D>) -> (Vec<usize>, Cow<'a, [A]>) {
    let shape = view.shape().to_vec();
    let values = match view.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(view.iter().cloned().collect()),
    };
    (shape, values)
}

impl<'a> Part<'a> {
    pub(super) fn f32<D: Dimension>(name: impl Into<Cow<'a, str>>, view: ArrayView<'a, f32, D>) -> Self {
        let (shape, values) = contiguous(view);
        Part { name: name.into(), shape, values: Values::F32(values) }
    }

    pub(super) fn f64<D: Dimension>(name: impl Into<Cow<'a, str>>, view: ArrayView<'a, f64, D>) -> Self {
        let (shape, values) = contiguous(view);
        Part { name: name.into(), shape, values: Values::F64(values) }
    }

    pub(super) fn u32<D: Dimension>(name: impl Into<Cow<'a, str>>, view: ArrayView<'a, u32, D>) -> Self {
        let (shape, values) = contiguous(view);
        Part { name: name.into(), shape, values: Values::U32(values) }
    }

    fn i64(name: impl Into<Cow<'a, str>>, values: Cow<'a, [i64]>) -> Self {
        Part { name: name.into(), shape: vec![values.len()], values: Values::I64(values) }
    }

    pub(super) fn tensor(tensor: &'a Tensor) -> Self {
        Part {
            name: Cow::Borrowed(&tensor.name),
            shape: tensor.shape.clone(),
            values: Values::F32(Cow::Borrowed(&tensor.values)),
        }
    }

    pub(super) fn wire(&self) -> WireTensor<'_> {
        let (f32s, f64s, i64s, u32s): (&[f32], &[f64], &[i64], &[u32]) = match &self.values {
            Values::F32(v) => (v, &[], &[], &[]),
            Values::F64(v) => (&[], v, &[], &[]),
            Values::I64(v) => (&[], &[], v, &[]),
            Values::U32(v) => (&[], &[], &[], v),
        };
        WireTensor {
            name: RStr::from_str(&self.name),
            shape: RSlice::from_slice(&self.shape),
            f32s: RSlice::from_slice(f32s),
            f64s: RSlice::from_slice(f64s),
            i64s: RSlice::from_slice(i64s),
            u32s: RSlice::from_slice(u32s),
        }
    }

    fn into_buf(self) -> WireTensorBuf {
        let mut buf = WireTensorBuf {
            name: RString::from(self.name.into_owned()),
            shape: RVec::from(self.shape),
            f32s: RVec::new(),
            f64s: RVec::new(),
            i64s: RVec::new(),
            u32s: RVec::new(),
        };
        match self.values {
            Values::F32(v) => buf.f32s = RVec::from(v.into_owned()),
            Values::F64(v) => buf.f64s = RVec::from(v.into_owned()),
            Values::I64(v) => buf.i64s = RVec::from(v.into_owned()),
            Values::U32(v) => buf.u32s = RVec::from(v.into_owned()),
        }
        buf
    }
}

/// Lends a header and parts for the time of `call`.
pub(super) fn lend<R>(header: &str, parts: &[Part<'_>], call: impl FnOnce(WireLoan<'_>) -> R) -> R {
    let tensors: Vec<WireTensor<'_>> = parts.iter().map(Part::wire).collect();
    call(WireLoan { header: RStr::from_str(header), tensors: RSlice::from_slice(&tensors) })
}

fn parcel(header: RString, parts: Vec<Part<'_>>) -> WireParcel {
    WireParcel { header, tensors: parts.into_iter().map(Part::into_buf).collect() }
}

/// Lends a mutable array for the time of `call`, through a copy where it is
/// not contiguous.
pub(super) fn lend_mut<D: Dimension, R>(
    mut view: ArrayViewMut<'_, f32, D>,
    call: impl FnOnce(WireTensorMut<'_>) -> R,
) -> R {
    let shape = RVec::from(view.shape().to_vec());
    if let Some(values) = view.as_slice_mut() {
        return call(WireTensorMut { shape, values: RSliceMut::from_mut_slice(values) });
    }
    let mut copy: Vec<f32> = view.iter().copied().collect();
    let result = call(WireTensorMut { shape, values: RSliceMut::from_mut_slice(&mut copy) });
    view.iter_mut().zip(copy).for_each(|(to, from)| *to = from);
    result
}

// Receiving.

fn malformed(what: &str, shape: &[usize], values: usize) -> Error {
    Error::plugin(format!("`{what}` is malformed: shape {shape:?} with {values} values"))
}

fn shaped<'a, A, D: Dimension>(what: &str, shape: &[usize], values: &'a [A]) -> Result<ArrayView<'a, A, D>> {
    ArrayView::from_shape(shape, values)
        .ok()
        .and_then(|view| view.into_dimensionality::<D>().ok())
        .ok_or_else(|| malformed(what, shape, values.len()))
}

pub(super) fn view_f32<'a, D: Dimension>(tensor: &WireTensor<'a>) -> Result<ArrayView<'a, f32, D>> {
    shaped(tensor.name.as_str(), tensor.shape.as_slice(), tensor.f32s.as_slice())
}

pub(super) fn view_borrow<'a, D: Dimension>(
    what: &str,
    shape: &[usize],
    values: RSlice<'a, f32>,
) -> Result<ArrayView<'a, f32, D>> {
    shaped(what, shape, values.as_slice())
}

pub(super) fn view_mut<'a, D: Dimension>(
    what: &str,
    tensor: WireTensorMut<'a>,
) -> Result<ArrayViewMut<'a, f32, D>> {
    let count = tensor.values.len();
    let shape = tensor.shape.to_vec();
    ArrayViewMut::from_shape(shape.as_slice(), tensor.values.into_mut_slice())
        .ok()
        .and_then(|view| view.into_dimensionality::<D>().ok())
        .ok_or_else(|| malformed(what, &shape, count))
}

/// The parts of a loan. They are few, so a name is found by looking at each.
pub(super) struct Received<'a>(&'a [WireTensor<'a>]);

impl<'a> Received<'a> {
    pub(super) fn new(loan: &WireLoan<'a>) -> Self {
        Received(loan.tensors.as_slice())
    }

    fn find(&self, name: &str) -> Option<&'a WireTensor<'a>> {
        self.0.iter().find(|tensor| tensor.name.as_str() == name)
    }

    fn get(&self, name: &str) -> Result<&'a WireTensor<'a>> {
        self.find(name).ok_or_else(|| Error::plugin(format!("the array `{name}` is missing")))
    }

    pub(super) fn f32<D: Dimension>(&self, name: &str) -> Result<ArrayView<'a, f32, D>> {
        view_f32(self.get(name)?)
    }

    pub(super) fn f32_if<D: Dimension>(&self, name: &str) -> Result<Option<ArrayView<'a, f32, D>>> {
        self.find(name).map(view_f32).transpose()
    }

    pub(super) fn f64_if<D: Dimension>(&self, name: &str) -> Result<Option<ArrayView<'a, f64, D>>> {
        self.find(name).map(|t| shaped(name, t.shape.as_slice(), t.f64s.as_slice())).transpose()
    }

    pub(super) fn u32<D: Dimension>(&self, name: &str) -> Result<ArrayView<'a, u32, D>> {
        let t = self.get(name)?;
        shaped(name, t.shape.as_slice(), t.u32s.as_slice())
    }

    pub(super) fn u32s(&self, name: &str) -> Result<&'a [u32]> {
        Ok(self.get(name)?.u32s.as_slice())
    }

    /// Empty if the host was built with an older core, which does not send it.
    pub(super) fn u32s_if(&self, name: &str) -> &'a [u32] {
        self.find(name).map_or(&[], |t| t.u32s.as_slice())
    }

    pub(super) fn tensors(&self) -> &'a [WireTensor<'a>] {
        self.0
    }
}

/// Reads a parcel in the way a loan is read.
pub(super) fn unpack<R>(
    parcel: &WireParcel,
    read: impl FnOnce(&str, &Received<'_>) -> Result<R>,
) -> Result<R> {
    let tensors: Vec<WireTensor<'_>> = parcel
        .tensors
        .iter()
        .map(|t| WireTensor {
            name: t.name.as_rstr(),
            shape: t.shape.as_rslice(),
            f32s: t.f32s.as_rslice(),
            f64s: t.f64s.as_rslice(),
            i64s: t.i64s.as_rslice(),
            u32s: t.u32s.as_rslice(),
        })
        .collect();
    let loan = WireLoan { header: parcel.header.as_rstr(), tensors: RSlice::from_slice(&tensors) };
    read(parcel.header.as_str(), &Received::new(&loan))
}

// Matrices.

pub(super) fn matrix_buf(matrix: Array2<f32>) -> WireTensorBuf {
    let shape = vec![matrix.nrows(), matrix.ncols()];
    let values: Vec<f32> = if matrix.is_standard_layout() {
        matrix.into_raw_vec_and_offset().0
    } else {
        matrix.iter().copied().collect()
    };
    Part { name: Cow::Borrowed("weights"), shape, values: Values::F32(Cow::Owned(values)) }.into_buf()
}

pub(super) fn matrix_from_buf(buf: WireTensorBuf) -> Result<Array2<f32>> {
    let shape = buf.shape.to_vec();
    let count = buf.f32s.len();
    match shape[..] {
        [rows, columns] => Array2::from_shape_vec((rows, columns), buf.f32s.into_vec()).ok(),
        _ => None,
    }
    .ok_or_else(|| malformed("weights", &shape, count))
}

// Substrates.

#[derive(Serialize, Deserialize)]
pub(super) struct SubstrateHeader {
    name: String,
    neurons: usize,
    #[serde(default)]
    unit_um: Option<[f64; 3]>,
    #[serde(default)]
    notes: Vec<String>,
    #[serde(default)]
    frame_hz: Option<f64>,
    #[serde(default)]
    recording: Option<(f64, f64)>,
    #[serde(default)]
    derived: BTreeSet<String>,
}

pub(super) fn substrate_parts(substrate: &Substrate) -> (SubstrateHeader, Vec<Part<'_>>) {
    let mut parts = Vec::new();
    if let Some(positions) = &substrate.positions {
        parts.push(Part::f64("positions", positions.values.view()));
    }
    for (name, matrix) in &substrate.matrices {
        parts.push(Part::f64(format!("matrix:{name}"), matrix.view()));
    }
    for (name, ids) in &substrate.ids {
        parts.push(Part::i64(format!("id:{name}"), Cow::Borrowed(ids)));
    }
    if let Some(events) = &substrate.events {
        let times: Vec<f64> = events.iter().flatten().copied().collect();
        let counts: Vec<i64> = events.iter().map(|e| i64::try_from(e.len()).unwrap_or(i64::MAX)).collect();
        parts.push(Part {
            name: "events".into(),
            shape: vec![times.len()],
            values: Values::F64(Cow::Owned(times)),
        });
        parts.push(Part::i64("event counts", Cow::Owned(counts)));
    }
    let header = SubstrateHeader {
        name: substrate.name.clone(),
        neurons: substrate.neurons,
        unit_um: substrate.positions.as_ref().map(|p| p.unit_um),
        notes: substrate.notes.clone(),
        frame_hz: substrate.frame_hz,
        recording: substrate.recording,
        derived: substrate.derived.clone(),
    };
    (header, parts)
}

pub(super) fn substrate_parcel(substrate: &Substrate) -> Result<WireParcel> {
    let (header, parts) = substrate_parts(substrate);
    Ok(parcel(json(&header)?, parts))
}

pub(super) fn receive_substrate(header: SubstrateHeader, received: &Received<'_>) -> Result<Substrate> {
    let positions = match (received.f64_if::<Ix2>("positions")?, header.unit_um) {
        (Some(values), Some(unit_um)) => Some(Positions { values: values.to_owned(), unit_um }),
        _ => None,
    };
    let mut substrate = Substrate {
        name: header.name,
        neurons: header.neurons,
        positions,
        notes: header.notes,
        frame_hz: header.frame_hz,
        recording: header.recording,
        derived: header.derived,
        ..Substrate::default()
    };
    for tensor in received.tensors() {
        let name = tensor.name.as_str();
        if let Some(matrix) = name.strip_prefix("matrix:") {
            if let Some(values) = received.f64_if::<Ix2>(name)? {
                substrate.matrices.insert(matrix.into(), values.to_owned());
            }
        } else if let Some(id) = name.strip_prefix("id:") {
            substrate.ids.insert(id.into(), tensor.i64s.to_vec());
        }
    }
    if let (Ok(times), Ok(counts)) = (received.get("events"), received.get("event counts")) {
        let mut rest = times.f64s.as_slice();
        let mut events = Vec::with_capacity(counts.i64s.len());
        for &count in counts.i64s.as_slice() {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let (head, tail) = rest
                .split_at_checked(count)
                .ok_or_else(|| malformed("events", times.shape.as_slice(), times.f64s.len()))?;
            events.push(head.to_vec());
            rest = tail;
        }
        substrate.events = Some(events);
    }
    Ok(substrate)
}

// Settings.

#[derive(Serialize, Deserialize)]
struct SettingHeader {
    seed: u64,
    threads: usize,
    cache: Option<String>,
    neurons: Option<usize>,
    inputs: Option<usize>,
    classes: Option<usize>,
    #[serde(default)]
    step_ms: Option<f64>,
    substrate: Option<SubstrateHeader>,
    #[serde(default)]
    distance_unit_um: Option<f64>,
}

/// Lends a setting together with `extra` parts for the time of `call`.
pub(super) fn lend_setting<'a, R>(
    setting: &Setting<'a>,
    extra: impl IntoIterator<Item = Part<'a>>,
    call: impl FnOnce(WireLoan<'_>) -> R,
) -> Result<R> {
    let (header, parts) = setting_parts(setting, extra.into_iter().collect())?;
    Ok(lend(&header, &parts, call))
}

fn setting_parts<'a>(setting: &Setting<'a>, extra: Vec<Part<'a>>) -> Result<(RString, Vec<Part<'a>>)> {
    let (substrate, mut parts) = match setting.substrate.map(substrate_parts) {
        Some((header, parts)) => (Some(header), parts),
        None => (None, Vec::new()),
    };
    if let Some(distance) = setting.distance {
        parts.push(Part::f32("distance", distance));
    }
    parts.extend(extra);
    let header = json(&SettingHeader {
        seed: setting.seed,
        threads: setting.threads,
        cache: setting.cache.map(|path| path.to_string_lossy().into_owned()),
        neurons: setting.neurons,
        inputs: setting.inputs,
        classes: setting.classes,
        step_ms: setting.step_ms,
        substrate,
        distance_unit_um: setting.distance_unit_um,
    })?;
    Ok((header, parts))
}

/// What a [`Setting`] of the plugin's side borrows from.
struct OwnedSetting<'a> {
    header: SettingHeader,
    substrate: Option<Substrate>,
    distance: Option<ArrayView<'a, f32, Ix2>>,
}

impl<'a> OwnedSetting<'a> {
    fn receive(loan: &WireLoan<'a>) -> Result<Self> {
        let mut header: SettingHeader = from_json("a setting", loan.header.as_str())?;
        let received = Received::new(loan);
        let substrate = header.substrate.take().map(|h| receive_substrate(h, &received)).transpose()?;
        Ok(OwnedSetting { header, substrate, distance: received.f32_if::<Ix2>("distance")? })
    }

    fn setting(&self) -> Setting<'_> {
        let header = &self.header;
        Setting {
            seed: header.seed,
            threads: header.threads,
            cache: header.cache.as_deref().map(Path::new),
            neurons: header.neurons,
            inputs: header.inputs,
            classes: header.classes,
            step_ms: header.step_ms,
            substrate: self.substrate.as_ref(),
            distance: self.distance,
            distance_unit_um: header.distance_unit_um,
        }
    }
}

pub(super) fn with_setting<R>(
    loan: &WireLoan<'_>,
    use_it: impl FnOnce(&Setting<'_>) -> Result<R>,
) -> Result<R> {
    use_it(&OwnedSetting::receive(loan)?.setting())
}

// Batches.

pub(super) fn batch_parcel(batch: Batch) -> WireParcel {
    fn owned<A: Clone, S: Data<Elem = A>, D: Dimension>(array: &ArrayBase<S, D>) -> (Vec<usize>, Vec<A>) {
        (array.shape().to_vec(), array.iter().cloned().collect())
    }
    let vector = |name: &'static str, values: Vec<u32>| Part {
        name: name.into(),
        shape: vec![values.len()],
        values: Values::U32(Cow::Owned(values)),
    };
    let (shape, values) = owned(&batch.inputs);
    let inputs = Part { name: "inputs".into(), shape, values: Values::F32(Cow::Owned(values)) };
    let (shape, values) = owned(&batch.targets);
    let targets = Part { name: "targets".into(), shape, values: Values::U32(Cow::Owned(values)) };
    let (shape, values) = owned(&batch.mask);
    let mask = Part { name: "mask".into(), shape, values: Values::F32(Cow::Owned(values)) };
    let mut parts =
        vec![inputs, targets, mask, vector("lengths", batch.lengths), vector("conditions", batch.conditions)];
    if let Some(scored) = &batch.scored {
        let (shape, values) = owned(scored);
        parts.push(Part { name: "scored".into(), shape, values: Values::F32(Cow::Owned(values)) });
    }
    parcel(RString::from("{}"), parts)
}

pub(super) fn batch_from_parcel(parcel: &WireParcel) -> Result<Batch> {
    unpack(parcel, |_, received| {
        let inputs: Array3<f32> = received.f32::<Ix3>("inputs")?.to_owned();
        Ok(Batch {
            inputs,
            targets: received.u32::<Ix2>("targets")?.to_owned(),
            mask: received.f32::<Ix2>("mask")?.to_owned(),
            scored: received.f32_if::<Ix2>("scored")?.map(|scored| scored.to_owned()),
            lengths: received.u32s("lengths")?.to_vec(),
            conditions: received.u32s("conditions")?.to_vec(),
        })
    })
}

// A model's state.

pub(super) fn state_parcel(state: Vec<Tensor>) -> WireParcel {
    let parts = state
        .into_iter()
        .map(|t| Part { name: t.name.into(), shape: t.shape, values: Values::F32(Cow::Owned(t.values)) })
        .collect();
    parcel(RString::from("{}"), parts)
}

pub(super) fn state_from_parcel(parcel: WireParcel) -> Vec<Tensor> {
    parcel
        .tensors
        .into_iter()
        .map(|t| Tensor { name: t.name.into_string(), shape: t.shape.to_vec(), values: t.f32s.into_vec() })
        .collect()
}

pub(super) fn state_from_loan(loan: &WireLoan<'_>) -> Vec<Tensor> {
    // In the order given, which a map would lose.
    loan.tensors
        .as_slice()
        .iter()
        .map(|t| Tensor { name: t.name.as_str().into(), shape: t.shape.to_vec(), values: t.f32s.to_vec() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_plugin_s_error_are_replaced() {
        let error = Error::input("a\u{1b}[2Jb\0c\nd").help("e\u{7}").context("f\rg");
        let received = from_wire::<()>(to_wire(Err(error))).unwrap_err();
        assert_eq!(received.message, "f\u{fffd}g");
        assert_eq!(received.causes, ["a\u{fffd}[2Jb\u{fffd}c\nd"]);
        assert_eq!(received.help.as_deref(), Some("e\u{fffd}"));
    }
}
