//! From a checked configuration to what calls work with: the accounts, and the names that can be asked
//! for with their targets, prices and adapters.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_accounting::{Limit, Listed, PriceCard, PriceList, Tier, Timestamp};
use tollgate_providers::catalogue::ModelInfo;
use tollgate_providers::demo::{MODELS, counted_as};
use tollgate_providers::{Bounds, provider};
use tollgate_tokenizer::family;

use crate::alerts::{Hook, Settings};
use crate::call::{Counting, OnClientGone, Payer, Runtime, Shadow, Site};
use crate::clock;
use crate::config::{self, AllowedModels, Snapshot};
use crate::control::{Account, Plan, Tenancy};
use crate::http::Watched;
use crate::prompts::File;
use crate::routing::{Abilities, End, Health, Order, Route, Routes, Target};
use crate::tenants::{Allowed, Holds, Strangers};
use crate::upstream::{BadEndpoint, Endpoint, Patience, SigningKey};

/// Why a checked configuration still cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A kind of provider that no adapter speaks.
    #[error("no provider is of kind {0:?}")]
    Kind(String),
    /// A provider's address or key.
    #[error("providers.{name}: {error}")]
    Endpoint {
        /// The provider.
        name: String,
        /// What is wrong.
        error: BadEndpoint,
    },
}

/// Health outlives a reload: a target is the same as long as its provider, with its address and keys,
/// and its model are.
#[derive(Clone, Default)]
pub(super) struct Healths(Arc<Mutex<HashMap<Place, Arc<Health>>>>);

/// Targets whose health is remembered. Names of models have no end; beyond it each call's is new.
const MOST_HEALTHS: usize = 16_384;

/// A provider, a digest of its address and keys, and the model.
type Place = (String, blake3::Hash, String);

impl Healths {
    fn of(&self, provider: &config::Provider, model: &str) -> Arc<Health> {
        let mut digest = blake3::Hasher::new();
        let keys = provider.api_keys.iter().map(|key| key.expose());
        let signing = provider.signing.iter();
        let signing = signing.flat_map(|key| [key.access_key_id.expose(), key.region.as_str()]);
        for part in provider.base_url.as_deref().into_iter().chain(keys).chain(signing) {
            digest.update(&part.len().to_le_bytes()).update(part.as_bytes());
        }
        let place = (provider.name.clone(), digest.finalize(), model.to_owned());
        let new = || Arc::new(Health::new(provider.api_keys.len()));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_HEALTHS && !all.contains_key(&place) {
            return new();
        }
        all.entry(place).or_insert_with(new).clone()
    }

    /// Every target that was asked, in the order of their names.
    pub(super) fn watched(&self) -> Vec<Watched> {
        let now = u64::try_from(clock::now().micros()).unwrap_or(0);
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut watched: Vec<Watched> = all
            .iter()
            .map(|((provider, _, model), health)| Watched {
                provider: provider.clone(),
                model: model.clone(),
                report: health.report(now),
            })
            .filter(|watched| watched.report.asked > 0)
            .collect();
        watched.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
        watched
    }

    /// Forgets those that nothing refers to any more.
    pub(super) fn sweep(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, health| Arc::strong_count(health) > 1);
    }
}

/// What is told without being asked, and to whom.
pub(super) fn alerts(snapshot: &Snapshot) -> Option<Settings> {
    let alerts = snapshot.alerts.as_ref()?;
    let paths = snapshot.accounts.iter().map(|account| account.path.clone());
    Some(Settings {
        // The configuration was checked by the same constructor.
        hook: Hook::new(alerts.url.clone(), alerts.secret.expose()).ok()?,
        thresholds: alerts.thresholds.clone(),
        burn_permille: alerts.burn_percent.saturating_mul(10),
        anomaly_times: alerts.anomaly_times,
        anomaly_least: alerts.anomaly_least,
        drift_percent: alerts.drift_percent,
        accounts: std::iter::once(String::new()).chain(paths).collect(),
    })
}

