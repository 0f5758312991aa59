//! A kept reply in the form that is asked for: a whole one as a stream, a stream as a whole. What the hub
//! has no word for stays with the form it came in; a reply with more of that than a sign of life is not
//! turned, nor one that lacks what the other form tells.

use bytes::Bytes;
use tollgate_providers::unified::{Block, Choice, Part, Text};
use tollgate_providers::{
    Dialect, EncodeOptions, Event, FinishReason, FrameKind, Provider, Reply, StreamDecoder,
    provider,
};

use super::Content;

/// The largest frame of a stream that is turned.
const FRAME: usize = 1 << 20;

/// How a reply is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// At once.
    Whole,
    /// In frames.
    Stream {
        /// With what was used at its end.
        usage: bool,
    },
}

/// The reply of that dialect in another form, if it can be had.
pub(super) fn turned(content: &Content, dialect: Dialect, is: Form, want: Form) -> Option<Content> {
    let adapter = match dialect {
        Dialect::OpenAiChat => provider("compatible")?,
        Dialect::AnthropicMessages => provider("anthropic")?,
        // Kept in the form they came in, or not at all.
        Dialect::OpenAiResponses
        | Dialect::OpenAiCompletions
        | Dialect::OpenAiEmbeddings
        | Dialect::OpenAiModerations
        | Dialect::OpenAiImages
        | Dialect::OpenAiEdits
        | Dialect::OpenAiSpeech
        | Dialect::OpenAiTranscriptions
        | Dialect::OpenAiTranslations
        | Dialect::Rerank
        | Dialect::GeminiGenerateContent
        | Dialect::GeminiEmbedContent
        | Dialect::GeminiBatchEmbedContents
        | Dialect::CohereEmbed
        | Dialect::CohereChat
        | Dialect::BedrockConverse
        | Dialect::BedrockInvoke
        | Dialect::VertexPredict => return None,
    };
    match (content, is, want) {
        (Content::Whole(body), _, Form::Stream { usage }) => {
            stream(body, dialect, adapter, usage).map(Content::Stream)
        }
        (Content::Stream(pieces), Form::Stream { usage: true }, Form::Whole) => {
            whole(pieces, dialect, adapter).map(Content::Whole)
        }
        (Content::Stream(pieces), Form::Stream { usage: true }, Form::Stream { usage: false }) => {
            without_usage(pieces, adapter).map(Content::Stream)
        }
        _ => None,
    }
}

fn stream(body: &Bytes, dialect: Dialect, by: &dyn Provider, usage: bool) -> Option<Vec<Bytes>> {
    let reply = by.decode_reply(body).ok()?;
    let Reply { id, model, created, service_tier: _, choices, usage: report } = reply;
    let options = EncodeOptions {
        id: id.as_deref().unwrap_or_default(),
        model: model.as_deref().unwrap_or_default(),
        created: created.unwrap_or_default(),
        include_usage: usage,
        echo: "",
    };
    let mut encoder = dialect.encoder(&options);
    let mut frames = Vec::new();
    let mut put = |event: &Event<'_>| {
        let mut out = Vec::new();
        encoder.encode(event, &mut out);
        if !out.is_empty() {
            frames.push(Bytes::from(out));
        }
    };
    put(&Event::Start { id: None, model: None, created: None, service_tier: None });
    for Choice { index: choice, blocks, finish, logprobs } in choices {
        if logprobs.is_some() {
            return None;
        }
        let mut calls = 0;
        for block in blocks {
            for part in parts(block, &mut calls)? {
                put(&Event::Delta { choice, part });
            }
        }
        put(&Event::Finish { choice, reason: finish? });
    }
    let mut last = Vec::new();
    encoder.usage(&report, &[], &mut last);
    encoder.encode(&Event::End, &mut last);
    frames.push(Bytes::from(last));
    Some(frames)
}

/// What a block comes as. `None` for what no stream has.
fn parts<'b>(block: Block<'b>, calls: &mut u32) -> Option<Vec<Part<'b>>> {
    Some(match block {
        Block::Text { text, cache: None } => vec![Part::Text(text)],
        Block::Thinking { text, signature } => {
            let signature = signature.map(Part::Signature);
            [Part::Reasoning(text)].into_iter().chain(signature).collect()
        }
        Block::RedactedThinking { data } => vec![Part::RedactedReasoning(data)],
        Block::Refusal { text } => vec![Part::Refusal(text)],
        Block::ToolCall { id, name, arguments } => {
            let index = *calls;
            *calls += 1;
            vec![
                Part::ToolCallStart { index, id, name },
                Part::ToolCallArguments { index, json: arguments },
            ]
        }
        Block::Text { cache: Some(_), .. }
        | Block::Image { .. }
        | Block::Audio { .. }
        | Block::File { .. }
        | Block::ToolResult { .. }
        | Block::Other { .. } => return None,
    })
}

