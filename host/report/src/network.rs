//! Trained networks for the figures: weights before and after training, communities.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ndarray::{Array2, Axis};
use pallium_core::rand::Rng;
use pallium_core::{Error, Result, random};
use pallium_graph::communities::{ORDERS, Partition, best_partition};
use pallium_graph::{Cut, Ties, strong_connections};

use super::folder::{RunFolder, TrainingResult};
use super::study::study;
use pallium_record::outcome::Status;
use pallium_record::spec::CellSpec;
use pallium_record::training::TrainingFile;
use pallium_record::weights;
use serde::Deserialize;
use serde_json::Value;

/// Networks of at most this many variants are shown: more pictures would be too
/// small.
pub const MAX_VARIANTS: usize = 16;
/// The measure whose graph is shown, and its usual quantile.
const MEASURE: &str = "modularity";
const QUANTILE: f64 = 0.9;

/// Of larger networks this many neurons are shown, drawn at random: communities of
/// more take minutes, and pictures are smaller than that.
pub const MAX_NEURONS: usize = 1000;

/// The recurrent weights of one training, between the neurons that are shown.
#[derive(Debug)]
pub struct TrainedNetwork {
    /// Index of the variant.
    pub variant: usize,
    /// Index of the task.
    pub task: usize,
    /// The run.
    pub run: u32,
    /// The neurons that are shown, ascending: all of a small network.
    pub shown: Vec<usize>,
    /// Number of neurons of the network.
    pub size: usize,
    /// Before training; row = from, column = to.
    pub initial: Array2<f32>,
    /// After training.
    pub trained: Array2<f32>,
    /// Number of strong connections of each neuron after training.
    pub degrees: Vec<usize>,
    /// Communities of the graph of strong connections, as
    /// the study's measure of modularity finds them.
    pub communities: Partition,
}

impl TrainedNetwork {
    /// Number of neurons that are shown.
    pub fn neurons(&self) -> usize {
        self.trained.nrows()
    }

    /// Neurons in order of their community, within it by number of strong
    /// connections.
    pub fn by_community(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.neurons()).collect();
        order.sort_by_key(|&i| (self.communities.community[i], usize::MAX - self.degrees[i], i));
        order
    }

    /// The strongest `count` connections between different neurons: from, to,
    /// weight; strongest first.
    pub fn strongest(&self, count: usize) -> Vec<(usize, usize, f32)> {
        let mut all: Vec<(usize, usize, f32)> = self
            .trained
            .indexed_iter()
            .filter(|((i, j), w)| i != j && **w != 0.0)
            .map(|((i, j), w)| (i, j, *w))
            .collect();
        let order = |a: &(usize, usize, f32), b: &(usize, usize, f32)| {
            b.2.abs().total_cmp(&a.2.abs()).then((a.0, a.1).cmp(&(b.0, b.1)))
        };
        if count < all.len() {
            all.select_nth_unstable_by(count, order);
            all.truncate(count);
        }
        all.sort_by(order);
        all
    }
}

