//! Typed, documented parameters: declared once, checked the same way
//! everywhere, and refused when unknown.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Declares a component's parameters: fields with type, default and doc
/// comment. The doc comments become the parameters' documentation for users.
///
/// ```
/// pallium_core::params! {
///     /// What this component can be told.
///     pub struct Params {
///         /// Factor λ in front of the penalty (dimensionless).
///         strength: f64 = 0.3,
///     }
/// }
/// assert_eq!(Params::default().strength, 0.3);
/// ```
#[macro_export]
macro_rules! params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident : $type:ty = $default:expr),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(
            Clone, Debug,
            $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema,
        )]
        #[serde(crate = "::pallium_core::serde", default, deny_unknown_fields)]
        #[schemars(crate = "::pallium_core::schemars")]
        $vis struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

/// Declares a choice between named alternatives, for use in [`params!`](crate::params).
///
/// ```
/// pallium_core::choice! {
///     /// What becomes of the diagonal.
///     pub enum Diagonal {
///         /// Left as it is.
///         Keep = "keep",
///         /// Set to zero.
///         Zero = "zero",
///     }
/// }
/// ```
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq,
            $crate::serde::Serialize, $crate::serde::Deserialize, $crate::schemars::JsonSchema,
        )]
        #[serde(crate = "::pallium_core::serde")]
        #[schemars(crate = "::pallium_core::schemars")]
        $vis enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)*
        }
    };
}

/// The JSON schema of a parameter struct, with defaults and documentation.
pub fn schema_of<P: JsonSchema>() -> Value {
    schemars::schema_for!(P).to_value()
}

/// Reads parameters from a JSON object. Unknown names are refused, with the
/// nearest known one offered; a wrong value is reported with its name.
///
/// # Errors
/// As said; the message names `component` and the parameter.
pub fn parse_parameters<P>(component: &str, json: &str) -> Result<P>
where
    P: DeserializeOwned + JsonSchema,
{
    let value: Value = if json.trim().is_empty() {
        Value::Object(Map::new())
    } else {
        serde_json::from_str(json)
            .map_err(|e| Error::input(format!("parameters of `{component}` are not valid JSON: {e}")))?
    };
    let Value::Object(given) = value else {
        return Err(Error::input(format!("parameters of `{component}` must be a table of names and values")));
    };
    let schema = schema_of::<P>();
    let known: Vec<String> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default();
    for name in given.keys() {
        if !known.contains(name) {
            let error = Error::input(format!("`{component}` has no parameter `{name}`"));
            return Err(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => {
                    error.help(format!("did you mean `{near}`? `pallium plugins show {component}` lists all"))
                }
                None if known.is_empty() => error.help("it has no parameters"),
                None => error.help(format!("its parameters: {}", known.join(", "))),
            });
        }
    }
    serde_json::from_value(Value::Object(given.clone())).map_err(|whole| {
        // serde does not say which field failed: try them one at a time.
        for (name, value) in &given {
            let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            if let Err(e) = serde_json::from_value::<P>(alone) {
                return Error::input(format!("parameter `{name}` of `{component}` cannot be {value}: {e}"))
                    .help(format!("`pallium plugins show {component}` tells its type and default"));
            }
        }
        Error::input(format!("parameters of `{component}`: {whole}"))
    })
}

/// The name among `known` that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Refuses a parameter that is negative or not a number.
///
/// # Errors
/// As said.
pub fn at_least_zero(name: &str, value: f64) -> Result<()> {
    one_of_range(name, value, 0.0, f64::INFINITY)
}

/// Refuses a parameter outside `low..=high`, or not a finite number.
///
/// # Errors
/// As said.
pub fn one_of_range(name: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    let range =
        if high.is_infinite() { format!("at least {low}") } else { format!("between {low} and {high}") };
    Err(Error::input(format!("parameter `{name}` is {value}")).help(format!("it must be {range}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::choice! {
        /// Colour.
        pub enum Colour {
            /// As the sky.
            Blue = "blue",
            /// As grass.
            Green = "green",
        }
    }

    crate::params! {
        /// Example.
        pub struct Example {
            /// Factor λ.
            strength: f64 = 0.3,
            /// How often.
            repeats: u32 = 2,
            /// Which.
            colour: Colour = Colour::Blue,
        }
    }

    #[test]
    fn defaults_fill_what_is_not_given() {
        let p: Example = parse_parameters("x.y", r#"{"repeats": 5, "colour": "green"}"#).unwrap();
        assert_eq!((p.strength, p.repeats, p.colour), (0.3, 5, Colour::Green));
        assert_eq!(parse_parameters::<Example>("x.y", "").unwrap().repeats, 2);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let e = parse_parameters::<Example>("x.y", r#"{"strenght": 1}"#).unwrap_err();
        assert_eq!(e.message, "`x.y` has no parameter `strenght`");
        assert!(e.help.unwrap().contains("did you mean `strength`?"));
    }

    #[test]
    fn a_wrong_value_is_reported_with_its_name() {
        let e = parse_parameters::<Example>("x.y", r#"{"repeats": -1}"#).unwrap_err();
        assert!(e.message.starts_with("parameter `repeats` of `x.y` cannot be -1"), "{e}");
        let e = parse_parameters::<Example>("x.y", r#"{"colour": "red"}"#).unwrap_err();
        assert!(e.message.contains("`blue` or `green`"), "{e}");
    }

    #[test]
    fn the_schema_carries_documentation_and_defaults() {
        let schema = schema_of::<Example>();
        assert_eq!(schema["properties"]["strength"]["description"], "Factor λ.");
        assert_eq!(schema["properties"]["strength"]["default"], 0.3);
    }

    #[test]
    fn ranges_are_kept() {
        assert!(at_least_zero("strength", 0.0).is_ok());
        assert!(at_least_zero("strength", -0.1).is_err());
        assert!(at_least_zero("strength", f64::NAN).is_err());
        assert!(one_of_range("p", 1.5, 0.0, 1.0).is_err());
    }
}
