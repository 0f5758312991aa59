//! The key of a reply: all of the request that can change the answer, whose it is, and what the model's
//! name stands for. Every field is named here, so a new one does not compile until it has its place.

use serde_json::value::RawValue;
use tollgate_providers::unified::{
    Block, EmbeddingInput, Media, Message, ReasoningEffort, ResponseFormat, Role, Sampling, Text,
    Tool, ToolChoice, VectorFormat,
};
use tollgate_providers::{ChatRequest, Dialect, EmbeddingsRequest};

use super::canonical::Canon;
use super::policy::Owner;

/// The key of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(super) [u8; 32]);

/// What the key has beside the request itself.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// Who may be given the reply.
    pub owner: Owner<'a>,
    /// The dialect that the client reads.
    pub dialect: Dialect,
    /// The template the request was rendered from, with its version.
    pub prompt: Option<&'a str>,
    /// What the model's name stands for, as (provider, its address, model).
    pub targets: &'a [(&'a str, &'a str, &'a str)],
    /// What a provider must be tagged with to be asked for it.
    pub require: &'a [std::sync::Arc<str>],
    /// The cap in force on the output.
    pub cap: u64,
    /// Headers that reach the provider.
    pub headers: &'a [(&'static str, String)],
}

/// A request that has a key.
#[derive(Clone, Copy)]
pub enum Asked<'r, 'a> {
    /// A chat completion.
    Chat(&'r ChatRequest<'a>),
    /// Embeddings.
    Embeddings(&'r EmbeddingsRequest<'a>),
}

/// Members of a request that let the provider act, remember, or look things up.
const ACTING: [&str; 8] = [
    "web_search_options",
    "store",
    "mcp_servers",
    "container",
    "background",
    "conversation",
    "previous_response_id",
    "context_management",
];

/// Whether the same request gives the same answer, as far as its writer can ask for that: the
/// temperature is zero or a seed is set, no tool runs at the provider, and nothing is fetched from
/// elsewhere. Embeddings always do.
pub fn is_deterministic(asked: Asked<'_, '_>) -> bool {
    let Asked::Chat(request) = asked else { return true };
    let Sampling { temperature, seed, .. } = &request.sampling;
    let fixed = seed.is_some() || temperature.as_ref().is_some_and(|t| is_zero(t.as_str()));
    let acts = request.tools.iter().any(|tool| matches!(tool, Tool::Other { .. }))
        || request.rest.iter().any(|(name, _)| ACTING.contains(&name.as_str()));
    fixed && !acts && request.messages.iter().flat_map(|m| &m.blocks).all(is_here)
}

/// Whether all of a block is in the request, and not behind an address that may change.
fn is_here(block: &Block<'_>) -> bool {
    match block {
        Block::Image { media, .. } | Block::File { media, .. } => match media {
            Media::Url(url) => url.starts_with("data:"),
            Media::Base64 { .. } => true,
            Media::Id(_) => false,
        },
        Block::ToolResult { content, .. } => content.iter().all(is_here),
        Block::Other { .. } => false,
        Block::Text { .. }
        | Block::Audio { .. }
        | Block::ToolCall { .. }
        | Block::Thinking { .. }
        | Block::RedactedThinking { .. }
        | Block::Refusal { .. } => true,
    }
}

/// Whether a JSON number is zero, however it is written.
fn is_zero(number: &str) -> bool {
    let digits = number.split(['e', 'E']).next().unwrap_or(number);
    digits.bytes().all(|byte| matches!(byte, b'0' | b'.' | b'-'))
}

