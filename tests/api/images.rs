//! Pictures: held at the most that they can come to, settled at what the provider reports.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::{Client, form};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::open_holds;
use crate::harness::stage::{RICH, Stage, configuration, nanos, nothing_held, row_of, standing};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::script::Reply;

const IMAGES: &str = "/v1/images/generations";
const EDITS: &str = "/v1/images/edits";

/// The most that a square picture of low quality can come to: 272 tokens, and room for text.
const SQUARE: i64 = 272 + 1_024;

const PRICES: &str = r#"
[prices."up/gpt-image-1.5"]
input = "5.00"
output = "10.00"
image_output = "32.00"

[prices."up/gpt-image-2"]
input = "5.00"
image_input = "8.00"
output = "30.00"

[prices."up/painter"]
input = "0"
image_output = "40000"

[prices."up/gpt-image-1"]
input = "5.00"

[models.artist]
targets = [{ provider = "up", model = "painter" }]
max_output_tokens = 1
"#;

/// Nano-dollars a token.
const TEXT: i64 = 5_000;
const WRITTEN: i64 = 10_000;
const DRAWN: i64 = 32_000;

fn configured(upstream: &Upstream, tables: &str) -> String {
    let known = "\"text-embedding-3-small\"]";
    let all = "\"text-embedding-3-small\", \"gpt-image-1.5\", \"gpt-image-1\", \"gpt-image-2\", \"painter\", \"dall-e-3\"]";
    configuration(upstream, "", &format!("{PRICES}{tables}")).replacen(known, all, 1)
}

async fn stage(tables: &str) -> Stage {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&configured(&upstream, tables));
    Stage { upstream, gateway }
}

fn square(model: &str, n: u64) -> Value {
    json!({ "model": model, "prompt": "a harbour at night", "n": n, "size": "1024x1024",
            "quality": "low", "output_format": "webp" })
}

fn drawn(usage: &Value) -> Reply {
    let reply = json!({ "created": 1, "data": [{ "b64_json": "AAAA" }], "usage": usage });
    Reply::whole(200, &reply.to_string())
}

fn reported() -> Value {
    json!({ "input_tokens": 12, "output_tokens": 300, "total_tokens": 312,
            "input_tokens_details": { "text_tokens": 12, "image_tokens": 0 },
            "output_tokens_details": { "text_tokens": 28, "image_tokens": 272 } })
}

