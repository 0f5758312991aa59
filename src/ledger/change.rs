//! A decision about an account as a row of the ledger.

use tollgate_accounting::{Money, Timestamp, Usage};

use super::entry::{CallId, Entry, Kind, Outcome};

/// Something that was decided about an account while the gateway ran: a credential, a limit, a plan, a
/// raise, a run, a prompt. It is a row of the ledger without amounts, so that the chain tells of it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The account; empty where it is about the whole gateway.
    pub account: String,
    /// Who decided: `admin`, or the id of a credential.
    pub by: String,
    /// What about: `key`, `limit`, `plan`, `raise`, `request`, `run`, `prompt`.
    pub what: &'static str,
    /// What was decided, for people.
    pub words: String,
    /// When.
    pub at: Timestamp,
}

impl Change {
    pub(super) fn entry(self) -> Entry {
        let Change { account, by, what, words, at } = self;
        Entry {
            id: CallId::new(),
            attempt: 1,
            kind: Kind::Change,
            at,
            received_at: at,
            account: account.into(),
            key: by.into(),
            endpoint: what.into(),
            asked_model: "".into(),
            provider: "".into(),
            model: "".into(),
            prompt: None,
            tags: None,
            stream: false,
            outcome: Outcome::Completed,
            status: None,
            error: Some(words.into()),
            requests: 0,
            usage: Usage::new(),
            input_provenance: None,
            output_provenance: None,
            counted_input: 0,
            delivered_output: 0,
            posted_input: 0,
            posted_output: 0,
            card: "".into(),
            charged: Money::ZERO,
            owed: Money::ZERO,
            markup: Money::ZERO,
            absorbed: Money::ZERO,
            saved: Money::ZERO,
            held: Money::ZERO,
            first_byte_us: None,
            total_us: 0,
            tier: None,
            why: None,
            reported_cost: None,
            cache: None,
            terms: None,
        }
    }
}
