//! `[accounts.NAME]`: the tree of tenants. A few words are settings; every other table inside an
//! account is a child of it.

use std::collections::BTreeMap;

use jiff::tz::TimeZoneDatabase;
use tollgate_accounting::{FailedAttempts, Limit, Terms, Window, Zone};

use super::{
    limits,
    names::Names,
    problem::{is_slip, nearest},
    providers::is_name,
    reader::{Field, Section, shorten},
    snapshot::{Account, AllowedModels, Holds, covers},
};
use crate::tenants::Priority;

const RESERVED: [&str; 13] = [
    "timezone",
    "limits",
    "limit",
    "holds",
    "models",
    "require",
    "name",
    "plan",
    "markup",
    "markup_per_request",
    "failed_attempts",
    "share",
    "priority",
];
/// A call is checked against every account on its path.
const DEEPEST: usize = 8;

/// Limits by the name of their plan.
type Plans = BTreeMap<String, Vec<Limit>>;

/// What a child has from its parents.
struct Inherited<'p> {
    path: &'p str,
    depth: usize,
    timezone: &'p str,
    holds: Holds,
    models: &'p AllowedModels,
    require: &'p [String],
    terms: Terms,
    share: u32,
    priority: Priority,
    /// The limits of all parents.
    limits: Vec<Above>,
}

/// A limit of a parent.
#[derive(Clone)]
struct Above {
    path: String,
    timezone: String,
    limit: Limit,
}

/// All accounts, parents before children.
pub(super) fn accounts(root: &Section<'_>, names: &Names, plans: &Plans) -> Vec<Account> {
    let mut accounts = Vec::new();
    let top = Inherited {
        path: "",
        depth: 0,
        timezone: "UTC",
        holds: Holds::Adaptive,
        models: &AllowedModels::All,
        require: &[],
        terms: Terms::default(),
        share: 1,
        // Any tenant's may be as urgent as it says; without a word they are as most are.
        priority: Priority::High,
        limits: Vec::new(),
    };
    for (name, field) in root.section("accounts").iter().flat_map(Section::rest) {
        account(name, &field, &top, (names, plans), &mut accounts);
    }
    accounts
}

fn account(
    name: &str,
    field: &Field<'_>,
    parent: &Inherited<'_>,
    (names, plans): (&Names, &Plans),
    out: &mut Vec<Account>,
) {
    if parent.depth == DEEPEST {
        let message = format!("accounts nest at most {DEEPEST} deep");
        return field.key_error(&message, None);
    }
    if !is_name(name) {
        let message = "an account's name has letters, digits, `-`, `_` and `.` only";
        field.key_error(message, None);
    }
    let Some(table) = field.section() else { return };
    let path = match parent.path {
        "" => name.to_owned(),
        parent => format!("{parent}/{name}"),
    };
    let limits = limits::limits(&table, names);
    let timezone = table.get("timezone").and_then(|field| timezone(&field));
    let timezone = timezone.unwrap_or(parent.timezone);
    warn_of_idle(&limits, timezone, parent);
    let plan = table.get("plan").and_then(|field| plan(&field, plans));
    let holds = table.get("holds").and_then(|field| {
        field.choice(&[("adaptive", Holds::Adaptive), ("strict", Holds::Strict)])
    });
    let title = table.get("name").and_then(|field| field.text());
    let models = table.get("models").map(|field| allowed(&field, parent.models, names));
    let account = Account {
        path,
        name: title.map(str::to_owned),
        timezone: timezone.to_owned(),
        plan: plan.map(str::to_owned),
        limits: limits.into_iter().map(|(_, limit)| limit).collect(),
        holds: holds.unwrap_or(parent.holds),
        models: models.unwrap_or_else(|| parent.models.clone()),
        require: required(table.get("require"), parent.require, names),
        terms: terms(&table, parent.terms),
        share: share(table.get("share"), parent),
        priority: priority(table.get("priority"), parent),
    };
    let below = inherited(&account, parent);
    let mut children = Vec::new();
    for (key, child) in table.rest() {
        if child.is_table() {
            warn_of_slip(key, &child);
            self::account(key, &child, &below, (names, plans), &mut children);
        } else {
            table.unknown(key, &child);
        }
    }
    out.push(account);
    out.append(&mut children);
}

fn inherited<'p>(account: &'p Account, parent: &Inherited<'_>) -> Inherited<'p> {
    let own = account.limits.iter().map(|limit| Above {
        path: account.path.clone(),
        timezone: account.timezone.clone(),
        limit: limit.clone(),
    });
    Inherited {
        path: &account.path,
        depth: parent.depth + 1,
        timezone: &account.timezone,
        holds: account.holds,
        models: &account.models,
        require: &account.require,
        terms: account.terms,
        share: account.share,
        priority: account.priority,
        limits: parent.limits.iter().cloned().chain(own).collect(),
    }
}

