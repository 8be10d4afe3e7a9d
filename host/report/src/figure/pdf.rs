//! Drawings as PDF: one page of the size of the drawing. Text stays text, in
//! the font that the file embeds, so a PDF looks the same on every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Once;

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{CidFontType, FontFlags, LineJoinStyle, SystemInfo, UnicodeCmap};
use pdf_writer::writers::ExtGraphicsState;
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use super::canvas::POINT;
use super::drawing::{Anchor, BASELINE, Drawing, Element, Paint, Point, Stroke, Text};
use super::font;
use super::palette::Colour;
use super::raster::{self, Raster};

/// The font's name; the letters before it say that the font is reduced.
const FONT_NAME: Name<'static> = Name(b"PALLIM+Roboto-Regular");
const FONT_RESOURCE: Name<'static> = Name(b"F");
/// Glyphs are numbered as in the font file.
const SYSTEM: SystemInfo<'static> =
    SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"Identity"), supplement: 0 };
/// zlib's usual compression.
const USUAL: u8 = 6;
/// Distance of a Bézier curve's control points from a quarter circle's ends,
/// at radius 1, with which it is round.
const ROUND: f64 = 0.552_284_75;

/// A drawing as a PDF document, black on white.
pub fn document(drawing: &Drawing, title: &str) -> Vec<u8> {
    let mut page = Page {
        content: Content::new(),
        images: Vec::new(),
        glyphs: BTreeMap::new(),
        missing: BTreeSet::new(),
        alphas: BTreeSet::new(),
        state: State::default(),
    };
    // Millimetres, downwards, as the drawing has them.
    let scale = (1.0 / POINT) as f32;
    page.content.transform([scale, 0.0, 0.0, -scale, 0.0, (drawing.height / POINT) as f32]);
    page.content.set_line_join(LineJoinStyle::RoundJoin);
    page.content.set_fill_rgb(1.0, 1.0, 1.0);
    page.content.rect(0.0, 0.0, drawing.width as f32, drawing.height as f32).fill_nonzero();
    page.draw_all(&drawing.elements, (0.0, 0.0));
    static WARNED: Once = Once::new();
    if !page.missing.is_empty() {
        let example = page.missing.first().copied().unwrap_or_default();
        // Once, since all figures of a report have the same names.
        WARNED.call_once(|| {
            tracing::warn!("PDF figures lack characters that are not in their font, such as {example}; SVG figures have them");
        });
    }

    let mut last = 0;
    let mut reference = || {
        last += 1;
        Ref::new(last)
    };
    let mut pdf = Pdf::new();
    let (catalog, pages, page_id, content, info) =
        (reference(), reference(), reference(), reference(), reference());
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([page_id]).count(1);
    pdf.document_info(info).title(TextStr(title)).creator(TextStr("Pallium"));
    let images: Vec<Ref> = page.images.iter().map(|_| reference()).collect();
    let mut written = pdf.page(page_id);
    written.parent(pages).contents(content);
    written.media_box(Rect::new(0.0, 0.0, (drawing.width / POINT) as f32, (drawing.height / POINT) as f32));
    let mut resources = written.resources();
    let font = reference();
    resources.fonts().pair(FONT_RESOURCE, font);
    let mut x_objects = resources.x_objects();
    for (number, image) in images.iter().enumerate() {
        x_objects.pair(Name(image_name(number).as_bytes()), *image);
    }
    x_objects.finish();
    let mut states = resources.ext_g_states();
    for &alpha in &page.alphas {
        let opacity = f32::from(alpha) / 1000.0;
        let name = alpha_name(alpha);
        states
            .insert(Name(name.as_bytes()))
            .start::<ExtGraphicsState<'_>>()
            .stroking_alpha(opacity)
            .non_stroking_alpha(opacity);
    }
    states.finish();
    resources.finish();
    written.finish();
    let bytes = compress_to_vec_zlib(&page.content.finish(), USUAL);
    pdf.stream(content, &bytes).filter(Filter::FlateDecode);
    for (raster, image) in page.images.iter().zip(images) {
        write_image(&mut pdf, raster, image);
    }
    write_font(&mut pdf, [font, reference(), reference(), reference(), reference()], &page.glyphs);
    pdf.finish()
}

