//! What people are told.

use crate::bench::{Bench, tokens};
use std::fmt::Display;
use tollgate_accounting::{
    BadAmount, BadCharge, BadLimit, Class, CostLine, Metric, Money, Overflow, PriceError, Refusal,
    UnitPrice, Unrestorable,
};

#[test]
fn every_error_says_something_of_its_own() {
    let errors: Vec<Box<dyn Display>> = vec![
        Box::new(BadAmount::Empty),
        Box::new(BadAmount::NotANumber),
        Box::new(BadAmount::TooManyDecimals),
        Box::new(Overflow),
        Box::new(BadCharge::Unbalanced),
        Box::new(BadLimit::Words),
        Box::new(BadLimit::Amount),
        Box::new(BadLimit::Negative),
        Box::new(BadLimit::Burst),
        Box::new(BadLimit::Window),
        Box::new(BadLimit::Anchor),
        Box::new(BadLimit::Mismatch),
        Box::new(PriceError::Unpriced(Class::WebSearch)),
        Box::new(PriceError::BadTiers),
        Box::new(PriceError::Overflow),
        Box::new(Unrestorable::Corrupt),
        Box::new(Unrestorable::DuplicateHold),
    ];
    let mut words: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
    assert!(words.iter().all(|text| text.len() > 10), "{words:?}");
    words.sort();
    words.dedup();
    assert_eq!(words.len(), errors.len());
    for same in [BadAmount::OutOfRange.to_string(), BadCharge::Overflow.to_string()] {
        assert_eq!(same, Overflow.to_string());
    }
    assert!(PriceError::Unpriced(Class::WebSearch).to_string().contains("web_search"));
}

#[test]
fn a_refusal_tells_money_as_money() {
    let mut bench = Bench::new(&[("", &["$1.5 per day"]), ("a", &[])]);
    let told = |refusal: Box<Refusal>| refusal.to_string();
    let ask = |nanos| crate::bench::amounts(1, 0, 0, nanos);
    let never = told(bench.hold(1, "a", ask(2_000_000_000)).unwrap_err());
    let said = "limit '$1.5 per day' of every account: asked $2, posted $0, held $0, \
                available $1.5; the call can never fit";
    assert_eq!(never, said);
    bench.hold(1, "a", ask(1_250_000_000)).unwrap();
    let later = told(bench.hold(2, "a", ask(500_000_000)).unwrap_err());
    assert!(later.contains("asked $0.5, posted $0, held $1.25, available $0.25; retry at 2026-"));
    let others = [
        bench.hold(1, "a", tokens(1)),
        bench.hold(3, "nobody", tokens(1)),
        bench.hold(3, "a", tokens(u64::MAX)),
        bench.extend(3, tokens(1)).map(|()| unreachable!()),
    ];
    let told = others.map(|answer| told(answer.unwrap_err()));
    let expected = [
        "this hold id was used before",
        "no such account",
        "an amount is out of range",
        "no open hold has this id",
    ];
    assert_eq!(told, expected);
}

#[test]
fn names_lead_back_to_what_they_name() {
    for metric in Metric::ALL {
        assert_eq!(Metric::from_name(metric.name()), Some(metric));
    }
    assert_eq!(Metric::from_name("money"), None);
    let (unit_price, quantity, pico) = (UnitPrice::from_pico(1), 1, 1);
    let line = |class| CostLine { class, quantity, unit_price, pico }.name();
    assert_eq!((line(None), line(Some(Class::Output))), ("request", "output"));
    let shown = format!("[{:>8}] [{:<6}]", Money::from_nanos(-1_500_000_000), unit_price);
    assert_eq!(shown, "[    -1.5] [0.000001]");
}
