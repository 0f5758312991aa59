//! `tollgate alerts`: what is told to a webhook without being asked.

use clap::{Args, Subcommand};

use super::Format;

/// `tollgate alerts`.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Post a trial message to the configured webhook, signed like any other
    Test,
    /// What was told, newest first, and what became of it
    List(AlertsListArgs),
}

/// `tollgate alerts list`.
#[derive(Args, Debug)]
pub struct AlertsListArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}
