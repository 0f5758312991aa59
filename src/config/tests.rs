//! Whole files in, problems or a snapshot out.

use std::path::{Path, PathBuf};

use tollgate_accounting::{
    AccountSpec, Algorithm, Book, Calendar, Class, Filter, Limit, Metric, Mode, SECOND, Timestamp,
    UnitPrice, Window,
};

use super::*;

const EXAMPLE: &str = include_str!("../../examples/tollgate.toml");
const CASES: &str = include_str!("cases.txt");

/// What every case is added to.
const GOOD: &str = r#"[providers.local]
kind = "compatible"
base_url = "http://127.0.0.1:1/v1"
models = ["small"]
[models.fast]
targets = [{ provider = "local", model = "small" }]
[prices."local/small"]
input = "1"
output = "2"
[accounts.acme]
limits = ["100 requests per hour", "$50 per month"]
"#;

fn env(name: &str) -> Option<String> {
    match name {
        "EMPTY" => Some("\n".to_owned()),
        "SHORT" => Some("short".to_owned()),
        "SPACED" => Some("two words that are long enough".to_owned()),
        "TOLLGATE_HOOK_SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        name if name.starts_with("NO_") => None,
        name => Some(format!("the-value-of-{name}")),
    }
}

fn good(addition: &str) -> Snapshot {
    match parse(&format!("{GOOD}{addition}"), "etc/t.toml", &env) {
        Ok(snapshot) => snapshot,
        Err(problems) => panic!("{addition}: {problems:#?}"),
    }
}

/// What is found in an addition, its lines counted from its own first.
fn found(addition: &str) -> Vec<String> {
    let problems = match parse(&format!("{GOOD}{addition}"), "t.toml", &env) {
        Ok(snapshot) => snapshot.warnings,
        Err(problems) => problems,
    };
    let before = GOOD.lines().count();
    problems
        .into_iter()
        .map(|mut problem| {
            if let Some(place) = &mut problem.place {
                place.line -= before;
            }
            problem.to_string().replacen("t.toml:", "", 1)
        })
        .collect()
}

