//! The story of one call. Every endpoint walks `serve`: there is no second place where usage is read
//! or money is charged.

mod admit;
mod answers;
mod attempts;
mod cards;
mod counting;
mod defer;
mod error;
pub mod handed;
mod hedge;
mod inbound;
mod lanes;
mod load;
mod media;
mod operation;
mod planning;
mod prefixes;
mod queue;
pub mod quote;
mod relay;
mod repeat;
mod retries;
mod services;
mod shadow;
mod shared;
mod sizes;
mod soon;
mod together;
mod whole;

use std::sync::Arc;

use bytes::Bytes;
use tollgate_accounting::{Class, Usage};
use tollgate_providers::unified::{Capability, VectorFormat};

pub use answers::{CacheUse, Cached};
pub use counting::Counting;
pub use defer::Deferred;
pub use error::CallError;
pub use inbound::{Inbound, Prompted, required};
pub use lanes::{Lanes, Rules as LaneRules};
pub use load::Load;
pub use operation::Operation;
pub use prefixes::Prefixes;
pub use queue::Queues;
pub use relay::Relay;
pub use repeat::well_formed_key;
pub use services::{Drains, OnClientGone, Runtime, Services, Site, Worker};
pub use shadow::{Payer, Shadow};
pub use shared::{FellBehind, Flights, Reader, Streamed};
pub use sizes::Sizes;
pub use whole::JSON;

use crate::cache::{Answer, Content, Fingerprint, Form};
use crate::clock;
use crate::ledger::{KeyName, Keyed, Lookup, Settled};
use crate::routing::{End, NoRoute, Permit, Route, Target};
use crate::tenants::Caller;

/// What `serve` has for the client.
pub enum Served {
    /// The call was made.
    Made(Answered),
    /// The call was made before, with this idempotency key; its answer is kept.
    Repeated(KeyName),
    /// The call was made before, with the same idempotency key; its answer is coming in.
    Joined(Reader),
}

/// An answer for the client.
pub struct Answered {
    /// Where it came from.
    pub from: Origin,
    /// The answer.
    pub reply: Reply,
}

/// Where an answer came from; told to the client in headers.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// Attempts made.
    pub attempts: u32,
    /// The output cap, where it was not the client's own.
    pub max_output_tokens: Option<u64>,
    /// Fields of the request that the provider has no place for.
    pub dropped: Vec<String>,
    /// How the call stood to the cache, where there is one.
    pub cached: Option<Cached>,
    /// How the name that was asked for comes to its end.
    pub end: Option<Arc<End>>,
    /// What it did of what it could have waited.
    pub deferred: Option<Deferred>,
}

/// An answer, whole or to come.
pub enum Reply {
    /// The body, already settled.
    Whole {
        /// As the client reads it.
        body: Bytes,
        /// Its content type.
        kind: &'static str,
        /// What it came to.
        settled: Settled,
    },
    /// A stream that was kept, in the pieces it left in; its call is settled.
    Again {
        /// As the client that asked first read them.
        pieces: Vec<Bytes>,
        /// What it came to.
        settled: Settled,
    },
    /// Frames to come, settled when they end.
    Stream(Streamed),
}

/// Serves one call: route, count, hold, send, relay, settle.
///
/// # Errors
/// Whatever the error, no hold is left open and what was used is on a row.
pub async fn serve(
    worker: &Worker,
    caller: &Arc<Caller>,
    inbound: &Inbound,
    operation: &Operation<'_>,
) -> Result<Served, CallError> {
    let call = made(worker, caller, inbound, operation);
    match &caller.run {
        None => call.await,
        // A run that is stopped has nothing in flight: the call is dropped, and with it its hold.
        Some(run) => tokio::select! {
            biased;
            () = run.stop.cancelled() => Err(CallError::Stopped),
            served = call => served,
        },
    }
}

