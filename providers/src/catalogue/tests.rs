use serde_json::Value;
use tollgate_accounting::{Class, Rounding, UnitPrice, Usage};

use super::*;

fn day(year: i64, month: i64, day: i64) -> Timestamp {
    Timestamp::from_micros(crate::http_date::days(year, month, day) * 86_400_000_000)
}

fn now() -> Timestamp {
    day(2026, 11, 24)
}

/// Dollars per million tokens of a class in the first tier, as text.
fn rate(provider: &str, model: &str, class: Class, at: Timestamp) -> Option<String> {
    let card = Catalogue::builtin().card(provider, model, at)?;
    card.tiers[0].rates.get(class).map(|price| price.to_string())
}

#[test]
fn what_is_built_in_can_be_read_whole() {
    let catalogue = read_builtin().unwrap();
    let providers = catalogue.providers();
    let models: usize = providers.iter().map(|p| catalogue.models(p).len()).sum();
    assert!(providers.len() >= 30 && models >= 1_000, "{} {models}", providers.len());
}

#[test]
fn a_provider_is_listed_once_by_the_name_of_its_kind() {
    let providers = Catalogue::builtin().providers();
    for (ours, theirs) in [("xai", "x-ai"), ("gemini", "google"), ("fireworks", "fireworks-ai")] {
        assert_eq!(providers.iter().filter(|name| **name == ours).count(), 1, "{ours}");
        assert!(!providers.contains(&theirs), "{theirs}");
        assert!(!Catalogue::builtin().models(ours).is_empty(), "{ours}");
    }
}

#[test]
fn every_price_card_is_valid_and_its_version_names_it_alone() {
    let raw: Value = serde_json::from_str(include_str!("../../data/genai-prices-v2.json")).unwrap();
    let (mut versions, mut priced) = (std::collections::HashMap::new(), 0);
    for provider in raw.as_array().unwrap() {
        let id = provider["id"].as_str().unwrap();
        for model in provider["models"].as_array().unwrap() {
            let name = model["id"].as_str().unwrap();
            for at in [day(2024, 1, 1), now(), day(2030, 1, 1)] {
                let Some(card) = Catalogue::builtin().card(id, name, at) else { continue };
                card.check().unwrap();
                priced += 1;
                let before = versions.insert(card.version.clone(), card.clone());
                assert!(before.is_none_or(|before| before == card), "{}", card.version);
            }
        }
    }
    assert!(priced > 3_000, "{priced}");
}

#[test]
fn prices_are_found_by_rule_case_aside() {
    let cases = [
        ("openai", "gpt-4o-mini", Class::Input, "0.15"),
        ("openai", "gpt-4o-mini-2024-07-18", Class::Input, "0.15"),
        ("openai", "GPT-4o-mini", Class::CacheRead, "0.075"),
        ("anthropic", "claude-3-5-haiku-20241022", Class::CacheWrite, "1"),
        ("anthropic", "claude-3-5-haiku-20241022", Class::CacheWriteLong, "1.6"),
        ("azure", "gpt-4o-mini", Class::Output, "0.6"),
        ("demo", "fast", Class::Output, "0.6"),
        ("xai", "grok-3-fast", Class::Output, "25"),
    ];
    for (provider, model, class, expected) in cases {
        assert_eq!(
            rate(provider, model, class, now()).as_deref(),
            Some(expected),
            "{provider}/{model}"
        );
    }
}

