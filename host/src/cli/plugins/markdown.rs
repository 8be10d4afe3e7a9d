//! The catalogue of components as a page of Markdown.
//!
//! Components of a family often have the same parameter with the same default
//! (a task's `dt_ms`). Such a parameter is documented once for the family.

use std::collections::BTreeMap;

use itertools::Itertools;
use pallium_core::Role;

use super::parameters::{Parameter, parameters};
use crate::plugins::{Catalogue, Entry};

/// The beginning of the page.
const HEAD: &str = "# Components

All components that an experiment file can name. `pallium plugins show ID` prints one of these entries with an example.
Parameters that components of a family share are listed once, before the first of them.

This page is the output of `pallium plugins list --markdown`; a test compares them.
";

/// The beginning of a table of parameters.
const PARAMETERS: &str = "\n| parameter | value | default | |\n|---|---|---|---|\n";

/// The page of a catalogue: components by role, with their parameters.
pub(super) fn page(catalogue: &Catalogue) -> String {
    let mut page = HEAD.to_owned();
    let of = |role: Role| catalogue.entries().filter(move |entry| entry.role == role);
    for role in Role::ALL.into_iter().filter(|role| of(*role).next().is_some()) {
        page.push_str(&format!("\n## {}\n\n| component | what it does |\n|---|---|\n", heading(role)));
        for entry in of(role) {
            // GitHub's anchor of a heading keeps letters, digits and hyphens.
            let anchor: String = entry.id.chars().filter(|c| *c != '.').collect();
            page.push_str(&format!("| [`{}`](#{anchor}) | {} |\n", entry.id, cell(&entry.about)));
        }
        for (family, entries) in &of(role).chunk_by(|entry| family(&entry.id).to_owned()) {
            let entries = entries.collect_vec();
            let rows = entries.iter().map(|entry| rows(entry)).collect_vec();
            let shared = shared(&rows);
            // A heading is an anchor, so it names the role too.
            let title = format!("{family}: shared {} parameters", role.name());
            if !shared.is_empty() {
                page.push_str(&format!(
                    "\n### {title}\n{PARAMETERS}{}",
                    shared.iter().map(|row| &row.text).join("")
                ));
            }
            let anchor = title.replace(':', "").replace(' ', "-");
            for (entry, rows) in entries.iter().zip(&rows) {
                page.push_str(&section(entry, rows, &shared, &anchor));
            }
        }
    }
    page
}

/// The family of a component: its id up to the dot.
fn family(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

/// A parameter as a row of a table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Row {
    name: String,
    text: String,
}

fn rows(entry: &Entry) -> Vec<Row> {
    let row = |parameter: &Parameter| {
        let (kind, default, about) = (value(parameter), default(parameter), cell(&parameter.about));
        let text = format!("| `{}` | {kind} | {default} | {about} |\n", parameter.name);
        Row { name: parameter.name.clone(), text }
    };
    parameters(&entry.schema).iter().map(row).collect()
}

/// Rows that several components share, in order of first use; among rows with
/// one name, the most frequent.
fn shared(all: &[Vec<Row>]) -> Vec<Row> {
    let counts = all.iter().flatten().counts();
    let mut best: BTreeMap<&str, (usize, &Row)> = BTreeMap::new();
    for (row, count) in counts.iter().filter(|(_, count)| **count > 1).sorted() {
        let known = best.entry(&row.name).or_insert((*count, row));
        if *count > known.0 {
            *known = (*count, row);
        }
    }
    all.iter().flatten().unique().filter(|row| best.values().any(|(_, b)| b == row)).cloned().collect()
}

fn heading(role: Role) -> &'static str {
    match role {
        Role::Substrate => "Substrates: neurons and the data recorded from them",
        Role::Weights => "Initial weights",
        Role::Constraint => "Constraints",
        Role::Task => "Tasks",
        Role::Model => "Models",
        Role::Optimizer => "Optimizers",
        Role::Metric => "Metrics",
        _ => "Others",
    }
}

