//! Each algorithm by a table: when how much is asked, and what the answer is.

use crate::bench::{Bench, tokens};
use tollgate_accounting::{Refusal, RefusalKind, SECOND, Settlement, Timestamp};

/// At a millisecond, so many tokens are asked for; if they are taken, they are used at once.
enum Step {
    Taken(i64, u64),
    /// Refused, until the given millisecond.
    Refused(i64, u64, i64),
    Never(i64, u64),
}
use Step::{Never, Refused, Taken};

#[test]
fn each_algorithm_admits_by_its_rule() {
    let table: [(&str, &[Step]); 8] = [
        (
            "10 tokens per second",
            &[Never(0, 11), Taken(0, 10), Refused(0, 1, 100), Refused(99, 1, 100), Taken(100, 1)],
        ),
        ("10 tokens per second, burst 20", &[Taken(0, 20), Refused(0, 20, 2_000), Taken(500, 5)]),
        ("10 tokens per second, burst 5", &[Never(0, 6), Taken(0, 5), Refused(100, 5, 500)]),
        (
            "10 tokens per second, leaky bucket, burst 2",
            &[Taken(0, 2), Refused(0, 1, 100), Taken(100, 1), Refused(150, 2, 300), Never(0, 3)],
        ),
        (
            "10 tokens per second, fixed window",
            &[Taken(900, 10), Refused(950, 1, 1_000), Taken(1_000, 10), Refused(1_001, 1, 2_000)],
        ),
        (
            "10 tokens per second, sliding window",
            &[
                Taken(500, 10),
                Refused(900, 1, 1_100),
                Refused(1_000, 1, 1_100),
                Taken(1_100, 1),
                Refused(1_500, 5, 1_600),
                Taken(1_600, 5),
                // Of this window and the next: 6 x 2/3 leaves room for 6.
                Refused(1_999, 6, 2_334),
            ],
        ),
        (
            "10 tokens per second, sliding log",
            &[
                Taken(100, 4),
                Taken(300, 6),
                Refused(500, 1, 1_100),
                Refused(500, 5, 1_300),
                Taken(1_100, 4),
                Refused(1_299, 1, 1_300),
                Taken(1_300, 6),
            ],
        ),
        ("10 tokens per day", &[Taken(0, 10), Refused(1, 1, 17 * 3_600_000), Never(2, 11)]),
    ];
    for (words, steps) in table {
        let mut bench = Bench::new(&[("acme", &[words])]);
        let start = bench.now;
        for (id, step) in (0..).zip(steps) {
            let (Taken(at, ask) | Refused(at, ask, _) | Never(at, ask)) = *step;
            bench.now = start.saturating_plus(at * 1_000);
            let answer = bench.hold(id, "acme", tokens(ask));
            let told = answer.as_ref().map(|_| ()).map_err(|refusal| retry(refusal, start));
            let expected = match *step {
                Taken(..) => Ok(()),
                Refused(.., until) => Err(Some(until)),
                Never(..) => Err(None),
            };
            assert_eq!(told, expected, "{words}: {ask} at {at}");
            bench.settle(id, tokens(ask));
        }
        bench.check();
    }
}

/// In milliseconds, rounded up.
fn retry(refusal: &Refusal, start: Timestamp) -> Option<i64> {
    match refusal.kind {
        RefusalKind::Never => None,
        RefusalKind::Later { retry_at } => Some((retry_at.since(start).unwrap() + 999) / 1_000),
    }
}

#[test]
fn calls_in_flight_are_counted_until_they_end() {
    let mut bench = Bench::new(&[("acme", &["2 concurrent"])]);
    bench.hold(1, "acme", tokens(1)).unwrap();
    bench.hold(2, "acme", tokens(1)).unwrap();
    let refusal = bench.hold(3, "acme", tokens(1)).unwrap_err();
    let soon = bench.now.saturating_plus(SECOND);
    assert_eq!(refusal.kind, RefusalKind::Later { retry_at: soon });
    assert_eq!((refusal.resets_at, refusal.soft), (None, false));
    assert_eq!(bench.settle(1, tokens(9)), Settlement::Settled { overrun: true });
    bench.hold(3, "acme", tokens(1)).unwrap();
    bench.release(2);
    bench.hold(4, "acme", tokens(1)).unwrap();
    bench.extend(4, tokens(1)).unwrap();
    assert_eq!(bench.standing("acme")[0].held, 2);
    bench.check();
}