fn without_usage(pieces: &[Bytes], by: &dyn Provider) -> Option<Vec<Bytes>> {
    let mut decoder = read(pieces, by);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next().ok()? {
        if frame.kind != FrameKind::UsageOnly {
            frames.push(frame.raw.clone());
        }
    }
    decoder.ended().then_some(frames)
}

fn read(pieces: &[Bytes], by: &dyn Provider) -> Box<dyn StreamDecoder> {
    let mut decoder = by.decoder(FRAME);
    decoder.push(Bytes::from(pieces.concat()));
    decoder.finish();
    decoder
}

fn whole(pieces: &[Bytes], dialect: Dialect, by: &dyn Provider) -> Option<Bytes> {
    let mut decoder = read(pieces, by);
    let mut gathered = Gathered::default();
    while let Some(frame) = decoder.next().ok()? {
        frame.events.iter().try_for_each(|event| gathered.event(event))?;
    }
    let report = *decoder.usage();
    if !decoder.ended() || report.usage.is_empty() {
        return None;
    }
    let Gathered { id, model, created, choices } = gathered;
    let blocks = |said: Said| said.blocks.into_iter().map(Piece::block).collect();
    let choice = |said: Said| {
        let (index, finish) = (said.choice, said.finish.clone());
        Choice { index, blocks: blocks(said), finish, logprobs: None }
    };
    let reply = Reply {
        id: id.clone().map(Text::from),
        model: model.clone().map(Text::from),
        created,
        service_tier: None,
        choices: choices.into_iter().map(choice).collect(),
        usage: report,
    };
    let options = EncodeOptions {
        id: id.as_deref().unwrap_or_default(),
        model: model.as_deref().unwrap_or_default(),
        created: created.unwrap_or_default(),
        include_usage: true,
        echo: "",
    };
    Some(Bytes::from(dialect.encode_reply(&reply, &options)))
}

/// A stream, put together.
#[derive(Default)]
struct Gathered {
    id: Option<String>,
    model: Option<String>,
    created: Option<u64>,
    choices: Vec<Said>,
}

struct Said {
    choice: u32,
    blocks: Vec<Piece>,
    finish: Option<FinishReason<'static>>,
}

enum Piece {
    Text(String),
    Thinking(String, Option<String>),
    Redacted(String),
    Refusal(String),
    Call { index: u32, id: String, name: String, arguments: String },
}

impl Gathered {
    /// `None` for what no whole reply has.
    fn event(&mut self, event: &Event<'_>) -> Option<()> {
        match event {
            Event::Start { id, model, created, .. } => {
                let own = |text: &Option<Text<'_>>| text.as_ref().map(|t| t.as_str().to_owned());
                self.id = self.id.take().or_else(|| own(id));
                self.model = self.model.take().or_else(|| own(model));
                self.created = self.created.or(*created);
            }
            Event::Delta { choice, part } => self.choice(*choice)?.grow(part)?,
            Event::Finish { choice, reason } => {
                self.choice(*choice)?.finish = Some(reason.clone().into_owned());
            }
            Event::Usage(_) | Event::End => {}
            Event::Error(_) => return None,
        }
        Some(())
    }

    fn choice(&mut self, choice: u32) -> Option<&mut Said> {
        let at = self.choices.iter().position(|said| said.choice == choice).unwrap_or_else(|| {
            self.choices.push(Said { choice, blocks: Vec::new(), finish: None });
            self.choices.len() - 1
        });
        self.choices.get_mut(at)
    }
}

impl Said {
    fn grow(&mut self, part: &Part<'_>) -> Option<()> {
        match (part, self.blocks.last_mut()) {
            (Part::Text(more), Some(Piece::Text(text))) => text.push_str(more),
            (Part::Text(text), _) => self.blocks.push(Piece::Text(text.as_str().to_owned())),
            (Part::Reasoning(more), Some(Piece::Thinking(text, None))) => text.push_str(more),
            (Part::Reasoning(text), _) => {
                self.blocks.push(Piece::Thinking(text.as_str().to_owned(), None));
            }
            (Part::Signature(sign), Some(Piece::Thinking(_, signature))) => {
                signature.get_or_insert_default().push_str(sign);
            }
            (Part::RedactedReasoning(data), _) => {
                self.blocks.push(Piece::Redacted(data.as_str().to_owned()));
            }
            (Part::Refusal(more), Some(Piece::Refusal(text))) => text.push_str(more),
            (Part::Refusal(text), _) => self.blocks.push(Piece::Refusal(text.as_str().to_owned())),
            (Part::ToolCallStart { index, id, name }, _) => self.blocks.push(Piece::Call {
                index: *index,
                id: id.as_str().to_owned(),
                name: name.as_str().to_owned(),
                arguments: String::new(),
            }),
            (Part::ToolCallArguments { index: of, json }, _) => {
                let arguments = self.blocks.iter_mut().find_map(|piece| match piece {
                    Piece::Call { index, arguments, .. } if index == of => Some(arguments),
                    _ => None,
                });
                arguments?.push_str(json);
            }
            (Part::Signature(_) | Part::Logprobs(_) | Part::Other(_), _) => return None,
        }
        Some(())
    }
}

