//! Reads `.npy` files, which may be truncated or malicious.
//!
//! The header is read first and checked against the length of the file; nothing
//! is allocated before shape and length agree. Numbers may be floats or integers
//! of any width and byte order, in C or Fortran order. Object arrays are read by
//! [`pickle`]. Format: `numpy/lib/format.py`, versions 1 to 3.

use std::io::Read;
use std::path::Path;

use pallium_core::ndarray::{self, ArrayD, Ix2, IxDyn, ShapeBuilder};
use pallium_core::{Kind, prelude::*};

use pallium_files::open;

use crate::dtype::{Dtype, Numeric};
use crate::pickle;

/// Maximum length of a header; numpy itself stops at 10,000.
const LONGEST_HEADER: usize = 1 << 16;
/// Maximum number of lists: a matrix of more neurons would not fit into memory.
const MOST_LISTS: usize = 1 << 17;
/// Bytes converted to numbers at once.
const PIECE: usize = 1 << 16;
const AS_NUMBERS: &str =
    "save numbers instead: numpy.save(file, numpy.asarray(array, float)), or int for ids";
const SAVE_AGAIN: &str = "copy the file again from its source, or write it again with numpy.save";

/// Checks the shape of an array. It is called after the header has been read, so
/// that an array of the wrong shape is refused before its data are read.
pub type Fits<'a> = &'a dyn Fn(&[usize]) -> Result<()>;

/// Accepts any shape.
///
/// # Errors
/// Never.
pub fn any(_: &[usize]) -> Result<()> {
    Ok(())
}

/// What the header of a file says.
struct Header {
    /// Element type; `None` for Python objects.
    dtype: Option<Dtype>,
    fortran: bool,
    shape: Vec<usize>,
}

/// A file whose header has been read.
struct Array<'a, R> {
    path: &'a Path,
    header: Header,
    /// The data.
    rest: R,
    /// Remaining bytes of the data.
    left: u64,
}

/// Reads an array of floats with any number of axes, in row-major order. Integers
/// beyond 2^53 are rounded.
///
/// # Errors
/// If the file is missing, is not such an array, or is truncated; the message
/// names the file.
pub fn read_array(path: &Path, fits: Fits<'_>) -> Result<ArrayD<f64>> {
    let (file, length) = open(path)?;
    array(path, file, length, fits)
}

/// As [`read_array`], from a `source` of `length` bytes; messages call it `path`.
///
/// # Errors
/// As [`read_array`].
pub fn array(path: &Path, source: impl Read, length: u64, fits: Fits<'_>) -> Result<ArrayD<f64>> {
    Array::begin(path, source, length)?.all(fits)
}

/// Reads an N×M matrix of floats, all of them finite.
///
/// # Errors
/// As [`read_array`], or if an element is not finite; the message names row and
/// column.
pub fn read_matrix(path: &Path, fits: Fits<'_>) -> Result<Array2> {
    let (file, length) = open(path)?;
    matrix(path, file, length, fits)
}

/// As [`read_matrix`], from a `source` of `length` bytes.
///
/// # Errors
/// As [`read_matrix`].
pub fn matrix(path: &Path, source: impl Read, length: u64, fits: Fits<'_>) -> Result<Array2> {
    let found = Array::begin(path, source, length)?;
    let sides = found.header.shape.clone();
    if found.header.dtype.is_some() && sides.len() != 2 {
        return Err(bad(path, format!("has the shape {} where a matrix is expected", shape(&sides)))
            .help("the array must have two axes"));
    }
    let matrix = found
        .all(fits)?
        .into_dimensionality::<Ix2>()
        .map_err(|e| Error::bug(format!("a checked shape does not fit: {e}")))?;
    if let Some(((row, column), value)) = matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::input(format!("{}: {value} at row {row}, column {column}", path.display()))
            .help("every element must be a finite number: remove the neuron or correct the element"));
    }
    Ok(matrix)
}

type Array2 = ndarray::Array2<f64>;

/// Reads a list of 64-bit integers, exactly.
///
/// # Errors
/// As [`read_matrix`].
pub fn read_ids(path: &Path, fits: Fits<'_>) -> Result<Vec<i64>> {
    let (file, length) = open(path)?;
    ids(path, file, length, fits)
}

