//! The client's side: what a client writes to us and reads from us, one module a wire format.

pub(crate) mod anthropic_messages;
mod audio;
mod error;
pub(crate) mod fields;
pub(crate) mod gemini_embed;
pub(crate) mod gemini_generate;
pub(crate) mod json;
mod media;
pub(crate) mod openai_chat;
pub(crate) mod openai_completions;
mod openai_embeddings;
pub mod openai_responses;
mod tasks;

use crate::Bounds;
use crate::unified::{
    BadRequest, ChatRequest, EmbeddingsReply, EmbeddingsRequest, Event, MediaRequest, Reply, Task,
    TaskRequest, UsageReport, VectorFormat, WireError,
};

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI's chat completions.
    OpenAiChat,
    /// OpenAI's responses.
    OpenAiResponses,
    /// OpenAI's older text completions.
    OpenAiCompletions,
    /// OpenAI's embeddings.
    OpenAiEmbeddings,
    /// OpenAI's moderations.
    OpenAiModerations,
    /// OpenAI's pictures.
    OpenAiImages,
    /// OpenAI's pictures made from others: a form.
    OpenAiEdits,
    /// OpenAI's speech.
    OpenAiSpeech,
    /// OpenAI's transcriptions: a form.
    OpenAiTranscriptions,
    /// OpenAI's translations: a form.
    OpenAiTranslations,
    /// Rerankings, as Cohere, Jina and vLLM write them.
    Rerank,
    /// Anthropic's messages.
    AnthropicMessages,
    /// Google's `generateContent`.
    GeminiGenerateContent,
    /// Google's `embedContent`: one text.
    GeminiEmbedContent,
    /// Google's `batchEmbedContents`: several texts.
    GeminiBatchEmbedContents,
    /// Cohere's embeddings, version 2.
    CohereEmbed,
    /// Cohere's chat, version 2.
    CohereChat,
    /// Amazon Bedrock's Converse.
    BedrockConverse,
    /// Embeddings on Bedrock, in the words of a model's maker.
    BedrockInvoke,
    /// Embeddings on Vertex.
    VertexPredict,
}

/// What a reply is given where the provider did not say it.
#[derive(Debug, Clone, Copy)]
pub struct EncodeOptions<'o> {
    /// The reply's id.
    pub id: &'o str,
    /// The model's name.
    pub model: &'o str,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// Whether the client asked for the usage chunk of a stream.
    pub include_usage: bool,
    /// What of the request the reply repeats: members of a JSON object, as [`Dialect::echo`] gives them.
    pub echo: &'o str,
}

/// Writes a stream for a client, whole frames at a time.
pub trait StreamEncoder: Send {
    /// Learns from an event that reached the client as its provider's own bytes, so that a later
    /// frame of ours fits in.
    fn observe(&mut self, event: &Event<'_>);

    /// Appends the frames of an event; none where the dialect has no place for it.
    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>);

