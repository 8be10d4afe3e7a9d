//! Reads weights on a set of connections: a sparse array that scipy saved, or the
//! `weights.safetensors` of a training on connections.

use std::io::Read;
use std::path::Path;

use pallium_core::prelude::*;
use pallium_npy::npz::Npz;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 << 30;

/// Weights in double precision on the connections of so many `neurons`; `None` if the file
/// holds a matrix.
///
/// # Errors
/// If the file cannot be read, is malformed, or is of another number of neurons.
pub fn read(path: &Path, name: Option<&str>, neurons: usize) -> Result<Option<(Connections, Vec<f64>)>> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let parts = match extension.as_deref() {
        Some("npz") => return scipy(path, neurons),
        Some("safetensors") => training(path, name)?,
        _ => None,
    };
    let Some((n, indptr, indices, values)) = parts else { return Ok(None) };
    check_size(path, n, neurons)?;
    let connections =
        Connections::new(n, indptr, indices).map_err(|e| e.context(format!("{}", path.display())))?;
    if values.len() != connections.view().len() {
        return Err(Error::input(format!(
            "{} has {} weights for {} connections",
            path.display(),
            values.len(),
            connections.view().len()
        ))
        .help("write the file again"));
    }
    Ok(Some((connections, values)))
}

/// Refuses weights of another number of neurons.
pub fn check_size(path: &Path, n: usize, neurons: usize) -> Result<()> {
    if n == neurons {
        return Ok(());
    }
    Err(Error::input(format!("{} is {n}×{n}, but there are {neurons} neurons", path.display()))
        .help("use weights of as many neurons as the experiment has"))
}

/// Number of columns, `indptr`, `indices` and values.
type Parts = (usize, Vec<u64>, Vec<u32>, Vec<f64>);

/// A file of `scipy.sparse.save_npz`, in any order of its entries; entries of the same pair
/// are added up.
fn scipy(path: &Path, neurons: usize) -> Result<Option<(Connections, Vec<f64>)>> {
    let mut file = Npz::open(path)?;
    let names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    if !["data", "shape"].into_iter().all(has)
        || !(has("indptr") && has("indices") || has("row") && has("col"))
    {
        return Ok(None);
    }
    let wrong = |what: String| {
        Error::input(format!("{}: {what}", path.display()))
            .help("save it again with scipy.sparse.save_npz(path, array.tocsr())")
    };
    let mut format = if has("row") { "coo" } else { "csr" };
    if has("format") {
        let mut text = Vec::new();
        let member = file.array(Some("format"), 0)?;
        member.npy.take(4096).read_to_end(&mut text).map_err(|e| pallium_files::unread(path, &e))?;
        let text = String::from_utf8_lossy(&text).replace('\0', "");
        let known = ["csr", "csc", "coo"].into_iter().find(|known| text.trim_end().ends_with(known));
        format = known.ok_or_else(|| wrong("it is in none of the formats CSR, CSC and COO".into()))?;
    }
    let mut numbers = |name: &str| -> Result<Vec<f64>> { Ok(file.numbers(name)?.into_iter().collect()) };
    let shape = numbers("shape")?;
    let whole = |values: Vec<f64>, most: f64| match values
        .iter()
        .find(|v| **v < 0.0 || v.fract() != 0.0 || **v > most)
    {
        Some(v) => Err(wrong(format!("{v} is not an index below {}", most + 1.0))),
        None => Ok(values.into_iter().map(|v| v as u64).collect::<Vec<u64>>()),
    };
    let [rows, columns] = shape[..] else {
        return Err(wrong(format!("it is not a matrix: its shape is {shape:?}")));
    };
    if rows != columns || !(0.0..=f64::from(u32::MAX)).contains(&rows) {
        return Err(Error::input(format!("{} is {rows}×{columns}, but must be square", path.display()))
            .help("save a matrix with one row and one column for each neuron, row presynaptic"));
    }
    // Before anything of this size is allocated: a short file may claim any.
    check_size(path, rows as usize, neurons)?;
    let values = numbers("data")?;
    let (from, to) = match format {
        "coo" => (whole(numbers("row")?, rows - 1.0)?, whole(numbers("col")?, rows - 1.0)?),
        _ => {
            let begins = whole(numbers("indptr")?, values.len() as f64)?;
            if begins.len() != rows as usize + 1
                || !begins.is_sorted()
                || begins.last() != Some(&(values.len() as u64))
            {
                return Err(wrong("`indptr` does not fit its shape and data".into()));
            }
            let long = begins.windows(2).zip(0_u64..);
            let outer =
                long.flat_map(|(ends, row)| std::iter::repeat_n(row, (ends[1] - ends[0]) as usize)).collect();
            let inner = whole(numbers("indices")?, rows - 1.0)?;
            if format == "csr" { (outer, inner) } else { (inner, outer) }
        }
    };
    if from.len() != values.len() || to.len() != values.len() {
        return Err(wrong("its indices and data differ in length".into()));
    }
    let mut entries: Vec<(u32, u32, f64)> =
        from.into_iter().zip(to).zip(values).map(|((i, j), value)| (i as u32, j as u32, value)).collect();
    entries.sort_by_key(|&(i, j, _)| (i, j));
    entries.dedup_by(|next, kept| {
        let same = (next.0, next.1) == (kept.0, kept.1);
        kept.2 += if same { next.2 } else { 0.0 };
        same
    });
    let (pairs, values) = entries.into_iter().map(|(i, j, value)| ((i, j), value)).unzip();
    Ok(Some((Connections::from_pairs(neurons, neurons, pairs)?, values)))
}

