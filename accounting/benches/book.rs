//! How many holds and settlements a second the book does on one core, by limits on the path,
//! beside the barest thing that could be called a limiter: a map of counters behind a mutex.
//!
//! ```text
//! cargo bench -p tollgate-accounting --bench book
//! ```
#![expect(clippy::print_stdout, reason = "it prints its result")]
#![expect(clippy::unwrap_used, reason = "a benchmark that can't run says so by ending")]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use tollgate_accounting::{
    AccountId, AccountSpec, Amounts, Book, Facets, HoldId, Limit, Money, Timestamp,
};

const CALLS: u64 = 1_000_000;
const ROUNDS: usize = 5;
const IN_FLIGHT: u64 = 200;

fn main() {
    let bare = best(bare_counter);
    println!("{:<44} {:>12} {:>8} {:>7}", "hold + settle, one core", "calls/s", "ns/call", "ratio");
    show("a map of counters behind a mutex", bare, bare);
    for limits in [1, 6, 20] {
        let nanos = best(|| one_path(limits, 1));
        show(&format!("{limits} limits on the path"), nanos, bare);
    }
    let nanos = best(|| one_path(6, 10_000));
    show("6 limits on the path, 10,000 accounts", nanos, bare);
    let nanos = best(contended);
    show("6 limits, one account, two threads", nanos, bare);
}

fn show(what: &str, nanos: u64, bare: u64) {
    let ratio = 100 * nanos / bare;
    let ratio = format!("{}.{:02}", ratio / 100, ratio % 100);
    println!("{what:<44} {:>12} {nanos:>8} {ratio:>7}", 1_000_000_000 / nanos);
}

/// The least nanoseconds a call over some rounds: what the code costs when nothing disturbs it.
fn best(mut round: impl FnMut() -> u64) -> u64 {
    (0..ROUNDS).map(|_| round()).min().unwrap().max(1)
}

fn bare_counter() -> u64 {
    let counters: Mutex<HashMap<String, i64>> = Mutex::new(HashMap::new());
    let start = Instant::now();
    for call in 0..CALLS {
        let asked = black_box(300 + (call % 100) as i64);
        *counters.lock().unwrap().entry("acme/search/1".to_owned()).or_insert(0) += asked;
        *counters.lock().unwrap().get_mut("acme/search/1").unwrap() -= asked / 2;
    }
    black_box(&counters);
    nanos_a_call(start)
}

/// Every call holds, and settles 200 calls later, as calls in flight do.
fn one_path(limits: usize, accounts: u64) -> u64 {
    let (mut book, accounts) = book(limits, accounts);
    let ids: Vec<u128> = (0..CALLS + IN_FLIGHT).map(uuid).collect();
    let start = Instant::now();
    for (call, id) in (0..).zip(&ids[..CALLS as usize]) {
        hold(&mut book, call, *id, &accounts);
        if let Some(settled) = call.checked_sub(IN_FLIGHT) {
            settle(&mut book, call, ids[settled as usize]);
        }
        if call % 4_096 == 0 {
            black_box(book.take_dirty());
        }
    }
    nanos_a_call(start)
}

fn contended() -> u64 {
    let (book, accounts) = book(6, 1);
    let book = Mutex::new(book);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (book, accounts) = (&book, &accounts);
            scope.spawn(move || {
                for call in (0..CALLS).filter(|call| call % 2 == thread) {
                    hold(&mut book.lock().unwrap(), call, uuid(call), accounts);
                    settle(&mut book.lock().unwrap(), call, uuid(call));
                }
            });
        }
    });
    nanos_a_call(start)
}

fn nanos_a_call(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap() / CALLS
}

fn hold(book: &mut Book, call: u64, id: u128, accounts: &[AccountId]) {
    let now = Timestamp::from_micros(1_800_000_000_000_000 + call as i64 * 10);
    let account = accounts[call as usize % accounts.len()];
    let facets = Facets { model: "gpt-5", endpoint: "chat", prompt: None };
    let cost = Money::from_nanos(1_000_000);
    let ask = Amounts { requests: 1, input_tokens: 300, output_tokens: 700, cost };
    let deadline = now.saturating_plus(600_000_000);
    black_box(book.hold(now, HoldId(id), account, &facets, ask, deadline).unwrap());
}

fn settle(book: &mut Book, call: u64, id: u128) {
    let now = Timestamp::from_micros(1_800_000_000_000_000 + call as i64 * 10);
    let cost = Money::from_nanos(400_000);
    let used = Amounts { requests: 1, input_tokens: 300, output_tokens: 250, cost };
    black_box(book.settle(now, HoldId(id), used));
}

/// Ordered in time, random below, as UUIDv7 are.
fn uuid(call: u64) -> u128 {
    let mixed = (call + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (u128::from(call / 1_000) << 80) | (0x7 << 76) | u128::from(mixed ^ (mixed >> 29))
}

/// Accounts three levels below the root with so many limits on each path, none of which runs out.
fn book(limits: usize, accounts: u64) -> (Book, Vec<AccountId>) {
    const KINDS: [&str; 10] = [
        "900000000000 tokens per minute",
        "$900000 per month",
        "900000000 requests per minute, sliding window",
        "900000 concurrent",
        "900000000000 output tokens per day",
        "900000000000 input tokens per hour, fixed window",
        "900000000 requests per second, leaky bucket",
        "900000000000 tokens per week",
        "900000000000 output tokens per minute",
        "900000000 requests per hour",
    ];
    let kinds = |from: usize, to: usize| -> Vec<Limit> {
        (from..to).map(|kind| KINDS[kind % KINDS.len()].parse().unwrap()).collect()
    };
    let spec = |path: &str, limits: Vec<Limit>| AccountSpec {
        path: path.to_owned(),
        zone: "Europe/Berlin".to_owned(),
        limits,
    };
    let (team, key) = (limits / 2, limits - limits / 2);
    let mut specs = vec![spec("acme", Vec::new()), spec("acme/search", kinds(0, team))];
    let paths: Vec<String> = (0..accounts).map(|n| format!("acme/search/{n}")).collect();
    specs.extend(paths.iter().map(|path| spec(path, kinds(team, team + key))));
    let mut book = Book::new();
    book.configure(Timestamp::from_micros(1_800_000_000_000_000), &specs).unwrap();
    let accounts = paths.iter().map(|path| book.account(path).unwrap()).collect();
    (book, accounts)
}
