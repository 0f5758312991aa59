//! A call's reply that others read as well: a repeat of a call, or a like call, reads the first one's
//! reply while it comes in. Whichever reader has read all frames fetches the next, so that no client
//! waits for another's; a reply lives for as long as anybody reads it.

mod flights;
mod kept;

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tollgate_accounting::{Money, PriceCard};

pub use self::flights::Flights;
pub(super) use self::flights::{Boarding, Joined, Lead};
use self::kept::{Frame, Kept, Place};
use super::Origin;
use super::relay::{KEEP_ALIVE, Last, QUIET, Relay, Step};
use super::together::Along;
use crate::ledger::CallId;

/// A streamed reply that others may join.
pub(super) struct Shared {
    id: CallId,
    from: Origin,
    card: Arc<PriceCard>,
    relay: tokio::sync::Mutex<Relay>,
    kept: Mutex<Kept>,
    on_end: Mutex<Option<OnEnd>>,
}

/// Takes the reply that is whole and kept, or is dropped.
pub(super) type OnEnd = Box<dyn FnOnce(Bytes) + Send>;

impl Shared {
    /// Shares a reply with the followers of `lead`; its first reader is the client that asked first.
    /// `on_end` is dropped with the last reader if the reply is not whole.
    pub(super) fn start<K: Eq + Hash + Send + 'static>(
        (id, from, card): (CallId, Origin, Arc<PriceCard>),
        relay: Relay,
        lead: Lead<K>,
        on_end: OnEnd,
    ) -> Reader {
        let shared = Arc::new(Shared {
            id,
            from,
            card,
            relay: tokio::sync::Mutex::new(relay),
            kept: Mutex::new(Kept::new()),
            on_end: Mutex::new(None),
        });
        lead.streams(&shared);
        let then_land = move |reply| {
            on_end(reply);
            drop(lead);
        };
        *lock(&shared.on_end) = Some(Box::new(then_land));
        let number = lock(&shared.kept).read();
        Reader { shared, number, alike: false }
    }

    fn join(shared: &Arc<Shared>) -> Option<Reader> {
        let mut kept = lock(&shared.kept);
        let number = kept.whole.then(|| kept.read())?;
        drop(kept);
        Some(Reader { shared: shared.clone(), number, alike: false })
    }

    fn ended(&self, relay: &Relay) {
        let whole = lock(&self.kept).end();
        let Some(on_end) = lock(&self.on_end).take() else { return };
        if let Some(frames) = whole.filter(|_| relay.completed()) {
            on_end(frames);
        }
    }
}

/// One client's place in a reply that several read. Dropped, it makes no difference to the others.
pub struct Reader {
    shared: Arc<Shared>,
    number: u64,
    /// Whether this is another call with the same reply, rather than a repeat of the same call.
    alike: bool,
}

/// The reader was so far behind that what it needs is no longer kept.
#[derive(Debug)]
pub struct FellBehind;

impl std::fmt::Display for FellBehind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this client read so slowly that the others of the same reply left it behind")
    }
}

impl std::error::Error for FellBehind {}

impl Reader {
    /// The call that is answered.
    pub fn id(&self) -> CallId {
        self.shared.id
    }

    /// Where the reply comes from.
    pub fn from(&self) -> &Origin {
        &self.shared.from
    }

    /// At what price it is made.
    pub(super) fn card(&self) -> &Arc<PriceCard> {
        &self.shared.card
    }

    /// The same for another call: without what the ledger says of the first.
    pub(super) fn of_another(mut self) -> Reader {
        self.alike = true;
        self
    }

    /// Keeps the reply to be read by whoever joins.
    pub(super) fn reply(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Whether all of it was read.
    pub(super) fn at_end(&self) -> bool {
        let kept = lock(&self.shared.kept);
        kept.ended && !kept.has_more(self.number)
    }

    /// What the call was charged, once it has come to its own end.
    pub(super) fn charged(&self) -> Option<Money> {
        lock(&self.shared.kept).charged
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, FellBehind>> {
        loop {
            match lock(&self.shared.kept).take(self.number) {
                Place::At(frame) => {
                    let Frame { first, others } = frame;
                    return Some(Ok(others.filter(|_| self.alike).unwrap_or(first)));
                }
                Place::Lost => return Some(Err(FellBehind)),
                Place::End => return None,
                Place::Ahead => {}
            }
            let Ok(mut relay) = tokio::time::timeout(KEEP_ALIVE, self.shared.relay.lock()).await
            else {
                return Some(Ok(QUIET));
            };
            // Whoever had the lock may have fetched what we wait for.
            if lock(&self.shared.kept).is_behind(self.number) {
                continue;
            }
            match relay.step().await {
                Step::Frame(frame) => lock(&self.shared.kept).push(frame.into()),
                Step::Last(Last { first, others, charged }) => {
                    let mut kept = lock(&self.shared.kept);
                    kept.push(Frame { first, others: Some(others) });
                    kept.charged = Some(charged);
                    drop(kept);
                    self.shared.ended(&relay);
                }
                Step::Quiet => return Some(Ok(QUIET)),
                Step::End => self.shared.ended(&relay),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.shared.kept).leave(self.number);
    }
}

/// A streamed reply as one client reads it.
pub enum Streamed {
    /// Nobody else reads it.
    Own(Box<Relay>),
    /// Others may.
    Shared(Reader),
    /// Another call pays for it.
    Along(Box<Along>),
}

impl Streamed {
    /// The next bytes for the client; nothing at the end. If no other client reads it, dropping it
    /// before that settles the call at what was passed on.
    ///
    /// # Errors
    /// A reader of a shared reply that was left behind is to be told that the rest is missing.
    pub async fn next(&mut self) -> Option<Result<Bytes, FellBehind>> {
        match self {
            Streamed::Own(relay) => match relay.step().await {
                Step::Frame(frame) => Some(Ok(frame)),
                Step::Last(last) => Some(Ok(last.first)),
                Step::Quiet => Some(Ok(QUIET)),
                Step::End => None,
            },
            Streamed::Shared(reader) => reader.next().await,
            Streamed::Along(along) => along.next().await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
