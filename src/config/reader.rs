//! Reads a parsed TOML document key by key and collects every problem instead of stopping at the
//! first. A [`Section`] knows which of its keys were asked for; what is left over is unknown.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Problem, Severity, Source, nearest};

/// How many errors, and how many warnings, are worth showing.
const MOST: usize = 500;

/// What all sections of one file share.
pub(super) struct Reader<'t> {
    file: &'t str,
    source: Source<'t>,
    pub(super) env: &'t dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(
        file: &'t str,
        text: &'t str,
        env: &'t dyn Fn(&str) -> Option<String>,
    ) -> Reader<'t> {
        Reader { file, source: Source::new(text), env, problems: RefCell::default() }
    }

    /// The file's own tables.
    pub(super) fn root(&'t self, table: &'t DeTable<'t>) -> Section<'t> {
        Section::new(self, String::new(), 0..0, table)
    }

    /// A relative path in the file means relative to the file, whatever the working directory.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        Path::new(self.file).parent().unwrap_or(Path::new("")).join(path)
    }

    pub(super) fn report(
        &self,
        severity: Severity,
        span: Range<usize>,
        path: &str,
        message: String,
        help: Option<String>,
    ) {
        let mut problems = self.problems.borrow_mut();
        let of_its_kind = problems.iter().filter(|problem| problem.severity == severity).count();
        if of_its_kind == MOST {
            // The last of a kind stands for all that follow, so an error is never forgotten.
            return;
        }
        if of_its_kind == MOST - 1 {
            let message = format!("more than {MOST} {}s: the rest is not shown", severity.name());
            problems.push(Problem::of_file(severity, self.file, message));
            return;
        }
        problems.push(Problem {
            severity,
            file: self.file.to_owned(),
            place: Some(self.source.place(span)),
            path: path.to_owned(),
            message,
            help,
        });
    }

    /// Takes a problem of another file that belongs to the configuration.
    pub(super) fn add(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MOST {
            problems.push(problem);
        }
    }

    /// All that was found, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let place = |p: &Problem| p.place.as_ref().map(|p| (p.line, p.column));
        problems.sort_by_key(|p| (p.place.is_none(), place(p), p.severity));
        problems
    }
}

/// One table, being read.
pub(super) struct Section<'t> {
    pub(super) reader: &'t Reader<'t>,
    pub(super) path: String,
    span: Range<usize>,
    table: &'t DeTable<'t>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'t> Section<'t> {
    fn new(
        reader: &'t Reader<'t>,
        path: String,
        span: Range<usize>,
        table: &'t DeTable<'t>,
    ) -> Section<'t> {
        Section { reader, path, span, table, asked: RefCell::default() }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Field<'t>> {
        self.asked.borrow_mut().insert(key);
        self.table.get_key_value(key).map(|(key, value)| self.field(key, value))
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, key: &'static str, why: &str) -> Option<Field<'t>> {
        let found = self.get(key);
        if found.is_none() {
            self.error(format!("`{key}` is missing: {why}"), None);
        }
        found
    }

    /// A table below this one.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'t>> {
        self.get(key).and_then(|field| field.section())
    }

    /// The keys that nobody asked for, in the order of the file: the entries of a table whose keys
    /// are names.
    pub(super) fn rest(&self) -> Vec<(&'t str, Field<'t>)> {
        let asked = self.asked.borrow();
        let unasked = |key: &str| !asked.contains(key);
        let mut rest: Vec<_> = self
            .table
            .iter()
            .filter(|(key, _)| unasked(key.get_ref()))
            .map(|(key, value)| (key.get_ref().as_ref(), self.field(key, value)))
            .collect();
        rest.sort_by_key(|(_, field)| field.key_span.start);
        rest
    }

    /// Reports the keys that nobody asked for as unknown. Ends the reading of this table.
    pub(super) fn done(&self) {
        self.rest().iter().for_each(|(key, field)| self.unknown(key, field));
    }

    /// Reports one key as unknown, with the nearest of those that were asked for.
    pub(super) fn unknown(&self, key: &str, field: &Field<'_>) {
        let known: Vec<&str> = self.asked.borrow().iter().copied().collect();
        let message = format!("unknown key `{}`", shorten(key));
        field.key_problem(Severity::Error, &message, did_you_mean(key, &known));
    }

    /// A problem with the table as a whole.
    pub(super) fn error(&self, message: String, help: Option<&str>) {
        let help = help.map(str::to_owned);
        self.reader.report(Severity::Error, self.span.clone(), &self.path, message, help);
    }

    /// Something about the table as a whole that works, though probably not as meant.
    pub(super) fn warn(&self, message: &str, help: &str) {
        let (span, help) = (self.span.clone(), Some(help.to_owned()));
        self.reader.report(Severity::Warning, span, &self.path, message.to_owned(), help);
    }

    fn field(&self, key: &'t Spanned<toml::de::DeString<'t>>, value: &'t Entry<'t>) -> Field<'t> {
        let name = quote_key(key.get_ref());
        let path = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
        Field {
            reader: self.reader,
            path,
            key_span: key.span(),
            span: value.span(),
            value: value.get_ref(),
        }
    }
}

