//! `GET /v1/organization/costs` and `/v1/organization/usage/{kind}` in OpenAI's shapes, over the caller's
//! own account, so that scripts written for them run unchanged. A project is an account here.

mod question;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tollgate_accounting::{ServiceTier, Timestamp};
use tollgate_providers::{Dialect, by_character, by_second};

use crate::clock;
use crate::control::ControlError;
use crate::http::{Failed, Front, caller, json, reading};
use crate::ledger::{Filter, GroupBy, Measure, Question as Asked, ReportRow};
use question::{Question, Split};

const DIALECT: Dialect = Dialect::OpenAiChat;

/// A kind of use that OpenAI's API tells of.
struct Kind {
    /// Its place in the path.
    name: &'static str,
    /// Its results, as they call themselves.
    result: &'static str,
    /// The operations here whose calls are of it. Where there is none, none was used.
    endpoints: &'static [&'static str],
    /// What a result of it counts.
    counts: &'static [(&'static str, Measure)],
    /// What it counts where all of its models are billed in it.
    unit: Option<Unit>,
}

/// A unit other than tokens, which is what the input of a model that is billed in it counts.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    bills: fn(&str) -> bool,
}

const KINDS: [Kind; 10] = [
    Kind {
        name: "completions",
        result: "completions",
        endpoints: &["chat.completions"],
        counts: &[
            ("input_tokens", Measure::InputTokens),
            ("output_tokens", Measure::OutputTokens),
            ("input_cached_tokens", Measure::CacheReadTokens),
            ("input_cache_write_tokens", Measure::CacheWriteTokens),
            ("num_model_requests", Measure::Requests),
        ],
        unit: None,
    },
    Kind {
        name: "embeddings",
        result: "embeddings",
        endpoints: &["embeddings"],
        counts: &[
            ("input_tokens", Measure::InputTokens),
            ("num_model_requests", Measure::Requests),
        ],
        unit: None,
    },
    Kind {
        name: "moderations",
        result: "moderations",
        endpoints: &["moderations"],
        counts: &[
            ("input_tokens", Measure::InputTokens),
            ("num_model_requests", Measure::Requests),
        ],
        unit: None,
    },
    // How many pictures a call was of is on no row, nor how many characters or seconds where they are
    // billed in tokens.
    Kind {
        name: "images",
        result: "images",
        endpoints: &["images.generations", "images.edits"],
        counts: &[("num_model_requests", Measure::Requests)],
        unit: None,
    },
    Kind {
        name: "audio_speeches",
        result: "audio_speeches",
        endpoints: &["audio.speech"],
        counts: &[("num_model_requests", Measure::Requests)],
        unit: Some(Unit { name: "characters", bills: by_character }),
    },
    Kind {
        name: "audio_transcriptions",
        result: "audio_transcriptions",
        endpoints: &["audio.transcriptions", "audio.translations"],
        counts: &[("num_model_requests", Measure::Requests)],
        unit: Some(Unit { name: "seconds", bills: by_second }),
    },
    Kind::unused("vector_stores", "vector_stores"),
    Kind::unused("code_interpreter_sessions", "code_interpreter_sessions"),
    Kind::unused("file_search_calls", "file_searches"),
    Kind::unused("web_search_calls", "web_searches"),
];

impl Kind {
    /// A kind that no operation here is of: its buckets are empty, as they are at OpenAI's for who does
    /// not use it.
    const fn unused(name: &'static str, result: &'static str) -> Kind {
        Kind { name, result, endpoints: &[], counts: &[], unit: None }
    }
}

pub(in crate::http) async fn costs(
    State(front): State<Front>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&front, &headers, query.as_deref(), None).await
}

pub(in crate::http) async fn usage(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(kind): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    match KINDS.iter().find(|known| known.name == kind) {
        Some(kind) => answer(&front, &headers, query.as_deref(), Some(kind)).await,
        None => {
            let failed = match caller::authenticate(&front, &headers) {
                Ok(_) => Failed::not_found(&format!("/v1/organization/usage/{kind}")),
                Err(denied) => denied.into(),
            };
            failed.response(DIALECT, None)
        }
    }
}

#[derive(Serialize)]
struct Page {
    object: &'static str,
    data: Vec<Bucket>,
    has_more: bool,
    next_page: Option<String>,
}

#[derive(Serialize)]
struct Bucket {
    object: &'static str,
    start_time: i64,
    end_time: i64,
    results: Vec<Box<RawValue>>,
}

/// OpenAI's amount is a JSON number; its digits are those of the integer, never a float's.
#[derive(Serialize)]
struct Amount {
    value: Box<RawValue>,
    currency: &'static str,
}

#[derive(Serialize)]
struct Cost {
    object: &'static str,
    amount: Amount,
    #[serde(flatten)]
    groups: Map<String, Value>,
}

async fn answer(
    front: &Front,
    headers: &HeaderMap,
    query: Option<&str>,
    kind: Option<&Kind>,
) -> Response {
    match page(front, headers, query.unwrap_or(""), kind).await {
        Ok(page) => json(&page),
        Err(failed) => failed.response(DIALECT, None),
    }
}

