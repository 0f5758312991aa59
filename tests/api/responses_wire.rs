//! A provider that is asked by OpenAI's Responses: every client reaches it, and nothing is kept there.

use serde_json::json;

use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, RICH, Stage, chat, streamed};
use crate::harness::upstream::Upstream;

async fn stage() -> Stage {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&format!(
        "[providers.far]\nkind = \"openai_responses\"\nbase_url = \"{}/v1\"\napi_key = \"env:UP_KEY\"\n\
         models = [\"gpt-4o-mini\"]\n\n[prices.\"far/gpt-4o-mini\"]\ninput = \"1.00\"\noutput = \"2.00\"\n\
         cache_read = \"0.10\"\n\n{RICH}",
        upstream.url
    ));
    Stage { upstream, gateway }
}

#[tokio::test]
async fn a_chat_is_asked_as_a_response_and_its_end_and_usage_come_back() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    for streams in [false, true] {
        for (cap, finish, tokens) in [(40, "stop", 6), (3, "length", 3)] {
            let say = "hello @@tokens=6 prompt=40 cached=15@@";
            let mut body = if streams { streamed(say) } else { chat(say) };
            body["max_tokens"] = json!(cap);
            let answer = client.post(CHAT, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let truth = stage.upstream.last();
            assert_eq!(
                (truth.path.as_str(), &truth.json()["store"]),
                ("/v1/responses", &json!(false))
            );
            let (finished, usage) = if streams {
                let frames = answer.frames();
                let ends = frames.iter().map(|f| &f["choices"][0]["finish_reason"]);
                let ends: Vec<_> = ends.filter(|end| end.is_string()).cloned().collect();
                assert_eq!(answer.data().last().unwrap(), "[DONE]");
                (ends, frames.last().unwrap()["usage"].clone())
            } else {
                let reply = answer.json();
                (vec![reply["choices"][0]["finish_reason"].clone()], reply["usage"].clone())
            };
            assert_eq!(finished, [finish], "{}", answer.text());
            assert_eq!(
                (&usage["prompt_tokens"], &usage["completion_tokens"]),
                (&json!(40), &json!(tokens))
            );
            let row = stage.row(&answer).await;
            assert_eq!((row.input, row.cached, row.output), (40, 15, tokens), "{row:?}");
            assert_eq!(
                (row.provenance.as_str(), &row.json["attempts"][0]["tier"]),
                ("reported", &json!("standard"))
            );
        }
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_response_goes_on_from_one_that_only_the_gateway_keeps() {
    let stage = stage().await;
    let client = stage.gateway.client("acme");
    for streams in [false, true] {
        let first = json!({"model": "gpt-4o-mini", "input": "one @@tokens=2@@", "stream": streams});
        let answer = client.post("/v1/responses", &first).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let reply = if streams {
            answer.frames().last().unwrap()["response"].clone()
        } else {
            answer.json()
        };
        assert_eq!(reply["usage"]["output_tokens"], 2, "{reply}");
        let id = reply["id"].as_str().unwrap();
        let next = json!({"model": "gpt-4o-mini", "input": "two @@tokens=3@@", "previous_response_id": id});
        let answer = client.post("/v1/responses", &next).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = stage.upstream.last().json();
        assert!(sent.get("previous_response_id").is_none(), "{sent}");
        assert_eq!(sent["store"], false);
        let items = sent["input"].as_array().unwrap();
        let roles: Vec<_> = items.iter().map(|item| item["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user"], "{sent}");
        assert!(items.iter().all(|item| item.get("id").is_none()), "{sent}");
    }
    let cut = json!({"model": "gpt-4o-mini", "input": "@@tokens=4 done=no@@", "stream": true});
    let answer = client.post("/v1/responses", &cut).await;
    let last = answer.frames().last().unwrap().clone();
    assert_eq!(last["type"], "response.failed", "{last}");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}
