//! The content blocks of the wire, of requests and of replies.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::fields::says;
use crate::unified::{Block, FinishReason, Media, Text};

/// A content block of any kind.
#[derive(Deserialize)]
pub(crate) struct WireBlock<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    signature: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<WireSource<'a>>,
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default)]
    is_error: Option<bool>,
    #[serde(borrow, default)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireSource<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    media_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<Text<'a>>,
    #[serde(borrow, default)]
    url: Option<Text<'a>>,
    #[serde(borrow, default)]
    file_id: Option<Text<'a>>,
}

/// The hub's block; what it has no word for stays as it is.
pub(crate) fn block<'a>(raw: &'a RawValue) -> Result<Block<'a>, String> {
    let wire: WireBlock<'a> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
    if wire.kind != "tool_result" {
        return wire.into_block(raw);
    }
    let id = wire.tool_use_id.ok_or("is a `tool_result` without `tool_use_id`")?;
    // Results hold text and pictures only, so one level is all there is.
    let content = match wire.content {
        None => Vec::new(),
        Some(content) => texts_or(content, &|raw| {
            let wire: WireBlock<'a> = serde_json::from_str(raw.get()).map_err(|e| says(&e))?;
            wire.into_block(raw)
        })?,
    };
    Ok(Block::ToolResult { id, content, is_error: wire.is_error.unwrap_or(false) })
}

/// Content that is a string, or an array whose elements `each` reads.
pub(crate) fn texts_or<'a>(
    content: &'a RawValue,
    each: &dyn Fn(&'a RawValue) -> Result<Block<'a>, String>,
) -> Result<Vec<Block<'a>>, String> {
    if content.get().starts_with('"') {
        let text = serde_json::from_str(content.get()).map_err(|e| says(&e))?;
        return Ok(vec![Block::Text { text, cache: None }]);
    }
    let parts: Vec<&'a RawValue> = serde_json::from_str(content.get()).map_err(|e| says(&e))?;
    parts
        .into_iter()
        .enumerate()
        .map(|(i, raw)| each(raw).map_err(|why| format!("[{i}] {why}")))
        .collect()
}

impl<'a> WireBlock<'a> {
    pub(crate) fn into_block(self, raw: &'a RawValue) -> Result<Block<'a>, String> {
        let missing = |member: &str| format!("is a `{}` without `{member}`", self.kind);
        Ok(match self.kind.as_str() {
            "text" => Block::Text {
                text: self.text.ok_or_else(|| missing("text"))?,
                cache: self.cache_control,
            },
            "thinking" => Block::Thinking {
                text: self.thinking.ok_or_else(|| missing("thinking"))?,
                signature: self.signature.filter(|s| !s.is_empty()),
            },
            "redacted_thinking" => {
                Block::RedactedThinking { data: self.data.ok_or_else(|| missing("data"))? }
            }
            "tool_use" => Block::ToolCall {
                id: self.id.ok_or_else(|| missing("id"))?,
                name: self.name.ok_or_else(|| missing("name"))?,
                arguments: self.input.map_or("{}", RawValue::get).into(),
            },
            "image" => match self.source.map(media) {
                Some(Some(media)) => Block::Image { media, detail: None },
                Some(None) => Block::Other { kind: self.kind, raw },
                None => return Err("is an `image` without `source`".into()),
            },
            "document" => match self.source.map(media) {
                Some(Some(media)) => Block::File { media, name: self.title },
                // Documents of plain text or of blocks have no equal elsewhere.
                Some(None) => Block::Other { kind: self.kind, raw },
                None => return Err("is a `document` without `source`".into()),
            },
            _ => Block::Other { kind: self.kind, raw },
        })
    }
}

fn media(source: WireSource<'_>) -> Option<Media<'_>> {
    match source.kind.as_str() {
        "base64" => Some(Media::Base64 { media_type: source.media_type?, data: source.data? }),
        "url" => source.url.map(Media::Url),
        "file" => source.file_id.map(Media::Id),
        _ => None,
    }
}

/// The wire's stop reason as the hub's.
pub(crate) fn stop_reason<'a>(word: Text<'a>, sequence: Option<Text<'a>>) -> FinishReason<'a> {
    match word.as_str() {
        "end_turn" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "stop_sequence" => FinishReason::StopSequence(sequence),
        "tool_use" => FinishReason::ToolCalls,
        "pause_turn" => FinishReason::Pause,
        "refusal" => FinishReason::Refusal,
        _ => FinishReason::Other(word),
    }
}
