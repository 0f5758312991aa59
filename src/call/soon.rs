//! Calls that wait a moment for a provider's own limit, where refusing them would only bring them back.
//! Each name that is asked for has one line, in which tenants take turns by their shares: a tenant with
//! a thousand calls waiting delays another's by one. The more urgent go before all of those.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::attempts::left;
use super::planning::micros;
use super::{CallError, Inbound, Operation};
use crate::clock;
use crate::routing::{NotReady, Unready};
use crate::tenants::{Caller, Priority};

/// The longest such wait in all.
const LONGEST: Duration = Duration::from_secs(2);
/// Calls that may wait at once; more are refused.
const MOST: usize = 1024;
/// Whoever was let through is waited for so long to take its place at a provider.
const TURN: Duration = Duration::from_millis(50);
/// What a call of a share of one counts.
const CALL: u64 = 1_000_000;

/// How much longer a call waits.
pub(super) struct Patience(Duration);

impl Patience {
    /// How much a call has.
    pub(super) fn of(inbound: &Inbound) -> Patience {
        Patience(left(inbound).filter(|_| inbound.waits()).unwrap_or(LONGEST))
    }

    /// How long to wait for that, if it is worth it. A breaker is waited for by calls that can wait alone:
    /// its target has failed, and may again.
    pub(super) fn spend(&mut self, not: &NotReady, inbound: &Inbound) -> Option<Duration> {
        let waits = inbound.waits();
        let passes = match not.why {
            Unready::Resting | Unready::Limit(_) | Unready::Full => true,
            Unready::Breaker | Unready::Probed => waits,
            Unready::Credential => false,
        };
        let wait = Duration::from_micros(not.until.saturating_sub(micros(clock::now())));
        let wait = wait.max(Duration::from_millis(if waits { 20 } else { 1 }));
        // There may be room at once for one that need not leave any to others.
        let wait = inbound.may_wait().map_or(wait, |rest| wait.min(rest));
        if !passes || left(inbound).is_some_and(|left| wait >= left) {
            return None;
        }
        self.0 = self.0.checked_sub(wait)?;
        Some(wait)
    }
}

/// The lines of those that wait.
#[derive(Clone, Default)]
pub(super) struct Waiting {
    lines: Arc<Mutex<HashMap<Arc<str>, Line>>>,
    count: Arc<AtomicUsize>,
}

/// Start-time fair queueing (Goyal, Vin and Cheng 1996): each call has the time at which its tenant's
/// calls before it are served, in a time that runs as fast as the line is served.
#[derive(Default)]
struct Line {
    /// The more urgent first, then by that time, then as they came.
    calls: BTreeMap<Ticket, Arc<Notify>>,
    /// When the last call of each tenant is served, of those that are as urgent.
    served: HashMap<(Reverse<Priority>, Arc<str>), u64>,
    /// The time of the call that was let through last, of those that are as urgent.
    now: HashMap<Reverse<Priority>, u64>,
    came: u64,
    /// Who was let through and has not taken its place, and until when that is waited for.
    turn: Option<(Ticket, Instant)>,
}

type Ticket = (Reverse<Priority>, u64, u64);

impl Line {
    fn join(&mut self, tenant: &Arc<str>, share: u32, priority: Priority) -> (Ticket, Arc<Notify>) {
        let class = Reverse(priority);
        let now = self.now.get(&class).copied().unwrap_or(0);
        let last = self.served.entry((class, tenant.clone())).or_insert(now);
        let begins = now.max(*last);
        *last = begins.saturating_add(CALL / u64::from(share.max(1)));
        self.came += 1;
        let ticket = (class, begins, self.came);
        let notify = Arc::new(Notify::new());
        self.calls.insert(ticket, notify.clone());
        (ticket, notify)
    }

    /// A call is let through.
    fn pass(&mut self, ticket: Ticket) {
        self.calls.remove(&ticket);
        let (class, begins, _) = ticket;
        let now = self.now.entry(class).or_insert(0);
        *now = begins.max(*now);
    }

    fn wake(&self) {
        if let Some((_, first)) = self.calls.first_key_value() {
            first.notify_one();
        }
    }
}

/// A place in a line; left by being dropped.
struct Place {
    waiting: Waiting,
    line: Arc<str>,
    ticket: Ticket,
    notify: Arc<Notify>,
}

/// The turn of a call that was let through; the next one's begins when it is dropped.
pub(super) struct Turn {
    _place: Place,
}

