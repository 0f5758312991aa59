//! Amazon Bedrock's Converse and ConverseStream. The credential is a Bedrock API key, or whoever sends
//! signs with an AWS access key. The address is the operator's: `https://bedrock-runtime.{region}.amazonaws.com`.

mod embeddings;
mod encode;
mod eventstream;
mod reply;
mod stream;

use tollgate_accounting::Timestamp;

use crate::dialect::Dialect;
use crate::openai::classify;
use crate::unified::{
    Auth, BadRequest, Capability, ChatRequest, EmbeddingsReply, EmbeddingsRequest, Encoded,
    Failure, HeaderLookup, Provider, ProviderError, Reply, StreamDecoder, Target,
};

/// Bedrock itself.
pub static BEDROCK: Bedrock = Bedrock;

/// The provider.
#[derive(Debug)]
pub struct Bedrock;

impl Provider for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn dialect(&self) -> Dialect {
        Dialect::BedrockConverse
    }

    fn base_url(&self) -> Option<&'static str> {
        None
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn aws_service(&self) -> Option<&'static str> {
        Some("bedrock")
    }

    fn can(&self, what: Capability) -> bool {
        matches!(what, Capability::Chat | Capability::Embeddings)
    }

    fn encode_chat(&self, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        encode::chat(req, to)
    }

    fn encode_embeddings(
        &self,
        req: &EmbeddingsRequest<'_>,
        to: &Target<'_>,
    ) -> Result<Encoded, BadRequest> {
        embeddings::encode(req, to)
    }

    fn decode_reply<'b>(&self, body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
        reply::decode(body)
    }

    fn decode_embeddings<'b>(&self, body: &'b [u8]) -> Result<EmbeddingsReply<'b>, ProviderError> {
        embeddings::decode(body)
    }

    fn embeddings_dialect(&self) -> Dialect {
        Dialect::BedrockInvoke
    }

    fn decoder(&self, frame_cap: usize) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::new(frame_cap))
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
