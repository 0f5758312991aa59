//! Anthropic's messages.

mod blocks;
mod content;
mod encode;
mod reply;
mod stream;
mod usage;

use tollgate_accounting::Timestamp;

use crate::dialect::Dialect;
use crate::openai::classify;
use crate::stream::Decoder;
use crate::unified::{
    Auth, BadRequest, Capability, ChatRequest, EmbeddingsReply, EmbeddingsRequest, Encoded,
    ErrorKind, Failure, HeaderLookup, Provider, ProviderError, Reply, StreamDecoder, Target,
};

pub(crate) use blocks::{block, texts_or};

/// The version of the wire that refuses sampling parameters.
pub(crate) const VERSION: &str = "2026-10-21";
/// The version of the wire that takes them, for models that do.
pub(crate) const OLD_VERSION: &str = "2023-06-01";

/// Anthropic itself.
pub static ANTHROPIC: Anthropic = Anthropic;

/// The provider.
#[derive(Debug)]
pub struct Anthropic;

impl Provider for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn dialect(&self) -> Dialect {
        Dialect::AnthropicMessages
    }

    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.anthropic.com/v1")
    }

    fn auth(&self) -> Auth {
        Auth::Header("x-api-key")
    }

    fn can(&self, what: Capability) -> bool {
        matches!(what, Capability::Chat)
    }

    fn encode_chat(&self, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        encode::chat(req, to)
    }

    fn encode_embeddings(
        &self,
        _: &EmbeddingsRequest<'_>,
        _: &Target<'_>,
    ) -> Result<Encoded, BadRequest> {
        Err(BadRequest::field("model", "this provider has no embeddings"))
    }

    fn decode_reply<'b>(&self, body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
        reply::decode(body)
    }

    fn decode_embeddings<'b>(&self, _: &'b [u8]) -> Result<EmbeddingsReply<'b>, ProviderError> {
        Err(ProviderError::new(ErrorKind::Malformed, "this provider has no embeddings"))
    }

    fn decoder(&self, frame_cap: usize) -> Box<dyn StreamDecoder> {
        Box::new(Decoder::new(stream::Reader::default(), frame_cap))
    }

    fn classify(
        &self,
        status: u16,
        headers: &HeaderLookup<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Failure {
        classify(status, headers, body, now)
    }
}
