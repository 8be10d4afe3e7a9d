//! Recurrent matrices before and after training, neurons by community.

use std::rc::Rc;

use ndarray::Array2;

use super::canvas::{Anchor, Canvas, POINT, SMALL, TITLE};
use super::chart::Frame;
use super::drawing::Drawing;
use super::palette::{BLUE, INK, VERMILLION, community_colour};
use super::raster::{self, Raster};
use super::{Figure, Panel, csv_text};
use crate::folder::RunFolder;
use crate::network::{TrainedNetwork, sample_caption};
use crate::text::significant;

/// Pixels of all matrices of a report together, which limits its size.
const PIXELS: usize = 1_600_000;
/// Pixels across an image: enough on a screen and in print.
const SIDE: usize = 320;
/// Share of entries whose magnitude is within the colour scale.
const WITHIN: f64 = 0.99;

/// The order in which neurons are shown; their weights are in `weights.safetensors` of the
/// training.
fn data<'a>(run: &RunFolder, networks: impl Iterator<Item = &'a TrainedNetwork>) -> String {
    let rows = networks.flat_map(|network| {
        network.by_community().into_iter().enumerate().map(move |(place, neuron)| {
            [
                run.variants[network.variant].clone(),
                network.run.to_string(),
                place.to_string(),
                network.shown[neuron].to_string(),
                network.communities.community[neuron].to_string(),
                network.degrees[neuron].to_string(),
            ]
        })
    });
    csv_text(&["variant", "run", "place", "neuron", "community", "strong_connections"], rows)
}

/// A network's heat maps, made once for all widths.
pub struct Pictures {
    before: Picture,
    after: Picture,
}

struct Picture {
    raster: Rc<Raster>,
    limit: f32,
}

impl Pictures {
    /// The heat maps of all networks.
    pub fn draw(networks: &[TrainedNetwork]) -> Vec<Self> {
        let budget = PIXELS / (2 * networks.len()).max(1);
        let side = ((budget as f64).sqrt() as usize).min(SIDE);
        networks.iter().map(|network| Self::of_network(network, side)).collect()
    }

    fn of_network(network: &TrainedNetwork, side: usize) -> Self {
        let order = network.by_community();
        let picture = |matrix: &Array2<f32>| {
            let n = matrix.nrows();
            let ordered = Array2::from_shape_fn((n, n), |(i, j)| matrix[[order[i], order[j]]]);
            let reduced = raster::reduced(&ordered, side);
            let limit = limit(&reduced);
            Picture { raster: Rc::new(Raster::new(&reduced, limit)), limit }
        };
        Pictures { before: picture(&network.initial), after: picture(&network.trained) }
    }
}

/// A magnitude that exceeds nearly all entries off the diagonal. Entries on the
/// diagonal are often far larger and would hide the others.
fn limit(matrix: &Array2<f32>) -> f32 {
    let apart = matrix.indexed_iter().filter(|((i, j), _)| i != j);
    let mut all: Vec<f32> = apart.map(|(_, w)| w.abs()).collect();
    let Some(last) = all.len().checked_sub(1) else { return 0.0 };
    let place = (WITHIN * last as f64) as usize;
    let (_, found, above) = all.select_nth_unstable_by(place, f32::total_cmp);
    // Where nearly all entries are zero, show those that are not.
    if *found > 0.0 { *found } else { above.iter().copied().fold(0.0, f32::max) }
}

