//! Products that leave out what is zero.
//!
//! Rectified units are silent about half of the time, and trials that are alike
//! silence the same ones. So the left factors of the recurrence (hidden states,
//! and the gradients in the rectifiers' arguments) are gone through in blocks of
//! [`BLOCK`] rows, alike ones in the same block, and only those of their columns
//! are multiplied that are not zero in the whole block. All that is left out are
//! additions of zero: as long as weights are finite, each sum is that of the
//! whole product, its terms in the same order.
//!
//! Right factors lie in [`Panels`] of as many columns as can be summed in
//! registers. Instructions are chosen at run time. In what runs often there are
//! loops in place of `map` and `from_fn` over arrays, which the compiler does not
//! always inline, and so compiles for no instructions in particular (measured on
//! the rectifier: the forward pass took a third longer).

use std::ops::{Deref, DerefMut, Range};

use pulp::{Arch, Simd, WithSimd};

/// Rows of a left factor that share a list of the columns to multiply.
const BLOCK: usize = 8;

/// Rows that share such a list in [`add_outer`], by the size of the sum: a
/// larger one costs more to load and store.
fn group(sum: usize) -> usize {
    if sum < 1 << 19 { 16 } else { 64 }
}

/// Rows that are summed in registers at once where there are 32, and where there
/// are fewer. Both make up a [`BLOCK`].
const MANY: usize = 8;
const FEW: usize = 4;

/// Vectors that a row of a panel has at most. The sums of [`MANY`] rows, a
/// panel's row and a number of the left factor fill 28 of 32 registers, those of
/// [`FEW`] rows 16 of 16.
const VECTORS: usize = 3;

/// A panel's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    lanes: usize,
    vectors: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { lanes: 1, vectors: VECTORS }
    }
}

impl Shape {
    fn of<S: Simd>() -> Shape {
        Shape { lanes: S::F32_LANES, vectors: VECTORS }
    }

    /// For the instructions of this machine.
    fn here() -> Shape {
        struct Here;
        impl WithSimd for Here {
            type Output = Shape;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Shape {
                Shape::of::<S>()
            }
        }
        Arch::new().dispatch(Here)
    }
}

/// Numbers from the start of a cache line on: a vector that lies in two lines is
/// loaded twice.
#[derive(Default)]
struct Aligned {
    values: Vec<f32>,
    start: usize,
}

impl Aligned {
    /// So many zeros.
    fn clear(&mut self, length: usize) {
        const LINE: usize = 64;
        self.values.clear();
        self.values.resize(length + LINE / size_of::<f32>(), 0.0);
        // On no machine is this more than what was added.
        self.start = self.values.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
        self.values.truncate(self.start + length);
    }
}

impl Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.values[self.start..]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..]
    }
}

/// A matrix as panels of some of its columns: for each panel, its part of row
/// after row. A panel is [`VECTORS`] wide and the last one as many vectors as it
/// takes, zero past the last column.
#[derive(Default)]
pub(crate) struct Panels {
    rows: usize,
    columns: usize,
    shape: Shape,
    values: Aligned,
}

/// A panel's place: its columns in the matrix, and how wide it is stored.
struct Place {
    columns: Range<usize>,
    width: usize,
    values: Range<usize>,
}

