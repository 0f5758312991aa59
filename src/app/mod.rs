//! Builds each service once, hands out clones, serves, reloads, and drains on shutdown.

mod build;
mod listen;
mod pepper;
mod preview;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

pub use build::BuildError;
pub use build::price_list;
pub use pepper::PepperError;
pub use preview::{Preview, runtime};

use crate::alerts::Alerts;
use crate::batches::{BatchError, Batches, Folder};
use crate::cache::{Cards, Current};
use crate::call::{Counting, Drains, Flights, Prefixes, Queues, Services, Sizes, Worker};
use crate::config::{self, Snapshot};
use crate::control::{Control, ControlError, PromptError, Publisher};
use crate::http::{Admin, AdminKey, BatchLines, Front};
use crate::ledger::{
    AdjustError, Billed, Compared, Durability, Ledger, OpenError, Opened, Range, Reader, Rerated,
    Specs, StoreError, card_of_text, card_text,
};
use crate::prompts::Shelf;
use crate::telemetry;
use crate::tenants::{Directory, Strangers};
use crate::upstream::{Demo, Poster, Upstream};
use build::Healths;

/// How often what has no owner is looked after: calls past their deadline, gauges.
const TICK: Duration = Duration::from_secs(1);
/// How often dated prices are looked up again.
const PRICES: u64 = 600;
/// How often what was learned of replies is stored.
const LEARNED: u64 = 10;
/// Under what it is stored.
const SIZES: &str = "sizes";
const CORRECTIONS: &str = "corrections";

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is right, but cannot be run.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// Clients' files.
    #[error(transparent)]
    Files(#[from] BatchError),
    /// Reading the ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Accounts and keys.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// Prompt templates.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// The key of the digests of keys.
    #[error(transparent)]
    Pepper(#[from] PepperError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// A thread or runtime cannot be had.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Reads the configuration again; the error is what is wrong with it, for people.
pub type Source = Arc<dyn Fn() -> Result<Snapshot, String> + Send + Sync>;

/// A gateway: all its services, before or while it serves.
pub struct Gateway {
    services: Arc<Services>,
    control: Arc<Control>,
    publisher: Arc<Publisher>,
    reader: Arc<Reader>,
    batches: Arc<Batches>,
    opened: Opened,
    metrics: PrometheusHandle,
    reload: Arc<Reload>,
    demo: Arc<Demo>,
}

impl Gateway {
    /// Opens the ledger, recovers the last run, and builds the services. Nothing listens yet.
    pub fn open(snapshot: Arc<Snapshot>, source: Source) -> Result<Gateway, StartError> {
        // Providers are spoken to over TLS by one implementation; a second start finds it set.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics = telemetry::metrics()?;
        let path = &snapshot.storage.path;
        let durability = match snapshot.storage.durability {
            config::Durability::Process => Durability::Process,
            config::Durability::Power => Durability::Power,
        };
        let healths = Healths::default();
        let counting = Arc::new(Counting::default());
        let runtime = build::runtime(&snapshot, &healths, &counting)?;
        let tenancy = build::tenancy(&snapshot);
        let specs: &Specs<'_> =
            &|added| Control::specs(&tenancy, added).map_err(|error| error.to_string());
        let opened = Ledger::open(path, durability, specs, Box::new(telemetry::entry))?;
        if opened.recovered > 0 {
            tracing::warn!(calls = opened.recovered, "settled calls that the last run left open");
        }
        let reader = Arc::new(Reader::open(path)?);
        let sizes = Sizes::default();
        sizes.load(reader.learned(SIZES)?);
        counting.load(reader.learned(CORRECTIONS)?);
        let directory = Arc::new(Directory::new(pepper::beside(path)?));
        let ledger = opened.ledger.clone();
        let stop = CancellationToken::new();
        let prompts = Arc::new(Shelf::default());
        let control = Control::new(
            ledger.clone(),
            directory.clone(),
            reader.clone(),
            prompts.clone(),
            stop.clone(),
        );
        let control = Arc::new(control);
        control.set_tenancy(tenancy)?;
        let poster = Poster::new(stop.clone())?;
        let alerts = Alerts::new(ledger.clone(), reader.clone(), poster);
        alerts.configure(build::alerts(&snapshot));
        let publisher = Publisher::new(opened.ledger.clone(), reader.clone(), prompts.clone());
        let publisher = Arc::new(publisher);
        publisher.load(build::templates(&snapshot))?;
        let cache = Arc::new(Current::new(Cards { write: card_text, read: card_of_text }));
        cache.configure(snapshot.cache.as_ref());
        let services = Arc::new(Services {
            ledger,
            directory,
            runtime: ArcSwap::from_pointee(runtime),
            prompts,
            cache,
            prefixes: Prefixes::default(),
            load: Arc::default(),
            sizes,
            queues: Queues::default(),
            repeats: Flights::default(),
            together: Flights::default(),
            lanes: Arc::default(),
            drains: Drains::new(),
            stop,
        });
        let folder = Folder::beside(path)?;
        let batches =
            Batches::new(services.ledger.clone(), reader.clone(), folder, snapshot.batches);
        batches.sweep()?;
        let batches = Arc::new(batches);
        let reload = Arc::new(Reload {
            source,
            services: services.clone(),
            control: control.clone(),
            publisher: publisher.clone(),
            healths,
            counting,
            strangers: Arc::new(build::strangers(&snapshot)),
            alerts: Arc::new(alerts),
            batches: batches.clone(),
            accepted: ArcSwap::new(snapshot),
            turn: Mutex::default(),
        });
        let demo = Arc::new(Demo::default());
        Ok(Gateway { services, control, publisher, reader, batches, opened, metrics, reload, demo })
    }

    /// Accounts, keys and limits.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Prompt templates.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Rates a range of calls anew, by the configuration's prices.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written.
    pub fn rerate(&self, range: &Range) -> Result<Rerated, AdjustError> {
        let snapshot = self.reload.accepted.load();
        let prices = |provider: &str, model: &str| price_list(&snapshot, provider, model);
        self.services.ledger.rerate(&self.reader, range, &prices)
    }

    /// Books what a provider's bill says beyond what is owed.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written.
    pub fn book_bill(&self, provider: &str, bill: &[Billed]) -> Result<Vec<Compared>, AdjustError> {
        self.services.ledger.book_bill(&self.reader, provider, bill)
    }

    /// Serves until it is told to stop; `ready` is told the addresses once calls are taken.
    ///
    /// # Errors
    /// Only before anything was served.
    pub fn serve(
        self,
        shutdown: CancellationToken,
        ready: impl FnOnce(&Control, SocketAddr, Option<SocketAddr>),
    ) -> Result<(), StartError> {
        let Gateway {
            services,
            control,
            publisher,
            reader,
            batches,
            opened,
            metrics,
            reload,
            demo,
        } = self;
        let snapshot = reload.accepted.load_full();
        let strangers = reload.strangers.clone();
        let workers = snapshot.server.workers.unwrap_or_else(cores).max(1);
        let front = |_| Front {
            worker: Worker { services: services.clone(), upstream: Upstream::new(demo.clone()) },
            reader: reader.clone(),
            control: control.clone(),
            batches: batches.clone(),
            strangers: strangers.clone(),
        };
        let fronts = (0..workers).map(front).collect();
        let lines = Arc::new(BatchLines::new(front(0)));
        let drain = snapshot.server.drain;
        let stop = services.stop.clone();
        let data = listen::Data::start(snapshot.server.listen, fronts, shutdown.clone(), stop)?;
        let at_work = {
            let stop = services.stop.clone();
            let work = crate::batches::run(batches.clone(), lines, shutdown.clone(), stop);
            listen::beside("batches", work, services.drains.tasks.token())?
        };
        let admin_plane = match &snapshot.server.admin {
            None => None,
            Some(config) => {
                let key = AdminKey::new(config.key.expose()).map_err(StartError::Random)?;
                let render = metrics.clone();
                let (again, prices) = (reload.clone(), reload.clone());
                let (watched, shown) = (reload.healths.clone(), reload.healths.clone());
                let admin = Admin {
                    control: control.clone(),
                    publisher,
                    ledger: services.ledger.clone(),
                    cache: services.cache.clone(),
                    together: services.together.clone(),
                    reader,
                    key,
                    prices: Arc::new(move |provider, model| {
                        price_list(&prices.accepted.load(), provider, model)
                    }),
                    strangers: strangers.clone(),
                    metrics: Arc::new(move || {
                        telemetry::targets(&shown.watched());
                        render.render()
                    }),
                    targets: Arc::new(move || watched.watched()),
                    reload: Arc::new(move || again.run()),
                };
                Some(listen::admin(config.listen, admin)?)
            }
        };
        let last = reload.clone();
        let telling = {
            let alerts = reload.alerts.clone();
            listen::housekeeping("alerts", TICK, move |ticks| alerts.tick(ticks))?
        };
        let housekeeping = listen::housekeeping("housekeeping", TICK, {
            let (services, reload, control) = (services.clone(), reload.clone(), control.clone());
            move |ticks| {
                services.ledger.sweep();
                reload.tighten();
                if let Err(error) = control.tick() {
                    tracing::warn!(%error, "what ended could not be written yet");
                }
                telemetry::open_calls(services.ledger.open_calls());
                telemetry::cached_bytes(services.cache.bytes());
                metrics.run_upkeep();
                if ticks % LEARNED == LEARNED - 1 {
                    reload.store_learned();
                }
                if ticks % PRICES == PRICES - 1 {
                    services.ledger.forget_old_keys();
                    services.ledger.forget_old_responses();
                    if let Err(error) = batches.tick() {
                        tracing::warn!(%error, "files whose time is over are kept for longer");
                    }
                    reload.refresh_prices();
                }
            }
        })?;
        listen::signals(shutdown.clone(), move || {
            if let Err(problems) = reload.run() {
                tracing::error!(
                    "the configuration was not reloaded, the old one stays:\n{problems}"
                );
            }
        })?;
        ready(&control, data.address, admin_plane.as_ref().map(|plane| plane.address));
        data.run(drain, &services.drains.tasks);
        if at_work.join().is_err() {
            tracing::error!("the work on batches panicked");
        }
        housekeeping.stop();
        telling.stop();
        last.store_learned();
        last.services.cache.close();
        if let Some(plane) = admin_plane {
            plane.stop();
        }
        // Whatever still holds a relay has dropped it by now, so the ledger can close on all calls.
        opened.close();
        Ok(())
    }

    /// Ends without having served; everything written is committed.
    pub fn close(self) {
        self.services.cache.close();
        self.opened.close();
    }
}

/// Makes a changed configuration take effect: all of it, or nothing.
struct Reload {
    source: Source,
    services: Arc<Services>,
    control: Arc<Control>,
    publisher: Arc<Publisher>,
    healths: Healths,
    counting: Arc<Counting>,
    strangers: Arc<Strangers>,
    alerts: Arc<Alerts>,
    batches: Arc<Batches>,
    /// The configuration that was last accepted.
    accepted: ArcSwap<Snapshot>,
    /// One change at a time.
    turn: Mutex<()>,
}

impl Reload {
    fn run(&self) -> Result<(), String> {
        let _one = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = Arc::new((self.source)()?);
        let runtime = build::runtime(&snapshot, &self.healths, &self.counting);
        let runtime = runtime.map_err(|error| error.to_string())?;
        // Accounts can still be refused; names and prices are swapped only after that.
        self.control.set_tenancy(build::tenancy(&snapshot)).map_err(|e| e.to_string())?;
        self.publisher.load(build::templates(&snapshot)).map_err(|e| e.to_string())?;
        self.services.cache.configure(snapshot.cache.as_ref());
        self.services.runtime.store(Arc::new(runtime));
        self.strangers.configure(
            snapshot.gateway.unauthenticated.clone(),
            snapshot.gateway.trusted_proxies.clone(),
        );
        self.healths.sweep();
        self.alerts.configure(build::alerts(&snapshot));
        self.batches.configure(snapshot.batches);
        self.accepted.store(snapshot);
        tracing::info!("the configuration was reloaded");
        Ok(())
    }

    /// Has what was learned of replies since the last time written.
    fn store_learned(&self) {
        let ledger = &self.services.ledger;
        // It is kept until there is room for it.
        if ledger.ready().is_err() {
            return;
        }
        ledger.put_learned(SIZES, self.services.sizes.take_changed());
        ledger.put_learned(CORRECTIONS, self.counting.take_changed());
    }

    /// Aliases that come to their end have limits with dates: those of the moment take effect.
    fn tighten(&self) {
        let _one = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.accepted.load_full();
        if build::gateway_limits(&snapshot) == self.control.gateway_limits() {
            return;
        }
        match self.control.set_tenancy(build::tenancy(&snapshot)) {
            Ok(()) => tracing::info!("a limit of an alias that comes to its end has begun"),
            Err(error) => tracing::error!(%error, "a limit that begins could not take effect"),
        }
    }

    /// Prices are dated: the cards of the moment are looked up anew.
    fn refresh_prices(&self) {
        let snapshot = self.accepted.load_full();
        if let Ok(runtime) = build::runtime(&snapshot, &self.healths, &self.counting) {
            self.services.runtime.store(Arc::new(runtime));
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
