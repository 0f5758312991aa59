//! Chat replies of the demo, whole and streamed, with usage by the caller's own count.

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;
use tollgate_accounting::{Class, Usage};

use super::answer::{Answer, answer, texts};
use super::seed::Seed;
use super::{Body, Call, Manner, Paced, Response, error};
use crate::dialect::{Dialect, EncodeOptions};
use crate::unified::{
    Block, ChatRequest, Choice, Event, FinishReason, Message, Part, Reply, Role, Text, Tool,
    UsageReport, WireError,
};

/// One choice as it will be said.
struct Said {
    answer: Answer,
    length: bool,
    tokens: u64,
}

/// Answers a chat request.
pub(super) fn respond(call: &Call<'_>, req: &ChatRequest<'_>, manner: Manner) -> Response {
    if manner == Manner::Embeds {
        return error(WireError {
            status: 400,
            kind: "invalid_request_error".into(),
            param: Some("model".into()),
            message: "This model embeds; it does not chat.".into(),
            ..WireError::default()
        });
    }
    let choices: Vec<Said> = (0..req.n).map(|i| say(call, req, i)).collect();
    let usage = usage(call, req, &choices);
    let id = format!("chatcmpl-demo{:016x}", seed_of(req, 0).next());
    let options = EncodeOptions {
        id: &id,
        model: &req.model,
        created: call.created,
        include_usage: req.include_usage,
        echo: "",
    };
    if req.stream {
        let mut pace = Pace { manner, seed: seed_of(req, u32::MAX) };
        let frames = frames(req, &choices, usage, &options, &mut pace);
        let headers = vec![("content-type", "text/event-stream".into())];
        return Response { status: 200, headers, after: 0, body: Body::Stream(frames) };
    }
    let logprobs: Vec<Option<Box<RawValue>>> = choices
        .iter()
        .map(|said| req.logprobs.then(|| all_logprobs(req, said)).flatten())
        .collect();
    let reply = Reply {
        choices: choices
            .iter()
            .zip(&logprobs)
            .enumerate()
            .map(|(i, (said, l))| whole(&id, i, said, l))
            .collect(),
        usage,
        ..Reply::default()
    };
    let words: u64 = choices.iter().map(|said| said.tokens).max().unwrap_or(0);
    let after = match manner {
        Manner::Fast => 0,
        Manner::Slow => 2_000_000,
        _ => 150_000 + i64::try_from(words.min(1_000)).unwrap_or(0) * 2_000,
    };
    let body = Body::Whole(Dialect::OpenAiChat.encode_reply(&reply, &options));
    Response {
        status: 200,
        headers: vec![("content-type", "application/json".into())],
        after,
        body,
    }
}

fn seed_of(req: &ChatRequest<'_>, choice: u32) -> Seed {
    let said: Vec<String> = req.messages.iter().map(|m| texts(&m.blocks)).collect();
    let seed = req.sampling.seed.map(|s| s.as_str()).unwrap_or_default();
    let choice = choice.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![seed.as_bytes(), &choice];
    parts.extend(said.iter().map(|text| text.as_bytes()));
    Seed::of(&parts)
}

/// What a choice says, cut to the cap that is in force.
fn say(call: &Call<'_>, req: &ChatRequest<'_>, choice: u32) -> Said {
    let mut answer = answer(req, &mut seed_of(req, choice));
    let mut length = false;
    match &mut answer {
        Answer::Words(words) => {
            let counted = |n: usize| (call.count)(&words[..n].concat());
            let mut tokens = counted(words.len());
            if let Some(cap) = req.max_output_tokens.filter(|cap| tokens > *cap) {
                // The longest beginning within the cap; counts do not fall as a text grows.
                let (mut fits, mut over) = (0, words.len());
                while over - fits > 1 {
                    let middle = fits.midpoint(over);
                    if counted(middle) <= cap { fits = middle } else { over = middle }
                }
                length = true;
                tokens = counted(fits);
                words.truncate(fits);
            }
            Said { answer, length, tokens }
        }
        Answer::Calls(calls) => {
            let tokens = calls.iter().map(|(n, a)| (call.count)(n) + (call.count)(a) + 7).sum();
            Said { answer, length, tokens }
        }
    }
}