impl Panels {
    /// Takes on a matrix of `columns` columns in row-major order.
    pub fn take(&mut self, matrix: &[f32], columns: usize) {
        struct Take<'a>(&'a mut Panels, &'a [f32], usize);
        impl WithSimd for Take<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Take(panels, matrix, columns) = self;
                panels.fill(simd, columns, matrix.chunks_exact(columns));
            }
        }
        Arch::new().dispatch(Take(self, matrix, columns));
    }

    /// Takes on rows of `columns` numbers. In vectors: to call for each part of a
    /// row the routine that copies memory takes longer than to copy it.
    #[inline(always)]
    fn fill<'a, S: Simd>(
        &mut self,
        simd: S,
        columns: usize,
        rows: impl ExactSizeIterator<Item = &'a [f32]> + Clone,
    ) {
        self.reshape(rows.len(), columns, Shape::of::<S>());
        for Place { columns, width, values } in self.places() {
            for (to, from) in self.values[values].chunks_exact_mut(width).zip(rows.clone()) {
                let from = from[columns.clone()].chunks(S::F32_LANES);
                for (to, from) in to.chunks_mut(S::F32_LANES).zip(from) {
                    store(simd, to, load::<S, 1>(simd, from));
                }
            }
        }
    }

    /// Takes on the transpose of a matrix of `rows` columns in row-major order.
    pub fn take_transposed(&mut self, matrix: &[f32], rows: usize) {
        self.reshape(rows, matrix.len() / rows, Shape::here());
        self.fill_transposed(matrix);
    }

    fn fill_transposed(&mut self, matrix: &[f32]) {
        let rows = self.rows;
        for Place { columns, width, values } in self.places() {
            let lines = &matrix[columns.start * rows..columns.end * rows];
            // A few rows at a time: both what is read and what is written stay
            // in the cache.
            for (to, from) in self.values[values].chunks_mut(BLOCK * width).zip((0..rows).step_by(BLOCK)) {
                for (column, line) in lines.chunks_exact(rows).enumerate() {
                    for (to, from) in to.chunks_exact_mut(width).zip(&line[from..]) {
                        to[column] = *from;
                    }
                }
            }
        }
    }

    /// Zeros, `rows` × `columns`.
    pub fn clear(&mut self, rows: usize, columns: usize) {
        self.reshape(rows, columns, Shape::here());
        self.values.fill(0.0);
    }

    /// Makes room, zero where it is new. What is taken on in the same place does
    /// not reach past the last column, where zeros stay.
    fn reshape(&mut self, rows: usize, columns: usize, shape: Shape) {
        let asked = (rows, columns, shape);
        if (self.rows, self.columns, self.shape) == asked {
            return;
        }
        (self.rows, self.columns, self.shape) = asked;
        let length = self.places().last().map_or(0, |last| last.values.end);
        self.values.clear(length);
    }

    /// Writes the matrix in row-major order.
    pub fn write_to(&self, matrix: &mut [f32]) {
        for Place { columns, width, values } in self.places() {
            for (to, from) in
                matrix.chunks_exact_mut(self.columns).zip(self.values[values].chunks_exact(width))
            {
                to[columns.clone()].copy_from_slice(&from[..columns.len()]);
            }
        }
    }

    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let &Panels { rows, columns, shape: Shape { lanes, vectors }, .. } = self;
        let width = lanes * vectors;
        (0..columns).step_by(width.max(1)).map(move |first| {
            let columns = first..columns.min(first + width);
            let width = columns.len().next_multiple_of(lanes);
            Place { values: first * rows..first * rows + width * rows, columns, width }
        })
    }
}

#[inline(always)]
fn vectors<S: Simd, const VECTORS: usize>(values: &[f32]) -> &[[S::f32s; VECTORS]] {
    S::as_simd_f32s(values).0.as_chunks::<VECTORS>().0
}

/// Two factors of a product; the left one rows × K, in row-major order.
#[derive(Clone, Copy)]
pub(crate) struct Factors<'a> {
    pub left: &'a [f32],
    pub right: &'a Panels,
}

/// What becomes of a product's sums before they are stored. Implementors must
/// inline this always: only so is it compiled for the instructions that were
/// chosen.
pub(crate) trait Finish {
    /// Changes the sums that are stored `at` there in the product, in row-major
    /// order; past the end of that they are zeros.
    fn finish<S: Simd, const VECTORS: usize>(&self, simd: S, at: Range<usize>, sums: &mut [S::f32s; VECTORS]);
}

/// Leaves sums as they are.
pub(crate) struct Sums;

