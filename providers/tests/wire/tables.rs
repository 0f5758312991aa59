//! The tables in `docs/`: what was tried, and what came of it. Each is made anew by its test, which fails
//! where the file says otherwise; `TOLLGATE_WRITE_DOCS=1` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::json;
use tollgate_accounting::Class;
use tollgate_providers::unified::Capability;
use tollgate_providers::{Dialect, EncodeOptions, Odd, Provider, Target, kinds, provider};

use super::recordings::{good, usages, written};
use super::support::{
    CLIENTS, Reader, Said, decoded, read_stream, rewrite, said_streamed, said_whole,
};

const OPTIONS: EncodeOptions<'static> =
    EncodeOptions { id: "id", model: "model", created: 1, include_usage: true, echo: "" };

fn is_what_the_file_says(name: &str, table: &str) {
    let path = format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TOLLGATE_WRITE_DOCS").is_some() {
        std::fs::write(&path, table).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    let help = "run the test with TOLLGATE_WRITE_DOCS=1 and look at the difference";
    assert!(file == table, "docs/{name} is not what the tests find; {help}");
}

/// A reply that was recorded: who sent it, and its bytes.
type Recorded = (&'static dyn Provider, Vec<u8>);

/// By wire, whether streamed and whether with a tool call: a recorded reply of one choice.
fn replies() -> BTreeMap<(&'static str, bool, bool), Recorded> {
    let found = std::cell::RefCell::new(BTreeMap::new());
    good(|from, _, line| {
        let (bytes, streamed) = (line.bytes(), line.is_stream());
        let said = match streamed {
            true => {
                let said = read_stream(from, &[&bytes]);
                (said.texts.len() < 2).then(|| said_streamed(from, &bytes))
            }
            false => {
                let reply = from.decode_reply(&bytes).unwrap();
                (reply.choices.len() == 1).then(|| said_whole(&reply))
            }
        };
        let Some(said) = said else { return };
        let tools = !said.calls.is_empty();
        if tools || !said.text.is_empty() {
            let key = (from.dialect().name(), streamed, tools);
            found.borrow_mut().entry(key).or_insert((from, bytes));
        }
    });
    let mut found = found.into_inner();
    // None of this kind was recorded; this one is as Anthropic documents it.
    let key = (Dialect::AnthropicMessages.name(), true, true);
    let anthropic = provider("anthropic").unwrap();
    found.entry(key).or_insert((anthropic, TOOL_STREAM.as_bytes().to_vec()));
    found
}

const TOOL_STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"city\": \"Be"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"rn\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":12}}

event: message_stop
data: {"type":"message_stop"}

"#;

