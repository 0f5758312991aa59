//! OpenAI's Responses as a provider's wire: chats go to `/responses`, in the client's own bytes where it
//! speaks the same; all else is asked as at [`OPENAI`]. Nothing is kept at the provider: `store` is false
//! and what a request continues has been put before its items by then.

mod encode;
mod items;
mod reply;
mod stream;
mod usage;

use tollgate_accounting::Timestamp;

use crate::dialect::Dialect;
use crate::openai::{OPENAI, classify};
use crate::stream::Decoder;
use crate::unified::{
    Auth, BadRequest, Capability, ChatRequest, EmbeddingsReply, EmbeddingsRequest, Encoded,
    Failure, HeaderLookup, MediaRequest, Provider, ProviderError, Reply, StreamDecoder, Target,
};

/// OpenAI by its Responses, and whoever else speaks them.
pub static RESPONSES: Responses = Responses;

/// The provider.
#[derive(Debug)]
pub struct Responses;

impl Provider for Responses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAiResponses
    }

    fn base_url(&self) -> Option<&'static str> {
        OPENAI.base_url()
    }

    fn auth(&self) -> Auth {
        OPENAI.auth()
    }

    fn can(&self, what: Capability) -> bool {
        OPENAI.can(what)
    }

    fn encode_chat(&self, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        encode::chat(self.name(), req, to)
    }

    fn encode_embeddings(
        &self,
        req: &EmbeddingsRequest<'_>,
        to: &Target<'_>,
    ) -> Result<Encoded, BadRequest> {
        OPENAI.encode_embeddings(req, to)
    }

    fn encode_media(&self, req: &MediaRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        OPENAI.encode_media(req, to)
    }

    fn decode_reply<'b>(&self, body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
        reply::decode(body)
    }

    fn decode_embeddings<'b>(&self, body: &'b [u8]) -> Result<EmbeddingsReply<'b>, ProviderError> {
        OPENAI.decode_embeddings(body)
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
