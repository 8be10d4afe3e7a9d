//! Random graphs for small-worldness.
//!
//! | ensemble | what is kept | depends on | cost at N = 312, one core |
//! |---|---|---|---|
//! | [published()] | nothing but N; density 0.18, self-loops | N | 47 ms for 1,000, once |
//! | [matched()] | number of edges | N, edges | 11 ms for 100 graphs |
//! | [degree-preserving](pallium_graph::Rewiring) | every degree | the graph | 23 ms for 100 graphs |

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use multiversion::multiversion;
use pallium_core::prelude::*;
use pallium_core::tracing::debug;
use pallium_graph::Graph;
use rand::{Rng, RngCore};

use crate::clustering::mean_clustering_within;
use crate::efficiency::global_efficiency_within;

use crate::two_steps::TwoSteps;

/// Mean clustering C and global efficiency E of a graph, or of an ensemble.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// Mean clustering.
    pub clustering: f64,
    /// Global efficiency.
    pub efficiency: f64,
}

impl Coefficients {
    /// The coefficients of one graph.
    pub fn new(graph: &Graph) -> Self {
        let two_steps = TwoSteps::new(graph);
        Coefficients {
            clustering: mean_clustering_within(&two_steps),
            efficiency: global_efficiency_within(graph, &two_steps),
        }
    }

    /// The means over an ensemble.
    pub fn mean(of: &[Coefficients]) -> Self {
        let count = of.len() as f64;
        Coefficients {
            clustering: of.iter().map(|c| c.clustering).sum::<f64>() / count,
            efficiency: of.iter().map(|c| c.efficiency).sum::<f64>() / count,
        }
    }
}

/// Seed of the published ensemble: a constant, so that the ensemble depends
/// only on N and the number of graphs and can be shared.
const PUBLISHED_SEED: u64 = 2026;
/// Version of the published ensemble's file and of the draws behind it; raise
/// it when either changes.
const PUBLISHED_VERSION: u32 = 3;

/// Means over `graphs` graphs of [`published_graph`], computed once in a
/// process, and once for all processes that share the folder `cache`.
///
/// A file in `cache` that is missing or invalid is written again; a file that
/// cannot be written is skipped.
pub fn published(nodes: usize, graphs: usize, cache: Option<&Path>) -> Coefficients {
    static KNOWN: Mutex<BTreeMap<(usize, usize), Coefficients>> = Mutex::new(BTreeMap::new());
    // Locked while drawing, so that a second thread waits instead of drawing as
    // well.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry((nodes, graphs)).or_insert_with(|| published_by_file(nodes, graphs, cache))
}

fn published_by_file(nodes: usize, graphs: usize, cache: Option<&Path>) -> Coefficients {
    let Some(cache) = cache else { return draw_published(nodes, graphs) };
    let path =
        cache.join(format!("small-worldness-published-n{nodes}-graphs{graphs}-v{PUBLISHED_VERSION}.txt"));
    let head = format!(
        "pallium null ensemble {PUBLISHED_VERSION}\nkind published\nneurons {nodes}\ngraphs {graphs}\nseed {PUBLISHED_SEED}\n"
    );
    match std::fs::read_to_string(&path) {
        Ok(text) => match parse(&text, &head) {
            Some(found) => return found,
            None => debug!("{} is invalid and is written again", path.display()),
        },
        Err(error) => debug!("{}: {error}; drawing the ensemble", path.display()),
    }
    let found = draw_published(nodes, graphs);
    if let Err(error) = write(cache, &path, &head, found) {
        debug!("{}: {error}; the ensemble is not cached", path.display());
    }
    found
}

/// Text instead of JSON: Rust's decimal numbers restore the same bits.
fn write(folder: &Path, path: &Path, head: &str, found: Coefficients) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // Written to a temporary file and renamed, so that other processes never
    // see an incomplete file.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    write!(file, "{head}clustering {}\nefficiency {}\n", found.clustering, found.efficiency)?;
    file.persist(path)?;
    Ok(())
}

fn parse(text: &str, head: &str) -> Option<Coefficients> {
    let mut lines = text.strip_prefix(head)?.lines();
    let mut value = |name: &str| -> Option<f64> {
        let value: f64 = lines.next()?.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()?;
        (0.0..=2.0).contains(&value).then_some(value)
    };
    let found = Coefficients { clustering: value("clustering")?, efficiency: value("efficiency")? };
    lines.next().is_none().then_some(found)
}