/// The prompt by the well-known rule: three tokens a message and three to begin the answer.
fn usage(call: &Call<'_>, req: &ChatRequest<'_>, choices: &[Said]) -> UsageReport {
    let message = |m: &Message<'_>| {
        let name = m.name.as_deref().map_or(0, |name| (call.count)(name) + 1);
        3 + (call.count)(role(m.role)) + (call.count)(&texts(&m.blocks)) + name
    };
    let tool = |tool: &Tool<'_>| match tool {
        Tool::Function { name, description, parameters, .. } => {
            let described = description.as_deref().map_or(0, |d| (call.count)(d));
            (call.count)(name) + described + parameters.map_or(0, |p| (call.count)(p.get())) + 8
        }
        Tool::Other { raw, .. } => (call.count)(raw.get()),
    };
    let prompt: u64 = req.messages.iter().map(message).sum::<u64>() + 3;
    let tools: u64 = req.tools.iter().map(tool).sum();
    let output = choices.iter().map(|said| said.tokens).sum();
    let usage = Usage::new().with(Class::Input, prompt + tools).with(Class::Output, output);
    UsageReport { usage, ..UsageReport::default() }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn finish(said: &Said) -> FinishReason<'static> {
    match &said.answer {
        Answer::Calls(_) => FinishReason::ToolCalls,
        Answer::Words(_) if said.length => FinishReason::Length,
        Answer::Words(_) => FinishReason::Stop,
    }
}

fn call_id(id: &str, choice: usize, index: usize) -> String {
    format!("call_{}{choice}{index}", id.trim_start_matches("chatcmpl-"))
}

fn whole<'s>(
    id: &str,
    choice: usize,
    said: &'s Said,
    logprobs: &'s Option<Box<RawValue>>,
) -> Choice<'s> {
    let blocks = match &said.answer {
        Answer::Words(words) => vec![Block::Text { text: words.concat().into(), cache: None }],
        Answer::Calls(calls) => calls
            .iter()
            .enumerate()
            .map(|(i, (name, arguments))| Block::ToolCall {
                id: call_id(id, choice, i).into(),
                name: Text::from(name.as_str()),
                arguments: Text::from(arguments.as_str()),
            })
            .collect(),
    };
    let index = u32::try_from(choice).unwrap_or(u32::MAX);
    Choice { index, blocks, finish: Some(finish(said)), logprobs: logprobs.as_deref() }
}

/// Log probabilities of pieces: invented, but of the right shape and the same every time.
fn logprobs(req: &ChatRequest<'_>, pieces: &[String]) -> String {
    let token = |text: &str, rank: u64| {
        let mut seed = Seed::of(&[text.as_bytes(), &rank.to_le_bytes()]);
        let thousandths = rank * 700 + 1 + seed.below(600);
        json!({"token": text, "logprob": -(thousandths as f64) / 1000.0, "bytes": text.as_bytes()})
    };
    let content = pieces.iter().map(|piece| {
        let mut entry = token(piece, 0);
        let top = (0..u64::from(req.top_logprobs.unwrap_or(0))).map(|rank| {
            if rank == 0 { token(piece, 0) } else { token(&format!("{piece}{rank}"), rank) }
        });
        entry["top_logprobs"] = top.collect();
        entry
    });
    json!({"content": content.collect::<Vec<_>>(), "refusal": null}).to_string()
}

fn all_logprobs(req: &ChatRequest<'_>, said: &Said) -> Option<Box<RawValue>> {
    match &said.answer {
        Answer::Words(words) => RawValue::from_string(logprobs(req, words)).ok(),
        Answer::Calls(_) => None,
    }
}

