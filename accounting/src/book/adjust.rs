//! Corrections of what a call was charged, after it has ended: a price was wrong, a bill says
//! something else.

use super::Book;
use crate::amounts::Units;
use crate::{Facets, Metric, Money, Overflow, Timestamp};

impl Book {
    /// Whether the book has the path's totals. Those of an account that was forgotten must be put back
    /// with [`Book::restore_balance`] before they are corrected.
    pub fn knows(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    /// Changes by so much what the account and all above it were charged for a call of `taken_at`.
    ///
    /// Their totals follow always. Of the limits on cost that counted the call, those follow whose
    /// window it was taken in and which still runs: calendar quotas and fixed windows. What is over,
    /// has refilled or rolled on since stays as it was: a correction reopens no period and refuses
    /// nobody for the past.
    ///
    /// # Errors
    /// Where a total would leave its range or fall below nothing. Nothing was changed then.
    pub fn adjust(
        &mut self,
        now: Timestamp,
        path: &str,
        facets: &Facets<'_>,
        taken_at: Timestamp,
        cost: Money,
    ) -> Result<(), Overflow> {
        let now = self.clock(now);
        let leaf = self.ensure_account(path) as usize;
        let change = Units { cost: cost.nanos(), ..Units::NONE };
        let Book { accounts, limits, dirty_accounts, dirty_limits, .. } = self;
        let chain = accounts[leaf].chain.clone();
        for &at in &chain {
            let account = &accounts[at as usize];
            account.fits(change)?;
            account.totals.plus(change)?.valid()?;
        }
        for &at in &chain {
            let account = &mut accounts[at as usize];
            account.totals = account.totals.plus(change).unwrap_or(account.totals);
            if !account.is_dirty {
                account.is_dirty = true;
                dirty_accounts.push(at);
            }
            for &limit in &account.limits {
                let node = &mut limits[limit as usize];
                let counted = node.limit.metric == Metric::Cost
                    && node.limit.filter.matches(facets)
                    && node.since <= taken_at;
                // Beyond the calendar's years nothing rolls.
                let runs = node.state.advance(&node.rule, &account.zone, now).is_ok();
                if counted && runs && node.state.adjust(&node.rule, taken_at, cost.nanos()) {
                    node.mark(limit, dirty_limits);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountSpec, Amounts, DAY, HoldId};

    const NOON: Timestamp = Timestamp::from_micros(DAY / 2);

    fn money(nanos: i64) -> Money {
        Money::from_nanos(nanos)
    }

    /// `a` with a daily quota, an hourly bucket and a quota of one model; one call of 100.
    fn book() -> Book {
        let limits = ["$1 per day", "$1 per hour"].map(|text| text.parse().unwrap());
        let mut book = Book::new();
        let spec =
            |path: &str, limits| AccountSpec { path: path.into(), zone: "UTC".into(), limits };
        book.configure(NOON, &[spec("a", limits.to_vec()), spec("a/b", Vec::new())]).unwrap();
        let ask = Amounts { requests: 1, input_tokens: 1, output_tokens: 1, cost: money(100) };
        let leaf = book.account("a/b").unwrap();
        book.hold(NOON, HoldId(1), leaf, &facets(), ask, NOON.saturating_plus(DAY)).unwrap();
        book.settle(NOON, HoldId(1), ask);
        book
    }

    fn facets() -> Facets<'static> {
        Facets { model: "m", endpoint: "e", prompt: None }
    }

    fn posted(book: &mut Book, at: Timestamp) -> Vec<i64> {
        let leaf = book.account("a/b").unwrap();
        book.standing(at, leaf).iter().map(|standing| standing.posted).collect()
    }

    fn totals(book: &Book) -> Vec<i64> {
        let of = |path: &str| book.totals(book.account(path).unwrap()).cost.nanos();
        vec![of("a"), of("a/b")]
    }

    #[test]
    fn totals_follow_always_and_a_quota_while_its_period_runs() {
        let mut book = book();
        let before = posted(&mut book, NOON);
        book.adjust(NOON, "a/b", &facets(), NOON, money(-40)).unwrap();
        assert_eq!(totals(&book), [60, 60]);
        let after = posted(&mut book, NOON);
        let changed: Vec<i64> = before.iter().zip(&after).map(|(b, a)| a - b).collect();
        assert_eq!(changed.iter().filter(|change| **change == -40).count(), 1, "{changed:?}");

        let tomorrow = NOON.saturating_plus(DAY);
        book.adjust(tomorrow, "a/b", &facets(), NOON, money(15)).unwrap();
        assert_eq!(totals(&book), [75, 75]);
        assert!(posted(&mut book, tomorrow).iter().all(|posted| *posted == 0));
        book.check().unwrap();
    }

    #[test]
    fn only_limits_of_money_that_counted_the_call_follow() {
        let words = [
            "$1 per day",
            "1000 tokens per day",
            "$1 per hour, fixed window",
            "$1 per hour, sliding window",
        ];
        let mut limits = words.map(|text| text.parse::<crate::Limit>().unwrap()).to_vec();
        let mut of_another: crate::Limit = "$2 per day".parse().unwrap();
        of_another.filter.models.push("other".to_owned());
        limits.push(of_another);
        let spec = |limits: &[crate::Limit]| {
            [AccountSpec { path: "a".into(), zone: "UTC".into(), limits: limits.to_vec() }]
        };
        let mut book = Book::new();
        book.configure(NOON, &spec(&limits)).unwrap();
        let ask = Amounts { requests: 1, input_tokens: 1, output_tokens: 1, cost: money(100) };
        let account = book.account("a").unwrap();
        book.hold(NOON, HoldId(1), account, &facets(), ask, NOON.saturating_plus(DAY)).unwrap();
        book.settle(NOON, HoldId(1), ask);
        // One more is there from a second later on: it has not counted the call.
        let later = NOON.saturating_plus(1_000_000);
        limits.push("$3 per month".parse().unwrap());
        book.configure(later, &spec(&limits)).unwrap();

        let read = |book: &mut Book| -> Vec<(String, i64)> {
            let of = |standing: &crate::Standing| (standing.limit.to_string(), standing.posted);
            book.standing(later, account).iter().map(of).collect()
        };
        let before = read(&mut book);
        let _rows = book.take_dirty();
        // More, because what counted nothing has nothing to give back.
        book.adjust(later, "a", &facets(), NOON, money(40)).unwrap();
        // The two limits, and the totals of the account and of all.
        let written = book.take_dirty();
        assert_eq!(written.iter().filter(|row| row.limit_key.is_empty()).count(), 2, "{written:?}");
        assert_eq!(written.len(), 4, "{written:?}");
        let after = read(&mut book);
        let moved: Vec<&str> = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before.1 != after.1)
            .map(|(_, after)| after.0.as_str())
            .collect();
        assert_eq!(moved, ["$1 per day", "$1 per hour, fixed window"], "{after:?}");
        book.check().unwrap();
    }

    #[test]
    fn no_total_falls_below_nothing_or_leaves_its_range() {
        let mut book = book();
        for bad in [-101, i64::MAX, i64::MIN] {
            assert_eq!(
                book.adjust(NOON, "a/b", &facets(), NOON, money(bad)),
                Err(Overflow),
                "{bad}"
            );
        }
        assert_eq!(totals(&book), [100, 100]);
        assert!(book.knows("a/b") && !book.knows("a/c"));
    }
}
