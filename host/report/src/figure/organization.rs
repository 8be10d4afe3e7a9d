//! Network organization against accuracy, one mark for each run.

use super::canvas::{Anchor, Canvas, SMALL};
use super::chart::{Axis, Chart, Frame};
use super::curves::legend;
use super::drawing::Drawing;
use super::palette::series_style;
use super::{Figure, Panel};
use crate::folder::RunFolder;
use crate::summary::correlation;
use crate::text::{measure_name, p_value};

/// The figure of a task: one panel for each measure.
pub fn figure<'a>(run: &'a RunFolder, task: usize, measures: &'a [String]) -> Figure<'a> {
    let mut panels: Vec<Panel<'a>> = measures
        .iter()
        .map(|measure| Panel {
            name: format!("{} against accuracy on {}", measure_name(measure), run.tasks[task].short()),
            draw: Box::new(move |width| panel(width, run, task, measure)),
            wide: false,
        })
        .collect();
    panels.push(legend(run));
    Figure {
        id: format!("organization-{}", run.slug(task)),
        title: format!("Organization against accuracy, {}", run.tasks[task].short()),
        caption:
            "One mark for each run. ρ: Spearman's correlation over all runs of the task; variants differ in \
                  both, so it does not imply a correlation within a variant."
                .into(),
        panels,
        small: false,
        data: None,
    }
}

fn panel(width: f64, run: &RunFolder, task: usize, measure: &str) -> Drawing {
    let height = (0.68 * width).clamp(42.0, 58.0);
    let canvas = Canvas::new(width, height);
    let frame = Frame { left: 13.0, top: 6.5, right: width - 2.5, bottom: height - 8.5 };
    let (split, headline) = run.headline_on(task);
    let points: Vec<(usize, u32, f64, f64)> = run
        .trainings
        .iter()
        .filter(|c| c.task == task)
        .filter_map(|c| Some((c.variant, c.run, c.value("", measure)?, c.value(&split, &headline)?)))
        .collect();
    let range = |of: fn(&(usize, u32, f64, f64)) -> f64| {
        let (low, high) = points
            .iter()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low.is_finite() { (low, high) } else { (0.0, 1.0) }
    };
    let (low, high) = range(|p| p.2);
    let pad = (0.06 * (high - low)).max(1e-6);
    let (bottom, _) = range(|p| p.3);
    let count = ((frame.right - frame.left) / 9.0).max(3.0) as usize;
    let x = Axis::of_values(low - pad, high + pad, count, points.iter().map(|p| p.2));
    let chart = Chart::new(&canvas, frame, x, Axis::new((bottom - 0.04).max(0.0), 1.03, 6));
    chart.name_axes(measure_name(measure).as_str(), "accuracy");
    let (test, n) = correlation(run, task, measure);
    let statistics = match test.statistic.is_nan() {
        true => format!("n = {n}"),
        false => format!("ρ = {:.2}, {}, n = {n}", test.statistic, p_value(test.p)).replace('-', "−"),
    };
    canvas.note(&statistics, (frame.right, 2.4), SMALL, Anchor::End);
    for (variant, name) in run.variants.iter().enumerate() {
        canvas.variant(variant, || {
            for (_, number, x, y) in points.iter().filter(|p| p.0 == variant) {
                canvas.titled(&format!("{name}, run {number}: {x:.3}, accuracy {y:.3}"), || {
                    canvas.marker(chart.at((*x, *y)), 0.75, series_style(variant), 0.55)
                });
            }
        });
    }
    canvas.finish()
}
