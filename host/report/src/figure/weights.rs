//! Distribution of weights before and after training.

use ndarray::Array2;

use super::accuracy::{margin, row_name};
use super::canvas::{Anchor, Canvas, HAIRLINE, SMALL};
use super::chart::{Axis, Chart, Frame};
use super::drawing::Drawing;
use super::palette::{INK, series_style};
use super::{Figure, Panel, csv_text, number};
use crate::folder::RunFolder;
use crate::network::{TrainedNetwork, sample_caption};

/// The decades that are shown; smaller weights count as zero.
const LOW: f64 = -8.0;
const HIGH: f64 = 1.5;
const BINS: usize = 57;
const ROW: f64 = 6.4;

/// The weights of one matrix by magnitude.
struct Spread {
    /// Share of the weights in each bin.
    bins: Vec<f64>,
    /// Share of the weights that count as zero.
    zero: f64,
    /// Share of positive weights among the others, if there are any.
    positive: Option<f64>,
}

fn spread(matrix: &Array2<f32>) -> Spread {
    let (mut bins, mut zero, mut positive) = (vec![0.0; BINS], 0.0, 0.0);
    let total = matrix.len().max(1) as f64;
    for &w in matrix {
        let decade = f64::from(w.abs()).log10();
        if decade < LOW {
            zero += 1.0;
            continue;
        }
        let bin = ((decade - LOW) / (HIGH - LOW) * BINS as f64) as usize;
        bins[bin.min(BINS - 1)] += 1.0 / total;
        positive += f64::from(w > 0.0);
    }
    let rest = matrix.len() as f64 - zero;
    Spread { bins, zero: zero / total, positive: (rest > 0.0).then(|| positive / rest) }
}

/// The bins before and after training.
fn data(run: &RunFolder, networks: &[TrainedNetwork]) -> String {
    let rows = networks.iter().flat_map(|network| {
        let of = [("before", spread(&network.initial)), ("after", spread(&network.trained))];
        of.into_iter().flat_map(move |(when, spread)| {
            let ends = |bin: usize| LOW + (HIGH - LOW) * bin as f64 / BINS as f64;
            let zero = (String::new(), String::new(), spread.zero);
            let bins = spread.bins.into_iter().enumerate();
            let bins = bins.map(move |(bin, share)| (number(ends(bin)), number(ends(bin + 1)), share));
            std::iter::once(zero).chain(bins).map(move |(low, high, share)| {
                let (variant, task) = (&run.variants[network.variant], &run.tasks[network.task].label);
                [
                    variant.clone(),
                    task.clone(),
                    network.run.to_string(),
                    when.into(),
                    low,
                    high,
                    number(share),
                ]
            })
        })
    });
    csv_text(&["variant", "task", "run", "training", "log10_low", "log10_high", "share"], rows)
}

/// The figure: one panel for each task.
pub fn figure<'a>(run: &'a RunFolder, networks: &'a [TrainedNetwork]) -> Figure<'a> {
    let panels = run
        .tasks
        .iter()
        .enumerate()
        .map(|(place, task)| Panel {
            name: format!("distribution of weights before and after training on {}", task.short()),
            draw: Box::new(move |width| {
                let own: Vec<&TrainedNetwork> = networks.iter().filter(|n| n.task == place).collect();
                panel(width, run, task.short(), &own)
            }),
            wide: false,
        })
        .collect();
    Figure {
        id: "weights".into(),
        title: "Weight distributions".into(),
        caption: "Magnitudes of the recurrent weights of the run of median accuracy, before (line) \
                  and after training (filled). At the right: share of positive weights after training, and share of \
                  weights that are zero (below 10⁻⁸) where they are half a percent or more."
            .to_owned()
            + &sample_caption(networks),
        panels,
        small: false,
        data: Some(data(run, networks)),
    }
}

fn panel(width: f64, run: &RunFolder, title: &str, networks: &[&TrainedNetwork]) -> Drawing {
    let names = networks.iter().map(|n| run.variants[n.variant].as_str());
    let left = margin(names, width);
    let top = 9.0;
    let bottom = top + ROW * networks.len().max(1) as f64 + 1.0;
    let canvas = Canvas::new(width, bottom + 8.5);
    let frame = Frame { left, top, right: width - 17.0, bottom };
    canvas.title(title, left);
    canvas.note("positive, zero", (width, top - 1.6), SMALL, Anchor::End);
    let count = ((frame.right - left) / 12.0).max(2.0) as usize;
    let rows = Axis::labelled(0.0, 1.0, Vec::new());
    let chart = Chart::new(&canvas, frame, Axis::logarithmic(LOW, HIGH, count), rows);
    chart.name_axes("magnitude of weights", "");
    for (row, network) in networks.iter().enumerate() {
        let base = top + ROW * (row as f64 + 1.0);
        canvas.variant(network.variant, || {
            row_name(&canvas, &run.variants[network.variant], left, base - 2.0);
            canvas.line(&[(left, base), (frame.right, base)], INK.fade(0.15), HAIRLINE);
            let (before, after) = (spread(&network.initial), spread(&network.trained));
            let peak = |s: &Spread| s.bins.iter().copied().fold(1e-12, f64::max);
            let outline = |s: &Spread| -> Vec<(f64, f64)> {
                let height = (ROW - 0.8) / peak(s);
                let middle = |k: usize| LOW + (HIGH - LOW) * (k as f64 + 0.5) / BINS as f64;
                s.bins.iter().enumerate().map(|(k, v)| (chart.x(middle(k)), base - height * v)).collect()
            };
            let colour = series_style(network.variant).colour;
            let mut full = vec![(left, base)];
            full.extend(outline(&after));
            full.push((frame.right, base));
            canvas.polygon(&full, colour.fade(0.45));
            canvas.line(&outline(&before), INK.fade(0.8), 0.2);
            let share = |v: f64| format!("{:.0} %", 100.0 * v);
            let mut text = after.positive.map_or_else(|| "–".into(), share);
            if after.zero >= 0.005 {
                text = format!("{text}, {}", share(after.zero));
            }
            canvas.note(&text, (width, base - 2.0), SMALL, Anchor::End)
        });
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_counted_once() {
        let matrix =
            Array2::from_shape_vec((2, 4), vec![0.1, -0.1, 1.0, 100.0, 0.0, 1e-9, -1e-3, 5.0]).unwrap();
        let found = spread(&matrix);
        assert!((found.bins.iter().sum::<f64>() + found.zero - 1.0).abs() < 1e-12);
        assert_eq!((found.zero, found.positive), (0.25, Some(4.0 / 6.0)));
        assert_eq!(spread(&Array2::zeros((2, 2))).positive, None);
    }
}
