//! The demo provider, in this process: what the providers crate says it answers, at the pace it says,
//! as a body like any other. No network, no key.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use tollgate_providers::Encoded;
use tollgate_providers::demo::{self, Call, MODELS};
use tollgate_tokenizer::Encoding;

use super::{Answer, Body};
use crate::clock;

/// The demo provider. It remembers how often each model was called, for faults go by that.
#[derive(Debug, Default)]
pub struct Demo {
    calls: Mutex<[u64; MODELS.len()]>,
}

/// A body that is sent at its own pace.
#[derive(Debug)]
pub(super) struct Script {
    frames: VecDeque<(Duration, Bytes)>,
}

#[derive(Deserialize)]
struct Model<'b> {
    #[serde(borrow)]
    model: std::borrow::Cow<'b, str>,
}

impl Demo {
    /// Answers a request as a provider would.
    pub(super) async fn answer(&self, encoded: &Encoded) -> Answer {
        let created = u64::try_from(clock::now().micros() / 1_000_000).unwrap_or(0);
        let number = self.number(&encoded.body);
        let (path, body) = (encoded.path.as_str(), encoded.body.as_slice());
        let count = |text: &str| Encoding::O200kBase.count(text);
        let response = demo::serve(&Call { path, body, number, created, count: &count });
        tokio::time::sleep(micros(response.after)).await;
        let mut headers = HeaderMap::new();
        for (name, value) in response.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let frames = match response.body {
            demo::Body::Whole(bytes) => VecDeque::from([(Duration::ZERO, Bytes::from(bytes))]),
            demo::Body::Stream(frames) => {
                frames.into_iter().map(|paced| (micros(paced.after), paced.frame)).collect()
            }
        };
        Answer {
            status: StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY),
            headers,
            body: Body::demo(Script { frames }),
        }
    }

    /// Which call to its model this is, from 1.
    fn number(&self, body: &[u8]) -> u64 {
        let asked = serde_json::from_slice::<Model<'_>>(body);
        let at = asked.ok().and_then(|a| MODELS.iter().position(|(name, _)| *name == a.model));
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match at.and_then(|at| calls.get_mut(at)) {
            Some(calls) => {
                *calls += 1;
                *calls
            }
            None => 1,
        }
    }
}

impl Script {
    /// The next frame, after its pause. What was not waited for to its end is not lost: the pause
    /// begins anew, so a reader that gives up and comes back waits again.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        let pause = self.frames.front()?.0;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.frames.pop_front().map(|(_, frame)| frame)
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
