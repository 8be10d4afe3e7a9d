//! A summary of a field, which `pallium field info` prints.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use pallium_core::Substrate;
use serde::Serialize;

use super::relations::{
    Bin, Distances, Order, Pairwise, Wiring, between, mean, mean_between, mean_connected, order, pearson,
    profile, wiring,
};

/// Number of connected pairs below which statements about wiring are uncertain.
const FEW_CONNECTIONS: u64 = 20;
/// Neurons that are listed by number.
const LISTED: usize = 10;
/// A field wider than this (µm), which is a whole mouse brain, has its positions
/// probably in another unit.
const WIDE_UM: f64 = 15_000.0;
/// Somata that span less than this (µm), the diameter of one, have their positions probably
/// in another unit.
const NARROW_UM: f64 = 10.0;
/// Share of the weight on the diagonal above which there is a warning.
const HEAVY_DIAGONAL: f64 = 0.25;
/// Time of the first event, relative to the end, above which there is a warning if
/// the begin of the recording is not stated.
const LATE: f64 = 0.01;
/// Length of a recording (s), 116 days, above which its times are probably in another unit.
const LONG_S: f64 = 1e7;
/// Time (s) that an unknown recording is assumed to last after its last event.
const AFTER_S: f64 = 0.1;
/// Correlation above which two neurons may be the same cell.
const TWINS: f64 = 0.8;
/// Distance (µm) below which two somata may be the same cell.
const SAME_PLACE_UM: f64 = 3.0;

/// One number for each order of the connectome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerOrder<T> {
    /// As released.
    pub released: Option<T>,
    /// In the restored order of the neurons.
    pub restored: Option<T>,
}

/// Event times in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Activity {
    /// Events of all neurons.
    pub events: usize,
    /// Time of the first event (s).
    pub first_s: f64,
    /// Time of the last event (s).
    pub last_s: f64,
    /// Begin and end of the recording (s), if they are stated.
    pub recording_s: Option<(f64, f64)>,
    /// Length of the recording (s): from its begin to its end; or else from the whole
    /// second of the first event to the last event.
    pub length_s: f64,
    /// Event rates: minimum, median and maximum over neurons (1/s).
    pub rate_hz: [f64; 3],
    /// Neurons without events.
    pub silent: Vec<usize>,
}

/// Correlation of pairs in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relation {
    /// Mean over pairs.
    pub mean: f64,
    /// Standard deviation over pairs.
    pub sd: f64,
    /// Correlation with distance over pairs.
    pub with_distance: Option<f64>,
    /// Mean over connected pairs, with the connectome's order restored.
    pub mean_connected: Option<f64>,
    /// Largest difference between an entry and its mirror image.
    pub asymmetry: f64,
}

/// Weights computed from the field's activity, with every lognormal factor 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weights {
    /// Spectral radius at mean weight 0.1, before it is set.
    pub spectral_radius: f64,
    /// Share of the sum of weights that is on the diagonal.
    pub diagonal_share: f64,
}

/// Warnings, as sentences.
pub type Warnings = Vec<String>;

/// The summary of a field. Scripts rely on the first six keys.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// Number of neurons.
    pub neurons: usize,
    /// Synapses between different neurons.
    pub synapses: Option<u64>,
    /// Ordered pairs of different neurons with a synapse.
    pub connected_pairs: Option<u64>,
    /// Mean distance of all pairs (µm).
    pub mean_distance_um: Option<f64>,
    /// Mean distance of connected pairs (µm).
    pub mean_connected_distance_um: PerOrder<f64>,
    /// Whether there are event times.
    pub has_spikes: bool,
    /// The field's name.
    pub name: String,
    /// First and last id of each kind, as text: they exceed what a JSON number
    /// can hold.
    pub ids: BTreeMap<String, [String; 2]>,
    /// Extent of the somata along each axis (µm).
    pub span_um: Option<[f64; 3]>,
    /// Connections in detail.
    pub wiring: Option<Wiring>,
    /// Whether the connectome's order is plausible.
    pub order: PerOrder<Order>,
    /// Event times in numbers.
    pub activity: Option<Activity>,
    /// Each functional matrix in numbers.
    pub relations: BTreeMap<String, Relation>,
    /// Connection (in restored order) and correlation by distance.
    pub profile: Vec<Bin>,
    /// Weights computed from the field.
    pub functional_weights: Option<Weights>,
    /// Data that a field can have and this one lacks.
    pub missing: Vec<String>,
    /// Properties of the data that users do not expect.
    pub warnings: Warnings,
    /// Notes of the data's source.
    pub notes: Vec<String>,
}

