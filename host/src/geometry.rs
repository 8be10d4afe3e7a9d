//! Distances between neurons: their positions, how these are read, and how the
//! distances are scaled.

use ndarray::{Array2, ArrayView2, Axis, aview1};
use pallium_core::rand::Rng;
use pallium_core::rand::seq::SliceRandom;
use pallium_core::{ConnectionsView, Error, PositionsBase, Result, Substrate, random};
use pallium_record::spec::{CoordinateLayout, CoordinateScale, DistanceScale, Geometry, Space};

/// Distances between neurons.
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    /// N×N, Euclidean, zero diagonal.
    pub values: Array2<f32>,
    /// Micrometres per unit of distance, if the geometry has a length unit.
    pub unit_um: Option<f64>,
}

/// N×N Euclidean distances, zero diagonal; `None` without a space.
///
/// `geometry` sets their unit: fractions of the field's extent along each axis
/// (`minmax`), micrometres, grid steps, or multiples of their own mean over the
/// N·(N−1) entries off the diagonal (`mean-one`). Coordinate layout and scale
/// apply to somata alone; a grid has unit steps. `seed` is that of the run and
/// affects only shuffled positions.
///
/// # Errors
/// If the geometry is `soma` and the substrate is missing, has another number
/// of neurons or no positions; if a grid has fewer points than neurons; or if
/// all neurons are at the same place, so that their mean distance cannot be 1.
pub fn distances(
    geometry: &Geometry,
    substrate: Option<&Substrate>,
    neurons: usize,
    seed: u64,
) -> Result<Option<Distances>> {
    let Some(points) = points(geometry, substrate, neurons, seed)? else { return Ok(None) };
    let mut distance = euclidean(points.view());
    let mut unit_um = micrometres(geometry).then_some(1.0);
    if geometry.distance_scale == DistanceScale::MeanOne && neurons > 1 {
        let mean = distance.sum() / (neurons * (neurons - 1)) as f64;
        if mean <= 0.0 {
            return Err(at_one_place(neurons));
        }
        distance /= mean;
        unit_um = unit_um.map(|unit| unit * mean);
    }
    Ok(Some(Distances { values: distance.mapv(|d| d as f32), unit_um }))
}

/// Where neurons lie, for distances of some pairs without a matrix of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// N×3.
    points: Array2<f64>,
    /// The unit of distances, in units of the points.
    scale: f64,
    /// Micrometres per unit of distance, if the geometry has a length unit.
    pub unit_um: Option<f64>,
}

/// The places of the neurons; their distances are those of [`distances`], up to
/// rounding.
///
/// # Errors
/// As [`distances`].
pub fn places(
    geometry: &Geometry,
    substrate: Option<&Substrate>,
    neurons: usize,
    seed: u64,
) -> Result<Option<Places>> {
    let Some(points) = points(geometry, substrate, neurons, seed)? else { return Ok(None) };
    let mut scale = 1.0;
    if geometry.distance_scale == DistanceScale::MeanOne && neurons > 1 {
        scale = mean_distance(&points);
        if scale <= 0.0 {
            return Err(at_one_place(neurons));
        }
    }
    let unit_um = micrometres(geometry).then_some(scale);
    Ok(Some(Places { points, scale, unit_um }))
}

impl Places {
    /// The distances of all pairs, N×N.
    pub fn all(&self) -> Array2<f32> {
        euclidean(self.points.view()).mapv(|d| (d / self.scale) as f32)
    }

    /// The distance of each connection, 1 × C.
    pub fn of(&self, connections: ConnectionsView<'_>) -> Array2<f32> {
        let at = |i: usize| -> [f64; 3] { [0, 1, 2].map(|k| self.points[[i, k]]) };
        let values = connections.pairs().map(|(i, j)| (between(at(i), at(j)) / self.scale) as f32);
        Array2::from_shape_vec((1, connections.len()), values.collect())
            .unwrap_or_else(|_| unreachable!("one value for each connection"))
    }
}

/// Largest number of points whose mean distance is taken over all pairs; of more, it is
/// taken over [`SAMPLED`] others of each point.
const ALL_PAIRS_UP_TO: usize = 32_000;
const SAMPLED: usize = 256;

/// Mean distance of pairs of different points: of all, or of so many of each point that
/// its standard error is below 0.1 %.
fn mean_distance(points: &Array2<f64>) -> f64 {
    let points: Vec<[f64; 3]> = points.outer_iter().map(|p| [p[0], p[1], p[2]]).collect();
    if points.len() > ALL_PAIRS_UP_TO {
        return sampled_mean_distance(&points);
    }
    let of_row = |i: usize| points[..i].iter().map(|&other| between(points[i], other)).sum::<f64>();
    let n = points.len();
    2.0 * (0..n).map(of_row).sum::<f64>() / (n * (n - 1)) as f64
}

