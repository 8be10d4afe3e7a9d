//! Tensors of a saved state: lookup by name, and numbers that one f32 cannot
//! hold.

use pallium_core::prelude::*;

/// From this count on, f32 cannot represent every whole number.
const DIGIT: u64 = 1 << 24;

/// Finds a tensor by name and checks its shape.
pub(crate) fn find<'a>(state: &'a [Tensor], name: &str, shape: &[usize]) -> Result<&'a [f32]> {
    let Some(tensor) = state.iter().find(|tensor| tensor.name == name) else {
        return Err(Error::input(format!("the saved state has no tensor `{name}`"))
            .help("it was saved by another kind of model"));
    };
    if tensor.shape != shape || tensor.values.len() != shape.iter().product::<usize>() {
        return Err(Error::input(format!(
            "tensor `{name}` of the saved state is {:?} with {} values, but must be {shape:?}",
            tensor.shape,
            tensor.values.len()
        ))
        .help("it was saved by a model of another size"));
    }
    Ok(&tensor.values)
}

/// A count as a tensor of two digits to base 2^24, the higher first.
pub(crate) fn count_tensor(name: &str, count: u64) -> Tensor {
    Tensor { name: name.into(), shape: vec![2], values: vec![(count / DIGIT) as f32, (count % DIGIT) as f32] }
}

/// Finds what [`count_tensor`] wrote.
pub(crate) fn find_count(state: &[Tensor], name: &str) -> Result<u64> {
    parse_count(name, find(state, name, &[2])?)
}

fn parse_count(name: &str, values: &[f32]) -> Result<u64> {
    let digit = |v: f32| (v >= 0.0 && v < DIGIT as f32 && v.fract() == 0.0).then_some(v as u64);
    match values {
        [high, low] if digit(*high).is_some() && digit(*low).is_some() => {
            Ok(*high as u64 * DIGIT + *low as u64)
        }
        _ => Err(Error::input(format!("tensor `{name}` is {values:?}, which is not a number of updates"))
            .help("the saved state is damaged; start from another one")),
    }
}

/// Values in f64 as a tensor with one more axis, of length 4: their bits, 16 at
/// a time, the highest first, each a whole number that f32 holds exactly.
pub(crate) fn exact_tensor(name: &str, shape: &[usize], values: &[f64]) -> Tensor {
    let parts = |v: &f64| [48, 32, 16, 0].map(|shift| f32::from((v.to_bits() >> shift) as u16));
    let shape = shape.iter().copied().chain([4]).collect();
    Tensor { name: name.into(), shape, values: values.iter().flat_map(parts).collect() }
}

/// Finds what [`exact_tensor`] wrote.
pub(crate) fn find_exact(state: &[Tensor], name: &str, shape: &[usize]) -> Result<Vec<f64>> {
    parse_exact(name, find(state, name, &[shape, &[4]].concat())?)
}

fn parse_exact(name: &str, values: &[f32]) -> Result<Vec<f64>> {
    let part = |v: &f32| ((0.0..=65_535.0).contains(v) && v.fract() == 0.0).then_some(*v as u64);
    let join =
        |four: &[f32]| four.iter().try_fold(0, |bits, v| Some(bits << 16 | part(v)?)).map(f64::from_bits);
    values.chunks_exact(4).map(join).collect::<Option<_>>().ok_or_else(|| {
        Error::input(format!("tensor `{name}` of the saved state does not hold f64 values in 16-bit parts"))
            .help("the saved state is damaged; start from another one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_beyond_the_precision_of_f32() {
        for count in [0, 1, 400, DIGIT - 1, DIGIT, DIGIT + 1, 987_654_321_987] {
            assert_eq!(find_count(&[count_tensor("n", count)], "n").unwrap(), count);
        }
        assert!(parse_count("n", &[0.0, 0.5]).is_err());
        assert!(parse_count("n", &[0.0, f32::NAN]).is_err());
        assert!(parse_count("n", &[1.0]).is_err());
    }

    #[test]
    fn f64_values_survive_exactly() {
        let values = [0.0, -0.0, 1.0, -1e300, 5e-324, f64::MAX, std::f64::consts::PI, 1.0 / 3.0];
        let tensor = exact_tensor("x", &[2, 4], &values);
        assert_eq!((tensor.shape.as_slice(), tensor.values.len()), (&[2, 4, 4][..], 32));
        let back = find_exact(&[tensor], "x", &[2, 4]).unwrap();
        assert!(back.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()));
        for wrong in [0.5, -1.0, 65_536.0, f32::NAN] {
            assert!(parse_exact("x", &[0.0, 0.0, wrong, 0.0]).is_err());
        }
    }
}
