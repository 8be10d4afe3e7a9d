//! Accuracy of every run, one row for each variant.

use pallium_core::Levels;
use pallium_stats::quantile;

use super::canvas::{Anchor, Canvas, HAIRLINE, LINE, POINT, SMALL, TEXT, diamond};
use super::chart::{Axis, Chart, Frame};
use super::drawing::Drawing;
use super::palette::{INK, series_style};
use super::{Figure, Panel, csv_text, font, number};
use crate::folder::RunFolder;
use crate::summary::Group;

/// Height of a variant's row, in millimetres.
const ROW: f64 = 5.0;
/// The largest share of a panel's width that names may take.
const NAMES: f64 = 0.42;
/// Dashes of the lines of reference, in millimetres.
const CHANCE: &[f64] = &[0.15, 0.35];
const MEMORYLESS: &[f64] = &[0.7, 0.4];
const IDEAL: &[f64] = &[];

/// The figure: one panel for each task.
pub fn figure<'a>(run: &'a RunFolder, groups: &'a [Vec<Group>]) -> Figure<'a> {
    let panels = run
        .tasks
        .iter()
        .zip(groups)
        .map(|(task, groups)| Panel {
            name: format!("accuracy on {} by variant, every run a dot", task.short()),
            draw: Box::new(move |width| {
                panel(width, task.short(), task.info.as_ref().and_then(|i| i.levels), groups)
            }),
            wide: false,
        })
        .collect();
    Figure {
        id: "accuracy".into(),
        title: "Accuracy".into(),
        caption: "Dots: runs. Box: quartiles (from five runs on). Diamond and bar: mean and 95 % interval. \
                  Open diamond below: published mean and interval, where they exist. Lines: chance \
                  (dotted), the best without memory (dashed), the ideal (solid)."
            .into(),
        panels,
        small: false,
        data: Some(groups_csv(groups.iter().flatten())),
    }
}

/// The numbers of groups of runs: every run, their mean and its interval.
pub fn groups_csv<'a>(groups: impl Iterator<Item = &'a Group>) -> String {
    let head = ["variant", "task", "run", "value", "mean", "interval_low", "interval_high"];
    let rows = groups.flat_map(|group| {
        let known = |value: Option<f64>| value.map_or_else(String::new, number);
        let shared =
            [group.mean, group.interval.map(|ends| ends.0), group.interval.map(|ends| ends.1)].map(known);
        group.runs.iter().zip(&group.values).map(move |(run, value)| {
            let own = [group.variant.clone(), group.task.clone(), run.to_string(), number(*value)];
            own.into_iter().chain(shared.clone()).collect::<Vec<_>>()
        })
    });
    csv_text(&head, rows)
}

/// The width that the names of rows take, in millimetres.
pub fn margin<'a>(names: impl Iterator<Item = &'a str>, width: f64) -> f64 {
    let widest = names.map(font::width).fold(0.0, f64::max) * TEXT * POINT;
    (widest + 3.0).min(NAMES * width)
}

/// Writes the name of a row, shortened where it is too long.
pub fn row_name(canvas: &Canvas, name: &str, right: f64, y: f64) {
    let room = (right - 2.0) / (TEXT * POINT);
    canvas.text(&font::fit(name, room), (right - 1.6, y), TEXT, Anchor::End)
}

/// Draws a task's levels of reference across a chart whose vertical axis is
/// accuracy.
pub fn levels_across(chart: &Chart<'_>, levels: Levels, (first, last): (f64, f64)) {
    let lines = [(Some(levels.chance), CHANCE), (levels.memoryless, MEMORYLESS), (levels.ideal, IDEAL)];
    for (level, dash) in lines {
        if let Some(level) = level {
            chart.line(&[(first, level), (last, level)], INK.fade(0.4), 0.2, dash);
        }
    }
}

/// Draws a task's levels of reference with their names at the top, on a chart
/// whose horizontal axis is accuracy.
pub fn levels(chart: &Chart<'_>, levels: Levels) {
    let Frame { top, bottom, .. } = chart.frame;
    let mut lines = vec![(levels.chance, "chance".to_owned(), CHANCE)];
    for (level, name, dash) in [(levels.memoryless, "no memory", MEMORYLESS), (levels.ideal, "ideal", IDEAL)]
    {
        let Some(level) = level else { continue };
        match lines.iter_mut().find(|l| (l.0 - level).abs() < 1e-9) {
            Some(line) => {
                line.1 = format!("{}, {name}", line.1);
                line.2 = dash;
            }
            None => lines.push((level, name.into(), dash)),
        }
    }
    for (level, name, dash) in lines {
        let x = chart.x(level);
        chart.canvas.dashed(&[(x, top), (x, bottom)], INK.fade(0.55), 0.2, dash);
        chart.canvas.note(&name, (chart.canvas.within(&name, x, SMALL), top - 1.6), SMALL, Anchor::Middle);
    }
}

