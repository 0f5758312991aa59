//! The rules of settlement, as tables.

use Outcome::{ClientGone, Completed, Cut, Expired, Failed, Recovered, Truncated, Unreachable};
use Provenance::{Estimated, Reported, Tokenized};
use tollgate_accounting::{Rates, Tier, UnitPrice};

use super::*;

/// Input at $1, cache reads at $0.1, output at $10 a million.
fn card() -> Arc<PriceCard> {
    let price = |dollars: &str| UnitPrice::per_million(dollars).unwrap();
    let rates = Rates::new()
        .with(Class::Input, price("1"))
        .with(Class::CacheRead, price("0.1"))
        .with(Class::Output, price("10"));
    Arc::new(PriceCard {
        version: "test".into(),
        source: "a test".into(),
        effective_from: Timestamp::from_micros(0),
        tiers: vec![Tier { above_input_tokens: 0, rates }],
        per_request: None,
    })
}

fn facts() -> CallFacts {
    CallFacts {
        id: CallId(7),
        received_at: Timestamp::from_micros(1_000),
        account: "acme".into(),
        key: "k".into(),
        endpoint: "chat.completions".into(),
        asked_model: "m".into(),
        prompt: None,
        tags: None,
        stream: true,
        terms: Terms::default(),
        cache: None,
    }
}

/// 100 input tokens counted exactly.
fn attempt(reach: Reach, reported: Usage, seen: u64, delivered: u64) -> Attempt {
    let input = Counted { tokens: 100, provenance: Tokenized };
    let mut attempt = Attempt::new("p".into(), "m".into(), card(), input, true);
    attempt.reach = reach;
    attempt.reported = reported;
    attempt.output_seen = seen;
    attempt.output_delivered = delivered;
    attempt
}

fn held() -> Amounts {
    let cost = Money::from_nanos(600_000);
    Amounts { requests: 1, input_tokens: 100, output_tokens: 50, cost }
}

fn settle(attempts: &[Attempt], outcome: Outcome) -> Posting {
    post(&facts(), attempts, &held(), outcome, Kind::Call, Timestamp::from_micros(9_000))
}

fn usage(input: u64, output: u64) -> Usage {
    Usage::new().with(Class::Input, input).with(Class::Output, output)
}