/// The configuration's tenants as the operator's control takes them.
pub(super) fn tenancy(snapshot: &Snapshot) -> Tenancy {
    let account = |account: &config::Account| Account {
        path: account.path.clone(),
        name: account.name.clone(),
        zone: account.timezone.clone(),
        plan: account.plan.clone(),
        limits: account.limits.clone(),
        holds: holds(account),
        models: match &account.models {
            AllowedModels::All => Allowed::All,
            AllowedModels::Only(names) => Allowed::Only(names.clone()),
        },
        require: words(&account.require),
        terms: account.terms,
        share: account.share,
        priority: account.priority,
    };
    let plan = |(name, limits): (&String, &Vec<Limit>)| Plan {
        name: name.clone(),
        limits: limits.clone(),
    };
    Tenancy {
        accounts: snapshot.accounts.iter().map(account).collect(),
        plans: snapshot.plans.iter().map(plan).collect(),
        limits: gateway_limits(snapshot),
        zone: snapshot.gateway.timezone.clone(),
    }
}

fn holds(account: &config::Account) -> Holds {
    match account.holds {
        config::Holds::Adaptive => Holds::Adaptive,
        config::Holds::Strict => Holds::Strict,
    }
}

/// The limits of the whole gateway at this moment: its own, and of each alias that comes to its end the
/// last one that has begun.
pub(super) fn gateway_limits(snapshot: &Snapshot) -> Vec<Limit> {
    let now = clock::now();
    let begun =
        |alias: &'_ config::Alias| alias.end.tighten.partition_point(|(from, _)| *from <= now);
    let mut limits = snapshot.gateway.limits.clone();
    for alias in snapshot.models.values() {
        let last = begun(alias).checked_sub(1).and_then(|last| alias.end.tighten.get(last));
        if let Some((_, limit)) = last {
            limits.retain(|have| have.key() != limit.key());
            limits.push(limit.clone());
        }
    }
    limits
}

fn words(words: &[String]) -> Arc<[Arc<str>]> {
    words.iter().map(|word| Arc::from(word.as_str())).collect()
}

/// Who shows no valid credential, and through whom clients come.
pub(super) fn strangers(snapshot: &Snapshot) -> Strangers {
    let config::Gateway { unauthenticated, trusted_proxies, .. } = &snapshot.gateway;
    Strangers::new(unauthenticated.clone(), trusted_proxies.clone())
}

/// Templates of the configuration.
pub(super) fn templates(snapshot: &Snapshot) -> &[File] {
    snapshot.prompts.as_ref().map_or(&[], |prompts| &prompts.files)
}

/// Everything that calls look up, worked out once.
pub(super) fn runtime(
    snapshot: &Arc<Snapshot>,
    healths: &Healths,
    counting: &Arc<Counting>,
) -> Result<Runtime, BuildError> {
    let mut sites = Vec::with_capacity(snapshot.providers.len());
    for provider in snapshot.providers.values() {
        sites.push(Arc::new(site(provider)?));
    }
    let names = sites.iter().map(|site| site.name.clone()).collect();
    let targets = Targets { snapshot: snapshot.clone(), names, healths: healths.clone() };
    let price_ceiling = match &snapshot.unknown_price {
        config::UnknownPrice::Refuse => None,
        config::UnknownPrice::Ceiling(rates) => {
            Some(Arc::new(PriceList::of(Arc::new(sealed(PriceCard {
                version: "ceiling".to_owned(),
                source: "the configured ceiling for models without a price".to_owned(),
                effective_from: Timestamp::from_micros(0),
                tiers: vec![Tier { above_input_tokens: 0, rates: *rates }],
                per_request: None,
            })))))
        }
    };
    Ok(Runtime {
        shadows: targets.shadows(),
        routes: targets.routes(),
        providers: sites,
        price_ceiling,
        counting: counting.clone(),
        max_body_bytes: snapshot.server.max_body_bytes,
        max_calls: snapshot.server.max_calls,
        bounds: Bounds::default(),
        lanes: snapshot.lanes,
    })
}

