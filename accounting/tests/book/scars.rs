//! What went wrong in other gateways, each as the rule it broke. Those about streams, stores and
//! sockets are tested where those live.

use crate::bench::{Bench, amounts, tokens};
use tollgate_accounting::{
    Class, DAY, HOUR, Limit, MINUTE, Money, PriceCard, PriceError, Rates, RefusalKind, Rounding,
    SECOND, Settlement, Tier, Timestamp, UnitPrice, Usage, Why,
};

fn card(prices: &[(Class, &str)]) -> PriceCard {
    let listed = |rates: Rates, (class, text): &(Class, &str)| {
        rates.with(*class, UnitPrice::per_million(text).unwrap())
    };
    let rates = prices.iter().fold(Rates::new(), listed);
    PriceCard {
        version: "test-1".to_owned(),
        source: "test".to_owned(),
        effective_from: Timestamp::from_micros(0),
        tiers: vec![Tier { above_input_tokens: 0, rates }],
        per_request: None,
    }
}

#[test]
fn fifty_calls_at_once_never_spend_more_than_the_budget() {
    let mut bench = Bench::new(&[("acme", &["1000 tokens per day"])]);
    let admitted = (0..50).filter(|id| bench.hold(*id, "acme", tokens(100)).is_ok()).count();
    assert_eq!(admitted, 10);
    for id in 0..50 {
        bench.settle(id, tokens(100));
    }
    assert_eq!(bench.totals("acme").input_tokens, 1_000);
    bench.check();
}

#[test]
fn a_rich_account_is_held_like_any_other() {
    let mut bench = Bench::new(&[("rich", &["$1000000 per month"])]);
    bench.hold(1, "rich", amounts(1, 0, 0, 1_000_000_000_000_000)).unwrap();
    let refusal = bench.hold(2, "rich", amounts(1, 0, 0, 1)).unwrap_err();
    assert_eq!((refusal.why, refusal.available), (Why::Limit, 0));
}

#[test]
fn a_hold_includes_the_output_at_its_dearest_price() {
    let card = card(&[(Class::Input, "1"), (Class::Output, "10"), (Class::AudioOutput, "80")]);
    assert_eq!(card.bound(1_000, 1_000), Ok(Money::from_nanos(1_000_000 + 80_000_000)));
    let spoken = Usage::new().with(Class::Input, 1_000).with(Class::AudioOutput, 1_000);
    assert!(card.cost(&spoken, Rounding::Up).unwrap() <= card.bound(1_000, 1_000).unwrap());
}

#[test]
fn a_hold_is_never_shrunk_to_what_is_left() {
    let mut bench = Bench::new(&[("acme", &["1000 tokens per day"])]);
    bench.hold(1, "acme", tokens(900)).unwrap();
    assert_eq!(bench.hold(2, "acme", tokens(200)).unwrap_err().available, 100);
    assert_eq!(bench.standing("acme")[0].held, 900);
}

#[test]
fn held_and_posted_are_told_apart() {
    let mut bench = Bench::new(&[("acme", &["$1 per day"])]);
    bench.hold(1, "acme", amounts(1, 0, 0, 900_000_000)).unwrap();
    let refusal = bench.hold(2, "acme", amounts(1, 0, 0, 200_000_000)).unwrap_err();
    assert_eq!((refusal.posted, refusal.held), (0, 900_000_000));
    let soon = bench.now.saturating_plus(SECOND);
    assert_eq!(refusal.kind, RefusalKind::Later { retry_at: soon });
    bench.settle(1, amounts(1, 0, 0, 850_000_000));
    let refusal = bench.hold(2, "acme", amounts(1, 0, 0, 200_000_000)).unwrap_err();
    assert_eq!((refusal.posted, refusal.held), (850_000_000, 0));
    assert_eq!(refusal.kind, RefusalKind::Later { retry_at: refusal.resets_at.unwrap() });
}

#[test]
fn a_leaked_hold_comes_back_by_its_deadline() {
    let mut bench = Bench::new(&[("acme", &["1 concurrent"])]);
    bench.patience = MINUTE;
    bench.hold(1, "acme", tokens(1)).unwrap();
    assert!(bench.hold(2, "acme", tokens(1)).is_err());
    bench.later(MINUTE);
    assert_eq!(bench.expire(), [1]);
    bench.hold(2, "acme", tokens(1)).unwrap();
    bench.check();
}

#[test]
fn an_overrun_is_posted_to_every_limit_though_one_is_short() {
    let mut bench = Bench::new(&[
        ("acme", &["1000 tokens per day"]),
        ("acme/key", &["200 tokens per minute", "500 tokens per hour, sliding log"]),
    ]);
    bench.hold(1, "acme/key", tokens(100)).unwrap();
    assert_eq!(bench.settle(1, tokens(900)), Settlement::Settled { overrun: true });
    let left: Vec<_> = bench.standing("acme/key").iter().map(|s| s.available).collect();
    assert_eq!(left, [100, -700, -400]);
    bench.check();
}

