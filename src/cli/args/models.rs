//! `tollgate models` and `tollgate prices`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

/// `tollgate models`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ModelsArgs {
    /// Something else than a list
    #[command(subcommand)]
    pub command: Option<ModelsCommand>,
    /// Of this provider only
    #[arg(long)]
    pub provider: Option<String>,
    /// The whole built-in catalogue, whatever the configuration says
    #[arg(long)]
    pub all: bool,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// `tollgate models ...`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Use newer models and prices than the built-in ones, and show what they change
    Import(ModelsImportArgs),
}

/// `tollgate models import`.
#[derive(Args, Debug)]
pub struct ModelsImportArgs {
    /// genai-prices' data.json (v2), models.dev's api.json, or both
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// When they were retrieved, which is in the version of every price [default: today]
    #[arg(long, value_name = "2026-12-01")]
    pub date: Option<String>,
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// `tollgate prices`.
#[derive(Args, Debug)]
pub struct PricesArgs {
    /// This model only: an alias, `provider/model`, or a bare name
    pub model: Option<String>,
    /// Of this provider only
    #[arg(long)]
    pub provider: Option<String>,
    /// The whole built-in catalogue, whatever the configuration says
    #[arg(long)]
    pub all: bool,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}
