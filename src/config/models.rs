//! `[models.NAME]`: the aliases that clients ask for.

use tollgate_accounting::{Limit, Timestamp};
use toml::de::DeValue;

use super::{
    limits,
    names::{Names, Served},
    prices::instant,
    providers::{is_model, tags},
    reader::{Field, Section},
    snapshot::{Account, Alias, End, Route, Shadow, Target},
};

const ROUTES: [(&str, Route); 5] = [
    ("cheapest", Route::Cheapest),
    ("fastest", Route::Fastest),
    ("weighted", Route::Weighted),
    ("ordered", Route::Ordered),
    ("blend", Route::Blend { cost: 1, latency: 1 }),
];
/// A plan tries its targets one after the other, so a longer list is a longer wait.
const MOST_TARGETS: usize = 16;
/// Shadow calls in flight at once, where nothing is said.
const SHADOWS: usize = 8;

/// An alias and where it stands, for what can only be judged when all else was read.
pub(super) struct Placed<'t> {
    pub(super) field: Field<'t>,
    pub(super) alias: Alias,
    /// One for each target of the alias.
    pub(super) targets: Vec<Field<'t>>,
    /// The name that takes its place.
    successor: Option<Field<'t>>,
    /// Of its shadow: the account that pays, and the model.
    pub(super) shadow: Option<(Field<'t>, Field<'t>)>,
}

/// Warns of aliases whose place is to be taken by nothing.
pub(super) fn successors(aliases: &[Placed<'_>], names: &Names) {
    for placed in aliases {
        if let (Some(field), Some(name)) = (&placed.successor, &placed.alias.end.successor) {
            names.warn_unless_known(field, name);
        }
    }
}

/// Shadows are paid by an account that there is, within limits of its own.
pub(super) fn payers(aliases: &[Placed<'_>], accounts: &[Account]) {
    for placed in aliases {
        let (Some((field, _)), Some(shadow)) = (&placed.shadow, &placed.alias.shadow) else {
            continue;
        };
        let path = &*shadow.account;
        match accounts.iter().find(|account| account.path == path) {
            None => {
                let known = accounts.iter().map(|account| &*account.path);
                let message = format!("there is no account `{path}`");
                field.unknown_name::<()>(&message, known, path);
            }
            Some(account) if account.limits.is_empty() && account.plan.is_none() => {
                let help = format!("add limits to [accounts.{path}]");
                field.error_help::<()>("the account has no limits of its own", &help);
            }
            Some(_) => {}
        }
    }
}

/// All aliases, in the order of the file.
pub(super) fn models<'t>(root: &Section<'t>, served: &Served<'_>) -> Vec<Placed<'t>> {
    let mut aliases = Vec::new();
    for (name, field) in root.section("models").iter().flat_map(Section::rest) {
        check_name(name, &field, served);
        if let Some(table) = field.section() {
            aliases.push(alias(name, field, table, served));
        }
    }
    aliases
}

fn check_name(name: &str, field: &Field<'_>, served: &Served<'_>) {
    if !is_model(name) || name.ends_with('*') {
        let message = "an alias has no spaces, no `*` at its end and at most 256 characters";
        field.key_error(message, None);
    }
    if name.split_once('/').is_some_and(|(provider, _)| served.knows(provider)) {
        let message = "the alias reads like a model at a provider";
        field.key_error(message, Some("give it another name"));
    }
}

fn alias<'t>(name: &str, field: Field<'t>, table: Section<'t>, served: &Served<'_>) -> Placed<'t> {
    let route = route(&field, &table);
    let max_output_tokens = table.get("max_output_tokens");
    let max_output_tokens = max_output_tokens.and_then(|field| field.whole(1..=10_000_000));
    let max_cost = table.get("max_cost").and_then(|field| field.dollars());
    let max_latency = table.get("max_latency").and_then(|field| field.duration());
    let hedge_after = table.get("hedge_after").and_then(|field| field.duration());
    let list = table.require("targets", "it says what the alias stands for");
    let targets = list.map(|list| targets(&list, route, served)).unwrap_or_default();
    let kept = |list: Option<Field<'t>>| {
        let targets = list.map(|list| self::targets(&list, Route::Ordered, served));
        targets.unwrap_or_default().into_iter().map(|(_, target)| target).collect()
    };
    let on_context_length = kept(table.get("on_context_length"));
    let on_content_policy = kept(table.get("on_content_policy"));
    let shadow = table.section("shadow").map(|table| shadow(&table, served));
    let (shadowed, shadow) = shadow.flatten().unzip();
    let successor = table.get("successor");
    let end = end(name, &field, &table, successor.as_ref());
    if route == Route::Weighted && !targets.is_empty() && targets.iter().all(|(_, t)| t.weight == 0)
    {
        field.key_error("all weights are 0", None);
    }
    table.done();
    let (places, targets) = targets.into_iter().unzip();
    let alias = Alias {
        name: name.to_owned(),
        route,
        targets,
        max_output_tokens,
        max_cost,
        max_latency,
        hedge_after,
        on_context_length,
        on_content_policy,
        end,
        shadow,
    };
    Placed { field, alias, targets: places, successor, shadow: shadowed }
}