/// How long frames wait for each other.
struct Pace {
    manner: Manner,
    seed: Seed,
}

impl Pace {
    fn next(&mut self, first: bool) -> i64 {
        let jitter = i64::try_from(self.seed.below(10_000)).unwrap_or(0);
        match (self.manner, first) {
            (Manner::Fast, _) => 0,
            (Manner::Slow, true) => 2_000_000,
            (Manner::Slow, false) => 150_000,
            (_, true) => 120_000 + jitter * 8,
            (_, false) => 12_000 + jitter,
        }
    }
}

fn frames(
    req: &ChatRequest<'_>,
    choices: &[Said],
    usage: UsageReport,
    options: &EncodeOptions<'_>,
    pace: &mut Pace,
) -> Vec<Paced> {
    let mut encoder = Dialect::OpenAiChat.encoder(options);
    let mut frames = Vec::new();
    let mut emit = |event: &Event<'_>, pace: &mut Pace| {
        let mut out = Vec::new();
        encoder.encode(event, &mut out);
        if !out.is_empty() {
            frames.push(Paced { after: pace.next(frames.is_empty()), frame: Bytes::from(out) });
        }
    };
    emit(&Event::Start { id: None, model: None, created: None, service_tier: None }, pace);
    let most = choices.iter().map(pieces).max().unwrap_or(0);
    // The middle, where models that fail on purpose do.
    let middle = match pace.manner {
        Manner::Cut | Manner::Failing => most / 2,
        _ => most,
    };
    for step in 0..middle {
        for (choice, said) in choices.iter().enumerate() {
            let number = u32::try_from(choice).unwrap_or(u32::MAX);
            for part in parts(req, options.id, choice, said, step) {
                emit(&Event::Delta { choice: number, part }, pace);
            }
            if step + 1 == pieces(said) {
                emit(&Event::Finish { choice: number, reason: finish(said) }, pace);
            }
        }
    }
    match pace.manner {
        Manner::Cut => return frames,
        Manner::Failing => {
            let error = WireError {
                status: 500,
                kind: "server_error".into(),
                message: "The demo fails on purpose in the middle of its streams.".into(),
                ..WireError::default()
            };
            let mut out = Vec::new();
            encoder.error(&error, &mut out);
            frames.push(Paced { after: 0, frame: Bytes::from(out) });
            return frames;
        }
        _ => {}
    }
    emit(&Event::Usage(usage), pace);
    emit(&Event::End, pace);
    frames
}

/// How many steps a choice takes; at least one, to end in.
fn pieces(said: &Said) -> usize {
    match &said.answer {
        Answer::Words(words) => words.len().max(1),
        Answer::Calls(calls) => calls.len(),
    }
}

fn parts<'s>(
    req: &ChatRequest<'_>,
    id: &str,
    choice: usize,
    said: &'s Said,
    step: usize,
) -> Vec<Part<'s>> {
    match &said.answer {
        Answer::Words(words) => {
            let Some(word) = words.get(step) else { return Vec::new() };
            let mut parts = vec![Part::Text(word.as_str().into())];
            if req.logprobs {
                parts.push(Part::Logprobs(logprobs(req, std::slice::from_ref(word)).into()));
            }
            parts
        }
        Answer::Calls(calls) => {
            let Some((name, arguments)) = calls.get(step) else { return Vec::new() };
            let index = u32::try_from(step).unwrap_or(u32::MAX);
            let id = call_id(id, choice, step).into();
            let mut parts = vec![Part::ToolCallStart { index, id, name: name.as_str().into() }];
            // Arguments come in pieces, as they do from models.
            let mut rest = arguments.as_str();
            while !rest.is_empty() {
                let cut = rest.char_indices().nth(12).map_or(rest.len(), |(at, _)| at);
                let (json, after) = rest.split_at(cut);
                parts.push(Part::ToolCallArguments { index, json: json.into() });
                rest = after;
            }
            parts
        }
    }
}