#[test]
fn every_case_is_answered_as_written() {
    let (mut rule, mut seen, mut wrong) = ("", 0, String::new());
    for case in CASES.split("\n\n").filter(|case| !case.starts_with('#')) {
        if let Some(heading) = case.strip_prefix("== ") {
            rule = heading;
            continue;
        }
        let (expected, addition): (Vec<&str>, Vec<&str>) =
            case.trim_end().lines().partition(|line| line.starts_with("=> "));
        assert!(!expected.is_empty(), "a case without an answer: {case}");
        let found = found(&addition.join("\n"));
        let lines: Vec<String> = if found.is_empty() {
            vec!["=> good".to_owned()]
        } else {
            found.iter().map(|line| format!("=> {line}")).collect()
        };
        if lines != expected {
            wrong.push_str(&format!(
                "== {rule}\n{}\n{}\n\n",
                addition.join("\n"),
                lines.join("\n")
            ));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "found instead:\n{wrong}");
    assert!(seen > 50, "only {seen} cases were read");
}

#[test]
fn a_file_that_leaves_nobody_or_nothing_to_ask_is_warned_of() {
    let cases = [
        ("", vec![":1:1: warning: there is no account", ":1:1: warning: there is no provider"]),
        (
            "[providers.d]\nkind = \"demo\"\n[models.a]\ntargets = [{ provider = \"d\", model = \
             \"fast\" }]\n[accounts.b]\nmodels = [\"d/*\"]",
            vec![":3:9: warning: models.a: unreachable: no account is allowed this alias"],
        ),
    ];
    for (text, expected) in cases {
        let found = parse(text, "t", &env).unwrap().warnings;
        let found: Vec<String> = found.iter().map(Problem::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }
}

#[test]
fn the_example_is_good_and_warns_of_nothing() {
    let snapshot = parse(EXAMPLE, "examples/tollgate.toml", &env).unwrap();
    assert_eq!(snapshot.warnings, []);
    assert_eq!(snapshot.storage.path, Path::new("examples/tollgate.db"));
    assert_eq!(snapshot.providers["openai"].api_keys[0].expose(), "the-value-of-OPENAI_API_KEY");
    let paths: Vec<&str> = snapshot.accounts.iter().map(|account| account.path.as_str()).collect();
    assert_eq!(paths, ["acme", "acme/search", "globex"]);
    let spec = |account: &Account| AccountSpec {
        path: account.path.clone(),
        zone: account.timezone.clone(),
        limits: account.limits.clone(),
    };
    let specs: Vec<AccountSpec> = snapshot.accounts.iter().map(spec).collect();
    Book::new().configure(Timestamp::from_micros(0), &specs).unwrap();
}

#[test]
fn what_the_example_comments_out_is_good_as_well() {
    let text: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(code)
                if code.starts_with(|c: char| c == '[' || c.is_ascii_lowercase())
                    && (code.contains(" = ") || code.starts_with('[')) =>
            {
                format!("{code}\n")
            }
            _ => format!("{line}\n"),
        })
        .filter(|line| !line.starts_with("dir = ") && !line.starts_with("[prompts]"))
        .collect();
    let snapshot = parse(&text, "examples/tollgate.toml", &env).unwrap();
    assert_eq!(snapshot.server.workers, Some(4));
    assert!(matches!(snapshot.unknown_price, UnknownPrice::Ceiling(_)));
    assert_eq!(snapshot.alerts.map(|alerts| alerts.thresholds), Some(vec![50, 80, 100]));
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let snapshot = good("");
    let server = &snapshot.server;
    assert_eq!(server.listen.to_string(), "127.0.0.1:8787");
    assert!(server.admin.is_none() && server.workers.is_none());
    assert_eq!((server.max_body_bytes, server.drain.as_secs()), (32 << 20, 30));
    assert_eq!(snapshot.storage.path, Path::new("etc/tollgate.db"));
    assert_eq!(snapshot.storage.durability, Durability::Process);
    assert_eq!(snapshot.unknown_price, UnknownPrice::Refuse);
    let Provider { connect_timeout, first_byte_timeout, idle_timeout, .. } =
        &snapshot.providers["local"];
    assert_eq!(
        [connect_timeout, first_byte_timeout, idle_timeout].map(|timeout| timeout.as_secs()),
        [5, 300, 120]
    );
    let account = &snapshot.accounts[0];
    assert_eq!((account.timezone.as_str(), account.holds), ("UTC", Holds::Adaptive));
    assert_eq!(account.models, AllowedModels::All);
}

#[test]
fn batches_are_handed_over_to_who_takes_them_and_says_so() {
    let table = |kind: &str, way: &str| {
        format!("[providers.o]\nkind = \"{kind}\"\napi_key = \"env:K\"\nbatches = \"{way}\"")
    };
    assert!(good(&table("openai", "hand_over")).providers["o"].hand_over_batches);
    assert!(!good(&table("openai", "lines")).providers["o"].hand_over_batches);
    assert!(!good("").providers["local"].hand_over_batches);
    let found = found(&table("anthropic", "hand_over"));
    assert!(found.iter().any(|line| line.contains("no batch endpoint")), "{found:?}");
    let settings = good("[batches]\npoll_first = \"2s\"\npoll_longest = \"1s\"").batches;
    assert_eq!(
        settings.poll,
        (std::time::Duration::from_secs(2), std::time::Duration::from_secs(2))
    );
}

#[test]
fn a_key_without_a_listener_opens_the_usual_one() {
    let admin = good("[server]\nadmin_key = \"env:ADMIN\"").server.admin.unwrap();
    assert_eq!(admin.listen.to_string(), "127.0.0.1:8788");
    assert_eq!(admin.key.expose(), "the-value-of-ADMIN");
}

#[test]
fn a_child_has_what_its_parent_has_unless_it_says_otherwise() {
    let snapshot = good(
        "[accounts.b]\ntimezone = \"Asia/Tokyo\"\nholds = \"strict\"\nmodels = [\"fast\"]\n\
         markup = \"10%\"\nmarkup_per_request = \"0.001\"\nfailed_attempts = \"charge\"\n\
         [accounts.b.same]\n[accounts.b.other]\ntimezone = \"UTC\"\nholds = \"adaptive\"\nmarkup = \"2%\"",
    );
    let account = |path: &str| snapshot.accounts.iter().find(|a| a.path == path).unwrap();
    let (same, other) = (account("b/same"), account("b/other"));
    assert_eq!((same.timezone.as_str(), same.holds), ("Asia/Tokyo", Holds::Strict));
    assert_eq!(same.models, AllowedModels::Only(vec!["fast".to_owned()]));
    assert_eq!((other.timezone.as_str(), other.holds), ("UTC", Holds::Adaptive));
    assert_eq!(same.terms.markup.to_string(), "10.00% + $0.001");
    assert_eq!(other.terms.markup.to_string(), "2.00% + $0.001");
    assert_eq!(other.terms.failed, tollgate_accounting::FailedAttempts::Charge);
}