/// A page that is being drawn.
struct Page {
    content: Content,
    images: Vec<Rc<Raster>>,
    /// The glyphs in use, with their characters.
    glyphs: BTreeMap<u16, char>,
    /// Characters that the font lacks.
    missing: BTreeSet<char>,
    /// The opacities in use, in thousandths.
    alphas: BTreeSet<u16>,
    state: State,
}

/// The graphics state that the content stream has set.
#[derive(Default)]
struct State {
    alpha: Option<u16>,
    fill: Option<[u8; 3]>,
    stroke: Option<[u8; 3]>,
    width: Option<f64>,
    dash: &'static [f64],
}

impl Page {
    fn draw_all(&mut self, elements: &[Element], shift: Point) {
        for element in elements {
            self.draw(element, shift);
        }
    }

    fn draw(&mut self, element: &Element, shift: Point) {
        let place = |(x, y): Point| (coordinate(x + shift.0), coordinate(y + shift.1));
        match element {
            Element::Line { points, stroke } => {
                self.set_stroke(*stroke);
                self.path(points.iter().map(|p| place(*p)));
                self.content.stroke();
            }
            Element::Polygon { points, fill } => {
                self.set_fill(*fill);
                self.path(points.iter().map(|p| place(*p)));
                self.content.close_path().fill_nonzero();
            }
            Element::Rectangle { corner, size, fill } => {
                self.set_fill(*fill);
                let (x, y) = place(*corner);
                self.content.rect(x, y, coordinate(size.0), coordinate(size.1)).fill_nonzero();
            }
            Element::Circle { centre, radius, paint } => {
                match paint {
                    Paint::Fill(colour) => self.set_fill(*colour),
                    Paint::Stroke(stroke) => self.set_stroke(*stroke),
                }
                self.circle((centre.0 + shift.0, centre.1 + shift.1), *radius);
                match paint {
                    Paint::Fill(_) => self.content.fill_nonzero(),
                    Paint::Stroke(_) => self.content.stroke(),
                };
            }
            Element::Text(text) => self.text(text, shift),
            Element::Image { corner, size, raster } => {
                let (x, y) = place((corner.0, corner.1 + size.1));
                let (width, height) = (coordinate(size.0), coordinate(size.1));
                self.set_alpha(1.0);
                self.content.save_state();
                // Images are one unit wide and high, and upright where y grows
                // upwards.
                self.content.transform([width, 0.0, 0.0, -height, x, y]);
                self.content.x_object(Name(image_name(self.images.len()).as_bytes()));
                self.content.restore_state();
                self.images.push(Rc::clone(raster));
            }
            Element::Group { shift: (right, down), elements, .. } => {
                self.draw_all(elements, (shift.0 + right, shift.1 + down));
            }
        }
    }

    fn path(&mut self, points: impl Iterator<Item = (f32, f32)>) {
        for (place, (x, y)) in points.enumerate() {
            if place == 0 {
                self.content.move_to(x, y);
            } else {
                self.content.line_to(x, y);
            }
        }
    }

    /// Four Bézier curves.
    fn circle(&mut self, (x, y): Point, radius: f64) {
        let at = |right: f64, down: f64| (coordinate(x + radius * right), coordinate(y + radius * down));
        let start = at(1.0, 0.0);
        self.content.move_to(start.0, start.1);
        for (from, to) in [
            ((1.0, 0.0), (0.0, 1.0)),
            ((0.0, 1.0), (-1.0, 0.0)),
            ((-1.0, 0.0), (0.0, -1.0)),
            ((0.0, -1.0), (1.0, 0.0)),
        ] {
            let (from, to): (Point, Point) = (from, to);
            // Each end's tangent goes in the direction of the other end.
            let (a, b, c) = (
                at(from.0 + ROUND * to.0, from.1 + ROUND * to.1),
                at(to.0 + ROUND * from.0, to.1 + ROUND * from.1),
                at(to.0, to.1),
            );
            self.content.cubic_to(a.0, a.1, b.0, b.1, c.0, c.1);
        }
        self.content.close_path();
    }

