//! `/v1/files`: what clients send to be worked off as batches, and what batches made. A file is its
//! account's own: to any other it does not exist.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, header};
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tollgate_providers::Dialect;

use super::lists::{Rules, list_of};
use crate::batches::{BatchError, Batches, FOR_BATCHES, Incoming};
use crate::clock;
use crate::http::runs::only_keys;
use crate::http::{Failed, Front, caller, json, reading, stamp};
use crate::ledger::{FileRow, Page};
use crate::tenants::Caller;

const DIALECT: Dialect = Dialect::OpenAiChat;
/// The longest field of an upload that is not the file.
const MOST_FIELD: u64 = 1_024;
/// What an upload may have around its file.
const MOST_AROUND: u64 = 64 * 1_024;
/// The longest name of a file.
const MOST_NAME: usize = 255;
/// How much of a file is read at once.
const PIECE: usize = 64 * 1_024;
/// Files of a page where the question does not say, and at most; OpenAI's own figure.
const PAGE: usize = 10_000;
/// How long a client may ask a file to be kept, in seconds; OpenAI's own figures.
pub(super) const KEPT: std::ops::RangeInclusive<i64> = 3_600..=2_592_000;

/// `POST /v1/files`.
pub(in crate::http) async fn create(
    State(front): State<Front>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let made = async {
        let caller = caller::authenticate(&front, &headers)?;
        only_keys(&caller)?;
        receive(&front.batches, &caller, &headers, body).await
    };
    made.await.map_or_else(|failed| failed.response(DIALECT, None), |row| json(&shown(&row)))
}

/// `GET /v1/files`.
pub(in crate::http) async fn list(
    State(front): State<Front>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let listed = async {
        let caller = caller::authenticate(&front, &headers)?;
        only_keys(&caller)?;
        let (page, purpose) = page(query.as_deref().unwrap_or(""))?;
        let account = caller.account.clone();
        let read = move |reader: &crate::ledger::Reader| {
            reader.files(&account, purpose.as_deref(), &page, clock::now())
        };
        let (rows, more) = reading(&front, read).await?;
        Ok(list_of(rows.iter().map(shown).collect(), more))
    };
    let listed: Result<Value, Failed> = listed.await;
    listed.map_or_else(|failed| failed.response(DIALECT, None), |list| json(&list))
}

/// `GET /v1/files/{id}`.
pub(in crate::http) async fn one(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let found = asked(&front, &headers, id).await;
    found.map_or_else(|failed| failed.response(DIALECT, None), |row| json(&shown(&row)))
}

/// `GET /v1/files/{id}/content`.
pub(in crate::http) async fn content(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let opened = async {
        let row = asked(&front, &headers, id).await?;
        let file = front.batches.contents(&row).await?;
        Ok((row, file))
    };
    let opened: Result<_, Failed> = opened.await;
    match opened {
        Ok((row, file)) => {
            let mut response = Response::new(Body::from_stream(pieces(file)));
            let headers = response.headers_mut();
            let kind = HeaderValue::from_static("application/octet-stream");
            headers.insert(header::CONTENT_TYPE, kind);
            headers.insert(header::CONTENT_LENGTH, row.bytes.into());
            stamp(headers, None);
            response
        }
        Err(failed) => failed.response(DIALECT, None),
    }
}

/// `DELETE /v1/files/{id}`.
pub(in crate::http) async fn delete(
    State(front): State<Front>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let deleted = async {
        let row = asked(&front, &headers, id).await?;
        let id = row.id.clone();
        if front.batches.forget(row).await? {
            Ok(id)
        } else {
            Err(Failed::conflict(format!("{id} is read by a batch that is not over")))
        }
    };
    let deleted: Result<String, Failed> = deleted.await;
    deleted.map_or_else(
        |failed| failed.response(DIALECT, None),
        |id| json(&json!({ "id": id, "object": "file", "deleted": true })),
    )
}

async fn asked(front: &Front, headers: &HeaderMap, id: String) -> Result<FileRow, Failed> {
    let caller = caller::authenticate(front, headers)?;
    only_keys(&caller)?;
    file(front, &caller, &id).await
}

/// An account's file.
pub(super) async fn file(front: &Front, caller: &Caller, id: &str) -> Result<FileRow, Failed> {
    let (account, name) = (caller.account.clone(), id.to_owned());
    let read = move |reader: &crate::ledger::Reader| reader.file(&account, &name, clock::now());
    reading(front, read).await?.ok_or_else(|| Failed::no_such("file", id))
}

