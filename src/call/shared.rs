//! Calls in flight that others join: a repeat of a call reads the first one's reply while it comes in.
//! Frames are kept from the first on, and whichever reader has read them all fetches the next, so
//! that no client waits for another's; a reply lives for as long as anybody reads it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::watch;
use tollgate_accounting::{Money, PriceCard};

use super::relay::{KEEP_ALIVE, Last, QUIET, Relay, Step};
use super::together::Along;
use super::{CallError, Origin};
use crate::cache::Answer;
use crate::ledger::CallId;

/// The largest reply that is kept whole. Of a larger one nobody can join any more, and a reader that
/// is so far behind the others is broken off.
const LARGEST: usize = 4 * 1024 * 1024;

/// Calls in flight, by what makes two of them the same call.
pub struct Flights<K>(Arc<Mutex<HashMap<K, Flight>>>);

struct Flight {
    id: CallId,
    interest: Interest,
    reply: watch::Receiver<Come>,
}

/// What there is of the first call's reply.
enum Come {
    Nothing,
    /// A stream, for as long as somebody reads it.
    Stream(Weak<Shared>),
    Whole(Arc<Answer>),
    Failed(CallError),
}

/// Who waits for a call. Clones count the same clients.
#[derive(Clone)]
pub(super) struct Interest(watch::Sender<usize>);

/// One client that waits.
pub(super) struct Wanted(Interest);

impl Interest {
    fn new() -> Interest {
        Interest(watch::Sender::new(0))
    }

    pub(super) fn want(&self) -> Wanted {
        self.0.send_modify(|clients| *clients += 1);
        Wanted(self.clone())
    }

    /// Waits until nobody waits.
    pub(super) async fn nobody(&self) {
        // It can only fail where there is no sender, and this is one.
        let _ = self.0.subscribe().wait_for(|clients| *clients == 0).await;
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.0.send_modify(|clients| *clients = clients.saturating_sub(1));
    }
}

/// Whether a call is the first of its like.
pub(super) enum Boarding<K: Eq + Hash> {
    /// It is, and is to be made.
    Lead(Lead<K>),
    /// One is in flight.
    Follow(Follow),
}

/// The first of its like. Dropped, the next one is the first.
pub(super) struct Lead<K: Eq + Hash> {
    flights: Flights<K>,
    key: K,
    interest: Interest,
    reply: watch::Sender<Come>,
}

/// A call whose like is in flight.
pub(super) struct Follow {
    /// The first one.
    pub(super) id: CallId,
    reply: watch::Receiver<Come>,
    _wanted: Wanted,
}

/// What there is to join.
pub(super) enum Joined {
    /// Its reply, from the first frame on.
    Reply(Reader),
    /// Its reply is here and whole.
    Answer(Arc<Answer>),
    /// It has none, and whoever joined fails with it.
    Failed(CallError),
    /// It is over, one way or the other.
    Over,
    /// So much of its reply has passed that it is not kept any more.
    TooLate,
}

impl<K> Clone for Flights<K> {
    fn clone(&self) -> Flights<K> {
        Flights(self.0.clone())
    }
}

impl<K> Default for Flights<K> {
    fn default() -> Flights<K> {
        Flights(Arc::default())
    }
}

impl<K: Eq + Hash + Clone> Flights<K> {
    pub(super) fn board(&self, key: K, id: CallId) -> Boarding<K> {
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&key) {
            let (reply, _wanted) = (flight.reply.clone(), flight.interest.want());
            return Boarding::Follow(Follow { id: flight.id, reply, _wanted });
        }
        let (sender, reply) = watch::channel(Come::Nothing);
        let interest = Interest::new();
        flights.insert(key.clone(), Flight { id, interest: interest.clone(), reply });
        Boarding::Lead(Lead { flights: self.clone(), key, interest, reply: sender })
    }
}

impl<K: Eq + Hash> Lead<K> {
    /// Who waits for it, but for its own client.
    pub(super) fn interest(&self) -> &Interest {
        &self.interest
    }

    /// The reply is whole: all who joined get it.
    pub(super) fn whole(self, answer: Arc<Answer>) {
        self.reply.send_replace(Come::Whole(answer));
    }

    /// There is no reply; where that would be so for all who joined, they are told.
    pub(super) fn failed(self, error: &CallError) {
        if let Some(error) = error.for_all() {
            self.reply.send_replace(Come::Failed(error));
        }
    }
}

impl<K: Eq + Hash> Drop for Lead<K> {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(&self.key);
    }
}

impl Follow {
    /// Waits until there is something to join.
    pub(super) async fn joined(mut self) -> Joined {
        loop {
            match &*self.reply.borrow_and_update() {
                Come::Stream(reply) => {
                    if let Some(reply) = reply.upgrade() {
                        return Shared::join(&reply).map_or(Joined::TooLate, Joined::Reply);
                    }
                }
                Come::Whole(answer) => return Joined::Answer(answer.clone()),
                Come::Failed(error) => return error.for_all().map_or(Joined::Over, Joined::Failed),
                Come::Nothing => {}
            }
            // Its end is that of the sender.
            if self.reply.changed().await.is_err() {
                return Joined::Over;
            }
        }
    }
}

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
        let kept = Kept { whole: true, ..Kept::default() };
        let shared = Arc::new(Shared {
            id,
            from,
            card,
            relay: tokio::sync::Mutex::new(relay),
            kept: Mutex::new(kept),
            on_end: Mutex::new(None),
        });
        lead.reply.send_replace(Come::Stream(Arc::downgrade(&shared)));
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

