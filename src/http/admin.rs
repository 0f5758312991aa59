//! The admin plane, on its own listener and with its own key: health, metrics, accounts, keys, limits,
//! reports. Errors are problem details (RFC 9457).

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tollgate_accounting::{Limit, PriceList, Timestamp};

use super::prompts::admin as prompts;
use super::strangers::{Way, wait};
use super::{Watched, corrections, purge, targets, view};
use crate::cache::{Current, Fingerprint, Form};
use crate::call::Flights;
use crate::control::{Control, ControlError, NewKey, Publisher};
use crate::ledger::{CallId, Filter, GroupBy, Ledger, Question, Reader, Refused, StoreError};
use crate::tenants::Strangers;

/// The largest body of an admin request.
const MOST_BODY: usize = 64 * 1024;

/// What a model at a provider costs by the configuration of the moment.
pub type Prices = dyn Fn(&str, &str) -> Option<PriceList> + Send + Sync;

/// What the admin plane works on.
#[derive(Clone)]
pub struct Admin {
    /// Accounts, keys and limits.
    pub control: Arc<Control>,
    /// Prompt templates.
    pub publisher: Arc<Publisher>,
    /// How limits stand.
    pub ledger: Ledger,
    /// Reports.
    pub reader: Arc<Reader>,
    /// Replies that are kept, if any are.
    pub cache: Arc<Current>,
    /// Identical calls in flight.
    pub together: Flights<(Fingerprint, Form)>,
    /// A keyed digest of the admin key, and the key of the digest.
    pub key: AdminKey,
    /// What models cost, for rating calls anew.
    pub prices: Arc<Prices>,
    /// Renders the metrics.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Addresses that show a wrong key.
    pub strangers: Arc<Strangers>,
    /// Every target that was asked, as it is now.
    pub targets: Arc<dyn Fn() -> Vec<Watched> + Send + Sync>,
    /// Reads the configuration again; the error lists everything wrong with it.
    pub reload: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// The admin key, as a digest under a key of this process.
#[derive(Clone, Copy)]
pub struct AdminKey {
    under: [u8; 32],
    digest: blake3::Hash,
}

impl AdminKey {
    /// Digests the key.
    pub fn new(key: &str) -> Result<AdminKey, getrandom::Error> {
        let mut under = [0; 32];
        getrandom::fill(&mut under)?;
        Ok(AdminKey { under, digest: blake3::keyed_hash(&under, key.as_bytes()) })
    }