impl Finish for Sums {
    #[inline(always)]
    fn finish<S: Simd, const VECTORS: usize>(&self, _: S, _: Range<usize>, _: &mut [S::f32s; VECTORS]) {}
}

/// Loads values, and zeros where there are fewer than the vectors hold.
#[inline(always)]
pub(crate) fn load<S: Simd, const VECTORS: usize>(simd: S, from: &[f32]) -> [S::f32s; VECTORS] {
    if let Some(whole) = S::as_simd_f32s(from).0.first_chunk() {
        return *whole;
    }
    let mut vectors = [simd.splat_f32s(0.0); VECTORS];
    for (vector, from) in vectors.iter_mut().zip(from.chunks(S::F32_LANES)) {
        *vector = simd.partial_load_f32s(from);
    }
    vectors
}

/// Stores as much of the vectors as there is room for.
#[inline(always)]
fn store<S: Simd, const VECTORS: usize>(simd: S, to: &mut [f32], vectors: [S::f32s; VECTORS]) {
    if let Some(whole) = S::as_mut_simd_f32s(to).0.first_chunk_mut() {
        *whole = vectors;
        return;
    }
    for (to, vector) in to.chunks_mut(S::F32_LANES).zip(vectors) {
        simd.partial_store_f32s(to, vector);
    }
}

/// Which columns are not zero in the blocks of a left factor.
#[derive(Default)]
pub(crate) struct Lists {
    /// Of one block after another.
    columns: Vec<u32>,
    ends: Vec<usize>,
    any: Vec<u32>,
}

impl Lists {
    /// Makes them for `left`, whose rows `order` holds once each, those that are
    /// alike next to each other.
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

    /// Whether all of the left factor is zero.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    #[inline(always)]
    fn clear(&mut self) {
        self.columns.clear();
        self.ends.clear();
    }

    /// Adds a list for `rows`, each of `columns` values. A value that is no
    /// number is not zero.
    #[inline(always)]
    fn push<'a>(&mut self, columns: usize, rows: impl Iterator<Item = &'a [f32]>) {
        self.any.clear();
        self.any.resize(columns, 0);
        for row in rows {
            for (any, value) in self.any.iter_mut().zip(row) {
                // Without the sign: -0 is zero as well.
                *any |= value.to_bits() << 1;
            }
        }
        // Without a branch, which could not be foreseen.
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

/// `out` (in row-major order) ← what `finish` makes of the sums of `sparse`, a
/// product whose left factor `lists` were made for in the same `order`, plus
/// those of `dense`.
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
            for place in right.places() {
                match (S::REGISTER_COUNT, place.width / S::F32_LANES) {
                    (32.., 1) => self.panel::<S, MANY, 1>(simd, index, block, right.columns, &place),
                    (32.., 2) => self.panel::<S, MANY, 2>(simd, index, block, right.columns, &place),
                    (32.., _) => self.panel::<S, MANY, VECTORS>(simd, index, block, right.columns, &place),
                    (_, 1) => self.panel::<S, FEW, 1>(simd, index, block, right.columns, &place),
                    (_, 2) => self.panel::<S, FEW, 2>(simd, index, block, right.columns, &place),
                    (_, _) => self.panel::<S, FEW, VECTORS>(simd, index, block, right.columns, &place),
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
        place: &Place,
    ) {
        // The factors' panels differ in their rows, and so in where they lie.
        let (first, width) = (place.columns.start, place.width);
        let panel = |right: &'_ Panels| first * right.rows..(first + width) * right.rows;
        for part in block.chunks(ROWS) {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
            if let Some((Factors { left, right }, lists)) = self.sparse {
                let panel = vectors::<S, VECTORS>(&right.values[panel(right)]);
                let rows = some_rows::<ROWS>(left, right.rows, part);
                sums = add_listed(simd, sums, rows, lists.get(index), panel);
            }
            if let Some(Factors { left, right }) = self.dense {
                let panel = vectors::<S, VECTORS>(&right.values[panel(right)]);
                let rows = some_rows::<ROWS>(left, right.rows, part);
                sums = add_all(simd, sums, rows, panel);
            }
            for (&row, mut sums) in part.iter().zip(sums) {
                let start = row as usize * columns;
                let at = start + place.columns.start..start + place.columns.end;
                self.finish.finish(simd, at.clone(), &mut sums);
                store(simd, &mut self.out[at], sums);
            }
        }
    }
}

/// The rows of a part of a block; the last one again where there are fewer.
#[inline(always)]
fn some_rows<'a, const ROWS: usize>(left: &'a [f32], columns: usize, part: &[u32]) -> [&'a [f32]; ROWS] {
    let mut rows = [Default::default(); ROWS];
    for (r, to) in rows.iter_mut().enumerate() {
        let row = part[r.min(part.len() - 1)] as usize;
        *to = &left[row * columns..][..columns];
    }
    rows
}

