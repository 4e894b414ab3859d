//! Tables as text or markdown, and what stands in their cells.

use comfy_table::{CellAlignment, ContentArrangement, Row, presets};
use std::fmt;

/// A table below its title. The first column is text, the others are numbers.
pub(crate) struct Table {
    title: String,
    table: comfy_table::Table,
}

impl Table {
    pub(crate) fn new(title: &str, columns: impl IntoIterator<Item = impl ToString>, markdown: bool) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(if markdown { presets::ASCII_MARKDOWN } else { presets::NOTHING });
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(row("", columns));
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        Self { title: self::title(title, markdown), table }
    }

    pub(crate) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = impl ToString>) {
        self.table.add_row(row(name, cells));
    }
}

fn row(name: &str, cells: impl IntoIterator<Item = impl ToString>) -> Row {
    Row::from([name.to_owned()].into_iter().chain(cells.into_iter().map(|cell| cell.to_string())))
}

impl fmt::Display for Table {
    /// Ends with an empty line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        self.table.lines().try_for_each(|line| writeln!(f, "{}", line.trim_end()))?;
        writeln!(f)
    }
}

/// A line of its own, as above a table, and an empty one.
pub(crate) fn title(text: &str, markdown: bool) -> String {
    if markdown { format!("**{text}**\n\n") } else { format!("{text}\n\n") }
}

/// Three digits that count; a dash for what is not a number.
pub(crate) fn number(value: f64) -> String {
    match value {
        _ if value.is_nan() => "-".to_owned(),
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The same, or a dash where there is none.
pub(crate) fn cell(value: Option<f64>) -> String {
    number(value.unwrap_or(f64::NAN))
}

/// Bytes in MiB, to three digits.
pub(crate) fn mib(bytes: u64) -> String {
    number(bytes as f64 / f64::from(1 << 20))
}

/// Nanoseconds in µs, to three digits.
pub(crate) fn microseconds(nanoseconds: u32) -> String {
    number(f64::from(nanoseconds) / 1e3)
}

/// A whole number of MiB or GiB.
pub(crate) fn size(bytes: u64) -> String {
    if bytes >= 1 << 30 { format!("{} GiB", bytes >> 30) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([1.234, 12.34, 1234.4, f64::NAN].map(number), ["1.23", "12.3", "1234", "-"]);
        assert_eq!([0, 1 << 20, 300_000_000].map(mib), ["0.00", "1.00", "286"]);
        assert_eq!([size(4 << 20), size(16 << 30), microseconds(1500)], ["4 MiB", "16 GiB", "1.50"]);
    }

    #[test]
    fn markdown_is_aligned() {
        let mut table = Table::new("time", ["pair"], true);
        table.row("talc", [1.5]);
        let text = table.to_string();
        let table = text.strip_prefix("**time**\n\n").unwrap().strip_suffix("\n").unwrap();
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.lines().all(|line| line.starts_with('|') && line.ends_with('|')), "{table}");
        assert!(table.contains("| talc |"), "{table}");
    }
}
