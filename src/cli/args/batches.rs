//! `tollgate batches`.

use clap::Args;

use super::Format;

/// `tollgate batches`.
#[derive(Args, Debug)]
pub struct BatchesArgs {
    /// Only those of this account
    #[arg(long, value_name = "PATH")]
    pub account: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}
