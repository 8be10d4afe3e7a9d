//! Sets of connections: which pairs of units are connected, in compressed rows.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use crate::{Error, MatrixView, Result};

/// The connected pairs of a parameter, in compressed rows: connection `k` of row
/// `i` leads to column `indices[k]`, for `k` in `indptr[i]..indptr[i + 1]`. In a row
/// the columns ascend, and no pair occurs twice. This is scipy's `csr_array` without
/// its values.
///
/// Row = from, column = to, as in a [`Matrix`](crate::Matrix).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Connections {
    columns: usize,
    indptr: Vec<u64>,
    indices: Vec<u32>,
}

/// [`Connections`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionsView<'a> {
    columns: usize,
    indptr: &'a [u64],
    indices: &'a [u32],
}

impl Connections {
    /// Connections from their compressed rows.
    ///
    /// # Errors
    /// If the rows are not as documented at [`Connections`]; the row is named.
    pub fn new(columns: usize, indptr: Vec<u64>, indices: Vec<u32>) -> Result<Self> {
        let connections = Connections { columns, indptr, indices };
        connections.view().check()?;
        Ok(connections)
    }

    /// Connections from pairs (from, to) in any order.
    ///
    /// # Errors
    /// If a pair occurs twice, or lies outside `rows` × `columns`.
    pub fn from_pairs(rows: usize, columns: usize, mut pairs: Vec<(u32, u32)>) -> Result<Self> {
        pairs.sort_unstable();
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0] == pair[1]) {
            let (i, j) = pair[0];
            return Err(Error::input(format!("the connection from {i} to {j} occurs twice")));
        }
        if let Some((i, j)) = pairs.iter().find(|&&(i, j)| i as usize >= rows || j as usize >= columns) {
            return Err(Error::input(format!(
                "the connection from {i} to {j} lies outside {rows} × {columns} units"
            )));
        }
        let mut indptr = vec![0_u64; rows + 1];
        for (i, _) in &pairs {
            indptr[*i as usize + 1] += 1;
        }
        for row in 0..rows {
            indptr[row + 1] += indptr[row];
        }
        Ok(Connections { columns, indptr, indices: pairs.into_iter().map(|(_, j)| j).collect() })
    }

    /// The pairs whose entry in `matrix` is not 0.
    pub fn where_not_zero<A: Copy + PartialEq + Default>(matrix: ArrayView2<'_, A>) -> Self {
        let (mut indptr, mut indices) = (vec![0], Vec::new());
        for row in matrix.outer_iter() {
            indices.extend((0..).zip(row).filter(|(_, v)| **v != A::default()).map(|(j, _): (u32, _)| j));
            indptr.push(indices.len() as u64);
        }
        Connections { columns: matrix.ncols(), indptr, indices }
    }

    /// The same, borrowed.
    pub fn view(&self) -> ConnectionsView<'_> {
        ConnectionsView { columns: self.columns, indptr: &self.indptr, indices: &self.indices }
    }
}

impl<'a> ConnectionsView<'a> {
    /// Compressed rows that were checked before, such as those of [`Connections`];
    /// only their ends are checked again.
    ///
    /// # Errors
    /// If the ends of the rows contradict the number of connections.
    pub fn lent(columns: usize, indptr: &'a [u64], indices: &'a [u32]) -> Result<Self> {
        match (indptr.first(), indptr.last()) {
            (Some(0), Some(&last)) if last == indices.len() as u64 => {
                Ok(ConnectionsView { columns, indptr, indices })
            }
            _ => Err(Error::input(format!(
                "the rows of a set of connections begin with {:?} and end with {:?}, but there are {} connections",
                indptr.first(),
                indptr.last(),
                indices.len()
            ))
            .help("`indptr` has one more value than there are rows: 0 first, the number of connections last")),
        }
    }

    /// Checks everything that is documented at [`Connections`].
    ///
    /// # Errors
    /// Naming the first row that is wrong.
    pub fn check(&self) -> Result<()> {
        ConnectionsView::lent(self.columns, self.indptr, self.indices)?;
        for (row, ends) in self.indptr.windows(2).enumerate() {
            let wrong = |what: String| Err(Error::input(format!("row {row} of a set of connections {what}")));
            if ends[0] > ends[1] || ends[1] > self.indices.len() as u64 {
                return wrong(format!("goes from {} to {}", ends[0], ends[1]));
            }
            let columns = self.row(row);
            if let Some(pair) = columns.windows(2).find(|pair| pair[0] >= pair[1]) {
                return wrong(format!("has column {} before {}, but columns ascend", pair[0], pair[1]));
            }
            if let Some(last) = columns.last().filter(|&&last| last as usize >= self.columns) {
                return wrong(format!("has column {last}, but there are {}", self.columns));
            }
        }
        Ok(())
    }

