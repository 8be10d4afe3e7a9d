//! Results of `pallium evaluate`: curves over conditions, parameters and lesions, and
//! the answers in each condition.

use super::canvas::{Anchor, Canvas, LINE, POINT, SMALL};
use super::chart::{Axis, Chart, Frame};
use super::curves::legend;
use super::drawing::Drawing;
use super::palette::{INK, series_style};
use super::{Figure, Panel, csv_text, font, number};
use crate::folder::RunFolder;
use crate::tested::{Answers, TestCurves, TestFigure, TestLine, Tested};
use crate::text::measure_name;

/// The figures that have something to show.
pub fn figures<'a>(run: &'a RunFolder, tested: &'a Tested) -> Vec<Figure<'a>> {
    let kinds = [
        (TestFigure::Conditions, "tested-conditions", "Results by condition"),
        (TestFigure::Evidence, "tested-evidence", "Psychometric curves"),
        (TestFigure::Settings, "tested-settings", "Results by parameters of the task"),
        (TestFigure::Changes, "tested-changes", "Lesions and perturbations"),
        (TestFigure::Development, "development", "Organization over training"),
    ];
    let mut figures = Vec::new();
    for (kind, id, title) in kinds {
        let own: Vec<&TestCurves> = tested.curves.iter().filter(|curves| curves.figure == kind).collect();
        let mut panels: Vec<Panel<'a>> = own
            .iter()
            .map(|&curves| Panel {
                name: format!("{} by {} on {}", measure_name(&curves.measure), curves.across, curves.title),
                draw: Box::new(move |width| panel(width, run, curves)),
                wide: false,
            })
            .collect();
        if panels.is_empty() {
            continue;
        }
        panels.push(legend(run));
        let what = match kind {
            TestFigure::Changes => ", of finished networks. Faint: matched random lesions",
            TestFigure::Evidence => ": the share of one answer over the evidence for it",
            TestFigure::Development => ", of the weights before training (epoch 0) and after some epochs",
            TestFigure::Conditions | TestFigure::Settings => ", of finished networks",
        };
        figures.push(Figure {
            id: id.into(),
            title: title.into(),
            caption: format!("Means over runs with 95 % intervals{what}."),
            panels,
            small: false,
            data: Some(table(run, &own)),
        });
    }
    if !tested.answers.is_empty() {
        let panel = |answers: &'a Answers| Panel {
            name: format!("answers of {} by condition on {}", run.variants[answers.variant], answers.title),
            draw: Box::new(move |width| confusion(width, run, answers)),
            wide: false,
        };
        figures.push(Figure {
            id: "tested-answers".into(),
            title: "Answers by condition".into(),
            caption:
                "Share of each answer (columns) in each condition (rows), the mean over runs; black is 1."
                    .into(),
            panels: tested.answers.iter().map(panel).collect(),
            small: true,
            data: Some(shares(run, &tested.answers)),
        });
    }
    figures
}

/// The points of some curves, as CSV.
fn table(run: &RunFolder, curves: &[&TestCurves]) -> String {
    let head =
        ["panel", "measure", "variant", "control", "across", "x", "label", "mean", "low", "high", "runs"];
    let rows = curves.iter().flat_map(|own| own.lines.iter().map(move |line| (*own, line)));
    let rows = rows.flat_map(|(own, line)| {
        line.points.iter().map(move |point| {
            let ends = point.interval.map_or([f64::NAN; 2], |(low, high)| [low, high]);
            [
                own.title.clone(),
                own.measure.clone(),
                run.variants[line.variant].clone(),
                line.control.to_string(),
                own.across.clone(),
                number(point.x),
                own.labels.get(point.x as usize).cloned().unwrap_or_default(),
                number(point.mean),
                number(ends[0]),
                number(ends[1]),
                point.runs.to_string(),
            ]
        })
    });
    csv_text(&head, rows)
}

/// Shares of answers, as CSV.
fn shares(run: &RunFolder, answers: &[Answers]) -> String {
    let rows = answers.iter().flat_map(|own| {
        own.conditions.iter().zip(&own.shares).flat_map(move |(condition, shares)| {
            own.classes.iter().zip(shares).map(move |(class, share)| {
                let variant = run.variants[own.variant].clone();
                let share = share.map_or_else(String::new, number);
                [own.title.clone(), variant, condition.clone(), class.clone(), share]
            })
        })
    });
    csv_text(&["panel", "variant", "condition", "answer", "share"], rows)
}

/// The smallest and the largest of some numbers.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

