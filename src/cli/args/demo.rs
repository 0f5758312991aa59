//! `tollgate demo`.

use std::path::PathBuf;

use clap::Args;

/// `tollgate demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// The port to serve on; 0 takes any that is free
    #[arg(long, default_value_t = 8787)]
    pub port: u16,
    /// Keep the ledger in this folder instead of a temporary one
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Stop after the sample calls
    #[arg(long)]
    pub exit_after_samples: bool,
}