    /// Number of connections C.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Number of rows and columns.
    pub fn dim(&self) -> (usize, usize) {
        (self.indptr.len().saturating_sub(1), self.columns)
    }

    /// Where each row begins among the connections, and last their number.
    pub fn indptr(&self) -> &'a [u64] {
        self.indptr
    }

    /// The column of each connection.
    pub fn indices(&self) -> &'a [u32] {
        self.indices
    }

    /// The connections of a row.
    pub fn range(&self, row: usize) -> Range<usize> {
        self.indptr[row] as usize..self.indptr[row + 1] as usize
    }

    /// The columns that a row is connected to.
    pub fn row(&self, row: usize) -> &'a [u32] {
        &self.indices[self.range(row)]
    }

    /// All pairs (from, to), in order.
    pub fn pairs(self) -> impl Iterator<Item = (usize, usize)> + use<'a> {
        (0..self.dim().0).flat_map(move |i| self.row(i).iter().map(move |&j| (i, j as usize)))
    }

    /// The connection from `row` to `column`, if there is one.
    pub fn find(&self, row: usize, column: usize) -> Option<usize> {
        let within = self.row(row).binary_search(&u32::try_from(column).ok()?).ok()?;
        Some(self.range(row).start + within)
    }

    /// A copy with its own values.
    pub fn to_owned(self) -> Connections {
        Connections { columns: self.columns, indptr: self.indptr.to_vec(), indices: self.indices.to_vec() }
    }

    /// The entries of `matrix` at the connected pairs.
    ///
    /// # Panics
    /// If the matrix has another shape.
    pub fn gather<A: Copy>(self, matrix: ArrayView2<'_, A>) -> Vec<A> {
        assert_eq!(matrix.dim(), self.dim(), "a matrix of another shape than the connections");
        self.pairs().map(|(i, j)| matrix[[i, j]]).collect()
    }

    /// The matrix with `values` at the connected pairs and 0 elsewhere.
    ///
    /// # Panics
    /// If there are not as many values as connections.
    pub fn scatter<A: Copy + Default>(self, values: &[A]) -> Array2<A> {
        assert_eq!(values.len(), self.len(), "one value is needed for each connection");
        let mut matrix = Array2::from_elem(self.dim(), A::default());
        for ((i, j), &value) in self.pairs().zip(values) {
            matrix[[i, j]] = value;
        }
        matrix
    }

    /// The connections in the other direction, and for each of them its place among
    /// these.
    pub fn reversed(self) -> (Connections, Vec<u32>) {
        let (rows, columns) = self.dim();
        let mut indptr = vec![0_u64; columns + 1];
        for &j in self.indices {
            indptr[j as usize + 1] += 1;
        }
        for column in 0..columns {
            indptr[column + 1] += indptr[column];
        }
        let mut next = indptr.clone();
        let (mut indices, mut places) = (vec![0; self.len()], vec![0; self.len()]);
        for (place, (i, j)) in self.pairs().enumerate() {
            let at = next[j] as usize;
            (indices[at], places[at]) = (i as u32, place as u32);
            next[j] += 1;
        }
        (Connections { columns: rows, indptr, indices }, places)
    }
}

/// Weights on a set of connections.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SparseWeights {
    /// The connected pairs.
    pub connections: Connections,
    /// The weight of each connection.
    pub values: Vec<f32>,
}

impl SparseWeights {
    /// The entries of `matrix` that are not 0; those at `pairs`, if they are given.
    pub fn from_matrix(matrix: MatrixView<'_>, pairs: Option<ConnectionsView<'_>>) -> Self {
        let connections = pairs.map_or_else(|| Connections::where_not_zero(matrix), |pairs| pairs.to_owned());
        let values = connections.view().gather(matrix);
        SparseWeights { connections, values }
    }

