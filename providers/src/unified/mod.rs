//! The hub's vocabulary: what every dialect is translated to and from.

mod chat;
mod embeddings;
mod error;
mod event;
mod media;
mod provider;
mod reply;
mod task;
mod text;
mod usage;

pub use chat::{
    Block, ChatRequest, Media, Message, Named, ReasoningEffort, ResponseFormat, Role, Sampling,
    Source, Span, Spans, Tool, ToolChoice,
};
pub use embeddings::{EmbeddingInput, EmbeddingsReply, EmbeddingsRequest, VectorFormat};
pub use error::{BadRequest, ErrorKind, Failure, Next, ProviderError, WireError};
pub use event::{Event, Events, FinishReason, Frame, FrameKind, Part};
pub use media::{
    Answer, MediaReply, MediaRequest, Medium, Pictures, Quality, Recording, Sent, Speech,
    Transcript,
};
pub use provider::{Auth, Capability, Encoded, HeaderLookup, Provider, StreamDecoder, Target};
pub use reply::{Choice, Reply};
pub use task::{Task, TaskRequest};
pub use text::{Number, Text};
pub use usage::{MAX_COUNT, Odd, UsageReport};
