//! A drawing in millimetres, and a chart on it.

use pallium_core::{Error, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, KeyPointWeight, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::backend::{Backend, Sink, UNITS, escape};
use super::font;
use super::palette::{INK, Look, Mark, ink};

/// Size of text, in points.
pub const TEXT: f64 = 7.5;
/// Size of small text, in points.
pub const SMALL: f64 = 6.5;
/// Millimetres of a point.
pub const POINT: f64 = 25.4 / 72.0;
/// Width of a line that carries data, in millimetres.
pub const LINE: f64 = 0.3;
/// Width of a line that does not.
pub const HAIR: f64 = 0.15;

/// A finished drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Millimetres.
    pub width: f64,
    /// Millimetres.
    pub height: f64,
    /// SVG elements, twenty units a millimetre.
    pub body: String,
}

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub enum Hold {
    /// At its beginning.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// A drawing that is being made.
pub struct Canvas {
    area: DrawingArea<Backend, Shift>,
    sink: Sink,
    /// Millimetres.
    pub width: f64,
    /// Millimetres.
    pub height: f64,
}

/// Units of a length in millimetres.
fn units(mm: f64) -> i32 {
    (mm * UNITS).round() as i32
}

/// Drawing does not fail; if plotters says so, it is a bug.
fn bug(error: &dyn std::fmt::Display) -> Error {
    Error::bug(format!("a figure cannot be drawn: {error}"))
}

impl Canvas {
    /// An empty one.
    pub fn new(width: f64, height: f64) -> Self {
        let sink = Sink::default();
        let size = (units(width).max(1) as u32, units(height).max(1) as u32);
        let area = Backend::new(sink.clone(), size).into_drawing_area();
        Canvas { area, sink, width, height }
    }

    /// The drawing.
    pub fn finish(self) -> Drawing {
        Drawing { width: self.width, height: self.height, body: self.sink.take() }
    }

    /// Adds SVG as it stands.
    pub fn raw(&self, svg: &str) {
        self.sink.push(svg);
    }

    /// What `draw` draws, as a group with a title that is shown where it is
    /// pointed at.
    ///
    /// # Errors
    /// As `draw`.
    pub fn titled(&self, title: &str, draw: impl FnOnce() -> Result<()>) -> Result<()> {
        self.sink.push(&format!("<g><title>{}</title>", escape(title)));
        let drawn = draw();
        self.sink.push("</g>");
        drawn
    }

    /// What `draw` draws, as belonging to the variant at a place.
    ///
    /// # Errors
    /// As `draw`.
    pub fn of_variant(&self, place: usize, draw: impl FnOnce() -> Result<()>) -> Result<()> {
        self.group(&format!("data-v=\"{place}\""), draw)
    }

    /// What `draw` draws, as a group with SVG attributes.
    ///
    /// # Errors
    /// As `draw`.
    pub fn group(&self, attributes: &str, draw: impl FnOnce() -> Result<()>) -> Result<()> {
        self.sink.push(&format!("<g {attributes}>"));
        let drawn = draw();
        self.sink.push("</g>");
        drawn
    }

    /// An image, `href` its address.
    pub fn image(&self, (x, y): (f64, f64), (width, height): (f64, f64), href: &str) {
        self.sink.push(&format!(
            "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
             style=\"image-rendering:pixelated\" href=\"{href}\"/>",
            units(x),
            units(y),
            units(width),
            units(height)
        ));
    }

    /// A text of so many points.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn text(&self, text: &str, (x, y): (f64, f64), size: f64, hold: Hold) -> Result<()> {
        self.place(text, (x, y), size, hold, INK.to_rgba(), FontTransform::None)
    }

    /// A text of less weight.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn note(&self, text: &str, (x, y): (f64, f64), size: f64, hold: Hold) -> Result<()> {
        self.place(text, (x, y), size, hold, ink(0.65), FontTransform::None)
    }

    /// A text that reads upwards.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn upwards(&self, text: &str, (x, y): (f64, f64), size: f64) -> Result<()> {
        self.place(text, (x, y), size, Hold::Middle, INK.to_rgba(), FontTransform::Rotate270)
    }

    fn place(
        &self,
        text: &str,
        (x, y): (f64, f64),
        size: f64,
        hold: Hold,
        colour: RGBAColor,
        turn: FontTransform,
    ) -> Result<()> {
        let across = match hold {
            Hold::Start => HPos::Left,
            Hold::Middle => HPos::Center,
            Hold::End => HPos::Right,
        };
        let font = ("sans-serif", size * POINT * UNITS).into_font().transform(turn);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(across, VPos::Center));
        self.area.draw_text(text, &style, (units(x), units(y))).map_err(|e| bug(&e))
    }

    /// A line through points.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn line(&self, points: &[(f64, f64)], colour: impl Color, width: f64) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().map(|&(x, y)| (units(x), units(y))).collect();
        let style = colour.stroke_width(units(width).max(1) as u32);
        self.area.draw(&PathElement::new(points, style)).map_err(|e| bug(&e))
    }

    /// A full polygon.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn polygon(&self, points: &[(f64, f64)], colour: impl Color) -> Result<()> {
        let points: Vec<(i32, i32)> = points.iter().map(|&(x, y)| (units(x), units(y))).collect();
        self.area.draw(&Polygon::new(points, colour.filled())).map_err(|e| bug(&e))
    }

    /// A rectangle by two corners, full.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn block(&self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: impl Color) -> Result<()> {
        let corners = [(units(x1), units(y1)), (units(x2), units(y2))];
        self.area.draw(&Rectangle::new(corners, colour.filled())).map_err(|e| bug(&e))
    }

    /// A circle, full or not.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn circle(&self, (x, y): (f64, f64), radius: f64, colour: impl Color, full: bool) -> Result<()> {
        let style = if full { colour.filled() } else { colour.stroke_width(units(LINE) as u32) };
        self.area.draw(&Circle::new((units(x), units(y)), units(radius), style)).map_err(|e| bug(&e))
    }

    /// A variant's mark.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn mark(&self, (x, y): (f64, f64), radius: f64, look: Look, alpha: f64) -> Result<()> {
        let colour = look.colour.mix(alpha);
        match look.mark {
            Mark::Circle => self.circle((x, y), radius, colour, true),
            Mark::Triangle => {
                let (r, h) = (radius * 1.15, radius * 0.8);
                self.polygon(&[(x - r, y + h), (x + r, y + h), (x, y - 1.2 * radius)], colour)
            }
            Mark::Square => {
                let r = radius * 0.88;
                self.block((x - r, y - r), (x + r, y + r), colour)
            }
            Mark::Diamond => {
                let r = radius * 1.25;
                self.polygon(&[(x - r, y), (x, y - r), (x + r, y), (x, y + r)], colour)
            }
        }
    }
}

