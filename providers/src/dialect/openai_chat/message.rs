//! Messages as the dialect writes them, read straight into the hub's blocks.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::dialect::fields::says;
use crate::unified::{BadRequest, Block, Media, Message, Role, Text};

/// A message on the wire, of a request or of a reply. Members without a place here stay in the body.
#[derive(Deserialize)]
pub(crate) struct WireMessage<'a> {
    #[serde(borrow, default)]
    pub(crate) role: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) content: WireContent<'a>,
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) tool_calls: Option<Vec<WireToolCall<'a>>>,
    #[serde(borrow, default)]
    pub(crate) function_call: Option<WireFunctionCall<'a>>,
    #[serde(borrow, default)]
    pub(crate) tool_call_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) audio: Option<&'a RawValue>,
}

/// The content of a message: nothing, a text, or parts.
#[derive(Default)]
pub(crate) enum WireContent<'a> {
    #[default]
    None,
    Text(Text<'a>),
    Parts(Vec<&'a RawValue>),
}

#[derive(Deserialize)]
pub(crate) struct WireToolCall<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) function: Option<WireFunctionCall<'a>>,
    #[serde(borrow, default)]
    pub(crate) custom: Option<WireCustomCall<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct WireFunctionCall<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<Arguments<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct WireCustomCall<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) input: Option<Text<'a>>,
}

/// Arguments are JSON text in a string; some compatible servers write the object itself.
pub(crate) struct Arguments<'a>(pub(crate) Text<'a>);

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_audio: Option<WireAudio<'a>>,
    #[serde(borrow, default)]
    file: Option<WireFile<'a>>,
    #[serde(borrow, default)]
    thinking: Option<WireContent<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireImage<'a> {
    #[serde(borrow)]
    url: Text<'a>,
    #[serde(borrow, default)]
    detail: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireAudio<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct WireFile<'a> {
    #[serde(borrow, default)]
    file_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_data: Option<Text<'a>>,
    #[serde(borrow, default)]
    filename: Option<Text<'a>>,
}

impl<'a> WireMessage<'a> {
    /// The message of a request, at `messages[index]`.
    pub(crate) fn into_request(self, index: usize) -> Result<Message<'a>, BadRequest> {
        let at = |member: &str| format!("messages[{index}].{member}");
        let role = match self.role.as_deref() {
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool" | "function") => Role::Tool,
            Some(other) => {
                return Err(BadRequest::field(
                    at("role"),
                    format!("`{}` is `{other}`, which is no role", at("role")),
                ));
            }
            None => {
                return Err(BadRequest::field(at("role"), format!("`{}` is missing", at("role"))));
            }
        };
        if matches!(self.content, WireContent::None) && role != Role::Assistant {
            return Err(BadRequest::field(
                at("content"),
                format!("`{}` is missing", at("content")),
            ));
        }
        if role == Role::Tool {
            // The legacy `function` role names the function where a tool message names the call.
            let id = self.tool_call_id.or_else(|| self.name.clone()).ok_or_else(|| {
                BadRequest::field(
                    at("tool_call_id"),
                    format!("`{}` is missing", at("tool_call_id")),
                )
            })?;
            let mut content = Vec::new();
            self.content
                .into_blocks(&mut content)
                .map_err(|(i, why)| part_fault(index, i, &why))?;
            let blocks = vec![Block::ToolResult { id, content, is_error: false }];
            return Ok(Message { role, name: self.name, blocks });
        }
        let name = self.name.clone();
        let blocks = self.into_blocks().map_err(|(i, why)| part_fault(index, i, &why))?;
        Ok(Message { role, name, blocks })
    }

    /// What the message says, in order: thinking, content, refusal, calls.
    pub(crate) fn into_blocks(self) -> Result<Vec<Block<'a>>, (usize, String)> {
        let mut blocks = Vec::with_capacity(1);
        if let Some(text) = self.reasoning_content.or(self.reasoning).filter(|t| !t.is_empty()) {
            blocks.push(Block::Thinking { text, signature: None });
        }
        self.content.into_blocks(&mut blocks)?;
        if let Some(text) = self.refusal.filter(|t| !t.is_empty()) {
            blocks.push(Block::Refusal { text });
        }
        if let Some(raw) = self.audio.filter(|raw| raw.get() != "null") {
            blocks.push(Block::Other { kind: "audio".into(), raw });
        }
        for call in self.tool_calls.unwrap_or_default() {
            blocks.push(call.into_block());
        }
        if let Some(call) = self.function_call {
            // The legacy form has no id; the function's name is what its result will name.
            let name = call.name.unwrap_or_default();
            let arguments = call.arguments.map_or_else(Text::default, |a| a.0);
            blocks.push(Block::ToolCall { id: name.clone(), name, arguments });
        }
        Ok(blocks)
    }
}

fn part_fault(message: usize, part: usize, why: &str) -> BadRequest {
    let param = format!("messages[{message}].content[{part}]");
    let text = format!("`{param}` {why}");
    BadRequest::field(param, text)
}

