//! Alerts: what an operator should hear of without asking. What a row brings about is in the outbox with
//! the row; what time brings about is looked for here; and everything in the outbox is delivered, with
//! the same id and bytes however often it takes.

mod deliver;
mod watch;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tollgate_accounting::Money;

use crate::clock;
use crate::ledger::{Ledger, Reader};
use crate::upstream::Poster;

pub use deliver::{BadSecret, Hook, NotDelivered};

/// How often, in ticks of a second, running budgets are looked at; and figures of hours.
const BUDGETS: u64 = 60;
const FIGURES: u64 = 300;
/// Messages sent in one go.
const MOST: u32 = 32;

/// What is told, and to whom.
#[derive(Debug)]
pub struct Settings {
    /// Who is told.
    pub hook: Hook,
    /// The parts of a budget that are told of, in hundredths.
    pub thresholds: Vec<u32>,
    /// The burn rate that is told of, in thousandths of the one that lasts the period; 0 for none.
    pub burn_permille: i64,
    /// A tenant's hour is told of that costs so many times what is usual; 0 for none.
    pub anomaly_times: i64,
    /// Below that, no hour is unusual.
    pub anomaly_least: Money,
    /// A provider's counts are told of that are so many hundredths from ours; 0 for none.
    pub drift_percent: i64,
    /// The accounts whose budgets are looked at.
    pub accounts: Vec<String>,
}

/// Looks, and delivers; driven from outside, once a second.
pub struct Alerts {
    ledger: Ledger,
    reader: Arc<Reader>,
    poster: Poster,
    settings: ArcSwapOption<Settings>,
}

impl Alerts {
    /// Tells nobody anything until `configure`.
    pub fn new(ledger: Ledger, reader: Arc<Reader>, poster: Poster) -> Alerts {
        Alerts { ledger, reader, poster, settings: ArcSwapOption::empty() }
    }

    /// What is told from now on, and to whom; nothing where there are no settings.
    pub fn configure(&self, settings: Option<Settings>) {
        let thresholds = settings.as_ref().map_or(&[][..], |settings| &settings.thresholds);
        self.ledger.watch(thresholds);
        self.settings.store(settings.map(Arc::new));
    }

    /// Delivers what is due, and now and then looks for what only time brings about.
    pub fn tick(&self, ticks: u64) {
        let Some(settings) = self.settings.load_full() else { return };
        let now = clock::now();
        let mut found = Vec::new();
        if ticks % BUDGETS == 1 {
            found.extend(watch::burning(&self.ledger, &settings, now));
        }
        if ticks % FIGURES == 2 {
            match watch::figures(&self.reader, &settings, now) {
                Ok(alerts) => found.extend(alerts),
                Err(error) => tracing::warn!(%error, "figures cannot be looked at for alerts"),
            }
        }
        if self.ledger.tell(found).is_err() {
            // It is found again at the next look.
            return;
        }
        match self.reader.due(now, MOST) {
            Ok(due) => self.deliver(&settings.hook, &due),
            Err(error) => tracing::warn!(%error, "the outbox cannot be read"),
        }
    }
}