    fn opens(&self, shown: &str) -> bool {
        // blake3's comparison takes the same time wherever the digests differ.
        blake3::keyed_hash(&self.under, shown.as_bytes()) == self.digest
    }
}

/// A refusal, as problem details.
pub(super) struct Problem(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem(status, detail) = self;
        let title = status.canonical_reason().unwrap_or("error");
        let body = json!({ "title": title, "status": status.as_u16(), "detail": detail });
        let kind = HeaderValue::from_static("application/problem+json");
        (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        let status = match error {
            ControlError::NoAccount(_)
            | ControlError::NoKey(_)
            | ControlError::NoLimit { .. }
            | ControlError::NoPlan { .. }
            | ControlError::NoSuch { .. } => StatusCode::NOT_FOUND,
            ControlError::BadLimit { .. }
            | ControlError::Expired
            | ControlError::NotMore { .. }
            | ControlError::NothingToRaise { .. } => StatusCode::BAD_REQUEST,
            ControlError::OnlyForKeys => StatusCode::FORBIDDEN,
            ControlError::Conflict(_) | ControlError::Decided { .. } => StatusCode::CONFLICT,
            ControlError::TooMuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::Ledger(_) => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Random(_) | ControlError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Problem(status, error.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        ControlError::Ledger(refused).into()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        tracing::error!(%error, "an admin request failed");
        Problem(StatusCode::INTERNAL_SERVER_ERROR, "the ledger cannot be read".to_owned())
    }
}

/// The admin plane's routes.
pub fn admin_routes(admin: Admin) -> Router {
    let published = DefaultBodyLimit::max(prompts::MOST_BODY);
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/admin/accounts", get(accounts))
        .route("/admin/batches", get(super::openai::batches::all))
        .route("/admin/cache", get(purge::kept).delete(purge::purge))
        .route("/admin/providers", get(providers))
        .route("/admin/keys", get(keys).post(create_key))
        .route("/admin/keys/{id}", delete(revoke_key))
        .route("/admin/limits", get(limits).post(add_limit).delete(remove_limit))
        .route("/admin/prompts", get(prompts::list).post(prompts::publish).layer(published))
        .route("/admin/prompts/labels", post(prompts::label))
        .route("/admin/reports", get(reports))
        .route("/admin/rerate", post(corrections::rerate))
        .route("/admin/bills", post(corrections::bill))
        .route("/admin/requests/{id}", get(request))
        .route("/admin/reload", post(reload))
        .merge(super::plans::routes())
        .merge(super::prompts::shared::admin_routes())
        .fallback(async || Problem(StatusCode::NOT_FOUND, "there is nothing here".to_owned()))
        .layer(from_fn_with_state(admin.clone(), guard));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(admin)
}

/// Nothing but health is answered without the admin key, which is no tenant's.
async fn guard(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let shown = shown.and_then(|v| v.strip_prefix("Bearer ")).unwrap_or("");
    let mut response = if admin.key.opens(shown) {
        next.run(request).await
    } else {
        let until = Way::of(&request).and_then(|from| from.refused(&admin.strangers));
        match until.map(wait) {
            None => {
                Problem(StatusCode::UNAUTHORIZED, "the admin key is missing or wrong".to_owned())
                    .into_response()
            }
            Some(micros) => {
                let seconds = micros / 1_000_000 + 1;
                let words = "this address showed too many wrong keys: wait".to_owned();
                let problem = Problem(StatusCode::TOO_MANY_REQUESTS, words).into_response();
                ([(header::RETRY_AFTER, seconds.to_string())], problem).into_response()
            }
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn ready(State(admin): State<Admin>) -> Response {
    match admin.ledger.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(refused) => {
            Problem(StatusCode::SERVICE_UNAVAILABLE, format!("{refused:?}")).into_response()
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4");
    ([(header::CONTENT_TYPE, kind)], (admin.metrics)()).into_response()
}

pub(super) fn ok(value: &Value) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], value.to_string()).into_response()
}

async fn accounts(State(admin): State<Admin>) -> Response {
    let rows: Vec<Value> = admin
        .control
        .accounts()
        .into_iter()
        .map(|account| {
            let id = admin.ledger.with_book(|book| book.account(&account.path));
            let totals = id.map(|id| admin.ledger.with_book(|book| book.totals(id)));
            let standings = id.map(|id| admin.ledger.standing(id)).unwrap_or_default();
            let own = standings.iter().filter(|s| *s.account == *account.path);
            json!({
                "account": account.path,
                "name": account.name,
                "timezone": account.zone,
                "limits": own.map(view::standing).collect::<Vec<_>>(),
                "requests": totals.map(|t| t.requests),
                "input_tokens": totals.map(|t| t.input_tokens),
                "output_tokens": totals.map(|t| t.output_tokens),
                "charged_usd": totals.map(|t| t.cost.to_string()),
            })
        })
        .collect();
    ok(&json!({ "data": rows, "open_calls": admin.ledger.open_calls() }))
}

async fn providers(State(admin): State<Admin>) -> Result<Response, Problem> {
    let by = vec![GroupBy::Provider, GroupBy::Model];
    let question = Question::new(Filter::default(), by);
    let reader = admin.reader.clone();
    let rows = blocking(move || reader.report(&question)).await?;
    Ok(ok(&targets::view(&(admin.targets)(), &rows)))
}

async fn keys(State(admin): State<Admin>) -> Result<Response, Problem> {
    let rows = blocking(move || admin.reader.keys()).await?;
    Ok(ok(&json!({ "data": rows.iter().map(view::key_json).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyWish {
    account: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    limits: Vec<String>,
    expires_at: Option<String>,
}

async fn create_key(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let KeyWish { account, name, limits, expires_at } = read(&body)?;
    let expires_at = expires_at.map(|text| instant("expires_at", &text)).transpose()?;
    let new = NewKey { account, name, limits, expires_at };
    let (key, row) = blocking(move || admin.control.create_key(new)).await?;
    let mut value = view::key_json(&row);
    value["key"] = key.into();
    Ok((StatusCode::CREATED, ok(&value)).into_response())
}

async fn revoke_key(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let row = blocking(move || admin.control.revoke_key(&id)).await?;
    Ok(ok(&view::key_json(&row)))
}

async fn limits(State(admin): State<Admin>) -> Result<Response, Problem> {
    let reader = admin.reader.clone();
    let extra = blocking(move || reader.extra_limits()).await?;
    let own = |account: &str, limits: &[Limit]| {
        let row =
            |l: &Limit| json!({ "account": account, "limit": l.describe(), "source": "config" });
        limits.iter().map(row).collect::<Vec<_>>()
    };
    let mut configured = own("", &admin.control.gateway_limits());
    for account in admin.control.accounts() {
        configured.extend(own(&account.path, &account.limits));
    }
    let extra = extra
        .iter()
        .map(|(account, text)| json!({ "account": account, "limit": text, "source": "admin" }));
    Ok(ok(&json!({ "data": configured.into_iter().chain(extra).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitWish {
    account: String,
    limit: String,
}

async fn add_limit(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let LimitWish { account, limit } = read(&body)?;
    let answer = json!({ "account": account, "limit": limit, "source": "admin" });
    blocking(move || admin.control.add_limit(&account, &limit)).await?;
    Ok((StatusCode::CREATED, ok(&answer)).into_response())
}

async fn remove_limit(State(admin): State<Admin>, body: Bytes) -> Result<Response, Problem> {
    let LimitWish { account, limit } = read(&body)?;
    blocking(move || admin.control.remove_limit(&account, &limit)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn reports(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let question = question(&query.unwrap_or_default())?;
    let by = question.by.clone();
    let rows = blocking(move || admin.reader.report(&question)).await?;
    let rows: Vec<Value> = rows.iter().map(|row| view::report_row(row, &by)).collect();
    Ok(ok(&json!({ "rows": rows })))
}

/// A report's question as a query string. What is neither a word of it nor a group is refused; a group
/// with a value lets only rows of that group through.
fn question(query: &str) -> Result<Question, Problem> {
    let mut question = Question::new(Filter::default(), Vec::new());
    for (name, value) in super::query::pairs(query) {
        let filter = &mut question.filter;
        match name.as_str() {
            "account" => filter.account = Some(value),
            "as_of" => filter.as_of = Some(instant(&name, &value)?),
            "from" => filter.from = Some(instant(&name, &value)?),
            "to" => filter.to = Some(instant(&name, &value)?),
            "timezone" => {
                let zone = jiff::tz::TimeZone::get(&value);
                question.zone = zone.map_err(|_| bad(format!("there is no zone {value:?}")))?;
            }
            "top" => {
                let top = value.parse().map_err(|_| bad("top is a whole number".to_owned()))?;
                question.top = Some(top);
            }
            "by" => {
                for one in value.split(',') {
                    let group: Result<GroupBy, _> = one.parse();
                    question.by.push(group.map_err(|error| bad(error.to_string()))?);
                }
            }
            other => {
                let group = other.parse::<GroupBy>();
                let group = group.ok().filter(|group| !matches!(group, GroupBy::Time(_)));
                let group = group.ok_or_else(|| bad(format!("unknown parameter {other:?}")))?;
                filter.only.push((group, value.split(',').map(str::to_owned).collect()));
            }
        }
    }
    Ok(question)
}

async fn request(State(admin): State<Admin>, Path(id): Path<String>) -> Result<Response, Problem> {
    let unknown = || Problem(StatusCode::NOT_FOUND, format!("there is no request {id:?}"));
    let call = CallId::parse(&id).ok_or_else(unknown)?;
    let found = blocking(move || view::explain(&admin.reader, call)).await?;
    found.map(|explained| ok(&explained.value)).ok_or_else(unknown)
}

async fn reload(State(admin): State<Admin>) -> Result<Response, Problem> {
    blocking(move || (admin.reload)().map_err(bad)).await?;
    Ok(ok(&json!({ "reloaded": true })))
}

/// Runs a change or read off the reactor.
pub(super) async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem>
where
    Problem: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!(%error, "an admin request failed");
            Err(Problem(StatusCode::INTERNAL_SERVER_ERROR, "the request failed".to_owned()))
        }
    }
}

pub(super) fn bad(detail: String) -> Problem {
    Problem(StatusCode::BAD_REQUEST, detail)
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

pub(super) fn instant(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let at: jiff::Timestamp =
        text.parse().map_err(|_| bad(format!("{name} is an RFC 3339 instant, not {text:?}")))?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}
