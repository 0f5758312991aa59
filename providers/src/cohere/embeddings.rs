//! Embeddings.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::json::Object;
use crate::openai::{told, write_texts};
use crate::unified::{
    BadRequest, EmbeddingsReply, EmbeddingsRequest, Encoded, ErrorKind, ProviderError, Target,
    UsageReport,
};

/// Writes a request. What the vectors are for must be said here: documents to be searched, unless the
/// request says otherwise in this provider's words or in Google's.
pub(super) fn encode(req: &EmbeddingsRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
    let (mut kind, mut dropped) = ("\"search_document\"", Vec::new());
    for (name, raw) in &req.rest {
        match (name.as_str(), raw.get()) {
            ("input_type", own) => kind = own,
            ("task_type", "\"RETRIEVAL_QUERY\"") => kind = "\"search_query\"",
            ("task_type", "\"CLASSIFICATION\"") => kind = "\"classification\"",
            ("task_type", "\"CLUSTERING\"") => kind = "\"clustering\"",
            ("task_type", "\"RETRIEVAL_DOCUMENT\"") => {}
            (other, _) => dropped.push(other.to_owned()),
        }
    }
    if req.user.is_some() {
        dropped.push("user".to_owned());
    }
    let mut body = Vec::with_capacity(req.source.body.len() + 128);
    let mut top = Object::open(&mut body);
    top.str("model", to.model);
    write_texts(top.key("texts"), req)?;
    top.raw("input_type", kind).raw("embedding_types", "[\"float\"]");
    if let Some(dimensions) = req.dimensions {
        top.num("output_dimension", u64::from(dimensions));
    }
    top.close();
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path: "/embed".to_owned(), headers, body, dropped })
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    embeddings: Vectors<'a>,
    #[serde(borrow, default)]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Vectors<'a> {
    #[serde(borrow)]
    float: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Failed<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

/// Reads a reply.
pub(super) fn decode(body: &[u8]) -> Result<EmbeddingsReply<'_>, ProviderError> {
    if let Ok(Failed { error }) = serde_json::from_slice(body) {
        return Err(told(error.get()));
    }
    let wire: Wire<'_> = serde_json::from_slice(body).map_err(|error| {
        let message = format!("the reply cannot be read: {error}");
        ProviderError::new(ErrorKind::Malformed, message)
    })?;
    let usage = wire.meta.map_or_else(UsageReport::default, |raw| super::input_usage(raw.get()));
    Ok(EmbeddingsReply { model: None, vectors: wire.embeddings.float, usage })
}
