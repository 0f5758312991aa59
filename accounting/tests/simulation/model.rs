//! The book again, as simple as it can be said: sums by period or instant, levels, counts. It
//! shares no code with the book beyond the public types, and knows nothing of speed.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tollgate_accounting::{Algorithm, Facets, Limit, Metric, Mode, SECOND, Window};

use crate::calendar::Place;
use crate::world::Rows;

/// Requests, input tokens, output tokens, nano-dollars.
pub(crate) type Four = [i64; 4];

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) now: i64,
    pub(crate) accounts: Vec<Account>,
    pub(crate) limits: Vec<Kept>,
    pub(crate) holds: BTreeMap<u128, Hold>,
    /// Ended ids, oldest first, with what is remembered of them.
    pub(crate) ended: VecDeque<u128>,
    pub(crate) ends: HashMap<u128, End>,
    pub(crate) remembered: usize,
    pub(crate) last_taken: i64,
}

#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) path: String,
    pub(crate) chain: Vec<usize>,
    pub(crate) is_live: bool,
    pub(crate) place: Place,
    pub(crate) totals: Four,
}

/// A limit that was ever configured.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) account: usize,
    pub(crate) limit: Limit,
    pub(crate) key: String,
    pub(crate) is_live: bool,
    /// It was gone when the book began again, and only its rows were kept: what it was before
    /// isn't known any more.
    pub(crate) is_parked: bool,
    pub(crate) since: i64,
    /// The last period in which something was taken.
    newest: i64,
    pub(crate) state: State,
}

#[derive(Clone)]
pub(crate) enum State {
    /// What is left, times the window's microseconds.
    Bucket {
        level: i128,
        at: i64,
        held: i64,
    },
    /// By the period's start.
    Periods(BTreeMap<i64, Cell>),
    /// By the instant of taking.
    Log(BTreeMap<i64, Cell>),
    Flight(i64),
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Cell {
    pub(crate) posted: i64,
    pub(crate) held: i64,
}

#[derive(Clone)]
pub(crate) struct Hold {
    pub(crate) account: usize,
    pub(crate) asked: Four,
    pub(crate) held: Four,
    pub(crate) taken_at: i64,
    pub(crate) deadline: i64,
    pub(crate) facets: Facets<'static>,
    pub(crate) parts: Vec<Part>,
}

/// What a hold took from a limit, and under which period or instant.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) limit: usize,
    pub(crate) place: i64,
    pub(crate) amount: i64,
}

#[derive(Clone)]
pub(crate) enum End {
    Settled(bool),
    Released,
    Late(Four, bool),
    Expired(Hold),
}

pub(crate) fn amount_of(metric: Metric, four: &Four, flight: i64) -> i64 {
    match metric {
        Metric::Requests => four[0],
        Metric::InputTokens => four[1],
        Metric::OutputTokens => four[2],
        Metric::Tokens => four[1] + four[2],
        Metric::Cost => four[3],
        Metric::Concurrency => flight,
    }
}

impl Kept {
    pub(crate) fn new(account: usize, limit: Limit, since: i64) -> Kept {
        let state = match limit.algorithm {
            Algorithm::TokenBucket { burst } | Algorithm::LeakyBucket { burst } => {
                let level = i128::from(burst) * window(&limit);
                State::Bucket { level, at: i64::MIN, held: 0 }
            }
            Algorithm::FixedWindow | Algorithm::SlidingWindow | Algorithm::Calendar => {
                State::Periods(BTreeMap::new())
            }
            Algorithm::SlidingLog => State::Log(BTreeMap::new()),
            Algorithm::Concurrency => State::Flight(0),
        };
        Kept {
            account,
            key: limit.key(),
            limit,
            is_live: true,
            is_parked: false,
            since,
            newest: 0,
            state,
        }
    }

    pub(crate) fn is_rolling(&self) -> bool {
        matches!(self.limit.algorithm, Algorithm::SlidingWindow | Algorithm::SlidingLog)
    }

    /// Time alone gives room, evenly or bit by bit.
    pub(crate) fn is_gradual(&self) -> bool {
        self.is_rolling() || matches!(self.state, State::Bucket { .. })
    }

