//! Arrays on the wire: a type code, a shape and aligned bytes.

use std::borrow::Cow;

use abi_stable::std_types::{RSlice, RSliceMut, RStr, RString, RVec};
use bytemuck::Pod;
use ndarray::{Array, ArrayView, ArrayViewMut, Dimension};

use super::super::wire::{WireLoan, WireParcel, WireTensor, WireTensorBuf, WireTensorMut, code};
use crate::{ConnectionsView, Error, Result, Tensor, Values};

/// An element type with its code on the wire.
pub trait Coded: Pod {
    /// The code.
    const CODE: u8;
}

macro_rules! codes {
    ($(($variant:ident, $type:ty, $code:ident)),* $(,)?) => {
        $(impl Coded for $type {
            const CODE: u8 = code::$code;
        })*

        fn bytes_of(values: &Values) -> (u8, &[u8]) {
            match values {
                $(Values::$variant(values) => (code::$code, bytemuck::cast_slice(values)),)*
            }
        }

        fn values_of(what: &str, found: u8, bytes: &[u8]) -> Result<Values> {
            match found {
                $(code::$code => cast::<$type>(what, found, bytes).map(|values| Values::$variant(values.to_vec())),)*
                _ => Err(Error::plugin(format!(
                    "`{what}` has element type number {found}, which this version does not know"
                ))),
            }
        }
    };
}
codes! {
    (F32, f32, F32),
    (F64, f64, F64),
    (I64, i64, I64),
    (U64, u64, U64),
    (U32, u32, U32),
    (U8, u8, U8),
}

fn cast<'a, A: Coded>(what: &str, found: u8, bytes: &'a [u8]) -> Result<&'a [A]> {
    if found != A::CODE {
        return Err(Error::plugin(format!(
            "`{what}` has element type number {found} instead of {}",
            A::CODE
        )));
    }
    bytemuck::try_cast_slice(bytes).map_err(|e| Error::plugin(format!("`{what}` is malformed: {e}")))
}

fn malformed(what: &str, shape: &[usize], values: usize) -> Error {
    Error::plugin(format!("`{what}` is malformed: shape {shape:?} with {values} values"))
}

/// The values of a [`Part`], borrowed or, if they are not contiguous, copied.
enum Held<'a> {
    Borrowed(u8, &'a [u8]),
    Owned(Values),
}

/// An array to be lent.
pub struct Part<'a> {
    name: Cow<'a, str>,
    shape: Cow<'a, [usize]>,
    held: Held<'a>,
}

impl<'a> Part<'a> {
    pub fn new<A: Coded, D: Dimension>(name: impl Into<Cow<'a, str>>, view: ArrayView<'a, A, D>) -> Self
    where
        Values: From<Vec<A>>,
    {
        let shape = Cow::Owned(view.shape().to_vec());
        let held = match view.to_slice() {
            Some(slice) => Held::Borrowed(A::CODE, bytemuck::cast_slice(slice)),
            None => Held::Owned(view.iter().copied().collect::<Vec<A>>().into()),
        };
        Part { name: name.into(), shape, held }
    }

    pub fn slice<A: Coded>(name: impl Into<Cow<'a, str>>, values: &'a [A]) -> Self {
        let held = Held::Borrowed(A::CODE, bytemuck::cast_slice(values));
        Part { name: name.into(), shape: Cow::Owned(vec![values.len()]), held }
    }

    /// Values of single precision with the given shape.
    pub fn shaped(name: &'a str, shape: &'a [usize], values: &'a [f32]) -> Self {
        let held = Held::Borrowed(code::F32, bytemuck::cast_slice(values));
        Part { name: Cow::Borrowed(name), shape: Cow::Borrowed(shape), held }
    }

    /// As [`Part::shaped`], with a name of its own.
    pub fn named(name: String, shape: &'a [usize], values: &'a [f32]) -> Self {
        Part { name: Cow::Owned(name), ..Part::shaped("", shape, values) }
    }