#[test]
fn a_long_limit_says_what_a_sentence_cannot() {
    let limit = |lines: &str| {
        let snapshot = good(&format!("[[accounts.b.limit]]\n{lines}"));
        snapshot.accounts.last().unwrap().limits[0].clone()
    };
    let short = |sentence: &str| sentence.parse::<Limit>().unwrap();
    let cases = [
        ("metric = \"tokens\"\namount = 5\nper = \"minute\"", "5 tokens per minute"),
        (
            "metric = \"tokens\"\namount = 5\nper = \"90s\"\nburst = 9",
            "5 tokens per 90 seconds, burst 9",
        ),
        ("metric = \"cost\"\namount = \"0.50\"\nper = \"day\"", "$0.50 per day"),
        (
            "metric = \"cost\"\namount = 3\nper = \"month\"\nfrom_day = 15",
            "$3 per month from day 15",
        ),
        ("metric = \"concurrent\"\namount = 2", "2 concurrent"),
        (
            "metric = \"requests\"\namount = 5\nper = \"day\"\nalgorithm = \"sliding_log\"",
            "5 requests per 24 hours, sliding log",
        ),
        (
            "metric = \"requests\"\namount = 5\nper = \"hour\"\nalgorithm = \"leaky_bucket\"\n\
             burst = 1\nmode = \"soft\"\nmax_wait = \"10s\"",
            "5 requests per hour, leaky bucket, burst 1, wait up to 10 seconds",
        ),
    ];
    for (lines, sentence) in cases {
        assert_eq!(limit(lines), short(sentence), "{lines}");
    }
    let filtered = limit(
        "metric = \"output_tokens\"\namount = 5\nper = \"second\"\nmodels = [\"fast\"]\n\
         endpoints = [\"chat.completions\"]\nalgorithm = \"token_bucket\"",
    );
    let expected = Limit {
        metric: Metric::OutputTokens,
        amount: 5,
        window: Window::Rolling { micros: SECOND },
        algorithm: Algorithm::TokenBucket { burst: 5 },
        filter: Filter {
            models: vec!["fast".to_owned()],
            endpoints: vec!["chat.completions".to_owned()],
            prompts: Vec::new(),
        },
        mode: Mode::Hard,
    };
    assert_eq!(filtered, expected);
    assert_eq!(short("$1 per week").window, Window::Calendar(Calendar::Week));
}

#[test]
fn the_price_that_holds_is_the_latest_that_has_begun() {
    let snapshot = good(
        "[[prices.\"local/b\"]]\ninput = \"2\"\neffective_from = \"2026-11-01\"\n\
         [[prices.\"local/b\"]]\ninput = \"1\"\neffective_from = 2025-01-01\n\
         tiers = [{ above_input_tokens = 1000, output = \"4\" }]\nper_request = \"0.01\"",
    );
    let at = |date: &str| {
        let instant: jiff::Timestamp = format!("{date}T00:00:00Z").parse().unwrap();
        snapshot.prices.at("local", "b", Timestamp::from_micros(instant.as_microsecond()))
    };
    assert!(at("2024-12-31").is_none());
    let (old, new) = (at("2025-01-01").unwrap(), at("2026-11-01").unwrap());
    assert_eq!(at("2026-10-31").unwrap(), old);
    assert_eq!(new.tiers[0].rates.get(Class::Input), Some(UnitPrice::from_pico(2_000_000)));
    assert_eq!(old.tiers[1].rates.get(Class::Input), Some(UnitPrice::from_pico(1_000_000)));
    assert_eq!(old.tiers[1].rates.get(Class::Output), Some(UnitPrice::from_pico(4_000_000)));
    assert_eq!(old.per_request, Some(UnitPrice::from_pico(10_000_000_000)));
    assert_ne!(old, new);
    assert_eq!(snapshot.prices.iter().filter(|(_, model, _)| *model == "b").count(), 2);
    assert!(snapshot.prices.has("local", "b") && !snapshot.prices.has("local", "c"));
}

