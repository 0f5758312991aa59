//! What is durable, and what a new book makes of it.

use crate::bench::{Bench, tokens};
use tollgate_accounting::{
    Amounts, Balance, DAY, HOUR, HoldId, HoldView, Limit, MINUTE, RestoredHold, SECOND, Settlement,
    Timestamp, Unrestorable,
};

fn limits(words: &[&str]) -> Vec<Limit> {
    words.iter().map(|text| text.parse().unwrap()).collect()
}

const ALL: [&str; 7] = [
    "1000 tokens per minute",
    "1000 tokens per hour, leaky bucket",
    "1000 tokens per minute, fixed window",
    "1000 tokens per minute, sliding window",
    "1000 tokens per minute, sliding log",
    "1000 tokens per day",
    "9 concurrent",
];

#[test]
fn a_restart_changes_nothing_that_can_be_seen() {
    let mut bench = Bench::with_limits("acme", limits(&ALL));
    for id in 0..5 {
        bench.hold(id, "acme", tokens(100)).unwrap();
        if id == 2 {
            bench.extend(id, tokens(30)).unwrap();
        }
        bench.later(7 * SECOND);
    }
    bench.settle(0, tokens(150));
    bench.settle(1, tokens(20));
    let before = (bench.standing("acme"), bench.totals("acme"));
    bench.restart(limits(&ALL));
    assert_eq!((bench.standing("acme"), bench.totals("acme")), before);
    bench.settle(2, tokens(10));
    bench.release(3);
    bench.later(HOUR);
    assert_eq!(bench.expire(), [4]);
    assert_eq!(bench.totals("acme").input_tokens, 150 + 20 + 10 + 100);
    bench.check();
}

#[test]
fn only_what_changed_is_written() {
    let mut bench = Bench::with_limits("acme", limits(&ALL));
    let keys = |bench: &mut Bench| {
        let rows = bench.commit().into_iter();
        let rows = rows.map(|row| format!("{}:{}", row.account, row.limit_key));
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        rows
    };
    keys(&mut bench);
    assert!(keys(&mut bench).is_empty());
    bench.hold(1, "acme", tokens(10)).unwrap();
    let algorithms = ["calendar/day", "fixed_window/60000000us", "leaky_bucket/3600000000us"];
    let more = ["sliding_log/60000000us", "sliding_window/60000000us", "token_bucket/60000000us"];
    let all = algorithms.iter().chain(&more).map(|rest| format!("acme:tokens/{rest}"));
    assert_eq!(keys(&mut bench), all.collect::<Vec<_>>());
    assert!(keys(&mut bench).is_empty());
    let refused = bench.hold(2, "acme", tokens(2_000));
    assert!(refused.is_err() && keys(&mut bench).is_empty());
    bench.settle(1, tokens(10));
    assert!(keys(&mut bench).contains(&"acme:".to_owned()));
    bench.hold(3, "acme", tokens(10)).unwrap();
    let windows = keys(&mut bench).iter().filter(|key| key.contains("window")).count();
    assert_eq!(windows, 0, "what is held is in the open holds");
}

#[test]
fn a_limit_that_is_younger_than_a_hold_does_not_notice_its_return() {
    let old = limits(&["1000 tokens per day"]);
    let mut bench = Bench::with_limits("acme", old.clone());
    bench.hold(1, "acme", tokens(100)).unwrap();
    let mut both = old;
    both.extend(limits(&["1000 tokens per week", "1000 tokens per minute", "5 concurrent"]));
    let spec = |limits: &[Limit]| tollgate_accounting::AccountSpec {
        path: "acme".to_owned(),
        zone: "UTC".to_owned(),
        limits: limits.to_vec(),
    };
    bench.book.put(bench.now, &spec(&both)).unwrap();
    bench.hold(2, "acme", tokens(10)).unwrap();
    bench.restart(both);
    let held: Vec<_> = bench.standing("acme").iter().map(|s| s.held).collect();
    assert_eq!(held, [110, 10, 10, 2]);
    bench.check();
}

