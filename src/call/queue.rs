//! Calls that wait their turn at a soft limit: in the order they came, for as long as the limit allows,
//! and no longer than their client stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tollgate_accounting::{Refusal, RefusalKind};

use super::soon::Waiting;
use crate::clock;
use crate::ledger::Refused;

/// Calls that may wait at one limit; a longer queue refuses.
const LONGEST: usize = 1024;
/// The shortest pause before asking again.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest, where calls in flight hold what is missing: any of them may end at any time.
const PEEK: Duration = Duration::from_millis(25);

/// The queues, one for each limit that calls wait at now.
#[derive(Default)]
pub struct Queues {
    gates: Mutex<HashMap<Place, Weak<Gate>>>,
    /// Those that wait for a provider.
    pub(super) waiting: Waiting,
}

/// An account and the key of its limit.
type Place = (Arc<str>, Arc<str>);

/// A queue: its lock is fair, so whoever waits longest is next.
#[derive(Default)]
struct Gate {
    turn: tokio::sync::Mutex<()>,
}

impl Queues {
    /// Admits a call, or lets it wait where all that refuses it is soft. A client that hangs up drops
    /// this future, and with it its place.
    pub(super) async fn admit<T>(
        &self,
        admit: impl Fn() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let refusal = match admit() {
            Err(Refused::Limit(refusal)) if refusal.soft => refusal,
            other => return other,
        };
        let began = Instant::now();
        let gate = self.gate(&refusal);
        // A place in the queue is a clone of the gate; one more is this function's own.
        if Arc::strong_count(&gate) > LONGEST {
            return Err(Refused::Limit(refusal));
        }
        let patience = micros(refusal.max_wait_micros);
        let Ok(_turn) = tokio::time::timeout(patience, gate.turn.lock()).await else {
            return Err(Refused::Limit(refusal));
        };
        loop {
            let refusal = match admit() {
                Err(Refused::Limit(refusal)) if refusal.soft => refusal,
                other => return other,
            };
            let patience = micros(refusal.max_wait_micros).saturating_sub(began.elapsed());
            let wait = wait(&refusal).max(PAUSE);
            if wait > patience {
                return Err(Refused::Limit(refusal));
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn gate(&self, refusal: &Refusal) -> Arc<Gate> {
        let key = (refusal.account.clone(), refusal.limit_key.clone());
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(&key).and_then(Weak::upgrade) {
            return gate;
        }
        // Queues that nobody stands in are forgotten when another begins.
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Gate::default());
        gates.insert(key, Arc::downgrade(&gate));
        gate
    }
}

fn wait(refusal: &Refusal) -> Duration {
    let RefusalKind::Later { retry_at } = refusal.kind else { return Duration::MAX };
    let wait = micros(retry_at.micros().saturating_sub(clock::now().micros()));
    if refusal.held > 0 { wait.min(PEEK) } else { wait }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tollgate_accounting::{
        AccountSpec, Amounts, Book, Facets, HoldId, Limit, Mode, Money, Timestamp,
    };

    use super::*;

    /// A refusal of a soft limit that nothing will ever make room at.
    fn refusal(max_wait_micros: i64) -> Box<Refusal> {
        let mut limit: Limit = "1 concurrent".parse().unwrap();
        limit.mode = Mode::Soft { max_wait_micros };
        let spec = AccountSpec { path: "a".into(), zone: "UTC".into(), limits: vec![limit] };
        let mut book = Book::new();
        let now = clock::now();
        book.configure(now, &[spec]).unwrap();
        let account = book.account("a").unwrap();
        let facets = Facets { model: "m", endpoint: "e", prompt: None };
        let ask = Amounts { requests: 1, input_tokens: 0, output_tokens: 0, cost: Money::ZERO };
        let far = Timestamp::from_micros(i64::MAX);
        book.hold(now, HoldId(1), account, &facets, ask, far).unwrap();
        book.hold(now, HoldId(2), account, &facets, ask, far).unwrap_err()
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn a_hard_refusal_does_not_wait() {
        run(async {
            let queues = Queues::default();
            let asked = Cell::new(0);
            let refused = queues.admit::<()>(|| {
                asked.set(asked.get() + 1);
                Err(Refused::Busy)
            });
            assert!(matches!(refused.await, Err(Refused::Busy)));
            assert_eq!(asked.get(), 1);
        });
    }

    #[test]
    fn calls_are_let_in_in_the_order_they_came() {
        run(async {
            let queues = Queues::default();
            let (room, order) = (Cell::new(0), RefCell::new(Vec::new()));
            let call = async |name: u32| {
                let admit = || {
                    // One call gets in at each fifth question, whoever asks.
                    room.set(room.get() + 1);
                    let open = room.get() > 3 && room.get() % 5 == 0;
                    if open { Ok(()) } else { Err(Refused::Limit(refusal(5_000_000))) }
                };
                queues.admit(admit).await.unwrap();
                order.borrow_mut().push(name);
            };
            futures_util::future::join3(call(1), call(2), call(3)).await;
            assert_eq!(*order.borrow(), [1, 2, 3]);
        });
    }

    #[test]
    fn a_call_waits_no_longer_than_its_limit_allows() {
        run(async {
            let began = Instant::now();
            let queues = Queues::default();
            let refused = queues.admit::<()>(|| Err(Refused::Limit(refusal(2_000_000))));
            assert!(matches!(refused.await, Err(Refused::Limit(_))));
            let waited = began.elapsed();
            assert!(
                waited > Duration::from_secs(1) && waited < Duration::from_secs(4),
                "{waited:?}"
            );
        });
    }

    #[test]
    fn a_client_that_hangs_up_frees_its_place() {
        run(async {
            let queues = Queues::default();
            let waiting = queues.admit::<()>(|| Err(Refused::Limit(refusal(60_000_000))));
            assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
            // Dropped while it stood first, it holds nobody up.
            let answers = Cell::new(0);
            let next = queues.admit(|| {
                answers.set(answers.get() + 1);
                if answers.get() > 1 { Ok(()) } else { Err(Refused::Limit(refusal(60_000_000))) }
            });
            tokio::time::timeout(Duration::from_secs(5), next).await.unwrap().unwrap();
        });
    }
}