/// As [`read_ids`], from a `source` of `length` bytes.
///
/// # Errors
/// As [`read_matrix`].
pub fn ids(path: &Path, source: impl Read, length: u64, fits: Fits<'_>) -> Result<Vec<i64>> {
    let mut array = Array::begin(path, source, length)?;
    let Some(dtype) = array.header.dtype else {
        return Err(bad(path, "holds Python objects where integers are expected").help(AS_NUMBERS));
    };
    if array.header.shape.len() != 1 {
        return Err(bad(
            path,
            format!("has the shape {} where a list is expected", shape(&array.header.shape)),
        )
        .help("the array must have one axis, with one id per neuron"));
    }
    let not_ids = || {
        bad(path, "holds numbers that are not 64-bit integers")
            .help("ids exceed 2^53, so they must never pass through a float: save them as int64")
    };
    if dtype.numeric == Numeric::Float {
        return Err(not_ids());
    }
    fits(&array.header.shape)?;
    let mut ids = Vec::new();
    array.pieces(dtype, |bytes| {
        ids.extend(dtype.integers(bytes).ok_or_else(not_ids)?);
        Ok(())
    })?;
    Ok(ids)
}

/// Reads a list of floats.
///
/// # Errors
/// As [`read_matrix`].
pub fn read_list(path: &Path, fits: Fits<'_>) -> Result<Vec<f64>> {
    let (file, length) = open(path)?;
    list(path, file, length, fits)
}

/// As [`read_list`], from a `source` of `length` bytes.
///
/// # Errors
/// As [`read_matrix`].
pub fn list(path: &Path, source: impl Read, length: u64, fits: Fits<'_>) -> Result<Vec<f64>> {
    let mut array = Array::begin(path, source, length)?;
    match (array.header.dtype, array.header.shape.len()) {
        (Some(dtype), 1) => {
            fits(&array.header.shape)?;
            array.floats(dtype)
        }
        _ => Err(bad(path, "is not a list of numbers").help("the array must have one axis and hold floats")),
    }
}

/// Reads one list of floats per neuron: an object array of numeric arrays, or the
/// rows of a matrix.
///
/// # Errors
/// As [`read_matrix`]; also if the pickle is anything but an object array of
/// numeric arrays.
pub fn read_lists(path: &Path, fits: Fits<'_>) -> Result<Vec<Vec<f64>>> {
    let (file, length) = open(path)?;
    lists(path, file, length, fits)
}

/// As [`read_lists`], from a `source` of `length` bytes.
///
/// # Errors
/// As [`read_lists`].
pub fn lists(path: &Path, source: impl Read, length: u64, fits: Fits<'_>) -> Result<Vec<Vec<f64>>> {
    let mut array = Array::begin(path, source, length)?;
    // Rows without columns take no bytes, so a short file can claim any number
    // of them.
    if array.header.shape.first().is_some_and(|&lists| lists > MOST_LISTS) {
        return Err(bad(path, format!("claims {} lists, one per neuron", array.header.shape[0])).help(
            format!("the maximum is {MOST_LISTS}: a matrix of more neurons would not fit into memory"),
        ));
    }
    fits(&array.header.shape)?;
    if let Some(dtype) = array.header.dtype {
        if array.header.shape.len() != 2 {
            return Err(bad(
                path,
                format!("has the shape {} where one list per neuron is expected", shape(&array.header.shape)),
            )
            .help("the array must be N×3, or an object array of N arrays"));
        }
        let matrix = array.numbers(dtype)?;
        return Ok(matrix.outer_iter().map(|row| row.iter().copied().collect()).collect());
    }
    let bytes = array.pickle()?;
    let pieces = pickle::object_array(&bytes, &array.header.shape).map_err(|refused| {
        Error::input(format!("{}: {}", path.display(), refused.what)).help(refused.remedy)
    })?;
    pieces
        .iter()
        .enumerate()
        .map(|(i, piece)| match piece.shape.as_slice() {
            [_] => Ok(piece.dtype.floats(&piece.bytes)),
            other => Err(bad(path, format!("element {i} has the shape {}", shape(other)))
                .help("every element of the object array must be a list of numbers")),
        })
        .collect()
}

fn bad(path: &Path, what: impl AsRef<str>) -> Error {
    let what = what.as_ref();
    let name = path.display();
    Error::new(Kind::Input, format!("{name} {what}")).help(SAVE_AGAIN)
}

