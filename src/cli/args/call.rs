//! `tollgate count`, `quote` and `request`: about single calls, before and after.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `tollgate request`.
#[derive(Debug, Subcommand)]
pub enum RequestCommand {
    /// One call: its attempts, holds, counts, prices and the cost line by line
    Show(RequestShowArgs),
}

/// `tollgate request show`.
#[derive(Args, Debug)]
pub struct RequestShowArgs {
    /// The id that the response carried as x-request-id
    pub id: String,
}

/// `tollgate count`.
#[derive(Args, Debug)]
pub struct CountArgs {
    /// The model whose tokens are counted; with --config, by the file its [tokenizers] name for it
    #[arg(long)]
    pub model: String,
    /// A tokenizer.json to count with
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// The text or the JSON request; standard input if left out
    pub file: Option<PathBuf>,
}

/// `tollgate quote`.
#[derive(Args, Debug)]
pub struct QuoteArgs {
    /// The model to ask for, instead of the request's own
    #[arg(long)]
    pub model: Option<String>,
    /// The account that would call; without it, no account's limits are asked
    #[arg(long)]
    pub account: Option<String>,
    /// The chat or embeddings request in JSON; standard input if left out
    pub file: Option<PathBuf>,
}