    pub(crate) fn period(&self, place: Place, at: i64) -> (i64, i64) {
        match self.limit.window {
            Window::Calendar(calendar) => place.period(calendar, at),
            Window::Rolling { micros } => {
                let start = at.div_euclid(micros) * micros;
                (start, start + micros)
            }
            Window::None => (at, at),
        }
    }

    fn level_at(&self, now: i64) -> i128 {
        let State::Bucket { level, at, .. } = self.state else { return 0 };
        let full = i128::from(self.limit.capacity()) * window(&self.limit);
        let gained = (i128::from(now) - i128::from(at)).max(0) * i128::from(self.limit.amount);
        (level + gained).min(full)
    }

    /// (posted, held, available) at an instant that isn't before the last one.
    pub(crate) fn numbers(&self, place: Place, now: i64) -> (i128, i128, i128) {
        let capacity = i128::from(self.limit.capacity());
        match &self.state {
            State::Bucket { held, .. } => {
                let available = self.level_at(now).div_euclid(window(&self.limit));
                let held = i128::from(*held);
                ((capacity - available - held).max(0), held, available)
            }
            State::Periods(cells) => {
                let (start, end) = self.period(place, now);
                let cell = cells.get(&start).copied().unwrap_or_default();
                let (posted, held) = (i128::from(cell.posted), i128::from(cell.held));
                if self.limit.algorithm != Algorithm::SlidingWindow {
                    return (posted, held, capacity - posted - held);
                }
                let micros = window(&self.limit);
                let before = start - i64::try_from(micros).unwrap();
                let before = cells.get(&before).copied().unwrap_or_default();
                let sum = i128::from(before.posted) + i128::from(before.held);
                let share = (sum * i128::from(end - now) + micros - 1) / micros;
                let counted = posted + held + share;
                let held = held + i128::from(before.held);
                ((counted - held).max(0), held, capacity - counted)
            }
            State::Log(cells) => {
                let after = now.saturating_sub(i64::try_from(window(&self.limit)).unwrap());
                let live =
                    cells.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
                let (posted, held) = live.fold((0, 0), |(posted, held), (_, cell)| {
                    (posted + i128::from(cell.posted), held + i128::from(cell.held))
                });
                (posted, held, capacity - posted - held)
            }
            State::Flight(held) => (0, i128::from(*held), capacity - i128::from(*held)),
        }
    }

    /// What an extension of a part may take.
    pub(crate) fn room_for(&self, place: Place, now: i64, part: &Part) -> i128 {
        match &self.state {
            State::Periods(cells) if !self.is_rolling() => {
                let cell = cells.get(&part.place).copied().unwrap_or_default();
                i128::from(self.limit.capacity()) - i128::from(cell.posted) - i128::from(cell.held)
            }
            _ => self.numbers(place, now).2,
        }
    }

    /// When the room that isn't given back by time alone is asked for again.
    pub(crate) fn retry_guess(&self, place: Place, now: i64, amount: i64) -> i64 {
        let State::Periods(_) = self.state else { return now + SECOND };
        let (posted, ..) = self.numbers(place, now);
        let (_, end) = self.period(place, now);
        let held_back = posted + i128::from(amount) <= i128::from(self.limit.capacity());
        if held_back { end.min(now + SECOND) } else { end }
    }

    pub(crate) fn max_wait(&self) -> Option<i64> {
        match self.limit.mode {
            Mode::Hard => None,
            Mode::Soft { max_wait_micros } => Some(max_wait_micros),
        }
    }

    /// Takes, and says under which place.
    pub(crate) fn take(&mut self, place: Place, now: i64, amount: i64) -> i64 {
        let level = self.level_at(now) - i128::from(amount) * window(&self.limit);
        let (start, _) = self.period(place, now);
        match &mut self.state {
            State::Bucket { level: left, at, held } => {
                (*left, *at) = (level, now);
                *held += amount;
                0
            }
            State::Periods(cells) => {
                cells.entry(start).or_default().held += amount;
                self.newest = self.newest.max(start);
                start
            }
            State::Log(cells) => {
                cells.entry(now).or_default().held += amount;
                now
            }
            State::Flight(held) => {
                *held += amount;
                0
            }
        }
    }

