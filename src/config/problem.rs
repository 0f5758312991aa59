//! What is wrong with a configuration, where, and what was probably meant. A problem carries the
//! line it stands on for people to see, with anything that could be a secret blotted out.

use std::fmt;

use super::values::is_variable_name;

/// Whether a problem stops the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, though probably not as meant.
    Warning,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A place in the file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column of the first character.
    pub column: usize,
    /// How many characters of that line are meant, at least 1.
    pub width: usize,
    /// The line's text, without what could be a secret.
    pub excerpt: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// Where in the file; a file that cannot be read has no place.
    pub place: Option<Place>,
    /// The dotted path of the key: `providers.openai.kind`. Empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it, the nearest known name for instance.
    pub help: Option<String>,
}

impl Problem {
    /// A problem with the file as a whole.
    pub(super) fn of_file(severity: Severity, file: &str, message: String) -> Problem {
        Problem {
            severity,
            file: file.to_owned(),
            place: None,
            path: String::new(),
            message,
            help: None,
        }
    }

    /// Whether it stops the configuration from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// One line: `tollgate.toml:3:1: error: providers.openai.knd: unknown key; did you mean ...`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { severity, file, place, path, message, help } = self;
        f.write_str(file)?;
        if let Some(Place { line, column, .. }) = place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}: ", severity.name())?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)?;
        help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

/// How many lines a value may be away from its key before it counts as a secret to be safe.
const FAR: usize = 64;

/// The text of a file, able to say where a byte stands.
pub(super) struct Source<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str) -> Source<'t> {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(after_breaks.map(|(at, _)| at + 1)).collect();
        Source { text, line_starts }
    }

    /// The place of a byte range, on the line where the range begins.
    pub(super) fn place(&self, span: std::ops::Range<usize>) -> Place {
        let start = floor_boundary(self.text, span.start);
        let index = self.line_starts.partition_point(|line| *line <= start).saturating_sub(1);
        let line = self.line(index);
        let line_start = self.line_starts.get(index).copied().unwrap_or(0);
        let begin = floor_boundary(line, start - line_start);
        let end = floor_boundary(line, span.end.saturating_sub(line_start)).max(begin);
        Place {
            line: index + 1,
            column: line[..begin].chars().count() + 1,
            width: line[begin..end].chars().count().max(1),
            excerpt: self.excerpt(index),
        }
    }

    fn line(&self, index: usize) -> &'t str {
        let start = self.line_starts.get(index).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(index + 1).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// A line as it may be shown. Where the key that a line belongs to sounds like a secret, even
    /// several lines above in a list, its quoted strings are blotted out: someone may have pasted
    /// a key where its name belongs, and what is printed ends up in logs.
    fn excerpt(&self, index: usize) -> String {
        let shown: String = self.line(index).chars().map(printable).collect();
        let above = (index.saturating_sub(FAR)..=index).rev().map(|index| self.line(index));
        let belongs_to = above.into_iter().find(|line| line.contains('='));
        let sensitive = names_a_secret(self.line(index)) || belongs_to.is_none_or(names_a_secret);
        if sensitive { blot(&shown) } else { shown }
    }
}

fn names_a_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    ["key", "secret", "password", "credential", "auth", "bearer", "\"sk-", "'sk-"]
        .iter()
        .any(|word| lower.contains(word))
}

