//! Cells that two tables do not both know. Root ids change between versions of the
//! segmentation, so tables of different versions share few of them: their fields lack
//! synapses without an error.

use std::path::Path;

/// Rows of a table of pairs, and those that name cells that are not in the table of units.
#[derive(Default)]
pub(super) struct Unmatched {
    rows: u64,
    unknown: u64,
    example: Option<i64>,
}

impl Unmatched {
    /// Counts a row, which may name an id that is unknown.
    pub(super) fn row(&mut self, unknown: Option<i64>) {
        self.rows += 1;
        if let Some(id) = unknown {
            self.unknown += 1;
            self.example.get_or_insert(id);
        }
    }

    /// A remark if some of `cells` occur in no row, such as one with the root id `absent.1`,
    /// while rows name unknown cells.
    ///
    /// Either alone is usual: rows of a whole volume name many other cells, and in a table
    /// of the rows between these cells alone, some have none.
    pub(super) fn remark(&self, cells: usize, absent: (usize, Option<i64>), path: &Path) -> Option<String> {
        let ((absent, Some(cell)), Some(other)) = (absent, self.example) else { return None };
        let share = |part: f64, all: f64| format!("{:.0} %", 100.0 * part / all);
        Some(format!(
            "{absent} of {cells} cells ({}) occur in no row of {}, such as {cell}, and {} of its {} rows ({}) name cells \
             that are not in the table of units, such as {other}. If the two tables are of different \
             materialization versions, export both at the same version: root ids change between versions",
            share(absent as f64, cells as f64),
            path.file_name().unwrap_or_default().to_string_lossy(),
            self.unknown,
            self.rows,
            share(self.unknown as f64, self.rows as f64)
        ))
    }
}