type Entry<'t> = Spanned<DeValue<'t>>;

/// One value, with its place and its dotted path.
pub(super) struct Field<'t> {
    pub(super) reader: &'t Reader<'t>,
    pub(super) path: String,
    key_span: Range<usize>,
    span: Range<usize>,
    pub(super) value: &'t DeValue<'t>,
}

impl<'t> Field<'t> {
    /// The value as a table.
    pub(super) fn section(&self) -> Option<Section<'t>> {
        match self.value {
            DeValue::Table(table) => {
                let (reader, path) = (self.reader, self.path.clone());
                Some(Section::new(reader, path, self.key_span.clone(), table))
            }
            _ => self.expected("a table"),
        }
    }

    /// The values of a list.
    pub(super) fn list(&self) -> Option<Vec<Field<'t>>> {
        let DeValue::Array(array) = self.value else { return self.expected("a list") };
        let item = |(index, value): (usize, &'t Entry<'t>)| Field {
            reader: self.reader,
            path: format!("{}[{index}]", self.path),
            key_span: value.span(),
            span: value.span(),
            value: value.get_ref(),
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// The value as a string, which is not empty.
    pub(super) fn text(&self) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) if text.trim().is_empty() => self.error("must not be empty"),
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.expected("a string"),
        }
    }

    /// The value as a whole number within bounds.
    pub(super) fn whole(&self, bounds: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(integer) = self.value else {
            return self.expected("a whole number");
        };
        match i128::from_str_radix(integer.as_str(), integer.radix()).map(u64::try_from) {
            Ok(Ok(number)) if bounds.contains(&number) => Some(number),
            _ => {
                let (least, most) = bounds.into_inner();
                self.error(&format!("must be from {least} to {most}"))
            }
        }
    }

    /// Whether the value is a table, or a list of tables.
    pub(super) fn is_table(&self) -> bool {
        match self.value {
            DeValue::Table(_) => true,
            DeValue::Array(items) => items.iter().any(|item| item.get_ref().is_table()),
            _ => false,
        }
    }

    /// Reports that the value has the wrong type. Returns `None`, to be the value of the field.
    pub(super) fn expected<T>(&self, what: &str) -> Option<T> {
        self.error(&format!("must be {what}, not {}", kind_name(self.value)))
    }

    /// Reports what is wrong with the value. Returns `None`, to be the value of the field.
    pub(super) fn error<T>(&self, message: &str) -> Option<T> {
        self.report(Severity::Error, self.span.clone(), message, None);
        None
    }

    /// The same, with what to do about it.
    pub(super) fn error_help<T>(&self, message: &str, help: &str) -> Option<T> {
        self.report(Severity::Error, self.span.clone(), message, Some(help.to_owned()));
        None
    }

    /// Reports a name that refers to nothing, and the nearest one that would.
    pub(super) fn unknown_name<'n, T>(
        &self,
        message: &str,
        known: impl IntoIterator<Item = &'n str>,
        name: &str,
    ) -> Option<T> {
        let known: Vec<&str> = known.into_iter().collect();
        let help = did_you_mean(name, &known);
        self.report(Severity::Error, self.span.clone(), message, help);
        None
    }

    /// Reports something that works, though probably not as meant.
    pub(super) fn warn(&self, message: &str, help: Option<String>) {
        self.report(Severity::Warning, self.span.clone(), message, help);
    }

    fn key_problem(&self, severity: Severity, message: &str, help: Option<String>) {
        self.report(severity, self.key_span.clone(), message, help);
    }

    /// Reports something about the key that works, though probably not as meant.
    pub(super) fn key_warning(&self, message: &str, help: Option<String>) {
        self.key_problem(Severity::Warning, message, help);
    }

    /// Reports an error about the key rather than its value.
    pub(super) fn key_error(&self, message: &str, help: Option<&str>) {
        self.key_problem(Severity::Error, message, help.map(str::to_owned));
    }

    fn report(&self, severity: Severity, span: Range<usize>, message: &str, help: Option<String>) {
        self.reader.report(severity, span, &self.path, message.to_owned(), help);
    }
}

/// The help for a mistyped name: the nearest one, or all of them where they are few.
pub(super) fn did_you_mean(typed: &str, known: &[&str]) -> Option<String> {
    match nearest(typed, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.is_empty() || known.len() > 16 => None,
        None => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("known here: {}", names.join(", ")))
        }
    }
}

/// A key as it would be written in a dotted path.
pub(super) fn quote_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        shorten(key)
    } else {
        format!("{:?}", shorten(key))
    }
}

/// A name as it is repeated in a message, which a pasted page must not fill.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 80;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}

fn kind_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