#[test]
fn the_rows_of_a_limit_that_is_away_wait_for_it() {
    let mut bench = Bench::with_limits("acme", limits(&["1000 tokens per day"]));
    bench.hold(1, "acme", tokens(100)).unwrap();
    bench.settle(1, tokens(100));
    bench.restart(Vec::new());
    assert!(bench.standing("acme").is_empty());
    bench.configure(&[("acme", &["1000 tokens per day"])]);
    assert_eq!(bench.standing("acme")[0].posted, 100);
}

#[test]
fn a_hold_of_an_account_that_is_gone_still_settles() {
    let mut bench = Bench::new(&[("here", &[])]);
    let (facets, amounts) = (bench.facets, tokens(5));
    let (taken_at, deadline) = (bench.now, bench.now);
    let hold =
        RestoredHold { id: HoldId(1), account: "gone/key", facets, amounts, taken_at, deadline };
    bench.book.restore_hold(hold).unwrap();
    assert_eq!(bench.book.restore_hold(hold), Err(Unrestorable::DuplicateHold));
    let view = HoldView { id: HoldId(1), account: "gone/key", amounts, taken_at, deadline };
    assert_eq!(bench.book.open_hold(HoldId(1)), Some(view));
    assert_eq!(bench.book.open_hold(HoldId(2)), None);
    assert_eq!(bench.book.open_count(), 1);
    assert_eq!(bench.settle(1, tokens(4)), Settlement::Settled { overrun: false });
    assert_eq!((bench.book.open_hold(HoldId(1)), bench.book.open_count()), (None, 0));
    let rows = bench.commit();
    let totals = rows.iter().find(|row| &*row.account == "gone/key").unwrap();
    assert_eq!((&*totals.limit_key, totals.fields), ("", [1, 4, 0, 0]));
    bench.check();
}

#[test]
fn rows_and_holds_that_no_book_can_have_written_are_refused() {
    let table = [
        ("", 0, [-1, 0, 0, 0]),
        ("", 0, [0, i64::MAX, 1, 0]),
        ("tokens/token_bucket/60000000us", 1, [0, 0, 0, 0]),
        ("tokens/token_bucket/60000000us", 0, [0, -1, 0, 0]),
        ("tokens/token_bucket/60000000us", 0, [0, i64::MAX, 0, 0]),
        ("tokens/calendar/day", 0, [DAY, -1, 0, 0]),
        ("tokens/calendar/day", DAY, [DAY, 0, 0, 0]),
        ("tokens/fixed_window/60000000us", 1, [0, 0, 0, 0]),
        ("tokens/fixed_window/60000000us", 0, [1, 0, 0, 0]),
        ("tokens/fixed_window/60000000us", 0, [0, -1, 0, 0]),
        ("tokens/sliding_log/60000000us", 1, [0, 0, 5, 0]),
        ("tokens/sliding_log/60000000us", 0, [0, 0, -5, 0]),
        ("tokens/sliding_log/60000000us", 1023, [-1, 0, 5, 0]),
        ("tokens/sliding_log/60000000us", 0, [1024, 10, 0, 0]),
        ("tokens/sliding_log/60000000us", 6, [6, 10, 0, 0]),
        ("concurrency/in_flight/none", 0, [0, 0, 0, 0]),
    ];
    for (key, period, fields) in table {
        let mut bench = Bench::with_limits("acme", limits(&ALL));
        // An entry of a log, number 5 at the instant 10.
        let entry = ("tokens/sliding_log/60000000us", 5, [5, 10, 1, 0]);
        let balance = |(key, period, fields): (&str, i64, [i64; 4])| Balance {
            account: "acme".into(),
            limit_key: key.into(),
            period,
            fields,
        };
        bench.book.restore_balance(balance(entry)).unwrap();
        let result = bench.book.restore_balance(balance((key, period, fields)));
        assert_eq!(result, Err(Unrestorable::Corrupt), "{key} {period} {fields:?}");
        let amounts = Amounts { input_tokens: u64::MAX, ..tokens(1) };
        let (facets, now) = (bench.facets, bench.now);
        let hold = RestoredHold {
            id: HoldId(1),
            account: "acme",
            facets,
            amounts,
            taken_at: now,
            deadline: now,
        };
        assert_eq!(bench.book.restore_hold(hold), Err(Unrestorable::Corrupt));
    }
}

