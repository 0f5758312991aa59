//! A reply that is still coming in: pieces of the provider's stream to frames for the client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tollgate_providers::{
    ErrorKind, Event, FrameKind, ProviderError, StreamDecoder, StreamEncoder, UsageReport,
};

use super::tally::Tally;
use crate::call::Told;
use crate::call::services::Site;
use crate::call::whole::note_odd;
use crate::ledger::{OpenHold, Outcome, Refused, Stop};
use crate::routing::Target;
use crate::upstream::{Body, Broken};

/// The largest frame that is accepted.
const FRAME: usize = 1024 * 1024;
/// Progress is journalled after so many tokens or so long, whichever is first.
const JOURNAL_TOKENS: u64 = 256;
const JOURNAL_TIME: Duration = Duration::from_secs(2);

pub(in crate::call) struct Flow {
    body: Body,
    decoder: Box<dyn StreamDecoder>,
    /// Writes frames of our own: all of them for another dialect, else only those of a cut or error.
    pub(super) encoder: Box<dyn StreamEncoder>,
    /// Whether the client reads the provider's own bytes.
    pub(super) same: bool,
    pub(super) hold: OpenHold,
    pub(super) site: Arc<Site>,
    pub(super) target: Target,
    pub(super) told: Told,
    pub(super) tally: Tally,
    /// The provider's usage frame, held back until the call is settled.
    pub(super) usage_frame: Option<Bytes>,
    /// The provider's own last frame.
    pub(super) end_frame: Option<Bytes>,
    /// Tokens by which the hold is extended.
    step: u64,
    /// How long nothing has come.
    silent: Duration,
    journalled_tokens: u64,
    journalled_at: Instant,
}

/// How a piece of the provider's stream left things.
pub(super) enum Turn {
    /// More is to come.
    On,
    /// The reply is whole.
    Over,
    /// It broke off, or reported an error.
    Failed(Outcome, ProviderError),
    /// Nothing is left to hold.
    Cut(Refused),
}

/// What came from the provider: a piece, the end, or a break.
pub(super) type Piece = Option<Result<Bytes, Broken>>;

impl Flow {
    pub(in crate::call) fn new(
        site: Arc<Site>,
        target: &Target,
        body: Body,
        hold: OpenHold,
        told: Told,
        step: u64,
    ) -> Flow {
        Flow {
            body,
            decoder: site.adapter.decoder(FRAME),
            encoder: told.dialect.encoder(&told.options()),
            same: site.adapter.dialect() == told.dialect,
            hold,
            site,
            target: target.clone(),
            told,
            tally: Tally::new(target.family),
            usage_frame: None,
            end_frame: None,
            step,
            silent: Duration::ZERO,
            journalled_tokens: 0,
            journalled_at: Instant::now(),
        }
    }

    /// Waits for the next piece; `None` where nothing came for `breath` and the provider's patience is
    /// not used up.
    pub(super) async fn wait(&mut self, breath: Duration) -> Option<Piece> {
        let patience = self.site.endpoint.idle_timeout();
        let wait = breath.min(patience.saturating_sub(self.silent));
        if let Ok(piece) = tokio::time::timeout(wait, self.body.next()).await {
            self.silent = Duration::ZERO;
            return Some(piece);
        }
        self.silent += wait;
        (self.silent >= patience).then(|| Some(Err(Broken::Idle(patience))))
    }

    /// Takes a piece and puts what may leave into `ready`.
    pub(super) fn take(&mut self, piece: Piece, ready: &mut VecDeque<Bytes>) -> Turn {
        let last = piece.is_none();
        match piece {
            Some(Ok(bytes)) => self.decoder.push(bytes),
            Some(Err(broken)) => return Turn::Failed(Outcome::Truncated, cause(&broken)),
            None => self.decoder.finish(),
        }
        let mut translated = Vec::new();
        let turn = self.frames(ready, &mut translated);
        if !translated.is_empty() {
            ready.push_back(Bytes::from(translated));
        }
        self.note();
        match turn {
            Turn::On if last && self.decoder.ended() => Turn::Over,
            Turn::On if last => {
                let message = "the provider's stream stopped before its end";
                Turn::Failed(Outcome::Truncated, ProviderError::new(ErrorKind::Truncated, message))
            }
            Turn::On => self.journal(),
            turn => turn,
        }
    }