fn panel(width: f64, title: &str, known: Option<Levels>, groups: &[Group]) -> Drawing {
    let left = margin(groups.iter().map(|g| g.variant.as_str()), width);
    let top = 9.0;
    let bottom = top + ROW * groups.len() as f64 + 1.0;
    let canvas = Canvas::new(width, bottom + 8.0);
    let frame = Frame { left, top, right: width - 3.0, bottom };
    canvas.title(title, left);

    let all = groups.iter().flat_map(|g| g.values.iter().copied());
    let published = groups.iter().filter_map(|g| g.published.as_ref());
    let lowest = all
        .chain(published.filter_map(|p| p.lower.or(p.mean)))
        .chain(known.map(|l| l.chance))
        .fold(1.0, f64::min);
    let low = ((lowest - 0.03) * 10.0).floor() / 10.0;
    let x = Axis::new(low.max(0.0), 1.02, ((frame.right - left) / 8.0).max(3.0) as usize);
    let chart = Chart::new(&canvas, frame, x, Axis::labelled(0.0, groups.len() as f64, Vec::new()));
    chart.name_axes("accuracy", "");
    if let Some(known) = known {
        levels(&chart, known);
    }
    for (place, group) in groups.iter().enumerate() {
        let y = top + ROW * (place as f64 + 0.5) + 0.5;
        canvas.variant(place, || row(&chart, place, group, y));
    }
    canvas.finish()
}

fn row(chart: &Chart<'_>, place: usize, group: &Group, y: f64) {
    let canvas = chart.canvas;
    row_name(canvas, &group.variant, chart.frame.left, y);
    let style = series_style(place);
    if let Some(published) = group.published.filter(|p| !p.diverged)
        && let Some(mean) = published.mean
    {
        let text = format!("published: {mean:.3}");
        canvas.titled(&text, || {
            let below = y + 1.75;
            if let (Some(low), Some(high)) = (published.lower, published.upper) {
                canvas.line(&[(chart.x(low), below), (chart.x(high), below)], INK.fade(0.6), HAIRLINE);
            }
            canvas.outline(&diamond((chart.x(mean), below), 0.65), INK.fade(0.75));
        });
    }
    if group.values.len() >= 5 {
        let mut sorted = group.values.clone();
        sorted.sort_by(f64::total_cmp);
        let [q1, q2, q3] = [0.25, 0.5, 0.75].map(|q| chart.x(quantile(&sorted, q)));
        let (up, down) = (y - 1.25, y + 1.05);
        canvas.block((q1, up), (q3, down), style.colour.fade(0.16));
        let quartiles = Frame { left: q1, top: up, right: q3, bottom: down };
        canvas.outline(&quartiles.corners(), style.colour.fade(0.7));
        canvas.line(&[(q2, up), (q2, down)], style.colour, 0.25);
    }
    for ((value, run), offset) in group.values.iter().zip(&group.runs).zip(scatter(&group.values)) {
        let at = (chart.x(*value), y - 0.1 + offset);
        canvas.titled(&format!("{}, run {run}: {value:.3}", group.variant), || {
            canvas.marker(at, 0.6, style, 0.7)
        });
    }
    if let Some(mean) = group.mean {
        canvas.titled(
            &format!("{}: {} (n = {})", group.variant, group.estimate(), group.values.len()),
            || {
                if let Some((low, high)) = group.interval {
                    let ends = [(chart.x(low), y - 0.1), (chart.x(high), y - 0.1)];
                    canvas.line(&ends, INK, LINE);
                }
                canvas.polygon(&diamond((chart.x(mean), y - 0.1), 0.75), INK);
            },
        );
    } else {
        let why = match (group.diverged, group.failed) {
            (0, 0) => "to do".to_owned(),
            (0, failed) => format!("{failed} failed"),
            (diverged, _) => format!("{diverged} diverged"),
        };
        canvas.note(&why, (chart.frame.left + 2.0, y), SMALL, Anchor::Start);
    }
}

/// Vertical offsets in millimetres that keep similar values apart: each next
/// neighbour is moved farther, alternately up and down.
fn scatter(values: &[f64]) -> Vec<f64> {
    const NEAR: f64 = 0.012;
    const STEP: f64 = 0.26;
    const FARTHEST: f64 = 1.1;
    let mut offsets = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        let before = values[..i].iter().filter(|v| (*v - value).abs() < NEAR).count();
        let side = if before.is_multiple_of(2) { -1.0 } else { 1.0 };
        offsets.push((STEP * before.div_ceil(2) as f64).min(FARTHEST) * side);
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_apart() {
        let offsets = scatter(&[0.5, 0.9, 0.5, 0.5]);
        assert_eq!((offsets[0], offsets[1]), (-0.0, -0.0));
        assert!(offsets[2] > 0.0 && offsets[3] < 0.0);
        assert!(scatter(&[1.0; 200]).iter().all(|o| o.abs() <= 1.1));
    }
}
