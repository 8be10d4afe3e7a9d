//! The catalogue of components as a page of Markdown.

use itertools::Itertools;
use pallium_core::Role;

use super::{Parameter, parameters};
use crate::plugins::{Catalogue, Entry};

/// The beginning of the page.
const HEAD: &str = "# Components

All components that an experiment file can name. `pallium plugins show ID` prints one of these entries with an example.
This page is the output of `pallium plugins list --markdown`; a test compares them.
";

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
        of(role).for_each(|entry| page.push_str(&section(entry)));
    }
    page
}

fn heading(role: Role) -> &'static str {
    match role {
        Role::Substrate => "Substrates: neurons and the data recorded from them",
        Role::Weights => "Initial weights",
        Role::Constraint => "Constraints",
        Role::Task => "Tasks",
        Role::Model => "Models",
        Role::Metric => "Metrics",
        _ => "Others",
    }
}

fn section(entry: &Entry) -> String {
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
    let parameters = parameters(&entry.schema);
    if parameters.is_empty() {
        return text;
    }
    text.push_str("\n| parameter | value | default | |\n|---|---|---|---|\n");
    for parameter in &parameters {
        let (kind, default, about) = (value(parameter), default(parameter), cell(&parameter.about));
        text.push_str(&format!("| `{}` | {kind} | {default} | {about} |\n", parameter.name));
    }
    text
}

/// What may be said: a kind of value, or the values there are.
fn value(parameter: &Parameter) -> String {
    if parameter.allowed.is_empty() {
        return cell(&parameter.kind);
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

/// Text that Markdown shows as it is.
fn plain(text: &str) -> String {
    text.replace('*', "\\*").replace('<', "\\<")
}

/// The same in a table.
fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use pallium_core::{Component, Measure, Metric, Network, Registration, Result, Setting};

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
        fn measure(&mut self, _: &Network<'_>) -> Result<Vec<Measure>> {
            Ok(Vec::new())
        }
    }
    static SAMPLE: Registration = Registration::metric::<Sample>();

    #[test]
    fn an_entry_has_everything_and_tables_stay_whole() {
        let page = page(&Catalogue::in_process([&SAMPLE]));
        let expected = "\n## Metrics\n\n| component | what it does |\n|---|---|\n\
            | [`sample.metric-2`](#samplemetric-2) | measures \\|w\\| |\n\
            \n### sample.metric-2\n\nMeasures |w|.\nSource: this work. Plugin: `built in`.\n\
            \n| parameter | value | default | |\n|---|---|---|---|\n\
            | `which` | `\"sum\"` (The sum \\|w\\|), `\"star\"` (W\\*, that is) | `\"sum\"` | Which of them. |\n\
            | `number` | number, or none | none | A number. |\n";
        assert_eq!(page.strip_prefix(HEAD).unwrap(), expected);
    }
}
