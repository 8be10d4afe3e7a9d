//! Matrix products that skip zeros.
//!
//! Rectified units are silent about half of the time, and similar trials silence
//! the same units. So the rows of a left factor (hidden states, or gradients with
//! respect to the rectifiers' arguments) are processed in blocks of [`BLOCK`]
//! similar rows, and columns that are 0 in the entire block are skipped. Only
//! additions of 0 are skipped: with finite weights, each sum has the terms of the
//! full product in the same order.
//!
//! Right factors are stored in [`Panels`]. Instructions are chosen at run time.
//! Hot code uses loops instead of `map` and `from_fn` over arrays: the compiler
//! does not always inline those, and then compiles them for the baseline
//! instructions (with the rectifier, the forward pass took a third longer).

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::panels::{FEW_VECTORS, Panel, VECTORS, store, vectors};
pub(crate) use crate::panels::{Panels, load};

/// Number of rows of a left factor that share a list of columns to multiply.
const BLOCK: usize = 8;

/// Number of rows that share such a list in [`add_outer`]. Larger sums cost
/// more to load and store.
fn group_size(sum: usize) -> usize {
    if sum < 1 << 19 { 16 } else { 64 }
}

/// Number of rows summed in registers at once, with 32 registers and with fewer.
/// Both divide [`BLOCK`].
const MANY: usize = 8;
const FEW: usize = 4;

/// The factors of a product; the left one is rows × K, row-major.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    pub left: &'a [f32],
    pub right: &'a Panels,
}

/// Changes a product's sums before they are stored. Implementations must be
/// `#[inline(always)]`, so that they are compiled for the chosen instructions.
pub(crate) trait Finish {
    /// Changes the sums that will be stored at the range `at` of the row-major
    /// product; sums past its end are 0.
    fn finish<S: Simd, const VECTORS: usize>(&self, simd: S, at: Range<usize>, sums: &mut [S::f32s; VECTORS]);
}

/// Leaves sums unchanged.
pub(crate) struct Sums;

impl Finish for Sums {
    #[inline(always)]
    fn finish<S: Simd, const VECTORS: usize>(&self, _: S, _: Range<usize>, _: &mut [S::f32s; VECTORS]) {}
}

/// The columns of a left factor that are not 0, for each block of rows.
#[derive(Default)]
pub(crate) struct Lists {
    /// The columns of all blocks, one block after another.
    columns: Vec<u32>,
    ends: Vec<usize>,
    any: Vec<u32>,
}

impl Lists {
    /// Computes the lists for `left`; `order` is a permutation of its rows with
    /// similar rows adjacent.
    pub fn fill(&mut self, left: &[f32], order: &[u32]) {
        struct Fill<'a>(&'a mut Lists, &'a [f32], &'a [u32]);
        impl WithSimd for Fill<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let Fill(lists, left, order) = self;
                let width = left.len() / order.len();
                lists.clear();
                for block in order.chunks(BLOCK) {
                    lists.push(width, block.iter().map(|&row| &left[row as usize * width..][..width]));
                }
            }
        }
        Arch::new().dispatch(Fill(self, left, order));
    }

    /// Whether the entire left factor is 0.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.columns.clear();
        self.ends.clear();
    }

    /// Adds a list for `rows`, each of `columns` values. NaN is not 0.
    #[inline(always)]
    fn push<'a>(&mut self, columns: usize, rows: impl Iterator<Item = &'a [f32]>) {
        self.any.clear();
        self.any.resize(columns, 0);
        for row in rows {
            for (any, value) in self.any.iter_mut().zip(row) {
                // Shifted to ignore the sign: -0 is 0 as well.
                *any |= value.to_bits() << 1;
            }
        }
        // Without a branch, which would be unpredictable.
        let start = self.columns.len();
        self.columns.resize(start + columns, 0);
        let (found, mut count) = (&mut self.columns[start..], 0);
        for (column, any) in (0..).zip(&self.any) {
            found[count] = column;
            count += usize::from(*any != 0);
        }
        let end = start + count;
        self.columns.truncate(end);
        self.ends.push(end);
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &[u32] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.columns[start..self.ends[index]]
    }
}

