//! `tollgate key`: what tenants call with.

use clap::{Args, Subcommand};
use tollgate_accounting::Limit;

use super::super::when::When;

/// `tollgate key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key; it is shown this once and stored as a digest only
    Create(KeyCreateArgs),
    /// List keys, without their secrets
    List(KeyListArgs),
    /// Revoke a key; calls in flight end normally
    Revoke(KeyRevokeArgs),
}

/// `tollgate key create`.
#[derive(Args, Debug)]
pub struct KeyCreateArgs {
    /// The account it calls for: acme/search
    #[arg(long)]
    pub account: String,
    /// A name for people
    #[arg(long)]
    pub name: Option<String>,
    /// A limit of its own, "$5 per day"; can be given several times
    #[arg(long = "limit", value_name = "LIMIT")]
    pub limits: Vec<Limit>,
    /// When it stops working: 2027-01-01, +30d
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub expires: Option<When>,
}

/// `tollgate key list`.
#[derive(Args, Debug)]
pub struct KeyListArgs {
    /// Of this account and those below it only
    #[arg(long)]
    pub account: Option<String>,
    /// Show revoked and expired keys too
    #[arg(long)]
    pub all: bool,
}

/// `tollgate key revoke`.
#[derive(Args, Debug)]
pub struct KeyRevokeArgs {
    /// The key's id, as `key list` shows it
    pub id: String,
}
