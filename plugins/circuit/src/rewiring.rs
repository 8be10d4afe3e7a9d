//! `circuit.rewiring`: a fixed number of connections that find their places.

use std::collections::BTreeSet;

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;
use pallium_core::rand::Rng;
use pallium_core::rand::seq::SliceRandom;
use pallium_core::rand_distr::{Distribution, StandardNormal};
use pallium_core::{Rewiring as Change, Tensor};

use crate::mask::{self, Mask};
use crate::shapes::{check_shape, no_penalty, within_one_population};

pallium_core::choice! {
    /// Which pairs are connected at first.
    pub enum Start {
        /// A share `density` of all pairs, drawn with the run's seed.
        Drawn = "drawn",
        /// Those of the measured connectome.
        Connectome = "connectome",
    }
}

pallium_core::params! {
    /// Parameters of `circuit.rewiring`.
    pub struct Params {
        /// Which pairs are connected at first.
        start: Start = Start::Drawn,
        /// Share of all pairs that are connected, for `start = "drawn"` (above 0,
        /// below 1).
        density: f64 = 0.1,
        /// Number of updates from one rewiring to the next (at least 1).
        every: u32 = 100,
        /// Share of the connections that each rewiring moves (0 to 1).
        share: f64 = 0.3,
        /// Standard deviation of the weight of a new connection, whose mean is 0
        /// (at least 0). At 0, new connections start at weight 0.
        spread: f64 = 0.0,
        /// Last epoch with a rewiring. By default, every epoch.
        last_epoch: Option<u32> = None,
        /// Whether neurons may connect to themselves.
        autapses: bool = false,
    }
}

/// Sparse weights whose number of connections stays the same: after every `every`
/// updates, the weakest connections (by |weight|) are removed, and as many are
/// added at pairs drawn from those that were not connected. Between rewirings,
/// weights of absent connections are 0. There is no penalty.
///
/// On a set of connections, these are the connections at first, whatever `start` and
/// `density` say.
///
/// Mocanu et al. remove the weakest positive and the weakest negative weights
/// separately, and do not rewire in the last epoch (here `last_epoch`). Every
/// parameter that the constraint acts on is rewired by itself.
pub struct Rewiring {
    params: Params,
    seed: u64,
    /// Whether a pair may be connected at all.
    possible: Array2<bool>,
    /// Whether it is.
    connected: Array2<bool>,
    /// Number of updates at which the next rewiring is due.
    next: u64,
    /// Whether the weights lie on a set of connections; the flags are then unused.
    on_connections: bool,
}

impl Component for Rewiring {
    const ID: &'static str = "circuit.rewiring";
    const ABOUT: &'static str =
        "hard: a fixed number of connections; the weakest are replaced by random new ones during training";
    const CITE: &'static str = "Mocanu, Mocanu, Stone, Nguyen, Gibescu, Liotta 2018, Nat. Commun. 9:2383; Bellec, \
                                Kappel, Maass, Legenstein 2018, ICLR";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, setting: &Setting<'_>) -> Result<Self> {
        one_of_range("share", params.share, 0.0, 1.0)?;
        one_of_range("density", params.density, 0.0, 1.0)?;
        one_of_range("every", params.every.into(), 1.0, f64::INFINITY)?;
        at_least_zero("spread", params.spread)?;
        let next = u64::from(params.every);
        if let Some(pairs) = setting.connections {
            let n = pairs.dim().0;
            if pairs.len() >= possible_pairs(n, params.autapses) {
                return Err(Error::input(format!("all pairs of {n} neurons are connected"))
                    .help("start with fewer: rewiring moves connections to pairs without one"));
            }
            let none = Array2::from_elem((0, 0), false);
            return Ok(Rewiring {
                params,
                seed: setting.seed,
                possible: none.clone(),
                connected: none,
                next,
                on_connections: true,
            });
        }
        let shape = setting.shape()?;
        let own = within_one_population(setting);
        let possible = Array2::from_shape_fn(shape, |(i, j)| params.autapses || !own || i != j);
        let all = places(&possible);
        let connected = match params.start {
            Start::Connectome => {
                // Any number of synapses, and any size, connects a pair.
                let least = f64::MIN_POSITIVE;
                let params = mask::Params { autapses: params.autapses, least, ..mask::Params::default() };
                Mask::build(params, setting)?.allowed & &possible
            }
            Start::Drawn => {
                let mut connected = Array2::from_elem(shape, false);
                let mut drawn = all.clone();
                let count = (params.density * all.len() as f64).round() as usize;
                let mut stream = random::stream(setting.seed, "connections before rewiring");
                drawn.partial_shuffle(&mut stream, count).0.iter().for_each(|&at| connected[at] = true);
                connected
            }
        };
        let count = places(&connected).len();
        if count == 0 || count == all.len() {
            let what = if count == 0 { "none" } else { "all" };
            return Err(Error::input(format!("{what} of the {} pairs are connected at first", all.len()))
                .help("connections move to unconnected pairs, so some must be connected and some not: change `density` or `start`"));
        }
        Ok(Rewiring { params, seed: setting.seed, possible, connected, next, on_connections: false })
    }
}

