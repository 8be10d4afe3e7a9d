//! Square matrices in numpy's `.npy` format.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use ndarray::{Array2, ArrayD, Ix2};
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement, WriteNpyExt};
use pallium_core::{Error, Matrix, Result};

use pallium_files as files;

/// Longest header that is read; numpy itself stops at 10,000.
const LONGEST_HEADER: u32 = 1 << 16;
/// Opening brackets that a header may have; that of an array of numbers has
/// two. The parser tries every reading of each, so that the time it takes
/// doubles with every one that is nested and never closed.
const MOST_BRACKETS: usize = 8;

/// Reads an N×N matrix of finite numbers, N > 0, in single or double precision
/// or of whole numbers, in either order and byte order.
///
/// # Errors
/// If the file cannot be read, is no such matrix, or has fewer or more bytes
/// than its header states; the message names file, place and remedy.
pub fn read_square(path: &Path) -> Result<Array2<f64>> {
    let (file, length) = files::open(path)?;
    square(BufReader::new(file), length)
        .map_err(|e| e.context(format!("cannot read `{}` as a matrix", path.display())))
}

/// As [`read_square`], in single precision.
///
/// # Errors
/// As [`read_square`], or if a value is beyond what single precision holds.
pub fn read_square_f32(path: &Path) -> Result<Matrix> {
    let matrix = read_square(path)?;
    if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !(**v as f32).is_finite()) {
        return Err(Error::input(format!(
            "`{}` has {v:e} at row {i}, column {j}, which single precision cannot hold",
            path.display()
        ))
        .help("recurrent weights are kept in single precision; scale the matrix"));
    }
    Ok(matrix.mapv(|v| v as f32))
}

/// Writes a matrix, in single precision as it is held: under another name
/// first, then renamed, so that no half-written file is ever seen.
///
/// # Errors
/// If the file exists and `replace` is not set, or cannot be written.
pub fn write(path: &Path, matrix: &Matrix, replace: bool) -> Result<()> {
    check_free(path, replace)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".pallium-").suffix(".npy");
    // A temporary file is private by default; this one becomes the user's own,
    // with the permissions that the user's files have.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::input(format!("the folder `{}` does not exist", folder.display())).help("make it first")
        }
        _ => Error::io(folder, &e),
    })?;
    let mut writer = BufWriter::new(file);
    matrix
        .write_npy(&mut writer)
        .map_err(|e| Error::new(pallium_core::Kind::Io, format!("{}: {e}", path.display())))?;
    writer.flush().map_err(|e| Error::io(path, &e))?;
    let file = writer.into_inner().map_err(|e| Error::io(path, e.error()))?;
    file.as_file().sync_all().map_err(|e| Error::io(path, &e))?;
    let renamed = if replace { file.persist(path) } else { file.persist_noclobber(path) };
    renamed.map(|_| ()).map_err(|e| match e.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::io(path, &e.error),
    })
}

/// Refuses a file that exists already, unless it may be replaced; asked before
/// long work whose result is to go there.
///
/// # Errors
/// As said.
pub fn check_free(path: &Path, replace: bool) -> Result<()> {
    match std::fs::metadata(path) {
        // A folder or a device is never replaced by a file.
        Ok(found) if !found.is_file() => Err(Error::input(format!("`{}` is not a file", path.display()))
            .help("give the name of a file to write")),
        Ok(_) if !replace => Err(exists(path)),
        _ => Ok(()),
    }
}

fn exists(path: &Path) -> Error {
    Error::input(format!("`{}` exists already", path.display()))
        .help("choose another name, or replace it with --force")
}

/// The header of an array as it stands in the file: more than a header can
/// have is not read, and one with many brackets is not parsed.
fn header_of(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(12).read_to_end(&mut bytes)?;
    let (start, length) = match *bytes.as_slice() {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, a, b, ..] => (10, u32::from(u16::from_le_bytes([a, b]))),
        [0x93, b'N', b'U', b'M', b'P', b'Y', _, _, a, b, c, d] => (12, u32::from_le_bytes([a, b, c, d])),
        _ => return Err(io::Error::other("it does not start as one")),
    };
    if length > LONGEST_HEADER {
        return Err(io::Error::other(format!("it claims a header of {length} bytes")));
    }
    let missing = (start + u64::from(length)).saturating_sub(bytes.len() as u64);
    source.take(missing).read_to_end(&mut bytes)?;
    let brackets = bytes.iter().filter(|byte| b"([{".contains(byte)).count();
    if brackets > MOST_BRACKETS {
        let what = format!("its header has {brackets} brackets, and that of plain numbers two");
        return Err(io::Error::other(what));
    }
    Ok(bytes)
}

