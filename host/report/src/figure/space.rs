//! Neurons in space, coloured by community, with the strongest connections
//! between them.

use std::f64::consts::FRAC_PI_2;
use std::rc::Rc;

use ndarray::Array2;
use serde_json::{Value, json};

use super::canvas::{Anchor, Canvas, POINT, SMALL, TITLE};
use super::drawing::Drawing;
use super::palette::{BLUE, GREY, VERMILLION, community_colour};
use super::{Figure, Panel, csv_text, font, number};
use crate::folder::RunFolder;
use crate::network::{NeuronPositions, TrainedNetwork, sample_caption};

/// Number of connections that are drawn.
pub const CONNECTIONS: usize = 150;
/// The direction of view: angles about the vertical and the horizontal axis, in
/// radians. Imaged fields are thin along one axis; the view is along it, a
/// little from the side.
fn view(points: &[[f64; 3]]) -> (f64, f64) {
    let extent = |k: usize| points.iter().map(|p| p[k].abs()).fold(0.0, f64::max);
    let thinnest = (0..3).min_by(|&a, &b| extent(a).total_cmp(&extent(b))).unwrap_or(2);
    match thinnest {
        0 => (FRAC_PI_2 - 0.4, -0.3),
        1 => (0.4, -0.95),
        _ => (0.4, -0.3),
    }
}

/// The positions of the neurons in µm, as far as they are known.
fn table(run: &RunFolder, task: usize, networks: &[TrainedNetwork], places: &[NeuronPositions]) -> String {
    let known = networks.iter().zip(places).filter(|(network, _)| network.task == task);
    let rows = known.filter_map(|(network, place)| Some((network, place.as_ref().ok()?))).flat_map(
        |(network, positions)| {
            network.shown.iter().enumerate().map(move |(at, &neuron)| {
                let place = |axis| positions.get((at, axis)).map_or_else(String::new, |p| number(*p));
                [
                    run.variants[network.variant].clone(),
                    network.run.to_string(),
                    neuron.to_string(),
                    place(0),
                    place(1),
                    place(2),
                    network.communities.community[at].to_string(),
                ]
            })
        },
    );
    csv_text(&["variant", "run", "neuron", "x_um", "y_um", "z_um", "community"], rows)
}

/// The figure of a task: one panel for each variant.
pub fn figure<'a>(
    run: &'a RunFolder,
    task: usize,
    networks: &'a [TrainedNetwork],
    places: &'a [NeuronPositions],
) -> Figure<'a> {
    let panels = networks
        .iter()
        .zip(places)
        .filter(|(network, _)| network.task == task)
        .filter_map(|(network, place)| {
            let positions = place.as_ref().ok()?;
            Some(Panel {
                name: format!("neurons of {} in space", run.variants[network.variant]),
                draw: Box::new(move |width| panel(width, run, network, positions)),
                wide: false,
            })
        })
        .collect();
    Figure {
        id: format!("space-{}", run.slug(task)),
        title: format!("Neurons in space, {}", run.tasks[task].short()),
        caption: caption(networks),
        panels,
        small: true,
        data: Some(table(run, task, networks, places)),
    }
}

/// The caption of such a picture.
pub fn caption(networks: &[TrainedNetwork]) -> String {
    let sample = sample_caption(networks);
    format!(
        "Neurons at their positions, coloured by community of the trained matrix (the six largest; others \
         grey), of the run of median accuracy; lines: the {CONNECTIONS} strongest connections, vermillion positive, \
         blue negative.{sample}"
    )
}

/// Positions about their middle, in units of half the largest extent.
pub fn centred(positions: &Array2<f64>) -> Vec<[f64; 3]> {
    let bounds = |axis: usize| {
        let column = positions.column(axis);
        let low = column.iter().copied().fold(f64::INFINITY, f64::min);
        (low, column.iter().copied().fold(f64::NEG_INFINITY, f64::max))
    };
    let bounds = [bounds(0), bounds(1), bounds(2)];
    let half = bounds.iter().map(|(a, b)| 0.5 * (b - a)).fold(1e-9, f64::max);
    positions
        .rows()
        .into_iter()
        .map(|row| [0, 1, 2].map(|k| (row[k] - 0.5 * (bounds[k].0 + bounds[k].1)) / half))
        .collect()
}

/// A point on the picture's plane, and how near it is to the viewer.
fn seen([x, y, z]: [f64; 3], view: (f64, f64)) -> (f64, f64, f64) {
    let ((sa, ca), (sb, cb)) = (view.0.sin_cos(), view.1.sin_cos());
    let (x, z) = (ca * x + sa * z, ca * z - sa * x);
    (x, cb * y - sb * z, sb * y + cb * z)
}

