//! Moderations and rerankings at providers: sent as they came but for the model's name, and read for
//! what they used. All providers that have them write their results alike.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::dialect::json::put_str;
use crate::openai::told;
use crate::splice::Splice;
use crate::unified::{
    Encoded, ErrorKind, ProviderError, Source, Target, Task, TaskRequest, UsageReport,
};

/// Writes a request for a provider that has it at the usual path.
pub(crate) fn encode(req: &TaskRequest<'_>, to: &Target<'_>) -> Encoded {
    let path = match req.task {
        Task::Moderate => "/moderations",
        Task::Rank => "/rerank",
    };
    as_it_came(&req.source, path, to)
}

/// A body as it came, but for the model's name.
pub(crate) fn as_it_came(source: &Source<'_>, path: &str, to: &Target<'_>) -> Encoded {
    let mut name = Vec::with_capacity(to.model.len() + 2);
    put_str(&mut name, to.model);
    let mut splice = Splice::new(source);
    splice.set("model", source.spans.model.as_ref(), name);
    let headers = vec![("content-type", "application/json".to_owned())];
    let body = splice.finish();
    Encoded { method: "POST", path: path.to_owned(), headers, body, dropped: Vec::new() }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    results: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    usage: Option<Used<'a>>,
    #[serde(borrow, default)]
    meta: Option<Meta<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Mistral's, Jina's, vLLM's, Together's.
#[derive(Deserialize)]
struct Used<'a> {
    #[serde(borrow, default)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    total_tokens: Option<&'a RawValue>,
}

/// Cohere's: it bills searches.
#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    billed_units: Option<Billed<'a>>,
}

#[derive(Deserialize)]
struct Billed<'a> {
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    search_units: Option<&'a RawValue>,
}

/// Reads what a reply used; nothing where it does not say.
pub(crate) fn decode(body: &[u8]) -> Result<UsageReport, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the reply cannot be read: {error}")))?;
    if let Some(error) = wire.error.filter(|raw| raw.get() != "null") {
        return Err(told(error.get()));
    }
    if wire.results.is_none() {
        return Err(malformed("the reply has no `results`".to_owned()));
    }
    let units = wire.meta.and_then(|meta| meta.billed_units);
    if wire.usage.is_none() && units.is_none() {
        return Ok(UsageReport::default());
    }
    let mut counts = Counts::default();
    let mut input = None;
    if let Some(Used { prompt_tokens, total_tokens }) = wire.usage {
        input = counts.read(total_tokens).or_else(|| counts.read(prompt_tokens));
    }
    if let Some(Billed { input_tokens, search_units }) = units {
        input = input.or_else(|| counts.read(input_tokens));
        let searches = counts.read(search_units);
        counts.set(Class::WebSearch, searches);
    }
    counts.set(Class::Input, input);
    Ok(counts.finish())
}
