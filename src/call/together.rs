//! Identical calls in flight: the first is made, the others get its reply. It is charged alone; each of
//! the others counts one request and has a row that says what it was spared. The first call belongs to
//! nobody in particular: it goes on for as long as anybody waits for it.
//!
//! Who joins follows the first into its errors: what the provider said is said to all. Where the first
//! has no reply that is theirs as well (it was refused, or its cap was lowered), each makes its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tollgate_accounting::Money;
use tollgate_providers::{Bounds, Dialect};

use super::admit::Ask;
use super::answers::{self, Fill, Given};
use super::shared::{Boarding, FellBehind, Joined, Reader};
use super::{
    Answered, Cached, CallError, Inbound, Making, Operation, Origin, Reply, Served, Streamed,
    Worker, make,
};
use crate::ledger::{Lookup, OpenHold, Outcome, Refused};
use crate::tenants::Caller;

/// The longest that a call waits for the first one's reply to begin.
const LONGEST: Duration = Duration::from_secs(600);

/// Makes the call, or joins one that is being made.
pub(super) async fn serve(
    worker: &Worker,
    caller: &Arc<Caller>,
    inbound: &Inbound,
    operation: &Operation<'_>,
    mut making: Making,
    fill: Fill,
) -> Result<Served, CallError> {
    let services = &worker.services;
    let lead = match services.together.board(fill.key(), inbound.id) {
        Boarding::Lead(lead) => lead,
        Boarding::Follow(first) => {
            let route = making.route.clone();
            let route = &*route;
            let looked = Some(Lookup::Joined);
            let ask = Ask {
                caller,
                inbound,
                operation,
                plan: &[],
                route,
                keyed: None,
                looked,
                until: None,
                stays: false,
            };
            let joined = tokio::time::timeout(LONGEST, first.joined()).await;
            return match joined.unwrap_or(Joined::TooLate) {
                Joined::Reply(reader) => along(worker, &ask, reader).await,
                Joined::Answer(answer) => {
                    answers::give(services, &ask, None, Given::Joined(&answer)).await
                }
                Joined::Failed(error) => Err(error),
                Joined::Over | Joined::TooLate => {
                    making.fill = Some(fill);
                    make(worker, caller, inbound, operation, making, &mut None).await
                }
            };
        }
    };
    // The one before may have ended between our look and our turn.
    if let Some(answer) = fill.kept() {
        let route = &*making.route;
        let looked = Some(Lookup::Hit);
        let ask = Ask {
            caller,
            inbound,
            operation,
            plan: &[],
            route,
            keyed: None,
            looked,
            until: None,
            stays: false,
        };
        return answers::give(services, &ask, None, Given::Kept(&answer)).await;
    }
    making.fill = Some(fill);
    let (served, mut answer) = oneshot::channel();
    let interest = lead.interest().clone();
    let _wanted = interest.want();
    let bounds = making.runtime.bounds;
    let call = Detached::new(worker, caller.clone(), inbound.clone(), operation, bounds);
    services.drains.tasks.spawn(async move {
        let mut lead = Some(lead);
        let made = tokio::select! {
            biased;
            made = call.run(making, &mut lead) => made,
            () = interest.nobody() => return,
        };
        if let (Err(error), Some(lead)) = (&made, lead.take()) {
            lead.failed(error);
        }
        let reply = match &made {
            Ok(Served::Made(Answered {
                reply: Reply::Stream(Streamed::Shared(reader)), ..
            })) => Some(reader.reply()),
            _ => None,
        };
        let _gone = served.send(made);
        // Until all who wait for the reply have their place in it.
        interest.nobody().await;
        drop(reply);
    });
    (&mut answer).await.unwrap_or(Err(CallError::Refused(Refused::Closing)))
}

