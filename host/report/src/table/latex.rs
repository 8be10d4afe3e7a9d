//! Tables as LaTeX, with the rules of `booktabs`.

use super::Table;

/// A `table` environment.
pub fn latex(table: &Table) -> String {
    let layout: String = table.columns.iter().map(|c| if c.numeric { 'r' } else { 'l' }).collect();
    let line = |cells: &mut dyn Iterator<Item = String>| {
        format!("  {} \\\\\n", cells.collect::<Vec<_>>().join(" & "))
    };
    let mut text = String::from("\\begin{table}\n  \\centering\n");
    let caption = match table.caption.as_str() {
        "" => escape(&table.title),
        caption => format!("{}. {}", escape(&table.title), escape(caption)),
    };
    text += &format!("  \\caption{{{caption}}}\n  \\label{{tab:{}}}\n", table.id);
    text += &format!("  \\begin{{tabular}}{{{layout}}}\n  \\toprule\n");
    text += &line(&mut table.columns.iter().map(|c| escape(&c.title)));
    text += "  \\midrule\n";
    for row in &table.rows {
        text += &line(&mut row.iter().zip(&table.columns).map(|(cell, column)| match column.numeric {
            true => number(&cell.text),
            false => escape(&cell.text),
        }));
    }
    text += "  \\bottomrule\n  \\end{tabular}\n\\end{table}\n";
    text
}

/// Numbers are set in math mode, for their minus signs; other text in a column of
/// numbers stays text.
fn number(text: &str) -> String {
    let plain =
        |c: char| c.is_ascii_digit() || matches!(c, '.' | '−' | '±' | '+' | '<' | ' ' | '[' | ']' | ',');
    if text.is_empty() || !text.chars().all(plain) {
        return escape(text);
    }
    format!("${}$", text.replace('−', "-").replace('±', "\\pm"))
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("$<$"),
            '>' => escaped.push_str("$>$"),
            '−' => escaped.push_str("$-$"),
            '±' => escaped.push_str("$\\pm$"),
            '×' => escaped.push_str("$\\times$"),
            '≠' => escaped.push_str("$\\neq$"),
            '≥' => escaped.push_str("$\\geq$"),
            '≤' => escaped.push_str("$\\leq$"),
            'δ' => escaped.push_str("$\\delta$"),
            'ρ' => escaped.push_str("$\\rho$"),
            'λ' => escaped.push_str("$\\lambda$"),
            'σ' => escaped.push_str("$\\sigma$"),
            'χ' => escaped.push_str("$\\chi$"),
            'µ' => escaped.push_str("$\\mu$"),
            '–' => escaped.push_str("--"),
            '…' => escaped.push_str("\\dots{}"),
            '⁻' => escaped.push_str("$^{-}$"),
            '²' => escaped.push_str("$^{2}$"),
            '⁸' => escaped.push_str("$^{8}$"),
            '\n' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped.replace(" \\%", "~\\%")
}
