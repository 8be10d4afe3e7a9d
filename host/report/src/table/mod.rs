//! Tables, written as HTML, Markdown, LaTeX or text.

mod latex;
mod markdown;
mod terminal;

pub use latex::latex;
pub use markdown::markdown;
pub use terminal::{TextTable, terminal};

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// A name for links and files.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What its numbers are.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows, each as long as `columns`.
    pub rows: Vec<Vec<TableCell>>,
}

/// A column's header.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// Whether it holds numbers.
    pub numeric: bool,
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableCell {
    /// Its text.
    pub text: String,
    /// The key it is sorted by, if not its text.
    pub sort: Option<f64>,
    /// The numbers that its text consists of, each with the words that are added to
    /// the column's title for it; if empty, `sort` is the only one. CSV files have a
    /// column for each.
    pub parts: Vec<(&'static str, f64)>,
    /// A note, shown under the pointer.
    pub note: String,
    /// How it is displayed.
    pub emphasis: Emphasis,
}

/// How a table cell is displayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emphasis {
    /// Normal text.
    #[default]
    Plain,
    /// In a variant's colour, by the variant's index.
    Variant(usize),
    /// Agreement.
    Good,
    /// Disagreement.
    Bad,
    /// Less important.
    Faint,
}

impl Table {
    /// An empty table.
    pub fn new(id: impl Into<String>, title: impl Into<String>, caption: impl Into<String>) -> Self {
        Table { id: id.into(), title: title.into(), caption: caption.into(), ..Table::default() }
    }

    /// With these columns. A title that begins with `#` marks a column of numbers.
    #[must_use]
    pub fn columns<S: AsRef<str>>(mut self, titles: impl IntoIterator<Item = S>) -> Self {
        self.columns.extend(titles.into_iter().map(|title| {
            let title = title.as_ref();
            let name = title.strip_prefix('#');
            Column { title: name.unwrap_or(title).into(), numeric: name.is_some() }
        }));
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<TableCell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{}", self.id);
        self.rows.push(cells);
    }
}

impl TableCell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        TableCell { text: text.into(), ..TableCell::default() }
    }

    /// A number, written as `text`.
    pub fn number(value: impl Into<Option<f64>>, text: impl Into<String>) -> Self {
        TableCell { text: text.into(), sort: value.into().filter(|v| v.is_finite()), ..TableCell::default() }
    }

    /// A number with an interval, written as `text`.
    pub fn interval(value: Option<f64>, ends: Option<(f64, f64)>, text: impl Into<String>) -> Self {
        let ends = ends.map_or([None, None], |(low, high)| [Some(low), Some(high)]);
        let parts = [("", value), ("low", ends[0]), ("high", ends[1])];
        let parts = parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        TableCell { parts, ..TableCell::number(value, text) }
    }

    /// An interval, written as `text` and sorted by its width.
    pub fn ends(ends: Option<(f64, f64)>, text: impl Into<String>) -> Self {
        let half = ends.map(|(low, high)| (high - low) / 2.0);
        TableCell { parts: Self::interval(None, ends, "").parts, ..TableCell::number(half, text) }
    }

    /// With a further number in its text.
    #[must_use]
    pub fn part(mut self, name: &'static str, value: f64) -> Self {
        self.parts.push((name, value));
        self
    }

    /// With a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// With an emphasis.
    #[must_use]
    pub fn emphasis(mut self, emphasis: Emphasis) -> Self {
        self.emphasis = emphasis;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn example() -> Table {
        let mut table =
            Table::new("t", "Accuracy & more", "Mean; 100 %").columns(["variant", "#mean", "verdict"]);
        table.row(vec![
            TableCell::text("W*D_C").emphasis(Emphasis::Variant(0)),
            TableCell::number(0.5, "0.500 ± 0.010"),
            TableCell::text("same").emphasis(Emphasis::Good),
        ]);
        table.row(vec![TableCell::text("a|b"), TableCell::number(-0.5, "−0.500"), TableCell::text("")]);
        table
    }

    #[test]
    fn columns_of_numbers_are_marked() {
        let table = example();
        assert!(table.columns[1].numeric && !table.columns[2].numeric);
        assert_eq!(table.columns[1].title, "mean");
        assert_eq!(TableCell::number(f64::NAN, "–").sort, None);
    }

    #[test]
    fn markdown_is_a_table() {
        let text = markdown(&example());
        assert!(text.contains("| variant | mean | verdict |\n| --- | ---: | --- |\n"), "{text}");
        assert!(text.contains("| W\\*D\\_C | 0.500 ± 0.010 | same |"), "{text}");
        assert!(text.contains("a\\|b"), "{text}");
    }

    #[test]
    fn latex_is_escaped() {
        let text = latex(&example());
        assert!(text.contains("\\caption{Accuracy \\& more. Mean; 100~\\%}"), "{text}");
        assert!(
            text.contains("$W^{*}D_C$") || text.contains("W*D\\_C & $0.500 \\pm 0.010$ & same \\\\"),
            "{text}"
        );
        assert!(text.contains("$-0.500$"), "{text}");
        assert!(text.contains("\\begin{tabular}{lrl}"), "{text}");
    }

    #[test]
    fn terminals_get_lines() {
        let text = terminal(&example());
        assert!(text.lines().count() >= 4 && text.contains("0.500 ± 0.010"), "{text}");
    }
}
