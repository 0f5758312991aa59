//! `[providers.NAME]`: the places that serve models.

use std::{collections::BTreeMap, time::Duration};

use tollgate_providers::unified::{Auth, Provider as Adapter};

use super::{
    reader::{Field, Section, shorten},
    secret::Secret,
    snapshot::{OnClientGone, Provider, Signing},
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
    let aws = adapter.is_some_and(|adapter| adapter.aws_service().is_some());
    let signing = if aws { signing(&table, base_url.as_deref()) } else { None };
    let timeout =
        |key, default| table.get(key).and_then(|field| field.duration()).unwrap_or(default);
    let connect_timeout = timeout("connect_timeout", CONNECT_TIMEOUT);
    let first_byte_timeout = timeout("first_byte_timeout", FIRST_BYTE_TIMEOUT);
    let idle_timeout = timeout("idle_timeout", IDLE_TIMEOUT);
    let max_retries = table.get("max_retries").and_then(|field| field.whole(0..=10));
    let on_client_gone = table.get("on_client_gone").and_then(|field| {
        field.choice(&[("cancel", OnClientGone::Cancel), ("drain", OnClientGone::Drain)])
    });
    let hand_over_batches = hand_over_batches(&table, adapter);
    let models = models(&table);
    let tags = tags(table.get("tags"));
    table.done();
    Provider {
        name: name.to_owned(),
        kind: adapter.map_or("", |adapter| adapter.name()),
        base_url,
        api_keys,
        signing,
        models,
        tags,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        on_client_gone: on_client_gone.unwrap_or(OnClientGone::Cancel),
        max_retries: max_retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(MAX_RETRIES),
        hand_over_batches,
    }
}

fn hand_over_batches(table: &Section<'_>, adapter: Option<Known>) -> bool {
    let Some(field) = table.get("batches") else { return false };
    let wanted = field.choice(&[("lines", false), ("hand_over", true)]).unwrap_or(false);
    if wanted && adapter.is_some_and(|adapter| !adapter.has_batches()) {
        return field
            .error("this kind of provider has no batch endpoint that is known here")
            .unwrap_or(false);
    }
    wanted
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

/// An AWS access key, which excludes a key of the provider's own.
fn signing(table: &Section<'_>, base_url: Option<&str>) -> Option<Signing> {
    let [id, secret, token] =
        ["access_key_id", "secret_access_key", "session_token"].map(|key| table.get(key));
    let region = table.get("region");
    if id.is_none() && secret.is_none() && token.is_none() && region.is_none() {
        return None;
    }
    for key in ["api_key", "api_keys"] {
        if let Some(field) = table.get(key) {
            field.error::<()>("a key and an AWS access key exclude each other");
        }
    }
    let why = "requests are signed with access_key_id and secret_access_key";
    let id = table.require("access_key_id", why)?.secret()?;
    let secret = table.require("secret_access_key", why)?.secret()?;
    let session_token = match token {
        None => None,
        Some(field) => Some(field.secret()?),
    };
    let region = match (region, base_url.and_then(region_of)) {
        (Some(field), _) => field.text()?.to_owned(),
        (None, Some(region)) => region.to_owned(),
        (None, None) => {
            table.require("region", "the address does not say it")?;
            return None;
        }
    };
    Some(Signing { access_key_id: id, secret_access_key: secret, session_token, region })
}

/// The region in `https://bedrock-runtime.us-east-1.amazonaws.com`.
fn region_of(base_url: &str) -> Option<&str> {
    let host = base_url.split("://").nth(1)?.split('/').next()?;
    let mut labels = host.strip_suffix(".amazonaws.com")?.split('.');
    labels.next()?;
    labels.next().filter(|region| !region.is_empty() && labels.next().is_none())
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

/// A list of tags.
pub(super) fn tags(field: Option<Field<'_>>) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for item in field.and_then(|field| field.list()).into_iter().flatten() {
        let Some(tag) = item.text() else { continue };
        if !is_name(&tag.replace(':', "-")) {
            item.error::<()>("a tag has letters, digits, `-`, `_`, `.` and `:` only");
        } else if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    tags
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
