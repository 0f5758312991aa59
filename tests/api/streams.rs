//! Streams that do not end well: each settles once, says so in its row, and never ends in a false
//! `[DONE]`.

use std::time::Duration;

use serde_json::Value;

use crate::harness::client::Response;
use crate::harness::stage::{CHAT, RICH, Stage, chat, configuration, streamed};
use crate::harness::upstream::script::{Reply, Step};
use crate::harness::upstream::{Ended, Upstream};

fn ended_in_error(answer: &Response) -> bool {
    let data = answer.data();
    let errors = data.iter().filter(|payload| payload.contains("\"error\"")).count();
    errors == 1 && !data.iter().any(|payload| payload.contains("[DONE]"))
}

async fn balanced(stage: &Stage) {
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_stream_cut_anywhere_ends_in_an_error_and_is_charged_for_what_came() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for (number, cut) in
        ["fin=900", "fin=1500", "reset=1500", "fin=2400", "reset=3000"].into_iter().enumerate()
    {
        let key = format!("cut-{number}");
        let answer = client.post(CHAT, &streamed(&format!("@@tokens=20 {cut} key={key}@@"))).await;
        assert_eq!(answer.status, 200, "{cut}");
        assert!(ended_in_error(&answer), "{cut}: {}", answer.text());
        let truth = stage.upstream.answered(&key).await;
        assert_eq!(truth.ended, Ended::Cut);
        let row = stage.row(&answer).await;
        assert_ne!(row.provenance, "reported", "{cut}: {row:?}");
        assert_eq!(row.output, truth.produced, "{cut}: {row:?}");
        assert!(row.input > 0, "{cut}: {row:?}");
    }
    balanced(&stage).await;
}

#[tokio::test]
async fn a_stream_without_its_end_is_an_error_though_its_framing_is_whole() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for say in
        ["@@finish=no done=no usage=missing@@", "@@tokens=0 finish=no done=no usage=missing@@"]
    {
        let answer = client.post(CHAT, &streamed(say)).await;
        assert!(ended_in_error(&answer), "{say}: {}", answer.text());
    }
    balanced(&stage).await;
}

#[tokio::test]
async fn an_error_inside_a_stream_reaches_the_client_once() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let answer = client.post(CHAT, &streamed("@@tokens=9 error-after=4 key=inside@@")).await;
    assert!(ended_in_error(&answer), "{}", answer.text());
    assert_eq!(answer.content(), " the of and to");
    let row = stage.row(&answer).await;
    assert_eq!(row.output, 4, "{row:?}");
    balanced(&stage).await;
}

#[tokio::test]
async fn an_error_inside_a_whole_200_is_an_error() {
    let stage = Stage::new(RICH).await;
    let answer = stage.gateway.client("acme").post(CHAT, &chat("@@error-after=0@@")).await;
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(answer.json()["error"]["message"].is_string());
    balanced(&stage).await;
}

#[tokio::test]
async fn a_whole_reply_cut_short_is_an_error_and_not_free() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for cut in ["fin=400", "reset=400", "fin=60"] {
        let answer = client.post(CHAT, &chat(&format!("@@tokens=50 {cut}@@"))).await;
        assert!((500..600).contains(&answer.status), "{cut}: {}", answer.status);
        let row = stage.row(&answer).await;
        assert_ne!(row.provenance, "reported", "{row:?}");
    }
    balanced(&stage).await;
}

#[tokio::test]
async fn a_line_without_end_is_cut_off_and_costs_no_memory() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    assert_eq!(client.post(CHAT, &chat("warm up")).await.status, 200);
    let before = stage.gateway.resident_kib();
    let say = format!("@@tokens=3 flood={}@@", 200 << 20);
    let answer = client.post(CHAT, &streamed(&say)).await;
    assert!(ended_in_error(&answer) || answer.status == 502, "{} {}", answer.status, answer.text());
    let grown = stage.gateway.resident_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "it grew by {grown} KiB");
    balanced(&stage).await;
}

