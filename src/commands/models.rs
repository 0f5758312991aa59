//! `tollgate models`: the names that can be asked for, or everything that is built in.

use anyhow::{Result, bail};
use tollgate::app;
use tollgate::call::Runtime;
use tollgate::cli::{Cell, Column, Exit, Format, Global, ModelsArgs, ModelsCommand, Output, Table};
use tollgate::clock;
use tollgate::http::view::since;
use tollgate::routing::{Route, Target};
use tollgate_accounting::{Class, PriceCard};
use tollgate_providers::catalogue::Catalogue;
use tollgate_tokenizer::{Correction, Family, family};

use super::prices::price;
use super::{configuration, import};

pub(super) fn run(global: &Global, args: &ModelsArgs, output: &mut Output) -> Result<Exit> {
    let format = Format::chosen(args.format, global);
    if let Some(ModelsCommand::Import(args)) = &args.command {
        return import::run(global, args, output);
    }
    let mut found = if args.all {
        catalogue()
    } else {
        let Some(snapshot) = configuration(global, output)? else { return Ok(Exit::Found) };
        configured(&app::runtime(&snapshot)?, snapshot.catalogue)
    };
    found.retain(|one| args.provider.as_ref().is_none_or(|provider| *provider == one.provider));
    if let (true, Some(provider)) = (found.is_empty(), &args.provider) {
        bail!("there is no provider {provider:?} with models");
    }
    output.table(&table(&found, format), format)?;
    Ok(Exit::Good)
}

/// What a name stands for; a name with several targets has one of these for each.
struct Model {
    name: String,
    provider: String,
    model: String,
    context_window: Option<u64>,
    max_output_tokens: Option<u64>,
    family: Family,
    /// What was learned of its estimates, in words.
    correction: Option<String>,
    card: Option<PriceCard>,
}

fn configured(runtime: &Runtime, catalogue: &Catalogue<'_>) -> Vec<Model> {
    let model = |(name, route): (_, &Route), target| one(runtime, catalogue, (name, route), target);
    let names = runtime.routes.iter();
    names
        .flat_map(|(name, route)| route.targets.iter().map(move |t| model((name, route), t)))
        .collect()
}

fn one(
    runtime: &Runtime,
    catalogue: &Catalogue<'_>,
    (name, route): (&str, &Route),
    target: &Target,
) -> Model {
    let site = runtime.providers.get(target.provider);
    let kind = site.map_or("", |site| site.adapter.name());
    let info = catalogue.model(kind, &target.model);
    let caps = [route.max_output_tokens, target.max_output_tokens];
    Model {
        name: name.to_owned(),
        provider: target.provider_name.to_string(),
        model: target.model.to_string(),
        context_window: info.and_then(|info| info.context_window),
        max_output_tokens: caps.into_iter().flatten().min(),
        family: target.family,
        correction: runtime.counting.correction(&target.provider_name, &target.model).map(words),
        card: target.card(clock::now()).cloned(),
    }
}

/// `x1.22 +35, tools +310 (48 replies)`.
fn words(correction: Correction) -> String {
    let (constant, factor, tools) = correction.terms();
    let replies = correction.observations();
    format!("x{factor:.2} {constant:+.0}, tools {tools:+.0} ({replies} replies)")
}

fn catalogue() -> Vec<Model> {
    let (catalogue, now) = (Catalogue::builtin(), clock::now());
    let mut all = Vec::new();
    for provider in catalogue.providers() {
        all.extend(catalogue.models(provider).into_iter().map(|info| Model {
            name: format!("{provider}/{}", info.id),
            provider: provider.to_owned(),
            model: info.id.to_owned(),
            context_window: info.context_window,
            max_output_tokens: info.max_output_tokens,
            family: family(info.id),
            correction: None,
            card: catalogue.card(provider, info.id, now),
        }));
    }
    all
}

fn table(found: &[Model], format: Format) -> Table {
    let price_of = |name: &str| match format {
        Format::Table => Column::number(name).in_unit("$/million"),
        Format::Csv | Format::Json => Column::number(&format!("{name}_usd_per_million")),
    };
    let mut table = Table::new(vec![
        Column::text("name"),
        Column::text("provider"),
        Column::text("model"),
        Column::number("context_window"),
        Column::number("max_output_tokens"),
        Column::text("encoding"),
        Column::text("counts"),
        Column::text("correction"),
        price_of("input"),
        price_of("cache_read"),
        price_of("output"),
        Column::text("source"),
        Column::text("since"),
    ]);
    for one in found {
        let Model {
            name,
            provider,
            model,
            context_window,
            max_output_tokens,
            family,
            correction,
            card,
        } = one;
        let rates = card.as_ref().and_then(|card| card.tiers.first()).map(|tier| tier.rates);
        let listed = |class| rates.as_ref().map_or(Cell::Null, |rates| price(rates, class));
        table.rows.push(vec![
            name.as_str().into(),
            provider.as_str().into(),
            model.as_str().into(),
            (*context_window).into(),
            (*max_output_tokens).into(),
            family.encoding.name().into(),
            if family.exact { "exact" } else { "estimated" }.into(),
            correction.as_deref().into(),
            listed(Class::Input),
            listed(Class::CacheRead),
            listed(Class::Output),
            card.as_ref().map(|card| card.source.as_str()).into(),
            card.as_ref().and_then(|card| since(card.effective_from)).into(),
        ]);
    }
    table
}
