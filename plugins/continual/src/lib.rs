//! Penalties on what training changes, so that networks keep what they started
//! from or have learned before.
//!
//! | component | penalty |
//! |---|---|
//! | `continual.near-start` | λ Σ (w − w₀)², w₀ the weights before training |
//! | `continual.elastic-weight-consolidation` | λ/2 Σₖ Σ Fₖ (w − wₖ)² over earlier tasks k, F their importance |

mod elastic_weight_consolidation;
mod near_start;

use pallium_core::ndarray::Array2;
use pallium_core::prelude::*;

/// Refuses a matrix of another shape than the weights.
fn check_shape(what: &str, expected: (usize, usize), found: (usize, usize)) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let ((rows, columns), (r, c)) = (found, expected);
    Err(Error::input(format!("{what} matrix is {rows}×{columns}, but must be {r}×{c}")))
}

/// What is kept of each connection, 1 × C, after a change of the connections; 0 for
/// added ones.
fn carried<A: Copy + Default>(change: &RewiringView<'_>, of: &Array2<A>) -> Result<Array2<A>> {
    check_shape("kept", (1, change.before), of.dim())?;
    let values: Vec<A> = change.carry(of.as_slice().unwrap_or_default(), A::default());
    Array2::from_shape_vec((1, values.len()), values).map_err(|e| Error::bug(e.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn conform() {
        pallium_testkit::assert_all_conform();
    }
}

pallium_core::plugin!();