/// Writes the product `sparse` plus the product `dense`, after `finish`, to
/// `out` (row-major). The lists must be those of the left factor of `sparse`,
/// computed with the same `order`.
pub(crate) fn product(
    out: &mut [f32],
    sparse: Option<(Factors<'_>, &Lists)>,
    dense: Option<Factors<'_>>,
    order: &[u32],
    finish: &impl Finish,
) {
    Arch::new().dispatch(Product { out, sparse, dense, order, finish });
}

struct Product<'a, F> {
    out: &'a mut [f32],
    sparse: Option<(Factors<'a>, &'a Lists)>,
    dense: Option<Factors<'a>>,
    order: &'a [u32],
    finish: &'a F,
}

impl<F: Finish> WithSimd for Product<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let sparse = self.sparse.map(|(factors, _)| factors);
        let Some(right) = sparse.or(self.dense).map(|factors| factors.right) else { return };
        for (index, block) in self.order.chunks(BLOCK).enumerate() {
            for panel in right.panels() {
                match (S::REGISTER_COUNT, panel.width / S::F32_LANES) {
                    (32.., 1) => self.panel::<S, MANY, 1>(simd, index, block, right.columns, &panel),
                    (32.., 2) => self.panel::<S, MANY, 2>(simd, index, block, right.columns, &panel),
                    (32.., _) => self.panel::<S, MANY, VECTORS>(simd, index, block, right.columns, &panel),
                    (_, 1) => self.panel::<S, FEW, 1>(simd, index, block, right.columns, &panel),
                    (_, _) => self.panel::<S, FEW, FEW_VECTORS>(simd, index, block, right.columns, &panel),
                }
            }
        }
    }
}

impl<F: Finish> Product<'_, F> {
    #[inline(always)]
    fn panel<S: Simd, const ROWS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        index: usize,
        block: &[u32],
        columns: usize,
        panel: &Panel,
    ) {
        // The factors' panels differ in their number of rows, and so in their
        // offsets.
        let (first, width) = (panel.columns.start, panel.width);
        let range = |right: &'_ Panels| first * right.rows..(first + width) * right.rows;
        for part in block.chunks(ROWS) {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            if let Some((Factors { left, right }, lists)) = self.sparse {
                let values = vectors::<S, VECTORS>(&right.values[range(right)]);
                let rows = some_rows::<ROWS>(left, right.rows, part);
                sums = add_listed(simd, sums, rows, lists.get(index), values);
            }
            if let Some(Factors { left, right }) = self.dense {
                let values = vectors::<S, VECTORS>(&right.values[range(right)]);
                let rows = some_rows::<ROWS>(left, right.rows, part);
                sums = add_all(simd, sums, rows, values);
            }
            for (&row, mut sums) in part.iter().zip(sums) {
                let start = row as usize * columns;
                let at = start + panel.columns.start..start + panel.columns.end;
                self.finish.finish(simd, at.clone(), &mut sums);
                store(simd, &mut self.out[at], sums);
            }
        }
    }
}

/// The rows of a part of a block; if there are fewer than `ROWS`, the last one
/// is repeated.
#[inline(always)]
fn some_rows<'a, const ROWS: usize>(left: &'a [f32], columns: usize, part: &[u32]) -> [&'a [f32]; ROWS] {
    let mut rows = [Default::default(); ROWS];
    for (r, to) in rows.iter_mut().enumerate() {
        let row = part[r.min(part.len() - 1)] as usize;
        *to = &left[row * columns..][..columns];
    }
    rows
}