/// What is known of the connectome as stored; it is not needed afterwards.
#[derive(Clone, Debug, Default)]
pub struct AsStored {
    mean_connected_um: Option<f64>,
    order: Option<Order>,
}

impl AsStored {
    /// Of a field with the connectome as stored.
    pub fn new(field: &Substrate) -> Self {
        let both = field.matrices.get(Substrate::CONNECTOME).zip(field.positions.as_ref());
        let Some((connectome, positions)) = both else { return AsStored::default() };
        let distance = Distances::new(positions);
        AsStored {
            mean_connected_um: mean_connected(connectome.view(), &distance),
            order: order(connectome.view(), &distance),
        }
    }
}

/// Summarizes a field: `field` has its connectome in the order of the neurons if
/// `restored`, otherwise as stored, and event times if there are any; `weights` are
/// computed from it.
pub fn page(field: &Substrate, stored: AsStored, restored: bool, weights: Option<Weights>) -> Page {
    let distance = field.positions.as_ref().map(Distances::new);
    let distance = distance.as_ref();
    let view = |name: &str| field.matrices.get(name).map(|matrix| matrix.view());
    let (known, correlation) = (view(Substrate::CONNECTOME), view(Substrate::CORRELATION));
    let profile = distance.map(|d| profile(d, known, correlation));
    let in_order = if restored { AsStored::new(field) } else { AsStored::default() };
    let wiring = known.map(|connectome| wiring(connectome, profile.as_deref()));
    let functional = field.matrices.iter().filter(|(name, _)| *name != Substrate::CONNECTOME);
    let relations = functional
        .filter_map(|(name, matrix)| Some((name.clone(), relation(matrix.view(), distance, known)?)))
        .collect();
    let mut page = Page {
        neurons: field.neurons,
        synapses: wiring.as_ref().map(|w| w.synapses),
        connected_pairs: wiring.as_ref().map(|w| w.connected_pairs),
        mean_distance_um: distance.and_then(mean_between),
        mean_connected_distance_um: PerOrder {
            released: stored.mean_connected_um,
            restored: in_order.mean_connected_um,
        },
        has_spikes: field.events.is_some(),
        name: field.name.clone(),
        ids: field
            .ids
            .iter()
            .filter_map(|(name, ids)| {
                Some((name.clone(), [ids.first()?.to_string(), ids.last()?.to_string()]))
            })
            .collect(),
        span_um: field.positions.as_ref().map(|positions| span(&positions.micrometres())),
        wiring,
        order: PerOrder { released: stored.order, restored: in_order.order },
        activity: field.events.as_deref().map(|events| activity(events, field.recording)),
        relations,
        profile: profile.unwrap_or_default(),
        functional_weights: weights,
        missing: missing(field),
        warnings: Vec::new(),
        notes: field.notes.clone(),
    };
    page.warnings = warnings(&page, correlation, distance, field.derived.contains(Substrate::STTC));
    page
}

fn span(um: &Array2<f64>) -> [f64; 3] {
    [0, 1, 2].map(|axis| {
        let column = um.column(axis);
        let low = column.iter().copied().fold(f64::INFINITY, f64::min);
        column.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low
    })
}

fn activity(events: &[Vec<f64>], recording_s: Option<(f64, f64)>) -> Activity {
    let times = || events.iter().flatten().copied();
    let last_s = times().reduce(f64::max).unwrap_or(0.0);
    let first_s = times().reduce(f64::min).unwrap_or(0.0);
    let length_s = recording_s.map_or(last_s - first_s.floor(), |(begin, end)| end - begin);
    let mut rates: Vec<f64> = events.iter().map(|times| times.len() as f64 / length_s.max(1e-9)).collect();
    rates.sort_by(f64::total_cmp);
    let at = |place: usize| rates.get(place).copied().unwrap_or(0.0);
    let last = rates.len().saturating_sub(1);
    Activity {
        events: events.iter().map(Vec::len).sum(),
        first_s,
        last_s,
        recording_s,
        length_s,
        rate_hz: [at(0), 0.5 * (at(last / 2) + at(last.div_ceil(2))), at(last)],
        silent: (0..events.len()).filter(|&i| events[i].is_empty()).collect(),
    }
}

