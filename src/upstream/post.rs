//! Posts to an address that the operator names, such as a webhook. Nothing of a call goes this way, so
//! it asks for no hold.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{Pool, causes, pool};

/// How long a connection, and all of an exchange, may take.
const CONNECT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to whoever is posted to, on the thread that posts.
pub struct Poster {
    runtime: Runtime,
    pool: Pool,
    stop: CancellationToken,
}

/// Why a post got no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The address or a header cannot be sent.
    #[error("cannot be sent: {0}")]
    Unsendable(#[from] http::Error),
    /// No connection, or it broke.
    #[error("{0}")]
    Broken(String),
    /// It took too long.
    #[error("no answer within {PATIENCE:?}")]
    Late,
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Stopped,
}

impl Poster {
    /// Gives up what is under way when `stop` is cancelled.
    ///
    /// # Errors
    /// Where the system gives no reactor.
    pub fn new(stop: CancellationToken) -> std::io::Result<Poster> {
        // A second provider of cryptography is one too many: the first that was set stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Poster { runtime, pool: pool(CONNECT), stop })
    }

    /// Posts JSON and waits for the status of the answer, whose body is not read.
    ///
    /// # Errors
    /// Where no answer came; whoever was posted to may have it all the same.
    pub fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<StatusCode, PostError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("tollgate"));
        self.runtime.block_on(async {
            tokio::select! {
                answer = tokio::time::timeout(PATIENCE, self.pool.request(request)) => match answer {
                    Ok(Ok(answer)) => Ok(answer.status()),
                    Ok(Err(error)) => Err(PostError::Broken(causes(&error))),
                    Err(_) => Err(PostError::Late),
                },
                () = self.stop.cancelled() => Err(PostError::Stopped),
            }
        })
    }
}