/// Makes a call that goes on though its client leaves. A run that is stopped ends it all the same.
pub(super) async fn staying(
    worker: &Worker,
    caller: &Arc<Caller>,
    inbound: &Inbound,
    operation: &Operation<'_>,
    making: Making,
) -> Result<Served, CallError> {
    let bounds = making.runtime.bounds;
    let call = Detached::new(worker, caller.clone(), inbound.clone(), operation, bounds);
    let stop = caller.run.as_ref().map(|run| run.stop.clone());
    let (served, answer) = oneshot::channel();
    worker.services.drains.tasks.spawn(async move {
        let stopped = async {
            match &stop {
                Some(stop) => stop.cancelled().await,
                None => std::future::pending().await,
            }
        };
        let mut nobody = None;
        tokio::select! {
            biased;
            () = stopped => {}
            made = call.run(making, &mut nobody) => drop(served.send(made)),
        }
    });
    answer.await.unwrap_or(Err(CallError::Refused(Refused::Closing)))
}

/// A call that does not end with its client.
pub(super) struct Detached {
    worker: Worker,
    caller: Arc<Caller>,
    inbound: Inbound,
    like: Like,
    dialect: Dialect,
    body: Bytes,
    bounds: Bounds,
}

/// What kind of operation it is.
#[derive(Clone, Copy)]
enum Like {
    Chat,
    Embeddings,
    Media,
}

impl Like {
    /// Tasks are not made detached.
    fn of(operation: &Operation<'_>) -> Like {
        match operation {
            Operation::Chat(_) => Like::Chat,
            Operation::Embeddings(_) | Operation::Task(_) => Like::Embeddings,
            Operation::Media(_) => Like::Media,
        }
    }
}

impl Detached {
    /// Of a chat, embeddings or media; `operation` is copied.
    pub(super) fn new(
        worker: &Worker,
        caller: Arc<Caller>,
        inbound: Inbound,
        operation: &Operation<'_>,
        bounds: Bounds,
    ) -> Detached {
        Detached {
            worker: worker.clone(),
            caller,
            inbound,
            like: Like::of(operation),
            dialect: operation.dialect(),
            body: Bytes::copy_from_slice(operation.body()),
            bounds,
        }
    }

    /// Makes the call.
    pub(super) async fn run(
        &self,
        making: Making,
        lead: &mut Option<super::Leading>,
    ) -> Result<Served, CallError> {
        let Detached { worker, caller, inbound, like, dialect, body, bounds } = self;
        // It was understood before; what it borrowed from belongs to the client.
        let operation = match like {
            Like::Chat => Operation::Chat(Box::new(dialect.decode_chat(body, bounds)?)),
            Like::Embeddings => {
                Operation::Embeddings(Box::new(dialect.decode_embeddings(body, bounds)?))
            }
            Like::Media => Operation::Media(Box::new(dialect.decode_media(body, bounds)?)),
        };
        make(worker, caller, inbound, &operation, making, lead).await
    }
}

/// A reply that came while it was made for another call, read along.
async fn along(worker: &Worker, ask: &Ask<'_, '_>, reader: Reader) -> Result<Served, CallError> {
    let Origin { provider, model, max_output_tokens, .. } = reader.from().clone();
    let made = answers::Made { provider: &provider, model: &model, card: reader.card() };
    let hold = answers::hold(&worker.services, ask, made, Money::ZERO).await?;
    hold.durable().await?;
    let from = Origin {
        deferred: None,
        provider: provider.clone(),
        model: model.clone(),
        attempts: 0,
        max_output_tokens,
        dropped: reader.from().dropped.clone(),
        cached: Some(Cached::Joined { saved: None }),
        end: ask.route.end.clone(),
    };
    let along = Along { reader: reader.of_another(), hold: Some(hold) };
    let reply = Reply::Stream(Streamed::Along(Box::new(along)));
    Ok(Served::Made(Answered { from, reply }))
}

/// A place in a reply that another call pays for.
pub struct Along {
    reader: Reader,
    /// `None` once it is settled.
    hold: Option<OpenHold>,
}

impl Along {
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, FellBehind>> {
        let next = self.reader.next().await;
        let over = next.is_none() || self.reader.at_end();
        if let Some(hold) = self.hold.take_if(|_| over) {
            // The row says so before the last frame is written.
            match self.reader.charged() {
                Some(charged) => {
                    hold.on_attempt(|attempt| attempt.saved = Some(charged));
                    hold.settle(Outcome::Joined);
                }
                None => {
                    hold.give_up(Outcome::Failed, "the reply that it had joined broke off");
                    hold.settle(Outcome::Failed);
                }
            }
        }
        next
    }
}
