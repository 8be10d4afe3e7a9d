//! States of components: whether they are well formed, whether two are the same,
//! and states that a component must refuse.

use std::collections::BTreeSet;

use pallium_core::{Error, Result, Tensor, Values};

use crate::broken;

/// Checks names and shapes.
pub(crate) fn well_formed(state: &[Tensor]) -> Result<()> {
    let mut names = BTreeSet::new();
    for tensor in state {
        if tensor.name.trim().is_empty() || tensor.name.chars().any(char::is_control) {
            return broken(format!("`{}` cannot be the name of a tensor", tensor.name.escape_debug()));
        }
        if !names.insert(&tensor.name) {
            return broken(format!("two tensors are named `{}`", tensor.name));
        }
        if tensor.values.len() != tensor.shape.iter().product::<usize>() {
            return broken(format!(
                "`{}` has {} values, but the shape {:?}",
                tensor.name,
                tensor.values.len(),
                tensor.shape
            ));
        }
    }
    Ok(())
}

fn same(one: &Tensor, two: &Tensor) -> bool {
    let same = match (&one.values, &two.values) {
        // Bits, so that NaN equals itself and 0 is not −0.
        (Values::F32(a), Values::F32(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        (Values::F64(a), Values::F64(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        (a, b) => a == b,
    };
    same && (&one.name, &one.shape) == (&two.name, &two.shape)
}

/// The name of the first tensor in which two lists differ.
pub(crate) fn differing(one: &[Tensor], two: &[Tensor]) -> Option<String> {
    let at = (0..one.len().max(two.len())).find(|&at| match (one.get(at), two.get(at)) {
        (Some(a), Some(b)) => !same(a, b),
        _ => true,
    })?;
    one.get(at).or(two.get(at)).map(|tensor| tensor.name.clone())
}

/// States that must be refused, with what is wrong with them: each tensor is
/// missing once, and once has another shape.
pub(crate) fn spoiled(state: &[Tensor]) -> Vec<(String, Vec<Tensor>)> {
    let mut all = Vec::new();
    for (at, tensor) in state.iter().enumerate().filter(|(_, tensor)| !tensor.values.is_empty()) {
        let mut less = state.to_vec();
        less.remove(at);
        all.push((format!("without `{}`", tensor.name), less));
        let mut short = state.to_vec();
        let length = tensor.values.len() - 1;
        if shorten(&mut short[at].values, length) {
            short[at].shape = vec![length];
            all.push((format!("with `{}` of another shape", tensor.name), short));
        }
    }
    all
}

/// Whether the values could be cut to `length`.
fn shorten(values: &mut Values, length: usize) -> bool {
    match values {
        Values::F32(values) => values.truncate(length),
        Values::F64(values) => values.truncate(length),
        Values::I64(values) => values.truncate(length),
        Values::U64(values) => values.truncate(length),
        Values::U32(values) => values.truncate(length),
        Values::U8(values) => values.truncate(length),
        _ => return false,
    }
    true
}

/// Checks that `restore` refuses every spoiled state.
pub(crate) fn refuses_spoiled(
    state: &[Tensor],
    mut restore: impl FnMut(&[Tensor]) -> Result<()>,
) -> Result<()> {
    // An empty state may be that of a new component.
    for (what, state) in spoiled(state).into_iter().filter(|(_, state)| !state.is_empty()) {
        if restore(&state).is_ok() {
            return Err(Error::plugin(format!("it accepts a state {what}"))
                .help("look up each tensor with `Tensor::find`, which checks name, type and shape"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_compared_by_bits() {
        let nan = [Tensor::new("a", [1], vec![f32::NAN])];
        assert_eq!(differing(&nan, &nan), None);
        let zero = |zero: f64| [Tensor::new("z", [1], vec![zero])];
        assert_eq!(differing(&zero(0.0), &zero(-0.0)), Some("z".into()));
        assert_eq!(differing(&nan, &[]), Some("a".into()));
    }

    #[test]
    fn malformed_states_are_found() {
        let good = Tensor::new("a", [2], vec![1_u8, 2]);
        well_formed(std::slice::from_ref(&good)).unwrap();
        for bad in [
            vec![good.clone(), good.clone()],
            vec![Tensor::new("b", [3], vec![1.0_f32; 2])],
            vec![Tensor::new(" ", [1], vec![1.0_f32])],
        ] {
            well_formed(&bad).unwrap_err();
        }
        assert_eq!(spoiled(&[good]).len(), 2);
    }
}
