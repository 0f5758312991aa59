//! Reads a row value by value, in the order of its columns, without copies that nobody keeps.

use std::sync::Arc;

use rusqlite::Row;
use tollgate_accounting::{Class, Markup, Money, Provenance, Usage};

/// The place in a row that is read next.
pub(super) struct Cursor<'a, 'b> {
    row: &'a Row<'b>,
    next: usize,
}

impl<'a, 'b> Cursor<'a, 'b> {
    pub(super) fn at(row: &'a Row<'b>, column: usize) -> Cursor<'a, 'b> {
        Cursor { row, next: column }
    }

    pub(super) fn value<T: rusqlite::types::FromSql>(&mut self) -> rusqlite::Result<T> {
        let value = self.row.get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// A text as it stands in the row, without a copy.
    fn raw(&mut self) -> rusqlite::Result<Option<&str>> {
        let at = self.next;
        self.next += 1;
        let text = self.row.get_ref(at)?.as_str_or_null();
        text.map_err(|_| unreadable(at, "something that is no text"))
    }

    pub(super) fn optional(&mut self) -> rusqlite::Result<Option<Arc<str>>> {
        Ok(self.raw()?.map(Arc::from))
    }

    pub(super) fn text(&mut self) -> rusqlite::Result<Arc<str>> {
        let at = self.next;
        self.optional()?.ok_or_else(|| unreadable(at, "NULL"))
    }

    pub(super) fn named<T>(
        &mut self,
        from_name: impl Fn(&str) -> Option<T>,
    ) -> rusqlite::Result<T> {
        let at = self.next;
        let name = self.raw()?.unwrap_or_default();
        from_name(name).ok_or_else(|| unreadable(at, name))
    }

    pub(super) fn tokens(&mut self) -> rusqlite::Result<u64> {
        let at = self.next;
        let count: i64 = self.value()?;
        u64::try_from(count).map_err(|_| unreadable(at, &count.to_string()))
    }

    pub(super) fn money(&mut self) -> rusqlite::Result<Money> {
        self.value().map(Money::from_nanos)
    }

    pub(super) fn provenance(&mut self) -> rusqlite::Result<Option<Provenance>> {
        let at = self.next;
        let name = self.raw()?;
        name.map(|n| Provenance::from_name(n).ok_or_else(|| unreadable(at, n))).transpose()
    }

    pub(super) fn terms(&mut self) -> rusqlite::Result<Option<Markup>> {
        let at = self.next;
        let text: Option<String> = self.value()?;
        let read = |text: &str| {
            let (share, fee) = text.split_once('/')?;
            let fee = Money::from_nanos(fee.parse().ok()?);
            Some(Markup::basis_points(share.parse().ok()?)?.with_fee(fee))
        };
        text.map(|text| read(&text).ok_or_else(|| unreadable(at, &text))).transpose()
    }

    pub(super) fn usage(&mut self) -> rusqlite::Result<Usage> {
        let mut usage = Usage::new();
        for class in Class::ALL {
            let at = self.next;
            let count: Option<i64> = self.value()?;
            if let Some(count) = count {
                let count = u64::try_from(count).map_err(|_| unreadable(at, &count.to_string()))?;
                usage.set(class, count);
            }
        }
        Ok(usage)
    }
}

fn unreadable(column: usize, value: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        rusqlite::types::Type::Text,
        format!("unexpected value {value:?}").into(),
    )
}
