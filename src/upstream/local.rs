//! One plain HTTP request to a gateway on this machine: how the command line reaches a running one,
//! and how the demo calls itself.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Nobody listens there, or the connection broke.
    #[error("no gateway answers at {address}: {why}")]
    Unreachable {
        /// Where it was looked for.
        address: SocketAddr,
        /// Why.
        why: String,
    },
}

/// Asks the gateway at `address`, with a bearer credential, and waits for the whole answer.
pub fn request(
    address: SocketAddr,
    credential: &str,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, http::HeaderMap, Bytes), LocalError> {
    let failed = |why: String| LocalError::Unreachable { address, why };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {credential}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| failed(error.to_string()))?;
    runtime.block_on(async {
        match tokio::time::timeout(PATIENCE, exchange(address, request)).await {
            Ok(answer) => answer.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {PATIENCE:?}"))),
        }
    })
}

async fn exchange(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, http::HeaderMap, Bytes), Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, hyper::Error>((head.status, head.headers, body))
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => Ok(answer?),
        // The connection moves the bytes; when it ends, so does the answer.
        ended = &mut connection => {
            ended?;
            Ok(answer.await?)
        }
    }
}