/// Mean distance of pairs that are drawn with a fixed seed: the same for the same points.
fn sampled_mean_distance(points: &[[f64; 3]]) -> f64 {
    let n = points.len();
    let mut stream = random::stream(0, "pairs of the mean distance");
    let mut of_point = |i: usize| {
        let others = (0..SAMPLED).map(|_| (i + 1 + stream.random_range(0..n as u32 - 1) as usize) % n);
        others.map(|j| between(points[i], points[j])).sum::<f64>()
    };
    (0..n).map(&mut of_point).sum::<f64>() / (n * SAMPLED) as f64
}

fn between(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>().sqrt()
}

fn at_one_place(neurons: usize) -> Error {
    Error::input(format!(
        "all {neurons} neurons are at the same place, so their distances cannot be scaled to mean 1"
    ))
    .help("set distance_scale to `none`, or use a grid")
}

fn micrometres(geometry: &Geometry) -> bool {
    matches!(geometry.space, Space::Soma)
        && geometry.coordinate_layout == CoordinateLayout::Rows
        && geometry.coordinate_scale == CoordinateScale::Micrometre
}

/// The coordinates of the neurons, N×3, shuffled if the geometry says so; `None`
/// without a space.
fn points(
    geometry: &Geometry,
    substrate: Option<&Substrate>,
    neurons: usize,
    seed: u64,
) -> Result<Option<Array2<f64>>> {
    let mut points = match geometry.space {
        Space::None => return Ok(None),
        Space::Soma => somata(geometry, substrate, neurons)?,
        Space::Grid(extents) => grid(extents.unwrap_or_else(|| extents_for(neurons)), neurons)?,
    };
    if geometry.shuffled {
        let mut order: Vec<usize> = (0..neurons).collect();
        order.shuffle(&mut random::stream(seed, "shuffled positions"));
        points = points.select(Axis(0), &order);
    }
    Ok(Some(points))
}

/// Extents of a grid for `neurons` neurons: two layers, since a field is wide
/// and flat, each as nearly square as possible.
///
/// A layer holds half of the neurons, rounded up. If rectangles with a ratio of
/// sides up to three fill it exactly, the squarest of them is taken, with the
/// longer side first unless that is the rounded square root of the half;
/// otherwise the squarest rectangle with enough points. That gives 12×13×2 for
/// 312 neurons, as published, 7×5×2 for 70 and 7×3×2 for 42.
pub fn extents_for(neurons: usize) -> [usize; 3] {
    let layer = neurons.div_ceil(2).max(1);
    let side = ((layer as f64).sqrt().round() as usize).max(1);
    let exact = (side..=layer)
        .take_while(|a| a * a <= 3 * layer)
        .find(|a| layer.is_multiple_of(*a))
        .map(|a| [a, layer / a, 2]);
    exact.unwrap_or([side, layer.div_ceil(side), 2])
}

/// Parses `none`, `soma`, `grid` or `grid:AxBxC`.
///
/// # Errors
/// If it is none of these, or an extent is not a positive integer.
pub fn parse_space(text: &str) -> Result<Space> {
    let wrong = || {
        Error::input(format!("`{text}` is not a geometry"))
            .help("expected `none`, `soma`, `grid`, or `grid:AxBxC` such as `grid:12x13x2`")
    };
    match text {
        "none" => Ok(Space::None),
        "soma" => Ok(Space::Soma),
        "grid" => Ok(Space::Grid(None)),
        _ => {
            let extents: Vec<usize> = text
                .strip_prefix("grid:")
                .ok_or_else(wrong)?
                .split(['x', '×'])
                .map(|extent| extent.parse().ok().filter(|e| *e > 0).ok_or_else(wrong))
                .collect::<Result<_>>()?;
            Ok(Space::Grid(Some(extents.try_into().map_err(|_| wrong())?)))
        }
    }
}