#[test]
fn a_month_is_a_month_of_the_calendar() {
    let mut bench = Bench::new(&[("acme", &["100 tokens per month"])]);
    bench.hold(1, "acme", tokens(100)).unwrap();
    let refusal = bench.hold(2, "acme", tokens(1)).unwrap_err();
    let first_of_december = Timestamp::from_micros(1_796_083_200_000_000);
    assert_eq!(first_of_december.to_string(), "2026-12-01T00:00:00Z");
    assert_eq!(refusal.resets_at, Some(first_of_december));
    bench.now = first_of_december;
    bench.hold(2, "acme", tokens(100)).unwrap();
}

#[test]
fn windows_of_different_length_never_share_a_key() {
    let words = [
        "100 tokens per minute",
        "100 tokens per 61 seconds",
        "100 tokens per hour",
        "100 tokens per day",
        "100 tokens per 24 hours",
        "100 tokens per week",
        "100 tokens per month",
        "100 tokens per month from day 2",
        "100 input tokens per day",
        "100 requests per minute",
        "100 tokens per minute, fixed window",
        "100 tokens per minute, sliding window",
        "100 tokens per minute, sliding log",
        "100 tokens per minute, leaky bucket",
        "100 concurrent",
    ];
    let mut keys: Vec<_> = words.map(|text| text.parse::<Limit>().unwrap().key()).to_vec();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), words.len());
    let raised: Limit = "200 tokens per minute, burst 900".parse().unwrap();
    assert_eq!(raised.key(), words[0].parse::<Limit>().unwrap().key());
}

#[test]
fn a_debt_is_remembered_until_it_is_covered() {
    let mut bench = Bench::new(&[("acme", &["60 tokens per minute"])]);
    bench.hold(1, "acme", tokens(60)).unwrap();
    bench.settle(1, tokens(180));
    assert_eq!(bench.standing("acme")[0].available, -120);
    let refusal = bench.hold(2, "acme", tokens(0)).unwrap_err();
    let covered = bench.now.saturating_plus(2 * MINUTE);
    assert_eq!(refusal.kind, RefusalKind::Later { retry_at: covered });
    bench.now = covered;
    bench.hold(2, "acme", tokens(0)).unwrap();
    bench.check();
}

#[test]
fn a_settlement_that_comes_twice_counts_once() {
    let mut bench = Bench::new(&[("acme", &["1000 tokens per day", "1000 tokens per minute"])]);
    bench.hold(1, "acme", tokens(10)).unwrap();
    bench.settle(1, tokens(10));
    for _ in 0..3 {
        assert!(matches!(bench.settle(1, tokens(10)), Settlement::Again(_)));
    }
    assert_eq!(bench.totals("acme").input_tokens, 10);
    assert_eq!(bench.standing("acme")[0].posted, 10);
}

#[test]
fn a_cached_token_is_charged_once_and_at_its_own_rate() {
    let card = card(&[(Class::Input, "10"), (Class::CacheRead, "1"), (Class::CacheWrite, "12.5")]);
    let usage = Usage::new().with(Class::Input, 100).with(Class::CacheRead, 900);
    let cost = card.cost(&usage, Rounding::HalfEven);
    assert_eq!(cost, Ok(Money::from_nanos(100 * 10_000 + 900 * 1_000)));
}

#[test]
fn a_cache_write_without_a_lifetime_costs_the_shorter_one() {
    let card =
        card(&[(Class::Input, "10"), (Class::CacheWrite, "12.5"), (Class::CacheWriteLong, "20")]);
    let short = Usage::new().with(Class::CacheWrite, 1_000);
    assert_eq!(card.cost(&short, Rounding::HalfEven), Ok(Money::from_nanos(12_500_000)));
    let long = Usage::new().with(Class::CacheWriteLong, 1_000);
    assert_eq!(card.cost(&long, Rounding::HalfEven), Ok(Money::from_nanos(20_000_000)));
}

#[test]
fn reasoning_is_charged_and_in_no_other_class() {
    let card = card(&[(Class::Input, "1"), (Class::Output, "10")]);
    let usage = Usage::new().with(Class::Output, 100).with(Class::Reasoning, 900);
    assert_eq!(usage.output_total(), Some(1_000));
    assert_eq!(card.cost(&usage, Rounding::HalfEven), Ok(Money::from_nanos(1_000 * 10_000)));
}

#[test]
fn an_unpriced_class_is_an_error_and_never_free() {
    let card = card(&[(Class::Input, "1")]);
    let usage = Usage::new().with(Class::Input, 1).with(Class::Output, 1);
    let unpriced = Err(PriceError::Unpriced(Class::Output));
    assert_eq!(card.cost(&usage, Rounding::HalfEven), unpriced);
    assert_eq!(card.bound(1, 1), unpriced);
}

#[test]
fn a_budget_a_model_is_not_refilled_by_a_restart() {
    let mut limit: Limit = "1000 tokens per month".parse().unwrap();
    limit.filter.models.push("gpt-5".to_owned());
    let mut bench = Bench::with_limits("acme", vec![limit.clone()]);
    bench.hold(1, "acme", tokens(700)).unwrap();
    bench.settle(1, tokens(700));
    bench.hold(2, "acme", tokens(200)).unwrap();
    bench.restart(vec![limit]);
    let standing = &bench.standing("acme")[0];
    assert_eq!((standing.posted, standing.held, standing.available), (700, 200, 100));
    assert!(bench.hold(3, "acme", tokens(101)).is_err());
    bench.hold(3, "acme", tokens(100)).unwrap();
    bench.check();
}

