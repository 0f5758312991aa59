//! A histogram of times that adds up exactly and fits in a few bytes: bins an eighth of a power of two
//! wide, so a percentile is told at most an eighth too long.

/// Times below this share the first bin.
const SHORTEST: u64 = 64;
const BINS: usize = 216;

/// How often each time was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Bins that were seen, in their order, with how often.
    seen: Vec<(u8, u64)>,
}

impl Times {
    /// One time more.
    pub(in crate::ledger) fn add(&mut self, micros: i64) {
        self.add_bin(bin(micros), 1);
    }

    /// All times of another histogram.
    pub(in crate::ledger) fn merge(&mut self, other: &Times) {
        other.seen.iter().for_each(|(bin, count)| self.add_bin(*bin, *count));
    }

    /// The bins that were seen, with how often.
    pub(in crate::ledger) fn seen(&self) -> &[(u8, u64)] {
        &self.seen
    }

    /// The time in milliseconds that so many per cent did not exceed; none where nothing was seen.
    pub fn percentile_ms(&self, per_cent: u64) -> Option<u64> {
        let all: u64 = self.seen.iter().map(|(_, count)| count).sum();
        let wanted = (u128::from(all) * u128::from(per_cent)).div_ceil(100);
        let mut below = 0_u128;
        let found = self.seen.iter().find(|(_, count)| {
            below += u128::from(*count);
            below >= wanted.max(1)
        });
        found.map(|(bin, _)| upper(*bin).div_ceil(1000))
    }

    /// As bytes: how many bins, then each bin's number and its count, in base 128.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put(out, self.seen.len() as u64);
        for (bin, count) in &self.seen {
            out.push(*bin);
            put(out, *count);
        }
    }

    /// Adds what `pack` wrote, which the bytes begin with; none where they do not.
    pub(super) fn add_packed(&mut self, bytes: &mut &[u8]) -> Option<()> {
        for _ in 0..take(bytes)? {
            let (bin, rest) = bytes.split_first()?;
            *bytes = rest;
            self.add_bin(*bin, take(bytes)?);
        }
        Some(())
    }

    fn add_bin(&mut self, bin: u8, count: u64) {
        match self.seen.binary_search_by_key(&bin, |(bin, _)| *bin) {
            Ok(at) => {
                if let Some((_, have)) = self.seen.get_mut(at) {
                    *have = have.saturating_add(count);
                }
            }
            Err(at) => self.seen.insert(at, (bin, count)),
        }
    }
}

/// Writes a number in base 128, its lowest digit first; all digits but the last have the highest bit.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off what `put` wrote.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0_u64, 0_u32);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if *byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

fn bin(micros: i64) -> u8 {
    let micros = u64::try_from(micros).unwrap_or(0);
    if micros < SHORTEST {
        return 0;
    }
    let power = u64::from(micros.ilog2());
    let eighth = (micros >> (power - 3)) & 7;
    let bin = 1 + (power - 6) * 8 + eighth;
    u8::try_from(bin.min(BINS as u64 - 1)).unwrap_or(u8::MAX)
}

/// The first time beyond a bin, in microseconds.
fn upper(bin: u8) -> u64 {
    let Some(place) = u64::from(bin).checked_sub(1) else { return SHORTEST };
    let (power, eighth) = (place / 8 + 6, place % 8);
    (8 + eighth + 1) << (power - 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_holds_its_times_and_is_an_eighth_wide() {
        for micros in [0_i64, 63, 64, 71, 72, 1_000, 123_456, 9_999_999, 3_600_000_000] {
            let end = upper(bin(micros));
            assert!(end > micros as u64, "{micros} {end}");
            assert!(micros < 64 || (end as i64 - micros) * 8 <= micros + 8, "{micros} {end}");
        }
        assert_eq!((bin(-5), bin(i64::MAX)), (0, 215));
    }

    #[test]
    fn histograms_add_up_and_read_back_as_written() {
        let (mut all, mut parts) = (Times::default(), [Times::default(), Times::default()]);
        for at in 0..1000_i64 {
            all.add(at * 977);
            parts[(at % 2) as usize].add(at * 977);
        }
        let (mut sum, mut packed) = (Times::default(), Vec::new());
        parts.iter().for_each(|part| part.pack(&mut packed));
        let mut rest = packed.as_slice();
        sum.add_packed(&mut rest).unwrap();
        sum.add_packed(&mut rest).unwrap();
        assert!(rest.is_empty() && sum.add_packed(&mut rest).is_none());
        assert_eq!(sum, all);
        let half = all.percentile_ms(50).unwrap();
        assert!((489..=550).contains(&half), "{half}");
        assert_eq!(Times::default().percentile_ms(50), None);
    }
}
