//! The sections of a report, in their order.

use maud::{Markup, PreEscaped, html};
use pallium_core::Result;

use super::Section;
use super::html::{figure, table};
use crate::effects::MAX_PAIRED_VARIANTS;
use crate::figure::{Figure, space};
use crate::network::MAX_VARIANTS;
use crate::published::{RUNS, SOURCE};
use crate::text::{date, duration, measure_name};
use crate::{Material, Report};
use pallium_profile as profile;
use pallium_record::outcome::Status;

/// All sections.
///
/// # Errors
/// If the built-in profiles cannot be read, which is a bug.
pub fn all(report: &Report, material: &Material, figures: &[Figure<'_>]) -> Result<Vec<Section>> {
    let section = |id, title: &str, body| Section { id, title: title.into(), body };
    let drawn = |prefix: &str| html! { @for one in own(figures, prefix) { (figure(one)) } };
    let tasks = 0..report.run.tasks.len();
    let tables = |make: &dyn Fn(usize) -> crate::table::Table| {
        html! { @for task in tasks.clone() { (table(&make(task))) } }
    };
    let mut sections = vec![
        section("short", "In short", short(report)),
        section(
            "accuracy",
            "Accuracy",
            html! {
                (drawn("accuracy"))
                (drawn("sweep"))
                (tables(&|t| report.accuracy_table(t)))
            },
        ),
        section(
            "effects",
            "Effects",
            html! {
                (drawn("effects"))
                (tables(&|t| report.effects_table(t)))
                @if report.statistics.iter().any(|s| !s.equivalences.is_empty()) {
                    (tables(&|t| report.equivalence_table(t)))
                }
                details {
                    summary { "Do variants differ at all?" }
                    (tables(&|t| report.omnibus_table(t)))
                }
                @if report.statistics.iter().any(|s| !s.points.is_empty()) {
                    details {
                        summary { "From point to point" }
                        (tables(&|t| report.points_table(t)))
                    }
                }
                @if report.run.variants.len() > MAX_PAIRED_VARIANTS {
                    p.missing {
                        "Pairwise tests are omitted above " (MAX_PAIRED_VARIANTS) " variants; " code { "pallium stats --family" }
                        " tests the pairs that you choose."
                    }
                } @else {
                    details {
                        summary { "All pairs of variants" }
                        (tables(&|t| report.pairs_table(t)))
                    }
                }
            },
        ),
    ];
    if !material.curves.is_empty() {
        let known = || tasks.clone().filter(|&task| report.learning[task].is_known());
        let body = html! {
            (drawn("learning"))
            @for task in known() { (table(&report.learning_table(task))) }
            @for task in known() {
                @let effects = report.learning_effects_table(task);
                @if !effects.rows.is_empty() { (table(&effects)) }
            }
        };
        sections.push(section("learning", "Learning", body));
    }
    if !report.tested.curves.is_empty() || !report.tested.tables.is_empty() {
        let body = html! {
            (drawn("tested"))
            details {
                summary { "Tables" }
                @for tested in &report.tested.tables { (table(tested)) }
            }
        };
        sections.push(section("tested", "Tests of finished networks", body));
    }
    if !own(figures, "development").is_empty() {
        sections.push(section("development", "Over training", drawn("development")));
    }
    if !report.likeness.tables.is_empty() {
        let body = html! {
            (drawn("likeness"))
            @for one in &report.likeness.tables { (table(one)) }
        };
        sections.push(section("likeness", "Likeness", body));
    }
    if !report.measures.is_empty() {
        sections.push(section(
            "organization",
            "Organization",
            html! {
                @for task in report.run.whole_tasks() { (table(&report.organization_table(task))) }
                (folded(&own(figures, "organization")))
            },
        ));
    }
    if !material.networks.is_empty() {
        let matrices = folded(&own(figures, "matrices"));
        let body = html! {
            @if report.run.variants.len() > MAX_VARIANTS {
                p.missing { "Matrices, weights and neurons are shown for the first " (MAX_VARIANTS) " variants." }
            }
            (matrices)
        };
        sections.push(section("matrices", "Matrices", body));
        sections.push(section("weights", "Weights", drawn("weights")));
        let dynamics = html! { (drawn("trajectories")) (folded(&own(figures, "spectra"))) };
        sections.push(section("dynamics", "Dynamics", dynamics));
        sections.push(section("space", "Neurons", neurons(report, material)));
    }
    sections.push(section("cells", "Not counted", not_counted(report)));
    sections.push(section("run", "What was run", what_was_run(report)?));
    sections.push(section("methods", "Methods", methods(report)));
    Ok(sections)
}

fn own<'a, 'b>(figures: &'b [Figure<'a>], prefix: &str) -> Vec<&'b Figure<'a>> {
    figures.iter().filter(|f| f.id.starts_with(prefix)).collect()
}

