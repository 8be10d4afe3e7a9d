//! Random numbers that a user supplies in place of a source's own.

use pallium_core::{ndarray::ArrayView2, prelude::*};

/// Checks that a draw supplied by the user in place of random numbers is N×N and
/// finite.
///
/// # Errors
/// If it is not.
pub fn checked_draw(draw: ArrayView2<'_, f64>, n: usize) -> Result<ArrayView2<'_, f64>> {
    if draw.dim() != (n, n) {
        let (rows, columns) = draw.dim();
        return Err(Error::input(format!("the draw is {rows}×{columns}, but there are {n} neurons"))
            .help("supply N×N numbers"));
    }
    if let Some(((i, j), value)) = draw.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::input(format!("the draw has {value} at row {i}, column {j}"))
            .help("every number must be finite"));
    }
    Ok(draw)
}

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::array;

    use super::*;

    #[test]
    fn draws_are_checked() {
        let finite = array![[1.0, 2.0], [3.0, 4.0]];
        assert_eq!(checked_draw(finite.view(), 2).unwrap(), finite);
        assert!(checked_draw(finite.view(), 3).unwrap_err().message.contains("2×2, but there are 3"));
        let infinite = array![[1.0, f64::INFINITY], [3.0, 4.0]];
        assert!(checked_draw(infinite.view(), 2).unwrap_err().message.contains("inf at row 0, column 1"));
    }
}