async fn made(
    worker: &Worker,
    caller: &Arc<Caller>,
    inbound: &Inbound,
    operation: &Operation<'_>,
) -> Result<Served, CallError> {
    let services = &worker.services;
    let runtime = services.runtime.load_full();

    let keyed = repeat::keyed(caller, inbound, operation);
    let mut first = None;
    if let Some(keyed) = &keyed {
        match repeat::turn(services, keyed, inbound).await? {
            repeat::Turn::First(this) => first = Some(this),
            repeat::Turn::Answered(name) => return Ok(Served::Repeated(name)),
            repeat::Turn::Joined(reader) => return Ok(Served::Joined(reader)),
        }
    }

    let route = route(&runtime, caller, operation)?;
    let cap = admit::cap(&route, operation);
    match answers::look(&runtime, services, caller, inbound, operation, &route, cap.0).await? {
        answers::Seat::Kept(answer) => {
            let (keyed, route) = (keyed.as_ref(), &*route);
            let looked = Some(Lookup::Hit);
            let ask = admit::Ask {
                caller,
                inbound,
                operation,
                plan: &[],
                route,
                keyed,
                looked,
                until: None,
                stays: false,
            };
            answers::give(services, &ask, first, answers::Given::Kept(&answer)).await
        }
        answers::Seat::Make(fill, cached) => {
            let key = keyed.zip(first);
            let shadow = runtime.shadows.get(operation.model()).cloned();
            let stays = runtime.lanes.is_some()
                && inbound.deadline.is_none()
                && lanes::completes(operation);
            let making = Making { runtime, route, cap, key, fill: None, cached, shadow, stays };
            match fill {
                _ if operation.is_media() => {
                    media::serve(worker, caller, inbound, operation, making).await
                }
                Some(fill) if making.may_join(inbound) => {
                    let making = Making { stays: false, ..making };
                    together::serve(worker, caller, inbound, operation, making, fill).await
                }
                fill if stays => {
                    let making = Making { fill, ..making };
                    together::staying(worker, caller, inbound, operation, making).await
                }
                fill => {
                    let making = Making { fill, ..making };
                    make(worker, caller, inbound, operation, making, &mut None).await
                }
            }
        }
    }
}

/// What is known of a call that is to be made.
struct Making {
    runtime: Arc<Runtime>,
    route: Arc<Route>,
    cap: (u64, bool),
    key: Option<(Keyed, repeat::First)>,
    /// Where its reply is to be kept.
    fill: Option<answers::Fill>,
    cached: Option<Cached>,
    /// Where it may be made once more.
    shadow: Option<Arc<Shadow>>,
    /// Whether it goes on though its client leaves.
    stays: bool,
}

impl Making {
    /// Whether identical calls may join it, or it them. One with an idempotency key has its repeats, and
    /// they have its answer; one with a deadline would end for others too when that passes.
    fn may_join(&self, inbound: &Inbound) -> bool {
        let plain = self.key.is_none() && inbound.deadline.is_none();
        plain && inbound.cache_use() == CacheUse::Allowed
    }
}

/// The place of a call that identical ones join.
type Leading = shared::Lead<(Fingerprint, Form)>;

