//! A refused credential counts against the address that showed it; after too many, the address is told
//! to wait. A valid credential is never looked at here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;
use tollgate_accounting::Timestamp;
use tollgate_providers::Dialect;

use super::Failed;
use crate::clock;
use crate::tenants::Strangers;

/// The other end of a connection; put on each of its requests by whoever accepts it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The mark of a response to a refused credential.
#[derive(Clone, Copy)]
pub(super) struct Unauthenticated;

/// Runs after every request of the data plane.
pub(super) async fn count(
    State(strangers): State<Arc<Strangers>>,
    request: Request,
    next: Next,
) -> Response {
    let from = Way::of(&request);
    let messages = request.uri().path().starts_with("/v1/messages");
    let response = next.run(request).await;
    if response.extensions().get::<Unauthenticated>().is_none() {
        return response;
    }
    match from.and_then(|from| from.refused(&strangers)) {
        None => response,
        Some(until) => {
            let dialect = if messages { Dialect::AnthropicMessages } else { Dialect::OpenAiChat };
            Failed::stranger(wait(until)).response(dialect, None)
        }
    }
}

/// The way a request came: looked at only if its credential is refused.
pub(super) struct Way {
    peer: IpAddr,
    /// A proxy may add a line below those that came.
    forwarded_for: Vec<HeaderValue>,
}

impl Way {
    pub(super) fn of(request: &Request) -> Option<Way> {
        let Peer(peer) = *request.extensions().get::<Peer>()?;
        let lines = request.headers().get_all("x-forwarded-for").iter();
        Some(Way { peer, forwarded_for: lines.cloned().collect() })
    }

    /// Counts a refusal of whoever is at the other end of the way; see [`Strangers::refused`].
    pub(super) fn refused(&self, strangers: &Strangers) -> Option<Timestamp> {
        let lines = self.forwarded_for.iter().map(|line| line.to_str().unwrap_or("unreadable"));
        let hops = lines.collect::<Vec<_>>().join(",");
        let hops = Some(&*hops).filter(|hops| !hops.is_empty());
        strangers.refused(strangers.client(self.peer, hops), clock::now())
    }
}

/// Microseconds from now until then.
pub(super) fn wait(until: Timestamp) -> i64 {
    until.micros().saturating_sub(clock::now().micros()).max(0)
}
