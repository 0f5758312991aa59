//! Subtitles, written from the segments of a transcript and their times.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::malformed;
use crate::decimal;
use crate::unified::ProviderError;

#[derive(Deserialize)]
struct Segment<'a> {
    #[serde(borrow)]
    start: &'a RawValue,
    #[serde(borrow)]
    end: &'a RawValue,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// SubRip: numbered from 1.
pub(super) fn srt(segments: Option<&RawValue>) -> Result<Vec<u8>, ProviderError> {
    let mut out = String::new();
    for (at, segment) in read(segments)?.iter().enumerate() {
        out.push_str(&format!("{}\n{}", at + 1, segment.cue(',')?));
    }
    Ok(out.into_bytes())
}

/// WebVTT.
pub(super) fn vtt(segments: Option<&RawValue>) -> Result<Vec<u8>, ProviderError> {
    let mut out = "WEBVTT\n\n".to_owned();
    for segment in read(segments)? {
        out.push_str(&segment.cue('.')?);
    }
    Ok(out.into_bytes())
}

fn read(segments: Option<&RawValue>) -> Result<Vec<Segment<'_>>, ProviderError> {
    let json = segments.ok_or_else(|| malformed("the reply has no `segments`"))?;
    serde_json::from_str(json.get())
        .map_err(|error| malformed(format!("the segments cannot be read: {error}")))
}

impl Segment<'_> {
    /// Its times and its text on one line: an empty line would end it, an arrow would be times.
    fn cue(&self, point: char) -> Result<String, ProviderError> {
        let (start, end) = (time(self.start, point)?, time(self.end, point)?);
        let words: Vec<&str> = self.text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let text = words.join(" ").replace("-->", "->");
        Ok(format!("{start} --> {end}\n{text}\n\n"))
    }
}

/// `00:00:01,500`, of seconds: to the nearest millisecond, for what is a third of a second in binary.
fn time(seconds: &RawValue, point: char) -> Result<String, ProviderError> {
    let tenths = decimal::scaled(seconds.get(), 4).and_then(|(n, _)| u64::try_from(n).ok());
    let tenths = tenths.ok_or_else(|| malformed("a segment without its times"))?;
    let millis = tenths.saturating_add(5) / 10;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Ok(format!("{hours:02}:{minutes:02}:{seconds:02}{point}{millis:03}"))
}
