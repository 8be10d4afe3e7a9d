//! `connectivity.connections`: measures of the connections themselves, whose cost
//! grows with their number.

use std::cmp::Ordering;

use pallium_core::prelude::*;

pallium_core::params! {
    /// Which connections are measured.
    pub struct Params {
        /// Connections with |weight| up to this count as absent (at least 0).
        least: f64 = 0.0,
    }
}

/// The directed graph of all connections whose |weight| exceeds `least`, without a
/// quantile: number of connections, density (the share of the N·(N − 1) pairs; as
/// networkx's, connections of neurons to themselves count), mean and standard
/// deviation of the numbers of outputs and inputs, reciprocity (the share of
/// connections between different neurons whose reverse is there too; networkx's
/// `reciprocity`), mean clustering coefficient regardless of direction (networkx's
/// `average_clustering` of the undirected graph; Watts and Strogatz 1998), the share
/// of neurons in the largest strongly connected component, and the mean |weight|.
///
/// Takes weights on connections as well as matrices, of any size.
pub struct OfConnections {
    least: f32,
}

impl Component for OfConnections {
    const ID: &'static str = "connectivity.connections";
    const ABOUT: &'static str =
        "density, degrees, reciprocity, clustering and largest component, in networks of any size";
    const CITE: &'static str =
        "Watts and Strogatz 1998, Nature 393:440; Garlaschelli and Loffredo 2004, Phys. Rev. Lett. 93:268701";
    type Params = Params;
    const CONNECTIONS: bool = true;

    fn build(params: Params, _: &Setting<'_>) -> Result<Self> {
        at_least_zero("least", params.least)?;
        Ok(OfConnections { least: params.least as f32 })
    }
}

impl Metric for OfConnections {
    fn measure(&mut self, network: &Network<'_>) -> Result<Measures> {
        let all = match network.connections {
            Some(connections) => SparseWeights {
                connections: connections.to_owned(),
                values: network.recurrent.iter().copied().collect(),
            },
            None => SparseWeights::from_matrix(network.recurrent, None),
        };
        let pairs = all.connections.view();
        let n = pairs.dim().0;
        let strong = pairs.pairs().zip(&all.values).filter(|(_, w)| w.abs() > self.least);
        let (mut kept, mut sum) = (Vec::new(), 0.0);
        for ((i, j), w) in strong {
            kept.push((i as u32, j as u32));
            sum += f64::from(w.abs());
        }
        let count = kept.len() as f64;
        let graph = Connections::from_pairs(n, n, kept)?;
        let (reversed, _) = graph.view().reversed();
        let [out_mean, out_deviation] = degrees(graph.view());
        let [in_mean, in_deviation] = degrees(reversed.view());
        debug_assert!((out_mean - in_mean).abs() < 1e-9);
        Ok(vec![
            Measure::new("connections", count),
            Measure::new("connections_density", count / (n as f64 * (n as f64 - 1.0))),
            Measure::new("connections_degree", out_mean),
            Measure::new("connections_out_degree_sd", out_deviation),
            Measure::new("connections_in_degree_sd", in_deviation),
            Measure::new("connections_reciprocity", reciprocity(graph.view())),
            Measure::new("connections_clustering", clustering(graph.view(), reversed.view())),
            Measure::new("connections_strong_part", largest_strong(graph.view(), reversed.view()) / n as f64),
            Measure::new("connections_mean_weight", sum / count),
        ]
        .into())
    }
}
pallium_core::register!(Metric, OfConnections);

/// Mean and standard deviation of the numbers of connections of the rows.
fn degrees(graph: ConnectionsView<'_>) -> [f64; 2] {
    let n = graph.dim().0 as f64;
    let of = |row: usize| graph.range(row).len() as f64;
    let mean = graph.len() as f64 / n;
    let squares = (0..graph.dim().0).map(|row| (of(row) - mean).powi(2)).sum::<f64>();
    [mean, (squares / n).sqrt()]
}

