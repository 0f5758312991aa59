//! Pictures as OpenAI's clients ask for them. What could not be counted before it is sent is refused.

use super::Dialect;
use super::fields::{Field, members, missing};
use crate::form::fields;
use crate::guard::Bounds;
use crate::unified::{
    BadRequest, MediaRequest, Medium, Pictures, Quality, Sent, Source, Spans, Text,
};

/// The most pictures on the way to one, by OpenAI's reference.
const MOST_PARTIAL: u64 = 3;
/// The most pictures of one request.
const MOST_PICTURES: u64 = 10;

/// Reads a request for pictures.
pub(crate) fn images<'a>(body: &'a [u8], bounds: &Bounds) -> Result<MediaRequest<'a>, BadRequest> {
    let (mut model, mut prompt, mut n, mut size, mut at) = (None, None, 1, None, None);
    let (mut quality, mut sent) = (Quality::High, Sent::default());
    let mut spans = members(body, bounds, |field| {
        match field.name.as_str() {
            "model" => {
                at = Some(field.span.clone());
                model = Some(field.read::<Text<'a>>()?);
            }
            "prompt" => prompt = Some(field.read::<Text<'a>>()?),
            "n" => n = field.count(1, MOST_PICTURES)?.unwrap_or(1),
            "size" => size = field.optional::<Text<'a>>()?.and_then(|text| read_size(&text)),
            "quality" => quality = read_quality(&field)?,
            "stream" => sent.framed = field.optional()?.unwrap_or(false),
            "partial_images" => sent.partial = field.count(0, MOST_PARTIAL)?.unwrap_or(0) > 0,
            _ => drop(field.raw()?),
        }
        Ok(())
    })?;
    spans.model = at;
    let model = model.filter(|m: &Text<'_>| !m.is_empty()).ok_or_else(|| missing("model"))?;
    let prompt = prompt.ok_or_else(|| missing("prompt"))?;
    let medium =
        Medium::Pictures(Pictures { prompt, from: 0, n: one(n, sent)?, size, quality, sent });
    let source = Source { dialect: Dialect::OpenAiImages, body, spans };
    Ok(MediaRequest { model, medium, source })
}

/// Reads a form with pictures to be made into others.
pub(crate) fn edits(body: &[u8]) -> Result<MediaRequest<'_>, BadRequest> {
    let (mut model, mut prompt, mut from, mut n, mut size) = (None, None, 0, 1, None);
    let (mut quality, mut sent) = (Quality::High, Sent::default());
    for part in &fields(body)? {
        match part.name {
            "model" => model = Some(part.text()?),
            "prompt" => prompt = Some(part.text()?),
            "image" | "image[]" | "mask" => from += 1,
            "n" => {
                let wanted = part.text()?.parse().ok().filter(|n| (1..=MOST_PICTURES).contains(n));
                n = wanted.ok_or_else(|| part.refused("it is a number from 1 to 10"))?;
            }
            "size" => size = read_size(part.text()?),
            "quality" => quality = quality_of(Some(part.text()?)),
            "stream" => sent.framed = part.flag()?,
            "partial_images" => {
                let wanted = part.text()?.parse::<u64>().ok();
                let wanted = wanted.filter(|n| *n <= MOST_PARTIAL);
                sent.partial =
                    wanted.ok_or_else(|| part.refused("it is a number from 0 to 3"))? > 0;
            }
            _ => {}
        }
    }
    let model = model.filter(|model| !model.is_empty()).ok_or_else(|| missing("model"))?;
    let prompt = prompt.ok_or_else(|| missing("prompt"))?.into();
    if from == 0 {
        return Err(missing("image"));
    }
    let medium = Medium::Pictures(Pictures { prompt, from, n: one(n, sent)?, size, quality, sent });
    let source = Source { dialect: Dialect::OpenAiEdits, body, spans: Spans::default() };
    Ok(MediaRequest { model: model.into(), medium, source })
}

/// Each event says what its picture used, and what several used is told of all together.
fn one(n: u64, sent: Sent) -> Result<u64, BadRequest> {
    if sent.framed && n > 1 {
        return Err(BadRequest::field("n", "`n` is 1 where pictures are streamed"));
    }
    Ok(n)
}

/// `1024x1536`; anything else is the model's to choose, or the provider's to refuse.
fn read_size(text: &str) -> Option<(u64, u64)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

fn read_quality(field: &Field<'_>) -> Result<Quality, BadRequest> {
    Ok(quality_of(field.optional::<Text<'_>>()?.as_deref()))
}

/// What is not known to be less careful is taken to be the most careful.
fn quality_of(name: Option<&str>) -> Quality {
    match name {
        Some("low") => Quality::Low,
        Some("medium") => Quality::Medium,
        _ => Quality::High,
    }
}
