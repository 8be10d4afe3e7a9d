//! Drawings as SVG. Black is written as `currentColor`, so that a figure
//! follows the text colour of the page it is on.

use std::fmt::Write as _;

use super::drawing::{Anchor, BASELINE, Drawing, Element, Paint, Point, Stroke, Tag, Text};
use super::font;
use super::palette::{Colour, INK};

/// SVG units in a millimetre. Browsers lay out text badly at font sizes of a
/// few units, which millimetres would give.
const UNITS: f64 = 10.0;

/// A drawing as an SVG document: black on white, in millimetres.
pub fn document(drawing: &Drawing, title: &str) -> String {
    let Drawing { width, height, elements } = drawing;
    let (across, down) = (number(width * UNITS), number(height * UNITS));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}mm\" height=\"{height:.2}mm\" \
         viewBox=\"0 0 {across} {down}\" font-family=\"{}\" color=\"#000000\">\n<title>{}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n",
        font::FAMILIES,
        escape(title)
    );
    write_all(&mut svg, elements);
    svg.push_str("</svg>\n");
    svg
}

/// A drawing as an element of a page. `name` is its description for screen readers.
pub fn embedded(drawing: &Drawing, class: &str, name: &str) -> String {
    let (width, height) = (number(drawing.width * UNITS), number(drawing.height * UNITS));
    let mut svg = format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
        escape(name)
    );
    write_all(&mut svg, &drawing.elements);
    svg.push_str("</svg>");
    svg
}

/// Text for SVG and HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn write_all(svg: &mut String, elements: &[Element]) {
    for element in elements {
        write_element(svg, element);
        svg.push('\n');
    }
}

fn write_element(svg: &mut String, element: &Element) {
    // Writing into a string does not fail.
    let _ = match element {
        Element::Line { points, stroke } => {
            write!(svg, "<polyline points=\"{}\" fill=\"none\"{}/>", list(points), stroked(*stroke))
        }
        Element::Polygon { points, fill } => {
            write!(svg, "<polygon points=\"{}\"{}/>", list(points), filled(*fill))
        }
        Element::Rectangle { corner, size, fill } => {
            write!(svg, "<rect{}{}/>", area(*corner, *size), filled(*fill))
        }
        Element::Circle { centre, radius, paint } => {
            let [x, y, r] = [centre.0, centre.1, *radius].map(length);
            let paint = match paint {
                Paint::Fill(colour) => filled(*colour),
                Paint::Stroke(stroke) => format!(" fill=\"none\"{}", stroked(*stroke)),
            };
            write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\"{paint}/>")
        }
        Element::Text(text) => write_text(svg, text),
        Element::Image { corner, size, raster } => write!(
            svg,
            "<image{} preserveAspectRatio=\"none\" style=\"image-rendering:pixelated\" href=\"{}\"/>",
            area(*corner, *size),
            raster.address()
        ),
        Element::Group { shift, tag, elements } => {
            svg.push_str("<g");
            if *shift != (0.0, 0.0) {
                let _ = write!(svg, " transform=\"translate({} {})\"", length(shift.0), length(shift.1));
            }
            let _ = match tag {
                Some(Tag::Variant(number)) => write!(svg, " data-v=\"{number}\">"),
                Some(Tag::Title(title)) => write!(svg, "><title>{}</title>", escape(title)),
                None => write!(svg, ">"),
            };
            for element in elements {
                write_element(svg, element);
            }
            write!(svg, "</g>")
        }
    };
}

fn write_text(svg: &mut String, text: &Text) -> std::fmt::Result {
    let [x, y, size] = [text.at.0, text.at.1, text.size].map(length);
    let anchor = match text.anchor {
        Anchor::Start => "",
        Anchor::Middle => " text-anchor=\"middle\"",
        Anchor::End => " text-anchor=\"end\"",
    };
    let turn = if text.upwards { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
    let (fill, words) = (filled(text.colour), escape(&text.text));
    write!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" dy=\"{BASELINE}em\" font-size=\"{size}\"{anchor}{turn}{fill}>{words}</text>"
    )
}

/// A length in millimetres.
fn length(millimetres: f64) -> String {
    number(millimetres * UNITS)
}

/// A number of units with one decimal, a hundredth of a millimetre: finer than
/// print.
fn number(units: f64) -> String {
    let tenths = (units * 10.0).round() as i64;
    let sign = if tenths < 0 { "-" } else { "" };
    let (whole, rest) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest}") }
}

fn list(points: &[Point]) -> String {
    let each: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", length(*x), length(*y))).collect();
    each.join(" ")
}

fn area((x, y): Point, (width, height): Point) -> String {
    let [x, y, width, height] = [x, y, width, height].map(length);
    format!(" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"")
}

fn filled(colour: Colour) -> String {
    painted("fill", colour)
}

fn stroked(stroke: Stroke) -> String {
    let dash: Vec<String> = stroke.dash.iter().map(|d| length(*d)).collect();
    let dash =
        if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{}\"", dash.join(" ")) };
    format!(
        "{} stroke-width=\"{}\" stroke-linejoin=\"round\"{dash}",
        painted("stroke", stroke.colour),
        length(stroke.width)
    )
}

fn painted(what: &str, colour: Colour) -> String {
    let value = if colour.rgb == INK.rgb { "currentColor".into() } else { colour.hex() };
    let opacity =
        if colour.alpha < 1.0 { format!(" {what}-opacity=\"{:.3}\"", colour.alpha) } else { String::new() };
    format!(" {what}=\"{value}\"{opacity}")
}

#[cfg(test)]
mod tests {
    use super::super::canvas::{Anchor, Canvas};
    use super::super::palette::{BLUE, INK};
    use super::*;

    #[test]
    fn lengths_have_one_decimal() {
        assert_eq!(
            [0.0, 12.0, 12.34, -0.05, -0.04, -3.27].map(number),
            ["0", "12", "12.3", "-0.1", "0", "-3.3"]
        );
    }

    #[test]
    fn elements_are_written_in_tenths_of_millimetres_and_text_is_escaped() {
        let canvas = Canvas::new(85.0, 10.0);
        canvas.text("a<b & \"c\"", (1.0, 2.0), 7.5, Anchor::Start);
        canvas.titled("run <1>", || canvas.circle((42.5, 5.0), 0.5, INK, true));
        canvas.variant(3, || canvas.dashed(&[(0.0, 0.125), (1.0, 2.0)], BLUE.fade(0.5), 0.3, &[0.8, 0.4]));
        let svg = document(&canvas.finish(), "x & y");
        for part in [
            "width=\"85mm\" height=\"10.00mm\" viewBox=\"0 0 850 100\"",
            "<title>x &amp; y</title>",
            "a&lt;b &amp; &quot;c&quot;",
            "<title>run &lt;1&gt;</title><circle cx=\"425\" cy=\"50\" r=\"5\" fill=\"currentColor\"/>",
            "<g data-v=\"3\"><polyline points=\"0,1.3 10,20\" fill=\"none\" stroke=\"#0072B2\" \
             stroke-opacity=\"0.500\" stroke-width=\"3\" stroke-linejoin=\"round\" stroke-dasharray=\"8 4\"/></g>",
        ] {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
    }
}
