//! What `count_chat` says of recorded requests, against the tokens their providers billed.
//!
//! `cargo test -p tollgate-tokenizer --test recordings -- --nocapture` prints the tables.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a recording that can't be read fails the test, and its tables are printed"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tollgate_tokenizer::{
    Chat, Correction, Count, Detail, Image, Message, Part, Role, ToolCall, count_chat,
};

struct Recording {
    json: Value,
    tools: Option<String>,
    schema: Option<String>,
}

impl Recording {
    fn all() -> Vec<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/recordings.jsonl");
        let lines = fs::read_to_string(file).unwrap();
        let all: Vec<Self> = lines
            .lines()
            .map(|line| {
                let json: Value = serde_json::from_str(line).unwrap();
                let raw = |key| json.get(key).map(Value::to_string);
                Self { tools: raw("tools"), schema: raw("schema"), json }
            })
            .collect();
        assert!(all.len() > 400);
        all
    }

    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().unwrap()
    }

    fn billed(&self) -> u64 {
        self.json["billed"].as_u64().unwrap()
    }

    /// The file it was recorded in decides which half it is in.
    fn half(&self) -> usize {
        let file = self.text("source").split('#').next().unwrap();
        file.bytes().fold(7_usize, |hash, byte| (hash * 31 + usize::from(byte)) % 1_000_003) % 2
    }

    fn is_openai(&self) -> bool {
        matches!(self.text("provider"), "openai" | "azure")
    }

    fn parts(&self) -> impl Iterator<Item = &Value> {
        let messages = self.json["messages"].as_array().unwrap().iter();
        messages.flat_map(|message| message["parts"].as_array().unwrap())
    }

    fn has(&self, key: &str) -> bool {
        self.parts().any(|part| part.get(key).is_some())
    }

    /// What only the provider can count: hosted tools, files, an earlier response.
    fn is_hidden(&self) -> bool {
        let hosted = |tool: &Value| tool.get("function").is_none() && tool.get("name").is_none();
        let tools = self.json["tools"].as_array();
        self.has("other") || tools.is_some_and(|tools| tools.iter().any(hosted))
    }

    /// Models that search by themselves or reword the system message.
    fn is_odd(&self) -> bool {
        let model = self.text("model");
        model.contains("-search") || model.starts_with("o1-mini")
    }

    fn kind(&self) -> &'static str {
        match () {
            () if self.is_hidden() => "hidden",
            () if self.has("image") => "images",
            () if self.tools.is_some() || self.has("call") => "tools",
            () if self.schema.is_some() => "schema",
            () => "plain",
        }
    }

    fn count(&self) -> Count {
        let messages = self.json["messages"].as_array().unwrap();
        let chat = Chat {
            messages: messages.iter().map(message).collect(),
            tools: self.tools.as_deref(),
            response_schema: self.schema.as_deref(),
        };
        count_chat(self.text("model"), &chat)
    }
}

fn message(json: &Value) -> Message<'_> {
    let mut message = Message {
        role: match json["role"].as_str().unwrap() {
            "system" => Role::System,
            "developer" => Role::Developer,
            "assistant" | "model" => Role::Assistant,
            "tool" | "function" => Role::Tool,
            _ => Role::User,
        },
        name: json["name"].as_str(),
        ..Message::default()
    };
    for part in json["parts"].as_array().unwrap() {
        if let Some(text) = part.as_str() {
            message.parts.push(Part::Text(text));
        } else if let Some(call) = part["call"].as_array() {
            let (name, arguments) = (call[0].as_str().unwrap(), call[1].as_str().unwrap());
            message.tool_calls.push(ToolCall { id: "", name, arguments });
        } else if let Some(size) = part.get("image") {
            let side = |at: usize| u32::try_from(size[at].as_u64()?).ok();
            let detail = match part["detail"].as_str() {
                Some("low") => Detail::Low,
                Some("high") => Detail::High,
                _ => Detail::Auto,
            };
            message.parts.push(Part::Image(Image { size: side(0).zip(side(1)), detail }));
        } else {
            message.parts.push(Part::Other);
        }
    }
    message
}

/// Errors as parts of what was billed, in rising order.
#[derive(Default)]
struct Errors(Vec<f64>);

impl Errors {
    fn add(&mut self, counted: u64, billed: u64) {
        self.0.push(counted.abs_diff(billed) as f64 / billed as f64);
        self.0.sort_by(f64::total_cmp);
    }

    fn exact(&self) -> usize {
        self.0.iter().filter(|error| **error == 0.0).count()
    }

    fn at(&self, per_cent: usize) -> f64 {
        self.0
            .get((self.0.len() * per_cent).div_ceil(100).saturating_sub(1))
            .map_or(0.0, |e| e * 100.0)
    }