#[test]
fn no_secret_is_shown_however_the_file_is_wrong() {
    let secret = "sup3r-s3cret-value";
    let cases = [
        format!("[providers.o]\nkind = \"openai\"\napi_key = \"{secret}\""),
        format!("[providers.o]\nkind = \"openai\"\napi_key = \"env:{secret}\""),
        format!("[providers.o]\nkind = \"openai\"\napi_keys = [\n  \"{secret}\",\n]"),
        format!("[providers.o]\nkind = \"openai\"\napikey = \"{secret}\""),
        format!("[providers.o]\nkind = \"openai\"\nkey = {secret}"),
        format!("[providers.o]\nkind = \"openai\"\napi_key = \"{secret}"),
        format!("[providers]\no = {{ knd = \"openai\", api_key = \"{secret}\" }}"),
        format!("[server]\nadmin_key = '{secret}'"),
    ];
    for case in cases {
        let problems = parse(&case, "t.toml", &env).unwrap_err();
        assert!(!format!("{problems:?}").contains(secret), "{case}: {problems:#?}");
    }
}

#[test]
fn no_file_makes_it_panic() {
    for end in (0..EXAMPLE.len()).filter(|end| EXAMPLE.is_char_boundary(*end)).step_by(7) {
        let _ = parse(&EXAMPLE[..end], "t.toml", &env);
    }
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for left_out in 0..lines.len() {
        let (before, after) = (&lines[..left_out], &lines[left_out + 1..]);
        let _ = parse(&[before, after].concat().join("\n"), "t.toml", &env);
    }
    for value in ["-1", "1e999", "nan", "''", "[]", "{}", "[[{}]]", "1979-05-27", "true"] {
        for line in lines.iter().filter_map(|line| line.split_once(" = ")) {
            let changed = EXAMPLE.replacen(
                &format!("{} = {}", line.0, line.1),
                &format!("{} = {value}", line.0),
                1,
            );
            let _ = parse(&changed, "t.toml", &env);
        }
    }
    let deep = format!("[accounts.a{}]", ".a".repeat(20_000));
    for text in [deep.as_str(), &"[".repeat(100_000), &format!("a = {}", "[".repeat(100_000))] {
        assert!(parse(text, "t.toml", &env).is_err());
    }
}

#[test]
fn a_flood_of_problems_is_cut_and_still_refused() {
    let unknown: String = (0..5_000).map(|n| format!("[t{n}]\n")).collect();
    let warned: String = (0..5_000)
        .map(|n| format!("[accounts.a{n}]\nlimits = [\"0 requests per hour\"]\n"))
        .collect();
    for (text, error) in
        [(unknown.clone(), true), (warned.clone(), false), (warned + &unknown, true)]
    {
        let problems = match parse(&text, "t.toml", &env) {
            Ok(snapshot) => snapshot.warnings,
            Err(problems) => problems,
        };
        assert_eq!(problems.iter().any(Problem::is_error), error);
        assert!(problems.len() <= 1_000 && problems.last().unwrap().message.contains("more than"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_problem() {
    let folder = std::env::temp_dir().join(format!("tollgate-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cases = [
        (folder.join("none.toml"), "cannot be read"),
        (folder.clone(), "cannot be read"),
        (write("binary.toml", b"[server]\n\xff\xfe"), "not UTF-8 at line 2"),
        (write("large.toml", &vec![b'#'; LARGEST as usize + 1]), "larger than"),
    ];
    for (path, message) in cases {
        let problems = load(&path, &env).unwrap_err();
        assert!(problems.len() == 1 && problems[0].message.contains(message), "{problems:?}");
    }
    write("key", b"from-a-file\n");
    let text = format!("{GOOD}[providers.o]\nkind = \"openai\"\napi_key = \"file:key\"");
    let snapshot = load(&write("good.toml", text.as_bytes()), &env).unwrap();
    assert_eq!(snapshot.providers["o"].api_keys[0].expose(), "from-a-file");
    assert_eq!(snapshot.storage.path, folder.join("tollgate.db"));
    std::fs::remove_dir_all(&folder).unwrap();
}
