//! Lanes: live calls that differ only in what they list (texts to embed, to judge, to complete) ride to their
//! provider in one request. A lane that is idle sends at once; while a call of it is in flight the next
//! ones gather, until it is back, the lane is full, or the first of them has waited long enough.
//!
//! Every call keeps its own hold, permit, attempts and settlement: it is only the sending that is shared,
//! so what comes back to each is a reply, or a refusal, as if it had been sent alone.

mod trip;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tollgate_providers::catalogue::batch_limits;
use tollgate_providers::joined::{Lists, Parcel, Terms};
use tollgate_providers::unified::Capability;
use tollgate_providers::{Dialect, Encoded};
use tollgate_tokenizer::Family;

use super::services::Site;
use super::{Operation, Worker};
use crate::ledger::{Aboard, OpenHold};
use crate::routing::Target;
use crate::upstream::{Answer, SendError};

/// What the configuration says of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The longest that a call waits for others.
    pub max_wait: Duration,
    /// Texts of one request, where the operator wants no more; a model may take fewer.
    pub max_items: Option<usize>,
    /// Tokens of one request by our count, in the same way.
    pub max_tokens: Option<u64>,
    /// Whether calls of different tenants never ride together.
    pub apart: bool,
}

/// The most of one request, where nobody says how much the model takes.
const ITEMS: usize = 256;
const TOKENS: u64 = 250_000;

/// The most that rides in one request of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    items: usize,
    tokens: u64,
}

impl Room {
    /// What the model takes, or less where the operator wants that.
    fn of(rules: &Rules, kind: &str, model: &str) -> Room {
        let known = batch_limits(kind, model);
        let items = known.items.map(|items| usize::try_from(items).unwrap_or(usize::MAX));
        Room {
            items: least(items, rules.max_items).unwrap_or(ITEMS),
            tokens: least(known.tokens, rules.max_tokens).unwrap_or(TOKENS),
        }
    }
}

fn least<T: Ord>(known: Option<T>, wanted: Option<T>) -> Option<T> {
    match (known, wanted) {
        (Some(known), Some(wanted)) => Some(known.min(wanted)),
        (known, wanted) => known.or(wanted),
    }
}

/// All lanes of the process; one is there only while a call of it is in flight.
#[derive(Default)]
pub struct Lanes(Mutex<HashMap<Arc<Key>, Lane>>);

/// What calls of one lane have in common.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    /// The provider, as it was configured when the call came: by its place in memory, which it keeps
    /// while a call of the lane has it.
    site: usize,
    credential: usize,
    path: String,
    headers: Vec<(&'static str, String)>,
    terms: Terms,
    tenant: Option<Box<str>>,
}

#[derive(Default)]
struct Lane {
    in_flight: usize,
    waiting: VecDeque<Rider>,
    items: usize,
    tokens: u64,
    /// Tells who gathers that it is time; there while somebody waits.
    go: Option<Arc<Notify>>,
}

/// A call that waits in a lane, or is on its way.
struct Rider {
    aboard: Aboard,
    site: Arc<Site>,
    encoded: Encoded,
    parcel: Parcel,
    tokens: u64,
    /// How what is written for it is counted.
    family: Family,
    done: oneshot::Sender<Sent>,
}

/// A call that is to be sent.
pub(super) struct Ride<'a> {
    pub(super) rules: Option<&'a Rules>,
    pub(super) hold: &'a OpenHold,
    pub(super) site: &'a Arc<Site>,
    pub(super) credential: usize,
    pub(super) account: &'a str,
    pub(super) target: &'a Target,
    /// Whether it goes on though its client leaves.
    pub(super) stays: bool,
    pub(super) operation: &'a Operation<'a>,
    /// Its input, as it is counted for this target.
    pub(super) tokens: u64,
    pub(super) encoded: Encoded,
}

/// What came of it.
pub(super) struct Sent {
    pub(super) answer: Result<Answer, SendError>,
    /// Attempts that were refused because of others' items, before the one that this came of.
    pub(super) before: u32,
    /// Whether another call tells the same of the target.
    pub(super) told: bool,
}

impl Sent {
    pub(super) fn alone(answer: Result<Answer, SendError>) -> Sent {
        Sent { answer, before: 0, told: false }
    }
}

/// Sends a call, by itself or with others.
pub(super) async fn send(worker: &Worker, ride: Ride<'_>) -> Sent {
    let Ride { rules, hold, site, credential, account, target, stays, operation, tokens, encoded } =
        ride;
    let lane = rules.and_then(|rules| {
        let lists = lists(site, operation, stays, &encoded.path)?;
        let parcel = Parcel::open(&encoded.body, lists)?;
        let room = Room::of(rules, site.adapter.name(), &target.model);
        let fits = parcel.items() <= room.items && tokens <= room.tokens;
        fits.then_some((rules, room, lists, parcel))
    });
    let Some((rules, room, lists, parcel)) = lane else {
        let sent = worker.upstream.send(hold, &site.endpoint, credential, encoded).await;
        return Sent::alone(sent);
    };
    // A tenant is the top of the account tree; what is below it is one house.
    let tenant = account.split('/').next().filter(|_| rules.apart).map(Box::from);
    let key = Arc::new(Key {
        site: Arc::as_ptr(site).addr(),
        credential,
        path: encoded.path.clone(),
        headers: encoded.headers.clone(),
        terms: parcel.terms().clone(),
        tenant,
    });
    let lanes = &worker.services.lanes;
    if let Some(_leaving) = lanes.leave_at_once(&key) {
        let sent = worker.upstream.send(hold, &site.endpoint, credential, encoded).await;
        return Sent::alone(sent);
    }
    let (done, answer) = oneshot::channel();
    let (aboard, site) = (hold.aboard(), site.clone());
    let rider = Rider { aboard, site, encoded, parcel, tokens, family: target.family, done };
    if let Some(go) = lanes.wait(&key, room, rider) {
        let conductor =
            trip::Conductor { worker: worker.clone(), max_wait: rules.max_wait, room, lists, key };
        worker.services.drains.tasks.spawn(conductor.gather(go));
    }
    answer.await.unwrap_or_else(|_| {
        Sent::alone(Err(SendError::NotSent("the call was over before it was sent".to_owned())))
    })
}

