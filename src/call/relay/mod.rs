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

use super::Worker;
use super::repeat::Keeping;
use super::services::OnClientGone;
use crate::ledger::KeyInUse;
use crate::tenants::Caller;
pub(super) use flow::Flow;
use flow::Turn;

/// Silence after which the client is sent a comment, so that nothing between takes the connection for
/// dead. Never an `id:` line: openai-python makes an empty event of what follows one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A streamed reply on its way to the client.
pub struct Relay {
    /// `None` once it has been settled.
    flow: Option<Flow>,
    /// Frames that are ready to leave.
    ready: VecDeque<Bytes>,
    worker: Worker,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Where the client may ask for the same again.
    keeping: Option<Keeping>,
}

impl Relay {
    pub(super) fn new(worker: Worker, caller: &Caller, flow: Flow, key: Option<KeyInUse>) -> Relay {
        let keeping = key.map(Keeping::new);
        // A run's token is cancelled with the gateway's.
        let stop = caller.run.as_ref().map_or(&worker.services.stop, |run| &run.stop);
        let stop = Box::pin(stop.clone().cancelled_owned());
        Relay { flow: Some(flow), ready: VecDeque::new(), worker, stop, keeping }
    }

    /// The next bytes for the client; nothing at the end. Dropping the relay before that settles the
    /// call at what was passed on.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                if let Some(keeping) = &mut self.keeping {
                    keeping.frame(&bytes);
                }
                return Some(bytes);
            }
            let Some(flow) = self.flow.as_mut() else {
                if let Some(keeping) = self.keeping.take() {
                    keeping.end();
                }
                return None;
            };
            let turn = tokio::select! {
                biased;
                piece = flow.wait(KEEP_ALIVE) => match piece {
                    Some(piece) => flow.take(piece, &mut self.ready),
                    None => return Some(Bytes::from_static(b": keep-alive\n\n")),
                },
                () = &mut self.stop => flow.stopped(self.worker.services.stop.is_cancelled()),
            };
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
                if let Some(keeping) = &mut self.keeping {
                    keeping.completed();
                }
                flow.end(&self.worker.services.sizes, &mut self.ready);
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
