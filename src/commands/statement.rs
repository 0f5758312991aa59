//! `tollgate statement`: what a tenant is charged for a month, line by line, with the price cards it was
//! charged by; as Markdown, or as a page that prints.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use tollgate::cli::{Exit, Global, Output, StatementArgs};
use tollgate::clock;
use tollgate::config::Snapshot;
use tollgate::ledger::{Charges, Filter, Reader, dollars};
use tollgate_accounting::{Calendar, PriceCard, Timestamp, Zone};

use super::configuration;

/// One line: account, model, class, card, price of one.
type Key<'c> = (&'c str, String, &'static str, &'c str, u64);

/// A table: its title, the names of its columns, its rows.
type Listed = (&'static str, Vec<&'static str>, Vec<Vec<String>>);

/// A tenant's month.
struct Statement<'s> {
    name: String,
    zone: String,
    from: Timestamp,
    to: Timestamp,
    charges: &'s Charges,
    cards: BTreeMap<String, Option<PriceCard>>,
}

pub(super) fn run(global: &Global, args: &StatementArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let account = &args.account;
    let known = snapshot.accounts.iter().find(|known| known.path == *account);
    let zone = known.map_or_else(|| "UTC".to_owned(), |known| known.timezone.clone());
    let name = known.and_then(|known| known.name.clone()).unwrap_or_else(|| account.clone());
    let within = args.month.resolve(clock::now(), &zone)?;
    let period = Zone::named(&zone).context("the account's zone is unknown")?;
    let period = period.period(Calendar::Month, within).context("that month is out of range")?;
    let (from, to) = (period.start, period.end);
    let filter = Filter {
        account: Some(account.clone()),
        from: Some(from),
        to: Some(to),
        only: Vec::new(),
        as_of: None,
    };
    let reader = reader(&snapshot)?;
    let charges = reader.charges(&filter)?;
    let mut cards = BTreeMap::new();
    for item in charges.lines.keys() {
        if !cards.contains_key(&*item.card) {
            cards.insert(item.card.to_string(), reader.card(&item.card)?);
        }
    }
    let statement = Statement { name, zone, from, to, charges: &charges, cards };
    output.answer(&if args.html { statement.html() } else { statement.markdown() })?;
    Ok(Exit::Good)
}

fn reader(snapshot: &Snapshot) -> Result<Reader> {
    if !snapshot.storage.path.exists() {
        bail!("there is no ledger at {}: nothing was served yet", snapshot.storage.path.display());
    }
    Ok(Reader::open(&snapshot.storage.path)?)
}

impl Statement<'_> {
    fn title(&self) -> String {
        format!("Statement for {}", self.name)
    }

    fn period(&self) -> String {
        format!("{} to {} ({})", self.from, self.to, self.zone)
    }

    /// The tables, empty ones too.
    fn tables(&self) -> Vec<Listed> {
        let mut lines: BTreeMap<Key<'_>, (u64, i128)> = BTreeMap::new();
        for (item, (count, pico)) in &self.charges.lines {
            let place = &item.place;
            let model = format!("{}/{}", place.provider, place.model);
            let key = (&*place.account, model, item.class, &*item.card, item.unit_pico);
            let (quantity, sum) = lines.entry(key).or_default();
            *quantity = quantity.saturating_add(*count);
            *sum += pico;
        }
        let row = |((account, model, class, card, unit), (count, pico)): (Key<'_>, (u64, i128))| {
            vec![
                account.to_owned(),
                model,
                class.replace('_', " "),
                count.to_string(),
                dollars(i128::from(unit) * 1_000_000),
                dollars(pico),
                card.to_owned(),
            ]
        };
        let charged: Vec<Vec<String>> = lines.into_iter().map(row).collect();
        let mut others: BTreeMap<(&str, &str), i128> = BTreeMap::new();
        for ((place, why), pico) in &self.charges.differences {
            *others.entry((&place.account, why.name())).or_default() += pico;
        }
        let other = |((account, why), pico): ((&str, &str), i128)| {
            vec![account.to_owned(), why.to_owned(), dollars(pico)]
        };
        let card = |(version, card): (&String, &Option<PriceCard>)| {
            let source = card.as_ref().map_or("", |card| card.source.as_str());
            vec![version.clone(), source.to_owned()]
        };
        vec![
            (
                "Usage",
                vec![
                    "account",
                    "model",
                    "class",
                    "quantity",
                    "USD per million",
                    "USD",
                    "price version",
                ],
                charged,
            ),
            (
                "Other amounts",
                vec!["account", "what", "USD"],
                others.into_iter().map(other).collect(),
            ),
            ("Price versions", vec!["version", "source"], self.cards.iter().map(card).collect()),
        ]
    }

    fn markdown(&self) -> String {
        let mut out = format!("# {}\n\n{}\n\n", plain(&self.title()), self.period());
        for (title, columns, rows) in
            self.tables().into_iter().filter(|(.., rows)| !rows.is_empty())
        {
            out.push_str(&format!("## {title}\n\n| {} |\n", columns.join(" | ")));
            out.push_str(&format!("|{}\n", " --- |".repeat(columns.len())));
            for row in rows {
                let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
                out.push_str(&format!("| {} |\n", cells.join(" | ")));
            }
            out.push('\n');
        }
        out.push_str(&format!("**Total: ${}**\n", dollars(self.charges.pico())));
        out
    }

    /// A page without scripts or anything fetched.
    fn html(&self) -> String {
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <style>\nbody {{ font: 11pt sans-serif; margin: 2cm; }}\ntable {{ border-collapse: collapse; width: 100%; }}\n\
             th, td {{ border-bottom: 1px solid #999; padding: 3pt 6pt; text-align: left; }}\n\
             thead {{ display: table-header-group; }}\ntr {{ break-inside: avoid; }}\n\
             @page {{ size: A4; margin: 2cm; }}\n@media print {{ body {{ margin: 0; }} }}\n</style>\n</head>\n<body>\n\
             <h1>{title}</h1>\n<p>{period}</p>\n",
            title = escaped(&self.title()),
            period = escaped(&self.period()),
        );
        for (title, columns, rows) in
            self.tables().into_iter().filter(|(.., rows)| !rows.is_empty())
        {
            let cells = |tag: &str, cells: &[String]| -> String {
                cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
            };
            let names: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
            out.push_str(&format!(
                "<h2>{title}</h2>\n<table>\n<thead><tr>{}</tr></thead>\n<tbody>\n",
                cells("th", &names)
            ));
            for row in &rows {
                out.push_str(&format!("<tr>{}</tr>\n", cells("td", row)));
            }
            out.push_str("</tbody>\n</table>\n");
        }
        out.push_str(&format!(
            "<p><strong>Total: ${}</strong></p>\n</body>\n</html>\n",
            dollars(self.charges.pico())
        ));
        out
    }
}

/// A text that stays one cell of a Markdown table, and stays text.
fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '\\' | '#' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_on_the_page_whatever_it_is_made_of() {
        let charges = Charges::default();
        let name = "<img src=x onerror=alert(1)> | **x**".to_owned();
        let (from, to) = (Timestamp::from_micros(0), Timestamp::from_micros(1));
        let cards = BTreeMap::new();
        let statement = Statement { name, zone: "UTC".into(), from, to, charges: &charges, cards };
        assert!(!statement.html().contains("<img"));
        assert!(!statement.markdown().contains("<img") || statement.markdown().contains("\\<img"));
        assert!(statement.markdown().contains("**Total: $0**"));
    }
}
