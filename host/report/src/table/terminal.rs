//! Tables for a terminal.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table as Drawn, presets};

use super::Table;

/// A table with its title and caption.
pub fn terminal(table: &Table) -> String {
    let mut drawn = Drawn::new();
    drawn.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    drawn.set_header(table.columns.iter().map(|c| &c.title));
    for row in &table.rows {
        drawn.add_row(row.iter().zip(&table.columns).map(|(cell, column)| {
            let align = if column.numeric { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(&cell.text).set_alignment(align)
        }));
    }
    let caption = if table.caption.is_empty() { String::new() } else { format!("\n{}", table.caption) };
    format!("{}\n{drawn}{caption}\n", table.title)
}
