//! Figures: panels that are drawn at whatever width they are wanted in, and
//! put together on a page of a journal or of a browser.

mod backend;
pub mod canvas;
pub mod font;
pub mod palette;
pub mod pdf;
pub mod png;

pub mod accuracy;
pub mod comparison;
pub mod curves;
pub mod effects;
pub mod matrices;
pub mod organization;
pub mod space;
pub mod sweep;
pub mod weights;

use std::fmt::Write as _;

use backend::UNITS;
pub use backend::escape;
use canvas::{Drawing, POINT};
use pallium_core::Result;

/// Widths of a journal's page, in millimetres.
pub const COLUMNS: [(&str, f64); 2] = [("one-column", 85.0), ("two-column", 176.0)];
/// Width of a panel on a screen, in millimetres: what a phone shows legibly.
const SCREEN: f64 = 85.0;
/// Between panels, in millimetres.
const GAP: f64 = 3.0;
/// Panels in a row of a two-column figure.
const IN_A_ROW: usize = 3;

/// What draws a panel at a width in millimetres.
pub type Draw<'a> = Box<dyn Fn(f64) -> Result<Drawing> + 'a>;

/// A part of a figure.
pub struct Panel<'a> {
    /// What it shows, for whoever cannot see it.
    pub name: String,
    /// What draws it.
    pub draw: Draw<'a>,
    /// Whether it goes across the whole figure, as legends do.
    pub wide: bool,
}

/// A figure.
pub struct Figure<'a> {
    /// Name of its files.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What its marks mean.
    pub caption: String,
    /// Its panels.
    pub panels: Vec<Panel<'a>>,
    /// Whether its panels may be small on a screen.
    pub small: bool,
}

impl Figure<'_> {
    /// Its panels as SVG for a page, with their names.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn for_screen(&self) -> Result<Vec<(String, String)>> {
        let each = |panel: &Panel<'_>| {
            let drawing = (panel.draw)(SCREEN)?;
            let (w, h) = (drawing.width * UNITS, drawing.height * UNITS);
            let name = escape(&panel.name);
            let class = if panel.wide { "panel legend" } else { "panel" };
            Ok((
                panel.name.clone(),
                format!(
                    "<svg class=\"{class}\" viewBox=\"0 0 {w:.0} {h:.0}\" role=\"img\" aria-label=\"{name}\">{}</svg>",
                    drawing.body
                ),
            ))
        };
        self.panels.iter().map(each).collect()
    }

    /// The whole figure as an SVG document of a width in millimetres.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn svg(&self, width: f64) -> Result<String> {
        let plain = self.panels.iter().filter(|p| !p.wide).count();
        let row = match width < 1.5 * SCREEN {
            // Small panels go in pairs even in one column.
            true if self.small && plain > 1 => 2,
            true => 1,
            false => plain.clamp(1, IN_A_ROW),
        };
        let column = (width - GAP * (row - 1) as f64) / row as f64;
        let mut body = String::new();
        let (mut top, mut tallest, mut place) = (0.0, 0.0_f64, 0);
        let letters = plain > 1 && !self.small;
        for (number, panel) in self.panels.iter().enumerate() {
            if place > 0 && (panel.wide || place == row) {
                (top, tallest, place) = (top + tallest + GAP, 0.0, 0);
            }
            let drawing = (panel.draw)(if panel.wide { width } else { column })?;
            let left = if panel.wide { 0.0 } else { place as f64 * (column + GAP) };
            let (x, y) = (left * UNITS, top * UNITS);
            // Writing into a string does not fail.
            let _ = write!(body, "<g transform=\"translate({x:.0} {y:.0})\">{}", drawing.body);
            if letters && !panel.wide {
                let letter = char::from(b'a' + (number % 26) as u8);
                let size = 9.0 * POINT * UNITS;
                let _ = write!(
                    body,
                    "<text x=\"0\" y=\"{size:.0}\" font-size=\"{size:.0}\" fill=\"currentColor\">{letter}</text>"
                );
            }
            body.push_str("</g>\n");
            tallest = tallest.max(drawing.height);
            if panel.wide {
                (top, tallest, place) = (top + tallest + GAP, 0.0, 0);
            } else {
                place += 1;
            }
        }
        let height = if place > 0 { top + tallest } else { (top - GAP).max(1.0) };
        let (w, h) = (width * UNITS, height * UNITS);
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height:.2}mm\" \
             viewBox=\"0 0 {w:.0} {h:.0}\" font-family=\"{}\" color=\"#000000\">\n<title>{}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n{body}</svg>\n",
            font::FAMILIES,
            escape(&self.title)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::canvas::{Canvas, Hold};
    use super::*;

    fn figure(panels: usize) -> Figure<'static> {
        let panel = |wide| Panel {
            name: "a panel".into(),
            draw: Box::new(|width| {
                let canvas = Canvas::new(width, 20.0);
                canvas.text(&format!("{width}"), (1.0, 1.0), 7.0, Hold::Start)?;
                Ok(canvas.finish())
            }),
            wide,
        };
        let mut all: Vec<Panel<'static>> = (0..panels).map(|_| panel(false)).collect();
        all.push(panel(true));
        Figure { id: "x".into(), title: "x & y".into(), caption: String::new(), panels: all, small: false }
    }

    #[test]
    fn one_column_stacks_and_two_columns_stand_side_by_side() {
        let one = figure(3).svg(85.0).unwrap();
        assert!(one.contains("width=\"85mm\" height=\"89.00mm\""), "{one}");
        let two = figure(3).svg(176.0).unwrap();
        assert!(two.contains("width=\"176mm\" height=\"43.00mm\""), "{two}");
        assert!(two.contains(">c</text>") && !two.contains(">d</text>"), "{two}");
        assert!(two.contains("<title>x &amp; y</title>"));
        // Five panels: three, two, and the legend.
        assert!(figure(5).svg(176.0).unwrap().contains("height=\"66.00mm\""));
    }

    #[test]
    fn pdfs_have_the_size_of_the_page_and_their_font() {
        let pdf = pdf::pdf(&figure(1).svg(85.0).unwrap()).unwrap();
        let text = String::from_utf8_lossy(&pdf);
        assert!(text.starts_with("%PDF-"));
        // 85 mm are 240.945 points.
        assert!(text.contains("/MediaBox [0 0 240.94"), "{}", &text[..text.len().min(2000)]);
        assert!(text.contains("Roboto"), "the font is not in it");
    }
}