/// `sums` plus the products of the listed columns of `rows` with those rows of
/// a panel.
#[inline(always)]
#[expect(unsafe_code, reason = "eight checks in the innermost loop cost a third of its time")]
fn add_listed<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    mut sums: [[S::f32s; VECTORS]; ROWS],
    rows: [&[f32]; ROWS],
    list: &[u32],
    panel: &[[S::f32s; VECTORS]],
) -> [[S::f32s; VECTORS]; ROWS] {
    // Lists ascend.
    let end = list.last().map_or(0, |&last| last as usize + 1);
    assert!(panel.len() >= end && rows.iter().all(|row| row.len() >= end));
    debug_assert!(list.is_sorted());
    for &k in list {
        let k = k as usize;
        // SAFETY: k is at most the last of the list, which was checked above.
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

/// Room that [`add_outer`] works in.
#[derive(Default)]
pub(crate) struct Room {
    right: Panels,
    lists: Lists,
}

/// Adds Σ leftᵀ·right over pairs of a left (rows × M) and a right factor (rows ×
/// N), both in row-major order, to `sum` (M × N). `order` as for [`product`].
pub(crate) fn add_outer(
    sum: &mut Panels,
    lefts: &[&[f32]],
    rights: &[&[f32]],
    order: &[u32],
    room: &mut Room,
) {
    Arch::new().dispatch(Outer { sum, lefts, rights, order, room });
}

struct Outer<'a> {
    sum: &'a mut Panels,
    lefts: &'a [&'a [f32]],
    rights: &'a [&'a [f32]],
    order: &'a [u32],
    room: &'a mut Room,
}

impl<'a> WithSimd for Outer<'a> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Outer { sum, lefts, rights, order, room: Room { right, lists } } = self;
        let (m, n) = (sum.rows, sum.columns);
        for group in order.chunks(group(m * n)) {
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
                for (place, from) in sum.places().zip(right.places()) {
                    let (sum, right) = (&mut sum.values[place.values], &right.values[from.values]);
                    match (many, place.width / S::F32_LANES) {
                        (true, 1) => add_rows::<S, MANY, 1>(simd, sum, list, &rows, right),
                        (true, 2) => add_rows::<S, MANY, 2>(simd, sum, list, &rows, right),
                        (true, _) => add_rows::<S, MANY, VECTORS>(simd, sum, list, &rows, right),
                        (false, 1) => add_rows::<S, FEW, 1>(simd, sum, list, &rows, right),
                        (false, 2) => add_rows::<S, FEW, 2>(simd, sum, list, &rows, right),
                        (false, _) => add_rows::<S, FEW, VECTORS>(simd, sum, list, &rows, right),
                    }
                }
            }
        }
    }
}

