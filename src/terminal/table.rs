//! Tables in kubectl's style: left-aligned columns, three spaces apart, no borders. On a narrow
//! terminal, the last column wraps between words.

use super::text::one_line;
use super::width::{self, wrapped};
use super::{BOLD, Text};
use anstyle::Style;

/// Minimum width of a wrapped last column.
const NARROWEST: usize = 20;

/// Rows of cells with headers.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A cell. Its text cannot send control characters to the terminal.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub fn styled(text: impl AsRef<str>, style: Style) -> Cell {
        Cell {
            text: one_line(text.as_ref()),
            style,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(text, Style::new())
    }
}

impl Table {
    pub fn new<const N: usize>(headers: [&'static str; N]) -> Table {
        Table::of(&headers)
    }

    pub fn of(headers: &[&'static str]) -> Table {
        Table {
            headers: headers.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the table with its headers.
    pub fn text(&self) -> Text {
        let headers = self
            .headers
            .iter()
            .map(|header| Cell::styled(header, BOLD))
            .collect();
        self.lines(std::iter::once(&headers), width::of_stdout())
    }

    /// Returns only the rows, for `--no-headers`.
    pub fn text_without_headers(&self) -> Text {
        self.lines(std::iter::empty(), width::of_stdout())
    }

    fn lines<'a>(
        &'a self,
        headers: impl Iterator<Item = &'a Vec<Cell>> + Clone,
        room: Option<usize>,
    ) -> Text {
        let mut widths = vec![0; self.headers.len()];
        for row in headers.clone().chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let last = widths.len().saturating_sub(1);
        let before: usize = widths.iter().take(last).map(|width| width + 3).sum();
        // A very narrow column is harder to read than the terminal's own wrapping.
        let room = room
            .map(|room| room.saturating_sub(before))
            .filter(|room| *room >= NARROWEST);
        let mut lines = Text::default();
        for row in headers.chain(&self.rows) {
            // Lines end without padding and without empty cells.
            let filled = row
                .iter()
                .rposition(|cell| !cell.text.trim().is_empty())
                .map_or(0, |last| last + 1);
            for (column, (cell, width)) in row.iter().zip(&widths).take(filled).enumerate() {
                let text = if column + 1 == filled {
                    cell.text.trim_end()
                } else {
                    &cell.text
                };
                match room.filter(|room| column == last && text.chars().count() > *room) {
                    Some(room) => {
                        let broken = wrapped(text, room).join(&format!("\n{}", " ".repeat(before)));
                        lines.push_styled(cell.style, broken);
                    }
                    None => lines.push_styled(cell.style, text),
                }
                if column + 1 < filled {
                    lines.push(" ".repeat(width + 3 - cell.text.chars().count()));
                }
            }
            lines.push("\n");
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_three_spaces_apart_and_nothing_trails() {
        let mut table = Table::new(["NAME", "STATUS", "NOTE"]);
        table.row(["org1".into(), Cell::styled("deployed", BOLD), "é".into()]);
        table.row(["orgorderer1".into(), "failed".into(), "".into()]);
        assert_eq!(
            table.text().plain(),
            "NAME          STATUS     NOTE\norg1          deployed   é\norgorderer1   failed\n"
        );
        assert_eq!(
            table.text_without_headers().plain(),
            "org1          deployed   é\norgorderer1   failed\n"
        );
    }

    #[test]
    fn the_last_column_is_broken_where_the_terminal_ends() {
        let mut table = Table::new(["NAME", "REASON"]);
        table.row([
            "org1".into(),
            "a member of the group is down and stays so".into(),
        ]);
        table.row(["org2".into(), "".into()]);
        let broken = "org1   a member of the group is\n       down and stays so\norg2\n";
        assert_eq!(table.lines(std::iter::empty(), Some(32)).plain(), broken);
        let whole = "org1   a member of the group is down and stays so\norg2\n";
        for room in [None, Some(20), Some(80)] {
            assert_eq!(table.lines(std::iter::empty(), room).plain(), whole);
        }
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let mut table = Table::new(["A"]);
        table.row(["\u{1b}[2Jgone\nnext".into()]);
        assert_eq!(table.text().plain(), "A\n\u{fffd}[2Jgone next\n");
    }
}
