//! The usual set: a scripted provider, a gateway in front of it, a few priced models.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Response;
use super::eventually;
use super::gateway::Gateway;
use super::ledger::open_holds;
use super::upstream::Upstream;

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const EMBEDDINGS: &str = "/v1/embeddings";

/// Nano-dollars a token of `up/gpt-4o-mini`, by the prices below. Its encoding is known, so a count of
/// its text is exact.
pub(crate) const INPUT_NANOS: i64 = 1_000;
pub(crate) const CACHED_NANOS: i64 = 100;
pub(crate) const OUTPUT_NANOS: i64 = 2_000;

/// An account that nothing in a test can use up.
pub(crate) const RICH: &str = "[accounts.acme]\nlimits = [\"$1000 per month\"]\n";

pub(crate) struct Stage {
    pub(crate) upstream: Upstream,
    pub(crate) gateway: Gateway,
}

/// What the ledger says of one call.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Posted: with what was cached.
    pub(crate) input: u64,
    /// Posted: with the thinking.
    pub(crate) output: u64,
    pub(crate) cached: u64,
    pub(crate) reasoning: u64,
    /// How the output was learned.
    pub(crate) provenance: String,
    pub(crate) charged_usd: String,
    pub(crate) outcome: String,
    pub(crate) attempts: usize,
    pub(crate) json: Value,
}

/// What an account has of one limit, as the admin plane says it.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) account: String,
    pub(crate) metric: String,
    pub(crate) capacity: i64,
    pub(crate) posted: i64,
    pub(crate) held: i64,
}

impl Stage {
    /// `tables` are the accounts, and whatever else the test configures.
    pub(crate) async fn new(tables: &str) -> Self {
        let upstream = Upstream::start().await;
        let gateway = Gateway::start(&configuration(&upstream, "", tables));
        Stage { upstream, gateway }
    }

    /// The row of one call, once it is settled.
    pub(crate) async fn row(&self, response: &Response) -> Row {
        let id = response.header("x-request-id").unwrap();
        self.row_of(id).await
    }

    pub(crate) async fn row_of(&self, id: &str) -> Row {
        row_of(&self.gateway, id).await
    }

    pub(crate) async fn standing(&self) -> Vec<Standing> {
        standing(&self.gateway).await
    }

    /// Waits until no call holds anything.
    pub(crate) async fn nothing_held(&self) {
        nothing_held(&self.gateway).await;
    }
}

/// `provider` is further lines of the provider's own table.
pub(crate) fn configuration(upstream: &Upstream, provider: &str, tables: &str) -> String {
    format!(
        r#"
[providers.up]
kind = "compatible"
base_url = "{}/v1"
api_key = "env:UP_KEY"
models = ["gpt-4o-mini", "gpt-4o", "text-embedding-3-small"]
{provider}
[prices."up/gpt-4o-mini"]
input = "1.00"
output = "2.00"
cache_read = "0.10"

[prices."up/gpt-4o"]
input = "10.00"
output = "20.00"

[prices."up/text-embedding-3-small"]
input = "0.02"

{tables}"#,
        upstream.url
    )
}

/// A chat request that says this to the small model.
pub(crate) fn chat(say: &str) -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": say}]})
}

/// The same, streamed, with the usage at its end.
pub(crate) fn streamed(say: &str) -> Value {
    let mut body = chat(say);
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    body
}

/// The row of one call, once it is settled.
pub(crate) async fn row_of(gateway: &Gateway, id: &str) -> Row {
    let path = format!("/admin/requests/{id}");
    eventually(&format!("the row of {id}"), Duration::from_secs(10), async || {
        let answer = gateway.admin_get(&path).await;
        (answer.status == 200).then(|| Row::read(answer.json()))
    })
    .await
}

impl Row {
    fn read(json: Value) -> Self {
        let attempts = json["attempts"].as_array().unwrap();
        let last = attempts.last().unwrap();
        let class = |name: &str| last["usage"][name].as_u64().unwrap_or(0);
        Row {
            input: json["input_tokens"].as_u64().unwrap(),
            output: json["output_tokens"].as_u64().unwrap(),
            cached: class("cache_read"),
            reasoning: class("reasoning"),
            provenance: last["output_provenance"].as_str().unwrap_or_default().to_owned(),
            charged_usd: json["charged_usd"].as_str().unwrap().to_owned(),
            outcome: json["outcome"].as_str().unwrap().to_owned(),
            attempts: attempts.len(),
            json,
        }
    }
}

pub(crate) async fn standing(gateway: &Gateway) -> Vec<Standing> {
    let answer = gateway.admin_get("/admin/accounts").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let accounts = body["data"].as_array().unwrap().iter();
    accounts
        .flat_map(|account| {
            let limits = account["limits"].as_array().unwrap().iter();
            limits.map(|limit| Standing {
                account: account["account"].as_str().unwrap().to_owned(),
                metric: limit["metric"].as_str().unwrap().to_owned(),
                capacity: amount(&limit["capacity"]),
                posted: amount(&limit["posted"]),
                held: amount(&limit["held"]),
            })
        })
        .collect()
}

/// A number, or the nano-dollars of decimal dollars.
fn amount(value: &Value) -> i64 {
    value.as_str().map_or_else(|| value.as_i64().unwrap(), nanos)
}

/// The nano-dollars of decimal dollars.
pub(crate) fn nanos(dollars: &str) -> i64 {
    let (whole, rest) = dollars.split_once('.').unwrap_or((dollars, ""));
    format!("{whole}{rest:0<9}").parse().unwrap()
}

/// Neither in the books nor in the file: a call's row is written a moment after its hold is let go.
pub(crate) async fn nothing_held(gateway: &Gateway) {
    eventually("nothing is held", Duration::from_secs(20), async || {
        let free = standing(gateway).await.iter().all(|limit| limit.held == 0);
        (free && open_holds(gateway) == 0).then_some(())
    })
    .await;
}