/// `markup`, `markup_per_request`, `failed_attempts`: each is the parent's where it is not said.
fn terms(table: &Section<'_>, parent: Terms) -> Terms {
    let fee = table.get("markup_per_request").and_then(|field| field.dollars());
    let fee = fee.unwrap_or(parent.markup.fee());
    let share = table.get("markup").and_then(|field| field.markup()).unwrap_or(parent.markup);
    let failed = table.get("failed_attempts").and_then(|field| {
        let all = [FailedAttempts::Absorb, FailedAttempts::Charge];
        field.choice(&all.map(|policy| (policy.name(), policy)))
    });
    Terms { markup: share.with_fee(fee), failed: failed.unwrap_or(parent.failed) }
}

/// A tenant's share of what its calls wait for; tenants wait beside each other, their children do not.
fn share(field: Option<Field<'_>>, parent: &Inherited<'_>) -> u32 {
    let Some(field) = field else { return parent.share };
    if parent.depth > 0 {
        field.key_error("only a tenant, at the top, has a share", None);
    }
    field.whole(1..=1_000).and_then(|share| u32::try_from(share).ok()).unwrap_or(1)
}

/// A child's calls are never more urgent than its parent's.
fn priority(field: Option<Field<'_>>, parent: &Inherited<'_>) -> Priority {
    let inherited = if parent.depth == 0 { Priority::Normal } else { parent.priority };
    let Some(field) = field else { return inherited };
    let Some(own) = field.choice(&Priority::NAMED) else { return inherited };
    if own > parent.priority {
        field.error::<()>("the parent account's calls are less urgent");
    }
    own
}

/// The parent's tags and its own: a child cannot be free of what its parent asks for.
fn required(field: Option<Field<'_>>, parent: &[String], names: &Names) -> Vec<String> {
    let mut required = parent.to_vec();
    for item in field.as_ref().and_then(Field::list).into_iter().flatten() {
        let Some(tag) = item.text() else { continue };
        names.must_tag(&item, tag);
        if !required.iter().any(|have| have == tag) {
            required.push(tag.to_owned());
        }
    }
    required
}

/// A mistyped setting that happens to be a table would silently become a child.
fn warn_of_slip(key: &str, child: &Field<'_>) {
    if let Some(word) = RESERVED.iter().find(|word| is_slip(key, word)) {
        let message = format!("read as a child account named `{}`", shorten(key));
        let help = Some(format!("did you mean `{word}`?"));
        child.key_warning(&message, help);
    }
}

/// A limit that a parent has as well, and no larger, is never the one that refuses. Calendar
/// periods of another zone are other periods.
fn warn_of_idle(limits: &[(Field<'_>, Limit)], timezone: &str, parent: &Inherited<'_>) {
    for (field, limit) in limits {
        let key = limit.key();
        let calendar = matches!(limit.window, Window::Calendar(_));
        let covers = |above: &Above| {
            above.limit.key() == key
                && above.limit.amount <= limit.amount
                && above.limit.capacity() <= limit.capacity()
                && (!calendar || above.timezone == timezone)
        };
        if let Some(above) = parent.limits.iter().find(|above| covers(above)) {
            let message = format!("never reached: {} has {}", above.path, above.limit.describe());
            field.warn(&message, None);
        }
    }
}

pub(super) fn timezone<'t>(field: &Field<'t>) -> Option<&'t str> {
    let zone = field.text()?;
    if Zone::named(zone).is_some() {
        return Some(zone);
    }
    let known: Vec<String> =
        TimeZoneDatabase::bundled().available().map(|zone| zone.to_string()).collect();
    let help = match nearest(zone, known.iter().map(String::as_str)) {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => "write an IANA zone: \"Europe/Berlin\"".to_owned(),
    };
    field.error_help("there is no such time zone", &help)
}

/// A plan, if there is one of that name.
fn plan<'t>(field: &Field<'t>, plans: &Plans) -> Option<&'t str> {
    let name = field.text()?;
    if plans.contains_key(name) {
        return Some(name);
    }
    let help = match nearest(name, plans.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write its limits under [plans.{}]", shorten(name)),
    };
    field.error_help("there is no such plan", &help)
}

/// What may be asked for. A child cannot be allowed more than its parent, so that the list of the
/// caller's own account is the only one to look at.
fn allowed(field: &Field<'_>, parent: &AllowedModels, names: &Names) -> AllowedModels {
    let mut patterns = Vec::new();
    for item in field.list().into_iter().flatten() {
        let Some(pattern) = item.text() else { continue };
        let within = match parent {
            AllowedModels::All => true,
            AllowedModels::Only(above) => above.iter().any(|above| covers(above, pattern)),
        };
        if !within {
            item.error::<()>("the parent account is not allowed this model");
        }
        names.warn_unless_known(&item, pattern);
        patterns.push(pattern.to_owned());
    }
    if patterns.is_empty() {
        field.warn("the account may ask for no model at all", None);
    }
    AllowedModels::Only(patterns)
}
