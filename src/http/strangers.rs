//! A refused credential counts against the address that showed it; after too many, the address is told
//! to wait. A valid credential is never looked at here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
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
    let from = address(&request);
    let messages = request.uri().path().starts_with("/v1/messages");
    let response = next.run(request).await;
    if response.extensions().get::<Unauthenticated>().is_none() {
        return response;
    }
    match from.and_then(|from| strangers.refused(from, clock::now())) {
        None => response,
        Some(until) => {
            let dialect = if messages { Dialect::AnthropicMessages } else { Dialect::OpenAiChat };
            Failed::stranger(wait(until)).response(dialect, None)
        }
    }
}

/// Where a request comes from: the other end of its connection.
pub(super) fn address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.0)
}

/// Microseconds from now until then.
pub(super) fn wait(until: Timestamp) -> i64 {
    until.micros().saturating_sub(clock::now().micros()).max(0)
}
