//! Tables as Markdown.

use super::Table;

/// A table with its title and caption, in GitHub's Markdown.
pub fn markdown(table: &Table) -> String {
    let line =
        |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut text = format!("### {}\n\n", table.title);
    text += &line(&mut table.columns.iter().map(|c| escape(&c.title)));
    text += &line(&mut table.columns.iter().map(|c| if c.numeric { "---:" } else { "---" }.to_owned()));
    for row in &table.rows {
        text += &line(&mut row.iter().map(|cell| escape(&cell.text)));
    }
    if !table.caption.is_empty() {
        text += &format!("\n{}\n", escape(&table.caption));
    }
    text
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if matches!(c, '|' | '*' | '_' | '<' | '&' | '$' | '`' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped.replace('\n', " ")
}
