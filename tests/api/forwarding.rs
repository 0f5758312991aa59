//! What reaches the provider, what comes back, and how a failing provider is dealt with.

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::stage::{CHAT, EMBEDDINGS, RICH, Stage, chat, streamed};
use crate::harness::upstream::script::Reply;

/// Three ways to ask: by the bare name, by provider and model, by an alias.
const ALIAS: &str = "[models.fast]\ntargets = [{ provider = \"up\", model = \"gpt-4o-mini\" }]\n\n\
    [accounts.acme]\nlimits = [\"$1000 per month\"]\n";

#[tokio::test]
async fn fields_that_are_not_known_travel_on_byte_for_byte() {
    let stage = Stage::new(ALIAS).await;
    let client = stage.gateway.client("acme");
    let future = "\"x_future\" : { \"a\":[1.50, 1e3 ,-0.0,123456789012345678901234567890], \
                  \"b\\u0065\" :null,\"\\ud83d\\ude00\":\"\\u00e9 \\/ \"}";
    let deep = "[{\"role\":\"user\",  \"content\":[{\"type\":\"text\",\"text\":\"hi\",\
                \"cache_hint\":{\"ttl\":1.0}}],\"x_name\" : \"a\\tb\"}]";
    for model in ["gpt-4o-mini", "up/gpt-4o-mini", "fast"] {
        for stream in ["false", "true"] {
            let body = format!(
                "{{ {future},\"messages\" :{deep},\"model\":\"{model}\" , \"stream\":{stream},\
                 \"seed\":7,\"reasoning_effort\":\"minimal\"}}"
            );
            let answer = client.post_bytes(CHAT, body.as_bytes()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let sent = String::from_utf8(stage.upstream.last().body).unwrap();
            assert!(sent.contains(future), "{sent}");
            assert!(sent.contains(deep), "{sent}");
            let sent: Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(sent["model"], "gpt-4o-mini");
            assert_eq!(sent["reasoning_effort"], "minimal");
        }
    }
}

#[tokio::test]
async fn a_reply_comes_back_byte_for_byte() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let reply = "{ \"id\":\"chatcmpl-1\", \"object\":\"chat.completion\",\"created\":1, \
                 \"model\":\"gpt-4o-mini\", \"x_new\": {\"score\": 1.50, \"t\": \"\\u00e9\"}, \
                 \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\", \
                 \"x_inner\":[ 1 ]},\"finish_reason\":\"stop\"}], \
                 \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}";
    stage.upstream.push("gpt-4o-mini", Reply::whole(200, reply));
    let answer = client.post(CHAT, &chat("hi")).await;
    assert_eq!(answer.text(), reply);
}

#[tokio::test]
async fn a_stream_comes_back_frame_for_frame() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let frames = [
        "{ \"id\":\"c\",\"object\":\"chat.completion.chunk\", \"x_new\":1.50, \"choices\":[{\"index\":0,\
         \"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}",
        "{\"id\":\"c\",  \"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\\u00e9 \\n\", \
         \"reasoning_content\":\"hm\"},\"finish_reason\":null}]}",
        "{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}",
        "{\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2, \
         \"total_tokens\":3}}",
        "[DONE]",
    ];
    stage.upstream.push("gpt-4o-mini", Reply::frames(&frames));
    let answer = client.post(CHAT, &streamed("hi")).await;
    let data = answer.data();
    assert_eq!(data.len(), frames.len());
    for (came, sent) in data.iter().zip(frames) {
        // The usage chunk carries our own member before the provider's.
        let own = sent.contains("\"usage\"");
        let same = if own { came.ends_with(&sent[1..]) } else { came == sent };
        assert!(same, "{came}\n{sent}");
    }
    // One who did not ask for usage sees all but that chunk.
    stage.upstream.push("gpt-4o-mini", Reply::frames(&frames));
    let mut body = chat("hi");
    body["stream"] = json!(true);
    let answer = client.post(CHAT, &body).await;
    let without: Vec<&str> = frames.into_iter().filter(|f| !f.contains("\"usage\"")).collect();
    assert_eq!(answer.data(), without);
    assert_eq!(stage.upstream.last().json()["stream_options"]["include_usage"], true);
}