/// `sums` plus the products of the listed columns of `rows` with the same rows
/// of a panel.
#[inline(always)]
#[expect(unsafe_code, reason = "bounds checks in the innermost loop cost a third of its time")]
fn add_listed<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    mut sums: [[S::f32s; VECTORS]; ROWS],
    rows: [&[f32]; ROWS],
    list: &[u32],
    panel: &[[S::f32s; VECTORS]],
) -> [[S::f32s; VECTORS]; ROWS] {
    // Lists are sorted.
    let end = list.last().map_or(0, |&last| last as usize + 1);
    assert!(panel.len() >= end && rows.iter().all(|row| row.len() >= end));
    debug_assert!(list.is_sorted());
    for &k in list {
        let k = k as usize;
        // SAFETY: k is at most the last entry of the sorted list, and the
        // assertion above checks that.
        let right = unsafe { panel.get_unchecked(k) };
        for (sums, row) in sums.iter_mut().zip(rows) {
            // SAFETY: as above.
            let left = simd.splat_f32s(unsafe { *row.get_unchecked(k) });
            for (sum, &right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
    }
    sums
}

/// `sums` plus the products of `rows` with a panel.
#[inline(always)]
fn add_all<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    mut sums: [[S::f32s; VECTORS]; ROWS],
    rows: [&[f32]; ROWS],
    panel: &[[S::f32s; VECTORS]],
) -> [[S::f32s; VECTORS]; ROWS] {
    for (k, right) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            let left = simd.splat_f32s(row[k]);
            for (sum, &right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
    }
    sums
}

/// Buffers of [`add_outer`].
#[derive(Default)]
pub(crate) struct Workspace {
    right: Panels,
    lists: Lists,
}

/// Adds Σ leftᵀ·right over pairs of a left (rows × M) and a right factor (rows ×
/// N), both row-major, to `sum` (M × N). `order` is as for [`product`].
pub(crate) fn add_outer(
    sum: &mut Panels,
    lefts: &[&[f32]],
    rights: &[&[f32]],
    order: &[u32],
    workspace: &mut Workspace,
) {
    Arch::new().dispatch(Outer { sum, lefts, rights, order, workspace });
}

struct Outer<'a> {
    sum: &'a mut Panels,
    lefts: &'a [&'a [f32]],
    rights: &'a [&'a [f32]],
    order: &'a [u32],
    workspace: &'a mut Workspace,
}

impl<'a> WithSimd for Outer<'a> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Outer { sum, lefts, rights, order, workspace: Workspace { right, lists } } = self;
        let (m, n) = (sum.rows, sum.columns);
        for group in order.chunks(group_size(m * n)) {
            let [rows, others] = [(lefts, m), (rights, n)].map(|(factors, columns)| {
                let of = |factor: &'a [f32]| {
                    group.iter().map(move |&row| &factor[row as usize * columns..][..columns])
                };
                factors.iter().flat_map(|factor| of(factor)).collect::<Vec<_>>()
            });
            lists.clear();
            lists.push(m, rows.iter().copied());
            right.fill(simd, n, others.iter().copied());
            let many = S::REGISTER_COUNT >= 32;
            for list in lists.get(0).chunks(if many { MANY } else { FEW }) {
                for (panel, from) in sum.panels().zip(right.panels()) {
                    let (sum, right) = (&mut sum.values[panel.values], &right.values[from.values]);
                    match (many, panel.width / S::F32_LANES) {
                        (true, 1) => add_rows::<S, MANY, 1>(simd, sum, list, &rows, right),
                        (true, 2) => add_rows::<S, MANY, 2>(simd, sum, list, &rows, right),
                        (true, _) => add_rows::<S, MANY, VECTORS>(simd, sum, list, &rows, right),
                        (false, 1) => add_rows::<S, FEW, 1>(simd, sum, list, &rows, right),
                        (false, _) => add_rows::<S, FEW, FEW_VECTORS>(simd, sum, list, &rows, right),
                    }
                }
            }
        }
    }
}

