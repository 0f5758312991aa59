//! What `count_chat` says of recorded requests, against the tokens their providers billed.
//!
//! The tables are `docs/counting.md`.

#![expect(clippy::unwrap_used, reason = "a recording that can't be read fails the test")]

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
        if self.0.is_empty() {
            return "| | |".to_owned();
        }
        let (n, exact) = (self.0.len(), self.exact());
        format!("{n} | {exact} | {:.1} | {:.1}", self.at(50), self.at(95))
    }
}

/// Errors of the two halves, by model or the like.
type Rows = BTreeMap<String, [Errors; 2]>;

fn table(title: &str, rows: &Rows) -> String {
    let mut out = format!(
        "\n## {title}\n\n| | first half: n | exact | median % | p95 % | second half: n | exact | \
         median % | p95 % |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for (key, [first, second]) in rows {
        out.push_str(&format!("| {key} | {} | {} |\n", first.row(), second.row()));
    }
    out
}

#[test]
fn the_tables_in_the_docs_are_those_of_this_build() {
    let OpenAi { kinds, models, .. } = OpenAi::counted();
    let Others { before, after, .. } = Others::counted();
    let tables = [
        ("OpenAI and Azure, by kind of request", kinds),
        ("OpenAI and Azure, by model", models),
        ("Other vendors, as estimated", before),
        ("Other vendors, corrected by what was billed before", after),
    ];
    let mut out = String::from(HEAD);
    for (title, rows) in &tables {
        out.push_str(&table(title, rows));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/counting.md");
    if std::env::var_os("TOLLGATE_WRITE_DOCS").is_some() {
        fs::write(&file, &out).unwrap();
    }
    let help = "run the test with TOLLGATE_WRITE_DOCS=1 and look at the difference";
    assert!(
        fs::read_to_string(&file).unwrap_or_default() == out,
        "{} is not of this build: {help}",
        file.display()
    );
}

const HEAD: &str = "# Counts beside bills

What `tollgate-tokenizer` counts for recorded requests before they are sent, beside the input tokens that
their providers billed. The recordings are split into halves by the file they come from; rules are
fitted on the first. `hidden` requests have hosted tools, files or an earlier response, which only the
provider can count, or go to models that search or reword by themselves; the pictures are links, whose
size the request doesn't tell.

This page is written by `TOLLGATE_WRITE_DOCS=1 cargo test -p tollgate-tokenizer --test recordings`; the
test holds it to what is counted.
";

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
    assert!(direct.0.len() >= 25);
    assert!(direct.exact() * 100 >= direct.0.len() * 97);
}

/// Billed at 278 for some 70 that the request shows, where a request of the same shape to the same model
/// (one small tool, its call and its result) is billed as it is counted: its provider put something
/// before it that the request doesn't tell.
const UNSHOWN: &str = "pydantic/pydantic-ai:tests/models/cassettes/test_openai_responses/\
                       test_openai_responses_stream.yaml#1";

/// Counts beside bills of OpenAI's own models.
struct OpenAi {
    kinds: Rows,
    models: Rows,
    /// Requests with tools that show all that was billed.
    shown: [Errors; 2],
}

impl OpenAi {
    fn counted() -> Self {
        let (mut kinds, mut models) = (Rows::new(), Rows::new());
        let mut shown = [Errors::default(), Errors::default()];
        for recording in Recording::all().iter().filter(|recording| recording.is_openai()) {
            let (counted, billed) = (recording.count().tokens, recording.billed());
            let half = recording.half();
            let kind = if recording.is_odd() { "hidden" } else { recording.kind() };
            if kind == "tools" && recording.text("source") != UNSHOWN {
                shown[half].add(counted, billed);
            }
            kinds.entry(kind.to_owned()).or_default()[half].add(counted, billed);
            let model = format!("{}, {kind}", recording.text("model"));
            models.entry(model).or_default()[half].add(counted, billed);
        }
        Self { kinds, models, shown }
    }
}

#[test]
fn openai_models_count_as_billed_in_both_halves_of_the_recordings() {
    let OpenAi { kinds, shown, .. } = OpenAi::counted();
    for half in &kinds["plain"] {
        assert!(half.exact() * 100 >= half.0.len() * 97);
    }
    for half in &kinds["tools"] {
        assert!(half.at(50) <= 2.0, "{}", half.at(50));
    }
    for half in shown {
        assert!(half.at(95) <= 10.0, "{}", half.at(95));
    }
}

/// Estimates beside bills of other vendors' models.
struct Others {
    before: Rows,
    after: Rows,
    all_before: Errors,
    all_after: Errors,
}

impl Others {
    fn counted() -> Self {
        let (mut before, mut after) = (Rows::new(), Rows::new());
        let (mut all_before, mut all_after) = (Errors::default(), Errors::default());
        let mut corrections: BTreeMap<String, Correction> = BTreeMap::new();
        for recording in Recording::all().iter().filter(|recording| !recording.is_openai()) {
            let (counted, billed) = (recording.count().tokens, recording.billed());
            let name = format!("{} {}", recording.text("provider"), recording.text("model"));
            let correction = corrections.entry(name).or_default();
            // Only what came earlier is known.
            let corrected = correction.apply(counted, recording.tools.is_some());
            correction.observe(counted, recording.tools.is_some(), billed);
            let (key, half) = (recording.text("provider").to_owned(), recording.half());
            before.entry(key.clone()).or_default()[half].add(counted, billed);
            after.entry(key).or_default()[half].add(corrected, billed);
            all_before.add(counted, billed);
            all_after.add(corrected, billed);
        }
        Self { before, after, all_before, all_after }
    }
}

#[test]
fn the_correction_brings_the_estimates_of_other_vendors_closer() {
    let Others { all_before, all_after, .. } = Others::counted();
    assert!(all_after.at(50) * 1.5 < all_before.at(50));
    assert!(all_after.at(75) < all_before.at(75));
}
