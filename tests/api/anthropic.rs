//! A provider of another dialect behind the OpenAI endpoint: translated both ways, counted alike.

use serde_json::json;

use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, RICH, Stage, chat, streamed};
use crate::harness::upstream::Upstream;

async fn stage() -> Stage {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        "[providers.claude]\nkind = \"anthropic\"\nbase_url = \"{}/v1\"\napi_key = \"env:UP_KEY\"\n\
         models = [\"gpt-4o-mini\"]\n\n[prices.\"claude/gpt-4o-mini\"]\ninput = \"1.00\"\noutput = \"2.00\"\n\
         cache_read = \"0.10\"\n\n{RICH}",
        upstream.url
    ));
    Stage { upstream, gateway }
}

#[tokio::test]
async fn a_whole_reply_is_translated_with_its_usage() {
    let stage = stage().await;
    let mut body = chat("hello @@tokens=6 prompt=40 cached=15@@");
    body["messages"]
        .as_array_mut()
        .unwrap()
        .insert(0, json!({"role": "system", "content": "Be brief."}));
    let answer = stage.gateway.client("acme").post(CHAT, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.content(), " the of and to in is");
    let reply = answer.json();
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["usage"]["prompt_tokens"], 40);
    assert_eq!(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 15);
    assert_eq!(reply["usage"]["completion_tokens"], 6);
    let truth = stage.upstream.last();
    assert_eq!(truth.path, "/v1/messages");
    assert!(truth.header("x-api-key").is_some() || truth.header("authorization").is_some());
    assert!(truth.header("anthropic-version").is_some());
    let sent = truth.json();
    assert!(sent["system"].to_string().contains("Be brief."), "{sent}");
    assert!(sent["max_tokens"].as_u64().unwrap() > 0, "{sent}");
    let row = stage.row(&answer).await;
    assert_eq!(row.input, 40, "{row:?}");
    assert_eq!(row.cached, 15, "{row:?}");
    assert_eq!(row.output, 6, "{row:?}");
}

#[tokio::test]
async fn a_stream_is_translated_with_its_usage() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    let answer = client.post(CHAT, &streamed("hello @@tokens=6 prompt=40 cached=15@@")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.content(), " the of and to in is");
    assert_eq!(answer.data().last().unwrap(), "[DONE]");
    let frames = answer.frames();
    let usage = &frames.last().unwrap()["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(40), &json!(6)));
    let row = stage.row(&answer).await;
    assert_eq!((row.input, row.output), (40, 6), "{row:?}");
    assert_eq!(row.provenance, "reported");
}

#[tokio::test]
async fn its_failures_are_this_dialects_errors() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    let refused = client.post(CHAT, &chat("@@status=400@@")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"]["message"].is_string());
    let inside = client.post(CHAT, &streamed("@@tokens=9 error-after=3@@")).await;
    let frames = inside.frames();
    assert!(frames.last().unwrap()["error"]["message"].is_string(), "{}", inside.text());
    let truncated = client.post(CHAT, &streamed("@@tokens=9 fin=1500@@")).await;
    assert!(truncated.frames().last().unwrap()["error"].is_object(), "{}", truncated.text());
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}
