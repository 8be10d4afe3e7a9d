//! Checks values of parameters against their JSON schemas: the part of JSON
//! Schema that schemars generates for structs, lists, options and choices.

use pallium_core::{Result, accepts_further_names, nearest};
use serde_json::{Map, Value};

use super::tree::Place;

/// The parameters of a component, by name.
pub(super) fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// Whether a parameter, other than `path`, names a file: its schema has the format `path`.
pub(super) fn is_path(schema: &Value, name: &str) -> bool {
    let format = schema.get("properties").and_then(|properties| properties.get(name)?.get("format"));
    name != "path" && format.is_some_and(|format| format == "path")
}

/// The same, if the value is not empty.
pub(super) fn is_file(schema: &Value, name: &str, value: &Value) -> bool {
    is_path(schema, name) && value.as_str().is_some_and(|v| !v.is_empty())
}

/// Refuses a parameter that `component` does not have, unless its parameters are
/// known only to itself. `shown` is what `pallium plugins show` is given.
pub(super) fn check_name(component: &str, shown: &str, schema: &Value, name: &str, at: &Place) -> Result<()> {
    let known = properties(schema);
    if known.contains_key(name) || accepts_further_names(schema) {
        return Ok(());
    }
    let error = at.error(format!("`{component}` has no parameter `{name}`"));
    let names: Vec<_> = known.keys().map(String::as_str).collect();
    Err(match nearest(name, names.iter().copied()) {
        Some(near) => error.help(format!("did you mean `{near}`? `pallium plugins show {shown}` lists all")),
        None if names.is_empty() => error.help("it has no parameters"),
        None => error.help(format!("its parameters: {}", names.join(", "))),
    })
}

/// `Ok`, or what the value of parameter `name` must be.
pub(super) fn check_value(schema: &Value, name: &str, value: &Value) -> Result<(), String> {
    match schema.get("properties").and_then(|p| p.get(name)) {
        Some(property) => fits(schema, property, value),
        None => Ok(()),
    }
}

