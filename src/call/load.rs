//! The gateway's own load: how many calls it has in flight. Near the most it takes, the less urgent are
//! refused so that there is room for the more urgent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::tenants::Priority;

/// Calls in flight, those that wait among them.
#[derive(Debug, Default)]
pub struct Load(AtomicU32);

/// A call's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Load>);

impl Load {
    /// Takes a place of `most`, if one is left to calls of this priority.
    pub(super) fn enter(self: &Arc<Load>, most: u32, priority: Priority) -> Option<InFlight> {
        let room = room(most, priority);
        let one_more = |taken: u32| (taken < room).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(InFlight(self.clone()))
    }

    /// How many there are.
    pub fn in_flight(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the gateway has room for a call of low priority.
    pub fn has_spare(&self, most: u32) -> bool {
        self.in_flight() < room(most, Priority::Low)
    }
}

/// A quarter is left to normal calls, and of that a quarter to urgent ones.
fn room(most: u32, priority: Priority) -> u32 {
    match priority {
        Priority::Low => most - most / 4,
        Priority::Normal => most - most / 16,
        Priority::High => most,
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_places_are_for_the_most_urgent_and_are_given_back() {
        let load = Arc::new(Load::default());
        let fill = |priority| std::iter::from_fn(|| load.enter(16, priority)).collect::<Vec<_>>();
        let low = fill(Priority::Low);
        assert!(!load.has_spare(16));
        let normal = fill(Priority::Normal);
        let high = fill(Priority::High);
        assert_eq!((low.len(), normal.len(), high.len()), (12, 3, 1));
        drop((low, normal, high));
        assert_eq!(load.in_flight(), 0);
        assert!(load.enter(1, Priority::Low).is_some());
    }
}