#[test]
fn a_clock_that_is_behind_after_a_restart_refills_nothing() {
    let words = ["60 tokens per minute", "60 tokens per minute, sliding log", "60 tokens per day"];
    let mut bench = Bench::with_limits("acme", limits(&words));
    bench.hold(1, "acme", tokens(60)).unwrap();
    bench.settle(1, tokens(60));
    bench.restart(limits(&words));
    bench.later(-10 * DAY);
    for _ in 0..3 {
        bench.later(DAY);
        let refusal = bench.hold(2, "acme", tokens(1)).unwrap_err();
        assert_eq!(refusal.available, 0);
        assert!(bench.standing("acme").iter().all(|standing| standing.available == 0));
    }
}

#[test]
fn a_log_shares_entries_beyond_a_thousand_and_never_forgets_early() {
    let words = ["5000 requests per minute, sliding log"];
    let mut bench = Bench::with_limits("acme", limits(&words));
    let start = bench.now;
    for id in 0..3_000 {
        bench.now = Timestamp::from_micros(start.micros() + id as i64);
        bench.hold(id, "acme", tokens(1)).unwrap();
        if id % 2 == 0 {
            bench.settle(id, tokens(1));
        }
    }
    let standing = bench.standing("acme");
    assert_eq!((standing[0].posted, standing[0].held), (1_500, 1_500));
    let rows = bench.commit().iter().filter(|row| !row.limit_key.is_empty()).count();
    assert_eq!(rows, 1_024);
    bench.check();
    for id in 0..3_000 {
        bench.settle(id, tokens(1));
    }
    bench.restart(limits(&words));
    bench.now = Timestamp::from_micros(start.micros() + MINUTE + 1_022);
    // The first 1,023 have left; all others count from the instant of the last.
    assert_eq!(bench.standing("acme")[0].posted, 3_000 - 1_023);
    bench.now = Timestamp::from_micros(start.micros() + MINUTE + 2_998);
    assert_eq!(bench.standing("acme")[0].posted, 3_000 - 1_023);
    bench.later(1);
    assert_eq!(bench.standing("acme")[0].available, 5_000);
}

#[test]
fn windows_that_come_back_at_once_use_a_bounded_number_of_rows() {
    let words = ["9 tokens per second, fixed window", "9 tokens per second, sliding window"];
    let mut bench = Bench::with_limits("acme", limits(&words));
    bench.patience = HOUR;
    bench.hold(0, "acme", tokens(5)).unwrap();
    let mut places = std::collections::HashSet::new();
    for id in 1..=1_500 {
        bench.later(SECOND);
        bench.hold(id, "acme", tokens(4)).unwrap();
        bench.settle(id, tokens(4));
        let rows = bench.commit().into_iter();
        places.extend(rows.filter(|row| row.limit_key.len() > 1).map(|row| row.period));
    }
    assert_eq!(places.len(), 1_024);
    // Its window is long gone; its row must not take the place of a newer one.
    bench.settle(0, tokens(5));
    let before = bench.standing("acme");
    bench.restart(limits(&words));
    assert_eq!(bench.standing("acme"), before);
    assert_eq!((before[0].available, before[1].available), (5, 1));
    bench.check();
}

#[test]
fn a_large_bucket_is_restored_to_the_last_token() {
    let words = ["2000000000000 tokens per minute"];
    let mut bench = Bench::with_limits("acme", limits(&words));
    bench.hold(1, "acme", tokens(1_999_999_999_999)).unwrap();
    bench.settle(1, tokens(1_999_999_999_998));
    bench.restart(limits(&words));
    assert_eq!(bench.standing("acme")[0].available, 2);
}

#[test]
fn a_hold_that_left_a_log_before_a_restart_is_not_counted_by_it_again() {
    let words = ["100 tokens per minute, sliding log"];
    let mut bench = Bench::with_limits("acme", limits(&words));
    bench.hold(1, "acme", tokens(30)).unwrap();
    bench.commit();
    bench.later(2 * MINUTE);
    bench.hold(2, "acme", tokens(20)).unwrap();
    bench.restart(limits(&words));
    let standing = &bench.standing("acme")[0];
    assert_eq!((standing.held, standing.available), (20, 80));
    bench.settle(1, tokens(30));
    assert_eq!(bench.standing("acme")[0].available, 80);
    bench.check();
}
