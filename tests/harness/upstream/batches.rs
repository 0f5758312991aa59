//! OpenAI's files and batches: lines run once, when the batch is looked at and nothing holds it back.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::script::{Reply, Script, Step};
use super::wire::{self, Request};
use super::{Ended, State, Upstream};

/// What is known of files and batches, and what is to go wrong with them.
#[derive(Default)]
pub(super) struct Shelf {
    files: HashMap<String, Vec<u8>>,
    batches: Vec<Batch>,
    /// Batches are worked on until a test says otherwise.
    waits: bool,
    /// `POST /v1/files` to what its next requests come to.
    faults: HashMap<String, VecDeque<Fault>>,
    /// Every answer takes so long.
    slow: Duration,
    /// A batch refuses its file with these words.
    refuses: Option<String>,
}

/// A batch, as the provider has it.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) called_off: bool,
    pub(crate) lines: Vec<Value>,
    input: String,
    endpoint: Value,
    metadata: Value,
    /// The results of lines that ran.
    output: String,
    errors: String,
    counts: (usize, usize),
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is answered with this status, and nothing happens.
    Status(u16),
    /// It is done, and the connection closed without an answer.
    Lost,
}

impl Upstream {
    /// Whether batches are worked on until `end_batches`.
    pub(crate) fn batches_wait(&self, waits: bool) {
        self.state.shelf.lock().unwrap().waits = waits;
    }

    /// Every request about files and batches takes so long.
    pub(crate) fn batches_take(&self, time: Duration) {
        self.state.shelf.lock().unwrap().slow = time;
    }

    /// The next batches fail with these words.
    pub(crate) fn batches_refuse(&self, why: &str) {
        self.state.shelf.lock().unwrap().refuses = Some(why.to_owned());
    }

    /// The next such requests (`POST /v1/batches`) come to this.
    pub(crate) fn fail_next(&self, what: &str, faults: &[Fault]) {
        let mut shelf = self.state.shelf.lock().unwrap();
        shelf.faults.entry(what.to_owned()).or_default().extend(faults);
    }

    /// All that were made, the oldest first.
    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.state.shelf.lock().unwrap().batches.clone()
    }

    /// Runs so many lines of every batch that is open.
    pub(crate) fn run_lines(&self, most: usize) {
        let mut shelf = self.state.shelf.lock().unwrap();
        shelf.batches.iter_mut().filter(|b| b.is_open()).for_each(|b| run(&self.state, b, most));
    }

    /// Ends every batch that is open, as it is.
    pub(crate) fn end_batches(&self, status: &'static str) {
        let mut shelf = self.state.shelf.lock().unwrap();
        shelf.batches.iter_mut().filter(|batch| batch.is_open()).for_each(|b| end(b, status));
    }

    /// Requests to that path so far, by method and the path's beginning.
    pub(crate) fn asked(&self, method: &str, path: &str) -> usize {
        let asked = |t: &&super::Truth| t.method == method && t.path.starts_with(path);
        self.truths().iter().filter(asked).count()
    }
}

impl Batch {
    fn is_open(&self) -> bool {
        ["validating", "in_progress", "cancelling"].contains(&self.status)
    }

    fn shown(&self) -> Value {
        let file = |kind: &str, text: &str| {
            (!self.is_open() && !text.is_empty()).then(|| format!("file-{kind}-{}", self.id))
        };
        json!({
            "id": self.id, "object": "batch", "endpoint": self.endpoint, "status": self.status,
            "input_file_id": self.input, "completion_window": "24h", "metadata": self.metadata,
            "output_file_id": file("output", &self.output),
            "error_file_id": file("errors", &self.errors),
            "request_counts": {
                "total": self.lines.len(), "completed": self.counts.0, "failed": self.counts.1,
            },
        })
    }
}

pub(super) fn is_for(path: &str) -> bool {
    ["/v1/files", "/v1/batches"].iter().any(|known| path.starts_with(known))
}

pub(super) fn answer(state: &State, request: &Request) -> Reply {
    let mut shelf = state.shelf.lock().unwrap();
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    let method = request.method.as_str();
    let place = match parts.as_slice() {
        [kind] => format!("{method} /v1/{kind}"),
        [kind, _] => format!("{method} /v1/{kind}/id"),
        [kind, _, last, ..] => format!("{method} /v1/{kind}/id/{last}"),
        [] => String::new(),
    };
    let fault = shelf.faults.get_mut(&place).and_then(VecDeque::pop_front);
    let slow = shelf.slow;
    if let Some(Fault::Status(status)) = fault {
        let error = json!({"error": {"message": "so it is told", "type": "server_error"}});
        return Reply::whole(status, &error.to_string()).after(slow);
    }
    let reply = match (method, parts.as_slice()) {
        ("POST", ["files"]) => shelf.keep(request),
        ("GET", ["files", id, "content"]) => shelf.content(id),
        ("POST", ["batches"]) => shelf.create(request),
        ("GET", ["batches"]) => shelf.list(query),
        ("GET", ["batches", id]) => shelf.look(state, id),
        ("POST", ["batches", id, "cancel"]) => shelf.cancel(id),
        _ => None,
    };
    let reply = reply.unwrap_or_else(|| Reply::whole(404, "{\"error\":{\"message\":\"none\"}}"));
    match fault {
        Some(_) => Reply::none(),
        None => reply.after(slow),
    }
}

fn told(value: &Value) -> Option<Reply> {
    Some(Reply::whole(200, &value.to_string()))
}