fn fits(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(pointer) = schema.get("$ref").and_then(Value::as_str)
        && let Some(target) = root.pointer(pointer.trim_start_matches('#'))
    {
        fits(root, target, value)?;
    }
    if let Some(expected) = schema.get("const")
        && expected != value
    {
        return Err(expected.to_string());
    }
    if let Some(options) = schema.get("enum").and_then(Value::as_array)
        && !options.contains(value)
    {
        return Err(or(options.iter().map(Value::to_string)));
    }
    for all in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        fits(root, all, value)?;
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(options) = schema.get(key).and_then(Value::as_array) {
            let refusals: Vec<_> = options.iter().map_while(|o| fits(root, o, value).err()).collect();
            if refusals.len() == options.len() {
                return Err(or(refusals));
            }
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) => has_type(kind, value)?,
        Some(Value::Array(kinds)) => {
            let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
            if kinds.iter().all(|kind| has_type(kind, value).is_err()) {
                return Err(or(kinds.iter().filter_map(|kind| has_type(kind, value).err())));
            }
        }
        _ => {}
    }
    within(schema, value)?;
    match value {
        Value::Array(items) => {
            if let Some(schema) = schema.get("items").filter(|s| s.is_object()) {
                for item in items {
                    fits(root, schema, item).map_err(|must| format!("a list whose items are {must}"))?;
                }
            }
            let bound =
                |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            if bound("minItems").is_some_and(|n| items.len() < n)
                || bound("maxItems").is_some_and(|n| items.len() > n)
            {
                return Err(format!(
                    "a list of {} items",
                    bound("minItems").or(bound("maxItems")).unwrap_or(0)
                ));
            }
        }
        Value::Object(fields) => {
            let known = schema.get("properties").and_then(Value::as_object);
            for (name, field) in fields {
                match known.and_then(|k| k.get(name)) {
                    Some(schema) => fits(root, schema, field)
                        .map_err(|must| format!("a table whose `{name}` is {must}"))?,
                    None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                        let known: Vec<_> =
                            known.into_iter().flat_map(Map::keys).map(|name| format!("`{name}`")).collect();
                        return Err(match known.as_slice() {
                            [] => format!("a table without `{name}`"),
                            some => format!("a table of {}", some.join(", ")),
                        });
                    }
                    None => {}
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn has_type(kind: &str, value: &Value) -> Result<(), String> {
    let (right, must) = match kind {
        "string" => (value.is_string(), "text"),
        "integer" => (value.is_i64() || value.is_u64(), "a whole number"),
        "number" => (value.is_number(), "a number"),
        "boolean" => (value.is_boolean(), "true or false"),
        "array" => (value.is_array(), "a list"),
        "object" => (value.is_object(), "a table"),
        "null" => (value.is_null(), "left out"),
        _ => (true, ""),
    };
    if right { Ok(()) } else { Err(must.into()) }
}

fn within(schema: &Value, value: &Value) -> Result<(), String> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(low) = limit("minimum").filter(|low| number < *low) {
        return Err(format!("at least {low}"));
    }
    if let Some(high) = limit("maximum").filter(|high| number > *high) {
        return Err(format!("at most {high}"));
    }
    Ok(())
}

fn or(options: impl IntoIterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for option in options {
        if !all.contains(&option) {
            all.push(option);
        }
    }
    all.join(" or ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pallium_core::choice! {
        /// Colour.
        pub enum Colour {
            /// As the sky.
            Blue = "blue",
            /// As grass.
            Green = "green",
        }
    }
    /// One of two, by name.
    #[derive(
        Clone,
        Debug,
        pallium_core::serde::Serialize,
        pallium_core::serde::Deserialize,
        pallium_core::schemars::JsonSchema,
    )]
    #[serde(crate = "pallium_core::serde", rename_all = "snake_case")]
    #[schemars(crate = "pallium_core::schemars")]
    pub enum Tagged {
        /// One.
        Left(u32),
        /// Other.
        Right(u32),
    }
    pallium_core::params! {
        /// All kinds.
        pub struct Params {
            /// A.
            strength: f64 = 0.3,
            /// B.
            repeats: u32 = 2,
            /// C.
            colour: Colour = Colour::Blue,
            /// D.
            path: Option<String> = None,
            /// E.
            list: Vec<u32> = Vec::new(),
            /// F.
            flag: bool = false,
            /// G.
            triple: [f64; 3] = [0.0; 3],
            /// H.
            choice: Option<Colour> = None,
            /// I.
            tagged: Tagged = Tagged::Left(1),
        }
    }

    #[test]
    fn values_are_accepted_as_serde_accepts_them() {
        let schema = pallium_core::schema_of::<Params>();
        let cases = [
            ("strength", json!(1), true),
            ("strength", json!("1"), false),
            ("repeats", json!(3), true),
            ("repeats", json!(3.5), false),
            ("repeats", json!(-1), false),
            ("colour", json!("green"), true),
            ("colour", json!("red"), false),
            ("path", json!("x"), true),
            ("path", json!(1), false),
            ("list", json!([1, 2]), true),
            ("list", json!([1, "2"]), false),
            ("list", json!(1), false),
            ("flag", json!(true), true),
            ("flag", json!(1), false),
            ("triple", json!([1, 2, 3]), true),
            ("triple", json!([1, 2]), false),
            ("choice", json!("blue"), true),
            ("choice", json!("red"), false),
            ("tagged", json!({"left": 1}), true),
            ("tagged", json!({"lift": 1}), false),
        ];
        for (name, value, right) in cases {
            let verdict = check_value(&schema, name, &value);
            assert_eq!(verdict.is_ok(), right, "{name} = {value}: {verdict:?}\n{schema:#}");
            let text = json!({name: value}).to_string();
            assert_eq!(
                pallium_core::parse_parameters::<Params>("x", &text).is_ok(),
                right,
                "{name} = {value}"
            );
        }
        assert_eq!(check_value(&schema, "colour", &json!("red")).unwrap_err(), "\"blue\" or \"green\"");
        assert_eq!(check_value(&schema, "repeats", &json!(-1)).unwrap_err(), "at least 0");
        let tagged = check_value(&schema, "tagged", &json!({"lift": 1})).unwrap_err();
        assert_eq!(tagged, "a table of `left` or a table of `right`");
    }
}