/// A request as a client of the dialect writes it.
fn request(dialect: Dialect, tools: bool, stream: bool) -> String {
    let schema =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let said = "Is it raining in Bern?";
    let (name, about) = ("get_weather", "d");
    let (mut body, offer) = match dialect {
        Dialect::OpenAiCompletions => {
            (json!({"model": "m", "max_tokens": 50, "stream": stream, "prompt": said}), json!({}))
        }
        Dialect::AnthropicMessages => (
            json!({"model": "m", "max_tokens": 50, "stream": stream,
                "messages": [{"role": "user", "content": said}]}),
            json!({"tools": [{"name": name, "description": about, "input_schema": schema}],
                "tool_choice": {"type": "any"}}),
        ),
        Dialect::OpenAiResponses => (
            json!({"model": "m", "max_output_tokens": 50, "stream": stream, "store": false, "input": said}),
            json!({"tools": [{"type": "function", "name": name, "description": about, "parameters": schema}],
                "tool_choice": "required"}),
        ),
        Dialect::GeminiGenerateContent => (
            json!({"contents": [{"role": "user", "parts": [{"text": said}]}],
                "generationConfig": {"maxOutputTokens": 50}}),
            json!({"tools": [{"functionDeclarations": [
                    {"name": name, "description": about, "parameters": schema}]}],
                "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
        ),
        _ => (
            json!({"model": "m", "max_tokens": 50, "stream": stream,
                "messages": [{"role": "user", "content": said}]}),
            json!({"tools": [{"type": "function", "function": {"name": name, "description": about,
                "parameters": schema}}], "tool_choice": "required"}),
        ),
    };
    let members = body.as_object_mut().unwrap();
    members.extend(offer.as_object().unwrap().clone().into_iter().filter(|_| tools));
    body.to_string()
}

/// What comes of such a call: how it is carried, or why it is not.
fn cell(
    client: (Dialect, Reader),
    far: &dyn Provider,
    (stream, tools): (bool, bool),
    replies: &BTreeMap<(&'static str, bool, bool), Recorded>,
) -> String {
    let (dialect, reader) = client;
    if tools && dialect == Dialect::OpenAiCompletions {
        return "this dialect has no tools".to_owned();
    }
    let body = request(dialect, tools, stream);
    let to = Target { model: "far-model", max_output_tokens: Some(50), stream };
    let sent = decoded(dialect, body.as_bytes(), stream, |req| far.encode_chat(&req.unwrap(), &to));
    let sent = match sent {
        Ok(sent) => sent,
        Err(bad) => return format!("400: {}", bad.message),
    };
    let text = String::from_utf8(sent.body).unwrap();
    assert!(text.contains("Is it raining in Bern?"), "{}: {text}", far.name());
    assert_eq!(text.contains("get_weather"), tools, "{}: {text}", far.name());
    assert_eq!(sent.dropped, Vec::<String>::new(), "{}", far.name());
    if dialect == far.dialect() {
        return "as it came".to_owned();
    }
    let Some((from, bytes)) = replies.get(&(far.dialect().name(), stream, tools)) else {
        return "translated; no recording of a reply".to_owned();
    };
    let (before, after) = if stream {
        let rewritten = rewrite(*from, dialect, bytes, &OPTIONS);
        (said_streamed(*from, bytes), reader.stream(&rewritten))
    } else {
        let reply = from.decode_reply(bytes).unwrap();
        (said_whole(&reply), reader.whole(&dialect.encode_reply(&reply, &OPTIONS)))
    };
    let said = |said: Said| (said.text, said.calls);
    let (before, after) = (said(before), said(after));
    assert_eq!(after, before, "{} for {dialect:?}", far.name());
    "translated".to_owned()
}

#[test]
fn every_client_dialect_reaches_every_provider() {
    let replies = replies();
    let mut out = String::from(
        "# Every client dialect to every provider\n\
         Made by the test `every_client_dialect_reaches_every_provider` of the crate `tollgate-providers`. \
         For each cell a request was read in the client's dialect and written for the provider, and a \
         recorded reply of the provider's wire (Anthropic's streamed tool call: as documented, for none was \
         recorded) was written for the client and read back: the same text, \
         the same tool calls. *As it came*: the wires are the same, so the very bytes are passed on but for \
         the model's name and the cap.\n",
    );
    let texts = (Dialect::OpenAiCompletions, Reader::Provider("openai"));
    for client in CLIENTS.into_iter().chain([texts]) {
        let _ = write!(
            out,
            "\n## `{}`\n| provider | wire | text | text, streamed | tools | tools, streamed |\n\
             |---|---|---|---|---|---|\n",
            client.0.name()
        );
        for far in kinds().map(|kind| provider(kind).unwrap()) {
            let _ = write!(out, "| {} | {}", far.name(), far.dialect().name());
            for what in [(false, false), (true, false), (false, true), (true, true)] {
                let _ = write!(out, " | {}", cell(client, far, what, &replies));
            }
            out.push_str(" |\n");
        }
    }
    out.push_str(
        "\n## What is no chat\n\
         Embeddings by OpenAI's dialect and by Google's `embedContent` and `batchEmbedContents`, each to the \
         same providers; moderations by OpenAI's; rerankings as Cohere, Jina and vLLM write them; \
         pictures, speech and transcriptions by OpenAI's `/images/generations` and `/audio`. *No*: asked for, the model is not found at this \
         provider.\n\n\
         | provider | embeddings | moderations | rerankings | pictures | speech | transcriptions |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for far in kinds().map(|kind| provider(kind).unwrap()) {
        let _ = write!(out, "| {} ", far.name());
        for what in [
            Capability::Embeddings,
            Capability::Moderations,
            Capability::Rerank,
            Capability::Images,
            Capability::Speech,
            Capability::Transcriptions,
        ] {
            let _ = write!(out, "| {} ", if far.can(what) { "yes" } else { "no" });
        }
        out.push_str("|\n");
    }
    is_what_the_file_says("crossing.md", &out);
}

#[derive(Default)]
struct Row {
    whole: u64,
    streamed: u64,
    equal: u64,
    classes: BTreeSet<&'static str>,
    apart: Vec<String>,
}

#[test]
fn every_recorded_usage_is_ours() {
    let rows = std::cell::RefCell::new(BTreeMap::<&str, Row>::new());
    good(|from, dialect, line| {
        let theirs = usages(line);
        if theirs.is_empty() {
            return;
        }
        let mut rows = rows.borrow_mut();
        let row = rows.entry(from.name()).or_default();
        let bytes = line.bytes();
        let ours = if line.is_stream() {
            row.streamed += 1;
            read_stream(from, &[&bytes]).usage
        } else {
            row.whole += 1;
            from.decode_reply(&bytes).unwrap().usage
        };
        let used = ours.usage.iter().filter(|(_, count)| *count > 0);
        row.classes.extend(used.map(|(class, _)| Class::name(class)));
        if ours.usage == written(dialect, &theirs) {
            row.equal += 1;
        } else {
            assert!(ours.odd.has(Odd::INCONSISTENT), "{}", line.source);
            row.apart.push(format!("{}: its parts are more than its total", line.source));
        }
    });
    let mut out = String::from(
        "# Usage: theirs and ours\n\
         Made by the test `every_recorded_usage_is_ours` of the crate `tollgate-providers`: every recorded \
         reply with a usage block, read by the provider's decoder and, class by class, by a reader that \
         shares no code with it. Streams read the same under every split of their bytes, and written for \
         each client dialect the totals stay (`tests/wire/recordings.rs`, `rewritten.rs`).\n\n\
         | provider | whole | streamed | theirs = ours | classes seen |\n|---|---|---|---|---|\n",
    );
    let rows = rows.into_inner();
    let (mut all, mut equal) = (0, 0);
    for (name, row) in &rows {
        let classes: Vec<&str> = row.classes.iter().copied().collect();
        let (whole, streamed) = (row.whole, row.streamed);
        let classes = classes.join(", ");
        let _ = writeln!(out, "| {name} | {whole} | {streamed} | {} | {classes} |", row.equal);
        (all, equal) = (all + whole + streamed, equal + row.equal);
    }
    let apart: Vec<&String> = rows.values().flat_map(|row| &row.apart).collect();
    assert_eq!(all, equal + apart.len() as u64);
    assert!(apart.len() <= 1, "{apart:?}");
    let _ = write!(out, "\n{equal} of {all} are equal");
    match apart.first() {
        None => out.push_str(".\n"),
        Some(_) => out.push_str(
            "; one contradicts itself (OpenRouter, for Gemini, counts what was read from the cache as written \
             to it too), is kept to its total, and says so in its row.\n",
        ),
    }
    is_what_the_file_says("usage.md", &out);
}
