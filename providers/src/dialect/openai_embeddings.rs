//! OpenAI's embeddings as a client asks for them.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::fields::{Field, members, missing};
use super::json::{Object, array};
use super::{Dialect, EncodeOptions};
use crate::guard::Bounds;
use crate::unified::{
    BadRequest, EmbeddingInput, EmbeddingsReply, EmbeddingsRequest, Source, Text, VectorFormat,
};
use crate::vectors::packed;

/// Reads a body.
pub(crate) fn decode<'a>(
    body: &'a [u8],
    bounds: &Bounds,
) -> Result<EmbeddingsRequest<'a>, BadRequest> {
    let (mut model, mut input, mut format, mut dimensions, mut user) =
        (None, None, VectorFormat::Float, None, None);
    let mut rest = Vec::new();
    let mut at = None;
    let mut spans = members(body, bounds, |field| {
        match field.name.as_str() {
            "model" => {
                model = Some(field.read::<Text<'a>>()?);
                at = Some(field.span);
            }
            "input" => input = Some(read_input(&field, bounds)?),
            "encoding_format" => format = read_format(&field)?,
            "dimensions" => {
                dimensions = field.count(1, 65_536)?.and_then(|n| u32::try_from(n).ok());
            }
            "user" => user = field.optional()?,
            _ => rest.push((field.name.clone(), field.raw()?)),
        }
        Ok(())
    })?;
    spans.model = at;
    let model = model.filter(|m: &Text<'_>| !m.is_empty()).ok_or_else(|| missing("model"))?;
    let input = input.ok_or_else(|| missing("input"))?;
    let source = Source { dialect: Dialect::OpenAiEmbeddings, body, spans };
    Ok(EmbeddingsRequest { model, input, format, dimensions, user, rest, source })
}

/// Writes a reply of another wire, whose vectors are arrays of numbers.
pub(crate) fn encode_reply(
    reply: &EmbeddingsReply<'_>,
    format: VectorFormat,
    options: &EncodeOptions<'_>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut top = Object::open(&mut out);
    top.str("object", "list");
    array(top.key("data"), reply.vectors.iter().enumerate(), |out, (i, vector)| {
        let mut object = Object::open(out);
        object.str("object", "embedding").num("index", i as u64);
        match format {
            VectorFormat::Float => object.raw("embedding", vector.get()),
            VectorFormat::Base64 => object.str("embedding", &packed(vector.get())),
        };
        object.close();
    });
    top.str("model", reply.model.as_deref().unwrap_or(options.model));
    if let Some(tokens) = reply.usage.usage.input_total() {
        let mut usage = top.object("usage");
        usage.num("prompt_tokens", tokens).num("total_tokens", tokens);
        usage.close();
    }
    top.close();
    out
}

fn read_format(field: &Field<'_>) -> Result<VectorFormat, BadRequest> {
    match field.optional::<Text<'_>>()?.as_deref() {
        None | Some("float") => Ok(VectorFormat::Float),
        Some("base64") => Ok(VectorFormat::Base64),
        Some(other) => Err(field.bad(format_args!("is `{other}`, neither `float` nor `base64`"))),
    }
}

fn read_input<'a>(
    field: &Field<'a>,
    bounds: &Bounds,
) -> Result<Vec<EmbeddingInput<'a>>, BadRequest> {
    let input = match field.read()? {
        Input::One(text) => vec![EmbeddingInput::Text(text)],
        Input::Tokens(tokens) => vec![EmbeddingInput::Tokens(tokens)],
        Input::Many(many) => many,
    };
    let empty = |one: &EmbeddingInput<'_>| match one {
        EmbeddingInput::Text(text) => text.is_empty(),
        EmbeddingInput::Tokens(tokens) => tokens.is_empty(),
    };
    if input.is_empty() || input.iter().any(empty) {
        return Err(field.bad("must not be empty, nor hold anything empty"));
    }
    if input.len() > bounds.max_inputs {
        return Err(field.bad(format_args!("holds more than {} inputs", bounds.max_inputs)));
    }
    Ok(input)
}

enum Input<'a> {
    One(Text<'a>),
    Tokens(Vec<u32>),
    Many(Vec<EmbeddingInput<'a>>),
}

/// One element of an array: what it is decides what the array is.
enum Element<'a> {
    Text(Text<'a>),
    Token(u32),
    Tokens(Vec<u32>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Input<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Input<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a string, an array of strings, an array of tokens or an array of those",
                )
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Input::One(v.into()))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Input::One(v.to_owned().into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let (mut tokens, mut many) = (Vec::new(), Vec::new());
                while let Some(element) = seq.next_element()? {
                    match element {
                        Element::Token(token) => tokens.push(token),
                        Element::Text(text) => many.push(EmbeddingInput::Text(text)),
                        Element::Tokens(tokens) => many.push(EmbeddingInput::Tokens(tokens)),
                    }
                }
                match (tokens.is_empty(), many.is_empty()) {
                    (false, true) => Ok(Input::Tokens(tokens)),
                    (true, _) => Ok(Input::Many(many)),
                    (false, false) => {
                        Err(de::Error::custom("tokens and texts are mixed in one array"))
                    }
                }
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Element<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a token or an array of tokens")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Element::Text(v.into()))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Element::Text(v.to_owned().into()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
                u32::try_from(v).map(Element::Token).map_err(|_| E::custom("a token is too large"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = seq.next_element()? {
                    tokens.push(token);
                }
                Ok(Element::Tokens(tokens))
            }
        }
        deserializer.deserialize_any(Read)
    }
}
