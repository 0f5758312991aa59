//! Connections to providers: the only outbound socket. `send` asks for an open hold, so nothing can be
//! sent that is not held.

mod body;
mod demo;
mod endpoint;
mod local;
mod post;
mod sigv4;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tollgate_providers::Encoded;

pub use body::{Body, Broken};
pub use demo::Demo;
pub use endpoint::{BadEndpoint, Endpoint, Patience, Place};
pub use local::{LocalError, request as request_local};
pub use post::{PostError, Poster};
pub use sigv4::SigningKey;

use crate::ledger::Held;

/// Idle connections kept per host and worker.
const IDLE_PER_HOST: usize = 256;
/// How long an idle connection is kept: less than the minute after which common servers close it.
const IDLE: Duration = Duration::from_secs(50);

/// One worker's pool of connections.
#[derive(Clone)]
pub struct Upstream {
    /// One client for each patience with connecting, which is set per connector.
    clients: Arc<Mutex<Vec<(Duration, Pool)>>>,
    demo: Arc<Demo>,
}

type Pool = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The head of an answer, and its body to come.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unread.
    pub body: Body,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection: the request cannot have reached the provider.
    #[error("no connection: {0}")]
    NotSent(String),
    /// The connection broke after the request may have gone out.
    #[error("the connection broke before the answer: {0}")]
    Lost(String),
    /// No answer within the time given for the first byte.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

impl Upstream {
    /// A pool without connections. Belongs to the runtime it is first used on.
    pub fn new(demo: Arc<Demo>) -> Upstream {
        Upstream { clients: Arc::default(), demo }
    }

    /// Sends a request to a provider, showing one of its keys, and waits for the head of its answer.
    ///
    /// # Errors
    /// Says whether the provider can have seen the request: only `NotSent` is free of charge.
    pub async fn send(
        &self,
        hold: &impl Held,
        endpoint: &Endpoint,
        key: usize,
        encoded: Encoded,
    ) -> Result<Answer, SendError> {
        let place = match endpoint.place() {
            Place::InProcess => {
                hold.sent();
                let patience = endpoint.first_byte_timeout();
                let answer = tokio::time::timeout(patience, self.demo.answer(&encoded)).await;
                return answer.map_err(|_| SendError::Late(patience));
            }
            Place::Host(place) => place,
        };
        let request = place.request(key, encoded).map_err(|e| SendError::NotSent(e.to_string()))?;
        let pool = self.pool(endpoint.connect_timeout());
        exchange(&pool, hold, request, endpoint.first_byte_timeout()).await
    }

    fn pool(&self, connect_timeout: Duration) -> Pool {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pool)) = clients.iter().find(|(patience, _)| *patience == connect_timeout) {
            return pool.clone();
        }
        let made = pool(connect_timeout);
        clients.push((connect_timeout, made.clone()));
        made
    }
}

fn pool(connect_timeout: Duration) -> Pool {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(connect_timeout));
    http.set_keepalive(Some(Duration::from_secs(60)));
    let connector = HttpsConnectorBuilder::new()
        .with_webpki_roots()
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .build(connector)
}

async fn exchange(
    pool: &Pool,
    hold: &impl Held,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<Answer, SendError> {
    hold.sent();
    let answer = match tokio::time::timeout(patience, pool.request(request)).await {
        Ok(answer) => answer,
        Err(_) => return Err(SendError::Late(patience)),
    };
    match answer {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            Ok(Answer { status: head.status, headers: head.headers, body: Body::network(body) })
        }
        Err(error) if error.is_connect() => {
            hold.not_sent();
            Err(SendError::NotSent(causes(&error)))
        }
        Err(error) => Err(SendError::Lost(causes(&error))),
    }
}

/// An error and what caused it, in one line for the log and the row.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
