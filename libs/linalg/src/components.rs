//! Strongly connected components of the graph of a matrix's nonzero entries.

use ndarray::ArrayView2;

/// The strongly connected components of the graph with an edge from i to j where
/// entry (i, j) is not 0: the largest sets of nodes that all reach each other
/// (Sharir 1981, Comput. Math. Appl. 7:67). Nodes are ascending within each.
pub fn strong_components(matrix: ArrayView2<'_, f64>) -> Vec<Vec<usize>> {
    let n = matrix.nrows();
    let mut seen = vec![false; n];
    let mut finished = Vec::with_capacity(n);
    for start in 0..n {
        search(start, &mut seen, |i, j| matrix[[i, j]] != 0.0, |node| finished.push(node));
    }
    let mut seen = vec![false; n];
    let mut components = Vec::new();
    for &start in finished.iter().rev() {
        let mut component = Vec::new();
        search(start, &mut seen, |i, j| matrix[[j, i]] != 0.0, |node| component.push(node));
        if !component.is_empty() {
            component.sort_unstable();
            components.push(component);
        }
    }
    components
}

/// Depth-first search through the nodes that were not seen yet; `leave` is called
/// for each once all nodes behind it are done.
fn search(
    start: usize,
    seen: &mut [bool],
    edge: impl Fn(usize, usize) -> bool,
    mut leave: impl FnMut(usize),
) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    // Each node on the path, and the next candidate for an edge from it.
    let mut path = vec![(start, 0)];
    while let Some((node, next)) = path.last_mut() {
        let (from, first) = (*node, *next);
        match (first..seen.len()).find(|&to| !seen[to] && edge(from, to)) {
            Some(to) => {
                *next = to + 1;
                seen[to] = true;
                path.push((to, 0));
            }
            None => {
                leave(from);
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// From reachability: nodes are together if each reaches the other.
    fn by_closure(matrix: &Array2<f64>) -> Vec<Vec<usize>> {
        let n = matrix.nrows();
        let mut reach = Array2::from_shape_fn((n, n), |(i, j)| i == j || matrix[[i, j]] != 0.0);
        for k in 0..n {
            for i in 0..n {
                for j in 0..n {
                    reach[[i, j]] |= reach[[i, k]] && reach[[k, j]];
                }
            }
        }
        let mut sets: Vec<Vec<usize>> =
            (0..n).map(|i| (0..n).filter(|&j| reach[[i, j]] && reach[[j, i]]).collect()).collect();
        sets.sort();
        sets.dedup();
        sets
    }

    #[test]
    fn components_equal_those_of_the_transitive_closure() {
        for n in [0, 1, 2, 7, 23, 40] {
            for share in [0.0, 0.5, 1.0, 1.5, 3.0] {
                let matrix = Array2::from_shape_fn((n, n), |(i, j)| {
                    let x = ((i * 7919 + j * 104_729 + n) as f64).sin() * 43_758.547;
                    f64::from((x - x.floor()) * (n as f64) < share)
                });
                let mut found = strong_components(matrix.view());
                found.sort();
                assert_eq!(found, by_closure(&matrix), "{n} {share}");
            }
        }
    }
}
