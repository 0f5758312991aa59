//! Texts read aloud.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use super::{Count, EVENTS, Used, bare, malformed, read};
use crate::counts::Counts;
use crate::dialect::json::put_str;
use crate::splice::Splice;
use crate::sse::Framer;
use crate::unified::{
    Encoded, ErrorKind, MediaReply, MediaRequest, ProviderError, Speech, Target, UsageReport,
};

pub(super) const PATH: &str = "/audio/speech";

/// Tokens of a second of speech: OpenAI's realtime guide gives one to 50 ms of what a model says, and the
/// price of a minute of gpt-4o-mini-tts is that of 1,250.
const A_SECOND: u64 = 25;
/// What is held beside: pauses before and after.
const BESIDE: u64 = 250;
/// What a provider puts around a text.
const FRAME: u64 = 64;

/// Whether what the model reads is billed by the character, as it is by OpenAI's older voices, which say
/// nothing of what they used.
pub fn by_character(model: &str) -> bool {
    bare(model).starts_with("tts-1")
}

/// The input, and whether it is exactly that.
pub(super) fn input(speech: &Speech<'_>, model: &str, count: &Count<'_>) -> (u64, bool) {
    if by_character(model) {
        return (speech.text.chars().count() as u64, true);
    }
    let instructions = speech.instructions.as_deref().map_or(0, count);
    (count(&speech.text).saturating_add(instructions).saturating_add(FRAME), false)
}

/// No text is read slower than a second a character, at the usual speed.
pub(super) fn most_output(speech: &Speech<'_>, model: &str) -> Option<u64> {
    if by_character(model) {
        return Some(0);
    }
    let rule = bare(model).starts_with("gpt-4o-mini-tts");
    let seconds = (speech.text.chars().count() as u64).saturating_mul(100).div_ceil(speech.speed);
    rule.then(|| seconds.saturating_mul(A_SECOND).saturating_add(BESIDE))
}

/// A request for events, of models that have them.
pub(super) fn encode(req: &MediaRequest<'_>, to: &Target<'_>) -> Encoded {
    if by_character(to.model) {
        return crate::task::as_it_came(&req.source, PATH, to);
    }
    let spans = &req.source.spans;
    let mut splice = Splice::new(&req.source);
    let mut name = Vec::new();
    put_str(&mut name, to.model);
    splice.set("model", spans.model.as_ref(), name);
    splice.set("stream_format", spans.stream.as_ref(), b"\"sse\"".to_vec());
    let headers = vec![("content-type", "application/json".to_owned())];
    let body = splice.finish();
    Encoded { method: "POST", path: PATH.to_owned(), headers, body, dropped: Vec::new() }
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default, rename = "type")]
    what: Cow<'a, str>,
    #[serde(borrow, default)]
    audio: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// Reads a reply: events, or the sound itself, which says nothing of what it used.
pub(super) fn decode(
    body: &[u8],
    kind: &'static str,
    framed: bool,
) -> Result<MediaReply, ProviderError> {
    let plain = |body| MediaReply { usage: UsageReport::default(), body, kind };
    if body.is_empty() {
        return Err(malformed("the reply is empty"));
    }
    if !["data:", "event:"].iter().any(|start| body.starts_with(start.as_bytes())) {
        return Ok(plain(None));
    }
    let (mut sound, mut usage) = (Vec::new(), None);
    let mut framer = Framer::new(usize::MAX);
    framer.push(Bytes::copy_from_slice(body));
    let mut take = |data: &[u8]| -> Result<(), ProviderError> {
        let said: Said<'_> = read(data)?;
        match &*said.what {
            "speech.audio.delta" => {
                let audio = said.audio.as_deref().unwrap_or_default();
                STANDARD
                    .decode_vec(audio, &mut sound)
                    .map_err(|_| malformed("sound that is not base64"))
            }
            "speech.audio.done" => {
                usage = Some(said.usage.map_or_else(UsageReport::default, |raw| used(raw.get())));
                Ok(())
            }
            _ => Ok(()),
        }
    };
    while let Ok(Some(frame)) = framer.next_frame() {
        frame.data().filter(|data| *data != b"[DONE]").map_or(Ok(()), &mut take)?;
    }
    if let Some(frame) = framer.rest() {
        frame.data().filter(|data| *data != b"[DONE]").map_or(Ok(()), &mut take)?;
    }
    let broken = || ProviderError::new(ErrorKind::Truncated, "the speech ended before its end");
    let usage = usage.ok_or_else(broken)?;
    Ok(if framed {
        MediaReply { usage, body: None, kind: EVENTS }
    } else {
        MediaReply { usage, ..plain(Some(sound)) }
    })
}

/// All that comes out is sound.
fn used(json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<Used<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    let input = counts.read(wire.input_tokens);
    counts.set(Class::Input, input);
    let output = counts.read(wire.output_tokens);
    counts.total(output, Class::Output, &[(Class::AudioOutput, output)]);
    counts.finish()
}
