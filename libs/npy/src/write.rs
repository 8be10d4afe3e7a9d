//! Writes `.npy` files, byte for byte as numpy does.

use std::io::{self, Write};

use pallium_core::ndarray::{ArrayBase, Data, Dimension};

mod sealed {
    pub trait Sealed {}
}

/// Number types that can be written: `f32`, `f64` and `i64`.
pub trait Element: Copy + sealed::Sealed {
    /// numpy's name of the type, little-endian.
    #[doc(hidden)]
    const DESCRIPTION: &'static str;

    /// Appends the number's bytes.
    #[doc(hidden)]
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! elements {
    ($($number:ty = $description:literal),*) => {$(
        impl sealed::Sealed for $number {}
        impl Element for $number {
            const DESCRIPTION: &'static str = $description;
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    )*};
}
elements!(f32 = "<f4", f64 = "<f8", i64 = "<i8");

/// The data start at a multiple of this, so that the file can be mapped.
const ALIGNMENT: usize = 64;

/// The header of a file in format 1.0, of row-major values.
fn header(description: &str, shape: &[usize]) -> io::Result<Vec<u8>> {
    let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    // A tuple of one element also needs a comma.
    let shape = if let [side] = sides.as_slice() { format!("{side},") } else { sides.join(", ") };
    let mut header = format!("{{'descr': '{description}', 'fortran_order': False, 'shape': ({shape})}}");
    let start = b"\x93NUMPY\x01\x00".len() + 2;
    let length = (start + header.len() + 1).next_multiple_of(ALIGNMENT) - start;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let length = u16::try_from(length).map_err(io::Error::other)?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.bytes());
    Ok(bytes)
}

/// A text as numpy stores it: `length` characters of four bytes, the last ones 0.
/// What is longer is cut.
pub fn text_bytes(text: &str, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        text.chars().take(length).flat_map(|letter| u32::from(letter).to_le_bytes()).collect();
    bytes.resize(4 * length, 0);
    bytes
}

/// Writes a list of texts, as an array of numpy's type `U`.
///
/// # Errors
/// If `to` cannot be written.
pub fn write_texts(mut to: impl Write, texts: &[String]) -> io::Result<()> {
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
    to.write_all(&header(&format!("<U{longest}"), &[texts.len()])?)?;
    texts.iter().try_for_each(|text| to.write_all(&text_bytes(text, longest)))?;
    to.flush()
}

/// Writes an array in format 1.0, row-major.
///
/// # Errors
/// If `to` cannot be written.
pub fn write<T: Element, D: Dimension>(
    mut to: impl Write,
    array: &ArrayBase<impl Data<Elem = T>, D>,
) -> io::Result<()> {
    let mut bytes = header(T::DESCRIPTION, array.shape())?;
    for &value in array {
        value.append(&mut bytes);
        if bytes.len() >= 1 << 16 {
            to.write_all(&bytes)?;
            bytes.clear();
        }
    }
    to.write_all(&bytes)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use ndarray_npy::{ReadNpyExt, WriteNpyExt};
    use pallium_core::ndarray::{Array1, Array2, Array3, ArrayBase, Data, Dimension, array};

    use super::*;

    fn written<T: Element, D: Dimension>(array: &ArrayBase<impl Data<Elem = T>, D>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, array).unwrap();
        bytes
    }

    #[test]
    fn another_library_reads_what_is_written() {
        let matrix = array![[1.5_f32, -2.0, 3.0], [4.0, f32::NAN, 6.0]];
        let read = Array2::<f32>::read_npy(written(&matrix).as_slice()).unwrap();
        assert!(read.iter().zip(&matrix).all(|(a, b)| a.to_bits() == b.to_bits()));
        let turned = matrix.t();
        assert_eq!(Array2::<f32>::read_npy(written(&turned).as_slice()).unwrap().dim(), (3, 2));
        let list = array![1_i64, -5, (1 << 53) + 1];
        assert_eq!(Array1::<i64>::read_npy(written(&list).as_slice()).unwrap(), list);
        let cube = Array3::from_shape_fn((30, 20, 40), |(i, j, k)| (i * 800 + j * 40 + k) as f64);
        assert_eq!(Array3::<f64>::read_npy(written(&cube).as_slice()).unwrap(), cube);
    }

    #[test]
    fn the_bytes_are_those_of_another_library() {
        for n in [0, 1, 7, 100] {
            let matrix = Array2::from_shape_fn((n, 3), |(i, j)| (i * 3 + j) as f64);
            let mut bytes = Vec::new();
            matrix.write_npy(&mut bytes).unwrap();
            assert_eq!(written(&matrix), bytes, "{n}");
            let mut bytes = Vec::new();
            matrix.column(0).to_owned().write_npy(&mut bytes).unwrap();
            assert_eq!(written(&matrix.column(0)), bytes, "{n}");
        }
    }
}
