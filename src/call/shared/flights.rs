//! Calls in flight, and who of several like calls is the first: the others follow it and join its
//! reply, as soon as there is one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use super::{Reader, Shared, lock};
use crate::cache::Answer;
use crate::call::CallError;
use crate::ledger::CallId;

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
pub(in crate::call) struct Interest(watch::Sender<usize>);

/// One client that waits.
pub(in crate::call) struct Wanted(Interest);

impl Interest {
    fn new() -> Interest {
        Interest(watch::Sender::new(0))
    }

    pub(in crate::call) fn want(&self) -> Wanted {
        self.0.send_modify(|clients| *clients += 1);
        Wanted(self.clone())
    }

    /// Waits until nobody waits.
    pub(in crate::call) async fn nobody(&self) {
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
pub(in crate::call) enum Boarding<K: Eq + Hash> {
    /// It is, and is to be made.
    Lead(Lead<K>),
    /// One is in flight.
    Follow(Follow),
}

/// The first of its like. Dropped, the next one is the first.
pub(in crate::call) struct Lead<K: Eq + Hash> {
    flights: Flights<K>,
    key: K,
    interest: Interest,
    reply: watch::Sender<Come>,
}

/// A call whose like is in flight.
pub(in crate::call) struct Follow {
    /// The first one.
    pub(in crate::call) id: CallId,
    reply: watch::Receiver<Come>,
    _wanted: Wanted,
}

/// What there is to join.
pub(in crate::call) enum Joined {
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

impl<K> Flights<K> {
    /// Clients that wait for calls in flight, those that asked first among them.
    pub fn clients(&self) -> usize {
        lock(&self.0).values().map(|flight| *flight.interest.0.borrow()).sum()
    }
}

impl<K: Eq + Hash + Clone> Flights<K> {
    pub(in crate::call) fn board(&self, key: K, id: CallId) -> Boarding<K> {
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
    pub(in crate::call) fn interest(&self) -> &Interest {
        &self.interest
    }

    /// The reply is whole: all who joined get it.
    pub(in crate::call) fn whole(self, answer: Arc<Answer>) {
        self.reply.send_replace(Come::Whole(answer));
    }

    /// The reply begins, and is a stream.
    pub(super) fn streams(&self, reply: &Arc<Shared>) {
        self.reply.send_replace(Come::Stream(Arc::downgrade(reply)));
    }

    /// There is no reply; where that would be so for all who joined, they are told.
    pub(in crate::call) fn failed(self, error: &CallError) {
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
    pub(in crate::call) async fn joined(mut self) -> Joined {
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

#[cfg(test)]
mod tests {
    use super::*;

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
