//! Cohere's chat, embeddings and reranking, version 2.

mod embeddings;
mod encode;
mod reply;
mod stream;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::{Class, Timestamp};

use crate::counts::Counts;
use crate::dialect::Dialect;
use crate::openai::classify;
use crate::stream::Decoder;
use crate::unified::{
    Auth, BadRequest, Capability, ChatRequest, EmbeddingsReply, EmbeddingsRequest, Encoded,
    Failure, FinishReason, HeaderLookup, Provider, ProviderError, Reply, StreamDecoder, Target,
    Text, UsageReport,
};

/// Cohere itself.
pub static COHERE: Cohere = Cohere;

/// The provider.
#[derive(Debug)]
pub struct Cohere;

impl Provider for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn dialect(&self) -> Dialect {
        Dialect::CohereChat
    }

    fn base_url(&self) -> Option<&'static str> {
        Some("https://api.cohere.com/v2")
    }

    fn auth(&self) -> Auth {
        Auth::Bearer
    }

    fn can(&self, what: Capability) -> bool {
        matches!(what, Capability::Chat | Capability::Embeddings | Capability::Rerank)
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

    fn embeddings_dialect(&self) -> Dialect {
        Dialect::CohereEmbed
    }

    fn decode_reply<'b>(&self, body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
        reply::decode(body)
    }

    fn decode_embeddings<'b>(&self, body: &'b [u8]) -> Result<EmbeddingsReply<'b>, ProviderError> {
        embeddings::decode(body)
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

#[derive(Deserialize)]
struct WireUsage<'a> {
    #[serde(borrow, default)]
    billed_units: Option<Units<'a>>,
    #[serde(borrow, default)]
    tokens: Option<Units<'a>>,
}

#[derive(Deserialize, Clone, Copy)]
struct Units<'a> {
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_tokens: Option<&'a RawValue>,
}

/// Reads a usage object. What is billed is less than what was processed here, for the provider adds a
/// preamble of its own; where it says what it bills, that is what counts.
fn usage(json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    if let Some(units) = wire.billed_units.or(wire.tokens) {
        let (input, output) = (counts.read(units.input_tokens), counts.read(units.output_tokens));
        counts.set(Class::Input, input);
        counts.set(Class::Output, output);
    }
    counts.finish()
}

/// Reads what an embeddings reply says of itself, which is all input.
fn input_usage(json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    let units = wire.billed_units.or(wire.tokens);
    let input = counts.read(units.and_then(|units| units.input_tokens));
    counts.set(Class::Input, input);
    counts.finish()
}

fn finish(word: Text<'_>) -> FinishReason<'_> {
    match word.as_str() {
        "COMPLETE" => FinishReason::Stop,
        "STOP_SEQUENCE" => FinishReason::StopSequence(None),
        "MAX_TOKENS" => FinishReason::Length,
        "TOOL_CALL" => FinishReason::ToolCalls,
        "ERROR_TOXIC" => FinishReason::ContentFilter,
        _ => FinishReason::Other(word),
    }
}
