//! Colours that remain apart for colour-blind readers, in light and in dark.

use plotters::style::{Color, RGBAColor, RGBColor};

/// Black on paper; the page's own ink on a screen.
pub const INK: RGBColor = RGBColor(0, 0, 0);
/// Positive weights, and what is pointed at.
pub const VERMILLION: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
/// Negative weights.
pub const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xB2);
/// What is without number or group.
pub const GREY: RGBColor = RGBColor(0x80, 0x80, 0x80);

/// Okabe and Ito (2008), without black, which is for text, and yellow, which
/// is lost on white.
pub const SERIES: [RGBColor; 6] = [
    BLUE,
    VERMILLION,
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
];

/// Ink of less weight.
pub fn ink(alpha: f64) -> RGBAColor {
    INK.mix(alpha)
}

/// How a variant looks in every figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Its colour.
    pub colour: RGBColor,
    /// Its mark.
    pub mark: Mark,
    /// Its dashes, as SVG's `stroke-dasharray`; empty for a full line.
    pub dash: &'static str,
}

/// A mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Full circle.
    Circle,
    /// Full triangle.
    Triangle,
    /// Full square.
    Square,
    /// Diamond.
    Diamond,
}

/// The look of the variant at a place. Where colours begin anew, marks and
/// dashes change.
pub fn look(place: usize) -> Look {
    let (mark, dash) = match (place / SERIES.len()) % 4 {
        0 => (Mark::Circle, ""),
        1 => (Mark::Triangle, "16 8"),
        2 => (Mark::Square, "4 6"),
        _ => (Mark::Diamond, "16 6 4 6"),
    };
    Look { colour: SERIES[place % SERIES.len()], mark, dash }
}

/// The colour of the community at a place, largest first; small ones beyond
/// the palette are grey.
pub fn community(place: usize, size: usize) -> RGBColor {
    match SERIES.get(place) {
        Some(colour) if size > 1 => *colour,
        _ => GREY,
    }
}

/// A colour as CSS writes it.
pub fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}
