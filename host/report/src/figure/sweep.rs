//! Accuracy over the points of a sweep, one line for each variant.

use itertools::Itertools;

use super::accuracy::{groups_csv, levels_across};
use super::canvas::{Canvas, LINE, POINT, SMALL};
use super::chart::{Axis, Chart, Frame};
use super::curves::legend_of;
use super::drawing::Drawing;
use super::palette::series_style;
use super::{Figure, Panel, font};
use crate::folder::RunFolder;
use crate::summary::Group;

/// The variants without their points, and the points, each once and in order.
struct Sweep<'a> {
    bases: Vec<&'a str>,
    points: Vec<&'a str>,
}

impl<'a> Sweep<'a> {
    fn new(run: &'a RunFolder) -> Self {
        let unique = |all: &'a [String]| all.iter().map(String::as_str).unique().collect();
        Sweep { bases: unique(&run.bases), points: unique(&run.points) }
    }

    /// The name of the parameter, if the sweep varies only one, and the labels of
    /// the points.
    fn labels(&self) -> (String, Vec<&'a str>) {
        let swept = self.points.iter().filter(|p| !p.is_empty());
        let split: Option<Vec<(&str, &str)>> = swept.map(|p| p.split_once('=')).collect();
        match split.as_deref() {
            Some([first, rest @ ..])
                if rest.iter().chain([first]).all(|p| p.0 == first.0 && !p.1.contains('=')) =>
            {
                // A variant that is not swept has a place, too.
                let label = |p: &&'a str| p.split_once('=').map_or("–", |p| p.1);
                (first.0.to_owned(), self.points.iter().map(label).collect())
            }
            _ => (String::new(), self.points.clone()),
        }
    }
}

/// The figure: one panel for each task.
pub fn figure<'a>(run: &'a RunFolder, groups: &'a [Vec<Group>]) -> Figure<'a> {
    let mut panels: Vec<Panel<'a>> = run
        .tasks
        .iter()
        .enumerate()
        .map(|(task, about)| Panel {
            name: format!("accuracy on {} over the sweep", about.short()),
            draw: Box::new(move |width| panel(width, run, task, &groups[task])),
            wide: false,
        })
        .collect();
    let bases: Vec<String> = Sweep::new(run).bases.into_iter().map(str::to_owned).collect();
    panels.push(legend_of(bases));
    Figure {
        id: "sweep".into(),
        title: "Accuracy over the sweep".into(),
        caption: "Means and 95 % intervals at each point; the points are evenly spaced, whatever their \
                  values. Lines: chance (dotted), the best without memory (dashed), the ideal (solid)."
            .into(),
        panels,
        small: false,
        data: Some(groups_csv(groups.iter().flatten())),
    }
}

fn panel(width: f64, run: &RunFolder, task: usize, groups: &[Group]) -> Drawing {
    let sweep = Sweep::new(run);
    let (axis, names) = sweep.labels();
    let height = (0.68 * width).clamp(42.0, 60.0);
    let canvas = Canvas::new(width, height);
    let frame = Frame { left: 13.0, top: 6.5, right: width - 2.0, bottom: height - 8.5 };
    canvas.title(run.tasks[task].short(), frame.left);
    let known = run.tasks[task].info.as_ref().and_then(|i| i.levels);
    let lowest = groups
        .iter()
        .filter_map(|g| g.interval.map(|i| i.0).or(g.mean))
        .chain(known.map(|l| l.chance))
        .fold(1.0, f64::min);
    let count = names.len() as f64;
    // Labels that have room.
    let widest = names.iter().map(|n| font::width(n)).fold(0.0, f64::max) * SMALL * POINT + 1.5;
    let step = (widest * count / (frame.right - frame.left)).ceil().max(1.0) as usize;
    let room = step as f64 * (frame.right - frame.left) / count / (SMALL * POINT);
    let ticks = names.iter().enumerate().step_by(step).map(|(at, n)| (at as f64, font::fit(n, room)));
    let x = Axis::labelled(-0.5, count - 0.5, ticks.collect());
    let y = Axis::new((lowest - 0.03).max(0.0), 1.02, 6);
    let chart = Chart::new(&canvas, frame, x, y);
    chart.name_axes(&axis, "accuracy");
    if let Some(known) = known {
        levels_across(&chart, known, (-0.5, count - 0.5));
    }
    // Variants are shifted against each other, so that intervals do not overlap.
    let apart = 0.5 / sweep.bases.len().max(1) as f64;
    for (place, variant) in sweep.bases.iter().enumerate() {
        let shift = apart * (place as f64 - 0.5 * (sweep.bases.len() - 1) as f64);
        let own = groups.iter().enumerate().filter(|(v, _)| run.bases[*v] == *variant);
        let known: Vec<(f64, f64, &Group)> = own
            .filter_map(|(v, g)| {
                let at = sweep.points.iter().position(|p| *p == run.points[v])?;
                Some((at as f64 + shift, g.mean?, g))
            })
            .collect();
        canvas.variant(place, || {
            let style = series_style(place);
            let line: Vec<(f64, f64)> = known.iter().map(|k| (k.0, k.1)).collect();
            if line.len() > 1 {
                chart.line(&line, style.colour, LINE, style.dash);
            }
            for &(x, mean, group) in &known {
                canvas.titled(&format!("{}: {mean:.3} (n = {})", group.variant, group.values.len()), || {
                    if let Some((low, high)) = group.interval {
                        chart.line(&[(x, low), (x, high)], style.colour, 0.2, &[]);
                    }
                    canvas.marker(chart.at((x, mean)), 0.75, style, 1.0)
                });
            }
        });
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_axis_is_named_once() {
        let labels = |points: &[&'static str]| Sweep { bases: vec!["W"], points: points.to_vec() }.labels();
        assert_eq!(labels(&["λ=0.1", "λ=1"]), ("λ".to_owned(), vec!["0.1", "1"]));
        assert_eq!(labels(&["a=1, b=2", "a=1, b=3"]), (String::new(), vec!["a=1, b=2", "a=1, b=3"]));
        assert_eq!(labels(&["", "a=1"]), ("a".to_owned(), vec!["–", "1"]));
    }
}
