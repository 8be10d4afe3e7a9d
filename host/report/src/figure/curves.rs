//! Learning curves: mean over runs with a band.

use std::collections::BTreeMap;

use super::accuracy::levels_across;
use super::canvas::{Anchor, Canvas, LINE, POINT, TEXT};
use super::chart::{Axis, Chart, Frame};
use super::drawing::Drawing;
use super::palette::series_style;
use super::{Figure, Panel, font};
use crate::folder::{RunFolder, curve};
use pallium_record::outcome::{Epoch, Status};
use pallium_stats as stats;

/// A mean and the quartiles at one epoch.
#[derive(Clone, Copy, Debug)]
pub struct CurvePoint {
    epoch: f64,
    mean: f64,
    band: Option<(f64, f64)>,
}

/// The quantity that a panel shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Accuracy,
    Loss,
}

/// Curves of one quantity: by task, then variant.
type Curves = Vec<Vec<Vec<CurvePoint>>>;

/// The curves of all runs.
pub struct LearningCurves {
    accuracy: Curves,
    loss: Curves,
}

impl LearningCurves {
    /// Reads the curves of all finished trainings.
    pub fn read(run: &RunFolder) -> Self {
        let epochs = |variant, task: usize| -> Vec<Vec<Epoch>> {
            let ok = run.group(variant, task).filter(|c| c.status == Status::Ok);
            let member = run.tasks[task].member.as_deref();
            ok.filter_map(|c| c.about.as_ref()).map(|about| curve(about, member)).collect()
        };
        let (mut accuracy, mut loss) = (Curves::new(), Curves::new());
        for task in 0..run.tasks.len() {
            let curves: Vec<_> = (0..run.variants.len()).map(|v| epochs(v, task)).collect();
            // Without validation trials, what training saw.
            let of = |pick: fn(&Epoch) -> Option<f64>| curves.iter().map(|c| mean(c, pick)).collect();
            accuracy.push(of(|e| e.validation_accuracy.or(e.running_accuracy)));
            loss.push(of(|e| e.validation_loss.or(Some(e.running_loss))));
        }
        LearningCurves { accuracy, loss }
    }

    /// Whether no training has a curve.
    pub fn is_empty(&self) -> bool {
        self.accuracy.iter().flatten().all(Vec::is_empty)
    }
}

fn mean(runs: &[Vec<Epoch>], pick: fn(&Epoch) -> Option<f64>) -> Vec<CurvePoint> {
    let mut at: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for epoch in runs.iter().flatten() {
        at.entry(epoch.epoch).or_default().extend(pick(epoch).filter(|v| v.is_finite()));
    }
    at.into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(epoch, mut values)| {
            values.sort_by(f64::total_cmp);
            CurvePoint {
                epoch: f64::from(epoch),
                mean: stats::mean(&values),
                band: (values.len() > 1)
                    .then(|| (stats::quantile(&values, 0.25), stats::quantile(&values, 0.75))),
            }
        })
        .collect()
}

/// The figure: accuracy and loss on the validation trials, one panel for each
/// task.
pub fn figure<'a>(run: &'a RunFolder, curves: &'a LearningCurves) -> Figure<'a> {
    let mut panels = Vec::new();
    for what in [Quantity::Accuracy, Quantity::Loss] {
        for (place, task) in run.tasks.iter().enumerate() {
            let name = if what == Quantity::Accuracy { "accuracy" } else { "loss" };
            panels.push(Panel {
                name: format!("validation {name} by epoch on {}", task.short()),
                draw: Box::new(move |width| panel(width, run, curves, place, what)),
                wide: false,
            });
        }
    }
    panels.push(legend(run));
    Figure {
        id: "learning".into(),
        title: "Learning curves".into(),
        caption: "Accuracy and cross-entropy on the validation trials after each epoch, without noise and \
                  penalty: mean over runs that did not diverge; band: the middle half of them (quartiles), which shows \
                  where some runs have learned and others have not."
            .into(),
        panels,
        small: false,
        data: None,
    }
}

/// A legend of the variants, across a figure.
pub fn legend(run: &RunFolder) -> Panel<'_> {
    legend_of(run.variants.clone())
}