impl<'a> WireToolCall<'a> {
    fn into_block(self) -> Block<'a> {
        let id = self.id.unwrap_or_default();
        let (name, arguments) = match (self.function, self.custom) {
            (Some(f), _) => (f.name, f.arguments.map(|a| a.0)),
            (None, Some(c)) => (c.name, c.input),
            (None, None) => (None, None),
        };
        Block::ToolCall {
            id,
            name: name.unwrap_or_default(),
            arguments: arguments.unwrap_or_default(),
        }
    }
}

impl<'a> WireContent<'a> {
    pub(crate) fn into_blocks(self, out: &mut Vec<Block<'a>>) -> Result<(), (usize, String)> {
        match self {
            WireContent::None => {}
            WireContent::Text(text) => out.push(Block::Text { text, cache: None }),
            WireContent::Parts(parts) => {
                out.reserve(parts.len());
                for (i, raw) in parts.into_iter().enumerate() {
                    out.push(part(raw).map_err(|why| (i, why))?);
                }
            }
        }
        Ok(())
    }
}

impl<'a> WireContent<'a> {
    /// The text of the content alone. It looks one level deep, so that no nesting can exhaust the stack.
    fn text(self) -> Result<Text<'a>, String> {
        match self {
            WireContent::None => Ok(Text::default()),
            WireContent::Text(text) => Ok(text),
            WireContent::Parts(parts) => {
                let mut all = String::new();
                for raw in parts {
                    let part: WirePart<'_> =
                        serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
                    all.push_str(part.text.as_deref().unwrap_or_default());
                }
                Ok(all.into())
            }
        }
    }
}

/// The hub's block of a content part.
pub(crate) fn part(raw: &RawValue) -> Result<Block<'_>, String> {
    let part: WirePart<'_> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    let kind = part.kind.ok_or("has no `type`")?;
    let missing = |member: &str| format!("is of type `{kind}` but has no `{member}`");
    Ok(match kind.as_str() {
        "text" | "input_text" | "output_text" => Block::Text {
            text: part.text.ok_or_else(|| missing("text"))?,
            cache: part.cache_control,
        },
        "refusal" => Block::Refusal { text: part.refusal.ok_or_else(|| missing("refusal"))? },
        "image_url" => {
            let image = part.image_url.ok_or_else(|| missing("image_url"))?;
            // Some clients write the address itself where the dialect has an object.
            let WireImage { url, detail } = if image.get().starts_with('"') {
                let url = serde_json::from_str(image.get()).map_err(|e| says(&e))?;
                WireImage { url, detail: None }
            } else {
                serde_json::from_str(image.get()).map_err(|e| says(&e))?
            };
            Block::Image { media: media_of_url(url)?, detail }
        }
        "input_audio" => {
            let WireAudio { data, format } =
                part.input_audio.ok_or_else(|| missing("input_audio"))?;
            Block::Audio { data, format }
        }
        "file" => {
            let WireFile { file_id, file_data, filename } =
                part.file.ok_or_else(|| missing("file"))?;
            let media = match (file_id, file_data) {
                (Some(id), _) => Media::Id(id),
                (None, Some(data)) => media_of_url(data)?,
                (None, None) => {
                    return Err("has neither `file.file_id` nor `file.file_data`".into());
                }
            };
            Block::File { media, name: filename }
        }
        // Mistral's models that think write it as a part of the content, itself in parts.
        "thinking" => {
            let thinking = part.thinking.ok_or_else(|| missing("thinking"))?;
            Block::Thinking { text: thinking.text()?, signature: part.signature }
        }
        _ => Block::Other { kind, raw },
    })
}

/// A `data:` address is the data itself; any other is where to fetch it.
pub(crate) fn media_of_url(url: Text<'_>) -> Result<Media<'_>, String> {
    let Some(rest) = url.strip_prefix("data:") else { return Ok(Media::Url(url)) };
    let (head, data) = rest.split_once(',').ok_or("holds a `data:` address without data")?;
    let media_type =
        head.strip_suffix(";base64").ok_or("holds a `data:` address that is not base64")?;
    let media_type = media_type.split(';').next().unwrap_or_default();
    let (media_type, data) = (media_type.to_owned(), data.to_owned());
    Ok(Media::Base64 { media_type: media_type.into(), data: data.into() })
}

impl<'de: 'a, 'a> Deserialize<'de> for WireContent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Content;
        impl<'de> Visitor<'de> for Content {
            type Value = WireContent<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of content parts")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(WireContent::None)
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(WireContent::Text(v.into()))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(WireContent::Text(v.to_owned().into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(WireContent::Parts(parts))
            }
        }
        deserializer.deserialize_any(Content)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        if raw.get().starts_with('"') {
            serde_json::from_str(raw.get()).map(Arguments).map_err(de::Error::custom)
        } else {
            serde_json::from_str::<IgnoredAny>(raw.get()).map_err(de::Error::custom)?;
            Ok(Arguments(raw.get().into()))
        }
    }
}
