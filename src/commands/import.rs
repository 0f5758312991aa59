//! `tollgate models import`: newer price lists and models, and what they change.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use tollgate::cli::{Cell, Column, Exit, Format, Global, ModelsImportArgs, Output, Table};
use tollgate::clock;
use tollgate::config::imports_beside;
use tollgate::http::view::since;
use tollgate_accounting::{
    Class, Hours, Listed, PriceList, Rates, ServiceTier, Tier, Timestamp, UnitPrice,
};
use tollgate_providers::catalogue::{Catalogue, CatalogueError, Imports, ModelInfo};

use super::configuration;
use super::prices::price;

pub(super) fn run(global: &Global, args: &ModelsImportArgs, output: &mut Output) -> Result<Exit> {
    let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
    let beside = imports_beside(&snapshot.storage.path);
    let before = existing(&beside)?;
    let mut after = before.clone();
    let today = || clock::now().to_string().chars().take("2026-12-01".len()).collect::<String>();
    let date = args.date.clone().unwrap_or_else(today);
    if date.parse::<jiff::civil::Date>().is_err() {
        bail!("--date takes a day, such as 2026-12-01");
    }
    let mut taken = Vec::new();
    for file in &args.files {
        let name = || file.display().to_string();
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", name()))?;
        let from = after.take(&text, &date).map_err(|error| told(&name(), &error))?;
        taken.push(format!("{} of {date}", from.name()));
    }
    let format = Format::chosen(args.format, global);
    let table = {
        let known = Catalogue::with(&before).map_err(|error| told("what was imported", &error))?;
        let new = Catalogue::with(&after).map_err(|error| told("the new files", &error))?;
        table(&changes(&known, &new, clock::now()))
    };
    output.table(&table, format)?;
    let taken = taken.join(", ");
    if args.dry_run {
        output.remark(&format!("{taken}: {} changes; nothing was written", table.rows.len()))?;
        return Ok(Exit::Good);
    }
    write(&beside, &after.write().map_err(|error| told("the import", &error))?)?;
    output.remark(&format!(
        "{taken}: {} changes, in {}; used at the next start or reload, behind the prices of the \
         configuration",
        table.rows.len(),
        beside.display()
    ))?;
    Ok(Exit::Good)
}

/// What was imported before.
fn existing(beside: &Path) -> Result<Imports> {
    if !beside.exists() {
        return Ok(Imports::default());
    }
    let name = beside.display().to_string();
    let text = std::fs::read_to_string(beside).with_context(|| format!("cannot read {name}"))?;
    Imports::read(&text).map_err(|error| told(&name, &error))
}

fn told(what: &str, error: &CatalogueError) -> anyhow::Error {
    anyhow!("{what}: {}", error.message)
}

/// All of it or nothing: a gateway that starts meanwhile reads the one before or this one.
fn write(beside: &Path, text: &str) -> Result<()> {
    let mut next = beside.as_os_str().to_owned();
    next.push(".new");
    let next = PathBuf::from(next);
    std::fs::write(&next, text)
        .and_then(|()| std::fs::File::open(&next)?.sync_all())
        .and_then(|()| std::fs::rename(&next, beside))
        .with_context(|| format!("cannot write {}", beside.display()))
}

/// One thing that is not as it was.
struct Change {
    /// `new`, `price`, `history` or `limit`.
    kind: &'static str,
    provider: String,
    model: String,
    /// The class of tokens, or the limit.
    what: &'static str,
    before: Cell,
    after: Cell,
    since: Option<String>,
}

fn changes(known: &Catalogue<'_>, new: &Catalogue<'_>, now: Timestamp) -> Vec<Change> {
    let mut all = Vec::new();
    for provider in new.providers() {
        let models = new.models(provider);
        for info in models.iter().filter_map(|info| new.model(provider, info.id)) {
            let had = known.model(provider, info.id);
            let lists = [known.list(provider, info.id), new.list(provider, info.id)];
            let kind = if had.is_none() { "new" } else { "price" };
            let count = all.len();
            prices(&lists, now, |what, before, after, since| {
                let (provider, model) = (provider.to_owned(), info.id.to_owned());
                all.push(Change { kind, provider, model, what, before, after, since });
            });
            let plain = |list: &PriceList| list.iter().map(priced).collect::<Vec<_>>();
            let [old, list] = lists.each_ref().map(|list| list.as_ref().map(plain));
            if all.len() == count && old != list && kind != "new" {
                all.push(Change {
                    kind: "history",
                    provider: provider.to_owned(),
                    model: info.id.to_owned(),
                    what: "other dates, hours, tiers or steps",
                    before: Cell::Null,
                    after: Cell::Null,
                    since: None,
                });
            }
            for (what, before, after) in limits(had.as_ref(), &info) {
                let (provider, model) = (provider.to_owned(), info.id.to_owned());
                let (kind, since) = (if kind == "new" { kind } else { "limit" }, None);
                let (before, after) = (before.into(), after.into());
                all.push(Change { kind, provider, model, what, before, after, since });
            }
        }
    }
    all
}

/// What of a card is its price, and not where it was read.
type Priced = (ServiceTier, Timestamp, Option<Hours>, Vec<Tier>, Option<UnitPrice>);

fn priced(one: &Listed) -> Priced {
    (one.tier, one.from, one.hours, one.card.tiers.clone(), one.card.per_request)
}

/// The classes whose price now is another than it was.
fn prices(
    [before, after]: &[Option<PriceList>; 2],
    now: Timestamp,
    mut tell: impl FnMut(&'static str, Cell, Cell, Option<String>),
) {
    let rates = |list: &Option<PriceList>| {
        let card = list.as_ref()?.standard(now)?;
        Some((card.tiers.first()?.rates, since(card.effective_from)))
    };
    let (was, _) = rates(before).unwrap_or_default();
    let (is, from): (Rates, _) = rates(after).unwrap_or_default();
    for class in Class::ALL.into_iter().filter(|class| was.get(*class) != is.get(*class)) {
        tell(class.name(), price(&was, class), price(&is, class), from.clone());
    }
}

/// A limit with what it was and is.
type Limit = (&'static str, Option<u64>, Option<u64>);

fn limits(had: Option<&ModelInfo<'_>>, has: &ModelInfo<'_>) -> impl Iterator<Item = Limit> {
    let context = had.and_then(|info| info.context_window);
    let output = had.and_then(|info| info.max_output_tokens);
    let all = [
        ("context_window", context, has.context_window),
        ("max_output_tokens", output, has.max_output_tokens),
    ];
    all.into_iter().filter(|(_, before, after)| before != after)
}

fn table(changes: &[Change]) -> Table {
    let mut table = Table::new(vec![
        Column::text("change"),
        Column::text("provider"),
        Column::text("model"),
        Column::text("what"),
        Column::number("before"),
        Column::number("after"),
        Column::text("since"),
    ]);
    for Change { kind, provider, model, what, before, after, since } in changes {
        table.rows.push(vec![
            (*kind).into(),
            provider.as_str().into(),
            model.as_str().into(),
            (*what).into(),
            before.clone(),
            after.clone(),
            since.as_deref().into(),
        ]);
    }
    table
}