async fn page(
    front: &Front,
    headers: &HeaderMap,
    query: &str,
    kind: Option<&Kind>,
) -> Result<Page, Failed> {
    let caller = caller::authenticate(front, headers)?;
    if caller.run.is_some() {
        return Err(ControlError::OnlyForKeys.into());
    }
    let now = clock::now().micros().div_euclid(1_000_000);
    let question = Question::parse(query, kind.is_none(), now)?;
    let (starts, more) = question.buckets();
    let end = starts.last().map_or(question.start, |s| s + question.width.seconds());
    let instant = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let mut only = question.only.clone();
    if let Some(kind) = kind {
        let endpoints = kind.endpoints.iter().map(|&endpoint| endpoint.to_owned());
        only.push((GroupBy::Endpoint, endpoints.collect()));
    }
    let filter = Filter {
        account: Some(caller.account.to_string()),
        from: Some(instant(question.start)),
        to: Some(instant(end.min(question.end))),
        only,
        as_of: None,
    };
    let mut by = vec![question.width.group()];
    by.extend(question.groups());
    let unit = kind.and_then(|kind| kind.unit);
    by.extend(unit.map(|_| GroupBy::Model));
    let rows = if question.of_nothing {
        Vec::new()
    } else {
        let asked = Asked::new(filter, by).untimed();
        question.split(reading(front, move |reader| reader.report(&asked)).await?)
    };
    let rows = match unit {
        None => rows.into_iter().map(|row| (row, None)).collect(),
        Some(unit) => counted(rows, unit),
    };
    let bucket = |start: &i64| {
        let label = question.label(*start);
        let in_it = |row: &ReportRow| row.keys.first().is_some_and(|key| **key == *label);
        let mine = rows.iter().filter(|(row, _)| in_it(row));
        let results = mine.map(|(row, units)| match kind {
            None => cost(row, &question.by),
            Some(kind) => used(row, &question.by, kind, *units),
        });
        let end_time = start + question.width.seconds();
        let results = results.collect::<Result<_, _>>()?;
        Ok(Bucket { object: "bucket", start_time: *start, end_time, results })
    };
    let data = starts.iter().map(bucket).collect::<serde_json::Result<Vec<_>>>();
    let data = data.map_err(|error| Failed::internal(&error))?;
    let next_page = more.then(|| format!("page_{end}"));
    Ok(Page { object: "page", data, has_more: more, next_page })
}

/// Rows without the model, which is their last key, and how much of the unit they are; nothing where
/// some of it was billed otherwise, so that no sum leaves out what it should have.
fn counted(rows: Vec<ReportRow>, unit: Unit) -> Vec<(ReportRow, Option<i64>)> {
    let mut all: Vec<(ReportRow, Option<i64>)> = Vec::new();
    for mut row in rows {
        let model = row.keys.pop();
        let units = row.count(Measure::InputTokens);
        let bills = units == 0 || model.is_some_and(|model| (unit.bills)(&model));
        let units = bills.then_some(units);
        // They come in the order of time.
        let mut bucket =
            all.iter_mut().rev().take_while(|(other, _)| other.keys.first() == row.keys.first());
        match bucket.find(|(other, _)| other.keys == row.keys) {
            Some((other, sum)) => {
                other.merge(&row);
                *sum = sum.zip(units).map(|(sum, more)| sum.saturating_add(more));
            }
            None => all.push((row, units)),
        }
    }
    all
}

/// What a result says of each thing it may be split by: null where it is not.
fn groups(row: &ReportRow, by: &[Split], names: &[(&str, Split)]) -> Map<String, Value> {
    let key = |split: Split| -> Option<&str> {
        let at = by.iter().filter(|s| s.group().is_some()).position(|s| *s == split);
        at.and_then(|at| row.keys.get(at + 1)).map(|key| &**key)
    };
    let value = |split: Split| -> Value {
        if !by.contains(&split) {
            return Value::Null;
        }
        match split {
            Split::User => Value::Null,
            Split::Batch => {
                let tier = key(Split::Tier).or_else(|| row.keys.last().map(|key| &**key));
                (tier == Some(ServiceTier::Batch.name())).into()
            }
            Split::Source => "unlabeled".into(),
            Split::Tier => match key(split) {
                Some("") | None => Value::Null,
                // OpenAI's own word for it.
                Some(tier) if tier == ServiceTier::Standard.name() => "default".into(),
                Some(tier) => tier.into(),
            },
            Split::Project | Split::Key | Split::Model => {
                key(split).map_or(Value::Null, Value::from)
            }
        }
    };
    names.iter().map(|(name, split)| ((*name).to_owned(), value(*split))).collect()
}

fn cost(row: &ReportRow, by: &[Split]) -> serde_json::Result<Box<RawValue>> {
    let value = RawValue::from_string(row.money(Measure::Charged).to_string())?;
    let names = [
        ("line_item", Split::Model),
        ("project_id", Split::Project),
        ("api_key_id", Split::Key),
        ("user_id", Split::User),
        ("api_source", Split::Source),
    ];
    let mut groups = groups(row, by, &names);
    groups.insert("organization_id".to_owned(), Value::Null);
    let amount = Amount { value, currency: "usd" };
    to_raw_value(&Cost { object: "organization.costs.result", amount, groups })
}

fn used(
    row: &ReportRow,
    by: &[Split],
    kind: &Kind,
    units: Option<i64>,
) -> serde_json::Result<Box<RawValue>> {
    let names = [
        ("project_id", Split::Project),
        ("user_id", Split::User),
        ("api_key_id", Split::Key),
        ("model", Split::Model),
        ("batch", Split::Batch),
        ("service_tier", Split::Tier),
        ("api_source", Split::Source),
    ];
    let mut out = groups(row, by, &names);
    out.insert("object".to_owned(), json!(format!("organization.usage.{}.result", kind.result)));
    for (name, measure) in kind.counts {
        out.insert((*name).to_owned(), row.count(*measure).into());
    }
    if let Some((unit, units)) = kind.unit.zip(units) {
        out.insert(unit.name.to_owned(), units.into());
    }
    if kind.name != "completions" {
        out.remove("batch");
        out.remove("service_tier");
        out.remove("api_source");
    }
    to_raw_value(&out)
}
