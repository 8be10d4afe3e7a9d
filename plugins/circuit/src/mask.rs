//! `circuit.mask`: restricts weights to connected pairs of neurons.

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;
use pallium_core::rand::{Rng, RngCore, seq::SliceRandom};

use crate::shapes::{check_shape, neuron, no_penalty, within_one_population};

pallium_core::choice! {
    /// Which pairs of neurons may be connected.
    pub enum Pairs {
        /// Those of the measured connectome.
        Connectome = "connectome",
        /// As many pairs as the connectome connects, drawn at random.
        DensityMatched = "density-matched",
        /// Pairs drawn at random such that every neuron keeps its numbers of
        /// inputs and outputs.
        DegreePreserving = "degree-preserving",
    }
}

pallium_core::choice! {
    /// The direction in which a synapse allows a weight.
    pub enum Direction {
        /// Only in the synapse's own direction.
        Directed = "directed",
        /// In both directions.
        Either = "either",
    }
}

pallium_core::choice! {
    /// How pairs are handled if it is unknown whether they are connected.
    pub enum Unknown {
        /// As pairs that are not connected.
        Absent = "absent",
        /// They may have weights.
        Free = "free",
    }
}

pallium_core::params! {
    /// Parameters of `circuit.mask`.
    pub struct Params {
        /// Which pairs of neurons may be connected. The random pairs are
        /// controls, drawn with the run's seed.
        pairs: Pairs = Pairs::Connectome,
        /// Minimum number of synapses (or their size, if the connectome holds
        /// sizes) of a connected pair (above 0).
        least: f64 = 1.0,
        /// Whether a synapse allows a weight only in its own direction, or in
        /// both.
        direction: Direction = Direction::Directed,
        /// Whether neurons may connect to themselves, regardless of the
        /// connectome.
        autapses: bool = false,
        /// How pairs without synapses are handled if the presynaptic axon was not
        /// proofread. `free` needs a substrate that marks proofread axons:
        /// `microns.tables` with `proofreading`.
        unknown: Unknown = Unknown::Absent,
    }
}

/// Attempted swaps per connection of a degree-preserving mask.
const SWAPS: usize = 20;

/// W ← W∘M after each update, where M is 1 if the substrate's connectome has
/// synapses from neuron i to neuron j and 0 otherwise; no penalty.
///
/// The two controls connect as many pairs as M, but others: pairs drawn from all
/// ordered pairs of different neurons (Erdős and Rényi 1959), or M with the
/// targets of pairs of connections swapped (Maslov and Sneppen 2002), with 20
/// attempts per connection.
///
/// With `unknown = "free"`, all pairs from neurons whose axon was not proofread may have
/// weights: that no synapse of theirs was found does not mean that there is none.
///
/// Connections between parts of the neurons have the pairs that the mask of all
/// neurons allows between them. Units that stand for no neuron were not measured,
/// so their connections are not restricted.
pub struct Mask {
    /// Whether the weight may differ from 0, in the shape of the parameter.
    pub(crate) allowed: Array2<bool>,
}

impl Component for Mask {
    const ID: &'static str = "circuit.mask";
    const ABOUT: &'static str =
        "hard: only pairs of neurons connected in the measured connectome have weights";
    const CITE: &'static str = "Song, Yang, Wang 2016, PLoS Comput. Biol. 12:e1004792; controls: Erdős and \
                                Rényi 1959; Maslov and Sneppen 2002, Science 296:910";
    type Params = Params;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        let least = params.least;
        one_of_range("least", least, 0.0, 1e300)?;
        if least == 0.0 {
            return Err(Error::input("parameter `least` is 0")
                .help("it must be above 0; otherwise every pair would be connected"));
        }
        let substrate = setting.substrate()?;
        let counts = substrate.matrix(Substrate::CONNECTOME)?;
        let n = setting.neurons.unwrap_or(counts.nrows());
        check_shape("connectome", Some((n, n)), counts.dim())?;
        let connected = |i: usize, j: usize| {
            let either = params.direction == Direction::Either && counts[[j, i]] >= least;
            i != j && (counts[[i, j]] >= least || either)
        };
        let mut allowed = Array2::from_shape_fn((n, n), |(i, j)| connected(i, j));
        let count = allowed.iter().filter(|&&a| a).count();
        if count == 0 && !params.autapses {
            let pairs = counts.indexed_iter().filter(|((i, j), _)| i != j);
            let most = pairs.map(|(_, count)| *count).fold(0.0, f64::max);
            let name = &substrate.name;
            return Err(if most > 0.0 {
                Error::input(format!("the connectome of `{name}` connects no pair with at least {least}"))
                    .help(format!("set `least` to at most {most}, the largest entry between two neurons"))
            } else {
                Error::input(format!("the connectome of `{name}` connects no two neurons"))
                    .help("use another substrate: with this mask all recurrent weights would be 0")
            });
        }
        let mut stream = random::stream(setting.seed, "masked pairs");
        match params.pairs {
            Pairs::Connectome => {}
            Pairs::DensityMatched => allowed = drawn(n, count, &mut stream),
            Pairs::DegreePreserving => swap(&mut allowed, &mut stream),
        }
        if params.unknown == Unknown::Free {
            let axons = axons(substrate, n)?;
            for (mut row, _) in allowed.outer_iter_mut().zip(axons.iter()).filter(|(_, axon)| **axon != 1) {
                row.fill(true);
            }
        }
        allowed.diag_mut().fill(params.autapses);
        if setting.rows.is_some() || setting.columns.is_some() {
            allowed = between(setting, &allowed, params.autapses)?;
        }
        Ok(Mask { allowed })
    }
}

