//! What a chat request comes to: its messages, tools, schema and images.

mod image;
mod picture;
mod rules;
mod tools;

use crate::family::{Family, bare, family};
use crate::json;
use crate::memo::CountMemo;
use rules::{Rules, Tools};

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
    counted(model, family(model), chat, None)
}

/// How a model's provider frames a chat: models of one family and one framing count every chat alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing(Rules, bool);

impl Framing {
    /// That of a model, by its name.
    #[must_use]
    pub fn of(model: &str) -> Framing {
        let bare = bare(model);
        Framing(rules::of(&bare), !rules::is_odd(&bare) && rules::is_known(&bare))
    }
}

/// The same, with what was counted before taken from `memo`.
pub(crate) fn counted(
    model: &str,
    family: Family,
    chat: &Chat<'_>,
    memo: Option<&CountMemo>,
) -> Count {
    let Chat { messages, tools, response_schema } = chat;
    let Framing(rules, known) = Framing::of(model);
    let mut counting =
        Counting { rules, family, memo, text: 0, frame: 0, exact: family.exact && known };
    counting.frame += counting.rules.priming;
    for message in messages {
        counting.message(message);
    }
    if let Some(tools) = tools {
        let is_system =
            |message: &Message<'_>| matches!(message.role, Role::System | Role::Developer);
        counting.tools(tools, messages.iter().any(is_system));
    }
    if let Some(schema) = response_schema {
        counting.schema(schema);
    }
    let Counting { text, frame, exact, .. } = counting;
    Count { tokens: family.scale(text).saturating_add(frame), exact }
}

struct Counting<'a> {
    rules: Rules,
    family: Family,
    memo: Option<&'a CountMemo>,
    text: u64,
    /// What the rules add, pictures too. It is in the model's own tokens, so it is not scaled.
    frame: u64,
    exact: bool,
}

impl Counting<'_> {
    fn text(&self, text: &str) -> u64 {
        match self.memo {
            Some(memo) => memo.count(self.family.encoding, text),
            None => self.family.encoding.count(text),
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        let Message { role: _, name, parts, tool_calls, tool_call_id: _ } = message;
        self.frame += self.rules.message;
        if let Some(name) = name {
            self.frame += self.rules.name;
            self.text += self.text(name);
        }
        for part in parts {
            match part {
                Part::Text(text) => self.text += self.text(text),
                Part::Image(image) => self.picture(image),
                Part::Audio | Part::Other => self.exact = false,
            }
        }
        if tool_calls.len() > 1 && matches!(self.rules.tools, Tools::Declared { .. }) {
            return self.call(tools::PARALLEL, &tools::parallel(tool_calls));
        }
        for ToolCall { id: _, name, arguments } in tool_calls {
            self.call(name, arguments);
        }
    }

    fn call(&mut self, name: &str, arguments: &str) {
        self.exact = false;
        self.frame += self.rules.call;
        self.text += self.text(name) + self.text(arguments);
    }

    fn picture(&mut self, image: &Image) {
        let rule = self.rules.image;
        self.exact &= rule.is_some() && image.size.is_some();
        self.frame += rule.unwrap_or(image::Rule::Tiles { base: 85, tile: 170 }).count(image);
    }

    fn tools(&mut self, tools: &str, with_system: bool) {
        self.exact = false;
        let (frame, text) = match self.rules.tools {
            Tools::Json { around } => (around, self.compact(tools)),
            Tools::Declared { around, with_system: less } => {
                let less = if with_system { less } else { 0 };
                (around - less, self.derived("declared", tools, tools::declared))
            }
        };
        self.frame += frame;
        self.text += text;
    }

    fn schema(&mut self, schema: &str) {
        self.exact = false;
        if let Some(frame) = self.rules.schema {
            self.frame += frame;
            self.text += self.compact(schema);
        }
    }

    /// The count of a JSON text in its shortest form.
    fn compact(&self, json: &str) -> u64 {
        self.derived("compact", json, |value| {
            let mut out = String::new();
            json::write(value, &mut out);
            out
        })
    }

    /// The count of what `make` makes of a JSON text; of the text itself, if it is no JSON.
    fn derived(&self, what: &'static str, text: &str, make: fn(&json::Value<'_>) -> String) -> u64 {
        let encoding = self.family.encoding;
        let count = || match json::parse(text) {
            Some(value) => encoding.count(&make(&value)),
            None => encoding.count(text),
        };
        match self.memo {
            Some(memo) => memo.count_as(encoding, what, text, count),
            None => count(),
        }
    }
}
