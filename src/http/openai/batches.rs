//! `/v1/batches`: a file of requests that has a day to be made. A batch is its account's own: to any
//! other it does not exist.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_accounting::Timestamp;
use tollgate_providers::Dialect;

use super::files::{KEPT, file};
use super::lists::{Rules, list_of};
use crate::batches::{Endpoint, FOR_BATCHES, NewBatch};
use crate::http::admin::{Admin, Problem, bad, blocking, ok};
use crate::http::query::pairs;
use crate::http::runs::only_keys;
use crate::http::{Failed, Front, caller, json, own, reading};
use crate::ledger::{
    BatchProgress, BatchRow, BatchStatus, BatchUsage, CallId, Handover, Reader, Stage,
};
use crate::tenants::Caller;

const DIALECT: Dialect = Dialect::OpenAiChat;
/// Batches of a page where the question does not say, and at most; OpenAI's own figures.
const LISTED: Rules = Rules { usual: 20, largest: 100, ordered: false };
/// What a client may note on a batch; OpenAI's own figures.
const MOST_PAIRS: usize = 16;
const MOST_NAME: usize = 64;
const MOST_VALUE: usize = 512;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    metadata: Option<BTreeMap<String, String>>,
    output_expires_after: Option<Keep>,
}

#[derive(Deserialize)]
struct Keep {
    anchor: String,
    seconds: i64,
}

/// `POST /v1/batches`.
pub(in crate::http) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let made = async {
        let caller = caller::authenticate(&front, &headers)?;
        only_keys(&caller)?;
        // A batch's calls are tagged as any call would be.
        let tags = caller::inbound(&headers, CallId::new())?.tags;
        let wish: Wish = own::read(&headers, body).await?;
        let input = file(&front, &caller, &wish.input_file_id).await?;
        if input.purpose != FOR_BATCHES {
            let message = "input_file_id is a file of purpose batch";
            return Err(Failed::parameter("input_file_id", message));
        }
        let new = wish.checked(&caller, tags.as_deref())?;
        Ok(front.batches.create(new).await?)
    };
    answer(made.await)
}

/// `GET /v1/batches`.
pub(in crate::http) async fn list(
    State(front): State<Front>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let listed = async {
        let caller = caller::authenticate(&front, &headers)?;
        only_keys(&caller)?;
        let page = LISTED.read(query.as_deref().unwrap_or(""), |_, _| false)?;
        let account = caller.account.clone();
        let read = move |reader: &Reader| reader.batches(Some(&account), &page);
        let (rows, more) = reading(&front, read).await?;
        Ok(list_of(rows.iter().map(shown).collect(), more))
    };
    let listed: Result<Value, Failed> = listed.await;
    listed.map_or_else(|failed| failed.response(DIALECT, None), |list| json(&list))
}

/// `GET /v1/batches/{id}`.
pub(in crate::http) async fn one(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = async {
        let caller = caller::authenticate(&front, &headers)?;
        only_keys(&caller)?;
        find(&front, &caller, &id).await
    };
    answer(found.await)
}

/// `POST /v1/batches/{id}/cancel`.
pub(in crate::http) async fn cancel(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let cancelled = async {
        let caller = caller::authenticate(&front, &headers)?;
        only_keys(&caller)?;
        let row = find(&front, &caller, &id).await?;
        let did = front.batches.cancel(row).await?;
        let row = find(&front, &caller, &id).await?;
        if did || matches!(row.status, BatchStatus::Cancelling | BatchStatus::Cancelled) {
            return Ok(row);
        }
        Err(Failed::conflict(format!("{id} is {} and cannot be cancelled", row.status.name())))
    };
    answer(cancelled.await)
}

/// `GET /admin/batches`: those of all accounts, or of one.
pub(in crate::http) async fn all(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let (accounts, rest): (Vec<_>, Vec<_>) =
        query.split('&').partition(|pair| pair.starts_with("account="));
    let account = pairs(&accounts.join("&")).next().map(|(_, account)| account);
    let page = LISTED.read(&rest.join("&"), |_, _| false);
    let page = page.map_err(|failed| bad(failed.words().to_owned()))?;
    let read = move || admin.reader.batches(account.as_deref(), &page);
    let (rows, more) = blocking(read).await?;
    let shown = |row: &BatchRow| {
        let mut value = shown(row);
        value["account"] = row.account.clone().into();
        value["handover"] = row.handover.as_ref().map(handover).into();
        value
    };
    Ok(ok(&list_of(rows.iter().map(shown).collect(), more)))
}

fn answer(row: Result<BatchRow, Failed>) -> Response {
    row.map_or_else(|failed| failed.response(DIALECT, None), |row| json(&shown(&row)))
}

async fn find(front: &Front, caller: &Caller, id: &str) -> Result<BatchRow, Failed> {
    let (account, name) = (caller.account.clone(), id.to_owned());
    let read = move |reader: &Reader| reader.batch(Some(&account), &name);
    reading(front, read).await?.ok_or_else(|| Failed::no_such("batch", id))
}

