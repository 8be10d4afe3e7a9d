//! The spectral radius of weights on a set of connections.

use pallium_core::{ndarray::Array2, prelude::*};

/// Number of vectors of a subspace.
const VECTORS: usize = 48;
/// Relative residual at which the iteration ends.
const NEAR: f64 = 1e-6;
/// Largest number of restarts. Weights without a gap below their largest
/// eigenvalues reach it; the radius is then the best one found.
const RESTARTS: usize = 40;

/// Finds the largest |eigenvalue| by Arnoldi's iteration (Saad 1980, Linear Algebra
/// Appl. 34:269), restarted with the best vector; the next call starts from the
/// last vector, so that weights that changed little take little.
#[derive(Clone, Debug, Default)]
pub struct Arnoldi {
    start: Vec<f64>,
}

impl Arnoldi {
    /// The largest |eigenvalue| of the matrix with `values` at the `connections`.
    ///
    /// # Errors
    /// If the eigenvalues of a projection cannot be found.
    pub fn spectral_radius(&mut self, connections: ConnectionsView<'_>, values: &[f64]) -> Result<f64> {
        let n = connections.dim().0;
        // Rounding would give a radius to weights without a cycle.
        if !has_cycle(connections, values) {
            return Ok(0.0);
        }
        if self.start.len() != n || self.start.iter().any(|v| !v.is_finite()) {
            // Positive and uneven, so that it is orthogonal to no eigenvector of interest.
            self.start = (0..n).map(|i| 1.0 + 0.3 * ((i * i) as f64 + 0.5 * i as f64).sin()).collect();
        }
        let mut best = 0.0_f64;
        for _ in 0..RESTARTS {
            let Some((radius, residual, next)) = self.subspace(connections, values)? else {
                return Ok(0.0);
            };
            best = radius;
            self.start = next;
            if radius == 0.0 || residual <= NEAR * radius {
                break;
            }
        }
        Ok(best)
    }

    /// The largest |Ritz value|, the residual of its vector, and a start for the next
    /// subspace; `None` if products with the start vanish.
    fn subspace(
        &self,
        connections: ConnectionsView<'_>,
        values: &[f64],
    ) -> Result<Option<(f64, f64, Vec<f64>)>> {
        let n = self.start.len();
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scaled = |v: &[f64], by: f64| v.iter().map(|x| x / by).collect::<Vec<f64>>();
        let length = norm(&self.start);
        let mut basis = vec![scaled(&self.start, length)];
        let size = VECTORS.min(n);
        let mut projected = Array2::<f64>::zeros((size, size));
        let mut last = 0.0;
        let mut found = 0;
        for k in 0..size {
            let mut next = vec![0.0; n];
            // h·W, as the network computes it; the eigenvalues are those of W.
            for (i, &x) in basis[k].iter().enumerate() {
                let range = connections.range(i);
                for (&j, &w) in connections.indices()[range.clone()].iter().zip(&values[range]) {
                    next[j as usize] += x * w;
                }
            }
            let size_of_product = norm(&next);
            // Twice, since one pass loses orthogonality.
            for _ in 0..2 {
                for (m, vector) in basis.iter().enumerate() {
                    let along: f64 = vector.iter().zip(&next).map(|(a, b)| a * b).sum();
                    projected[[m, k]] += along;
                    next.iter_mut().zip(vector).for_each(|(x, v)| *x -= along * v);
                }
            }
            found = k + 1;
            last = norm(&next);
            if last <= 1e-14 * size_of_product || size_of_product == 0.0 {
                last = 0.0;
                break;
            }
            if k + 1 < size {
                projected[[k + 1, k]] = last;
                basis.push(scaled(&next, last));
            }
        }
        let small = projected.slice(pallium_core::ndarray::s![..found, ..found]).to_owned();
        let radius = pallium_linalg::spectral_radius(small.view())
            .ok_or_else(|| Error::input("the eigenvalues of the weights cannot be found"))?;
        if radius == 0.0 {
            return Ok(None);
        }
        // The dominant part of the subspace, by powers of the projection: for a real
        // eigenvalue its vector, for a pair of complex ones a vector of their plane.
        let mut ritz = vec![0.0; found];
        ritz[0] = 1.0;
        for _ in 0..200 {
            let next: Vec<f64> = (0..found)
                .map(|i| (0..found).map(|j| small[[i, j]] * ritz[j]).sum::<f64>() / radius)
                .collect();
            let length = norm(&next);
            if length == 0.0 {
                break;
            }
            ritz = scaled(&next, length);
        }
        let residual = last * ritz[found - 1].abs();
        let mut start = vec![0.0; n];
        for (vector, &weight) in basis.iter().zip(&ritz) {
            start.iter_mut().zip(vector).for_each(|(sum, v)| *sum += weight * v);
        }
        Ok(Some((radius, residual, start)))
    }
}

/// Whether connections whose weight is not 0 form a cycle: whether units are left when
/// those without an input are taken away, again and again.
fn has_cycle(connections: ConnectionsView<'_>, values: &[f64]) -> bool {
    let n = connections.dim().0;
    let mut inputs = vec![0_u32; n];
    for (&j, &w) in connections.indices().iter().zip(values) {
        inputs[j as usize] += u32::from(w != 0.0);
    }
    let mut free: Vec<usize> = (0..n).filter(|&unit| inputs[unit] == 0).collect();
    let mut taken = 0;
    while let Some(unit) = free.pop() {
        taken += 1;
        let range = connections.range(unit);
        for (&j, &w) in connections.indices()[range.clone()].iter().zip(&values[range]) {
            if w != 0.0 {
                inputs[j as usize] -= 1;
                if inputs[j as usize] == 0 {
                    free.push(j as usize);
                }
            }
        }
    }
    taken < n
}

#[cfg(test)]
mod tests {
    use pallium_core::rand::Rng;

    use super::*;

    fn check(matrix: Array2<f64>, within: f64) {
        let pairs = Connections::where_not_zero(matrix.view());
        let values = pairs.view().gather(matrix.view());
        let expected = crate::spectral_radius(&matrix).unwrap();
        let mut arnoldi = Arnoldi::default();
        for _ in 0..2 {
            let found = arnoldi.spectral_radius(pairs.view(), &values).unwrap();
            assert!((found - expected).abs() <= within * expected, "{found} and not {expected}");
        }
    }

    #[test]
    fn the_radius_is_that_of_all_eigenvalues() {
        for n in [3, 40, 300] {
            let mut stream = random::stream(n as u64, "weights");
            let mut sparse = |low: f64| {
                Array2::from_shape_simple_fn((n, n), || {
                    let weight = stream.random_range(low..1.0);
                    if stream.random_bool((12.0 / n as f64).min(0.7)) { weight } else { 0.0 }
                })
            };
            check(sparse(0.0), 1e-6);
            check(sparse(-1.0), 1e-4);
        }
        // Two rotations, of which the larger has a complex pair.
        let mut blocks = Array2::zeros((4, 4));
        (blocks[[0, 1]], blocks[[1, 0]]) = (-3.0, 3.0);
        (blocks[[2, 3]], blocks[[3, 2]]) = (-1.0, 1.0);
        check(blocks, 1e-9);
    }

    #[test]
    fn weights_without_a_cycle_have_radius_zero() {
        let chain = Connections::from_pairs(4, 4, vec![(0, 1), (1, 2), (2, 3)]).unwrap();
        assert_eq!(Arnoldi::default().spectral_radius(chain.view(), &[1.0, 2.0, 3.0]).unwrap(), 0.0);
    }
}
