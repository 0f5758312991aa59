//! `POST /v1/prompts/{name}`: inputs in, a text or a checked object out. A reply that does not keep to
//! its schema is asked for once more; both calls are held, charged and named in the answer.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_accounting::Money;

use super::{DIALECT, pick, prompted};
use crate::call::{Answered, JSON, Operation, Origin, Reply, Served, serve, well_formed_key};
use crate::http::calls::Read;
use crate::http::{Failed, Front, sse};
use crate::ledger::{CallId, Settled};
use crate::prompts::Rendered;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    inputs: Map<String, Value>,
    #[serde(default)]
    stream: bool,
}

pub(in crate::http) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Body,
) -> Response {
    let id = CallId::new();
    let answer = run(&front, &headers, &name, body, id).await;
    answer.unwrap_or_else(|failed| failed.response(DIALECT, Some(id)))
}

async fn run(
    front: &Front,
    headers: &HeaderMap,
    name: &str,
    body: Body,
    id: CallId,
) -> Result<Response, Failed> {
    let mut read = Read::of(front, headers, body, id).await?;
    let library = front.worker.services.prompts.library();
    let version = pick(&library, &read.caller, name)?;
    let wish: Result<Wish, _> = serde_json::from_slice(&read.body);
    let Wish { inputs, stream } = wish.map_err(|error| {
        Failed::parameter("body", format!("the body is {{\"inputs\": {{...}}}}: {error}"))
    })?;
    let template = &version.template;
    let rendered = template.render(inputs)?;
    read.inbound.prompt = Some(prompted(version, DIALECT));
    if stream {
        if template.output().is_some() {
            let message = "an answer that is checked against a schema is not streamed";
            return Err(Failed::parameter("stream", message));
        }
        let body = rendered.body(true, true, None);
        let request = DIALECT.decode_chat(&body, &read.bounds)?;
        return read.serve(front, &Operation::Chat(Box::new(request))).await;
    }
    let mut run =
        Run { tag: &version.tag, calls: Vec::new(), cost: Money::ZERO, usage: Value::Null };
    let first = run.call(front, &read, &rendered).await?;
    let wrong = match template.read_output(&first.text) {
        Ok(output) => return Ok(run.respond(front, &read, first, &output)),
        // What was cut at its cap would be cut again.
        Err(wrong) if first.finish == "length" => return Err(run.failed(&wrong)),
        Err(wrong) => wrong,
    };
    read.inbound.id = CallId::new();
    read.inbound.key = read.inbound.key.and_then(|key| well_formed_key(&format!("{key}#repair")));
    let again = rendered.repair(&first.text, &wrong);
    let second = run.call(front, &read, &again).await?;
    match template.read_output(&second.text) {
        Ok(output) => Ok(run.respond(front, &read, second, &output)),
        Err(wrong) => Err(run.failed(&wrong)),
    }
}

/// The calls of one run.
struct Run<'v> {
    tag: &'v str,
    calls: Vec<String>,
    cost: Money,
    /// Over all of them, as the cost is.
    usage: Value,
}

/// What one call gave.
struct Given {
    text: String,
    finish: String,
    message: Value,
    from: Option<Origin>,
    settled: Settled,
}

impl Run<'_> {
    async fn call(
        &mut self,
        front: &Front,
        read: &Read,
        rendered: &Rendered,
    ) -> Result<Given, Failed> {
        let body = rendered.body(false, false, None);
        let request = DIALECT.decode_chat(&body, &read.bounds)?;
        let operation = Operation::Chat(Box::new(request));
        let (id, bytes, from, settled) =
            match serve(&front.worker, &read.caller, &read.inbound, &operation).await? {
                Served::Made(Answered { from, reply: Reply::Whole { body, settled, .. } }) => {
                    (read.inbound.id, body, Some(from), settled)
                }
                Served::Made(_) | Served::Joined(_) => {
                    return Err(Failed::internal(&"a whole reply came as a stream"));
                }
                Served::Repeated(name) => {
                    let kept = sse::kept(front, name).await?;
                    (kept.id, kept.body, None, Settled::NOTHING)
                }
            };
        self.calls.push(id.to_string());
        self.cost = self.cost.checked_add(settled.charged).unwrap_or(self.cost);
        let mut reply: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        add(&mut self.usage, reply["usage"].take());
        let choice = &mut reply["choices"][0];
        Ok(Given {
            text: text(&choice["message"]["content"]),
            finish: text(&choice["finish_reason"]),
            message: choice["message"].take(),
            from,
            settled,
        })
    }

    fn respond(self, front: &Front, read: &Read, given: Given, output: &Value) -> Response {
        let Run { tag, calls, cost, usage } = self;
        let Given { finish, message, from, settled, .. } = given;
        let mut value = json!({
            "object": "prompt.run",
            "id": calls.last(),
            "prompt": tag,
            "output": output,
            "finish_reason": finish,
            "usage": usage,
            "cost_usd": cost.to_string(),
            "calls": calls,
        });
        if !message["tool_calls"].is_null() {
            value["tool_calls"] = message["tool_calls"].clone();
        }
        let Some(from) = from else { return crate::http::json(&value) };
        value["model"] = (*from.model).into();
        value["provider"] = (*from.provider).into();
        let body = value.to_string().into();
        let reply =
            Reply::Whole { body, kind: JSON, settled: Settled { charged: cost, ..settled } };
        sse::respond(front, &read.caller, read.inbound.id, Answered { from, reply })
    }

    fn failed(self, wrong: &crate::prompts::Mismatch) -> Failed {
        Failed::output(self.tag, &wrong.to_string(), &self.calls, self.cost)
    }
}

/// Adds the counts of one call to those of others, whatever they are called.
fn add(sum: &mut Value, more: Value) {
    match (sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (name, more) in more {
                add(sum.entry(name).or_insert(Value::Null), more);
            }
        }
        (sum, more) => match (sum.as_u64(), more.as_u64()) {
            (Some(one), Some(other)) => *sum = one.saturating_add(other).into(),
            (None, _) if sum.is_null() => *sum = more,
            _ => {}
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_by_name_and_what_one_call_lacks_is_the_others() {
        let mut sum = Value::Null;
        add(&mut sum, json!({ "n": 1, "details": { "cached": 2 } }));
        add(&mut sum, json!({ "n": 3, "details": { "thought": 4 }, "more": null }));
        add(&mut sum, Value::Null);
        let expected = json!({ "n": 4, "details": { "cached": 2, "thought": 4 }, "more": null });
        assert_eq!(sum, expected);
    }
}