/// N×3 coordinates of the somata, read and scaled as `geometry` says.
fn somata(geometry: &Geometry, substrate: Option<&Substrate>, neurons: usize) -> Result<Array2<f64>> {
    let substrate = substrate.ok_or_else(|| {
        Error::input("geometry `soma` needs a substrate")
            .help("name a substrate with positions, or use a grid geometry")
    })?;
    if substrate.neurons != neurons {
        return Err(Error::input(format!(
            "substrate `{}` has {} neurons, but the network has {neurons}",
            substrate.name, substrate.neurons
        ))
        .help("a soma geometry needs one recorded neuron for each neuron of the network"));
    }
    let positions = substrate.positions()?;
    let mut points = match geometry.coordinate_layout {
        CoordinateLayout::Rows => positions.values.to_array(),
        CoordinateLayout::Interleaved => interleaved(positions),
    };
    match geometry.coordinate_scale {
        CoordinateScale::Micrometre => points *= &aview1(&positions.unit_um),
        CoordinateScale::Minmax => points.columns_mut().into_iter().for_each(|mut axis| {
            let low = axis.iter().copied().fold(f64::INFINITY, f64::min);
            let high = axis.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // An axis without extent has no scale.
            let extent = if high > low { high - low } else { 1.0 };
            axis.mapv_inplace(|v| (v - low) / extent);
        }),
    }
    Ok(points)
}

/// The N×3 table read as a 3×N one: coordinate `axis` of neuron i is the number
/// at position axis·N + i when the table is read along its rows.
fn interleaved(positions: &PositionsBase<'_>) -> Array2<f64> {
    let values = positions.values.view();
    let neurons = values.nrows();
    Array2::from_shape_fn((neurons, 3), |(i, axis)| {
        let place = axis * neurons + i;
        values[[place / 3, place % 3]]
    })
}

/// The first `neurons` points of a grid of A×B×C unit steps, in the order of
/// numpy's `meshgrid(x, y, z)` with its default "xy" indexing, raveled: z runs
/// fastest, then x, then y.
fn grid([a, b, c]: [usize; 3], neurons: usize) -> Result<Array2<f64>> {
    let points = a.checked_mul(b).and_then(|ab| ab.checked_mul(c));
    if points.is_none_or(|points| points < neurons) {
        let [x, y, z] = extents_for(neurons);
        return Err(Error::input(format!("a grid of {a}×{b}×{c} has too few points for {neurons} neurons"))
            .help(format!("use `grid:{x}x{y}x{z}`, or `grid` to choose the extents automatically")));
    }
    Ok(Array2::from_shape_fn((neurons, 3), |(i, axis)| {
        let coordinate = match axis {
            0 => (i / c) % a,
            1 => i / (c * a),
            _ => i % c,
        };
        coordinate as f64
    }))
}

