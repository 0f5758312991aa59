//! A provider's files of answers, read into a batch's own: each line is settled once, and recorded with
//! its client's name for it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use bytes::Bytes;
use tokio::time::Instant;
use tollgate_providers::batches::{self as wire, RemoteAnswer, RemoteBatch, RemoteStatus};

use super::calls::Given;
use super::errands::Errands;
use super::hand_over::{refuse, released};
use super::results::Done;
use super::work::{End, TOGETHER, Work};
use super::{BatchError, blocking};
use crate::ledger::{Handover, Stage};

/// The longest line of a file of answers.
const LONGEST: u64 = 192 * 1024 * 1024;
/// Bytes of lines that are read at once, about.
const PIECE: usize = 4 * 1024 * 1024;

/// How a file of answers came.
pub(super) enum Received {
    All,
    /// The gateway ended before.
    Stopped,
    /// Not in all the time there was.
    Never,
}

impl Work {
    /// The provider's batch is over.
    pub(super) async fn take_in(
        &mut self,
        to: &mut Handover,
        batch: &RemoteBatch,
        ending: Option<End>,
    ) -> Result<Option<End>, BatchError> {
        let files = [batch.output.clone(), batch.errors.clone()];
        if batch.status == RemoteStatus::Failed && files.iter().all(Option::is_none) {
            let why = batch.problem.as_deref().unwrap_or("it does not say why");
            let why = format!("{} refused the batch: {why}", to.provider);
            return Ok(if let Some(end) = ending {
                Some(released(to, end))
            } else {
                refuse(to, why)
            });
        }
        self.read_done().await?;
        let names = self.names().await?;
        for file in files.into_iter().flatten() {
            match self.receive(to, &file, &names).await? {
                Received::All => {}
                Received::Stopped => return Ok(Some(End::Stopped)),
                Received::Never => return self.give_up(to, ending).await,
            }
        }
        let (code, words) = match batch.status {
            RemoteStatus::Expired => {
                ("batch_expired", "this request was not made before the batch's time was over")
            }
            RemoteStatus::Cancelled => {
                ("batch_cancelled", "the batch was called off before it ran")
            }
            _ => ("batch_failed", "the batch ended without a word of this request"),
        };
        // One that its client called off says nothing of what did not run.
        let told = ending != Some(End::Cancelled);
        self.end_the_rest(to, &names, told.then_some((code, words)), &|| {
            Given::NotRun(words.to_owned())
        })
        .await?;
        let expired = Some(End::Expired).filter(|_| batch.status == RemoteStatus::Expired);
        let ending = ending.or(expired);
        to.stage = if ending.is_some() { Stage::Over } else { Stage::Holding };
        Ok(ending)
    }

    /// The provider could not be asked to the end: what is held is settled at what is known.
    pub(super) async fn give_up(
        &mut self,
        to: &mut Handover,
        ending: Option<End>,
    ) -> Result<Option<End>, BatchError> {
        self.read_done().await?;
        let names = self.names().await?;
        let words = "the provider could not be asked what became of this request: it was charged for \
            what was sent of it";
        let told = Some(("batch_interrupted", words));
        self.end_the_rest(to, &names, told, &|| Given::Lost).await?;
        to.stage = Stage::Over;
        Ok(Some(ending.unwrap_or(End::Expired)))
    }

    /// Settles the lines that are held and have no answer, and records them where there is a word of
    /// them; else their keys are free again.
    pub(super) async fn end_the_rest(
        &mut self,
        to: &Handover,
        names: &[String],
        told: Option<(&str, &str)>,
        given: &(dyn Fn() -> Given + Sync),
    ) -> Result<(), BatchError> {
        let ledger = self.shop.batches.ledger.clone();
        let mut done = Vec::new();
        let mut freed = 0;
        for number in 1..=u32::try_from(self.row.progress.total).unwrap_or(u32::MAX) {
            let bound = self.bound(number);
            if self.begun.contains(&number) || !ledger.knows_key(&bound) {
                continue;
            }
            self.shop.calls.settle(bound.clone(), to.clone(), given()).await;
            if let Some((code, words)) = told {
                self.begun.insert(number);
                let name = name_of(names, number);
                done.push(Done::not_made(&self.row.id, number, name, code, words));
            } else {
                ledger.free_key(&bound);
                freed += 1;
            }
            if done.len() >= TOGETHER {
                self.record(std::mem::take(&mut done)).await?;
            }
            if freed >= TOGETHER {
                let ledger = ledger.clone();
                blocking(move || Ok(ledger.flush()?)).await?;
                freed = 0;
            }
        }
        self.record(done).await?;
        blocking(move || Ok(ledger.flush()?)).await
    }

