use std::sync::Arc;

use tollgate_providers::{RateLimit, RateLimits};

use super::*;

const NEED: Need = Need { input_tokens: 100, output_tokens: 50, leaves: Leaves::Nothing };
const SECOND: u64 = 1_000_000;

#[test]
fn a_rest_that_was_asked_for_is_kept_and_never_shortened() {
    let health = Arc::new(Health::new(1));
    let (one, other) = (health.enter(NEED, 0).unwrap(), health.enter(NEED, 0).unwrap());
    one.failed(Fault::Rate(Some(5 * SECOND)), 0);
    other.failed(Fault::Rate(Some(2 * SECOND)), 0);
    let not = health.enter(NEED, 5 * SECOND - 1).unwrap_err();
    assert_eq!(not, NotReady { why: Unready::Resting, until: 5 * SECOND });
    assert!(health.enter(NEED, 5 * SECOND).is_ok());
}

#[test]
fn keys_are_taken_by_what_they_have_left_and_equals_in_turn() {
    let health = Arc::new(Health::new(3));
    let took = |now| {
        let permit = health.enter(NEED, now).unwrap();
        (permit.key(), permit)
    };
    let firsts: Vec<_> = (0..3).map(|_| took(0)).collect();
    assert_eq!(firsts.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [0, 1, 2]);
    for (permit, remaining) in firsts.iter().map(|(_, permit)| permit).zip([10, 900, 0]) {
        let requests =
            Some(RateLimit { limit: Some(1_000), remaining, resets_in_us: Some(60 * SECOND) });
        permit.limits(&RateLimits { requests, ..RateLimits::default() }, 0);
    }
    assert!((0..5).all(|_| took(0).0 == 1));
    firsts[1].1.failed(Fault::Credential(None), 0);
    assert_eq!(took(0).0, 0, "a refused key is not shown");
    firsts[0].1.failed(Fault::Rate(Some(SECOND)), 0);
    let not = health.enter(NEED, 0).unwrap_err();
    assert_eq!(not.why, Unready::Limit("requests"), "the soonest is told");
}

#[test]
fn a_half_open_breaker_lets_one_through_and_a_dropped_probe_makes_way() {
    let health = Arc::new(Health::new(1));
    for _ in 0..5 {
        health.enter(NEED, 0).unwrap().failed(Fault::Broken(None), 0);
    }
    assert_eq!(health.enter(NEED, 1).unwrap_err().why, Unready::Breaker);
    let probe = health.enter(NEED, SECOND).unwrap();
    assert_eq!(health.enter(NEED, SECOND).unwrap_err().why, Unready::Probed);
    drop(probe);
    let probe = health.enter(NEED, SECOND).unwrap();
    probe.accepted(false, SECOND);
    assert!(health.enter(NEED, SECOND).is_ok());
    assert_eq!(health.report(SECOND).breaker, Breaker::Closed);
}

#[test]
fn one_call_that_fails_again_and_again_opens_nothing() {
    let health = Arc::new(Health::new(1));
    for _ in 0..50 {
        let permit = health.enter(NEED, 0).unwrap();
        permit.same_call_again();
        permit.failed(Fault::Broken(None), 0);
    }
    assert_eq!(health.report(0).breaker, Breaker::Closed);
}

#[test]
fn places_are_given_back_however_a_call_ends() {
    let health = Arc::new(Health::new(1));
    let permits: Vec<_> = (0..8).map(|_| health.enter(NEED, 0).unwrap()).collect();
    permits[0].failed(Fault::Overloaded(None), 0);
    assert_eq!(health.report(0).most_in_flight, Some(6));
    assert_eq!(health.enter(NEED, 0).unwrap_err().why, Unready::Full);
    drop(permits);
    assert_eq!(health.report(0).in_flight, 0);
    assert!(health.enter(NEED, 0).is_ok());
}
