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

    /// The colour mixed with another: by `share` of that.
    #[must_use]
    fn mixed(self, other: u8, share: f64) -> Self {
        let mix = |own: u8| (f64::from(own) * (1.0 - share) + f64::from(other) * share).round() as u8;
        Colour { rgb: self.rgb.map(mix), ..self }
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
    /// Whether only the marker's outline is drawn.
    pub open: bool,
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
/// and dashes change; where these repeat, tones and whether markers are filled.
/// 144 variants have different styles.
pub fn series_style(number: usize) -> SeriesStyle {
    let (marker, dash): (_, &[f64]) = match (number / SERIES.len()) % 4 {
        0 => (Marker::Circle, &[]),
        1 => (Marker::Triangle, &[0.8, 0.4]),
        2 => (Marker::Square, &[0.2, 0.3]),
        _ => (Marker::Diamond, &[0.8, 0.3, 0.2, 0.3]),
    };
    let colour = SERIES[number % SERIES.len()];
    let (dark, light) = (colour.mixed(0, 0.45), colour.mixed(255, 0.5));
    let (colour, open) = match (number / (4 * SERIES.len())) % 6 {
        0 => (colour, false),
        1 => (dark, true),
        2 => (light, true),
        3 => (dark, false),
        4 => (light, false),
        _ => (colour, true),
    };
    SeriesStyle { colour, marker, open, dash }
}

/// The colour of the community of this number, largest first. Communities of
/// one neuron and those beyond the palette are grey.
pub fn community_colour(number: usize, size: usize) -> Colour {
    match SERIES.get(number) {
        Some(colour) if size > 1 => *colour,
        _ => GREY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_variants_have_different_styles() {
        let styles: Vec<SeriesStyle> = (0..144).map(series_style).collect();
        for (place, style) in styles.iter().enumerate() {
            assert!(!styles[..place].contains(style), "{place}: {style:?}");
            // Lines differ, too, up to twice as many as there were.
            let line = |s: &SeriesStyle| (s.colour.rgb, s.dash);
            assert!(place >= 72 || styles[..place].iter().all(|other| line(other) != line(style)), "{place}");
        }
    }
}