#[tokio::test]
async fn bytes_of_a_stream_may_be_split_anywhere() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let text = "\u{feff}: a comment\r\n\r\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":\
                {\"content\":\"h\u{e9}\u{1f600}\"},\"finish_reason\":null}]}\r\n\r\n\
                data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"\
                }]}\n\ndata: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\
                \"completion_tokens\":2,\"total_tokens\":3}}\n\ndata: [DONE]\n\n";
    for size in [1, 2, 3, 7, 50] {
        let pieces = text.as_bytes().chunks(size);
        let steps = pieces.map(|piece| Step::Send(piece.to_vec(), 0, None)).collect();
        stage.upstream.push("gpt-4o-mini", Reply::stream(steps));
        let answer = client.post(CHAT, &streamed("hi")).await;
        assert_eq!(answer.content(), "h\u{e9}\u{1f600}", "pieces of {size}");
        assert_eq!(answer.data().last().unwrap(), "[DONE]");
        assert_eq!(stage.row(&answer).await.output, 2);
    }
    balanced(&stage).await;
}

#[tokio::test]
async fn a_frame_that_is_no_json_becomes_an_error_that_is() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    stage.upstream.push("gpt-4o-mini", Reply::frames(&["{\"choices\": oops"]));
    let answer = client.post(CHAT, &streamed("hi")).await;
    let frames: Vec<Value> = answer.frames();
    assert!(frames.last().unwrap()["error"]["message"].is_string(), "{}", answer.text());
    balanced(&stage).await;
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up_on() {
    let upstream = Upstream::start().await;
    let provider = "first_byte_timeout = \"300ms\"\nidle_timeout = \"300ms\"\nmax_retries = 0\n";
    let tables = configuration(&upstream, provider, RICH);
    let stage = Stage { gateway: crate::harness::gateway::Gateway::start(&tables), upstream };
    let client = stage.gateway.client("acme");
    let before_head = client.post(CHAT, &streamed("@@hang=0@@")).await;
    assert!(matches!(before_head.status, 502 | 504), "{}", before_head.text());
    let in_head = client.post(CHAT, &chat("@@hang=20@@")).await;
    assert!(matches!(in_head.status, 502 | 504), "{}", in_head.text());
    let mid_stream = client.post(CHAT, &streamed("@@tokens=20 hang=2000 key=hang@@")).await;
    assert!(ended_in_error(&mid_stream), "{}", mid_stream.text());
    let row = stage.row(&mid_stream).await;
    let produced = stage.upstream.answered("hang").await.produced;
    assert_eq!(row.output, produced, "{row:?}");
    balanced(&stage).await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_provider_and_pays_for_what_was_made() {
    let stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let body = streamed("@@tokens=500 pause=10 key=gone@@").to_string();
    let mut exchange = client.open("POST", CHAT, body.as_bytes()).await.unwrap();
    assert!(exchange.until_text(" that").await.unwrap());
    let answer = exchange.so_far().unwrap();
    drop(exchange);
    let truth = stage.upstream.answered("gone").await;
    assert_eq!(truth.ended, Ended::PeerGone, "the provider was left running");
    assert!(truth.produced < 200, "it ran on for {} tokens", truth.produced);
    let row = stage.row(&answer).await;
    let counted = row.output;
    assert!((8..=truth.produced).contains(&counted), "{row:?}");
    assert!(row.input > 0);
    balanced(&stage).await;
}

#[tokio::test]
async fn a_drained_provider_reports_what_a_gone_client_used() {
    let upstream = Upstream::start().await;
    let tables = configuration(&upstream, "on_client_gone = \"drain\"\n", RICH);
    let stage = Stage { gateway: crate::harness::gateway::Gateway::start(&tables), upstream };
    let client = stage.gateway.client("acme");
    let body = streamed("@@tokens=40 pause=5 key=drain@@").to_string();
    let mut exchange = client.open("POST", CHAT, body.as_bytes()).await.unwrap();
    assert!(exchange.until_text(" that").await.unwrap());
    let answer = exchange.so_far().unwrap();
    drop(exchange);
    let row = stage.row(&answer).await;
    assert_eq!((row.output, row.provenance.as_str()), (40, "reported"), "{row:?}");
    balanced(&stage).await;
}

#[tokio::test]
async fn a_stream_is_cut_where_the_budget_ends() {
    for holds in ["adaptive", "strict"] {
        let stage = Stage::new(&format!(
            "[accounts.acme]\nholds = \"{holds}\"\nlimits = [\"100 output tokens per day\"]\n"
        ))
        .await;
        let client = stage.gateway.client("acme");
        let answer = client.post(CHAT, &streamed("@@tokens=400 pause=1 key=cut@@")).await;
        if holds == "strict" && answer.status != 200 {
            // The whole cap is held at once, and the model's is beyond the budget.
            assert!(matches!(answer.status, 400 | 429), "{}", answer.text());
            continue;
        }
        assert_eq!(answer.status, 200, "{holds}: {}", answer.text());
        let frames = answer.frames();
        let finish = frames.iter().filter_map(|f| f["choices"][0]["finish_reason"].as_str());
        assert_eq!(finish.collect::<Vec<_>>(), ["length"], "{}", answer.text());
        assert_eq!(answer.data().last().unwrap(), "[DONE]");
        let usage = &frames.last().unwrap()["usage"];
        let delivered = usage["completion_tokens"].as_u64().unwrap();
        assert!(delivered <= 100, "{usage}");
        assert!(delivered >= 50, "cut long before the budget's end: {usage}");
        let row = stage.row(&answer).await;
        assert!(row.output <= 100, "{row:?}");
        assert_eq!(stage.upstream.answered("cut").await.ended, Ended::PeerGone);
        for limit in stage.standing().await {
            assert!(limit.posted + limit.held <= limit.capacity, "{limit:?}");
        }
        balanced(&stage).await;
    }
}

#[tokio::test]
async fn a_stop_signal_lets_streams_end_and_then_exits_0() {
    let mut stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    let body = streamed("@@tokens=40 pause=20 key=drain@@").to_string();
    let mut exchange = client.open("POST", CHAT, body.as_bytes()).await.unwrap();
    assert!(exchange.until_text(" that").await.unwrap());
    stage.gateway.signal("TERM");
    let answer = exchange.finish().await.unwrap();
    assert_eq!(answer.data().last().unwrap(), "[DONE]");
    assert!(stage.gateway.wait(Duration::from_secs(10)).success());
    stage.gateway.audit().unwrap();
    stage.gateway.up();
    assert_eq!(stage.row(&answer).await.output, 40);
}

#[tokio::test]
async fn a_stream_that_outlives_the_drain_ends_in_an_error_and_its_row() {
    let upstream = Upstream::start().await;
    let tables = configuration(&upstream, "", RICH);
    let mut gateway = crate::harness::gateway::Gateway::stopped(&tables);
    gateway.set_server("drain_seconds = 1");
    gateway.up();
    let client = gateway.client("acme");
    let body = streamed("@@tokens=2000 pause=20@@").to_string();
    let mut exchange = client.open("POST", CHAT, body.as_bytes()).await.unwrap();
    assert!(exchange.until_text(" that").await.unwrap());
    gateway.signal("TERM");
    let answer = exchange.finish().await.unwrap();
    assert!(ended_in_error(&answer), "{}", answer.text());
    assert!(gateway.wait(Duration::from_secs(10)).success());
    gateway.audit().unwrap();
    gateway.up();
    let stage = Stage { upstream, gateway };
    assert!(stage.row(&answer).await.output >= 8);
    balanced(&stage).await;
}
