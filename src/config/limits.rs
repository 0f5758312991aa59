//! The limits of an account: the short form, one sentence a limit, and the long form, one table a
//! limit.

use tollgate_accounting::{
    Algorithm, Calendar, DAY, Filter, HOUR, Limit, MINUTE, Metric, Mode, Money, SECOND, Window,
};
use toml::de::DeValue;

use super::{
    names::Names,
    reader::{Field, Section, did_you_mean},
};
use crate::clock::parse_duration;

/// The operations that a limit can be narrowed to.
pub const ENDPOINTS: [&str; 9] = [
    "chat.completions",
    "embeddings",
    "moderations",
    "rerank",
    "images.generations",
    "images.edits",
    "audio.speech",
    "audio.transcriptions",
    "audio.translations",
];

const METRICS: [(&str, Metric); 6] = [
    ("requests", Metric::Requests),
    ("input_tokens", Metric::InputTokens),
    ("output_tokens", Metric::OutputTokens),
    ("tokens", Metric::Tokens),
    ("cost", Metric::Cost),
    ("concurrent", Metric::Concurrency),
];

/// The words for an algorithm; the amounts they need are known later.
#[derive(Clone, Copy, PartialEq)]
enum Word {
    TokenBucket,
    LeakyBucket,
    FixedWindow,
    SlidingWindow,
    SlidingLog,
    Calendar,
    Concurrency,
}

const ALGORITHMS: [(&str, Word); 6] = [
    ("token_bucket", Word::TokenBucket),
    ("leaky_bucket", Word::LeakyBucket),
    ("fixed_window", Word::FixedWindow),
    ("sliding_window", Word::SlidingWindow),
    ("sliding_log", Word::SlidingLog),
    ("calendar", Word::Calendar),
];

/// The limits of one account, each with where it stands.
pub(super) fn limits<'t>(account: &Section<'t>, names: &Names) -> Vec<(Field<'t>, Limit)> {
    let mut limits: Vec<(Field<'t>, Limit)> = Vec::new();
    let mut add = |field: Field<'t>, limit: Option<Limit>| {
        let Some(limit) = limit else { return };
        if limits.iter().any(|(_, other)| other.key() == limit.key()) {
            let message = format!("the account has this limit already: {}", limit.describe());
            return field.key_error(&message, None);
        }
        if limit.amount == 0 {
            field.warn("an amount of 0 refuses every call", None);
        }
        limits.push((field, limit));
    };
    for item in account.get("limits").and_then(|field| field.list()).into_iter().flatten() {
        let limit = short(&item);
        add(item, limit);
    }
    if let Some(field) = account.get("limit") {
        let DeValue::Array(_) = field.value else {
            let help = format!("write [[{}]], once for each limit", field.path);
            field.error_help::<()>("must be a list of tables", &help);
            return limits;
        };
        for item in field.list().into_iter().flatten() {
            let limit = item.section().and_then(|table| long(&table, names));
            add(item, limit);
        }
    }
    limits
}

/// `"200000 tokens per minute"`.
pub(super) fn short(field: &Field<'_>) -> Option<Limit> {
    let DeValue::String(text) = field.value else {
        let help = "\"200000 tokens per minute\"; a table goes under [[accounts.NAME.limit]]";
        return field.error_help("must be a sentence", help);
    };
    match text.parse::<Limit>() {
        Ok(limit) => Some(limit),
        Err(why) => field.error(&format!("not a limit: {why}")),
    }
}

/// `[[accounts.NAME.limit]]`.
fn long(table: &Section<'_>, names: &Names) -> Option<Limit> {
    let metric = table.require("metric", "it says what is counted");
    let amount = table.require("amount", "it says how much is allowed");
    let (per, from_day) = (table.get("per"), table.get("from_day"));
    let (algorithm, burst) = (table.get("algorithm"), table.get("burst"));
    let mode = mode(table);
    let filter = Filter {
        models: strings(table, "models", |field, name| names.warn_unless_known(field, name)),
        endpoints: strings(table, "endpoints", warn_unless_endpoint),
        prompts: strings(table, "prompts", |field, _| names.warn_unless_prompts(field)),
    };
    table.done();
    let word = algorithm.as_ref().map(|field| field.choice(&ALGORITHMS));
    let metric = metric.and_then(|field| field.choice(&METRICS));
    let window = match (&per, metric) {
        (Some(field), Some(Metric::Concurrency)) => {
            field.error("calls in flight are not counted over time: leave out `per`")
        }
        (Some(field), _) => window(field, from_day.as_ref(), word.flatten()),
        (None, Some(Metric::Concurrency)) => Some(Window::None),
        (None, _) => {
            table.error("`per` is missing: it says over which time".to_owned(), None);
            None
        }
    };
    let metric = metric?;
    let amount = amount.and_then(|field| quantity(&field, metric));
    let burst_amount = burst.as_ref().map_or(Some(amount?), |field| quantity(field, metric));
    let word = word.unwrap_or_else(|| window.map(usual))?;
    let (amount, window) = (amount?, window?);
    let limit = Limit {
        metric,
        amount,
        window,
        algorithm: word.algorithm(burst_amount?),
        filter,
        mode: mode?,
    };
    let is_bucket = matches!(word, Word::TokenBucket | Word::LeakyBucket);
    if let (Some(field), false) = (&burst, is_bucket) {
        return field.error("only token_bucket and leaky_bucket have a burst");
    }
    match limit.check() {
        Ok(()) => Some(limit),
        Err(why) => {
            table.error(format!("not a limit: {why}"), None);
            None
        }
    }
}

