//! `GET /v1/organization/costs` and `/v1/organization/usage/*` in OpenAI's shapes, over the caller's own
//! account, so that scripts written for them run unchanged. A project is an account here.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tollgate_accounting::Timestamp;
use tollgate_providers::Dialect;

use crate::clock;
use crate::control::ControlError;
use crate::http::query::pairs;
use crate::http::{Failed, Front, caller, json, reading};
use crate::ledger::{Filter, GroupBy, Measure, Question as Asked, ReportRow, Span};

const DIALECT: Dialect = Dialect::OpenAiChat;

/// The question, as OpenAI's query parameters put it.
#[derive(Debug)]
struct Question {
    start: i64,
    end: i64,
    width: Width,
    limit: usize,
    by: Vec<GroupBy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Minute,
    Hour,
    Day,
}

impl Width {
    const fn seconds(self) -> i64 {
        match self {
            Width::Minute => 60,
            Width::Hour => 3600,
            Width::Day => 86_400,
        }
    }

    /// Buckets where the question does not say, and at most; OpenAI's own figures.
    const fn limits(self) -> (usize, usize) {
        match self {
            Width::Minute => (60, 1440),
            Width::Hour => (24, 168),
            Width::Day => (7, 180),
        }
    }

    const fn group(self) -> GroupBy {
        match self {
            Width::Minute => GroupBy::Time(Span::Minute),
            Width::Hour => GroupBy::Time(Span::Hour),
            Width::Day => GroupBy::Time(Span::Day),
        }
    }
}

pub(in crate::http) async fn costs(
    State(front): State<Front>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&front, &headers, query.as_deref(), None, cost).await
}

pub(in crate::http) async fn completions(
    State(front): State<Front>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&front, &headers, query.as_deref(), Some("chat.completions"), usage).await
}

pub(in crate::http) async fn embeddings(
    State(front): State<Front>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    answer(&front, &headers, query.as_deref(), Some("embeddings"), usage).await
}

/// A row as one result of a bucket.
type Render = fn(&ReportRow, &[GroupBy], Option<&str>) -> serde_json::Result<Box<RawValue>>;

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

#[derive(Serialize)]
struct Cost<'r> {
    object: &'static str,
    amount: Amount,
    line_item: Option<&'r str>,
    project_id: Option<&'r str>,
    organization_id: Option<&'r str>,
}

/// OpenAI's amount is a JSON number; its digits are those of the integer, never a float's.
#[derive(Serialize)]
struct Amount {
    value: Box<RawValue>,
    currency: &'static str,
}

async fn answer(
    front: &Front,
    headers: &HeaderMap,
    query: Option<&str>,
    endpoint: Option<&'static str>,
    render: Render,
) -> Response {
    match page(front, headers, query.unwrap_or(""), endpoint, render).await {
        Ok(page) => json(&page),
        Err(failed) => failed.response(DIALECT, None),
    }
}

async fn page(
    front: &Front,
    headers: &HeaderMap,
    query: &str,
    endpoint: Option<&'static str>,
    render: Render,
) -> Result<Page, Failed> {
    let caller = caller::authenticate(front, headers)?;
    if caller.run.is_some() {
        return Err(ControlError::OnlyForKeys.into());
    }
    let question = Question::parse(query, endpoint.is_none(), now())?;
    let (starts, more) = question.buckets();
    let end = starts.last().map_or(question.start, |s| s + question.width.seconds());
    let instant = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let filter = Filter {
        account: Some(caller.account.to_string()),
        from: Some(instant(question.start)),
        to: Some(instant(end.min(question.end))),
        only: endpoint.map(|e| (GroupBy::Endpoint, vec![e.to_owned()])).into_iter().collect(),
        as_of: None,
    };
    let mut by = vec![question.width.group()];
    by.extend(question.by.iter().cloned());
    let rows = reading(front, move |reader| reader.report(&Asked::new(filter, by))).await?;
    let bucket = |start: &i64| {
        let label = question.label(*start);
        let mine = rows.iter().filter(|row| row.keys.first().is_some_and(|key| **key == *label));
        let results = mine.map(|row| render(row, &question.by, endpoint)).collect::<Result<_, _>>();
        let end_time = start + question.width.seconds();
        Ok(Bucket { object: "bucket", start_time: *start, end_time, results: results? })
    };
    let data = starts.iter().map(bucket).collect::<serde_json::Result<Vec<_>>>();
    let data = data.map_err(|error| Failed::internal(&error))?;
    let next_page = more.then(|| format!("page_{end}"));
    Ok(Page { object: "page", data, has_more: more, next_page })
}

fn now() -> i64 {
    clock::now().micros().div_euclid(1_000_000)
}

