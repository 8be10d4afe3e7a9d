//! Recurrent matrices before and after training, neurons by community.

use ndarray::Array2;
use pallium_core::Result;

use super::canvas::{Canvas, Drawing, Frame, HAIR, Hold, POINT, SMALL};
use super::palette::{BLUE, VERMILLION, community, ink};
use super::{Figure, Panel, png};
use crate::folder::RunFolder;
use crate::network::Network;
use plotters::style::Color;

/// Pixels of all matrices of a report together: what keeps it small.
const PIXELS: usize = 1_600_000;
/// No image needs more pixels across, on a screen or in print.
const SIDE: usize = 320;
/// Share of entries whose magnitude is within the scale.
const WITHIN: f64 = 0.99;

/// A network's images, made once for all widths.
pub struct Pictures {
    before: Picture,
    after: Picture,
    /// Communities in order, with the share of neurons each has.
    blocks: Vec<(usize, usize)>,
}

struct Picture {
    address: String,
    limit: f32,
}

impl Pictures {
    /// Makes those of all networks.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn of(networks: &[Network]) -> Result<Vec<Self>> {
        let budget = PIXELS / (2 * networks.len()).max(1);
        let side = ((budget as f64).sqrt() as usize).min(SIDE);
        networks.iter().map(|network| Self::make(network, side)).collect()
    }

    fn make(network: &Network, side: usize) -> Result<Self> {
        let order = network.by_community();
        let picture = |matrix: &Array2<f32>| -> Result<Picture> {
            let n = matrix.nrows();
            let ordered = Array2::from_shape_fn((n, n), |(i, j)| matrix[[order[i], order[j]]]);
            let reduced = png::reduced(&ordered, side);
            let limit = limit(&reduced);
            Ok(Picture { address: png::address(&png::signed(&reduced, limit)?), limit })
        };
        Ok(Pictures {
            before: picture(&network.initial)?,
            after: picture(&network.trained)?,
            blocks: network.communities.sizes.iter().copied().enumerate().collect(),
        })
    }
}

/// The magnitude that nearly all entries off the diagonal stay within: what a
/// neuron does to itself is often far stronger, and hides the rest.
fn limit(matrix: &Array2<f32>) -> f32 {
    let apart = matrix.indexed_iter().filter(|((i, j), _)| i != j);
    let mut all: Vec<f32> = apart.map(|(_, w)| w.abs()).collect();
    let Some(last) = all.len().checked_sub(1) else { return 0.0 };
    let place = (WITHIN * last as f64) as usize;
    let (_, found, above) = all.select_nth_unstable_by(place, f32::total_cmp);
    // Where nearly all is zero, what is not is what there is to see.
    if *found > 0.0 { *found } else { above.iter().copied().fold(0.0, f32::max) }
}

/// The figure of a task: a panel a variant.
pub fn figure<'a>(
    run: &'a RunFolder,
    task: usize,
    networks: &'a [Network],
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
        id: format!("matrices-{}", run.tasks[task].slug()),
        title: format!("Recurrent weights before and after training, {}", run.tasks[task].short()),
        caption:
            "Of each variant the run of median accuracy. Rows: from, columns: to; neurons by community of \
                  the trained matrix (bars at the edges: the largest communities), within it by degree. Each \
                  matrix has its own scale, within which 99 % of its entries off the diagonal are; of large \
                  networks, neighbouring entries are averaged."
                .into(),
        panels,
        small: true,
    }
}

fn panel(width: f64, run: &RunFolder, network: &Network, pictures: &Pictures) -> Result<Drawing> {
    const BAR: f64 = 1.2;
    let gap = 4.0;
    let side = (width - gap - 2.0 * BAR - 1.0) / 2.0;
    let top = 8.0;
    let canvas = Canvas::new(width, top + side + BAR + 5.0);
    let q = network.communities.modularity;
    let variant = &run.variants[network.variant];
    let title = super::font::fit(variant, (0.5 * width) / (8.5 * POINT));
    canvas.text(&title, (0.0, 2.4), 8.5, Hold::Start)?;
    let about = match q.is_nan() {
        true => format!("run {}", network.run),
        false => format!("run {}, Q = {q:.2}", network.run),
    };
    canvas.note(&about, (width, 2.4), SMALL, Hold::End)?;
    for (place, picture, name) in [(0, &pictures.before, "before"), (1, &pictures.after, "after")] {
        let left = place as f64 * (side + gap + BAR) + BAR + 0.4;
        let frame = Frame { left, top, right: left + side, bottom: top + side };
        canvas.image((left, top), (side, side), &picture.address);
        let corners = [
            (frame.left, frame.top),
            (frame.right, frame.top),
            (frame.right, frame.bottom),
            (frame.left, frame.bottom),
            (frame.left, frame.top),
        ];
        canvas.line(&corners, ink(0.4), HAIR)?;
        let neurons = network.neurons() as f64;
        let mut start = 0.0;
        for &(number, size) in pictures.blocks.iter().filter(|b| b.1 > 1) {
            let end = start + size as f64;
            let (a, b) = (side * start / neurons, side * end / neurons);
            let colour = community(number, size);
            canvas.block((left - BAR - 0.2, top + a), (left - 0.2, top + b), colour)?;
            canvas.block((left + a, frame.bottom + 0.2), (left + b, frame.bottom + 0.2 + BAR), colour)?;
            start = end;
        }
        canvas.note(name, (left, top - 1.8), SMALL, Hold::Start)?;
        canvas.note(&format!("±{}", short(picture.limit)), (frame.right, top - 1.8), SMALL, Hold::End)?;
    }
    Ok(canvas.finish())
}

/// Two significant digits.
fn short(value: f32) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (1 - value.abs().log10().floor() as i32).clamp(0, 8);
    format!("{value:.*}", digits as usize)
}

fn legend(width: f64) -> Result<Drawing> {
    let canvas = Canvas::new(width, 6.0);
    let (left, length) = (16.0, 30.0);
    let steps = 60;
    canvas.note("−scale", (left - 1.5, 3.0), SMALL, Hold::End)?;
    for step in 0..steps {
        let at = (f64::from(step) + 0.5) / f64::from(steps) * 2.0 - 1.0;
        let colour = if at < 0.0 { BLUE } else { VERMILLION };
        let x = left + length * f64::from(step) / f64::from(steps);
        canvas.block((x, 1.6), (x + length / f64::from(steps), 4.4), colour.mix(at.abs()))?;
    }
    canvas.note("+scale", (left + length + 1.5, 3.0), SMALL, Hold::Start)?;
    Ok(canvas.finish())
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

    #[test]
    fn scales_have_two_digits() {
        assert_eq!([0.0, 0.123, 12.3, 0.00456].map(short), ["0", "0.12", "12", "0.0046"]);
    }
}
