//! A chat request in the hub's words, borrowing from the body it was decoded from.

use std::ops::Range;

use serde_json::value::RawValue;

use super::text::{Number, Text};
use crate::dialect::Dialect;

/// One request for a chat completion, whichever dialect it was written in.
#[derive(Debug)]
pub struct ChatRequest<'a> {
    /// The model as the client named it.
    pub model: Text<'a>,
    /// The conversation in order. System prompts that a dialect keeps apart come first.
    pub messages: Vec<Message<'a>>,
    /// The tools offered.
    pub tools: Vec<Tool<'a>>,
    /// How tools may be chosen, where the client said so.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether several tools may be called in one turn.
    pub parallel_tool_calls: Option<bool>,
    /// The shape the answer must have.
    pub response_format: ResponseFormat<'a>,
    /// The client's cap on the tokens of each choice.
    pub max_output_tokens: Option<u64>,
    /// How many choices are asked for; 1 where unsaid.
    pub n: u32,
    /// Strings that end the answer.
    pub stop: Vec<Text<'a>>,
    /// Whether the client reads a stream.
    pub stream: bool,
    /// Whether the client asked for the usage chunk of a stream.
    pub include_usage: bool,
    /// Sampling parameters as the numbers that were written.
    pub sampling: Sampling<'a>,
    /// Whether log probabilities are asked for, and how many alternatives.
    pub logprobs: bool,
    /// Alternatives per position where log probabilities are asked for.
    pub top_logprobs: Option<u32>,
    /// How hard to think.
    pub reasoning_effort: Option<ReasoningEffort<'a>>,
    /// The caller's end user.
    pub user: Option<Text<'a>>,
    /// The processing tier asked for.
    pub service_tier: Option<Text<'a>>,
    /// Key-value pairs to keep with the request, as JSON.
    pub metadata: Option<&'a RawValue>,
    /// Every top-level field without a place above, as it was written: carried byte for byte to a
    /// provider of the same dialect, reported as dropped by one of another.
    pub rest: Vec<(Text<'a>, &'a RawValue)>,
    /// Where all this came from.
    pub source: Source<'a>,
}

/// One message: who speaks, and what in order.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// The participant's name, where given.
    pub name: Option<Text<'a>>,
    /// The content in order. Tool calls and tool results are blocks like the others.
    pub blocks: Vec<Block<'a>>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions by the operator of the model.
    System,
    /// Instructions by the developer of the application.
    Developer,
    /// The person, and the results of tools in dialects that have no role of their own for them.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

/// A piece of a message.
#[derive(Debug, Clone)]
pub enum Block<'a> {
    /// Text.
    Text {
        /// The text.
        text: Text<'a>,
        /// The cache mark on it, as JSON, in dialects that mark what to cache.
        cache: Option<&'a RawValue>,
    },
    /// A picture.
    Image {
        /// Where it is.
        media: Media<'a>,
        /// How closely to look: `auto`, `low`, `high`.
        detail: Option<Text<'a>>,
    },
    /// Sound, base64.
    Audio {
        /// The bytes in base64.
        data: Text<'a>,
        /// The format's name, such as `wav`.
        format: Text<'a>,
    },
    /// A document.
    File {
        /// Where it is.
        media: Media<'a>,
        /// Its name.
        name: Option<Text<'a>>,
    },
    /// The model calls a tool.
    ToolCall {
        /// The call's id, which its result names again.
        id: Text<'a>,
        /// The tool.
        name: Text<'a>,
        /// The arguments: JSON text, or what the model took for JSON.
        arguments: Text<'a>,
    },
    /// What a tool answered.
    ToolResult {
        /// The call it answers.
        id: Text<'a>,
        /// The answer.
        content: Vec<Block<'a>>,
        /// Whether the tool failed.
        is_error: bool,
    },
    /// The model's visible thinking.
    Thinking {
        /// The text of it.
        text: Text<'a>,
        /// The provider's signature over it, needed to send it back.
        signature: Option<Text<'a>>,
    },
    /// Thinking that only its provider can read.
    RedactedThinking {
        /// The opaque data.
        data: Text<'a>,
    },
    /// The model declines.
    Refusal {
        /// What it said.
        text: Text<'a>,
    },
    /// A part of a kind that the hub has no word for.
    Other {
        /// Its kind as the dialect names it.
        kind: Text<'a>,
        /// The whole part.
        raw: &'a RawValue,
    },
}

