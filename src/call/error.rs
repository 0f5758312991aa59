//! Why a call has no answer. What each means in status codes and words is `http`'s business.

use tollgate_providers::{BadRequest, Failure, ProviderError};

use crate::ledger::{Refused, Used};
use crate::routing::NotReady;

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError {
    /// The request cannot be understood, or no target can carry it.
    BadRequest(BadRequest),
    /// No model is called that.
    NoModel {
        /// As asked for.
        model: String,
        /// Near names.
        nearest: Vec<String>,
    },
    /// Several providers serve it.
    AmbiguousModel {
        /// As asked for.
        model: String,
        /// The names to choose from.
        full: Vec<String>,
    },
    /// The account may not ask for it.
    ForbiddenModel {
        /// As asked for.
        model: String,
    },
    /// The model has come to its end.
    Sunset {
        /// As asked for.
        model: String,
        /// What takes its place, where something does.
        successor: Option<String>,
    },
    /// No target of the model is tagged with what the account asks for.
    Untagged {
        /// As asked for.
        model: String,
        /// Why, for people.
        why: String,
    },
    /// No target of the model can do that.
    CannotDo {
        /// As asked for.
        model: String,
        /// The operation.
        endpoint: &'static str,
    },
    /// No target has a price, so the call cannot be held.
    Unpriced {
        /// The provider and model without one.
        target: String,
    },
    /// Every target would refuse now, so none is asked.
    NotReady {
        /// What keeps the one that can be asked soonest.
        not: NotReady,
        /// Why each cannot be asked, for people.
        why: String,
    },
    /// No target is within the route's ceilings.
    Ceiling {
        /// Why, for people.
        why: String,
        /// Whether that can pass by itself.
        passes: bool,
    },
    /// The client's idempotency key was used before, and has no answer to give again.
    KeyUsed(Used),
    /// The client wants an answer from the cache, and there is none.
    NotCached,
    /// A limit, or the ledger, says no.
    Refused(Refused),
    /// The gateway has as many calls in flight as it takes, or as it takes of so little urgency.
    Overloaded,
    /// The run that made it was stopped, or is over.
    Stopped,
    /// Every attempt failed; this is what the last one said.
    Provider {
        /// What it means.
        failure: Failure,
        /// How many attempts were made.
        attempts: u32,
    },
    /// No attempt got an answer.
    Unreachable {
        /// Why, for people.
        why: String,
        /// Whether time ran out, rather than a connection.
        late: bool,
        /// How many attempts were made.
        attempts: u32,
    },
    /// The provider's answer could not be read, or broke off.
    Garbled(ProviderError),
}

impl CallError {
    /// The same error for other calls of the same request, where a provider was asked and said no.
    pub(super) fn for_all(&self) -> Option<CallError> {
        match self {
            CallError::Provider { failure, attempts } => {
                Some(CallError::Provider { failure: failure.clone(), attempts: *attempts })
            }
            CallError::Unreachable { why, late, attempts } => {
                let (why, late, attempts) = (why.clone(), *late, *attempts);
                Some(CallError::Unreachable { why, late, attempts })
            }
            CallError::Garbled(error) => Some(CallError::Garbled(error.clone())),
            CallError::BadRequest(_)
            | CallError::NoModel { .. }
            | CallError::AmbiguousModel { .. }
            | CallError::ForbiddenModel { .. }
            | CallError::Sunset { .. }
            | CallError::Untagged { .. }
            | CallError::CannotDo { .. }
            | CallError::Unpriced { .. }
            | CallError::NotReady { .. }
            | CallError::Ceiling { .. }
            | CallError::KeyUsed(_)
            | CallError::NotCached
            | CallError::Refused(_)
            | CallError::Overloaded
            | CallError::Stopped => None,
        }
    }
}

impl From<BadRequest> for CallError {
    fn from(error: BadRequest) -> CallError {
        CallError::BadRequest(error)
    }
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> CallError {
        match refused {
            Refused::KeyUsed(used) => CallError::KeyUsed(used),
            refused => CallError::Refused(refused),
        }
    }
}
