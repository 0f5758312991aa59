//! Credentials: made, listed, revoked.

use tollgate_accounting::Timestamp;

use super::specs::charged_path;
use super::{ADMIN, Account, Control, ControlError, Tenancy, change, limit, until};
use crate::clock;
use crate::ledger::KeyRow;
use crate::tenants::{Caller, Credential, KeyId, mint};

/// What a new key is to be.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// The account it belongs to.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// Limits of its own.
    pub limits: Vec<String>,
    /// From when it is refused.
    pub expires_at: Option<Timestamp>,
}

impl Control {
    /// Makes a key. Its text is returned here and is nowhere kept.
    pub fn create_key(&self, new: NewKey) -> Result<(String, KeyRow), ControlError> {
        let tenancy = self.lock();
        tenancy.account(&new.account)?;
        let now = clock::now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(ControlError::Expired);
        }
        for text in &new.limits {
            limit(text)?;
        }
        let (key, credential) = mint(self.directory.pepper()).map_err(ControlError::Random)?;
        let row = KeyRow {
            id: credential.id.to_string(),
            digest: credential.digest,
            account: new.account,
            name: new.name,
            hint: credential.hint,
            limits: new.limits.join("\n"),
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let words = format!("key {} was made{}", row.id, until(row.expires_at));
        self.ledger.put_key(change(&row.account, ADMIN, "key", words), row.clone())?;
        self.apply(&tenancy)?;
        Ok((key, row))
    }

    /// Refuses a key from now on. Calls in flight are not stopped.
    pub fn revoke_key(&self, id: &str) -> Result<KeyRow, ControlError> {
        let tenancy = self.lock();
        let found = self.reader.keys()?.into_iter().find(|row| row.id == id);
        let mut row = found.ok_or_else(|| ControlError::NoKey(id.to_owned()))?;
        if row.revoked_at.is_some() {
            return Ok(row);
        }
        row.revoked_at = Some(clock::now());
        let words = format!("key {id} was revoked");
        self.ledger.put_key(change(&row.account, ADMIN, "key", words), row.clone())?;
        self.apply(&tenancy)?;
        Ok(row)
    }

    /// Who shows that credential; nobody where the account is gone.
    pub(super) fn caller(&self, tenancy: &Tenancy, row: &KeyRow) -> Option<(Credential, Caller)> {
        let account = tenancy.account(&row.account).ok()?;
        let charged_path = charged_path(row);
        let charged = self.ledger.with_book(|book| book.account(&charged_path))?;
        let id = KeyId::parse(&row.id)?;
        let credential = Credential { id, digest: row.digest, hint: row.hint.clone() };
        let caller = Caller {
            account: account.path.as_str().into(),
            key: row.id.as_str().into(),
            charged,
            charged_path: charged_path.into(),
            holds: account.holds,
            models: account.models.clone(),
            require: account.require.clone(),
            terms: account.terms,
            share: account.share,
            priority: account.priority,
            expires_at: row.expires_at,
            run: None,
        };
        Some((credential, caller))
    }
}

/// Keys that open: not revoked, not expired, of an account that there is.
pub(super) fn in_force<'k>(accounts: &[Account], keys: &'k [KeyRow]) -> Vec<&'k KeyRow> {
    let now = clock::now();
    let opens = |row: &&KeyRow| {
        row.revoked_at.is_none()
            && row.expires_at.is_none_or(|end| end > now)
            && accounts.iter().any(|a| a.path == row.account)
    };
    keys.iter().filter(opens).collect()
}
