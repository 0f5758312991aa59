//! What a call asks for, in the hub's words, and what can be known of its size before it is sent.

use tollgate_accounting::ServiceTier;
use tollgate_accounting::{Class, Provenance};
use tollgate_providers::unified::{
    Block, Capability, EmbeddingInput, Media, ResponseFormat, Role, Source, Tool,
};
use tollgate_providers::{
    BadRequest, ChatRequest, Dialect, EmbeddingsRequest, Encoded, MediaRequest, Medium, Provider,
    Target as Wire, Task, TaskRequest,
};
use tollgate_tokenizer::{Chat, CountMemo, Detail, Family, Image, Message, Part, ToolCall};

use crate::ledger::Counted;

/// So much of a picture's base64 is looked at for its size.
const PICTURE_HEAD: usize = 349_528;

/// Tokens of a document with its query that Cohere ranks in one piece, and documents of one search.
const CHUNK: u64 = 500;
const DOCUMENTS_A_SEARCH: u64 = 100;
/// Tokens that stand around a query and its document.
const MARKS: u64 = 4;

/// One request, whichever endpoint it came to.
pub enum Operation<'a> {
    /// A chat completion.
    Chat(Box<ChatRequest<'a>>),
    /// Embeddings.
    Embeddings(Box<EmbeddingsRequest<'a>>),
    /// What is answered without writing.
    Task(Box<TaskRequest<'a>>),
    /// What is answered with something else than text.
    Media(Box<MediaRequest<'a>>),
}

/// What a request asks of a model besides reading and writing text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asks {
    pub(super) tools: bool,
    pub(super) images: bool,
    pub(super) audio: bool,
}

impl<'a> Operation<'a> {
    /// The operation's name in limits, rows and reports.
    pub fn endpoint(&self) -> &'static str {
        match self {
            Operation::Chat(_) => "chat.completions",
            Operation::Embeddings(_) => "embeddings",
            Operation::Task(request) => match request.task {
                Task::Moderate => "moderations",
                Task::Rank => "rerank",
            },
            Operation::Media(request) => request.endpoint(),
        }
    }

    /// The model as asked for.
    pub fn model(&self) -> &str {
        match self {
            Operation::Chat(request) => &request.model,
            Operation::Embeddings(request) => &request.model,
            Operation::Task(request) => &request.model,
            Operation::Media(request) => &request.model,
        }
    }

    /// Whether the client reads a stream.
    pub fn stream(&self) -> bool {
        match self {
            Operation::Chat(request) => request.stream,
            Operation::Embeddings(_) | Operation::Task(_) | Operation::Media(_) => false,
        }
    }

    /// How many replies are generated side by side.
    pub fn choices(&self) -> u64 {
        match self {
            Operation::Chat(request) => u64::from(request.n.max(1)),
            Operation::Media(request) => request.pieces(),
            Operation::Embeddings(_) | Operation::Task(_) => 1,
        }
    }

    /// The client's own cap on the output of each choice; only chats have one to set.
    pub fn asked_output(&self) -> Option<u64> {
        match self {
            Operation::Chat(request) => request.max_output_tokens,
            Operation::Embeddings(_) | Operation::Task(_) | Operation::Media(_) => Some(0),
        }
    }

    /// The service tier the request asks for: `auto`, which leaves it open, is none.
    pub fn asked_tier(&self) -> Option<ServiceTier> {
        match self {
            Operation::Chat(request) => match request.service_tier.as_deref() {
                // A tier of which nothing is known could be any.
                Some(name) => ServiceTier::reported(name),
                None => Some(ServiceTier::Standard),
            },
            Operation::Embeddings(_) | Operation::Task(_) | Operation::Media(_) => {
                Some(ServiceTier::Standard)
            }
        }
    }

    /// Whether the request says nothing of a service tier and could.
    pub(super) fn leaves_tier(&self) -> bool {
        matches!(self, Operation::Chat(request) if request.service_tier.is_none())
    }

    /// The client's dialect.
    pub fn dialect(&self) -> Dialect {
        self.source().dialect
    }

    /// What a provider must be able to do.
    pub fn needs(&self) -> Capability {
        match self {
            Operation::Chat(_) => Capability::Chat,
            Operation::Embeddings(_) => Capability::Embeddings,
            Operation::Task(request) => match request.task {
                Task::Moderate => Capability::Moderations,
                Task::Rank => Capability::Rerank,
            },
            Operation::Media(request) => match request.medium {
                Medium::Pictures(_) => Capability::Images,
                Medium::Speech(_) => Capability::Speech,
                Medium::Recording(_) => Capability::Transcriptions,
            },
        }
    }

    /// The classes that the call can use at all: a hold needn't cover the price of audio that is
    /// neither sent nor asked for.
    pub fn classes(&self) -> &'static [Class] {
        const TEXT: &[Class] = &[
            Class::Input,
            Class::CacheRead,
            Class::CacheWrite,
            Class::CacheWriteLong,
            Class::ImageInput,
            Class::Output,
            Class::Reasoning,
        ];
        const DRAWN: &[Class] =
            &[Class::Input, Class::CacheRead, Class::ImageInput, Class::Output, Class::ImageOutput];
        const SPOKEN: &[Class] = &[Class::Input, Class::Output, Class::AudioOutput];
        const HEARD: &[Class] = &[Class::Input, Class::AudioInput, Class::Output];
        let request = match self {
            Operation::Chat(request) => request,
            Operation::Embeddings(_) | Operation::Task(_) => return TEXT,
            Operation::Media(request) => match request.medium {
                Medium::Pictures(_) => return DRAWN,
                Medium::Speech(_) => return SPOKEN,
                Medium::Recording(_) => return HEARD,
            },
        };
        let spoken = request.rest.iter().any(|(name, _)| *name == "modalities" || *name == "audio");
        let heard = request.messages.iter().flat_map(|m| &m.blocks).any(|block| {
            matches!(block, Block::Audio { .. } | Block::File { .. } | Block::Other { .. })
        });
        if spoken || heard { &Class::ALL } else { TEXT }
    }

    /// What it asks of a model besides reading and writing text.
    pub(super) fn asks(&self) -> Asks {
        let Operation::Chat(request) = self else { return Asks::default() };
        let mut asks = Asks { tools: !request.tools.is_empty(), ..Asks::default() };
        for block in request.messages.iter().flat_map(|message| &message.blocks) {
            asks.images |= matches!(block, Block::Image { .. });
            asks.audio |= matches!(block, Block::Audio { .. });
        }
        asks
    }

    /// A class that must have a price of its own: a picture that is read is dearer than text.
    pub(super) fn own_price(&self) -> Option<Class> {
        (self.endpoint() == "images.edits").then_some(Class::ImageInput)
    }

    /// Whether the answer is not text, so that it is neither capped nor counted as it comes.
    pub(super) fn is_media(&self) -> bool {
        matches!(self, Operation::Media(_))
    }

    /// Whether the request offers tools, which providers put into words of their own.
    pub(super) fn has_tools(&self) -> bool {
        matches!(self, Operation::Chat(request) if !request.tools.is_empty())
    }

    /// The input's tokens as a model, which is of that family, counts them.
    pub(super) fn count(&self, memo: &CountMemo, model: &str, family: &Family) -> Counted {
        match self {
            Operation::Chat(request) => {
                let tools = tools(&request.tools);
                let count = memo.count_chat_as(model, *family, &chat(request, tools.as_deref()));
                counted(count.tokens, count.exact)
            }
            Operation::Embeddings(request) => embeddings(request, family),
            Operation::Task(request) => task(request, family),
            // Where there is no bound of it, it is not asked for.
            Operation::Media(request) => {
                let most = request.most_input(model, &|text| family.count(text));
                most.map_or(counted(0, false), |(tokens, exact)| counted(tokens, exact))
            }
        }
    }

    /// The most searches that the call can be billed, at providers that bill those, by Cohere's rule: up
    /// to a hundred documents are one search, and a document counts once for each 500 tokens of it, those
    /// of the query with every one.
    pub(super) fn searches(&self, family: &Family) -> u64 {
        let Operation::Task(request) = self else { return 0 };
        let Some(query) = &request.query else { return 0 };
        let room = CHUNK.saturating_sub(family.count(query)).max(1);
        let chunks = |text: &str| family.count(text).div_ceil(room).max(1);
        let all = request.texts.iter().fold(0_u64, |sum, text| sum.saturating_add(chunks(text)));
        all.div_ceil(DOCUMENTS_A_SEARCH)
    }

    /// The request in a provider's words, under the output cap in force.
    pub fn encode(
        &self,
        adapter: &dyn Provider,
        model: &str,
        cap: Option<u64>,
    ) -> Result<Encoded, BadRequest> {
        let to = Wire { model, max_output_tokens: cap, stream: self.stream() };
        match self {
            Operation::Chat(request) => adapter.encode_chat(request, &to),
            Operation::Embeddings(request) => adapter.encode_embeddings(request, &to),
            Operation::Task(request) => adapter.encode_task(request, &to),
            Operation::Media(request) => adapter.encode_media(request, &to),
        }
    }

    /// The body it was decoded from.
    pub fn body(&self) -> &[u8] {
        self.source().body
    }

    fn source(&self) -> &Source<'a> {
        match self {
            Operation::Chat(request) => &request.source,
            Operation::Embeddings(request) => &request.source,
            Operation::Task(request) => &request.source,
            Operation::Media(request) => &request.source,
        }
    }
}