fn relation(
    matrix: ArrayView2<'_, f64>,
    distance: Option<&Distances>,
    connectome: Option<ArrayView2<'_, f64>>,
) -> Option<Relation> {
    let average = mean_between(&matrix)?;
    Some(Relation {
        mean: average,
        sd: mean(between(&matrix).map(|(_, v)| (v - average).powi(2)))?.sqrt(),
        with_distance: distance
            .and_then(|d| pearson(between(&matrix).map(|((i, j), value)| (d.at(i, j), value)))),
        mean_connected: connectome.and_then(|connectome| mean_connected(connectome, &matrix)),
        asymmetry: matrix.indexed_iter().map(|((i, j), v)| (v - matrix[[j, i]]).abs()).fold(0.0, f64::max),
    })
}

fn missing(field: &Substrate) -> Vec<String> {
    let mut missing = Vec::new();
    if field.positions.is_none() {
        missing.push("positions".to_owned());
    }
    let matrices = [Substrate::CORRELATION, Substrate::STTC, Substrate::PRECISION, Substrate::CONNECTOME];
    missing.extend(matrices.into_iter().filter(|m| !field.matrices.contains_key(*m)).map(str::to_owned));
    if field.events.is_none() {
        missing.push("event times".to_owned());
    }
    missing.extend(
        ["root", "unit", "target"]
            .into_iter()
            .filter(|k| !field.ids.contains_key(*k))
            .map(|k| format!("{k} ids")),
    );
    missing
}

