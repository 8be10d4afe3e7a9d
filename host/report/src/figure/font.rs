//! The font that PDFs embed, and the width of text in it.
//!
//! Roboto Regular (Google 2011–2017, Apache License 2.0), reduced to the
//! outlines of Latin and Greek letters and of the symbols that statistics uses.
//! SVG files name Helvetica and Arial, whose widths are within a few percent of
//! it.

use std::sync::LazyLock;

use ttf_parser::Face;

/// The font file.
pub const FONT: &[u8] = include_bytes!("font/Roboto-Regular-subset.ttf");
/// The families that SVG files ask for.
pub const FAMILIES: &str = "Helvetica, Arial, sans-serif";

/// The font, parsed. It is a part of this source, and a test parses it.
pub fn face() -> &'static Face<'static> {
    static FACE: LazyLock<Face<'static>> =
        LazyLock::new(|| Face::parse(FONT, 0).expect("the embedded font is a font"));
    &FACE
}

/// The index of a character's glyph; 0, an empty box, where the font has none.
pub fn glyph(c: char) -> u16 {
    face().glyph_index(c).map_or(0, |glyph| glyph.0)
}

/// The width of a glyph at size 1.
pub fn advance(glyph: u16) -> f64 {
    let units = face().glyph_hor_advance(ttf_parser::GlyphId(glyph)).unwrap_or(0);
    f64::from(units) / f64::from(face().units_per_em())
}

/// The width of text at size 1. Characters that the font lacks, such as Chinese ones, are
/// square in the fonts that have them.
pub fn width(text: &str) -> f64 {
    text.chars()
        .map(|c| match glyph(c) {
            0 => 1.0,
            glyph => advance(glyph),
        })
        .sum()
}

/// `text`, or as much of its beginning and end as fits into `limit` at size 1, with
/// an ellipsis between them: names often differ in their ends alone.
pub fn fit(text: &str, limit: f64) -> String {
    if width(text) <= limit {
        return text.into();
    }
    let all: Vec<char> = text.chars().collect();
    let cut = |kept: usize| {
        let (begin, end) = (kept.div_ceil(2), kept / 2);
        let [begin, end]: [String; 2] =
            [all[..begin].iter().collect(), all[all.len() - end..].iter().collect()];
        format!("{}…{}", begin.trim_end(), end.trim_start())
    };
    (0..all.len()).rev().map(cut).find(|cut| width(cut) <= limit).unwrap_or_else(|| "…".into())
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
        for symbol in "AΩδρλσ±−×≤≥≠…µ–°⁻⁸".chars() {
            assert_ne!(glyph(symbol), 0, "{symbol} is not in the font");
        }
        assert_eq!(glyph('漢'), 0);
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(fit("abc", 10.0), "abc");
        let cut = fit("W*D*C, shuffled within distances", 6.0);
        assert!(cut.starts_with("W*") && cut.contains('…') && width(&cut) <= 6.0, "{cut}");
        // Names that differ in their ends stay apart.
        assert_ne!(fit("a variant with a long name 1", 6.0), fit("a variant with a long name 2", 6.0));
        assert_eq!(fit("abc", 0.1), "…");
    }
}
