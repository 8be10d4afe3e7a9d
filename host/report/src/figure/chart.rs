//! Two axes with round tick labels, and data drawn between them.

use super::canvas::{Anchor, Canvas, HAIRLINE, POINT, SMALL, TEXT};
use super::drawing::Point;
use super::font;
use super::palette::{Colour, INK};

/// A rectangle on the canvas, in millimetres.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl Frame {
    /// Its corners, clockwise from the upper left.
    pub fn corners(self) -> [Point; 4] {
        let Frame { left, top, right, bottom } = self;
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    }
}

/// An axis: its range and its labels.
#[derive(Clone)]
pub struct Axis {
    ticks: Vec<(f64, String)>,
    low: f64,
    high: f64,
}

impl Axis {
    /// An axis from `low` to `high` with up to `count` labels at round numbers.
    pub fn new(low: f64, high: f64, count: usize) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Axis { ticks: round_ticks(low, high, count), low, high }
    }

    /// An axis of whole numbers, labelled at whole numbers only.
    pub fn whole(low: f64, high: f64, count: usize) -> Self {
        let axis = Axis::new(low, high, count.min((high - low).floor() as usize + 1));
        Axis {
            ticks: axis.ticks.into_iter().filter(|(value, _)| value.fract() == 0.0).map(whole).collect(),
            ..axis
        }
    }

    /// The axis of these values: of whole numbers if all of them are.
    pub fn of_values(low: f64, high: f64, count: usize, mut values: impl Iterator<Item = f64>) -> Self {
        if values.all(|v| v.fract() == 0.0) {
            Axis::whole(low, high, count)
        } else {
            Axis::new(low, high, count)
        }
    }

    /// An axis of decimal logarithms, labelled with powers of ten.
    pub fn logarithmic(low: f64, high: f64, count: usize) -> Self {
        let (first, last) = (low.ceil() as i32, high.floor() as i32);
        let step = ((last - first) / count.max(1) as i32).max(1);
        let ticks = (first..=last).filter(|e| e.rem_euclid(step) == 0).map(|e| (f64::from(e), power(e)));
        Axis { ticks: ticks.collect(), low, high: high.max(low + 1.0) }
    }

    /// An axis with these labels.
    pub fn labelled(low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        Axis { ticks, low, high }
    }

    /// The width of its widest label, in millimetres.
    fn widest(&self) -> f64 {
        self.ticks.iter().map(|t| font::width(&t.1)).fold(0.0, f64::max) * SMALL * POINT
    }

    /// The position of a value between the axis's two ends on the canvas.
    /// Values beyond the range are drawn at its end.
    fn position(&self, value: f64, from: f64, to: f64) -> f64 {
        from + (to - from) * (value.clamp(self.low, self.high) - self.low) / (self.high - self.low)
    }
}

/// The multiples of the smallest 1, 2 or 5 times a power of ten that are no
/// more than `count` between `low` and `high`.
fn round_ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    // Tolerates what rounding does to a range that ends at a multiple.
    const SLACK: f64 = 1e-9;
    if count == 0 || !(high - low).is_finite() {
        return Vec::new();
    }
    let smallest = ((high - low) / count as f64).log10().floor() as i32;
    let steps = (smallest..=smallest + 2).flat_map(|exponent| [1, 2, 5].map(|digit| (digit, exponent)));
    for (digit, exponent) in steps {
        let step = f64::from(digit) * 10f64.powi(exponent);
        let first = (low / step - SLACK).ceil() as i64;
        let last = (high / step + SLACK).floor() as i64;
        if last - first < count as i64 {
            let digits = usize::try_from(-exponent).unwrap_or(0);
            let value = |multiple: i64| match exponent {
                // Dividing by a whole number gives the nearest number to 0.3.
                ..0 => (multiple * i64::from(digit)) as f64 / 10f64.powi(-exponent),
                _ => multiple as f64 * step,
            };
            return (first..=last).map(value).map(|v| (v, label(v, digits))).collect();
        }
    }
    Vec::new()
}

/// A tick at a whole number, labelled without decimals.
fn whole((value, _): (f64, String)) -> (f64, String) {
    (value, label(value, 0))
}

/// A number with this number of decimals; a very large or small one as a multiple
/// of a power of ten.
fn label(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = match value {
        0.0 if text.len() > 8 => "0".into(),
        v if text.len() > 8 => {
            let exponent = v.abs().log10().floor() as i32;
            let mantissa = format!("{:.2}", v / 10f64.powi(exponent));
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            match mantissa {
                "1" => power(exponent),
                "-1" => format!("-{}", power(exponent)),
                _ => format!("{mantissa}·{}", power(exponent)),
            }
        }
        _ => text,
    };
    text.replace('-', "−")
}

/// `10⁻³`.
fn power(exponent: i32) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    match exponent {
        0 => "1".into(),
        1 => "10".into(),
        e => {
            let digits: String = e.abs().to_string().bytes().map(|b| RAISED[usize::from(b - b'0')]).collect();
            format!("10{}{digits}", if e < 0 { "⁻" } else { "" })
        }
    }
}

/// Room for the name of the vertical axis, in millimetres.
const AXIS_NAME: f64 = 5.0;
/// Distance of labels from the vertical axis, in millimetres.
const LABEL: f64 = 1.4;

/// Two axes and the area between them.
pub struct Chart<'a> {
    /// The canvas it is drawn on.
    pub canvas: &'a Canvas,
    /// The area between the axes.
    pub frame: Frame,
    x: Axis,
    y: Axis,
}

