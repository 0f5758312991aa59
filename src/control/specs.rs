//! The account tree as the book takes it: the configuration, and what was decided since.

use tollgate_accounting::{AccountSpec, Limit};

use super::{Account, ControlError, Tenancy, limit, sharing};
use crate::ledger::{Administered, KeyRow, RaiseRow};

/// The book's accounts: the root with the gateway's own limits, the configuration's accounts with
/// their plans and with what was decided while running, and a node below its account for each
/// credential that has limits of its own and for each run.
pub(super) fn specs(
    tenancy: &Tenancy,
    added: &Administered,
    keys: &[&KeyRow],
) -> Result<Vec<AccountSpec>, ControlError> {
    let Tenancy { accounts, plans: _, limits, zone } = tenancy;
    let mut specs = Vec::with_capacity(1 + accounts.len() + keys.len() + added.runs.len());
    let root = beside(limits.clone(), "", added)?;
    specs.push(AccountSpec { path: String::new(), zone: zone.clone(), limits: root });
    for account in accounts {
        let limits = limits_of(tenancy, account, added)?;
        specs.push(AccountSpec { path: account.path.clone(), zone: account.zone.clone(), limits });
    }
    let child = |account: &str, path: String, limits: &str| {
        let zone = accounts.iter().find(|a| a.path == account).map(|a| a.zone.clone());
        let zone = zone.unwrap_or_else(|| "UTC".to_owned());
        let limits = limits.lines().map(limit).collect::<Result<_, _>>()?;
        Ok::<_, ControlError>(AccountSpec { path, zone, limits })
    };
    for row in keys.iter().filter(|row| !row.limits.is_empty()) {
        specs.push(child(&row.account, charged_path(row), &row.limits)?);
    }
    for row in &added.runs {
        specs.push(child(&row.account, row.path(), &row.limits)?);
    }
    Ok(specs)
}

/// An account's limits as they are now: its own, those of its plan, those added, each raised as far as
/// a raise says. Of two that count the same, the account's own goes before its plan's.
pub(super) fn limits_of(
    tenancy: &Tenancy,
    account: &Account,
    added: &Administered,
) -> Result<Vec<Limit>, ControlError> {
    let mut limits = account.limits.clone();
    if let Some(name) = plan_of(account, added) {
        let plan = tenancy.plans.iter().find(|plan| plan.name == name);
        let plan = plan.ok_or_else(|| ControlError::NoPlan {
            account: account.path.clone(),
            plan: name.to_owned(),
        })?;
        plan.limits.iter().for_each(|limit| add(&mut limits, limit.clone()));
    }
    let mut limits = beside(limits, &account.path, added)?;
    for row in added.subscriptions.iter().filter(|row| row.account == account.path) {
        sharing::in_force(row)?.into_iter().for_each(|limit| tighten(&mut limits, limit));
    }
    for raise in added.raises.iter().filter(|raise| raise.account == account.path) {
        raised(&mut limits, raise)?;
    }
    Ok(limits)
}

/// The plan that an account is on: what was decided while running goes before the configuration.
pub(super) fn plan_of<'a>(account: &'a Account, added: &'a Administered) -> Option<&'a str> {
    let decided = added.plans.iter().find(|(path, _)| *path == account.path);
    decided.map(|(_, plan)| plan.as_str()).or(account.plan.as_deref())
}

/// With the limits that were added while running. The configuration may have got the same one since;
/// there it says the amount.
fn beside(
    mut limits: Vec<Limit>,
    path: &str,
    added: &Administered,
) -> Result<Vec<Limit>, ControlError> {
    for (_, text) in added.limits.iter().filter(|(account, _)| account == path) {
        add(&mut limits, limit(text)?);
    }
    Ok(limits)
}

fn add(limits: &mut Vec<Limit>, limit: Limit) {
    if !limits.iter().any(|have| have.key() == limit.key()) {
        limits.push(limit);
    }
}

/// Of two that count the same, the lower one holds: what a prompt's owner allows is beside what the
/// account has.
fn tighten(limits: &mut Vec<Limit>, limit: Limit) {
    match limits.iter_mut().find(|have| have.key() == limit.key()) {
        None => limits.push(limit),
        Some(have) if is_more(have, &limit) => *have = limit,
        Some(_) => {}
    }
}

/// A raise never lowers: the configuration may have become more generous since.
fn raised(limits: &mut [Limit], raise: &RaiseRow) -> Result<(), ControlError> {
    let wanted = limit(&raise.text)?;
    let found = limits.iter_mut().find(|have| have.key() == wanted.key());
    if let Some(have) = found.filter(|have| is_more(&wanted, have)) {
        *have = wanted;
    }
    Ok(())
}

/// Whether one limit allows more than another that counts the same.
pub(super) fn is_more(wanted: &Limit, have: &Limit) -> bool {
    (wanted.amount, wanted.capacity()) > (have.amount, have.capacity())
        && wanted.capacity() >= have.capacity()
}

/// The node that a credential's calls are charged to.
pub(super) fn charged_path(row: &KeyRow) -> String {
    if row.limits.is_empty() { row.account.clone() } else { format!("{}/{}", row.account, row.id) }
}