/// How one attempt ends; nano-dollars: 1,000 an input token, 10,000 an output token.
#[test]
fn each_way_to_end_charges_what_it_should() {
    let none = Usage::new;
    type Case = (&'static str, Reach, Usage, u64, u64, Outcome, i64, i64, [Option<Provenance>; 2]);
    let cases: [Case; 15] = [
        (
            "reported usage wins",
            Reach::Accepted,
            usage(90, 20),
            19,
            19,
            Completed,
            290_000,
            290_000,
            [Some(Reported); 2],
        ),
        (
            "without a report our count stands",
            Reach::Accepted,
            none(),
            19,
            19,
            Completed,
            290_000,
            290_000,
            [Some(Tokenized); 2],
        ),
        (
            "an explicit zero is not missing",
            Reach::Accepted,
            usage(90, 0),
            19,
            19,
            Completed,
            90_000,
            90_000,
            [Some(Reported); 2],
        ),
        (
            "an absurd report is not believed",
            Reach::Accepted,
            usage(u64::MAX / 4, 20),
            19,
            19,
            Completed,
            300_000,
            300_000,
            [Some(Tokenized), Some(Reported)],
        ),
        (
            "a fragment of a report is no total",
            Reach::Accepted,
            Usage::new().with(Class::Reasoning, 0),
            9,
            9,
            Completed,
            190_000,
            190_000,
            [Some(Tokenized); 2],
        ),
        (
            "a client that left pays for what was made",
            Reach::Accepted,
            none(),
            20,
            12,
            ClientGone,
            300_000,
            300_000,
            [Some(Tokenized); 2],
        ),
        (
            "a report that lags behind what was seen is passed over",
            Reach::Accepted,
            usage(90, 1),
            20,
            20,
            ClientGone,
            290_000,
            290_000,
            [Some(Reported), Some(Tokenized)],
        ),
        (
            "the prompt is charged once it was sent",
            Reach::Sent,
            none(),
            0,
            0,
            ClientGone,
            100_000,
            100_000,
            [Some(Estimated), None],
        ),
        (
            "nothing sent, nothing charged",
            Reach::Planned,
            none(),
            0,
            0,
            ClientGone,
            0,
            0,
            [None; 2],
        ),
        (
            "a cut charges what was passed on and absorbs the rest",
            Reach::Accepted,
            none(),
            60,
            50,
            Cut,
            600_000,
            700_000,
            [Some(Tokenized); 2],
        ),
        ("a refusal is free", Reach::Rejected, none(), 0, 0, Failed, 0, 0, [None; 2]),
        (
            "no answer may be billed, and is absorbed",
            Reach::Sent,
            none(),
            0,
            0,
            Unreachable,
            0,
            100_000,
            [Some(Estimated), None],
        ),
        (
            "a truncated reply is charged",
            Reach::Accepted,
            none(),
            5,
            5,
            Truncated,
            150_000,
            150_000,
            [Some(Tokenized); 2],
        ),
        (
            "a deadline is the client's",
            Reach::Accepted,
            none(),
            5,
            5,
            Expired,
            150_000,
            150_000,
            [Some(Tokenized); 2],
        ),
        (
            "a crash leaves an estimate",
            Reach::Accepted,
            none(),
            5,
            5,
            Recovered,
            150_000,
            150_000,
            [Some(Estimated); 2],
        ),
    ];
    for (rule, reach, reported, seen, delivered, outcome, charged, owed, provenance) in cases {
        let posting = settle(&[attempt(reach, reported, seen, delivered)], outcome);
        let entry = &posting.entries[0];
        assert_eq!(entry.charged.nanos(), charged, "{rule}");
        assert_eq!(entry.owed.nanos(), owed, "{rule}");
        assert_eq!(entry.absorbed.nanos(), owed - charged, "{rule}");
        assert_eq!([entry.input_provenance, entry.output_provenance], provenance, "{rule}");
        assert_eq!(posting.used.cost, entry.charged, "{rule}");
        assert_eq!(entry.requests, u64::from(reach > Reach::Planned), "{rule}");
    }
}

#[test]
fn cached_tokens_are_charged_at_their_own_rate() {
    let reported = usage(40, 1).with(Class::CacheRead, 60);
    let posting = settle(&[attempt(Reach::Accepted, reported, 1, 1)], Completed);
    assert_eq!(posting.entries[0].charged.nanos(), 40_000 + 6_000 + 10_000);
    assert_eq!(posting.used.input_tokens, 100);
}

#[test]
fn earlier_attempts_are_absorbed_and_only_the_last_is_charged() {
    let mut lost = attempt(Reach::Sent, Usage::new(), 0, 0);
    lost.ended = Some(Unreachable);
    let mut refused = attempt(Reach::Rejected, Usage::new(), 0, 0);
    refused.ended = Some(Failed);
    let good = attempt(Reach::Accepted, usage(100, 10), 10, 10);
    let posting = settle(&[lost, refused, good], Completed);
    let money: Vec<_> = posting
        .entries
        .iter()
        .map(|e| (e.kind, e.requests, e.charged.nanos(), e.owed.nanos(), e.absorbed.nanos()))
        .collect();
    assert_eq!(
        money,
        [
            (Kind::Attempt, 0, 0, 100_000, 100_000),
            (Kind::Attempt, 0, 0, 0, 0),
            (Kind::Call, 1, 200_000, 200_000, 0),
        ]
    );
    assert_eq!(posting.used.cost.nanos(), 200_000);
}

#[test]
fn a_reported_overrun_is_recorded_in_full() {
    let posting = settle(&[attempt(Reach::Accepted, usage(100, 500), 500, 50)], Completed);
    assert!(posting.used.cost > held().cost);
    assert_eq!(posting.used.output_tokens, 500);
}

#[test]
fn a_cost_that_cannot_be_computed_is_what_was_held_never_zero() {
    let reported = usage(100, 1).with(Class::WebSearch, 3);
    let posting = settle(&[attempt(Reach::Accepted, reported, 1, 1)], Completed);
    assert_eq!(posting.entries[0].charged, held().cost);
}

#[test]
fn an_answer_that_is_foreseen_is_charged_where_nobody_waited_for_it_and_not_where_it_failed() {
    let facts = CallFacts { endpoint: "images.generations".into(), ..facts() };
    let sent = attempt(Reach::Sent, Usage::new(), 50, 0);
    for (outcome, drawn) in [(ClientGone, Some(50)), (Expired, Some(50)), (Unreachable, None)] {
        let now = Timestamp::from_micros(9_000);
        let posting = post(&facts, std::slice::from_ref(&sent), &held(), outcome, Kind::Call, now);
        let entry = posting.entries.last().unwrap();
        assert_eq!(entry.usage.get(Class::ImageOutput), drawn, "{outcome:?}");
        assert_eq!(entry.output_provenance, drawn.map(|_| Estimated), "{outcome:?}");
        // Pictures cost what is written where the card has no price of them.
        let cost = 100 * 1_000 + drawn.unwrap_or(0) as i64 * 10_000;
        assert_eq!(entry.owed, Money::from_nanos(cost), "{outcome:?}");
    }
}
