//! Reads a request. What asks for more than one text at a time, or for what only this wire can tell, is
//! refused by name.

use crate::dialect::Dialect;
use crate::dialect::fields::{Field, members, missing};
use crate::dialect::openai_chat::{include_usage, stop};
use crate::guard::Bounds;
use crate::unified::{
    BadRequest, Block, ChatRequest, Message, ResponseFormat, Role, Sampling, Source, Spans, Text,
};

/// The cap where a request names none, as OpenAI documents it.
const USUAL_CAP: u64 = 16;

/// Reads a body.
pub(crate) fn decode<'a>(body: &'a [u8], bounds: &Bounds) -> Result<ChatRequest<'a>, BadRequest> {
    let mut draft = Draft::default();
    let spans = members(body, bounds, |field| draft.take(field, bounds))?;
    draft.spans.insert_at = spans.insert_at;
    draft.spans.empty = spans.empty;
    draft.finish(body)
}

/// The fields as they are met.
#[derive(Default)]
struct Draft<'a> {
    model: Option<Text<'a>>,
    prompt: Option<Text<'a>>,
    cap: Option<u64>,
    n: Option<u64>,
    stop: Vec<Text<'a>>,
    stream: bool,
    include_usage: bool,
    sampling: Sampling<'a>,
    user: Option<Text<'a>>,
    rest: Vec<(Text<'a>, &'a serde_json::value::RawValue)>,
    spans: Spans,
}

impl<'a> Draft<'a> {
    fn take(&mut self, field: Field<'a>, bounds: &Bounds) -> Result<(), BadRequest> {
        let not_here = |field: &Field<'a>| Err(field.bad("is not supported here"));
        match field.name.as_str() {
            "model" => self.model = Some(field.read()?),
            "prompt" => self.prompt = Some(prompt(&field)?),
            "max_tokens" => self.cap = field.count(1, bounds.max_output_tokens)?,
            "n" => self.n = field.count(1, u64::from(bounds.max_choices))?,
            // What is generated and thrown away is billed too.
            "best_of" => {
                if field.count(1, u64::MAX)?.is_some_and(|best_of| best_of > 1) {
                    return not_here(&field);
                }
            }
            "echo" => {
                if field.optional()?.unwrap_or(false) {
                    return not_here(&field);
                }
            }
            "logprobs" | "suffix" if !field.is_null() => return not_here(&field),
            "stop" => self.stop = stop(&field)?,
            "stream" => self.stream = field.optional()?.unwrap_or(false),
            "stream_options" => self.include_usage = include_usage(&field)?.unwrap_or(false),
            "temperature" => self.sampling.temperature = field.number()?,
            "top_p" => self.sampling.top_p = field.number()?,
            "top_k" => self.sampling.top_k = field.number()?,
            "frequency_penalty" => self.sampling.frequency_penalty = field.number()?,
            "presence_penalty" => self.sampling.presence_penalty = field.number()?,
            "seed" => self.sampling.seed = field.number()?,
            "user" => self.user = field.optional()?,
            _ if field.is_null() => {}
            _ => self.rest.push((field.name.clone(), field.raw()?)),
        }
        Ok(())
    }

    fn finish(self, body: &'a [u8]) -> Result<ChatRequest<'a>, BadRequest> {
        let model = self.model.filter(|m| !m.is_empty()).ok_or_else(|| missing("model"))?;
        let text = self.prompt.ok_or_else(|| missing("prompt"))?;
        let blocks = vec![Block::Text { text, cache: None }];
        Ok(ChatRequest {
            model,
            messages: vec![Message { role: Role::User, name: None, blocks }],
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            response_format: ResponseFormat::Text,
            max_output_tokens: self.cap.or(Some(USUAL_CAP)),
            n: self.n.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
            stop: self.stop,
            stream: self.stream,
            include_usage: self.include_usage,
            sampling: self.sampling,
            logprobs: false,
            top_logprobs: None,
            reasoning_effort: None,
            user: self.user,
            service_tier: None,
            metadata: None,
            rest: self.rest,
            source: Source { dialect: Dialect::OpenAiCompletions, body, spans: self.spans },
        })
    }
}

/// One text, which may stand in a list of one.
fn prompt<'a>(field: &Field<'a>) -> Result<Text<'a>, BadRequest> {
    if field.json.starts_with('"') {
        return field.read();
    }
    let one = |field: &Field<'a>| field.read::<[Text<'a>; 1]>();
    let [text] = one(field).map_err(|_| {
        field.bad("must be one text: lists of several, and tokens, are not supported here")
    })?;
    Ok(text)
}