#[test]
fn other_service_tiers_are_listed_beside_the_standard_one() {
    use tollgate_accounting::ServiceTier::{Batch, Flex, Priority, Standard};
    let rate = |provider, model, tier, class| {
        let list = Catalogue::builtin().list(provider, model)?;
        list.at(tier, now())?.tiers[0].rates.get(class).map(|price| price.to_string())
    };
    let cases = [
        ("openai", "gpt-5", Standard, Class::Input, Some("1.25")),
        ("openai", "gpt-5", Priority, Class::Output, Some("20")),
        ("openai", "gpt-5-2025-08-07", Flex, Class::Output, Some("5")),
        ("openai", "gpt-5", Flex, Class::CacheRead, Some("0.0625")),
        ("openai", "gpt-5.1", Batch, Class::Input, Some("0.625")),
        ("openai", "gpt-4o", Flex, Class::Input, None),
        ("anthropic", "claude-haiku-4-5", Batch, Class::CacheWriteLong, Some("1")),
        ("anthropic", "claude-haiku-4-5", Batch, Class::WebSearch, Some("10000")),
        ("anthropic", "claude-haiku-4-5", Priority, Class::Input, None),
    ];
    for (provider, model, tier, class, expected) in cases {
        assert_eq!(rate(provider, model, tier, class).as_deref(), expected, "{model} {tier}");
    }
    // Context tiers are halved with the rest.
    let flex = Catalogue::builtin().list("openai", "gpt-5.4").unwrap();
    let flex = flex.at(Flex, now()).unwrap();
    assert_eq!(flex.tiers[1].rates.get(Class::Input), UnitPrice::per_million("2.5").ok());
}

#[test]
fn every_model_named_with_a_service_tier_is_one_that_has_a_price() {
    let raw: Value = serde_json::from_str(include_str!("../../data/service-tiers.json")).unwrap();
    for (provider, tiers) in raw.as_object().unwrap() {
        let half = tiers["half"].as_object().unwrap().values().flat_map(|l| l.as_array().unwrap());
        let half = half.map(|name| name.as_str().unwrap()).filter(|name| *name != "*");
        for model in half.chain(tiers["priority"].as_object().unwrap().keys().map(|k| &**k)) {
            let card = Catalogue::builtin().card(provider, model, now());
            assert!(card.is_some(), "{provider}/{model}");
        }
    }
    let bad = [
        r#"{"p":{"priority":{},"half":{"turbo":[]}}}"#,
        r#"{"p":{"priority":{"m":{"input":"x","cache_read":"1","output":"1"}},"half":{}}}"#,
    ];
    for json in bad {
        assert!(Catalogue::default().add_tiers("d", json).is_err(), "{json}");
    }
}

#[test]
fn an_unknown_model_has_no_price_rather_than_a_free_one() {
    for (provider, model) in [
        ("openai", "no-such-model"),
        ("nobody", "gpt-4o"),
        ("mistral", "mistral-nemo:free"),
        ("openai", ""),
    ] {
        assert_eq!(Catalogue::builtin().card(provider, model, now()), None, "{provider}/{model}");
    }
}

#[test]
fn history_is_kept_to_the_day() {
    let input = |at| rate("openai", "o3", Class::Input, at).unwrap();
    assert_eq!(input(day(2025, 6, 9)), "10");
    assert_eq!(input(day(2025, 6, 10)), "2");
    let card = Catalogue::builtin().card("openai", "o3", now()).unwrap();
    assert_eq!(card.effective_from, day(2025, 6, 10));
    assert_eq!(card.version, "genai-prices/2026-11-24/openai/o3/1");
}

#[test]
fn prices_that_go_by_the_clock_go_by_the_clock() {
    let at = |hour: i64| day(2025, 1, 1).plus(hour * 3_600_000_000).unwrap();
    assert_eq!(rate("deepseek", "deepseek-chat", Class::Input, at(12)).unwrap(), "0.27");
    assert_eq!(rate("deepseek", "deepseek-chat", Class::Input, at(20)).unwrap(), "0.135");
}

/// Provider, model, hour, tokens (input, cache read, cache write, output), pico-dollars.
type Priced = (&'static str, &'static str, (i64, i64, i64, i64), [u64; 4], i128);