    /// Checks the connections, and that there is one finite weight for each.
    ///
    /// # Errors
    /// Naming what is wrong.
    pub fn check(&self) -> Result<()> {
        let pairs = self.connections.view();
        pairs.check()?;
        if self.values.len() != pairs.len() {
            return Err(Error::input(format!(
                "there are {} weights for {} connections",
                self.values.len(),
                pairs.len()
            )));
        }
        match pairs.pairs().zip(&self.values).find(|(_, w)| !w.is_finite()) {
            Some(((i, j), w)) => Err(Error::input(format!("the weight from {i} to {j} is {w}"))),
            None => Ok(()),
        }
    }
}

/// Connections that take the place of others; as many are added as are removed.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Rewiring {
    /// The connections after the change.
    pub connections: Connections,
    /// For each of them its place before, or −1 if it is added.
    pub origin: Vec<i64>,
    /// The weight of each connection after the change.
    pub values: Vec<f32>,
}

impl Rewiring {
    /// The change from `before` with weights `values` to the connections `after`;
    /// added ones have weight 0.
    pub fn between(before: ConnectionsView<'_>, values: &[f32], after: Connections) -> Self {
        let origin: Vec<i64> =
            after.view().pairs().map(|(i, j)| before.find(i, j).map_or(-1, |place| place as i64)).collect();
        let values = carried(&origin, values, 0.0);
        Rewiring { connections: after, origin, values }
    }

    /// The change as models, optimizers and constraints receive it; `before` is the
    /// number of connections before it, `distance` as at [`RewiringView::distance`].
    pub fn view<'a>(&'a self, before: usize, distance: Option<MatrixView<'a>>) -> RewiringView<'a> {
        RewiringView { connections: self.connections.view(), origin: &self.origin, before, distance }
    }

    /// Checks the change of `before`.
    ///
    /// # Errors
    /// Naming what is wrong.
    pub fn check(&self, before: ConnectionsView<'_>) -> Result<()> {
        let after = self.connections.view();
        after.check()?;
        let wrong = |what: String| Err(Error::plugin(format!("a rewiring is malformed: {what}")));
        if (after.dim(), after.len()) != (before.dim(), before.len()) {
            return wrong(format!(
                "{} connections of {:?} units become {} of {:?}",
                before.len(),
                before.dim(),
                after.len(),
                after.dim()
            ));
        }
        if self.origin.len() != after.len() || self.values.len() != after.len() {
            return wrong(format!(
                "{} connections with {} origins and {} weights",
                after.len(),
                self.origin.len(),
                self.values.len()
            ));
        }
        for ((i, j), &origin) in after.pairs().zip(&self.origin) {
            let known = before.find(i, j);
            if known != usize::try_from(origin).ok() {
                return wrong(format!("the connection from {i} to {j} comes from {origin}, not {known:?}"));
            }
        }
        Ok(())
    }
}

/// A change of connections, as models, optimizers and constraints receive it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RewiringView<'a> {
    /// The connections after the change.
    pub connections: ConnectionsView<'a>,
    /// For each of them its place before, or −1 if it is added.
    pub origin: &'a [i64],
    /// Number of connections before the change.
    pub before: usize,
    /// The distance of each connection after the change, 1 × C, as
    /// [`Setting::distance`](crate::Setting::distance).
    pub distance: Option<MatrixView<'a>>,
}

impl<'a> RewiringView<'a> {
    /// A change to `connections`; `origin` has the place of each before, or −1.
    pub fn new(connections: ConnectionsView<'a>, origin: &'a [i64], before: usize) -> Self {
        RewiringView { connections, origin, before, distance: None }
    }

    /// Places before and after of the connections that are kept.
    pub fn kept(&self) -> impl Iterator<Item = (usize, usize)> + use<'a> {
        let places = self.origin.iter().enumerate();
        places.filter_map(|(after, &before)| Some((usize::try_from(before).ok()?, after)))
    }

    /// Places after the change of the connections that are added.
    pub fn added(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.origin.iter().enumerate().filter(|(_, before)| **before < 0).map(|(after, _)| after)
    }

    /// Places before the change of the connections that are removed.
    pub fn removed(&self) -> Vec<usize> {
        let mut stays = vec![false; self.before];
        self.kept().for_each(|(before, _)| stays[before] = true);
        (0..self.before).filter(|&place| !stays[place]).collect()
    }

    /// Values of the connections before the change, as they lie after it; added
    /// connections have the value `new`.
    pub fn carry<A: Copy>(&self, values: &[A], new: A) -> Vec<A> {
        carried(self.origin, values, new)
    }
}

