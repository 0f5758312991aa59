//! Who may use which prompts. One that belongs to nobody is everybody's; one that belongs to an account is
//! that account's, of those below it, and of its subscribers.

use std::collections::BTreeMap;

/// Whose prompts are, and who else may use them.
#[derive(Clone, Debug, Default)]
pub struct Shares(BTreeMap<String, Owned>);

/// A prompt that belongs to an account.
#[derive(Clone, Debug)]
pub struct Owned {
    /// The account.
    pub account: String,
    /// Whether others may ask for it.
    pub offered: bool,
    /// Accounts whose subscriptions hold.
    pub subscribers: Vec<String>,
}

impl Shares {
    /// Of prompts by their names.
    pub fn new(owned: impl IntoIterator<Item = (String, Owned)>) -> Shares {
        Shares(owned.into_iter().collect())
    }

    /// Whether an account may use a prompt.
    pub fn allow(&self, prompt: &str, account: &str) -> bool {
        self.0.get(prompt).is_none_or(|owned| {
            let within = std::iter::once(&owned.account).chain(&owned.subscribers);
            within.into_iter().any(|path| is_within(account, path))
        })
    }

    /// Whose a prompt is; none where it is everybody's.
    pub fn of(&self, prompt: &str) -> Option<&Owned> {
        self.0.get(prompt)
    }
}

/// Whether a path is an account's or lies below it.
fn is_within(path: &str, account: &str) -> bool {
    path.strip_prefix(account).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