impl<'a> Chart<'a> {
    /// Draws both axes.
    ///
    /// The frame begins farther right than asked where labels need the room.
    pub fn new(canvas: &'a Canvas, mut frame: Frame, x: Axis, y: Axis) -> Self {
        if !y.ticks.is_empty() {
            frame.left = frame.left.max(AXIS_NAME + LABEL + y.widest()).min(0.8 * canvas.width);
        }
        let chart = Chart { canvas, frame, x, y };
        let Frame { left, top, right, bottom } = frame;
        let ink = INK.fade(0.7);
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], ink, HAIRLINE);
        let mut end = f64::NEG_INFINITY;
        for (value, label) in &chart.x.ticks {
            let x = chart.x(*value);
            canvas.line(&[(x, bottom), (x, bottom + 0.8)], ink, HAIRLINE);
            let (middle, half) = (canvas.within(label, x, SMALL), 0.5 * font::width(label) * SMALL * POINT);
            // A label that would cover the one before is left out.
            if middle - half > end {
                canvas.text(label, (middle, bottom + 2.5), SMALL, Anchor::Middle);
                end = middle + half;
            }
        }
        for (value, label) in &chart.y.ticks {
            let y = chart.y(*value);
            canvas.line(&[(left - 0.8, y), (left, y)], ink, HAIRLINE);
            canvas.text(label, (left - LABEL, y), SMALL, Anchor::End);
        }
        chart
    }

    /// Writes the names of the axes; an empty name is left out.
    pub fn name_axes(&self, x: &str, y: &str) {
        let Frame { left, top, right, bottom } = self.frame;
        if !x.is_empty() {
            let name = font::fit(x, self.canvas.width / (TEXT * POINT));
            let middle = self.canvas.within(&name, 0.5 * (left + right), TEXT);
            self.canvas.text(&name, (middle, bottom + 6.0), TEXT, Anchor::Middle);
        }
        if !y.is_empty() {
            let x = left - LABEL - 0.5 * AXIS_NAME - self.y.widest();
            let name = font::fit(y, self.canvas.height / (TEXT * POINT));
            let half = 0.5 * font::width(&name) * TEXT * POINT;
            let middle = (0.5 * (top + bottom)).min(self.canvas.height - half).max(half);
            self.canvas.upwards(&name, (x, middle), TEXT);
        }
    }

    /// The position of a value of the horizontal axis.
    pub fn x(&self, value: f64) -> f64 {
        self.x.position(value, self.frame.left, self.frame.right)
    }

    /// The position of a value of the vertical axis.
    pub fn y(&self, value: f64) -> f64 {
        self.y.position(value, self.frame.bottom, self.frame.top)
    }

    /// The position of a pair of values.
    pub fn at(&self, (x, y): (f64, f64)) -> Point {
        (self.x(x), self.y(y))
    }

    /// Draws a line through data.
    pub fn line(&self, values: &[(f64, f64)], colour: Colour, width: f64, dash: &'static [f64]) {
        let points: Vec<Point> = values.iter().map(|v| self.at(*v)).collect();
        self.canvas.dashed(&points, colour, width, dash);
    }

    /// Fills the polygon through data.
    pub fn polygon(&self, values: &[(f64, f64)], fill: Colour) {
        let points: Vec<Point> = values.iter().map(|v| self.at(*v)).collect();
        self.canvas.polygon(&points, fill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks.into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn axes_are_labelled_at_round_numbers() {
        assert_eq!(labels(Axis::new(0.0, 1.0, 6)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Axis::new(-1.0, 1.0, 5)), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(Axis::new(0.0, 48.0, 6)), ["0", "10", "20", "30", "40"]);
        assert_eq!(labels(Axis::new(0.0012, 0.0031, 3)), ["0.002", "0.003"]);
        assert_eq!(labels(Axis::new(0.0, 2.5e6, 3)), ["0", "1000000", "2000000"]);
        assert_eq!(labels(Axis::new(0.0, 2.5e30, 3)), ["0", "10³⁰", "2·10³⁰"]);
        assert_eq!(labels(Axis::new(-3e-9, 0.0, 4)), ["−3·10⁻⁹", "−2·10⁻⁹", "−10⁻⁹", "0"]);
        assert_eq!(labels(Axis::logarithmic(-4.0, 1.0, 5)), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "1", "10"]);
        assert!(!labels(Axis::new(3.0, 3.0, 5)).is_empty());
        assert!(labels(Axis::new(0.0, 1.0, 0)).is_empty());
    }

    #[test]
    fn axes_of_whole_numbers_have_whole_labels() {
        assert_eq!(labels(Axis::whole(1.0, 2.0, 3)), ["1", "2"]);
        assert_eq!(labels(Axis::whole(0.5, 1.0, 2)), ["1"]);
        assert_eq!(labels(Axis::whole(1.0, 10.0, 10)), ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
        assert_eq!(labels(Axis::of_values(2.8, 4.2, 9, [3.0, 4.0].into_iter())), ["3", "4"]);
        assert_eq!(labels(Axis::of_values(2.8, 4.2, 3, [3.5, 4.0].into_iter())), ["3.0", "3.5", "4.0"]);
    }

    #[test]
    fn values_are_drawn_where_the_axis_has_them() {
        let axis = Axis::new(0.0, 3.0, 5);
        assert_eq!(axis.position(1.0, 10.0, 20.0), 10.0 + 10.0 / 3.0);
        // Upwards, and beyond the ends.
        assert_eq!(axis.position(0.75, 20.0, 10.0), 17.5);
        assert_eq!([axis.position(-1.0, 10.0, 20.0), axis.position(9.0, 10.0, 20.0)], [10.0, 20.0]);
    }
}