/// The places that are true, row by row.
fn places(flags: &Array2<bool>) -> Vec<(usize, usize)> {
    flags.indexed_iter().filter(|(_, flag)| **flag).map(|(at, _)| at).collect()
}

/// Number of pairs of `n` neurons that may be connected.
fn possible_pairs(n: usize, autapses: bool) -> usize {
    n * if autapses { n } else { n.saturating_sub(1) }
}

impl Rewiring {
    /// Whether a rewiring is due after this update; then the next one is later.
    fn is_due(&mut self, at: &Point<'_>) -> bool {
        if let Some(updates) = at.updates.filter(|&updates| at.step == 1 && updates < self.next) {
            pallium_core::tracing::warn!(
                "connections are never rewired: `every` is {}, and the training has {updates} updates",
                self.params.every
            );
        }
        if at.step < self.next {
            return false;
        }
        self.next = at.step + u64::from(self.params.every);
        self.params.last_epoch.is_none_or(|last| at.epoch <= last)
    }

    fn stream(&self, at: &Point<'_>) -> random::Stream {
        random::stream(self.seed, &format!("rewiring of {} after update {}", at.parameter, at.step))
    }

    /// The connections with the weakest moved to pairs that were not connected, which
    /// are drawn until they are free: few pairs are connected.
    fn moved(&self, pairs: ConnectionsView<'_>, weights: MatrixView<'_>, at: &Point<'_>) -> Result<Change> {
        let (n, autapses) = (pairs.dim().0, self.params.autapses);
        let values: Vec<f32> = weights.iter().copied().collect();
        let free = possible_pairs(n, autapses) - pairs.len();
        let count = ((self.params.share * values.len() as f64).round() as usize).min(free);
        let mut order: Vec<usize> = (0..values.len()).collect();
        // A stable sort, so that equal weights are removed in the order of rows.
        order.sort_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs()));
        let mut stays = vec![true; values.len()];
        order[..count].iter().for_each(|&place| stays[place] = false);
        let mut stream = self.stream(at);
        let mut added = BTreeSet::new();
        while added.len() < count {
            let (i, j) = (stream.random_range(0..n as u32), stream.random_range(0..n as u32));
            if (autapses || i != j) && pairs.find(i as usize, j as usize).is_none() {
                added.insert((i, j));
            }
        }
        let kept = pairs.pairs().zip(&stays).filter(|(_, stays)| **stays);
        let all = kept.map(|((i, j), _)| (i as u32, j as u32)).chain(added).collect();
        let after = Connections::from_pairs(n, n, all)?;
        let mut change = Change::between(pairs, &values, after);
        for (value, _) in change.values.iter_mut().zip(&change.origin).filter(|(_, origin)| **origin < 0) {
            let deviate: f64 = StandardNormal.sample(&mut stream);
            *value = (self.params.spread * deviate) as f32;
        }
        Ok(change)
    }

    /// Replaces the weakest connections by new ones.
    fn move_weakest(&mut self, weights: &mut MatrixViewMut<'_>, at: &Point<'_>) {
        let mut present = places(&self.connected);
        let mut absent = places(&(&self.possible & &!&self.connected));
        let count = ((self.params.share * present.len() as f64).round() as usize).min(absent.len());
        // A stable sort, so that equal weights are removed in the order of rows.
        present.sort_by(|&a, &b| weights[a].abs().total_cmp(&weights[b].abs()));
        let mut stream = self.stream(at);
        let (added, _) = absent.partial_shuffle(&mut stream, count);
        for &place in &present[..count] {
            self.connected[place] = false;
        }
        for &mut place in added {
            self.connected[place] = true;
            let deviate: f64 = StandardNormal.sample(&mut stream);
            weights[place] = (self.params.spread * deviate) as f32;
        }
    }
}

