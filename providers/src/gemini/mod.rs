//! Google's `generateContent`: Gemini's own API, and the same bodies on Vertex.

mod embeddings;
mod encode;
mod parts;
mod predict;
mod reply;
mod stream;
mod usage;

use tollgate_accounting::Timestamp;

use crate::dialect::Dialect;
use crate::openai::classify;
use crate::stream::Decoder;
use crate::unified::{
    Auth, BadRequest, Capability, ChatRequest, EmbeddingsReply, EmbeddingsRequest, Encoded,
    Failure, HeaderLookup, Provider, ProviderError, Reply, StreamDecoder, Target,
};

/// Gemini's own API.
pub static GEMINI: Google = Google {
    name: "gemini",
    base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    auth: Auth::Header("x-goog-api-key"),
    models: "/models/",
    embeddings: Dialect::GeminiBatchEmbedContents,
};

/// Vertex. Its address is the operator's: `https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}`.
pub static VERTEX: Google = Google {
    name: "vertex",
    base_url: None,
    auth: Auth::Bearer,
    models: "/publishers/google/models/",
    embeddings: Dialect::VertexPredict,
};

/// A place where Google's models are served.
#[derive(Debug)]
pub struct Google {
    name: &'static str,
    base_url: Option<&'static str>,
    auth: Auth,
    /// The path in front of a model's name.
    models: &'static str,
    /// The wire of its embeddings.
    embeddings: Dialect,
}

impl Provider for Google {
    fn name(&self) -> &'static str {
        self.name
    }

    fn dialect(&self) -> Dialect {
        Dialect::GeminiGenerateContent
    }

    fn base_url(&self) -> Option<&'static str> {
        self.base_url
    }

    fn auth(&self) -> Auth {
        self.auth
    }

    fn can(&self, what: Capability) -> bool {
        match what {
            Capability::Chat | Capability::Embeddings => true,
            Capability::Moderations
            | Capability::Rerank
            | Capability::Images
            | Capability::Speech
            | Capability::Transcriptions
            | Capability::ServiceTiers => false,
        }
    }

    fn encode_chat(&self, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        encode::chat(self.models, req, to)
    }

    fn encode_embeddings(
        &self,
        req: &EmbeddingsRequest<'_>,
        to: &Target<'_>,
    ) -> Result<Encoded, BadRequest> {
        match self.embeddings {
            Dialect::VertexPredict => predict::encode(self.models, req, to),
            _ => embeddings::encode(self.models, req, to),
        }
    }

    fn embeddings_dialect(&self) -> Dialect {
        self.embeddings
    }

    fn decode_reply<'b>(&self, body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
        reply::decode(body)
    }

    fn decode_embeddings<'b>(&self, body: &'b [u8]) -> Result<EmbeddingsReply<'b>, ProviderError> {
        match self.embeddings {
            Dialect::VertexPredict => predict::decode(body),
            _ => embeddings::decode(body),
        }
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
