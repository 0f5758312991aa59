//! What is well-formed and still probably not meant: aliases that nobody can reach, and models
//! without a price.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::{
    models::Placed,
    providers::is_anywhere,
    reader::{Field, Section},
    snapshot::{Account, Prices, Provider, Target, UnknownPrice},
};

/// Warns of aliases that no account may ask for, or that stand in front of a model.
pub(super) fn reachability(
    root: &Section<'_>,
    aliases: &[Placed<'_>],
    providers: &BTreeMap<String, Provider>,
    accounts: &[Account],
) {
    if accounts.is_empty() {
        let help = "add [accounts.NAME], then `tollgate key create --account NAME`";
        root.warn("there is no account, so every call is refused", help);
    }
    if providers.is_empty() {
        root.warn("there is no provider, so every call is refused", "add [providers.NAME]");
    }
    for Placed { field, alias, .. } in aliases {
        let allowed = |account: &Account| account.models.allows(&alias.name);
        if !accounts.is_empty() && !accounts.iter().any(allowed) {
            field.key_warning("unreachable: no account is allowed this alias", None);
        }
        for provider in providers.values().filter(|p| p.models.contains(&alias.name)) {
            let own =
                |target: &Target| target.provider == provider.name && target.model == alias.name;
            if !alias.targets.iter().any(own) {
                let message = format!("hides the model of that name at `{}`", provider.name);
                let help = format!("it stays reachable as `{}/{}`", provider.name, alias.name);
                field.key_warning(&message, Some(help));
            }
        }
    }
}

/// Warns of models that can be asked for and have no price.
pub(super) fn prices(
    root: &Section<'_>,
    aliases: &[Placed<'_>],
    providers: &BTreeMap<String, Provider>,
    prices: &Prices,
    unknown: UnknownPrice,
) {
    let warn = |field: &Field<'_>, provider: &str, model: &str| {
        if prices.has(provider, model) || providers.get(provider).is_none_or(has_price_list) {
            return;
        }
        let outcome = match unknown {
            UnknownPrice::Refuse => "its calls are refused",
            UnknownPrice::Ceiling(_) => "its calls are charged at the ceiling",
        };
        let help = format!("add [prices.\"{provider}/{model}\"]");
        field.warn(&format!("`{provider}/{model}` has no price, so {outcome}"), Some(help));
    };
    for (name, field) in root.section("providers").iter().flat_map(Section::rest) {
        let listed = field.section().and_then(|table| table.get("models")?.list());
        let mut accepted = providers.get(name).map_or(&[][..], |provider| &provider.models).iter();
        let mut next = accepted.next();
        for item in listed.into_iter().flatten() {
            if let (DeValue::String(model), Some(expected)) = (item.value, next)
                && model == expected
            {
                warn(&item, name, model);
                next = accepted.next();
            }
        }
    }
    for Placed { alias, targets, .. } in aliases {
        for (field, target) in targets.iter().zip(&alias.targets) {
            // A model that its provider lists is warned of there.
            let listed =
                providers.get(&target.provider).is_some_and(|p| p.models.contains(&target.model));
            if !listed {
                warn(field, &target.provider, &target.model);
            }
        }
    }
}

/// Whether there is a built-in price list for what the provider serves.
fn has_price_list(provider: &Provider) -> bool {
    tollgate_providers::provider(provider.kind).is_none_or(|adapter| !is_anywhere(adapter))
}