/// The recurrent weights of a training on connections.
fn training(path: &Path, name: Option<&str>) -> Result<Option<Parts>> {
    let bytes = pallium_files::bytes(path, LARGEST).map_err(|e| pallium_files::unread(path, &e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| {
        Error::input(format!("{}: {e}", path.display())).help("is it a complete safetensors file?")
    })?;
    // Weights before a training have pairs of their own if connections moved since.
    let name = name.unwrap_or("recurrent");
    let own = file.tensor(&format!("{name}.indptr")).is_ok();
    let prefix = if own { name } else { "connections" };
    let find = |part: &str, dtype: Dtype| {
        file.tensor(&format!("{prefix}.{part}")).ok().filter(|view| view.dtype() == dtype)
    };
    let (Some(indptr), Some(indices)) = (find("indptr", Dtype::U64), find("indices", Dtype::U32)) else {
        return Ok(None);
    };
    let values = file.tensor(name).ok().filter(|view| view.dtype() == Dtype::F32).ok_or_else(|| {
        Error::input(format!("{} has no weights `{name}` in single precision", path.display()))
            .help("did the training finish without diverging? Its `cell.json` says so")
    })?;
    let indptr: Vec<u64> = indptr.data().as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
    let indices = indices.data().as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    let values = values.data().as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect();
    Ok(Some((indptr.len().saturating_sub(1), indptr, indices, values)))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use ndarray_npy::NpzWriter;
    use pallium_core::ndarray::Array1;

    use super::*;

    type Read = (Vec<(usize, usize)>, Vec<f64>);

    /// What is read of a file with these arrays, for 3×3 pairs.
    fn read_of(indices: &[(&str, Vec<i32>)], data: Vec<f64>) -> Result<Read> {
        let folder = pallium_testing::Folder::new();
        let path = folder.path().join("w.npz");
        let mut file = NpzWriter::new(File::create(&path).unwrap());
        for (name, values) in indices {
            file.add_array(*name, &Array1::from(values.clone())).unwrap();
        }
        file.add_array("shape", &Array1::from(vec![3_i64, 3])).unwrap();
        file.add_array("data", &Array1::from(data)).unwrap();
        file.finish().unwrap();
        let (connections, values) = read(&path, None, 3)?.unwrap();
        Ok((connections.view().pairs().collect(), values))
    }

    #[test]
    fn entries_are_read_in_any_order_and_added_up() {
        // scipy: csr_array([[0, 5, 0], [0, 0, 0], [3, 0, 4]]), with the entry 5 as 2 + 3
        let expected = (vec![(0, 1), (2, 0), (2, 2)], vec![5.0, 3.0, 4.0]);
        let csr = [("indptr", vec![0, 2, 2, 4]), ("indices", vec![1, 1, 2, 0])];
        assert_eq!(read_of(&csr, vec![2.0, 3.0, 4.0, 3.0]).unwrap(), expected);
        let coo = [("row", vec![2, 0, 2, 0]), ("col", vec![2, 1, 0, 1])];
        assert_eq!(read_of(&coo, vec![4.0, 2.0, 3.0, 3.0]).unwrap(), expected);
    }

    #[test]
    fn indices_beyond_the_matrix_are_refused() {
        let refused = |indices: &[(&str, Vec<i32>)]| read_of(indices, vec![1.0]).unwrap_err().to_string();
        let beyond = refused(&[("indptr", vec![0, 1, 1, 1]), ("indices", vec![3])]);
        assert!(beyond.contains("3 is not an index below 3"), "{beyond}");
        let short = refused(&[("indptr", vec![0, 1, 1]), ("indices", vec![1])]);
        assert!(short.contains("`indptr` does not fit"), "{short}");
        assert!(refused(&[("row", vec![-1]), ("col", vec![0])]).contains("-1 is not an index"));
    }
}
