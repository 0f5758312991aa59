//! A configuration that was checked as a whole. It never changes: a reload builds another one, and
//! calls in flight keep the one they began with.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use tollgate_accounting::{Limit, Money, PriceCard, PriceList, Rates, Terms, Timestamp};
use tollgate_providers::catalogue::Catalogue;

use super::{problem::Problem, secret::Secret, tokenizers::Tokenizers};
use crate::prompts::File;
use crate::tenants::Priority;

/// Everything the file says, checked.
#[derive(Debug)]
pub struct Snapshot {
    /// Where to listen, and how much to take.
    pub server: Server,
    /// Where the ledger is.
    pub storage: Storage,
    /// Replies that are kept; `None` keeps none.
    pub cache: Option<crate::cache::Policy>,
    /// What bounds files and batches.
    pub batches: crate::batches::Settings,
    /// How live calls ride together; `None`: each alone.
    pub lanes: Option<crate::call::LaneRules>,
    /// By name.
    pub providers: BTreeMap<String, Provider>,
    /// What the file says about prices; it goes before any other price list.
    pub prices: Prices,
    /// Models and prices that are built in or were imported.
    pub catalogue: &'static Catalogue<'static>,
    /// What happens to a model that has no price.
    pub unknown_price: UnknownPrice,
    /// Files that models are counted with.
    pub tokenizers: Tokenizers,
    /// Aliases by the name that clients ask for.
    pub models: BTreeMap<String, Alias>,
    /// What holds over all accounts, and for who has none.
    pub gateway: Gateway,
    /// Named sets of limits that accounts are on.
    pub plans: BTreeMap<String, Vec<Limit>>,
    /// Every account; a parent stands before its children.
    pub accounts: Vec<Account>,
    /// Templates, if there are any.
    pub prompts: Option<Prompts>,
    /// What is told without being asked, if anybody is.
    pub alerts: Option<Alerts>,
    /// What works, though probably not as meant.
    pub warnings: Vec<Problem>,
}

/// The listeners.
#[derive(Debug)]
pub struct Server {
    /// The data plane.
    pub listen: SocketAddr,
    /// The admin plane. There is none without its key.
    pub admin: Option<Admin>,
    /// A larger request body is refused.
    pub max_body_bytes: usize,
    /// How long calls in flight may go on after a shutdown was asked for.
    pub drain: Duration,
    /// Calls in flight at once, the waiting among them.
    pub max_calls: u32,
    /// Threads that serve; `None` is one a core.
    pub workers: Option<usize>,
}

/// The admin plane.
#[derive(Debug)]
pub struct Admin {
    /// Its own listener.
    pub listen: SocketAddr,
    /// What its callers show.
    pub key: Secret,
}

/// The ledger's place on disk.
#[derive(Debug)]
pub struct Storage {
    /// The database file.
    pub path: PathBuf,
    /// What an acknowledged row survives.
    pub durability: Durability,
}

/// What an acknowledged row survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process.
    Process,
    /// A power cut: every commit waits for the disk.
    Power,
}

/// A place that serves models.
#[derive(Debug)]
pub struct Provider {
    /// What the file calls it.
    pub name: String,
    /// How to speak to it: a name that [`tollgate_providers::provider`] knows.
    pub kind: &'static str,
    /// Where it is; `None` is the kind's own address. No slash at the end.
    pub base_url: Option<String>,
    /// Its keys, taken in turn.
    pub api_keys: Vec<Secret>,
    /// The AWS access key that signs requests, where the provider is one of AWS and has no key of the
    /// kind above.
    pub signing: Option<Signing>,
    /// What it serves; empty where the built-in catalogue is to be trusted.
    pub models: Vec<String>,
    /// What it is marked with: a region, a promise about what becomes of the data.
    pub tags: Vec<String>,
    /// To reach it, TLS included.
    pub connect_timeout: Duration,
    /// From the request sent to the first byte of the reply.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a reply.
    pub idle_timeout: Duration,
    /// What to do with a reply whose client left.
    pub on_client_gone: OnClientGone,
    /// Tries after the first at this provider, before the next target's turn.
    pub max_retries: u32,
    /// Whether batches go to its own batch endpoint where they can.
    pub hand_over_batches: bool,
}

