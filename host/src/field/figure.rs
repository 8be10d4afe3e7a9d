//! A field's figure: connection and correlation by distance.

use pallium_core::{Error, Result};
use pallium_report::figure::canvas::{Anchor, Canvas, HAIRLINE, LINE, SMALL, TITLE};
use pallium_report::figure::chart::{Axis, Chart, Frame};
use pallium_report::figure::drawing::Drawing;
use pallium_report::figure::palette::{BLUE, Colour, VERMILLION};
use pallium_report::figure::{Figure, Panel};

use super::page::Page;
use super::relations::Bin;

/// Width in millimetres: two columns of a journal's page.
const WIDTH: f64 = 176.0;

/// Draws the field's figure as an SVG document.
///
/// # Errors
/// If the field has no positions, so that there are no distances.
pub fn svg(page: &Page) -> Result<String> {
    if page.profile.is_empty() {
        return Err(Error::input(format!("field `{}` has no positions to draw a figure of", page.name))
            .help("leave out --svg"));
    }
    let connected = |bin: &Bin| Some((100.0 * bin.probability?, 0.0));
    let correlation = |bin: &Bin| Some((bin.correlation?, bin.correlation_sd?));
    let panel = |name: &'static str, colour, of: fn(&Bin) -> Option<(f64, f64)>| Panel {
        name: name.into(),
        draw: Box::new(move |width| panel(width, page, name, colour, of)),
        wide: false,
    };
    let figure = Figure {
        id: "field".into(),
        title: format!("field {}: {} neurons", page.name, page.neurons),
        caption: String::new(),
        panels: vec![
            panel("connected (% of pairs)", BLUE, connected),
            panel("correlation (mean ± sd)", VERMILLION, correlation),
        ],
        small: false,
        data: None,
    };
    Ok(figure.svg(WIDTH))
}

/// One quantity by distance. `of` returns its value in a bin, and half the
/// length of its error bar.
fn panel(
    width: f64,
    page: &Page,
    quantity: &str,
    colour: Colour,
    of: fn(&Bin) -> Option<(f64, f64)>,
) -> Drawing {
    let middle = |bin: &Bin| 0.5 * (bin.from_um + bin.to_um);
    let points: Vec<(f64, f64, f64)> =
        page.profile.iter().filter_map(|bin| of(bin).map(|(value, sd)| (middle(bin), value, sd))).collect();
    let farthest = page.profile.last().map_or(1.0, |bin| bin.to_um);
    let low = points.iter().map(|(_, v, sd)| v - sd).fold(0.0, f64::min);
    let high = points.iter().map(|(_, v, sd)| v + sd).fold(0.0, f64::max);
    let high = if high > low { high + 0.05 * (high - low) } else { low + 1.0 };

    let canvas = Canvas::new(width, 0.68 * width);
    let frame = Frame { left: 14.0, top: 6.5, right: width - 3.0, bottom: canvas.height - 8.5 };
    canvas.text(&format!("field {}", page.name), (frame.left, 2.4), TITLE, Anchor::Start);
    canvas.note(&format!("{} neurons", page.neurons), (frame.right, 2.4), SMALL, Anchor::End);
    let chart = Chart::new(&canvas, frame, Axis::new(0.0, farthest, 6), Axis::new(low, high, 6));
    chart.name_axes("distance (µm)", quantity);
    for &(x, value, sd) in points.iter().filter(|p| p.2 > 0.0) {
        chart.line(&[(x, value - sd), (x, value + sd)], colour.fade(0.4), HAIRLINE, &[]);
    }
    let line: Vec<(f64, f64)> = points.iter().map(|p| (p.0, p.1)).collect();
    if line.len() > 1 {
        chart.line(&line, colour, LINE, &[]);
    }
    for point in line {
        canvas.circle(chart.at(point), 0.6, colour, true);
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use pallium_core::{Positions, Substrate};

    use super::super::page::{AsStored, page};
    use super::*;

    #[test]
    fn a_figure_is_complete_and_reproducible() {
        let mut field = Substrate { name: "a<b".into(), neurons: 3, ..Substrate::default() };
        field.positions = Some(Positions {
            values: array![[0.0, 0.0, 0.0], [100.0, 0.0, 0.0], [0.0, 200.0, 0.0]].into(),
            unit_um: [1.0; 3],
        });
        let drawn = |field: &Substrate| svg(&page(field, AsStored::default(), true, None)).unwrap();
        let bare = drawn(&field);
        assert!(bare.starts_with("<svg") && bare.trim_end().ends_with("</svg>"));
        assert!(bare.contains("a&lt;b") && !bare.contains("<circle"));
        field
            .matrices
            .insert("correlation".into(), array![[1.0, 0.3, 0.1], [0.3, 1.0, 0.0], [0.1, 0.0, 1.0]].into());
        let full = drawn(&field);
        assert_eq!(full, drawn(&field));
        assert_eq!(full.matches("<circle").count(), 3);
        field.positions = None;
        assert!(
            svg(&page(&field, AsStored::default(), false, None))
                .unwrap_err()
                .message
                .contains("no positions")
        );
    }
}