/// Replaces what stands in quotes, unless it only says where the secret is kept. Widths stay, so
/// that a caret below the line still points at the right column.
fn blot(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find(['"', '\'']) {
        let (before, quoted) = rest.split_at(open);
        let quote = if quoted.starts_with('"') { '"' } else { '\'' };
        let inside = &quoted[1..];
        let end = inside.find(quote).unwrap_or(inside.len());
        out.push_str(before);
        out.push(quote);
        let says_where = inside[..end].strip_prefix("env:").is_some_and(is_variable_name)
            || inside.starts_with("file:");
        if says_where {
            out.push_str(&inside[..end]);
        } else {
            out.extend(inside[..end].chars().map(|_| '*'));
        }
        rest = &inside[end..];
        if let Some(after) = rest.strip_prefix(quote) {
            out.push(quote);
            rest = after;
        }
    }
    if !line.contains(['"', '\''])
        && let Some((key, value)) = line.split_once('=')
    {
        let blotted: String = value.chars().map(|c| if c == ' ' { c } else { '*' }).collect();
        return format!("{key}={blotted}");
    }
    out.push_str(rest);
    out
}

/// Control characters would let a file write to the terminal of whoever checks it.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The known name that is nearest to a mistyped one, if any is near enough to be worth saying.
pub(super) fn nearest<'n>(
    typed: &str,
    known: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let typed = typed.to_lowercase();
    let far = typed.chars().count().min(64) / 3 + 1;
    known
        .into_iter()
        .map(|name| (edits(&typed, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Whether two words differ by one slip of the finger.
pub(super) fn is_slip(typed: &str, word: &str) -> bool {
    edits(typed, word) == 1
}

/// Insertions, deletions, replacements and swaps of neighbours between two words. Words too long
/// to be a slip are far from everything.
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().take(65).collect();
    let right: Vec<char> = right.chars().take(65).collect();
    if left.len() > 64 || right.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; right.len() + 1]; left.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=left.len() {
        for j in 1..=right.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_with_the_nearest_known_name() {
        let known = ["kind", "base_url", "api_key", "api_keys", "models"];
        let cases = [
            ("knid", Some("kind")),
            ("baseurl", Some("base_url")),
            ("base-url", Some("base_url")),
            ("API_KEY", Some("api_key")),
            ("api_kyes", Some("api_keys")),
            ("model", Some("models")),
            ("temperature", None),
            ("x", None),
            ("", None),
        ];
        for (typed, expected) in cases {
            assert_eq!(nearest(typed, known), expected, "{typed}");
        }
        let long = "k".repeat(100_000);
        assert_eq!(nearest(&long, known), None);
    }

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let source = Source::new("a = 1\nbø = \"ü\"\r\n\nlast");
        let cases = [
            (0..1, (1, 1, 1, "a = 1")),
            (6..9, (2, 1, 2, "bø = \"ü\"")),
            (12..16, (2, 6, 3, "bø = \"ü\"")),
            (18..18, (3, 1, 1, "")),
            (19..400, (4, 1, 4, "last")),
            (9_000..9_001, (4, 5, 1, "last")),
        ];
        for (span, (line, column, width, excerpt)) in cases {
            let expected = Place { line, column, width, excerpt: excerpt.to_owned() };
            assert_eq!(source.place(span.clone()), expected, "{span:?}");
        }
    }

    #[test]
    fn an_excerpt_shows_no_secret() {
        let cases = [
            ("api_key = \"sk-live-123\"", "api_key = \"***********\""),
            ("api_key = \"env:OPENAI\" # yes", "api_key = \"env:OPENAI\" # yes"),
            ("api_key = \"env:sk-live-123\"", "api_key = \"***************\""),
            ("apikey = \"hunter2", "apikey = \"*******"),
            ("api_key = hunter2", "api_key = *******"),
            ("p = { kind = \"openai\", key = 'abc' }", "p = { kind = \"******\", key = '***' }"),
            ("kind = \"sk-pasted\"", "kind = \"*********\""),
            ("kind = \"openai\"", "kind = \"openai\""),
            ("kind = \"\u{1b}[31mred\"", "kind = \" [31mred\""),
        ];
        for (line, shown) in cases {
            assert_eq!(Source::new(line).place(0..1).excerpt, shown);
        }
        let list = "api_keys = [\n  \"hunter2\",\n]";
        assert_eq!(Source::new(list).place(15..20).excerpt, "  \"*******\",");
    }
}