    /// Takes more under the place where a fixed or calendar period has it already.
    pub(crate) fn take_more(&mut self, place: Place, now: i64, part: &Part, amount: i64) -> i64 {
        let is_rolling = self.is_rolling();
        match &mut self.state {
            State::Periods(cells) if !is_rolling => {
                cells.entry(part.place).or_default().held += amount;
                part.place
            }
            _ => self.take(place, now, amount),
        }
    }

    /// Moves from held to posted, or corrects what is posted if nothing is held any more.
    pub(crate) fn change(&mut self, now: i64, place: i64, held: i64, posted: i64) {
        let full = i128::from(self.limit.capacity()) * window(&self.limit);
        let level = self.level_at(now) - i128::from(held + posted) * window(&self.limit);
        match &mut self.state {
            State::Bucket { level: left, at, held: all } => {
                (*left, *at) = (level.min(full), now.max(*at));
                *all += held;
            }
            State::Periods(cells) | State::Log(cells) => {
                if let Some(cell) = cells.get_mut(&place) {
                    cell.held += held;
                    cell.posted += posted;
                }
            }
            State::Flight(all) => *all += held,
        }
    }

    /// The same limit with other amounts: what was used stays used.
    pub(crate) fn become_limit(&mut self, limit: Limit, now: i64) {
        let level = self.level_at(now);
        let grown = i128::from(limit.capacity()) - i128::from(self.limit.capacity());
        if let State::Bucket { level: left, at, .. } = &mut self.state {
            if !std::mem::take(&mut self.is_parked) {
                (*left, *at) = (level, now);
            }
            *left += grown * window(&limit);
        }
        self.limit = limit;
    }

    /// Counts no new holds.
    pub(crate) fn end(&mut self, now: i64) {
        if std::mem::take(&mut self.is_live) {
            self.refill_to(now);
        }
    }

    /// A thousand windows later, a fixed or sliding window isn't remembered any more.
    pub(crate) fn is_replaced(&self, place: i64) -> bool {
        match (&self.state, self.limit.window) {
            (State::Periods(_), Window::Rolling { micros }) => {
                self.newest - place >= 1_024 * micros
            }
            _ => false,
        }
    }

    /// Only its rows are left. At which instant a bucket's was written is the book's choice.
    pub(crate) fn park(&mut self, path: &str, rows: &Rows) {
        self.is_parked = true;
        if let Some([at, ..]) = rows.get(&(path.into(), self.key.as_str().into(), 0)) {
            self.refill_to(*at);
        }
    }

    fn refill_to(&mut self, now: i64) {
        let current = self.level_at(now);
        if let State::Bucket { level, at, .. } = &mut self.state {
            (*level, *at) = (current, now.max(*at));
        }
    }

    /// Forgets what can't matter any more, for the sake of memory alone.
    pub(crate) fn forget_before(&mut self, oldest: i64) {
        if let State::Periods(cells) | State::Log(cells) = &mut self.state {
            *cells = cells.split_off(&oldest);
        }
    }
}

pub(crate) fn window(limit: &Limit) -> i128 {
    match limit.window {
        Window::Rolling { micros } => i128::from(micros),
        Window::Calendar(_) | Window::None => 1,
    }
}

impl Kept {
    /// Takes a part of an open hold out of what is held, and touches nothing else: what a bucket
    /// gave stays given.
    pub(crate) fn unhold(&mut self, part: &Part) {
        self.reheld(part, -part.amount);
    }

    /// Puts a part back into what is held.
    pub(crate) fn rehold(&mut self, part: &Part) {
        self.reheld(part, part.amount);
    }

    fn reheld(&mut self, part: &Part, change: i64) {
        match &mut self.state {
            State::Bucket { held, .. } | State::Flight(held) => *held += change,
            State::Periods(cells) | State::Log(cells) => {
                cells.entry(part.place).or_default().held += change;
            }
        }
    }
}