impl Constraint for Rewiring {
    fn penalty(
        &mut self,
        weights: MatrixView<'_>,
        gradient: MatrixViewMut<'_>,
        _: &Point<'_>,
    ) -> Result<f64> {
        no_penalty((!self.on_connections).then(|| self.connected.dim()), &weights, &gradient)
    }

    fn project(&mut self, mut weights: MatrixViewMut<'_>, at: &Point<'_>) -> Result<()> {
        if self.on_connections {
            return Ok(());
        }
        check_shape("weights", Some(self.connected.dim()), weights.dim())?;
        if self.is_due(at) {
            self.move_weakest(&mut weights, at);
        }
        weights.zip_mut_with(&self.connected, |w, &connected| *w = if connected { *w } else { 0.0 });
        Ok(())
    }

    fn state(&self) -> Result<Vec<Tensor>> {
        if self.on_connections {
            return Ok(vec![Tensor::new("next", [1], vec![self.next])]);
        }
        let connected: Vec<u8> = self.connected.iter().map(|&connected| connected.into()).collect();
        let (rows, columns) = self.connected.dim();
        Ok(vec![
            Tensor::new("connected", [rows, columns], connected),
            Tensor::new("next", [1], vec![self.next]),
        ])
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<()> {
        let next = Tensor::find::<u64>(state, "next", &[1])?;
        if self.on_connections {
            self.next = next[0];
            return Ok(());
        }
        let (rows, columns) = self.connected.dim();
        let connected = Tensor::find::<u8>(state, "connected", &[rows, columns])?;
        self.next = next[0];
        self.connected.iter_mut().zip(connected).for_each(|(to, &from)| *to = from != 0);
        Ok(())
    }

    fn rewires(&self) -> bool {
        self.on_connections
    }

    fn rewire(&mut self, weights: MatrixView<'_>, at: &Point<'_>) -> Result<Option<Change>> {
        if !self.is_due(at) {
            return Ok(None);
        }
        let pairs = at.connections()?;
        check_shape("weights", Some((1, pairs.len())), weights.dim())?;
        self.moved(pairs, weights, at).map(Some)
    }

    fn rewired(&mut self, _: &RewiringView<'_>) -> Result<()> {
        // Which pairs are connected is the host's to keep.
        Ok(())
    }
}
pallium_core::register!(Constraint, Rewiring);

#[cfg(test)]
mod tests {
    use pallium_core::ndarray::Zip;
    use pallium_testkit::World;

    use super::*;

    fn build(params: Params, world: &World) -> Rewiring {
        Rewiring::build(params, &world.setting()).unwrap()
    }

    fn after(step: u64) -> Point<'static> {
        let mut at = Point::new("recurrent");
        (at.step, at.epoch) = (step, 1);
        at
    }

    fn project(rewiring: &mut Rewiring, weights: &Matrix, step: u64) -> Matrix {
        let mut weights = weights.clone();
        rewiring.project(weights.view_mut(), &after(step)).unwrap();
        weights
    }

    #[test]
    fn the_weakest_share_moves_to_pairs_without_a_connection() {
        let world = World::new(20, 1);
        let mut rewiring = build(Params { every: 5, spread: 0.01, ..Params::default() }, &world);
        let weights = world.weights(1);
        let before = rewiring.connected.clone();
        // 10 % of 380 pairs.
        assert_eq!(places(&before).len(), 38);
        assert!(before.diag().iter().all(|connected| !connected));
        for step in 0..5 {
            let projected = project(&mut rewiring, &weights, step);
            Zip::from(&projected).and(&weights).and(&before).for_each(|&now, &was, &connected| {
                assert_eq!(now, if connected { was } else { 0.0 });
            });
        }
        let projected = project(&mut rewiring, &weights, 5);
        let now = rewiring.connected.clone();
        let mut sizes: Vec<f32> = places(&before).into_iter().map(|at| weights[at].abs()).collect();
        sizes.sort_by(f32::total_cmp);
        // 30 % of 38 connections.
        let weakest = sizes[11];
        let (mut removed, mut added) = (0, 0);
        for (at, &was) in before.indexed_iter() {
            match (was, now[at]) {
                (true, true) => assert!(weights[at].abs() >= weakest && projected[at] == weights[at]),
                (true, false) => {
                    removed += 1;
                    assert!(weights[at].abs() < weakest && projected[at] == 0.0);
                }
                (false, true) => {
                    added += 1;
                    assert!(projected[at] != 0.0 && projected[at].abs() < 0.05 && at.0 != at.1);
                }
                (false, false) => assert_eq!(projected[at], 0.0),
            }
        }
        assert_eq!((removed, added), (11, 11));
        // Nothing moves until five more updates.
        project(&mut rewiring, &projected, 9);
        assert_eq!(rewiring.connected, now);
        project(&mut rewiring, &projected, 10);
        assert_ne!(rewiring.connected, now);
        assert_eq!(places(&rewiring.connected).len(), 38);
    }