#[test]
fn costs_are_those_of_the_source_s_own_calculator() {
    // Computed with genai-prices 0.2.3 for Python over the same file.
    let cases: Vec<Priced> = vec![
        ("openai", "gpt-4o-mini-2024-07-18", (2026, 11, 24, 1), [1234, 567, 0, 89], 281025000),
        ("openai", "gpt-5.6-sol", (2026, 11, 24, 1), [272000, 0, 0, 10], 1360300000000),
        ("openai", "gpt-5.6-sol", (2026, 11, 24, 1), [272001, 0, 0, 10], 2720460000000),
        ("openai", "gpt-5.6-terra", (2026, 7, 29, 23), [1000, 2000, 3000, 4000], 72375000000),
        ("openai", "gpt-5.6-terra", (2026, 7, 30, 0), [1000, 2000, 3000, 4000], 57900000000),
        (
            "anthropic",
            "claude-sonnet-4-5-20250929",
            (2026, 11, 24, 1),
            [100, 199900, 1, 7],
            120705000000,
        ),
        ("anthropic", "claude-sonnet-5", (2026, 8, 31, 12), [100, 200, 300, 400], 4990000000),
        ("anthropic", "claude-sonnet-5", (2026, 9, 1, 0), [100, 200, 300, 400], 7485000000),
        ("azure", "claude-sonnet-4-5", (2026, 11, 24, 1), [5, 6, 7, 8], 163050000),
        ("deepseek", "deepseek-reasoner", (2026, 11, 24, 16), [1000, 10, 0, 10], 573300000),
        ("deepseek", "deepseek-reasoner", (2026, 11, 24, 17), [1000, 10, 0, 10], 140850000),
        ("google", "gemini-2.5-pro", (2026, 11, 24, 1), [200000, 1, 0, 1], 500015250000),
        (
            "openrouter",
            "anthropic/claude-sonnet-5",
            (2026, 11, 24, 1),
            [100, 200, 300, 400],
            7485000000,
        ),
        ("groq", "llama-3.3-70b-versatile", (2026, 11, 24, 1), [12345, 0, 0, 678], 7819170000),
    ];
    for (provider, model, (year, month, date, hour), tokens, expected) in cases {
        let at = day(year, month, date).plus(hour * 3_600_000_000).unwrap();
        let card = Catalogue::builtin().card(provider, model, at).unwrap();
        let classes = [Class::Input, Class::CacheRead, Class::CacheWrite, Class::Output];
        let usage =
            classes.into_iter().zip(tokens).fold(Usage::new(), |u, (class, n)| u.with(class, n));
        let pico: i128 = card.lines(&usage).unwrap().iter().map(|line| line.pico).sum();
        assert_eq!(pico, expected, "{provider}/{model} {at}");
    }
}

#[test]
fn tiers_begin_above_their_threshold() {
    let card = Catalogue::builtin().card("google", "gemini-2.5-pro", now()).unwrap();
    let cost = |tokens| {
        card.cost(&Usage::new().with(Class::Input, tokens), Rounding::HalfEven).unwrap().to_string()
    };
    assert_eq!(cost(200_000), "0.25");
    assert_eq!(cost(200_001), "0.5000025");
}

#[test]
fn searches_and_requests_have_a_price_apiece() {
    let card = Catalogue::builtin().card("anthropic", "claude-3-5-haiku-latest", now()).unwrap();
    let usage = Usage::new().with(Class::WebSearch, 3);
    assert_eq!(card.cost(&usage, Rounding::HalfEven).unwrap().to_string(), "0.03");
    let card = Catalogue::builtin().card("perplexity", "sonar", now()).unwrap();
    assert_eq!(card.cost(&Usage::new(), Rounding::HalfEven).unwrap().to_string(), "0.012");
}

#[test]
fn digits_beyond_a_pico_dollar_are_rounded_and_never_away() {
    let pico = |price: &str| {
        let json = format!(
            r#"[{{"id":"p","models":[{{"id":"m","match":{{"equals":"m"}},"prices":{{"input_mtok":{price}}}}}]}}]"#
        );
        let mut catalogue = Catalogue::default();
        let json: &str = Box::leak(json.into_boxed_str());
        catalogue.add_prices("x", "d", json).unwrap();
        catalogue.card("p", "m", now()).unwrap().tiers[0].rates.get(Class::Input).unwrap().pico()
    };
    let cases = [
        ("0.18000000000000002", 180_000),
        ("0.08333333333333334", 83_333),
        ("0.0000005", 1),
        ("0.00000001", 1),
        ("0.0000015", 2),
        ("0", 0),
    ];
    for (price, expected) in cases {
        assert_eq!(pico(price), expected, "{price}");
    }
}

