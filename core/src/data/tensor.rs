//! Named arrays of any rank and element type, as they cross to and from
//! components and as they are stored.

use ndarray::{ArrayView, Dimension};

use crate::{Error, Result};

macro_rules! elements {
    ($(($variant:ident, $type:ty, $name:literal)),* $(,)?) => {
        /// The values of a [`Tensor`], by type.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Values {
            $(#[doc = concat!("`", $name, "`.")] $variant(Vec<$type>),)*
        }

        impl Values {
            /// Number of values.
            pub fn len(&self) -> usize {
                match self { $(Values::$variant(values) => values.len(),)* }
            }

            /// Whether there are no values.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Name of the element type, such as `f32`.
            pub fn type_name(&self) -> &'static str {
                match self { $(Values::$variant(_) => $name,)* }
            }
        }

        $(impl From<Vec<$type>> for Values {
            fn from(values: Vec<$type>) -> Self {
                Values::$variant(values)
            }
        }

        impl Element for $type {
            const NAME: &'static str = $name;

            fn slice(values: &Values) -> Option<&[Self]> {
                match values {
                    Values::$variant(values) => Some(values),
                    _ => None,
                }
            }
        })*
    };
}

/// A type that a [`Tensor`] can hold.
pub trait Element: Copy + 'static {
    /// Name of the type.
    const NAME: &'static str;

    /// The values, if they have this type.
    fn slice(values: &Values) -> Option<&[Self]>;
}

elements! {
    (F32, f32, "f32"),
    (F64, f64, "f64"),
    (I64, i64, "i64"),
    (U64, u64, "u64"),
    (U32, u32, "u32"),
    (U8, u8, "u8"),
}

/// A named array of any rank and element type, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Name, unique among the tensors that it is stored with, such as
    /// `recurrent`.
    pub name: String,
    /// Length of each axis; their product is the number of values.
    pub shape: Vec<usize>,
    /// The values, with the last axis varying fastest.
    pub values: Values,
}

impl Tensor {
    /// A tensor from its parts.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, values: impl Into<Values>) -> Self {
        Tensor { name: name.into(), shape: shape.into(), values: values.into() }
    }

    /// A copy of an array.
    pub fn from_view<A: Element, D: Dimension>(name: impl Into<String>, view: ArrayView<'_, A, D>) -> Self
    where
        Values: From<Vec<A>>,
    {
        Tensor::new(name, view.shape(), view.iter().copied().collect::<Vec<A>>())
    }

    /// The values, if their type is `A`.
    ///
    /// # Errors
    /// If they have another type.
    pub fn slice<A: Element>(&self) -> Result<&[A]> {
        A::slice(&self.values).ok_or_else(|| {
            Error::input(format!(
                "tensor `{}` holds {} values, but {} values are expected",
                self.name,
                self.values.type_name(),
                A::NAME
            ))
        })
    }

    /// The tensor named `name` in `state`, whose values must have type `A` and
    /// shape `shape`.
    ///
    /// # Errors
    /// If there is none, or it has another type or shape.
    pub fn find<'a, A: Element>(state: &'a [Tensor], name: &str, shape: &[usize]) -> Result<&'a [A]> {
        let Some(tensor) = state.iter().find(|tensor| tensor.name == name) else {
            return Err(Error::input(format!("the saved state has no tensor `{name}`"))
                .help("it was saved by another kind of component"));
        };
        if tensor.shape != shape || tensor.values.len() != shape.iter().product::<usize>() {
            return Err(Error::input(format!(
                "tensor `{name}` of the saved state is {:?} with {} values, but must be {shape:?}",
                tensor.shape,
                tensor.values.len()
            ))
            .help("it was saved by a component of another size"));
        }
        tensor.slice()
    }

    /// Whether every value is finite; whole numbers always are.
    pub fn is_finite(&self) -> bool {
        match &self.values {
            Values::F32(values) => values.iter().all(|v| v.is_finite()),
            Values::F64(values) => values.iter().all(|v| v.is_finite()),
            _ => true,
        }
    }
}

/// A named array of single precision that is borrowed, such as a parameter of a
/// model.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Name.
    pub name: &'a str,
    /// Length of each axis.
    pub shape: &'a [usize],
    /// The values, with the last axis varying fastest.
    pub values: &'a [f32],
}

impl<'a> TensorView<'a> {
    /// A matrix; a vector is a matrix of one row.
    ///
    /// # Errors
    /// If it has neither one nor two axes.
    pub fn matrix(&self) -> Result<crate::MatrixView<'a>> {
        match *self.shape {
            [rows, columns] => crate::MatrixView::from_shape((rows, columns), self.values).ok(),
            [columns] => crate::MatrixView::from_shape((1, columns), self.values).ok(),
            _ => None,
        }
        .ok_or_else(|| {
            Error::plugin(format!(
                "`{}` is not a matrix: shape {:?} with {} values",
                self.name,
                self.shape,
                self.values.len()
            ))
        })
    }

    /// A copy with its own values.
    pub fn to_tensor(&self) -> Tensor {
        Tensor::new(self.name, self.shape, self.values.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_found_by_name_type_and_shape() {
        let state = [Tensor::new("count", [1], vec![7_u64]), Tensor::new("m", [2, 2], vec![1.0_f64; 4])];
        assert_eq!(Tensor::find::<u64>(&state, "count", &[1]).unwrap(), [7]);
        assert!(Tensor::find::<f32>(&state, "m", &[2, 2]).unwrap_err().message.contains("f64 values"));
        assert!(Tensor::find::<f64>(&state, "m", &[4]).unwrap_err().message.contains("[2, 2]"));
        assert!(Tensor::find::<f64>(&state, "v", &[4]).unwrap_err().message.contains("no tensor `v`"));
    }
}
