//! A batch that goes to its provider's own batch endpoint. Its lines are held here, one by one, before
//! any leaves; what the provider says of each is settled and recorded here. Each step is on the disk
//! before the next begins, so that a start goes on where the last run ended: nothing is asked for twice
//! that could be there, and no line is settled twice.

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tollgate_providers::batches::{self as wire, RemoteStatus};

use super::calls::{Calls, Endpoint, HoldTerms};
use super::errands::{Errands, Trouble};
use super::patience::{Ends, GRACE_MICROS, Seat};
use super::results::Done;
use super::work::{End, TOGETHER, WAIT, Work};
use super::{BatchError, Batches, blocking};
use crate::clock;
use crate::ledger::{BatchRow, Handover, OpenHold, Stage};

/// Lines of all batches that are held for their providers at once.
const MOST_HANDED_OVER: u64 = 100_000;
/// How often a batch is looked for in vain before it is made again.
const SOUGHT: u32 = 2;
/// What stands around a line's body in the provider's file, and what may be added to it.
const AROUND: u64 = 512;
/// What holding a batch's lines came to.
enum Held {
    /// So many are held, and can go.
    Lines(u64),
    /// It is to end.
    Ended(End),
}

/// How a batch that begins goes to its provider, if it does; it then does to its end.
pub(super) fn decide(
    batches: &Batches,
    calls: &dyn Calls,
    row: &BatchRow,
    total: u64,
    model: Option<&str>,
) -> Option<Handover> {
    let held = batches.ledger.lines_handed_over() as u64;
    if held.saturating_add(total) > MOST_HANDED_OVER {
        return None;
    }
    let endpoint = Endpoint::named(&row.endpoint)?;
    let (provider, model) = calls.place(&row.key, endpoint, model?)?;
    Some(Handover {
        batch: row.id.clone(),
        provider: provider.to_string(),
        model: model.to_string(),
        round: 0,
        stage: Stage::Holding,
        file: None,
        remote: None,
        note: None,
        before: (0, 0),
        seen: (0, 0),
    })
}

impl Work {
    /// Sees a batch through at its provider; nothing, where its lines are made here.
    pub(super) async fn hand_over(
        &mut self,
        quit: &CancellationToken,
    ) -> Result<Option<End>, BatchError> {
        let Some(mut to) = self.row.handover.clone() else { return Ok(None) };
        let over = Instant::now() + clock::until(self.row.expires_at);
        let ends = Ends { quit: quit.clone(), over };
        // A file that is there may have been made a batch of already, if we come to it anew.
        let mut asked = true;
        let mut ending = None;
        loop {
            match to.stage {
                Stage::Over => return Ok(ending),
                Stage::Holding => match self.hold_lines(&to, &ends).await? {
                    Held::Ended(End::Stopped) => return Ok(Some(End::Stopped)),
                    Held::Ended(end) => {
                        ending = Some(end);
                        to.stage = Stage::Releasing;
                    }
                    Held::Lines(0) => {
                        ending = Some(End::Done);
                        to.stage = Stage::Over;
                    }
                    Held::Lines(_) => {
                        let progress = self.progress();
                        to.before = (progress.completed, progress.failed);
                        to.seen = to.before;
                        to.round = to.round.saturating_add(1);
                        (to.file, to.remote) = (None, None);
                        to.stage = Stage::Uploading;
                    }
                },
                Stage::Uploading => match self.upload(&mut to, &ends).await? {
                    Some(End::Stopped) => return Ok(Some(End::Stopped)),
                    end => {
                        ending = end.or(ending);
                        asked = false;
                    }
                },
                Stage::Creating => match self.create(&mut to, &ends, asked).await? {
                    Some(End::Stopped) => return Ok(Some(End::Stopped)),
                    end => ending = end.or(ending),
                },
                Stage::Waiting => match self.wait(&mut to, &ends).await? {
                    Some(End::Stopped) => return Ok(Some(End::Stopped)),
                    end => ending = end.or(ending),
                },
                Stage::Releasing => {
                    self.release(&to).await?;
                    to.stage = Stage::Over;
                }
            }
            self.save(&to).await?;
        }
    }

    pub(super) async fn save(&self, to: &Handover) -> Result<(), BatchError> {
        let (ledger, to) = (self.shop.batches.ledger.clone(), to.clone());
        blocking(move || Ok(ledger.put_handover(&to)?)).await
    }

