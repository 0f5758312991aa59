//! The ledger's threads under an explorer of schedules: whatever the order in which holds, settlements,
//! drops, expiries, commits and a crash meet, sums hold, rows are neither lost nor doubled, and nobody
//! sleeps for ever (the explorer fails a schedule in which all wait).
//!
//! `cargo test -p tollgate --features schedules --lib ledger::sync` explores `TOLLGATE_SCHEDULES`
//! (300) of each kind; a failure prints the schedule, which `TOLLGATE_SCHEDULE` replays.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use tollgate_accounting::{
    AccountSpec, Amounts, Class, Facets, Money, PriceCard, Provenance, Rates, Terms, Tier,
    Timestamp, UnitPrice,
};

use super::super::recover::Begun;
use super::super::reserve::Reserve;
use super::super::store::{self, Durability};
use super::super::{
    Administered, Admission, Attempt, CallFacts, CallId, Counted, Entry, Held, Kind, Ledger,
    OpenHold, Outcome, Reader, Refused, audit,
};
use super::{AtomicBool, AtomicU64, Mutex, Ordering, thread};
use crate::clock;

/// The explorer's stacks; SQLite needs more than its default.
const STACK: usize = 1 << 20;
/// Changes of priority in one schedule of the second kind.
const DEPTH: usize = 5;
/// So many calls of the account fit beside each other.
const FIT: u64 = 3;

/// Runs the scenario under schedules drawn at random, then under such as follow priorities, which find
/// orders that need one thread to stand still for long.
fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    let count = std::env::var("TOLLGATE_SCHEDULES").map_or(300, |text| text.parse().unwrap());
    let mut config = shuttle::Config::new();
    config.stack_size = STACK;
    let scenario = Arc::new(scenario);
    let run = scenario.clone();
    if let Ok(schedule) = std::env::var("TOLLGATE_SCHEDULE") {
        return shuttle::replay(move || run(), &schedule);
    }
    shuttle::Runner::new(RandomScheduler::new(count), config.clone()).run(move || run());
    shuttle::Runner::new(PctScheduler::new(DEPTH, count), config).run(move || scenario());
}

