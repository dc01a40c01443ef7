//! Tables as kubectl prints them: columns to the left, three spaces apart, no borders.

use super::{BOLD, harmless};
use anstyle::Style;

/// Rows of cells under headers.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One cell. Text from the cluster cannot carry control characters into the terminal.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn styled(text: impl AsRef<str>, style: Style) -> Cell {
        Cell { text: harmless(text.as_ref()).replace(['\n', '\t'], " "), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(text, Style::new())
    }
}

impl Table {
    pub fn new<const N: usize>(headers: [&'static str; N]) -> Table {
        Table { headers: headers.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table with its headers.
    pub fn text(&self) -> String {
        let headers = self.headers.iter().map(|header| Cell::styled(header, BOLD)).collect();
        self.lines(std::iter::once(&headers))
    }

    /// The rows alone, for `--no-headers`.
    pub fn text_without_headers(&self) -> String {
        self.lines(std::iter::empty())
    }

    fn lines<'a>(&'a self, headers: impl Iterator<Item = &'a Vec<Cell>> + Clone) -> String {
        let mut widths = vec![0; self.headers.len()];
        for row in headers.clone().chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut lines = String::new();
        for row in headers.chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let style = cell.style;
                let padding = if column + 1 == row.len() { 0 } else { width + 3 - cell.text.chars().count() };
                if style == Style::new() {
                    line.push_str(&cell.text);
                } else {
                    line.push_str(&format!("{style}{}{style:#}", cell.text));
                }
                line.extend(std::iter::repeat_n(' ', padding));
            }
            lines.push_str(line.trim_end());
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_are_three_spaces_apart_and_nothing_trails() {
        let mut table = Table::new(["NAME", "STATUS", "NOTE"]);
        table.row(["org1".into(), Cell::styled("deployed", BOLD), "é".into()]);
        table.row(["orgorderer1".into(), "failed".into(), "".into()]);
        assert_eq!(plain(&table.text()), "NAME          STATUS     NOTE\norg1          deployed   é\norgorderer1   failed\n");
        assert_eq!(plain(&table.text_without_headers()), "org1          deployed   é\norgorderer1   failed\n");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let mut table = Table::new(["A"]);
        table.row(["\u{1b}[2Jgone\nnext".into()]);
        assert_eq!(plain(&table.text()), "A\n\u{fffd}[2Jgone next\n");
    }
}
