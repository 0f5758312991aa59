//! What a configuration may say, and what it keeps of what was counted before.

use crate::bench::{Bench, amounts, specs, tokens};
use tollgate_accounting::{
    AccountSpec, Algorithm, BadLimit, Book, Calendar, ConfigureError, DAY, Facets, Filter, HOUR,
    HoldId, Limit, MINUTE, Metric, Mode, Settlement, Timestamp, Why, Window,
};

#[test]
fn a_configuration_that_makes_no_sense_changes_nothing() {
    let spec = |path: &str, zone: &str, limits: &[&str]| AccountSpec {
        path: path.to_owned(),
        zone: zone.to_owned(),
        limits: limits.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let good = spec("b", "UTC", &[]);
    let mut bad = spec("b", "UTC", &["5 tokens per minute"]);
    bad.limits[0].window = Window::None;
    let account = || "b".to_owned();
    let table = [
        (spec("b//c", "UTC", &[]), "a segment of the path is empty"),
        (spec("/b", "UTC", &[]), "a segment of the path is empty"),
        (spec("b/", "UTC", &[]), "a segment of the path is empty"),
        (good.clone(), "is there twice"),
        (spec("c", "Mars/Olympus", &[]), "no time zone is called 'Mars/Olympus'"),
        (bad.clone(), "don't belong together"),
        (
            spec("c", "UTC", &["1 tokens per day", "2 tokens per day"]),
            "another one counts the same",
        ),
    ];
    for (wrong, told) in table {
        let mut bench = Bench::new(&[("a", &["10 tokens per day"])]);
        let result = bench.book.configure(bench.now, &[good.clone(), wrong]);
        assert!(result.clone().unwrap_err().to_string().contains(told), "{result:?}");
        assert!(bench.book.account("a").is_some() && bench.book.account("b").is_none());
    }
    let why = BadLimit::Mismatch;
    let limit = bad.limits[0].describe();
    let error = ConfigureError::BadLimit { account: account(), limit, why };
    assert_eq!(Book::new().put(Timestamp::from_micros(0), &bad), Err(error));
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let good: Limit = "10 tokens per minute".parse().unwrap();
    let rolling = |micros| Limit { window: Window::Rolling { micros }, ..good.clone() };
    let wait = |max_wait_micros| Limit { mode: Mode::Soft { max_wait_micros }, ..good.clone() };
    let month = Window::Calendar(Calendar::Month);
    let with = |metric, algorithm, window| Limit { metric, algorithm, window, ..good.clone() };
    let table = [
        (Limit { amount: -1, ..good.clone() }, Err(BadLimit::Negative)),
        (wait(-1), Err(BadLimit::Negative)),
        (wait(0), Ok(())),
        (rolling(0), Err(BadLimit::Window)),
        (rolling(1), Ok(())),
        (rolling(36_525 * DAY), Ok(())),
        (rolling(36_525 * DAY + 1), Err(BadLimit::Window)),
        (Limit { amount: 0, ..good.clone() }, Err(BadLimit::Burst)),
        (with(Metric::Tokens, Algorithm::Calendar, good.window), Err(BadLimit::Mismatch)),
        (with(Metric::Tokens, Algorithm::Concurrency, good.window), Err(BadLimit::Mismatch)),
        (with(Metric::Tokens, Algorithm::Concurrency, Window::None), Err(BadLimit::Mismatch)),
        (with(Metric::Tokens, Algorithm::FixedWindow, Window::None), Err(BadLimit::Mismatch)),
        (with(Metric::Tokens, Algorithm::FixedWindow, month), Err(BadLimit::Mismatch)),
        (with(Metric::Tokens, Algorithm::Calendar, month), Ok(())),
        (with(Metric::Concurrency, Algorithm::Calendar, month), Err(BadLimit::Mismatch)),
        (with(Metric::Concurrency, Algorithm::FixedWindow, good.window), Err(BadLimit::Mismatch)),
        (with(Metric::Concurrency, Algorithm::Concurrency, good.window), Err(BadLimit::Mismatch)),
        (with(Metric::Concurrency, Algorithm::Concurrency, Window::None), Ok(())),
    ];
    for (limit, expected) in table {
        assert_eq!(limit.check(), expected, "{limit:?}");
    }
}

#[test]
fn parents_come_with_their_children_and_the_root_is_above_all() {
    let mut bench = Bench::new(&[("a/b/c", &[]), ("", &["2 requests per day"])]);
    assert!(bench.book.account("a").is_none());
    let id = bench.book.account("a/b/c").unwrap();
    assert_eq!(bench.book.path(id), Some("a/b/c"));
    bench.hold(1, "a/b/c", tokens(1)).unwrap();
    bench.configure(&[("a/b/c", &[]), ("", &["2 requests per day"]), ("a", &["5 tokens per day"])]);
    bench.hold(2, "a/b/c", tokens(1)).unwrap();
    assert_eq!(&*bench.hold(3, "a/b/c", tokens(1)).unwrap_err().account, "");
    bench.settle(1, tokens(2));
    bench.settle(2, tokens(3));
    let used = ["", "a", "a/b/c"].map(|path| bench.totals(path).input_tokens);
    assert_eq!(used, [5, 5, 5]);
    bench.check();
}

#[test]
fn what_was_used_stays_used_when_an_amount_changes() {
    let before =
        ["100 tokens per minute", "100 tokens per day", "100 tokens per hour, sliding log"];
    let after = ["40 tokens per minute", "40 tokens per day", "40 tokens per hour, sliding log"];
    let mut bench = Bench::new(&[("a", &before)]);
    bench.hold(1, "a", tokens(60)).unwrap();
    bench.configure(&[("a", &after)]);
    let left: Vec<_> = bench.standing("a").iter().map(|s| s.available).collect();
    assert_eq!(left, [-20, -20, -20]);
    bench.check();
    bench.configure(&[("a", &before)]);
    let left: Vec<_> = bench.standing("a").iter().map(|s| s.available).collect();
    assert_eq!(left, [40, 40, 40]);
    assert_eq!(bench.standing("a")[0].limit_key, "tokens/token_bucket/60000000us".into());
    bench.check();
}

#[test]
fn a_limit_that_was_away_remembers_but_missed_what_happened_meanwhile() {
    let limit: &[&str] = &["100 tokens per day"];
    let mut bench = Bench::new(&[("a", limit)]);
    bench.hold(1, "a", tokens(10)).unwrap();
    bench.configure(&[("a", &[])]);
    bench.hold(2, "a", tokens(500)).unwrap();
    bench.settle(1, tokens(7));
    bench.configure(&[("a", limit)]);
    let standing = &bench.standing("a")[0];
    assert_eq!((standing.posted, standing.held), (7, 0));
    bench.settle(2, tokens(500));
    assert_eq!(bench.standing("a")[0].posted, 7);
    assert_eq!(bench.totals("a").input_tokens, 507);
    bench.check();
}

#[test]
fn an_account_that_is_removed_takes_no_holds_and_settles_its_open_ones() {
    let mut bench = Bench::new(&[("a", &["100 tokens per day"]), ("b", &[])]);
    let old = bench.book.account("a").unwrap();
    bench.hold(1, "a", tokens(10)).unwrap();
    bench.configure(&[("b", &[])]);
    assert_eq!(bench.book.account("a"), None);
    assert_eq!(bench.book.path(old), None);
    let facets = Facets::default();
    let deadline = bench.now.saturating_plus(HOUR);
    let refused = |bench: &mut Bench| {
        let now = bench.now;
        let answer = bench.book.hold(now, HoldId(9), old, &facets, tokens(1), deadline);
        answer.unwrap_err().why
    };
    assert_eq!(refused(&mut bench), Why::NoSuchAccount);
    assert!(bench.book.standing(bench.now, old).is_empty());
    assert_eq!(bench.book.totals(old).input_tokens, 0);
    bench.extend(1, tokens(5)).unwrap();
    assert_eq!(bench.settle(1, tokens(12)), Settlement::Settled { overrun: false });
    bench.configure(&[("a", &["100 tokens per day"]), ("b", &[])]);
    assert_eq!(refused(&mut bench), Why::NoSuchAccount);
    assert_eq!(bench.totals("a").input_tokens, 12);
    assert_eq!(bench.standing("a")[0].posted, 12);
    assert!(bench.book.retire("a") && !bench.book.retire("a") && !bench.book.retire("nobody"));
    bench.check();
}

#[test]
fn an_account_keeps_its_id_as_long_as_it_is_configured() {
    let mut bench = Bench::new(&[("a", &[])]);
    let id = bench.book.account("a");
    bench.configure(&[("a", &["5 tokens per day"]), ("b", &[])]);
    assert_eq!(bench.book.account("a"), id);
    let spec = &specs(&[("a", &["6 tokens per day"])])[0];
    assert_eq!(bench.book.put(bench.now, spec).ok(), id);
}

#[test]
fn a_changed_zone_counts_from_the_end_of_the_running_day() {
    let spec = |zone: &str| AccountSpec {
        path: "a".to_owned(),
        zone: zone.to_owned(),
        limits: vec!["100 tokens per day".parse().unwrap()],
    };
    let mut bench = Bench::new(&[]);
    bench.book.put(bench.now, &spec("UTC")).unwrap();
    bench.hold(1, "a", tokens(100)).unwrap();
    let midnight = bench.standing("a")[0].resets_at.unwrap();
    bench.book.put(bench.now, &spec("Asia/Tokyo")).unwrap();
    bench.now = midnight.minus(1).unwrap();
    assert!(bench.hold(2, "a", tokens(1)).is_err());
    bench.now = midnight;
    bench.hold(2, "a", tokens(1)).unwrap();
    let tokyo = bench.standing("a")[0].resets_at.unwrap();
    assert_eq!(tokyo.since(midnight), Ok(15 * HOUR));
    bench.check();
}

#[test]
fn a_key_tells_filters_apart_and_not_their_order() {
    let with = |models: &[&str], prompts: &[&str]| {
        let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        let mut limit: Limit = "1 tokens per day".parse().unwrap();
        limit.filter =
            Filter { models: list(models), endpoints: list(&[]), prompts: list(prompts) };
        limit.key()
    };
    let table = [
        with(&[], &[]),
        with(&["a"], &[]),
        with(&["a", "b"], &[]),
        with(&["a,b"], &[]),
        with(&["a%2Cb"], &[]),
        with(&["a/prompts=b"], &[]),
        with(&["a"], &["b"]),
        with(&[], &["a"]),
    ];
    for (place, key) in table.iter().enumerate() {
        assert!(!table[place + 1..].contains(key), "{key}");
    }
    assert_eq!(with(&["b", "a", "b"], &[]), with(&["a", "b"], &[]));
}

#[test]
fn a_limit_says_which_calls_it_counts() {
    let mut limit: Limit = "1 requests per minute".parse().unwrap();
    limit.filter.models = vec!["gpt-5".to_owned(), "claude*".to_owned()];
    limit.filter.endpoints = vec!["chat".to_owned()];
    let told = "1 requests per minute, for models gpt-5 or claude*, for endpoint chat";
    assert_eq!(limit.describe(), told);
    let mut bench = Bench::with_limits("a", vec![limit]);
    let id = bench.book.account("a").unwrap();
    let counts = |bench: &Bench, model, endpoint| {
        let facets = Facets { model, endpoint, prompt: None };
        bench.book.standing_for(bench.now, id, &facets).len()
    };
    assert_eq!(counts(&bench, "gpt-5", "chat"), 1);
    assert_eq!(counts(&bench, "claude-9", "chat"), 1);
    assert_eq!(counts(&bench, "gpt-5-mini", "chat"), 0);
    assert_eq!(counts(&bench, "gpt-5", "embeddings"), 0);
    bench.facets.endpoint = "embeddings";
    bench.hold(1, "a", amounts(5, 0, 0, 0)).unwrap();
    bench.later(MINUTE);
    bench.check();
}