#[test]
fn limits_and_capabilities_are_known() {
    let model = |p, m| Catalogue::builtin().model(p, m).unwrap();
    let info = model("openai", "gpt-5.1");
    assert_eq!((info.context_window, info.max_output_tokens), (Some(400_000), Some(128_000)));
    assert_eq!((info.temperature, info.reasoning), (Some(false), Some(true)));
    assert!(info.input.unwrap().image && !info.output.unwrap().image);
    assert_eq!(model("demo", "small").context_window, Some(128_000));
    assert_eq!(Catalogue::builtin().model("openai", "no-such-model"), None);
}

#[test]
fn a_list_that_holds_no_price_where_one_should_be_is_refused() {
    let list = |price: &str| {
        format!(
            r#"[{{"id":"p","models":[{{"id":"m","match":{{"equals":"m"}},"prices":{{"input_mtok":{price}}}}}]}}]"#
        )
    };
    for bad in ["-1", "1e40", "\"1\"", "{\"base\":1}", "true"] {
        let json = list(bad);
        assert!(Catalogue::default().add_prices("x", "d", &json).is_err(), "{bad}");
    }
    let json = list("1.5");
    let mut catalogue = Catalogue::default();
    catalogue.add_prices("x", "d", &json).unwrap();
    assert_eq!(catalogue.card("p", "M", now()).unwrap().version, "x/d/p/m/0");
}

const API: &str = r#"{"openai":{"models":{
 "gpt-4o-mini":{"cost":{"input":9,"output":18}},
 "gpt-image-1.5":{"cost":{"input":7,"output":70}}}}}"#;
const LIST: &str = r#"[{"id":"openai","models":[
 {"id":"gpt-4o-mini","match":{"equals":"gpt-4o-mini"},"prices":{"input_mtok":5,"output_mtok":6}}]}]"#;

/// What a token of a class costs with these imports on a day, in pico-dollars, and the card's version.
fn imported(files: &[(&str, &str)], model: &str, class: Class, at: &str) -> (u64, String) {
    let mut imports = Imports::default();
    for (text, date) in files {
        imports.take(text, date).unwrap();
    }
    let catalogue = Catalogue::with(&imports).unwrap();
    let card = catalogue.card("openai", model, prices::day(at).unwrap()).unwrap();
    let price = card.tiers[0].rates.get(class).unwrap();
    (price.pico(), card.version)
}

#[test]
fn an_imported_price_goes_before_what_is_built_in_unless_it_is_older_whichever_source_it_is_of() {
    let price = |files: &[(&str, &str)], at| imported(files, "gpt-4o-mini", Class::Input, at).0;
    let built_in = price(&[], "2999-01-01");
    assert_eq!(price(&[(API, "2999-01-01")], "2999-01-01"), 9_000_000);
    assert_eq!(price(&[(API, "2999-01-01")], "2998-12-31"), built_in, "what came before stays");
    // On the day of what is built in, what is imported is believed; before that it is not.
    let day = sources().unwrap().models_dev;
    assert_eq!(price(&[(API, day)], "2999-01-01"), 9_000_000);
    for older in [API, LIST] {
        assert_eq!(price(&[(older, "2020-01-01")], "2999-01-01"), built_in);
    }
    // Of two imports the newer, and of the same day the one that knows more.
    for (files, pico) in [
        ([(API, "2999-01-01"), (LIST, "2999-01-01")], 5_000_000),
        ([(API, "2999-01-02"), (LIST, "2999-01-01")], 9_000_000),
        ([(API, "2999-01-01"), (LIST, "2999-01-02")], 5_000_000),
    ] {
        assert_eq!(price(&files, "2999-02-01"), pico, "{files:?}");
    }
}

#[test]
fn what_an_imported_price_does_not_list_costs_what_it_did() {
    let read =
        |files: &[(&str, &str)], class| imported(files, "gpt-image-1.5", class, "2999-01-01");
    let import = [(API, "2999-01-01")];
    let (before, had) = read(&[], Class::ImageOutput);
    let (pico, version) = read(&import, Class::ImageOutput);
    assert_eq!(pico, before, "and not what text costs");
    assert_eq!(version, format!("models.dev/2999-01-01/openai/gpt-image-1.5/0+{had}"));
    assert_eq!(read(&import, Class::Input).0, 7_000_000);
}