/// As [`read_square`], from a `source` of `length` bytes.
///
/// # Errors
/// As [`read_square`].
pub fn square(mut source: impl Read, length: u64) -> Result<Array2<f64>> {
    let export = "write it from Python with numpy.save(\"matrix.npy\", matrix)";
    let none = |e: &dyn std::fmt::Display| Error::input(format!("it is no numpy array: {e}")).help(export);
    let start = header_of(&mut source).map_err(|e| none(&e))?;
    let mut rest = start.as_slice();
    let header = Header::from_reader(&mut rest).map_err(|e| none(&e))?;
    // Of a short header some of what follows was read with it.
    let follow = length.saturating_sub((start.len() - rest.len()) as u64);
    let shape: Vec<String> = header.shape.iter().map(usize::to_string).collect();
    let &[n, columns] = header.shape.as_slice() else {
        return Err(Error::input(format!(
            "its shape is {}, and a matrix has two axes",
            if shape.is_empty() { "that of a single number".into() } else { shape.join("×") }
        ))
        .help("a recurrent matrix is N×N, the weight from neuron i to neuron j in row i, column j"));
    };
    if n == 0 || columns == 0 {
        return Err(Error::input(format!("it is {n}×{columns}, which is empty")).help(export));
    }
    if n != columns {
        return Err(Error::input(format!("it is {n}×{columns}, not square"))
            .help("a recurrent matrix is N×N, the weight from neuron i to neuron j in row i, column j"));
    }
    let kind = header.type_descriptor.as_string().map(String::as_str).unwrap_or("a record");
    let Some((read, width)) = reader(kind) else {
        return Err(Error::input(format!("its entries are of numpy type `{kind}`, not plain real numbers"))
            .help("convert it: numpy.save(\"matrix.npy\", numpy.array(matrix, dtype=float))"));
    };
    // Before a buffer of the stated size is asked for: a broken header can
    // state any size.
    let stated = n.checked_mul(n).and_then(|entries| entries.checked_mul(width));
    if stated.map(|stated| stated as u64) != Some(follow) {
        let what = if stated.is_none_or(|stated| follow < stated as u64) { "cut short" } else { "too long" };
        return Err(Error::input(format!(
            "it is {what}: {n}×{n} entries of {width} bytes are stated, and {follow} bytes follow"
        ))
        .help("copy or export it again"));
    }
    let matrix = read(&mut start.as_slice().chain(source))
        .map_err(|e| Error::input(e.to_string()).help(export))?
        .into_dimensionality::<Ix2>()
        .map_err(|e| Error::bug(format!("a checked shape does not fit: {e}")))?;
    if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::input(format!("it has {v} at row {i}, column {j}"))
            .help("every weight must be a finite number; a run that diverged leaves such values"));
    }
    Ok(matrix)
}

type Reader = fn(&mut dyn Read) -> Result<ArrayD<f64>, ReadNpyError>;

