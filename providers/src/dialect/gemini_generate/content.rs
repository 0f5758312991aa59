//! The turns of a conversation, read into the hub's messages.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::fields::{indexed, says};
use crate::unified::{BadRequest, Block, Media, Message, Role, Text};

/// One turn.
#[derive(Deserialize)]
pub(super) struct WireContent<'a> {
    #[serde(borrow, default)]
    role: Option<Text<'a>>,
    #[serde(borrow, default)]
    parts: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(borrow, default, rename = "thoughtSignature", alias = "thought_signature")]
    signature: Option<Text<'a>>,
    #[serde(borrow, default, rename = "inlineData", alias = "inline_data")]
    inline: Option<WireData<'a>>,
    #[serde(borrow, default, rename = "fileData", alias = "file_data")]
    file: Option<WireFile<'a>>,
    #[serde(borrow, default, rename = "functionCall", alias = "function_call")]
    call: Option<WireCall<'a>>,
    #[serde(borrow, default, rename = "functionResponse", alias = "function_response")]
    response: Option<WireResponse<'a>>,
}

#[derive(Deserialize)]
struct WireData<'a> {
    #[serde(borrow, rename = "mimeType", alias = "mime_type")]
    mime: Text<'a>,
    #[serde(borrow)]
    data: Text<'a>,
}

#[derive(Deserialize)]
struct WireFile<'a> {
    #[serde(borrow, default, rename = "mimeType", alias = "mime_type")]
    mime: Option<Text<'a>>,
    #[serde(borrow, rename = "fileUri", alias = "file_uri")]
    uri: Text<'a>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireResponse<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

/// What is known of the calls so far. A call may have no id here: then its result names the function,
/// and the first call of it that has no result yet is meant.
#[derive(Default)]
pub(super) struct Calls<'a> {
    open: Vec<(Text<'a>, Text<'a>)>,
    made: usize,
}

impl<'a> Calls<'a> {
    fn call(&mut self, id: Option<Text<'a>>, name: &Text<'a>) -> Text<'a> {
        self.made += 1;
        let own = || format!("call_{}", self.made).into();
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(own);
        self.open.push((name.clone(), id.clone()));
        id
    }

    fn result(&mut self, id: Option<Text<'a>>, name: Text<'a>) -> Text<'a> {
        let id = id.filter(|id| !id.is_empty());
        let found = self.open.iter().position(|(function, call)| match &id {
            Some(id) => call == id,
            None => *function == name,
        });
        let open = found.map(|at| self.open.remove(at).1);
        id.or(open).unwrap_or(name)
    }
}

/// The turn at `contents[index]`.
pub(super) fn message<'a>(
    index: usize,
    wire: WireContent<'a>,
    calls: &mut Calls<'a>,
) -> Result<Message<'a>, BadRequest> {
    let role = match wire.role.as_deref() {
        None | Some("user" | "") => Role::User,
        Some("model") => Role::Assistant,
        Some("function" | "tool") => Role::Tool,
        Some(other) => {
            let why = format!("has the role `{other}`, which is none");
            return Err(indexed("contents", index, &why));
        }
    };
    let mut blocks = Vec::new();
    for (place, raw) in wire.parts.unwrap_or_default().into_iter().enumerate() {
        let block = part(raw, calls)
            .map_err(|why| indexed(&format!("contents[{index}].parts"), place, &why))?;
        blocks.push(block);
    }
    if blocks.is_empty() {
        return Err(indexed("contents", index, "has no `parts`"));
    }
    Ok(Message { role, name: None, blocks })
}

/// The texts of a system instruction: a turn, or the text alone.
pub(super) fn system<'a>(raw: &'a RawValue) -> Result<Vec<Block<'a>>, String> {
    if raw.get().starts_with('"') {
        let text = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
        return Ok(vec![Block::Text { text, cache: None }]);
    }
    let wire: WireContent<'a> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    let mut calls = Calls::default();
    wire.parts.unwrap_or_default().into_iter().map(|raw| part(raw, &mut calls)).collect()
}

fn part<'a>(raw: &'a RawValue, calls: &mut Calls<'a>) -> Result<Block<'a>, String> {
    let wire: WirePart<'a> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    if let Some(WireCall { id, name, args }) = wire.call {
        let id = calls.call(id, &name);
        let arguments = args.filter(|raw| raw.get() != "null").map_or("{}", RawValue::get).into();
        return Ok(Block::ToolCall { id, name, arguments });
    }
    if let Some(WireResponse { id, name, response }) = wire.response {
        let id = calls.result(id, name);
        let (text, is_error) = result(response.map_or("{}", RawValue::get));
        let content = vec![Block::Text { text, cache: None }];
        return Ok(Block::ToolResult { id, content, is_error });
    }
    if let Some(WireData { mime, data }) = wire.inline {
        return Ok(match mime.split_once('/') {
            Some(("image", _)) => {
                Block::Image { media: Media::Base64 { media_type: mime, data }, detail: None }
            }
            Some(("audio", format)) => Block::Audio { data, format: format.to_owned().into() },
            _ => Block::File { media: Media::Base64 { media_type: mime, data }, name: None },
        });
    }
    if let Some(WireFile { mime, uri }) = wire.file {
        let media = Media::Url(uri);
        return Ok(match mime.as_deref().is_some_and(|mime| mime.starts_with("image/")) {
            true => Block::Image { media, detail: None },
            false => Block::File { media, name: None },
        });
    }
    Ok(match (wire.text, wire.thought) {
        (Some(text), Some(true)) => Block::Thinking { text, signature: wire.signature },
        (Some(text), _) => Block::Text { text, cache: None },
        (None, _) => Block::Other { kind: "part".into(), raw },
    })
}

/// A tool's answer as text: what the one member that Google's SDKs wrap it in holds, else the object.
fn result(json: &str) -> (Text<'_>, bool) {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow, default)]
        result: Option<Text<'a>>,
        #[serde(borrow, default)]
        output: Option<Text<'a>>,
        #[serde(borrow, default)]
        error: Option<Text<'a>>,
    }
    match serde_json::from_str::<Wrapped<'_>>(json) {
        Ok(Wrapped { result: None, output: None, error: Some(text) }) => (text, true),
        Ok(Wrapped { result: Some(text), output: None, error: None }) => (text, false),
        Ok(Wrapped { result: None, output: Some(text), error: None }) => (text, false),
        _ => (json.into(), false),
    }
}
