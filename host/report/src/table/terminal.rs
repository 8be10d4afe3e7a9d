//! Tables for a terminal: columns without lines; numbers are aligned right. Cells of
//! long rows wrap on a terminal, or to the width in `COLUMNS`. Elsewhere each row is
//! one line, for other programs.

use std::fmt;

use console::{Term, measure_text_width};

use super::Table;

/// Between columns.
const GAP: usize = 2;
/// No column gets narrower than this.
const NARROWEST: usize = 8;

/// A table with its title and caption.
pub fn terminal(table: &Table) -> String {
    let mut text = TextTable::new(table.columns.iter().map(|c| c.title.as_str()));
    for row in &table.rows {
        text.add_row(row.iter().map(|cell| cell.text.as_str()));
    }
    let caption = if table.caption.is_empty() { String::new() } else { format!("{}\n", table.caption) };
    format!("{}\n{text}\n{caption}", table.title)
}

/// Rows of text under a header.
pub struct TextTable {
    /// The header first.
    rows: Vec<Vec<String>>,
    /// Width of the terminal; `None` if rows must not wrap.
    room: Option<usize>,
}

impl TextTable {
    /// A table without rows for standard output.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        let terminal = Term::stdout();
        let named = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let size = || terminal.size_checked().filter(|_| terminal.is_term()).map(|size| size.1.into());
        // A terminal that does not know its width reports 0.
        let room = named.or_else(size).filter(|room| *room > 0);
        TextTable { rows: vec![header.into_iter().map(Into::into).collect()], room }
    }

    /// Wraps at `width` columns where no other width is known.
    #[must_use]
    pub fn within(mut self, width: usize) -> Self {
        self.room.get_or_insert(width);
        self
    }

    /// Adds a row.
    pub fn add_row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The widths of the columns.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.flat_map(|cell| cell.lines()).map(measure_text_width).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(widest).collect();
        let Some(room) = self.room else { return widths };
        // Shrink the widest columns first.
        while widths.iter().sum::<usize>() + GAP * columns.saturating_sub(1) > room {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }

    /// Whether a column holds only numbers. The first column holds names.
    fn numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column)).filter(|c| !c.is_empty());
        let number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || "-−+±–<".contains(c));
        column > 0 && cells.clone().next().is_some() && cells.all(number)
    }
}

impl fmt::Display for TextTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let numeric: Vec<bool> = (0..widths.len()).map(|column| self.numeric(column)).collect();
        let mut lines = Vec::new();
        for row in &self.rows {
            let cells: Vec<Vec<String>> =
                row.iter().zip(&widths).map(|(cell, width)| wrapped(cell, *width)).collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
                let mut text = String::new();
                for (column, cell) in cells.iter().enumerate() {
                    let part = cell.get(line).map_or("", String::as_str);
                    let fill = " ".repeat(widths[column].saturating_sub(measure_text_width(part)));
                    let parts = if numeric[column] { [&fill, part] } else { [part, &fill] };
                    text.extend(parts);
                    text.push_str(&" ".repeat(GAP));
                }
                lines.push(text.trim_end().to_owned());
            }
        }
        write!(f, "{}", lines.join("\n"))
    }
}

/// Lines of at most `width`, broken between words where that is possible.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut end = |line: &mut String| lines.push(std::mem::take(line).trim_end().to_owned());
        for word in paragraph.split_inclusive(' ') {
            if !line.is_empty() && measure_text_width(&line) + measure_text_width(word.trim_end()) > width {
                end(&mut line);
            }
            for c in word.chars() {
                if c != ' ' && measure_text_width(&line) >= width.max(1) {
                    end(&mut line);
                }
                line.push(c);
            }
        }
        end(&mut line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(room: Option<usize>) -> String {
        let mut table = TextTable { rows: Vec::new(), room };
        table.add_row(["variant", "accuracy", "what it is"]);
        table.add_row(["W*D", "0.5 ± 0.1", "a long sentence of many words"]);
        table.add_row(["λ", "–", ""]);
        table.to_string()
    }

    #[test]
    fn columns_are_aligned_and_rows_are_lines() {
        assert_eq!(
            table(None),
            "variant   accuracy  what it is\n\
             W*D      0.5 ± 0.1  a long sentence of many words\n\
             λ                –"
        );
    }

    #[test]
    fn long_cells_wrap_on_a_terminal() {
        assert_eq!(
            table(Some(35)),
            "variant   accuracy  what it is\n\
             W*D      0.5 ± 0.1  a long sentence\n\
             \x20                   of many words\n\
             λ                –"
        );
        assert_eq!(wrapped("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