    pub fn owned(name: impl Into<Cow<'a, str>>, values: impl Into<Values>) -> Self {
        let values = values.into();
        Part { name: name.into(), shape: Cow::Owned(vec![values.len()]), held: Held::Owned(values) }
    }

    pub fn tensor(tensor: &'a Tensor) -> Self {
        let (code, bytes) = bytes_of(&tensor.values);
        Part {
            name: Cow::Borrowed(&tensor.name),
            shape: Cow::Borrowed(&tensor.shape),
            held: Held::Borrowed(code, bytes),
        }
    }

    pub fn wire(&self) -> WireTensor<'_> {
        let (code, bytes) = match &self.held {
            Held::Borrowed(code, bytes) => (*code, *bytes),
            Held::Owned(values) => bytes_of(values),
        };
        WireTensor {
            name: RStr::from_str(&self.name),
            code,
            shape: RSlice::from_slice(&self.shape),
            bytes: RSlice::from_slice(bytes),
        }
    }

    fn to_buf(&self) -> WireTensorBuf {
        let wire = self.wire();
        let bytes = wire.bytes.as_slice();
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        WireTensorBuf {
            name: RString::from(self.name.as_ref()),
            code: wire.code,
            shape: RVec::from(self.shape.to_vec()),
            words: RVec::from(words),
        }
    }
}

/// Lends a header and parts for the time of `call`.
pub fn lend<R>(header: &str, parts: &[Part<'_>], call: impl FnOnce(WireLoan<'_>) -> R) -> R {
    let tensors: Vec<WireTensor<'_>> = parts.iter().map(Part::wire).collect();
    call(WireLoan { header: RStr::from_str(header), tensors: RSlice::from_slice(&tensors) })
}

/// Lends a mutable array for the time of `call`, through a copy where it is
/// not contiguous.
pub fn lend_mut<D: Dimension, R>(
    mut view: ArrayViewMut<'_, f32, D>,
    call: impl FnOnce(WireTensorMut<'_>) -> R,
) -> R {
    let shape = view.shape().to_vec();
    if let Some(values) = view.as_slice_mut() {
        return call(borrow_mut(shape, values));
    }
    let mut copy: Vec<f32> = view.iter().copied().collect();
    let result = call(borrow_mut(shape, &mut copy));
    view.iter_mut().zip(copy).for_each(|(to, from)| *to = from);
    result
}

/// A mutable array on the wire.
pub fn borrow_mut(shape: Vec<usize>, values: &mut [f32]) -> WireTensorMut<'_> {
    WireTensorMut {
        code: code::F32,
        shape: RVec::from(shape),
        bytes: RSliceMut::from_mut_slice(bytemuck::cast_slice_mut(values)),
    }
}

/// Hands an array over.
pub fn buf<A: Coded, D: Dimension>(name: &str, view: ArrayView<'_, A, D>) -> WireTensorBuf
where
    Values: From<Vec<A>>,
{
    Part::new(name, view).to_buf()
}

/// Hands a header and arrays over.
pub fn parcel_of(header: RString, parts: &[Part<'_>]) -> WireParcel {
    WireParcel { header, tensors: parts.iter().map(Part::to_buf).collect() }
}

/// Receives an array that was handed over.
pub fn buf_to_array<A: Coded, D: Dimension>(buf: &WireTensorBuf) -> Result<Array<A, D>> {
    let wire = wire_of(buf)?;
    view::<A, D>(&wire).map(|view| view.to_owned())
}

fn wire_of(buf: &WireTensorBuf) -> Result<WireTensor<'_>> {
    let bytes: &[u8] = bytemuck::cast_slice(buf.words.as_slice());
    let size = match buf.code {
        code::F32 | code::U32 => 4,
        code::U8 => 1,
        _ => 8,
    };
    let length = buf.shape.iter().try_fold(size, |length: usize, &axis| length.checked_mul(axis));
    let bytes = length
        .and_then(|length| bytes.get(..length))
        .ok_or_else(|| malformed(&buf.name, &buf.shape, bytes.len() / size))?;
    Ok(WireTensor {
        name: buf.name.as_rstr(),
        code: buf.code,
        shape: buf.shape.as_rslice(),
        bytes: RSlice::from_slice(bytes),
    })
}

/// An array that was lent.
pub fn view<'a, A: Coded, D: Dimension>(tensor: &WireTensor<'a>) -> Result<ArrayView<'a, A, D>> {
    let what = tensor.name.as_str();
    let values = cast::<A>(what, tensor.code, tensor.bytes.as_slice())?;
    ArrayView::from_shape(tensor.shape.as_slice(), values)
        .ok()
        .and_then(|view| view.into_dimensionality::<D>().ok())
        .ok_or_else(|| malformed(what, tensor.shape.as_slice(), values.len()))
}

