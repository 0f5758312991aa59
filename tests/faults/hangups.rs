//! A client that hangs up while a recorded stream of a real provider stands still at some byte: one
//! settlement each, never for less than was counted.
//!
//! The provider stops at every 97th byte of its replies, in the head, in a frame, within a letter;
//! `TOLLGATE_STRIDE=1` takes every byte of all of them, which are over a million.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::client::{Client, Response};
use crate::harness::env_count;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{Entry, entries_after, open_holds, rows_written};
use crate::harness::stage::{CHAT, nothing_held};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::script::{Reply, Step};

/// A prime, so that offsets fall all over the frames.
const STRIDE: usize = 97;
const AT_ONCE: usize = 48;
/// After so long without a byte, a client leaves: before the first, and between two.
const FIRST: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(15);

/// A file of recordings, how the paths of its streams end, the model asked for, and where.
const WIRES: [(&str, &str, &str, &str); 10] = [
    ("openai", "/chat/completions", "gpt-4o-mini", CHAT),
    ("azure", "/chat/completions", "gpt-4o-mini", CHAT),
    ("groq", "/chat/completions", "gpt-4o-mini", CHAT),
    ("mistral", "/chat/completions", "gpt-4o-mini", CHAT),
    ("deepseek", "/chat/completions", "gpt-4o-mini", CHAT),
    ("openrouter", "/chat/completions", "gpt-4o-mini", CHAT),
    ("ollama", "/chat/completions", "gpt-4o-mini", CHAT),
    ("anthropic", "/v1/messages", "claude", "/v1/messages"),
    ("cohere", "/v2/chat", "command", CHAT),
    ("gemini", "streamGenerateContent", "gemini", CHAT),
];

fn configuration(upstream: &Upstream) -> String {
    let mut tables = "[accounts.acme]\nlimits = [\"$1000000 per month\"]\n".to_owned();
    for (kind, folder, model) in [
        ("compatible", "v1", "gpt-4o-mini"),
        ("anthropic", "v1", "claude"),
        ("cohere", "v2", "command"),
        ("gemini", "v1beta", "gemini"),
    ] {
        tables.push_str(&format!(
            "\n[providers.{kind}]\nkind = \"{kind}\"\nbase_url = \"{}/{folder}\"\n\
             api_key = \"env:UP_KEY\"\nmodels = [\"{model}\"]\n\n\
             [prices.\"{kind}/{model}\"]\ninput = \"1.00\"\noutput = \"2.00\"\n",
            upstream.url
        ));
    }
    tables
}

/// Every recorded stream: where it is from, the model that is answered so, and its bytes.
fn recordings() -> Vec<(String, &'static str, &'static str, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/tests/recordings");
    let mut found = Vec::new();
    for (file, path, model, at) in WIRES {
        let text = std::fs::read_to_string(folder.join(format!("{file}.jsonl"))).unwrap();
        for (number, line) in text.lines().enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            let body = line["body"].as_str().unwrap_or_default();
            let plain = line["path"].as_str().unwrap().split(['?', '#']).next().unwrap();
            let streamed = body.starts_with("data:") || body.starts_with("event:");
            if plain.ends_with(path) && line["status"] == 200 && streamed {
                let name = format!("{file}.{}", number + 1);
                found.push((name, model, at, body.as_bytes().to_vec()));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_at_any_byte_of_a_recorded_stream_is_settled_once() {
    let stride = env_count("TOLLGATE_STRIDE", STRIDE);
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&configuration(&upstream));
    let key = gateway.key("acme");
    let recordings = recordings();
    assert!(recordings.len() >= 100, "only {} streams", recordings.len());
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let (mut offsets, mut answered, mut left_open) = (0, 0, 0);
    for (turn, (name, model, path, body)) in recordings.iter().enumerate() {
        let before = rows_written(&gateway);
        // The head and the chunk's frame are some 150 bytes more.
        let all = (turn % stride..body.len() + 150).step_by(stride);
        let mut leaving = Vec::new();
        for at in all {
            let place = Arc::clone(&at_once).acquire_owned().await.unwrap();
            let reply = Reply::stream(vec![Step::Send(body.clone(), 0, None)]).hanging_at(at);
            // Gemini's requests name the model in their path alone.
            upstream.push(if *model == "gemini" { "" } else { model }, reply);
            let tag = format!("{name}.{at}");
            let client = Client::with_key(&gateway.data, &key)
                .and_header("x-tollgate-tags", &format!("call={tag}"))
                .and_header("anthropic-version", "2023-06-01");
            let ask = json!({"model": model, "stream": true, "max_tokens": 4_000,
                "messages": [{"role": "user", "content": "say something"}]});
            let path = *path;
            leaving.push(tokio::spawn(async move {
                let mut exchange =
                    client.open("POST", path, ask.to_string().as_bytes()).await.unwrap();
                let mut patience = FIRST;
                while let Ok(Ok(1..)) = tokio::time::timeout(patience, exchange.more()).await {
                    patience = QUIET;
                }
                drop(place);
                (tag, exchange.so_far())
            }));
        }
        offsets += leaving.len();
        let mut answers = BTreeMap::new();
        for one in leaving {
            let (tag, answer) = one.await.unwrap();
            answers.extend(answer.map(|answer| (tag, answer)));
        }
        // The next recording's replies are taken by its own calls alone.
        upstream.forget_pushed();
        nothing_held(&gateway).await;
        assert_eq!(open_holds(&gateway), 0);
        settled_once_each(&answers, entries_after(&gateway, before));
        answered += answers.len();
        left_open += answers.values().filter(|answer| !answer.whole).count();
    }
    assert!(answered > offsets * 3 / 4, "{answered} of {offsets} were answered");
    assert!(left_open > offsets / 2, "{left_open} of {offsets} left before the end");
    println!("{offsets} offsets of {} streams", recordings.len());
    gateway.audit().unwrap();
}

fn settled_once_each(answers: &BTreeMap<String, Response>, written: Vec<Entry>) {
    let mut rows = BTreeMap::<String, Vec<Entry>>::new();
    for row in written {
        rows.entry(row.tags.trim_start_matches("call=").to_owned()).or_default().push(row);
    }
    for (tag, answer) in answers {
        assert_eq!(answer.status, 200, "{tag}: {}", answer.text());
        assert!(rows.contains_key(tag), "{tag} was answered and has no row");
    }
    for (tag, rows) in &rows {
        let [row] = &rows[..] else { panic!("{tag} is settled {} times: {rows:?}", rows.len()) };
        settled_at_what_was_counted(tag, row, answers.get(tag));
    }
}

fn settled_at_what_was_counted(tag: &str, row: &Entry, answer: Option<&Response>) {
    assert!(row.posted_input > 0, "{tag}: {row:?}");
    assert!(row.charged > 0 || row.outcome == "failed" || row.outcome == "truncated", "{row:?}");
    if row.outcome != "client_gone" {
        return;
    }
    assert!(row.posted_output >= row.delivered, "{tag}: {row:?}");
    // Counted here once more, from what the client has in its hands, where the encoding is known.
    let Some(answer) = answer.filter(|_| row.model == "gpt-4o-mini") else { return };
    let frames = answer.data().into_iter().filter_map(|data| serde_json::from_str(&data).ok());
    let mut text = String::new();
    for frame in frames {
        let frame: Value = frame;
        text.push_str(frame["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    let counted = tollgate_tokenizer::family("gpt-4o-mini").count(&text);
    assert!(row.posted_output >= counted as i64, "{tag}: {counted} in hand, {row:?}");
}
