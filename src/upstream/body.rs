//! The body of an answer, piece by piece, each within the provider's patience.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::demo::Script;

/// A body that is still coming in.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    Network(Incoming),
    Demo(Script),
    Received(Option<Result<Bytes, Broken>>),
}

/// Why a body broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The connection ended or was reset.
    #[error("the connection broke: {0}")]
    Connection(String),
    /// Nothing came for too long.
    #[error("nothing came for {0:?}")]
    Idle(Duration),
    /// It is larger than allowed.
    #[error("the reply is larger than {0} bytes")]
    TooLarge(usize),
}

impl Body {
    pub(super) fn network(body: Incoming) -> Body {
        Body(Source::Network(body))
    }

    /// A body that was read, or broke off, already.
    pub fn received(body: Result<Bytes, Broken>) -> Body {
        Body(Source::Received(Some(body)))
    }

    pub(super) fn demo(script: Script) -> Body {
        Body(Source::Demo(script))
    }

    /// The next piece; nothing at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        match &mut self.0 {
            Source::Network(body) => loop {
                match body.frame().await? {
                    Ok(frame) => {
                        // Trailers carry nothing that is needed.
                        if let Ok(data) = frame.into_data() {
                            return Some(Ok(data));
                        }
                    }
                    Err(error) => return Some(Err(Broken::Connection(super::causes(&error)))),
                }
            },
            Source::Demo(script) => script.next().await.map(Ok),
            Source::Received(body) => body.take(),
        }
    }

    /// The whole body, if it comes within `most` bytes and no pause is longer than `patience`.
    pub async fn collect(mut self, most: usize, patience: Duration) -> Result<Bytes, Broken> {
        let mut first: Option<Bytes> = None;
        let mut whole = BytesMut::new();
        loop {
            let piece = match tokio::time::timeout(patience, self.next()).await {
                Ok(Some(piece)) => piece?,
                Ok(None) => break,
                Err(_) => return Err(Broken::Idle(patience)),
            };
            let before = first.as_ref().map_or(whole.len(), Bytes::len);
            if before + piece.len() > most {
                return Err(Broken::TooLarge(most));
            }
            // Most replies come as one piece, which is passed on without a copy.
            match first.take() {
                None if whole.is_empty() => first = Some(piece),
                None => whole.extend_from_slice(&piece),
                Some(one) => {
                    whole.extend_from_slice(&one);
                    whole.extend_from_slice(&piece);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }
}
