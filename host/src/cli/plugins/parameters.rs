//! The documentation of a component's parameters, from their JSON schema.

use itertools::Itertools;
use serde_json::{Value, json};

/// The documentation of a parameter.
#[derive(Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The kind of value, as text.
    pub kind: String,
    /// The allowed values with their descriptions, if they can be listed.
    pub allowed: Vec<(Value, String)>,
    /// Its default.
    pub default: Value,
    /// Its description in one line.
    pub about: String,
}

impl Parameter {
    /// The parameter as JSON.
    pub fn to_json(&self) -> Value {
        let allowed: Vec<Value> =
            self.allowed.iter().map(|(value, about)| json!({"value": value, "about": about})).collect();
        json!({
            "name": self.name,
            "type": self.kind,
            "default": self.default,
            "allowed": allowed,
            "about": self.about,
        })
    }
}

/// The parameters that a JSON schema describes, in its order.
pub fn parameters(schema: &Value) -> Vec<Parameter> {
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    properties
        .iter()
        .map(|(name, property)| Parameter {
            name: name.clone(),
            kind: kind(property, schema, 0),
            allowed: allowed(property, schema, 0),
            default: property["default"].clone(),
            about: text(&property["description"]),
        })
        .collect()
}

/// Maximum nesting, since a schema may refer to itself.
const DEPTH: usize = 8;

/// The schema that `schema` refers to, or `schema` itself.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?)).unwrap_or(schema)
}

/// The alternatives of a schema, if it has any.
fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    ["oneOf", "anyOf", "allOf"].iter().find_map(|key| schema[*key].as_array())
}

fn is_null(schema: &Value) -> bool {
    schema["type"] == "null"
}

/// Describes the kind of value of a schema.
fn kind(schema: &Value, root: &Value, depth: usize) -> String {
    let schema = resolve(schema, root);
    if depth > DEPTH {
        return "value".into();
    }
    let or_nothing = |text: String, optional: bool| if optional { format!("{text}, or none") } else { text };
    if !allowed(schema, root, depth).is_empty() {
        let optional = alternatives(schema).is_some_and(|all| all.iter().any(is_null));
        return or_nothing("choice".into(), optional);
    }
    if let Some(all) = alternatives(schema) {
        let mut kinds: Vec<String> =
            all.iter().filter(|s| !is_null(s)).map(|s| kind(s, root, depth + 1)).collect();
        kinds.dedup();
        return or_nothing(kinds.join(" or "), all.iter().any(is_null));
    }
    if let Some(types) = schema["type"].as_array() {
        let mut kinds: Vec<String> = types
            .iter()
            .filter(|t| *t != "null")
            .map(|t| {
                let mut one = schema.clone();
                one["type"] = t.clone();
                kind(&one, root, depth + 1)
            })
            .collect();
        kinds.dedup();
        return or_nothing(kinds.join(" or "), types.iter().any(|t| t == "null"));
    }
    match schema["type"].as_str() {
        Some("integer") => format!("whole number{}", range(schema)),
        Some("number") => format!("number{}", range(schema)),
        Some("string") => "text".into(),
        Some("boolean") => "true or false".into(),
        Some("array") => array_kind(schema, root, depth),
        Some("object") => match schema.get("additionalProperties") {
            Some(entry @ Value::Object(_)) => {
                format!("table of names, each with: {}", kind(entry, root, depth + 1))
            }
            _ => match schema["properties"].as_object() {
                Some(properties) if !properties.is_empty() => {
                    let names: Vec<_> = properties.keys().map(|name| format!("`{name}`")).collect();
                    format!("table of {}", names.join(", "))
                }
                _ => "table".into(),
            },
        },
        _ => "any value".into(),
    }
}

fn array_kind(schema: &Value, root: &Value, depth: usize) -> String {
    if let Some(items) = schema["prefixItems"].as_array() {
        let kinds: Vec<String> = items.iter().map(|s| kind(s, root, depth + 1)).collect();
        return format!("list of {}: {}", items.len(), kinds.join(", "));
    }
    let entry =
        if schema["items"].is_null() { "any value".into() } else { kind(&schema["items"], root, depth + 1) };
    match (schema["minItems"].as_u64(), schema["maxItems"].as_u64()) {
        (Some(low), Some(high)) if low == high => format!("list of {low}, each a {entry}"),
        _ => format!("list, each a {entry}"),
    }
}

fn range(schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).filter(|v| v.is_number()).and_then(Value::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => format!(", {low} to {high}"),
        (Some(low), None) => format!(", at least {low}"),
        (None, Some(high)) => format!(", at most {high}"),
        (None, None) => String::new(),
    }
}

