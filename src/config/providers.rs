//! `[providers.NAME]`: the places that serve models.

use std::{collections::BTreeMap, time::Duration};

use tollgate_providers::unified::{Auth, Provider as Adapter};

use super::{
    reader::{Field, Section, shorten},
    secret::Secret,
    snapshot::{OnClientGone, Provider},
    values::split_port,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole reply begins only when the model has finished, which takes reasoning models minutes.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(300);
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_RETRIES: u32 = 2;

/// All providers by name.
pub(super) fn providers(root: &Section<'_>) -> BTreeMap<String, Provider> {
    let mut providers = BTreeMap::new();
    for (name, field) in root.section("providers").iter().flat_map(Section::rest) {
        if !is_name(name) {
            let message = "a provider's name has letters, digits, `-`, `_` and `.` only";
            field.key_error(message, None);
        }
        if let Some(table) = field.section() {
            // A provider with an error keeps its place, so that what refers to it is not blamed.
            providers.insert(name.to_owned(), provider(name, &field, table));
        }
    }
    providers
}

fn provider(name: &str, field: &Field<'_>, table: Section<'_>) -> Provider {
    let kind = table.require("kind", "it says how to speak to the provider");
    let adapter = kind.and_then(|field| adapter(&field));
    let base_url = base_url(field, &table, adapter);
    let api_keys = api_keys(field, &table, adapter);
    let timeout =
        |key, default| table.get(key).and_then(|field| field.duration()).unwrap_or(default);
    let connect_timeout = timeout("connect_timeout", CONNECT_TIMEOUT);
    let first_byte_timeout = timeout("first_byte_timeout", FIRST_BYTE_TIMEOUT);
    let idle_timeout = timeout("idle_timeout", IDLE_TIMEOUT);
    let max_retries = table.get("max_retries").and_then(|field| field.whole(0..=10));
    let on_client_gone = table.get("on_client_gone").and_then(|field| {
        field.choice(&[("cancel", OnClientGone::Cancel), ("drain", OnClientGone::Drain)])
    });
    let models = models(&table);
    table.done();
    Provider {
        name: name.to_owned(),
        kind: adapter.map_or("", |adapter| adapter.name()),
        base_url,
        api_keys,
        models,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        on_client_gone: on_client_gone.unwrap_or(OnClientGone::Cancel),
        max_retries: max_retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(MAX_RETRIES),
    }
}

/// How a kind of provider is spoken to.
type Known = &'static dyn Adapter;

fn adapter(field: &Field<'_>) -> Option<Known> {
    let kind = field.text()?;
    let found = tollgate_providers::provider(kind);
    if found.is_none() {
        let message = format!("there is no kind `{}`", shorten(kind));
        return field.unknown_name(&message, tollgate_providers::kinds(), kind);
    }
    found
}

/// Whether it is part of this process, with neither an address nor a key.
fn is_built_in(adapter: Known) -> bool {
    adapter.auth() == Auth::None
}

/// Whether it can be anywhere, so that neither its address nor its models are known.
fn is_anywhere(adapter: Known) -> bool {
    adapter.base_url().is_none() && !is_built_in(adapter)
}

fn base_url(provider: &Field<'_>, table: &Section<'_>, adapter: Option<Known>) -> Option<String> {
    let field = table.get("base_url");
    let adapter = adapter?;
    let Some(field) = field else {
        if is_anywhere(adapter) {
            let message = format!("a provider of kind `{}` needs a base_url", adapter.name());
            provider.key_error(&message, Some("add base_url = \"https://host/v1\""));
        }
        return None;
    };
    if is_built_in(adapter) {
        return field.error("this kind of provider is built in: it has no URL");
    }
    let url = field.base_url()?;
    if url.strip_prefix("http://").is_some_and(|rest| !is_loopback(rest)) {
        let help = "use https://, or keep the provider on this machine";
        field.warn("prompts and keys travel unencrypted", Some(help.to_owned()));
    }
    Some(url)
}

fn is_loopback(after_scheme: &str) -> bool {
    let (host, _) = split_port(after_scheme.split('/').next().unwrap_or_default());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `api_key` is one key, `api_keys` a pool.
fn api_keys(provider: &Field<'_>, table: &Section<'_>, adapter: Option<Known>) -> Vec<Secret> {
    let (one, pool) = (table.get("api_key"), table.get("api_keys"));
    if let (Some(_), Some(pool)) = (&one, &pool) {
        pool.error::<()>("api_key and api_keys exclude each other");
    }
    match (adapter, one.as_ref().or(pool.as_ref())) {
        (Some(adapter), Some(field)) if is_built_in(adapter) => {
            field.error::<()>("this kind of provider is built in: it has no key");
        }
        (Some(adapter), None) if adapter.base_url().is_some() && !is_built_in(adapter) => {
            let help = Some("add api_key = \"env:NAME\"".to_owned());
            provider.key_warning("the provider has no key", help);
        }
        _ => {}
    }
    let pool = pool.and_then(|field| {
        let items = field.list()?;
        if items.is_empty() { field.error("the pool of keys is empty") } else { Some(items) }
    });
    one.into_iter().chain(pool.into_iter().flatten()).filter_map(|field| field.secret()).collect()
}

/// What a provider says it serves. A list can be left out where others know what is
/// served.
fn models(table: &Section<'_>) -> Vec<String> {
    let mut models: Vec<String> = Vec::new();
    let Some(field) = table.get("models") else { return models };
    for item in field.list().into_iter().flatten() {
        let Some(model) = item.text() else { continue };
        if models.iter().any(|known| known == model) {
            item.error::<()>("the model is listed twice");
        } else if !is_model(model) {
            item.error::<()>("a model's name has no spaces and at most 256 characters");
        } else {
            models.push(model.to_owned());
        }
    }
    models
}

/// A name that can stand before the slash of `provider/model`, in a header and in a metric.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len()) && name.chars().all(allowed)
}

/// A model as its provider calls it, slashes and colons included.
pub(super) fn is_model(name: &str) -> bool {
    (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}
