//! `[gateway]`: limits over all accounts, and over addresses that show no credential. `[plans.NAME]`:
//! named sets of limits that accounts are on.

use std::collections::BTreeMap;

use tollgate_accounting::{Limit, Metric};

use super::{accounts::timezone, limits, names::Names, reader::Section, snapshot::Gateway};
use super::{providers::is_name, reader::Field};

/// How often an address may be refused for its credential before it is told to wait.
const UNAUTHENTICATED: &str = "60 requests per minute";

/// `[gateway]`.
pub(super) fn gateway(root: &Section<'_>, names: &Names) -> Gateway {
    let usual = || UNAUTHENTICATED.parse().ok().into_iter().collect();
    let Some(table) = root.section("gateway") else {
        return Gateway {
            limits: Vec::new(),
            timezone: "UTC".to_owned(),
            unauthenticated: usual(),
            trusted_proxies: Vec::new(),
        };
    };
    let limits = limits::limits(&table, names).into_iter().map(|(_, limit)| limit).collect();
    let zone = table.get("timezone").and_then(|field| timezone(&field)).unwrap_or("UTC");
    let unauthenticated = table.get("unauthenticated").map(|field| addresses(&field));
    let proxies = table.get("trusted_proxies").and_then(|field| field.list());
    let proxies = proxies.into_iter().flatten().filter_map(|item| item.network());
    let trusted_proxies = proxies.collect();
    table.done();
    Gateway {
        limits,
        timezone: zone.to_owned(),
        unauthenticated: unauthenticated.unwrap_or_else(usual),
        trusted_proxies,
    }
}

/// Limits of a client's address. Nothing was asked of a model, so only requests can be counted.
fn addresses(field: &Field<'_>) -> Vec<Limit> {
    let mut found: Vec<Limit> = Vec::new();
    for item in field.list().into_iter().flatten() {
        let Some(limit) = limits::short(&item) else { continue };
        if limit.metric != Metric::Requests {
            item.error::<()>("an address without a credential makes requests, and nothing else");
        } else if found.iter().any(|have| have.key() == limit.key()) {
            item.error::<()>("the list has this limit already");
        } else {
            found.push(limit);
        }
    }
    found
}

/// `[plans.NAME]`, by name.
pub(super) fn plans(root: &Section<'_>, names: &Names) -> BTreeMap<String, Vec<Limit>> {
    let mut plans = BTreeMap::new();
    for (name, field) in root.section("plans").iter().flat_map(Section::rest) {
        if !is_name(name) {
            let message = "a plan's name has letters, digits, `-`, `_` and `.` only";
            field.key_error(message, None);
        }
        let Some(table) = field.section() else { continue };
        let limits = limits::limits(&table, names);
        table.done();
        if limits.is_empty() {
            field.warn("the plan has no limit at all", None);
        }
        plans.insert(name.to_owned(), limits.into_iter().map(|(_, limit)| limit).collect());
    }
    plans
}