/// Adds the products of some columns of `rows` with the rows of a panel to those
/// rows of a panel of the sum.
#[inline(always)]
fn add_rows<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    sum: &mut [f32],
    places: &[u32],
    rows: &[&[f32]],
    panel: &[f32],
) {
    let panel = vectors::<S, VECTORS>(panel);
    let (sum, _) = S::as_mut_simd_f32s(sum).0.as_chunks_mut::<VECTORS>();
    let columns = sum.len();
    // The last again where there are fewer.
    let mut at = [0; ROWS];
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (r, (at, sums)) in at.iter_mut().zip(&mut sums).enumerate() {
        *at = places[r.min(places.len() - 1)] as usize;
        *sums = sum[*at];
    }
    for (row, right) in rows.iter().zip(panel) {
        let row = &row[..columns];
        for (sums, place) in sums.iter_mut().zip(at) {
            let left = simd.splat_f32s(row[place]);
            for (sum, &right) in sums.iter_mut().zip(right) {
                *sum = simd.mul_add_e_f32s(left, right, *sum);
            }
        }
    }
    for (place, sums) in at.into_iter().zip(sums).take(places.len()) {
        sum[place] = sums;
    }
}

#[cfg(test)]
mod tests {
    use pallium_core::random::{self, Stream};
    use rand::Rng;
    use rand::seq::SliceRandom;

    use super::*;

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

    /// Rows of which a share of columns is zero in eight after each other, and
    /// some more of each, some of them -0.
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

    /// left·right in double precision, left given as row and column to value.
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

    /// Both products with the instructions of `simd`.
    fn check<S: Simd>(simd: S) {
        let mut stream = random::stream(3, "sparse products");
        for size @ (rows, depth, columns) in SIZES {
            let (left, other) = (matrix(rows, depth, &mut stream), matrix(rows, 9, &mut stream));
            let right: Vec<f32> = (0..depth * columns).map(|_| stream.random_range(-1.0..1.0)).collect();
            let drive: Vec<f32> = (0..9 * columns).map(|_| stream.random_range(-1.0..1.0)).collect();
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.shuffle(&mut stream);

            let shape = Shape::of::<S>();
            let (mut plain, mut turned, mut added) = <(Panels, Panels, Panels)>::default();
            plain.fill(simd, columns, right.chunks_exact(columns));
            let transposed: Vec<f32> =
                (0..columns * depth).map(|i| right[i % depth * columns + i / depth]).collect();
            turned.reshape(depth, columns, shape);
            turned.fill_transposed(&transposed);
            assert_eq!(*plain.values, *turned.values);
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
                room: &mut Room::default(),
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
    fn products_are_those_of_double_precision() {
        check(pulp::Scalar);
        #[cfg(target_arch = "x86_64")]
        {
            pulp::x86::V3::try_new().into_iter().for_each(check);
            pulp::x86::V4::try_new().into_iter().for_each(check);
        }
        #[cfg(target_arch = "aarch64")]
        pulp::aarch64::Neon::try_new().into_iter().for_each(check);
    }

    /// What is left out are additions of zero, so the bits do not depend on which
    /// rows share a block.
    #[test]
    fn rows_do_not_depend_on_their_neighbours() {
        let (rows, n) = (40, 55);
        let mut stream = random::stream(4, "sparse products");
        let (left, right) = (matrix(rows, n, &mut stream), matrix(n, n, &mut stream));
        let mut panels = Panels::default();
        panels.take(&right, n);
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
    fn nan_is_not_taken_for_silence() {
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
        panels.take(&vec![1.0; n * n], n);
        let mut out = vec![0.0; rows * n];
        let sparse = Some((Factors { left: &left, right: &panels }, &lists));
        product(&mut out, sparse, None, &order, &Sums);
        assert!(out[3 * n..4 * n].iter().all(|x| x.is_nan()));
        assert!(out[8 * n..].iter().all(|x| *x == f32::INFINITY));
        assert!(out[..3 * n].iter().all(|x| *x == 0.0));
    }
}