/// A rectangle on the canvas, in millimetres.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

/// An axis: what is at its ends, and where it is labelled.
#[derive(Clone)]
pub struct Axis {
    coord: RangedCoordf64,
    ticks: Vec<(f64, String)>,
    low: f64,
    high: f64,
}

impl Axis {
    /// From `low` to `high` with about `count` labels at round numbers.
    pub fn new(low: f64, high: f64, count: usize) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let coord = RangedCoordf64::from(low..high);
        let places = coord.key_points(Plain(count));
        let step = places.windows(2).map(|p| p[1] - p[0]).fold(f64::INFINITY, f64::min);
        let digits =
            if step.is_finite() && step > 0.0 { (-step.log10()).ceil().clamp(0.0, 6.0) } else { 2.0 };
        // A step such as 0.25 needs more digits than its size says.
        let digits = (digits as usize..7)
            .find(|&d| ((step * 10f64.powi(d as i32)).round() - step * 10f64.powi(d as i32)).abs() < 1e-6)
            .unwrap_or(digits as usize);
        let name = |v: f64| format!("{:.*}", digits, v + 0.0).replace('-', "−");
        let ticks = places.into_iter().map(|v| if v.abs() < 1e-12 { 0.0 } else { v });
        Axis { ticks: ticks.map(|v| (v, name(v))).collect(), coord, low, high }
    }

    /// Of decimal logarithms: labelled with powers of ten.
    pub fn logarithmic(low: f64, high: f64, count: usize) -> Self {
        let (first, last) = (low.ceil() as i32, high.floor() as i32);
        let step = ((last - first) / count.max(1) as i32).max(1);
        let ticks = (first..=last).filter(|e| e.rem_euclid(step) == 0).map(|e| (f64::from(e), power(e)));
        Axis { ticks: ticks.collect(), coord: RangedCoordf64::from(low..high.max(low + 1.0)), low, high }
    }

    /// With these labels.
    pub fn labelled(low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        Axis { coord: RangedCoordf64::from(low..high), ticks, low, high }
    }

    /// Where a value is between two ends in millimetres.
    pub fn at(&self, value: f64, from: f64, to: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        f64::from(self.coord.map(&value, (units(from), units(to)))) / UNITS
    }
}