    fn text(&mut self, text: &Text, shift: Point) {
        self.set_fill(text.colour);
        let mut codes = Vec::with_capacity(2 * text.text.len());
        for c in text.text.chars() {
            let glyph = font::glyph(c);
            if glyph == 0 {
                self.missing.insert(c);
            }
            self.glyphs.insert(glyph, c);
            codes.extend(glyph.to_be_bytes());
        }
        let before = text.size
            * font::width(&text.text)
            * match text.anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => 0.5,
                Anchor::End => 1.0,
            };
        let (x, y) = (text.at.0 + shift.0, text.at.1 + shift.1);
        let below = BASELINE * text.size;
        // Where glyphs go to the right and up, seen from a page that goes down.
        let matrix = match text.upwards {
            false => [1.0, 0.0, 0.0, -1.0, coordinate(x - before), coordinate(y + below)],
            true => [0.0, -1.0, -1.0, 0.0, coordinate(x + below), coordinate(y + before)],
        };
        self.content.begin_text().set_font(FONT_RESOURCE, coordinate(text.size));
        self.content.set_text_matrix(matrix).show(Str(&codes)).end_text();
    }

    fn set_fill(&mut self, colour: Colour) {
        self.set_alpha(colour.alpha);
        if self.state.fill.replace(colour.rgb) != Some(colour.rgb) {
            let [red, green, blue] = colour.rgb.map(share);
            self.content.set_fill_rgb(red, green, blue);
        }
    }

    fn set_stroke(&mut self, stroke: Stroke) {
        let Stroke { colour, width, dash } = stroke;
        self.set_alpha(colour.alpha);
        if self.state.stroke.replace(colour.rgb) != Some(colour.rgb) {
            let [red, green, blue] = colour.rgb.map(share);
            self.content.set_stroke_rgb(red, green, blue);
        }
        if self.state.width.replace(width) != Some(width) {
            self.content.set_line_width(coordinate(width));
        }
        if std::mem::replace(&mut self.state.dash, dash) != dash {
            self.content.set_dash_pattern(dash.iter().map(|d| coordinate(*d)), 0.0);
        }
    }

    fn set_alpha(&mut self, alpha: f64) {
        let thousandths = (alpha * 1000.0).round().clamp(0.0, 1000.0) as u16;
        if self.state.alpha.replace(thousandths) != Some(thousandths) {
            self.alphas.insert(thousandths);
            self.content.set_parameters(Name(alpha_name(thousandths).as_bytes()));
        }
    }
}

/// A length in millimetres, rounded to thousandths, which keeps files small.
fn coordinate(millimetres: f64) -> f32 {
    ((millimetres * 1000.0).round() / 1000.0) as f32
}

fn share(level: u8) -> f32 {
    (f32::from(level) / 255.0 * 1000.0).round() / 1000.0
}

fn image_name(number: usize) -> String {
    format!("I{number}")
}

fn alpha_name(thousandths: u16) -> String {
    format!("A{thousandths}")
}

/// A heat map, its colours from a palette. Paper is white, so that it needs no
/// transparency, which would take a second image.
fn write_image(pdf: &mut Pdf, raster: &Raster, image: Ref) {
    let palette = raster::palette_on_white();
    let shades = raster.compressed_shades();
    let mut written = pdf.image_xobject(image, &shades);
    written.filter(Filter::FlateDecode);
    written.width(raster.width as i32).height(raster.height as i32).bits_per_component(8);
    written.color_space().indexed(Name(b"DeviceRGB"), (palette.len() / 3) as i32 - 1, &palette);
}