#[test]
fn a_soft_limit_lets_wait_as_long_as_it_says() {
    let words = "10 tokens per second, leaky bucket, wait up to 300 milliseconds";
    let mut bench = Bench::new(&[("acme", &[words])]);
    bench.hold(1, "acme", tokens(10)).unwrap();
    let soft = |bench: &mut Bench, ask| {
        let refusal = bench.hold(2, "acme", tokens(ask)).unwrap_err();
        (refusal.soft, refusal.max_wait_micros)
    };
    assert_eq!(soft(&mut bench, 3), (true, 300_000));
    assert!(!soft(&mut bench, 4).0);
    assert!(!soft(&mut bench, 11).0);
    let words = [words, "10 tokens per second, fixed window"];
    let mut bench = Bench::new(&[("acme", &words)]);
    bench.hold(1, "acme", tokens(10)).unwrap();
    let refusal = bench.hold(2, "acme", tokens(1)).unwrap_err();
    assert_eq!((&*refusal.limit, refusal.soft), (words[1], false));
}

#[test]
fn where_several_limits_refuse_the_instant_is_the_one_at_which_all_fit() {
    let words =
        ["10 tokens per second, wait up to 9 seconds", "10 tokens per minute, fixed window"];
    let mut bench = Bench::new(&[("acme", &words)]);
    bench.hold(1, "acme", tokens(10)).unwrap();
    let refusal = bench.hold(2, "acme", tokens(10)).unwrap_err();
    // The window's room may come back in a second, the bucket's does.
    let retry_at = bench.now.saturating_plus(SECOND);
    assert_eq!((&*refusal.limit, refusal.soft), (words[1], false));
    assert_eq!(refusal.kind, RefusalKind::Later { retry_at });
    bench.settle(1, tokens(10));
    let refusal = bench.hold(2, "acme", tokens(10)).unwrap_err();
    let retry_at = bench.now.saturating_plus(60 * SECOND);
    assert_eq!(refusal.kind, RefusalKind::Later { retry_at });
}

#[test]
fn what_a_long_call_takes_later_counts_from_then_on_in_rolling_windows() {
    for words in ["10 tokens per second, sliding log", "10 tokens per second, sliding window"] {
        let mut bench = Bench::new(&[("acme", &[words])]);
        bench.hold(1, "acme", tokens(6)).unwrap();
        bench.later(2 * SECOND);
        bench.extend(1, tokens(8)).unwrap();
        assert!(bench.extend(1, tokens(3)).is_err(), "{words}");
        let standing = &bench.standing("acme")[0];
        assert_eq!((standing.held, standing.available), (8, 2), "{words}");
        bench.settle(1, tokens(9));
        let standing = &bench.standing("acme")[0];
        assert_eq!((standing.posted, standing.held, standing.available), (3, 0, 7), "{words}");
        bench.check();
    }
}

#[test]
fn what_a_long_call_takes_later_stays_in_the_period_of_a_fixed_window() {
    let mut bench = Bench::new(&[("acme", &["10 tokens per second, fixed window"])]);
    bench.hold(1, "acme", tokens(6)).unwrap();
    bench.later(2 * SECOND);
    bench.hold(2, "acme", tokens(10)).unwrap();
    bench.extend(1, tokens(4)).unwrap();
    assert_eq!(bench.extend(1, tokens(1)).unwrap_err().asked, 1);
    bench.settle(1, tokens(12));
    assert_eq!(bench.standing("acme")[0].available, 0);
    let posted: Vec<_> = bench.commit().iter().map(|row| row.fields[1]).collect();
    assert!(posted.contains(&12), "{posted:?}");
    bench.check();
}
