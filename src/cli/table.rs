//! An answer of rows and columns, before anyone decided how it looks. Amounts stay exact: each
//! format writes the same digits.

use tollgate_accounting::Money;

use super::{args::Format, csv, json, terminal};

/// Rows under named columns. A row that is short is filled with [`Cell::Null`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom, each with a cell a column.
    pub rows: Vec<Vec<Cell>>,
}

/// What a column is called and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name, as in JSON and CSV: `input_tokens`.
    pub name: String,
    /// Where its cells stand on a terminal.
    pub align: Align,
    /// What its numbers count, shown below its name on a terminal.
    pub unit: Option<&'static str>,
}

/// Where cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A text, which may come from a tenant.
    Text(String),
    /// A whole number, wide enough for any sum of counts.
    Integer(i128),
    /// Dollars, exact.
    Money(Money),
    /// A number written out, where it is finer than a nano-dollar.
    Decimal(String),
    /// Nothing is known, which is not the same as zero.
    Null,
}

impl Column {
    /// A column of texts.
    pub fn text(name: &str) -> Column {
        Column { name: name.to_owned(), align: Align::Left, unit: None }
    }

    /// A column of numbers.
    pub fn number(name: &str) -> Column {
        Column { name: name.to_owned(), align: Align::Right, unit: None }
    }

    /// The same column with a unit.
    #[must_use]
    pub fn in_unit(self, unit: &'static str) -> Column {
        Column { unit: Some(unit), ..self }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(columns: Vec<Column>) -> Table {
        Table { columns, rows: Vec::new() }
    }

    /// The table as text, with a line break at its end.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Table => terminal::render(self),
            Format::Csv => csv::render(self),
            Format::Json => json::table(self),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Cell {
        Cell::Integer(number.into())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Cell {
        Cell::Integer(number.into())
    }
}

impl From<i128> for Cell {
    fn from(number: i128) -> Cell {
        Cell::Integer(number)
    }
}

impl From<Money> for Cell {
    fn from(money: Money) -> Cell {
        Cell::Money(money)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Null, Into::into)
    }
}
