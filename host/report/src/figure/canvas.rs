//! A canvas in millimetres. Drawing cannot fail: a canvas collects the elements
//! that a [`Drawing`] consists of.

use std::cell::RefCell;
use std::rc::Rc;

use super::chart::Frame;
use super::drawing::{Drawing, Element, Paint, Point, Stroke, Tag, Text};
use super::font;
use super::palette::{Colour, INK, Marker, SeriesStyle};
use super::raster::Raster;

pub use super::drawing::Anchor;

/// Size of text, in points.
pub const TEXT: f64 = 7.5;
/// Size of small text, in points.
pub const SMALL: f64 = 6.5;
/// Size of titles, in points.
pub const TITLE: f64 = 8.5;
/// Millimetres in a point.
pub const POINT: f64 = 25.4 / 72.0;
/// Width of a line that shows data, in millimetres.
pub const LINE: f64 = 0.3;
/// Width of axes and guides, in millimetres.
pub const HAIRLINE: f64 = 0.15;

/// A drawing in progress.
pub struct Canvas {
    elements: RefCell<Vec<Element>>,
    /// Millimetres.
    pub width: f64,
    /// Millimetres.
    pub height: f64,
}

impl Canvas {
    /// An empty canvas.
    pub fn new(width: f64, height: f64) -> Self {
        Canvas { elements: RefCell::default(), width, height }
    }

    /// The drawing.
    pub fn finish(self) -> Drawing {
        Drawing { width: self.width, height: self.height, elements: self.elements.into_inner() }
    }

    fn push(&self, element: Element) {
        self.elements.borrow_mut().push(element);
    }

    fn group(&self, tag: Tag, draw: impl FnOnce()) {
        let before = self.elements.take();
        draw();
        let elements = self.elements.replace(before);
        self.push(Element::Group { shift: (0.0, 0.0), tag: Some(tag), elements });
    }

    /// Gives what `draw` draws a title, which an SVG shows under the pointer.
    pub fn titled(&self, title: &str, draw: impl FnOnce()) {
        self.group(Tag::Title(title.into()), draw);
    }

    /// Marks what `draw` draws as belonging to the variant of this number.
    pub fn variant(&self, number: usize, draw: impl FnOnce()) {
        self.group(Tag::Variant(number), draw);
    }

    /// Draws an image.
    pub fn image(&self, corner: Point, size: Point, raster: &Rc<Raster>) {
        self.push(Element::Image { corner, size, raster: Rc::clone(raster) });
    }

    /// The position nearest to `x` at which the middle of a text is inside of the
    /// canvas as a whole, if there is room.
    pub fn within(&self, text: &str, x: f64, size: f64) -> f64 {
        let half = 0.5 * font::width(text) * size * POINT;
        x.min(self.width - half).max(half)
    }

    /// Writes a panel's title from `left` on, shortened where it is too long.
    pub fn title(&self, title: &str, left: f64) {
        let room = (self.width - left) / (TITLE * POINT);
        self.text(&font::fit(title, room), (left, 2.4), TITLE, Anchor::Start);
    }

    /// Writes a text, `size` in points, its middle height at `at`.
    pub fn text(&self, text: &str, at: Point, size: f64, anchor: Anchor) {
        self.write(text, at, size, anchor, INK, false);
    }

    /// Writes a text in a weaker colour.
    pub fn note(&self, text: &str, at: Point, size: f64, anchor: Anchor) {
        self.write(text, at, size, anchor, INK.fade(0.65), false);
    }

    /// Writes a text that reads upwards, its centre at `at`.
    pub fn upwards(&self, text: &str, at: Point, size: f64) {
        self.write(text, at, size, Anchor::Middle, INK, true);
    }

    fn write(&self, text: &str, at: Point, points: f64, anchor: Anchor, colour: Colour, upwards: bool) {
        let size = points * POINT;
        self.push(Element::Text(Text { text: text.into(), at, size, anchor, upwards, colour }));
    }

    /// Draws a line through points.
    pub fn line(&self, points: &[Point], colour: Colour, width: f64) {
        self.dashed(points, colour, width, &[]);
    }

    /// Draws a line through points with dashes and gaps of these lengths in
    /// turns.
    pub fn dashed(&self, points: &[Point], colour: Colour, width: f64, dash: &'static [f64]) {
        self.push(Element::Line { points: points.to_vec(), stroke: Stroke { colour, width, dash } });
    }

    /// Draws the outline of a closed shape, of the width of axes.
    pub fn outline(&self, corners: &[Point], colour: Colour) {
        let closed: Vec<Point> = corners.iter().chain(corners.first()).copied().collect();
        self.line(&closed, colour, HAIRLINE);
    }

    /// Fills a polygon.
    pub fn polygon(&self, points: &[Point], fill: Colour) {
        self.push(Element::Polygon { points: points.to_vec(), fill });
    }

    /// Fills the rectangle between its upper left and its lower right corner.
    pub fn block(&self, corner: Point, (right, bottom): Point, fill: Colour) {
        let size = (right - corner.0, bottom - corner.1);
        self.push(Element::Rectangle { corner, size, fill });
    }

    /// Draws a circle, filled or outlined.
    pub fn circle(&self, centre: Point, radius: f64, colour: Colour, filled: bool) {
        let paint = match filled {
            true => Paint::Fill(colour),
            false => Paint::Stroke(Stroke { colour, width: LINE, dash: &[] }),
        };
        self.push(Element::Circle { centre, radius, paint });
    }

    /// Draws a variant's marker.
    pub fn marker(&self, (x, y): Point, radius: f64, style: SeriesStyle, alpha: f64) {
        let colour = style.colour.fade(alpha);
        let shape = |corners: &[Point]| match (style.open, corners) {
            (true, [first, ..]) => self.line(&[corners, &[*first]].concat(), colour, LINE),
            _ => self.polygon(corners, colour),
        };
        match style.marker {
            Marker::Circle => self.circle((x, y), radius, colour, !style.open),
            Marker::Triangle => {
                let (r, h) = (radius * 1.15, radius * 0.8);
                shape(&[(x - r, y + h), (x + r, y + h), (x, y - 1.2 * radius)]);
            }
            Marker::Square if style.open => {
                let r = radius * 0.88;
                shape(&Frame { left: x - r, top: y - r, right: x + r, bottom: y + r }.corners());
            }
            Marker::Square => {
                let r = radius * 0.88;
                self.block((x - r, y - r), (x + r, y + r), colour);
            }
            Marker::Diamond => shape(&diamond((x, y), radius * 1.25)),
        }
    }
}

/// The corners of a diamond.
pub fn diamond((x, y): Point, radius: f64) -> [Point; 4] {
    [(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)]
}