/// The figure of a task: one panel for each variant.
pub fn figure<'a>(
    run: &'a RunFolder,
    task: usize,
    networks: &'a [TrainedNetwork],
    pictures: &'a [Pictures],
) -> Figure<'a> {
    let mut panels: Vec<Panel<'a>> = networks
        .iter()
        .zip(pictures)
        .filter(|(network, _)| network.task == task)
        .map(|(network, pictures)| Panel {
            name: format!(
                "recurrent weights of {} before and after training on {}, run {}",
                run.variants[network.variant],
                run.tasks[task].short(),
                network.run
            ),
            draw: Box::new(move |width| panel(width, run, network, pictures)),
            wide: false,
        })
        .collect();
    panels.push(Panel {
        name: "legend: blue negative, vermillion positive".into(),
        draw: Box::new(legend),
        wide: true,
    });
    Figure {
        id: format!("matrices-{}", run.slug(task)),
        title: format!("Recurrent weights before and after training, {}", run.tasks[task].short()),
        caption:
            "The run of median accuracy of each variant. Rows: from, columns: to; neurons by community of \
                  the trained matrix (bars at the edges: the largest communities), within it by degree. Each \
                  matrix has its own scale, which covers 99 % of its entries off the diagonal; in large \
                  networks, neighbouring entries are averaged."
                .to_owned()
                + &sample_caption(networks),
        panels,
        small: true,
        data: Some(data(run, networks.iter().filter(|n| n.task == task))),
    }
}

fn panel(width: f64, run: &RunFolder, network: &TrainedNetwork, pictures: &Pictures) -> Drawing {
    const BAR: f64 = 1.2;
    let gap = 4.0;
    let side = (width - gap - 2.0 * BAR - 1.0) / 2.0;
    let top = 8.0;
    let canvas = Canvas::new(width, top + side + BAR + 5.0);
    let q = network.communities.modularity;
    let variant = &run.variants[network.variant];
    let title = super::font::fit(variant, (0.5 * width) / (TITLE * POINT));
    canvas.text(&title, (0.0, 2.4), TITLE, Anchor::Start);
    let about = match q.is_nan() {
        true => format!("run {}", network.run),
        false => format!("run {}, Q = {q:.2}", network.run),
    };
    canvas.note(&about, (width, 2.4), SMALL, Anchor::End);
    for (place, picture, name) in [(0, &pictures.before, "before"), (1, &pictures.after, "after")] {
        let left = place as f64 * (side + gap + BAR) + BAR + 0.4;
        let frame = Frame { left, top, right: left + side, bottom: top + side };
        canvas.image((left, top), (side, side), &picture.raster);
        canvas.outline(&frame.corners(), INK.fade(0.4));
        let neurons = network.neurons() as f64;
        let mut start = 0.0;
        for (number, &size) in network.communities.sizes.iter().enumerate().filter(|c| *c.1 > 1) {
            let end = start + size as f64;
            let (a, b) = (side * start / neurons, side * end / neurons);
            let colour = community_colour(number, size);
            canvas.block((left - BAR - 0.2, top + a), (left - 0.2, top + b), colour);
            canvas.block((left + a, frame.bottom + 0.2), (left + b, frame.bottom + 0.2 + BAR), colour);
            start = end;
        }
        canvas.note(name, (left, top - 1.8), SMALL, Anchor::Start);
        canvas.note(
            &format!("±{}", significant(picture.limit.into(), 2)),
            (frame.right, top - 1.8),
            SMALL,
            Anchor::End,
        );
    }
    canvas.finish()
}

fn legend(width: f64) -> Drawing {
    let canvas = Canvas::new(width, 6.0);
    let (left, length) = (16.0, 30.0);
    let steps = 60;
    canvas.note("−scale", (left - 1.5, 3.0), SMALL, Anchor::End);
    for step in 0..steps {
        let at = (f64::from(step) + 0.5) / f64::from(steps) * 2.0 - 1.0;
        let colour = if at < 0.0 { BLUE } else { VERMILLION };
        let x = left + length * f64::from(step) / f64::from(steps);
        canvas.block((x, 1.6), (x + length / f64::from(steps), 4.4), colour.fade(at.abs()));
    }
    canvas.note("+scale", (left + length + 1.5, 3.0), SMALL, Anchor::Start);
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_leave_out_outliers_and_never_everything() {
        let mut matrix = Array2::from_elem((30, 30), 0.1_f32);
        matrix.diag_mut().fill(50.0);
        matrix[[0, 1]] = 9.0;
        assert_eq!(limit(&matrix), 0.1);
        let mut sparse = Array2::zeros((30, 30));
        sparse[[1, 2]] = -0.5_f32;
        assert_eq!(limit(&sparse), 0.5);
        assert_eq!(limit(&Array2::zeros((3, 3))), 0.0);
    }
}
