//! `tollgate models` and `tollgate prices`.

use clap::Args;

use super::Format;

/// `tollgate models`.
#[derive(Args, Debug)]
pub struct ModelsArgs {
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
