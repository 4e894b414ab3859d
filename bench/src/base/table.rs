//! Tables as text or markdown.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A table whose first column is text and whose others are numbers.
fn render(header: Vec<String>, rows: Vec<Vec<String>>, markdown: bool) -> String {
    let mut table = Table::new();
    table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING });
    table.set_content_arrangement(ContentArrangement::Disabled);
    let columns = header.len();
    table.set_header(header);
    table.add_rows(rows);
    for column in 1..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A line of its own, as above a table, and an empty one.
pub(crate) fn title(text: &str, markdown: bool) -> String {
    if markdown { format!("**{text}**\n\n") } else { format!("{text}\n\n") }
}

/// A table below its title, and an empty line.
pub(crate) fn section(text: &str, header: Vec<String>, rows: Vec<Vec<String>>, markdown: bool) -> String {
    format!("{}{}\n", title(text, markdown), render(header, rows, markdown))
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([number(1.234), number(12.34), number(1234.4)], ["1.23", "12.3", "1234"]);
    }

    #[test]
    fn markdown_is_aligned() {
        let cells = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        let section = section("time", cells(["", "pair"]), vec![cells(["talc", "1.0"])], true);
        let table = section.strip_prefix("**time**\n\n").unwrap().strip_suffix("\n").unwrap();
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.lines().all(|line| line.starts_with('|') && line.ends_with('|')), "{table}");
        assert!(table.contains("| talc |"), "{table}");
    }
}
