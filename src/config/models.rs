//! `[models.NAME]`: the aliases that clients ask for.

use super::{
    names::Served,
    providers::is_model,
    reader::{Field, Section},
    snapshot::{Alias, Route, Target},
};

const ROUTES: [(&str, Route); 4] = [
    ("cheapest", Route::Cheapest),
    ("fastest", Route::Fastest),
    ("weighted", Route::Weighted),
    ("ordered", Route::Ordered),
];
/// A plan tries its targets one after the other, so a longer list is a longer wait.
const MOST_TARGETS: usize = 16;

/// An alias and where it stands, for what can only be judged when all else was read.
pub(super) struct Placed<'t> {
    pub(super) field: Field<'t>,
    pub(super) alias: Alias,
    /// One for each target of the alias.
    pub(super) targets: Vec<Field<'t>>,
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
    let route = table.get("route").and_then(|field| field.choice(&ROUTES));
    let route = route.unwrap_or(Route::Ordered);
    let max_output_tokens = table.get("max_output_tokens");
    let max_output_tokens = max_output_tokens.and_then(|field| field.whole(1..=10_000_000));
    let list = table.require("targets", "it says what the alias stands for");
    let items = list.as_ref().and_then(|list| list.list());
    match (&list, &items) {
        (Some(list), Some(items)) if items.is_empty() => {
            list.error::<()>("the alias stands for nothing")
        }
        (Some(list), Some(items)) if items.len() > MOST_TARGETS => {
            list.error(&format!("more than {MOST_TARGETS} targets"))
        }
        _ => None,
    };
    let mut targets: Vec<(Field<'t>, Target)> = Vec::new();
    for item in items.into_iter().flatten() {
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
    if route == Route::Weighted && !targets.is_empty() && targets.iter().all(|(_, t)| t.weight == 0)
    {
        field.key_error("all weights are 0", None);
    }
    table.done();
    let (places, targets) = targets.into_iter().unzip();
    Placed {
        field,
        alias: Alias { name: name.to_owned(), route, targets, max_output_tokens },
        targets: places,
    }
}

fn target(item: &Field<'_>, route: Route, served: &Served<'_>) -> Option<Target> {
    let table = item.section()?;
    let provider_field = table.require("provider", "it names an entry of [providers]");
    let model_field = table.require("model", "the name by which the provider knows it");
    let weight_field = table.get("weight");
    table.done();
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
    let target = Target { provider: provider.to_owned(), model: model.to_owned(), weight: weight? };
    // What has no price either is warned of for that.
    if served.has_price(provider, model) && served.lacks(provider, model) {
        model_field.warn("the provider does not list this model", served.nearest(provider, model));
    }
    Some(target)
}
