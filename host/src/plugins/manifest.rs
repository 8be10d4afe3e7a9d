//! Checks a plugin's description of itself: its ids become names of folders and
//! columns, and its texts are printed.

use pallium_core::abi::Manifest;
use pallium_core::text::{acts, shown};
use pallium_core::{Error, Result};
use serde_json::Value;

/// Most components of a file.
const COMPONENTS: usize = 1000;
/// Longest names, versions and ids, in characters.
const NAME: usize = 100;
/// Longest `ABOUT` and `CITE`, in characters.
const LINE: usize = 2000;
/// Longest schema, in bytes.
const SCHEMA: usize = 1 << 20;

/// Refuses a manifest whose ids or texts are not allowed.
///
/// # Errors
/// The first of them.
pub fn check(manifest: &Manifest) -> Result<()> {
    word("name of the crate", &manifest.name)?;
    word("version of the crate", &manifest.version)?;
    word("version of pallium-core", &manifest.core_version)?;
    let count = manifest.components.len();
    if count > COMPONENTS {
        return Err(Error::plugin(format!("the plugin offers {count} components"))
            .help(format!("a plugin may offer {COMPONENTS}; divide it into several")));
    }
    for component in &manifest.components {
        let id = &component.id;
        if !is_id(id) {
            return Err(Error::plugin(format!("the plugin offers the component `{}`", shown(id))).help(
                format!(
                    "an id is family.name in lower-case letters, digits and hyphens, up to {NAME} characters; \
                     correct it in the plugin and build it again"
                ),
            ));
        }
        word(&format!("role of `{id}`"), &component.role)?;
        line(&format!("description of `{id}`"), &component.about)?;
        line(&format!("source of `{id}`"), &component.cite)?;
        schema(id, &component.schema)?;
    }
    Ok(())
}

/// Whether `id` is `family.name`, each in lower-case letters, digits and hyphens.
fn is_id(id: &str) -> bool {
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_lowercase())
            && !p.ends_with('-')
            && p.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    id.len() <= NAME && matches!(id.split_once('.'), Some((family, name)) if part(family) && part(name))
}

fn word(what: &str, text: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if !text.is_empty() && text.len() <= NAME && text.chars().all(allowed) {
        return Ok(());
    }
    Err(refused(what, text, &format!("letters, digits, `-`, `_`, `.` and `+`, up to {NAME}")))
}

fn line(what: &str, text: &str) -> Result<()> {
    if text.chars().count() <= LINE && !text.chars().any(|c| acts(c) || c == '\n' || c == '\t') {
        return Ok(());
    }
    Err(refused(what, text, &format!("one line without control characters, up to {LINE} characters")))
}

fn schema(id: &str, schema: &Value) -> Result<()> {
    let what = format!("schema of `{id}`");
    let length = schema.to_string().len();
    if !schema.is_object() || length > SCHEMA {
        let text = format!("{length} bytes of JSON");
        return Err(refused(&what, &text, &format!("one JSON object, up to {SCHEMA} bytes")));
    }
    if let Some(text) = text_that_acts(schema) {
        return Err(refused(&what, text, "texts without control characters"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().try_for_each(|(name, _)| {
        let letters = |c: char| c.is_alphanumeric() || "-_".contains(c);
        if !name.is_empty() && name.len() <= NAME && name.chars().all(letters) {
            return Ok(());
        }
        Err(refused(
            &format!("name of a parameter of `{id}`"),
            name,
            &format!("letters, digits, `-` and `_`, up to {NAME}"),
        ))
    })
}

/// A text in `value`, or a key, with a character that [`acts`].
fn text_that_acts(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => text.chars().any(acts).then_some(text),
        Value::Array(values) => values.iter().find_map(text_that_acts),
        Value::Object(values) => values.iter().find_map(|(key, value)| {
            if key.chars().any(acts) { Some(key.as_str()) } else { text_that_acts(value) }
        }),
        _ => None,
    }
}

fn refused(what: &str, text: &str, must: &str) -> Error {
    Error::plugin(format!("the {what} is not allowed: `{}`", shown(text)))
        .help(format!("it must be {must}; correct it in the plugin and build it again"))
}

#[cfg(test)]
mod tests {
    use pallium_core::abi::ComponentEntry;
    use serde_json::json;

    use super::*;

    fn manifest(change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let mut manifest = Manifest {
            name: "my-plugin".into(),
            version: "0.1.0-rc.1+2".into(),
            core_version: "0.1.0".into(),
            unwinds: true,
            components: vec![ComponentEntry {
                role: "constraint".into(),
                id: "my.penalty-2".into(),
                about: "costs λ·Σ|w| — „so“".into(),
                cite: "Müller 2020".into(),
                schema: json!({"properties": {"a": {"description": "first line\n\tsecond"}}}),
                ..ComponentEntry::default()
            }],
            ..Manifest::default()
        };
        change(&mut manifest);
        check(&manifest)
    }

    #[test]
    fn ordinary_manifests_pass() {
        manifest(|_| ()).unwrap();
        manifest(|m| m.components.clear()).unwrap();
    }

    #[test]
    fn ids_are_two_words() {
        for wrong in
            ["", "a", "a.", ".a", "a.b.c", "A.b", "a.b_c", "a.b-", "a/b.c", "../x.y", "a.b\u{1b}[31m", "ä.b"]
        {
            let error = manifest(|m| m.components[0].id = wrong.into()).unwrap_err();
            assert!(error.message.contains("the component `"), "{wrong}: {error}");
            assert!(!error.report().contains('\u{1b}'), "{error}");
        }
        assert!(manifest(|m| m.components[0].id = format!("a.{}", "b".repeat(200))).is_err());
    }

    #[test]
    fn texts_that_act_on_a_terminal_are_refused() {
        for wrong in ["\u{1b}[2J", "a\u{202e}b", "two\nlines", "\u{0}", "a\r"] {
            assert!(manifest(|m| m.components[0].about = wrong.into()).is_err(), "{wrong:?}");
            assert!(manifest(|m| m.components[0].cite = wrong.into()).is_err(), "{wrong:?}");
        }
        for wrong in ["", "a b", "\u{1b}", "x/y"] {
            assert!(manifest(|m| m.name = wrong.into()).is_err(), "{wrong:?}");
            assert!(manifest(|m| m.version = wrong.into()).is_err(), "{wrong:?}");
            assert!(manifest(|m| m.components[0].role = wrong.into()).is_err(), "{wrong:?}");
        }
        for wrong in [
            json!({"a": [{"description": "\u{1b}"}]}),
            json!({"\u{7}": 1}),
            json!([]),
            json!({"a": "x".repeat(SCHEMA)}),
        ] {
            assert!(manifest(|m| m.components[0].schema = wrong.clone()).is_err());
        }
    }

    #[test]
    fn names_of_parameters_are_words() {
        let named = |name: &str| {
            let schema = json!({"properties": {name: {"description": "one line"}}});
            manifest(|m| m.components[0].schema = schema)
        };
        named("free_um").unwrap();
        named("Größe-2").unwrap();
        for wrong in ["", "two\nlines", "a\tb", "a b", "a.b", "a=b"] {
            let error = named(wrong).unwrap_err();
            assert!(error.message.contains("a parameter of `my.penalty-2`"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn sizes_are_limited() {
        assert!(manifest(|m| m.components[0].about = "x".repeat(LINE + 1)).is_err());
        let many = |m: &mut Manifest| m.components = vec![m.components[0].clone(); COMPONENTS + 1];
        assert!(manifest(many).unwrap_err().message.contains("1001 components"));
    }
}
