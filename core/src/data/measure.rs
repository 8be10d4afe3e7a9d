//! What a metric returns: named numbers, and named arrays.

use serde::{Deserialize, Serialize};

use crate::text::{check_name, check_unique};
use crate::{Error, Result, Tensor};

/// Names of measures that the host itself writes for every training.
const TAKEN: [&str; 6] = ["accuracy", "r2", "task_loss", "penalty", "running_accuracy", "running_loss"];

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

    /// Refuses results without a measure, and names and shapes that are not allowed: names
    /// become columns of tables and names of files.
    ///
    /// # Errors
    /// The first that is wrong, and what is allowed.
    pub fn check(&self) -> Result<()> {
        if self.values.is_empty() {
            return Err(Error::plugin("it returned no measure")
                .help("return at least one; the value of a measure that is not defined is NaN"));
        }
        for Measure { name, unit, .. } in &self.values {
            check_name("measure", name, &[',', '"', '/', '\\'])?;
            let of_host = ["seconds_", "null_"].iter().any(|start| name.starts_with(start));
            if of_host || TAKEN.contains(&name.as_str()) {
                return Err(Error::plugin(format!("`{name}` cannot be the name of a measure")).help(
                    format!(
                        "Pallium writes measures named {}, seconds_… and null_… itself; choose another name, such as `own_{name}`",
                        TAKEN.join(", ")
                    ),
                ));
            }
            if !unit.is_empty() {
                check_name("unit", unit, &[',', '"'])
                    .map_err(|e| e.context(format!("the measure `{name}` is malformed")))?;
            }
        }
        check_unique("measure", self.values.iter().map(|measure| measure.name.as_str()))?;
        for array in &self.arrays {
            check_name("array", &array.name, &['"', '/', '\\'])?;
            // A shape may be too large to multiply.
            let count = array.shape.iter().try_fold(1_usize, |all, &axis| all.checked_mul(axis));
            if count != Some(array.values.len()) {
                return Err(Error::plugin(format!(
                    "the array `{}` has {} values, but the shape {:?}",
                    array.name,
                    array.values.len(),
                    array.shape
                )));
            }
        }
        check_unique("array", self.arrays.iter().map(|array| array.name.as_str()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_arrays_that_cannot_be_stored_are_refused() {
        let of = |names: &[&str]| {
            let values: Vec<_> = names.iter().map(|name| Measure::new(*name, f64::NAN)).collect();
            Measures::from(values)
        };
        let array = |name: &str| Tensor::new(name, [1], vec![1.0_f64]);
        let good = of(&["small_worldness", "λ (µm) 2.5"]).with(array("eigenvalues")).with(array("λ"));
        good.check().unwrap();
        for wrong in
            ["", " a", "a,b", "a/b", "a\\b", "a\"b", "a\nb", "\u{1b}[31m", "a\u{202e}b", "accuracy", "r2"]
        {
            let error = of(&["fine", wrong]).check().unwrap_err();
            assert!(error.message.contains("cannot be the name of a measure"), "{wrong:?}: {error}");
            assert!(error.help.is_some() && !error.report().contains('\u{1b}'), "{error}");
        }
        assert_eq!(of(&[]).check().unwrap_err().message, "it returned no measure");
        assert_eq!(of(&["a", "b", "a"]).check().unwrap_err().message, "two measures are named `a`");
        let unit = Measures::from(vec![Measure::new("a", 1.0).unit("m\ns")]);
        assert!(unit.check().unwrap_err().message.contains("`a`"));
        for wrong in ["", "../x\n", "a/b"] {
            assert!(
                of(&["a"]).with(array(wrong)).check().unwrap_err().message.contains("an array"),
                "{wrong:?}"
            );
        }
        let twice = of(&["a"]).with(array("x")).with(array("x"));
        assert_eq!(twice.check().unwrap_err().message, "two arrays are named `x`");
        for shape in [vec![2], vec![usize::MAX, 2]] {
            let odd = of(&["a"]).with(Tensor::new("x", shape, vec![1.0_f64]));
            assert!(odd.check().unwrap_err().message.contains("the array `x` has 1 values"));
        }
    }
}