fn panel(width: f64, run: &RunFolder, curves: &TestCurves) -> Drawing {
    let height = (0.68 * width).clamp(42.0, 60.0);
    let canvas = Canvas::new(width, height);
    let frame = Frame { left: 13.0, top: 6.5, right: width - 2.0, bottom: height - 8.5 };
    canvas.title(&curves.title, frame.left);
    let points = || curves.lines.iter().flat_map(|line| &line.points);
    let x = if curves.labels.is_empty() {
        let (low, high) = range(points().map(|point| point.x));
        let room = 0.04 * (high - low).max(1e-9);
        Axis::new(low - room, high + room, 6)
    } else {
        // Labels that have room.
        let count = curves.labels.len() as f64;
        let each = (frame.right - frame.left) / count / (SMALL * POINT);
        let step = (4.0 / each).ceil().max(1.0) as usize;
        let ticks = curves.labels.iter().enumerate().step_by(step);
        let ticks = ticks.map(|(at, label)| (at as f64, font::fit(label, step as f64 * each - 0.5)));
        Axis::labelled(-0.5, count - 0.5, ticks.collect())
    };
    let ends = points().flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.mean, point.mean));
        [low.min(point.mean), high.max(point.mean)]
    });
    let (low, high) = range(ends);
    let (low, high) = match curves.figure {
        TestFigure::Evidence => (-0.03, 1.03),
        TestFigure::Development => {
            let room = 0.06 * (high - low).max(1e-6);
            (low - room, high + room)
        }
        _ if ["accuracy", "r2"].contains(&curves.measure.as_str()) => {
            ((low.min(0.5) - 0.03).max(-0.05), 1.02)
        }
        _ => (0.0, 1.05 * high),
    };
    let y = Axis::new(low, high, 6);
    let chart = Chart::new(&canvas, frame, x, y);
    chart.name_axes(&curves.across, &measure_name(&curves.measure));
    for line in &curves.lines {
        canvas.variant(line.variant, || draw(&chart, run, line));
    }
    canvas.finish()
}

fn draw(chart: &Chart<'_>, run: &RunFolder, line: &TestLine) {
    let style = series_style(line.variant);
    let colour = if line.control { style.colour.fade(0.45) } else { style.colour };
    let points: Vec<(f64, f64)> = line.points.iter().map(|point| (point.x, point.mean)).collect();
    if points.len() > 1 {
        chart.line(&points, colour, LINE, style.dash);
    }
    for point in &line.points {
        let what = if line.control { ", random lesions" } else { "" };
        let name = format!("{}{what}: {:.3} (n = {})", run.variants[line.variant], point.mean, point.runs);
        chart.canvas.titled(&name, || {
            if let Some((low, high)) = point.interval {
                chart.line(&[(point.x, low), (point.x, high)], colour, 0.2, &[]);
            }
            chart.canvas.marker(
                chart.at((point.x, point.mean)),
                0.75,
                style,
                if line.control { 0.45 } else { 1.0 },
            );
        });
    }
}

fn confusion(width: f64, run: &RunFolder, answers: &Answers) -> Drawing {
    let (rows, columns) = (answers.conditions.len(), answers.classes.len());
    let names = 0.45 * width;
    let side = ((width - names - 2.0) / columns as f64).min(6.0);
    let tall = side.clamp(2.6, 4.5);
    let top = 10.0;
    let canvas = Canvas::new(width, top + tall * rows as f64 + 2.0);
    canvas.title(&format!("{}, {}", run.variants[answers.variant], answers.title), 0.0);
    for (column, class) in answers.classes.iter().enumerate() {
        let x = names + (column as f64 + 0.5) * side;
        canvas.note(&font::fit(class, side / (SMALL * POINT)), (x, top - 2.0), SMALL, Anchor::Middle);
    }
    for (row, (condition, shares)) in answers.conditions.iter().zip(&answers.shares).enumerate() {
        let y = top + row as f64 * tall;
        let label = font::fit(condition, (names - 1.5) / (SMALL * POINT));
        canvas.text(&label, (names - 1.0, y + 0.5 * tall), SMALL, Anchor::End);
        for (column, share) in shares.iter().enumerate() {
            let Some(share) = share else { continue };
            let x = names + column as f64 * side;
            let about = format!("{condition}: answer {}: {share:.3}", answers.classes[column]);
            canvas
                .titled(&about, || canvas.block((x, y), (x + side - 0.2, y + tall - 0.2), INK.fade(*share)));
        }
    }
    canvas.finish()
}
