//! One batch from its file to its end. Its lines are called like any request, at a low priority, each
//! under an idempotency key of its own: whatever happens, none is called twice.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::calls::{Call, Calls, Endpoint};
use super::lines::{self, Line, Lines, Next, Request};
use super::results::{Done, Results};
use super::{BatchError, Batches, OF_BATCHES, blocking, hand_over};
use crate::clock;
use crate::ledger::{BatchProgress, BatchRow, BatchStatus, FileRow, KeyName};

/// How long calls in flight may go on in a batch that is called off or whose time is over.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a line is made again whose provider was asked and was not ready.
const MOST_ASKED: u32 = 5;
/// The shortest and the longest wait before a line is tried again.
pub(super) const WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));
/// The wait before something is tried again that disk or ledger refused.
const LATER: Duration = Duration::from_millis(250);
/// Lines that are recorded at once where they need no call.
pub(super) const TOGETHER: usize = 256;

/// What all batches work with.
pub(super) struct Shop {
    pub(super) batches: Arc<Batches>,
    pub(super) calls: Arc<dyn Calls>,
    /// Lines in flight, of all batches.
    pub(super) room: Arc<Semaphore>,
    /// The most of one.
    pub(super) most: usize,
    /// Batches that wait for their providers.
    pub(super) waiting: AtomicUsize,
    /// Lets files go to providers one at a time: each is in memory meanwhile.
    pub(super) sending: Semaphore,
    /// Cancelled when nothing new is to begin.
    pub(super) shutdown: CancellationToken,
    /// Cancelled when calls in flight must end.
    pub(super) stop: CancellationToken,
}

/// Why no more lines are begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Cancelled,
    Expired,
    /// The gateway ends; the next start goes on.
    Stopped,
}

/// Sees a batch to its end, or as far as the gateway lives; `quit` is cancelled when it is called off.
pub(super) async fn see_to(
    shop: Arc<Shop>,
    id: String,
    quit: CancellationToken,
) -> Result<(), BatchError> {
    let Some(mut row) = read(&shop, &id).await? else { return Ok(()) };
    if row.status == BatchStatus::Validating {
        match validated(&shop, &row).await? {
            Some(begun) => row = begun,
            None => return Ok(()),
        }
    }
    if row.status == BatchStatus::Cancelling {
        quit.cancel();
    }
    let mut work = Work::open(shop, row).await?;
    let end = match work.hand_over(&quit).await? {
        Some(end) => end,
        None => work.make_lines(&quit).await?,
    };
    match end {
        End::Stopped => Ok(()),
        end => work.finish(end).await,
    }
}

async fn read(shop: &Shop, id: &str) -> Result<Option<BatchRow>, BatchError> {
    let (reader, id) = (shop.batches.reader.clone(), id.to_owned());
    blocking(move || Ok(reader.batch(None, &id)?)).await
}

/// The batch as it is after its file was checked; none where that ended it.
async fn validated(shop: &Arc<Shop>, row: &BatchRow) -> Result<Option<BatchRow>, BatchError> {
    let (shop, row) = (shop.clone(), row.clone());
    blocking(move || {
        let Shop { batches, calls, .. } = &*shop;
        let endpoint = Endpoint::named(&row.endpoint).unwrap_or(Endpoint::Chat);
        let most = batches.settings.load().max_lines;
        let checked = match Lines::open(&batches.folder.path(&row.input), calls.most_body()) {
            Ok(lines) => lines::check(lines, most, endpoint, &row.key, &**calls)?,
            // A backup of the ledger has no contents of files.
            Err(error) if error.kind() == ErrorKind::NotFound => Err(lines::missing()),
            Err(error) => return Err(error.into()),
        };
        match checked {
            Ok(lines::Checked { total, model }) => {
                // With its beginning, so that no start comes between.
                let handover = hand_over::decide(batches, &**calls, &row, total, model.as_deref());
                batches.ledger.begin_batch(&row.id, total, model, handover, clock::now())?;
            }
            Err(problems) => {
                let problems = serde_json::Value::from(problems).to_string();
                batches.ledger.fail_batch(&row.id, problems, clock::now())?;
            }
        }
        // It may have been called off meanwhile.
        let row = batches.reader.batch(None, &row.id)?;
        Ok(row.filter(|row| row.ended_at.is_none()))
    })
    .await
}

pub(super) struct Work {
    pub(super) shop: Arc<Shop>,
    pub(super) row: BatchRow,
    pub(super) endpoint: Endpoint,
    results: Arc<Mutex<Results>>,
    /// Numbers of lines that are done, or being made.
    pub(super) begun: HashSet<u32>,
    key: Arc<str>,
    tags: Arc<str>,
}