    /// Gives back what is held of lines that the provider has not.
    pub(super) async fn release(&mut self, to: &Handover) -> Result<(), BatchError> {
        self.read_done().await?;
        let why = to.note.clone().unwrap_or_else(|| "it was called off before it left".to_owned());
        self.end_the_rest(to, &[], None, &|| Given::NotRun(why.clone())).await
    }

    /// Receives a file of answers and takes its lines in.
    pub(super) async fn receive(
        &mut self,
        to: &Handover,
        file: &str,
        names: &[String],
    ) -> Result<Received, BatchError> {
        let shop = self.shop.clone();
        let place = format!("{}.theirs", self.row.output);
        let (mut waits, last) = (self.waits(), self.last());
        let received = loop {
            // Of one that broke off.
            shop.batches.folder.remove(&place);
            let mut into = shop.batches.folder.begin(&place).await?;
            let errands = Errands { shop: &shop, to };
            let received = tokio::select! {
                biased;
                () = shop.shutdown.cancelled() => return Ok(Received::Stopped),
                received = errands.receive(file, &mut into) => received,
            };
            match received {
                Ok(()) => break into,
                Err(trouble) => self.tell(&trouble),
            }
            if Instant::now() >= last {
                return Ok(Received::Never);
            }
            if self.wait_for_shutdown(waits.next()).await {
                return Ok(Received::Stopped);
            }
        };
        let mut from = BufReader::new(File::open(shop.batches.folder.path(received.id()))?);
        loop {
            if shop.shutdown.is_cancelled() {
                return Ok(Received::Stopped);
            }
            let (rest, lines) = blocking(move || {
                let lines = some_lines(&mut from)?;
                Ok((from, lines))
            })
            .await?;
            from = rest;
            if lines.is_empty() {
                return Ok(Received::All);
            }
            let mut done = Vec::with_capacity(lines.len());
            for line in lines {
                done.extend(self.answered(to, &line, names).await);
            }
            self.record(done).await?;
        }
    }

    /// A line of theirs as one of ours; nothing where it is of none that waits for an answer.
    async fn answered(&mut self, to: &Handover, line: &[u8], names: &[String]) -> Option<Done> {
        let told = wire::read_line(line)?;
        let number: u32 = told.name.parse().ok()?;
        let bound = self.bound(number);
        if self.begun.contains(&number) || !self.shop.batches.ledger.knows_key(&bound) {
            return None;
        }
        self.begun.insert(number);
        let (batch, name) = (self.row.id.clone(), name_of(names, number));
        let calls = self.shop.calls.clone();
        match told.answer {
            RemoteAnswer::Made(status, body) => {
                let body = Bytes::copy_from_slice(body.as_bytes());
                let made = calls.settle(bound, to.clone(), Given::Answer(status, body)).await;
                Some(Done::made(&batch, number, name, &made))
            }
            RemoteAnswer::NotMade(code, words) => {
                calls.settle(bound, to.clone(), Given::NotRun(words.clone())).await;
                Some(Done::not_made(&batch, number, name, &code, &words))
            }
        }
    }

    /// What the client calls its lines, in their order; nothing where the file is gone.
    pub(super) async fn names(&self) -> Result<Vec<String>, BatchError> {
        let Some(mut lines) = self.all_lines().await? else { return Ok(Vec::new()) };
        blocking(move || {
            let mut names = Vec::new();
            loop {
                match lines.next()? {
                    super::lines::Next::End => return Ok(names),
                    super::lines::Next::TooLong(_) => {}
                    super::lines::Next::Line(line) => names.push(line.name()),
                }
            }
        })
        .await
    }
}

/// Some of the lines that follow; none at the end.
fn some_lines(from: &mut BufReader<File>) -> std::io::Result<Vec<Vec<u8>>> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while lines.len() < TOGETHER && bytes < PIECE {
        let mut line = Vec::new();
        let read = from.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        bytes += read;
        lines.push(line);
    }
    Ok(lines)
}

/// A line's name; nothing where the file that has it is gone.
fn name_of(names: &[String], number: u32) -> &str {
    let at = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
    names.get(at).map_or("", String::as_str)
}
