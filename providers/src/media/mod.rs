//! Pictures and sound at providers that have them as OpenAI does: requests go out as they came but for
//! the model's name, replies are read for what they used, and what one can come to at most is known
//! before. A model is billed in tokens or, if it is an older one, in characters or seconds: these are
//! its units then, in its count and in its price.

mod pictures;
mod recordings;
mod sound;
mod speech;
mod subtitles;

pub use recordings::by_second;
pub(crate) use sound::seconds;
pub use speech::by_character;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::openai::told;
use crate::task::as_it_came;
use crate::unified::{
    Answer, Encoded, ErrorKind, MediaReply, MediaRequest, Medium, ProviderError, Target,
};

/// Counts the tokens of a text.
pub(crate) type Count<'c> = dyn Fn(&str) -> u64 + 'c;

impl MediaRequest<'_> {
    /// The operation's name in limits, rows and reports.
    pub fn endpoint(&self) -> &'static str {
        match &self.medium {
            Medium::Pictures(pictures) if pictures.from > 0 => "images.edits",
            Medium::Pictures(_) => "images.generations",
            Medium::Speech(_) => "audio.speech",
            Medium::Recording(recording) if recording.translate => "audio.translations",
            Medium::Recording(_) => "audio.transcriptions",
        }
    }

    /// How many pieces are made side by side.
    pub fn pieces(&self) -> u64 {
        match &self.medium {
            Medium::Pictures(pictures) => pictures.n,
            Medium::Speech(_) | Medium::Recording(_) => 1,
        }
    }

    /// Whether that model is billed in tokens.
    pub fn in_tokens(&self, model: &str) -> bool {
        match &self.medium {
            Medium::Pictures(_) => true,
            Medium::Speech(_) => !by_character(model),
            Medium::Recording(_) => !by_second(model),
        }
    }

    /// The most that the input can be at that model, and whether it is exactly that; nothing where no
    /// rule says.
    pub fn most_input(&self, model: &str, count: &Count<'_>) -> Option<(u64, bool)> {
        match &self.medium {
            Medium::Pictures(pictures) => {
                Some((pictures::most_input(pictures, model, count)?, false))
            }
            Medium::Speech(speech) => Some(speech::input(speech, model, count)),
            Medium::Recording(recording) => {
                Some((recordings::most_input(recording, model, count)?, false))
            }
        }
    }

    /// The most output tokens that a piece can come to at that model; nothing where no rule says.
    pub fn most_output(&self, model: &str) -> Option<u64> {
        match &self.medium {
            Medium::Pictures(pictures) => pictures::most_output(pictures, model),
            Medium::Speech(speech) => speech::most_output(speech, model),
            Medium::Recording(_) => recordings::most_output(model),
        }
    }

    /// How the answer of that model is read.
    pub fn answer(&self, model: &str) -> Answer {
        match &self.medium {
            Medium::Pictures(pictures) => Answer::Pictures { event: pictures::event(pictures) },
            Medium::Speech(speech) => Answer::Speech { kind: speech.kind, framed: speech.framed },
            Medium::Recording(recording) => recordings::answer(recording, model),
        }
    }
}

/// The name of a model without that of its maker.
fn bare(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// Writes a request. `framed` asks for speech in events, which report what they used.
pub(crate) fn encode(
    req: &MediaRequest<'_>,
    to: &Target<'_>,
    framed: bool,
) -> Result<Encoded, crate::BadRequest> {
    match &req.medium {
        Medium::Pictures(pictures) => pictures::encode(pictures, req, to),
        Medium::Speech(_) if framed => Ok(speech::encode(req, to)),
        Medium::Speech(_) => Ok(as_it_came(&req.source, speech::PATH, to)),
        Medium::Recording(recording) => recordings::encode(recording, req.source.body, to),
    }
}

/// Reads a reply that came with a 2xx status.
pub(crate) fn decode(answer: Answer, body: &[u8]) -> Result<MediaReply, ProviderError> {
    match answer {
        Answer::Pictures { event } => pictures::decode(body, event),
        Answer::Speech { kind, framed } => speech::decode(body, kind, framed),
        Answer::Transcript { want, by_second } => recordings::decode(body, want, by_second),
    }
}

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

fn malformed(why: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorKind::Malformed, why)
}

#[derive(Deserialize)]
struct Failed<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// A usage block, of whichever of these.
#[derive(Deserialize)]
struct Used<'a> {
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "input_token_details")]
    input_tokens_details: Option<Details<'a>>,
    #[serde(borrow, default)]
    output_tokens_details: Option<Details<'a>>,
    #[serde(borrow, default)]
    seconds: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Details<'a> {
    #[serde(borrow, default)]
    text_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    image_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    audio_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cached_tokens: Option<&'a RawValue>,
}

/// A whole reply that is an object; an error that came as one is one.
fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, ProviderError> {
    let unread = |error: serde_json::Error| malformed(format!("the reply cannot be read: {error}"));
    let failed: Failed<'b> = serde_json::from_slice(body).map_err(unread)?;
    if let Some(error) = failed.error.filter(|raw| raw.get() != "null") {
        return Err(told(error.get()));
    }
    serde_json::from_slice(body).map_err(unread)
}

#[cfg(test)]
mod tests;
