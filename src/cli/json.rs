//! JSON for scripts, written in the order in which it is given. Money is a decimal string, for a
//! number would be read back as a float.

use std::fmt::Write;

use super::table::{Cell, Table};

/// A value to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Names and values, in this order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// An object of these fields.
    pub fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
        Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// One line of JSON, without a line break.
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Integer(number) => out.push_str(&number.to_string()),
            Json::Text(text) => string(text, out),
            Json::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<&Cell> for Json {
    fn from(cell: &Cell) -> Json {
        match cell {
            Cell::Text(text) | Cell::Decimal(text) => Json::Text(text.clone()),
            Cell::Integer(number) => Json::Integer(*number),
            Cell::Money(money) => Json::Text(money.to_string()),
            Cell::Null => Json::Null,
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_owned())
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Json {
        Json::Integer(number.into())
    }
}

impl From<usize> for Json {
    fn from(number: usize) -> Json {
        Json::Integer(number as i128)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or(Json::Null, Into::into)
    }
}

/// A table as `{"rows":[{...}]}`.
pub(super) fn table(table: &Table) -> String {
    let row = |row: &Vec<Cell>| {
        let cells = table.columns.iter().enumerate().map(|(at, column)| {
            (column.name.clone(), Json::from(row.get(at).unwrap_or(&Cell::Null)))
        });
        Json::Object(cells.collect())
    };
    let rows = Json::List(table.rows.iter().map(row).collect());
    let mut out = Json::object([("rows", rows)]).render();
    out.push('\n');
    out
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // DEL and the C1 controls are legal in JSON, and yet they steer terminals.
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use tollgate_accounting::Money;

    use super::*;
    use crate::cli::table::Column;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let texts =
            ["", "plain", "a\"b\\c", "\u{0}\u{1b}[31m\u{7f}\u{9b}", "ü😀\u{2028}", "\n\r\t"];
        for text in texts {
            let json = Json::from(text).render();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert!(!json.chars().any(char::is_control), "{json:?}");
        }
    }

    #[test]
    fn a_table_is_rows_of_named_values_with_exact_amounts() {
        let columns =
            vec![Column::text("account"), Column::number("tokens"), Column::number("charged_usd")];
        let rows = vec![
            vec!["acme".into(), u64::MAX.into(), Money::from_nanos(1_250_000).into()],
            vec![Cell::Null, Cell::Null, Money::from_nanos(i64::MIN).into()],
            vec![],
        ];
        assert_eq!(
            table(&Table { columns, rows }),
            "{\"rows\":[\
             {\"account\":\"acme\",\"tokens\":18446744073709551615,\"charged_usd\":\"0.00125\"},\
             {\"account\":null,\"tokens\":null,\"charged_usd\":\"-9223372036.854775808\"},\
             {\"account\":null,\"tokens\":null,\"charged_usd\":null}]}\n"
        );
    }
}