/// The font, with what a reader needs to search and copy text.
fn write_font(
    pdf: &mut Pdf,
    [font, cid, descriptor, characters, file]: [Ref; 5],
    glyphs: &BTreeMap<u16, char>,
) {
    let face = font::face();
    let em = f32::from(face.units_per_em());
    let thousandths = |units: i16| 1000.0 * f32::from(units) / em;
    pdf.type0_font(font)
        .base_font(FONT_NAME)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(characters);
    let mut written = pdf.cid_font(cid);
    written.subtype(CidFontType::Type2).base_font(FONT_NAME).system_info(SYSTEM);
    written.font_descriptor(descriptor).default_width(0.0).cid_to_gid_map_predefined(Name(b"Identity"));
    let mut widths = written.widths();
    for &glyph in glyphs.keys() {
        widths.consecutive(glyph, [(1000.0 * font::advance(glyph)) as f32]);
    }
    widths.finish();
    written.finish();
    let bounds = face.global_bounding_box();
    let [left, bottom, right, top] =
        [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max].map(thousandths);
    pdf.font_descriptor(descriptor)
        .name(FONT_NAME)
        .flags(FontFlags::NON_SYMBOLIC)
        .bbox(Rect::new(left, bottom, right, top))
        .italic_angle(0.0)
        .ascent(thousandths(face.ascender()))
        .descent(thousandths(face.descender()))
        .cap_height(face.capital_height().map_or(700.0, thousandths))
        .stem_v(80.0)
        .font_file2(file);
    let mut map = UnicodeCmap::new(Name(b"Pallium"), SYSTEM);
    for (&glyph, &c) in glyphs.iter().filter(|(glyph, _)| **glyph != 0) {
        map.pair(glyph, c);
    }
    let map = compress_to_vec_zlib(map.finish().as_slice(), USUAL);
    pdf.cmap(characters, &map).filter(Filter::FlateDecode);
    let bytes = compress_to_vec_zlib(font::FONT, USUAL);
    pdf.stream(file, &bytes).filter(Filter::FlateDecode).pair(Name(b"Length1"), font::FONT.len() as i32);
}

#[cfg(test)]
mod tests {
    use miniz_oxide::inflate::decompress_to_vec_zlib;
    use ndarray::array;

    use super::super::canvas::Canvas;
    use super::super::palette::{BLUE, INK};
    use super::*;

    /// The document's streams in order, decompressed.
    fn streams(pdf: &[u8]) -> Vec<String> {
        let mark = b"\nstream\n";
        let starts = pdf.windows(mark.len()).enumerate().filter(|(_, part)| part == mark);
        starts
            .map(|(start, _)| decompress_to_vec_zlib(&pdf[start + mark.len()..]).unwrap())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    #[test]
    fn elements_are_drawn_in_millimetres_from_the_upper_left() {
        let canvas = Canvas::new(85.0, 25.4);
        canvas.dashed(&[(0.0, 0.125), (1.0, 2.0)], BLUE.fade(0.5), 0.3, &[0.8, 0.4]);
        canvas.block((1.0, 2.0), (4.0, 8.0), INK);
        canvas.upwards("x", (10.0, 20.0), 10.0);
        canvas.image((5.0, 6.0), (3.0, 2.0), &Rc::new(Raster::new(&array![[1.0, -1.0]], 1.0)));
        let content = &streams(&document(&canvas.finish(), "a title"))[0];
        let size = 10.0 * POINT;
        let upwards = format!(
            "0 -1 -1 0 {} {} Tm",
            coordinate(10.0 + BASELINE * size),
            coordinate(20.0 + 0.5 * size * font::width("x"))
        );
        for part in [
            // Points in a millimetre, and the height in points.
            "2.8346457 0 0 -2.8346457 0 72 cm",
            "/A500 gs\n0 0.447 0.698 RG\n0.3 w\n[0.8 0.4] 0 d\n0 0.125 m\n1 2 l\nS\n",
            "/A1000 gs\n0 0 0 rg\n1 2 3 6 re\nf\n",
            &upwards,
            "3 0 0 -2 5 8 cm\n/I0 Do\n",
        ] {
            assert!(content.contains(part), "no {part} in {content}");
        }
    }

    #[test]
    fn text_can_be_searched_and_copied() {
        let canvas = Canvas::new(85.0, 10.0);
        canvas.text("λ − λ", (1.0, 2.0), 7.5, Anchor::Start);
        // The page, the characters of the glyphs, the font.
        let [_, map, _] = <[String; 3]>::try_from(streams(&document(&canvas.finish(), "a title"))).unwrap();
        for (c, code) in [('λ', "03BB"), ('−', "2212"), (' ', "0020")] {
            assert!(map.contains(&format!("<{:04X}> <{code}>", font::glyph(c))), "no {c} in {map}");
        }
        assert!(map.contains("3 beginbfchar"), "{map}");
    }
}