fn site(config: &config::Provider) -> Result<Site, BuildError> {
    let name = &config.name;
    let unknown = || BuildError::Kind(config.kind.to_owned());
    let adapter = provider(config.kind).ok_or_else(unknown)?;
    let patience = Patience {
        connect: config.connect_timeout,
        first_byte: config.first_byte_timeout,
        idle: config.idle_timeout,
    };
    let base = config.base_url.as_deref().or_else(|| adapter.base_url());
    let endpoint = match base {
        None => Endpoint::in_process(patience),
        Some(base) => {
            let keys = config.api_keys.iter().map(|key| key.expose());
            let bad = |error| BuildError::Endpoint { name: name.clone(), error };
            let endpoint = Endpoint::at(base, adapter.auth(), keys, patience).map_err(bad)?;
            match (&config.signing, adapter.aws_service()) {
                (Some(signing), Some(service)) => endpoint.signed_with(SigningKey::new(
                    signing.access_key_id.expose(),
                    signing.secret_access_key.expose(),
                    signing.session_token.as_ref().map(|token| token.expose()),
                    &signing.region,
                    service,
                )),
                _ => endpoint,
            }
        }
    };
    Ok(Site {
        name: name.as_str().into(),
        adapter,
        endpoint,
        on_client_gone: match config.on_client_gone {
            config::OnClientGone::Cancel => OnClientGone::Cancel,
            config::OnClientGone::Drain => OnClientGone::Drain,
        },
        max_retries: config.max_retries,
        hand_over_batches: config.hand_over_batches,
    })
}

/// Makes targets of the configuration of the moment.
struct Targets {
    snapshot: Arc<Snapshot>,
    /// The providers, by index.
    names: Vec<Arc<str>>,
    healths: Healths,
}

impl Targets {
    fn routes(self) -> Routes {
        let mut routes = Routes::default();
        let snapshot = self.snapshot.clone();
        for provider in snapshot.providers.values() {
            let mut models = provider.served(&snapshot.prices, snapshot.catalogue);
            if provider.kind == "demo" {
                models.extend(MODELS.iter().map(|(name, _)| (*name).to_owned()));
            }
            for model in models {
                let full = format!("{}/{model}", provider.name);
                if let Some(target) = self.target(&provider.name, &model, 1) {
                    routes.insert(full.clone(), alone(target));
                    routes.insert_bare(&model, full);
                }
            }
        }
        for alias in snapshot.models.values() {
            let known = |targets: &[config::Target]| {
                let targets = targets.iter();
                let known = targets.filter_map(|t| self.target_of(t));
                known.collect::<Vec<_>>()
            };
            let targets = known(&alias.targets);
            let order = match alias.route {
                config::Route::Cheapest => Order::Cheapest,
                config::Route::Fastest => Order::Fastest,
                config::Route::Weighted => Order::Weighted,
                config::Route::Ordered => Order::Ordered,
                config::Route::Blend { cost, latency } => Order::Blend { cost, latency },
            };
            if !targets.is_empty() {
                let mut route = Route::new(order, targets);
                route.max_output_tokens = alias.max_output_tokens;
                route.rules.max_cost = alias.max_cost;
                let us = alias.max_latency.map(|most| u64::try_from(most.as_micros()));
                route.rules.max_latency_us = us.and_then(Result::ok);
                route.hedge_after = alias.hedge_after;
                route.on_context_length = known(&alias.on_context_length);
                route.on_content_policy = known(&alias.on_content_policy);
                let config::End { deprecated, sunset, successor, tighten: _ } = &alias.end;
                let end =
                    End { deprecated: *deprecated, sunset: *sunset, successor: successor.clone() };
                route.end = (end != End::default()).then(|| Arc::new(end));
                routes.insert(alias.name.clone(), route);
            }
        }
        routes.set_unlisted(Box::new(move |full| {
            let (provider, model) = full.split_once('/')?;
            // A provider that says what it serves serves nothing else.
            let open = self.snapshot.providers.get(provider)?.models.is_empty();
            let target = self.target(provider, model, 1)?;
            (open && target.prices.is_some()).then(|| alone(target))
        }));
        routes
    }

