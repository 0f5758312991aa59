//! Rules that hold for every input, tried on many.

use crate::bench::{Bench, amounts, tokens};
use proptest::collection::vec;
use proptest::prelude::*;
use tollgate_accounting::{
    AccountSpec, Algorithm, Amounts, Balance, Book, Calendar, Charge, Class, DAY, Facets, HOUR,
    HoldId, Limit, Markup, Metric, Mode, Money, PriceCard, Rates, RefusalKind, RestoredHold,
    Rounding, Tier, Timestamp, UnitPrice, Usage, Window,
};

const INPUTS: [Class; 6] = [
    Class::Input,
    Class::CacheRead,
    Class::CacheWrite,
    Class::CacheWriteLong,
    Class::AudioInput,
    Class::ImageInput,
];

/// A card whose plain classes are priced and the others perhaps; some with a second tier.
fn card() -> impl Strategy<Value = PriceCard> {
    let prices = vec(proptest::option::of(0_u64..100_000_000), 22);
    (prices, proptest::option::of(1_u64..1_000_000), proptest::option::of(0_u64..1 << 40)).prop_map(
        |(prices, second, fee)| {
            let rates = |prices: &[Option<u64>]| {
                let listed = Class::ALL.into_iter().zip(prices);
                let rates = Rates::new()
                    .with(Class::Input, UnitPrice::from_pico(2_500_000))
                    .with(Class::Output, UnitPrice::from_pico(10_000_000));
                listed.fold(rates, |rates, (class, price)| match price {
                    Some(price) => rates.with(class, UnitPrice::from_pico(*price)),
                    None => rates,
                })
            };
            let mut tiers = vec![Tier { above_input_tokens: 0, rates: rates(&prices[..11]) }];
            let second =
                second.map(|above| Tier { above_input_tokens: above, rates: rates(&prices[11..]) });
            tiers.extend(second);
            PriceCard {
                version: "p".to_owned(),
                source: "p".to_owned(),
                effective_from: Timestamp::from_micros(0),
                tiers,
                per_request: fee.map(UnitPrice::from_pico),
            }
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    vec(proptest::option::of(0_u64..400_000), 10).prop_map(|counts| {
        let counted = Class::ALL.into_iter().zip(counts);
        counted.fold(Usage::new(), |usage, (class, count)| match count {
            Some(count) => usage.with(class, count),
            None => usage,
        })
    })
}

fn limit() -> impl Strategy<Value = Limit> {
    let window = prop_oneof![1_i64..1_000, 1_i64..DAY, Just(HOUR), Just(DAY)];
    let amount = prop_oneof![0_i64..50, 0_i64..1 << 40, Just(i64::MAX)];
    let wait = proptest::option::of(0_i64..DAY);
    (0_usize..6, 0_u8..7, window, amount.clone(), amount, wait, 1_u8..=31).prop_map(
        |(metric, kind, micros, amount, burst, wait, day)| {
            let rolling = Window::Rolling { micros };
            let burst = if amount == 0 { 0 } else { burst.max(1) };
            let months = [Calendar::Day, Calendar::Week, Calendar::Month, Calendar::MonthFrom(day)];
            let calendar = Window::Calendar(months[usize::from(day) % 4]);
            let (algorithm, window) = match kind {
                0 => (Algorithm::TokenBucket { burst }, rolling),
                1 => (Algorithm::LeakyBucket { burst }, rolling),
                2 => (Algorithm::FixedWindow, rolling),
                3 => (Algorithm::SlidingWindow, rolling),
                4 => (Algorithm::SlidingLog, rolling),
                5 => (Algorithm::Calendar, calendar),
                _ => (Algorithm::Concurrency, Window::None),
            };
            let metric = match algorithm {
                Algorithm::Concurrency => Metric::Concurrency,
                _ => Metric::ALL[metric % 5],
            };
            let mode = wait.map_or(Mode::Hard, |max_wait_micros| Mode::Soft { max_wait_micros });
            let filter = tollgate_accounting::Filter::default();
            Limit { metric, amount, window, algorithm, filter, mode }
        },
    )
}

/// Any number, with those at the edges often.
fn edge() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 0_i64..1_000, Just(0), Just(i64::MIN), Just(i64::MAX)]
}