#[tokio::test]
async fn a_client_that_gave_no_cap_is_told_the_one_in_force() {
    let stage = Stage::new(
        "[models.fast]\nmax_output_tokens = 20\n\
         targets = [{ provider = \"up\", model = \"gpt-4o-mini\" }]\n\n\
         [accounts.acme]\nholds = \"strict\"\nlimits = [\"$1000 per month\"]\n",
    )
    .await;
    let client = stage.gateway.client("acme");
    let mut body = chat("@@tokens=50@@");
    body["model"] = json!("fast");
    let answer = client.post(CHAT, &body).await;
    assert_eq!(answer.header("x-tollgate-max-output-tokens"), Some("20"));
    let reply = answer.json();
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
    assert_eq!(reply["usage"]["completion_tokens"], 20);
}

#[tokio::test]
async fn an_answer_says_who_gave_it() {
    let stage = Stage::new(ALIAS).await;
    let mut body = chat("hi");
    body["model"] = json!("fast");
    let answer = stage.gateway.client("acme").post(CHAT, &body).await;
    assert_eq!(answer.header("x-tollgate-provider"), Some("up"));
    assert_eq!(answer.header("x-tollgate-model"), Some("gpt-4o-mini"));
    assert_eq!(answer.header("x-tollgate-attempts"), Some("1"));
    assert!(answer.header("x-tollgate-cost-usd").unwrap().starts_with("0.0000"));
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_tried_again_and_charged_once() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for status in [429, 500, 503, 529] {
        let key = format!("retry-{status}");
        let say = format!("@@tokens=5 fail=1 status={status} retry-after-ms=10 key={key}@@");
        let answer = client.post(CHAT, &chat(&say)).await;
        assert_eq!(answer.status, 200, "{status}: {}", answer.text());
        assert_eq!(answer.header("x-tollgate-attempts"), Some("2"), "{status}");
        let truths = stage.upstream.by_key(&key);
        assert_eq!(truths.len(), 2, "{status}");
        let row = stage.row(&answer).await;
        assert_eq!(row.attempts, 2, "{row:?}");
        assert_eq!(row.output, 5, "{row:?}");
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_failing_provider_is_left_for_the_next_one() {
    let stage = Stage::new(
        "[providers.down]\nkind = \"compatible\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\
         api_key = \"env:UP_KEY\"\nmodels = [\"gpt-4o-mini\"]\n\n\
         [prices.\"down/gpt-4o-mini\"]\ninput = \"1.00\"\noutput = \"2.00\"\n\n\
         [models.fast]\nroute = \"ordered\"\ntargets = [{ provider = \"down\", model = \"gpt-4o-mini\" }, \
         { provider = \"up\", model = \"gpt-4o-mini\" }]\n\n\
         [accounts.acme]\nlimits = [\"$1000 per month\"]\n",
    )
    .await;
    let mut body = chat("@@tokens=4@@");
    body["model"] = json!("fast");
    let answer = stage.gateway.client("acme").post(CHAT, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-tollgate-provider"), Some("up"));
    assert_eq!(stage.row(&answer).await.output, 4);
}

#[tokio::test]
async fn a_provider_that_only_fails_costs_nothing() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let refused: Vec<Response> = [
        client.post(CHAT, &chat("@@status=500 key=always@@")).await,
        client.post(CHAT, &chat("@@status=400@@")).await,
        client.post(CHAT, &streamed("@@status=503@@")).await,
    ]
    .into();
    assert_eq!(refused[1].status, 400);
    for answer in &refused {
        let row = stage.row(answer).await;
        assert_eq!(row.charged_usd, "0", "{row:?}");
    }
    let tries = stage.upstream.by_key("always").len();
    assert!((2..=4).contains(&tries), "retries are bounded, and there are some: {tries}");
    stage.nothing_held().await;
    assert!(stage.standing().await.iter().all(|limit| limit.posted == 0));
}

#[tokio::test]
async fn embeddings_go_through_as_they_are() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for input in [json!("one two"), json!(["a", "b c"]), json!([1, 2, 3]), json!([[1], [2, 3]])] {
        let body = json!({"model": "text-embedding-3-small", "input": input, "encoding_format": "base64",
            "dimensions": 4, "x_new": 1});
        let answer = client.post(EMBEDDINGS, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = stage.upstream.last().json();
        assert_eq!((&sent["input"], &sent["x_new"]), (&input, &json!(1)));
        let row = stage.row(&answer).await;
        assert_eq!(row.input, answer.json()["usage"]["prompt_tokens"]);
    }
}
