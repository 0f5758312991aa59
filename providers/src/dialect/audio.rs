//! Speech and recordings as OpenAI's clients send them. What could not be counted before it is sent, or
//! says nothing of what it used, is refused.

use super::Dialect;
use super::fields::{Field, members, missing};
use crate::decimal;
use crate::form::{Part, fields};
use crate::guard::Bounds;
use crate::unified::{BadRequest, MediaRequest, Medium, Recording, Source, Spans, Speech};
use crate::unified::{Text, Transcript};

/// Formats of sound, and their content types.
const FORMATS: [(&str, &str); 6] = [
    ("mp3", "audio/mpeg"),
    ("opus", "audio/opus"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("pcm", "audio/pcm"),
];

/// Reads a request for speech.
pub(crate) fn speech<'a>(body: &'a [u8], bounds: &Bounds) -> Result<MediaRequest<'a>, BadRequest> {
    let (mut model, mut text, mut instructions, mut at) = (None, None, None, None);
    let (mut speed, mut kind, mut framed, mut stands) = (100, FORMATS[0].1, false, None);
    let mut spans = members(body, bounds, |field| {
        match field.name.as_str() {
            "model" => {
                at = Some(field.span.clone());
                model = Some(field.read::<Text<'a>>()?);
            }
            "input" => text = Some(field.read::<Text<'a>>()?),
            "instructions" => instructions = field.optional::<Text<'a>>()?,
            "speed" if !field.is_null() => speed = read_speed(&field)?,
            "response_format" => {
                if let Some(name) = field.optional::<Text<'_>>()? {
                    let known = FORMATS.iter().find(|(known, _)| *known == &*name);
                    kind = known.ok_or_else(|| field.bad("is no format of sound"))?.1;
                }
            }
            "stream_format" => {
                stands = Some(field.span.clone());
                framed = match field.optional::<Text<'_>>()?.as_deref() {
                    None | Some("audio") => false,
                    Some("sse") => true,
                    Some(_) => return Err(field.bad("is audio or sse")),
                };
            }
            _ => drop(field.raw()?),
        }
        Ok(())
    })?;
    (spans.model, spans.stream) = (at, stands);
    let model = model.filter(|m: &Text<'_>| !m.is_empty()).ok_or_else(|| missing("model"))?;
    let text = text.filter(|t: &Text<'_>| !t.is_empty()).ok_or_else(|| missing("input"))?;
    let medium = Medium::Speech(Speech { text, instructions, speed, kind, framed });
    let source = Source { dialect: Dialect::OpenAiSpeech, body, spans };
    Ok(MediaRequest { model, medium, source })
}

/// Hundredths, cut: slower is longer.
fn read_speed(field: &Field<'_>) -> Result<u64, BadRequest> {
    let hundredths = decimal::scaled(field.json, 2).and_then(|(n, _)| u64::try_from(n).ok());
    hundredths
        .filter(|n| (25..=400).contains(n))
        .ok_or_else(|| field.bad("is a number from 0.25 to 4"))
}

/// Reads a form with a recording.
pub(crate) fn recording(body: &[u8], dialect: Dialect) -> Result<MediaRequest<'_>, BadRequest> {
    let (mut model, mut file, mut prompt, mut want) = (None, None, None, Transcript::Json);
    let mut streamed = None;
    let parts = fields(body)?;
    for part in &parts {
        match part.name {
            "model" => model = Some(part.text()?),
            "file" => file = Some(part.content),
            "prompt" => prompt = Some(part.text()?),
            "response_format" => want = transcript(part)?,
            "stream" => streamed = part.flag()?.then_some(part),
            "chunking_strategy" => {
                return Err(part.refused("what its pieces come to cannot be bounded"));
            }
            _ => {}
        }
    }
    let model = model.filter(|model| !model.is_empty()).ok_or_else(|| missing("model"))?;
    let file = file.ok_or_else(|| missing("file"))?;
    let translate = dialect == Dialect::OpenAiTranslations;
    if let Some(part) = streamed {
        if translate || !matches!(want, Transcript::Json | Transcript::Text) {
            return Err(part.refused("only a transcription as `json` or `text` has events"));
        }
        want = Transcript::Events;
    }
    let medium = Medium::Recording(Recording { translate, file, prompt, want });
    let source = Source { dialect, body, spans: Spans::default() };
    Ok(MediaRequest { model: model.into(), medium, source })
}

fn transcript(part: &Part<'_>) -> Result<Transcript, BadRequest> {
    match part.text()? {
        "json" => Ok(Transcript::Json),
        "text" => Ok(Transcript::Text),
        "verbose_json" | "diarized_json" => Ok(Transcript::AsItComes),
        "srt" => Ok(Transcript::Srt),
        "vtt" => Ok(Transcript::Vtt),
        _ => Err(part.refused("it is no format of what was said")),
    }
}