fn shape(shape: &[usize]) -> String {
    match shape {
        [] => "()".into(),
        [one] => format!("({one},)"),
        several => several.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"),
    }
}

impl<'a, R: Read> Array<'a, R> {
    /// Reads the header.
    fn begin(path: &'a Path, mut source: R, length: u64) -> Result<Self> {
        let mut left = length;
        let mut start = take(path, &mut source, &mut left, 8)?;
        let Some(rest) = start.strip_prefix(b"\x93NUMPY") else {
            return Err(bad(path, "is not a .npy file: its first bytes do not match"));
        };
        let cut = || bad(path, "is truncated within its header");
        let digits = match *rest {
            [1, 0] => 2,
            [2 | 3, 0] => 4,
            [major, minor] => {
                return Err(bad(path, format!("is in .npy format {major}.{minor}"))
                    .help("formats 1.0 to 3.0 are read; write the file again with numpy.save"));
            }
            _ => return Err(cut()),
        };
        start = take(path, &mut source, &mut left, digits)?;
        let size = match *start.as_slice() {
            [a, b] => usize::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
            _ => return Err(cut()),
        };
        if size > LONGEST_HEADER {
            return Err(bad(path, format!("claims a header of {size} bytes")));
        }
        let text = take(path, &mut source, &mut left, size)?;
        if text.len() < size {
            return Err(cut());
        }
        let text = std::str::from_utf8(&text).map_err(|_| bad(path, "has a header that is not text"))?;
        let (descr, fortran, shape) = dictionary(text).ok_or_else(|| {
            let shown: String = text.trim().chars().take(200).collect();
            bad(path, format!("has a header that cannot be understood: {shown}"))
        })?;
        let dtype = match descr {
            "|O" | "O" | "|O8" | "|O4" => None,
            other => Some(Dtype::parse(other).ok_or_else(|| {
                let shown: String = other.chars().take(40).collect();
                bad(path, format!("holds elements of type `{shown}`"))
                    .help("floats of 32 or 64 bits and integers of 8 to 64 bits are read")
            })?),
        };
        Ok(Array { path, header: Header { dtype, fortran, shape }, rest: source, left })
    }

    /// Passes the data of a numeric array to `each` in pieces. Their length must be
    /// exactly what the shape needs.
    fn pieces(&mut self, dtype: Dtype, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (path, sides) = (self.path, &self.header.shape);
        let needed = sides.iter().try_fold(dtype.size, |total, &side| total.checked_mul(side));
        let cut = |left: u64| {
            bad(
                path,
                format!(
                    "is truncated: its shape {} needs {} bytes, but {left} follow the header",
                    shape(sides),
                    needed.map_or("too many".into(), |n| n.to_string()),
                ),
            )
        };
        match needed {
            Some(needed) if needed as u64 == self.left => {}
            Some(needed) if (needed as u64) < self.left => {
                let extra = self.left - needed as u64;
                return Err(bad(path, format!("has {extra} bytes too many for its shape {}", shape(sides))));
            }
            _ => return Err(cut(self.left)),
        }
        let all = self.left;
        while self.left > 0 {
            // PIECE is a multiple of every element size.
            let piece = take(path, &mut self.rest, &mut self.left, PIECE)?;
            if piece.is_empty() || piece.len() % dtype.size != 0 {
                return Err(cut(all - self.left));
            }
            each(&piece)?;
        }
        self.end()
    }

