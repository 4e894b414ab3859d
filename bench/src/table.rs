//! A table of numbers and their ratios to each column's best, as text or markdown.

/// Rows are allocators, columns workloads. A missing number prints as a dash.
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<(String, Vec<Option<f64>>)>,
    /// Whether the ratio is printed beside the number.
    pub(crate) ratios: bool,
}

impl Table {
    pub(crate) fn text(&self) -> String {
        let lines = self.cells();
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let padded = line.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("  {cell:>width$}"),
            });
            text.extend(padded);
            text.push('\n');
        }
        text
    }

    pub(crate) fn markdown(&self) -> String {
        let mut lines = self.cells();
        let rule = (0..=self.columns.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned());
        lines.insert(1, rule.collect());
        lines.iter().map(|line| format!("| {} |\n", line.join(" | "))).collect()
    }

    fn best(&self, column: usize) -> f64 {
        self.rows.iter().filter_map(|(_, cells)| cells[column]).fold(f64::INFINITY, f64::min)
    }

    /// The header line, then a line for each allocator.
    fn cells(&self) -> Vec<Vec<String>> {
        let header = [String::new()].into_iter().chain(self.columns.iter().cloned());
        let mut lines = vec![header.collect::<Vec<_>>()];
        for (name, cells) in &self.rows {
            let cells = cells.iter().enumerate().map(|(column, cell)| match cell {
                None => "-".to_owned(),
                Some(value) if self.ratios => format!("{} ({:.2})", number(*value), value / self.best(column)),
                Some(value) => number(*value),
            });
            lines.push([name.clone()].into_iter().chain(cells).collect());
        }
        lines
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
