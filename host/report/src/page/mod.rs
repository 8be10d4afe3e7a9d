//! The report page: one self-contained HTML file.

pub mod comparison;
mod html;
mod sections;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use pallium_core::Result;

use super::figure::Figure;
use super::{Material, Report};

/// The page may load nothing over a network.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:";
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
const SPACE_SCRIPT: &str = include_str!("space.js");

/// A section of a page.
pub struct Section {
    /// Its anchor.
    pub id: &'static str,
    /// Its heading, also in the table of contents.
    pub title: String,
    /// Its content.
    pub body: Markup,
}

/// A report as a page.
///
/// # Errors
/// Only because of a bug.
pub fn page(report: &Report, material: &Material, figures: &[Figure<'_>]) -> Result<String> {
    let run = &report.run;
    let lead = html! {
        @if !run.about.is_empty() { p.about { (run.about) } }
    };
    let title = run.manifest.experiment.clone();
    Ok(document(&title, &lead, &sections::all(report, material, figures)?))
}

/// Sections as a complete page.
pub fn document(title: &str, lead: &Markup, sections: &[Section]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "Pallium " (pallium_record::VERSION) };
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) " – Pallium" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the results" }
                header {
                    div.top {
                        h1 { (title) }
                        button.theme type="button" id="theme" aria-label="Light or dark" { "◐" }
                    }
                    (lead)
                }
                nav aria-label="Contents" {
                    @for section in sections { a href={ "#" (section.id) } { (section.title) } }
                }
                main id="main" {
                    @for section in sections {
                        section id=(section.id) aria-labelledby={ "h-" (section.id) } {
                            h2 id={ "h-" (section.id) } { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer {
                    "Made by Pallium " (pallium_record::VERSION) ". This page is a single file and loads nothing from a network."
                }
                script { (PreEscaped(SCRIPT)) }
                script { (PreEscaped(SPACE_SCRIPT)) }
            }
        }
    };
    page.into_string()
}

pub use html::{figure as figure_html, table as table_html};
