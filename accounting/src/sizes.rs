//! How long replies are: a learned distribution of output tokens, from which an adaptive hold
//! takes a high percentile instead of the whole output cap.

/// A histogram of output sizes for one model, or one model and account, that forgets slowly.
///
/// Its buckets grow by eighths of a power of two, so a percentile is at most 12.5 % above the
/// true size. Old sizes lose half their weight whenever about [`OutputSizes::MEMORY`] new ones
/// came. Integers only, and of constant size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSizes {
    weights: [u16; OutputSizes::BUCKETS],
    /// Of all weights, so that what a mean is asked of is not summed each time.
    total: u32,
    /// Of the buckets' middles, each times its weight.
    sum: u64,
}

/// The weight of a fresh size. Halved five times, a single size is gone.
const FRESH: u16 = 16;
const EIGHTHS: u64 = 8;
const LARGEST: u64 = u32::MAX as u64;

impl Default for OutputSizes {
    fn default() -> Self {
        OutputSizes::new()
    }
}

impl OutputSizes {
    /// How many sizes count at most.
    pub const MEMORY: u32 = 1_024;

    /// How many buckets there are; a bucket's number is below it.
    pub const BUCKETS: usize = 240;

    /// Nothing learned.
    pub const fn new() -> OutputSizes {
        OutputSizes { weights: [0; OutputSizes::BUCKETS], total: 0, sum: 0 }
    }

    /// Puts learned weights back, as [`OutputSizes::weights`] gave them. `None` if a bucket
    /// doesn't exist or all together weigh more than can be learned.
    pub fn from_weights(weights: impl IntoIterator<Item = (u16, u16)>) -> Option<OutputSizes> {
        let mut sizes = OutputSizes::new();
        for (bucket, weight) in weights {
            let place = sizes.weights.get_mut(usize::from(bucket))?;
            *place = place.checked_add(weight)?;
        }
        sizes.add_up();
        (sizes.total <= full()).then_some(sizes)
    }

    /// The buckets that have a weight, as plain integers.
    pub fn weights(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        (0..).zip(self.weights).filter(|(_, weight)| *weight > 0)
    }

    /// Learns the size of one reply. Sizes beyond 2^32 count as that.
    pub fn observe(&mut self, output_tokens: u64) {
        if self.total + u32::from(FRESH) > full() {
            for weight in &mut self.weights {
                *weight /= 2;
            }
            self.add_up();
        }
        let bucket = bucket(output_tokens);
        if let Some(weight) = self.weights.get_mut(bucket) {
            *weight += FRESH;
            self.total += u32::from(FRESH);
            self.sum += middle(bucket as u64) * u64::from(FRESH);
        }
    }

    /// How many replies it still knows, rounded up.
    pub fn observations(&self) -> u32 {
        self.total.div_ceil(u32::from(FRESH))
    }

    /// A size that `percent` of the replies don't exceed. `None` if nothing is known.
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        let total = u64::from(self.total);
        let wanted = (total * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut sum = 0;
        let found = self.weights.iter().position(|weight| {
            sum += u64::from(*weight);
            sum >= wanted
        });
        found.map(|bucket| upper_bound(bucket as u64))
    }

    /// The mean size, newer replies counting more. `None` if nothing is known.
    pub fn mean(&self) -> Option<u64> {
        let total = u64::from(self.total);
        (self.sum + total / 2).checked_div(total)
    }

    fn add_up(&mut self) {
        self.total = self.weights.iter().map(|weight| u32::from(*weight)).sum();
        let weighed = (0..).zip(self.weights);
        self.sum = weighed.map(|(bucket, weight)| middle(bucket) * u64::from(weight)).sum();
    }
}

/// Where halving begins.
fn full() -> u32 {
    OutputSizes::MEMORY * u32::from(FRESH)
}

/// Sizes below eight have their own bucket; above, each power of two has eight.
fn bucket(size: u64) -> usize {
    let size = size.min(LARGEST);
    if size < EIGHTHS {
        return size as usize;
    }
    let octave = u64::from(size.ilog2()) - 3;
    ((octave + 1) * EIGHTHS + (size >> octave) - EIGHTHS) as usize
}

/// The largest size in a bucket.
fn upper_bound(bucket: u64) -> u64 {
    if bucket < EIGHTHS {
        return bucket;
    }
    let octave = bucket / EIGHTHS - 1;
    ((bucket % EIGHTHS + EIGHTHS + 1) << octave) - 1
}