/// Takes in a form: its file goes to the disk as it comes.
async fn receive(
    batches: &Batches,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<FileRow, Failed> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(kind.unwrap_or(""))
        .map_err(|_| Failed::body("a file is sent as multipart/form-data, with its boundary"))?;
    let most = batches.settings().max_file_bytes;
    let sizes = SizeLimit::new()
        .whole_stream(most.saturating_add(MOST_AROUND))
        .for_field("file", most)
        .per_field(MOST_FIELD);
    let constraints = Constraints::new().size_limit(sizes);
    let mut form = Multipart::with_constraints(Paced::new(body), boundary, constraints);
    let (mut incoming, mut name): (Option<Incoming<'_>>, _) = (None, String::new());
    let (mut purpose, mut seconds) = (None, None);
    while let Some(mut field) = form.next_field().await.map_err(|e| broken(&e, most))? {
        match field.name().unwrap_or("") {
            "file" if incoming.is_none() => {
                field.file_name().unwrap_or("upload").clone_into(&mut name);
                if name.len() > MOST_NAME {
                    let message = format!("a file's name has at most {MOST_NAME} bytes");
                    return Err(Failed::parameter("file", message));
                }
                let file = incoming.insert(batches.receive(&caller.account).await?);
                while let Some(piece) = field.chunk().await.map_err(|e| broken(&e, most))? {
                    batches.take(file, &piece).await?;
                }
            }
            "purpose" => purpose = Some(text(field, most).await?),
            "expires_after[anchor]" => {
                if text(field, most).await? != "created_at" {
                    let message = "expires_after.anchor is created_at";
                    return Err(Failed::parameter("expires_after", message));
                }
            }
            "expires_after[seconds]" => seconds = Some(kept(&text(field, most).await?)?),
            other => {
                let message = format!("{other:?} is no field of an upload, or is there twice");
                return Err(Failed::parameter(other, message));
            }
        }
    }
    if purpose.as_deref() != Some(FOR_BATCHES) {
        let message = "purpose is batch: files are kept for nothing else here";
        return Err(Failed::parameter("purpose", message));
    }
    let file = incoming.ok_or_else(|| Failed::parameter("file", "the form has no file"))?;
    Ok(batches.keep(file, name, seconds).await?)
}

async fn text(field: multer::Field<'_>, most: u64) -> Result<String, Failed> {
    field.text().await.map_err(|error| broken(&error, most))
}

fn kept(text: &str) -> Result<i64, Failed> {
    let seconds = text.parse().ok().filter(|seconds| KEPT.contains(seconds));
    let (least, most) = KEPT.into_inner();
    let message = format!("expires_after.seconds is from {least} to {most}");
    seconds.ok_or_else(|| Failed::parameter("expires_after", message))
}

/// What is wrong with a form that cannot be read to its end.
fn broken(error: &multer::Error, most: u64) -> Failed {
    use multer::Error::{FieldSizeExceeded, StreamReadFailed, StreamSizeExceeded};
    match error {
        FieldSizeExceeded { field_name: Some(name), .. } if name != "file" => {
            Failed::parameter(name, format!("{name} is longer than {MOST_FIELD} bytes"))
        }
        FieldSizeExceeded { .. } | StreamSizeExceeded { .. } => BatchError::TooLarge(most).into(),
        StreamReadFailed(_) => Failed::unread(),
        other => Failed::body(&format!("the form cannot be read: {other}")),
    }
}

/// A body that rests after each piece. The form's reader takes in whatever is ready before it gives
/// anything on, which of a fast client would be all of a file.
struct Paced {
    body: BodyDataStream,
    rests: bool,
}

impl Paced {
    fn new(body: Body) -> Paced {
        Paced { body: body.into_data_stream(), rests: false }
    }
}

impl Stream for Paced {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.rests = !self.rests;
        if !self.rests {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = Pin::new(&mut self.body).poll_next(context);
        if next.is_pending() {
            self.rests = false;
        }
        next
    }
}

/// A file's bytes, as they are read.
fn pieces(file: tokio::fs::File) -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::unfold(Some(file), |file| async move {
        let mut file = file?;
        let mut piece = BytesMut::with_capacity(PIECE);
        match file.read_buf(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(piece.freeze()), Some(file))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Which files are asked for.
fn page(query: &str) -> Result<(Page, Option<String>), Failed> {
    let mut purpose = None;
    let rules = Rules { usual: PAGE, largest: PAGE, ordered: true };
    let page = rules.read(query, |name, value| {
        let known = name == "purpose";
        if known {
            purpose = Some(value.to_owned());
        }
        known
    })?;
    Ok((page, purpose))
}

fn shown(row: &FileRow) -> Value {
    let FileRow { id, account: _, name, purpose, bytes, created_at, expires_at } = row;
    json!({
        "id": id,
        "object": "file",
        "bytes": bytes,
        "created_at": created_at.micros() / 1_000_000,
        "expires_at": expires_at.micros() / 1_000_000,
        "filename": name,
        "purpose": purpose,
        "status": "processed",
        "status_details": null,
    })
}
