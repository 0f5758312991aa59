//! `tollgate rerate` and `tollgate reconcile`: what corrects a ledger.

use std::path::PathBuf;

use clap::Args;

use super::super::when::When;
use super::Format;

/// `tollgate rerate`.
#[derive(Args, Debug)]
pub struct RerateArgs {
    /// Calls from this time on: 2026-11-01, -7d
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub from: When,
    /// Up to this time, not including it
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub to: When,
    /// Of this account and those below it only
    #[arg(long)]
    pub account: Option<String>,
    /// Of this model only, by the provider's name or as it was asked for
    #[arg(long)]
    pub model: Option<String>,
    /// Say what would be corrected, and correct nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// `tollgate reconcile`.
#[derive(Args, Debug)]
pub struct ReconcileArgs {
    /// The provider whose bill it is, by its name in the configuration
    #[arg(long)]
    pub provider: String,
    /// Pages of OpenAI's costs or usage, of Anthropic's cost or usage report, or a CSV with the
    /// columns day, model, cost_usd, input_tokens, output_tokens
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How far the bill may be from the ledger, all lines together: 0.05 (dollars) or 1%
    #[arg(long, default_value = "0")]
    pub tolerance: String,
    /// Book the differences in money on the provider's side; no tenant is charged
    #[arg(long)]
    pub book: bool,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}
