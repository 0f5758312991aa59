//! The body of a streamed reply: forwards frames, observes usage, and settles once, at the end, at an
//! error, or when it is dropped because the client left.

mod closing;
mod flow;
mod tally;

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tollgate_accounting::Money;

use super::Worker;
use super::answers::Filling;
use super::services::OnClientGone;
use crate::tenants::Caller;
pub(super) use flow::Flow;
use flow::Turn;

/// Silence after which the client is sent a comment, so that nothing between takes the connection for
/// dead. Never an `id:` line: openai-python makes an empty event of what follows one.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The comment.
pub(super) const QUIET: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// A streamed reply on its way to the client.
pub struct Relay {
    /// `None` once it has been settled.
    flow: Option<Flow>,
    /// Frames that are ready to leave.
    ready: VecDeque<Bytes>,
    worker: Worker,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether the reply came to its own end.
    completed: bool,
    last: Option<Last>,
    /// Where it is to be kept.
    filling: Option<Filling>,
}

/// What comes next of a reply.
pub(super) enum Step {
    /// Bytes for the client.
    Frame(Bytes),
    /// The last ones of a reply that came to its own end.
    Last(Last),
    /// Nothing came for a while.
    Quiet,
    /// It is over, and settled.
    End,
}

/// The end of a reply.
pub(super) struct Last {
    /// For the client that asked.
    pub(super) first: Bytes,
    /// For others who get the same reply: without what the ledger says of this call.
    pub(super) others: Bytes,
    /// What the call was charged.
    pub(super) charged: Money,
}

impl Relay {
    pub(super) fn new(
        worker: Worker,
        caller: &Caller,
        flow: Flow,
        filling: Option<Filling>,
    ) -> Relay {
        // A run's token is cancelled with the gateway's.
        let stop = caller.run.as_ref().map_or(&worker.services.stop, |run| &run.stop);
        let stop = Box::pin(stop.clone().cancelled_owned());
        let ready = VecDeque::new();
        Relay { flow: Some(flow), ready, worker, stop, completed: false, last: None, filling }
    }

    /// Whether the reply came to its own end, and can be given again.
    pub(super) fn completed(&self) -> bool {
        self.completed
    }

    /// The next bytes for the client. Nothing is lost if the future is dropped; dropping the relay
    /// before the end settles the call at what was passed on.
    pub(super) async fn step(&mut self) -> Step {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Step::Frame(bytes);
            }
            let Some(flow) = self.flow.as_mut() else {
                return self.last.take().map_or(Step::End, Step::Last);
            };
            let turn = tokio::select! {
                biased;
                piece = flow.wait(KEEP_ALIVE) => match piece {
                    Some(piece) => flow.take(piece, &mut self.ready),
                    None => return Step::Quiet,
                },
                () = &mut self.stop => flow.stopped(self.worker.services.stop.is_cancelled()),
            };
            if let Some(filling) = &mut self.filling {
                self.ready.iter().for_each(|piece| filling.piece(piece));
            }
            self.conclude(turn);
        }
    }

    fn conclude(&mut self, turn: Turn) {
        if matches!(turn, Turn::On) {
            return;
        }
        let Some(flow) = self.flow.take() else { return };
        match turn {
            Turn::On => {}
            Turn::Over => {
                self.completed = true;
                let filling = self.filling.take().filter(|_| !flow.tally.withheld());
                let (last, settled) = flow.end(&self.worker.services.sizes);
                if let Some(filling) = filling {
                    filling.end(&last.others, &settled);
                }
                self.last = Some(last);
            }
            Turn::Failed(outcome, error) => flow.fail(outcome, &error, &mut self.ready),
            Turn::Cut(refused) => flow.cut(&refused, &mut self.ready),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let Some(flow) = self.flow.take() else { return };
        if flow.site.on_client_gone == OnClientGone::Drain {
            self.worker.services.drains.run(flow.drain());
        }
        // Otherwise the flow is dropped here, and with it the hold.
    }
}
