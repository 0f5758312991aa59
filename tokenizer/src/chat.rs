//! What a chat request comes to: its messages, tools, schema and images.

use crate::family::{Family, family};

/// A chat request, borrowed from whatever decoded it.
#[derive(Clone, Debug, Default)]
pub struct Chat<'a> {
    /// The messages, in order.
    pub messages: Vec<Message<'a>>,
    /// The `tools` array as the client wrote it, in the shape of OpenAI's chat completions.
    pub tools: Option<&'a str>,
    /// The JSON schema of a structured output, as the client wrote it.
    pub response_schema: Option<&'a str>,
}

/// One message.
#[derive(Clone, Debug, Default)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// The speaker's name, where the client gave one.
    pub name: Option<&'a str>,
    /// The content; a plain string is one part.
    pub parts: Vec<Part<'a>>,
    /// The calls an assistant's message makes.
    pub tool_calls: Vec<ToolCall<'a>>,
    /// The call that a tool's message answers.
    pub tool_call_id: Option<&'a str>,
}

/// Who speaks a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// `system`.
    System,
    /// `developer`.
    Developer,
    /// `user`.
    #[default]
    User,
    /// `assistant`.
    Assistant,
    /// `tool`, and the older `function`.
    Tool,
}

/// A piece of a message's content.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// Text (a refusal too).
    Text(&'a str),
    /// A picture.
    Image(Image),
    /// Sound; its length can't be told from the request alone.
    Audio,
    /// A file, or anything else that only the provider can count.
    Other,
}

/// What is known about a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Width and height in pixels, where they are known.
    pub size: Option<(u32, u32)>,
    /// The detail the client asked for.
    pub detail: Detail,
}

/// How closely a model is asked to look at a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The provider chooses.
    #[default]
    Auto,
    /// `low`.
    Low,
    /// `high`.
    High,
}

/// A call of a tool, as an assistant's message in the history holds it.
#[derive(Clone, Copy, Debug)]
pub struct ToolCall<'a> {
    /// The call's id.
    pub id: &'a str,
    /// The function's name.
    pub name: &'a str,
    /// Its arguments, JSON as text.
    pub arguments: &'a str,
}

/// A number of tokens, and whether it is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The tokens.
    pub tokens: u64,
    /// False where a part of the request could only be estimated.
    pub exact: bool,
}

/// What `chat` comes to as the input of `model`.
#[must_use]
pub fn count_chat(model: &str, chat: &Chat<'_>) -> Count {
    let family = family(model);
    let mut count = Count { tokens: 3, exact: family.exact };
    for message in &chat.messages {
        count.tokens += message_tokens(&family, message, &mut count.exact);
    }
    for json in [chat.tools, chat.response_schema].into_iter().flatten() {
        count.exact = false;
        count.tokens += family.encoding.count(json);
    }
    count.tokens = family.scale(count.tokens);
    count
}

fn message_tokens(family: &Family, message: &Message<'_>, exact: &mut bool) -> u64 {
    let text = |text| family.encoding.count(text);
    // Three that frame a message, one for its role.
    let mut tokens = 4 + message.name.map_or(0, |name| 1 + text(name));
    for part in &message.parts {
        match part {
            Part::Text(part) => tokens += text(part),
            Part::Image(_) => {
                *exact = false;
                tokens += 765;
            }
            Part::Audio | Part::Other => *exact = false,
        }
    }
    for call in &message.tool_calls {
        *exact = false;
        tokens += 7 + text(call.name) + text(call.arguments);
    }
    tokens
}