/// A mutable array that was lent.
pub fn view_mut<'a, D: Dimension>(what: &str, tensor: WireTensorMut<'a>) -> Result<ArrayViewMut<'a, f32, D>> {
    let shape = tensor.shape.to_vec();
    let values = slice_mut(what, tensor)?;
    let count = values.len();
    ArrayViewMut::from_shape(shape.as_slice(), values)
        .ok()
        .and_then(|view| view.into_dimensionality::<D>().ok())
        .ok_or_else(|| malformed(what, &shape, count))
}

/// The values of a mutable array that was lent.
pub fn slice_mut<'a>(what: &str, tensor: WireTensorMut<'a>) -> Result<&'a mut [f32]> {
    if tensor.code != code::F32 {
        return Err(Error::plugin(format!("`{what}` does not hold values of single precision")));
    }
    bytemuck::try_cast_slice_mut(tensor.bytes.into_mut_slice())
        .map_err(|e| Error::plugin(format!("`{what}` is malformed: {e}")))
}

/// The parts of a loan. They are few, so a name is found by looking at each.
pub struct Received<'a>(&'a [WireTensor<'a>]);

impl<'a> Received<'a> {
    pub fn new(loan: &WireLoan<'a>) -> Self {
        Received(loan.tensors.as_slice())
    }

    pub fn find(&self, name: &str) -> Option<&'a WireTensor<'a>> {
        self.0.iter().find(|tensor| tensor.name.as_str() == name)
    }

    pub fn array<A: Coded, D: Dimension>(&self, name: &str) -> Result<ArrayView<'a, A, D>> {
        let tensor =
            self.find(name).ok_or_else(|| Error::plugin(format!("the array `{name}` is missing")))?;
        view(tensor)
    }

    pub fn array_if<A: Coded, D: Dimension>(&self, name: &str) -> Result<Option<ArrayView<'a, A, D>>> {
        self.find(name).map(view).transpose()
    }

    /// Empty if it is missing.
    pub fn list<A: Coded>(&self, name: &str) -> Result<&'a [A]> {
        self.find(name).map_or(Ok(&[]), |tensor| cast(name, tensor.code, tensor.bytes.as_slice()))
    }

    /// The connections that [`connection_parts`] lends, if there are any.
    pub fn connections(&self) -> Result<Option<ConnectionsView<'a>>> {
        let Some(indptr) = self.find(INDPTR) else { return Ok(None) };
        let columns = self.list::<u64>(COLUMNS)?.first().copied().unwrap_or_default() as usize;
        ConnectionsView::lent(columns, values(indptr)?, self.list(INDICES)?).map(Some)
    }

    pub fn tensors(&self) -> &'a [WireTensor<'a>] {
        self.0
    }
}

const INDPTR: &str = "connections.indptr";
const INDICES: &str = "connections.indices";
const COLUMNS: &str = "connections.columns";