/// Whether a call asks for a text to be completed that others may be completed beside: at once, and without
/// a seed, which is for a request.
pub(super) fn completes(operation: &Operation<'_>) -> bool {
    let Operation::Chat(request) = operation else { return false };
    request.source.dialect == Dialect::OpenAiCompletions
        && !request.stream
        && request.n == 1
        && request.sampling.seed.is_none()
}

/// What of a call is a list, if it can be joined with others'. Chats are no list, and a reranking is of one
/// query. What is written is on the bill whoever waits for it, so of those calls only that rides which goes on.
fn lists(site: &Site, operation: &Operation<'_>, stays: bool, path: &str) -> Option<Lists> {
    match operation.needs() {
        Capability::Embeddings => (site.adapter.embeddings_dialect() == Dialect::OpenAiEmbeddings)
            .then_some(Lists::Embeddings),
        Capability::Moderations => Some(Lists::Moderations),
        // A model that knows no text completions is asked in a chat.
        Capability::Chat => {
            (stays && completes(operation) && path == "/completions").then_some(Lists::Completions)
        }
        Capability::Rerank
        | Capability::Images
        | Capability::Speech
        | Capability::Transcriptions
        | Capability::ServiceTiers => None,
    }
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Key>, Lane>> {
        // Plain stores: a panic elsewhere leaves them whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A way that is free.
    fn leave_at_once(self: &Arc<Self>, key: &Arc<Key>) -> Option<Leaving> {
        let mut lanes = self.lock();
        if lanes.contains_key(key) {
            return None;
        }
        lanes.insert(key.clone(), Lane { in_flight: 1, ..Lane::default() });
        Some(Leaving { lanes: self.clone(), key: key.clone() })
    }

    /// Waits for others, and for the call in flight. Whoever is first is to see to it that all leave.
    fn wait(&self, key: &Arc<Key>, room: Room, rider: Rider) -> Option<Arc<Notify>> {
        let mut lanes = self.lock();
        let lane = lanes.entry(key.clone()).or_default();
        lane.items = lane.items.saturating_add(rider.parcel.items());
        lane.tokens = lane.tokens.saturating_add(rider.tokens);
        lane.waiting.push_back(rider);
        let full = lane.items >= room.items || lane.tokens >= room.tokens;
        let is_first = lane.go.is_none();
        let go = lane.go.get_or_insert_default();
        // A lane that came to be idle meanwhile has nothing to wait for.
        if full || lane.in_flight == 0 {
            go.notify_one();
        }
        is_first.then(|| go.clone())
    }

    /// All who wait, in loads that a provider takes.
    fn depart(self: &Arc<Self>, key: &Arc<Key>, room: Room) -> Vec<(Leaving, Vec<Rider>)> {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(key) else { return Vec::new() };
        let waiting = std::mem::take(&mut lane.waiting);
        (lane.items, lane.tokens, lane.go) = (0, 0, None);
        let loads = loads(waiting, room);
        lane.in_flight += loads.len();
        if lane.in_flight == 0 {
            lanes.remove(key);
        }
        drop(lanes);
        let leaving = || Leaving { lanes: self.clone(), key: key.clone() };
        loads.into_iter().map(|load| (leaving(), load)).collect()
    }
}

fn loads(waiting: VecDeque<Rider>, room: Room) -> Vec<Vec<Rider>> {
    let mut loads: Vec<Vec<Rider>> = Vec::new();
    let (mut items, mut tokens) = (0_usize, 0_u64);
    for rider in waiting {
        items = items.saturating_add(rider.parcel.items());
        tokens = tokens.saturating_add(rider.tokens);
        match loads.last_mut() {
            Some(load) if items <= room.items && tokens <= room.tokens => {
                load.push(rider);
            }
            _ => {
                (items, tokens) = (rider.parcel.items(), rider.tokens);
                loads.push(vec![rider]);
            }
        }
    }
    loads
}

/// A call of a lane in flight. Once it is back, or given up, those who gathered leave.
struct Leaving {
    lanes: Arc<Lanes>,
    key: Arc<Key>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.key) else { return };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        match &lane.go {
            Some(go) => go.notify_one(),
            None if lane.in_flight == 0 => drop(lanes.remove(&self.key)),
            None => {}
        }
    }
}
