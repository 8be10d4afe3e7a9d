//! Matrices of likeness between all networks of a task.

use std::rc::Rc;

use super::canvas::{Anchor, Canvas, SMALL};
use super::chart::Frame;
use super::curves::legend;
use super::drawing::Drawing;
use super::palette::{INK, series_style};
use super::raster::Raster;
use super::{Figure, Panel, csv_text, number};
use crate::folder::RunFolder;
use crate::likeness::LikenessMatrix;
use crate::text::{measure_name, three};

/// The figure; `None` without matrices.
pub fn figure<'a>(run: &'a RunFolder, matrices: &'a [LikenessMatrix]) -> Option<Figure<'a>> {
    let mut panels: Vec<Panel<'a>> = matrices
        .iter()
        .map(|matrix| Panel {
            name: format!("{} between networks on {}", measure_name(&matrix.measure), matrix.title),
            draw: Box::new(move |width| panel(width, run, matrix)),
            wide: false,
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    panels.push(legend(run));
    Some(Figure {
        id: "likeness".into(),
        title: "Likeness of networks".into(),
        caption: "All networks of a task with each other, by variant (bars at the edges), then run. Full \
                  vermillion is 1, full blue −1, no colour 0 or undefined. The range beside the title is \
                  that between different networks."
            .into(),
        panels,
        small: true,
        data: Some(table(run, matrices)),
    })
}

/// The values of all matrices, as CSV.
fn table(run: &RunFolder, matrices: &[LikenessMatrix]) -> String {
    let rows = matrices.iter().flat_map(|matrix| {
        matrix.values.indexed_iter().map(move |((i, j), value)| {
            let ends = [i, j].map(|at| matrix.networks[at]);
            let [a, b] =
                ends.map(|(variant, run_number)| [run.variants[variant].clone(), run_number.to_string()]);
            let about = [matrix.title.clone(), matrix.measure.clone()];
            about.into_iter().chain(a).chain(b).chain([number(*value)]).collect::<Vec<_>>()
        })
    });
    csv_text(&["panel", "measure", "variant_a", "run_a", "variant_b", "run_b", "value"], rows)
}

fn panel(width: f64, run: &RunFolder, matrix: &LikenessMatrix) -> Drawing {
    const BAR: f64 = 1.4;
    let (top, left) = (9.0, BAR + 0.4);
    let side = width - left - 1.0;
    let canvas = Canvas::new(width, top + side + BAR + 1.5);
    canvas.title(&measure_name(&matrix.measure), 0.0);
    let apart = matrix.values.indexed_iter().filter(|((i, j), value)| i != j && value.is_finite());
    let (low, high) = apart.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, &value)| {
        (low.min(value), high.max(value))
    });
    if low <= high {
        canvas.note(&format!("{} to {}", three(low), three(high)), (width, 2.4), SMALL, Anchor::End);
    }
    canvas.note(&matrix.title, (left, top - 2.2), SMALL, Anchor::Start);
    let known = matrix.values.mapv(|value| if value.is_nan() { 0.0 } else { value as f32 });
    canvas.image((left, top), (side, side), &Rc::new(Raster::new(&known, 1.0)));
    let frame = Frame { left, top, right: left + side, bottom: top + side };
    canvas.outline(&frame.corners(), INK.fade(0.4));
    let each = side / matrix.networks.len() as f64;
    for variant in 0..run.variants.len() {
        let own = |(at, network): (usize, &(usize, u32))| (network.0 == variant).then_some(at);
        let places: Vec<usize> = matrix.networks.iter().enumerate().filter_map(own).collect();
        let (Some(first), Some(last)) = (places.first(), places.last()) else { continue };
        let (a, b) = (*first as f64 * each + 0.1, (*last + 1) as f64 * each - 0.1);
        canvas.variant(variant, || {
            let colour = series_style(variant).colour;
            canvas.titled(&run.variants[variant], || {
                canvas.block((left - BAR - 0.2, top + a), (left - 0.2, top + b), colour);
                let below = frame.bottom + 0.2;
                canvas.block((left + a, below), (left + b, below + BAR), colour);
            });
        });
    }
    canvas.finish()
}