/// The key of a request.
pub fn fingerprint(scope: &Scope<'_>, asked: Asked<'_, '_>) -> Fingerprint {
    let Scope { owner, dialect, prompt, targets, require, cap, headers } = scope;
    let mut to = Canon::new();
    match owner {
        Owner::Account(path) => {
            to.text("account");
            to.text(path);
        }
        Owner::Group(name) => {
            to.text("group");
            to.text(name);
        }
    }
    to.text(dialect.name());
    to.maybe(*prompt);
    to.list(targets.len());
    for (provider, address, model) in *targets {
        to.text(provider);
        to.text(address);
        to.text(model);
    }
    to.list(require.len());
    require.iter().for_each(|tag| to.text(tag));
    to.number(*cap);
    to.list(headers.len());
    for (name, value) in *headers {
        to.text(name);
        to.text(value);
    }
    match asked {
        Asked::Chat(request) => chat(request, &mut to),
        Asked::Embeddings(request) => embeddings(request, &mut to),
    }
    Fingerprint(to.finish())
}

fn chat(request: &ChatRequest<'_>, to: &mut Canon) {
    let ChatRequest {
        model,
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        // In the key as the cap in force.
        max_output_tokens: _,
        n,
        stop,
        // A reply is kept in whichever form it came, and turned.
        stream: _,
        include_usage: _,
        sampling,
        logprobs,
        top_logprobs,
        reasoning_effort,
        user,
        service_tier,
        metadata,
        rest,
        source,
    } = request;
    to.text("chat");
    // A provider of the same dialect gets the body as it is, with members inside of messages and tools
    // that the hub has no word for. Its own single values are all below, known or not.
    to.containers(source.body, is_form);
    to.text(model);
    to.list(messages.len());
    messages.iter().for_each(|m| message(m, to));
    to.list(tools.len());
    tools.iter().for_each(|t| tool(t, to));
    choice(tool_choice.as_ref(), to);
    to.maybe_flag(*parallel_tool_calls);
    format(response_format, to);
    to.number(u64::from(*n));
    to.list(stop.len());
    stop.iter().for_each(|s| to.text(s));
    for (name, number) in sampling.set() {
        to.text(name);
        let number = number.as_str();
        to.text(if is_zero(number) { "0" } else { number });
    }
    to.maybe_flag(Some(*logprobs));
    to.maybe_number(top_logprobs.map(u64::from));
    match reasoning_effort {
        None => to.text("unset"),
        Some(ReasoningEffort::Level(level)) => {
            to.text("level");
            to.text(level);
        }
        Some(ReasoningEffort::Budget(tokens)) => {
            to.text("budget");
            to.number(*tokens);
        }
        Some(ReasoningEffort::Adaptive) => to.text("adaptive"),
        Some(ReasoningEffort::Off) => to.text("off"),
    }
    to.maybe(user.as_deref());
    to.maybe(service_tier.as_deref());
    to.maybe_json(*metadata);
    others(rest, to);
}

/// Whether a member says nothing but in which form the reply is to be written.
fn is_form(name: &str, value: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Options {
        #[serde(rename = "include_usage", default)]
        _include_usage: Option<bool>,
    }
    name == "stream_options" && serde_json::from_str::<Options>(value.get()).is_ok()
}

fn embeddings(request: &EmbeddingsRequest<'_>, to: &mut Canon) {
    let EmbeddingsRequest { model, input, format, dimensions, user, rest, source } = request;
    to.text("embeddings");
    // OpenAI's is all in the fields below; others have more inside of their lists.
    if source.dialect != Dialect::OpenAiEmbeddings {
        to.body(source.body);
    }
    to.text(model);
    to.list(input.len());
    for input in input {
        match input {
            EmbeddingInput::Text(text) => to.text(text),
            EmbeddingInput::Tokens(tokens) => {
                to.list(tokens.len());
                tokens.iter().for_each(|token| to.number(u64::from(*token)));
            }
        }
    }
    to.text(match format {
        VectorFormat::Float => "float",
        VectorFormat::Base64 => "base64",
    });
    to.maybe_number(dimensions.map(u64::from));
    to.maybe(user.as_deref());
    others(rest, to);
}

