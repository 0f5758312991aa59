//! Sees to all batches that are not over, on a thread of its own.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::work::{Shop, see_to};
use super::{BatchError, Batches, blocking};

/// Batches that are worked on at once; the others wait, the oldest first.
const AT_ONCE: usize = 32;
/// Those that wait for their provider, beside these.
const MOST_WAITING: usize = 128;
/// The wait before a batch is taken up again that something of ours refused.
const LATER: Duration = Duration::from_secs(1);

/// Works until the gateway ends: from `shutdown` on nothing new begins, at `stop` calls in flight end.
pub async fn run(
    batches: Arc<Batches>,
    calls: Arc<dyn Calls>,
    shutdown: CancellationToken,
    stop: CancellationToken,
) {
    let most = batches.settings().concurrency;
    let room = Arc::new(Semaphore::new(most));
    let (waiting, sending) = (AtomicUsize::new(0), Semaphore::new(1));
    let shop = Shop { batches, calls, room, most, waiting, sending, shutdown, stop };
    let shop = Arc::new(shop);
    let mut at_work = JoinSet::new();
    loop {
        let closing = shop.shutdown.is_cancelled();
        if closing && at_work.is_empty() {
            return;
        }
        let mut again = false;
        if !closing {
            match begin(&shop, &mut at_work).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "batches cannot be taken up yet");
                    again = true;
                }
            }
        }
        tokio::select! {
            () = shop.shutdown.cancelled(), if !closing => {}
            () = shop.batches.wake.notified(), if !closing => {}
            () = tokio::time::sleep(LATER), if again => {}
            Some(done) = at_work.join_next(), if !at_work.is_empty() => {
                let (id, ended) = match done {
                    Ok(done) => done,
                    Err(error) => {
                        tracing::error!(%error, "the work on a batch broke off");
                        continue;
                    }
                };
                shop.batches.at_work().remove(&id);
                if let Err(error) = ended {
                    tracing::warn!(%error, batch = id, "a batch is taken up again later");
                    tokio::time::sleep(LATER).await;
                }
            }
        }
    }
}

type AtWork = JoinSet<(String, Result<(), BatchError>)>;

/// Begins work on batches that nobody is at.
async fn begin(shop: &Arc<Shop>, at_work: &mut AtWork) -> Result<(), BatchError> {
    let reader = shop.batches.reader.clone();
    let unfinished = blocking(move || Ok(reader.unfinished_batches()?)).await?;
    for id in unfinished {
        let waiting = shop.waiting.load(Ordering::Relaxed).min(MOST_WAITING);
        if at_work.len() >= AT_ONCE + waiting {
            break;
        }
        // Before its row is read, so that whoever calls it off is heard, there or here.
        let quit = CancellationToken::new();
        match shop.batches.at_work().entry(id.clone()) {
            Entry::Occupied(_) => continue,
            Entry::Vacant(place) => place.insert(quit.clone()),
        };
        let work = see_to(shop.clone(), id.clone(), quit);
        at_work.spawn(async move { (id, work.await) });
    }
    Ok(())
}