/// An AWS access key.
#[derive(Clone, Debug)]
pub struct Signing {
    /// Its id.
    pub access_key_id: Secret,
    /// The key itself.
    pub secret_access_key: Secret,
    /// The token that a temporary key is valid with.
    pub session_token: Option<Secret>,
    /// Where its signatures are to be valid, such as `us-east-1`.
    pub region: String,
}

/// What to do with a reply whose client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClientGone {
    /// Stop reading; settle what was counted.
    Cancel,
    /// Read on for a bounded time, to learn what the provider reports.
    Drain,
}

/// What happens to a model that has no price. Never: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownPrice {
    /// The call is refused.
    Refuse,
    /// The call is charged at these rates.
    Ceiling(Rates),
}

/// Price lists by provider and model. The versions of their cards say only that they come from the
/// file; whoever charges by one adds what tells it from the next.
#[derive(Debug, Default)]
pub struct Prices(pub(super) BTreeMap<String, BTreeMap<String, PriceList>>);

impl Prices {
    /// Everything the file says of what a model costs.
    pub fn list(&self, provider: &str, model: &str) -> Option<&PriceList> {
        self.0.get(provider)?.get(model)
    }

    /// The card that holds at an instant for a call that asks for no service tier.
    pub fn at(&self, provider: &str, model: &str, now: Timestamp) -> Option<&PriceCard> {
        self.list(provider, model)?.standard(now).map(|card| &**card)
    }

    /// Whether there is any card for a model.
    pub fn has(&self, provider: &str, model: &str) -> bool {
        self.0.get(provider).is_some_and(|models| models.contains_key(model))
    }

    /// Every provider, model and card.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &PriceCard)> {
        self.0.iter().flat_map(|(provider, models)| {
            models.iter().flat_map(move |(model, cards)| {
                cards.iter().map(move |one| (provider.as_str(), model.as_str(), &*one.card))
            })
        })
    }
}

/// A name that clients ask for.
#[derive(Debug)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// How a target is chosen.
    pub route: Route,
    /// What it can become; never empty.
    pub targets: Vec<Target>,
    /// The output cap of a call that asks for none, and the most that a call may ask for.
    pub max_output_tokens: Option<u64>,
    /// A target is left out where a call is expected to cost more.
    pub max_cost: Option<Money>,
    /// A target is left out where a call is expected to take longer: a stream to its first token.
    pub max_latency: Option<Duration>,
    /// After how long without an answer the next target is asked as well.
    pub hedge_after: Option<Duration>,
    /// Where a call goes whose prompt is too long for the targets.
    pub on_context_length: Vec<Target>,
    /// Where a call goes that a target's content policy refuses.
    pub on_content_policy: Vec<Target>,
    /// How it comes to its end.
    pub end: End,
    /// Where a share of its calls is made once more.
    pub shadow: Option<Shadow>,
}

impl Alias {
    /// Every target that its calls may go to.
    pub fn all_targets(&self) -> impl Iterator<Item = &Target> {
        let kept = self.on_context_length.iter().chain(&self.on_content_policy);
        self.targets.iter().chain(kept)
    }
}

/// Where a share of an alias's calls is made once more, at the operator's cost.
#[derive(Debug)]
pub struct Shadow {
    /// The target.
    pub target: Target,
    /// Of a hundred calls, so many.
    pub percent: u32,
    /// The account that pays.
    pub account: String,
    /// The most in flight at once.
    pub at_once: usize,
}

/// How an alias comes to its end.
#[derive(Debug, Default)]
pub struct End {
    /// From when its clients are told to leave it.
    pub deprecated: Option<Timestamp>,
    /// From when it is refused.
    pub sunset: Option<Timestamp>,
    /// The name to ask for instead.
    pub successor: Option<String>,
    /// Limits of all its calls together, each from an instant until the next one's; ascending.
    pub tighten: Vec<(Timestamp, Limit)>,
}

/// How an alias chooses among its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The least expensive for this very call.
    Cheapest,
    /// The one that has answered soonest lately.
    Fastest,
    /// By weight.
    Weighted,
    /// As written: the next one only when the one before fails.
    Ordered,
    /// By cost and time together, each counting so much.
    Blend {
        /// How much cost counts.
        cost: u32,
        /// How much time counts.
        latency: u32,
    },
}