    /// Appends the usage frame with more members in its usage object, to a client that asked for it.
    fn usage(
        &mut self,
        report: &UsageReport,
        extra: &[(&'static str, serde_json::Value)],
        out: &mut Vec<u8>,
    );

    /// Appends the frame that reports an error. Nothing follows it.
    fn error(&mut self, error: &WireError, out: &mut Vec<u8>);
}

impl Dialect {
    /// The name in logs and ledger rows.
    pub const fn name(self) -> &'static str {
        match self {
            Dialect::OpenAiChat => "openai_chat",
            Dialect::OpenAiResponses => "openai_responses",
            Dialect::OpenAiCompletions => "openai_completions",
            Dialect::OpenAiEmbeddings => "openai_embeddings",
            Dialect::OpenAiModerations => "openai_moderations",
            Dialect::OpenAiImages => "openai_images",
            Dialect::OpenAiEdits => "openai_edits",
            Dialect::OpenAiSpeech => "openai_speech",
            Dialect::OpenAiTranscriptions => "openai_transcriptions",
            Dialect::OpenAiTranslations => "openai_translations",
            Dialect::Rerank => "rerank",
            Dialect::AnthropicMessages => "anthropic_messages",
            Dialect::GeminiGenerateContent => "gemini_generate_content",
            Dialect::GeminiEmbedContent => "gemini_embed_content",
            Dialect::GeminiBatchEmbedContents => "gemini_batch_embed_contents",
            Dialect::CohereEmbed => "cohere_embed",
            Dialect::CohereChat => "cohere_chat",
            Dialect::BedrockConverse => "bedrock_converse",
            Dialect::BedrockInvoke => "bedrock_invoke",
            Dialect::VertexPredict => "vertex_predict",
        }
    }

    /// Reads a chat request.
    pub fn decode_chat<'a>(
        self,
        body: &'a [u8],
        bounds: &Bounds,
    ) -> Result<ChatRequest<'a>, BadRequest> {
        match self {
            Dialect::OpenAiChat => openai_chat::decode(body, bounds),
            Dialect::OpenAiResponses => openai_responses::decode(body, bounds),
            Dialect::OpenAiCompletions => openai_completions::decode(body, bounds),
            Dialect::GeminiGenerateContent => gemini_generate::decode(body, bounds),
            Dialect::AnthropicMessages => anthropic_messages::decode(body, bounds),
            _ => Err(self.no_chat()),
        }
    }

    /// Reads a request for embeddings.
    pub fn decode_embeddings<'a>(
        self,
        body: &'a [u8],
        bounds: &Bounds,
    ) -> Result<EmbeddingsRequest<'a>, BadRequest> {
        match self {
            Dialect::GeminiEmbedContent | Dialect::GeminiBatchEmbedContents => {
                gemini_embed::decode(body, bounds, self)
            }
            _ => openai_embeddings::decode(body, bounds),
        }
    }

    /// Writes a reply to a request for embeddings.
    pub fn encode_embeddings(
        self,
        reply: &EmbeddingsReply<'_>,
        format: VectorFormat,
        options: &EncodeOptions<'_>,
    ) -> Vec<u8> {
        match self {
            Dialect::GeminiEmbedContent | Dialect::GeminiBatchEmbedContents => {
                gemini_embed::encode_reply(reply, self)
            }
            _ => openai_embeddings::encode_reply(reply, format, options),
        }
    }

    /// Reads a request that is answered without writing.
    pub fn decode_task<'a>(
        body: &'a [u8],
        bounds: &Bounds,
        task: Task,
    ) -> Result<TaskRequest<'a>, BadRequest> {
        tasks::decode(body, bounds, task)
    }

    /// Whether its requests are forms, with a file in them.
    pub fn is_form(self) -> bool {
        matches!(
            self,
            Dialect::OpenAiEdits | Dialect::OpenAiTranscriptions | Dialect::OpenAiTranslations
        )
    }

    /// Reads a request for pictures or sound.
    pub fn decode_media<'a>(
        self,
        body: &'a [u8],
        bounds: &Bounds,
    ) -> Result<MediaRequest<'a>, BadRequest> {
        match self {
            Dialect::OpenAiImages => media::images(body, bounds),
            Dialect::OpenAiEdits => media::edits(body),
            Dialect::OpenAiSpeech => audio::speech(body, bounds),
            Dialect::OpenAiTranscriptions | Dialect::OpenAiTranslations => {
                audio::recording(body, self)
            }
            _ => Err(BadRequest::whole(format!("the dialect {} asks for text", self.name()))),
        }
    }

    /// What of a request its reply repeats, in dialects whose replies do.
    pub fn echo(self, body: &[u8]) -> String {
        match self {
            Dialect::OpenAiResponses => openai_responses::echo(body),
            _ => String::new(),
        }
    }

    /// Writes a whole chat reply.
    pub fn encode_reply(self, reply: &Reply<'_>, options: &EncodeOptions<'_>) -> Vec<u8> {
        match self {
            Dialect::OpenAiResponses => openai_responses::encode_reply(reply, options),
            Dialect::OpenAiCompletions => openai_completions::encode_reply(reply, options),
            Dialect::GeminiGenerateContent => gemini_generate::encode_reply(reply, options),
            Dialect::AnthropicMessages => anthropic_messages::encode_reply(reply, options),
            _ => openai_chat::encode_reply(reply, options),
        }
    }

    /// Writes a streamed chat reply.
    pub fn encoder(self, options: &EncodeOptions<'_>) -> Box<dyn StreamEncoder> {
        match self {
            Dialect::OpenAiResponses => Box::new(openai_responses::Encoder::new(options)),
            Dialect::OpenAiCompletions => Box::new(openai_completions::Encoder::new(options)),
            Dialect::GeminiGenerateContent => Box::new(gemini_generate::Encoder::new(options)),
            Dialect::AnthropicMessages => Box::new(anthropic_messages::Encoder::new(options)),
            _ => Box::new(openai_chat::Encoder::new(options)),
        }
    }

    /// Writes an error as the body of a response.
    pub fn encode_error(self, error: &WireError) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match self {
            Dialect::AnthropicMessages => error::anthropic(error, &mut out),
            Dialect::GeminiGenerateContent
            | Dialect::GeminiEmbedContent
            | Dialect::GeminiBatchEmbedContents => error::google(error, &mut out),
            _ => error::openai(error, &mut out),
        }
        out
    }

    fn no_chat(self) -> BadRequest {
        BadRequest::whole(format!("the dialect {} has no chat requests", self.name()))
    }
}