/// Warnings of properties of the data that users do not expect.
fn warnings(
    page: &Page,
    correlation: Option<ArrayView2<'_, f64>>,
    distance: Option<&Distances>,
    half_frame: bool,
) -> Warnings {
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    match (&page.order.released, &page.order.restored) {
        (Some(released), Some(restored)) if !released.plausible && restored.plausible => warn(format!(
            "the connectome is stored in another order than the neurons: as stored, connected pairs are \
             {:.0} µm apart, no nearer than random ones (p = {:.2}); in the neurons' order they are {:.0} µm apart \
             (p = {}). `pallium field restore` restores the order",
            released.mean_connected_um, released.p, restored.mean_connected_um, restored.p
        )),
        (_, Some(restored)) if !restored.plausible => warn(format!(
            "connected pairs are {:.0} µm apart, random ones {:.0} µm, which is not clearly different (p = {:.2}): \
             the connectome may be in another order than the neurons, or too sparse to decide",
            restored.mean_connected_um, restored.mean_permuted_um, restored.p
        )),
        (Some(released), None) if !released.plausible => warn(format!(
            "connected pairs are no nearer than random ones (p = {:.2}), and the order of the connectome \
             cannot be restored",
            released.p
        )),
        _ => {}
    }
    if let Some(wiring) = &page.wiring {
        if wiring.connected_pairs < FEW_CONNECTIONS {
            warn(format!(
                "only {} pairs are connected: statements about wiring are uncertain",
                wiring.connected_pairs
            ));
        }
        if wiring.autapses > 0 {
            warn(format!(
                "{} synapses are of neurons with themselves, which is usually a fault of segmentation; they \
                 are not counted",
                wiring.autapses
            ));
        }
    }
    if let Some(weights) = page.functional_weights.as_ref().filter(|w| w.diagonal_share > HEAVY_DIAGONAL) {
        warn(format!(
            "{:.0} % of the weight of W* is on the diagonal, where a neuron excites itself: compare with the \
             control diagonal = \"zero\" before you attribute an effect to wiring between neurons",
            100.0 * weights.diagonal_share
        ));
    }
    // With a window of half a frame, a negative mean is a property of the activity.
    if let Some(sttc) = page.relations.get(Substrate::STTC).filter(|sttc| sttc.mean < 0.0 && !half_frame) {
        let remedy = if page.has_spikes {
            "`pallium field derive` recomputes it with half a frame"
        } else {
            "without event times it cannot be recomputed"
        };
        warn(format!(
            "spike time tiling is negative on average ({:.4}), as it is when its window is longer than half a \
             frame; {remedy}",
            sttc.mean
        ));
    }
    for (name, relation) in page.relations.iter().filter(|(_, relation)| relation.asymmetry > 1e-9) {
        warn(format!(
            "the {name} matrix is not symmetric: entries differ from their mirror image by up to {:.2e}",
            relation.asymmetry
        ));
    }
    let widest = page.span_um.map_or(0.0, |span| span.into_iter().fold(0.0, f64::max));
    if widest > WIDE_UM {
        warn(format!(
            "the somata span {widest:.0} µm, more than a mouse brain: positions are probably in another unit; state it \
             as `unit` of the positions in field.toml"
        ));
    }
    if page.span_um.is_some() && page.neurons > 1 && widest < NARROW_UM {
        warn(format!(
            "the somata span {widest:.1} µm, less than the diameter of one: positions are probably in another unit; \
             state it as `unit` of the positions in field.toml"
        ));
    }
    let late = |activity: &&Activity| {
        activity.recording_s.is_none() && activity.first_s.floor() > LATE * (activity.last_s + AFTER_S)
    };
    if let Some(activity) = page.activity.as_ref().filter(late) {
        warn(format!(
            "the first event is at {} s, and the start of the recording is not stated, so the time before {begin} s is \
             not counted. Was it recorded? Then correlations are too low: set recording = [0, END] in field.toml, END \
             being the time at which the recording ended. If not, set recording = [{begin}, END]",
            activity.first_s,
            begin = activity.first_s.floor()
        ));
    }
    if let Some(activity) = page.activity.as_ref().filter(|activity| activity.length_s > LONG_S) {
        warn(format!(
            "the recording is {:e} s long, and the last event is at {:e} s: are event times in seconds? Correct their \
             unit, or remove the events that are wrong",
            activity.length_s, activity.last_s
        ));
    }
    if let Some(activity) = page.activity.as_ref().filter(|activity| !activity.silent.is_empty()) {
        let named: Vec<String> = activity.silent.iter().take(LISTED).map(ToString::to_string).collect();
        let more = if activity.silent.len() > LISTED { ", …" } else { "" };
        warn(format!(
            "{} neurons have no events, so they correlate with no other neuron: {}{more}",
            activity.silent.len(),
            named.join(", ")
        ));
    }
    let twins = correlation.map(|r| pairs_beyond(&r, |r| r > TWINS)).unwrap_or_default();
    if let Some((i, j, r)) = twins.first() {
        warn(format!(
            "{} pairs correlate by more than {TWINS}, neurons {i} and {j} by {r:.2}: they may be one cell \
             imaged twice",
            twins.len()
        ));
    }
    let heaps = distance.map(|d| pairs_beyond(d, |d| d < SAME_PLACE_UM)).unwrap_or_default();
    if let Some((i, j, d)) = heaps.first() {
        warn(format!(
            "{} pairs of somata are less than {SAME_PLACE_UM} µm apart, neurons {i} and {j} {d:.1} µm: they \
             may be one cell",
            heaps.len()
        ));
    }
    if !page.missing.is_empty() {
        warn(format!("the field has no {}", page.missing.join(", ")));
    }
    warnings
}