impl Waiting {
    /// Plans until there is a target, as long as one is to be asked soon. The turn that comes with a plan
    /// is to be dropped once its call has its place at the provider.
    pub(super) async fn plan<T>(
        &self,
        caller: &Caller,
        inbound: &Inbound,
        (operation, required): (&Operation<'_>, &[Arc<str>]),
        plan: impl Fn() -> Result<T, CallError>,
    ) -> Result<(T, Option<Turn>), CallError> {
        // Nobody goes past those who wait for the same.
        let line = || line(operation, required);
        let mut priority = inbound.priority(caller);
        let mut place = None;
        if self.count.load(Ordering::Relaxed) > 0 && self.lock().contains_key(&line()) {
            place = self.enter(line(), caller, priority);
        }
        let mut patience = Patience::of(inbound);
        if place.is_none() {
            let error = match plan() {
                Err(error @ CallError::NotReady { .. }) => error,
                other => return Ok((other?, None)),
            };
            let CallError::NotReady { not, .. } = &error else { return Err(error) };
            if Patience::of(inbound).spend(not, inbound).is_none() {
                return Err(error);
            }
            place = self.enter(line(), caller, priority);
            if place.is_none() {
                return Err(error);
            }
        }
        let Some(mut place) = place else { return Ok((plan()?, None)) };
        let began = Instant::now();
        loop {
            let left = match left(inbound) {
                Some(left) if inbound.waits() => left,
                left => {
                    let most = left.map_or(LONGEST, |left| left.min(LONGEST));
                    most.saturating_sub(began.elapsed())
                }
            };
            // Who has waited for as long as it may is as urgent as any other of its account.
            if priority != inbound.priority(caller) {
                priority = inbound.priority(caller);
                place = self.enter(line(), caller, priority).unwrap_or(place);
            }
            if let Some(wait) = place.behind() {
                if left.is_zero() {
                    return Ok((plan()?, None));
                }
                let wait = inbound.may_wait().map_or(wait, |rest| wait.min(rest));
                let _ = tokio::time::timeout(wait.min(left), place.notify.notified()).await;
                continue;
            }
            let error = match plan() {
                Ok(plan) => return Ok((plan, Some(place.turn()))),
                Err(error) => error,
            };
            let CallError::NotReady { not, .. } = &error else { return Err(error) };
            patience.0 = patience.0.min(left);
            let Some(wait) = patience.spend(not, inbound) else { return Err(error) };
            tokio::time::sleep(wait).await;
        }
    }

    /// A place at the line's end, which for its tenant may be its beginning; none where too many wait.
    fn enter(&self, line: Arc<str>, caller: &Caller, priority: Priority) -> Option<Place> {
        let tenant = caller.account.split('/').next().unwrap_or_default();
        let mut lines = self.lock();
        if self.count.load(Ordering::Relaxed) >= room(priority) {
            return None;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let joined = lines.entry(line.clone()).or_default();
        let (ticket, notify) = joined.join(&tenant.into(), caller.share, priority);
        drop(lines);
        Some(Place { waiting: self.clone(), line, ticket, notify })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many may wait before one more does: the less urgent leave room for the others.
fn room(priority: Priority) -> usize {
    match priority {
        Priority::Low => MOST / 2,
        Priority::Normal => MOST - MOST / 16,
        Priority::High => MOST,
    }
}

/// Those who ask for the same, of the same providers, wait for the same.
fn line(operation: &Operation<'_>, required: &[Arc<str>]) -> Arc<str> {
    let tags = required.join(",");
    format!("{}\n{}\n{tags}", operation.model(), operation.endpoint()).into()
}

impl Place {
    /// How long to wait, at most, before asking again; none where it is this one's turn.
    fn behind(&self) -> Option<Duration> {
        let mut lines = self.waiting.lock();
        let line = lines.get_mut(&self.line)?;
        let is_first = line.calls.first_key_value().is_some_and(|(first, _)| *first == self.ticket);
        if !is_first {
            return Some(LONGEST);
        }
        let (_, until) = line.turn?;
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            line.turn = None;
        }
        (!wait.is_zero()).then_some(wait)
    }

    fn turn(self) -> Turn {
        let mut lines = self.waiting.lock();
        if let Some(line) = lines.get_mut(&self.line) {
            line.pass(self.ticket);
            line.turn = Some((self.ticket, Instant::now() + TURN));
            line.wake();
        }
        drop(lines);
        Turn { _place: self }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.count.fetch_sub(1, Ordering::Relaxed);
        let mut lines = self.waiting.lock();
        let Some(line) = lines.get_mut(&self.line) else { return };
        line.calls.remove(&self.ticket);
        line.turn = line.turn.filter(|(ticket, _)| *ticket != self.ticket);
        line.wake();
        if line.calls.is_empty() && line.turn.is_none() {
            lines.remove(&self.line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is served in which order, of calls that came as written; each with its share.
    fn served(calls: &[(&str, u32)]) -> String {
        let mut line = Line::default();
        let mut names = HashMap::new();
        for (tenant, share) in calls {
            let (ticket, _) = line.join(&Arc::from(*tenant), *share, Priority::Normal);
            names.insert(ticket, *tenant);
        }
        line.calls.keys().map(|ticket| names[ticket]).collect()
    }

    #[test]
    fn a_tenant_with_many_calls_delays_another_by_one() {
        let mut calls = [("a", 1); 6].to_vec();
        calls.extend([("b", 1); 2]);
        assert_eq!(served(&calls), "ababaaaa");
    }

    #[test]
    fn shares_are_kept() {
        let mut calls = [("a", 1); 4].to_vec();
        calls.extend([("b", 3); 6]);
        let order = served(&calls);
        // Of the first eight, a quarter is the smaller share's.
        assert_eq!(order[..8].matches('a').count(), 2, "{order}");
    }

    #[test]
    fn who_was_away_has_not_saved_up() {
        let mut line = Line::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut join = |tenant, pass| {
            let (ticket, _) = line.join(tenant, 1, Priority::Normal);
            if pass {
                line.pass(ticket);
            }
            ticket
        };
        let served: Vec<_> = (0..5).map(|_| join(&a, true)).collect();
        let first = join(&a, false);
        let (one, two) = (join(&b, false), join(&b, false));
        assert_eq!(one.1, served[4].1);
        assert!(one < first && two.1 >= one.1 + CALL && first < two);
    }

    #[test]
    fn the_more_urgent_go_first_and_in_turns_among_themselves() {
        let mut line = Line::default();
        let mut names = HashMap::new();
        let calls =
            [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)];
        for (name, priority) in calls.into_iter().chain(calls) {
            let tenant = Arc::from(format!("{name}{}", names.len()));
            names.insert(line.join(&tenant, 1, priority).0, name);
        }
        let order: Vec<_> = line.calls.keys().map(|ticket| names[ticket]).collect();
        assert_eq!(order, ["high", "high", "normal", "normal", "low", "low"]);
    }
}
