//! Paths of the conditions in the first two principal components of activity.

use super::canvas::{Anchor, Canvas, LINE, POINT, SMALL, TEXT, TITLE};
use super::chart::{Axis, Chart, Frame};
use super::drawing::Drawing;
use super::palette::{GREY, INK, series_style};
use super::{Figure, Panel, csv_text, font, number};
use crate::folder::RunFolder;
use crate::trajectories::Trajectories;

/// The figure of a task: one panel for each variant; `None` if no metric stored paths.
pub fn figure<'a>(run: &'a RunFolder, task: usize, all: &'a [Trajectories]) -> Option<Figure<'a>> {
    let own = || all.iter().filter(move |paths| paths.task == task);
    let mut panels: Vec<Panel<'a>> = own()
        .map(|paths| Panel {
            name: format!("paths of the conditions of {} in two components", run.variants[paths.variant]),
            draw: Box::new(move |width| panel(width, run, paths)),
            wide: false,
        })
        .collect();
    let conditions = own().next()?.conditions.clone();
    panels.push(Panel {
        name: "legend: conditions".into(),
        draw: Box::new(move |width| legend(width, &conditions)),
        wide: true,
    });
    Some(Figure {
        id: format!("trajectories-{}", run.slug(task)),
        title: format!("Activity in its first two components, {}", run.tasks[task].short()),
        caption: "Mean activity of each condition over time, from the dot to the mark, of the run of median accuracy. \
                  Diamonds: fixed points, filled if stable; grey: slow points."
            .into(),
        panels,
        small: false,
        data: Some(table(run, own())),
    })
}

/// All paths and points, as CSV.
fn table<'a>(run: &RunFolder, own: impl Iterator<Item = &'a Trajectories>) -> String {
    let rows = own.flat_map(|paths| {
        let about =
            |kind: &str| [run.variants[paths.variant].clone(), paths.run.to_string(), kind.to_owned()];
        let steps = paths.paths.outer_iter().zip(&paths.conditions).flat_map(move |(path, name)| {
            let rows = path.outer_iter().map(|row| [row[0], row[1]]).enumerate();
            rows.filter(|(_, at)| at[0].is_finite())
                .map(|(step, at)| {
                    let rest = [name.clone(), step.to_string(), number(at[0]), number(at[1])];
                    about("path").into_iter().chain(rest).chain([String::new(), String::new()]).collect()
                })
                .collect::<Vec<Vec<String>>>()
        });
        let points = paths.points.iter().map(move |point| {
            let kind = if point.is_fixed() { "fixed point" } else { "slow point" };
            let at = [String::new(), String::new(), number(point.at[0]), number(point.at[1])];
            about(kind).into_iter().chain(at).chain([number(point.q), point.stable.to_string()]).collect()
        });
        steps.chain(points).collect::<Vec<Vec<String>>>()
    });
    csv_text(
        &["variant", "run", "kind", "condition", "step", "component_1", "component_2", "q", "stable"],
        rows,
    )
}

/// An axis around some values, with some room.
fn axis(values: impl Iterator<Item = f64>) -> Axis {
    let known = values.filter(|value| value.is_finite());
    let (low, high) =
        known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = 0.06 * (high - low).max(1e-9);
    if low <= high { Axis::new(low - room, high + room, 5) } else { Axis::new(-1.0, 1.0, 5) }
}

fn panel(width: f64, run: &RunFolder, paths: &Trajectories) -> Drawing {
    let height = (0.85 * width).clamp(42.0, 75.0);
    let canvas = Canvas::new(width, height);
    let frame = Frame { left: 13.0, top: 6.5, right: width - 2.0, bottom: height - 8.5 };
    let title = font::fit(&run.variants[paths.variant], 0.6 * width / (TITLE * POINT));
    canvas.text(&title, (frame.left, 2.4), TITLE, Anchor::Start);
    canvas.note(&format!("run {}", paths.run), (width, 2.4), SMALL, Anchor::End);
    let values = |at: usize| {
        let of_points = paths.points.iter().map(move |point| point.at[at]);
        paths.paths.outer_iter().flat_map(move |path| path.column(at).to_vec()).chain(of_points)
    };
    let chart = Chart::new(&canvas, frame, axis(values(0)), axis(values(1)));
    let name = |at: usize| match paths.explained[at] {
        share if share.is_finite() => format!("component {} ({:.0} %)", at + 1, 100.0 * share),
        _ => format!("component {}", at + 1),
    };
    chart.name_axes(&name(0), &name(1));
    for (place, path) in paths.paths.outer_iter().enumerate() {
        let style = series_style(place);
        let known: Vec<(f64, f64)> =
            path.outer_iter().map(|row| (row[0], row[1])).filter(|at| at.0.is_finite()).collect();
        let (Some(first), Some(last)) = (known.first(), known.last()) else { continue };
        canvas.titled(&paths.conditions[place], || {
            chart.line(&known, style.colour.fade(0.8), LINE, style.dash);
            canvas.circle(chart.at(*first), 0.5, style.colour, true);
            canvas.marker(chart.at(*last), 0.9, style, 1.0);
        });
    }
    for point in &paths.points {
        let corners = super::canvas::diamond(chart.at((point.at[0], point.at[1])), 1.2);
        match (point.is_fixed(), point.stable) {
            (true, true) => canvas.polygon(&corners, INK),
            (true, false) => canvas.outline(&corners, INK),
            (false, _) => canvas.polygon(&corners, GREY.fade(0.7)),
        }
    }
    canvas.finish()
}

fn legend(width: f64, conditions: &[String]) -> Drawing {
    let widest = conditions.iter().map(|name| font::width(name)).fold(0.0, f64::max) * TEXT * POINT;
    let column = (widest + 12.0).min(width);
    let columns = ((width / column).floor() as usize).max(1);
    let canvas = Canvas::new(width, 4.4 * conditions.len().div_ceil(columns) as f64 + 1.0);
    for (place, name) in conditions.iter().enumerate() {
        let (x, y) = ((place % columns) as f64 * column, 2.4 + 4.4 * (place / columns) as f64);
        let style = series_style(place);
        canvas.dashed(&[(x + 0.5, y), (x + 7.5, y)], style.colour, 0.45, style.dash);
        canvas.marker((x + 4.0, y), 0.9, style, 1.0);
        canvas.text(&font::fit(name, (column - 9.5) / (TEXT * POINT)), (x + 9.0, y), TEXT, Anchor::Start);
    }
    canvas.finish()
}
