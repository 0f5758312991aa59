//! What a hold would meet, without taking it: for quotes. It asks the limits what `hold` asks them, on
//! copies, so nothing moves.

use super::refuse::Shortage;
use super::{AccountId, Book, Standing};
use crate::amounts::Units;
use crate::refusal::{Refusal, Why};
use crate::{Amounts, Facets, Timestamp};

/// What a hold would meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Each limit that counts the call, from the root down.
    pub fits: Vec<Fit>,
    /// What `hold` would answer; `None` where it would be taken.
    pub refusal: Option<Box<Refusal>>,
}

/// What a hold would meet at one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// How the limit stands.
    pub standing: Standing,
    /// What would be taken from it; nano-dollars for cost.
    pub asked: i64,
    /// What it would say if it were the only one; `None` where there is room.
    pub refusal: Option<Box<Refusal>>,
}

impl Fit {
    /// What would be left of the limit; `None` where it would refuse.
    pub fn remains(&self) -> Option<i64> {
        self.standing.available.checked_sub(self.asked).filter(|_| self.refusal.is_none())
    }
}

impl Book {
    /// What [`Book::hold`] would answer now for a new call, and why.
    pub fn trial(
        &self,
        now: Timestamp,
        account: AccountId,
        facets: &Facets<'_>,
        ask: Amounts,
    ) -> Trial {
        let now = now.max(self.latest);
        let refused = |why| Trial { fits: Vec::new(), refusal: Some(Refusal::without_limit(why)) };
        let leaf = self.path(account).and_then(|_| self.accounts.get(account.index as usize));
        let Some(leaf) = leaf else { return refused(Why::NoSuchAccount) };
        let Ok(asked) = Units::of(&ask) else { return refused(Why::Overflow) };
        let mut all = Shortage::default();
        let mut fits = Vec::new();
        for account in leaf.chain.iter().filter_map(|at| self.accounts.get(*at as usize)) {
            if account.fits(asked).is_err() {
                return refused(Why::Overflow);
            }
            for &limit in &account.limits {
                let Some(node) = self.limits.get(limit as usize) else { continue };
                if !node.limit.filter.matches(facets) {
                    continue;
                }
                let amount = asked.get(node.limit.metric, 1);
                let mut ahead = node.clone();
                if ahead.state.advance(&node.rule, &account.zone, now).is_err() {
                    return refused(Why::Overflow);
                }
                let mut own = Shortage::default();
                if i128::from(amount) > ahead.state.room(&node.rule, now) {
                    own.add(&ahead, limit, now, amount);
                    all.add(&ahead, limit, now, amount);
                }
                fits.push(Fit {
                    standing: self.stands(node, now),
                    asked: amount,
                    refusal: own.refusal(&self.accounts, &self.limits, now),
                });
            }
        }
        Trial { fits, refusal: all.refusal(&self.accounts, &self.limits, now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountSpec, HoldId, MINUTE, Money};

    const FACETS: Facets<'_> = Facets { model: "m", endpoint: "chat.completions", prompt: None };

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn book() -> (Book, AccountId) {
        let spec = |path: &str, limits: &[&str]| AccountSpec {
            path: path.to_owned(),
            zone: "UTC".to_owned(),
            limits: limits.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let mut book = Book::new();
        let tenant = spec("a", &["$1 per day", "1000 tokens per minute"]);
        let team = spec("a/b", &["3 requests per hour", "2 concurrent", "5000 tokens per day"]);
        book.configure(at(0), &[tenant, team]).unwrap();
        let leaf = book.account("a/b").unwrap();
        (book, leaf)
    }

    fn ask(tokens: u64, nanos: i64) -> Amounts {
        let cost = Money::from_nanos(nanos);
        Amounts { requests: 1, input_tokens: tokens, output_tokens: 0, cost }
    }

    #[test]
    fn a_trial_answers_as_a_hold_does() {
        let (mut book, leaf) = book();
        let mut taken = 0;
        for (id, tokens, nanos, now) in [
            (1, 400, 10, 1),
            (2, 700, 10, 2),
            (3, 500, 10, 3),
            (4, 1, 1, 4),
            (5, 1, 2_000_000_000, 5),
            (6, 2_000, 1, 6),
            (7, u64::MAX, 1, 7),
            (8, 1, -1, 8),
            (9, 900, 1, 10 * MINUTE),
        ] {
            let ask = ask(tokens, nanos);
            let trial = book.trial(at(now), leaf, &FACETS, ask);
            let held = book.hold(at(now), HoldId(id), leaf, &FACETS, ask, at(i64::MAX));
            taken += u32::from(held.is_ok());
            assert_eq!(trial.refusal, held.err(), "{id}");
            let some = trial.fits.iter().any(|fit| fit.refusal.is_some());
            let by_limit = trial.refusal.is_some_and(|r| r.why == Why::Limit);
            assert_eq!(some, by_limit, "{id}");
        }
        assert_eq!(taken, 2);
    }

    #[test]
    fn each_limit_says_for_itself_what_remains_or_why_not() {
        let (book, leaf) = book();
        let trial = book.trial(at(1), leaf, &FACETS, ask(1_500, 250_000_000));
        let remains: Vec<_> = trial.fits.iter().map(|fit| (fit.asked, fit.remains())).collect();
        let expected = [
            (250_000_000, Some(750_000_000)),
            (1_500, None),
            (1, Some(2)),
            (1, Some(1)),
            (1_500, Some(3_500)),
        ];
        assert_eq!(remains, expected);
        let own = trial.fits[1].refusal.clone();
        assert_eq!(own, trial.refusal);
        assert!(own.is_some_and(|refusal| refusal.limit.contains("1000 tokens")));
    }

    #[test]
    fn a_trial_moves_nothing() {
        let (mut book, leaf) = book();
        book.hold(at(1), HoldId(1), leaf, &FACETS, ask(10, 10), at(5)).unwrap();
        book.take_dirty();
        let before = format!("{book:?}");
        book.trial(at(3 * MINUTE), leaf, &FACETS, ask(100, 100));
        book.trial(at(3 * MINUTE), leaf, &FACETS, ask(100_000, 100));
        assert_eq!(format!("{book:?}"), before);
        assert!(book.take_dirty().is_empty());
    }
}