#[tokio::test]
async fn a_picture_is_charged_at_what_the_provider_reports_text_and_drawing_apart() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    stage.upstream.push("gpt-image-1.5", drawn(&reported()));
    let answer = client.post(IMAGES, &square("gpt-image-1.5", 1)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"][0]["b64_json"], "AAAA");
    let sent = stage.upstream.last();
    assert_eq!(sent.path, IMAGES);
    assert_eq!(sent.json(), square("gpt-image-1.5", 1), "nothing of it is lost");

    let row = stage.row(&answer).await;
    let charged = 12 * TEXT + 28 * WRITTEN + 272 * DRAWN;
    assert_eq!((nanos(&row.charged_usd), &*row.provenance), (charged, "reported"), "{row:?}");
    assert_eq!((row.input, row.output), (12, 300));
    let attempt = &row.json["attempts"][0];
    assert_eq!(
        (&attempt["usage"]["output"], &attempt["usage"]["image_output"]),
        (&json!(28), &json!(272))
    );
    assert_eq!(row.json["endpoint"], "images.generations");
    let path = "/v1/organization/usage/images?limit=31&bucket_width=1h&start_time=";
    let hour = jiff::Timestamp::now().as_second() - 7_200;
    let used = client.get(&format!("{path}{hour}")).await.json();
    let results = used["data"].as_array().unwrap().iter();
    let calls = results.flat_map(|bucket| bucket["results"].as_array().unwrap());
    let calls: Vec<_> = calls.map(|result| &result["num_model_requests"]).collect();
    assert_eq!(calls, [&json!(1)], "{used}");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_picture_is_read_in_an_event_and_none_on_the_way_is_asked_for() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    stage.upstream.push("gpt-image-1.5", drawn(&reported()));
    let mut body = square("gpt-image-1.5", 1);
    (body["stream"], body["partial_images"]) = (json!(true), json!(2));
    let answer = client.post(IMAGES, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("x-tollgate-dropped"), Some("partial_images"));
    assert_eq!(stage.upstream.last().json(), square("gpt-image-1.5", 1), "each is billed");
    let [done] = &answer.frames()[..] else { panic!("{}", answer.text()) };
    assert_eq!(
        (&done["type"], &done["b64_json"]),
        (&json!("image_generation.completed"), &json!("AAAA"))
    );
    assert_eq!((&done["usage"], &done["created_at"]), (&reported(), &json!(1)));
    let row = stage.row(&answer).await;
    let charged = 12 * TEXT + 28 * WRITTEN + 272 * DRAWN;
    assert_eq!((nanos(&row.charged_usd), &*row.provenance), (charged, "reported"), "{row:?}");
    // What several used is told of all together, so no event could say it.
    body["n"] = json!(2);
    let refused = client.post(IMAGES, &body).await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("n")));
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn pictures_hold_the_most_that_all_of_them_can_come_to_and_are_not_drawn_smaller() {
    // Three of them fit, with their prompt; four do not.
    let most = 3 * SQUARE * DRAWN + 300 * TEXT;
    let limit = format!("[accounts.acme]\nlimits = [\"$0.{most:09} per day\"]\n");
    let stage = stage(&limit).await;
    let client = stage.gateway.client("acme");
    let path = "/v1/quote?endpoint=images.generations";
    let quote = client.post(path, &square("gpt-image-1.5", 4)).await.json();
    assert_eq!(
        (&quote["endpoint"], &quote["admitted"]),
        (&json!("images.generations"), &json!(false)),
        "{quote}"
    );
    let refused = client.post(IMAGES, &square("gpt-image-1.5", 4)).await;
    assert!(matches!(refused.status, 400 | 429), "{}", refused.text());
    assert_eq!(stage.upstream.count(), 0);

    stage.upstream.push("gpt-image-1.5", drawn(&reported()));
    let answer = client.post(IMAGES, &square("gpt-image-1.5", 3)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    stage.nothing_held().await;
}

#[tokio::test]
async fn a_picture_without_usage_is_charged_at_the_most_and_said_to_be_an_estimate() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    stage.upstream.push("gpt-image-1.5", drawn(&Value::Null));
    let row = stage.row(&client.post(IMAGES, &square("gpt-image-1.5", 2)).await).await;
    assert_eq!((row.output, &*row.provenance), (2 * SQUARE as u64, "estimated"), "{row:?}");
    let input = i64::try_from(row.input).unwrap() * TEXT;
    assert_eq!(nanos(&row.charged_usd), input + 2 * SQUARE * DRAWN);

    // A model without a rule that is billed by the picture: four cents each.
    stage.upstream.push("painter", drawn(&Value::Null));
    let row = stage.row(&client.post(IMAGES, &square("artist", 3)).await).await;
    assert_eq!((row.output, nanos(&row.charged_usd)), (3, 120_000_000), "{row:?}");

    // What was begun is owed, and by the account's terms the operator's loss.
    stage.upstream.push("gpt-image-1.5", Reply::whole(200, "<html>"));
    let broken = client.post(IMAGES, &square("gpt-image-1.5", 1)).await;
    assert_eq!(broken.status, 502, "{}", broken.text());
    let row = stage.row(&broken).await;
    assert_eq!(nanos(&row.charged_usd), 0);
    let owed = nanos(row.json["attempts"][0]["absorbed_usd"].as_str().unwrap());
    assert!(owed >= SQUARE * DRAWN, "{row:?}");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn what_has_no_price_or_no_bound_is_not_drawn_and_neither_is_what_cannot_be_counted() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    for (model, code) in [
        ("up/dall-e-3", json!("model_unpriced")),
        // Its input has a price, its pictures have none.
        ("up/gpt-image-1", json!("model_unpriced")),
        ("up/painter", Value::Null),
    ] {
        let refused = client.post(IMAGES, &square(model, 1)).await;
        let error = &refused.json()["error"];
        assert_eq!((refused.status, &error["code"]), (400, &code), "{model}: {error}");
        assert_eq!(error["param"], "model", "{model}: {error}");
    }
    for (name, value) in [
        ("stream", json!("yes")),
        ("partial_images", json!(4)),
        ("n", json!(0)),
        ("n", json!(11)),
        ("prompt", Value::Null),
        ("model", json!("")),
    ] {
        let mut body = square("gpt-image-1.5", 1);
        body[name] = value;
        let refused = client.post(IMAGES, &body).await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!(name)));
    }
    let variations = client.post("/v1/images/variations", &square("gpt-image-1.5", 1)).await;
    assert_eq!(variations.status, 404);
    assert_eq!(stage.upstream.count(), 0);
    stage.nothing_held().await;
}

#[tokio::test]
async fn a_picture_whose_client_left_is_waited_for_and_charged_at_what_is_reported() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let reply = drawn(&reported()).after(Duration::from_millis(300));
    stage.upstream.push("gpt-image-1.5", reply);
    let body = square("gpt-image-1.5", 1).to_string();
    let left = client.open("POST", IMAGES, body.as_bytes()).await.unwrap();
    eventually("the provider is asked", Duration::from_secs(10), async || {
        (stage.upstream.count() == 1).then_some(())
    })
    .await;
    drop(left);
    let charged = 12 * TEXT + 28 * WRITTEN + 272 * DRAWN;
    eventually("it is charged", Duration::from_secs(10), async || {
        let posted = standing(&stage.gateway).await.iter().map(|limit| limit.posted).max();
        (posted == Some(charged)).then_some(())
    })
    .await;
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_picture_whose_client_has_no_patience_is_charged_all_the_same() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme").and_header("x-tollgate-deadline", "1");
    let reply = drawn(&reported()).after(Duration::from_millis(1_500));
    stage.upstream.push("gpt-image-1.5", reply);
    let late = client.post(IMAGES, &square("gpt-image-1.5", 1)).await;
    assert_eq!(late.status, 504, "{}", late.text());
    let row = stage.row(&late).await;
    let charged = 12 * TEXT + 28 * WRITTEN + 272 * DRAWN;
    assert_eq!((nanos(&row.charged_usd), &*row.outcome), (charged, "completed"), "{row:?}");
    assert_eq!(stage.upstream.count(), 1);
    stage.nothing_held().await;
}

