//! Pictures at providers that draw as OpenAI does: requests go out as they came but for the model's
//! name, replies are read for what they used, and what one can come to at most is known before.

mod pictures;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::openai::told;
use crate::task::as_it_came;
use crate::unified::{
    Encoded, ErrorKind, MediaRequest, Medium, ProviderError, Target, UsageReport,
};

impl MediaRequest<'_> {
    /// The operation's name in limits, rows and reports.
    pub fn endpoint(&self) -> &'static str {
        match self.medium {
            Medium::Pictures(_) => "images.generations",
        }
    }

    /// How many pieces are made side by side.
    pub fn pieces(&self) -> u64 {
        match &self.medium {
            Medium::Pictures(pictures) => pictures.n,
        }
    }

    /// The most output tokens that a piece can come to at that model; nothing where no rule says.
    pub fn most_output(&self, model: &str) -> Option<u64> {
        match &self.medium {
            Medium::Pictures(pictures) => pictures::most_output(pictures, model),
        }
    }
}

/// Writes a request.
pub(crate) fn encode(req: &MediaRequest<'_>, to: &Target<'_>) -> Encoded {
    let path = match req.medium {
        Medium::Pictures(_) => "/images/generations",
    };
    as_it_came(&req.source, path, to)
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    data: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Used<'a> {
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_tokens_details: Option<Details<'a>>,
    #[serde(borrow, default)]
    output_tokens_details: Option<Details<'a>>,
}

#[derive(Deserialize, Default)]
struct Details<'a> {
    #[serde(borrow, default)]
    text_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    image_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cached_tokens: Option<&'a RawValue>,
}

/// Reads what a reply used; nothing where it does not say.
pub(crate) fn decode(body: &[u8]) -> Result<UsageReport, ProviderError> {
    let malformed = |why: String| ProviderError::new(ErrorKind::Malformed, why);
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the reply cannot be read: {error}")))?;
    if let Some(error) = wire.error.filter(|raw| raw.get() != "null") {
        return Err(told(error.get()));
    }
    if wire.data.is_none() {
        return Err(malformed("the reply has no `data`".to_owned()));
    }
    let Some(usage) = wire.usage.filter(|raw| raw.get() != "null") else {
        return Ok(UsageReport::default());
    };
    Ok(drawn(usage.get()))
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

#[cfg(test)]
mod tests;
