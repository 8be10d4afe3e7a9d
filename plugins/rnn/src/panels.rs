//! Matrices stored in panels of columns, the layout of right factors in
//! [`crate::sparse`]: a row of a panel fits in vector registers.

use std::ops::{Deref, DerefMut, Range};

use pulp::{Arch, Simd, WithSimd};

/// Maximum number of vectors in a row of a panel, with 32 registers: the sums of
/// 8 rows, a panel's row and a value of the left factor fill 28 of them.
pub(crate) const VECTORS: usize = 3;

/// The same with fewer registers: with the sums of 4 rows, 11 of 16 are filled.
/// With 3 vectors it would be all 16, and the compiler would keep some sums in
/// memory (half the speed).
pub(crate) const FEW_VECTORS: usize = 2;

/// Rows that [`Panels::fill_transposed`] copies at a time.
const ROWS: usize = 8;

/// The size of a panel's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    lanes: usize,
    vectors: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { lanes: 1, vectors: VECTORS }
    }
}

impl Shape {
    pub fn new<S: Simd>() -> Shape {
        let vectors = if S::REGISTER_COUNT < 32 { FEW_VECTORS } else { VECTORS };
        Shape { lanes: S::F32_LANES, vectors }
    }

    /// The shape for this machine's instructions.
    fn detect() -> Shape {
        struct Detect;
        impl WithSimd for Detect {
            type Output = Shape;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> Shape {
                Shape::new::<S>()
            }
        }
        Arch::new().dispatch(Detect)
    }
}

/// Values that start at a cache line: a vector that crosses two lines is loaded
/// twice.
#[derive(Default)]
pub(crate) struct Aligned {
    values: Vec<f32>,
    start: usize,
}

impl Aligned {
    /// Sets the contents to `length` zeros.
    fn clear(&mut self, length: usize) {
        const LINE: usize = 64;
        self.values.clear();
        self.values.resize(length + LINE / size_of::<f32>(), 0.0);
        // `align_offset` may return usize::MAX; the padding must still suffice.
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

/// A matrix stored panel by panel; within a panel, row by row. A panel is
/// [`VECTORS`] or [`FEW_VECTORS`] vectors wide, the last one only as wide as it
/// needs to be, with zeros past the last column.
#[derive(Default)]
pub(crate) struct Panels {
    pub rows: usize,
    pub columns: usize,
    shape: Shape,
    pub values: Aligned,
}

/// One panel: its columns in the matrix, its stored width, and its range in
/// [`Panels::values`].
pub(crate) struct Panel {
    pub columns: Range<usize>,
    pub width: usize,
    pub values: Range<usize>,
}

impl Panels {
    /// Copies a row-major matrix of `columns` columns.
    pub fn copy_from(&mut self, matrix: &[f32], columns: usize) {
        struct Copy<'a>(&'a mut Panels, &'a [f32], usize);
        impl WithSimd for Copy<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Copy(panels, matrix, columns) = self;
                panels.fill(simd, columns, matrix.chunks_exact(columns));
            }
        }
        Arch::new().dispatch(Copy(self, matrix, columns));
    }

