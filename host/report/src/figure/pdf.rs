//! SVG documents as PDF, text kept as text in an embedded font.

use std::sync::{Arc, LazyLock};

use pallium_core::{Error, Result};
use svg2pdf::usvg::fontdb::Database;
use svg2pdf::usvg::{Options, Tree};
use svg2pdf::{ConversionOptions, PageOptions};

use super::font;

/// Pixels an inch of CSS.
const DPI: f32 = 96.0;

/// An SVG document made here as PDF, of the same size. It looks the same on
/// every machine: no font but the one that Pallium carries is asked.
///
/// # Errors
/// Never, but for a bug.
pub fn pdf(svg: &str) -> Result<Vec<u8>> {
    static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
        let mut fonts = Database::new();
        fonts.load_font_data(font::FONT.to_vec());
        fonts.set_sans_serif_family(font::FAMILY);
        Arc::new(fonts)
    });
    let bug = |what: &dyn std::fmt::Display| Error::bug(format!("a figure cannot become a PDF: {what}"));
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        dpi: DPI,
        font_family: font::FAMILY.into(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|e| bug(&e))?;
    svg2pdf::to_pdf(&tree, ConversionOptions::default(), PageOptions { dpi: DPI }).map_err(|e| bug(&e))
}