/// Whether the axon of each neuron was proofread: 1 if it was.
fn axons<'a>(substrate: &'a SubstrateView<'_>, n: usize) -> Result<&'a [i64]> {
    let axons = substrate.ids.get("axon").filter(|axons| axons.len() == n);
    axons.map(|axons| &**axons).ok_or_else(|| {
        Error::input(format!("substrate `{}` does not know which axons were proofread", substrate.name))
            .help("use `microns.tables` with `proofreading`, or leave `unknown` out")
    })
}

/// The pairs of the units of a parameter that are allowed, given those of all
/// neurons.
fn between(setting: &Setting<'_>, all: &Array2<bool>, autapses: bool) -> Result<Array2<bool>> {
    let (rows, columns) = setting.shape()?;
    let known = |units, count| match (0..count)
        .filter_map(|unit| neuron(units, unit))
        .find(|&neuron| neuron >= all.nrows())
    {
        None => Ok(()),
        Some(neuron) => Err(Error::input(format!(
            "a unit stands for neuron {neuron}, but the connectome has {} neurons",
            all.nrows()
        ))),
    };
    known(setting.rows, rows)?;
    known(setting.columns, columns)?;
    let own = within_one_population(setting);
    Ok(Array2::from_shape_fn((rows, columns), |(i, j)| {
        match (neuron(setting.rows, i), neuron(setting.columns, j)) {
            _ if own && i == j => autapses,
            (Some(from), Some(to)) => all[[from, to]],
            _ => true,
        }
    }))
}

/// A random set of `count` ordered pairs of different neurons, uniform over all
/// such sets.
fn drawn(n: usize, count: usize, stream: &mut impl RngCore) -> Array2<bool> {
    let mut flags = vec![false; n * (n - 1)];
    flags[..count].fill(true);
    flags.shuffle(stream);
    let mut flags = flags.into_iter();
    Array2::from_shape_fn((n, n), |(i, j)| i != j && flags.next().unwrap_or(false))
}

/// Replaces i → j and k → l by i → l and k → j, unless that would create an
/// autapse or a duplicate connection.
fn swap(allowed: &mut Array2<bool>, stream: &mut impl RngCore) {
    let mut pairs: Vec<(usize, usize)> =
        allowed.indexed_iter().filter(|(_, allowed)| **allowed).map(|(pair, _)| pair).collect();
    let count = pairs.len() as u32;
    for _ in 0..SWAPS * pairs.len() {
        let [first, second] = [0; 2].map(|_: u32| stream.random_range(0..count) as usize);
        let ((i, j), (k, l)) = (pairs[first], pairs[second]);
        if i == l || k == j || allowed[[i, l]] || allowed[[k, j]] {
            continue;
        }
        (allowed[[i, j]], allowed[[k, l]]) = (false, false);
        (allowed[[i, l]], allowed[[k, j]]) = (true, true);
        (pairs[first], pairs[second]) = ((i, l), (k, j));
    }
}

impl Constraint for Mask {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        no_penalty(Some(self.allowed.dim()), &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, _: &Point<'_>) -> Result<()> {
        check_shape("weights", Some(self.allowed.dim()), weights.dim())?;
        weights.zip_mut_with(&self.allowed, |w, &allowed| *w = if allowed { *w } else { 0.0 });
        Ok(())
    }
}
pallium_core::register!(Constraint, Mask);
