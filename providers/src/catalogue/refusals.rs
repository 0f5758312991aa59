//! Fields of a request that a model refuses though its provider knows them: data by the beginning of a
//! model's name, the longest beginning that fits, each with its source.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::dialect::json::Object;
use crate::guard::outline;
use crate::unified::{BadRequest, ChatRequest, ReasoningEffort};

/// What a model refuses, and what it calls otherwise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusals {
    kinds: Vec<String>,
    models: Vec<String>,
    /// Fields it never takes.
    drops: Vec<String>,
    /// Fields it takes only where it does not reason.
    #[serde(default)]
    drops_where_it_reasons: Vec<String>,
    /// Whether it reasons where a request doesn't say.
    #[serde(default = "yes")]
    reasons_unasked: bool,
    /// Fields under a name that it refuses, and the one it takes.
    #[serde(default)]
    renames: Vec<(String, String)>,
    /// Where this is written.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for who reads the data; a test asks for it")
    )]
    source: String,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "date")]
    _date: String,
    rules: Vec<Refusals>,
}

/// What is known of a model in this respect.
pub(crate) fn of(kind: &str, model: &str) -> Option<&'static Refusals> {
    let fits = |rule: &'static Refusals| {
        let known = rule.kinds.iter().any(|name| name == kind);
        let begins = rule.models.iter().filter(|start| known && model.starts_with(start.as_str()));
        Some((begins.map(String::len).max()?, rule))
    };
    all().iter().filter_map(fits).max_by_key(|(length, _)| *length).map(|(_, rule)| rule)
}

fn all() -> &'static [Refusals] {
    static ALL: OnceLock<Vec<Refusals>> = OnceLock::new();
    // What is built in is read by a test; without it, every field is sent and the model itself says.
    ALL.get_or_init(|| read().unwrap_or_default())
}

fn read() -> Result<Vec<Refusals>, serde_json::Error> {
    let wire: Wire = serde_json::from_str(include_str!("../../data/refused-fields.json"))?;
    Ok(wire.rules)
}

impl Refusals {
    /// The body without what the model refuses, and the names of what was left out.
    pub(crate) fn apply(
        &self,
        req: &ChatRequest<'_>,
        body: Vec<u8>,
    ) -> Result<(Vec<u8>, Vec<String>), BadRequest> {
        let reasons = match &req.reasoning_effort {
            Some(ReasoningEffort::Level(level)) => *level != "none",
            Some(ReasoningEffort::Budget(_)) => true,
            Some(ReasoningEffort::Adaptive | ReasoningEffort::Off) | None => self.reasons_unasked,
        };
        let more: &[String] = if reasons { &self.drops_where_it_reasons } else { &[] };
        let refused = |name: &str| self.drops.iter().chain(more).any(|drop| drop == name);
        let renamed = |name: &str| {
            let found = self.renames.iter().find(|(from, _)| from == name)?;
            Some(found.1.as_str())
        };
        if !written(req).any(|name| refused(name) || renamed(name).is_some()) {
            return Ok((body, Vec::new()));
        }
        let outline = outline(&body, usize::MAX, usize::MAX)?;
        let (mut out, mut dropped) = (Vec::with_capacity(body.len()), Vec::new());
        let mut object = Object::open(&mut out);
        for member in &outline.members {
            let value = &outline.text[member.value.clone()];
            if !refused(member.key) {
                let name = renamed(member.key).unwrap_or(member.key);
                object.members(&format!("\"{name}\":{value}"));
            } else if value != "null" {
                dropped.push(member.key.to_owned());
            }
        }
        object.close();
        Ok((out, dropped))
    }
}

/// The fields of a request that any model may refuse, by their names on OpenAI's wire.
fn written<'r>(req: &'r ChatRequest<'_>) -> impl Iterator<Item = &'r str> {
    let flags = [
        (req.logprobs, "logprobs"),
        (req.top_logprobs.is_some(), "top_logprobs"),
        (req.reasoning_effort.is_some(), "reasoning_effort"),
    ];
    let cap = req.source.spans.output_cap.as_ref().map(|(name, _)| *name);
    let sampling = req.sampling.set().map(|(name, _)| name);
    let flags = flags.into_iter().filter_map(|(there, name)| there.then_some(name));
    sampling.chain(flags).chain(cap).chain(req.rest.iter().map(|(name, _)| name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_is_whole() {
        let rules = read().unwrap();
        assert!(rules.len() > 10);
        for rule in rules {
            assert!(rule.source.len() > 10, "{rule:?}");
            let known = |kind: &String| crate::kinds().any(|known| known == kind);
            assert!(rule.kinds.iter().all(known), "{rule:?}");
        }
    }

    #[test]
    fn the_longest_beginning_of_a_name_decides() {
        let drops = |kind, model| of(kind, model).map(|rule| rule.drops.len());
        let cases = [
            ("openai", "gpt-4o", None),
            ("openai", "o3-mini-2025-01-31", Some(7)),
            ("openai", "gpt-5-mini", Some(7)),
            ("openai", "gpt-5-chat-latest", Some(0)),
            ("azure", "gpt-5.1-codex-max", Some(7)),
            ("azure", "gpt-5.1-2025-11-13", Some(3)),
            ("openai", "gpt-5.6", Some(3)),
            ("compatible", "o3", None),
            ("groq", "anything", Some(3)),
            ("openai", "gpt-5.3-codex", Some(7)),
            ("openai", "gpt-5.3-chat-latest", Some(0)),
            ("azure", "gpt-5.3-chat", Some(7)),
            // Efforts are taken by the newer, and penalties by none of them, whether it reasons or not.
            ("xai", "grok-4-fast-non-reasoning", Some(3)),
            ("xai", "grok-4.20-0309-reasoning", Some(3)),
            ("xai", "grok-4.20-multi-agent-0309", Some(2)),
            ("xai", "grok-4.6", Some(2)),
            ("xai", "grok-3", None),
            ("moonshotai", "kimi-k2.7-code", Some(4)),
            ("moonshotai", "kimi-k3.1-pro", Some(4)),
            ("moonshotai", "kimi-k2-thinking", None),
        ];
        for (kind, model, expected) in cases {
            assert_eq!(drops(kind, model), expected, "{kind} {model}");
        }
    }
}
