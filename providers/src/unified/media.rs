//! Requests for pictures and sound.

use super::chat::Source;
use super::text::Text;
use super::usage::UsageReport;

/// A request whose answer, or what it is about, is not text.
#[derive(Debug)]
pub struct MediaRequest<'a> {
    /// The model as the client named it.
    pub model: Text<'a>,
    /// What is asked for.
    pub medium: Medium<'a>,
    /// Where all this came from.
    pub source: Source<'a>,
}

/// What is asked for.
#[derive(Debug)]
pub enum Medium<'a> {
    /// Pictures of what a text says.
    Pictures(Pictures<'a>),
    /// A text read aloud.
    Speech(Speech<'a>),
    /// What is said in a recording.
    Recording(Recording<'a>),
}

/// Pictures to be drawn.
#[derive(Debug)]
pub struct Pictures<'a> {
    /// What they are to show.
    pub prompt: Text<'a>,
    /// How many pictures they are made from, a mask among them.
    pub from: u64,
    /// How many.
    pub n: u64,
    /// Width and height in pixels; nothing where they are the model's to choose.
    pub size: Option<(u64, u64)>,
    /// How carefully; the most careful where that is the model's to choose.
    pub quality: Quality,
    /// How they are sent to the client.
    pub sent: Sent,
}

/// How pictures are sent to the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// In an event of its own.
    pub framed: bool,
    /// With pictures of it on the way, which are never asked for: each is billed.
    pub partial: bool,
}

/// How carefully a picture is drawn, which decides its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// In the fewest tokens.
    Low,
    /// Between.
    Medium,
    /// In the most tokens.
    High,
}

/// A text to be read aloud.
#[derive(Debug)]
pub struct Speech<'a> {
    /// The text.
    pub text: Text<'a>,
    /// How it is to be read.
    pub instructions: Option<Text<'a>>,
    /// How fast, in hundredths of the usual speed.
    pub speed: u64,
    /// The content type of the sound.
    pub kind: &'static str,
    /// Whether the client reads events, rather than the sound itself.
    pub framed: bool,
}

/// A recording to be written down.
#[derive(Debug)]
pub struct Recording<'a> {
    /// Whether in English, whatever is spoken.
    pub translate: bool,
    /// The file.
    pub file: &'a [u8],
    /// What goes before it, for context.
    pub prompt: Option<&'a str>,
    /// How it is to be written.
    pub want: Transcript,
}

/// How what was said is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transcript {
    /// As the provider writes it.
    AsItComes,
    /// An object with the text.
    Json,
    /// The text alone.
    Text,
    /// Subtitles as SubRip has them.
    Srt,
    /// Subtitles as WebVTT has them.
    Vtt,
    /// Events, with the text and what was used.
    Events,
}

/// What of a request decides how its answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Pictures.
    Pictures {
        /// The event that the client reads, where it reads events.
        event: Option<&'static str>,
    },
    /// Sound of that content type; or events, where the client reads those.
    Speech {
        /// The content type.
        kind: &'static str,
        /// Whether events are read.
        framed: bool,
    },
    /// What was said.
    Transcript {
        /// How the client reads it.
        want: Transcript,
        /// Whether the model is billed by the second rather than by tokens.
        by_second: bool,
    },
}

/// What was found in a reply.
#[derive(Debug)]
pub struct MediaReply {
    /// What was used, as far as it says.
    pub usage: UsageReport,
    /// The answer, where it is not the reply as it came.
    pub body: Option<Vec<u8>>,
    /// The answer's content type.
    pub kind: &'static str,
}
