//! A provider that does exactly as it is told, and keeps a log of what truly happened.
//!
//! A request says how it wants to be answered with a directive anywhere in its text
//! (`@@tokens=20 fin=900@@`, see `script`), or a test pushes the very bytes for a model's next
//! calls. The log has, for each request, what was received, how many output tokens were written
//! to the socket, and the usage that was reported in full.

mod anthropic;
pub(crate) mod batches;
mod openai;
mod responses;
pub(crate) mod script;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::eventually;
pub(crate) use openai::Usage;
use script::Reply;
use wire::{Connection, Request};

/// A running provider; it stops when this is dropped.
pub(crate) struct Upstream {
    /// `http://127.0.0.1:PORT`, with no path.
    pub(crate) url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What happened to one request.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// The id in the reply (`chatcmpl-...`) and in its `x-request-id`.
    pub(crate) id: String,
    /// The directive's `key`, or empty.
    pub(crate) key: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) model: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Zero until a head was written.
    pub(crate) status: u16,
    /// Output tokens in pieces that were handed to the socket whole.
    pub(crate) produced: u64,
    /// The same, with the piece that was broken off: it may be readable all the same.
    pub(crate) begun: u64,
    /// What the reply said was used, once those bytes were handed over too.
    pub(crate) reported: Option<Usage>,
    pub(crate) ended: Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Being answered now.
    Open,
    /// Every byte of the reply was written.
    Whole,
    /// Cut where the script said.
    Cut,
    /// The gateway closed the connection first.
    PeerGone,
}

#[derive(Default)]
struct State {
    log: Mutex<Vec<Truth>>,
    pushed: Mutex<HashMap<String, VecDeque<Reply>>>,
    /// Files and batches.
    shelf: Mutex<batches::Shelf>,
    /// How often each key was seen: `fail=2` fails the first two.
    seen: Mutex<HashMap<String, u64>>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { serve(Connection::new(stream), &state).await });
            }
        });
        Upstream { url, state, accepting }
    }

    /// The model's next call is answered with exactly this.
    pub(crate) fn push(&self, model: &str, reply: Reply) {
        self.state.pushed.lock().unwrap().entry(model.to_owned()).or_default().push_back(reply);
    }

    /// Drops what was pushed and not asked for.
    pub(crate) fn forget_pushed(&self) {
        self.state.pushed.lock().unwrap().clear();
    }

    pub(crate) fn truths(&self) -> Vec<Truth> {
        self.state.log.lock().unwrap().clone()
    }

    /// The requests whose directive has this key, in the order they came.
    pub(crate) fn by_key(&self, key: &str) -> Vec<Truth> {
        self.truths().into_iter().filter(|truth| truth.key == key).collect()
    }

    /// The last request with this key, once it is answered (or broken off).
    pub(crate) async fn answered(&self, key: &str) -> Truth {
        eventually("the provider ends its reply", Duration::from_secs(10), async || {
            self.by_key(key).pop().filter(|truth| truth.ended != Ended::Open)
        })
        .await
    }

    pub(crate) fn last(&self) -> Truth {
        self.truths().pop().unwrap()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.log.lock().unwrap().len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Truth {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl State {
    fn begin(&self, id: &str, key: &str, model: &str, request: &Request) -> usize {
        let mut log = self.log.lock().unwrap();
        log.push(Truth {
            id: id.to_owned(),
            key: key.to_owned(),
            method: request.method.clone(),
            path: request.path.clone(),
            model: model.to_owned(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            status: 0,
            produced: 0,
            begun: 0,
            reported: None,
            ended: Ended::Open,
        });
        log.len() - 1
    }

    fn note(&self, row: usize, change: impl FnOnce(&mut Truth)) {
        change(&mut self.log.lock().unwrap()[row]);
    }

    fn next_pushed(&self, model: &str) -> Option<Reply> {
        self.pushed.lock().unwrap().get_mut(model)?.pop_front()
    }

    /// How often this key was seen before.
    fn seen_before(&self, key: &str) -> u64 {
        let mut seen = self.seen.lock().unwrap();
        let times = seen.entry(key.to_owned()).or_default();
        *times += 1;
        *times - 1
    }
}

async fn serve(mut connection: Connection, state: &State) {
    while let Ok(Some(request)) = connection.read().await {
        if batches::is_for(&request.path) {
            let row = state.begin("", "", "", &request);
            let reply = batches::answer(state, &request);
            let ended = connection.play(reply, state, row).await;
            state.note(row, |truth| truth.ended = ended);
            if ended != Ended::Whole {
                return;
            }
            continue;
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let script = script::Script::find(&request.body);
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        let anthropic = request.path.starts_with("/v1/messages");
        let id = wire::new_id(if anthropic { "msg_" } else { "chatcmpl-" });
        let row = state.begin(&id, &script.key, &model, &request);
        let reply = match state.next_pushed(&model) {
            Some(reply) => reply,
            None => answer(state, &request, &body, &script, &id),
        };
        let ended = connection.play(reply.with_header("x-request-id", &id), state, row).await;
        state.note(row, |truth| truth.ended = ended);
        if ended != Ended::Whole {
            return;
        }
    }
}

fn answer(
    state: &State,
    request: &Request,
    body: &Value,
    script: &script::Script,
    id: &str,
) -> Reply {
    let failing = script.fail > 0 && state.seen_before(&script.key) < script.fail;
    let anthropic = request.path.starts_with("/v1/messages");
    if failing || (script.status != 200 && script.fail == 0) {
        let status = if script.status == 200 { 500 } else { script.status };
        return match anthropic {
            true => anthropic::refuse(status, script),
            false => openai::refuse(status, script),
        };
    }
    let path = request.path.split('?').next().unwrap_or_default();
    let reply = match (request.method.as_str(), path) {
        ("POST", "/v1/chat/completions") => openai::chat(body, script, id),
        ("POST", "/v1/completions") => openai::completions(body, script),
        ("POST", "/v1/embeddings") => openai::embeddings(body, script),
        ("POST", "/v1/messages") => anthropic::messages(body, script, id),
        ("POST", "/v1/responses") => responses::responses(body, script, id),
        ("GET", "/v1/models") => openai::models(),
        _ => openai::refuse(404, script),
    };
    script.spoil(reply)
}
