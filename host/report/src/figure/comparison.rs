//! Accuracies of several run folders.

use pallium_core::Levels;

use super::accuracy::{levels, margin, row_name};
use super::canvas::{Anchor, Canvas, HAIRLINE, LINE, POINT, TEXT, diamond};
use super::chart::{Axis, Chart, Frame};
use super::drawing::Drawing;
use super::palette::{INK, series_style};
use super::{Figure, Panel, csv_text, font, number};
use crate::compare::{Comparison, SharedTask};

/// The figure: one panel for each task, one row for each variant, one mark for
/// each run folder.
pub fn figure(comparison: &Comparison) -> Figure<'_> {
    let mut panels: Vec<Panel<'_>> = comparison
        .tasks
        .iter()
        .map(|task| Panel {
            name: format!("accuracy on {} of several runs", task.name),
            draw: Box::new(move |width| panel(width, comparison, task)),
            wide: false,
        })
        .collect();
    panels.push(Panel {
        name: "legend: runs".into(),
        draw: Box::new(move |width| legend(width, &comparison.names)),
        wide: true,
    });
    Figure {
        id: "comparison".into(),
        title: "Accuracy of several runs".into(),
        caption:
            "Marks and bars: means and 95 % intervals. Open diamonds: published means and intervals, where they \
                  exist (Table 2 above Table 3). Lines: chance (dotted), the best without memory (dashed), the ideal (solid)."
                .into(),
        panels,
        small: false,
        data: Some(data(comparison)),
    }
}

/// The means of every folder with their intervals.
fn data(comparison: &Comparison) -> String {
    let head = ["task", "variant", "folder", "runs", "mean", "interval_low", "interval_high"];
    let rows = comparison.tasks.iter().flat_map(|task| {
        task.rows.iter().zip(&comparison.variants).flat_map(move |(row, variant)| {
            row.iter().zip(&comparison.names).filter_map(move |(group, folder)| {
                let group = group.as_ref()?;
                let known = |value: Option<f64>| value.map_or_else(String::new, number);
                Some([
                    task.name.clone(),
                    variant.clone(),
                    folder.clone(),
                    group.values.len().to_string(),
                    known(group.mean),
                    known(group.interval.map(|ends| ends.0)),
                    known(group.interval.map(|ends| ends.1)),
                ])
            })
        })
    });
    csv_text(&head, rows)
}

fn panel(width: f64, comparison: &Comparison, task: &SharedTask) -> Drawing {
    let step = 1.7;
    let papers = comparison.papers();
    let row = (step * (comparison.names.len() + papers.len()) as f64 + 1.2).max(5.0);
    let variants: Vec<usize> =
        (0..comparison.variants.len()).filter(|&v| task.rows[v].iter().any(Option::is_some)).collect();
    let left = margin(variants.iter().map(|&v| comparison.variants[v].as_str()), width);
    let top = 9.0;
    let bottom = top + row * variants.len() as f64 + 1.0;
    let canvas = Canvas::new(width, bottom + 8.0);
    let frame = Frame { left, top, right: width - 3.0, bottom };
    canvas.title(&task.name, left);
    let known: Option<Levels> = comparison
        .reports
        .iter()
        .flat_map(|r| &r.run.tasks)
        .filter(|t| t.short() == task.name)
        .find_map(|t| t.info.as_ref().and_then(|i| i.levels));
    let groups = || task.rows.iter().flatten().flatten();
    let lowest = groups()
        .filter_map(|g| g.interval.map(|i| i.0).or(g.mean))
        .chain(known.map(|l| l.chance))
        .fold(1.0, f64::min);
    let low = (((lowest - 0.03) * 10.0).floor() / 10.0).max(0.0);
    let count = ((frame.right - left) / 8.0).max(3.0) as usize;
    let chart = Chart::new(&canvas, frame, Axis::new(low, 1.02, count), Axis::labelled(0.0, 1.0, Vec::new()));
    chart.name_axes("accuracy", "");
    if let Some(known) = known {
        levels(&chart, known);
    }
    for (place, &variant) in variants.iter().enumerate() {
        let start = top + row * place as f64 + 0.5;
        row_name(&canvas, &comparison.variants[variant], left, start + 0.5 * row);
        canvas.line(&[(frame.left, start + row), (frame.right, start + row)], INK.fade(0.12), HAIRLINE);
        for (number, group) in task.rows[variant].iter().enumerate() {
            let Some(group) = group else { continue };
            let Some(mean) = group.mean else { continue };
            let y = start + 1.2 + step * number as f64;
            let style = series_style(number);
            let text = format!("{}, {}: {mean:.3}", comparison.names[number], group.variant);
            canvas.variant(number, || {
                canvas.titled(&text, || {
                    if let Some((low, high)) = group.interval {
                        canvas.line(&[(chart.x(low), y), (chart.x(high), y)], style.colour, LINE);
                    }
                    canvas.marker((chart.x(mean), y), 0.75, style, 1.0)
                })
            });
        }
        for (paper, published) in comparison.published(task, variant, "running_accuracy") {
            let Some(number) = papers.iter().position(|p| *p == paper).filter(|_| !published.diverged) else {
                continue;
            };
            let Some(mean) = published.mean else { continue };
            let y = start + 1.2 + step * (comparison.names.len() + number) as f64;
            if let (Some(low), Some(high)) = (published.lower, published.upper) {
                canvas.line(&[(chart.x(low), y), (chart.x(high), y)], INK.fade(0.6), HAIRLINE);
            }
            canvas.titled(&format!("published, {}: {mean:.3}", paper.name()), || {
                canvas.outline(&diamond((chart.x(mean), y), 0.75), INK.fade(0.8));
            });
        }
    }
    canvas.finish()
}

fn legend(width: f64, names: &[String]) -> Drawing {
    let canvas = Canvas::new(width, 4.4 * names.len() as f64 + 1.0);
    for (place, name) in names.iter().enumerate() {
        let y = 2.4 + 4.4 * place as f64;
        canvas.variant(place, || {
            canvas.marker((3.0, y), 0.9, series_style(place), 1.0);
            let room = (width - 8.0) / (TEXT * POINT);
            canvas.text(&font::fit(name, room), (6.0, y), TEXT, Anchor::Start)
        });
    }
    canvas.finish()
}