fn panel(width: f64, run: &RunFolder, network: &TrainedNetwork, positions: &Array2<f64>) -> Drawing {
    let scale = 0.5 * width / 1.25;
    let points = centred(positions);
    let from = view(&points);
    let points: Vec<(f64, f64, f64)> = points.into_iter().map(|p| seen(p, from)).collect();
    let (low, high) = points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p.1), high.max(p.1)));
    let (top, pad) = (5.0, 3.0);
    let canvas = Canvas::new(width, top + 2.0 * pad + scale * (high - low).max(0.0));
    let title = font::fit(&run.variants[network.variant], 0.6 * width / (TITLE * POINT));
    canvas.text(&title, (0.0, 2.4), TITLE, Anchor::Start);
    canvas.note(&format!("run {}", network.run), (width, 2.4), SMALL, Anchor::End);
    let points: Vec<(f64, f64, f64)> = points
        .into_iter()
        .map(|(x, y, near)| (0.5 * width + scale * x, top + pad + scale * (y - low), near))
        .collect();
    let strongest = network.strongest(CONNECTIONS);
    let most = strongest.first().map_or(1.0, |c| c.2.abs());
    for (i, j, w) in strongest.iter().rev() {
        let (Some(a), Some(b)) = (points.get(*i), points.get(*j)) else { continue };
        let colour = if *w < 0.0 { BLUE } else { VERMILLION };
        let strength = f64::from(w.abs() / most);
        canvas.line(&[(a.0, a.1), (b.0, b.1)], colour.fade(0.2 + 0.6 * strength), 0.12 + 0.2 * strength);
    }
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[a].2.total_cmp(&points[b].2));
    let radius = (width / 85.0 * 0.9 * (300.0 / points.len() as f64).sqrt()).clamp(0.3, 1.2);
    for i in order {
        let number = network.communities.community[i];
        let colour = community_colour(number, network.communities.sizes[number]);
        let (x, y, near) = points[i];
        canvas.circle((x, y), radius * (1.0 + 0.25 * near), colour.fade(0.85), true);
    }
    canvas.finish()
}

/// The data for the page's script: networks with known positions, and each set of
/// positions once.
pub fn data(run: &RunFolder, networks: &[TrainedNetwork], places: &[NeuronPositions]) -> Value {
    let round = |v: f64| (v * 1000.0).round() / 1000.0;
    let known = || networks.iter().zip(places).filter_map(|(n, place)| Some((n, place.as_ref().ok()?)));
    let mut distinct: Vec<&Rc<Array2<f64>>> = Vec::new();
    for (_, place) in known() {
        if !distinct.iter().any(|other| Rc::ptr_eq(other, place)) {
            distinct.push(place);
        }
    }
    let extent = |positions: &Array2<f64>| {
        let span = |k: usize| {
            let column = positions.column(k);
            let low = column.iter().copied().fold(f64::INFINITY, f64::min);
            column.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low
        };
        (0..3).map(span).fold(0.0, f64::max)
    };
    let places: Vec<Value> = distinct
        .iter()
        .map(|positions| {
            let points = centred(positions);
            let from = view(&points);
            let points: Vec<[f64; 3]> = points.into_iter().map(|p| p.map(round)).collect();
            json!({ "points": points, "half_um": round(0.5 * extent(positions)), "view": [from.0, from.1] })
        })
        .collect();
    let networks: Vec<Value> = known()
        .map(|(network, place)| {
            let connections: Vec<Value> = network
                .strongest(CONNECTIONS)
                .into_iter()
                // Four digits are more than a line's width shows.
                .map(|(i, j, w)| json!([i, j, format!("{w:.3e}").parse::<f64>().unwrap_or_default()]))
                .collect();
            json!({
                "variant": run.variants[network.variant],
                "task": run.tasks[network.task].short(),
                "run": network.run,
                "place": distinct.iter().position(|other| Rc::ptr_eq(other, place)),
                "community": network.communities.community,
                "sizes": network.communities.sizes,
                "connections": connections,
            })
        })
        .collect();
    let palette: Vec<String> = super::palette::SERIES.iter().map(|c| c.hex()).collect();
    json!({
        "places": places,
        "networks": networks,
        "palette": palette,
        "grey": GREY.hex(),
        "positive": VERMILLION.hex(),
        "negative": BLUE.hex(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_centred_and_keep_their_proportions() {
        let positions = ndarray::array![[0.0, 10.0, 5.0], [100.0, 30.0, 5.0]];
        assert_eq!(centred(&positions), [[-1.0, -0.2, 0.0], [1.0, 0.2, 0.0]]);
        let (x, y, z) = seen([0.3, -0.4, 0.5], (0.4, -0.9));
        assert!(((x * x + y * y + z * z) - 0.5).abs() < 1e-12, "turning keeps lengths");
    }
}