/// How entries of a numpy type are read, and how many bytes one takes.
fn reader(descriptor: &str) -> Option<(Reader, usize)> {
    fn as_double<T: ReadableElement>(
        source: &mut dyn Read,
        convert: fn(&T) -> f64,
    ) -> Result<ArrayD<f64>, ReadNpyError> {
        Ok(ArrayD::<T>::read_npy(source)?.map(convert))
    }
    // The first character is the byte order.
    Some(match descriptor.get(1..)? {
        "f8" => (|b| as_double(b, |v: &f64| *v), 8),
        "f4" => (|b| as_double(b, |v: &f32| f64::from(*v)), 4),
        "i8" => (|b| as_double(b, |v: &i64| *v as f64), 8),
        "u8" => (|b| as_double(b, |v: &u64| *v as f64), 8),
        "i4" => (|b| as_double(b, |v: &i32| f64::from(*v)), 4),
        "u4" => (|b| as_double(b, |v: &u32| f64::from(*v)), 4),
        "i2" => (|b| as_double(b, |v: &i16| f64::from(*v)), 2),
        "u2" => (|b| as_double(b, |v: &u16| f64::from(*v)), 2),
        "i1" => (|b| as_double(b, |v: &i8| f64::from(*v)), 1),
        "u1" => (|b| as_double(b, |v: &u8| f64::from(*v)), 1),
        "b1" => (|b| as_double(b, |v: &bool| f64::from(u8::from(*v))), 1),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, Array1, ShapeBuilder, array};
    use ndarray_npy::WritableElement;

    use super::*;

    fn parse_square(bytes: &[u8]) -> Result<Array2<f64>> {
        square(bytes, bytes.len() as u64)
    }

    fn bytes<T: WritableElement>(array: &Array<T, Ix2>) -> Vec<u8> {
        let mut bytes = Vec::new();
        array.write_npy(&mut bytes).unwrap();
        bytes
    }

    fn message(bytes: &[u8]) -> String {
        let error = parse_square(bytes).unwrap_err();
        assert!(error.help.is_some(), "{error}");
        error.message
    }

    /// Header of format version 1.0 with `dictionary`, then `data`.
    fn file(dictionary: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{dictionary}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        let expected = array![[1.0, 0.0], [3.0, 1.0]];
        assert_eq!(parse_square(&bytes(&expected)).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as f32))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as i64))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as u64))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as i32))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as u32))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as i16))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as u16))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as i8))).unwrap(), expected);
        assert_eq!(parse_square(&bytes(&expected.mapv(|v| v as u8))).unwrap(), expected);
        let yes = parse_square(&bytes(&expected.mapv(|v| v > 0.5))).unwrap();
        assert_eq!(yes, array![[1.0, 0.0], [1.0, 1.0]]);
    }

    #[test]
    fn column_order_and_byte_order_are_understood() {
        let mut columns = Array2::<f64>::zeros((2, 2).f());
        columns.assign(&array![[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(parse_square(&bytes(&columns)).unwrap(), array![[1.0, 2.0], [3.0, 4.0]]);
        let big: Vec<u8> = [1f64, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_be_bytes()).collect();
        let bytes = file("{'descr': '>f8', 'fortran_order': False, 'shape': (2, 2), }", &big);
        assert_eq!(parse_square(&bytes).unwrap(), array![[1.0, 2.0], [3.0, 4.0]]);
    }

    #[test]
    fn what_is_no_matrix_of_numbers_is_refused_by_place() {
        let square = bytes(&array![[1.0, 2.0], [3.0, f64::NAN]]);
        assert_eq!(message(&square), "it has NaN at row 1, column 1");
        assert!(message(&bytes(&array![[f64::INFINITY]])).contains("inf at row 0, column 0"));
        assert!(message(&square[..square.len() - 3]).contains("it is cut short"));
        assert!(message(&[square.as_slice(), b"x"].concat()).contains("it is too long"));
        assert!(message(b"PK\x03\x04").contains("it is no numpy array"));
        assert!(message(b"").contains("it is no numpy array"));
        assert_eq!(message(&bytes(&array![[1.0, 2.0]])), "it is 1×2, not square");
        assert_eq!(message(&bytes(&Array2::<f64>::zeros((0, 0)))), "it is 0×0, which is empty");
        let mut line = Vec::new();
        Array1::<f64>::zeros(4).write_npy(&mut line).unwrap();
        assert!(message(&line).starts_with("its shape is 4, "));
        let huge = file("{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000, 4000000000), }", &[]);
        assert!(message(&huge).contains("cut short"));
        let object = file("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", &[0; 9]);
        assert_eq!(message(&object), "its entries are of numpy type `|O`, not plain real numbers");
        let complex = file("{'descr': '<c16', 'fortran_order': False, 'shape': (1, 1), }", &[0; 16]);
        assert!(message(&complex).contains("`<c16`"));
        let record = file("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1, 1), }", &[0; 8]);
        assert!(message(&record).contains("a record"));
        let start = "{'descr': '<f8', 'fortran_order': False, 'shape': ";
        let deep = file(&format!("{start}{}", "(".repeat(60_000)), &[]);
        assert!(message(&deep).contains("its header has 60001 brackets"), "{}", message(&deep));
        let negative = file(&format!("{start}(-2, -2), }}"), &[0; 32]);
        assert!(message(&negative).contains("it is no numpy array"));
        let long = message(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{");
        assert!(long.contains("claims a header of 4294967295 bytes"), "{long}");
    }

    #[test]
    fn what_fuzzing_found_stays_mended() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/found/measure");
        let mut tried = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            assert!(read_square(&entry.unwrap().path()).unwrap_err().help.is_some());
            tried += 1;
        }
        assert!(tried > 0);
        // As many brackets as are parsed, in the worst order.
        let start = "{'descr': '<f8', 'fortran_order': False, 'shape': ";
        for bracket in ["(", "[", "{", "(1, ", "{1: "] {
            message(&file(&format!("{start}{}", bracket.repeat(MOST_BRACKETS - 1)), &[]));
        }
    }

    #[test]
    fn a_file_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.npy");
        let error = read_square(&path).unwrap_err();
        assert!(error.message.contains("w.npy") && error.help.is_some(), "{error}");
        std::fs::write(&path, b"junk").unwrap();
        let error = read_square(&path).unwrap_err();
        assert!(error.message.contains("w.npy") && error.causes[0].contains("no numpy array"), "{error}");
        std::fs::write(&path, bytes(&array![[1e300]])).unwrap();
        let error = read_square_f32(&path).unwrap_err();
        assert!(error.message.contains("1e300 at row 0, column 0"), "{error}");
    }

    #[test]
    fn a_file_is_replaced_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.npy");
        write(&path, &array![[1.5f32]], false).unwrap();
        assert_eq!(read_square(&path).unwrap(), array![[1.5]]);
        let error = write(&path, &array![[2.5f32]], false).unwrap_err();
        assert!(error.message.contains("exists already") && error.help.unwrap().contains("--force"));
        let error = write(folder.path(), &array![[2.5f32]], true).unwrap_err();
        assert!(error.message.contains("is not a file"), "{error}");
        assert_eq!(read_square(&path).unwrap(), array![[1.5]]);
        write(&path, &array![[2.5f32]], true).unwrap();
        assert_eq!(read_square_f32(&path).unwrap(), array![[2.5f32]]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(&folder.path().join("no/such/folder.npy"), &array![[1f32]], false).unwrap_err();
        assert!(error.message.contains("no/such` does not exist"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_written_file_has_ordinary_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("w.npy"), folder.path().join("plain"));
        write(&ours, &array![[1f32]], false).unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
