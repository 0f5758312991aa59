//! Embeddings on Vertex, whose wire for them is `predict`: an instance a text, and a count with each.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::dialect::json::{Object, array};
use crate::openai::escaped;
use crate::unified::{
    BadRequest, EmbeddingsReply, EmbeddingsRequest, Encoded, ErrorKind, ProviderError, Target,
    UsageReport,
};

/// Writes a request.
pub(super) fn encode(
    models: &str,
    req: &EmbeddingsRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    let super::embeddings::Read { texts, kind, title, dropped } = super::embeddings::read(req)?;
    let mut body = Vec::with_capacity(req.source.body.len() + 64 * texts.len() + 16);
    let mut top = Object::open(&mut body);
    array(top.key("instances"), texts, |out, text| {
        let mut one = Object::open(out);
        one.str("content", text);
        for (name, value) in [("task_type", kind), ("title", title)] {
            if let Some(value) = value {
                one.raw(name, value);
            }
        }
        one.close();
    });
    if let Some(dimensions) = req.dimensions {
        let mut parameters = top.object("parameters");
        parameters.num("outputDimensionality", u64::from(dimensions));
        parameters.close();
    }
    top.close();
    let path = format!("{models}{}:predict", escaped(to.model));
    let headers = vec![("content-type", "application/json".to_owned())];
    Ok(Encoded { method: "POST", path, headers, body, dropped })
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    predictions: Option<Vec<Prediction<'a>>>,
}

#[derive(Deserialize)]
struct Prediction<'a> {
    #[serde(borrow)]
    embeddings: Vector<'a>,
}

#[derive(Deserialize)]
struct Vector<'a> {
    #[serde(borrow)]
    values: &'a RawValue,
    #[serde(borrow, default)]
    statistics: Option<Statistics<'a>>,
}

#[derive(Deserialize)]
struct Statistics<'a> {
    #[serde(borrow, default)]
    token_count: Option<&'a RawValue>,
}

/// Reads a reply. What was used is the sum of its counts, where each text has one.
pub(super) fn decode(body: &[u8]) -> Result<EmbeddingsReply<'_>, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the reply cannot be read: {error}")))?;
    let predictions = wire.predictions.ok_or_else(|| malformed("no `predictions`".to_owned()))?;
    let told = |one: &Prediction<'_>| one.embeddings.statistics.as_ref().is_some();
    let usage = if predictions.is_empty() || !predictions.iter().all(told) {
        UsageReport::default()
    } else {
        let mut counts = Counts::default();
        let sum = predictions.iter().try_fold(0_u64, |sum, one| {
            let raw = one.embeddings.statistics.as_ref().and_then(|told| told.token_count);
            sum.checked_add(counts.read(raw)?)
        });
        counts.set(Class::Input, sum);
        counts.finish()
    };
    let vectors = predictions.into_iter().map(|one| one.embeddings.values).collect();
    Ok(EmbeddingsReply { model: None, vectors, usage })
}
