//! Names that components choose: they are printed, and become columns of tables
//! and names of files.

use crate::{Error, Result};

/// Longest name, in characters.
const NAME: usize = 200;

/// Whether a character would act on a terminal instead of being shown: control
/// characters, and those that reverse the direction of text.
pub fn acts(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a text, without characters that act.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

/// Refuses a name that is empty or too long, is not one line, or contains one of
/// `forbidden`.
pub(crate) fn check_name(what: &str, name: &str, forbidden: &[char]) -> Result<()> {
    let wrong = |c: char| acts(c) || c == '\n' || c == '\t' || forbidden.contains(&c);
    if name.trim() == name && !name.is_empty() && name.chars().count() <= NAME && !name.chars().any(wrong) {
        return Ok(());
    }
    let without: String = forbidden.iter().map(|c| format!(", `{c}`")).collect();
    Err(Error::plugin(format!("`{}` cannot be the name of {} {what}", shown(name), if what == "array" { "an" } else { "a" })).help(format!(
        "a name is one line of 1 to {NAME} characters, without spaces at its ends, control characters{without}"
    )))
}

/// Refuses two equal names.
pub(crate) fn check_unique<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => {
            Err(Error::plugin(format!("two {what}s are named `{name}`")).help("give each a name of its own"))
        }
    }
}
