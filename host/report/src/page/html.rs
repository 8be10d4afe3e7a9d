//! Tables and figures as HTML.

use itertools::Itertools;
use maud::{Markup, PreEscaped, html};

use crate::figure::Figure;
use crate::figure::palette::{Marker, series_style};
use crate::table::{Emphasis, Table, TableCell};

/// The name of the panel that names variants.
const LEGEND: &str = "legend: variants";

/// A table whose columns can be sorted.
pub fn table(table: &Table) -> Markup {
    html! {
        div.table id=(table.id) {
            div.bar {
                h3 { (table.title) }
                button.save type="button" data-csv=(table.id) { "CSV" }
            }
            div.scroll tabindex="0" role="region" aria-label=(table.title) {
                table {
                    thead { tr {
                        @for column in &table.columns {
                            th scope="col" class=[column.numeric.then_some("num")] {
                                button type="button" { (column.title) }
                            }
                        }
                    } }
                    tbody {
                        @for row in &table.rows {
                            // Rows that are not variants stay at the end.
                            tr data-last=[last(row)] {
                                @for (place, cell) in row.iter().enumerate() {
                                    @let class = class(cell.emphasis, table.columns.get(place).is_some_and(|c| c.numeric));
                                    @let note = (!cell.note.is_empty()).then_some(&cell.note);
                                    @let sort = cell.sort.map(|v| v.to_string());
                                    @let parts = parts(cell);
                                    @if place == 0 {
                                        th scope="row" class=(class) data-s=[sort] data-n=[parts] title=[note] {
                                            @if let Emphasis::Variant(place) = cell.emphasis {
                                                @let style = series_style(place);
                                                span class={ "swatch " (marker(style.marker)) (if style.open { " open" } else { "" }) }
                                                    style={ "background:" (style.colour.hex()) } {}
                                            }
                                            (cell.text)
                                        }
                                    } @else {
                                        td class=(class) data-s=[sort] data-n=[parts] title=[note] { (cell.text) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if !table.caption.is_empty() { p.caption { (table.caption) } }
        }
    }
}

/// The numbers of a cell for its CSV file: `=0.9;low=0.8;high=0.95`.
fn parts(cell: &TableCell) -> Option<String> {
    let numbers = cell.parts.iter().filter(|part| part.1.is_finite());
    (!cell.parts.is_empty()).then(|| numbers.map(|(name, value)| format!("{name}={value}")).join(";"))
}

fn last(row: &[TableCell]) -> Option<&'static str> {
    row.first().is_some_and(|c| c.emphasis == Emphasis::Faint).then_some("")
}

fn marker(marker: Marker) -> &'static str {
    match marker {
        Marker::Circle => "circle",
        Marker::Triangle => "triangle",
        Marker::Square => "square",
        Marker::Diamond => "diamond",
    }
}

fn class(emphasis: Emphasis, numeric: bool) -> String {
    let class = match emphasis {
        Emphasis::Plain | Emphasis::Variant(_) => "",
        Emphasis::Good => "good",
        Emphasis::Bad => "bad",
        Emphasis::Faint => "faint",
    };
    if numeric { format!("num {class}") } else { class.into() }
}

/// A figure with its caption and a button that saves it.
pub fn figure(figure: &Figure<'_>) -> Markup {
    html! {
        figure id={ "figure-" (figure.id) } class=[figure.small.then_some("small")] {
            div.bar {
                h3 { (figure.title) }
                button.save type="button" data-svg=(figure.id) { "SVG" }
            }
            div.panels { @for svg in figure.for_screen() { (PreEscaped(svg)) } }
            figcaption {
                (figure.caption)
                @if figure.panels.iter().any(|p| p.name == LEGEND) {
                    span.screen { " Click a name in the legend to highlight it." }
                }
            }
        }
    }
}