/// Unordered pairs whose value is beyond a limit.
fn pairs_beyond(of: &impl Pairwise, beyond: impl Fn(f64) -> bool) -> Vec<(usize, usize, f64)> {
    between(of).filter(|((i, j), v)| i < j && beyond(*v)).map(|((i, j), v)| (i, j, v)).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use pallium_core::Positions;

    use super::*;

    fn field() -> Substrate {
        let mut field = Substrate { name: "small".into(), neurons: 3, ..Substrate::default() };
        field.positions = Some(Positions {
            values: array![[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 50.0, 10.0]].into(),
            unit_um: [1.0, 2.0, 1.0],
        });
        field
            .matrices
            .insert("correlation".into(), array![[1.0, 0.9, 0.1], [0.9, 1.0, 0.0], [0.1, 0.0, 1.0]].into());
        field
            .matrices
            .insert("sttc".into(), array![[1.0, -0.2, 0.1], [-0.2, 1.0, -0.1], [0.1, -0.1, 1.0]].into());
        field
            .matrices
            .insert("precision".into(), array![[2.0, -1.0, 0.0], [-0.9, 2.0, 0.0], [0.0, 0.0, 1.0]].into());
        field
            .matrices
            .insert("connectome".into(), array![[1.0, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]].into());
        field.ids.insert("root".into(), vec![i64::MAX - 2, i64::MAX - 1, i64::MAX].into());
        field.events = Some(vec![vec![1.0, 2.0], vec![10.0], vec![]]);
        field.recording = Some((0.0, 10.0));
        field
    }

    #[test]
    fn a_page_shows_what_a_field_has() {
        let field = field();
        let weights = Weights { spectral_radius: 5.0, diagonal_share: 0.4 };
        let page = page(&field, AsStored::new(&field), true, Some(weights));
        assert_eq!((page.neurons, page.synapses, page.connected_pairs), (3, Some(3), Some(2)));
        assert_eq!(page.span_um, Some([1.0, 100.0, 10.0]));
        assert_eq!(page.mean_connected_distance_um.restored, Some(1.0));
        assert_eq!(page.ids["root"], ["9223372036854775805", "9223372036854775807"]);
        let activity = page.activity.unwrap();
        assert_eq!((activity.events, activity.last_s, activity.rate_hz), (3, 10.0, [0.0, 0.1, 0.2]));
        assert_eq!(activity.silent, [2]);
        let unknown =
            super::page(&Substrate { recording: None, ..field.clone() }, AsStored::default(), false, None);
        assert!(unknown.warnings.iter().any(|w| w.contains("the start of the recording is not stated")));
        assert_eq!(unknown.activity.unwrap().length_s, 9.0);
        let mut narrow = field.clone();
        narrow.positions.as_mut().unwrap().unit_um = [0.004, 0.004, 0.04];
        let narrow = super::page(&narrow, AsStored::default(), false, None).warnings.join("\n");
        assert!(narrow.contains("the somata span 0.4 µm, less than"), "{narrow}");
        assert!(!page.warnings.iter().any(|warning| warning.contains("the somata span")));
        let mut long = Substrate { recording: None, ..field.clone() };
        long.events = Some(vec![vec![1.0, 1e300], vec![], vec![]]);
        let long = super::page(&long, AsStored::default(), false, None).warnings.join("\n");
        assert!(long.contains("the last event is at 1e300 s: are event times in seconds?"), "{long}");
        assert!((page.relations["sttc"].mean + 0.2 / 3.0).abs() < 1e-15);
        assert_eq!(page.relations["correlation"].mean_connected, Some(0.9));
        assert_eq!(page.missing, ["unit ids", "target ids"]);
        assert!(!page.warnings.iter().any(|w| w.contains("start of the recording")));
        let all = page.warnings.join("\n");
        for part in [
            "only 2 pairs",
            "1 synapses are of neurons with themselves",
            "40 % of the weight",
            "negative on average",
            "precision matrix is not symmetric",
            "1 neurons have no events",
            "neurons 0 and 1 by 0.90",
            "neurons 0 and 1 1.0 µm",
            "no unit ids, target ids",
        ] {
            assert!(all.contains(part), "no «{part}» in:\n{all}");
        }
    }

    #[test]
    fn a_field_without_data_has_a_page_that_lists_what_it_lacks() {
        let bare = Substrate {
            name: "bare".into(),
            neurons: 1,
            matrices: [("sttc".into(), array![[1.0]].into())].into(),
            ..Substrate::default()
        };
        let page = page(&bare, AsStored::new(&bare), false, None);
        assert_eq!((page.mean_distance_um, page.synapses, page.has_spikes), (None, None, false));
        assert!(page.missing.contains(&"positions".to_owned()));
        let json = serde_json::to_value(&page).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().take(6).cloned().collect();
        assert_eq!(
            keys,
            [
                "neurons",
                "synapses",
                "connected_pairs",
                "mean_distance_um",
                "mean_connected_distance_um",
                "has_spikes"
            ]
        );
        assert!(json["mean_connected_distance_um"]["released"].is_null());
    }
}
