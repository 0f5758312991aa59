//! OpenAI's chat completions and embeddings, and every provider that speaks the same wire.

mod classify;
mod encode;
mod reply;
mod stream;
mod usage;
mod write;

use tollgate_accounting::Timestamp;

use crate::dialect::Dialect;
use crate::stream::Decoder;
use crate::unified::{
    Auth, BadRequest, Capability, ChatRequest, EmbeddingsReply, EmbeddingsRequest, Encoded,
    Failure, HeaderLookup, MediaRequest, Provider, ProviderError, Reply, StreamDecoder, Target,
};

pub(crate) use classify::classify;
pub use classify::retry_after;
pub(crate) use classify::told;
pub(crate) use encode::{escaped, write_texts};
use stream::Reader;
pub(crate) use write::{
    address as media_address, effort_level, has_cache_marks, messages as write_messages,
    tools as write_tools,
};

/// OpenAI itself.
pub static OPENAI: OpenAi = OpenAi::new(&Profile {
    name: "openai",
    base_url: Some("https://api.openai.com/v1"),
    moderations: true,
    images: true,
    audio: Audio::Events,
    ..STANDARD
});

/// What a provider of this wire does as OpenAI does.
pub(crate) const STANDARD: Profile = Profile {
    name: "openai",
    base_url: None,
    auth: Auth::Bearer,
    cap_field: "max_completion_tokens",
    stream_options: true,
    fields: None,
    renames: &[],
    embeddings: true,
    moderations: false,
    rerank: false,
    images: false,
    audio: Audio::None,
    completions: Completions::Older,
    reasoning_outside: false,
    paths: Paths::Plain,
};

/// Which models take a text to complete, as OpenAI's older wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completions {
    /// All of them.
    All,
    /// Those that OpenAI made before chats, by their names.
    Older,
}

impl Completions {
    /// Whether that model does.
    fn has(self, model: &str) -> bool {
        let older = ["-instruct", "babbage-002", "davinci-002"];
        self == Completions::All || older.iter().any(|name| model.contains(name))
    }
}

/// How a provider has sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audio {
    /// Not at all.
    None,
    /// Speech comes as it sounds, and says nothing of what was used.
    Plain,
    /// Speech comes in events, the last with its usage, where that is asked for.
    Events,
}

/// Where the model stands in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// In the body.
    Plain,
    /// In the path, as a deployment's name, with this version of the API as a query.
    Deployments(&'static str),
}

/// What differs between the providers of this wire, as data.
#[derive(Debug)]
pub struct Profile {
    /// The kind a configuration names.
    pub name: &'static str,
    /// The address, where it is always the same.
    pub base_url: Option<&'static str>,
    /// How it takes its credential.
    pub auth: Auth,
    /// The field that caps the output, where we have to add one.
    pub cap_field: &'static str,
    /// Whether usage in a stream has to be asked for by `stream_options`; where not, it always comes
    /// and the field is refused.
    pub stream_options: bool,
    /// The request fields it accepts, where it refuses any other. Others are dropped, and said so.
    pub fields: Option<&'static [&'static str]>,
    /// The request fields it calls otherwise: OpenAI's name, its own.
    pub renames: &'static [(&'static str, &'static str)],
    /// Whether it embeds.
    pub embeddings: bool,
    /// Whether it judges texts at `/moderations`.
    pub moderations: bool,
    /// Whether it puts documents in order at `/rerank`.
    pub rerank: bool,
    /// Whether it draws at `/images/generations`.
    pub images: bool,
    /// Whether it reads aloud and writes down at `/audio`.
    pub audio: Audio,
    /// Which models it completes texts with; others are asked the text in a chat.
    pub completions: Completions,
    /// Whether it reports reasoning tokens beside `completion_tokens` instead of within.
    pub reasoning_outside: bool,
    /// Where the model stands.
    pub paths: Paths,
}

/// A provider of OpenAI's wire.
#[derive(Debug)]
pub struct OpenAi {
    profile: &'static Profile,
}

impl OpenAi {
    /// The provider that differs by this profile.
    pub const fn new(profile: &'static Profile) -> Self {
        OpenAi { profile }
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        self.profile.name
    }

    fn dialect(&self) -> Dialect {
        Dialect::OpenAiChat
    }

    fn base_url(&self) -> Option<&'static str> {
        self.profile.base_url
    }

    fn auth(&self) -> Auth {
        self.profile.auth
    }

    fn can(&self, what: Capability) -> bool {
        match what {
            Capability::Chat | Capability::ServiceTiers => true,
            Capability::Embeddings => self.profile.embeddings,
            Capability::Moderations => self.profile.moderations,
            Capability::Rerank => self.profile.rerank,
            Capability::Images => self.profile.images,
            Capability::Speech | Capability::Transcriptions => self.profile.audio != Audio::None,
        }
    }

    fn has_batches(&self) -> bool {
        // A deployment's requests are told apart by their paths, which no line has.
        self.profile.paths == Paths::Plain
    }

    fn encode_chat(&self, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        encode::chat(self.profile, req, to)
    }

    fn encode_embeddings(
        &self,
        req: &EmbeddingsRequest<'_>,
        to: &Target<'_>,
    ) -> Result<Encoded, BadRequest> {
        encode::embeddings(self.profile, req, to)
    }

    fn encode_media(&self, req: &MediaRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        let encoded = crate::media::encode(req, to, self.profile.audio == Audio::Events)?;
        Ok(Encoded { path: encode::path(self.profile, &encoded.path, to.model), ..encoded })
    }

    fn decode_reply<'b>(&self, body: &'b [u8]) -> Result<Reply<'b>, ProviderError> {
        reply::decode(self.profile, body)
    }

    fn decode_embeddings<'b>(&self, body: &'b [u8]) -> Result<EmbeddingsReply<'b>, ProviderError> {
        reply::decode_embeddings(body)
    }

    fn decoder(&self, frame_cap: usize) -> Box<dyn StreamDecoder> {
        Box::new(Decoder::new(Reader::new(self.profile), frame_cap))
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