fn carried<A: Copy>(origin: &[i64], values: &[A], new: A) -> Vec<A> {
    let of = |&place: &i64| usize::try_from(place).ok().and_then(|place| values.get(place)).copied();
    origin.iter().map(|place| of(place).unwrap_or(new)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn example() -> (Array2<f32>, Connections) {
        let matrix = array![[0.0_f32, 1.0, 0.0], [2.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 4.0, 5.0]];
        let connections = Connections::where_not_zero(matrix.view());
        (matrix, connections)
    }

    #[test]
    fn compressed_rows_are_those_of_scipy() {
        // scipy.sparse.csr_array of the matrix has these `indptr` and `indices`.
        let (matrix, connections) = example();
        let view = connections.view();
        assert_eq!((view.indptr(), view.indices()), (&[0, 1, 3, 3, 5][..], &[1, 0, 2, 1, 2][..]));
        assert_eq!(view.gather(matrix.view()), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(view.scatter(&view.gather(matrix.view())), matrix);
        assert_eq!((view.find(3, 1), view.find(3, 0), view.find(2, 2)), (Some(3), None, None));
        let (reversed, places) = view.reversed();
        assert_eq!(reversed, Connections::where_not_zero(matrix.t()));
        let values = view.gather(matrix.view());
        let other: Vec<f32> = places.iter().map(|&place| values[place as usize]).collect();
        assert_eq!(other, reversed.view().gather(matrix.t()));
    }

    #[test]
    fn malformed_rows_are_refused_with_their_place() {
        let refused = |columns, indptr: &[u64], indices: &[u32]| {
            Connections::new(columns, indptr.to_vec(), indices.to_vec()).unwrap_err().message
        };
        assert!(refused(3, &[0, 2, 1], &[0]).contains("row 0") && refused(3, &[], &[]).contains("begin"));
        assert!(refused(3, &[0, 2], &[1, 0]).contains("columns ascend"));
        assert!(refused(3, &[0, 2], &[1, 1]).contains("columns ascend"));
        assert!(refused(3, &[0, 0, 1], &[3]).contains("row 1 of a set of connections has column 3"));
        let pairs = |pairs: &[(u32, u32)]| Connections::from_pairs(2, 2, pairs.to_vec());
        assert!(pairs(&[(1, 0), (0, 1), (1, 0)]).unwrap_err().message.contains("from 1 to 0 occurs twice"));
        assert!(pairs(&[(0, 2)]).unwrap_err().message.contains("from 0 to 2 lies outside"));
        assert_eq!(pairs(&[(1, 0), (0, 1)]).unwrap().view().indices(), [1, 0]);
    }

    #[test]
    fn a_rewiring_names_what_is_kept_removed_and_added() {
        let (_, before) = example();
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        let after = Connections::from_pairs(4, 3, vec![(0, 1), (1, 2), (2, 0), (3, 1), (3, 2)]).unwrap();
        let change = Rewiring::between(before.view(), &values, after);
        assert_eq!(change.origin, [0, 2, -1, 3, 4]);
        assert_eq!(change.values, [1.0, 3.0, 0.0, 4.0, 5.0]);
        change.check(before.view()).unwrap();
        let told = change.view(5, None);
        assert_eq!(told.kept().collect::<Vec<_>>(), [(0, 0), (2, 1), (3, 3), (4, 4)]);
        assert_eq!((told.added().collect::<Vec<_>>(), told.removed()), (vec![2], vec![1]));
        assert_eq!(told.carry(&["a", "b", "c", "d", "e"], "new"), ["a", "c", "new", "d", "e"]);
        let wrong = Rewiring { origin: vec![0, 1, -1, 3, 4], ..change.clone() };
        assert!(wrong.check(before.view()).unwrap_err().message.contains("from 1 to 2 comes from 1"));
        let fewer = Connections::from_pairs(4, 3, vec![(0, 1)]).unwrap();
        let wrong = Rewiring::between(before.view(), &values, fewer);
        assert!(wrong.check(before.view()).unwrap_err().message.contains("5 connections"));
    }
}