    #[test]
    fn rewiring_ends_with_the_last_epoch_and_new_connections_may_start_at_zero() {
        let world = World::new(20, 1);
        let mut rewiring = build(Params { every: 1, last_epoch: Some(0), ..Params::default() }, &world);
        let before = rewiring.connected.clone();
        project(&mut rewiring, &world.weights(1), 7);
        assert_eq!(rewiring.connected, before);
        let mut rewiring = build(Params { every: 1, ..Params::default() }, &world);
        let projected = project(&mut rewiring, &world.weights(1), 1);
        let new = Zip::from(&rewiring.connected).and(&before).map_collect(|&now, &was| now && !was);
        assert_eq!(places(&new).len(), 11);
        assert!(places(&new).into_iter().all(|at| projected[at] == 0.0));
    }

    #[test]
    fn the_places_of_new_connections_are_uniform() {
        // Each of the 342 pairs without a connection gets one of 11 with
        // probability 11/342; the sum over pairs of squared deviations from the
        // expectation is then χ² with about 341 degrees of freedom.
        let world = World::new(20, 1);
        let weights = world.weights(1);
        let start = build(Params { every: 1, ..Params::default() }, &world);
        let mut counts = Array2::<f64>::zeros((20, 20));
        const DRAWS: u64 = 2000;
        for step in 1..=DRAWS {
            let mut rewiring = build(Params { every: 1, ..Params::default() }, &world);
            project(&mut rewiring, &weights, step);
            Zip::from(&mut counts)
                .and(&rewiring.connected)
                .and(&start.connected)
                .for_each(|count, &now, &was| *count += f64::from(u8::from(now && !was)));
        }
        let p = 11.0 / 342.0;
        let expected = DRAWS as f64 * p;
        let absent = places(&(&start.possible & &!&start.connected));
        let statistic: f64 =
            absent.iter().map(|&at| (counts[at] - expected).powi(2) / (expected * (1.0 - p))).sum();
        // Five standard deviations, √(2·341) each.
        assert!((statistic - 341.0).abs() < 5.0 * 26.2, "{statistic}");
        assert_eq!(absent.iter().map(|&at| counts[at]).sum::<f64>(), 11.0 * DRAWS as f64);
    }

    #[test]
    fn it_may_start_from_the_connectome() {
        let world = World::new(40, 2);
        let rewiring = build(Params { start: Start::Connectome, ..Params::default() }, &world);
        let counts = world.substrate().matrices[Substrate::CONNECTOME].to_array();
        assert_eq!(rewiring.connected, counts.mapv(|count| count >= 1.0));
    }

    #[test]
    fn a_restored_one_continues_bit_identically() {
        let world = World::new(20, 1);
        let params = Params { every: 3, spread: 0.1, ..Params::default() };
        let mut through = build(params.clone(), &world);
        for step in 1..8 {
            project(&mut through, &world.weights(step), step);
        }
        let mut resumed = build(params, &world);
        resumed.restore(&through.state().unwrap()).unwrap();
        for step in 8..20 {
            let (one, two) = (
                project(&mut through, &world.weights(step), step),
                project(&mut resumed, &world.weights(step), step),
            );
            assert_eq!(one.mapv(f32::to_bits), two.mapv(f32::to_bits));
        }
        assert_eq!(through.state().unwrap(), resumed.state().unwrap());
        let fresh = build(Params { every: 3, ..Params::default() }, &world);
        assert_ne!(through.state().unwrap(), fresh.state().unwrap());
    }

    #[test]
    fn parameters_that_leave_nothing_to_move_are_refused() {
        let world = World::new(6, 1);
        for params in [
            Params { density: 0.0, ..Params::default() },
            Params { density: 1.0, ..Params::default() },
            Params { every: 0, ..Params::default() },
            Params { share: 1.1, ..Params::default() },
            Params { spread: f64::NAN, ..Params::default() },
        ] {
            assert!(Rewiring::build(params, &world.setting()).is_err());
        }
    }
}
