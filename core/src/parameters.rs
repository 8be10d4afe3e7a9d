//! Typed, documented parameters of components. They are declared once with
//! [`params!`](crate::params); unknown names and wrong types are refused.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Declares the parameters of a component: fields with a type, a default and a
/// doc comment. Users read the doc comments in `pallium plugins show ID`.
///
/// ```
/// pallium_core::params! {
///     /// Parameters of the example.
///     pub struct Params {
///         /// Factor λ of the penalty (dimensionless).
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

/// Declares a parameter type with a fixed list of names, for use in
/// [`params!`](crate::params).
///
/// ```
/// pallium_core::choice! {
///     /// What is done with the diagonal.
///     pub enum Diagonal {
///         /// It is kept.
///         Keep = "keep",
///         /// It is set to zero.
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

/// Whether a schema accepts names of parameters that it does not list, because
/// they depend on other parameters: see
/// [`Component::describe`](crate::Component::describe).
pub fn accepts_further_names(schema: &Value) -> bool {
    schema.get("additionalProperties").is_some_and(|further| *further != Value::Bool(false))
}

/// Parses the parameters of a component from a JSON object; empty text stands
/// for an empty object.
///
/// # Errors
/// If the text is not a JSON object, a name is unknown (the nearest known name
/// is suggested) or a value has the wrong type. The message names `component`
/// and the parameter.
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
        return Err(Error::input(format!(
            "parameters of `{component}` must be a JSON object of names and values"
        )));
    };
    let schema = schema_of::<P>();
    let known: Vec<String> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default();
    for name in given.keys() {
        if !known.contains(name) && !accepts_further_names(&schema) {
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
    serde_json::from_value(Value::Object(given.clone())).map_err(|error| {
        // serde does not report which field failed, so parse them one at a time.
        for (name, value) in &given {
            let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
            if let Err(e) = serde_json::from_value::<P>(alone) {
                let must = plain(&e.to_string(), value);
                let error = match value {
                    // JSON has no numbers that are not finite.
                    Value::Null => {
                        Error::input(format!("parameter `{name}` of `{component}` is not finite: {must}"))
                    }
                    _ => {
                        Error::input(format!("parameter `{name}` of `{component}` cannot be {value}: {must}"))
                    }
                };
                return error.help(match value.as_str().and_then(|text| text.parse::<f64>().ok()) {
                    Some(number) if number.is_finite() => format!("write {number}"),
                    _ => format!("`pallium plugins show {component}` documents its type and default"),
                });
            }
        }
        Error::input(format!("parameters of `{component}`: {error}"))
    })
}

/// What serde expected of `value`, in the words of the documentation.
fn plain(message: &str, value: &Value) -> String {
    let expected = message.rsplit("expected ").next().unwrap_or_default();
    let kind = expected.split([' ', ',']).next().unwrap_or_default();
    let bits = kind.strip_prefix(['u', 'i']).and_then(|bits| bits.parse::<u32>().ok());
    if let (Some(bits @ 1..64), Some(whole)) = (bits, value.as_u64()) {
        let most = (1 << (bits - u32::from(kind.starts_with('i')))) - 1;
        if whole > most {
            return format!("it must be at most {most}");
        }
    }
    let what = match kind {
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "a" if expected.starts_with("a boolean") => "true or false",
        "a" if expected.starts_with("a string") => "text",
        // A variant is something else to the reader of an experiment.
        _ => return message.replace("unknown variant", "unknown value"),
    };
    format!("it must be {what}")
}

/// The name in `known` that is most similar to `name`, ignoring case; `None` if
/// none is similar enough to be suggested. A name without a dot is also compared
/// with the last parts of dotted names: `go-no-go` is near `cognition.go-no-go`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let mut best = (0.75, None);
    for candidate in known {
        let full = candidate.to_lowercase();
        let last = full.rsplit('.').next().filter(|_| !lower.contains('.')).unwrap_or(&full);
        let similarity = strsim::jaro_winkler(&lower, &full).max(strsim::jaro_winkler(&lower, last));
        // Of equals, the first.
        if similarity > best.0 {
            best = (similarity, Some(candidate));
        }
    }
    best.1
}

/// Checks that the value of parameter `name` is finite and at least 0.
///
/// # Errors
/// If it is not.
pub fn at_least_zero(name: &str, value: f64) -> Result<()> {
    one_of_range(name, value, 0.0, f64::INFINITY)
}

/// Checks that the value of parameter `name` is finite and within `low..=high`.
///
/// # Errors
/// If it is not.
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

    #[test]
    fn an_id_without_its_family_is_near_the_full_id() {
        let ids = ["cognition.go-no-go", "cognition.one-choice", "neurogym.go-nogo"];
        assert_eq!(nearest("go-no-go", ids), Some("cognition.go-no-go"));
        assert_eq!(nearest("onechoice", ids), Some("cognition.one-choice"));
        assert_eq!(nearest("neurogym.go-no-go", ids), Some("neurogym.go-nogo"));
        assert_eq!(nearest("xyz", ids), None);
    }

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
    fn missing_parameters_take_their_defaults() {
        let p: Example = parse_parameters("x.y", r#"{"repeats": 5, "colour": "green"}"#).unwrap();
        assert_eq!((p.strength, p.repeats, p.colour), (0.3, 5, Colour::Green));
        assert_eq!(parse_parameters::<Example>("x.y", "").unwrap().repeats, 2);
    }

    #[test]
    fn an_unknown_name_is_refused_and_the_nearest_suggested() {
        let e = parse_parameters::<Example>("x.y", r#"{"strenght": 1}"#).unwrap_err();
        assert_eq!(e.message, "`x.y` has no parameter `strenght`");
        assert!(e.help.unwrap().contains("did you mean `strength`?"));
    }

    #[test]
    fn a_wrong_value_is_reported_with_its_parameter() {
        let e = parse_parameters::<Example>("x.y", r#"{"repeats": -1}"#).unwrap_err();
        assert!(e.message.starts_with("parameter `repeats` of `x.y` cannot be -1"), "{e}");
        let e = parse_parameters::<Example>("x.y", r#"{"repeats": 4294967296}"#).unwrap_err();
        assert!(e.message.ends_with("cannot be 4294967296: it must be at most 4294967295"), "{e}");
        let e = parse_parameters::<Example>("x.y", r#"{"colour": "red"}"#).unwrap_err();
        assert!(e.message.contains("`blue` or `green`"), "{e}");
    }

    #[test]
    fn the_schema_contains_documentation_and_defaults() {
        let schema = schema_of::<Example>();
        assert_eq!(schema["properties"]["strength"]["description"], "Factor λ.");
        assert_eq!(schema["properties"]["strength"]["default"], 0.3);
    }

    #[test]
    fn values_outside_a_range_are_refused() {
        assert!(at_least_zero("strength", 0.0).is_ok());
        assert!(at_least_zero("strength", -0.1).is_err());
        assert!(at_least_zero("strength", f64::NAN).is_err());
        assert!(one_of_range("p", 1.5, 0.0, 1.0).is_err());
    }
}
