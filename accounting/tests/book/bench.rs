//! A book at a workbench: short words for tests.

use std::collections::HashMap;
use std::sync::Arc;

use tollgate_accounting::{
    AccountSpec, Amounts, Balance, Book, Facets, Held, HoldId, HoldView, Limit, Money, Refusal,
    RestoredHold, Settlement, Standing, Timestamp, Totals,
};

pub(crate) struct Bench {
    pub(crate) book: Book,
    pub(crate) now: Timestamp,
    pub(crate) facets: Facets<'static>,
    pub(crate) patience: i64,
    ledger: HashMap<(Arc<str>, Arc<str>, i64), Balance>,
}

impl Bench {
    /// A book with these accounts and limits in words, in UTC, on 2026-11-24 at 07:00.
    pub(crate) fn new(accounts: &[(&str, &[&str])]) -> Bench {
        let mut bench = Bench {
            book: Book::new(),
            now: Timestamp::from_micros(1_795_503_600_000_000),
            facets: Facets { model: "gpt-5", endpoint: "chat", prompt: None },
            patience: 600_000_000,
            ledger: HashMap::new(),
        };
        bench.configure(accounts);
        bench
    }

    /// A book with one account.
    pub(crate) fn with_limits(path: &str, limits: Vec<Limit>) -> Bench {
        let mut bench = Bench::new(&[]);
        let spec = AccountSpec { path: path.to_owned(), zone: "UTC".to_owned(), limits };
        bench.book.put(bench.now, &spec).unwrap();
        bench
    }

    /// A book with the account `acme` in a zone.
    pub(crate) fn in_zone(zone: &str, limits: &[&str]) -> Bench {
        let mut bench = Bench::new(&[]);
        bench.book = Book::new();
        let limits = limits.iter().map(|text| text.parse().unwrap()).collect();
        let spec = AccountSpec { path: "acme".to_owned(), zone: zone.to_owned(), limits };
        // Before the time of the test, whatever that is.
        bench.book.put(Timestamp::from_micros(0), &spec).unwrap();
        bench
    }

    /// Writes what changed to the ledger.
    pub(crate) fn commit(&mut self) -> Vec<Balance> {
        let rows = self.book.take_dirty();
        for row in &rows {
            let place = (row.account.clone(), row.limit_key.clone(), row.period);
            self.ledger.insert(place, row.clone());
        }
        rows
    }

    /// Begins again from the durable rows and the open holds, with these limits of `acme`.
    pub(crate) fn restart(&mut self, limits: Vec<Limit>) {
        self.commit();
        let fresh = Bench::with_limits("acme", limits);
        let old = std::mem::replace(&mut self.book, fresh.book);
        for row in self.ledger.values() {
            self.book.restore_balance(row.clone()).unwrap();
        }
        for HoldView { id, account, amounts, taken_at, deadline } in old.open_holds() {
            let facets = self.facets;
            let hold = RestoredHold { id, account, facets, amounts, taken_at, deadline };
            self.book.restore_hold(hold).unwrap();
        }
    }

    pub(crate) fn configure(&mut self, accounts: &[(&str, &[&str])]) {
        self.book.configure(self.now, &specs(accounts)).unwrap();
    }

    pub(crate) fn hold(
        &mut self,
        id: u128,
        account: &str,
        ask: Amounts,
    ) -> Result<Held, Box<Refusal>> {
        let account = self.book.account(account).unwrap_or_else(stranger);
        let deadline = self.now.saturating_plus(self.patience);
        self.book.hold(self.now, HoldId(id), account, &self.facets, ask, deadline)
    }

    pub(crate) fn extend(&mut self, id: u128, more: Amounts) -> Result<(), Box<Refusal>> {
        self.book.extend(self.now, HoldId(id), more)
    }

    pub(crate) fn settle(&mut self, id: u128, used: Amounts) -> Settlement {
        self.book.settle(self.now, HoldId(id), used)
    }

    pub(crate) fn release(&mut self, id: u128) -> Settlement {
        self.book.release(self.now, HoldId(id))
    }

    pub(crate) fn expire(&mut self) -> Vec<u128> {
        self.book.expire(self.now).into_iter().map(|id| id.0).collect()
    }

    pub(crate) fn standing(&self, account: &str) -> Vec<Standing> {
        self.book.standing(self.now, self.book.account(account).unwrap())
    }

    pub(crate) fn totals(&self, account: &str) -> Totals {
        self.book.totals(self.book.account(account).unwrap())
    }

    pub(crate) fn later(&mut self, micros: i64) {
        self.now = self.now.plus(micros).unwrap();
    }

    pub(crate) fn check(&self) {
        self.book.check().unwrap();
    }
}

pub(crate) fn specs(accounts: &[(&str, &[&str])]) -> Vec<AccountSpec> {
    let spec = |(path, limits): &(&str, &[&str])| AccountSpec {
        path: (*path).to_owned(),
        zone: "UTC".to_owned(),
        limits: limits.iter().map(|text| text.parse().unwrap()).collect(),
    };
    accounts.iter().map(spec).collect()
}

/// One request that reads so many tokens.
pub(crate) fn tokens(input: u64) -> Amounts {
    amounts(1, input, 0, 0)
}

pub(crate) fn amounts(requests: u64, input: u64, output: u64, nanos: i64) -> Amounts {
    let cost = Money::from_nanos(nanos);
    Amounts { requests, input_tokens: input, output_tokens: output, cost }
}

/// An account of another book with more accounts.
fn stranger() -> tollgate_accounting::AccountId {
    let mut book = Book::new();
    let names: Vec<String> = (0..100).map(|n| format!("a{n}")).collect();
    let specs = names.iter().map(|name| AccountSpec {
        path: name.clone(),
        zone: "UTC".to_owned(),
        limits: Vec::new(),
    });
    book.configure(Timestamp::from_micros(0), &specs.collect::<Vec<_>>()).unwrap();
    book.account("a99").unwrap()
}
