//! A table for people: thousands set apart, amounts lined up at their point, and nothing that a
//! tenant wrote able to steer the terminal.

use comfy_table::{Cell as Shown, CellAlignment, LineStyle, presets::NOTHING};

use super::table::{Align, Cell, Column, Table};

/// The table as text.
pub(super) fn render(table: &Table) -> String {
    let mut shown = comfy_table::Table::new();
    shown.load_style(NOTHING.header_separator(LineStyle::none().fill('─')));
    let decimals: Vec<usize> = (0..table.columns.len())
        .map(|at| decimals(table.rows.iter().filter_map(|row| row.get(at))))
        .collect();
    shown.set_header(table.columns.iter().map(|column| aligned(header(column), column)));
    for row in &table.rows {
        let cells = table.columns.iter().enumerate().map(|(at, column)| {
            let decimals = decimals.get(at).copied().unwrap_or_default();
            aligned(text(row.get(at).unwrap_or(&Cell::Null), decimals), column)
        });
        shown.add_row(cells);
    }
    let mut out = shown.trim_fmt();
    out.push('\n');
    out
}

fn header(column: &Column) -> String {
    let name = column.name.replace('_', " ");
    match column.unit {
        Some(unit) => format!("{name}\n{unit}"),
        None => name,
    }
}

fn aligned(text: String, column: &Column) -> Shown {
    Shown::new(text).set_alignment(match column.align {
        Align::Left => CellAlignment::Left,
        Align::Right => CellAlignment::Right,
    })
}

fn text(cell: &Cell, decimals: usize) -> String {
    match cell {
        Cell::Text(text) | Cell::Decimal(text) => printable(text),
        Cell::Integer(number) => grouped(&number.to_string()),
        Cell::Money(money) => {
            let exact = money.to_string();
            let (whole, fraction) = exact.split_once('.').unwrap_or((&exact, ""));
            format!("{}.{fraction:0<decimals$}", grouped(whole))
        }
        Cell::Null => "-".to_owned(),
    }
}

/// The decimals that all amounts of a column are shown with: as many as the finest needs, cents
/// at least.
fn decimals<'c>(cells: impl Iterator<Item = &'c Cell>) -> usize {
    let needed = cells.map(|cell| match cell {
        Cell::Money(money) => money.to_string().split_once('.').map_or(0, |(_, f)| f.len()),
        _ => 0,
    });
    needed.max().unwrap_or(0).max(2)
}

/// `1234567` as `1,234,567`.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let mut out = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A text with its control characters spelled out, those that reverse what follows included.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let steers =
                c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let spelled: Vec<char> = if steers { c.escape_default().collect() } else { vec![c] };
            spelled.into_iter()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use tollgate_accounting::Money;

    use super::*;

    #[test]
    fn amounts_of_a_column_line_up_and_none_loses_a_digit() {
        let columns = vec![
            Column::text("account"),
            Column::number("input_tokens").in_unit("tokens"),
            Column::number("charged").in_unit("USD"),
        ];
        let rows = vec![
            vec!["acme".into(), 1_234_567_u64.into(), Money::from_nanos(1_250_000).into()],
            vec!["acme/search".into(), 12_u64.into(), Money::from_nanos(1_234_000_000_000).into()],
            vec!["globex".into(), Cell::Null, Money::from_nanos(-5).into()],
        ];
        let expected = [
            " account      input tokens          charged",
            "                    tokens              USD",
            "────────────────────────────────────────────",
            " acme            1,234,567      0.001250000",
            " acme/search            12  1,234.000000000",
            " globex                  -     -0.000000005",
            "",
        ];
        let shown = render(&Table { columns, rows });
        assert_eq!(shown, expected.join("\n"), "\n{shown}");
    }

    #[test]
    fn thousands_are_set_apart() {
        let cases = [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1000", "-1,000"),
            ("-100", "-100"),
            ("1234567", "1,234,567"),
        ];
        for (digits, expected) in cases {
            assert_eq!(grouped(digits), expected);
        }
    }

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        let shown = printable("a\u{1b}[2J\u{9b}b\r\nc\u{202e}");
        assert!(shown.is_ascii() && !shown.contains(char::is_control), "{shown:?}");
    }
}
