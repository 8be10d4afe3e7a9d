//! Matrices of double precision that are owned or borrowed.

use std::borrow::Cow;

use ndarray::{Array2, ArrayView2};

/// A matrix of double precision, row-major: owned by a source's substrate,
/// borrowed from the host in the substrate that a component receives.
///
/// Made from an array by `array.into()` and read through [`Table::view`].
// Not ndarray's own type for this: a structure that contains it cannot be lent for
// a shorter time than its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<'a> {
    shape: (usize, usize),
    values: Cow<'a, [f64]>,
}

impl Table<'_> {
    /// The values, rows × columns.
    pub fn view(&self) -> ArrayView2<'_, f64> {
        ArrayView2::from_shape(self.shape, &self.values)
            .unwrap_or_else(|_| unreachable!("checked when it was made"))
    }

    /// Rows and columns.
    pub fn dim(&self) -> (usize, usize) {
        self.shape
    }

    /// A copy as an array.
    pub fn to_array(&self) -> Array2<f64> {
        self.view().to_owned()
    }

    /// The same values, owned.
    pub fn into_owned(self) -> Table<'static> {
        Table { shape: self.shape, values: Cow::Owned(self.values.into_owned()) }
    }
}

impl From<Array2<f64>> for Table<'static> {
    fn from(array: Array2<f64>) -> Self {
        let shape = array.dim();
        let count = array.len();
        let values = if array.is_standard_layout() {
            // A part of a larger array still holds the rest.
            let (mut values, offset) = array.into_raw_vec_and_offset();
            values.drain(..offset.unwrap_or(0));
            values.truncate(count);
            values
        } else {
            array.iter().copied().collect()
        };
        Table { shape, values: Cow::Owned(values) }
    }
}

impl<'a> From<ArrayView2<'a, f64>> for Table<'a> {
    fn from(view: ArrayView2<'a, f64>) -> Self {
        let shape = view.dim();
        let values = match view.to_slice() {
            Some(values) => Cow::Borrowed(values),
            None => Cow::Owned(view.iter().copied().collect()),
        };
        Table { shape, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, s};

    #[test]
    fn any_layout_is_read_back_in_rows() {
        let whole = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        let transposed = whole.clone().reversed_axes();
        assert_eq!(Table::from(transposed.clone()).view(), transposed);
        let part = whole.clone().slice_move(s![1.., ..]);
        assert_eq!(Table::from(part.clone()).view(), part);
        assert_eq!(Table::from(whole.slice(s![.., 1..])).to_array(), whole.slice(s![.., 1..]));
        assert_eq!(Table::from(whole.clone()).into_owned().view(), whole);
    }
}