/// `[models.NAME.shadow]`, with the places of the account and the model.
fn shadow<'t>(
    table: &Section<'t>,
    served: &Served<'_>,
) -> Option<((Field<'t>, Field<'t>), Shadow)> {
    let percent = table.require("percent", "of a hundred calls, so many are made once more");
    let account = table.require("account", "it names the account that pays");
    let at_once = table.get("at_once");
    let model = table.get("model");
    let target = aimed(table, Route::Ordered, served);
    table.done();
    let at_once = match at_once {
        Some(field) => field.whole(1..=256).and_then(|most| usize::try_from(most).ok()),
        None => Some(SHADOWS),
    };
    let percent = percent.and_then(|field| field.whole(1..=100));
    let percent = percent.and_then(|percent| u32::try_from(percent).ok());
    let (account, model) = (account?, model?);
    let path = account.text()?.to_owned();
    let shadow = Shadow { target: target?, percent: percent?, account: path, at_once: at_once? };
    Some(((account, model), shadow))
}

/// `deprecated`, `sunset`, `successor` and `[[models.NAME.tighten]]`.
fn end(name: &str, alias: &Field<'_>, table: &Section<'_>, successor: Option<&Field<'_>>) -> End {
    let deprecated = table.get("deprecated").and_then(|field| instant(&field));
    let sunset = table.get("sunset").and_then(|field| instant(&field));
    if let (Some(deprecated), Some(sunset)) = (deprecated, sunset)
        && sunset < deprecated
    {
        alias.key_error("it is refused before its clients are told to leave it", None);
    }
    let successor = successor.and_then(Field::text).map(str::to_owned);
    let mut tighten: Vec<(Timestamp, Limit)> = Vec::new();
    if let Some(field) = table.get("tighten") {
        if !matches!(field.value, DeValue::Array(_)) {
            let help = format!("write [[{}]], once for each limit", field.path);
            field.error_help::<()>("must be a list of tables", &help);
            return End { deprecated, sunset, successor, tighten };
        }
        for item in field.list().into_iter().flatten() {
            let Some((from, limit)) = item.section().and_then(|table| tightened(name, &table))
            else {
                continue;
            };
            if tighten.last().is_some_and(|(before, _)| *before >= from) {
                item.error::<()>("each limit holds from a later instant than the one before");
            }
            tighten.push((from, limit));
        }
    }
    End { deprecated, sunset, successor, tighten }
}

/// One limit of an alias's last months, on its calls alone.
fn tightened(name: &str, table: &Section<'_>) -> Option<(Timestamp, Limit)> {
    let from = table.require("from", "it says when the limit begins to hold");
    let limit = table.require("limit", "it says what may be asked from then on");
    table.done();
    let mut limit = limits::short(&limit?)?;
    limit.filter.models = vec![name.to_owned()];
    Some((instant(&from?)?, limit))
}

fn route(alias: &Field<'_>, table: &Section<'_>) -> Route {
    let route = table.get("route").and_then(|field| field.choice(&ROUTES));
    let route = route.unwrap_or(Route::Ordered);
    let blend = matches!(route, Route::Blend { .. });
    let weight = |field: Option<Field<'_>>| {
        let Some(field) = field else { return 1 };
        if !blend {
            field.warn("it counts only under route = \"blend\"", None);
        }
        field.whole(0..=1_000).and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1)
    };
    let (cost, latency) = (weight(table.get("cost_weight")), weight(table.get("latency_weight")));
    if blend && cost == 0 && latency == 0 {
        alias.key_error("both weights are 0", None);
    }
    if blend { Route::Blend { cost, latency } } else { route }
}

/// A list of targets, each with its place.
fn targets<'t>(list: &Field<'t>, route: Route, served: &Served<'_>) -> Vec<(Field<'t>, Target)> {
    let Some(items) = list.list() else { return Vec::new() };
    if items.is_empty() {
        list.error::<()>("the alias stands for nothing");
    } else if items.len() > MOST_TARGETS {
        list.error::<()>(&format!("more than {MOST_TARGETS} targets"));
    }
    let mut targets: Vec<(Field<'t>, Target)> = Vec::new();
    for item in items {
        let Some(target) = target(&item, route, served) else { continue };
        let same = |(_, other): &(_, Target)| {
            other.provider == target.provider && other.model == target.model
        };
        if targets.iter().any(same) {
            item.error::<()>("the alias has this target twice");
        } else {
            targets.push((item, target));
        }
    }
    targets
}

fn target(item: &Field<'_>, route: Route, served: &Served<'_>) -> Option<Target> {
    let table = item.section()?;
    let target = aimed(&table, route, served);
    table.done();
    target
}

/// The keys of a target, in a table that may have others.
fn aimed(table: &Section<'_>, route: Route, served: &Served<'_>) -> Option<Target> {
    let provider_field = table.require("provider", "it names an entry of [providers]");
    let model_field = table.require("model", "the name by which the provider knows it");
    let weight_field = table.get("weight");
    let tags = tags(table.get("tags"));
    let weight = match &weight_field {
        Some(field) if route != Route::Weighted => {
            field.warn("weights count only under route = \"weighted\"", None);
            Some(1)
        }
        Some(field) => field.whole(0..=1_000_000).and_then(|weight| u32::try_from(weight).ok()),
        None => Some(1),
    };
    let provider_field = provider_field?;
    let provider = provider_field.text()?;
    if !served.knows(provider) {
        let message = format!("there is no provider `{provider}`");
        return provider_field.unknown_name(&message, served.providers(), provider);
    }
    let model_field = model_field?;
    let model = model_field.text()?;
    if !is_model(model) {
        return model_field.error("a model's name has no spaces and at most 256 characters");
    }
    let target =
        Target { provider: provider.to_owned(), model: model.to_owned(), weight: weight?, tags };
    // What has no price either is warned of for that.
    if served.has_price(provider, model) && served.lacks(provider, model) {
        model_field.warn("the provider does not list this model", served.nearest(provider, model));
    }
    Some(target)
}
