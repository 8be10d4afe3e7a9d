//! A finished drawing: one list of elements that [`svg`](super::svg) and
//! [`pdf`](super::pdf) both write. Lengths are in millimetres, the origin is
//! the upper left corner, and y grows downwards.

use std::rc::Rc;

use super::palette::Colour;
use super::raster::Raster;

/// A position, in millimetres.
pub type Point = (f64, f64);

/// A finished drawing.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Millimetres.
    pub width: f64,
    /// Millimetres.
    pub height: f64,
    /// What is drawn, in order: later elements cover earlier ones.
    pub elements: Vec<Element>,
}

/// One element of a drawing.
#[derive(Clone, Debug)]
pub enum Element {
    /// Straight lines from point to point.
    Line {
        /// Two or more points.
        points: Vec<Point>,
        /// How it is drawn.
        stroke: Stroke,
    },
    /// A filled polygon, closed.
    Polygon {
        /// Three or more corners.
        points: Vec<Point>,
        /// Its fill.
        fill: Colour,
    },
    /// A filled rectangle.
    Rectangle {
        /// Its upper left corner.
        corner: Point,
        /// Width and height.
        size: Point,
        /// Its fill.
        fill: Colour,
    },
    /// A circle.
    Circle {
        /// Its centre.
        centre: Point,
        /// Its radius.
        radius: f64,
        /// Filled or outlined.
        paint: Paint,
    },
    /// A line of text, its middle height at the position.
    Text(Text),
    /// A heat map.
    Image {
        /// Its upper left corner.
        corner: Point,
        /// Width and height.
        size: Point,
        /// Its pixels.
        raster: Rc<Raster>,
    },
    /// Elements that belong together.
    Group {
        /// By how much they are moved.
        shift: Point,
        /// What they are, for readers of an SVG.
        tag: Option<Tag>,
        /// The elements.
        elements: Vec<Element>,
    },
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Stroke {
    /// Its colour.
    pub colour: Colour,
    /// Its width, in millimetres.
    pub width: f64,
    /// Lengths of dashes and gaps in turns, in millimetres; empty for a solid
    /// line.
    pub dash: &'static [f64],
}

/// How a shape is painted.
#[derive(Clone, Copy, Debug)]
pub enum Paint {
    /// Filled.
    Fill(Colour),
    /// Outlined.
    Stroke(Stroke),
}

/// A line of text.
#[derive(Clone, Debug)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Its position: the end that `anchor` names, at middle height.
    pub at: Point,
    /// Font size, in millimetres.
    pub size: f64,
    /// Which end is at the position.
    pub anchor: Anchor,
    /// Whether it reads upwards.
    pub upwards: bool,
    /// Its colour.
    pub colour: Colour,
}

/// Which part of a text is at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// What a group of elements is.
#[derive(Clone, Debug)]
pub enum Tag {
    /// Something with a title, shown where the pointer is on it.
    Title(String),
    /// Elements of the variant of this number, which a page can highlight.
    Variant(usize),
}

/// How far below its position the baseline of a text is, at size 1: half the
/// height of capitals.
pub const BASELINE: f64 = 0.35;