    /// Checks that the source ends here. An archive verifies its checksum only when
    /// its end is read.
    fn end(&mut self) -> Result<()> {
        match self.rest.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(bad(self.path, "is longer than its header says")),
            Err(e) => Err(unreadable(self.path, &e)),
        }
    }

    /// Reads the array if `fits` accepts its shape.
    fn all(mut self, fits: Fits<'_>) -> Result<ArrayD<f64>> {
        let Some(dtype) = self.header.dtype else {
            return Err(bad(self.path, "holds Python objects where numbers are expected").help(AS_NUMBERS));
        };
        fits(&self.header.shape)?;
        self.numbers(dtype)
    }

    /// Reads the numbers in their shape, row-major.
    fn numbers(&mut self, dtype: Dtype) -> Result<ArrayD<f64>> {
        let values = self.floats(dtype)?;
        let fortran = self.header.fortran;
        let array = ArrayD::from_shape_vec(IxDyn(&self.header.shape).set_f(fortran), values)
            .map_err(|e| bad(self.path, format!("is malformed: {e}")))?;
        Ok(if fortran { array.as_standard_layout().into_owned() } else { array })
    }

    fn floats(&mut self, dtype: Dtype) -> Result<Vec<f64>> {
        let count = self.left / dtype.size as u64;
        let mut values = Vec::new();
        let room = usize::try_from(count).is_ok_and(|count| values.try_reserve_exact(count).is_ok());
        if !room {
            return Err(bad(self.path, format!("does not fit into memory: {count} numbers of 8 bytes"))
                .help("use a machine with more memory, or part of the data"));
        }
        self.pieces(dtype, |bytes| {
            values.extend(dtype.floats(bytes));
            Ok(())
        })?;
        Ok(values)
    }

    /// Reads the pickle of an object array.
    fn pickle(&mut self) -> Result<Vec<u8>> {
        let mut bytes = take(self.path, &mut self.rest, &mut self.left, 1)?;
        // Checked before the rest is read: every pickle of numpy starts like this.
        if bytes.first().is_some_and(|&first| first != pickle::FIRST) {
            return Err(bad(self.path, "holds Python objects, but no pickle of them follows its header"));
        }
        let left = usize::try_from(self.left).map_err(|_| bad(self.path, "does not fit into memory"))?;
        bytes.append(&mut take(self.path, &mut self.rest, &mut self.left, left)?);
        self.end()?;
        Ok(bytes)
    }
}

/// Reads the next `count` bytes, or fewer at the end.
fn take(path: &Path, source: &mut impl Read, left: &mut u64, count: usize) -> Result<Vec<u8>> {
    let count = (count as u64).min(*left);
    let mut bytes = Vec::new();
    let read = source.by_ref().take(count).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    *left -= read as u64;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => bad(path, format!("cannot be read: {error}")),
        _ => Error::io(path, error),
    }
}

/// Parses `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`, with keys
/// in any order, and nothing else. A full Python parser could be driven into deep
/// recursion by a malicious header.
fn dictionary(text: &str) -> Option<(&str, bool, Vec<usize>)> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        rest = match key {
            "descr" if descr.is_none() => {
                let (name, after) = quoted(value)?;
                descr = Some(name);
                after
            }
            "fortran_order" if fortran.is_none() => {
                let yes = value.starts_with("True");
                fortran = Some(yes);
                value.strip_prefix(if yes { "True" } else { "False" })?
            }
            "shape" if shape.is_none() => {
                let (inside, after) = value.strip_prefix('(')?.split_once(')')?;
                let inside = inside.trim();
                let inside = inside.strip_suffix(',').unwrap_or(inside);
                let sides = if inside.is_empty() {
                    Vec::new()
                } else {
                    // numpy 1 on Python 2 wrote long integers with an L.
                    let side = |s: &str| s.trim().trim_end_matches('L').parse().ok();
                    inside.split(',').map(side).collect::<Option<Vec<usize>>>()?
                };
                shape = Some(sides);
                after
            }
            _ => return None,
        }
        .trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some((descr?, fortran?, shape?))
}

