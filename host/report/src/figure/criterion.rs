//! The share of runs that have reached the criterion, by trials of training.

use super::canvas::{Canvas, LINE};
use super::chart::{Axis, Chart, Frame};
use super::curves::legend;
use super::drawing::Drawing;
use super::palette::series_style;
use super::{Figure, Panel, csv_text, number};
use crate::folder::RunFolder;
use crate::learning::{GroupLearning, TaskLearning};

/// The figure: one panel for each task that has a criterion.
pub fn figure<'a>(run: &'a RunFolder, learning: &'a [TaskLearning]) -> Figure<'a> {
    let mut panels: Vec<Panel<'a>> = Vec::new();
    for (place, known) in learning.iter().enumerate().filter(|(_, known)| known.is_known()) {
        panels.push(Panel {
            name: format!("share of runs at the criterion by trials on {}", run.tasks[place].short()),
            draw: Box::new(move |width| panel(width, run, place, known)),
            wide: false,
        });
    }
    panels.push(legend(run));
    Figure {
        id: "learning-criterion".into(),
        title: "Trials to criterion".into(),
        caption: "Share of runs that have reached the criterion, by trials of training: one minus the \
                  Kaplan–Meier estimate. Crosses: runs that do not reach it, at the end of their planned training."
            .into(),
        panels,
        small: false,
        data: Some(data(run, learning)),
    }
}

/// Every run: the trials until the criterion, or those of its planned training if it did not
/// reach it.
fn data(run: &RunFolder, learning: &[TaskLearning]) -> String {
    let rows =
        learning.iter().zip(&run.tasks).filter(|(known, _)| known.is_known()).flat_map(|(known, task)| {
            known.groups.iter().zip(&run.variants).flat_map(move |(group, variant)| {
                group.runs.iter().zip(&group.durations).map(move |(number_of_run, duration)| {
                    [
                        variant.clone(),
                        task.label.clone(),
                        number_of_run.to_string(),
                        number(duration.time),
                        duration.observed.to_string(),
                    ]
                })
            })
        });
    csv_text(&["variant", "task", "run", "trials", "reached"], rows)
}

fn panel(width: f64, run: &RunFolder, task: usize, learning: &TaskLearning) -> Drawing {
    let height = (0.68 * width).clamp(42.0, 60.0);
    let canvas = Canvas::new(width, height);
    let frame = Frame { left: 13.0, top: 6.5, right: width - 2.0, bottom: height - 8.5 };
    canvas.title(run.tasks[task].short(), frame.left);
    let times = learning.groups.iter().flat_map(|group| &group.durations).map(|d| d.time);
    let end = times.fold(1.0, f64::max);
    // Labels of large numbers are wide.
    let chart = Chart::new(&canvas, frame, Axis::whole(0.0, 1.03 * end, 4), Axis::new(0.0, 1.04, 6));
    let criterion = learning.criterion.map_or_else(String::new, |value| format!(" of {value:.3}"));
    chart.name_axes("trials", &format!("runs at accuracy{criterion}"));
    for (place, group) in learning.groups.iter().enumerate().filter(|(_, group)| !group.durations.is_empty())
    {
        canvas.variant(place, || {
            let style = series_style(place);
            chart.line(&steps(group, end), style.colour, LINE, style.dash);
            for duration in group.durations.iter().filter(|duration| !duration.observed) {
                let (x, y) = chart.at((duration.time, reached(group, duration.time)));
                let arm = 0.6;
                canvas.line(&[(x - arm, y), (x + arm, y)], style.colour, 0.2);
                canvas.line(&[(x, y - arm), (x, y + arm)], style.colour, 0.2);
            }
        });
    }
    canvas.finish()
}

/// The share that has reached the criterion by a time.
fn reached(group: &GroupLearning, time: f64) -> f64 {
    group.curve.iter().rev().find(|step| step.time <= time).map_or(0.0, |step| 1.0 - step.survival)
}

/// The corners of a curve from 0 to `end`.
fn steps(group: &GroupLearning, end: f64) -> Vec<(f64, f64)> {
    let mut corners = vec![(0.0, 0.0)];
    for step in &group.curve {
        let before = corners.last().map_or(0.0, |corner| corner.1);
        corners.extend([(step.time, before), (step.time, 1.0 - step.survival)]);
    }
    corners.push((end, corners.last().map_or(0.0, |corner| corner.1)));
    corners
}
