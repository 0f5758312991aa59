//! An hour of one facet as a row of `rollups` holds it: the sums of its quarters one behind the other,
//! packed, since a report over a year reads millions of them and most of their numbers are small.
//!
//! `sums` begins with a byte that has a bit for each quarter in which there were rows; each of these has
//! its measures behind it, in the order of `Measure::ALL`. `latency` and `first_byte` have the histograms
//! of the same quarters. Numbers are in base 128; those of measures may be negative, so their sign is in
//! the lowest bit.

use rusqlite::Row;

use super::times::{put, take};
use super::{QUARTERS, Sums, Times};

/// The columns of a row of `rollups` behind its facet and hour; without histograms only the first.
pub(in crate::ledger) const COLUMNS: &str = "sums, latency, first_byte";

/// The sums of the quarters of an hour, by their place in it; none where there were no rows.
pub(in crate::ledger) type Quarters = [Option<Sums>; QUARTERS];

/// A row of `rollups` that is being read.
pub(in crate::ledger) struct Hour<'r> {
    present: u8,
    sums: &'r [u8],
    /// None where nobody asks for them.
    times: Option<[&'r [u8]; 2]>,
}

impl<'r> Hour<'r> {
    /// Reads `COLUMNS`, beginning at a column.
    pub(in crate::ledger) fn read(
        row: &'r Row<'_>,
        from: usize,
        times: bool,
    ) -> rusqlite::Result<Hour<'r>> {
        let blob = |at: usize| Ok::<_, rusqlite::Error>(row.get_ref(from + at)?.as_blob()?);
        let Some((present, sums)) = blob(0)?.split_first() else { return Err(unreadable()) };
        let times = if times { Some([blob(1)?, blob(2)?]) } else { None };
        Ok(Hour { present: *present, sums, times })
    }

    /// The quarters in which there were rows.
    pub(in crate::ledger) fn quarters(&self) -> impl Iterator<Item = usize> + use<> {
        let present = self.present;
        (0..QUARTERS).filter(move |quarter| present & 1 << quarter != 0)
    }

    /// Adds each quarter to the sums whose number stands at its place; none passes it over.
    pub(in crate::ledger) fn add_to(
        mut self,
        all: &mut [Sums],
        places: [Option<usize>; QUARTERS],
    ) -> rusqlite::Result<()> {
        let mut nobody = Sums::default();
        for quarter in self.quarters() {
            let place = places.get(quarter).copied().flatten();
            let into = place.and_then(|place| all.get_mut(place)).unwrap_or(&mut nobody);
            self.next_into(into).ok_or_else(unreadable)?;
        }
        let rest = self.times.into_iter().flatten().chain([self.sums]);
        if rest.into_iter().all(<[u8]>::is_empty) { Ok(()) } else { Err(unreadable()) }
    }

    fn next_into(&mut self, into: &mut Sums) -> Option<()> {
        for sum in &mut into.measures {
            *sum = sum.saturating_add(signed(take(&mut self.sums)?));
        }
        if let Some([latency, first_byte]) = &mut self.times {
            into.latency.add_packed(latency)?;
            into.first_byte.add_packed(first_byte)?;
        }
        Some(())
    }

    /// All of its quarters.
    pub(in crate::ledger) fn all(self) -> rusqlite::Result<Quarters> {
        let present = self.present;
        let mut sums = <[Sums; QUARTERS]>::default();
        self.add_to(&mut sums, std::array::from_fn(Some))?;
        let mut at = 0..QUARTERS;
        Ok(sums.map(|sums| at.next().filter(|at| present & 1 << at != 0).map(|_| sums)))
    }
}

/// The blobs of `COLUMNS`.
pub(in crate::ledger) fn pack(quarters: &Quarters) -> [Vec<u8>; 3] {
    let [mut sums, mut latency, mut first_byte] = [vec![0], Vec::new(), Vec::new()];
    for (at, quarter) in quarters.iter().enumerate() {
        let Some(quarter) = quarter else { continue };
        if let Some(present) = sums.first_mut() {
            *present |= 1 << at;
        }
        for sum in quarter.measures {
            put(&mut sums, (sum.cast_unsigned() << 1) ^ (sum >> 63).cast_unsigned());
        }
        let histograms: [(&Times, &mut Vec<u8>); 2] =
            [(&quarter.latency, &mut latency), (&quarter.first_byte, &mut first_byte)];
        histograms.into_iter().for_each(|(times, out)| times.pack(out));
    }
    [sums, latency, first_byte]
}

fn signed(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn unreadable() -> rusqlite::Error {
    rusqlite::Error::InvalidQuery
}