#[test]
fn attempts_of_one_call_share_one_hold() {
    let mut bench = Bench::new(&[("acme", &["1 requests per day", "1 concurrent"])]);
    let first = bench.hold(1, "acme", tokens(5)).unwrap();
    let again = bench.hold(1, "acme", tokens(5)).unwrap();
    assert!(!first.again && again.again);
    assert_eq!((again.amounts, again.deadline), (first.amounts, first.deadline));
    bench.settle(1, tokens(5));
    assert_eq!(bench.totals("acme").requests, 1);
}

#[test]
fn a_limit_on_one_model_or_prompt_has_no_way_around() {
    let mut limit: Limit = "1 requests per day".parse().unwrap();
    limit.filter.models.push("gpt-5*".to_owned());
    limit.filter.prompts.push("greet".to_owned());
    let mut bench = Bench::with_limits("acme", vec![limit]);
    bench.facets.prompt = Some("greet");
    bench.facets.model = "gpt-5-mini";
    bench.hold(1, "acme", tokens(1)).unwrap();
    bench.facets.model = "gpt-5";
    assert!(bench.hold(2, "acme", tokens(1)).is_err());
    bench.facets.prompt = None;
    bench.hold(3, "acme", tokens(1)).unwrap();
    (bench.facets.model, bench.facets.prompt) = ("claude", Some("greet"));
    bench.hold(4, "acme", tokens(1)).unwrap();
}

#[test]
fn a_day_has_the_hours_that_its_zone_gives_it() {
    let mut bench = Bench::in_zone("America/New_York", &["100 tokens per day"]);
    // 2026-11-01, 05:00 UTC: midnight in New York and an hour that will come twice.
    bench.now = Timestamp::from_micros(1_793_505_600_000_000);
    let start = bench.now;
    bench.hold(1, "acme", tokens(100)).unwrap();
    bench.now = start.saturating_plus(25 * HOUR - 1);
    assert!(bench.hold(2, "acme", tokens(1)).is_err());
    bench.later(1);
    bench.hold(2, "acme", tokens(100)).unwrap();
}

#[test]
fn five_a_second_is_not_three_hundred_a_minute() {
    let mut bench = Bench::new(&[("acme", &["5 requests per second"])]);
    let admitted = (0..300).filter(|id| bench.hold(*id, "acme", tokens(1)).is_ok()).count();
    assert_eq!(admitted, 5);
    let standing = &bench.standing("acme")[0];
    assert_eq!((standing.capacity, &*standing.limit), (5, "5 requests per second"));
}

#[test]
fn a_refusal_says_what_to_do_next() {
    let mut bench = Bench::new(&[("acme", &["100 tokens per minute"])]);
    let never = bench.hold(1, "acme", tokens(101)).unwrap_err();
    assert_eq!(never.kind, RefusalKind::Never);
    bench.hold(1, "acme", tokens(100)).unwrap();
    let later = bench.hold(2, "acme", tokens(50)).unwrap_err();
    let in_half = bench.now.saturating_plus(MINUTE / 2);
    assert_eq!(later.kind, RefusalKind::Later { retry_at: in_half });
    let said = later.to_string();
    for part in ["100 tokens per minute", "acme", "asked 50", "held 100", "available 0"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn nothing_that_overflows_is_ever_admitted_or_posted() {
    let mut bench = Bench::new(&[("acme", &["9223372036854775807 tokens per day"])]);
    let huge = i64::MAX as u64;
    for ask in [
        tokens(u64::MAX),
        tokens(huge + 1),
        amounts(1, huge, 1, 0),
        amounts(1, 0, 0, -1),
        amounts(u64::MAX, 0, 0, 0),
    ] {
        assert_eq!(bench.hold(1, "acme", ask).unwrap_err().why, Why::Overflow, "{ask:?}");
    }
    bench.hold(1, "acme", tokens(huge - 10)).unwrap();
    assert_eq!(bench.hold(2, "acme", tokens(11)).unwrap_err().why, Why::Overflow);
    bench.hold(2, "acme", tokens(10)).unwrap();
    assert_eq!(bench.extend(2, tokens(1)).unwrap_err().why, Why::Overflow);
    assert_eq!(bench.settle(2, tokens(11)), Settlement::Overflow);
    assert_eq!(bench.settle(2, amounts(1, 0, 0, -1)), Settlement::Overflow);
    assert_eq!(bench.settle(2, tokens(10)), Settlement::Settled { overrun: false });
    assert_eq!(bench.settle(1, tokens(huge - 10)), Settlement::Settled { overrun: false });
    assert_eq!(bench.totals("acme").input_tokens, huge);
    bench.later(DAY);
    assert_eq!(bench.hold(3, "acme", tokens(1)).unwrap_err().why, Why::Overflow);
    bench.check();
}