/// For each task and variant (of the first [`MAX_VARIANTS`]) the network of the run
/// of median accuracy (the lower of two), ordered by task, then variant.
pub fn representatives(run: &RunFolder) -> Vec<TrainedNetwork> {
    let places =
        run.whole_tasks().flat_map(|t| (0..run.variants.len().min(MAX_VARIANTS)).map(move |v| (v, t)));
    let chosen: Vec<(&TrainingResult, &TrainingFile)> = places
        .filter_map(|(variant, task)| {
            let (split, measure) = run.headline_on(task);
            let ok = run.group(variant, task).filter(|c| c.status == Status::Ok);
            let mut known: Vec<_> = ok
                .filter_map(|c| Some((c.value(&split, &measure)?, c, c.about.as_ref()?)))
                // Those restored from a compact file have no weights to show.
                .filter(|(_, _, about)| about.restored.is_none())
                .collect();
            known.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.run.cmp(&b.1.run)));
            let middle = known.len().checked_sub(1)? / 2;
            known.get(middle).map(|(_, cell, about)| (*cell, *about))
        })
        .collect();
    let look = |(cell, about): &(&TrainingResult, &TrainingFile)| match network(cell, about) {
        Ok(network) => Some(network),
        Err(e) => {
            tracing::warn!("left out of the figures: {e}");
            None
        }
    };
    // In parallel, because finding communities takes time.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = chosen.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = chosen
            .chunks(part)
            .map(|cells| scope.spawn(move || cells.iter().filter_map(look).collect::<Vec<_>>()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// The neurons of a network of `size` that are shown; the same of each network of
/// that size.
fn sampled(size: usize) -> Vec<usize> {
    if size <= MAX_NEURONS {
        return (0..size).collect();
    }
    let mut chosen = BTreeSet::new();
    let mut stream = random::stream(0, "neurons shown");
    while chosen.len() < MAX_NEURONS {
        chosen.insert(stream.random_range(0..size as u64) as usize);
    }
    chosen.into_iter().collect()
}

/// What pictures of a sample say; empty if all neurons are shown.
pub fn sample_caption(networks: &[TrainedNetwork]) -> String {
    match networks.iter().filter(|n| n.shown.len() < n.size).map(|n| n.size).max() {
        Some(size) => format!(
            " Of networks with more than {MAX_NEURONS} neurons (here up to {size}) {MAX_NEURONS} are shown, drawn at \
             random, with the connections and communities among these."
        ),
        None => String::new(),
    }
}

fn network(cell: &TrainingResult, about: &TrainingFile) -> Result<TrainedNetwork> {
    let path = about.folder.join("weights.safetensors");
    let damaged = |what: &str| {
        Error::input(format!("{}: {what}", path.display()))
            .help("move its folder away and start the run again")
    };
    let model = &about.model_info;
    let neurons = model.recorded();
    let shown = sampled(neurons);
    let [initial, trained] = match model.single_block() {
        Some(block) => weights::sample(&path, block, neurons, &shown)?.ok_or_else(|| {
            damaged(&format!("no tensor `initial` or `{block}` of {neurons}×{neurons} 32-bit numbers"))
        })?,
        None => {
            let complete = weights::read(&path)?;
            if complete.initial.dim() != (neurons, neurons) {
                return Err(damaged(&format!("no tensor `initial` of {neurons}×{neurons} 32-bit numbers")));
            }
            let trained = model.recurrent_matrix(&complete.parameters).map_err(|e| damaged(&e.message))?;
            [complete.initial, trained].map(|m| m.select(Axis(0), &shown).select(Axis(1), &shown))
        }
    };
    if !trained.iter().chain(&initial).all(|w| w.is_finite()) {
        return Err(damaged("some weights are not finite"));
    }
    let (graph, _) = strong_connections(trained.view(), cut(&about.spec)?);
    Ok(TrainedNetwork {
        variant: cell.variant,
        task: cell.task,
        run: cell.run,
        shown,
        size: neurons,
        degrees: graph.degrees(),
        communities: best_partition(&graph, ORDERS),
        initial,
        trained,
    })
}

/// Which weights the training's measures of organization count as connections.
fn cut(spec: &CellSpec) -> Result<Cut> {
    let metric = study()?.measures.get(MEASURE);
    let used = spec.metrics.iter().find(|m| Some(&m.id) == metric);
    let set = |name: &str| used.and_then(|metric| metric.params.get(name));
    let quantile = set("quantile").and_then(Value::as_f64).unwrap_or(QUANTILE);
    let ties = set("ties").and_then(|value| Ties::deserialize(value).ok()).unwrap_or(Ties::Include);
    Cut::new(quantile, ties)
}

/// Positions of a network's neurons, N×3 in micrometres, or why they are unknown.
pub type NeuronPositions = std::result::Result<Rc<Array2<f64>>, String>;

/// Looks up the positions of a training's neurons, N×3 in micrometres. This crate
/// does not know plugins, so the caller supplies the function.
pub type PositionLookup<'a> = dyn Fn(&RunFolder, &TrainingFile) -> Result<Array2<f64>> + 'a;

/// Positions of the neurons of each network. They are unknown if the plugin is not
/// loaded, the field has moved, or the substrate has no positions. A sweep over
/// fields has different neurons at each point.
pub fn places(
    run: &RunFolder,
    networks: &[TrainedNetwork],
    positions: &PositionLookup<'_>,
) -> Vec<NeuronPositions> {
    let mut known: BTreeMap<String, NeuronPositions> = BTreeMap::new();
    let mut samples: BTreeMap<(String, usize), Rc<Array2<f64>>> = BTreeMap::new();
    let place = |network: &TrainedNetwork| -> NeuronPositions {
        let about = run.example_of(network.variant).ok_or("no training is finished")?;
        let source = format!("{} {}", about.spec.substrate.id, about.spec.substrate.json());
        let found = known
            .entry(source.clone())
            .or_insert_with(|| positions(run, about).map(Rc::new).map_err(|e| e.to_string()))
            .clone()?;
        match found.nrows() == network.size {
            true if network.shown.len() == network.size => Ok(found),
            true => Ok(samples
                .entry((source, network.size))
                .or_insert_with(|| Rc::new(found.select(Axis(0), &network.shown)))
                .clone()),
            false => Err(format!(
                "`{}` now has {} neurons instead of {}",
                about.spec.substrate.id,
                found.nrows(),
                network.size
            )),
        }
    };
    networks.iter().map(place).collect()
}
