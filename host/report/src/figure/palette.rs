//! Colours that colour-blind readers can tell apart, in light and in dark.

/// A colour with its opacity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colour {
    /// Red, green and blue.
    pub rgb: [u8; 3],
    /// From 0 (invisible) to 1 (opaque).
    pub alpha: f64,
}

impl Colour {
    /// An opaque colour.
    const fn new(red: u8, green: u8, blue: u8) -> Self {
        Colour { rgb: [red, green, blue], alpha: 1.0 }
    }

    /// The same colour, less opaque by the factor `alpha`.
    #[must_use]
    pub fn fade(self, alpha: f64) -> Self {
        Colour { alpha: self.alpha * alpha, ..self }
    }

    /// The colour as CSS writes it, without its opacity.
    pub fn hex(self) -> String {
        let [red, green, blue] = self.rgb;
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

/// Text and axes: black on paper, on a screen the text colour of the page.
pub const INK: Colour = Colour::new(0, 0, 0);
/// Positive weights, and highlights.
pub const VERMILLION: Colour = Colour::new(0xD5, 0x5E, 0x00);
/// Negative weights.
pub const BLUE: Colour = Colour::new(0x00, 0x72, 0xB2);
/// Elements without a value or a group.
pub const GREY: Colour = Colour::new(0x80, 0x80, 0x80);

/// The palette of Okabe and Ito (2008), without black, which is for text, and
/// without yellow, which is hard to see on white.
pub const SERIES: [Colour; 6] = [
    BLUE,
    VERMILLION,
    Colour::new(0x00, 0x9E, 0x73),
    Colour::new(0xCC, 0x79, 0xA7),
    Colour::new(0xE6, 0x9F, 0x00),
    Colour::new(0x56, 0xB4, 0xE9),
];

/// A variant's style in every figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesStyle {
    /// Its colour.
    pub colour: Colour,
    /// Its marker.
    pub marker: Marker,
    /// Its dashes, in millimetres; empty for a solid line.
    pub dash: &'static [f64],
}

/// The shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Circle.
    Circle,
    /// Triangle.
    Triangle,
    /// Square.
    Square,
    /// Diamond.
    Diamond,
}

/// The style of the variant of this number. Where the colours repeat, markers
/// and dashes change.
pub fn series_style(number: usize) -> SeriesStyle {
    let (marker, dash): (_, &[f64]) = match (number / SERIES.len()) % 4 {
        0 => (Marker::Circle, &[]),
        1 => (Marker::Triangle, &[0.8, 0.4]),
        2 => (Marker::Square, &[0.2, 0.3]),
        _ => (Marker::Diamond, &[0.8, 0.3, 0.2, 0.3]),
    };
    SeriesStyle { colour: SERIES[number % SERIES.len()], marker, dash }
}

/// The colour of the community of this number, largest first. Communities of
/// one neuron and those beyond the palette are grey.
pub fn community_colour(number: usize, size: usize) -> Colour {
    match SERIES.get(number) {
        Some(colour) if size > 1 => *colour,
        _ => GREY,
    }
}
