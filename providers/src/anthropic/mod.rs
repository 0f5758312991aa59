//! Anthropic's messages: its own API, and the same bodies on Vertex.

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

/// The only version on Vertex.
pub(crate) const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// Anthropic itself.
pub static ANTHROPIC: Anthropic = Anthropic {
    name: "anthropic",
    base_url: Some("https://api.anthropic.com/v1"),
    auth: Auth::Header("x-api-key"),
    place: Place::Messages,
};

/// Claude on Vertex. Its address is the operator's, as for Google's own models there.
pub static VERTEX: Anthropic = Anthropic {
    name: "vertex_anthropic",
    base_url: None,
    auth: Auth::Bearer,
    place: Place::Vertex,
};

/// A place where Claude is served.
#[derive(Debug)]
pub struct Anthropic {
    name: &'static str,
    base_url: Option<&'static str>,
    auth: Auth,
    place: Place,
}

/// Where the model and the version of the wire stand in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The model in the body, the version in a header.
    Messages,
    /// The model in the path, the version in the body.
    Vertex,
}

impl Provider for Anthropic {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dialect(&self) -> Dialect {
        Dialect::AnthropicMessages
    }

    fn base_url(&self) -> Option<&'static str> {
        self.base_url
    }

    fn auth(&self) -> Auth {
        self.auth
    }

    fn can(&self, what: Capability) -> bool {
        matches!(what, Capability::Chat)
    }

    fn encode_chat(&self, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        let encoded = encode::chat(self.name, req, to)?;
        match self.place {
            Place::Messages => Ok(encoded),
            Place::Vertex => encode::at_vertex(encoded, to),
        }
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