impl Question {
    fn parse(query: &str, costs: bool, now: i64) -> Result<Question, Failed> {
        let (mut start, mut end, mut limit) = (None, None, None);
        let (mut width, mut by, mut page) = (Width::Day, Vec::new(), None);
        for (name, value) in pairs(query) {
            let number = || {
                value
                    .parse::<i64>()
                    .map_err(|_| Failed::parameter(&name, format!("{name} takes a whole number")))
            };
            match name.trim_end_matches("[]") {
                "start_time" => start = Some(number()?),
                "end_time" => end = Some(number()?),
                "limit" => limit = Some(number()?),
                "page" => page = Some(value),
                "bucket_width" => {
                    width = match value.as_str() {
                        "1m" if !costs => Width::Minute,
                        "1h" if !costs => Width::Hour,
                        "1d" => Width::Day,
                        _ => {
                            return Err(Failed::parameter(
                                &name,
                                "bucket_width is 1m, 1h or 1d; for costs only 1d",
                            ));
                        }
                    }
                }
                "group_by" => {
                    for one in value.split(',') {
                        by.push(group(one, costs)?);
                    }
                }
                // Filters and groupings that have no counterpart are refused: ignored, they would
                // answer another question.
                other => {
                    let message = format!("{other} is not supported here");
                    return Err(Failed::parameter(other, message));
                }
            }
        }
        let start =
            start.ok_or_else(|| Failed::parameter("start_time", "start_time is required"))?;
        let start = match page {
            None => start,
            Some(page) => page
                .strip_prefix("page_")
                .and_then(|at| at.parse().ok())
                .ok_or_else(|| Failed::parameter("page", "this is no page that was given out"))?,
        };
        let (usual, most) = width.limits();
        let limit = limit.map_or(Ok(usual), usize::try_from).unwrap_or(0);
        if limit == 0 || limit > most {
            return Err(Failed::parameter("limit", format!("limit is between 1 and {most}")));
        }
        let end = end.unwrap_or(now + 1);
        // Far outside these, buckets could not be counted; nothing is recorded there.
        if !(0..=253_402_300_799).contains(&start) || end <= start {
            return Err(Failed::parameter("start_time", "start_time is not before end_time"));
        }
        Ok(Question { start, end, width, limit, by })
    }

    /// The starts of the page's buckets, and whether there are more.
    fn buckets(&self) -> (Vec<i64>, bool) {
        let width = self.width.seconds();
        let first = self.start.div_euclid(width) * width;
        let all = (0_i64..).map(|at| first + at * width).take_while(|start| *start < self.end);
        let mut starts: Vec<i64> = all.take(self.limit + 1).collect();
        let more = starts.len() > self.limit;
        starts.truncate(self.limit);
        (starts, more)
    }

    /// The bucket's name among the report's rows.
    fn label(&self, start: i64) -> String {
        let Ok(at) = jiff::Timestamp::from_second(start) else { return String::new() };
        let form = match self.width {
            Width::Minute => "%Y-%m-%dT%H:%MZ",
            Width::Hour => "%Y-%m-%dT%H:00Z",
            Width::Day => "%Y-%m-%d",
        };
        at.strftime(form).to_string()
    }
}

fn group(name: &str, costs: bool) -> Result<GroupBy, Failed> {
    match name {
        "project_id" => Ok(GroupBy::Account(None)),
        "line_item" if costs => Ok(GroupBy::Model),
        "model" if !costs => Ok(GroupBy::Model),
        "api_key_id" if !costs => Ok(GroupBy::Key),
        _ => {
            Err(Failed::parameter("group_by", format!("{name} is not something to group by here")))
        }
    }
}

fn key<'r>(row: &'r ReportRow, by: &[GroupBy], group: &GroupBy) -> Option<&'r str> {
    let at = by.iter().position(|g| g == group)?;
    row.keys.get(at + 1).map(|key| &**key)
}

fn cost(row: &ReportRow, by: &[GroupBy], _: Option<&str>) -> serde_json::Result<Box<RawValue>> {
    let value = RawValue::from_string(row.money(Measure::Charged).to_string())?;
    to_raw_value(&Cost {
        object: "organization.costs.result",
        amount: Amount { value, currency: "usd" },
        line_item: key(row, by, &GroupBy::Model),
        project_id: key(row, by, &GroupBy::Account(None)),
        organization_id: None,
    })
}

fn usage(
    row: &ReportRow,
    by: &[GroupBy],
    endpoint: Option<&str>,
) -> serde_json::Result<Box<RawValue>> {
    let mut out = json!({
        "object": "organization.usage.completions.result",
        "input_tokens": row.count(Measure::InputTokens),
        "output_tokens": row.count(Measure::OutputTokens),
        "input_cached_tokens": row.count(Measure::CacheReadTokens),
        "num_model_requests": row.count(Measure::Requests),
        "project_id": key(row, by, &GroupBy::Account(None)),
        "user_id": Value::Null,
        "api_key_id": key(row, by, &GroupBy::Key),
        "model": key(row, by, &GroupBy::Model),
        "batch": Value::Null,
    });
    if endpoint == Some("embeddings")
        && let Value::Object(object) = &mut out
    {
        object.insert("object".into(), "organization.usage.embeddings.result".into());
        object.remove("output_tokens");
        object.remove("input_cached_tokens");
        object.remove("batch");
    }
    to_raw_value(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str) -> Result<Question, Failed> {
        Question::parse(query, false, 1_000_000)
    }

    #[test]
    fn buckets_are_whole_widths_and_pages_follow_each_other() {
        let asked = question("start_time=90000&end_time=400000&limit=2").ok().unwrap();
        assert_eq!(asked.buckets(), (vec![86_400, 172_800], true));
        let next =
            question("start_time=90000&end_time=400000&limit=2&page=page_259200").ok().unwrap();
        assert_eq!(next.buckets(), (vec![259_200, 345_600], false));
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        for bad in [
            "",
            "start_time=x",
            "start_time=5&end_time=5",
            "start_time=0&limit=0",
            "start_time=0&limit=9999",
            "start_time=0&bucket_width=2d",
            "start_time=0&group_by=user_id",
            "start_time=0&models=gpt-4o",
            "start_time=0&page=7",
        ] {
            assert!(question(bad).is_err(), "{bad}");
        }
        let good =
            question("start_time=0&bucket_width=1h&group_by%5B%5D=model&group_by[]=project_id");
        assert_eq!(good.ok().unwrap().by, [GroupBy::Model, GroupBy::Account(None)]);
    }
}
