//! What `check` and a refused start show: every problem with its line and a caret below it.

use crate::config::{Place, Problem, Severity};

use super::{json::Json, terminal::printable};

/// A configuration that was checked, good or not.
#[derive(Debug)]
pub struct CheckReport<'r> {
    /// The file, as it was named.
    pub file: &'r str,
    /// Errors and warnings, in the order of the file.
    pub problems: &'r [Problem],
}

impl CheckReport<'_> {
    /// Whether the configuration can be used.
    pub fn is_good(&self) -> bool {
        !self.problems.iter().any(Problem::is_error)
    }

    /// For people.
    pub fn human(&self, color: bool) -> String {
        let paint = Paint { color };
        let mut out: String = self.problems.iter().map(|problem| one(problem, paint)).collect();
        out.push_str(&self.verdict());
        out.push('\n');
        out
    }

    /// For scripts: `{"ok":…,"file":…,"problems":[…]}` and a line break.
    pub fn json(&self) -> String {
        let problems = self.problems.iter().map(|problem| {
            let Problem { severity, file, place, path, message, help } = problem;
            Json::object([
                ("severity", severity.name().into()),
                ("file", file.as_str().into()),
                ("line", place.as_ref().map(|place| place.line).into()),
                ("column", place.as_ref().map(|place| place.column).into()),
                ("path", path.as_str().into()),
                ("message", message.as_str().into()),
                ("help", help.as_deref().into()),
            ])
        });
        let report = Json::object([
            ("ok", Json::Bool(self.is_good())),
            ("file", self.file.into()),
            ("problems", Json::List(problems.collect())),
        ]);
        format!("{}\n", report.render())
    }

    fn verdict(&self) -> String {
        let count = |severity| self.problems.iter().filter(|p| p.severity == severity).count();
        let many = |count: usize, word: &str| match count {
            1 => format!("1 {word}"),
            count => format!("{count} {word}s"),
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let file = printable(self.file);
        match (errors, warnings) {
            (0, 0) => format!("{file} is good"),
            (0, warnings) => format!("{file} is good, with {}", many(warnings, "warning")),
            (errors, 0) => format!("{file} has {}", many(errors, "error")),
            (errors, warnings) => {
                format!("{file} has {}, {}", many(errors, "error"), many(warnings, "warning"))
            }
        }
    }
}

/// One problem, in the shape that rustc made familiar.
fn one(problem: &Problem, paint: Paint) -> String {
    let Problem { severity, file, place, path, message, help } = problem;
    let hue = match severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
    };
    let mut out = paint.with(hue, severity.name());
    out.push_str(&paint.with(BOLD, &format!(": {}", printable(message))));
    out.push('\n');
    let gutter = place.as_ref().map_or(1, |place| place.line.to_string().len());
    let bar = |label: &str| paint.with(BLUE, &format!("{label:>gutter$} |"));
    let arrow = paint.with(BLUE, &format!("{:>gutter$}-->", ""));
    match place {
        Some(Place { line, column, width, excerpt }) => {
            out.push_str(&format!("{arrow} {}:{line}:{column}\n", printable(file)));
            let indent = " ".repeat(column.saturating_sub(1));
            let carets = paint.with(hue, &"^".repeat(*width));
            out.push_str(&format!("{}\n{} {excerpt}\n", bar(""), bar(&line.to_string())));
            let below = format!("{} {indent}{carets} {}", bar(""), printable(path));
            out.push_str(below.trim_end());
            out.push('\n');
        }
        None => out.push_str(&format!("{arrow} {}\n", printable(file))),
    }
    if let Some(help) = help {
        let label = paint.with(BOLD, "help");
        out.push_str(&format!("{:>gutter$} = {label}: {}\n", "", printable(help)));
    }
    out.push('\n');
    out
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const BOLD: &str = "1";

#[derive(Clone, Copy)]
struct Paint {
    color: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(severity: Severity, place: Option<Place>, help: Option<&str>) -> Problem {
        Problem {
            severity,
            file: "tollgate.toml".to_owned(),
            place,
            path: "providers.openai.knd".to_owned(),
            message: "unknown key `knd`".to_owned(),
            help: help.map(str::to_owned),
        }
    }

    #[test]
    fn a_problem_shows_its_line_with_a_caret_below() {
        let place =
            Place { line: 12, column: 3, width: 3, excerpt: "  knd = \"openai\"".to_owned() };
        let problems = [
            problem(Severity::Error, Some(place), Some("did you mean `kind`?")),
            problem(Severity::Warning, None, None),
        ];
        let report = CheckReport { file: "tollgate.toml", problems: &problems };
        let expected = "\
error: unknown key `knd`
  --> tollgate.toml:12:3
   |
12 |   knd = \"openai\"
   |   ^^^ providers.openai.knd
   = help: did you mean `kind`?

warning: unknown key `knd`
 --> tollgate.toml

tollgate.toml has 1 error, 1 warning
";
        assert_eq!(report.human(false), expected);
        let painted = report.human(true);
        assert!(painted.contains("\u{1b}[1;31merror\u{1b}[0m"), "{painted}");
    }

    #[test]
    fn the_verdict_is_bad_only_where_there_is_an_error() {
        let (error, warning) =
            (problem(Severity::Error, None, None), problem(Severity::Warning, None, None));
        let cases: [(&[Problem], bool, &str); 4] = [
            (&[], true, "t is good"),
            (std::slice::from_ref(&warning), true, "t is good, with 1 warning"),
            (&[error.clone(), error.clone()], false, "t has 2 errors"),
            (&[error, warning.clone(), warning.clone()], false, "t has 1 error, 2 warnings"),
        ];
        for (problems, good, verdict) in cases {
            let report = CheckReport { file: "t", problems };
            assert_eq!((report.is_good(), report.verdict().as_str()), (good, verdict));
        }
    }

    #[test]
    fn scripts_get_every_field() {
        let place = Place { line: 2, column: 1, width: 3, excerpt: "knd = 1".to_owned() };
        let problems = [problem(Severity::Error, Some(place), None)];
        let report = CheckReport { file: "tollgate.toml", problems: &problems };
        assert_eq!(
            report.json(),
            "{\"ok\":false,\"file\":\"tollgate.toml\",\"problems\":[{\"severity\":\"error\",\
             \"file\":\"tollgate.toml\",\"line\":2,\"column\":1,\"path\":\"providers.openai.knd\",\
             \"message\":\"unknown key `knd`\",\"help\":null}]}\n"
        );
    }
}
