//! The cache as the configuration wants it at the moment.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{Cache, Cards, Disk, Policy};

/// The cache of the moment: there is one while the configuration says so.
pub struct Current {
    cache: ArcSwapOption<Cache>,
    cards: Cards,
}

impl Current {
    /// None yet. Where it has a file, price cards are written there like this.
    pub fn new(cards: Cards) -> Current {
        Current { cache: ArcSwapOption::empty(), cards }
    }

    /// Follows the configuration. Other bounds make another cache, with nothing in memory; the file stays
    /// as long as it is the same.
    pub fn configure(&self, policy: Option<&Policy>) {
        let old = self.get();
        let file = old.as_ref().and_then(|old| old.disk.clone());
        let place = policy.and_then(|policy| policy.disk.as_ref());
        let disk = match (file, place) {
            (Some(file), Some(place)) if file.place() == place => Some(file),
            (file, place) => {
                // One after the other: it may be the same file.
                file.iter().for_each(|file| file.close());
                place.map(|place| Arc::new(Disk::open(place.clone(), self.cards)))
            }
        };
        let cache = policy.map(|policy| match old {
            Some(old) if old.policy.bounds == policy.bounds => {
                let (kept, purges) = (old.kept.clone(), old.purges.clone());
                Arc::new(Cache { kept, policy: policy.clone(), disk, purges })
            }
            _ => Arc::new(Cache { disk, ..Cache::new(policy.clone()) }),
        });
        self.cache.store(cache);
    }

    /// Writes what waits to be written to the file, and lets go of it.
    pub fn close(&self) {
        if let Some(disk) = self.get().and_then(|cache| cache.disk.clone()) {
            disk.close();
        }
    }

    /// The cache, if there is to be one.
    pub fn get(&self) -> Option<Arc<Cache>> {
        self.cache.load_full()
    }

    /// Bytes kept now.
    pub fn bytes(&self) -> u64 {
        self.get().map_or(0, |cache| cache.bytes())
    }
}