fn section(entry: &Entry, rows: &[Row], shared: &[Row], anchor: &str) -> String {
    let plugin = entry.plugin.as_ref().map_or("built in", |plugin| &plugin.name);
    let mut about = entry.about.chars();
    let about =
        about.next().map(|first| first.to_uppercase().to_string() + about.as_str()).unwrap_or_default();
    let mut text = format!(
        "\n### {}\n\n{}.\nSource: {}. Plugin: `{plugin}`.\n",
        entry.id,
        plain(&about),
        plain(&entry.cite)
    );
    let (common, own): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| shared.contains(row));
    if !own.is_empty() {
        text.push_str(PARAMETERS);
        own.iter().for_each(|row| text.push_str(&row.text));
    }
    if !common.is_empty() {
        let names = common.iter().map(|row| format!("`{}`", row.name)).join(", ");
        text.push_str(&format!("\n[Shared](#{anchor}): {names}.\n"));
    }
    text
}

/// The kind of value, or the allowed values.
fn value(parameter: &Parameter) -> String {
    if parameter.allowed.is_empty() {
        return cell(&parameter.kind.replace("` or table of `", "`, `"));
    }
    let mut allowed = parameter.allowed.iter().map(|(value, about)| {
        let about = about.trim_end_matches('.');
        if about.is_empty() { format!("`{value}`") } else { format!("`{value}` ({})", cell(about)) }
    });
    let mut all = allowed.join(", ");
    if parameter.kind.ends_with("or none") {
        all.push_str(", or none");
    }
    all
}

fn default(parameter: &Parameter) -> String {
    match &parameter.default {
        serde_json::Value::Null => "none".into(),
        value => format!("`{}`", value.to_string().replace('|', "\\|")),
    }
}

/// Escapes text for Markdown.
fn plain(text: &str) -> String {
    text.replace('*', "\\*").replace('<', "\\<")
}

/// Escapes text for a Markdown table.
fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use pallium_core::{Component, Measures, Metric, Network, Registration, Result, Setting};

    use super::*;

    pallium_core::choice! {
        /// Which.
        pub enum Which {
            /// The sum |w|.
            Sum = "sum",
            /// W*, that is.
            Star = "star",
        }
    }
    pallium_core::params! {
        /// Some.
        pub struct Params {
            /// Which
            /// of them.
            which: Which = Which::Sum,
            /// A number.
            number: Option<f64> = None,
        }
    }
    struct Sample;
    impl Component for Sample {
        const ID: &'static str = "sample.metric-2";
        const ABOUT: &'static str = "measures |w|";
        const CITE: &'static str = "this work";
        type Params = Params;
        fn build(_: Params, _: &Setting<'_>) -> Result<Self> {
            Ok(Sample)
        }
    }
    impl Metric for Sample {
        fn measure(&mut self, _: &Network<'_>) -> Result<Measures> {
            Ok(Measures::default())
        }
    }
    static SAMPLE: Registration = Registration::metric::<Sample>();

    struct Other;
    impl Component for Other {
        const ID: &'static str = "sample.other";
        const ABOUT: &'static str = "measures w";
        const CITE: &'static str = "this work";
        type Params = Params;
        fn build(_: Params, _: &Setting<'_>) -> Result<Self> {
            Ok(Other)
        }
    }
    impl Metric for Other {
        fn measure(&mut self, _: &Network<'_>) -> Result<Measures> {
            Ok(Measures::default())
        }
    }
    static OTHER: Registration = Registration::metric::<Other>();

    #[test]
    fn parameters_of_a_family_are_listed_once() {
        let page = page(&Catalogue::in_process([&SAMPLE, &OTHER]).unwrap());
        assert!(page.contains("\n### sample: shared metric parameters\n\n| parameter"), "{page}");
        assert_eq!(page.matches("| `number` | number, or none | none | A number. |").count(), 1);
        let line = "\n[Shared](#sample-shared-metric-parameters): `which`, `number`.\n";
        assert_eq!(page.matches(line).count(), 2);
    }

    #[test]
    fn entries_are_complete_and_tables_stay_valid() {
        let page = page(&Catalogue::in_process([&SAMPLE]).unwrap());
        let expected = "\n## Metrics\n\n| component | what it does |\n|---|---|\n\
            | [`sample.metric-2`](#samplemetric-2) | measures \\|w\\| |\n\
            \n### sample.metric-2\n\nMeasures |w|.\nSource: this work. Plugin: `built in`.\n\
            \n| parameter | value | default | |\n|---|---|---|---|\n\
            | `which` | `\"sum\"` (The sum \\|w\\|), `\"star\"` (W\\*, that is) | `\"sum\"` | Which of them. |\n\
            | `number` | number, or none | none | A number. |\n";
        assert_eq!(page.strip_prefix(HEAD).unwrap(), expected);
    }
}
