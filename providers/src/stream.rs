//! Decoders of event streams: what is the same for every provider that sends server-sent events.

use bytes::Bytes;

use crate::sse::{Framer, RawFrame};
use crate::unified::{
    ErrorKind, Event, Events, Frame, FrameKind, Part, ProviderError, StreamDecoder, UsageReport,
};

/// What differs: reading the data of one frame.
pub(crate) trait FrameReader: Send {
    /// The frame to add where a stream is whole but for the mark of its end.
    const END_MARK: &'static [u8];

    /// Reads the data of a frame, and the name of its event where it has one.
    fn read<'f>(
        &mut self,
        event: Option<&'f [u8]>,
        data: &'f [u8],
    ) -> Result<Read<'f>, serde_json::Error>;

    /// What was reported so far.
    fn usage(&self) -> &UsageReport;

    /// Whether everything but the mark of the end has come.
    fn is_whole(&self) -> bool;
}

/// What was found in a frame.
pub(crate) struct Read<'f> {
    pub(crate) kind: FrameKind,
    pub(crate) events: Events<'f>,
}

impl<'f> Read<'f> {
    pub(crate) fn end() -> Self {
        Read { kind: FrameKind::End, events: one(Event::End) }
    }

    pub(crate) fn text(choice: u32, text: &'f str) -> Self {
        let part = Part::Text(text.into());
        Read { kind: FrameKind::Content, events: one(Event::Delta { choice, part }) }
    }

    /// The choice and text of a frame that holds nothing else and holds the text in one piece.
    pub(crate) fn only_text(&self) -> Option<(u32, &str)> {
        match &self.events[..] {
            [Event::Delta { choice, part: Part::Text(text) }]
                if text.is_borrowed() && self.kind == FrameKind::Content =>
            {
                Some((*choice, text))
            }
            _ => None,
        }
    }

    pub(crate) fn error(error: ProviderError) -> Self {
        Read { kind: FrameKind::Error, events: one(Event::Error(error)) }
    }
}

fn one(event: Event<'_>) -> Events<'_> {
    let mut events = Events::new();
    events.push(event);
    events
}

/// Reads one stream.
pub(crate) struct Decoder<R> {
    reader: R,
    framer: Framer,
    /// The frame whose events were given last: they borrow from it.
    current: RawFrame,
    /// No blank line ended it: the stream did.
    unended: bool,
    end: End,
}

/// How far the end is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// More bytes may come.
    Open,
    /// No more will, but what is pending is still to be read.
    Closed,
    /// The stream came to its end.
    Whole,
    /// It did not, and nothing more will be given.
    Failed,
}

impl<R: FrameReader> Decoder<R> {
    pub(crate) fn new(reader: R, frame_cap: usize) -> Self {
        let framer = Framer::new(frame_cap);
        Decoder { reader, framer, current: RawFrame::default(), unended: false, end: End::Open }
    }

    /// Takes the next frame's bytes, or the last ones that no blank line ended.
    fn advance(&mut self) -> Result<bool, ProviderError> {
        let frame = match self.framer.next_frame() {
            Ok(Some(frame)) => Some(frame),
            Ok(None) if self.end == End::Closed => {
                self.unended = true;
                self.framer.rest()
            }
            Ok(None) => None,
            Err(too_large) => {
                self.end = End::Failed;
                let message =
                    format!("a frame of the stream is larger than {} bytes", too_large.cap);
                return Err(ProviderError::new(ErrorKind::TooLarge, message));
            }
        };
        let found = frame.is_some();
        self.current = frame.unwrap_or_default();
        Ok(found)
    }
}

/// When all is read: the end mark where only that was missing, or what is wrong.
fn verdict<'f, R: FrameReader>(
    reader: &R,
    end: &mut End,
) -> Result<Option<Frame<'f>>, ProviderError> {
    if reader.is_whole() {
        *end = End::Whole;
        let Read { kind, events } = Read::end();
        return Ok(Some(Frame { raw: Bytes::from_static(R::END_MARK), kind, events }));
    }
    *end = End::Failed;
    Err(ProviderError::new(ErrorKind::Truncated, "the stream stopped before its end"))
}

impl<R: FrameReader> StreamDecoder for Decoder<R> {
    fn push(&mut self, chunk: Bytes) {
        if self.end == End::Open {
            self.framer.push(chunk);
        }
    }

    fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Closed;
        }
    }

    fn next(&mut self) -> Result<Option<Frame<'_>>, ProviderError> {
        if matches!(self.end, End::Whole | End::Failed) {
            return Ok(None);
        }
        if !self.advance()? {
            return match self.end {
                End::Closed => verdict(&self.reader, &mut self.end),
                End::Open | End::Whole | End::Failed => Ok(None),
            };
        }
        let raw = self.current.raw.clone();
        let data = self.current.data().map(<[u8]>::trim_ascii_start);
        let Some(data) = data.filter(|data| !data.is_empty()) else {
            return Ok(Some(Frame { raw, kind: FrameKind::Comment, events: Events::new() }));
        };
        let Read { kind, events } = match self.reader.read(self.current.event(), data) {
            Ok(read) => read,
            // What no blank line ended and cannot be read was cut off.
            Err(_) if self.unended => return verdict(&self.reader, &mut self.end),
            Err(e) => {
                self.end = End::Failed;
                let message = format!("a frame of the stream cannot be read: {e}");
                return Err(ProviderError::new(ErrorKind::Malformed, message));
            }
        };
        match kind {
            FrameKind::End => self.end = End::Whole,
            FrameKind::Error => self.end = End::Failed,
            FrameKind::Content | FrameKind::Comment | FrameKind::UsageOnly => {}
        }
        Ok(Some(Frame { raw, kind, events }))
    }

    fn usage(&self) -> &UsageReport {
        self.reader.usage()
    }

    fn ended(&self) -> bool {
        self.end == End::Whole
    }
}
