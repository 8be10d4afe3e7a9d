//! Compatibility with folders of format 1.
//!
//! Format 1 identified a training together with its names, its metrics and the
//! hashes of complete plugin files. Version 0.1.0 of Pallium computes the same
//! bits before and after the change of format. So a training of format 1 is the
//! same if its spec and data are the same, and if each of its plugins is either
//! a part of Pallium or the same file as today.

use std::collections::BTreeMap;

use pallium_core::Result;

use crate::identity::{Cell, content_of};
use crate::training::TrainingFile;

/// The number of this format.
pub const FORMAT: u32 = 1;

/// Plugins that came with Pallium when folders were written in format 1.
const OWN_PLUGINS: [&str; 11] = [
    "pallium-activity",
    "pallium-circuit",
    "pallium-cognition",
    "pallium-connectivity",
    "pallium-microns",
    "pallium-neurogym",
    "pallium-nwb",
    "pallium-organization",
    "pallium-python-task",
    "pallium-rnn",
    "pallium-spatial",
];

/// Components that compute something else since version 0.2.0.
const CHANGED: [&str; 2] = ["circuit.rate", "rnn.reservoir"];

/// Whether `file`, written in format 1, is a training of `cell`.
///
/// # Errors
/// None in practice; a spec always serialises.
pub fn is_same(file: &TrainingFile, cell: &Cell) -> Result<bool> {
    Ok(is_computed_alike(file, cell) && content_of_file(file)? == content_of_cell(cell)?)
}

/// Trainings of format 1, by spec and data.
pub struct Index(BTreeMap<String, Vec<TrainingFile>>);

impl Index {
    /// The index of `files`; those of later formats are ignored.
    ///
    /// # Errors
    /// None in practice; a spec always serialises.
    pub fn new(files: impl Iterator<Item = TrainingFile>) -> Result<Self> {
        let mut index: BTreeMap<String, Vec<TrainingFile>> = BTreeMap::new();
        for file in files.filter(|file| file.format == FORMAT) {
            index.entry(content_of_file(&file)?).or_default().push(file);
        }
        Ok(Index(index))
    }

    /// The first training that is the one of `cell`; see [`is_same`].
    ///
    /// # Errors
    /// None in practice; a spec always serialises.
    pub fn find(&self, cell: &Cell) -> Result<Option<&TrainingFile>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let alike = self.0.get(&content_of_cell(cell)?);
        Ok(alike.and_then(|files| files.iter().find(|file| is_computed_alike(file, cell))))
    }
}

/// Whether the plugins of `file` compute what those of `cell` compute.
fn is_computed_alike(file: &TrainingFile, cell: &Cell) -> bool {
    let known = |sum: &String| cell.inputs.iter().any(|(_, known)| known == sum);
    let mut plugins = file.inputs.iter().filter_map(|(name, sum)| Some((name.strip_prefix("plugin ")?, sum)));
    file.format == FORMAT
        && file.pallium == "0.1.0"
        && !file.spec.components().any(|component| CHANGED.contains(&component.id.as_str()))
        && plugins.all(|(plugin, sum)| OWN_PLUGINS.contains(&plugin) || known(sum))
}

fn content_of_file(file: &TrainingFile) -> Result<String> {
    content_of(&file.spec.clone().with_own_optimizer(), &file.inputs)
}

fn content_of_cell(cell: &Cell) -> Result<String> {
    content_of(&cell.spec, &cell.inputs.iter().cloned().collect())
}

/// Whether the metrics in the `results.csv` of `file` are those of `cell`.
pub fn has_same_metrics(file: &TrainingFile, cell: &Cell) -> bool {
    file.spec.metrics == cell.spec.metrics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn written(inputs: &[(&str, &str)]) -> TrainingFile {
        let mut file = TrainingFile::new(&testing::cell(0), &testing::trained(), "corrected");
        file.format = FORMAT;
        file.pallium = "0.1.0".into();
        file.inputs = inputs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        file
    }

    #[test]
    fn own_plugins_may_have_been_rebuilt_and_others_may_not() {
        let mut cell = testing::cell(0);
        let own = written(&[("format", "1"), ("host", "0.1.0"), ("plugin pallium-rnn", "old")]);
        assert!(is_same(&own, &cell).unwrap());
        let foreign = written(&[("plugin mylab", "abc")]);
        assert!(!is_same(&foreign, &cell).unwrap());
        cell.inputs.push(("component mylab.x".into(), "abc".into()));
        assert!(is_same(&foreign, &cell).unwrap());
    }

    #[test]
    fn spec_and_data_must_be_the_same() {
        let cell = testing::cell(0);
        assert!(!is_same(&written(&[("data mock.substrate", "abc")]), &cell).unwrap());
        assert!(!is_same(&written(&[]), &testing::cell(1)).unwrap());
        let mut renamed = written(&[]);
        renamed.spec.variant = "another".into();
        assert!(is_same(&renamed, &cell).unwrap());
        let newer = TrainingFile { pallium: "0.2.0".into(), ..written(&[]) };
        assert!(!is_same(&newer, &cell).unwrap());
    }
}
