//! Pictures: the most tokens that one can come to, by its size and quality, and what it came to.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use super::{Count, EVENTS, JSON, Used, bare, malformed, read};
use crate::counts::Counts;
use crate::dialect::fields::Field;
use crate::dialect::json::{Object, frame};
use crate::form;
use crate::guard::outline;
use crate::task::as_it_came;
use crate::unified::{
    BadRequest, Encoded, MediaReply, MediaRequest, Pictures, ProviderError, Quality, Sent, Target,
    UsageReport,
};

/// Room for what a provider puts around a prompt.
const FRAME: u64 = 64;

/// Room for the text that newer models write beside a picture and bill with it.
const BESIDE: u64 = 1_024;

/// The most tokens of a picture that is read. The first generation reads 65, 129 for each of at most ten
/// tiles of 512 pixels, and with high fidelity 6,240 more (OpenAI's image generation guide); the second at
/// most 1,536 patches, here at the dearest published multiplier of a patch, 2.46.
const READ_IN_TILES: u64 = 65 + 129 * 10 + 6_240;
const READ_IN_PATCHES: u64 = 3_779;

/// Tokens of a square, a tall and a wide picture, which are 1024x1024, 1024x1536 and 1536x1024, in low,
/// medium and high quality.
type Table = [[u64; 3]; 3];

/// OpenAI's image generation guide, "cost and latency": gpt-image-1, and gpt-image-1.5 whose prices a
/// picture are these tokens at its price of a token.
const FIRST: Table = [[272, 408, 400], [1_056, 1_584, 1_568], [4_160, 6_240, 6_208]];

/// The page of gpt-image-1-mini: its prices a picture, with what their rounding may hide, at its price of
/// a token ($0.0055, $0.0065, ... at $8 a million).
const MINI: Table = [[688, 813, 813], [1_438, 1_938, 1_938], [4_563, 6_563, 6_563]];

/// Sizes that the second generation takes: pixels in all, and the longer side by the shorter.
const MOST_PIXELS: u64 = 8_294_400;

/// Models that are billed alike.
#[derive(Clone, Copy)]
enum Generation {
    First,
    Mini,
    Second,
}

impl Generation {
    /// By the model's name, and that with the date of a snapshot.
    fn of(model: &str) -> Option<Generation> {
        let name = bare(model);
        let is = |known: &str| {
            name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with("-20"))
        };
        if is("gpt-image-2") {
            Some(Generation::Second)
        } else if is("gpt-image-1-mini") {
            Some(Generation::Mini)
        } else {
            let first = ["gpt-image-1", "gpt-image-1.5", "chatgpt-image-latest"];
            first.into_iter().any(is).then_some(Generation::First)
        }
    }
}

/// The most input tokens; nothing where no rule is known for what it is made from. Several pictures are
/// billed as so many calls.
pub(super) fn most_input(pictures: &Pictures<'_>, model: &str, count: &Count<'_>) -> Option<u64> {
    let each = match Generation::of(model) {
        _ if pictures.from == 0 => 0,
        Some(Generation::Second) => READ_IN_PATCHES,
        Some(Generation::First | Generation::Mini) => READ_IN_TILES,
        None => return None,
    };
    let one = count(&pictures.prompt).saturating_add(FRAME + each * pictures.from);
    Some(one.saturating_mul(pictures.n))
}

/// The most output tokens of one picture; nothing where no rule is known for the model.
pub(super) fn most_output(pictures: &Pictures<'_>, model: &str) -> Option<u64> {
    let drawn = match Generation::of(model)? {
        Generation::First => of(&FIRST, pictures),
        Generation::Mini => of(&MINI, pictures),
        Generation::Second => second(pictures),
    };
    Some(drawn + BESIDE)
}

fn of(table: &Table, pictures: &Pictures<'_>) -> u64 {
    let [low, medium, high] = table;
    let row = match pictures.quality {
        Quality::Low => low,
        Quality::Medium => medium,
        Quality::High => high,
    };
    match pictures.size {
        Some((1024, 1024)) => row[0],
        Some((1024, 1536)) => row[1],
        Some((1536, 1024)) => row[2],
        // Another size is refused by the provider, and the model's own choice is one of these.
        _ => row.iter().copied().max().unwrap_or(0),
    }
}

/// gpt-image-2 draws any size. By the calculator of OpenAI's guide a picture has `q` columns and `q` by
/// the ratio of its sides rows, times two million and its pixels by four million.
fn second(pictures: &Pictures<'_>) -> u64 {
    let columns: u64 = match pictures.quality {
        Quality::Low => 16,
        Quality::Medium => 48,
        Quality::High => 96,
    };
    let (rows, pixels) = match pictures.size {
        Some((width, height)) if width > 0 && height > 0 => {
            let (short, long) = (width.min(height), width.max(height));
            let rows = columns.saturating_mul(short).div_ceil(long);
            (rows, width.saturating_mul(height).min(MOST_PIXELS))
        }
        // The dearest that it can choose: a square of all pixels.
        _ => (columns, MOST_PIXELS),
    };
    (columns * rows * (2_000_000 + pixels)).div_ceil(4_000_000)
}

