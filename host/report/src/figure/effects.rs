//! Effects on accuracy: Cliff's δ and its significance.

use super::accuracy::{margin, row_name};
use super::canvas::{Anchor, Canvas, HAIRLINE, SMALL};
use super::chart::{Axis, Chart, Frame};
use super::drawing::Drawing;
use super::palette::{BLUE, GREY, INK, VERMILLION};
use super::{Figure, Panel, csv_text, number};
use crate::effects::{Comparisons, Effect, TaskStatistics};
use crate::folder::RunFolder;
use crate::text::p_value;

const ROW: f64 = 5.6;
/// Adjusted p below which an effect is significant.
pub const SIGNIFICANT: f64 = 0.05;

/// The figure: one panel for each task.
pub fn figure<'a>(run: &'a RunFolder, statistics: &'a [TaskStatistics]) -> Figure<'a> {
    let panels = run
        .tasks
        .iter()
        .zip(statistics)
        .map(|(task, statistics)| Panel {
            name: format!("size of effects on accuracy, {}", task.short()),
            draw: Box::new(move |width| panel(width, task.short(), &statistics.effects)),
            wide: false,
        })
        .collect();
    let what = match statistics.first().map(|s| s.comparisons) {
        Some(Comparisons::Factors) => {
            "Levels of one factor compared, all else equal; where several pairs of variants differ in it alone, δ is \
             their mean, and p is of the planned contrast of ranks."
        }
        Some(Comparisons::Alone) => "Variants that differ in exactly one aspect, by the Mann–Whitney test.",
        Some(Comparisons::Stated) => "The contrasts that the experiment states, by the Mann–Whitney test.",
        _ => {
            "Every variant against the reference, every point of a sweep against the first of its variant if no \
             reference is stated, by the Mann–Whitney test."
        }
    };
    Figure {
        id: "effects".into(),
        title: "Effects on accuracy".into(),
        caption: format!(
            "{what} Cliff's δ: share of pairs of runs in which the first-named does better, minus the share in \
             which it does worse. Filled marks: p below {SIGNIFICANT} after Holm's adjustment over all rows of the \
             panel."
        ),
        panels,
        small: false,
        data: Some(data(run, statistics)),
    }
}

fn data(run: &RunFolder, statistics: &[TaskStatistics]) -> String {
    let rows = run.tasks.iter().zip(statistics).flat_map(|(task, known)| {
        known.effects.iter().map(|effect| {
            let numbers = [effect.difference, effect.delta, effect.p, effect.holm].map(number);
            [task.label.clone(), effect.name.clone()].into_iter().chain(numbers).collect::<Vec<_>>()
        })
    });
    csv_text(&["task", "effect", "difference", "cliffs_delta", "p", "p_holm"], rows)
}

fn panel(width: f64, title: &str, effects: &[Effect]) -> Drawing {
    let left = margin(effects.iter().map(|e| e.name.as_str()), width);
    let top = 9.0;
    let bottom = top + ROW * effects.len().max(1) as f64 + 1.0;
    let canvas = Canvas::new(width, bottom + 8.5);
    let frame = Frame { left, top, right: width - 15.5, bottom };
    canvas.title(title, left);
    canvas.note("p (Holm)", (width, top - 1.6), SMALL, Anchor::End);
    let rows = Axis::labelled(0.0, 1.0, Vec::new());
    let count = if frame.right - left > 35.0 { 5 } else { 3 };
    let chart = Chart::new(&canvas, frame, Axis::new(-1.05, 1.05, count), rows);
    chart.name_axes("Cliff's δ", "");
    let zero = chart.x(0.0);
    canvas.line(&[(zero, top), (zero, bottom)], INK.fade(0.5), 0.2);
    canvas.note("worse", (frame.left + 0.5, top - 1.6), SMALL, Anchor::Start);
    canvas.note("better", (frame.right - 0.5, top - 1.6), SMALL, Anchor::End);
    if effects.is_empty() {
        canvas.note("nothing to compare yet", (left + 2.0, top + 3.0), SMALL, Anchor::Start);
    }
    for (row, effect) in effects.iter().enumerate() {
        let y = top + ROW * (row as f64 + 0.5) + 0.5;
        row_name(&canvas, &effect.label(), left, y);
        canvas.line(&[(frame.left, y), (frame.right, y)], INK.fade(0.12), HAIRLINE);
        let significant = effect.holm < SIGNIFICANT;
        let colour = match effect.delta {
            d if !significant || d.is_nan() => GREY,
            d if d < 0.0 => BLUE,
            _ => VERMILLION,
        };
        if effect.delta.is_finite() {
            let title =
                format!("{}: difference {:+.3}, δ {:+.2}", effect.meaning, effect.difference, effect.delta);
            canvas.titled(&title, || {
                let x = chart.x(effect.delta);
                canvas.line(&[(zero, y), (x, y)], colour.fade(0.8), 0.5);
                canvas.circle((x, y), 1.1, colour, significant)
            });
        }
        let p =
            if effect.holm.is_nan() { "–".into() } else { p_value(effect.holm).replacen("p = ", "", 1) };
        canvas.note(p.trim_start_matches("p "), (width, y), SMALL, Anchor::End);
    }
    canvas.finish()
}
