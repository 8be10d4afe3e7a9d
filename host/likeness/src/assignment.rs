//! The cheapest matching of rows with columns.

use ndarray::Array2;

/// The column of each row of a square matrix so that every column is used once and the
/// sum of the chosen costs is smallest, by shortest augmenting paths (Jonker and Volgenant
/// 1987) in O(N³).
pub fn assignment(cost: &Array2<f64>) -> Vec<usize> {
    let n = cost.nrows();
    // Column n stands for the row that is being added.
    let mut row_of: Vec<Option<usize>> = vec![None; n + 1];
    let (mut of_rows, mut of_columns) = (vec![0.0; n], vec![0.0; n + 1]);
    for row in 0..n {
        row_of[n] = Some(row);
        let mut column = n;
        let (mut shortest, mut before) = (vec![f64::INFINITY; n], vec![n; n]);
        let mut used = vec![false; n + 1];
        while let Some(at) = row_of[column] {
            used[column] = true;
            let (mut least, mut next) = (f64::INFINITY, n);
            for other in (0..n).filter(|&other| !used[other]) {
                let path = cost[[at, other]] - of_rows[at] - of_columns[other];
                if path < shortest[other] {
                    (shortest[other], before[other]) = (path, column);
                }
                if shortest[other] < least {
                    (least, next) = (shortest[other], other);
                }
            }
            for other in 0..=n {
                if used[other] {
                    if let Some(row) = row_of[other] {
                        of_rows[row] += least;
                    }
                    of_columns[other] -= least;
                } else if other < n {
                    shortest[other] -= least;
                }
            }
            column = next;
        }
        // Along the path, every column takes the row of the one before.
        while column != n {
            let other = before[column];
            row_of[column] = row_of[other];
            column = other;
        }
    }
    let mut found = vec![0; n];
    for (column, row) in row_of.iter().take(n).enumerate() {
        if let Some(row) = row {
            found[*row] = column;
        }
    }
    found
}
