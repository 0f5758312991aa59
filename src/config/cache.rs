//! `[cache]`: how much is kept, how long, for whom.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::names::Names;
use super::reader::{Field, Section};
use super::snapshot::Account;
use crate::cache::{Bounds, Place, Policy};

const BYTES: u64 = 64 << 20;
const REPLY_BYTES: u64 = 1 << 20;
const DISK_BYTES: u64 = 1 << 30;
const TTL: Duration = Duration::from_secs(3600);

/// There is a cache where the table is, even an empty one.
pub(super) fn cache(
    root: &Section<'_>,
    storage: &Path,
    names: &Names,
    accounts: &[Account],
) -> Option<Policy> {
    let table = root.section("cache")?;
    let whole = |key, bounds| table.get(key).and_then(|field| field.whole(bounds));
    let max_bytes = whole("max_bytes", 1 << 20..=1 << 40).unwrap_or(BYTES);
    let reply = whole("max_reply_bytes", 1_024..=1 << 28).unwrap_or(REPLY_BYTES);
    let ttl = table.get("ttl").and_then(|field| field.duration()).unwrap_or(TTL);
    let bounds =
        Bounds { max_bytes, max_reply_bytes: usize::try_from(reply).unwrap_or(usize::MAX), ttl };
    let models = terms(&table, "models", |name, field| names.warn_unless_known(field, name));
    let known = |name: &str, field: &Field<'_>| account(name, field, accounts);
    let by_account = terms(&table, "accounts", known);
    let keys = terms(&table, "keys", |_, _| {});
    let groups = groups(&table, accounts);
    let disk = disk(&table, storage);
    table.done();
    Some(Policy { bounds, models, accounts: by_account, keys, groups, disk })
}

/// The file for what memory lets go of, which is never the ledger's.
fn disk(table: &Section<'_>, storage: &Path) -> Option<Place> {
    let bounds = table.get("disk_max_bytes");
    let max_bytes = bounds.as_ref().and_then(|field| field.whole(1 << 20..=1 << 44));
    let Some(field) = table.get("disk") else {
        let alone = "it bounds a file that `disk` names, and there is none";
        bounds.iter().for_each(|field| field.warn(alone, None));
        return None;
    };
    let path = table.reader.resolve(field.text()?);
    if path == storage {
        return field.error("that is the ledger; the cache has a file of its own");
    }
    Some(Place { path, max_bytes: max_bytes.unwrap_or(DISK_BYTES) })
}

/// Names to how long, or never.
fn terms(
    table: &Section<'_>,
    key: &'static str,
    check: impl Fn(&str, &Field<'_>),
) -> BTreeMap<String, Option<Duration>> {
    let mut terms = BTreeMap::new();
    for (name, field) in table.section(key).iter().flat_map(Section::rest) {
        check(name, &field);
        let off = matches!(field.value, DeValue::String(text) if text == "off");
        if let Some(ttl) = if off { Some(None) } else { field.duration().map(Some) } {
            terms.insert(name.to_owned(), ttl);
        }
    }
    terms
}

/// Accounts to the one group that each is of.
fn groups(table: &Section<'_>, accounts: &[Account]) -> BTreeMap<String, String> {
    let mut groups = BTreeMap::<String, String>::new();
    for (group, field) in table.section("groups").iter().flat_map(Section::rest) {
        for member in field.list().into_iter().flatten() {
            let Some(path) = member.text() else { continue };
            account(path, &member, accounts);
            if let Some(other) = groups.insert(path.to_owned(), group.to_owned()) {
                member.error::<()>(&format!("`{path}` is of the group `{other}` already"));
            }
        }
    }
    groups
}

fn account(path: &str, field: &Field<'_>, accounts: &[Account]) {
    let known = accounts.iter().map(|account| &*account.path);
    if !known.clone().any(|known| known == path) {
        field.unknown_name::<()>(&format!("there is no account `{path}`"), known, path);
    }
}
