//! Pictures as OpenAI's clients ask for them. What could not be counted before it is sent is refused.

use super::Dialect;
use super::fields::{Field, members, missing};
use crate::guard::Bounds;
use crate::unified::{BadRequest, MediaRequest, Medium, Pictures, Quality, Source, Text};

/// The most pictures of one request.
const MOST_PICTURES: u64 = 10;

/// Reads a request for pictures.
pub(crate) fn images<'a>(body: &'a [u8], bounds: &Bounds) -> Result<MediaRequest<'a>, BadRequest> {
    let (mut model, mut prompt, mut n, mut size, mut at) = (None, None, 1, None, None);
    let mut quality = Quality::High;
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
            "stream" if field.optional()?.unwrap_or(false) => {
                return Err(field.bad("is not supported here: pictures are answered whole"));
            }
            "partial_images" if field.count(0, u64::MAX)?.unwrap_or(0) > 0 => {
                return Err(field.bad("is not supported here: pictures are answered whole"));
            }
            _ => drop(field.raw()?),
        }
        Ok(())
    })?;
    spans.model = at;
    let model = model.filter(|m: &Text<'_>| !m.is_empty()).ok_or_else(|| missing("model"))?;
    let prompt = prompt.ok_or_else(|| missing("prompt"))?;
    let medium = Medium::Pictures(Pictures { prompt, n, size, quality });
    let source = Source { dialect: Dialect::OpenAiImages, body, spans };
    Ok(MediaRequest { model, medium, source })
}

/// `1024x1536`; anything else is the model's to choose, or the provider's to refuse.
fn read_size(text: &str) -> Option<(u64, u64)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// What is not known to be less careful is taken to be the most careful.
fn read_quality(field: &Field<'_>) -> Result<Quality, BadRequest> {
    Ok(match field.optional::<Text<'_>>()?.as_deref() {
        Some("low") => Quality::Low,
        Some("medium") => Quality::Medium,
        _ => Quality::High,
    })
}
