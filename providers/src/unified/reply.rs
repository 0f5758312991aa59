//! A whole reply in the hub's words.

use serde_json::value::RawValue;

use super::chat::Block;
use super::event::FinishReason;
use super::text::Text;
use super::usage::UsageReport;

/// A whole reply, borrowing from the body it was decoded from.
#[derive(Debug, Default)]
pub struct Reply<'a> {
    /// The provider's id of the reply.
    pub id: Option<Text<'a>>,
    /// The model as the provider names it.
    pub model: Option<Text<'a>>,
    /// Seconds since the Unix epoch, where the provider says when.
    pub created: Option<u64>,
    /// The tier it was processed in. Prices differ by it.
    pub service_tier: Option<Text<'a>>,
    /// The answers, in the order of their index.
    pub choices: Vec<Choice<'a>>,
    /// What was used. Empty where the provider did not say.
    pub usage: UsageReport,
}

/// One of the answers.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    /// Its index.
    pub index: u32,
    /// What the model said, in order.
    pub blocks: Vec<Block<'a>>,
    /// Why it ended, where the provider says.
    pub finish: Option<FinishReason<'a>>,
    /// Log probabilities, as JSON.
    pub logprobs: Option<&'a RawValue>,
}
