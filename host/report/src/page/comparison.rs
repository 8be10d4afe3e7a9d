//! The page that compares run folders.

use maud::html;

use super::{Section, document, figure_html, table_html};
use crate::compare::Comparison;
use crate::figure::comparison::figure;

/// The page as HTML.
pub fn page(comparison: &Comparison) -> String {
    let shown = figure_html(&figure(comparison));
    let agreement = comparison.agreement_table();
    let sections = [
        Section {
            id: "runs",
            title: "Runs".into(),
            body: html! {
                (table_html(&comparison.runs_table()))
                @if !agreement.rows.is_empty() { (table_html(&agreement)) }
            },
        },
        Section {
            id: "accuracy",
            title: "Accuracy".into(),
            body: html! {
                (shown)
                @for task in &comparison.tasks { (table_html(&comparison.accuracy_table(task))) }
            },
        },
        Section {
            id: "organization",
            title: "Organization".into(),
            body: html! { @for task in &comparison.tasks { (table_html(&comparison.organization_table(task))) } },
        },
    ];
    let lead = html! { p.about { (comparison.reports.len()) " runs side by side." } };
    document(&comparison.names.join(" / "), &lead, &sections)
}
