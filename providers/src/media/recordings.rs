//! Recordings written down.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use super::{Count, EVENTS, JSON, Used, bare, malformed, read, sound, subtitles};
use crate::counts::Counts;
use crate::decimal;
use crate::dialect::json::{Object, frame};
use crate::form;
use crate::unified::{
    Answer, BadRequest, Encoded, MediaReply, ProviderError, Recording, Target, Transcript,
    UsageReport,
};

/// What gpt-4o-transcribe and its smaller kin read at most, and write: their model pages.
const WINDOW: u64 = 16_000;
const MOST_WRITTEN: u64 = 2_000;
/// Tokens of a second of sound, which is ten by OpenAI's realtime guide; of others, beyond the 32 of the
/// dearest that is published.
const A_SECOND: u64 = 20;
const A_SECOND_ELSEWHERE: u64 = 50;
/// The content type of what is not an object; OpenAI's of subtitles as well.
const TEXT: &str = "text/plain; charset=utf-8";
/// What a provider puts around a recording.
const FRAME: u64 = 64;

/// Whether a recording that the model hears is billed by the second, as Whisper's are.
pub fn by_second(model: &str) -> bool {
    bare(model).starts_with("whisper")
}

fn has_window(model: &str) -> bool {
    let name = bare(model);
    name.starts_with("gpt-4o-transcribe") || name.starts_with("gpt-4o-mini-transcribe")
}

/// The most that it is billed for hearing: by its length, where that can be measured, and never more than
/// the model reads at all.
pub(super) fn most_input(recording: &Recording<'_>, model: &str, count: &Count<'_>) -> Option<u64> {
    let seconds = sound::seconds(recording.file);
    if by_second(model) {
        return seconds;
    }
    let words = recording.prompt.map_or(0, count).saturating_add(FRAME);
    let tokens = |each: u64| Some(seconds?.saturating_mul(each).saturating_add(words));
    if has_window(model) {
        Some(tokens(A_SECOND).map_or(WINDOW, |tokens| tokens.min(WINDOW)))
    } else {
        tokens(A_SECOND_ELSEWHERE)
    }
}

pub(super) fn most_output(model: &str) -> Option<u64> {
    if by_second(model) { Some(0) } else { has_window(model).then_some(MOST_WRITTEN) }
}

pub(super) fn answer(recording: &Recording<'_>, model: &str) -> Answer {
    let want = match recording.want {
        Transcript::Json if asked(recording) == "json" => Transcript::AsItComes,
        want => want,
    };
    Answer::Transcript { want, by_second: by_second(model) }
}

/// What the provider is asked for, where the client does not say, or reads what is written here from
/// that: what tells how long the recording was. A translation tells it only so, and subtitles need it.
fn asked(recording: &Recording<'_>) -> &'static str {
    let subtitles = matches!(recording.want, Transcript::Srt | Transcript::Vtt);
    if recording.translate || subtitles { "verbose_json" } else { "json" }
}

/// Writes the form anew.
pub(super) fn encode(
    recording: &Recording<'_>,
    body: &[u8],
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    let without: &[&str] = match recording.want {
        // OpenAI's reference: of its models whisper-1 alone has `verbose_json`.
        Transcript::Srt | Transcript::Vtt if !by_second(to.model) => {
            let why = format!(
                "`response_format` of subtitles is not supported at {:?}: it does not tell the times of \
                 what was said; Whisper models do",
                to.model
            );
            return Err(BadRequest::field("response_format", why));
        }
        Transcript::Srt | Transcript::Vtt => &["timestamp_granularities[]"],
        Transcript::Events => &["stream"],
        Transcript::AsItComes | Transcript::Json | Transcript::Text => &[],
    };
    let format = (recording.want != Transcript::AsItComes).then(|| asked(recording));
    let format = format.map(|format| ("response_format", format));
    let fields: Vec<_> = std::iter::once(("model", to.model)).chain(format).collect();
    let path = if recording.translate { "/audio/translations" } else { "/audio/transcriptions" };
    form::posted(body, path, &fields, without)
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    segments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    duration: Option<&'a RawValue>,
}

pub(super) fn decode(
    body: &[u8],
    want: Transcript,
    by_second: bool,
) -> Result<MediaReply, ProviderError> {
    let wire: Wire<'_> = read(body)?;
    let text = wire.text.ok_or_else(|| malformed("the reply has no `text`"))?;
    let usage = match wire.usage.map(|raw| serde_json::from_str::<Option<Used<'_>>>(raw.get())) {
        Some(Err(_)) => Counts::unreadable(),
        said if by_second => heard(said.and_then(Result::ok).flatten(), wire.duration),
        said => counted(said.and_then(Result::ok).flatten()),
    };
    let (body, kind) = match want {
        Transcript::AsItComes => (None, JSON),
        Transcript::Text => (Some(format!("{text}\n").into_bytes()), TEXT),
        Transcript::Srt => (Some(subtitles::srt(wire.segments)?), TEXT),
        Transcript::Vtt => (Some(subtitles::vtt(wire.segments)?), TEXT),
        Transcript::Events => {
            let mut out = Vec::with_capacity(body.len() + text.len() + 128);
            frame(&mut out, "transcript.text.delta", |event| {
                event.str("delta", &text);
            });
            frame(&mut out, "transcript.text.done", |event| {
                event.str("text", &text);
                for (name, value) in [("logprobs", wire.logprobs), ("usage", wire.usage)] {
                    if let Some(value) = value {
                        event.raw(name, value.get());
                    }
                }
            });
            (Some(out), EVENTS)
        }
        Transcript::Json => {
            let mut out = Vec::with_capacity(text.len() + 16);
            let mut object = Object::open(&mut out);
            object.str("text", &text);
            object.close();
            (Some(out), JSON)
        }
    };
    Ok(MediaReply { usage, body, kind })
}

/// Seconds, begun ones as whole ones.
fn heard(usage: Option<Used<'_>>, duration: Option<&RawValue>) -> UsageReport {
    let Some(raw) = usage.and_then(|usage| usage.seconds).or(duration) else {
        return UsageReport::default();
    };
    let mut counts = Counts::default();
    let seconds = decimal::scaled(raw.get(), 0).map(|(whole, cut)| whole + i128::from(cut));
    let Some(seconds) = seconds.and_then(|seconds| u64::try_from(seconds).ok()) else {
        return Counts::unreadable();
    };
    counts.set(Class::Input, Some(0));
    counts.set(Class::AudioInput, Some(seconds));
    counts.set(Class::Output, Some(0));
    counts.finish()
}

/// Tokens; what is not said to be text was heard. Seconds of a model that is billed in tokens say nothing.
fn counted(usage: Option<Used<'_>>) -> UsageReport {
    let Some(usage) = usage.filter(|usage| usage.seconds.is_none()) else {
        return UsageReport::default();
    };
    let mut counts = Counts::default();
    let details = usage.input_tokens_details.unwrap_or_default();
    let input = counts.read(usage.input_tokens);
    let text = counts.read(details.text_tokens).unwrap_or(0);
    let heard = counts.read(details.audio_tokens);
    let heard = heard.or(input.map(|input| input.saturating_sub(text)));
    counts.total(input, Class::Input, &[(Class::AudioInput, heard)]);
    let output = counts.read(usage.output_tokens);
    counts.set(Class::Output, output);
    counts.finish()
}