pub(crate) fn draw_published(nodes: usize, graphs: usize) -> Coefficients {
    let mut rng = random::stream(PUBLISHED_SEED, &format!("small-worldness published null of {nodes} nodes"));
    let mut coins = Coins::from_rng(&mut rng);
    let all: Vec<_> = (0..graphs).map(|_| Coefficients::new(&published_graph(nodes, &mut coins))).collect();
    Coefficients::mean(&all)
}

/// A graph as drawn by Shakiba et al. 2026: nodes are connected where a matrix
/// of uniform numbers, averaged with its transpose, exceeds 0.7. The
/// probability is 2·0.3² = 0.18 off the diagonal and 0.3 on it, where a number
/// is averaged with itself; these self-loops are kept.
// Compiled for several instruction sets.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx2+popcnt", "x86_64+avx2+popcnt"))]
pub fn published_graph(nodes: usize, coins: &mut Coins) -> Graph {
    let mut graph = Graph::empty(nodes);
    let words = graph.words();
    let loops: Vec<u64> = std::iter::repeat_with(|| coins.toss(0.3)).flatten().take(words).collect();
    // Only entries right of the diagonal are drawn.
    let mut tossed = std::iter::repeat_with(|| coins.toss(0.18)).flatten();
    for i in 0..nodes {
        let first = i / 64;
        let row = graph.row_mut(i);
        row[first..].iter_mut().zip(&mut tossed).for_each(|(word, tossed)| *word = tossed);
        if !nodes.is_multiple_of(64) {
            row[words - 1] &= (1 << (nodes % 64)) - 1;
        }
        row[first] &= !(u64::MAX >> (63 - i % 64));
        row[first] |= loops[first] & 1 << (i % 64);
    }
    graph.mirror();
    graph
}

/// Number of words tossed at once: enough for the compiler to vectorise.
const LANES: usize = 32;

/// Random bits with a given probability, many words of 64 bits at once.
///
/// The generator is xoshiro256++ (Blackman and Vigna 2021, ACM Trans. Math.
/// Softw. 47:36), one per word, advanced together. A cryptographic generator,
/// or drawing one word at a time, would take most of an ensemble's time.
pub struct Coins {
    state: [[u64; LANES]; 4],
}

impl Coins {
    /// Seeds all generators from `rng`.
    pub fn from_rng(rng: &mut impl RngCore) -> Self {
        let mut state = [[0; LANES]; 4];
        state.iter_mut().flatten().for_each(|word| *word = rng.next_u64());
        Coins { state }
    }

    /// Independent bits, each 1 with `probability`: uniform numbers are compared
    /// with it digit by digit, all in parallel, until all comparisons are
    /// decided. That takes about twelve binary digits.
    #[inline(always)]
    fn toss(&mut self, probability: f64) -> [u64; LANES] {
        // 64 binary digits are enough for an f64 below 1.
        let mut digits = (probability * 2f64.powi(64)) as u64;
        let mut undecided = [u64::MAX; LANES];
        let mut ones = [0; LANES];
        while digits != 0 {
            let one = 0u64.wrapping_sub(digits >> 63);
            let mut left = 0;
            let draw = self.draw();
            for k in 0..LANES {
                ones[k] |= undecided[k] & !draw[k] & one;
                undecided[k] &= !(draw[k] ^ one);
                left |= undecided[k];
            }
            if left == 0 {
                break;
            }
            digits <<= 1;
        }
        ones
    }

    /// The next number of each generator.
    #[inline(always)]
    fn draw(&mut self) -> [u64; LANES] {
        let [a, b, c, d] = &mut self.state;
        let mut drawn = [0; LANES];
        for k in 0..LANES {
            drawn[k] = a[k].wrapping_add(d[k]).rotate_left(23).wrapping_add(a[k]);
            let shifted = b[k] << 17;
            c[k] ^= a[k];
            d[k] ^= b[k];
            b[k] ^= c[k];
            a[k] ^= d[k];
            c[k] ^= shifted;
            d[k] = d[k].rotate_left(45);
        }
        drawn
    }
}

/// A loop-free graph drawn uniformly from those with `edges` edges (Erdős and
/// Rényi 1959).
pub fn matched(nodes: usize, edges: usize, rng: &mut impl RngCore) -> Graph {
    let pairs = nodes * nodes.saturating_sub(1) / 2;
    // Above half of all pairs, drawing the missing ones is faster.
    let draw = edges.min(pairs - edges);
    let mut graph = Graph::empty(nodes);
    let mut drawn = 0;
    while drawn < draw {
        let (i, j) = (below(nodes, rng), below(nodes, rng));
        if i != j && !graph.joined(i, j) {
            graph.join(i, j);
            drawn += 1;
        }
    }
    if draw == edges {
        return graph;
    }
    let mut complement = Graph::empty(nodes);
    for i in 0..nodes {
        for j in 0..i {
            if !graph.joined(i, j) {
                complement.join(i, j);
            }
        }
    }
    complement
}

