//! Markdown from the rows that `run.sh` collected: `ROUND SUBJECT TEST name=value...`.
//!
//! A ratio is taken within its round, against the mean of the nginx runs there, and the median over
//! the rounds is shown: a shared machine drifts by tens of percent within minutes.

use std::collections::{BTreeMap, BTreeSet};

use crate::Outcome;

/// (round, subject, test, figure) to every value measured.
type Rows = BTreeMap<(u32, String, String, String), Vec<f64>>;

pub fn print(path: &str) -> Outcome<String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let table = Table { rows: read(&text) };
    let mut out = String::from("| | direct | nginx | tollgate | tollgate ÷ nginx |\n");
    out.push_str("|---|---|---|---|---|\n");
    for (what, test, figure, unit) in [
        ("whole calls a second, 64 connections", "whole-max", "per_s", ""),
        ("CPU a whole call", "whole-max", "cpu_us_call", " µs"),
        ("p50 at half load", "whole-half", "p50_us", " µs"),
        ("p99 at half load", "whole-half", "p99_us", " µs"),
        ("p50 at 2,000 a second", "whole-2000", "p50_us", " µs"),
        ("p99 at 2,000 a second", "whole-2000", "p99_us", " µs"),
        ("chunks a second, 256 streams of one per 10 ms", "stream-256", "chunks_per_s", ""),
        ("CPU a streamed chunk", "stream-256", "cpu_us_chunk", " µs"),
        ("p50 to a stream's first chunk", "stream-256", "first_p50_us", " µs"),
        ("p99 to a stream's first chunk", "stream-256", "first_p99_us", " µs"),
        ("resident after the load", "stream-256", "rss_kib", " KiB"),
        ("resident with 9,000 open streams", "open-9000", "rss_kib", " KiB"),
        ("resident when idle", "cold", "idle_kib", " KiB"),
        ("from exec to the first answer", "cold", "start_ms", " ms"),
        ("answers from the cache a second, 64 connections", "hit-max", "per_s", ""),
        ("CPU an answer from the cache", "hit-max", "cpu_us_call", " µs"),
        ("p50 of one at half load", "hit-half", "p50_us", " µs"),
        ("p99 of one at half load", "hit-half", "p99_us", " µs"),
        ("p50 of a call that no cache may answer", "other-2000", "p50_us", " µs"),
        ("p50 of a miss", "fresh-2000", "p50_us", " µs"),
        ("p99 of a call that no cache may answer", "other-2000", "p99_us", " µs"),
        ("p99 of a miss", "fresh-2000", "p99_us", " µs"),
        ("CPU a call that no cache may answer", "other-2000", "cpu_us_call", " µs"),
        ("CPU a miss", "fresh-2000", "cpu_us_call", " µs"),
        ("calls that failed", "all", "bad", ""),
    ] {
        if ["direct", "nginx", "tollgate"].iter().all(|s| table.median(s, test, figure).is_none()) {
            continue;
        }
        let cell = |subject| match table.median(subject, test, figure) {
            Some(value) => format!("{}{unit}", number(value)),
            None => "–".to_owned(),
        };
        let ratio = table.ratio(test, figure).map_or("–".into(), |ratio| format!("{ratio:.2}"));
        out.push_str(&format!(
            "| {what} | {} | {} | {} | {ratio} |\n",
            cell("direct"),
            cell("nginx"),
            cell("tollgate")
        ));
    }
    for (what, figure) in [("p50", "p50_us"), ("CPU", "cpu_us_call")] {
        if let Some(added) =
            table.added(("tollgate", "fresh-2000"), ("tollgate", "other-2000"), figure)
        {
            out.push_str(&format!("\nA miss adds at 2,000 a second: {what} {added:.1} µs.\n"));
        }
    }
    if let Some(added) = table.added(("tollgate", "whole-2000"), ("direct", "whole-2000"), "p50_us")
    {
        out.push_str(&format!("\nAdded to a direct call at 2,000 a second: p50 {added:.0} µs.\n"));
    }
    Ok(out)
}

struct Table {
    rows: Rows,
}

fn read(text: &str) -> Rows {
    let mut rows = Rows::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(round), Some(subject), Some(test)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let round = round.parse().unwrap_or(0);
        for (figure, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            let test = if figure == "bad" { "all" } else { test };
            let key = (round, subject.to_owned(), test.to_owned(), figure.to_owned());
            rows.entry(key).or_default().push(value);
        }
    }
    rows
}

impl Table {
    fn values(&self, round: u32, subject: &str, test: &str, figure: &str) -> Option<&Vec<f64>> {
        self.rows.get(&(round, subject.to_owned(), test.to_owned(), figure.to_owned()))
    }

    fn rounds(&self) -> BTreeSet<u32> {
        self.rows.keys().map(|(round, ..)| *round).collect()
    }

    fn median(&self, subject: &str, test: &str, figure: &str) -> Option<f64> {
        let values = self.rounds().into_iter();
        let values = values.filter_map(|round| self.values(round, subject, test, figure));
        let values: Vec<f64> = values.flatten().copied().collect();
        if figure == "bad" && !values.is_empty() {
            return Some(values.iter().sum());
        }
        middle(values)
    }

    fn ratio(&self, test: &str, figure: &str) -> Option<f64> {
        let ratios = self.rounds().into_iter().filter_map(|round| {
            let ours = mean(self.values(round, "tollgate", test, figure)?);
            let beside = mean(self.values(round, "nginx", test, figure)?);
            (beside > 0.0).then(|| ours / beside)
        });
        middle(ratios.collect())
    }

    /// By how much the first (subject, test) is above the second.
    fn added(&self, of: (&str, &str), to: (&str, &str), figure: &str) -> Option<f64> {
        let added = self.rounds().into_iter().filter_map(|round| {
            let of = mean(self.values(round, of.0, of.1, figure)?);
            Some(of - mean(self.values(round, to.0, to.1, figure)?))
        });
        middle(added.collect())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[half]),
        _ => Some((values[half - 1] + values[half]) / 2.0),
    }
}

/// Thousands separated; one decimal below 1,000.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value < 1000.0 {
        return format!("{value:.0}");
    }
    if value < 1000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