/// `10⁻³`.
fn power(exponent: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    match exponent {
        0 => "1".into(),
        1 => "10".into(),
        e => {
            let digits: String = e.abs().to_string().bytes().map(|b| RAISED[usize::from(b - b'0')]).collect();
            format!("10{}{digits}", if e < 0 { "⁻" } else { "" })
        }
    }
}

/// Asks for about so many round numbers.
struct Plain(usize);

impl KeyPointHint for Plain {
    fn max_num_points(&self) -> usize {
        self.0
    }

    fn bold_points(&self) -> usize {
        self.0
    }

    fn weight(&self) -> KeyPointWeight {
        KeyPointWeight::Bold
    }
}

/// Two axes and what is drawn between them.
pub struct Chart<'a> {
    /// What it is drawn on.
    pub canvas: &'a Canvas,
    /// Where.
    pub frame: Frame,
    x: Axis,
    y: Axis,
}

impl<'a> Chart<'a> {
    /// Draws both axes.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn new(canvas: &'a Canvas, frame: Frame, x: Axis, y: Axis) -> Result<Self> {
        let chart = Chart { canvas, frame, x, y };
        let Frame { left, top, right, bottom } = frame;
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], ink(0.7), HAIR)?;
        for (value, name) in &chart.x.ticks {
            let x = chart.x_of(*value);
            canvas.line(&[(x, bottom), (x, bottom + 0.8)], ink(0.7), HAIR)?;
            canvas.text(name, (x, bottom + 2.5), SMALL, Hold::Middle)?;
        }
        for (value, name) in &chart.y.ticks {
            let y = chart.y_of(*value);
            canvas.line(&[(left - 0.8, y), (left, y)], ink(0.7), HAIR)?;
            canvas.text(name, (left - 1.4, y), SMALL, Hold::End)?;
        }
        Ok(chart)
    }

    /// Names the axes.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn name(&self, x: &str, y: &str) -> Result<()> {
        let Frame { left, top, right, bottom } = self.frame;
        if !x.is_empty() {
            self.canvas.text(x, (0.5 * (left + right), bottom + 6.0), TEXT, Hold::Middle)?;
        }
        if !y.is_empty() {
            let widest = self.y.ticks.iter().map(|t| font::width(&t.1)).fold(0.0, f64::max);
            let place = left - 3.9 - widest * SMALL * POINT;
            self.canvas.upwards(y, (place, 0.5 * (top + bottom)), TEXT)?;
        }
        Ok(())
    }

    /// Where a value of the horizontal axis is.
    pub fn x_of(&self, value: f64) -> f64 {
        self.x.at(value, self.frame.left, self.frame.right)
    }

    /// Where a value of the vertical axis is.
    pub fn y_of(&self, value: f64) -> f64 {
        self.y.at(value, self.frame.bottom, self.frame.top)
    }

    /// Where a point is.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x_of(x), self.y_of(y))
    }

    /// A line through data.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn line(&self, points: &[(f64, f64)], colour: impl Color, width: f64, dash: &str) -> Result<()> {
        let points: Vec<(f64, f64)> = points.iter().map(|p| self.at(*p)).collect();
        match dash {
            "" => self.canvas.line(&points, colour, width),
            dash => self
                .canvas
                .group(&format!("stroke-dasharray=\"{dash}\""), || self.canvas.line(&points, colour, width)),
        }
    }

    /// A full shape of data.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn shape(&self, points: &[(f64, f64)], colour: impl Color) -> Result<()> {
        let points: Vec<(f64, f64)> = points.iter().map(|p| self.at(*p)).collect();
        self.canvas.polygon(&points, colour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_labelled_at_round_numbers() {
        let names = |axis: Axis| axis.ticks.into_iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(names(Axis::new(0.0, 1.0, 6)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(names(Axis::new(-1.0, 1.0, 5)), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(names(Axis::logarithmic(-4.0, 1.0, 5)), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1", "10"]);
        assert!(!names(Axis::new(3.0, 3.0, 5)).is_empty());
    }

    #[test]
    fn drawings_are_in_millimetres_and_escaped() {
        let canvas = Canvas::new(85.0, 10.0);
        canvas.text("a<b & \"c\"", (1.0, 2.0), 7.5, Hold::Start).unwrap();
        canvas.titled("run <1>", || canvas.circle((42.5, 5.0), 0.5, INK, true)).unwrap();
        let drawing = canvas.finish();
        assert!(drawing.body.contains("a&lt;b &amp; &quot;c&quot;"), "{}", drawing.body);
        assert!(drawing.body.contains("<title>run &lt;1&gt;</title><circle cx=\"850\" cy=\"100\" r=\"10\""));
        assert!(drawing.body.contains("currentColor"));
    }
}
