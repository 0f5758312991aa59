//! What became of every hold id that is still remembered: open, or ended with an outcome. The
//! memory of ended ones is a ring, so it is bounded whatever happens.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::{HoldId, Outcome};

/// Where an id leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A hold in the slab.
    Open(u32),
    /// A place in the ring.
    Ended(u32),
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// For good.
    Final(Outcome),
    /// By its deadline; its charge can still be corrected. The hold stays in the slab.
    Expired(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Ids {
    places: HashMap<HoldId, Place, BuildHasherDefault<IdHasher>>,
    ring: Vec<(HoldId, End)>,
    oldest: usize,
    capacity: usize,
}

impl Ids {
    pub(super) fn new(capacity: usize) -> Ids {
        let capacity = capacity.clamp(1, 1 << 31);
        Ids { places: HashMap::default(), ring: Vec::new(), oldest: 0, capacity }
    }

    pub(super) fn place(&self, id: HoldId) -> Option<Place> {
        self.places.get(&id).copied()
    }

    pub(super) fn open(&mut self, id: HoldId, hold: u32) {
        self.places.insert(id, Place::Open(hold));
    }

    pub(super) fn end_at(&self, place: u32) -> Option<End> {
        self.ring.get(place as usize).map(|(_, end)| *end)
    }

    /// Records an end; the slab place of a hold that is forgotten by it is returned.
    pub(super) fn end(&mut self, id: HoldId, end: End) -> Option<u32> {
        let (at, forgotten) = if self.ring.len() < self.capacity {
            self.ring.push((id, end));
            (self.ring.len() - 1, None)
        } else {
            let at = self.oldest;
            self.oldest = (at + 1) % self.capacity;
            let (old, old_end) = std::mem::replace(&mut self.ring[at], (id, end));
            self.places.remove(&old);
            let forgotten = match old_end {
                End::Expired(hold) => Some(hold),
                End::Final(_) => None,
            };
            (at, forgotten)
        };
        // The capacity is at most 2^31.
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.places.insert(id, Place::Ended(at));
        forgotten
    }

    /// Replaces how an ended hold ended.
    pub(super) fn correct(&mut self, place: u32, outcome: Outcome) {
        if let Some((_, end)) = self.ring.get_mut(place as usize) {
            *end = End::Final(outcome);
        }
    }
}

/// Ids are our own UUIDv7s, of which the low bits are random: one multiplication spreads them.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(*byte));
        }
    }

    fn write_u128(&mut self, id: u128) {
        let folded = (id as u64) ^ ((id >> 64) as u64).rotate_left(32) ^ self.0;
        let mixed = folded.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}
