//! Google's `embedContent` and `batchEmbedContents` as a client writes and reads them. The model stands
//! in the address there; [`body`] puts it into the body.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Dialect;
use super::fields::{indexed, members, missing, says};
use super::json::{Object, array};
use crate::guard::{Bounds, outline};
use crate::unified::{
    BadRequest, EmbeddingInput, EmbeddingsReply, EmbeddingsRequest, Source, Text, VectorFormat,
};

/// The body with the model that its address names. The SDKs repeat it in the body; the address decides.
pub fn body(body: &[u8], bounds: &Bounds, model: &str) -> Result<Vec<u8>, BadRequest> {
    let outline = outline(body, bounds.max_depth, bounds.max_fields)?;
    let mut out = Vec::with_capacity(body.len() + model.len() + 16);
    let mut object = Object::open(&mut out);
    object.str("model", model);
    for member in outline.members.iter().filter(|m| m.escaped || m.key != "model") {
        // The name as it was written, escapes and all.
        object.members("\"");
        object.out.extend_from_slice(member.key.as_bytes());
        object.out.extend_from_slice(b"\":");
        object.out.extend_from_slice(&outline.text.as_bytes()[member.value.clone()]);
    }
    object.close();
    Ok(out)
}

/// What is to be embedded, and how.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    content: WireContent<'a>,
    #[serde(default, rename = "outputDimensionality", alias = "output_dimensionality")]
    dimensions: Option<u32>,
    #[serde(borrow, default, rename = "taskType", alias = "task_type")]
    task: Option<&'a RawValue>,
    #[serde(borrow, default)]
    title: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireContent<'a> {
    #[serde(borrow)]
    parts: Vec<WirePart<'a>>,
}

/// A part that is no text has no member of that name.
#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(borrow)]
    text: Text<'a>,
}

impl<'a> Wire<'a> {
    fn text(&self) -> Text<'a> {
        match self.content.parts.as_slice() {
            [only] => only.text.clone(),
            parts => parts.iter().map(|part| part.text.as_str()).collect::<String>().into(),
        }
    }
}

/// Reads a body as [`body`] gives it.
pub(crate) fn decode<'a>(
    body: &'a [u8],
    bounds: &Bounds,
    dialect: Dialect,
) -> Result<EmbeddingsRequest<'a>, BadRequest> {
    let (mut model, mut wires, mut at) = (None, Vec::new(), None);
    let batch = dialect == Dialect::GeminiBatchEmbedContents;
    let mut spans = members(body, bounds, |field| {
        match field.name.as_str() {
            "model" => {
                at = Some(field.span.clone());
                model = Some(field.read::<Text<'a>>()?);
            }
            "requests" if batch => field.each(|i, raw: &'a RawValue| {
                if wires.len() >= bounds.max_inputs {
                    return Err(indexed("requests", i, "is one too many"));
                }
                let read = serde_json::from_str::<Wire<'a>>(raw.get());
                wires.push(read.map_err(|error| indexed("requests", i, &says(&error)))?);
                Ok(())
            })?,
            _ => drop(field.raw()?),
        }
        Ok(())
    })?;
    spans.model = at;
    if !batch {
        let read = serde_json::from_slice::<Wire<'a>>(body);
        wires.push(read.map_err(|error| {
            BadRequest::field("content", format!("`content` {}", says(&error)))
        })?);
    }
    let list = if batch { "requests" } else { "content" };
    let first = wires.first().ok_or_else(|| missing(list))?;
    let same = |other: &Wire<'_>| {
        let text = |raw: Option<&RawValue>| raw.map(|raw| raw.get().to_owned());
        (other.dimensions, text(other.task)) == (first.dimensions, text(first.task))
    };
    if let Some(odd) = wires.iter().position(|other| !same(other)) {
        return Err(indexed("requests", odd, "asks for another kind of vector than the first"));
    }
    let rest = [("task_type", first.task), ("title", first.title)];
    let input = wires.iter().map(|wire| EmbeddingInput::Text(wire.text()));
    Ok(EmbeddingsRequest {
        model: model.filter(|m: &Text<'_>| !m.is_empty()).ok_or_else(|| missing("model"))?,
        input: input.collect(),
        format: VectorFormat::Float,
        dimensions: first.dimensions,
        user: None,
        rest: rest.into_iter().filter_map(|(name, raw)| Some((name.into(), raw?))).collect(),
        source: Source { dialect, body, spans },
    })
}

/// Writes a reply: one vector, or the list of them.
pub(crate) fn encode_reply(reply: &EmbeddingsReply<'_>, dialect: Dialect) -> Vec<u8> {
    let mut out = Vec::new();
    let mut top = Object::open(&mut out);
    let write = |out: &mut Vec<u8>, vector: &RawValue| {
        let mut object = Object::open(out);
        object.raw("values", vector.get());
        object.close();
    };
    if dialect == Dialect::GeminiEmbedContent {
        if let Some(vector) = reply.vectors.first() {
            write(top.key("embedding"), vector);
        }
    } else {
        array(top.key("embeddings"), &reply.vectors, |out, vector| write(out, vector));
    }
    if let Some(tokens) = reply.usage.usage.input_total() {
        let mut usage = top.object("usageMetadata");
        usage.num("promptTokenCount", tokens);
        usage.close();
    }
    top.close();
    out
}
