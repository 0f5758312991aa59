//! Usage as Anthropic reports it. Its input excludes what was read from and written to the cache; its
//! output holds the thinking.

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_accounting::Class;

use crate::counts::Counts;
use crate::unified::{Odd, UsageReport};

#[derive(Deserialize)]
struct WireUsage<'a> {
    #[serde(borrow, default)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_creation_input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_read_input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    cache_creation: Option<Lifetimes<'a>>,
    #[serde(borrow, default)]
    output_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    output_tokens_details: Option<OutputDetails<'a>>,
    #[serde(borrow, default)]
    server_tool_use: Option<ServerTools<'a>>,
}

#[derive(Deserialize)]
struct Lifetimes<'a> {
    #[serde(borrow, default)]
    ephemeral_5m_input_tokens: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ephemeral_1h_input_tokens: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputDetails<'a> {
    #[serde(borrow, default)]
    thinking_tokens: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ServerTools<'a> {
    #[serde(borrow, default)]
    web_search_requests: Option<&'a RawValue>,
}

/// Which part of a reply a usage object stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// A stream's beginning, where the output is a placeholder.
    Start,
    /// Anywhere else.
    Later,
}

/// What was reported so far, field by field as the wire has them. Reports are cumulative, but a later
/// one may leave out what an earlier one split, so they are merged before they are made disjoint.
#[derive(Default)]
pub(super) struct Seen {
    input: Option<u64>,
    read: Option<u64>,
    written: Option<u64>,
    written_short: Option<u64>,
    written_long: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    odd: Odd,
}

impl Seen {
    /// Takes a usage object; gives everything reported so far.
    pub(super) fn take(&mut self, json: &str, at: At) -> UsageReport {
        let Ok(wire) = serde_json::from_str::<WireUsage<'_>>(json) else {
            self.odd = self.odd | Counts::unreadable().odd;
            return self.report();
        };
        let mut counts = Counts::default();
        let split = wire.cache_creation.as_ref();
        let details = wire.output_tokens_details.as_ref();
        let (output, thinking) = match at {
            At::Start => (None, None),
            At::Later => (wire.output_tokens, details.and_then(|d| d.thinking_tokens)),
        };
        for (seen, raw) in [
            (&mut self.input, wire.input_tokens),
            (&mut self.read, wire.cache_read_input_tokens),
            (&mut self.written, wire.cache_creation_input_tokens),
            (&mut self.written_short, split.and_then(|s| s.ephemeral_5m_input_tokens)),
            (&mut self.written_long, split.and_then(|s| s.ephemeral_1h_input_tokens)),
            (&mut self.output, output),
            (&mut self.thinking, thinking),
            (&mut self.searches, wire.server_tool_use.as_ref().and_then(|t| t.web_search_requests)),
        ] {
            let count = counts.read(raw);
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
        counts.set(Class::Input, self.input);
        counts.set(Class::CacheRead, self.read);
        // What is not known to live long was written with the default lifetime.
        let split = self.written_short.zip(self.written_long).map(|(short, long)| short + long);
        let written = self.written.or(split).or(self.written_short);
        counts.total(written, Class::CacheWrite, &[(Class::CacheWriteLong, self.written_long)]);
        if self.written.zip(split).is_some_and(|(all, split)| split > all) {
            counts.note(Odd::INCONSISTENT);
        }
        counts.total(self.output, Class::Output, &[(Class::Reasoning, self.thinking)]);
        counts.set(Class::WebSearch, self.searches);
        counts.finish()
    }
}
