//! Usage as Google reports it. The prompt holds what was read from the cache; thinking and what tools
//! put into the prompt stand beside the totals of prompt and answer.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::unified::{Odd, Text, UsageReport};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireUsage<'a> {
    #[serde(borrow, default)]
    prompt_token_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cached_content_token_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_use_prompt_token_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    candidates_token_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    thoughts_token_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt_tokens_details: Option<Vec<Detail<'a>>>,
    #[serde(borrow, default)]
    cache_tokens_details: Option<Vec<Detail<'a>>>,
    #[serde(borrow, default)]
    candidates_tokens_details: Option<Vec<Detail<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    #[serde(borrow)]
    modality: Text<'a>,
    #[serde(borrow, default)]
    token_count: Option<&'a RawValue>,
}

/// What was reported so far. Every frame of a stream repeats the totals, grown.
#[derive(Default)]
pub(super) struct Seen {
    prompt: Option<u64>,
    cached: Option<u64>,
    tools: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    audio_in: Option<u64>,
    image_in: Option<u64>,
    audio_out: Option<u64>,
    image_out: Option<u64>,
    odd: Odd,
}

impl Seen {
    /// Takes a usage object; gives everything reported so far.
    pub(super) fn take(&mut self, json: &str) -> UsageReport {
        let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else {
            self.odd = self.odd | Counts::unreadable().odd;
            return self.report();
        };
        let mut counts = Counts::default();
        let [prompt, cache, candidates] = [
            &wire.prompt_tokens_details,
            &wire.cache_tokens_details,
            &wire.candidates_tokens_details,
        ];
        // What was read from the cache counts as that, whatever it was; only the rest has a modality.
        let mut fresh = |names: &[&str]| {
            let all = of(prompt, names, &mut counts)?;
            Some(all.saturating_sub(of(cache, names, &mut counts).unwrap_or(0)))
        };
        let (audio_in, image_in) = (fresh(&["AUDIO"]), fresh(&["IMAGE", "DOCUMENT"]));
        let audio_out = of(candidates, &["AUDIO"], &mut counts);
        let image_out = of(candidates, &["IMAGE"], &mut counts);
        for (seen, count) in [
            (&mut self.prompt, counts.read(wire.prompt_token_count)),
            (&mut self.cached, counts.read(wire.cached_content_token_count)),
            (&mut self.tools, counts.read(wire.tool_use_prompt_token_count)),
            (&mut self.candidates, counts.read(wire.candidates_token_count)),
            (&mut self.thoughts, counts.read(wire.thoughts_token_count)),
            (&mut self.audio_in, audio_in),
            (&mut self.image_in, image_in),
            (&mut self.audio_out, audio_out),
            (&mut self.image_out, image_out),
        ] {
            if count.is_some() && count < *seen {
                counts.note(Odd::DECREASED);
            }
            *seen = (*seen).max(count);
        }
        self.odd = self.odd | counts.odd();
        self.report()
    }

    fn report(&self) -> UsageReport {
        let mut counts = Counts::default();
        counts.note(self.odd);
        let prompt = self.prompt.map(|prompt| prompt.saturating_add(self.tools.unwrap_or(0)));
        let parts = [
            (Class::CacheRead, self.cached),
            (Class::AudioInput, self.audio_in),
            (Class::ImageInput, self.image_in),
        ];
        counts.total(prompt, Class::Input, &parts);
        let parts = [(Class::AudioOutput, self.audio_out), (Class::ImageOutput, self.image_out)];
        // A reply that is all thinking reports no candidates.
        let candidates = self.candidates.or(self.thoughts.map(|_| 0));
        counts.total(candidates, Class::Output, &parts);
        counts.set(Class::Reasoning, self.thoughts);
        counts.finish()
    }
}

/// The tokens of these modalities, where any of them is listed.
fn of(details: &Option<Vec<Detail<'_>>>, names: &[&str], counts: &mut Counts) -> Option<u64> {
    let listed = details.iter().flatten().filter(|d| names.contains(&d.modality.as_str()));
    listed.fold(None, |sum: Option<u64>, detail| {
        let count = counts.read(detail.token_count);
        count.map_or(sum, |n| Some(sum.unwrap_or(0).saturating_add(n)))
    })
}