fn counted(tokens: u64, exact: bool) -> Counted {
    let provenance = if exact { Provenance::Tokenized } else { Provenance::Estimated };
    Counted { tokens, provenance }
}

/// Token arrays are their own count; texts are counted one by one.
fn embeddings(request: &EmbeddingsRequest<'_>, family: &Family) -> Counted {
    let mut tokens = 0_u64;
    for input in &request.input {
        tokens = tokens.saturating_add(match input {
            EmbeddingInput::Text(text) => family.count(text),
            EmbeddingInput::Tokens(tokens) => tokens.len() as u64,
        });
    }
    counted(tokens, family.exact)
}

/// A query is read anew with every document, and between them are marks that count as tokens. The models
/// that do this have tokenizers of their own, so it is an estimate.
fn task(request: &TaskRequest<'_>, family: &Family) -> Counted {
    let query = request.query.as_deref().map_or(0, |query| family.count(query) + MARKS);
    let one = |text: &str| family.count(text).saturating_add(query);
    let tokens = request.texts.iter().fold(0_u64, |sum, text| sum.saturating_add(one(text)));
    counted(tokens, false)
}

/// The request as the tokenizer reads it.
fn chat<'r>(request: &'r ChatRequest<'_>, tools: Option<&'r str>) -> Chat<'r> {
    let response_schema = match &request.response_format {
        ResponseFormat::JsonSchema { schema, .. } => schema.map(|s| s.get()),
        ResponseFormat::Other(raw) => Some(raw.get()),
        ResponseFormat::Text | ResponseFormat::JsonObject => None,
    };
    let messages = request.messages.iter().map(message).collect();
    Chat { messages, tools, response_schema }
}