impl Work {
    async fn open(shop: Arc<Shop>, row: BatchRow) -> Result<Work, BatchError> {
        let (folder, of) = (shop.batches.folder.clone(), row.clone());
        let (results, begun) = blocking(move || Ok(Results::open(&folder, &of)?)).await?;
        Ok(Work {
            shop,
            endpoint: Endpoint::named(&row.endpoint).unwrap_or(Endpoint::Chat),
            results: Arc::new(Mutex::new(results)),
            begun: begun.into_iter().collect(),
            key: row.key.as_str().into(),
            tags: row.tags.as_str().into(),
            row,
        })
    }

    /// Makes the lines that are not done, as many at once as there is room for.
    async fn make_lines(&mut self, quit: &CancellationToken) -> Result<End, BatchError> {
        let mut lines = self.lines().await?;
        let (mut flying, halt) = (JoinSet::new(), CancellationToken::new());
        let shop = self.shop.clone();
        let over = Instant::now() + clock::until(self.row.expires_at);
        let (mut end, mut last) = (None, over + PATIENCE);
        loop {
            let taking = end.is_none() && lines.is_some();
            if flying.is_empty() && !taking {
                return Ok(end.unwrap_or(End::Done));
            }
            let ended = tokio::select! {
                biased;
                () = shop.stop.cancelled() => {
                    flying.shutdown().await;
                    return Ok(End::Stopped);
                }
                () = shop.shutdown.cancelled(), if end != Some(End::Stopped) => End::Stopped,
                () = quit.cancelled(), if end.is_none() => End::Cancelled,
                () = sleep_until(over), if end.is_none() => End::Expired,
                () = sleep_until(last), if end.is_some() => {
                    // What they hold is settled at what was seen, and told as interrupted.
                    flying.shutdown().await;
                    continue;
                }
                Some(done) = flying.join_next(), if !flying.is_empty() => {
                    let mut all: Vec<Done> = done.ok().flatten().into_iter().collect();
                    while let Some(done) = flying.try_join_next() {
                        all.extend(done.ok().flatten());
                    }
                    self.record(all).await?;
                    continue;
                }
                room = shop.room.clone().acquire_owned(), if taking && flying.len() < shop.most => {
                    let Ok(room) = room else { return Ok(End::Stopped) };
                    match self.next_line(&mut lines).await? {
                        Some(line) => {
                            flying.spawn(self.made(line, room, halt.clone()));
                        }
                        None => lines = None,
                    }
                    continue;
                }
            };
            end = Some(ended);
            last = Instant::now() + PATIENCE;
            halt.cancel();
        }
    }

    /// The file of its lines; none where it has not come so far that they are known to be requests.
    pub(super) async fn lines(&self) -> Result<Option<Lines>, BatchError> {
        if self.row.begun_at.is_none() || self.begun.len() as u64 >= self.row.progress.total {
            return Ok(None);
        }
        self.all_lines().await
    }