/// Makes the call; of a reply that identical calls join, `lead` is taken.
async fn make(
    worker: &Worker,
    caller: &Caller,
    inbound: &Inbound,
    operation: &Operation<'_>,
    making: Making,
    lead: &mut Option<Leading>,
) -> Result<Served, CallError> {
    let services = &worker.services;
    let (ledger, sizes) = (&services.ledger, &services.sizes);
    let Making { runtime, route, cap, key, fill, cached, shadow, stays } = making;
    let (keyed, first) = key.unzip();
    let full = cap.0;
    let place = defer::enter(&services.load, runtime.max_calls, caller, inbound).await;
    let place = place.ok_or(CallError::Overloaded)?;
    let required = inbound.required(caller);
    let now = planning::micros(clock::now());
    let trail = services.prefixes.trail(&route, caller, operation);
    let (waiting, keyed, route) = (&services.queues.waiting, keyed.as_ref(), &*route);
    let plan_of = || {
        let planner = planning::Planner {
            runtime: &runtime,
            sizes,
            caller,
            required: &required,
            priority: inbound.priority(caller),
            operation,
            defer: inbound.waits(),
            cap: full,
            at: inbound.received_at,
            curious: true,
            warm: services.prefixes.find(&trail, now),
        };
        planner.plan(route)
    };
    // One that wants its answer made anew could not be answered from what is kept.
    let wanted = inbound.cache_use() == CacheUse::Allowed && cached == Some(Cached::Miss);
    let looked = wanted.then_some(Lookup::Miss);
    let plan = &[];
    let of_none =
        admit::Ask { caller, inbound, operation, plan, route, keyed, looked, until: None, stays };
    let (plan, turn, admitted) = loop {
        let (planned, turn) =
            waiting.plan(caller, inbound, (operation, &required), plan_of).await?;
        let candidates = planned.candidates;
        let likely = sizes.likely(caller, &candidates, operation.choices());
        let ask = admit::Ask { plan: &candidates, ..of_none };
        match services.queues.admit(|| admit::admit(ledger, &ask, cap, likely)).await {
            Ok(admitted) => break (candidates, turn, admitted),
            Err(refused) => {
                drop(turn);
                let Some(wait) = defer::pause(&refused, inbound) else {
                    return Err(refused.into());
                };
                tokio::time::sleep(wait).await;
            }
        }
    };
    let admit::Admitted { hold, cap, step } = admitted;
    let ask = admit::Ask { plan: &plan, ..of_none };
    if keyed.is_some_and(|keyed| keyed.name.is_of_line()) {
        // A line of a batch is sent once, whenever the gateway dies: nothing leaves before its hold.
        hold.durable().await?;
    }
    let booked = keyed.zip(first).map(|(k, first)| repeat::Booked::new(ledger, k, first));

    let (hold, accepted) = attempts::walk(worker, &runtime, &ask, cap, hold, turn).await?;
    let attempts::Accepted { answer, site, candidate, permit, attempts, dropped, cheaper, waited } =
        accepted;
    if let Some(shadow) = shadow {
        shadow.follow(worker, &runtime, caller, inbound, operation);
    }
    let target = candidate.target;
    services.prefixes.note(&trail, target, candidate.input.tokens, now);
    let from = Origin {
        provider: target.provider_name.clone(),
        model: target.model.clone(),
        attempts,
        max_output_tokens: cap,
        dropped,
        cached,
        end: route.end.clone(),
        deferred: waited.map(|waited| Deferred {
            waited,
            tier: candidate.cheaper.map(|_| cheaper.unwrap_or_default()),
        }),
    };
    let standard = candidate.cheaper.is_some() && cheaper.is_none();
    let card = if standard { candidate.standard_card() } else { candidate.card() };
    // Under a lowered cap the reply is not the one that was asked for.
    let fill = fill.filter(|_| cap.is_none_or(|cap| cap == full));
    let fill = fill.map(|fill| fill.from(caller, inbound, operation, &from, card.clone()));
    if fill.is_none() {
        *lead = None;
    }

    // From here the reply belongs to the client, and a byte of it may leave only once its hold would
    // survive us. The commit ran beside the provider's work, so there is seldom anything to wait for.
    hold.durable().await?;
    let told = Told::new(&ask, candidate, (permit, place), runtime.counting.clone());
    let reply = if operation.stream() {
        let flow = relay::Flow::new(site.clone(), target, answer.body, hold, told, step);
        let relay = Relay::new(worker.clone(), caller, flow, fill);
        let of = || (inbound.id, from.clone(), card.clone());
        Reply::Stream(match (booked, lead.take()) {
            (Some(booked), _) => Streamed::Shared(booked.share(of(), relay)),
            (None, Some(lead)) => {
                Streamed::Shared(shared::Shared::start(of(), relay, lead, Box::new(drop)))
            }
            (None, None) => Streamed::Own(Box::new(relay)),
        })
    } else {
        let for_all = fill.as_ref().map(answers::Filling::answer);
        let keep = (booked, fill);
        let reply = whole::receive(worker, site, target, answer.body, hold, told, keep).await?;
        if let (Some(lead), Some(answer), Reply::Whole { body, settled, .. }) =
            (lead.take(), for_all, &reply)
        {
            let content = Content::Whole(body.clone());
            lead.whole(Arc::new(Answer { charged: settled.charged, content, ..answer }));
        }
        reply
    };
    Ok(Served::Made(Answered { from, reply }))
}