    /// Holds every line that is not done, each on its own budgets; what is refused for good is recorded.
    /// Where one is refused for now, it is waited for once; then those that are held go first.
    async fn hold_lines(&mut self, to: &Handover, ends: &Ends) -> Result<Held, BatchError> {
        self.read_done().await?;
        let until = self.row.expires_at.saturating_plus(GRACE_MICROS);
        let ledger = self.shop.batches.ledger.clone();
        let most = self.shop.batches.settings();
        let mut lines = self.lines().await?;
        let (mut held, mut bytes, mut refused) = (0, 0_u64, Vec::new());
        'lines: while let Some(line) = self.next_line(&mut lines).await? {
            if let Some(end) = self.ended(ends) {
                return Ok(Held::Ended(end));
            }
            bytes = bytes.saturating_add(line.text.len() as u64 + AROUND);
            // One that is larger than a file may be goes alone, and the provider refuses it.
            if held >= most.hand_over_lines || (held > 0 && bytes > most.hand_over_bytes) {
                break;
            }
            let (call, name) = self.call(&line);
            let bound = self.bound(line.number);
            if ledger.knows_key(&bound) {
                match ledger.handed_over(&bound).and_then(|line| line.hold) {
                    // Held before the gateway last ended.
                    Some(_) => held += 1,
                    None => refused.push(Done::lost(&self.row.id, line.number, &name)),
                }
                continue;
            }
            let (mut waited, mut whole) = (false, true);
            loop {
                // While others are held, what is left says little of what will be: no answer is made
                // shorter for that.
                let terms = HoldTerms { until, may_be_lowered: held == 0 || !whole };
                let Err(made) = self.shop.calls.hold(call.clone(), to.clone(), terms).await else {
                    held += 1;
                    break;
                };
                let Some(again) = made.again else {
                    if !terms.may_be_lowered {
                        whole = false;
                        continue;
                    }
                    refused.push(Done::made(&self.row.id, line.number, &name, &made));
                    break;
                };
                if waited && held > 0 {
                    break 'lines;
                }
                waited = true;
                if let Some(end) = self.pause(again.after.clamp(WAIT.0, WAIT.1), ends).await {
                    return Ok(Held::Ended(end));
                }
            }
            if refused.len() >= TOGETHER {
                self.record(std::mem::take(&mut refused)).await?;
            }
            tokio::task::yield_now().await;
        }
        self.record(refused).await?;
        // Nothing leaves before every hold of it is on the disk; the writer keeps the order.
        blocking(move || Ok(ledger.flush()?)).await?;
        Ok(Held::Lines(held))
    }

    /// Sends the file of the lines that are held.
    async fn upload(&mut self, to: &mut Handover, ends: &Ends) -> Result<Option<End>, BatchError> {
        let shop = self.shop.clone();
        let mut waits = self.waits();
        loop {
            let turn = tokio::select! {
                biased;
                end = self.end(ends) => return Ok(Some(released(to, end))),
                turn = shop.sending.acquire() => turn,
            };
            let turn = turn.map_err(|error| BatchError::Broken(error.to_string()))?;
            let file = match self.file_of(to).await? {
                Ok(file) => file,
                Err(why) => return Ok(refuse(to, why)),
            };
            let errands = Errands { shop: &shop, to };
            let sent = tokio::select! {
                biased;
                end = self.end(ends) => Err(end),
                sent = errands.upload(&file) => Ok(sent),
            };
            let trouble = match sent {
                Ok(Ok(id)) => {
                    (to.file, to.stage) = (Some(id), Stage::Creating);
                    return Ok(None);
                }
                Ok(Err(Trouble::Refused(why))) => return Ok(refuse(to, why)),
                Ok(Err(trouble)) => trouble,
                Err(end) => return Ok(Some(released(to, end))),
            };
            drop((file, turn));
            self.tell(&trouble);
            if let Some(end) = self.pause(waits.next(), ends).await {
                return Ok(Some(released(to, end)));
            }
        }
    }

    /// The file of the lines that are held; or why one of them cannot be written any more.
    async fn file_of(&mut self, to: &Handover) -> Result<Result<Vec<u8>, String>, BatchError> {
        self.read_done().await?;
        let mut lines = self.lines().await?;
        let mut file = Vec::new();
        while let Some(line) = self.next_line(&mut lines).await? {
            let Some(hold) = self.hold_of(line.number) else { continue };
            match self.shop.calls.written(&self.call(&line).0, &hold, to) {
                Ok(body) => {
                    let name = line.number.to_string();
                    file.extend(wire::line(&name, self.endpoint.path(), &body));
                }
                Err(why) => return Ok(Err(why)),
            }
            tokio::task::yield_now().await;
        }
        Ok(if file.is_empty() { Err("its file is gone".to_owned()) } else { Ok(file) })
    }

    /// Has the provider make a batch of the file, once: where it is not known whether it did, it is
    /// asked before it is told again.
    async fn create(
        &mut self,
        to: &mut Handover,
        ends: &Ends,
        mut asked: bool,
    ) -> Result<Option<End>, BatchError> {
        let mut waits = self.waits();
        let shop = self.shop.clone();
        let Some(file) = to.file.clone() else { return Ok(refuse(to, "it has no file".into())) };
        let (last, mut sought) = (self.last(), 0);
        loop {
            if Instant::now() >= last {
                return self.give_up(to, None).await;
            }
            if asked && self.wait_for_shutdown(waits.next()).await {
                return Ok(Some(End::Stopped));
            }
            let errands = Errands { shop: &shop, to };
            let made = tokio::select! {
                biased;
                () = shop.shutdown.cancelled() => return Ok(Some(End::Stopped)),
                made = async {
                    if asked {
                        // Until it is known that there is none, another would be one too many.
                        return errands.find().await.map_err(Trouble::passing);
                    }
                    if self.ended(ends).is_some() {
                        return Ok(None);
                    }
                    (asked, sought) = (true, 0);
                    errands.create(&file, self.endpoint.path()).await.map(Some)
                } => made,
            };
            match made {
                Ok(Some(batch)) => {
                    (to.remote, to.stage) = (Some(batch.id), Stage::Waiting);
                    return Ok(None);
                }
                Ok(None) => {
                    sought += u32::from(asked);
                    // A list may be a moment behind what was made.
                    if asked && sought < SOUGHT {
                        continue;
                    }
                    if let Some(end) = self.ended(ends) {
                        return Ok(Some(released(to, end)));
                    }
                    asked = false;
                }
                Err(Trouble::Refused(why)) => return Ok(refuse(to, why)),
                Err(trouble) => self.tell(&trouble),
            }
        }
    }

    /// Waits for the provider's batch to end, and records what it says of each line.
    async fn wait(&mut self, to: &mut Handover, ends: &Ends) -> Result<Option<End>, BatchError> {
        let shop = self.shop.clone();
        let id = to.remote.clone().unwrap_or_default();
        let last = self.last();
        let _seat = Seat::take(&shop);
        let (mut waits, mut ending, mut called_off) = (self.waits(), None, false);
        let batch = loop {
            ending = ending.or_else(|| self.ended(ends));
            if ending == Some(End::Stopped) {
                return Ok(ending);
            }
            let errands = Errands { shop: &shop, to };
            let looked = tokio::select! {
                biased;
                () = shop.shutdown.cancelled() => return Ok(Some(End::Stopped)),
                looked = async {
                    if ending.is_some() && !called_off {
                        // One that is over already refuses, which its state says next.
                        match errands.cancel(&id).await {
                            Ok(_) | Err(Trouble::Refused(_)) => called_off = true,
                            Err(trouble) => self.tell(&trouble),
                        }
                    }
                    errands.look(&id).await
                } => looked,
            };
            match looked {
                Ok(batch) => {
                    let seen = (to.before.0 + batch.completed, to.before.1 + batch.failed);
                    if seen != to.seen {
                        to.seen = seen;
                        self.save(to).await?;
                    }
                    if batch.status != RemoteStatus::Open {
                        break batch;
                    }
                }
                Err(trouble) => self.tell(&trouble),
            }
            if Instant::now() >= last {
                return self.give_up(to, ending).await;
            }
            let wait = waits.next();
            if ending.is_some() {
                if self.wait_for_shutdown(wait).await {
                    return Ok(Some(End::Stopped));
                }
            } else {
                ending = self.pause(wait, ends).await;
                waits = if ending.is_some() { self.waits() } else { waits };
            }
        };
        self.take_in(to, &batch, ending).await
    }

    fn hold_of(&self, number: u32) -> Option<OpenHold> {
        self.shop.batches.ledger.handed_over(&self.bound(number))?.hold
    }
}

/// What is held is given back, unless the gateway ends: the next start goes on.
pub(super) fn released(to: &mut Handover, end: End) -> End {
    if end != End::Stopped {
        to.stage = Stage::Releasing;
    }
    end
}

/// Its lines are made here.
pub(super) fn refuse(to: &mut Handover, why: String) -> Option<End> {
    tracing::warn!(why, batch = to.batch, "the lines of a batch are made here after all");
    (to.note, to.stage) = (Some(why), Stage::Releasing);
    None
}