/// A folder with a ledger's file, in memory where the system has such a place.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = root.join(format!("tollgate-schedules-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Place(dir)
    }

    fn db(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    /// What a process that dies now leaves: the file and its log as the system has them. No statement
    /// is under way, for between two of the explorer's steps a thread runs alone.
    fn after_a_crash(&self) -> Place {
        let copy = Place::new();
        for name in ["ledger.db", "ledger.db-wal"] {
            if self.0.join(name).exists() {
                std::fs::copy(self.0.join(name), copy.0.join(name)).unwrap();
            }
        }
        copy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A ledger that runs, and the ids whose decisive row its writer has told of.
struct Run {
    ledger: Ledger,
    writer: thread::JoinHandle<()>,
    told: Arc<std::sync::Mutex<Vec<CallId>>>,
}

impl Run {
    fn on(place: &Place) -> Run {
        let store = store::open(&place.db(), Durability::Process).unwrap();
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let telling = told.clone();
        let on_entry = Box::new(move |entry: &Entry| {
            if entry.kind != Kind::Attempt {
                telling.lock().unwrap().push(entry.id);
            }
        });
        let large = Arc::new(AtomicBool::new(false));
        let begun = Ledger::begin(store.connection, large, Reserve::none(), &specs, on_entry);
        let Begun { ledger, writer, recovered: _ } = begun.unwrap();
        Run { ledger, writer, told }
    }

    fn end(self) -> Vec<CallId> {
        self.ledger.with_book(|book| book.check().unwrap());
        self.ledger.end(self.writer);
        assert_eq!(self.ledger.open_calls(), 0);
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

fn specs(_: &Administered) -> Result<Vec<AccountSpec>, String> {
    let spec = |path: &str, limits: &[&str]| AccountSpec {
        path: path.to_owned(),
        zone: "UTC".to_owned(),
        limits: limits.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let concurrent = format!("{FIT} concurrent");
    Ok(vec![spec("acme", &["$1 per month", &concurrent]), spec("acme/a", &["1000 tokens per day"])])
}

fn card() -> Arc<PriceCard> {
    let price = |dollars: &str| UnitPrice::per_million(dollars).unwrap();
    let rates = Rates::new().with(Class::Input, price("1")).with(Class::Output, price("10"));
    Arc::new(PriceCard {
        version: "test/1".into(),
        source: "a test".into(),
        effective_from: Timestamp::from_micros(0),
        tiers: vec![Tier { above_input_tokens: 0, rates }],
        per_request: None,
    })
}

/// Asks for 10 tokens in and 10 out, until `seconds` from now.
fn hold(ledger: &Ledger, id: u128, seconds: i64) -> Result<OpenHold, Refused> {
    let now = clock::now();
    let input = Counted { tokens: 10, provenance: Provenance::Tokenized };
    let facts = CallFacts {
        id: CallId(id),
        received_at: now,
        account: "acme/a".into(),
        key: "k".into(),
        endpoint: "chat.completions".into(),
        asked_model: "m".into(),
        prompt: None,
        tags: None,
        terms: Terms::default(),
        stream: true,
        cache: None,
    };
    let charged = ledger.with_book(|book| book.account("acme/a").unwrap());
    ledger.hold(Admission {
        facts,
        charged,
        charged_path: "acme/a",
        facets: Facets { model: "m", endpoint: "chat.completions", prompt: None },
        ask: Amounts {
            requests: 1,
            input_tokens: 10,
            output_tokens: 10,
            cost: Money::from_nanos(110_000),
        },
        deadline: Timestamp::from_micros(now.micros() + seconds * 1_000_000),
        first: Attempt::new("p".into(), "m".into(), card(), input, true),
        keyed: None,
        handed_over: false,
    })
}

/// Waits for the commit of the hold, which is then in the file: as a hold or as its rows.
fn wait(hold: &OpenHold, db: &Path) {
    shuttle::future::block_on(hold.durable()).unwrap();
    assert!(is_written(hold.id(), db), "told that it is committed, and it is not");
}

fn is_written(id: CallId, db: &Path) -> bool {
    let connection = store::open_reader(db).unwrap();
    let sql = "SELECT EXISTS (SELECT 1 FROM holds WHERE id = ?1)
                   OR EXISTS (SELECT 1 FROM entries WHERE id = ?1)";
    connection.query_row(sql, [id.0.to_be_bytes()], |row| row.get(0)).unwrap()
}

/// A call as it goes: held, awaited, sent, extended, journalled, and ended in one of three ways.
fn call(ledger: &Ledger, id: u128, db: &Path) -> Option<CallId> {
    let hold = match hold(ledger, id, 60) {
        Ok(hold) => hold,
        Err(Refused::Limit(_)) => return None,
        Err(other) => panic!("{other:?}"),
    };
    hold.sent();
    wait(&hold, db);
    hold.answered(200);
    let _ = hold.advance(10);
    if id.is_multiple_of(2) {
        let _ = hold.extend(5);
    } else {
        let _ = hold.journal();
    }
    let id = hold.id();
    match id.0 % 3 {
        0 => drop(hold),
        1 => {
            hold.settle(Outcome::Completed);
        }
        _ => {
            hold.settle(Outcome::Failed);
        }
    }
    Some(id)
}

/// Each call has one decisive row, and the file agrees with itself.
fn settled_once(db: &Path, admitted: &BTreeSet<CallId>) {
    let audited = audit(db, |_, _| {}).unwrap().unwrap();
    assert_eq!(audited.open_holds, 0);
    let reader = Reader::open(db).unwrap();
    let mut rows = BTreeMap::<CallId, usize>::new();
    for id in admitted {
        let call = reader.call(*id).unwrap();
        let decisive = call.iter().filter(|entry| entry.kind != Kind::Attempt).count();
        rows.insert(*id, decisive);
    }
    assert!(rows.values().all(|count| *count == 1), "{rows:?}");
}

#[test]
fn holds_settlements_and_drops_in_any_order_are_settled_once_each() {
    explore(|| {
        let place = Place::new();
        let run = Run::on(&place);
        let clients: Vec<_> = (0..4_u128)
            .map(|client| {
                let (ledger, db) = (run.ledger.clone(), place.db());
                thread::spawn(move || {
                    [call(&ledger, 10 * client + 1, &db), call(&ledger, 10 * client + 2, &db)]
                })
            })
            .collect();
        let watched = run.ledger.clone();
        let watcher = thread::spawn(move || {
            for _ in 0..3 {
                watched.with_book(|book| book.check().unwrap());
                assert!(watched.open_calls() as u64 <= FIT);
                watched.flush().unwrap();
            }
        });
        let ids: BTreeSet<_> =
            clients.into_iter().flat_map(|client| client.join().unwrap()).flatten().collect();
        watcher.join().unwrap();
        let mut told = run.end();
        told.sort();
        assert_eq!(told, ids.iter().copied().collect::<Vec<_>>(), "told of each call once");
        settled_once(&place.db(), &ids);
    });
}

#[test]
fn an_expiry_that_meets_a_settlement_leaves_one_of_them() {
    explore(|| {
        let place = Place::new();
        let run = Run::on(&place);
        let ids: BTreeSet<_> = (1..=FIT).map(|id| CallId(u128::from(id))).collect();
        let clients: Vec<_> = ids
            .iter()
            .map(|id| {
                let (ledger, id, db) = (run.ledger.clone(), id.0, place.db());
                thread::spawn(move || {
                    // Its deadline has passed by the time the sweep looks.
                    let hold = hold(&ledger, id, 0).unwrap();
                    hold.sent();
                    wait(&hold, &db);
                    let _ = (hold.advance(4), hold.extend(5), hold.journal());
                    if id.is_multiple_of(2) {
                        hold.settle(Outcome::Completed);
                    } else {
                        drop(hold);
                    }
                })
            })
            .collect();
        let swept = run.ledger.clone();
        let sweeper = thread::spawn(move || {
            for _ in 0..3 {
                swept.sweep();
                thread::yield_now();
            }
        });
        clients.into_iter().for_each(|client| client.join().unwrap());
        sweeper.join().unwrap();
        let told = run.end();
        assert_eq!(told.len(), ids.len(), "{told:?}");
        settled_once(&place.db(), &ids);
    });
}

#[test]
fn a_shutdown_that_meets_calls_settles_them_and_wakes_all_who_wait() {
    explore(|| {
        let place = Place::new();
        let run = Run::on(&place);
        let taken = Arc::new(AtomicU64::new(0));
        let clients: Vec<_> = (1..=3_u128)
            .map(|id| {
                let (ledger, db, taken) = (run.ledger.clone(), place.db(), taken.clone());
                thread::spawn(move || match hold(&ledger, id, 60) {
                    Ok(hold) => {
                        taken.fetch_add(1, Ordering::SeqCst);
                        wait(&hold, &db);
                    }
                    Err(Refused::Closing) => {}
                    Err(other) => panic!("{other:?}"),
                })
            })
            .collect();
        let admin = run.ledger.clone();
        let admin = thread::spawn(move || match admin.flush() {
            Ok(()) | Err(Refused::Closing) => {}
            Err(other) => panic!("{other:?}"),
        });
        let told = run.end();
        clients.into_iter().for_each(|client| client.join().unwrap());
        admin.join().unwrap();
        assert_eq!(told.len() as u64, taken.load(Ordering::SeqCst));
        settled_once(&place.db(), &told.into_iter().collect());
    });
}

#[test]
fn a_crash_at_any_instant_loses_no_call_that_was_told_of_its_commit() {
    explore(|| {
        let place = Place::new();
        let run = Run::on(&place);
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let clients: Vec<_> = (1..=3_u128)
            .map(|client| {
                let (ledger, db, seen) = (run.ledger.clone(), place.db(), acknowledged.clone());
                thread::spawn(move || {
                    for id in [10 * client + 1, 10 * client + 2] {
                        if let Ok(hold) = hold(&ledger, id, 60) {
                            wait(&hold, &db);
                            seen.lock().unwrap().insert(hold.id());
                            let _ = (hold.advance(3), hold.extend(2));
                            if client == 1 {
                                hold.settle(Outcome::Completed);
                            }
                        }
                    }
                })
            })
            .collect();
        // What was told of before the copy must be in it.
        let told_of = acknowledged.lock().unwrap().clone();
        let left = place.after_a_crash();
        let second = Run::on(&left);
        assert_eq!(second.ledger.open_calls(), 0, "all that was in flight is settled");
        second.end();
        settled_once(&left.db(), &told_of);
        clients.into_iter().for_each(|client| client.join().unwrap());
        let told: BTreeSet<_> = run.end().into_iter().collect();
        settled_once(&place.db(), &told);
    });
}
