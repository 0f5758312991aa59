//! Moderations as OpenAI's clients ask for them, and rerankings as Cohere's, Jina's and vLLM's do, which
//! write them alike. What is not text cannot be counted before it is sent, so it is refused.

use serde::Deserialize;

use super::Dialect;
use super::fields::{Field, indexed, members, missing};
use crate::guard::Bounds;
use crate::unified::{BadRequest, Source, Task, TaskRequest, Text};

/// Reads a body.
pub(crate) fn decode<'a>(
    body: &'a [u8],
    bounds: &Bounds,
    task: Task,
) -> Result<TaskRequest<'a>, BadRequest> {
    let (mut model, mut query, mut texts, mut at) = (None, None, None, None);
    let list = match task {
        Task::Moderate => "input",
        Task::Rank => "documents",
    };
    let mut spans = members(body, bounds, |field| {
        match field.name.as_str() {
            "model" => {
                at = Some(field.span.clone());
                model = Some(field.read::<Text<'a>>()?);
            }
            "query" if task == Task::Rank => query = Some(field.read::<Text<'a>>()?),
            name if name == list => texts = Some(read_texts(&field, bounds)?),
            "stream" if field.optional()?.unwrap_or(false) => {
                return Err(field.bad("is not supported here"));
            }
            _ => drop(field.raw()?),
        }
        Ok(())
    })?;
    spans.model = at;
    let model = model.filter(|m: &Text<'_>| !m.is_empty()).ok_or_else(|| missing("model"))?;
    let texts = texts.ok_or_else(|| missing(list))?;
    if task == Task::Rank && query.is_none() {
        return Err(missing("query"));
    }
    let dialect = match task {
        Task::Moderate => Dialect::OpenAiModerations,
        Task::Rank => Dialect::Rerank,
    };
    Ok(TaskRequest { task, model, query, texts, source: Source { dialect, body, spans } })
}

/// A text by itself, or as a member of an object, as parts and documents have it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wire<'a> {
    Plain(#[serde(borrow)] Text<'a>),
    Object {
        #[serde(borrow)]
        text: Text<'a>,
    },
}

fn read_texts<'a>(field: &Field<'a>, bounds: &Bounds) -> Result<Vec<Text<'a>>, BadRequest> {
    if field.json.starts_with('"') {
        return Ok(vec![field.read()?]);
    }
    let mut texts = Vec::new();
    field.each(|i, raw: &'a serde_json::value::RawValue| {
        if texts.len() >= bounds.max_inputs {
            let message = format_args!("holds more than {} inputs", bounds.max_inputs).to_string();
            return Err(field.bad(message));
        }
        let read = serde_json::from_str::<Wire<'a>>(raw.get());
        texts.push(match read.map_err(|_| indexed(&field.name, i, "must be text"))? {
            Wire::Plain(text) | Wire::Object { text } => text,
        });
        Ok(())
    })?;
    if texts.is_empty() {
        return Err(field.bad("must not be empty"));
    }
    Ok(texts)
}
