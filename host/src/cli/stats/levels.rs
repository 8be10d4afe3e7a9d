//! Whether the columns of `--levels` are named from the outermost to the innermost.

use std::collections::{BTreeMap, BTreeSet};

use pallium_core::{Error, Result};

/// Refuses a level that is named after one that lies within it: one with a single group in
/// each group of the other, while its groups occur in several of them. `groups` are the
/// labels of each row.
///
/// # Errors
/// If there is such a level.
pub(super) fn check(levels: &[String], groups: &[Vec<String>]) -> Result<()> {
    let swapped = |outer: usize| (0..outer).find(|&inner| lies_within(groups, inner, outer));
    let Some((inner, outer)) = (0..levels.len()).find_map(|outer| Some((swapped(outer)?, outer))) else {
        return Ok(());
    };
    let mut left: Vec<usize> = (0..levels.len()).collect();
    let mut order: Vec<&str> = Vec::new();
    // The first that lies within none of the others; containment has no circles.
    while let Some(at) =
        left.iter().position(|&level| !left.iter().any(|&other| lies_within(groups, level, other)))
    {
        order.push(&levels[left.remove(at)]);
    }
    let (inner, outer) = (&levels[inner], &levels[outer]);
    Err(Error::input(format!(
        "--levels {}: each `{inner}` lies in one `{outer}`, so `{outer}` comes first",
        levels.join(",")
    ))
    .help(format!(
        "write --levels {}; if `{inner}` is the outer one and `{outer}` only repeats its labels in each, leave \
         `{outer}` out",
        order.join(",")
    )))
}

/// Whether each group of `inner` lies in one group of `outer`, and some of these contain
/// several.
fn lies_within(groups: &[Vec<String>], inner: usize, outer: usize) -> bool {
    let mut around: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut within: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for labels in groups {
        let (inner, outer) = (labels[inner].as_str(), labels[outer].as_str());
        around.entry(inner).or_default().insert(outer);
        within.entry(outer).or_default().insert(inner);
    }
    around.values().all(|outer| outer.len() == 1) && within.values().any(|inner| inner.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(levels: &[&str], rows: &[&[&str]]) -> Result<()> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        check(&owned(levels), &rows.iter().map(|row| owned(row)).collect::<Vec<_>>())
    }

    #[test]
    fn a_level_that_contains_an_earlier_one_is_refused() {
        let error = checked(&["field", "scan"], &[&["x", "6"], &["y", "5"], &["z", "5"]]).unwrap_err();
        assert!(error.message.contains("each `field` lies in one `scan`"), "{error}");
        assert!(error.help.unwrap().contains("--levels scan,field"));
        let rows: [&[&str]; 4] = [&["x", "6", "m"], &["y", "6", "m"], &["z", "5", "m"], &["w", "4", "n"]];
        let error = checked(&["field", "scan", "mouse"], &rows).unwrap_err();
        assert!(error.help.unwrap().contains("--levels mouse,scan,field"));
    }

    #[test]
    fn other_levels_are_accepted() {
        assert!(checked(&["scan", "field"], &[&["6", "x"], &["5", "y"], &["5", "z"]]).is_ok());
        // Crossed, with labels of their own in each, one to one, and none.
        assert!(checked(&["a", "b"], &[&["1", "1"], &["1", "2"], &["2", "1"], &["2", "2"]]).is_ok());
        assert!(checked(&["scan", "field"], &[&["6", "1"], &["5", "1"], &["5", "2"]]).is_ok());
        assert!(checked(&["field", "scan"], &[&["x", "6"], &["y", "5"]]).is_ok());
        assert!(checked(&["scan"], &[&["6"], &["6"]]).is_ok());
        assert!(checked(&[], &[&[], &[]]).is_ok());
    }
}
