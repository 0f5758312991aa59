//! What is admitted, refused, settled and remembered.

use crate::bench::{Bench, amounts, tokens};
use tollgate_accounting::{
    Book, DAY, HOUR, MINUTE, Outcome, RefusalKind, SECOND, Settlement, Timestamp, Why,
};

#[test]
fn a_call_is_held_by_every_limit_on_its_path_or_by_none() {
    let mut bench = Bench::new(&[
        ("", &["100 requests per minute"]),
        ("acme", &["1000 tokens per minute", "$1 per month"]),
        ("acme/search", &["2 concurrent"]),
    ]);
    bench.hold(1, "acme/search", amounts(1, 300, 300, 10)).unwrap();
    let refusal = bench.hold(2, "acme/search", amounts(1, 300, 300, 10)).unwrap_err();
    assert_eq!((&*refusal.account, &*refusal.limit), ("acme", "1000 tokens per minute"));
    assert_eq!((refusal.asked, refusal.held, refusal.available), (600, 600, 400));
    let held: Vec<_> = bench.standing("acme/search").iter().map(|s| s.held).collect();
    assert_eq!(held, [1, 600, 10, 1]);
    assert_eq!(bench.release(1), Settlement::Released);
    let held: i64 = bench.standing("acme/search").iter().map(|s| s.held).sum();
    assert_eq!(held, 0);
    bench.check();
}

#[test]
fn a_repeated_settlement_answers_the_first_result() {
    let mut bench = Bench::new(&[("acme", &["1000 tokens per day"])]);
    bench.hold(1, "acme", tokens(100)).unwrap();
    assert_eq!(bench.settle(1, tokens(150)), Settlement::Settled { overrun: true });
    let first = Outcome::Settled { overrun: true };
    assert_eq!(bench.settle(1, tokens(1)), Settlement::Again(first));
    assert_eq!(bench.release(1), Settlement::Again(first));
    assert_eq!(bench.settle(2, tokens(1)), Settlement::Unknown);
    assert_eq!(bench.totals("acme").input_tokens, 150);
}

#[test]
fn a_bucket_refills_evenly_and_never_above_its_burst() {
    let mut bench = Bench::new(&[("acme", &["60 requests per minute, burst 10"])]);
    for id in 0..10 {
        bench.hold(id, "acme", amounts(1, 0, 0, 0)).unwrap();
        bench.settle(id, amounts(1, 0, 0, 0));
    }
    let refusal = bench.hold(10, "acme", amounts(1, 0, 0, 0)).unwrap_err();
    let in_a_second = bench.now.saturating_plus(SECOND);
    assert_eq!(refusal.kind, RefusalKind::Later { retry_at: in_a_second });
    bench.now = Timestamp::from_micros(in_a_second.micros() - 1);
    assert!(bench.hold(10, "acme", amounts(1, 0, 0, 0)).is_err());
    bench.now = in_a_second;
    bench.hold(10, "acme", amounts(1, 0, 0, 0)).unwrap();
    bench.now = bench.now.saturating_plus(DAY);
    bench.settle(10, amounts(0, 0, 0, 0));
    assert_eq!(bench.standing("acme")[0].available, 10);
}

#[test]
fn a_hold_settles_into_the_period_it_was_taken_in() {
    let mut bench = Bench::new(&[("acme", &["1000 tokens per day"])]);
    bench.hold(1, "acme", tokens(900)).unwrap();
    bench.now = bench.now.saturating_plus(DAY);
    bench.hold(2, "acme", tokens(1000)).unwrap();
    bench.settle(1, tokens(800));
    assert_eq!(bench.standing("acme")[0].posted, 0);
    let rows: Vec<_> = bench.commit().iter().map(|row| (row.period, row.fields[1])).collect();
    assert!(rows.contains(&(bench.now.micros() - bench.now.micros() % DAY - DAY, 800)), "{rows:?}");
    bench.check();
}

#[test]
fn an_expired_hold_stays_charged_until_a_late_settlement_corrects_it() {
    let mut bench = Bench::new(&[("acme", &["1000 tokens per day", "1 concurrent"])]);
    bench.hold(1, "acme", tokens(900)).unwrap();
    bench.now = bench.now.saturating_plus(HOUR);
    assert_eq!(bench.expire().len(), 1);
    assert_eq!(bench.totals("acme").input_tokens, 900);
    assert_eq!(bench.standing("acme")[0].posted, 900);
    assert_eq!(bench.standing("acme")[1].held, 0);
    let Settlement::Late { correction, overrun: false } = bench.settle(1, tokens(500)) else {
        panic!("not late")
    };
    assert_eq!(correction.input_tokens, -400);
    assert_eq!(bench.totals("acme").input_tokens, 500);
    assert_eq!(bench.standing("acme")[0].posted, 500);
    assert!(matches!(bench.settle(1, tokens(7)), Settlement::Again(Outcome::Late { .. })));
    bench.check();
}