impl Wish {
    fn checked(self, caller: &Caller, tags: Option<&str>) -> Result<NewBatch, Failed> {
        let Wish { input_file_id, endpoint, completion_window, metadata, output_expires_after } =
            self;
        let endpoint = Endpoint::named(&endpoint).ok_or_else(|| {
            let message = format!("endpoint is one of {}", Endpoint::paths());
            Failed::parameter("endpoint", message)
        })?;
        if completion_window != "24h" {
            return Err(Failed::parameter("completion_window", "completion_window is 24h"));
        }
        let metadata = metadata.unwrap_or_default();
        let fits = |(name, value): (&String, &String)| {
            name.chars().count() <= MOST_NAME && value.chars().count() <= MOST_VALUE
        };
        if metadata.len() > MOST_PAIRS || !metadata.iter().all(fits) {
            let message = format!(
                "metadata has at most {MOST_PAIRS} pairs, of names of {MOST_NAME} and values of \
                 {MOST_VALUE} characters"
            );
            return Err(Failed::parameter("metadata", message));
        }
        let keep = output_expires_after.map(|keep| {
            let fits = keep.anchor == "created_at" && KEPT.contains(&keep.seconds);
            let (least, most) = KEPT.into_inner();
            let message = format!("anchor is created_at, and seconds from {least} to {most}");
            if fits {
                Ok(keep.seconds)
            } else {
                Err(Failed::parameter("output_expires_after", message))
            }
        });
        let id = NewBatch::id()?;
        let tags = match tags {
            None => format!("batch={id}"),
            Some(tags) => format!("{tags},batch={id}"),
        };
        let tags = caller::tags(&tags)?.unwrap_or_default();
        Ok(NewBatch {
            id,
            account: caller.account.to_string(),
            key: caller.key.to_string(),
            endpoint,
            input: input_file_id,
            metadata: json!(metadata).to_string(),
            tags: tags.to_string(),
            keep_seconds: keep.transpose()?,
        })
    }
}

/// OpenAI's batch object.
fn shown(row: &BatchRow) -> Value {
    let seconds = |at: Timestamp| at.micros() / 1_000_000;
    let maybe = |at: Option<Timestamp>| at.map(seconds);
    let ended = |status: BatchStatus| maybe(row.ended_at.filter(|_| row.status == status));
    // Its files are there when it is over.
    let file =
        |id: &String, bytes: u64| Some(id.clone()).filter(|_| row.ended_at.is_some() && bytes > 0);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let errors = row
        .problems
        .as_deref()
        .map(|problems| json!({ "object": "list", "data": parsed(problems) }));
    let progress = &row.progress;
    let (completed, failed) = counts(row);
    json!({
        "id": row.id,
        "object": "batch",
        "endpoint": row.endpoint,
        "model": row.model,
        "errors": errors,
        "input_file_id": row.input,
        "completion_window": "24h",
        "status": row.status.name(),
        "output_file_id": file(&row.output, progress.output_bytes),
        "error_file_id": file(&row.rejects, progress.reject_bytes),
        "created_at": seconds(row.created_at),
        "in_progress_at": maybe(row.begun_at),
        "expires_at": seconds(row.expires_at),
        "finalizing_at": maybe(row.finalizing_at),
        "completed_at": ended(BatchStatus::Completed),
        "failed_at": ended(BatchStatus::Failed),
        "expired_at": ended(BatchStatus::Expired),
        "cancelling_at": maybe(row.cancelling_at),
        "cancelled_at": ended(BatchStatus::Cancelled),
        "request_counts": {
            "total": progress.total,
            "completed": completed,
            "failed": failed,
        },
        "usage": row.usage.map(used),
        "metadata": Some(parsed(&row.metadata)).filter(|pairs| *pairs != json!({})),
    })
}

/// Lines with an answer and with an error: those that are recorded, or while a provider works on them, as
/// many as it says.
fn counts(row: &BatchRow) -> (u64, u64) {
    let BatchProgress { total, completed, failed, .. } = row.progress;
    let waits = |to: &&Handover| row.ended_at.is_none() && to.stage == Stage::Waiting;
    match row.handover.as_ref().filter(waits) {
        None => (completed, failed),
        Some(to) => {
            let failed = failed.max(to.seen.1).min(total);
            (completed.max(to.seen.0).min(total - failed), failed)
        }
    }
}

/// Where a batch is handed over, and how far that is.
fn handover(to: &Handover) -> Value {
    json!({
        "provider": to.provider,
        "model": to.model,
        "stage": to.stage.name(),
        "round": to.round,
        "batch_id": to.remote,
        "note": to.note,
    })
}

/// What its lines came to, in the words of OpenAI's batches.
fn used(usage: BatchUsage) -> Value {
    let BatchUsage { input, cached, output, reasoning } = usage;
    json!({
        "input_tokens": input,
        "input_tokens_details": { "cached_tokens": cached },
        "output_tokens": output,
        "output_tokens_details": { "reasoning_tokens": reasoning },
        "total_tokens": input.saturating_add(output),
    })
}
