//! The real ledger on a real disk: rows a second, how long a caller waits for its commit at 10,000 calls
//! a second, and rows a second of an audit.
//!
//! `cargo bench -p tollgate --bench ledger [-- ROWS]` writes ROWS (1,000,000) for the audit. The files
//! lie below the build's folder, or in TOLLGATE_BENCH_DIR, and are removed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "figures are for people")]

mod shared;

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tollgate::ledger::{
    Administered, Admission, Attempt, CallFacts, CallId, Counted, Durability, Durable, Ledger,
    OpenHold, Opened, Outcome, Reach, Refused, audit,
};
use tollgate_accounting::{
    AccountId, AccountSpec, Amounts, Facets, Money, PriceCard, Provenance, Terms, Timestamp,
};

use shared::{Place, a_second, card, folder, rows_asked, spec};

const ACCOUNTS: usize = 100;
const RATE: u64 = 10_000;
const PACED: Duration = Duration::from_secs(10);

fn main() {
    let (rows, folder) = (rows_asked(), folder());
    println!("files in {}", folder.display());
    for (durability, name) in [(Durability::Process, "process"), (Durability::Power, "power")] {
        paced(&Place::new(&folder), durability, name);
    }
    let place = Place::new(&folder);
    write(&place, rows.unwrap_or(1_000_000));
    let start = Instant::now();
    let audited = audit(&place.db(), |_, _| {}).unwrap().unwrap();
    let took = start.elapsed();
    let bytes = std::fs::metadata(place.db()).unwrap().len();
    println!(
        "audit: {} rows ({} MB) in {:.2?}, {} rows a second",
        audited.entries,
        bytes / 1_000_000,
        took,
        a_second(audited.entries, took)
    );
}

/// Calls at a steady rate, each held and settled at once; how long until its commit.
fn paced(place: &Place, durability: Durability, name: &str) {
    let bench = Bench::open(place, durability);
    let (send, receive) = mpsc::sync_channel::<(Instant, Durable)>(1 << 20);
    let waiting = std::thread::spawn(move || {
        let mut waits = Vec::new();
        for (since, durable) in receive {
            block_on(durable);
            waits.push(since.elapsed());
        }
        waits
    });
    let (start, mut made) = (Instant::now(), 0);
    while start.elapsed() < PACED {
        let due = start.elapsed().as_micros() as u64 * RATE / 1_000_000;
        while made < due {
            let since = Instant::now();
            let hold = bench.hold(made as usize).unwrap_or_else(|refused| panic!("{refused:?}"));
            let durable = hold.durable();
            hold.settle(Outcome::Completed);
            send.send((since, durable)).unwrap();
            made += 1;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    drop(send);
    let mut waits = waiting.join().unwrap();
    let took = start.elapsed();
    waits.sort();
    let at = |thousandth: usize| waits[(waits.len() - 1) * thousandth / 1_000];
    println!(
        "durability {name}, {RATE} calls a second for {PACED:?}: {} entries a second; until the commit \
         p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, longest {:.2?}",
        a_second(made, took),
        at(500),
        at(990),
        at(999),
        at(1_000),
    );
    bench.opened.close();
}

/// As many rows as fast as they are taken.
fn write(place: &Place, rows: u64) {
    let bench = Bench::open(place, Durability::Process);
    let start = Instant::now();
    for row in 0..rows {
        let hold = loop {
            match bench.hold(row as usize) {
                Ok(hold) => break hold,
                Err(Refused::Busy) => std::thread::sleep(Duration::from_millis(1)),
                Err(other) => panic!("{other:?}"),
            }
        };
        hold.settle(Outcome::Completed);
    }
    bench.opened.ledger.flush().unwrap();
    let took = start.elapsed();
    println!("writing: {rows} rows in {took:.2?}, {} rows a second", a_second(rows, took));
    bench.opened.close();
}

struct Bench {
    opened: Opened,
    accounts: Vec<(AccountId, Arc<str>)>,
    card: Arc<PriceCard>,
}

impl Bench {
    fn open(place: &Place, durability: Durability) -> Bench {
        let opened = Ledger::open(&place.db(), durability, &specs, Box::new(|_| {})).unwrap();
        let id = |path: String| {
            let id = opened.ledger.with_book(|book| book.account(&path)).unwrap();
            (id, Arc::from(path))
        };
        let accounts = (0..ACCOUNTS).map(|at| id(format!("tenant/team{at}"))).collect();
        Bench { opened, accounts, card: card("bench/1", "0.15", "0.60") }
    }

    fn hold(&self, number: usize) -> Result<OpenHold, Refused> {
        let (charged, path) = &self.accounts[number % ACCOUNTS];
        let now = tollgate::clock::now();
        let input = Counted { tokens: 100, provenance: Provenance::Tokenized };
        let mut first =
            Attempt::new("openai".into(), "gpt-4o-mini".into(), self.card.clone(), input, true);
        first.reach = Reach::Accepted;
        first.status = Some(200);
        first.output_seen = 40 + number as u64 % 60;
        first.output_delivered = first.output_seen;
        let facts = CallFacts {
            id: CallId::new(),
            received_at: now,
            account: path.clone(),
            key: "k0123456789a".into(),
            endpoint: "chat.completions".into(),
            asked_model: "fast".into(),
            prompt: None,
            tags: None,
            terms: Terms::default(),
            cache: None,
            stream: true,
        };
        self.opened.ledger.hold(Admission {
            facts,
            charged: *charged,
            charged_path: path,
            facets: Facets { model: "fast", endpoint: "chat.completions", prompt: None },
            ask: Amounts {
                requests: 1,
                input_tokens: 100,
                output_tokens: 100,
                cost: Money::from_nanos(75_000),
            },
            deadline: Timestamp::from_micros(now.micros() + 60_000_000),
            first,
            keyed: None,
            handed_over: false,
        })
    }
}

fn specs(_: &Administered) -> Result<Vec<AccountSpec>, String> {
    let mut specs = vec![spec("tenant".to_owned(), &["$1000000 per month", "1000000 concurrent"])];
    let teams = (0..ACCOUNTS).map(|at| spec(format!("tenant/team{at}"), &["$100000 per day"]));
    specs.extend(teams);
    Ok(specs)
}

/// Wakes the thread that polls.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(durable: Durable) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut durable = pin!(durable);
    loop {
        match durable.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done.unwrap(),
            Poll::Pending => std::thread::park(),
        }
    }
}
