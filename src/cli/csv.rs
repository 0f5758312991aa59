//! A table as RFC 4180: a header line, CRLF, quotes where needed.

use super::table::{Cell, Table};

/// The table with a line for its header and one for each row.
pub(super) fn render(table: &Table) -> String {
    let mut out = String::new();
    let names = table.columns.iter().map(|column| field(&column.name));
    line(&mut out, names);
    for row in &table.rows {
        line(&mut out, (0..table.columns.len()).map(|at| cell(row.get(at))));
    }
    out
}

fn line(out: &mut String, fields: impl Iterator<Item = String>) {
    let fields: Vec<String> = fields.collect();
    out.push_str(&fields.join(","));
    out.push_str("\r\n");
}

fn cell(cell: Option<&Cell>) -> String {
    match cell {
        Some(Cell::Text(text)) => field(&harmless(text)),
        Some(Cell::Decimal(digits)) => digits.clone(),
        Some(Cell::Integer(number)) => number.to_string(),
        Some(Cell::Money(money)) => money.to_string(),
        Some(Cell::Null) | None => String::new(),
    }
}

fn field(text: &str) -> String {
    let needs_quotes = text.contains(['"', ',', '\r', '\n']) || text.trim() != text;
    if needs_quotes { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Tags and names come from tenants, and a spreadsheet would run a text that begins like a
/// formula on the desk of whoever opens the report. An apostrophe before it keeps it a text.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_accounting::Money;

    use super::*;
    use crate::cli::table::Column;

    #[test]
    fn a_field_is_quoted_only_where_it_must_be() {
        let cases = [
            (Cell::from("plain"), "plain"),
            (Cell::from(""), ""),
            (Cell::from("a,b"), "\"a,b\""),
            (Cell::from("say \"hi\""), "\"say \"\"hi\"\"\""),
            (Cell::from("two\nlines"), "\"two\nlines\""),
            (Cell::from(" padded"), "\" padded\""),
            (Cell::from("=cmd()"), "'=cmd()"),
            (Cell::from("-1"), "'-1"),
            (Cell::from(-1_i64), "-1"),
            (Cell::from(u64::MAX), "18446744073709551615"),
            (Cell::from(Money::from_nanos(-1_250_000)), "-0.00125"),
            (Cell::Null, ""),
        ];
        for (value, expected) in cases {
            assert_eq!(cell(Some(&value)), expected, "{value:?}");
        }
    }

    #[test]
    fn every_line_has_a_field_for_every_column() {
        let columns = vec![Column::text("account"), Column::number("requests")];
        let rows = vec![vec!["acme".into(), 3_u64.into()], vec!["short".into()]];
        assert_eq!(render(&Table { columns, rows }), "account,requests\r\nacme,3\r\nshort,\r\n");
    }
}
