//! Limits added to accounts, or to the whole gateway, beside those of the configuration.

use tollgate_accounting::{ConfigureError, Limit};

use super::{ADMIN, Control, ControlError, change, limit};

impl Control {
    /// Adds a limit to an account, or to the whole gateway where the path is empty.
    pub fn add_limit(&self, account: &str, text: &str) -> Result<(), ControlError> {
        let tenancy = self.lock();
        let configured =
            if account.is_empty() { &tenancy.limits } else { &tenancy.account(account)?.limits };
        let added = limit(text)?;
        let extra = self.reader.extra_limits()?;
        let mut mine: Vec<Limit> = configured.clone();
        for (_, text) in extra.iter().filter(|(path, _)| path == account) {
            mine.push(limit(text)?);
        }
        if mine.iter().any(|have| have.key() == added.key()) {
            let (account, limit) = (account.to_owned(), text.to_owned());
            return Err(ControlError::Conflict(ConfigureError::DuplicateLimit { account, limit }));
        }
        let words = format!("limit of {} was added", added.describe());
        self.ledger.put_limit(change(account, ADMIN, "limit", words), text.to_owned())?;
        self.apply(&tenancy)
    }

    /// Takes a limit back that `add_limit` added.
    pub fn remove_limit(&self, account: &str, text: &str) -> Result<(), ControlError> {
        let tenancy = self.lock();
        let extra = self.reader.extra_limits()?;
        if !extra.iter().any(|(path, have)| path == account && have == text) {
            let (account, limit) = (account.to_owned(), text.to_owned());
            return Err(ControlError::NoLimit { account, limit });
        }
        let words = format!("limit of {text} was taken back");
        self.ledger.remove_limit(change(account, ADMIN, "limit", words), text.to_owned())?;
        self.apply(&tenancy)
    }
}