    /// What shadows the calls of an alias, by its name.
    fn shadows(&self) -> HashMap<String, Arc<Shadow>> {
        let shadow = |alias: &config::Alias| {
            let config = alias.shadow.as_ref()?;
            let mut accounts = self.snapshot.accounts.iter();
            let account = accounts.find(|account| account.path == config.account)?;
            let mut route = alone(self.target_of(&config.target)?);
            route.max_output_tokens = alias.max_output_tokens;
            let payer = Payer {
                account: account.path.as_str().into(),
                holds: holds(account),
                require: words(&account.require),
                terms: account.terms,
                share: account.share,
            };
            let shadow = Shadow::new(route, payer, config.percent, config.at_once);
            Some((alias.name.clone(), Arc::new(shadow)))
        };
        self.snapshot.models.values().filter_map(shadow).collect()
    }

    fn target_of(&self, target: &config::Target) -> Option<Target> {
        let of = self.target(&target.provider, &target.model, target.weight)?;
        let own = target.tags.iter().map(|tag| Arc::from(tag.as_str()));
        let tags = of.tags.iter().cloned().chain(own).collect();
        Some(Target { tags, ..of })
    }

    fn target(&self, name: &str, model: &str, weight: u32) -> Option<Target> {
        let provider = self.names.iter().position(|site| **site == *name)?;
        let config = self.snapshot.providers.get(name)?;
        let kind = config.kind;
        let info: Option<ModelInfo<'_>> = self.snapshot.catalogue.model(kind, model);
        let prices = price_list(&self.snapshot, name, model);
        // The demo makes its text up, and counts it as this model would.
        let counted_as = if kind == "demo" { counted_as(model) } else { model };
        let own = self.snapshot.tokenizers.family(name, model);
        Some(Target {
            provider,
            provider_name: name.into(),
            model: model.into(),
            prices: prices.map(Arc::new),
            family: own.unwrap_or_else(|| family(counted_as)),
            counted_as: counted_as.into(),
            max_output_tokens: info.and_then(|info| info.max_output_tokens),
            abilities: info.map(abilities).unwrap_or_default(),
            weight,
            keys: config.api_keys.len(),
            tags: words(&config.tags),
            health: self.healths.of(config, model),
        })
    }
}

/// What the configuration charges for a model at a provider: its own prices, else those that
/// were imported or are built in.
pub fn price_list(snapshot: &Snapshot, provider: &str, model: &str) -> Option<PriceList> {
    let kind = snapshot.providers.get(provider)?.kind;
    let own = snapshot.prices.list(provider, model).cloned();
    let list = own.or_else(|| snapshot.catalogue.list(kind, model))?;
    Some(list.map(|one: &Listed| sealed(PriceCard::clone(&one.card))))
}

fn alone(target: Target) -> Route {
    Route::new(Order::Ordered, vec![target])
}

fn abilities(info: ModelInfo<'_>) -> Abilities {
    Abilities {
        input_tokens: info.max_input_tokens.or(info.context_window),
        tools: info.tool_call,
        images: info.input.map(|input| input.image),
        audio: info.input.map(|input| input.audio),
    }
}

/// The card under a version that carries a digest of its content, so that a version in the ledger is
/// one card for ever, whatever the file says later.
fn sealed(mut card: PriceCard) -> PriceCard {
    let PriceCard { version, source, effective_from, tiers, per_request } = &card;
    let content = format!("{source}|{effective_from:?}|{tiers:?}|{per_request:?}");
    let digest = blake3::hash(content.as_bytes()).to_hex();
    card.version = format!("{version}#{}", &digest[..16]);
    card
}
