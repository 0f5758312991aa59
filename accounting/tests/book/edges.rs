//! Debts of any size, and a clock that went back while the gateway was down.

use crate::bench::{Bench, tokens};
use tollgate_accounting::{HOUR, Limit, MINUTE, SECOND, Settlement, Timestamp};

const HUGE: u64 = 1_000_000_000_000;

const KINDS: [&str; 6] = [
    "1000 tokens per minute",
    "1000 tokens per minute, leaky bucket",
    "1000 tokens per minute, fixed window",
    "1000 tokens per minute, sliding window",
    "1000 tokens per minute, sliding log",
    "1000 tokens per day",
];

fn one(words: &str) -> Vec<Limit> {
    vec![words.parse().unwrap()]
}

#[test]
fn debts_are_recorded_in_full_however_large_and_one_upon_another() {
    for words in KINDS {
        let mut bench = Bench::with_limits("acme", one(words));
        for id in 1..=2 {
            bench.hold(id, "acme", tokens(10)).unwrap();
        }
        for id in 1..=2 {
            let settled = bench.settle(id, tokens(HUGE));
            assert!(matches!(settled, Settlement::Settled { .. }), "{words}: {settled:?}");
        }
        assert_eq!(bench.totals("acme").input_tokens, 2 * HUGE, "{words}");
        let standing = &bench.standing("acme")[0];
        assert_eq!(standing.posted, 2 * HUGE as i64, "{words}");
        bench.hold(3, "acme", tokens(1)).unwrap_err();
        bench.check();
    }
}

#[test]
fn a_clock_that_went_back_while_it_was_down_does_not_reopen_what_is_over() {
    for words in KINDS {
        let mut bench = Bench::with_limits("acme", one(words));
        bench.later(5 * MINUTE + 30 * SECOND);
        let used_at = bench.now;
        bench.hold(1, "acme", tokens(900)).unwrap();
        bench.settle(1, tokens(900));
        bench.restart(one(words));
        // A window began on the minute; a day before its limit did; the others know the instant itself.
        let (back, began) = match words {
            _ if words.ends_with("day") => (24 * HOUR, 5 * MINUTE + 30 * SECOND),
            _ if words.ends_with("window") => (2 * MINUTE, 30 * SECOND),
            _ => (2 * MINUTE, 0),
        };
        bench.now = Timestamp::from_micros(used_at.micros() - back);
        bench.hold(2, "acme", tokens(200)).unwrap_err();
        let held = bench.hold(3, "acme", tokens(50)).unwrap();
        assert_eq!(held.taken_at.micros(), used_at.micros() - began, "{words}");
        bench.check();
    }
}

#[test]
fn what_passed_under_an_old_rule_is_counted_by_it_after_a_restart_too() {
    for (old, new) in [
        ("600 tokens per minute", "1200 tokens per minute"),
        ("600 tokens per minute, leaky bucket", "1200 tokens per minute, leaky bucket"),
    ] {
        let mut bench = Bench::new(&[("acme", &[old])]);
        bench.hold(1, "acme", tokens(600)).unwrap();
        bench.settle(1, tokens(600));
        bench.commit();
        bench.later(30 * SECOND);
        bench.configure(&[("acme", &[new])]);
        let before = bench.standing("acme");
        assert_eq!(before[0].posted, 300, "{new}");
        bench.restart(one(new));
        assert_eq!(bench.standing("acme"), before, "{new}");
    }
}

#[test]
fn only_a_window_that_ends_says_when_and_where_it_is_heading() {
    let table = [
        ("1000 tokens in total", false, false),
        ("1000 tokens per day", true, true),
        ("1000 tokens per hour, fixed window", true, true),
        ("1000 tokens per hour, sliding window", true, false),
    ];
    for (words, resets, heads) in table {
        let mut bench = Bench::with_limits("acme", one(words));
        bench.hold(1, "acme", tokens(100)).unwrap();
        bench.settle(1, tokens(100));
        bench.later(10 * MINUTE);
        let standing = &bench.standing("acme")[0];
        let seen = (standing.resets_at.is_some(), standing.forecast.is_some());
        assert_eq!(seen, (resets, heads), "{words}: {standing:?}");
    }
}