fn any_amounts() -> impl Strategy<Value = Amounts> {
    (edge(), edge(), edge(), edge()).prop_map(|(requests, input, output, cost)| Amounts {
        requests: requests.cast_unsigned(),
        input_tokens: input.cast_unsigned(),
        output_tokens: output.cast_unsigned(),
        cost: Money::from_nanos(cost),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn money_is_written_and_read_back(nanos in any::<i64>()) {
        let money = Money::from_nanos(nanos);
        prop_assert_eq!(money.to_string().parse(), Ok(money));
        let price = UnitPrice::from_pico(nanos.unsigned_abs());
        prop_assert_eq!(UnitPrice::per_million(&price.to_string()), Ok(price));
    }

    #[test]
    fn a_limit_is_written_and_read_back(limit in limit()) {
        prop_assert_eq!(limit.check(), Ok(()));
        prop_assert_eq!(limit.describe().parse(), Ok(limit));
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in ".{0,40}", words in "[0-9$]{0,5} ?(tokens|requests|concurrent)? ?(per|,)? ?[a-z0-9 ]{0,12}") {
        for text in [text, words] {
            let _ = text.parse::<Limit>();
            let _ = text.parse::<Money>();
            let _ = UnitPrice::per_unit(&text);
        }
    }

    #[test]
    fn a_cost_can_be_recomputed_from_its_lines(card in card(), usage in usage()) {
        let lines = card.lines(&usage).unwrap();
        let mut pico = 0_i128;
        for line in &lines {
            prop_assert_eq!(line.pico, i128::from(line.unit_price.pico()) * i128::from(line.quantity));
            pico += line.pico;
        }
        let cost = card.cost(&usage, Rounding::HalfEven).unwrap();
        prop_assert!((i128::from(cost.nanos()) * 1_000 - pico).abs() <= 500);
        let up = card.cost(&usage, Rounding::Up).unwrap();
        prop_assert!((0..1_000).contains(&(i128::from(up.nanos()) * 1_000 - pico)));
        prop_assert!(up.nanos() - cost.nanos() <= 1);
    }

    #[test]
    fn no_usage_within_a_bound_costs_more_than_the_bound(card in card(), usage in usage(), spare in 0_u64..50_000) {
        let input = usage.input_total().unwrap_or(0) + spare;
        let output = usage.output_total().unwrap_or(0) + spare;
        let bound = card.bound(input, output).unwrap();
        prop_assert!(card.cost(&usage, Rounding::Up).unwrap() <= bound);
        let text = [Class::Input, Class::CacheRead, Class::Output];
        let plain = text.iter().fold(Usage::new(), |all, class| match usage.get(*class) {
            Some(count) => all.with(*class, count),
            None => all,
        });
        let bound = card.bound_within(&text, input, output).unwrap();
        prop_assert!(card.cost(&plain, Rounding::Up).unwrap() <= bound);
    }

    #[test]
    fn a_tier_is_chosen_by_all_input_tokens(card in card(), class in 0_usize..6, count in 1_u64..2_000_000) {
        let usage = Usage::new().with(INPUTS[class], count);
        let tier = card.tiers.iter().rev().find(|tier| count > tier.above_input_tokens).unwrap();
        let price = tier.rates.resolve(INPUTS[class]).unwrap();
        prop_assert_eq!(card.lines(&usage).unwrap()[0].unit_price, price);
    }

    #[test]
    fn accounts_and_providers_differ_by_the_named_legs(
        entries in vec((0_i64..1 << 40, -10_000_i32..20_000, 0_u8..3), 0..40),
    ) {
        let mut sum = Charge::ZERO;
        for (owed, points, kind) in entries {
            let owed = Money::from_nanos(owed);
            let price = Markup::basis_points(points).unwrap().price(owed, Rounding::HalfEven).unwrap();
            let entry = match kind {
                0 => Charge::priced(owed, price).unwrap(),
                1 => Charge::absorbed_attempt(owed),
                _ => Charge::cached(price, owed),
            };
            sum = sum.plus(&entry).unwrap();
        }
        let [charged, owed, markup, absorbed] =
            [sum.charged(), sum.owed(), sum.markup(), sum.absorbed()].map(Money::nanos);
        prop_assert_eq!(charged, owed - absorbed + markup);
    }

    #[test]
    fn a_bucket_is_exact_to_the_microsecond_over_any_time(
        amount in 1_i64..1_000,
        micros in 1_i64..HOUR,
        // A bucket for one is full, and loses what refills, before the microsecond is over.
        burst in 2_i64..20,
    ) {
        let text = format!("{amount} requests per {micros} microseconds, burst {burst}");
        let mut bench = Bench::new(&[("acme", &[&text])]);
        let start = bench.now.micros();
        for taken in 0..200 {
            if let Err(refusal) = bench.hold(taken, "acme", amounts(1, 0, 0, 0)) {
                let RefusalKind::Later { retry_at } = refusal.kind else { panic!("{refusal}") };
                bench.now = retry_at;
                bench.hold(taken, "acme", amounts(1, 0, 0, 0)).unwrap();
            }
            let over = i128::from(taken as i64 + 1 - burst).max(0);
            let exact = (over * i128::from(micros) + i128::from(amount) - 1) / i128::from(amount);
            prop_assert_eq!(i128::from(bench.now.micros() - start), exact);
        }
    }

    #[test]
    fn a_refund_never_makes_more_than_the_capacity(
        limit in limit(),
        steps in vec((0_i64..200, 0_u64..100, 0_u64..100), 1..30),
    ) {
        let capacity = limit.capacity();
        let mut bench = Bench::with_limits("acme", vec![limit]);
        for (id, (micros, ask, used)) in (0_u128..).zip(steps) {
            bench.later(micros);
            let _ = bench.hold(id, "acme", amounts(1, ask, ask, 1));
            bench.later(micros);
            bench.settle(id / 2, amounts(1, used, 0, 0));
            bench.release(id / 3);
            let available = bench.standing("acme")[0].available;
            prop_assert!(available <= capacity, "{} of {}", available, capacity);
        }
        bench.check();
    }

    #[test]
    fn no_interval_of_a_windows_length_has_more_than_a_log_allows(
        amount in 1_i64..40,
        steps in vec((0_i64..40, 1_u64..10), 1..100),
    ) {
        let text = format!("{amount} input tokens per 100 microseconds, sliding log");
        let mut bench = Bench::new(&[("acme", &[&text])]);
        let mut taken: Vec<(i64, u64)> = Vec::new();
        for (id, (micros, ask)) in (0_u128..).zip(steps) {
            bench.later(micros);
            let now = bench.now.micros();
            let is_taken = bench.hold(id, "acme", tokens(ask)).is_ok();
            let sum: u64 = taken.iter().filter(|(at, _)| now - at < 100).map(|(_, n)| n).sum();
            prop_assert_eq!(is_taken, sum + ask <= amount.unsigned_abs());
            if is_taken {
                taken.push((now, ask));
                bench.settle(id, tokens(ask));
            }
        }
    }

    #[test]
    fn no_input_makes_the_book_panic_or_break_its_rules(
        limits in vec(limit(), 0..5),
        steps in vec((0_u8..6, edge(), 0_u128..8, any_amounts(), edge()), 1..40),
    ) {
        let mut book = Book::remembering(4);
        let limits = limits.into_iter().enumerate();
        let specs = limits.map(|(n, limit)| AccountSpec {
            path: ["", "a", "a/b", "a/b/c", "a/b/c/d"][n].to_owned(),
            zone: ["UTC", "Asia/Kathmandu", "America/Havana"][n % 3].to_owned(),
            limits: vec![limit],
        });
        let specs: Vec<AccountSpec> = specs.collect();
        let facets = Facets { model: "m", endpoint: "e", prompt: None };
        for (kind, now, id, amounts, deadline) in steps {
            let (now, id) = (Timestamp::from_micros(now), HoldId(id));
            let deadline = Timestamp::from_micros(deadline);
            if kind == 0 {
                book.configure(now, &specs).unwrap();
            }
            let Some(account) = book.account("a").or(book.account("")) else { continue };
            match kind {
                1 => drop(book.hold(now, id, account, &facets, amounts, deadline)),
                2 => drop(book.extend(now, id, amounts)),
                3 => drop(book.settle(now, id, amounts)),
                4 => drop(book.release(now, id)),
                _ => drop(book.expire(now)),
            }
            let _ = book.standing(now, account);
            let _ = book.take_dirty();
            prop_assert_eq!(book.check(), Ok(()));
        }
    }

    #[test]
    fn no_row_makes_the_book_panic_or_break_its_rules(
        limit in limit(),
        rows in vec((edge(), edge(), edge(), edge(), edge(), any::<bool>()), 0..12),
        holds in vec((any_amounts(), edge()), 0..4),
        now in edge(),
    ) {
        let key = limit.key();
        let mut bench = Bench::with_limits("acme", vec![limit]);
        for (period, a, b, c, d, is_total) in rows {
            let limit_key = if is_total { "" } else { &key };
            let (account, limit_key) = ("acme".into(), limit_key.into());
            let _ = bench.book.restore_balance(Balance { account, limit_key, period, fields: [a, b, c, d] });
        }
        for (id, (amounts, at)) in (0..).zip(holds) {
            let taken_at = Timestamp::from_micros(at);
            let (facets, deadline) = (bench.facets, taken_at);
            let hold = RestoredHold { id: HoldId(id), account: "acme", facets, amounts, taken_at, deadline };
            let _ = bench.book.restore_hold(hold);
        }
        bench.now = Timestamp::from_micros(now);
        for id in 0..8 {
            let _ = bench.hold(id, "acme", tokens(1));
            let _ = bench.extend(id, tokens(1));
            let _ = bench.settle(id, tokens(id as u64));
            let _ = bench.standing("acme");
        }
        let _ = bench.expire();
        let _ = bench.book.take_dirty();
    }
}
