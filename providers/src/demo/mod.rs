//! A provider without a network: deterministic answers on OpenAI's wire, at a believable pace, with
//! faults on demand. The gateway serves it in process as if it were an upstream, so that a demo walks
//! the same path as every other call.

mod answer;
mod chat;
mod embeddings;
mod media;
mod schema;
mod seed;
mod tasks;

use bytes::Bytes;

use crate::Bounds;
use crate::dialect::Dialect;
use crate::openai::{Audio, OpenAi, Profile, STANDARD};
use crate::unified::{Auth, BadRequest, Task, WireError};

/// The provider's side of it: requests are encoded and replies decoded as for any other.
pub static DEMO: OpenAi = OpenAi::new(&Profile {
    name: "demo",
    base_url: None,
    auth: Auth::None,
    moderations: true,
    rerank: true,
    images: true,
    audio: Audio::Events,
    ..STANDARD
});

/// One call to the demo.
pub struct Call<'c> {
    /// The path, as encoded.
    pub path: &'c str,
    /// The body.
    pub body: &'c [u8],
    /// Which call to that model it is, from 1. Faults go by it.
    pub number: u64,
    /// Seconds since the Unix epoch, for replies to be dated with.
    pub created: u64,
    /// Counts the tokens of a text.
    pub count: &'c dyn Fn(&str) -> u64,
}

/// What the demo answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// How long to wait before the first byte, in microseconds.
    pub after: i64,
    /// The body.
    pub body: Body,
}

/// The body of a [`Response`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// All at once.
    Whole(Vec<u8>),
    /// Frame by frame. The body ends behind the last one, whole or not.
    Stream(Vec<Paced>),
}

/// A frame, and how long it keeps the client waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paced {
    /// Microseconds after the frame before it.
    pub after: i64,
    /// The bytes.
    pub frame: Bytes,
}

/// How a model of the demo behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Answers at a believable pace.
    Paced,
    /// Answers at once.
    Fast,
    /// Waits two seconds before its first byte, and between words.
    Slow,
    /// Every third call fails with 500.
    Flaky,
    /// Two of three calls are refused with 429 and `Retry-After: 1`.
    Limited,
    /// Streams stop in the middle.
    Cut,
    /// Streams report an error in the middle.
    Failing,
    /// Embeds.
    Embeds,
    /// Judges texts, or puts them in order.
    Judges,
    /// Draws, speaks or listens, as a model of OpenAI's is billed for it.
    Plays(&'static str),
}

/// The models and how they behave.
pub const MODELS: [(&str, Manner); 13] = [
    ("small", Manner::Paced),
    ("fast", Manner::Fast),
    ("slow", Manner::Slow),
    ("flaky", Manner::Flaky),
    ("429", Manner::Limited),
    ("cut", Manner::Cut),
    ("error", Manner::Failing),
    ("embed", Manner::Embeds),
    ("judge", Manner::Judges),
    ("rank", Manner::Judges),
    ("draw", Manner::Plays("gpt-image-1")),
    ("speak", Manner::Plays("gpt-4o-mini-tts")),
    ("listen", Manner::Plays("gpt-4o-transcribe")),
];

/// The model whose rules a model of the demo goes by: what it counts as, and comes to at most.
pub fn counted_as(model: &str) -> &'static str {
    match manner(model) {
        Ok(Manner::Plays(like)) => like,
        _ => "gpt-4o",
    }
}

/// Answers a call.
pub fn serve(call: &Call<'_>) -> Response {
    let bounds = Bounds::default();
    let answered = match call.path {
        "/chat/completions" => Dialect::OpenAiChat
            .decode_chat(call.body, &bounds)
            .and_then(|req| manner(&req.model).map(|m| (m, chat::respond(call, &req, m)))),
        "/embeddings" => Dialect::OpenAiEmbeddings
            .decode_embeddings(call.body, &bounds)
            .and_then(|req| manner(&req.model).map(|m| (m, embeddings::respond(call, &req)))),
        "/moderations" => task(call, &bounds, Task::Moderate),
        "/rerank" => task(call, &bounds, Task::Rank),
        "/images/generations" => play(call, &bounds, Dialect::OpenAiImages),
        "/images/edits" => play(call, &bounds, Dialect::OpenAiEdits),
        "/audio/speech" => play(call, &bounds, Dialect::OpenAiSpeech),
        "/audio/transcriptions" => play(call, &bounds, Dialect::OpenAiTranscriptions),
        other => Err(BadRequest::whole(format!("the demo has no path {other}"))),
    };
    match answered {
        Err(bad) => refuse(&bad),
        Ok((manner, response)) => fault(manner, call.number).unwrap_or(response),
    }
}

fn task(call: &Call<'_>, bounds: &Bounds, task: Task) -> Result<(Manner, Response), BadRequest> {
    let request = Dialect::decode_task(call.body, bounds, task)?;
    Ok((manner(&request.model)?, tasks::respond(call, &request)))
}

fn play(
    call: &Call<'_>,
    bounds: &Bounds,
    dialect: Dialect,
) -> Result<(Manner, Response), BadRequest> {
    let request = dialect.decode_media(call.body, bounds)?;
    Ok((manner(&request.model)?, media::respond(call, &request)?))
}

/// An answer at once.
fn whole(body: Vec<u8>) -> Response {
    let headers = vec![("content-type", "application/json".into())];
    Response { status: 200, headers, after: 0, body: Body::Whole(body) }
}

fn manner(model: &str) -> Result<Manner, BadRequest> {
    let name = model.strip_prefix("demo/").unwrap_or(model);
    let found = MODELS.iter().find(|(known, _)| *known == name);
    found.map(|(_, manner)| *manner).ok_or_else(|| {
        let message = format!("the model `{model}` does not exist");
        BadRequest::field("model", message).with_code("model_not_found")
    })
}

fn refuse(bad: &BadRequest) -> Response {
    let status = if bad.code == Some("model_not_found") { 404 } else { 400 };
    error(WireError { status, ..bad.to_wire() })
}

fn fault(manner: Manner, number: u64) -> Option<Response> {
    match manner {
        Manner::Flaky if number.is_multiple_of(3) => Some(error(WireError {
            status: 500,
            kind: "server_error".into(),
            message: "The demo fails on purpose: every third call to this model does.".into(),
            ..WireError::default()
        })),
        Manner::Limited if !number.is_multiple_of(3) => {
            let mut response = error(WireError {
                status: 429,
                kind: "requests".into(),
                code: Some("rate_limit_exceeded".into()),
                message: "The demo refuses on purpose: two of three calls to this model are."
                    .into(),
                ..WireError::default()
            });
            response.headers.push(("retry-after", "1".into()));
            Some(response)
        }
        _ => None,
    }
}

fn error(error: WireError) -> Response {
    Response {
        status: error.status,
        headers: vec![("content-type", "application/json".into())],
        after: 0,
        body: Body::Whole(Dialect::OpenAiChat.encode_error(&error)),
    }
}

#[cfg(test)]
mod tests;
