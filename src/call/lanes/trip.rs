//! One request for several calls: who gathers them, how it is sent, and what each gets of its answer.
//! A request that the provider refuses for what is in it is halved until only the calls at fault are
//! refused; every such attempt is on the rows of all who were in it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::Notify;
use tollgate_providers::joined::{self, Lists, Share};
use tollgate_providers::{Encoded, ErrorKind};

use super::super::attempts::{ERROR_BODY, lookup};
use super::super::whole::LARGEST;
use super::{Key, Leaving, Rider, Room, Sent, Worker};
use crate::clock;
use crate::ledger::Party;
use crate::upstream::{Answer, Body, Broken};

/// Whoever sees to it that those who gather in a lane leave.
pub(super) struct Conductor {
    pub(super) worker: Worker,
    pub(super) max_wait: Duration,
    pub(super) room: Room,
    pub(super) lists: Lists,
    pub(super) key: Arc<Key>,
}

impl Conductor {
    /// Waits until it is time, and sends all who wait then.
    pub(super) async fn gather(self, go: Arc<Notify>) {
        let _in_time = tokio::time::timeout(self.max_wait, go.notified()).await;
        let services = &self.worker.services;
        for (leaving, riders) in services.lanes.depart(&self.key, self.room) {
            let (worker, lists) = (self.worker.clone(), self.lists);
            let trip = Trip { worker, lists, credential: self.key.credential };
            services.drains.tasks.spawn(async move {
                let _leaving: Leaving = leaving;
                trip.make(riders, 0).await;
            });
        }
    }
}

/// One request under way, or the halves of one.
struct Trip {
    worker: Worker,
    lists: Lists,
    credential: usize,
}

impl Trip {
    /// Sends a request for these calls, after so many that were refused. Each half of a refused one is
    /// half as large, so there are at most twice as many requests as calls.
    fn make(
        &self,
        riders: Vec<Rider>,
        before: u32,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            // Nothing is sent for a call that nobody waits for, or whose hold is settled.
            let mut riders: Vec<Rider> =
                riders.into_iter().filter(|rider| !rider.done.is_closed()).collect();
            let (party, open) = Party::of(riders.iter().map(|rider| &rider.aboard));
            let mut open = open.into_iter();
            riders.retain(|_| open.next().unwrap_or(false));
            let (Some(party), Some(first)) = (party, riders.first()) else { return };
            let site = first.site.clone();
            let encoded = match &*riders {
                [one] => one.encoded.clone(),
                many => {
                    let body = joined::join(many.iter().map(|rider| &rider.parcel));
                    Encoded { body, ..first.encoded.clone() }
                }
            };
            let sent =
                self.worker.upstream.send(&party, &site.endpoint, self.credential, encoded).await;
            let answer = match sent {
                Ok(answer) => answer,
                Err(error) => {
                    for (at, rider) in riders.into_iter().enumerate() {
                        let answer = Err(error.clone());
                        let _gone = rider.done.send(Sent { answer, before, told: at > 0 });
                    }
                    return;
                }
            };
            if riders.len() == 1 {
                if let Some(rider) = riders.pop() {
                    let answer = Ok(answer);
                    let _gone = rider.done.send(Sent { answer, before, told: false });
                }
                return;
            }
            let patience = site.endpoint.idle_timeout();
            let Answer { status, headers, body } = answer;
            if status.is_success() {
                let body = body.collect(LARGEST, patience).await;
                let bodies = self.parted(&riders, body);
                give(riders, bodies, before, |body| Answer {
                    status,
                    headers: headers.clone(),
                    body,
                });
                return;
            }
            let body = body.collect(ERROR_BODY, patience).await.unwrap_or_default();
            if let Some(why) = self.at_fault(&riders, status.as_u16(), &headers, &body) {
                for rider in &riders {
                    rider.aboard.again(status.as_u16(), &why);
                }
                let rest = riders.split_off(riders.len() / 2);
                let (one, other) = (self.make(riders, before + 1), self.make(rest, before + 1));
                tokio::join!(one, other);
                return;
            }
            let bodies = vec![Ok(body); riders.len()];
            give(riders, bodies, before, |body| Answer { status, headers: headers.clone(), body });
        })
    }

    /// What each has of a reply. One that cannot be parted is nobody's: each gets an error instead.
    fn parted(&self, riders: &[Rider], body: Result<Bytes, Broken>) -> Vec<Result<Bytes, Broken>> {
        let body = match body {
            Ok(body) => body,
            Err(broken) => return riders.iter().map(|_| Err(broken.clone())).collect(),
        };
        let share = |rider: &Rider| Share { items: rider.parcel.items(), tokens: rider.tokens };
        let shares: Vec<Share> = riders.iter().map(share).collect();
        let family = riders.first().map(|rider| rider.family);
        let count = |text: &str| family.map_or(0, |family| family.count(text));
        match joined::part(&body, self.lists, &shares, count) {
            Ok(parts) => parts.into_iter().map(|part| Ok(part.into())).collect(),
            Err(error) => {
                let message = format!("of a joined request: {error}");
                let message = serde_json::Value::from(message);
                let error = Bytes::from(format!("{{\"error\":{{\"message\":{message}}}}}"));
                riders.iter().map(|_| Ok(error.clone())).collect()
            }
        }
    }

    /// Whether a refusal is for what stands in the request, which is then some calls' and not others';
    /// as the rows of all say it.
    fn at_fault(
        &self,
        riders: &[Rider],
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<String> {
        let site = &riders.first()?.site;
        let failure = site.adapter.classify(status, &lookup(headers), body, clock::now());
        let theirs = matches!(
            failure.kind,
            ErrorKind::InvalidRequest
                | ErrorKind::ContextLength
                | ErrorKind::ContentPolicy
                | ErrorKind::TooLarge
        );
        let kind = failure.kind.name();
        theirs.then(|| format!("{kind} ({status}) of one of {} joined calls", riders.len()))
    }
}

fn give(
    riders: Vec<Rider>,
    bodies: Vec<Result<Bytes, Broken>>,
    before: u32,
    answer: impl Fn(Body) -> Answer,
) {
    for (at, (rider, body)) in riders.into_iter().zip(bodies).enumerate() {
        let answer = Ok(answer(Body::received(body)));
        let _gone = rider.done.send(Sent { answer, before, told: at > 0 });
    }
}