    /// Copies rows of `columns` values vector by vector: a call of memcpy for
    /// each part of a row takes longer than the copy itself.
    #[inline(always)]
    pub fn fill<'a, S: Simd>(
        &mut self,
        simd: S,
        columns: usize,
        rows: impl ExactSizeIterator<Item = &'a [f32]> + Clone,
    ) {
        self.reshape(rows.len(), columns, Shape::new::<S>());
        for Panel { columns, width, values } in self.panels() {
            for (to, from) in self.values[values].chunks_exact_mut(width).zip(rows.clone()) {
                let from = from[columns.clone()].chunks(S::F32_LANES);
                for (to, from) in to.chunks_mut(S::F32_LANES).zip(from) {
                    store(simd, to, load::<S, 1>(simd, from));
                }
            }
        }
    }

    /// Copies the transpose of a row-major matrix of `rows` columns.
    pub fn copy_from_transposed(&mut self, matrix: &[f32], rows: usize) {
        self.reshape(rows, matrix.len() / rows, Shape::detect());
        self.fill_transposed(matrix);
    }

    pub fn fill_transposed(&mut self, matrix: &[f32]) {
        let rows = self.rows;
        for Panel { columns, width, values } in self.panels() {
            let lines = &matrix[columns.start * rows..columns.end * rows];
            // A few rows at a time, so that source and target stay in the cache.
            for (to, from) in self.values[values].chunks_mut(ROWS * width).zip((0..rows).step_by(ROWS)) {
                for (column, line) in lines.chunks_exact(rows).enumerate() {
                    for (to, from) in to.chunks_exact_mut(width).zip(&line[from..]) {
                        to[column] = *from;
                    }
                }
            }
        }
    }

    /// Becomes a matrix of zeros, `rows` × `columns`.
    pub fn clear(&mut self, rows: usize, columns: usize) {
        self.reshape(rows, columns, Shape::detect());
        self.values.fill(0.0);
    }

    /// Changes the size; new values are 0. With an unchanged size, the padding
    /// past the last column stays 0 because copies do not write to it.
    pub fn reshape(&mut self, rows: usize, columns: usize, shape: Shape) {
        let size = (rows, columns, shape);
        if (self.rows, self.columns, self.shape) == size {
            return;
        }
        (self.rows, self.columns, self.shape) = size;
        let length = self.panels().last().map_or(0, |last| last.values.end);
        self.values.clear(length);
    }

    /// Writes the matrix in row-major order.
    pub fn write_to(&self, matrix: &mut [f32]) {
        for Panel { columns, width, values } in self.panels() {
            for (to, from) in
                matrix.chunks_exact_mut(self.columns).zip(self.values[values].chunks_exact(width))
            {
                to[columns.clone()].copy_from_slice(&from[..columns.len()]);
            }
        }
    }

    pub fn panels(&self) -> impl Iterator<Item = Panel> + use<> {
        let &Panels { rows, columns, shape: Shape { lanes, vectors }, .. } = self;
        let width = lanes * vectors;
        (0..columns).step_by(width.max(1)).map(move |first| {
            let columns = first..columns.min(first + width);
            let width = columns.len().next_multiple_of(lanes);
            Panel { values: first * rows..first * rows + width * rows, columns, width }
        })
    }
}

/// The rows of a panel as vectors.
#[inline(always)]
pub(crate) fn vectors<S: Simd, const VECTORS: usize>(values: &[f32]) -> &[[S::f32s; VECTORS]] {
    S::as_simd_f32s(values).0.as_chunks::<VECTORS>().0
}

/// Loads `VECTORS` vectors, padded with zeros if there are fewer values.
#[inline(always)]
pub(crate) fn load<S: Simd, const VECTORS: usize>(simd: S, from: &[f32]) -> [S::f32s; VECTORS] {
    if let Some(full) = S::as_simd_f32s(from).0.first_chunk() {
        return *full;
    }
    let mut vectors = [simd.splat_f32s(0.0); VECTORS];
    for (vector, from) in vectors.iter_mut().zip(from.chunks(S::F32_LANES)) {
        *vector = simd.partial_load_f32s(from);
    }
    vectors
}

/// Stores as many values of the vectors as `to` holds.
#[inline(always)]
pub(crate) fn store<S: Simd, const VECTORS: usize>(simd: S, to: &mut [f32], vectors: [S::f32s; VECTORS]) {
    if let Some(full) = S::as_mut_simd_f32s(to).0.first_chunk_mut() {
        *full = vectors;
        return;
    }
    for (to, vector) in to.chunks_mut(S::F32_LANES).zip(vectors) {
        simd.partial_store_f32s(to, vector);
    }
}
