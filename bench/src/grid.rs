//! Cells of text in aligned columns.

/// Lines of cells, the first line being the header. The first column is aligned to the left, the others to the right.
pub(crate) fn text(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            match column {
                0 => text.push_str(&format!("{cell:width$}")),
                _ => text.push_str(&format!("  {cell:>width$}")),
            }
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = [["", "size"], ["hmalloc", "12"]].map(|line| line.map(str::to_owned).to_vec());
        assert_eq!(super::text(&lines), "         size\nhmalloc    12\n");
    }
}