/// Adds the products of some `columns` of `rows` with the rows of a panel to the
/// same rows of a panel of the sum.
#[inline(always)]
fn add_rows<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    sum: &mut [f32],
    columns: &[u32],
    rows: &[&[f32]],
    panel: &[f32],
) {
    let panel = vectors::<S, VECTORS>(panel);
    let (sum, _) = S::as_mut_simd_f32s(sum).0.as_chunks_mut::<VECTORS>();
    let width = sum.len();
    // If there are fewer than `ROWS`, the last one is repeated.
    let mut at = [0; ROWS];
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (r, (at, sums)) in at.iter_mut().zip(&mut sums).enumerate() {
        *at = columns[r.min(columns.len() - 1)] as usize;
        *sums = sum[*at];
    }
    for (row, right) in rows.iter().zip(panel) {
        let row = &row[..width];
        for (sums, column) in sums.iter_mut().zip(at) {
            let left = simd.splat_f32s(row[column]);
            for (sum, &right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
    }
    for (column, sums) in at.into_iter().zip(sums).take(columns.len()) {
        sum[column] = sums;
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::random::{self, Stream};
    use rand::Rng;
    use rand::seq::SliceRandom;

    use super::*;
    use crate::panels::Shape;

    const SIZES: [(usize, usize, usize); 8] = [
        (1, 1, 1),
        (3, 5, 7),
        (8, 16, 16),
        (9, 42, 50),
        (17, 70, 33),
        (40, 31, 97),
        (128, 88, 88),
        (20, 160, 145),
    ];

    /// A matrix in which every eight rows share some zero columns, with further
    /// single zeros; some zeros are -0.
    fn matrix(rows: usize, columns: usize, stream: &mut Stream) -> Vec<f32> {
        let mut silent = vec![false; columns];
        let mut values = Vec::new();
        for row in 0..rows {
            if row % 8 == 0 {
                silent.fill_with(|| stream.random_bool(0.5));
            }
            for silent in &silent {
                let zero = if stream.random_bool(0.5) { 0.0 } else { -0.0 };
                let value = stream.random_range(-1.0..1.0_f32);
                values.push(if *silent || stream.random_bool(0.2) { zero } else { value });
            }
        }
        values
    }

    /// left·right in double precision; `left` maps row and column to a value.
    fn expected(
        (rows, depth, columns): (usize, usize, usize),
        left: impl Fn(usize, usize) -> f32,
        right: &[f32],
    ) -> Vec<f64> {
        let mut product = vec![0.0; rows * columns];
        for row in 0..rows {
            for k in 0..depth {
                for column in 0..columns {
                    product[row * columns + column] +=
                        f64::from(left(row, k)) * f64::from(right[k * columns + column]);
                }
            }
        }
        product
    }

    fn near(found: &[f32], expected: &[f64], depth: usize) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let bound = depth as f64 * f64::from(f32::EPSILON);
            assert!((f64::from(*found) - expected).abs() <= bound, "{found}, {expected}");
        }
    }

    /// Checks both products with the instructions of `simd`.
    fn check<S: Simd>(simd: S) {
        let mut stream = random::stream(3, "sparse products");
        for size @ (rows, depth, columns) in SIZES {
            let (left, other) = (matrix(rows, depth, &mut stream), matrix(rows, 9, &mut stream));
            let right: Vec<f32> = (0..depth * columns).map(|_| stream.random_range(-1.0..1.0)).collect();
            let drive: Vec<f32> = (0..9 * columns).map(|_| stream.random_range(-1.0..1.0)).collect();
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.shuffle(&mut stream);

            let shape = Shape::new::<S>();
            let (mut plain, mut transposed_panels, mut added) = <(Panels, Panels, Panels)>::default();
            plain.fill(simd, columns, right.chunks_exact(columns));
            let transposed: Vec<f32> =
                (0..columns * depth).map(|i| right[i % depth * columns + i / depth]).collect();
            transposed_panels.reshape(depth, columns, shape);
            transposed_panels.fill_transposed(&transposed);
            assert_eq!(*plain.values, *transposed_panels.values);
            added.fill(simd, columns, drive.chunks_exact(columns));
            let mut again = vec![0.0; depth * columns];
            plain.write_to(&mut again);
            assert_eq!(again, right);

            let mut lists = Lists::default();
            lists.fill(&left, &order);
            let mut found = vec![f32::NAN; rows * columns];
            simd.vectorize(Product {
                out: &mut found,
                sparse: Some((Factors { left: &left, right: &plain }, &lists)),
                dense: Some(Factors { left: &other, right: &added }),
                order: &order,
                finish: &Sums,
            });
            let mut sum = expected(size, |row, k| left[row * depth + k], &right);
            let more = expected((rows, 9, columns), |row, k| other[row * 9 + k], &drive);
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            near(&found, &sum, depth + 9);

            // leftᵀ·later over two pairs of factors.
            let later: Vec<f32> = (0..2 * rows * columns).map(|_| stream.random_range(-1.0..1.0)).collect();
            let lefts = [left.clone(), matrix(rows, depth, &mut stream)];
            let both = lefts.concat();
            let mut sum = Panels::default();
            sum.reshape(depth, columns, shape);
            let rights: Vec<&[f32]> = later.chunks(rows * columns).collect();
            simd.vectorize(Outer {
                sum: &mut sum,
                lefts: &[&lefts[0], &lefts[1]],
                rights: &rights,
                order: &order,
                workspace: &mut Workspace::default(),
            });
            let mut found = vec![f32::NAN; depth * columns];
            sum.write_to(&mut found);
            near(
                &found,
                &expected((depth, 2 * rows, columns), |k, row| both[row * depth + k], &later),
                2 * rows,
            );
        }
    }

    #[test]
    fn products_match_double_precision() {
        check(pulp::Scalar);
        #[cfg(target_arch = "x86_64")]
        {
            pulp::x86::V3::try_new().into_iter().for_each(check);
            pulp::x86::V4::try_new().into_iter().for_each(check);
        }
        #[cfg(target_arch = "aarch64")]
        pulp::aarch64::Neon::try_new().into_iter().for_each(check);
    }

    /// Only additions of 0 are skipped, so results are bit-identical whichever
    /// rows share a block.
    #[test]
    fn rows_do_not_depend_on_the_other_rows_of_their_block() {
        let (rows, n) = (40, 55);
        let mut stream = random::stream(4, "sparse products");
        let (left, right) = (matrix(rows, n, &mut stream), matrix(n, n, &mut stream));
        let mut panels = Panels::default();
        panels.copy_from(&right, n);
        let mut found = Vec::new();
        for _ in 0..5 {
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.shuffle(&mut stream);
            let mut lists = Lists::default();
            lists.fill(&left, &order);
            let mut out = vec![0.0; rows * n];
            let sparse = Some((Factors { left: &left, right: &panels }, &lists));
            product(&mut out, sparse, None, &order, &Sums);
            found.push(out);
        }
        assert!(found.iter().all(|other| *other == found[0]));
    }

    #[test]
    fn nan_is_not_skipped() {
        let (rows, n) = (9, 20);
        let mut left = vec![0.0; rows * n];
        let order: Vec<u32> = (0..rows as u32).collect();
        let mut lists = Lists::default();
        lists.fill(&left, &order);
        assert!(lists.is_empty());
        left[3 * n + 4] = f32::NAN;
        left[8 * n + 19] = f32::INFINITY;
        lists.fill(&left, &order);
        assert!(!lists.is_empty());
        let mut panels = Panels::default();
        panels.copy_from(&vec![1.0; n * n], n);
        let mut out = vec![0.0; rows * n];
        let sparse = Some((Factors { left: &left, right: &panels }, &lists));
        product(&mut out, sparse, None, &order, &Sums);
        assert!(out[3 * n..4 * n].iter().all(|x| x.is_nan()));
        assert!(out[8 * n..].iter().all(|x| *x == f32::INFINITY));
        assert!(out[..3 * n].iter().all(|x| *x == 0.0));
    }
}