/// NaN without connections between different neurons.
fn reciprocity(graph: ConnectionsView<'_>) -> f64 {
    let others = || graph.pairs().filter(|(i, j)| i != j);
    let both = others().filter(|&(i, j)| graph.find(j, i).is_some()).count();
    both as f64 / others().count() as f64
}

fn clustering(graph: ConnectionsView<'_>, reversed: ConnectionsView<'_>) -> f64 {
    let n = graph.dim().0;
    // Neighbours in either direction, ascending.
    let neighbours: Vec<Vec<u32>> = (0..n)
        .map(|i| {
            let mut all: Vec<u32> = graph.row(i).iter().chain(reversed.row(i)).copied().collect();
            all.sort_unstable();
            all.dedup();
            all.retain(|&j| j as usize != i);
            all
        })
        .collect();
    let of = |i: usize| {
        let own = &neighbours[i];
        let links: usize = own.iter().map(|&j| common(own, &neighbours[j as usize])).sum();
        let pairs = own.len() as f64 * (own.len() as f64 - 1.0);
        if pairs > 0.0 { links as f64 / pairs } else { 0.0 }
    };
    (0..n).map(of).sum::<f64>() / n as f64
}

/// Number of common entries of two ascending lists.
fn common(a: &[u32], b: &[u32]) -> usize {
    let (mut i, mut j, mut count) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => (i, j, count) = (i + 1, j + 1, count + 1),
        }
    }
    count
}

/// Number of neurons in the largest strongly connected part: Kosaraju's two searches.
fn largest_strong(graph: ConnectionsView<'_>, reversed: ConnectionsView<'_>) -> f64 {
    let n = graph.dim().0;
    let (mut order, mut seen) = (Vec::with_capacity(n), vec![false; n]);
    for start in 0..n {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut stack = vec![(start, 0)];
        while let Some((at, next)) = stack.pop() {
            match graph.row(at).get(next) {
                Some(&other) => {
                    stack.push((at, next + 1));
                    if !std::mem::replace(&mut seen[other as usize], true) {
                        stack.push((other as usize, 0));
                    }
                }
                None => order.push(at),
            }
        }
    }
    let mut largest = 0;
    for start in order.into_iter().rev() {
        let (mut stack, mut size) = (Vec::new(), 0);
        if std::mem::replace(&mut seen[start], false) {
            stack.push(start);
        }
        while let Some(at) = stack.pop() {
            size += 1;
            for &other in reversed.row(at) {
                if std::mem::replace(&mut seen[other as usize], false) {
                    stack.push(other as usize);
                }
            }
        }
        largest = largest.max(size);
    }
    f64::from(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `fixtures/connections.py` makes the graph and computes the values by networkx.
    #[test]
    fn measures_are_those_of_networkx() {
        let golden: pallium_core::serde_json::Value =
            pallium_core::serde_json::from_str(include_str!("../fixtures/connections.json")).unwrap();
        let n = golden["nodes"].as_u64().unwrap() as usize;
        let pairs = golden["edges"].as_array().unwrap().iter();
        let number = |value: &pallium_core::serde_json::Value| value.as_u64().unwrap() as u32;
        let pairs =
            Connections::from_pairs(n, n, pairs.map(|e| (number(&e[0]), number(&e[1]))).collect()).unwrap();
        let values: Vec<f32> = pairs.view().pairs().map(|(i, j)| 0.1 + ((3 * i + j) % 7) as f32).collect();
        let matrix = pairs.view().scatter(&values);
        let row = Matrix::from_shape_vec((1, values.len()), values).unwrap();
        let on = Network { connections: Some(pairs.view()), ..Network::new(row.view()) };
        for network in [on, Network::new(matrix.view())] {
            let mut metric = OfConnections::build(Params::default(), &Setting::default()).unwrap();
            let found = metric.measure(&network).unwrap().values;
            assert_eq!(found.len(), golden["values"].as_object().unwrap().len());
            for measure in found {
                let expected = golden["values"][&measure.name].as_f64().unwrap();
                assert!(
                    (measure.value - expected).abs() < 1e-6,
                    "{}: {} {expected}",
                    measure.name,
                    measure.value
                );
            }
        }
    }
}