/// The values that a schema lists, with their descriptions.
fn allowed(schema: &Value, root: &Value, depth: usize) -> Vec<(Value, String)> {
    let schema = resolve(schema, root);
    if depth > DEPTH {
        return Vec::new();
    }
    if let Some(value) = schema.get("const") {
        return vec![(value.clone(), text(&schema["description"]))];
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().filter(|v| !v.is_null()).map(|v| (v.clone(), String::new())).collect();
    }
    let Some(all) = alternatives(schema) else { return Vec::new() };
    let lists: Vec<_> = all.iter().filter(|s| !is_null(s)).map(|s| allowed(s, root, depth + 1)).collect();
    // If one alternative cannot be listed, the list would be incomplete.
    if lists.iter().any(Vec::is_empty) { Vec::new() } else { lists.concat() }
}

/// A description as one line.
fn text(description: &Value) -> String {
    description.as_str().unwrap_or_default().split_whitespace().join(" ")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pallium_core::choice! {
        /// What is done with the diagonal.
        pub enum Diagonal {
            /// Left as
            /// it is.
            Keep = "keep",
            /// Set to zero.
            Zero = "zero",
        }
    }
    pallium_core::choice! {
        /// No words on the values.
        pub enum Terse { A = "a", B = "b" }
    }
    pallium_core::params! {
        /// All kinds.
        pub struct Params {
            /// Factor λ in front
            /// of the penalty.
            strength: f64 = 0.3,
            /// How often.
            repeats: u32 = 2,
            /// The diagonal.
            diagonal: Diagonal = Diagonal::Keep,
            /// Terse.
            terse: Terse = Terse::B,
            /// A folder.
            path: Option<String> = None,
            /// Perhaps.
            perhaps: Option<Diagonal> = None,
            /// Whole numbers.
            list: Vec<u32> = vec![1, 2],
            /// Three.
            triple: [f64; 3] = [4.0, 4.0, 40.0],
            /// Yes or no.
            flag: bool = false,
            /// By name.
            named: std::collections::BTreeMap<String, f64> = Default::default(),
        }
    }

    pub fn described(name: &str) -> Parameter {
        let schema = pallium_core::schema_of::<Params>();
        parameters(&schema).into_iter().find(|p| p.name == name).unwrap()
    }

    #[test]
    fn parameters_keep_their_order_of_declaration() {
        let schema = pallium_core::schema_of::<Params>();
        let names: Vec<_> = parameters(&schema).into_iter().map(|p| p.name).collect();
        assert_eq!(
            names,
            [
                "strength", "repeats", "diagonal", "terse", "path", "perhaps", "list", "triple", "flag",
                "named"
            ]
        );
    }

    #[test]
    fn kinds_are_described_in_words() {
        for (name, kind) in [
            ("strength", "number"),
            ("repeats", "whole number, at least 0"),
            ("diagonal", "choice"),
            ("terse", "choice"),
            ("path", "text, or none"),
            ("perhaps", "choice, or none"),
            ("list", "list, each a whole number, at least 0"),
            ("triple", "list of 3, each a number"),
            ("flag", "true or false"),
            ("named", "table of names, each with: number"),
        ] {
            assert_eq!(described(name).kind, kind, "{name}");
        }
        assert_eq!(described("strength").about, "Factor λ in front of the penalty.");
        assert_eq!(described("strength").default, 0.3);
        assert_eq!(described("triple").default, json!([4.0, 4.0, 40.0]));
    }

    #[test]
    fn allowed_values_are_listed_with_their_descriptions() {
        let both =
            vec![(json!("keep"), "Left as it is.".to_string()), (json!("zero"), "Set to zero.".into())];
        assert_eq!(described("diagonal").allowed, both);
        assert_eq!(described("perhaps").allowed, both);
        assert_eq!(described("terse").allowed.iter().map(|(v, _)| v.clone()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(described("strength").allowed, []);
    }

    #[test]
    fn recursive_and_malformed_schemas_are_accepted() {
        let endless = json!({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}});
        assert_eq!(parameters(&endless).len(), 1);
        let own = json!({"properties": {"a": {"$ref": "#/properties/a"}}});
        assert_eq!(parameters(&own)[0].kind, "any value");
        for odd in [json!(null), json!({"properties": 3}), json!(true), json!({"properties": {}})] {
            assert_eq!(parameters(&odd), []);
        }
        assert_eq!(parameters(&json!({"properties": {"a": true}}))[0].kind, "any value");
    }
}
