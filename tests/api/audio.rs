//! Speech and recordings: held at the most that they can come to, settled at what the provider reports, in
//! the unit that the model is billed in.

use serde_json::{Value, json};

use crate::harness::client::form;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{RICH, Stage, configuration, nanos};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::script::Reply;

const SPEECH: &str = "/v1/audio/speech";
const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const TRANSLATIONS: &str = "/v1/audio/translations";

/// An address of the kind that speaks in events, and prices in all three units.
const TABLES: &str = r#"
[providers.oai]
kind = "openai"
base_url = "URL/v1"
api_key = "env:UP_KEY"
models = ["gpt-4o-mini-tts", "gpt-4o-transcribe", "whisper-1", "tts-1"]

[prices."oai/gpt-4o-mini-tts"]
input = "0.60"
output = "12.00"

[prices."oai/gpt-4o-transcribe"]
input = "2.50"
audio_input = "6.00"
output = "10.00"

[prices."up/gpt-4o-mini-tts"]
input = "0.60"
output = "12.00"

[prices."oai/whisper-1"]
input = "0"
audio_input = "100"

[prices."oai/tts-1"]
input = "15.00"
"#;

async fn stage(tables: &str) -> Stage {
    let upstream = Upstream::start().await;
    let known = "\"text-embedding-3-small\"]";
    let all = "\"text-embedding-3-small\", \"gpt-4o-mini-tts\", \"tts-1\"]";
    let tables = format!("{}{tables}", TABLES.replace("URL", &upstream.url));
    let gateway = Gateway::start(&configuration(&upstream, "", &tables).replacen(known, all, 1));
    Stage { upstream, gateway }
}

fn say(model: &str) -> Value {
    json!({ "model": model, "input": "The quick brown fox.", "voice": "alloy" })
}

fn spoken() -> Reply {
    Reply::frames(&[
        r#"{"type":"speech.audio.delta","audio":"AAEC"}"#,
        r#"{"type":"speech.audio.delta","audio":"Aw=="}"#,
        r#"{"type":"speech.audio.done","usage":{"input_tokens":9,"output_tokens":40,"total_tokens":49}}"#,
    ])
}