fn euclidean(points: ArrayView2<'_, f64>) -> Array2<f64> {
    let neurons = points.nrows();
    let mut distance = Array2::zeros((neurons, neurons));
    for i in 0..neurons {
        for j in 0..i {
            let d = (0..3).map(|k| (points[[i, k]] - points[[j, k]]).powi(2)).sum::<f64>().sqrt();
            distance[[i, j]] = d;
            distance[[j, i]] = d;
        }
    }
    distance
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// Five neurons at synthetic positions; units are 0.5×0.5×2 µm. The
    /// expected numbers below come from numpy:
    /// `sqrt(((p[:,None]-p[None])**2).sum(-1))` of `p*[.5,.5,2]`, of `p` scaled
    /// per column, and of `p.reshape(3,-1).T`.
    fn substrate() -> Substrate {
        Substrate {
            name: "invented".into(),
            neurons: 5,
            positions: Some(PositionsBase::new(
                array![
                    [100.0, 220.0, 10.0],
                    [340.0, 180.0, 12.0],
                    [90.0, 400.0, 31.0],
                    [260.0, 310.0, 25.0],
                    [180.0, 90.0, 19.0]
                ],
                [0.5, 0.5, 2.0],
            )),
            ..Substrate::default()
        }
    }

    fn geometry(space: Space) -> Geometry {
        Geometry {
            space,
            coordinate_layout: CoordinateLayout::Rows,
            coordinate_scale: CoordinateScale::Micrometre,
            distance_scale: DistanceScale::None,
            shuffled: false,
        }
    }

    #[test]
    fn distances_of_pairs_are_those_of_the_matrix() {
        let pairs =
            pallium_core::Connections::from_pairs(5, 5, vec![(0, 1), (0, 4), (3, 3), (4, 2)]).unwrap();
        for scale in [DistanceScale::None, DistanceScale::MeanOne] {
            for shuffled in [false, true] {
                let geometry = Geometry { distance_scale: scale, shuffled, ..geometry(Space::Soma) };
                let all = distances(&geometry, Some(&substrate()), 5, 3).unwrap().unwrap();
                let places = places(&geometry, Some(&substrate()), 5, 3).unwrap().unwrap();
                let expected = pairs.view().gather(all.values.view());
                for (found, expected) in places.of(pairs.view()).iter().zip(expected) {
                    assert!((found - expected).abs() <= 1e-6 * expected, "{found} and not {expected}");
                }
                let unit = |unit: Option<f64>| unit.unwrap();
                assert!((unit(places.unit_um) / unit(all.unit_um) - 1.0).abs() < 1e-12);
            }
        }
        assert_eq!(places(&geometry(Space::None), None, 5, 3).unwrap(), None);
    }

    fn mean_off_diagonal(d: &Array2<f32>) -> f64 {
        let n = d.nrows();
        d.iter().map(|&v| f64::from(v)).sum::<f64>() / (n * (n - 1)) as f64
    }

    fn agrees(d: &Array2<f32>, first_row: [f64; 4], d_3_4: f64, mean: f64) {
        for (j, expected) in first_row.into_iter().enumerate() {
            assert_eq!(d[[0, j + 1]], expected as f32);
            assert_eq!(d[[j + 1, 0]], expected as f32);
        }
        assert_eq!(d[[3, 4]], d_3_4 as f32);
        assert!((mean_off_diagonal(d) / mean - 1.0).abs() < 1e-7, "{}", mean_off_diagonal(d));
        assert!(d.diag().iter().all(|&v| v == 0.0));
    }

    #[test]
    fn somata_agree_with_numpy_in_every_reading() {
        let substrate = substrate();
        let of = |layout, scale| {
            let geometry =
                Geometry { coordinate_layout: layout, coordinate_scale: scale, ..geometry(Space::Soma) };
            distances(&geometry, Some(&substrate), 5, 0).unwrap().unwrap().values
        };
        use {CoordinateLayout::*, CoordinateScale::*};
        agrees(
            &of(Rows, Micrometre),
            [121.72099243762351, 99.443451267542, 96.56603957913983, 78.41555968046137],
            117.66052864066182,
            111.81714373688533,
        );
        agrees(
            &of(Rows, Minmax),
            [0.9733034564850822, 1.157043129416473, 1.0020435531777645, 0.6796557585550016],
            0.8292615345012502,
            0.9755694211618036,
        );
        agrees(
            &of(Interleaved, Minmax),
            [1.0638763322789313, 1.1286951220785582, 1.0501811146452338, 1.211327587158686],
            0.8018420586540692,
            0.9567913441634367,
        );
        agrees(
            &of(Interleaved, Micrometre),
            [574.4745425168986, 327.5072518281084, 456.1691024170752, 596.4059020499378],
            199.18396019760226,
            339.6569743396279,
        );
    }

    #[test]
    fn a_grid_is_filled_in_numpys_meshgrid_order() {
        // meshgrid(arange(2), arange(3), arange(2)), first 9 of 12 points.
        let d = distances(&geometry(Space::Grid(Some([2, 3, 2]))), None, 9, 0).unwrap().unwrap().values;
        let (two, three) = (2f32.sqrt(), 3f32.sqrt());
        assert_eq!(d.row(0).to_vec(), [0.0, 1.0, 1.0, two, 1.0, two, two, three, 2.0]);
        assert_eq!(d.row(5).to_vec(), [two, 1.0, three, two, 1.0, 0.0, two, 1.0, two]);
        assert!((mean_off_diagonal(&d) - 1.3994686002458465).abs() < 1e-7);
    }

    #[test]
    fn chosen_grids_have_the_published_extents_and_mean_distances() {
        for (neurons, extents, mean) in [
            (42, [7, 3, 2], 2.847830003084082),
            (70, [7, 5, 2], 3.255211935630448),
            (312, [12, 13, 2], 6.574600402949312),
        ] {
            assert_eq!(extents_for(neurons), extents);
            let d = distances(&geometry(Space::Grid(None)), None, neurons, 0).unwrap().unwrap().values;
            assert!((mean_off_diagonal(&d) / mean - 1.0).abs() < 1e-7, "{neurons}");
        }
    }

    #[test]
    fn any_number_of_neurons_gets_a_compact_grid() {
        for neurons in 1..2000 {
            let [a, b, c] = extents_for(neurons);
            assert!(a * b * c >= neurons, "{neurons}: {a}×{b}×{c}");
            assert!(a <= 3 * b && b <= 3 * a, "{neurons}: {a}×{b}×{c}");
            assert!(a * b - neurons.div_ceil(2) <= a, "{neurons}: {a}×{b}×{c} leaves rows empty");
        }
    }

    #[test]
    fn scaled_distances_have_mean_one_off_the_diagonal() {
        for space in [Space::Soma, Space::Grid(None)] {
            let plain = geometry(space);
            let scaled = Geometry { distance_scale: DistanceScale::MeanOne, ..plain.clone() };
            let d = distances(&scaled, Some(&substrate()), 5, 0).unwrap().unwrap().values;
            assert!((mean_off_diagonal(&d) - 1.0).abs() < 1e-7);
            let unit_um = distances(&scaled, Some(&substrate()), 5, 0).unwrap().unwrap().unit_um;
            let expected = matches!(scaled.space, Space::Soma).then_some(111.81714373688533);
            assert_eq!(unit_um.is_some(), expected.is_some());
            assert!(unit_um.zip(expected).is_none_or(|(a, b)| (a / b - 1.0).abs() < 1e-12), "{unit_um:?}");
            let unscaled = distances(&plain, Some(&substrate()), 5, 0).unwrap().unwrap().values;
            let mean = mean_off_diagonal(&unscaled) as f32;
            assert!((d[[1, 2]] * mean / unscaled[[1, 2]] - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn shuffled_positions_are_a_permutation_that_depends_on_the_seed() {
        let shuffled = Geometry { shuffled: true, ..geometry(Space::Grid(None)) };
        let of = |seed| distances(&shuffled, None, 42, seed).unwrap().unwrap().values;
        let straight = distances(&geometry(Space::Grid(None)), None, 42, 1).unwrap().unwrap().values;
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_ne!(of(1), straight);
        let sorted = |d: Array2<f32>| {
            let mut values = d.into_raw_vec_and_offset().0;
            values.sort_by(f32::total_cmp);
            values
        };
        assert_eq!(sorted(of(1)), sorted(straight));
    }

    #[test]
    fn missing_positions_are_refused_with_a_remedy() {
        let error = distances(&geometry(Space::Soma), None, 5, 0).unwrap_err();
        assert!(error.to_string().contains("needs a substrate"), "{error}");
        let error = distances(&geometry(Space::Soma), Some(&substrate()), 6, 0).unwrap_err();
        assert!(error.message.contains("`invented` has 5 neurons, but the network has 6"), "{error}");
        let error = distances(&geometry(Space::Grid(Some([2, 2, 2]))), None, 9, 0).unwrap_err();
        assert!(error.help.unwrap().contains("grid:2x3x2"));
        let mut heap = substrate();
        heap.positions.as_mut().unwrap().values = Array2::from_elem((5, 3), 3.0).into();
        let scaled = Geometry { distance_scale: DistanceScale::MeanOne, ..geometry(Space::Soma) };
        let error = distances(&scaled, Some(&heap), 5, 0).unwrap_err();
        assert!(error.message.contains("at the same place"), "{error}");
        let flat = Geometry { coordinate_scale: CoordinateScale::Minmax, ..geometry(Space::Soma) };
        let d = distances(&flat, Some(&heap), 5, 0).unwrap().unwrap().values;
        assert!(d.iter().all(|&v| v == 0.0));
        assert_eq!(distances(&geometry(Space::None), None, 5, 0).unwrap(), None);
        assert_eq!(distances(&scaled, Some(&heap), 5, 0).unwrap_err().kind, pallium_core::Kind::Input);
    }

    #[test]
    fn geometries_are_parsed_from_text() {
        assert_eq!(parse_space("grid").unwrap(), Space::Grid(None));
        assert_eq!(parse_space("grid:12x13x2").unwrap(), Space::Grid(Some([12, 13, 2])));
        assert_eq!(parse_space("soma").unwrap(), Space::Soma);
        assert_eq!(parse_space("none").unwrap(), Space::None);
        for wrong in ["", "somas", "grid:", "grid:2x3", "grid:2x3x0", "grid:2x3x4x5", "grid:axbxc"] {
            assert!(parse_space(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sampled_mean_distance_is_that_of_all_pairs() {
        let mut stream = random::stream(3, "points");
        let points = Array2::from_shape_simple_fn((3000, 3), || stream.random::<f64>());
        let all = mean_distance(&points);
        let listed: Vec<[f64; 3]> = points.outer_iter().map(|p| [p[0], p[1], p[2]]).collect();
        let sampled = sampled_mean_distance(&listed);
        // The mean distance in a unit cube is 0.6617 (Robbins 1978).
        assert!((all - 0.6617).abs() < 0.01, "{all}");
        assert!((sampled / all - 1.0).abs() < 2e-3, "{sampled} and not {all}");
    }
}
