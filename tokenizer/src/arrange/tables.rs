//! The tables that counting reads, from a vocabulary's tokens in the order of their ranks.

use std::collections::HashMap;

use crate::arrange::place;
use crate::hash;

/// How closely keys are packed: 2 to this many buckets, and one slot more for every so many keys.
#[derive(Clone, Copy)]
pub(crate) struct Fit {
    pub(crate) bits: u32,
    pub(crate) slack: usize,
}

impl Fit {
    fn slots(self, keys: usize) -> usize {
        keys + keys / self.slack + 1
    }
}

pub(crate) struct Pieces {
    pub(crate) seed: u64,
    pub(crate) pilots: Vec<u8>,
    pub(crate) short_slots: usize,
    pub(crate) long_slots: usize,
    pub(crate) words: Vec<u64>,
}

/// Every token of up to 15 bytes; those of up to seven take one word, the others two.
pub(crate) fn pieces(tokens: &[Vec<u8>], fit: Fit) -> Option<Pieces> {
    let keys: Vec<(u64, u64, usize)> = tokens
        .iter()
        .filter(|token| token.len() <= hash::PACKED)
        .map(|token| {
            let mut bytes = [0; 16];
            bytes[..token.len()].copy_from_slice(token);
            let raw = u128::from_le_bytes(bytes);
            let (low, high) = hash::Packing::of(token.len()).pack(raw as u64, (raw >> 64) as u64);
            (low, high, usize::from(token.len() > 7))
        })
        .collect();
    let long = keys.iter().filter(|(_, _, region)| *region == 1).count();
    let sizes = [fit.slots(keys.len() - long), fit.slots(long)];
    (1..32).find_map(|seed| {
        let hashed: Vec<(u64, usize)> = keys
            .iter()
            .map(|(low, high, region)| (hash::of_key(*low, *high, seed), *region))
            .collect();
        let placed = place::place(&hashed, &sizes, fit.bits)?;
        let mut words = vec![0; sizes[0] + 2 * sizes[1]];
        for ((low, high, region), slot) in keys.iter().zip(&placed.slots) {
            if *region == 0 {
                words[*slot] = *low;
            } else {
                words[sizes[0] + 2 * slot] = *low;
                words[sizes[0] + 2 * slot + 1] = *high;
            }
        }
        let [short_slots, long_slots] = sizes;
        Some(Pieces { seed, pilots: placed.pilots, short_slots, long_slots, words })
    })
}

/// A token's left and right part, its longest proper prefix that is a token, its length: 18, 18,
/// 18 and 10 bits. A token that no merge makes is its own left and right part.
pub(crate) fn records(tokens: &[Vec<u8>], parts: &[(u32, u32)]) -> Vec<u64> {
    let ids: HashMap<&[u8], u64> =
        tokens.iter().zip(0..).map(|(token, id)| (token.as_slice(), id)).collect();
    let mut records = Vec::with_capacity(tokens.len());
    for ((token, (left, right)), own) in tokens.iter().zip(parts).zip(0_u64..) {
        let prefix = (1..token.len()).rev().find_map(|length| ids.get(&token[..length]).copied());
        let length = token.len() as u64;
        let prefix = prefix.unwrap_or(own);
        records.push(u64::from(*left) | u64::from(*right) << 18 | prefix << 36 | length << 54);
    }
    records
}

pub(crate) struct Pairs {
    pub(crate) seed: u64,
    pub(crate) pilots: Vec<u8>,
    pub(crate) slots: Vec<u32>,
    pub(crate) filter: Vec<u64>,
}

/// For two adjacent tokens, the token they merge into: 18 bits, under a 14-bit fingerprint.
pub(crate) fn pairs(records: &[u64], fit: Fit) -> Option<Pairs> {
    let keys: Vec<(u32, u32, u32)> = records
        .iter()
        .zip(0_u32..)
        .filter(|(record, id)| *record & 0x3_ffff != u64::from(*id))
        .map(|(record, id)| ((record & 0x3_ffff) as u32, (record >> 18 & 0x3_ffff) as u32, id))
        .collect();
    let size = fit.slots(keys.len());
    (1..32).find_map(|seed| {
        let hashed: Vec<(u64, usize)> =
            keys.iter().map(|(left, right, _)| (hash::of_pair(*left, *right, seed), 0)).collect();
        let placed = place::place(&hashed, &[size], fit.bits)?;
        // An empty slot names token 0, a single byte, which no pair merges into.
        let mut slots = vec![0; size];
        let mut filter = vec![0; 1 << (hash::FILTER_BITS - 6)];
        for (((_, _, id), (hash, _)), slot) in keys.iter().zip(&hashed).zip(&placed.slots) {
            let (word, bit) = hash::filter(*hash);
            filter[word] |= 1 << bit;
            slots[*slot] = hash::fingerprint(*hash) << 18 | id;
        }
        Some(Pairs { seed, pilots: placed.pilots, slots, filter })
    })
}
