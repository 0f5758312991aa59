//! Counts a streamed reply as it passes, with the model's own tokenizer.

use tollgate_providers::Event;
use tollgate_providers::unified::Part;
use tollgate_tokenizer::{Family, StreamCounter};

use crate::call::answers::is_withheld;

/// Tokens that frame a tool call beside its name and arguments: 7 in two of three recorded calls of
/// OpenAI's models, else 8.
const TOOL_CALL: u64 = 7;

/// The running count of one reply.
pub(super) struct Tally {
    family: Family,
    choices: Vec<Choice>,
    /// Whether a filter kept some of it back.
    withheld: bool,
    /// Choices that finished.
    finished: Vec<u32>,
    /// Text the hub has no word for was seen, or a tool was called: the count is an estimate.
    other: bool,
}

struct Choice {
    index: u32,
    text: StreamCounter,
    /// Thinking, apart from the text so that neither merges into the other's last token.
    thinking: Option<StreamCounter>,
    tools: u64,
    arguments: Vec<(u32, StreamCounter)>,
}

impl Tally {
    pub(super) fn new(family: Family) -> Tally {
        Tally { family, choices: Vec::new(), withheld: false, finished: Vec::new(), other: false }
    }

    /// Takes an event; says whether the reply grew by it.
    pub(super) fn event(&mut self, event: &Event<'_>) -> bool {
        match event {
            Event::Delta { choice, part } => self.part(*choice, part),
            Event::Finish { choice, reason } => {
                self.withheld |= is_withheld(reason);
                self.finished.push(*choice);
                false
            }
            Event::Start { .. } | Event::Usage(_) | Event::End | Event::Error(_) => false,
        }
    }

    /// Tokens so far, over all choices.
    pub(super) fn total(&self) -> u64 {
        self.family.scale(self.choices.iter().map(Choice::total).sum())
    }

    /// Whether a filter kept some of it back.
    pub(super) fn withheld(&self) -> bool {
        self.withheld
    }

    /// Whether all that was seen is text, so that the count can be exact.
    pub(super) fn is_plain_text(&self) -> bool {
        !self.other
    }

    /// Choices that began and have not finished; the first, where none began.
    pub(super) fn unfinished(&self) -> Vec<u32> {
        if self.choices.is_empty() && self.finished.is_empty() {
            return vec![0];
        }
        let open = self.choices.iter().map(|c| c.index);
        open.filter(|index| !self.finished.contains(index)).collect()
    }

    fn part(&mut self, index: u32, part: &Part<'_>) -> bool {
        let encoding = self.family.encoding;
        let at = self.choices.iter().position(|c| c.index == index);
        let at = at.unwrap_or_else(|| {
            let (text, arguments) = (encoding.stream(), Vec::new());
            self.choices.push(Choice { index, text, thinking: None, tools: 0, arguments });
            self.choices.len() - 1
        });
        let Some(choice) = self.choices.get_mut(at) else { return false };
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                choice.text.push(text);
            }
            Part::Reasoning(text) => {
                choice.thinking.get_or_insert_with(|| encoding.stream()).push(text);
            }
            Part::ToolCallStart { name, .. } => {
                self.other = true;
                choice.tools += TOOL_CALL + encoding.count(name);
            }
            Part::ToolCallArguments { index, json } => {
                self.other = true;
                let at = choice.arguments.iter().position(|(at, _)| at == index);
                let at = at.unwrap_or_else(|| {
                    choice.arguments.push((*index, encoding.stream()));
                    choice.arguments.len() - 1
                });
                if let Some((_, counter)) = choice.arguments.get_mut(at) {
                    counter.push(json);
                }
            }
            Part::Signature(_) | Part::RedactedReasoning(_) | Part::Other(_) => {
                self.other = true;
                return false;
            }
            Part::Logprobs(_) => return false,
        }
        true
    }
}

impl Choice {
    fn total(&self) -> u64 {
        let thinking = self.thinking.as_ref().map_or(0, StreamCounter::total);
        let arguments: u64 = self.arguments.iter().map(|(_, counter)| counter.total()).sum();
        self.text.total() + thinking + self.tools + arguments
    }
}
