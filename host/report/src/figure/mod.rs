//! Figures: panels that can be drawn at any width, arranged on the page of a
//! journal or of a browser.
//!
//! A figure draws on a [`canvas`], mostly through a [`chart`]; the resulting
//! [`drawing`] is written by [`svg`] and by [`pdf`]. To add a figure, write its
//! file here and name it in [`figures`](crate::figures).

pub mod canvas;
pub mod chart;
pub mod drawing;
pub mod font;
pub mod palette;
pub mod pdf;
pub mod raster;
pub mod svg;

pub mod accuracy;
pub mod comparison;
pub mod criterion;
pub mod curves;
pub mod effects;
pub mod likeness;
pub mod matrices;
pub mod organization;
pub mod space;
pub mod spectra;
pub mod sweep;
pub mod tested;
pub mod trajectories;
pub mod weights;

use canvas::{Anchor, Canvas};
use drawing::{Drawing, Element};

/// Widths of a journal's page, in millimetres.
pub const COLUMNS: [(&str, f64); 2] = [("one-column", 85.0), ("two-column", 176.0)];
/// Width of a panel on a screen, in millimetres: legible on a phone.
const SCREEN: f64 = 85.0;
/// Distance between panels, in millimetres.
const GAP: f64 = 3.0;
/// Panels in a row of a two-column figure.
const IN_A_ROW: usize = 3;
/// Size of a panel's letter, in points.
const LETTER: f64 = 9.0;

/// Draws a panel at a width in millimetres.
pub type Draw<'a> = Box<dyn Fn(f64) -> Drawing + 'a>;

/// A part of a figure.
pub struct Panel<'a> {
    /// Its description for screen readers.
    pub name: String,
    /// Draws it.
    pub draw: Draw<'a>,
    /// Whether it spans the figure, as legends do.
    pub wide: bool,
}

/// A figure.
pub struct Figure<'a> {
    /// The name of its files.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What its marks mean.
    pub caption: String,
    /// Its panels.
    pub panels: Vec<Panel<'a>>,
    /// Whether its panels may be small on a screen.
    pub small: bool,
    /// The numbers that it shows, as CSV; `None` if they are those of the run folder's
    /// tables.
    pub data: Option<String>,
}

/// A table as CSV.
pub fn csv_text<R>(head: &[&str], rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut file = csv::Writer::from_writer(Vec::new());
    // Writing to memory fails only for rows of different lengths, which would be a bug.
    let mut written = file.write_record(head);
    for row in rows {
        written = written.and_then(|()| file.write_record(row));
    }
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8(file.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// The shortest text that reads back as the same number; empty if it is undefined.
pub fn number(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { String::new() }
}

impl Figure<'_> {
    /// Its panels as SVG elements of a page.
    pub fn for_screen(&self) -> Vec<String> {
        let class = |wide| if wide { "panel legend" } else { "panel" };
        self.panels.iter().map(|p| svg::embedded(&(p.draw)(SCREEN), class(p.wide), &p.name)).collect()
    }

    /// The complete figure at a width in millimetres.
    pub fn drawing(&self, width: f64) -> Drawing {
        let narrow = self.panels.iter().filter(|p| !p.wide).count();
        let row = match width < 1.5 * SCREEN {
            // Small panels go in pairs even in one column.
            true if self.small && narrow > 1 => 2,
            true => 1,
            false => narrow.clamp(1, IN_A_ROW),
        };
        let column = (width - GAP * (row - 1) as f64) / row as f64;
        let letters = narrow > 1 && !self.small;
        let (mut top, mut tallest, mut place) = (0.0, 0.0_f64, 0);
        let mut elements = Vec::new();
        for (number, panel) in self.panels.iter().enumerate() {
            if place > 0 && (panel.wide || place == row) {
                (top, tallest, place) = (top + tallest + GAP, 0.0, 0);
            }
            let mut drawing = (panel.draw)(if panel.wide { width } else { column });
            let left = if panel.wide { 0.0 } else { place as f64 * (column + GAP) };
            if letters && !panel.wide {
                drawing.elements.extend(letter(number));
            }
            elements.push(Element::Group { shift: (left, top), tag: None, elements: drawing.elements });
            tallest = tallest.max(drawing.height);
            if panel.wide {
                (top, tallest, place) = (top + tallest + GAP, 0.0, 0);
            } else {
                place += 1;
            }
        }
        let height = if place > 0 { top + tallest } else { (top - GAP).max(1.0) };
        Drawing { width, height, elements }
    }

    /// The complete figure as an SVG document of a width in millimetres.
    pub fn svg(&self, width: f64) -> String {
        svg::document(&self.drawing(width), &self.title)
    }

    /// The complete figure as a PDF of a width in millimetres.
    pub fn pdf(&self, width: f64) -> Vec<u8> {
        pdf::document(&self.drawing(width), &self.title)
    }
}

/// The letter of a panel, in its upper left corner.
fn letter(number: usize) -> Vec<Element> {
    let canvas = Canvas::new(LETTER, LETTER);
    let letter = char::from(b'a' + (number % 26) as u8);
    let middle = (1.0 - drawing::BASELINE) * LETTER * canvas::POINT;
    canvas.text(&letter.to_string(), (0.0, middle), LETTER, Anchor::Start);
    canvas.finish().elements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(panels: usize) -> Figure<'static> {
        let panel = |wide| Panel {
            name: "a panel".into(),
            draw: Box::new(|width| {
                let canvas = Canvas::new(width, 20.0);
                canvas.text(&format!("{width}"), (1.0, 1.0), 7.0, Anchor::Start);
                canvas.finish()
            }),
            wide,
        };
        let mut all: Vec<Panel<'static>> = (0..panels).map(|_| panel(false)).collect();
        all.push(panel(true));
        Figure {
            id: "x".into(),
            title: "x & y".into(),
            caption: String::new(),
            panels: all,
            small: false,
            data: None,
        }
    }

    #[test]
    fn one_column_stacks_and_two_columns_stand_side_by_side() {
        let one = figure(3).svg(85.0);
        assert!(one.contains("width=\"85mm\" height=\"89.00mm\""), "{one}");
        let two = figure(3).svg(176.0);
        assert!(two.contains("width=\"176mm\" height=\"43.00mm\""), "{two}");
        assert!(two.contains(">c</text>") && !two.contains(">d</text>"), "{two}");
        assert!(two.contains("<title>x &amp; y</title>"));
        // Five panels: three, two, and the legend.
        assert!(figure(5).svg(176.0).contains("height=\"66.00mm\""));
    }

    #[test]
    fn pdfs_have_the_size_of_the_page_and_their_font() {
        let pdf = figure(1).pdf(85.0);
        let text = String::from_utf8_lossy(&pdf);
        assert!(text.starts_with("%PDF-"));
        // 85 mm are 240.945 points.
        assert!(text.contains("/MediaBox [0 0 240.94"), "{}", &text[..text.len().min(2000)]);
        assert!(text.contains("Roboto"), "the font is not embedded");
    }
}