/// Where the bytes of a picture or document are.
#[derive(Debug, Clone)]
pub enum Media<'a> {
    /// At an address.
    Url(Text<'a>),
    /// In the request, as base64.
    Base64 {
        /// The media type, such as `image/png`.
        media_type: Text<'a>,
        /// The data.
        data: Text<'a>,
    },
    /// At the provider, under an id.
    Id(Text<'a>),
}

/// A tool that the model may call.
#[derive(Debug, Clone)]
pub enum Tool<'a> {
    /// A function of the client.
    Function {
        /// Its name.
        name: Text<'a>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// JSON Schema of its arguments.
        parameters: Option<&'a RawValue>,
        /// Whether the arguments must keep to the schema.
        strict: Option<bool>,
        /// The cache mark, as JSON.
        cache: Option<&'a RawValue>,
    },
    /// A tool the provider runs itself, or of a kind the hub has no word for.
    Other {
        /// Its kind as the dialect names it.
        kind: Text<'a>,
        /// The whole definition.
        raw: &'a RawValue,
    },
}

/// How tools may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// As the model likes.
    Auto,
    /// Not at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(Text<'a>),
    /// A rule the hub has no word for, as JSON.
    Other(Text<'a>),
}

/// The shape an answer must have.
#[derive(Debug, Clone, Default)]
pub enum ResponseFormat<'a> {
    /// Prose.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that keeps to a schema.
    JsonSchema {
        /// The schema's name.
        name: Text<'a>,
        /// What it is for.
        description: Option<Text<'a>>,
        /// The schema.
        schema: Option<&'a RawValue>,
        /// Whether it must be kept to exactly.
        strict: Option<bool>,
    },
    /// A format the hub has no word for, as JSON.
    Other(&'a RawValue),
}

/// Sampling parameters, each as it was written.
#[derive(Debug, Clone, Default)]
pub struct Sampling<'a> {
    /// Temperature.
    pub temperature: Option<Number<'a>>,
    /// Nucleus mass.
    pub top_p: Option<Number<'a>>,
    /// Candidates considered.
    pub top_k: Option<Number<'a>>,
    /// Penalty on frequent tokens.
    pub frequency_penalty: Option<Number<'a>>,
    /// Penalty on present tokens.
    pub presence_penalty: Option<Number<'a>>,
    /// Seed of the sampler.
    pub seed: Option<Number<'a>>,
}

impl<'a> Sampling<'a> {
    /// The parameters that are set, by their OpenAI names.
    pub fn set(&self) -> impl Iterator<Item = (&'static str, Number<'a>)> + use<'a> {
        let Sampling { temperature, top_p, top_k, frequency_penalty, presence_penalty, seed } =
            self.clone();
        [
            ("temperature", temperature),
            ("top_p", top_p),
            ("top_k", top_k),
            ("frequency_penalty", frequency_penalty),
            ("presence_penalty", presence_penalty),
            ("seed", seed),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|v| (name, v)))
    }
}

/// How hard to think, in the two ways dialects say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReasoningEffort<'a> {
    /// A level: `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`.
    Level(Text<'a>),
    /// At most so many tokens.
    Budget(u64),
    /// As much as the model likes.
    Adaptive,
    /// Not at all.
    Off,
}

/// A field name and its value, for what is carried without a word of its own.
pub type Named<'a> = (Text<'a>, &'a RawValue);

/// The body a request was decoded from, and where in it the few fields lie that a gateway replaces.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// The dialect of the body.
    pub dialect: Dialect,
    /// The body, whole.
    pub body: &'a [u8],
    /// Where the replaceable fields lie.
    pub spans: Spans,
}

/// A stretch of the body.
pub type Span = Range<usize>;

/// Where in the body the values lie that may be replaced. Absent fields are added at `insert_at`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans {
    /// Just behind the body's opening brace.
    pub insert_at: usize,
    /// Whether the object has no field at all, so that an inserted one takes no comma.
    pub empty: bool,
    /// The value of `model`.
    pub model: Option<Span>,
    /// The value of `stream`.
    pub stream: Option<Span>,
    /// The value of `stream_options`.
    pub stream_options: Option<Span>,
    /// The value of the field that caps the output, with the field's name.
    pub output_cap: Option<(&'static str, Span)>,
}