/// A model at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name in [`Snapshot::providers`].
    pub provider: String,
    /// As the provider calls it.
    pub model: String,
    /// Its share under [`Route::Weighted`].
    pub weight: u32,
    /// What it is marked with, beside the tags of its provider.
    pub tags: Vec<String>,
}

/// What holds over all accounts, and for who has none.
#[derive(Debug)]
pub struct Gateway {
    /// Limits that all accounts share.
    pub limits: Vec<Limit>,
    /// The IANA zone of their calendar periods.
    pub timezone: String,
    /// How often a client's address may be refused for its credential before it is told to wait.
    pub unauthenticated: Vec<Limit>,
    /// Load balancers and the like before the gateway, whose word on a client's address counts.
    pub trusted_proxies: Vec<IpNet>,
}

/// A node in the tree of tenants.
#[derive(Debug)]
pub struct Account {
    /// `acme/search`: the parent is everything before the last slash.
    pub path: String,
    /// For people.
    pub name: Option<String>,
    /// The IANA zone of its calendar periods; a child has its parent's unless it says otherwise.
    pub timezone: String,
    /// The plan whose limits it has besides its own; a child has none unless it says so.
    pub plan: Option<String>,
    /// Its own limits; its parents' apply as well.
    pub limits: Vec<Limit>,
    /// How much a call reserves; a child does as its parent unless it says otherwise.
    pub holds: Holds,
    /// What may be asked for; never more than the parent's.
    pub models: AllowedModels,
    /// What a provider must be tagged with to be asked; all of the parent's, and its own.
    pub require: Vec<String>,
    /// What its calls cost it on top; its parent's, key by key, unless it says otherwise.
    pub terms: Terms,
    /// How much it gets of a provider's limits beside other tenants; a child has its tenant's.
    pub share: u32,
    /// How urgent its calls are at most; a child's are as its parent's unless it says less.
    pub priority: Priority,
}

/// How much a call reserves before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// What such calls usually take, extended while the reply streams.
    Adaptive,
    /// The most it can take.
    Strict,
}

/// What an account may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedModels {
    /// Anything there is.
    All,
    /// Names, or beginnings of names that end in `*`: `fast`, `openai/gpt-4o`, `local/*`.
    Only(Vec<String>),
}

impl AllowedModels {
    /// Whether a name may be asked for. An alias is allowed by its own name, a model at a provider
    /// as `provider/model`.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            AllowedModels::All => true,
            AllowedModels::Only(patterns) => patterns.iter().any(|p| covers(p, name)),
        }
    }
}

/// Whether a pattern covers a name, or all that another pattern covers.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

/// What is told without being asked, and to whom.
#[derive(Debug)]
pub struct Alerts {
    /// Where alerts are posted to.
    pub url: http::Uri,
    /// What they are signed with.
    pub secret: Secret,
    /// The parts of a budget that are told of, in hundredths.
    pub thresholds: Vec<u32>,
    /// The burn rate that is told of, in hundredths of the one that lasts the period; 0 for none.
    pub burn_percent: i64,
    /// An hour is told of that costs so many times what is usual; 0 for none.
    pub anomaly_times: i64,
    /// Below that, no hour is unusual.
    pub anomaly_least: Money,
    /// Counts of a provider's are told of that are so many hundredths from ours; 0 for none.
    pub drift_percent: i64,
}

/// Templates on disk.
#[derive(Debug)]
pub struct Prompts {
    /// Their folder.
    pub dir: PathBuf,
    /// What is in it, checked.
    pub files: Vec<File>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_list_takes_whole_names_and_beginnings() {
        let only = AllowedModels::Only(vec!["fast".to_owned(), "local/*".to_owned()]);
        let cases = [
            ("fast", true),
            ("faster", false),
            ("local/small-1", true),
            ("local", false),
            ("openai/gpt-4o", false),
            ("", false),
        ];
        for (name, allowed) in cases {
            assert_eq!(only.allows(name), allowed, "{name}");
        }
        assert!(AllowedModels::All.allows("anything"));
    }
}
