//! Letting go of accounts that are gone: short-lived ones, minted for a run, would otherwise fill
//! the memory of a long-lived book.

use std::sync::Arc;

use super::{Book, Phase};
use crate::amounts::Units;

impl Book {
    /// Forgets accounts of `which` that aren't configured any more, once nothing refers to them: no
    /// hold, no account below, no row that is still to be taken by [`Book::take_dirty`]. Returns
    /// their paths. One that comes back, itself or above another, needs its rows put back first, as at a
    /// start, by [`Book::restore_balance`]; else it begins at nothing.
    pub fn forget_retired(&mut self, which: impl Fn(&str) -> bool) -> Vec<Arc<str>> {
        let kept = |account: &super::Account| account.is_live || !which(&account.path);
        let mut is_kept: Vec<bool> = self.accounts.iter().map(kept).collect();
        let limits = self.limits.iter().filter(|node| node.is_dirty);
        let dirty = limits.map(|node| node.account as usize);
        let holds = self.holds.iter().filter(|hold| hold.phase != Phase::Free);
        for at in dirty.chain(holds.map(|hold| hold.account as usize)) {
            is_kept[at] = true;
        }
        for (at, account) in self.accounts.iter().enumerate() {
            if is_kept[at] || account.is_dirty {
                account.chain.iter().for_each(|above| is_kept[*above as usize] = true);
            }
        }
        let mut forgotten = Vec::new();
        for at in (1..self.accounts.len()).filter(|at| !is_kept[*at]) {
            // Empty places have no chain.
            if self.accounts[at].chain.is_empty() {
                continue;
            }
            if let Some(index) = self.by_path.remove(&self.accounts[at].path) {
                forgotten.push(self.accounts[at].path.clone());
                self.empty_account(index);
            }
        }
        forgotten
    }

    /// Leaves an empty place, for the next account and the next limits.
    fn empty_account(&mut self, index: u32) {
        let account = &mut self.accounts[index as usize];
        account.path = Arc::from("");
        account.chain = Box::default();
        account.totals = Units::NONE;
        // No id of the old account is one of the next.
        account.generation = account.generation.wrapping_add(1);
        for limit in account.retired.drain(..) {
            let node = &mut self.limits[limit as usize];
            node.state = crate::state::State::new(&node.rule);
            self.free_limits.push(limit);
        }
        self.free_accounts.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountId, AccountSpec, Amounts, Facets, HoldId, Money, Timestamp};

    const NOW: Timestamp = Timestamp::from_micros(0);

    fn put(book: &mut Book, path: &str) -> AccountId {
        let limits = vec!["100 tokens per day".parse().unwrap(), "9 concurrent".parse().unwrap()];
        let spec = AccountSpec { path: path.to_owned(), zone: "UTC".to_owned(), limits };
        book.put(NOW, &spec).unwrap()
    }

    fn call(book: &mut Book, account: AccountId, id: u128) -> HoldId {
        let id = HoldId(id);
        let ask = Amounts { requests: 1, input_tokens: 2, output_tokens: 0, cost: Money::ZERO };
        book.hold(NOW, id, account, &Facets::default(), ask, NOW).unwrap();
        id
    }

    fn forgotten(book: &mut Book) -> Vec<String> {
        let paths = book.forget_retired(|_| true);
        assert_eq!(book.check(), Ok(()));
        paths.iter().map(|path| path.to_string()).collect()
    }

    #[test]
    fn an_account_is_forgotten_once_nothing_refers_to_it() {
        let mut book = Book::remembering(1);
        let account = put(&mut book, "a/run");
        book.take_dirty();
        assert!(forgotten(&mut book).is_empty(), "it is configured");
        let hold = call(&mut book, account, 1);
        book.retire("a/run");
        book.take_dirty();
        assert!(forgotten(&mut book).is_empty(), "a hold is open");
        book.expire(NOW);
        book.take_dirty();
        assert!(forgotten(&mut book).is_empty(), "its charge may be corrected");
        book.release(NOW, hold);
        assert!(forgotten(&mut book).is_empty(), "its rows aren't written");
        book.take_dirty();
        assert_eq!(forgotten(&mut book), ["a", "a/run"]);
        assert!(forgotten(&mut book).is_empty());
        assert_eq!(book.by_path.get(""), Some(&0));
    }

    #[test]
    fn an_account_is_not_forgotten_before_those_below_it() {
        let mut book = Book::new();
        put(&mut book, "a");
        put(&mut book, "a/b");
        book.retire("a");
        book.take_dirty();
        assert!(forgotten(&mut book).is_empty());
        book.retire("a/b");
        book.take_dirty();
        assert_eq!(forgotten(&mut book), ["a", "a/b"]);
    }

    #[test]
    fn only_accounts_of_that_kind_are_forgotten() {
        let mut book = Book::new();
        put(&mut book, "a");
        put(&mut book, "b");
        book.retire("a");
        book.retire("b");
        book.take_dirty();
        let paths = book.forget_retired(|path| path == "b");
        assert_eq!(paths.iter().map(|path| &**path).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn accounts_that_come_and_go_take_no_more_room_than_there_are_at_once() {
        let mut book = Book::new();
        put(&mut book, "a");
        let mut old = None;
        for run in 0..1_000 {
            let account = put(&mut book, &format!("a/{run}"));
            assert_eq!(old.and_then(|old| book.path(old)), None, "an id names one account");
            assert_eq!(book.totals(account).requests, 0);
            let hold = call(&mut book, account, run);
            book.release(NOW, hold);
            book.retire(&format!("a/{run}"));
            book.take_dirty();
            book.forget_retired(|path| path.starts_with("a/"));
            old = Some(account);
        }
        assert!(book.accounts.len() <= 3 && book.limits.len() <= 4);
        assert_eq!(book.check(), Ok(()));
    }
}
