//! A configuration looked at rather than served: its names and prices, and quotes on the limits as
//! the ledger's file has them. Nothing is written, so it works beside a running gateway.

use std::sync::Arc;

use tollgate_accounting::{Amounts, Book, Facets, Terms};

use super::StartError;
use super::build::{self, BuildError, Healths};
use crate::call::quote::{Quote, quote};
use crate::call::{CallError, Counting, Operation, Runtime, Sizes};
use crate::clock;
use crate::config::Snapshot;
use crate::control::{Control, Tenancy};
use crate::ledger::{Reader, Specs, look};
use crate::tenants::{Allowed, Caller, Holds, Priority};

/// What calls would look up under a configuration, with what was learned of counts so far.
pub fn runtime(snapshot: &Arc<Snapshot>) -> Result<Runtime, BuildError> {
    let counting = Counting::default();
    // A file that is missing or cannot be read has taught nothing yet.
    let learned = Reader::open(&snapshot.storage.path).and_then(|r| r.learned(super::CORRECTIONS));
    counting.load(learned.unwrap_or_default());
    build::runtime(snapshot, &Healths::default(), &Arc::new(counting))
}

/// A configuration and the balances it would start from.
pub struct Preview {
    runtime: Runtime,
    tenancy: Tenancy,
    book: Book,
    sizes: Sizes,
}

impl Preview {
    /// Reads the ledger's file, if there is one.
    pub fn of(snapshot: &Arc<Snapshot>) -> Result<Preview, StartError> {
        let tenancy = build::tenancy(snapshot);
        let specs: &Specs<'_> =
            &|added| Control::specs(&tenancy, added).map_err(|error| error.to_string());
        let book = look(&snapshot.storage.path, specs)?;
        let (runtime, sizes) = (runtime(snapshot)?, Sizes::default());
        if let Ok(reader) = Reader::open(&snapshot.storage.path) {
            sizes.load(reader.learned(super::SIZES)?);
        }
        Ok(Preview { runtime, tenancy, book, sizes })
    }

    /// What is read of a request.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Quotes a call of an account, or of nobody: then no account's limit is asked. What a
    /// gateway learned of replies is read from its file. `None` where there is no such account.
    pub fn quote(
        &self,
        account: Option<&str>,
        operation: &Operation<'_>,
    ) -> Option<Result<Quote, CallError>> {
        let caller = self.caller(account)?;
        let now = clock::now();
        let trial =
            |facets: &Facets<'_>, ask: Amounts| self.book.trial(now, caller.charged, facets, ask);
        let asked = (operation, &*caller.require, false);
        Some(quote(&self.runtime, &self.sizes, &caller, asked, trial))
    }

    fn caller(&self, path: Option<&str>) -> Option<Caller> {
        let known = |path| self.tenancy.accounts.iter().find(|account| account.path == path);
        let (holds, models, require, terms) = match path {
            Some(path) => {
                let account = known(path)?;
                let (models, require) = (account.models.clone(), account.require.clone());
                (account.holds, models, require, account.terms)
            }
            None => (Holds::Strict, Allowed::All, Arc::default(), Terms::default()),
        };
        let path = path.unwrap_or_default();
        Some(Caller {
            account: path.into(),
            key: "".into(),
            charged: self.book.account(path)?,
            charged_path: path.into(),
            holds,
            models,
            require,
            terms,
            share: 1,
            priority: Priority::Normal,
            expires_at: None,
            run: None,
        })
    }
}