impl Piece {
    fn block(self) -> Block<'static> {
        match self {
            Piece::Text(text) => Block::Text { text: text.into(), cache: None },
            Piece::Thinking(text, signature) => {
                Block::Thinking { text: text.into(), signature: signature.map(Text::from) }
            }
            Piece::Redacted(data) => Block::RedactedThinking { data: data.into() },
            Piece::Refusal(text) => Block::Refusal { text: text.into() },
            Piece::Call { id, name, arguments, .. } => {
                Block::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const WITH: Form = Form::Stream { usage: true };
    const WITHOUT: Form = Form::Stream { usage: false };

    fn openai() -> Value {
        json!({"id": "c-1", "object": "chat.completion", "created": 7, "model": "m-1", "choices": [
            {"index": 0, "finish_reason": "stop",
             "message": {"role": "assistant", "content": "Hé \"said\".\n"}},
            {"index": 1, "finish_reason": "tool_calls",
             "message": {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}})
    }

    fn anthropic() -> Value {
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "yes"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": [1, 2]}}],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 9, "output_tokens": 5}})
    }

    fn said(body: &Value) -> Value {
        let mut body = body.clone();
        let usage = body["usage"].take();
        let figures = ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"];
        body["usage"] = figures.iter().map(|name| usage[*name].clone()).collect();
        body
    }

    #[test]
    fn a_whole_reply_as_a_stream_and_whole_again_says_the_same() {
        for (dialect, body) in
            [(Dialect::OpenAiChat, openai()), (Dialect::AnthropicMessages, anthropic())]
        {
            let first = Content::Whole(body.to_string().into());
            let stream = turned(&first, dialect, Form::Whole, WITH).unwrap();
            let again = turned(&stream, dialect, WITH, Form::Whole).unwrap();
            let Content::Whole(again) = again else { panic!("{again:?}") };
            let again: Value = serde_json::from_slice(&again).unwrap();
            // A provider's own null members need not come again.
            for (name, value) in said(&body).as_object().unwrap() {
                let (value, other) = (strip(value), strip(&said(&again)[name]));
                assert_eq!(value, other, "{name} of {}", dialect.name());
            }
        }
    }

    fn strip(value: &Value) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), strip(value)))
                .collect(),
            Value::Array(items) => items.iter().map(strip).collect(),
            other => other.clone(),
        }
    }

    #[test]
    fn usage_is_left_out_for_who_did_not_ask_and_never_made_up() {
        let first = Content::Whole(openai().to_string().into());
        let with = turned(&first, Dialect::OpenAiChat, Form::Whole, WITH).unwrap();
        let without = turned(&with, Dialect::OpenAiChat, WITH, WITHOUT).unwrap();
        let text = |content: &Content| String::from_utf8(content.joined().1.to_vec()).unwrap();
        assert!(text(&with).contains("prompt_tokens") && !text(&without).contains("prompt_tokens"));
        assert!(text(&without).ends_with("data: [DONE]\n\n"), "{}", text(&without));
        assert!(turned(&without, Dialect::OpenAiChat, WITHOUT, WITH).is_none());
        assert!(turned(&without, Dialect::OpenAiChat, WITHOUT, Form::Whole).is_none());
    }

    #[test]
    fn what_the_other_form_cannot_say_is_not_turned() {
        let mut logprobs = openai();
        logprobs["choices"][0]["logprobs"] = json!({"content": []});
        for body in [logprobs.to_string(), "not json".to_owned()] {
            let content = Content::Whole(body.into());
            assert!(turned(&content, Dialect::OpenAiChat, Form::Whole, WITH).is_none());
        }
        let broken = Content::Stream(vec![Bytes::from_static(b"data: {\"choices\":[]}\n\n")]);
        assert!(turned(&broken, Dialect::OpenAiChat, WITH, Form::Whole).is_none());
    }
}