/// Figures that can be folded; only the first is open, so that the page stays short.
fn folded(figures: &[&Figure<'_>]) -> Markup {
    html! {
        @for (place, one) in figures.iter().enumerate() {
            details open[place == 0] {
                summary { (one.title) }
                (figure(one))
            }
        }
    }
}

fn short(report: &Report) -> Markup {
    html! {
        ul.short { @for sentence in report.in_short() { li { (sentence) } } }
        (table(&report.overview()))
        @let steps = report.steps_table();
        @if !steps.rows.is_empty() { (table(&steps)) }
    }
}

fn neurons(report: &Report, material: &Material) -> Markup {
    if material.places.iter().all(|place| place.is_err()) {
        let why = material.places.iter().find_map(|place| place.as_ref().err());
        return html! {
            p.missing { "The positions of the neurons are unknown: " (why.map_or("", String::as_str)) "." }
        };
    }
    let data = space::data(&report.run, &material.networks, &material.places).to_string();
    // Text in a script element must not look like the element's end.
    let data = data.replace('<', "\\u003c");
    html! {
        figure id="figure-space" {
            div.bar {
                h3 { "Neurons in space" }
                button.save type="button" data-svg="space" { "SVG" }
            }
            div.controls {
                label { "Network " select id="space-network" {} }
                label { input type="checkbox" id="space-spin"; " turn" }
                button type="button" id="space-reset" { "Reset view" }
            }
            div.panels.one {
                svg.space id="space-view" viewBox="0 0 1000 1000" tabindex="0" role="img"
                    aria-label="Neurons in space. Arrow keys turn the picture, plus and minus zoom." {}
            }
            p #space-about .caption aria-live="polite" {}
            figcaption {
                (space::caption(&material.networks)) " Drag or press the arrow keys to turn it; pinch, scroll, or press + and − to zoom; press 0 to reset."
            }
            noscript { p { "The picture can be turned in a browser with JavaScript." } }
            script type="application/json" id="space-data" { (PreEscaped(data)) }
        }
    }
}

fn not_counted(report: &Report) -> Markup {
    let uncounted = report.uncounted_table();
    html! {
        @if uncounted.rows.is_empty() {
            p { "Every finished training ended normally and has every measure." }
        } @else {
            (table(&uncounted))
        }
        @if report.run.missing > 0 {
            p { (report.run.missing) " of " (report.run.manifest.cells) " trainings have not run yet." }
        }
        @if report.run.stale > 0 {
            p {
                (report.run.stale) " folders in cells/ are not counted: their trainings belong to another version of \
                the experiment, its plugins or its data, or finished after results.csv was written."
            }
        }
    }
}

fn what_was_run(report: &Report) -> Result<Markup> {
    let run = &report.run;
    let manifest = &run.manifest;
    let example = run.example();
    let switches = &profile::profiles()?.switches;
    let usual = |name: &str| switches.iter().find(|s| s.name == name)?.values.get(&manifest.profile);
    let meaning = |name: &str, value: &str| {
        let switch = switches.iter().find(|s| s.name == name)?;
        let value = switch.alternatives.get(value).map_or_else(String::new, |v| format!(": {v}"));
        Some(format!("{}{value}", switch.about))
    };
    let short = |sum: &str| sum.chars().take(12).collect::<String>();
    let mut notes: Vec<&String> =
        run.trainings.iter().filter_map(|c| c.about.as_ref()).flat_map(|a| &a.notes).collect();
    notes.sort();
    notes.dedup();
    let facts: Vec<(&str, String)> = [
        ("experiment", manifest.file.display().to_string()),
        ("overrides", manifest.overrides.join(", ")),
        ("profile", manifest.profile.clone()),
        ("seed", manifest.seed.to_string()),
        ("runs", manifest.runs.to_string()),
        (
            "neurons",
            example.map_or_else(String::new, |e| format!("{} of {}", e.model_info.neurons, run.field())),
        ),
        (
            "training",
            example.map_or_else(String::new, |e| {
                let t = &e.spec.training;
                format!(
                    "{} epochs of {} trials in batches of {}; {} validation and {} test trials",
                    t.epochs, t.trials, t.batch, t.validation, t.test
                )
            }),
        ),
        (
            "model",
            example.map_or_else(String::new, |e| {
                format!("{}, {} parameters", e.spec.model.id, e.model_info.parameters)
            }),
        ),
        ("last started", date(manifest.started)),
        ("computing time", format!("{}, summed over all trainings", duration(run.seconds()))),
        (
            "machine",
            format!(
                "{} ({}, {} cores, {})",
                manifest.machine.name.as_deref().unwrap_or("unnamed"),
                manifest.machine.cpu.as_deref().unwrap_or("unknown processor"),
                manifest.machine.cores,
                manifest.machine.system
            ),
        ),
        ("Pallium", format!("{}, core {}", manifest.pallium, manifest.core)),
        ("folder", run.root.display().to_string()),
    ]
    .into_iter()
    .filter(|(_, text)| !text.is_empty())
    .collect();
    Ok(html! {
        dl.facts { @for (name, text) in &facts { dt { (name) } dd { (text) } } }
        (table(&report.variants_table()))
        @if !notes.is_empty() {
            h3 { "Notes on the data" }
            ul { @for note in notes { li { (note) } } }
        }
        details {
            summary { "Switches" }
            dl.facts {
                @for (name, value) in &manifest.switches {
                    dt { (name) }
                    dd {
                        @if usual(name).is_some_and(|u| u != value) { strong { (value) } " (set in the experiment)" } @else { (value) }
                        @if let Some(about) = meaning(name, value) { br; span.faint { (about) } }
                    }
                }
            }
        }
        details {
            summary { "Plugins and data" }
            dl.facts {
                @for plugin in &manifest.plugins {
                    dt { (plugin.name) } dd { (plugin.version) ", SHA-256 " code { (short(&plugin.sha256)) "…" } }
                }
                @for (component, sums) in &manifest.data {
                    dt { "data of " (component) }
                    dd { @for sum in sums { "SHA-256 " code { (short(sum)) "…" } " " } }
                }
            }
        }
        details {
            summary { "The experiment, resolved" }
            pre { (run.experiment) }
        }
    })
}

fn methods(report: &Report) -> Markup {
    let diverged = report.run.count(|s| *s == Status::Diverged);
    html! {
        dl.facts {
            dt { "Runs without a value" }
            dd {
                "Diverged and failed runs are counted and listed, and left out of means"
                @if diverged > 0 { " (here " (diverged) " diverged)" }
                "."
            }
            dt { "Intervals" } dd { (report.accuracy_caption()) }
            dt { "Tests" }
            dd {
                "Mann–Whitney (two-sided; exact for small samples without ties), Holm 1979; planned contrasts of ranks \
                for factors; log-rank tests of the trials to the criterion; Cliff's δ (1993); Spearman's ρ. The same as in "
                code { "pallium stats" } "."
            }
            dt { "Representative runs" }
            dd { "Matrices, weights and neurons show, for each variant and task, the run of median accuracy (the lower of two)." }
            dt { "Communities" }
            dd {
                "Magnitudes above their 0.9 quantile, without self-loops, undirected; greedy modularity (Clauset, Newman, \
                Moore 2004)."
            }
            @if !report.measures.is_empty() {
                dt { "Measures" }
                dd {
                    (report.measures.iter().map(|m| measure_name(m)).collect::<Vec<_>>().join(", "))
                    @if report.other_measures > 0 {
                        "; " (report.other_measures) " further ones are in results.csv and not shown"
                    }
                }
            }
            @if !report.papers().is_empty() {
                dt { "Published values" }
                dd {
                    (SOURCE) ", " (report.papers().iter().map(|p| p.name()).collect::<Vec<_>>().join(", ")) ", " (RUNS) " runs of each \
                    variant on each task. A variant belongs to the study if its weights, geometry and \
                    constraints do, whatever its name; it is compared if nothing else differs. A result agrees \
                    if both diverged, if the 95 % t intervals overlap, or if an accuracy differs by at most 0.02 \
                    (all published runs share one data set, whose composition alone moves an accuracy by \
                    ±0.014) and another measure by at most 10 %."
                }
            }
        }
    }
}
