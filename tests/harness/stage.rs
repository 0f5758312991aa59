//! The usual set: a scripted provider, a gateway in front of it, a few priced models.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Response;
use super::eventually;
use super::gateway::Gateway;
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
    pub(crate) async fn row(&self, response: &Response) -> Value {
        let id = response.header("x-request-id").unwrap();
        self.row_of(id).await
    }

    pub(crate) async fn row_of(&self, id: &str) -> Value {
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

/// The row of one call as `/admin/requests/{id}` gives it, once it is settled.
pub(crate) async fn row_of(gateway: &Gateway, id: &str) -> Value {
    eventually(&format!("the row of {id}"), Duration::from_secs(10), async || {
        let answer = gateway.admin_get(&format!("/admin/requests/{id}")).await;
        let row = (answer.status == 200).then(|| answer.json())?;
        (row["state"] != "open").then_some(row)
    })
    .await
}

pub(crate) async fn standing(gateway: &Gateway) -> Vec<Standing> {
    let answer = gateway.admin_get("/admin/accounts").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let accounts = body["accounts"].as_array().unwrap().iter();
    accounts
        .flat_map(|account| {
            let limits = account["limits"].as_array().unwrap().iter();
            limits.map(|limit| Standing {
                account: account["account"].as_str().unwrap().to_owned(),
                metric: limit["metric"].as_str().unwrap().to_owned(),
                capacity: limit["capacity"].as_i64().unwrap(),
                posted: limit["posted"].as_i64().unwrap(),
                held: limit["held"].as_i64().unwrap(),
            })
        })
        .collect()
}

pub(crate) async fn nothing_held(gateway: &Gateway) {
    eventually("nothing is held", Duration::from_secs(20), async || {
        standing(gateway).await.iter().all(|limit| limit.held == 0).then_some(())
    })
    .await;
}