/// Fields we do not know, in the order of their names.
fn others(rest: &[(Text<'_>, &RawValue)], to: &mut Canon) {
    let mut rest: Vec<_> = rest.iter().collect();
    rest.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    to.list(rest.len());
    for (name, value) in rest {
        to.text(name);
        to.json(value);
    }
}

fn message(message: &Message<'_>, to: &mut Canon) {
    let Message { role, name, blocks } = message;
    to.text(match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    });
    to.maybe(name.as_deref());
    to.list(blocks.len());
    blocks.iter().for_each(|b| block(b, to));
}

fn block(part: &Block<'_>, to: &mut Canon) {
    match part {
        Block::Text { text, cache } => {
            to.text("text");
            to.text(text);
            to.maybe_json(*cache);
        }
        Block::Image { media: source, detail } => {
            to.text("image");
            media(source, to);
            to.maybe(detail.as_deref());
        }
        Block::Audio { data, format } => {
            to.text("audio");
            to.text(data);
            to.text(format);
        }
        Block::File { media: source, name } => {
            to.text("file");
            media(source, to);
            to.maybe(name.as_deref());
        }
        Block::ToolCall { id, name, arguments } => {
            to.text("tool_call");
            to.text(id);
            to.text(name);
            to.text(arguments);
        }
        Block::ToolResult { id, content, is_error } => {
            to.text("tool_result");
            to.text(id);
            to.list(content.len());
            content.iter().for_each(|b| block(b, to));
            to.maybe_flag(Some(*is_error));
        }
        Block::Thinking { text, signature } => {
            to.text("thinking");
            to.text(text);
            to.maybe(signature.as_deref());
        }
        Block::RedactedThinking { data } => {
            to.text("redacted");
            to.text(data);
        }
        Block::Refusal { text } => {
            to.text("refusal");
            to.text(text);
        }
        Block::Other { kind, raw } => {
            to.text("other");
            to.text(kind);
            to.json(raw);
        }
    }
}

fn media(media: &Media<'_>, to: &mut Canon) {
    match media {
        Media::Url(url) => {
            to.text("url");
            to.text(url);
        }
        Media::Base64 { media_type, data } => {
            to.text("base64");
            to.text(media_type);
            to.text(data);
        }
        Media::Id(id) => {
            to.text("id");
            to.text(id);
        }
    }
}

fn tool(tool: &Tool<'_>, to: &mut Canon) {
    match tool {
        Tool::Function { name, description, parameters, strict, cache } => {
            to.text("function");
            to.text(name);
            to.maybe(description.as_deref());
            to.maybe_json(*parameters);
            to.maybe_flag(*strict);
            to.maybe_json(*cache);
        }
        Tool::Other { kind, raw } => {
            to.text("other");
            to.text(kind);
            to.json(raw);
        }
    }
}

/// A request that leaves it out lets the model choose.
fn choice(choice: Option<&ToolChoice<'_>>, to: &mut Canon) {
    match choice {
        None | Some(ToolChoice::Auto) => to.text("auto"),
        Some(ToolChoice::None) => to.text("none"),
        Some(ToolChoice::Required) => to.text("required"),
        Some(ToolChoice::Named(name)) => {
            to.text("named");
            to.text(name);
        }
        Some(ToolChoice::Other(other)) => {
            to.text("other");
            to.text(other);
        }
    }
}

fn format(format: &ResponseFormat<'_>, to: &mut Canon) {
    match format {
        ResponseFormat::Text => to.text("text"),
        ResponseFormat::JsonObject => to.text("json"),
        ResponseFormat::JsonSchema { name, description, schema, strict } => {
            to.text("schema");
            to.text(name);
            to.maybe(description.as_deref());
            to.maybe_json(*schema);
            to.maybe_flag(*strict);
        }
        ResponseFormat::Other(raw) => {
            to.text("other");
            to.json(raw);
        }
    }
}

#[cfg(test)]
mod tests;
