//! Square matrices in `.npy` files that a user names.

use std::path::Path;

use ndarray::Array2;
use pallium_core::{Error, Matrix, Result};

use super::output;

/// Reads an N×N matrix of finite numbers, N > 0, of any number type that numpy
/// writes.
///
/// # Errors
/// If the file cannot be read or is not such a matrix.
pub fn read_square(path: &Path) -> Result<Array2<f64>> {
    pallium_npy::read_matrix(path, &|shape| {
        let (what, help) = match *shape {
            [0, _] | [_, 0] => ("is empty", "it must have a row and a column for each neuron"),
            [n, columns] if n != columns => (
                "is not square",
                "a recurrent matrix is N×N, the weight from neuron i to neuron j in row i, column j",
            ),
            _ => return Ok(()),
        };
        Err(Error::input(format!("{} {what}: {}×{}", path.display(), shape[0], shape[1])).help(help))
    })
}

/// As [`read_square`], in single precision.
///
/// # Errors
/// As [`read_square`], or if a value exceeds single precision.
pub fn read_square_f32(path: &Path) -> Result<Matrix> {
    let matrix = read_square(path)?;
    if let Some(((i, j), v)) = matrix.indexed_iter().find(|(_, v)| !(**v as f32).is_finite()) {
        return Err(Error::input(format!(
            "`{}` has {v:e} at row {i}, column {j}, which exceeds single precision",
            path.display()
        ))
        .help("recurrent weights are stored in single precision; scale the matrix"));
    }
    let largest = matrix.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    if largest > 0.0 && largest < f64::from(f32::MIN_POSITIVE) {
        return Err(Error::input(format!(
            "the largest value of `{}` is {largest:e}, below single precision",
            path.display()
        ))
        .help("recurrent weights are stored in single precision; scale the matrix"));
    }
    Ok(matrix.mapv(|v| v as f32))
}

/// Writes a matrix in single precision to a path that the user named; see
/// `output::write`.
///
/// # Errors
/// As `output::write`.
pub fn write(path: &Path, matrix: &Matrix, replace: bool) -> Result<()> {
    let mut bytes = Vec::new();
    pallium_npy::write(&mut bytes, matrix).map_err(|e| Error::io(path, &e))?;
    output::write(path, &bytes, replace)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn matrices_that_are_not_square_finite_and_small_enough_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.npy");
        let message = |matrix: Array2<f64>| {
            pallium_npy::write(std::fs::File::create(&path).unwrap(), &matrix).unwrap();
            let error = read_square_f32(&path).unwrap_err();
            assert!(error.message.contains("w.npy") && error.help.is_some(), "{error}");
            error.message
        };
        assert!(message(array![[1.0, 2.0]]).ends_with("is not square: 1×2"));
        assert!(message(Array2::zeros((0, 0))).ends_with("is empty: 0×0"));
        assert!(message(array![[1.0, 2.0], [3.0, f64::NAN]]).ends_with("NaN at row 1, column 1"));
        assert!(message(array![[1e300]]).contains("1e300 at row 0, column 0"));
        assert!(read_square(&folder.path().join("absent.npy")).unwrap_err().message.contains("absent.npy"));
    }

    #[test]
    fn a_written_matrix_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.npy");
        write(&path, &array![[1.5f32]], false).unwrap();
        assert_eq!(read_square_f32(&path).unwrap(), array![[1.5f32]]);
    }

    #[cfg(unix)]
    #[test]
    fn a_written_file_has_the_permissions_of_the_umask() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("w.npy"), folder.path().join("plain"));
        write(&ours, &array![[1f32]], false).unwrap();
        std::fs::write(&plain, b"").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }
}
