//! `tollgate audit`, `backup` and `restore`: about the ledger's file.

use std::path::PathBuf;

use clap::Args;

/// `tollgate audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {}

/// `tollgate backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The file to make; it must not exist
    pub file: PathBuf,
}

/// `tollgate restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// A file that `tollgate backup` made
    pub file: PathBuf,
}