/// The tools as OpenAI's chat completions write them, which is what they are counted in.
fn tools(tools: &[Tool<'_>]) -> Option<String> {
    if tools.is_empty() {
        return None;
    }
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut out = String::from("[");
    for tool in tools {
        if out.len() > 1 {
            out.push(',');
        }
        match tool {
            Tool::Function { name, description, parameters, .. } => {
                out.push_str("{\"type\":\"function\",\"function\":{\"name\":");
                out.push_str(&text(name));
                if let Some(description) = description {
                    out.push_str(",\"description\":");
                    out.push_str(&text(description));
                }
                if let Some(parameters) = parameters {
                    out.push_str(",\"parameters\":");
                    out.push_str(parameters.get());
                }
                out.push_str("}}");
            }
            Tool::Other { raw, .. } => out.push_str(raw.get()),
        }
    }
    out.push(']');
    Some(out)
}

fn message<'r>(message: &'r tollgate_providers::Message<'_>) -> Message<'r> {
    let role = match message.role {
        Role::System => tollgate_tokenizer::Role::System,
        Role::Developer => tollgate_tokenizer::Role::Developer,
        Role::User => tollgate_tokenizer::Role::User,
        Role::Assistant => tollgate_tokenizer::Role::Assistant,
        Role::Tool => tollgate_tokenizer::Role::Tool,
    };
    let mut out = Message { role, name: message.name.as_deref(), ..Message::default() };
    for block in &message.blocks {
        put(block, &mut out);
    }
    out
}

/// A picture with its size, where its head is in the request.
fn picture(media: &Media<'_>, detail: Detail) -> Image {
    match media {
        Media::Url(url) => Image::from_url(url, detail),
        Media::Base64 { data, .. } => {
            // The size stands near the front; whole groups of four characters can be decoded.
            let head = data.get(..data.len().min(PICTURE_HEAD)).unwrap_or_default();
            Image::from_url(&format!("data:;base64,{head}"), detail)
        }
        Media::Id(_) => Image { size: None, detail },
    }
}

fn put<'r>(block: &'r Block<'_>, out: &mut Message<'r>) {
    match block {
        Block::Text { text, .. } | Block::Refusal { text } | Block::Thinking { text, .. } => {
            out.parts.push(Part::Text(text));
        }
        Block::Image { media, detail } => {
            let detail = match detail.as_deref() {
                Some("low") => Detail::Low,
                Some("high") => Detail::High,
                _ => Detail::Auto,
            };
            out.parts.push(Part::Image(picture(media, detail)));
        }
        Block::Audio { .. } => out.parts.push(Part::Audio),
        Block::File { .. } | Block::RedactedThinking { .. } | Block::Other { .. } => {
            out.parts.push(Part::Other);
        }
        Block::ToolCall { id, name, arguments } => {
            out.tool_calls.push(ToolCall { id, name, arguments });
        }
        Block::ToolResult { id, content, .. } => {
            out.tool_call_id = Some(id);
            content.iter().for_each(|block| put(block, out));
        }
    }
}
