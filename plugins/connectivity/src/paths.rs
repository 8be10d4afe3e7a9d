//! Shortest paths.

/// Distances from every node to every other, row-major, with 1/weight as a
/// connection's length; infinite if there is no path. If all weights are 0 or
/// 1, connections are counted, which is a hundred times faster.
pub fn distances(nodes: usize, weights: &[f64]) -> Vec<f64> {
    let mut all = vec![f64::INFINITY; nodes * nodes];
    if nodes == 0 {
        return all;
    }
    if weights.iter().all(|&w| w == 0.0 || w == 1.0) {
        count_connections(nodes, weights, &mut all);
    } else {
        let lengths: Vec<f64> = weights.iter().map(|w| 1.0 / w).collect();
        for (source, distance) in all.chunks_exact_mut(nodes).enumerate() {
            add_lengths(source, &lengths, distance);
        }
    }
    all
}

/// Breadth-first search from every node.
fn count_connections(nodes: usize, weights: &[f64], all: &mut [f64]) {
    let targets: Vec<Vec<usize>> = weights
        .chunks_exact(nodes)
        .map(|row| row.iter().enumerate().filter(|(_, w)| **w > 0.0).map(|(node, _)| node).collect())
        .collect();
    let mut queue = Vec::with_capacity(nodes);
    for (source, distance) in all.chunks_exact_mut(nodes).enumerate() {
        distance[source] = 0.0;
        queue.clear();
        queue.push(source);
        let mut next = 0;
        while let Some(&node) = queue.get(next) {
            next += 1;
            for &target in &targets[node] {
                if distance[target].is_infinite() {
                    distance[target] = distance[node] + 1.0;
                    queue.push(target);
                }
            }
        }
    }
}

/// From one node, by Dijkstra's algorithm (1959) on a dense matrix.
fn add_lengths(source: usize, lengths: &[f64], distance: &mut [f64]) {
    let nodes = distance.len();
    let mut done = vec![false; nodes];
    distance[source] = 0.0;
    loop {
        let mut nearest = (f64::INFINITY, nodes);
        for (node, (&d, &done)) in distance.iter().zip(&done).enumerate() {
            if !done && d < nearest.0 {
                nearest = (d, node);
            }
        }
        let (so_far, node) = nearest;
        if node == nodes {
            return;
        }
        done[node] = true;
        for (d, &length) in distance.iter_mut().zip(&lengths[node * nodes..(node + 1) * nodes]) {
            let through = so_far + length;
            if through < *d {
                *d = through;
            }
        }
    }
}

/// 1/d off the diagonal; 0 on it and where there is no path.
pub fn inverse_distances(nodes: usize, weights: &[f64]) -> Vec<f64> {
    let mut all = distances(nodes, weights);
    all.iter_mut().for_each(|d| *d = if *d == 0.0 { 0.0 } else { 1.0 / *d });
    for i in 0..nodes {
        all[i * nodes + i] = 0.0;
    }
    all
}