/// The algorithm of a window that names none.
fn usual(window: Window) -> Word {
    match window {
        Window::Rolling { .. } => Word::TokenBucket,
        Window::Calendar(_) => Word::Calendar,
        Window::None => Word::Concurrency,
    }
}

impl Word {
    fn algorithm(self, burst: i64) -> Algorithm {
        match self {
            Word::TokenBucket => Algorithm::TokenBucket { burst },
            Word::LeakyBucket => Algorithm::LeakyBucket { burst },
            Word::FixedWindow => Algorithm::FixedWindow,
            Word::SlidingWindow => Algorithm::SlidingWindow,
            Word::SlidingLog => Algorithm::SlidingLog,
            Word::Calendar => Algorithm::Calendar,
            Word::Concurrency => Algorithm::Concurrency,
        }
    }
}

/// An amount of a metric: a whole number, or dollars where it is a cost.
fn quantity(field: &Field<'_>, metric: Metric) -> Option<i64> {
    if metric != Metric::Cost {
        return field.whole(0..=i64::MAX.unsigned_abs()).and_then(|n| i64::try_from(n).ok());
    }
    let dollars = match field.value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(integer) if integer.radix() == 10 => integer.to_string(),
        _ => {
            return field.error_help(
                "must be dollars in quotes",
                "write \"12.50\": a bare decimal would be rounded",
            );
        }
    };
    match dollars.parse::<Money>() {
        Ok(money) if money < Money::ZERO => field.error("must not be negative"),
        Ok(money) => Some(money.nanos()),
        Err(why) => field.error(&why.to_string()),
    }
}

/// The time over which a limit counts. Days, weeks and months are calendar periods unless an
/// algorithm says that they roll; a month cannot roll, for no two need be equally long.
fn window(field: &Field<'_>, from_day: Option<&Field<'_>>, word: Option<Word>) -> Option<Window> {
    let text = field.text()?;
    let rolls = !matches!(word, None | Some(Word::Calendar));
    if let (Some(from_day), true) = (from_day, text != "month" || rolls) {
        return from_day.error("only a calendar month begins on a day");
    }
    Some(match text {
        "second" => Window::Rolling { micros: SECOND },
        "minute" => Window::Rolling { micros: MINUTE },
        "hour" => Window::Rolling { micros: HOUR },
        "day" if rolls => Window::Rolling { micros: DAY },
        "week" if rolls => Window::Rolling { micros: 7 * DAY },
        "month" if rolls => {
            return field.error("a month has no fixed length: only calendar limits are monthly");
        }
        "day" => Window::Calendar(Calendar::Day),
        "week" => Window::Calendar(Calendar::Week),
        "month" => Window::Calendar(match from_day {
            Some(day) => Calendar::MonthFrom(u8::try_from(day.whole(1..=31)?).ok()?),
            None => Calendar::Month,
        }),
        other => {
            let micros = parse_duration(other).map(|duration| duration.as_micros());
            match micros.map(i64::try_from) {
                Some(Ok(micros)) => Window::Rolling { micros },
                Some(Err(_)) => return field.error("too long"),
                None => {
                    let known = ["second", "minute", "hour", "day", "week", "month"];
                    let help = did_you_mean(other, &known).unwrap_or_default();
                    return field.error_help("not a time to count over", &help);
                }
            }
        }
    })
}

/// `mode = "soft"` queues a call for at most `max_wait` instead of refusing it.
fn mode(table: &Section<'_>) -> Option<Mode> {
    let soft = table.get("mode").map(|field| field.choice(&[("hard", false), ("soft", true)]));
    let wait = table.get("max_wait");
    match (soft.unwrap_or(Some(false))?, wait) {
        (false, None) => Some(Mode::Hard),
        (false, Some(field)) => field.error("max_wait goes with mode = \"soft\""),
        (true, None) => {
            let message = "`max_wait` is missing: it says how long a call may queue";
            table.error(message.to_owned(), Some("add max_wait = \"10s\""));
            None
        }
        (true, Some(field)) => {
            let max_wait_micros = i64::try_from(field.duration()?.as_micros()).ok()?;
            Some(Mode::Soft { max_wait_micros })
        }
    }
}

fn strings(
    table: &Section<'_>,
    key: &'static str,
    judge: impl Fn(&Field<'_>, &str),
) -> Vec<String> {
    let Some(field) = table.get(key) else { return Vec::new() };
    let items = field.list().unwrap_or_default();
    if items.is_empty() {
        field.warn("an empty list filters nothing: leave it out", None);
    }
    let mut names = Vec::new();
    for item in items {
        if let Some(name) = item.text() {
            judge(&item, name);
            names.push(name.to_owned());
        }
    }
    names
}

fn warn_unless_endpoint(field: &Field<'_>, name: &str) {
    if !ENDPOINTS.contains(&name) {
        let help = did_you_mean(name, &ENDPOINTS);
        field.warn("can never match: there is no such endpoint", help);
    }
}
