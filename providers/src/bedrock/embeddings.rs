//! Embeddings, which each maker's models have in words of their own: Amazon's Titan one text a call,
//! Cohere's many. Cohere's count of tokens is not in the body, so ours stands.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::dialect::json::Object;
use crate::openai::{escaped, write_texts};
use crate::unified::{
    BadRequest, EmbeddingInput, EmbeddingsReply, EmbeddingsRequest, Encoded, ErrorKind,
    ProviderError, Target, UsageReport,
};

/// Writes a request, by the maker in the model's name.
pub(super) fn encode(req: &EmbeddingsRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
    let mut dropped: Vec<String> = Vec::new();
    if req.user.is_some() {
        dropped.push("user".to_owned());
    }
    let mut body = Vec::with_capacity(req.source.body.len() + 128);
    let mut top = Object::open(&mut body);
    let dimensions = req.dimensions.map(u64::from);
    if to.model.contains("amazon.titan-embed-text") {
        dropped.extend(req.rest.iter().map(|(name, _)| name.to_string()));
        let [EmbeddingInput::Text(text)] = &req.input[..] else {
            let message = "`input` must be one text for this model";
            return Err(BadRequest::field("input", message));
        };
        top.str("inputText", text);
        if let Some(dimensions) = dimensions {
            top.num("dimensions", dimensions);
        }
    } else if to.model.contains("cohere.embed") {
        let mut kind = "\"search_document\"";
        for (name, raw) in &req.rest {
            match name.as_str() {
                "input_type" => kind = raw.get(),
                other => dropped.push(other.to_owned()),
            }
        }
        write_texts(top.key("texts"), req)?;
        top.raw("input_type", kind).raw("embedding_types", "[\"float\"]");
        if let Some(dimensions) = dimensions {
            top.num("output_dimension", dimensions);
        }
    } else {
        let message = "embeddings of this model are not carried: Titan's and Cohere's are";
        return Err(BadRequest::field("model", message));
    }
    top.close();
    let path = format!("/model/{}/invoke", escaped(to.model));
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path, headers, body, dropped })
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    embedding: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "inputTextTokenCount")]
    counted: Option<&'a RawValue>,
    #[serde(borrow, default)]
    embeddings: Option<Vectors<'a>>,
}

#[derive(Deserialize)]
struct Vectors<'a> {
    #[serde(borrow)]
    float: Vec<&'a RawValue>,
}

/// Reads a reply of either maker.
pub(super) fn decode(body: &[u8]) -> Result<EmbeddingsReply<'_>, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the reply cannot be read: {error}")))?;
    let vectors = match (wire.embedding, wire.embeddings) {
        (Some(one), _) => vec![one],
        (None, Some(many)) => many.float,
        (None, None) => return Err(malformed("the reply has no vector".to_owned())),
    };
    let usage = wire.counted.map_or_else(UsageReport::default, |raw| {
        let mut counts = Counts::default();
        let tokens = counts.read(Some(raw));
        counts.set(Class::Input, tokens);
        counts.finish()
    });
    Ok(EmbeddingsReply { model: None, vectors, usage })
}
