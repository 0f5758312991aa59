//! One world: a random tree of accounts with random limits, the book and the model side by side,
//! and a ledger that keeps the book's rows across crashes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tollgate_accounting::{
    AccountSpec, Algorithm, Amounts, Balance, Book, Calendar, DAY, Facets, Filter, HOUR, HoldId,
    Limit, MINUTE, Metric, Mode, Money, RestoredHold, SECOND, Timestamp, Window,
};

use crate::calendar::Place;
use crate::dice::Dice;
use crate::model::{Account, End, Four, Kept, Model, Part, State, amount_of};

const MODELS: [&str; 3] = ["gpt-5", "gpt-5-mini", "claude"];
const ENDPOINTS: [&str; 2] = ["chat", "embeddings"];
const PROMPTS: [Option<&str>; 3] = [None, Some("greet"), Some("sum")];
const PATHS: [&str; 10] = ["", "a", "a/x", "a/x/1", "a/x/2", "a/y", "b", "b/z", "b/z/1", "c"];

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) book: Book,
    pub(crate) model: Model,
    /// For each account, the limits it may have.
    templates: Vec<Vec<Limit>>,
    ledger: Ledger,
    pub(crate) next_id: u128,
    /// The true time.
    pub(crate) wall: i64,
    pub(crate) tally: Tally,
    /// Accounts that the book forgot.
    away: Vec<&'static str>,
}

/// How often what happened: a simulation in which something never happens proves nothing of it.
#[derive(Clone, Default)]
pub(crate) struct Tally(pub(crate) BTreeMap<String, u64>);

/// What is durable.
#[derive(Clone, Default)]
struct Ledger {
    rows: Rows,
}

/// By account, limit and period.
pub(crate) type Rows = HashMap<(Arc<str>, Arc<str>, i64), [i64; 4]>;

/// What is durable at an instant, together with the model of that instant.
pub(crate) struct Snapshot {
    ledger: Ledger,
    holds: Vec<(u128, String, Amounts, Timestamp, Timestamp)>,
    model: Model,
}

