//! What a metric returns: named numbers, and named arrays.

use serde::{Deserialize, Serialize};

use crate::Tensor;

/// The measures of a network.
///
/// Made from numbers alone by `vec![…].into()`; arrays are added by
/// [`Measures::with`].
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct Measures {
    /// Numbers, each a row of the tables.
    pub values: Vec<Measure>,
    /// Vectors, matrices and larger arrays by name, stored with the training.
    pub arrays: Vec<Tensor>,
}

impl From<Vec<Measure>> for Measures {
    fn from(values: Vec<Measure>) -> Self {
        Measures { values, arrays: Vec::new() }
    }
}

impl Measures {
    /// Adds a named array.
    #[must_use]
    pub fn with(mut self, array: Tensor) -> Self {
        self.arrays.push(array);
        self
    }
}

/// Which direction of a measure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Direction {
    /// Higher is better.
    Higher,
    /// Lower is better.
    Lower,
    /// Neither, or a direction that this version does not know.
    #[serde(other)]
    None,
}

/// One number that describes a network, with its name, unit and direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Name in tables, such as `small_worldness`.
    pub name: String,
    /// The value; NaN if the measure is not defined for this network.
    #[serde(with = "null_is_nan")]
    pub value: f64,
    /// Unit; empty if the value is dimensionless.
    pub unit: String,
    /// Which direction is better.
    pub direction: Direction,
}

/// JSON has no NaN, so it is written as `null`.
mod null_is_nan {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

impl Measure {
    /// A dimensionless measure without a better direction.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Measure { name: name.into(), value, unit: String::new(), direction: Direction::None }
    }

    /// Sets the unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }
}