/// A legend of these names, across a figure.
pub fn legend_of<'a>(names: Vec<String>) -> Panel<'a> {
    Panel {
        name: "legend: variants".into(),
        draw: Box::new(move |width| {
            let widest = names.iter().map(|v| font::width(v)).fold(0.0, f64::max) * TEXT * POINT;
            let column = (widest + 12.0).min(width);
            let columns = ((width / column).floor() as usize).max(1);
            let rows = names.len().div_ceil(columns);
            let canvas = Canvas::new(width, 4.4 * rows as f64 + 1.0);
            for (place, variant) in names.iter().enumerate() {
                let (x, y) = ((place % columns) as f64 * column, 2.4 + 4.4 * (place / columns) as f64);
                canvas.variant(place, || {
                    let style = series_style(place);
                    canvas.dashed(&[(x + 0.5, y), (x + 7.5, y)], style.colour, 0.45, style.dash);
                    canvas.marker((x + 4.0, y), 0.9, style, 1.0);
                    let room = (column - 9.5) / (TEXT * POINT);
                    canvas.text(&font::fit(variant, room), (x + 9.0, y), TEXT, Anchor::Start)
                });
            }
            canvas.finish()
        }),
        wide: true,
    }
}

fn panel(width: f64, run: &RunFolder, curves: &LearningCurves, task: usize, what: Quantity) -> Drawing {
    let all = if what == Quantity::Accuracy { &curves.accuracy[task] } else { &curves.loss[task] };
    let height = (0.68 * width).clamp(42.0, 60.0);
    let canvas = Canvas::new(width, height);
    let frame = Frame { left: 13.0, top: 6.5, right: width - 2.0, bottom: height - 8.5 };
    canvas.title(run.tasks[task].short(), frame.left);
    let points = || all.iter().flatten();
    let last = points().map(|p| p.epoch).fold(1.0, f64::max);
    let ends =
        points().flat_map(|p| [p.mean, p.band.map_or(p.mean, |b| b.0), p.band.map_or(p.mean, |b| b.1)]);
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let levels = run.tasks[task].info.as_ref().and_then(|i| i.levels);
    let (low, high) = match (what, levels) {
        (Quantity::Accuracy, Some(levels)) => ((low.min(levels.chance) - 0.03).max(0.0), 1.02),
        (Quantity::Accuracy, None) => ((low - 0.03).max(0.0), 1.02),
        (Quantity::Loss, _) => (0.0, if high.is_finite() { 1.05 * high } else { 1.0 }),
    };
    let y = Axis::new(low.min(high - 1e-6), high, 6);
    let first = if last > 1.0 { 1.0 } else { 0.5 };
    let chart = Chart::new(&canvas, frame, Axis::whole(first, last.max(first + 0.5), 10), y);
    let of_classes = run.tasks[task].info.as_ref().is_none_or(|info| info.loss.of_classes());
    let quantity = match what {
        Quantity::Accuracy => "validation accuracy",
        Quantity::Loss if of_classes => "validation loss (nats)",
        Quantity::Loss => "validation loss",
    };
    chart.name_axes("epoch", quantity);
    if let (Quantity::Accuracy, Some(levels)) = (what, levels) {
        levels_across(&chart, levels, (first, last));
    }
    for (place, curve) in all.iter().enumerate() {
        canvas.variant(place, || {
            let style = series_style(place);
            let clamp = |v: f64| v.clamp(low, high);
            let mut shape: Vec<(f64, f64)> =
                curve.iter().filter_map(|p| Some((p.epoch, clamp(p.band?.1)))).collect();
            shape.extend(curve.iter().rev().filter_map(|p| Some((p.epoch, clamp(p.band?.0)))));
            if shape.len() > 2 {
                chart.polygon(&shape, style.colour.fade(0.13));
            }
            let middle: Vec<(f64, f64)> = curve.iter().map(|p| (p.epoch, p.mean)).collect();
            if middle.len() > 1 {
                chart.line(&middle, style.colour, LINE, style.dash);
            }
            for (at, point) in curve.iter().zip(&middle) {
                // The marker identifies the line where colours repeat.
                if at.epoch == last {
                    canvas.marker(chart.at(*point), 0.8, style, 1.0);
                }
            }
        });
    }
    canvas.finish()
}
