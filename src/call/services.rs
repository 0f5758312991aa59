//! What a call needs at hand: the services of one process, and what the configuration of the moment
//! makes of them. Calls in flight keep the runtime they began with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tollgate_accounting::PriceList;
use tollgate_providers::{Bounds, Provider};

use super::counting::Counting;
use super::lanes::{Lanes, Rules};
use super::load::Load;
use super::prefixes::Prefixes;
use super::queue::Queues;
use super::shadow::Shadow;
use super::shared::Flights;
use super::sizes::Sizes;
use crate::cache::{Current, Fingerprint, Form};
use crate::ledger::{Keyed, Ledger};
use crate::prompts::Shelf;
use crate::routing::Routes;
use crate::tenants::Directory;
use crate::upstream::{Endpoint, Upstream};

/// The services of the process; one of them, shared by all workers.
pub struct Services {
    /// Money and tokens.
    pub ledger: Ledger,
    /// Credentials.
    pub directory: Arc<Directory>,
    /// What the configuration says now.
    pub runtime: ArcSwap<Runtime>,
    /// Prompt templates.
    pub prompts: Arc<Shelf>,
    /// Which target worked on which prompt's beginning.
    pub prefixes: Prefixes,
    /// Replies that are kept to be given again, if any are to be.
    pub cache: Arc<Current>,
    /// Identical calls in flight.
    pub together: Flights<(Fingerprint, Form)>,
    /// Calls in flight.
    pub load: Arc<Load>,
    /// Calls that ride to a provider together.
    pub lanes: Arc<Lanes>,
    /// What replies have come to.
    pub sizes: Sizes,
    /// Calls that wait their turn at soft limits.
    pub queues: Queues,
    /// Calls in flight that a repeat with the same idempotency key joins.
    pub repeats: Flights<Keyed>,
    /// Replies that are read to their end for nobody.
    pub drains: Drains,
    /// Cancelled when streams must end now, at the end of a shutdown's patience.
    pub stop: CancellationToken,
}

/// What the configuration says.
pub struct Runtime {
    /// Names to targets.
    pub routes: Routes,
    /// Where a share of a name's calls is made once more.
    pub shadows: HashMap<String, Arc<Shadow>>,
    /// By the index in a target.
    pub providers: Vec<Arc<Site>>,
    /// What a model without a price costs at most; `None` refuses it.
    pub price_ceiling: Option<Arc<PriceList>>,
    /// Counts, and what was learned of counts; the same one through all reloads.
    pub counting: Arc<Counting>,
    /// Calls in flight at once.
    pub max_calls: u32,
    /// How live calls may ride together; `None`: each alone.
    pub lanes: Option<Rules>,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// What a request may contain.
    pub bounds: Bounds,
}

/// A provider as configured.
pub struct Site {
    /// Its name.
    pub name: Arc<str>,
    /// How to speak to it.
    pub adapter: &'static dyn Provider,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What happens to a reply whose client left.
    pub on_client_gone: OnClientGone,
    /// Tries after the first at one target.
    pub max_retries: u32,
    /// Whether batches go to its own batch endpoint where they can.
    pub hand_over_batches: bool,
}

/// What happens to a reply whose client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClientGone {
    /// Reading stops; what was counted is settled.
    Cancel,
    /// It is read on for a bounded time, to learn what the provider reports.
    Drain,
}

/// One worker's view: the shared services and its own connections.
#[derive(Clone)]
pub struct Worker {
    /// Shared.
    pub services: Arc<Services>,
    /// This worker's.
    pub upstream: Upstream,
}

/// Replies that are read to their end for nobody: so many at once, each for so long.
#[derive(Clone)]
pub struct Drains {
    /// The tasks, so that a shutdown can wait for them.
    pub tasks: TaskTracker,
    room: Arc<tokio::sync::Semaphore>,
}

impl Drains {
    /// The most at once; beyond it a reply is dropped as under [`OnClientGone::Cancel`].
    pub const AT_ONCE: usize = 256;
    /// The longest a reply is read on.
    pub const LONGEST: Duration = Duration::from_secs(60);

    /// Room for [`Drains::AT_ONCE`].
    pub fn new() -> Drains {
        let room = Arc::new(tokio::sync::Semaphore::new(Self::AT_ONCE));
        Drains { tasks: TaskTracker::new(), room }
    }

    /// Runs a drain to its end or its time limit, if there is room and a runtime to run it on.
    pub fn run(&self, drain: impl Future<Output = ()> + Send + 'static) {
        let Ok(permit) = self.room.clone().try_acquire_owned() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let bounded = async move {
            // Out of time, the drain is dropped, and with it the hold: settled at what was seen.
            let _ = tokio::time::timeout(Self::LONGEST, drain).await;
            drop(permit);
        };
        self.tasks.spawn_on(bounded, &runtime);
    }
}

impl Default for Drains {
    fn default() -> Drains {
        Drains::new()
    }
}