/// The frames so far and how far each reader is.
#[derive(Default)]
struct Kept {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The number of the first frame that is kept.
    first: usize,
    /// Whether all frames are kept.
    whole: bool,
    ended: bool,
    /// What the call was charged, if it came to its own end.
    charged: Option<Money>,
    readers: BTreeMap<u64, usize>,
    numbers: u64,
}

/// Bytes for the client that asked first, and for others where those differ.
#[derive(Clone)]
struct Frame {
    first: Bytes,
    others: Option<Bytes>,
}

impl From<Bytes> for Frame {
    fn from(first: Bytes) -> Frame {
        Frame { first, others: None }
    }
}

enum Place {
    At(Frame),
    Ahead,
    End,
    Lost,
}

impl Kept {
    fn read(&mut self) -> u64 {
        self.numbers += 1;
        self.readers.insert(self.numbers, 0);
        self.numbers
    }

    fn leave(&mut self, number: u64) {
        self.readers.remove(&number);
        self.trim();
    }

    fn is_behind(&self, number: u64) -> bool {
        self.ended || self.has_more(number)
    }

    fn has_more(&self, number: u64) -> bool {
        let at = self.readers.get(&number).copied().unwrap_or(0);
        at < self.first + self.frames.len()
    }

    fn take(&mut self, number: u64) -> Place {
        let Some(at) = self.readers.get_mut(&number) else { return Place::End };
        let Some(index) = at.checked_sub(self.first) else {
            self.readers.remove(&number);
            return Place::Lost;
        };
        let Some(frame) = self.frames.get(index).cloned() else {
            return if self.ended { Place::End } else { Place::Ahead };
        };
        *at += 1;
        self.trim();
        Place::At(frame)
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += frame.first.len();
        self.frames.push_back(frame);
        self.whole &= self.bytes <= LARGEST;
        self.trim();
    }

    /// All frames end to end, if all are kept.
    fn end(&mut self) -> Option<Bytes> {
        self.ended = true;
        self.whole.then(|| {
            let mut all = Vec::with_capacity(self.bytes);
            self.frames.iter().for_each(|frame| all.extend_from_slice(&frame.first));
            Bytes::from(all)
        })
    }

    /// Of a reply that is too large to keep, lets go of what every reader has read, and of more where
    /// one is far behind; but never of the frame that came last.
    fn trim(&mut self) {
        if self.whole {
            return;
        }
        let slowest = self.readers.values().copied().min().unwrap_or(usize::MAX);
        while self.first < slowest || (self.bytes > LARGEST && self.frames.len() > 1) {
            let Some(frame) = self.frames.pop_front() else { return };
            self.bytes -= frame.first.len();
            self.first += 1;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Frame {
        Bytes::copy_from_slice(text.as_bytes()).into()
    }

    fn kept() -> Kept {
        Kept { whole: true, ..Kept::default() }
    }

    fn read_all(kept: &mut Kept, number: u64) -> (String, bool) {
        let mut text = String::new();
        loop {
            match kept.take(number) {
                Place::At(frame) => text.push_str(std::str::from_utf8(&frame.first).unwrap()),
                Place::Ahead | Place::End => return (text, true),
                Place::Lost => return (text, false),
            }
        }
    }

    #[test]
    fn whoever_joins_later_reads_from_the_first_frame_on() {
        let mut kept = kept();
        let first = kept.read();
        kept.push(frame("a"));
        assert_eq!(read_all(&mut kept, first), ("a".to_owned(), true));
        kept.push(frame("b"));
        let second = kept.read();
        assert!(kept.is_behind(second));
        assert_eq!(read_all(&mut kept, second), ("ab".to_owned(), true));
        assert_eq!(kept.end().as_deref(), Some(&b"ab"[..]));
        assert_eq!(read_all(&mut kept, first), ("b".to_owned(), true));
    }

    #[test]
    fn a_reply_too_large_to_keep_is_passed_on_and_not_kept() {
        let mut kept = kept();
        let reader = kept.read();
        let large = "x".repeat(LARGEST / 4);
        for _ in 0..40 {
            kept.push(frame(&large));
            assert_eq!(read_all(&mut kept, reader).0.len(), large.len());
            assert!(kept.bytes <= LARGEST + large.len());
        }
        assert!(!kept.whole);
        assert_eq!(kept.end(), None);
    }

    #[test]
    fn a_reader_far_behind_is_broken_off_and_holds_no_memory() {
        let mut kept = kept();
        let (_slow, quick) = (kept.read(), kept.read());
        let large = "x".repeat(LARGEST / 4);
        for _ in 0..40 {
            kept.push(frame(&large));
            assert!(read_all(&mut kept, quick).1);
            assert!(kept.bytes <= LARGEST + large.len());
        }
        assert!(!read_all(&mut kept, 1).1);
        assert!(matches!(kept.take(1), Place::End), "told once");
    }

    #[test]
    fn the_next_call_leads_when_the_first_is_over() {
        let flights = Flights::<u8>::default();
        let Boarding::Lead(lead) = flights.board(1, CallId(7)) else { panic!("nobody leads") };
        let Boarding::Follow(follow) = flights.board(1, CallId(8)) else { panic!("two lead") };
        assert_eq!(follow.id, CallId(7));
        assert!(matches!(flights.board(2, CallId(9)), Boarding::Lead(_)), "another call");
        drop(lead);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(matches!(runtime.block_on(follow.joined()), Joined::Over));
        assert!(matches!(flights.board(1, CallId(8)), Boarding::Lead(_)));
    }
}
