//! A field's figure: connection and correlation by distance, as SVG.

use std::path::Path;

use pallium_core::{Error, Kind, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::page::Page;
use super::relations::Bin;

const SIZE: (u32, u32) = (900, 380);
const BLUE_INK: RGBColor = RGBColor(0x2b, 0x5c, 0x8a);
const RED_INK: RGBColor = RGBColor(0xb0, 0x3a, 0x2e);

/// Draws `page` as an SVG document.
///
/// # Errors
/// If the field has no positions, hence no distances to draw against.
pub fn svg(page: &Page) -> Result<String> {
    if page.profile.is_empty() {
        return Err(Error::input(format!("field `{}` has no positions to draw a figure of", page.name))
            .help("leave out --svg"));
    }
    let mut text = String::new();
    draw(page, &mut text).map_err(|e| Error::new(Kind::Bug, format!("drawing {}: {e}", page.name)))?;
    Ok(text)
}

/// Writes the figure into a file.
///
/// # Errors
/// As [`svg`], or if the file cannot be written.
pub fn write_svg(page: &Page, path: &Path) -> Result<()> {
    std::fs::write(path, svg(page)?).map_err(|e| Error::io(path, &e))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(page: &Page, text: &mut String) -> Drawn {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!("field {}: {} neurons", page.name, page.neurons);
    let root = root.titled(&title, ("sans-serif", 20))?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    panel(&left, page, "connected (% of pairs)", BLUE_INK, |bin| Some((100.0 * bin.probability?, 0.0)))?;
    panel(&right, page, "correlation (mean ± sd)", RED_INK, |bin| {
        Some((bin.correlation?, bin.correlation_sd?))
    })?;
    root.present()?;
    Ok(())
}

/// One quantity by distance: a value and how far it scatters.
fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    page: &Page,
    what: &str,
    ink: RGBColor,
    of: impl Fn(&Bin) -> Option<(f64, f64)>,
) -> Drawn {
    let middle = |bin: &Bin| 0.5 * (bin.from_um + bin.to_um);
    let points: Vec<(f64, f64, f64)> =
        page.profile.iter().filter_map(|bin| of(bin).map(|(value, sd)| (middle(bin), value, sd))).collect();
    let farthest = page.profile.last().map_or(1.0, |bin| bin.to_um);
    let low = points.iter().map(|(_, v, sd)| v - sd).fold(0.0, f64::min);
    let high = points.iter().map(|(_, v, sd)| v + sd).fold(0.0, f64::max);
    let high = if high > low { high + 0.05 * (high - low) } else { low + 1.0 };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..farthest, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("distance (µm)")
        .y_desc(what)
        .x_labels(6)
        .draw()?;
    if points.is_empty() {
        return Ok(());
    }
    chart.draw_series(
        points.iter().filter(|(_, _, sd)| *sd > 0.0).map(|&(x, v, sd)| {
            PathElement::new(vec![(x, v - sd), (x, v + sd)], ink.mix(0.4).stroke_width(1))
        }),
    )?;
    chart.draw_series(LineSeries::new(points.iter().map(|&(x, v, _)| (x, v)), ink.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&(x, v, _)| Circle::new((x, v), 3, ink.filled())))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use pallium_core::{Positions, Substrate};

    use super::super::page::page;
    use super::*;

    #[test]
    fn a_figure_is_whole_and_repeatable() {
        let mut field = Substrate { name: "a<b".into(), neurons: 3, ..Substrate::default() };
        field.positions = Some(Positions {
            values: array![[0.0, 0.0, 0.0], [100.0, 0.0, 0.0], [0.0, 200.0, 0.0]],
            unit_um: [1.0; 3],
        });
        let drawn = |field: &Substrate| svg(&page(field, Some(field), None)).unwrap();
        let bare = drawn(&field);
        assert!(bare.starts_with("<svg") && bare.trim_end().ends_with("</svg>"));
        assert!(bare.contains("a&lt;b") && !bare.contains("<circle"));
        field
            .matrices
            .insert("correlation".into(), array![[1.0, 0.3, 0.1], [0.3, 1.0, 0.0], [0.1, 0.0, 1.0]]);
        let full = drawn(&field);
        assert_eq!(full, drawn(&field));
        assert_eq!(full.matches("<circle").count(), 3);
        field.positions = None;
        assert!(svg(&page(&field, None, None)).unwrap_err().message.contains("no positions"));
    }
}