impl Shelf {
    fn keep(&mut self, request: &Request) -> Option<Reply> {
        let kind = request.headers.iter().find(|(name, _)| name == "content-type")?;
        let boundary = kind.1.split("boundary=").nth(1)?;
        let body = String::from_utf8(request.body.clone()).ok()?;
        assert!(body.contains("name=\"purpose\"\r\n\r\nbatch\r\n"), "{body}");
        let file = body.split("name=\"file\"").nth(1)?.split("\r\n\r\n").nth(1)?;
        let file = file.split(&format!("\r\n--{boundary}--")).next()?;
        let id = wire::new_id("file-");
        self.files.insert(id.clone(), file.as_bytes().to_vec());
        told(&json!({"id": id, "object": "file", "purpose": "batch", "bytes": file.len()}))
    }

    fn content(&mut self, id: &str) -> Option<Reply> {
        let of = |kind: &str| id.strip_prefix(&format!("file-{kind}-")).map(str::to_owned);
        let find = |id: &str| self.batches.iter().find(|batch| batch.id == id);
        let text = match (of("output"), of("errors")) {
            (Some(id), _) => find(&id)?.output.clone(),
            (_, Some(id)) => find(&id)?.errors.clone(),
            _ => return None,
        };
        Some(Reply::whole(200, &text))
    }

    fn create(&mut self, request: &Request) -> Option<Reply> {
        let wish: Value = serde_json::from_slice(&request.body).ok()?;
        assert_eq!(wish["completion_window"], "24h");
        let input = wish["input_file_id"].as_str()?.to_owned();
        let lines = String::from_utf8(self.files.get(&input)?.clone()).ok()?;
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let batch = Batch {
            id: wire::new_id("batch_"),
            status: if self.refuses.is_some() { "failed" } else { "validating" },
            called_off: false,
            lines,
            input,
            endpoint: wish["endpoint"].clone(),
            metadata: wish["metadata"].clone(),
            output: String::new(),
            errors: String::new(),
            counts: (0, 0),
        };
        self.batches.push(batch);
        told(&self.batches.last()?.shown())
    }

    /// Two a page, so that whoever looks for one must turn pages.
    fn list(&self, query: &str) -> Option<Reply> {
        let after = query.split('&').find_map(|pair| pair.strip_prefix("after="));
        let mut newest = self.batches.iter().rev().peekable();
        if let Some(after) = after {
            newest.by_ref().find(|batch| batch.id == after);
        }
        let data: Vec<Value> = newest.by_ref().take(2).map(Batch::shown).collect();
        told(&json!({"object": "list", "data": data, "has_more": newest.peek().is_some()}))
    }

    fn look(&mut self, state: &State, id: &str) -> Option<Reply> {
        let (waits, why) = (self.waits, self.refuses.clone());
        let batch = self.batches.iter_mut().find(|batch| batch.id == id)?;
        if batch.status == "validating" {
            batch.status = "in_progress";
        }
        if !waits && batch.status == "in_progress" {
            run(state, batch, usize::MAX);
            end(batch, "completed");
        }
        let mut shown = batch.shown();
        if batch.status == "failed" {
            shown["errors"] = json!({"object": "list", "data": [{"code": "c", "message": why}]});
        }
        told(&shown)
    }

    fn cancel(&mut self, id: &str) -> Option<Reply> {
        let batch = self.batches.iter_mut().find(|batch| batch.id == id)?;
        batch.called_off = true;
        if !batch.is_open() {
            return Some(Reply::whole(400, "{\"error\":{\"message\":\"it is over\"}}"));
        }
        end(batch, "cancelled");
        let mut shown = batch.shown();
        shown["status"] = json!("cancelling");
        told(&shown)
    }
}

/// Ends a batch; lines that did not run are told of where its time was over.
fn end(batch: &mut Batch, status: &'static str) {
    batch.status = status;
    if status == "expired" {
        let (done, failed) = batch.counts;
        for line in &batch.lines[done + failed..] {
            let error = json!({"code": "batch_expired", "message": "its time is over"});
            let told = json!({"custom_id": line["custom_id"], "response": null, "error": error});
            batch.errors.push_str(&format!("{told}\n"));
        }
    }
}

/// Runs the next lines, as if each were sent by itself; the last answer comes first in the file.
fn run(state: &State, batch: &mut Batch, most: usize) {
    let begin = batch.counts.0 + batch.counts.1;
    for line in batch.lines.iter().skip(begin).take(most) {
        let body = line["body"].to_string().into_bytes();
        let path = line["url"].as_str().unwrap().to_owned();
        let request = Request { method: "POST".into(), path, headers: Vec::new(), body };
        let script = Script::find(&request.body);
        let model = line["body"]["model"].as_str().unwrap();
        let id = wire::new_id("chatcmpl-");
        let row = state.begin(&id, &script.key, model, &request);
        let reply = super::answer(state, &request, &line["body"], &script, &id);
        let (mut text, mut reported, mut tokens) = (Vec::new(), None, 0);
        for step in reply.steps {
            if let Step::Send(bytes, made, usage) = step {
                text.extend(bytes);
                tokens += made;
                reported = usage.or(reported);
            }
        }
        state.note(row, |truth| {
            truth.status = reply.status;
            (truth.produced, truth.begun) = (tokens, tokens);
            truth.reported = reported;
            truth.ended = Ended::Whole;
        });
        let body: Value = serde_json::from_slice(&text).unwrap();
        let response = json!({"status_code": reply.status, "request_id": id, "body": body});
        let told =
            json!({"id": id, "custom_id": line["custom_id"], "response": response, "error": null});
        if reply.status == 200 {
            batch.output = format!("{told}\n{}", batch.output);
            batch.counts.0 += 1;
        } else {
            batch.errors = format!("{told}\n{}", batch.errors);
            batch.counts.1 += 1;
        }
    }
}
