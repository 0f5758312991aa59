//! Perfect hashing by pilots: keys fall into buckets, and each bucket has a byte that sends all
//! of its keys to free slots. A lookup reads the bucket's byte and exactly one slot.

use crate::hash::{bucket, slot};

/// Where every key went.
pub(crate) struct Placed {
    pub(crate) pilots: Vec<u8>,
    /// The slot of each key, in the keys' order.
    pub(crate) slots: Vec<usize>,
}

/// Finds pilots for keys given as (hash, region), where region `r` has `sizes[r]` slots of its own;
/// `None` if this family of hashes can't be placed.
pub(crate) fn place(keys: &[(u64, usize)], sizes: &[usize], bits: u32) -> Option<Placed> {
    let mut buckets: Vec<Vec<usize>> = vec![Vec::new(); 1 << bits];
    for (key, (hash, _)) in keys.iter().enumerate() {
        buckets[bucket(*hash, bits)].push(key);
    }
    let mut order: Vec<usize> = (0..buckets.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(buckets[*at].len()));
    let mut taken: Vec<Vec<bool>> = sizes.iter().map(|size| vec![false; *size]).collect();
    let mut placed = Placed { pilots: vec![0; buckets.len()], slots: vec![0; keys.len()] };
    let mut tried: Vec<(usize, usize)> = Vec::new();
    for at in order {
        let found = (0..=255_u8).find(|pilot| {
            tried.clear();
            for key in &buckets[at] {
                let (hash, region) = keys[*key];
                let slot = slot(hash, *pilot, sizes[region]);
                if taken[region][slot] {
                    break;
                }
                taken[region][slot] = true;
                tried.push((region, slot));
            }
            let fits = tried.len() == buckets[at].len();
            if !fits {
                for (region, slot) in &tried {
                    taken[*region][*slot] = false;
                }
            }
            fits
        })?;
        placed.pilots[at] = found;
        for (key, (_, slot)) in buckets[at].iter().zip(&tried) {
            placed.slots[*key] = *slot;
        }
    }
    Some(placed)
}
