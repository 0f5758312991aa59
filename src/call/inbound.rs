//! What is known of a request besides its body.

use std::sync::Arc;

use tollgate_accounting::Timestamp;

use super::answers::CacheUse;
use super::defer;
use crate::ledger::CallId;
use crate::prompts::Keep;
use crate::tenants::{Caller, Priority};

/// What `http` knows of a request besides its body.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The call's id.
    pub id: CallId,
    /// When the request was received.
    pub received_at: Timestamp,
    /// The caller's tags, canonical.
    pub tags: Option<Arc<str>>,
    /// When the client stops waiting.
    pub deadline: Option<Timestamp>,
    /// Whether it can wait until then, for what is cheaper.
    pub defer: bool,
    /// The client's idempotency key.
    pub key: Option<Arc<str>>,
    /// How urgent it says it is; never more than its account's calls are.
    pub priority: Option<Priority>,
    /// What a target must be tagged with to be asked, beside what the account requires.
    pub require: Vec<Arc<str>>,
    /// What the client asks of the cache.
    pub cache: CacheUse,
    /// The template that the request was rendered from.
    pub prompt: Option<Prompted>,
    /// Headers that belong to the dialect, for a provider that speaks the same one.
    pub dialect_headers: Vec<(&'static str, String)>,
}

impl Inbound {
    /// What is asked of the cache, by the client and by the template.
    pub(super) fn cache_use(&self) -> CacheUse {
        match (self.prompt.as_ref().and_then(|prompt| prompt.keep), self.cache) {
            (Some(Keep::Off), CacheUse::Allowed | CacheUse::Refresh) => CacheUse::NoStore,
            (Some(Keep::Refresh), CacheUse::Allowed) => CacheUse::Refresh,
            (_, asked) => asked,
        }
    }

    /// How urgent the call is.
    pub(super) fn priority(&self, caller: &Caller) -> Priority {
        let own = self.priority.map_or(caller.priority, |asked| asked.min(caller.priority));
        defer::priority(self, own)
    }

    /// All that a target must be tagged with.
    pub(super) fn required(&self, caller: &Caller) -> Arc<[Arc<str>]> {
        required(caller, &self.require)
    }
}

/// All that a target must be tagged with for a call that asks for these tags.
pub fn required(caller: &Caller, asked: &[Arc<str>]) -> Arc<[Arc<str>]> {
    if asked.is_empty() {
        return caller.require.clone();
    }
    let own = asked.iter().filter(|tag| !caller.require.contains(tag));
    caller.require.iter().chain(own).cloned().collect()
}

/// A call whose request was rendered from a template.
#[derive(Clone, Debug)]
pub struct Prompted {
    /// The template's name, as limits ask for it.
    pub name: Arc<str>,
    /// `name@version`, as the row has it.
    pub tag: Arc<str>,
    /// The dialect that the client reads, whichever one the template was rendered to.
    pub dialect: tollgate_providers::Dialect,
    /// What the reply repeats of the client's own request.
    pub echo: String,
    /// What the template says of keeping its replies.
    pub keep: Option<Keep>,
}