#[tokio::test]
async fn speech_is_asked_for_in_events_and_comes_as_the_client_reads_it() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let charged = 9 * 600 + 40 * 12_000;
    for framed in [false, true] {
        stage.upstream.push("gpt-4o-mini-tts", spoken());
        let mut body = say("oai/gpt-4o-mini-tts");
        body["response_format"] = json!("wav");
        if framed {
            body["stream_format"] = json!("sse");
        }
        let answer = client.post(SPEECH, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = stage.upstream.last();
        assert_eq!((&*sent.path, &sent.json()["stream_format"]), (SPEECH, &json!("sse")));
        if framed {
            assert_eq!(answer.header("content-type"), Some("text/event-stream"));
            assert_eq!(answer.frames().last().unwrap()["usage"]["total_tokens"], 49);
        } else {
            assert_eq!(answer.header("content-type"), Some("audio/wav"));
            assert_eq!(answer.body, [0, 1, 2, 3]);
        }
        let row = stage.row(&answer).await;
        assert_eq!((nanos(&row.charged_usd), &*row.provenance), (charged, "reported"), "{row:?}");
        assert_eq!((row.input, row.output), (9, 40));
        assert_eq!(row.json["attempts"][0]["usage"]["audio_output"], 40);
        assert_eq!(row.json["endpoint"], "audio.speech");
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn speech_that_says_nothing_is_charged_at_the_most_and_by_the_character_where_that_is_the_unit()
 {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    // Twenty characters, a second each.
    let most = 20 * 25 + 250;
    stage.upstream.push("gpt-4o-mini-tts", Reply::whole(200, "ID3 sound"));
    let answer = client.post(SPEECH, &say("up/gpt-4o-mini-tts")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ID3 sound"[..]));
    assert_eq!(answer.header("content-type"), Some("audio/mpeg"));
    assert_eq!(stage.upstream.last().json().get("stream_format"), None);
    let row = stage.row(&answer).await;
    assert_eq!((row.output, &*row.provenance), (most, "estimated"), "{row:?}");

    stage.upstream.push("tts-1", Reply::whole(200, "ID3 sound"));
    let row = stage.row(&client.post(SPEECH, &say("oai/tts-1")).await).await;
    assert_eq!((row.input, row.output, nanos(&row.charged_usd)), (20, 0, 20 * 15_000), "{row:?}");
    assert_eq!(row.json["attempts"][0]["input_provenance"], "tokenized");
    let split = used(&stage, "audio_speeches", "&group_by=model").await;
    let characters = |model: &str| {
        let one = split.iter().find(|one| one["model"] == model).unwrap();
        (one["num_model_requests"].clone(), one.get("characters").cloned())
    };
    assert_eq!(characters("tts-1"), (json!(1), Some(json!(20))));
    assert_eq!(characters("gpt-4o-mini-tts"), (json!(1), None), "it is billed in tokens");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

/// What OpenAI's reporting shapes tell of the last hours.
async fn used(stage: &Stage, kind: &str, more: &str) -> Vec<Value> {
    let start = jiff::Timestamp::now().as_second() - 7_200;
    let path = format!("/v1/organization/usage/{kind}?bucket_width=1h&start_time={start}{more}");
    let page = stage.gateway.client("acme").get(&path).await.json();
    let buckets = page["data"].as_array().unwrap().iter();
    buckets.flat_map(|bucket| bucket["results"].as_array().unwrap().clone()).collect()
}

/// So many seconds of silence, 16-bit at 8 kHz.
fn wave(seconds: usize) -> Vec<u8> {
    let mut file =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0".to_vec();
    file.extend(b"data\0\0\0\0");
    file.resize(seconds * 16_000, 0);
    file
}

fn heard(fields: &[(&str, &str)], seconds: usize) -> Vec<u8> {
    form(fields, Some(("talk.wav", &wave(seconds))))
}

const TOKENS: &str = r#"{"text":"hello","usage":{"type":"tokens","input_tokens":104,
    "input_token_details":{"text_tokens":4,"audio_tokens":100},"output_tokens":3,"total_tokens":107}}"#;

#[tokio::test]
async fn a_recording_is_charged_at_the_reported_tokens_heard_and_read_apart() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    for (format, kind, text) in
        [("json", "application/json", TOKENS), ("text", "text/plain; charset=utf-8", "hello\n")]
    {
        stage.upstream.push("", Reply::whole(200, TOKENS));
        let fields = [("model", "oai/gpt-4o-transcribe"), ("response_format", format)];
        let answer = client.form(TRANSCRIPTIONS, &heard(&fields, 10)).await;
        assert_eq!((answer.status, answer.text()), (200, text.to_owned()));
        assert_eq!(answer.header("content-type"), Some(kind));
        let sent = stage.upstream.last();
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        assert_eq!(sent.path, TRANSCRIPTIONS);
        assert!(
            body.contains("\r\n\r\ngpt-4o-transcribe\r\n") && body.contains("\r\n\r\njson\r\n")
        );
        assert!(sent.body.windows(160_000).any(|window| window == wave(10)), "the file is whole");
        let row = stage.row(&answer).await;
        let charged = 4 * 2_500 + 100 * 6_000 + 3 * 10_000;
        assert_eq!((nanos(&row.charged_usd), &*row.provenance), (charged, "reported"), "{row:?}");
        assert_eq!(row.json["attempts"][0]["usage"]["audio_input"], 100);
        assert_eq!(row.json["endpoint"], "audio.transcriptions");
    }
    // Without a word of what was used it is the most that ten seconds can be.
    stage.upstream.push("", Reply::whole(200, "{\"text\":\"hello\"}"));
    let fields = [("model", "oai/gpt-4o-transcribe")];
    let row = stage.row(&client.form(TRANSCRIPTIONS, &heard(&fields, 10)).await).await;
    assert_eq!((row.input, row.output, &*row.provenance), (10 * 20 + 64, 2_000, "estimated"));
    assert_eq!(nanos(&row.charged_usd), (10 * 20 + 64) * 6_000 + 2_000 * 10_000);
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_recording_is_charged_by_the_second_where_that_is_the_unit() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let reported = "{\"text\":\"hello\",\"usage\":{\"type\":\"duration\",\"seconds\":10}}";
    let told = "{\"text\":\"hello\",\"duration\":9.2,\"language\":\"english\"}";
    for (path, reply, text) in
        [(TRANSCRIPTIONS, reported, reported), (TRANSLATIONS, told, "{\"text\":\"hello\"}")]
    {
        stage.upstream.push("", Reply::whole(200, reply));
        let answer = client.form(path, &heard(&[("model", "oai/whisper-1")], 10)).await;
        assert_eq!((answer.status, answer.text()), (200, text.to_owned()), "{path}");
        let row = stage.row(&answer).await;
        assert_eq!((nanos(&row.charged_usd), row.output), (10 * 100_000, 0), "{row:?}");
        assert_eq!(row.json["attempts"][0]["usage"]["audio_input"], 10);
    }
    let whole = used(&stage, "audio_transcriptions", "").await;
    let sum = |name| whole.iter().map(|one| one[name].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("seconds"), sum("num_model_requests")), (20, 2), "{whole:?}");
    // With what is billed in tokens, the seconds of all are not known, and not said to be fewer.
    stage.upstream.push("", Reply::whole(200, TOKENS));
    let fields = [("model", "oai/gpt-4o-transcribe")];
    stage.row(&client.form(TRANSCRIPTIONS, &heard(&fields, 10)).await).await;
    let whole = used(&stage, "audio_transcriptions", "").await;
    assert!(whole.last().unwrap().get("seconds").is_none(), "{whole:?}");
    let calls = whole.iter().map(|one| one["num_model_requests"].as_i64().unwrap());
    assert_eq!(calls.sum::<i64>(), 3, "{whole:?}");
    let split = used(&stage, "audio_transcriptions", "&group_by=model").await;
    let seconds = split.iter().filter_map(|one| one.get("seconds")?.as_i64());
    assert_eq!(seconds.sum::<i64>(), 20, "{split:?}");
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn subtitles_are_written_from_a_reply_that_tells_the_seconds_and_charged_for_those() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme");
    let told = "{\"text\":\"hello\",\"duration\":9.2,\"segments\":[\
        {\"start\":0.0,\"end\":1.5,\"text\":\" hello\"}]}";
    let srt = "1\n00:00:00,000 --> 00:00:01,500\nhello\n\n";
    let vtt = "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nhello\n\n";
    for (path, format, text) in
        [(TRANSCRIPTIONS, "srt", srt), (TRANSCRIPTIONS, "vtt", vtt), (TRANSLATIONS, "srt", srt)]
    {
        stage.upstream.push("", Reply::whole(200, told));
        let fields = [("model", "oai/whisper-1"), ("response_format", format)];
        let answer = client.form(path, &heard(&fields, 10)).await;
        assert_eq!((answer.status, answer.text()), (200, text.to_owned()), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        let sent = stage.upstream.last();
        let body = String::from_utf8_lossy(&sent.body).into_owned();
        assert!(body.contains("\r\n\r\nverbose_json\r\n"), "{path}");
        let row = stage.row(&answer).await;
        assert_eq!((nanos(&row.charged_usd), row.output), (10 * 100_000, 0), "{row:?}");
        assert_eq!(&*row.provenance, "reported");
    }
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_transcription_is_read_in_events_and_charged_as_a_whole_one() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme").and_header("idempotency-key", "heard");
    stage.upstream.push("", Reply::whole(200, TOKENS));
    let body = heard(&[("model", "oai/gpt-4o-transcribe"), ("stream", "true")], 10);
    let answer = client.form(TRANSCRIPTIONS, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let [delta, done] = &answer.frames()[..] else { panic!("{}", answer.text()) };
    assert_eq!(delta, &json!({ "type": "transcript.text.delta", "delta": "hello" }));
    assert_eq!((&done["type"], &done["text"]), (&json!("transcript.text.done"), &json!("hello")));
    assert_eq!(done["usage"]["total_tokens"], 107);
    let row = stage.row(&answer).await;
    let charged = 4 * 2_500 + 100 * 6_000 + 3 * 10_000;
    assert_eq!((nanos(&row.charged_usd), &*row.provenance), (charged, "reported"), "{row:?}");
    // A repeat is the same events.
    let again = client.form(TRANSCRIPTIONS, &body).await;
    assert_eq!(again.header("content-type"), Some("text/event-stream"));
    assert_eq!((again.text(), stage.upstream.count()), (answer.text(), 1));
    stage.nothing_held().await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_recording_holds_its_length_and_one_that_cannot_be_measured_is_not_sent() {
    // Thirty seconds fit; sixty do not.
    let stage = stage("[accounts.acme]\nlimits = [\"$0.004 per day\"]\n").await;
    let client = stage.gateway.client("acme");
    let whisper = [("model", "oai/whisper-1")];
    let refused = client.form(TRANSCRIPTIONS, &heard(&whisper, 60)).await;
    assert!(matches!(refused.status, 400 | 429), "{}", refused.text());
    let unknown = client.form(TRANSCRIPTIONS, &form(&whisper, Some(("a.ogg", b"OggS")))).await;
    assert_eq!((unknown.status, &unknown.json()["error"]["param"]), (400, &json!("model")));
    assert!(unknown.text().contains("WAV or MP3"), "{}", unknown.text());
    assert_eq!(stage.upstream.count(), 0);

    stage.upstream.push("", Reply::whole(200, "{\"text\":\"\",\"duration\":30}"));
    let answer = client.form(TRANSCRIPTIONS, &heard(&whisper, 30)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    stage.nothing_held().await;
}

#[tokio::test]
async fn a_price_for_tokens_is_none_for_characters_or_seconds() {
    let ceiling = "[unknown_price]\ninput = \"1000\"\noutput = \"1000\"\n";
    let stage = stage(&format!("{ceiling}{RICH}")).await;
    let client = stage.gateway.client("acme");
    let refused = client.post(SPEECH, &say("up/tts-1")).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("model_unpriced")));
    for (name, value) in [("response_format", "srt"), ("chunking_strategy", "auto")] {
        let fields = [("model", "oai/gpt-4o-transcribe"), (name, value)];
        let refused = client.form(TRANSCRIPTIONS, &heard(&fields, 1)).await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!(name)));
    }
    let whisper = [("model", "oai/whisper-1"), ("stream", "true")];
    let refused = client.form(TRANSLATIONS, &heard(&whisper, 1)).await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!("stream")));
    let other = client.post(TRANSCRIPTIONS, &say("oai/whisper-1")).await;
    assert_eq!(other.status, 400, "{}", other.text());
    assert_eq!(stage.upstream.count(), 0);
    stage.nothing_held().await;
}

#[tokio::test]
async fn a_form_sent_again_with_its_key_is_answered_from_what_is_kept_whatever_its_boundary() {
    let stage = stage(RICH).await;
    let client = stage.gateway.client("acme").and_header("idempotency-key", "once");
    stage.upstream.push("", Reply::whole(200, TOKENS));
    let fields = [("model", "oai/gpt-4o-transcribe"), ("response_format", "text")];
    let body = heard(&fields, 1);
    let first = client.form(TRANSCRIPTIONS, &body).await;
    assert_eq!(first.text(), "hello\n");
    let letters: String = body.iter().copied().map(char::from).collect();
    let other = letters.replace("------boundary", "--another-boundary");
    let other: Vec<u8> = other.chars().map(|letter| letter as u8).collect();
    let again = client.post_bytes(TRANSCRIPTIONS, &other).await;
    assert_eq!((again.status, again.text()), (200, first.text()));
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(again.header("x-tollgate-repeated"), Some("true"));
    assert_eq!(stage.upstream.count(), 1);
    stage.nothing_held().await;
}
