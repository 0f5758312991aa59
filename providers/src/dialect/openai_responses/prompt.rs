//! A request that names a stored prompt, as OpenAI's `prompt` objects did: who keeps prompts renders it
//! with the variables and sends what comes of it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::request::input;
use crate::dialect::fields::members;
use crate::guard::Bounds;
use crate::unified::{BadRequest, Message, Text};

/// What is asked of a stored prompt.
#[derive(Debug, Default)]
pub struct Prompt<'a> {
    /// The prompt's name, and behind an `@` its version, where the request names one.
    pub name: String,
    /// The values of its inputs. What stood in a part of text is that text.
    pub variables: Map<String, Value>,
    /// What is said besides.
    pub said: Vec<Message<'a>>,
    /// The model that is to answer instead of the prompt's own.
    pub model: Option<Text<'a>>,
    /// Whether the client reads a stream.
    pub stream: bool,
    /// The client's cap on the output tokens.
    pub max_output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    variables: Option<Map<String, Value>>,
}

/// Reads a request with a `prompt`. Fields that would change what the prompt says or does are refused,
/// for they would be lost.
///
/// # Errors
/// The field at fault.
pub fn prompt<'a>(body: &'a [u8], bounds: &Bounds) -> Result<Prompt<'a>, BadRequest> {
    let mut prompt = Prompt::default();
    members(body, bounds, |field| {
        match field.name.as_str() {
            _ if field.is_null() => {}
            "prompt" => {
                let Wire { id, version, variables } = field.read()?;
                prompt.name = version.map_or(id.clone(), |version| format!("{id}@{version}"));
                let variables = variables.unwrap_or_default().into_iter();
                prompt.variables = variables.map(|(name, value)| (name, plain(value))).collect();
            }
            "input" => prompt.said = input(&field)?,
            "model" => prompt.model = Some(field.read()?),
            "stream" => prompt.stream = field.read()?,
            "max_output_tokens" => {
                prompt.max_output_tokens = field.count(1, bounds.max_output_tokens)?;
            }
            "background" if field.read()? => {
                return Err(field.bad("is not supported here: send the request with `stream`"));
            }
            // Kept and repeated beside the prompt; they change nothing in it.
            "store" | "metadata" | "stream_options" | "background" => {}
            _ => return Err(field.bad("is for the prompt itself to say")),
        }
        Ok(())
    })?;
    Ok(prompt)
}

/// A variable's value: a text may stand in a part of its own.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(mut part) if part.get("type").is_some_and(|kind| kind == "input_text") => {
            part.remove("text").unwrap_or_default()
        }
        other => other,
    }
}
