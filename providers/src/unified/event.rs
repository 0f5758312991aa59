//! A streamed reply in the hub's words: frames, and the events found in each.

use bytes::Bytes;
use smallvec::SmallVec;

use super::error::ProviderError;
use super::text::Text;
use super::usage::UsageReport;

/// One server-sent event as it came, with what was found in it.
#[derive(Debug)]
pub struct Frame<'f> {
    /// The very bytes, from behind the previous frame to the blank line that ends this one. All frames
    /// of a stream laid end to end are the stream.
    pub raw: Bytes,
    /// What kind of frame it is.
    pub kind: FrameKind,
    /// What was found in it, in order. Borrows from the decoder until the next call.
    pub events: Events<'f>,
}

/// The events of one frame: nearly always one or two, kept without an allocation.
pub type Events<'f> = SmallVec<[Event<'f>; 2]>;

/// What kind of frame it is, as far as a relay must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Carries something for the client.
    Content,
    /// Comments only: a keep-alive.
    Comment,
    /// Carries usage and nothing else: to be withheld from a client that did not ask for it.
    UsageOnly,
    /// The mark that ends the stream.
    End,
    /// Reports an error.
    Error,
}

/// Something that happened in a stream.
#[derive(Debug, Clone)]
pub enum Event<'f> {
    /// The reply has begun.
    Start {
        /// The provider's id of the reply.
        id: Option<Text<'f>>,
        /// The model as the provider names it.
        model: Option<Text<'f>>,
        /// Seconds since the Unix epoch.
        created: Option<u64>,
        /// The tier it is processed in.
        service_tier: Option<Text<'f>>,
    },
    /// A choice grew.
    Delta {
        /// Which choice.
        choice: u32,
        /// By what.
        part: Part<'f>,
    },
    /// A choice ended.
    Finish {
        /// Which choice.
        choice: u32,
        /// Why.
        reason: FinishReason<'f>,
    },
    /// The provider said what was used so far.
    Usage(UsageReport),
    /// The stream is whole.
    End,
    /// The provider reports an error inside the stream.
    Error(ProviderError),
}

/// What a choice grew by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'f> {
    /// Text.
    Text(Text<'f>),
    /// Visible thinking.
    Reasoning(Text<'f>),
    /// The signature over the thinking that ends here.
    Signature(Text<'f>),
    /// Thinking that only its provider can read.
    RedactedReasoning(Text<'f>),
    /// A refusal.
    Refusal(Text<'f>),
    /// A tool call begins.
    ToolCallStart {
        /// Its place among the calls of the choice.
        index: u32,
        /// Its id.
        id: Text<'f>,
        /// The tool.
        name: Text<'f>,
    },
    /// A tool call's arguments grew.
    ToolCallArguments {
        /// Its place among the calls of the choice.
        index: u32,
        /// The next piece of the JSON text.
        json: Text<'f>,
    },
    /// Log probabilities of what came, as JSON.
    Logprobs(Text<'f>),
    /// Something the hub has no word for, as JSON: a sign of life, not carried to other dialects.
    Other(Text<'f>),
}

/// Why a choice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason<'f> {
    /// The model was done.
    Stop,
    /// A stop string was met; which, where the provider says.
    StopSequence(Option<Text<'f>>),
    /// The cap on the output, or the context, was reached.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The model calls a function, in the legacy form.
    FunctionCall,
    /// Withheld by a filter.
    ContentFilter,
    /// The model refused.
    Refusal,
    /// The provider paused a long turn, to be taken up again.
    Pause,
    /// A reason the hub has no word for.
    Other(Text<'f>),
}

impl FinishReason<'_> {
    /// The reason without its borrow.
    pub fn into_owned(self) -> FinishReason<'static> {
        let own = |t: Text<'_>| Text::from(t.into_string());
        match self {
            FinishReason::Stop => FinishReason::Stop,
            FinishReason::StopSequence(s) => FinishReason::StopSequence(s.map(own)),
            FinishReason::Length => FinishReason::Length,
            FinishReason::ToolCalls => FinishReason::ToolCalls,
            FinishReason::FunctionCall => FinishReason::FunctionCall,
            FinishReason::ContentFilter => FinishReason::ContentFilter,
            FinishReason::Refusal => FinishReason::Refusal,
            FinishReason::Pause => FinishReason::Pause,
            FinishReason::Other(s) => FinishReason::Other(own(s)),
        }
    }
}
