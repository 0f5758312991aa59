//! Sans-I/O adapters between the wire dialects of model providers and one unified vocabulary.
//!
//! Nothing here opens a socket, reads a clock or knows a tenant. Bytes of a client go in and become a
//! [`ChatRequest`]; a [`Provider`] makes of it the bytes for an upstream; the upstream's bytes become a
//! [`Reply`] or, streamed, [`Frame`]s of [`Event`]s; a [`Dialect`] writes them for the client again.
//!
//! Reading order:
//! - [`unified`]: the hub. Every dialect is translated to and from it, never to another dialect.
//! - [`mod@guard`]: what is refused before anything is parsed.
//! - [`dialect`]: the client's side, one module a wire format.
//! - [`sse`]: server-sent events, bytes in any split to frames.
//! - [`openai`], [`mod@openai_responses`], [`compatible`], [`anthropic`], [`gemini`], [`cohere`], [`bedrock`],
//!   [`demo`]: the providers, one folder each, listed by [`provider`].
//! - [`catalogue`]: models, limits and price history as data.

pub mod anthropic;
pub mod batches;
pub mod bedrock;
pub mod catalogue;
pub mod cohere;
pub mod compatible;
mod counts;
pub mod decimal;
pub mod demo;
pub mod dialect;
mod form;
pub mod gemini;
pub mod guard;
mod http_date;
pub mod joined;
mod media;
pub mod openai;
pub mod openai_responses;
mod rate_limits;
mod redact;
mod registry;
mod splice;
pub mod sse;
mod stream;
mod task;
mod template;
mod turns;
pub mod unified;
mod vectors;

pub use dialect::gemini_embed::body as gemini_embed_body;
pub use dialect::gemini_generate::body as gemini_body;
pub use dialect::openai_responses as responses;
pub use dialect::{Dialect, EncodeOptions, StreamEncoder};
pub use form::canonical as canonical_form;
pub use guard::{Bounds, guard};
pub use media::{by_character, by_second};
pub use openai::retry_after;
pub use rate_limits::{RateLimit, RateLimits};
pub use registry::{kinds, provider};
pub use unified::{
    BadRequest, Block, Capability, ChatRequest, Choice, EmbeddingsReply, EmbeddingsRequest,
    Encoded, ErrorKind, Event, Failure, FinishReason, Frame, FrameKind, MediaRequest, Medium,
    Message, Next, Odd, Part, Provider, ProviderError, Reply, Role, StreamDecoder, Target, Task,
    TaskRequest, Text, UsageReport, WireError,
};
