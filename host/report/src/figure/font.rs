//! The typeface that PDFs carry, and how wide text is in it.
//!
//! Roboto Regular (Google 2011–2017, Apache License 2.0), reduced to Latin and
//! Greek letters and the signs of statistics. SVG files name Helvetica and
//! Arial, which are as wide within a few percent.

use std::sync::LazyLock;

/// The font file.
pub const FONT: &[u8] = include_bytes!("font/Roboto-Regular-subset.ttf");
/// Its family's name.
pub const FAMILY: &str = "Roboto";
/// What SVG files ask for.
pub const FAMILIES: &str = "Helvetica, Arial, sans-serif";

/// Width of text at size 1.
pub fn width(text: &str) -> f64 {
    static FACE: LazyLock<Option<ttf_parser::Face<'static>>> =
        LazyLock::new(|| ttf_parser::Face::parse(FONT, 0).ok());
    /// Of a letter that the font does not have.
    const UNKNOWN: f64 = 0.6;
    let advance = |c: char| {
        let face = FACE.as_ref()?;
        let glyph = face.glyph_index(c)?;
        Some(f64::from(face.glyph_hor_advance(glyph)?) / f64::from(face.units_per_em()))
    };
    text.chars().map(|c| advance(c).unwrap_or(UNKNOWN)).sum()
}

/// `text`, or as much of it as fits into `limit` at size 1, and dots.
pub fn fit(text: &str, limit: f64) -> String {
    if width(text) <= limit {
        return text.into();
    }
    let mut kept: String = text.into();
    while kept.pop().is_some() && width(&kept) + width("…") > limit {}
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_fonts() {
        // Advance widths of Roboto Regular at 2048 units an em.
        assert!((width("W") - 1787.0 / 2048.0).abs() < 0.02, "{}", width("W"));
        assert!((width("00") - 2.0 * width("0")).abs() < 1e-12);
        assert!(width("iii") < width("WWW"));
        for sign in "δρλσ±−×≤…µ".chars() {
            assert_ne!(width(&sign.to_string()), 0.6, "{sign} is not in the font");
        }
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(fit("abc", 10.0), "abc");
        let cut = fit("W*D*C, shuffled within distances", 6.0);
        assert!(cut.ends_with('…') && width(&cut) <= 6.0, "{cut}");
    }
}
