//! Embeddings: always asked for as a batch, whether of one text or of many.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::dialect::json::{Object, array};
use crate::openai::{escaped, told};
use crate::unified::{
    BadRequest, EmbeddingInput, EmbeddingsReply, EmbeddingsRequest, Encoded, ErrorKind,
    ProviderError, Target, UsageReport,
};

/// Writes a request.
pub(super) fn encode(
    models: &str,
    req: &EmbeddingsRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    let Read { texts, kind, title, dropped } = read(req)?;
    let name = format!("models/{}", to.model);
    let mut body = Vec::with_capacity(req.source.body.len() + 64 * texts.len() + 16);
    let mut top = Object::open(&mut body);
    array(top.key("requests"), texts, |out, text| {
        let mut one = Object::open(out);
        one.str("model", &name);
        let mut content = one.object("content");
        array(content.key("parts"), [text], |out, text| {
            let mut part = Object::open(out);
            part.str("text", text);
            part.close();
        });
        content.close();
        if let Some(dimensions) = req.dimensions {
            one.num("outputDimensionality", u64::from(dimensions));
        }
        for (name, value) in [("taskType", kind), ("title", title)] {
            if let Some(value) = value {
                one.raw(name, value);
            }
        }
        one.close();
    });
    top.close();
    let path = format!("{models}{}:batchEmbedContents", escaped(to.model));
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path, headers, body, dropped })
}

/// What a request asks in Google's words.
pub(super) struct Read<'r> {
    pub(super) texts: Vec<&'r str>,
    pub(super) kind: Option<&'r str>,
    pub(super) title: Option<&'r str>,
    pub(super) dropped: Vec<String>,
}

/// Reads what both of Google's wires for embeddings have a place for.
pub(super) fn read<'r>(req: &'r EmbeddingsRequest<'_>) -> Result<Read<'r>, BadRequest> {
    let (mut kind, mut title, mut dropped) = (None, None, Vec::new());
    for (name, raw) in &req.rest {
        match name.as_str() {
            "task_type" => kind = Some(raw.get()),
            // A title is of one text.
            "title" if req.input.len() == 1 => title = Some(raw.get()),
            other => dropped.push(other.to_owned()),
        }
    }
    let text = |input: &'r EmbeddingInput<'_>| match input {
        EmbeddingInput::Text(text) => Ok(text.as_str()),
        EmbeddingInput::Tokens(_) => {
            let message = "`input` holds tokens, which this provider cannot read";
            Err(BadRequest::field("input", message))
        }
    };
    let texts = req.input.iter().map(text).collect::<Result<_, _>>()?;
    Ok(Read { texts, kind, title, dropped })
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    embeddings: Option<Vec<Vector<'a>>>,
    #[serde(borrow, default, rename = "usageMetadata")]
    usage: Option<Used<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Vector<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
}

#[derive(Deserialize)]
struct Used<'a> {
    #[serde(borrow, default, rename = "promptTokenCount")]
    prompt: Option<&'a RawValue>,
}

/// Reads a reply. Older models do not say what they used.
pub(super) fn decode(body: &[u8]) -> Result<EmbeddingsReply<'_>, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the reply cannot be read: {error}")))?;
    if let Some(raw) = wire.error {
        return Err(told(raw.get()));
    }
    let vectors = wire.embeddings.ok_or_else(|| malformed("no `embeddings`".to_owned()))?;
    let usage = wire.usage.map_or_else(UsageReport::default, |used| {
        let mut counts = Counts::default();
        let prompt = counts.read(used.prompt);
        counts.set(Class::Input, prompt);
        counts.finish()
    });
    let vectors = vectors.into_iter().map(|vector| vector.values).collect();
    Ok(EmbeddingsReply { model: None, vectors, usage })
}
