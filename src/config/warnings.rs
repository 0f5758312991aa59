//! What is well-formed and still probably not meant: names that nobody can reach, and models without
//! a price.

use toml::de::DeValue;

use super::{
    models::Placed,
    names::Served,
    reader::{Field, Section},
    snapshot::{Account, Target, UnknownPrice},
};

/// Warns of aliases that no account may ask for, or that stand in front of a model.
pub(super) fn aliases(aliases: &[Placed<'_>], served: &Served<'_>, accounts: &[Account]) {
    for Placed { field, alias, .. } in aliases {
        let allowed = |account: &Account| account.models.allows(&alias.name);
        if !accounts.is_empty() && !accounts.iter().any(allowed) {
            field.key_warning("unreachable: no account is allowed this alias", None);
        }
        for provider in served.providers().filter(|name| served.has(name, &alias.name)) {
            let own = |target: &Target| target.provider == provider && target.model == alias.name;
            if !alias.targets.iter().any(own) {
                let message = format!("hides the model of that name at `{provider}`");
                let help = format!("it stays reachable as `{provider}/{}`", alias.name);
                field.key_warning(&message, Some(help));
            }
        }
    }
}

/// Warns of what leaves nothing to ask for, or nobody to ask.
pub(super) fn emptiness(
    root: &Section<'_>,
    aliases: &[Placed<'_>],
    served: &Served<'_>,
    accounts: &[Account],
) {
    if accounts.is_empty() {
        let help = "add [accounts.NAME], then `tollgate key create --account NAME`";
        root.warn("there is no account, so every call is refused", help);
    }
    if served.providers().next().is_none() {
        root.warn("there is no provider, so every call is refused", "add [providers.NAME]");
    }
    for (name, field) in root.section("providers").iter().flat_map(Section::rest) {
        let target = |target: &Target| target.provider == name;
        let of = |Placed { alias, .. }: &Placed<'_>| {
            let kept = alias.on_context_length.iter().chain(&alias.on_content_policy);
            let shadow = alias.shadow.iter().map(|shadow| &shadow.target);
            alias.targets.iter().chain(kept).chain(shadow).any(target)
        };
        let aliased = aliases.iter().any(of);
        if field.is_table() && served.nothing_at(name) && !aliased {
            let help = "add models = [..], or an alias with a target there";
            field.key_warning("nothing can be asked of this provider", Some(help.to_owned()));
        }
    }
}

/// Warns of models that can be asked for and have no price.
pub(super) fn prices(
    root: &Section<'_>,
    aliases: &[Placed<'_>],
    served: &Served<'_>,
    unknown: UnknownPrice,
) {
    let outcome = match unknown {
        UnknownPrice::Refuse => "refused",
        UnknownPrice::Ceiling(_) => "charged at the ceiling",
    };
    let warn = |field: &Field<'_>, provider: &str, model: &str| {
        if !served.has_price(provider, model) {
            let nearest = served.nearest(provider, model).filter(|_| !served.has(provider, model));
            let help = nearest.unwrap_or_else(|| format!("add [prices.\"{provider}/{model}\"]"));
            let message = format!("`{provider}/{model}` has no price, so its calls are {outcome}");
            field.warn(&message, Some(help));
        }
    };
    for (name, field) in root.section("providers").iter().flat_map(Section::rest) {
        let listed = field.section().and_then(|table| table.get("models")?.list());
        let mut models: Vec<(&str, Field<'_>)> = Vec::new();
        for item in listed.into_iter().flatten() {
            if let DeValue::String(model) = item.value
                && served.has(name, model)
                && !models.iter().any(|(other, _)| other == model)
            {
                models.push((model, item));
            }
        }
        models.iter().for_each(|(model, item)| warn(item, name, model));
    }
    for Placed { alias, targets, shadow, .. } in aliases {
        let shadow = shadow.iter().map(|(_, model)| model);
        let shadows = shadow.zip(alias.shadow.iter().map(|shadow| &shadow.target));
        for (field, target) in targets.iter().zip(&alias.targets).chain(shadows) {
            // A model that its provider lists is warned of there.
            if !served.has(&target.provider, &target.model) {
                warn(field, &target.provider, &target.model);
            }
        }
    }
}