fn middle(bucket: u64) -> u64 {
    let below = bucket.checked_sub(1).map_or(0, |below| upper_bound(below) + 1);
    below.midpoint(upper_bound(bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_that_of_the_sizes_learned() {
        assert_eq!(OutputSizes::new().mean(), None);
        let mut sizes = OutputSizes::new();
        (1..=7).for_each(|size| sizes.observe(size));
        assert_eq!(sizes.mean(), Some(4));
        let mut sizes = OutputSizes::new();
        [1, 2].into_iter().for_each(|size| sizes.observe(size));
        assert_eq!(sizes.mean(), Some(2), "halves are rounded up");
        let mut sizes = OutputSizes::new();
        (0..5_000).for_each(|n| sizes.observe(if n % 10 == 0 { 10_000 } else { 100 }));
        assert_eq!(OutputSizes::from_weights(sizes.weights()), Some(sizes.clone()));
        let mean = sizes.mean().unwrap();
        assert!((1_020..1_160).contains(&mean), "{mean}");
        let mut sizes = OutputSizes::new();
        sizes.observe(u64::MAX);
        assert!(sizes.mean().unwrap() > 1 << 31);
    }

    #[test]
    fn buckets_tile_all_sizes() {
        let mut next = 0;
        for number in 0..OutputSizes::BUCKETS {
            assert_eq!(bucket(next), number, "{next}");
            let last = upper_bound(number as u64);
            assert_eq!(bucket(last), number, "{last}");
            assert!(last - next <= next / EIGHTHS, "{next} to {last} is too wide");
            next = last + 1;
        }
        assert_eq!(next, 1 << 32);
        assert_eq!(bucket(u64::MAX), OutputSizes::BUCKETS - 1);
    }

    #[test]
    fn a_percentile_is_a_bound_close_above() {
        let mut sizes = OutputSizes::new();
        assert_eq!((sizes.percentile(99), sizes.observations()), (None, 0));
        for size in 1..=1_000 {
            sizes.observe(size);
        }
        assert_eq!(sizes.observations(), 1_000);
        for (percent, exact) in [(0, 1), (1, 10), (50, 500), (95, 950), (99, 990), (100, 1_000)] {
            let found = sizes.percentile(percent).unwrap();
            assert!((exact..=exact + exact / 8).contains(&found), "p{percent}: {found}");
        }
        assert_eq!(sizes.percentile(255), sizes.percentile(100));
        let mut one = OutputSizes::new();
        one.observe(0);
        assert_eq!(one.percentile(99), Some(0));
        one.observe(u64::MAX);
        assert_eq!(one.percentile(99), Some(u64::from(u32::MAX)));
    }

    #[test]
    fn old_sizes_fade_and_the_size_of_the_memory_is_bounded() {
        let mut sizes = OutputSizes::new();
        (0..100_000).for_each(|_| sizes.observe(4_000));
        assert!((512..=OutputSizes::MEMORY).contains(&sizes.observations()));
        (0..1_000).for_each(|_| sizes.observe(10));
        assert_eq!(sizes.percentile(50), Some(10));
        assert!(sizes.percentile(99) >= Some(4_000));
        (0..8_000).for_each(|_| sizes.observe(10));
        assert_eq!(sizes.percentile(100), Some(10));
    }

    #[test]
    fn what_is_learned_survives_as_plain_integers() {
        let mut sizes = OutputSizes::new();
        [0, 7, 8, 100, 100, 5_000_000].into_iter().for_each(|size| sizes.observe(size));
        let weights: Vec<_> = sizes.weights().collect();
        assert_eq!(weights.len(), 5);
        assert_eq!(OutputSizes::from_weights(weights), Some(sizes));
        assert_eq!(OutputSizes::from_weights([(240, 1)]), None);
        assert_eq!(OutputSizes::from_weights([(0, u16::MAX), (0, 1)]), None);
        assert_eq!(OutputSizes::from_weights([(0, 16_384)]).map(|s| s.observations()), Some(1_024));
        assert_eq!(OutputSizes::from_weights([(0, 16_384), (1, 1)]), None);
        assert_eq!(OutputSizes::from_weights([]), Some(OutputSizes::default()));
    }
}