    fn row(&self) -> String {
        format!(
            "{:4} | {:4} | {:6.1} | {:6.1}",
            self.0.len(),
            self.exact(),
            self.at(50),
            self.at(95)
        )
    }
}

/// Prints a row for each key and half, and returns the errors of all.
fn table<K: Ord + std::fmt::Display>(title: &str, rows: BTreeMap<K, [Errors; 2]>) {
    println!("\n{title:38} |      first half: n, exact, median %, p95 % | second half");
    for (key, [first, second]) in rows {
        println!("{key:38} | {} | {}", first.row(), second.row());
    }
}

#[test]
fn what_is_said_to_be_exact_is_what_was_billed() {
    let (mut direct, mut relayed) = (Errors::default(), Errors::default());
    for recording in Recording::all() {
        let count = recording.count();
        if count.exact {
            // Who relays to OpenAI may add to a request.
            let errors = if recording.is_openai() { &mut direct } else { &mut relayed };
            errors.add(count.tokens, recording.billed());
        }
    }
    println!("\nsaid to be exact    | {}\nrelayed by others   | {}", direct.row(), relayed.row());
    assert!(direct.0.len() >= 25);
    assert!(direct.exact() * 100 >= direct.0.len() * 97);
}

/// Billed at 278 for some 70 that the request shows, where a request of the same shape to the same model
/// (one small tool, its call and its result) is billed as it is counted: its provider put something
/// before it that the request doesn't tell.
const UNSHOWN: &str = "pydantic/pydantic-ai:tests/models/cassettes/test_openai_responses/\
                       test_openai_responses_stream.yaml#1";

#[test]
fn openai_models_count_as_billed_in_both_halves_of_the_recordings() {
    let (mut kinds, mut models) = (BTreeMap::new(), BTreeMap::new());
    let mut shown = [Errors::default(), Errors::default()];
    for recording in Recording::all().iter().filter(|recording| recording.is_openai()) {
        let (count, half) = (recording.count(), recording.half());
        let kind = if recording.is_odd() { "hidden" } else { recording.kind() };
        let add = |rows: &mut BTreeMap<String, [Errors; 2]>, key: String| {
            rows.entry(key).or_default()[half].add(count.tokens, recording.billed());
        };
        if kind == "tools" && recording.text("source") != UNSHOWN {
            shown[half].add(count.tokens, recording.billed());
        }
        if kind == "tools" && count.tokens != recording.billed() {
            let (counted, billed) = (count.tokens, recording.billed());
            println!("tools, {half}: {counted} for {billed}: {}", recording.text("source"));
        }
        add(&mut kinds, kind.to_owned());
        add(&mut models, format!("{} {kind}", recording.text("model")));
    }
    let plain = &kinds["plain"];
    for half in plain {
        assert!(half.exact() * 100 >= half.0.len() * 97);
    }
    for half in &kinds["tools"] {
        assert!(half.at(50) <= 2.0, "{}", half.at(50));
    }
    for half in shown {
        assert!(half.at(95) <= 10.0, "{}", half.at(95));
    }
    table("OpenAI and Azure, by model", models);
    table("OpenAI and Azure, by kind", kinds);
}

#[test]
fn the_correction_brings_the_estimates_of_other_vendors_closer() {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    let mut corrections: BTreeMap<String, Correction> = BTreeMap::new();
    let (mut all_before, mut all_after) = (Errors::default(), Errors::default());
    for recording in Recording::all().iter().filter(|recording| !recording.is_openai()) {
        let (count, billed) = (recording.count(), recording.billed());
        let name = format!("{} {}", recording.text("provider"), recording.text("model"));
        let correction = corrections.entry(name).or_default();
        // Only what came earlier is known.
        let corrected = correction.apply(count.tokens, recording.tools.is_some());
        correction.observe(count.tokens, recording.tools.is_some(), billed);
        let (key, half) = (recording.text("provider").to_owned(), recording.half());
        before.entry(key.clone()).or_insert_with(<[Errors; 2]>::default)[half]
            .add(count.tokens, billed);
        after.entry(key).or_insert_with(<[Errors; 2]>::default)[half].add(corrected, billed);
        all_before.add(count.tokens, billed);
        all_after.add(corrected, billed);
    }
    table("other vendors, estimated", before);
    table("other vendors, corrected", after);
    println!("\nall estimated | {}\nall corrected | {}", all_before.row(), all_after.row());
    assert!(all_after.at(50) * 1.5 < all_before.at(50));
    assert!(all_after.at(75) < all_before.at(75));
}
