//! Budgets that reach a part of their amount are told of once a period, by what was posted.

use crate::bench::{Bench, tokens};
use tollgate_accounting::DAY;

/// What was told of after each of these was used.
fn told(bench: &mut Bench, used: &[u64]) -> Vec<Vec<(String, u32)>> {
    let each = used.iter().map(|used| {
        bench.later(1);
        let id = bench.now.micros() as u128;
        bench.hold(id, "acme/search", tokens(*used)).unwrap();
        bench.settle(id, tokens(*used));
        bench.commit();
        let reached = bench.book.take_reached();
        reached.iter().map(|one| (format!("{}: {}", one.account, one.limit), one.percent)).collect()
    });
    each.collect()
}

const ACCOUNTS: &[(&str, &[&str])] = &[
    ("acme", &["1000 input tokens per day", "3000 input tokens in total"]),
    ("acme/search", &["2000 input tokens per hour, fixed window", "0 output tokens per day"]),
];

#[test]
fn each_part_is_told_once_a_period_and_of_budgets_alone() {
    let mut bench = Bench::new(ACCOUNTS);
    bench.book.watch(&[100, 50, 80]);
    let day = |percent| vec![("acme: 1000 input tokens per day".to_owned(), percent)];
    let none = Vec::new;
    assert_eq!(
        told(&mut bench, &[499, 1, 1, 300, 100]),
        [none(), day(50), none(), day(80), none()]
    );
    // A new day is told of anew; a sum that never ends goes on.
    bench.later(DAY);
    let mut both = told(&mut bench, &[600, 1]);
    both[0].sort();
    let total = ("acme: 3000 input tokens in total".to_owned(), 50);
    assert_eq!(both, [vec![day(50).remove(0), total], none()]);
}

#[test]
fn nothing_is_told_that_nobody_asked_for_and_a_part_that_was_leapt_over_is_not_made_up() {
    let mut bench = Bench::new(ACCOUNTS);
    assert_eq!(told(&mut bench, &[800]), [Vec::new()]);
    bench.book.watch(&[50, 80, 0]);
    let reached = told(&mut bench, &[1]);
    assert_eq!(reached, [[("acme: 1000 input tokens per day".to_owned(), 80)]]);
    bench.book.watch(&[]);
    bench.later(DAY);
    assert_eq!(told(&mut bench, &[800]), [Vec::new()]);
}

#[test]
fn a_raised_limit_does_not_tell_of_a_part_twice() {
    let mut bench = Bench::new(ACCOUNTS);
    bench.book.watch(&[50, 80]);
    assert_eq!(told(&mut bench, &[800]).concat().len(), 1);
    bench.configure(&[("acme", &["1500 input tokens per day"]), ("acme/search", &[])]);
    assert!(told(&mut bench, &[1, 100]).concat().is_empty(), "half of more, long told");
}

#[test]
fn what_is_held_reaches_nothing_for_it_may_be_given_back() {
    let mut bench = Bench::new(ACCOUNTS);
    bench.book.watch(&[50]);
    bench.hold(1, "acme/search", tokens(1000)).unwrap();
    bench.commit();
    assert!(bench.book.take_reached().is_empty());
    bench.release(1);
    bench.commit();
    assert!(bench.book.take_reached().is_empty());
}

#[test]
fn a_window_is_told_of_where_it_is_as_long_as_the_shortest_day() {
    for (hours, is_told) in [(1, false), (20, false), (21, true), (24, true), (48, true)] {
        let words = format!("1000 input tokens per {hours} hours, fixed window");
        let mut bench = Bench::new(&[("acme", &[words.as_str()]), ("acme/search", &[])]);
        bench.book.watch(&[50]);
        assert_eq!(!told(&mut bench, &[600]).concat().is_empty(), is_told, "{words}");
    } // A window that slides has no beginning that anything could be told for.
    let words = "1000 input tokens per 48 hours, sliding window";
    let mut bench = Bench::new(&[("acme", &[words]), ("acme/search", &[])]);
    bench.book.watch(&[50]);
    assert!(told(&mut bench, &[600]).concat().is_empty());
}