/// The event that a client reads a picture from.
pub(super) fn event(pictures: &Pictures<'_>) -> Option<&'static str> {
    let name =
        if pictures.from > 0 { "image_edit.completed" } else { "image_generation.completed" };
    pictures.sent.framed.then_some(name)
}

/// A request as it came, but for the model's name, and for a reply that is whole.
pub(super) fn encode(
    pictures: &Pictures<'_>,
    req: &MediaRequest<'_>,
    to: &Target<'_>,
) -> Result<Encoded, BadRequest> {
    const STREAMED: &[&str] = &["stream", "partial_images"];
    let Sent { framed, partial } = pictures.sent;
    let without = if framed || partial { STREAMED } else { &[] };
    let mut encoded = if pictures.from > 0 {
        form::posted(req.source.body, "/images/edits", &[("model", to.model)], without)?
    } else {
        as_it_came(&req.source, "/images/generations", to)
    };
    if pictures.from == 0 && !without.is_empty() {
        let mut body = Vec::with_capacity(encoded.body.len());
        let mut object = Object::open(&mut body);
        copy(&encoded.body, without, &mut object)?;
        object.close();
        encoded.body = body;
    }
    encoded.dropped.extend(partial.then(|| "partial_images".to_owned()));
    Ok(encoded)
}

/// Writes the members of an object once more, but for those.
fn copy(json: &[u8], without: &[&str], object: &mut Object<'_>) -> Result<(), BadRequest> {
    let outline = outline(json, usize::MAX, usize::MAX)?;
    for member in &outline.members {
        let Field { name, json, .. } = Field::of(&outline, member)?;
        if !without.contains(&&*name) {
            object.raw(&name, json);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default)]
    background: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_format: Option<&'a RawValue>,
    #[serde(borrow, default)]
    quality: Option<&'a RawValue>,
    #[serde(borrow, default)]
    size: Option<&'a RawValue>,
}

/// Reads what a reply used, nothing where it does not say; and writes it as events, where the client
/// reads those.
pub(super) fn decode(body: &[u8], event: Option<&str>) -> Result<MediaReply, ProviderError> {
    let wire: Wire<'_> = read(body)?;
    let Some(data) = &wire.data else { return Err(malformed("the reply has no `data`")) };
    let usage = wire.usage.filter(|raw| raw.get() != "null");
    let usage = usage.map_or_else(UsageReport::default, |usage| drawn(usage.get()));
    let Some(event) = event else { return Ok(MediaReply { usage, body: None, kind: JSON }) };
    let mut out = Vec::with_capacity(body.len() + 128);
    for picture in data {
        let mut read = Ok(());
        frame(&mut out, event, |object| {
            read = copy(picture.get().as_bytes(), &["type"], object);
            wire.told(object);
        });
        read.map_err(|bad| malformed(bad.message))?;
    }
    Ok(MediaReply { usage, body: Some(out), kind: EVENTS })
}

impl Wire<'_> {
    /// Writes what the reply says of its pictures.
    fn told(&self, object: &mut Object<'_>) {
        for (name, value) in [
            ("created_at", self.created),
            ("background", self.background),
            ("output_format", self.output_format),
            ("quality", self.quality),
            ("size", self.size),
            ("usage", self.usage),
        ] {
            if let Some(value) = value {
                object.raw(name, value.get());
            }
        }
    }
}

/// The usage of pictures. All that was drawn is of pictures but for what it says was text.
fn drawn(json: &str) -> UsageReport {
    let Ok(wire) = serde_json::from_str::<Used<'_>>(json) else { return Counts::unreadable() };
    let mut counts = Counts::default();
    let read = wire.input_tokens_details.unwrap_or_default();
    let written = wire.output_tokens_details.unwrap_or_default();
    let input = counts.read(wire.input_tokens);
    let parts = [
        (Class::ImageInput, counts.read(read.image_tokens)),
        (Class::CacheRead, counts.read(read.cached_tokens)),
    ];
    counts.total(input, Class::Input, &parts);
    let output = counts.read(wire.output_tokens);
    let text = counts.read(written.text_tokens).unwrap_or(0);
    let drawn = output.map(|output| output.saturating_sub(text));
    let drawn = counts.read(written.image_tokens).or(drawn);
    counts.total(output, Class::Output, &[(Class::ImageOutput, drawn)]);
    counts.finish()
}