/// What a reply is written with: the client's dialect and the names it used.
#[derive(Clone)]
struct Told {
    /// Our count of the input.
    input_tokens: u64,
    estimate: Option<counting::Estimate>,
    /// The call's place at the target, until the reply is over.
    permit: Arc<Permit>,
    /// Its place among the gateway's calls, as long.
    _place: Arc<load::InFlight>,
    /// Input tokens that should be in the provider's cache.
    cached: u64,
    counting: Arc<Counting>,
    account: Arc<str>,
    dialect: tollgate_providers::Dialect,
    needs: Capability,
    /// How an answer that is not text is read.
    media: Option<tollgate_providers::unified::Answer>,
    vectors: VectorFormat,
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
    /// What of the request the reply repeats.
    echo: String,
}

impl Told {
    fn new(
        ask: &admit::Ask<'_, '_>,
        to: &planning::Candidate<'_>,
        (permit, place): (Permit, load::InFlight),
        counting: Arc<Counting>,
    ) -> Told {
        let admit::Ask { caller, inbound, operation, .. } = *ask;
        let (include_usage, vectors) = match operation {
            Operation::Chat(request) => (request.include_usage, VectorFormat::Float),
            Operation::Embeddings(request) => (false, request.format),
            Operation::Task(_) | Operation::Media(_) => (false, VectorFormat::Float),
        };
        Told {
            input_tokens: to.input.tokens,
            estimate: to.estimate,
            permit: Arc::new(permit),
            _place: Arc::new(place),
            cached: to.cached,
            counting,
            account: caller.account.clone(),
            dialect: inbound.prompt.as_ref().map_or(operation.dialect(), |p| p.dialect),
            needs: operation.needs(),
            media: media::answer(operation, to.target),
            vectors,
            id: inbound.id.to_string(),
            model: operation.model().to_owned(),
            created: u64::try_from(inbound.received_at.micros() / 1_000_000).unwrap_or(0),
            include_usage,
            echo: match &inbound.prompt {
                Some(prompt) => prompt.echo.clone(),
                None => operation.dialect().echo(operation.body()),
            },
        }
    }

    /// A reply is whole: its sizes and its bill are learned from.
    fn learn(&self, sizes: &Sizes, target: &Target, reported: &Usage, settled: &Settled) {
        sizes.observe(target, &self.account, settled.output.tokens);
        self.permit.finished(settled.output.tokens, planning::micros(clock::now()));
        if reported.get(Class::Input).is_some() {
            self.permit.cached(self.cached, reported.get(Class::CacheRead).unwrap_or(0));
        }
        let billed = reported.get(Class::Input).and_then(|_| reported.input_total());
        self.counting.learn(target, self.estimate, billed);
    }

    fn options(&self) -> tollgate_providers::EncodeOptions<'_> {
        tollgate_providers::EncodeOptions {
            id: &self.id,
            model: &self.model,
            created: self.created,
            include_usage: self.include_usage,
            echo: &self.echo,
        }
    }
}

/// What the name stands for, if the caller may ask for it.
fn route(
    runtime: &Runtime,
    caller: &Caller,
    operation: &Operation<'_>,
) -> Result<Arc<Route>, CallError> {
    let name = operation.model();
    let route = runtime.routes.find(name).map_err(|none| no_route(name, none))?;
    if !caller.models.allows(name) {
        return Err(CallError::ForbiddenModel { model: name.to_owned() });
    }
    if let Some(end) = route.ended(clock::now()) {
        return Err(CallError::Sunset { model: name.to_owned(), successor: end.successor.clone() });
    }
    Ok(route)
}

fn no_route(model: &str, none: NoRoute) -> CallError {
    let model = model.to_owned();
    match none {
        NoRoute::Unknown { nearest } => CallError::NoModel { model, nearest },
        NoRoute::Ambiguous { full } => CallError::AmbiguousModel { model, full },
    }
}

/// The input's tokens as the route's first target counts them.
///
/// # Errors
/// Where the model cannot be asked for.
pub fn input_tokens(
    runtime: &Runtime,
    caller: &Caller,
    operation: &Operation<'_>,
) -> Result<u64, CallError> {
    let route = route(runtime, caller, operation)?;
    Ok(route.targets.first().map_or(0, |t| runtime.counting.input(operation, t).0.tokens))
}