/// Uniform in 0..`bound`. A fixed-width draw, so that a seed gives the same
/// graphs on machines of any word size.
#[inline(always)]
fn below(bound: usize, rng: &mut impl RngCore) -> usize {
    rng.random_range(0..bound as u32) as usize
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use pallium_graph::{Rewiring, examples::*};

    fn ensemble(count: usize, mut draw: impl FnMut() -> Graph) -> [(f64, f64); 2] {
        let all: Vec<_> = (0..count).map(|_| Coefficients::new(&draw())).collect();
        let mean = Coefficients::mean(&all);
        let error = |of: &dyn Fn(&Coefficients) -> f64, mean: f64| {
            let squares: f64 = all.iter().map(|c| (of(c) - mean).powi(2)).sum();
            (squares / (count * (count - 1)) as f64).sqrt()
        };
        [
            (mean.clustering, error(&|c| c.clustering, mean.clustering)),
            (mean.efficiency, error(&|c| c.efficiency, mean.efficiency)),
        ]
    }

    /// Asserts that two pairs (mean, standard error) agree within four combined
    /// standard errors.
    fn agree(what: &str, found: [(f64, f64); 2], expected: [(f64, f64); 2]) {
        for ((f, fe), (e, ee)) in found.into_iter().zip(expected) {
            let errors = (f - e) / fe.hypot(ee);
            assert!(errors.abs() < 4.0, "{what}: {f} ± {fe}, expected {e} ± {ee}");
        }
    }

    #[test]
    fn the_published_ensemble_agrees_with_numpy() {
        // numpy 2.4: a = rng.random((n, n)); a = (a + a.T) / 2 > 0.7, diagonal
        // left in; clustering as diag(a³) / (k² − k) with k = a.sum(1), and
        // efficiency from powers of a; mean and standard error over 40,000,
        // 10,000 and 1,000 graphs.
        let mut coins = Coins::from_rng(&mut random::stream(1, "test"));
        for (nodes, count, expected) in [
            (20, 4000, [(0.434_356_54, 5.73e-4), (0.485_815_38, 2.72e-4)]),
            (70, 2000, [(0.248_772_58, 1.62e-4), (0.575_507_82, 6.97e-5)]),
            (312, 300, [(0.194_366_12, 6.94e-5), (0.590_004_95, 2.77e-5)]),
        ] {
            let found = ensemble(count, || published_graph(nodes, &mut coins));
            agree(&format!("{nodes} nodes"), found, expected);
        }
    }

    #[test]
    fn coins_use_xoshiro256plusplus() {
        let mut coins = Coins::from_rng(&mut random::stream(5, "test"));
        let mut others: Vec<_> = (0..LANES)
            .map(|lane| {
                let bytes: Vec<u8> = coins.state.iter().flat_map(|words| words[lane].to_le_bytes()).collect();
                Xoshiro256PlusPlus::from_seed(bytes.try_into().unwrap())
            })
            .collect();
        for _ in 0..1000 {
            assert_eq!(
                coins.draw().to_vec(),
                others.iter_mut().map(|rng| rng.next_u64()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn published_graphs_have_their_densities() {
        let mut coins = Coins::from_rng(&mut random::stream(2, "test"));
        for nodes in [1, 63, 64, 65, 130] {
            let (mut edges, mut loops) = (0, 0);
            let graphs = 40_000 / nodes;
            for _ in 0..graphs {
                let graph = published_graph(nodes, &mut coins);
                let own = (0..nodes).filter(|&i| graph.joined(i, i)).count();
                loops += own;
                edges += graph.size() - own;
                assert!(graph.edges().all(|(i, j)| j < nodes && graph.joined(j, i)));
            }
            // Five standard deviations.
            for (count, trials, p) in
                [(edges, graphs * nodes * (nodes - 1) / 2, 0.18), (loops, graphs * nodes, 0.3_f64)]
            {
                let (expected, trials) = (p * trials as f64, trials as f64);
                let allowed = 5.0 * (trials * p * (1.0 - p)).sqrt();
                assert!((count as f64 - expected).abs() <= allowed, "{nodes} nodes: {count}, not {expected}");
            }
        }
    }

    #[test]
    fn the_matched_ensemble_has_its_clustering() {
        // Given a node's degree k ≥ 2, each pair of its neighbours is one of
        // the M − (n − 1) pairs without the node, among which m − k edges are
        // left; k itself is hypergeometric.
        let exact = |n: u64, m: u64| {
            let pairs = n * (n - 1) / 2;
            let ln_choose =
                |a: u64, b: u64| (0..b).map(|i| ((a - i) as f64 / (b - i) as f64).ln()).sum::<f64>();
            (2..n.min(m + 1))
                .filter(|k| m - k <= pairs - (n - 1))
                .map(|k| {
                    let ln = ln_choose(n - 1, k) + ln_choose(pairs - (n - 1), m - k) - ln_choose(pairs, m);
                    ln.exp() * (m - k) as f64 / (pairs - (n - 1)) as f64
                })
                .sum::<f64>()
        };
        let mut rng = random::stream(3, "test");
        for (nodes, edges) in [(30, 40), (60, 240), (60, 1500), (312, 9225)] {
            let found = ensemble(1000, || {
                let graph = matched(nodes, edges, &mut rng);
                assert_eq!(graph.size(), edges);
                assert!((0..nodes).all(|i| !graph.joined(i, i)));
                graph
            });
            let expected = exact(nodes as u64, edges as u64);
            assert!(
                (found[0].0 - expected).abs() < 4.0 * found[0].1,
                "{nodes}, {edges}: {found:?} {expected}"
            );
            if (nodes, edges) == (60, 240) {
                // networkx 3.6.1: gnm_random_graph(60, 240), 4,000 graphs.
                agree("G(60, 240)", found, [(0.135_056_3, 2.43e-4), (0.518_520_7, 3.32e-5)]);
            }
        }
        for edges in 0..=3 {
            assert_eq!(matched(3, edges, &mut rng).size(), edges);
        }
        assert_eq!(matched(1, 0, &mut rng).size(), 0);
    }

    #[test]
    fn swaps_keep_degrees_and_randomise_the_rest() {
        let mut rng = random::stream(4, "test");
        let degrees = karate().degrees();
        let mut chain = Rewiring::new(karate());
        chain.swap(10, &mut rng);
        let found = ensemble(4000, || {
            let graph = chain.swap(3, &mut rng).clone();
            assert_eq!(graph.degrees(), degrees);
            assert!((0..34).all(|i| !graph.joined(i, i)));
            graph
        });
        // networkx 3.6.1: double_edge_swap(karate_club_graph(), nswap=400), 1,500 graphs.
        agree("karate club", found, [(0.356_752_53, 1.37e-3), (0.507_634_59, 1.47e-4)]);
        // These are the only graphs with their degrees.
        for graph in [complete(6), star(6), Graph::empty(6), from_edges(6, &[(0, 1)])] {
            assert!(*Rewiring::new(graph.clone()).swap(20, &mut rng) == graph);
        }
        // Two disjoint edges can become each of the three pairings.
        let pairs = from_edges(4, &[(0, 1), (2, 3)]);
        let mut chain = Rewiring::new(pairs);
        let mut seen = [0; 4];
        for _ in 0..3000 {
            let graph = chain.swap(1, &mut rng);
            let partner = graph.neighbours(0).next().unwrap();
            seen[partner] += 1;
        }
        assert!(seen[1..].iter().all(|&s: &i32| (s - 1000).abs() < 150), "{seen:?}");
    }

    #[test]
    fn the_published_ensemble_is_cached_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("not").join("yet");
        let files = || std::fs::read_dir(&cache).unwrap().map(|f| f.unwrap().path()).collect::<Vec<_>>();
        let drawn = published_by_file(30, 20, Some(&cache));
        assert_eq!(drawn, draw_published(30, 20));
        let path = files().pop().unwrap();
        assert_eq!(files().len(), 1, "no temporary file stays");
        assert_eq!(published_by_file(30, 20, Some(&cache)), drawn, "read with the same bits");

        // The file is read:
        let text = std::fs::read_to_string(&path).unwrap();
        let other = text.replace(&drawn.clustering.to_string(), "0.125");
        std::fs::write(&path, &other).unwrap();
        assert_eq!(published_by_file(30, 20, Some(&cache)).clustering, 0.125);
        // Other numbers of nodes or graphs have other files:
        published_by_file(31, 20, Some(&cache));
        published_by_file(30, 21, Some(&cache));
        assert_eq!(files().len(), 3);

        // An invalid file is written again:
        let cut = &text[..text.len() - 30];
        for wrong in ["", "x", cut, &text.replace("graphs 20", "graphs 19"), &format!("{text}more\n")] {
            std::fs::write(&path, wrong).unwrap();
            assert_eq!(published_by_file(30, 20, Some(&cache)), drawn);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
        assert_eq!(published_by_file(30, 20, Some(&cache)), drawn);
        // A folder that cannot be created is harmless:
        assert_eq!(published_by_file(30, 20, Some(&path.join("below a file"))), drawn);
    }
}
