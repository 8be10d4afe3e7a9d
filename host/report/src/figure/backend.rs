//! Where plotters draws to: SVG with groups, so that parts of a figure have
//! titles and can be picked out, and with black that follows the page's ink.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::rc::Rc;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};

/// Units of a drawing in a millimetre. Plotters knows whole units only; a
/// twentieth of a millimetre is finer than print.
pub const UNITS: f64 = 20.0;

/// The text of a drawing, shared by the backend and whoever adds to it.
#[derive(Clone, Debug, Default)]
pub struct Sink(Rc<RefCell<String>>);

impl Sink {
    /// Adds elements as they stand.
    pub fn push(&self, text: &str) {
        self.0.borrow_mut().push_str(text);
    }

    /// Takes everything out.
    pub fn take(&self) -> String {
        self.0.take()
    }
}

/// A backend of plotters that writes SVG elements.
pub struct Backend {
    sink: Sink,
    size: (u32, u32),
}

impl Backend {
    /// Draws into `sink`, on so many units.
    pub fn new(sink: Sink, size: (u32, u32)) -> Self {
        Backend { sink, size }
    }
}

/// Text for SVG and HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Black is the ink of whatever the figure lies on.
fn colour(color: BackendColor) -> String {
    match color.rgb {
        (0, 0, 0) => "currentColor".into(),
        (r, g, b) => format!("#{r:02X}{g:02X}{b:02X}"),
    }
}

/// Of `fill` or `stroke`: for the whole element's opacity, PDF would need a group
/// of its own each time.
fn opacity(color: BackendColor, of: &str) -> String {
    if color.alpha < 1.0 { format!(" {of}-opacity=\"{:.3}\"", color.alpha) } else { String::new() }
}

/// How a closed shape is filled, or else its outline drawn.
fn paint<S: BackendStyle>(style: &S, fill: bool) -> String {
    let ink = colour(style.color());
    match fill {
        true => format!("fill=\"{ink}\"{}", opacity(style.color(), "fill")),
        false => format!(
            "fill=\"none\" stroke=\"{ink}\" stroke-width=\"{}\"{}",
            style.stroke_width(),
            opacity(style.color(), "stroke")
        ),
    }
}

fn points(path: impl IntoIterator<Item = BackendCoord>) -> String {
    let mut text = String::new();
    for (x, y) in path {
        let space = if text.is_empty() { "" } else { " " };
        // Writing into a string does not fail.
        let _ = write!(text, "{space}{x},{y}");
    }
    text
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Backend {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        (x1, y1): BackendCoord,
        (x2, y2): BackendCoord,
        style: &S,
    ) -> Drawn {
        let (ink, veil) = (colour(style.color()), opacity(style.color(), "stroke"));
        self.sink.push(&format!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{ink}\" stroke-width=\"{}\"{veil}/>",
            style.stroke_width()
        ));
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (x1, y1): BackendCoord,
        (x2, y2): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let paint = paint(style, fill);
        self.sink.push(&format!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {paint}/>",
            x1.min(x2),
            y1.min(y2),
            (x2 - x1).abs(),
            (y2 - y1).abs()
        ));
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let (ink, veil) = (colour(style.color()), opacity(style.color(), "stroke"));
        self.sink.push(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{ink}\" stroke-width=\"{}\" \
             stroke-linejoin=\"round\"{veil}/>",
            points(path),
            style.stroke_width()
        ));
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        let paint = paint(style, fill);
        self.sink.push(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {paint}/>"));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let (ink, veil) = (colour(style.color()), opacity(style.color(), "fill"));
        self.sink.push(&format!("<polygon points=\"{}\" fill=\"{ink}\"{veil}/>", points(path)));
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let anchor = match style.anchor().h_pos {
            HPos::Left => "",
            HPos::Center => " text-anchor=\"middle\"",
            HPos::Right => " text-anchor=\"end\"",
        };
        let dy = match style.anchor().v_pos {
            VPos::Top => " dy=\".75em\"",
            VPos::Center => " dy=\".35em\"",
            VPos::Bottom => "",
        };
        let turn = match style.transform() {
            FontTransform::None => String::new(),
            FontTransform::Rotate90 => format!(" transform=\"rotate(90 {x} {y})\""),
            FontTransform::Rotate180 => format!(" transform=\"rotate(180 {x} {y})\""),
            FontTransform::Rotate270 => format!(" transform=\"rotate(270 {x} {y})\""),
        };
        self.sink.push(&format!(
            "<text x=\"{x}\" y=\"{y}\"{dy}{anchor}{turn} font-size=\"{}\" fill=\"{}\"{}>{}</text>",
            style.size().round(),
            colour(style.color()),
            opacity(style.color(), "fill"),
            escape(text)
        ));
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let width = super::font::width(text) * style.size();
        Ok((width.ceil() as u32, style.size().ceil() as u32))
    }
}
