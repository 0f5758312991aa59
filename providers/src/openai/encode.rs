//! Writes requests: by splicing where the client spoke this dialect, else from the hub's words.

use super::{Paths, Profile};
use crate::catalogue::refusals;
use crate::dialect::Dialect;
use crate::dialect::json::{Object, array, put_str};
use crate::guard::outline;
use crate::splice::Splice;
use crate::unified::{BadRequest, ChatRequest, EmbeddingInput, EmbeddingsRequest, Encoded, Target};

/// A chat request.
pub(crate) fn chat(
    profile: &Profile,
    req: &ChatRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    let text = req.source.dialect == Dialect::OpenAiCompletions;
    let (at, (body, mut dropped)) = match req.source.dialect {
        Dialect::OpenAiChat => ("/chat/completions", (splice(profile, req, to), Vec::new())),
        _ if text && profile.completions.has(to.model) => {
            ("/completions", super::write::completion(profile, req, to))
        }
        _ => ("/chat/completions", super::write::chat(profile, req, to)?),
    };
    let (body, refused) = match refusals::of(profile.name, to.model) {
        Some(rule) => rule.apply(req, body)?,
        None => (body, Vec::new()),
    };
    dropped.extend(refused);
    let (body, refused) = restrict(profile, body)?;
    dropped.extend(refused);
    Ok(encoded(path(profile, at, to.model), body, dropped))
}

/// A request for embeddings.
pub(crate) fn embeddings(
    profile: &Profile,
    req: &EmbeddingsRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    let (body, mut dropped) = if req.source.dialect == Dialect::OpenAiEmbeddings {
        let mut splice = Splice::new(&req.source);
        splice.set("model", req.source.spans.model.as_ref(), quoted(to.model));
        (splice.finish(), Vec::new())
    } else {
        written(req, to)?
    };
    let (body, refused) = restrict(profile, body)?;
    dropped.extend(refused);
    Ok(encoded(path(profile, "/embeddings", to.model), body, dropped))
}

/// A request of another dialect, from the hub's words; and what has no place here.
fn written(
    req: &EmbeddingsRequest<'_>,
    to: &Target<'_>,
) -> Result<(Vec<u8>, Vec<String>), BadRequest> {
    let mut out = Vec::with_capacity(req.source.body.len() + 64);
    let mut top = Object::open(&mut out);
    top.str("model", to.model);
    write_texts(top.key("input"), req)?;
    if let Some(dimensions) = req.dimensions {
        top.num("dimensions", u64::from(dimensions));
    }
    top.close();
    Ok((out, req.rest.iter().map(|(name, _)| name.to_string()).collect()))
}

/// The inputs as an array of texts.
pub(crate) fn write_texts(
    out: &mut Vec<u8>,
    req: &EmbeddingsRequest<'_>,
) -> Result<(), BadRequest> {
    let tokens = |input: &EmbeddingInput<'_>| matches!(input, EmbeddingInput::Tokens(_));
    if req.input.iter().any(tokens) {
        let message = "`input` holds tokens, which only their own provider can read";
        return Err(BadRequest::field("input", message));
    }
    array(out, &req.input, |out, input| {
        if let EmbeddingInput::Text(text) = input {
            put_str(out, text);
        }
    });
    Ok(())
}

pub(super) fn path(profile: &Profile, path: &str, model: &str) -> String {
    match profile.paths {
        Paths::Plain => path.to_owned(),
        Paths::Deployments(version) => {
            format!("/deployments/{}{path}?api-version={version}", escaped(model))
        }
    }
}

/// A name as one segment of a path.
pub(crate) fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn encoded(path: String, body: Vec<u8>, dropped: Vec<String>) -> Encoded {
    let headers = vec![("content-type", "application/json".to_owned())];
    Encoded { method: "POST", path, headers, body, dropped }
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    put_str(&mut out, text);
    out
}

fn splice(profile: &Profile, req: &ChatRequest<'_>, to: &Target<'_>) -> Vec<u8> {
    let spans = &req.source.spans;
    let mut splice = Splice::new(&req.source);
    if req.model != to.model {
        splice.set("model", spans.model.as_ref(), quoted(to.model));
    }
    if let Some(cap) = to.max_output_tokens.filter(|cap| Some(*cap) != req.max_output_tokens) {
        let (name, span) = match &spans.output_cap {
            Some((name, span)) => (*name, Some(span)),
            None => (profile.cap_field, None),
        };
        splice.set(name, span, cap.to_string().into_bytes());
    }
    if to.stream != req.stream {
        splice.set("stream", spans.stream.as_ref(), to.stream.to_string().into_bytes());
    }
    if !profile.stream_options || !to.stream {
        // Where the field is refused, or would be without a stream, `null` is as good as its absence.
        if let Some(span) = &spans.stream_options {
            splice.set("stream_options", Some(span), b"null".to_vec());
        }
    } else if !req.include_usage {
        let old = spans.stream_options.as_ref().and_then(|span| req.source.body.get(span.clone()));
        splice.set("stream_options", spans.stream_options.as_ref(), asking_for_usage(old));
    }
    splice.finish()
}

/// `stream_options` as they were, but with usage asked for.
fn asking_for_usage(old: Option<&[u8]>) -> Vec<u8> {
    let fresh = || b"{\"include_usage\":true}".to_vec();
    let Some(outline) = old.and_then(|old| outline(old, usize::MAX, usize::MAX).ok()) else {
        return fresh();
    };
    let text = outline.text;
    if outline.members.is_empty() {
        return fresh();
    }
    match outline.members.iter().find(|m| m.key == "include_usage") {
        Some(m) => [&text[..m.value.start], "true", &text[m.value.end..]].concat().into_bytes(),
        None => {
            let (head, tail) = text.split_at(outline.insert_at);
            [head, "\"include_usage\":true,", tail].concat().into_bytes()
        }
    }
}

/// Leaves out what the provider would refuse to know, and names the rest as it does. `null` is left
/// out with it.
fn restrict(profile: &Profile, body: Vec<u8>) -> Result<(Vec<u8>, Vec<String>), BadRequest> {
    let Some(allowed) = profile.fields else { return Ok((body, Vec::new())) };
    let named = |key: &str| -> Option<&str> {
        let renamed =
            profile.renames.iter().find(|(ours, _)| *ours == key).map_or(key, |(_, name)| *name);
        allowed.iter().find(|name| **name == renamed).copied()
    };
    let outline = outline(&body, usize::MAX, usize::MAX)?;
    let (mut out, mut dropped) = (Vec::with_capacity(body.len()), Vec::new());
    let mut object = Object::open(&mut out);
    for member in &outline.members {
        let value = &outline.text[member.value.clone()];
        if value == "null" {
            continue;
        }
        if let Some(name) = named(member.key).filter(|_| !member.escaped) {
            object.raw(name, value);
        } else {
            dropped.push(member.key.to_owned());
        }
    }
    object.close();
    Ok((out, dropped))
}