    pub(super) async fn all_lines(&self) -> Result<Option<Lines>, BatchError> {
        let path = self.shop.batches.folder.path(&self.row.input);
        let most = self.shop.calls.most_body();
        blocking(move || match Lines::open(&path, most) {
            Ok(lines) => Ok(Some(lines)),
            // Its rest went with the file: it ends with what is done.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// The next line that is neither done nor being made.
    pub(super) async fn next_line(
        &mut self,
        lines: &mut Option<Lines>,
    ) -> Result<Option<Line>, BatchError> {
        loop {
            let Some(mut from) = lines.take() else { return Ok(None) };
            let (from, next) = blocking(move || {
                let next = from.next()?;
                Ok((from, next))
            })
            .await?;
            *lines = Some(from);
            match next {
                Next::End => return Ok(None),
                // It was shorter when the file was checked; a file does not change.
                Next::TooLong(_) => {}
                Next::Line(line) if self.begun.insert(line.number) => return Ok(Some(line)),
                Next::Line(_) => {}
            }
        }
    }

    /// A line on its way to what becomes of it; nothing, where it was not made when lines were halted.
    fn made(
        &self,
        line: Line,
        room: OwnedSemaphorePermit,
        halt: CancellationToken,
    ) -> impl Future<Output = Option<Done>> + Send + 'static {
        let shop = self.shop.clone();
        let (call, name) = self.call(&line);
        let (batch, bound) = (self.row.id.clone(), self.bound(line.number));
        async move {
            let (mut room, mut asked) = (Some(room), 0);
            loop {
                let made = shop.calls.make(call.clone()).await;
                drop(room.take());
                let Some(again) = made.again.filter(|again| !again.asked || asked < MOST_ASKED)
                else {
                    return Some(Done::made(&batch, line.number, &name, &made));
                };
                asked += u32::from(again.asked);
                shop.batches.ledger.free_key(&bound);
                tokio::select! {
                    () = halt.cancelled() => return None,
                    () = sleep(again.after.clamp(WAIT.0, WAIT.1)) => {}
                }
                room = tokio::select! {
                    () = halt.cancelled() => return None,
                    room = shop.room.clone().acquire_owned() => room.ok(),
                };
            }
        }
    }

    pub(super) fn call(&self, line: &Line) -> (Call, String) {
        let request: Option<Request<'_>> = serde_json::from_slice(&line.text).ok();
        let name = request.as_ref().and_then(|r| r.custom_id.clone()).unwrap_or_default();
        let body = request.and_then(|request| request.body).map_or("", |body| body.get());
        let call = Call {
            key: self.key.clone(),
            endpoint: self.endpoint,
            tags: self.tags.clone(),
            name: self.bound(line.number).key,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        (call, name)
    }

    /// The idempotency key of a line.
    pub(super) fn bound(&self, number: u32) -> KeyName {
        KeyName {
            account: self.row.account.as_str().into(),
            endpoint: self.endpoint.operation().into(),
            key: KeyName::of_line(&self.row.id, number),
        }
    }

    /// Has lines that are done on the disk and in the ledger, however long that takes.
    pub(super) async fn record(&mut self, done: Vec<Done>) -> Result<(), BatchError> {
        if done.is_empty() {
            return Ok(());
        }
        let keys: Vec<KeyName> = done.iter().map(|done| self.bound(done.number)).collect();
        let done = Arc::new(done);
        loop {
            let (results, ledger) = (self.results.clone(), self.shop.batches.ledger.clone());
            let (id, keys, done) = (self.row.id.clone(), keys.clone(), done.clone());
            let wrote = blocking(move || {
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                let progress = results.write(&done)?;
                ledger.advance_batch(&id, progress, keys)?;
                results.progress = progress;
                Ok(())
            });
            let Err(error) = wrote.await else { return Ok(()) };
            tracing::warn!(%error, batch = self.row.id, "lines that are done are not recorded yet");
            tokio::select! {
                () = self.shop.stop.cancelled() => return Err(error),
                () = sleep(LATER) => {}
            }
        }
    }

    /// Closes its files. A line that was charged has its answer there, or says that it is lost.
    async fn finish(mut self, end: End) -> Result<(), BatchError> {
        let (ledger, id) = (self.shop.batches.ledger.clone(), self.row.id.clone());
        blocking(move || Ok(ledger.finalize_batch(&id, clock::now())?)).await?;
        if end != End::Done {
            self.leave_the_rest(end).await?;
        }
        let progress = self.progress();
        let settings = self.shop.batches.settings();
        let now = clock::now();
        let file = |id: &str, kind: &str, bytes: u64| {
            (bytes > 0).then(|| FileRow {
                id: id.to_owned(),
                account: self.row.account.clone(),
                name: format!("{}_{kind}.jsonl", self.row.id),
                purpose: OF_BATCHES.to_owned(),
                bytes,
                created_at: now,
                expires_at: settings.end(now, self.row.keep_seconds),
            })
        };
        let output = file(&self.row.output, "output", progress.output_bytes);
        let rejects = file(&self.row.rejects, "error", progress.reject_bytes);
        for (file, id) in [(&output, &self.row.output), (&rejects, &self.row.rejects)] {
            if file.is_none() {
                self.shop.batches.folder.remove(id);
            }
        }
        let files = output.into_iter().chain(rejects).collect();
        let status = match end {
            End::Expired => BatchStatus::Expired,
            End::Cancelled => BatchStatus::Cancelled,
            End::Done | End::Stopped => BatchStatus::Completed,
        };
        let (ledger, id) = (self.shop.batches.ledger.clone(), self.row.id.clone());
        blocking(move || Ok(ledger.end_batch(&id, status, files, now)?)).await
    }

    /// How far its lines are.
    pub(super) fn progress(&self) -> BatchProgress {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).progress
    }

    /// Reads anew which lines are done.
    pub(super) async fn read_done(&mut self) -> Result<(), BatchError> {
        let (folder, mut row) = (self.shop.batches.folder.clone(), self.row.clone());
        row.progress = self.progress();
        let done = blocking(move || Ok(Results::open(&folder, &row)?.1)).await?;
        self.begun = done.into_iter().collect();
        Ok(())
    }

    /// The lines that were not made, and those whose calls broke off.
    async fn leave_the_rest(&mut self, end: End) -> Result<(), BatchError> {
        self.read_done().await?;
        let mut lines = self.lines().await?;
        let mut rest = Vec::new();
        while let Some(line) = self.next_line(&mut lines).await? {
            let bound = self.bound(line.number);
            if self.shop.batches.ledger.knows_key(&bound) {
                let (call, name) = self.call(&line);
                // It is not made: its answer is kept, or lost.
                let made = self.shop.calls.make(call).await;
                rest.push(Done::made(&self.row.id, line.number, &name, &made));
            } else if end == End::Expired {
                let (_, name) = self.call(&line);
                let words = "this request was not made before the batch's time was over";
                let id = &self.row.id;
                rest.push(Done::not_made(id, line.number, &name, "batch_expired", words));
            }
            if rest.len() >= TOGETHER {
                self.record(std::mem::take(&mut rest)).await?;
            }
        }
        self.record(rest).await
    }
}