    fn frames(&mut self, ready: &mut VecDeque<Bytes>, translated: &mut Vec<u8>) -> Turn {
        loop {
            let frame = match self.decoder.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Turn::On,
                Err(error) => return Turn::Failed(Outcome::Truncated, error),
            };
            let mut grown = false;
            for event in &frame.events {
                if let Event::Start { service_tier: Some(tier), .. } = event {
                    self.hold.processed_in(tier);
                }
                grown |= self.tally.event(event);
            }
            let error = frame.events.iter().find_map(|event| match event {
                Event::Error(error) => Some(error.clone()),
                _ => None,
            });
            if let Some(error) = error {
                return Turn::Failed(Outcome::Failed, error);
            }
            if grown && let Err(turn) = allow(&self.hold, self.tally.total(), self.step) {
                return turn;
            }
            match frame.kind {
                FrameKind::End => {
                    // Responses say in their last frame why they end.
                    let finishes = |event: &&Event<'_>| matches!(event, Event::Finish { .. });
                    for event in frame.events.iter().filter(finishes).filter(|_| !self.same) {
                        self.encoder.encode(event, translated);
                    }
                    self.end_frame = Some(frame.raw);
                    return Turn::Over;
                }
                FrameKind::UsageOnly => self.usage_frame = Some(frame.raw),
                FrameKind::Comment if !self.same => {}
                FrameKind::Content | FrameKind::Comment | FrameKind::Error if self.same => {
                    frame.events.iter().for_each(|event| self.encoder.observe(event));
                    ready.push_back(frame.raw);
                }
                FrameKind::Content | FrameKind::Comment | FrameKind::Error => {
                    for event in frame.events.iter().filter(|e| !matches!(e, Event::Usage(_))) {
                        self.encoder.encode(event, translated);
                    }
                }
            }
        }
    }

    /// Brings the hold's view of the attempt up to date.
    pub(super) fn note(&mut self) {
        let (report, total, plain) =
            (self.decoder.usage(), self.tally.total(), self.tally.is_plain_text());
        self.hold.on_attempt(|attempt| {
            attempt.reported = report.usage;
            attempt.reported_cost = report.cost;
            attempt.output_seen = attempt.output_seen.max(total);
            attempt.output_exact &= plain;
            note_odd(report, &mut attempt.error);
        });
    }

    /// What the provider reported, if anything.
    pub(super) fn report(&self) -> Option<UsageReport> {
        let report = self.decoder.usage();
        (!report.usage.is_empty()).then_some(*report)
    }

    fn journal(&mut self) -> Turn {
        let total = self.tally.total();
        let tokens = total.saturating_sub(self.journalled_tokens);
        if tokens == 0 || (tokens < JOURNAL_TOKENS && self.journalled_at.elapsed() < JOURNAL_TIME) {
            return Turn::On;
        }
        self.journalled_tokens = total;
        self.journalled_at = Instant::now();
        match self.hold.journal() {
            Ok(()) => Turn::On,
            Err(stop) => halted(stop),
        }
    }

    /// The gateway, or the run that asked, ends before the reply does.
    pub(super) fn stopped(&mut self, by_shutdown: bool) -> Turn {
        let (kind, message) = if by_shutdown {
            (ErrorKind::Overloaded, "the gateway is shutting down")
        } else {
            (ErrorKind::Timeout, "the run was stopped, or its time is over")
        };
        Turn::Failed(Outcome::Expired, ProviderError::new(kind, message))
    }

    /// Reads on for nobody, to learn what the provider reports.
    pub(super) async fn drain(mut self) {
        let patience = self.site.endpoint.idle_timeout();
        let mut last = false;
        while !last {
            match tokio::time::timeout(patience, self.body.next()).await {
                Ok(Some(Ok(bytes))) => self.decoder.push(bytes),
                Ok(None) => {
                    self.decoder.finish();
                    last = true;
                }
                Ok(Some(Err(_))) | Err(_) => break,
            }
            while let Ok(Some(frame)) = self.decoder.next() {
                for event in &frame.events {
                    let _grown = self.tally.event(event);
                }
                last |= frame.kind == FrameKind::End;
            }
            self.note();
        }
        self.hold.settle(Outcome::ClientGone);
    }
}

/// Whether the reply may grow to `total` tokens, after extending the hold where that is needed: by the
/// usual step, else by as much as there is.
fn allow(hold: &OpenHold, total: u64, step: u64) -> Result<(), Turn> {
    let mut short = hold.advance(total).map_err(halted)?;
    let mut room = step.max(short);
    while short > 0 {
        match hold.extend(room.max(short)) {
            Ok(()) => short = hold.advance(total).map_err(halted)?,
            Err(Stop::Refused(Refused::Limit(_))) if room > short => room /= 4,
            Err(stop) => return Err(halted(stop)),
        }
    }
    Ok(())
}

fn halted(stop: Stop) -> Turn {
    match stop {
        Stop::Refused(refused) => Turn::Cut(refused),
        Stop::Closed => {
            let message = "the call was stopped: its deadline has passed, or the run was stopped";
            Turn::Failed(Outcome::Expired, ProviderError::new(ErrorKind::Timeout, message))
        }
    }
}

fn cause(broken: &Broken) -> ProviderError {
    let kind = match broken {
        Broken::Idle(_) => ErrorKind::Timeout,
        Broken::Connection(_) | Broken::TooLarge(_) => ErrorKind::Truncated,
    };
    ProviderError::new(kind, broken.to_string())
}