#[test]
fn refusals_are_told_in_order_of_precedence() {
    let mut bench = Bench::new(&[(
        "acme",
        &[
            "10 requests per minute, wait up to 1 minutes",
            "5 tokens per day",
            "100 input tokens per minute",
        ],
    )]);
    bench.hold(1, "acme", tokens(5)).unwrap();
    let why = |bench: &mut Bench, id, account: &str, ask| {
        let refusal = bench.hold(id, account, ask).unwrap_err();
        (refusal.why, refusal.limit.to_string(), matches!(refusal.kind, RefusalKind::Never))
    };
    assert_eq!(why(&mut bench, 1, "nobody", tokens(u64::MAX)).0, Why::DuplicateHold);
    assert_eq!(why(&mut bench, 2, "nobody", tokens(u64::MAX)).0, Why::NoSuchAccount);
    assert_eq!(why(&mut bench, 2, "acme", tokens(u64::MAX)).0, Why::Overflow);
    let never = (Why::Limit, "5 tokens per day".to_owned(), true);
    assert_eq!(why(&mut bench, 2, "acme", tokens(6)), never);
    let later = (Why::Limit, "5 tokens per day".to_owned(), false);
    assert_eq!(why(&mut bench, 2, "acme", tokens(5)), later);
    let again = bench.hold(1, "acme", tokens(5)).unwrap();
    assert!(again.again);
    bench.now = bench.now.saturating_plus(MINUTE);
    bench.check();
}

#[test]
fn an_extension_is_all_or_nothing() {
    let mut bench = Bench::new(&[("acme", &["1000 tokens per day", "$1 per day"])]);
    bench.hold(1, "acme", amounts(1, 100, 100, 500_000_000)).unwrap();
    bench.later(MINUTE);
    bench.extend(1, amounts(0, 0, 100, 400_000_000)).unwrap();
    let refusal = bench.extend(1, amounts(0, 0, 100, 200_000_000)).unwrap_err();
    assert_eq!((refusal.why, &*refusal.limit), (Why::Limit, "$1 per day"));
    let held: Vec<_> = bench.standing("acme").iter().map(|s| s.held).collect();
    assert_eq!(held, [300, 900_000_000]);
    assert_eq!(bench.extend(2, tokens(1)).unwrap_err().why, Why::NoSuchHold);
    assert_eq!(bench.settle(1, amounts(1, 100, 200, 9)), Settlement::Settled { overrun: false });
    assert_eq!(bench.extend(1, tokens(1)).unwrap_err().why, Why::NoSuchHold);
    bench.check();
}

#[test]
fn the_same_hold_again_is_the_same_account_and_ask() {
    let mut bench = Bench::new(&[("a", &["100 tokens per day"]), ("b", &[])]);
    bench.hold(1, "a", tokens(10)).unwrap();
    bench.extend(1, tokens(5)).unwrap();
    let again = bench.hold(1, "a", tokens(10)).unwrap();
    assert!(again.again);
    assert_eq!(again.amounts.input_tokens, 15);
    for (account, ask) in [("b", 10), ("a", 11), ("a", 15)] {
        let refusal = bench.hold(1, account, tokens(ask)).unwrap_err();
        assert_eq!((refusal.why, &refusal.kind), (Why::DuplicateHold, &RefusalKind::Never));
    }
    assert_eq!(bench.standing("a")[0].held, 15);
}

#[test]
fn ended_holds_are_remembered_in_a_bounded_ring() {
    let mut bench = Bench::new(&[]);
    bench.book = Book::remembering(2);
    bench.configure(&[("a", &["100 tokens per day"])]);
    for id in 1..=3 {
        bench.hold(id, "a", tokens(1)).unwrap();
        bench.settle(id, tokens(1));
    }
    assert_eq!(bench.settle(1, tokens(1)), Settlement::Unknown);
    assert!(matches!(bench.settle(2, tokens(1)), Settlement::Again(_)));
    assert!(matches!(bench.settle(3, tokens(1)), Settlement::Again(_)));
    // An expired hold that is forgotten can't be corrected any more.
    bench.patience = SECOND;
    bench.hold(4, "a", tokens(9)).unwrap();
    bench.later(SECOND);
    assert_eq!(bench.expire(), [4]);
    for id in 5..=6 {
        bench.hold(id, "a", tokens(1)).unwrap();
        bench.release(id);
    }
    assert_eq!(bench.settle(4, tokens(1)), Settlement::Unknown);
    assert_eq!(bench.totals("a").input_tokens, 3 + 9);
    assert_eq!(bench.standing("a")[0].posted, 3 + 9);
    bench.check();
}

#[test]
fn a_hold_expires_at_its_deadline_and_not_before() {
    let mut bench = Bench::new(&[("a", &[])]);
    bench.patience = SECOND;
    bench.hold(1, "a", tokens(1)).unwrap();
    bench.patience = 2 * SECOND;
    bench.hold(2, "a", tokens(1)).unwrap();
    bench.later(SECOND - 1);
    assert!(bench.expire().is_empty());
    bench.later(1);
    assert_eq!(bench.expire(), [1]);
    bench.settle(2, tokens(1));
    bench.later(DAY);
    assert!(bench.expire().is_empty());
}

#[test]
fn a_late_release_gives_everything_back() {
    let mut bench = Bench::new(&[("a", &["100 tokens per day", "100 tokens per hour"])]);
    bench.hold(1, "a", tokens(40)).unwrap();
    bench.now = bench.now.saturating_plus(bench.patience);
    assert_eq!(bench.expire(), [1]);
    let Settlement::Late { correction, overrun: false } = bench.release(1) else { panic!() };
    assert_eq!((correction.requests, correction.input_tokens), (-1, -40));
    assert_eq!(bench.totals("a").input_tokens, 0);
    assert!(bench.standing("a").iter().all(|standing| standing.available == 100));
    bench.check();
}

#[test]
fn an_overrun_while_the_capacity_is_raised_stays_explained() {
    let mut bench = Bench::new(&[("a", &["100 tokens per hour, sliding log"])]);
    bench.hold(1, "a", tokens(100)).unwrap();
    bench.settle(1, tokens(180));
    bench.configure(&[("a", &["250 tokens per hour, sliding log"])]);
    bench.hold(2, "a", tokens(70)).unwrap();
    bench.check();
}
