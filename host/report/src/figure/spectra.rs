//! Eigenvalues of the recurrent weights before and after training.

use ndarray::Array2;
use pallium_linalg::eigenvalues;

use super::canvas::{Anchor, Canvas, HAIRLINE, POINT, SMALL, TITLE};
use super::chart::{Axis, Chart, Frame};
use super::drawing::Drawing;
use super::palette::{GREY, INK, series_style};
use super::{Figure, Panel, csv_text, font, number};
use crate::folder::RunFolder;
use crate::network::{TrainedNetwork, sample_caption};

/// Eigenvalues of a matrix by descending modulus: real and imaginary part.
type Eigenvalues = Vec<(f64, f64)>;

/// The spectra of a network, made once for all widths.
pub struct Spectra {
    before: Eigenvalues,
    after: Eigenvalues,
    /// Number of eigenvalues of each that are drawn.
    drawn: usize,
}

/// Marks of all panels together, which limits a report's size.
const MARKS: usize = 12_000;

impl Spectra {
    /// The spectra of all networks.
    pub fn of(networks: &[TrainedNetwork]) -> Vec<Self> {
        let drawn = MARKS / (2 * networks.len()).max(1);
        let find = |matrix: &Array2<f32>| eigenvalues(matrix.mapv(f64::from).view()).unwrap_or_default();
        let of = |network: &TrainedNetwork| Spectra {
            before: find(&network.initial),
            after: find(&network.trained),
            drawn,
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let part = networks.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let parts: Vec<_> = networks
                .chunks(part)
                .map(|own| scope.spawn(move || own.iter().map(of).collect::<Vec<_>>()))
                .collect();
            let joined = parts.into_iter();
            joined
                .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}

/// The figure of a task: one panel for each variant.
pub fn figure<'a>(
    run: &'a RunFolder,
    task: usize,
    networks: &'a [TrainedNetwork],
    spectra: &'a [Spectra],
) -> Figure<'a> {
    let own = || networks.iter().zip(spectra).filter(|(network, _)| network.task == task);
    let cut = own().any(|(_, spectra)| spectra.after.len() > spectra.drawn);
    let limit = spectra.first().map_or(0, |spectra| spectra.drawn);
    let largest = if cut { format!(" The {limit} of largest modulus are shown.") } else { String::new() };
    Figure {
        id: format!("spectra-{}", run.slug(task)),
        title: format!("Eigenvalues before and after training, {}", run.tasks[task].short()),
        caption: format!(
            "Of the recurrent weights in the complex plane, of the run of median accuracy; grey before training, in \
             colour after it; the circle has radius 1.{largest}{}",
            sample_caption(networks)
        ),
        panels: own()
            .map(|(network, spectra)| Panel {
                name: format!("eigenvalues of {} before and after training", run.variants[network.variant]),
                draw: Box::new(move |width| panel(width, run, network, spectra)),
                wide: false,
            })
            .collect(),
        small: true,
        data: Some(table(run, own())),
    }
}

/// All eigenvalues, as CSV.
fn table<'a>(run: &RunFolder, own: impl Iterator<Item = (&'a TrainedNetwork, &'a Spectra)>) -> String {
    let rows = own.flat_map(|(network, spectra)| {
        [("before", &spectra.before), ("after", &spectra.after)].into_iter().flat_map(move |(when, all)| {
            all.iter().map(move |&(re, im)| {
                let variant = run.variants[network.variant].clone();
                [variant, network.run.to_string(), when.to_owned(), number(re), number(im)]
            })
        })
    });
    csv_text(&["variant", "run", "when", "real", "imaginary"], rows)
}

fn panel(width: f64, run: &RunFolder, network: &TrainedNetwork, spectra: &Spectra) -> Drawing {
    // A square, with room for the labels beside it and below.
    let (left, top) = (13.0, 6.5);
    let side = width - left - 2.0;
    let canvas = Canvas::new(width, top + side + 8.5);
    let frame = Frame { left, top, right: left + side, bottom: top + side };
    let title = font::fit(&run.variants[network.variant], 0.6 * width / (TITLE * POINT));
    canvas.text(&title, (0.0, 2.4), TITLE, Anchor::Start);
    canvas.note(&format!("run {}", network.run), (width, 2.4), SMALL, Anchor::End);
    let all = || spectra.before.iter().chain(&spectra.after);
    let reach = 1.06 * all().map(|(re, im)| re.abs().max(im.abs())).fold(1.0, f64::max);
    let axis = || Axis::new(-reach, reach, 5);
    let chart = Chart::new(&canvas, frame, axis(), axis());
    chart.name_axes("real part", "imaginary part");
    let circle: Vec<(f64, f64)> =
        (0..=72).map(|step| (5.0 * f64::from(step)).to_radians().sin_cos()).collect();
    chart.line(&circle, INK.fade(0.5), HAIRLINE, &[]);
    let colour = series_style(network.variant).colour;
    for (values, colour) in [(&spectra.before, GREY.fade(0.55)), (&spectra.after, colour.fade(0.8))] {
        for value in values.iter().take(spectra.drawn) {
            canvas.circle(chart.at(*value), 0.45, colour, true);
        }
    }
    canvas.finish()
}