impl Tally {
    pub(crate) fn count(&mut self, what: &str) {
        match self.0.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(what.to_owned(), 1);
            }
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let mut dice = Dice::new(seed);
        let start = 1_767_225_600 * SECOND + dice.below(700 * DAY as u64) as i64;
        let remembered = 1 + dice.below(100) as usize;
        let mut accounts: Vec<Account> = Vec::new();
        for path in PATHS {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let parent = accounts.iter().find(|account| account.path == parent);
            let mut chain = parent.map_or(Vec::new(), |parent| parent.chain.clone());
            chain.push(accounts.len());
            let place = if dice.once_in(2) { Place::Utc } else { Place::Berlin };
            let path = path.to_owned();
            accounts.push(Account { path, chain, is_live: false, place, totals: [0; 4] });
        }
        let templates = PATHS.iter().map(|_| templates(&mut dice)).collect();
        let model = Model {
            now: i64::MIN,
            accounts,
            limits: Vec::new(),
            holds: BTreeMap::new(),
            ended: VecDeque::new(),
            ends: HashMap::new(),
            remembered,
            last_taken: i64::MIN,
        };
        let book = Book::remembering(remembered);
        let (ledger, tally) = (Ledger::default(), Tally::default());
        let mut world = World {
            dice,
            book,
            model,
            templates,
            ledger,
            next_id: 1,
            wall: start,
            tally,
            away: Vec::new(),
        };
        world.configure_all();
        world
    }

    pub(crate) fn facets(&mut self) -> Facets<'static> {
        Facets {
            model: self.dice.pick::<&str>(&MODELS),
            endpoint: self.dice.pick::<&str>(&ENDPOINTS),
            prompt: *self.dice.pick(&PROMPTS),
        }
    }

    /// Makes a random choice of limits with random amounts the configuration of all accounts.
    pub(crate) fn configure_all(&mut self) {
        let mut specs = Vec::new();
        let mut live = Vec::new();
        for at in 0..PATHS.len() {
            if !self.dice.once_in(12) {
                specs.push(self.spec(at));
                live.push(at);
            }
        }
        for at in 0..PATHS.len() {
            if !live.contains(&at) {
                self.model_retire(at);
            }
        }
        specs.iter().for_each(|spec| self.bring_back(&spec.path));
        let now = self.clock();
        self.book.configure(now, &specs).unwrap();
        for (at, spec) in live.into_iter().zip(specs) {
            self.model_install(at, spec.limits);
        }
    }

    /// Changes one account.
    pub(crate) fn configure_one(&mut self) {
        let at = self.dice.below(PATHS.len() as u64) as usize;
        if self.dice.once_in(4) {
            let was_live = self.model.accounts[at].is_live;
            assert_eq!(self.book.retire(PATHS[at]), was_live);
            self.model_retire(at);
        } else {
            let spec = self.spec(at);
            self.bring_back(PATHS[at]);
            let now = self.clock();
            let id = self.book.put(now, &spec).unwrap();
            assert_eq!(self.book.account(PATHS[at]), Some(id));
            self.model_install(at, spec.limits);
        }
    }

    /// Writes what changed.
    pub(crate) fn commit(&mut self) {
        for Balance { account, limit_key, period, fields } in self.book.take_dirty() {
            self.ledger.rows.insert((account, limit_key, period), fields);
        }
    }

    /// Lets the book forget accounts that are gone, and puts their rows back at once or when they
    /// are configured again.
    pub(crate) fn forget(&mut self) {
        if self.dice.once_in(2) {
            self.commit();
        }
        for path in self.book.forget_retired(|_| true) {
            self.tally.count("forgotten");
            let at = PATHS.iter().position(|known| **known == *path).unwrap();
            let Model { accounts, limits, .. } = &mut self.model;
            assert!(!accounts[at].is_live, "{path} is configured");
            for kept in limits.iter_mut().filter(|kept| kept.account == at) {
                kept.park(path.as_ref(), &self.ledger.rows);
            }
            self.away.push(PATHS[at]);
            if self.dice.once_in(2) {
                self.bring_back(PATHS[at]);
            }
        }
    }

    /// Puts back the rows of an account that was forgotten, and of those above it.
    fn bring_back(&mut self, path: &str) {
        for away in std::mem::take(&mut self.away) {
            if path != away && !path.starts_with(&format!("{away}/")) {
                self.away.push(away);
                continue;
            }
            for ((account, limit_key, period), fields) in &self.ledger.rows {
                if **account == *away {
                    let (account, limit_key) = (account.clone(), limit_key.clone());
                    let balance = Balance { account, limit_key, period: *period, fields: *fields };
                    self.book.restore_balance(balance).unwrap();
                }
            }
        }
    }

    /// Writes what changed, and remembers all that a crash from now on leaves behind.
    pub(crate) fn snapshot(&mut self) -> Snapshot {
        self.commit();
        let holds = self.book.open_holds();
        let holds =
            holds.map(|h| (h.id.0, h.account.to_owned(), h.amounts, h.taken_at, h.deadline));
        let holds = holds.collect();
        Snapshot { ledger: self.ledger.clone(), holds, model: self.model.clone() }
    }

    /// Begins again from what is durable. What happened since never happened.
    pub(crate) fn crash(&mut self, snapshot: Snapshot) {
        let Snapshot { ledger, mut holds, model } = snapshot;
        self.ledger = ledger;
        self.model = model;
        self.away.clear();
        self.book = Book::remembering(self.model.remembered);
        let specs: Vec<_> = (0..PATHS.len())
            .filter(|at| self.model.accounts[*at].is_live)
            .map(|at| self.current_spec(at))
            .collect();
        self.book.configure(Timestamp::from_micros(self.model.now), &specs).unwrap();
        for ((account, limit_key, period), fields) in self.ledger.rows.clone() {
            let balance = Balance { account, limit_key, period, fields };
            self.book.restore_balance(balance.clone()).unwrap_or_else(|error| {
                panic!("{error}: {balance:?}");
            });
        }
        if self.dice.once_in(2) {
            holds.reverse();
        }
        for (id, account, amounts, taken_at, deadline) in &holds {
            let facets = self.model.holds[id].facets;
            let (id, account) = (HoldId(*id), account.as_str());
            let (amounts, taken_at, deadline) = (*amounts, *taken_at, *deadline);
            let hold = RestoredHold { id, account, facets, amounts, taken_at, deadline };
            self.book.restore_hold(hold).unwrap();
        }
        self.model_crash();
    }

    fn current_spec(&self, at: usize) -> AccountSpec {
        let limits = self.model.limits.iter().filter(|kept| kept.account == at && kept.is_live);
        AccountSpec {
            path: PATHS[at].to_owned(),
            zone: self.model.accounts[at].place.name().to_owned(),
            limits: limits.map(|kept| kept.limit.clone()).collect(),
        }
    }

    fn spec(&mut self, at: usize) -> AccountSpec {
        let mut limits = Vec::new();
        for template in &self.templates[at] {
            if self.dice.once_in(5) {
                continue;
            }
            let mut limit = template.clone();
            let tenths = 5 + self.dice.below(20) as i64;
            limit.amount = (limit.amount * tenths / 10).max(1);
            if let Algorithm::TokenBucket { burst } | Algorithm::LeakyBucket { burst } =
                &mut limit.algorithm
            {
                *burst = (*burst * tenths / 10).max(1);
            }
            if self.dice.once_in(3) {
                let max_wait_micros = self.dice.size(HOUR as u64) as i64;
                limit.mode = Mode::Soft { max_wait_micros };
            }
            limits.push(limit);
        }
        let zone = self.model.accounts[at].place.name().to_owned();
        AccountSpec { path: PATHS[at].to_owned(), zone, limits }
    }

    fn model_retire(&mut self, at: usize) {
        self.model.accounts[at].is_live = false;
        let now = self.model.now;
        let limits = self.model.limits.iter_mut().filter(|kept| kept.account == at);
        limits.for_each(|kept| kept.end(now));
    }

    fn model_install(&mut self, at: usize, limits: Vec<Limit>) {
        let model = &mut self.model;
        model.accounts[at].is_live = true;
        let now = model.now;
        let mut kept_keys = Vec::new();
        for limit in limits {
            let key = limit.key();
            let mut all = model.limits.iter_mut();
            let found = all.find(|kept| kept.account == at && kept.key == key);
            let is_new = match found {
                Some(kept) => {
                    kept.become_limit(limit, now);
                    !std::mem::replace(&mut kept.is_live, true)
                }
                None => {
                    model.limits.push(Kept::new(at, limit, now));
                    true
                }
            };
            if is_new {
                if model.last_taken == model.now {
                    model.now += 1;
                }
                let kept = model.limits.iter_mut().find(|k| k.account == at && k.key == key);
                kept.unwrap().since = model.now;
            }
            kept_keys.push(key);
        }
        let gone = |kept: &&mut Kept| kept.account == at && !kept_keys.contains(&kept.key);
        model.limits.iter_mut().filter(gone).for_each(|kept| kept.end(model.now));
    }

    /// What a restart forgets: how holds ended, and what they took from limits that are gone; a
    /// hold is where it was taken, with all it holds.
    fn model_crash(&mut self) {
        let Model { accounts, limits, holds, ends, ended, last_taken, .. } = &mut self.model;
        ended.clear();
        ends.clear();
        for kept in limits.iter_mut().filter(|kept| !kept.is_live) {
            kept.park(&accounts[kept.account].path, &self.ledger.rows);
        }
        *last_taken = holds.values().map(|hold| hold.taken_at).max().unwrap_or(i64::MIN);
        for hold in holds.values_mut() {
            hold.asked = hold.held;
            let mut seen = HashSet::new();
            for part in std::mem::take(&mut hold.parts) {
                let kept = &mut limits[part.limit];
                kept.unhold(&part);
                let is_flight = matches!(kept.state, State::Flight(_));
                let is_first = seen.insert(part.limit);
                let is_known = hold.taken_at >= kept.since && !kept.is_replaced(part.place);
                if kept.is_live && !is_flight && is_first && is_known {
                    hold.parts.push(Part { amount: 0, ..part });
                }
            }
            for at in accounts[hold.account].chain.clone() {
                for (limit, kept) in limits.iter().enumerate() {
                    let is_flight = matches!(kept.state, State::Flight(_));
                    let counts = kept.is_live && kept.limit.filter.matches(&hold.facets);
                    if kept.account == at && is_flight && counts {
                        hold.parts.push(Part { limit, place: 0, amount: 0 });
                    }
                }
            }
            for part in &mut hold.parts {
                let kept = &mut limits[part.limit];
                part.amount = amount_of(kept.limit.metric, &hold.held, 1);
                kept.rehold(part);
            }
        }
    }

    /// Lets go of what is too old to matter.
    pub(crate) fn tidy(&mut self) {
        let Model { now, limits, holds, ends, .. } = &mut self.model;
        let mut oldest: Vec<i64> = limits
            .iter()
            .map(|kept| match kept.limit.window {
                Window::Rolling { micros } => *now - 3 * micros,
                Window::Calendar(_) | Window::None => *now - 70 * DAY,
            })
            .collect();
        let expired = ends.values().filter_map(|end| match end {
            End::Expired(hold) => Some(hold),
            End::Settled(_) | End::Released | End::Late(..) => None,
        });
        for part in holds.values().chain(expired).flat_map(|hold| &hold.parts) {
            oldest[part.limit] = oldest[part.limit].min(part.place);
        }
        for (kept, oldest) in limits.iter_mut().zip(oldest) {
            kept.forget_before(oldest);
        }
    }
}