/// The parts of a set of connections.
pub fn connection_parts(connections: ConnectionsView<'_>) -> Vec<Part<'_>> {
    vec![
        Part::slice(INDPTR, connections.indptr()),
        Part::slice(INDICES, connections.indices()),
        Part::owned(COLUMNS, vec![connections.dim().1 as u64]),
    ]
}

/// The values of a tensor that was lent, as a slice.
pub fn values<'a, A: Coded>(tensor: &WireTensor<'a>) -> Result<&'a [A]> {
    cast(tensor.name.as_str(), tensor.code, tensor.bytes.as_slice())
}

/// Reads a parcel in the way a loan is read.
pub fn unpack<R>(parcel: &WireParcel, read: impl FnOnce(&str, &Received<'_>) -> Result<R>) -> Result<R> {
    let tensors: Vec<WireTensor<'_>> = parcel.tensors.iter().map(wire_of).collect::<Result<_>>()?;
    let loan = WireLoan { header: parcel.header.as_rstr(), tensors: RSlice::from_slice(&tensors) };
    read(parcel.header.as_str(), &Received::new(&loan))
}

// Tensors of a state, in the order given, which a map would lose.

pub fn tensors_parcel(header: RString, tensors: &[Tensor]) -> WireParcel {
    let parts: Vec<Part<'_>> = tensors.iter().map(Part::tensor).collect();
    parcel_of(header, &parts)
}

pub fn tensors_from_parcel(parcel: &WireParcel) -> Result<Vec<Tensor>> {
    parcel.tensors.iter().map(|buf| owned_tensor(&wire_of(buf)?)).collect()
}

pub fn tensors_from_loan(loan: &WireLoan<'_>) -> Result<Vec<Tensor>> {
    loan.tensors.as_slice().iter().map(owned_tensor).collect()
}

fn owned_tensor(tensor: &WireTensor<'_>) -> Result<Tensor> {
    let (name, shape) = (tensor.name.as_str(), tensor.shape.to_vec());
    let values = values_of(name, tensor.code, tensor.bytes.as_slice())?;
    let count = shape.iter().try_fold(1, |count: usize, &axis| count.checked_mul(axis));
    if count != Some(values.len()) {
        return Err(malformed(name, &shape, values.len()));
    }
    Ok(Tensor::new(name, shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_of_every_type_arrive_as_they_were_sent() {
        let sent = [
            Tensor::new("a", [2, 2], vec![1.5_f32, -0.0, f32::NAN, 3.0]),
            Tensor::new("b", [3], vec![f64::MAX, 5e-324, 0.1]),
            Tensor::new("c", [1], vec![u64::MAX]),
            Tensor::new("d", [2], vec![i64::MIN, 7]),
            Tensor::new("e", [3], vec![1_u32, 2, u32::MAX]),
            Tensor::new("f", [5], vec![1_u8, 2, 3, 4, 255]),
            Tensor::new("g", [0, 3], Vec::<f32>::new()),
        ];
        let back = tensors_from_parcel(&tensors_parcel(RString::new(), &sent)).unwrap();
        for (sent, back) in sent.iter().zip(&back) {
            assert_eq!((&sent.name, &sent.shape), (&back.name, &back.shape));
            assert_eq!(bytes_of(&sent.values), bytes_of(&back.values));
        }
    }

    #[test]
    fn an_array_of_another_type_or_length_is_refused() {
        let tensor = Tensor::new("a", [2], vec![1.0_f32, 2.0]);
        let part = Part::tensor(&tensor);
        let refused = |found: Result<()>| found.unwrap_err().message;
        assert!(refused(view::<f64, ndarray::Ix1>(&part.wire()).map(drop)).contains("element type"));
        assert!(refused(view::<f32, ndarray::Ix2>(&part.wire()).map(drop)).contains("shape [2]"));
        let long = WireTensorBuf { shape: vec![9].into(), ..part.to_buf() };
        assert!(refused(buf_to_array::<f32, ndarray::Ix1>(&long).map(drop)).contains("shape [9]"));
    }
}