/// Splits a quoted string without escapes from the front.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote).filter(|(inside, _)| !inside.contains('\\'))
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use ndarray_npy::WriteNpyExt;

    use super::*;
    use pallium_testing::Folder;

    fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        bytes.extend(text.bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn files_written_by_another_library_are_read() {
        let folder = Folder::new();
        let matrix = array![[1.5, -2.0, 3.0], [4.0, 5.0, 6.0]];
        let mut bytes = Vec::new();
        matrix.write_npy(&mut bytes).unwrap();
        assert_eq!(read_matrix(&folder.file("a.npy", &bytes), &any).unwrap(), matrix);
        let mut bytes = Vec::new();
        matrix.t().as_standard_layout().reversed_axes().write_npy(&mut bytes).unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains("'fortran_order': True"));
        let read = read_matrix(&folder.file("b.npy", &bytes), &any).unwrap();
        assert_eq!(read, matrix);
        assert!(read.is_standard_layout());
        let mut bytes = Vec::new();
        matrix.mapv(|v| v as f32).write_npy(&mut bytes).unwrap();
        assert_eq!(read_matrix(&folder.file("c.npy", &bytes), &any).unwrap(), matrix);
    }

    #[test]
    fn every_width_and_byte_order_is_read() {
        let folder = Folder::new();
        let data: Vec<u8> = [1.5_f64, -2.5].iter().flat_map(|v| v.to_be_bytes()).collect();
        let path = folder.file("a.npy", &npy(">f8", "False", "(1, 2)", &data));
        assert_eq!(read_matrix(&path, &any).unwrap(), array![[1.5, -2.5]]);
        let path = folder.file("b.npy", &npy(">i2", "False", "(2,)", &[0xff, 0xfe, 0, 7]));
        assert_eq!(read_ids(&path, &any).unwrap(), [-2, 7]);
        let path = folder.file("c.npy", &npy("|u1", "False", "(2L,)", &[255, 7]));
        assert_eq!(read_ids(&path, &any).unwrap(), [255, 7]);
        let big = (1_i64 << 53) + 1;
        let path = folder.file("d.npy", &npy("<i8", "False", "(1,)", &big.to_le_bytes()));
        assert_eq!(read_ids(&path, &any).unwrap(), [big]);
        let path = folder.file("e.npy", &npy("<u8", "False", "(1,)", &u64::MAX.to_le_bytes()));
        assert!(read_ids(&path, &any).unwrap_err().message.contains("not 64-bit integers"));
        let path = folder.file("f.npy", &npy("<f8", "False", "(1,)", &1_f64.to_le_bytes()));
        assert!(read_ids(&path, &any).unwrap_err().help.unwrap().contains("int64"));
    }

    #[test]
    fn files_found_by_fuzzing_are_refused() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/found/npy");
        let mut read = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            assert!(read_matrix(&entry.unwrap().path(), &any).unwrap_err().help.is_some());
            read += 1;
        }
        assert!(read > 0);
    }

    #[test]
    fn errors_say_what_is_wrong_with_the_file() {
        let folder = Folder::new();
        let check = |bytes: &[u8], part: &str| {
            let path = folder.file("x.npy", bytes);
            let error = read_matrix(&path, &any).unwrap_err();
            assert_eq!(error.kind, Kind::Input, "{error}");
            assert!(error.message.contains("x.npy") && error.message.contains(part), "{error}");
            assert!(error.help.is_some());
        };
        let good = npy("<f8", "False", "(2, 2)", &[0; 32]);
        for length in 0..good.len() {
            let part = if length < 6 { "not a .npy file" } else { "truncated" };
            check(&good[..length], part);
        }
        check(&[good.as_slice(), &[0]].concat(), "1 bytes too many");
        check(&npy("<f8", "False", "(2, 2, 1)", &[0; 32]), "2×2×1");
        check(&npy("<f8", "False", "(4000000000, 4000000000)", &[0; 32]), "too many");
        check(&npy("<f8", "False", "(99999999, 99)", &[0; 32]), "truncated");
        check(&npy("<c16", "False", "(1, 1)", &[0; 16]), "`<c16`");
        check(&npy("|O", "False", "(1, 1)", &[0; 16]), "Python objects");
        check(&npy("<f8", "Maybe", "(1, 1)", &[0; 8]), "cannot be understood");
        check(&npy("<f8", "False", "((((((((1, 1)", &[0; 8]), "cannot be understood");
        check(b"\x93NUMPY\x09\x00\x00\x00\x00\x00", "format 9.0");
        check(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "claims a header");
        check(&npy("<f8", "False", "(-2, -2)", &[0; 32]), "cannot be understood");
        check(&npy("<f8", "False", "(99999999999999999999, 1)", &[0; 32]), "cannot be understood");
        check(&npy(&"x".repeat(60_000), "False", "(1, 1)", &[0; 8]), "elements of type");
        check(&npy("<f8", "False", &"(".repeat(60_000), &[0; 8]), "cannot be understood");
        let mut data = [0; 32];
        data[24..].copy_from_slice(&f64::NAN.to_le_bytes());
        check(&npy("<f8", "False", "(2, 2)", &data), "NaN at row 1, column 1");
        let error = read_matrix(&folder.path().join("absent.npy"), &any).unwrap_err();
        assert!(error.kind == Kind::Input && error.message.ends_with("absent.npy does not exist"));
        assert_eq!(read_matrix(folder.path(), &any).unwrap_err().kind, Kind::Input);
    }
}