pub(crate) fn amounts(four: &Four) -> Amounts {
    Amounts {
        requests: four[0].unsigned_abs(),
        input_tokens: four[1].unsigned_abs(),
        output_tokens: four[2].unsigned_abs(),
        cost: Money::from_nanos(four[3]),
    }
}

/// Up to six limits of all kinds, no two with the same key.
fn templates(dice: &mut Dice) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for _ in 0..dice.below(7) {
        let limit = template(dice);
        if limits.iter().all(|other| other.key() != limit.key()) {
            limits.push(limit);
        }
    }
    limits
}

fn template(dice: &mut Dice) -> Limit {
    let metric = *dice.pick(&Metric::ALL);
    let scale = match metric {
        Metric::Requests => 30,
        Metric::InputTokens | Metric::OutputTokens | Metric::Tokens => 20_000,
        Metric::Cost => 50_000_000,
        Metric::Concurrency => 8,
    };
    let amount = 1 + scale / 10 + dice.below(scale) as i64 as u64;
    let amount = i64::try_from(amount).unwrap();
    let rolling = *dice.pick(&[SECOND, 10 * SECOND, 17_000_001, MINUTE, 2 * MINUTE]);
    let burst = 1 + amount / 2 + dice.below(amount as u64 * 2) as i64;
    let month = Calendar::MonthFrom(1 + dice.below(31) as u8);
    let calendar = *dice.pick(&[Calendar::Day, Calendar::Week, Calendar::Month, month]);
    let (algorithm, window) = match (metric, dice.below(6)) {
        (Metric::Concurrency, _) => (Algorithm::Concurrency, Window::None),
        (_, 0) => (Algorithm::TokenBucket { burst }, Window::Rolling { micros: rolling }),
        (_, 1) => (Algorithm::LeakyBucket { burst }, Window::Rolling { micros: rolling }),
        (_, 2) => (Algorithm::FixedWindow, Window::Rolling { micros: rolling }),
        (_, 3) => (Algorithm::SlidingWindow, Window::Rolling { micros: rolling }),
        (_, 4) => (Algorithm::SlidingLog, Window::Rolling { micros: rolling }),
        _ => (Algorithm::Calendar, Window::Calendar(calendar)),
    };
    let amount = if algorithm == Algorithm::Calendar { amount * 20 } else { amount };
    let mut filter = Filter::default();
    if dice.once_in(4) {
        filter.models.push((*dice.pick(&["gpt-5", "gpt-5*", "claude"])).to_owned());
    }
    if dice.once_in(6) {
        filter.endpoints.push("chat".to_owned());
    }
    if dice.once_in(6) {
        filter.prompts.extend(["greet".to_owned(), "su*".to_owned()]);
    }
    Limit { metric, amount, window, algorithm, filter, mode: Mode::Hard }
}