#[tokio::test]
async fn a_picture_that_is_stopped_while_it_is_drawn_is_charged_at_the_most() {
    let stage = stage(RICH).await;
    let owner = stage.gateway.client("acme");
    let run = owner.post("/v1/runs", &json!({ "name": "r", "budget_usd": "5.00" })).await.json();
    let (id, key) = (run["id"].as_str().unwrap(), run["key"].as_str().unwrap());
    stage.upstream.push("gpt-image-1.5", drawn(&reported()).hanging_at(0));
    let body = square("gpt-image-1.5", 1).to_string();
    let client = Client::with_key(&stage.gateway.data, key);
    let _waiting = client.open("POST", IMAGES, body.as_bytes()).await.unwrap();
    eventually("the provider is asked", Duration::from_secs(10), async || {
        (stage.upstream.count() == 1).then_some(())
    })
    .await;
    let stopped = owner.send("DELETE", &format!("/v1/runs/{id}"), b"").await.unwrap();
    assert!(stopped.status < 300, "{}", stopped.text());
    stage.nothing_held().await;
    let rows = crate::harness::ledger::entries(&stage.gateway);
    let row = stage.row_of(&rows.last().unwrap().id).await;
    assert_eq!((row.output, &*row.provenance), (SQUARE as u64, "estimated"), "{row:?}");
    assert!(nanos(&row.charged_usd) >= SQUARE * DRAWN, "{row:?}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_picture_in_flight_when_the_gateway_dies_is_charged_at_the_most() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&configured(&upstream, RICH));
    let client = gateway.client("acme");
    upstream.push("gpt-image-1.5", drawn(&reported()).hanging_at(0));
    let body = square("gpt-image-1.5", 1).to_string();
    let _waiting = client.open("POST", IMAGES, body.as_bytes()).await.unwrap();
    eventually("the provider is asked", Duration::from_secs(10), async || {
        (upstream.count() == 1 && open_holds(&gateway) == 1).then_some(())
    })
    .await;
    gateway.kill();
    gateway.up();
    nothing_held(&gateway).await;
    let rows = crate::harness::ledger::entries(&gateway);
    let row = rows.last().unwrap();
    let row = row_of(&gateway, &row.id).await;
    assert_eq!((row.output, &*row.outcome), (SQUARE as u64, "recovered"), "{row:?}");
    assert!(nanos(&row.charged_usd) >= SQUARE * DRAWN, "{row:?}");
    gateway.audit().unwrap();
}

fn edit(model: &str) -> Vec<u8> {
    let fields = [("model", model), ("prompt", "a bluer harbour"), ("size", "1024x1024")];
    form(&[&fields[..], &[("quality", "low"), ("image", "\u{1}PNG")]].concat(), None)
}

#[tokio::test]
async fn a_picture_made_from_another_is_charged_for_what_was_read_and_drawn() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let usage = json!({ "input_tokens": 1_012, "output_tokens": 196,
        "input_tokens_details": { "text_tokens": 12, "image_tokens": 1_000 } });
    stage.upstream.push("", drawn(&usage));
    let answer = client.form(EDITS, &edit("up/gpt-image-2")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = stage.upstream.last();
    let body = String::from_utf8_lossy(&sent.body).into_owned();
    assert_eq!(sent.path, EDITS);
    assert!(body.contains("\r\n\r\ngpt-image-2\r\n") && body.contains("\u{1}PNG"), "{body}");
    let row = stage.row(&answer).await;
    let charged = 12 * TEXT + 1_000 * 8_000 + 196 * 30_000;
    assert_eq!((nanos(&row.charged_usd), &*row.provenance), (charged, "reported"), "{row:?}");
    assert_eq!(row.json["endpoint"], "images.edits");

    // A picture that is read is dearer than text: without a price of its own it has none.
    let unpriced = client.form(EDITS, &edit("up/gpt-image-1.5")).await;
    assert_eq!(
        (unpriced.status, &unpriced.json()["error"]["code"]),
        (400, &json!("model_unpriced"))
    );
    let other = client.post(EDITS, &square("up/gpt-image-2", 1)).await;
    assert_eq!(other.status, 400, "{}", other.text());
    assert_eq!(stage.upstream.count(), 1);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}
