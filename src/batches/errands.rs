//! What a provider is asked about a batch that is handed over to it, and what went wrong with that.

use std::io::Error;
use std::time::Duration;

use http::StatusCode;
use tollgate_providers::Encoded;
use tollgate_providers::batches::{self as wire, RemoteBatch};

use super::folder::Upload;
use super::work::Shop;
use crate::ledger::Handover;
use crate::upstream::{Answer, Body};

/// The largest answer that is no file.
const MOST_ANSWER: usize = 16 * 1024 * 1024;
/// The largest file of answers.
const MOST_CONTENT: u64 = 16 << 30;
/// Pages of a list that are looked through.
const MOST_PAGES: usize = 100;

/// Why there is no answer to a question.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The provider says no, and would again.
    Refused(String),
    /// Another time.
    Later(String),
}

impl Trouble {
    /// The same, though it might not pass.
    pub(super) fn passing(self) -> Trouble {
        match self {
            Trouble::Refused(why) | Trouble::Later(why) => Trouble::Later(why),
        }
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Trouble::Refused(why) | Trouble::Later(why) => why,
        }
    }
}

/// The questions about one handover.
pub(super) struct Errands<'s> {
    pub(super) shop: &'s Shop,
    pub(super) to: &'s Handover,
}

impl Errands<'_> {
    /// Sends the file of its lines; the provider's id of it.
    pub(super) async fn upload(&self, lines: &[u8]) -> Result<String, Trouble> {
        self.read(wire::upload(&self.to.mark(), lines), wire::read_file).await
    }

    /// Makes a batch of that file.
    pub(super) async fn create(&self, file: &str, url: &str) -> Result<RemoteBatch, Trouble> {
        self.read(wire::create(file, url, &self.to.mark()), wire::read).await
    }

    /// The batch that was made of it, if one was: it is known by its mark.
    pub(super) async fn find(&self) -> Result<Option<RemoteBatch>, Trouble> {
        let mark = self.to.mark();
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let (batches, more) = self.read(wire::list(after.as_deref()), wire::read_list).await?;
            after = batches.last().map(|last| last.id.clone());
            let found = batches.into_iter().find(|batch| batch.mark.as_deref() == Some(&*mark));
            if found.is_some() || !more || after.is_none() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// How the batch is.
    pub(super) async fn look(&self, id: &str) -> Result<RemoteBatch, Trouble> {
        self.read(wire::look(id), wire::read).await
    }

    /// Calls the batch off.
    pub(super) async fn cancel(&self, id: &str) -> Result<RemoteBatch, Trouble> {
        self.read(wire::cancel(id), wire::read).await
    }

    /// Receives a file of answers.
    pub(super) async fn receive(&self, file: &str, into: &mut Upload) -> Result<(), Trouble> {
        let (mut body, patience) = self.ask(wire::content(file)).await?;
        loop {
            let piece = tokio::time::timeout(patience, body.next()).await;
            let piece = piece.map_err(|_| later(format!("nothing came for {patience:?}")))?;
            let Some(piece) = piece else { break };
            let piece = piece.map_err(|broken| later(broken.to_string()))?;
            if into.bytes().saturating_add(piece.len() as u64) > MOST_CONTENT {
                return Err(later(format!("its file has more than {MOST_CONTENT} bytes")));
            }
            into.write(&piece).await.map_err(|error| disk(&error))?;
        }
        into.sync().await.map_err(|error| disk(&error))
    }

    async fn read<T>(
        &self,
        question: Encoded,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, Trouble> {
        let (body, patience) = self.ask(question).await?;
        let body = body.collect(MOST_ANSWER, patience).await;
        let body = body.map_err(|broken| later(broken.to_string()))?;
        read(&body).ok_or_else(|| later("its answer cannot be read".to_owned()))
    }

    async fn ask(&self, question: Encoded) -> Result<(Body, Duration), Trouble> {
        let what = format!("{} {}", question.method, question.path);
        let asked = self.shop.calls.ask(self.to, question).await;
        let (Answer { status, body, .. }, patience) =
            asked.map_err(|error| later(error.to_string()))?;
        if status.is_success() {
            return Ok((body, patience));
        }
        let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT];
        let passes = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || passes.contains(&status);
        let why = format!("{} answered {status} to {what}", self.to.provider);
        Err(if passes { Trouble::Later(why) } else { Trouble::Refused(why) })
    }
}

fn later(why: String) -> Trouble {
    Trouble::Later(why)
}

fn disk(error: &Error) -> Trouble {
    later(format!("a file of answers cannot be kept: {error}"))
}
