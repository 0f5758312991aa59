//! `tollgate prompt`: templates tried, compared and published.

use clap::{Args, Subcommand};

/// `tollgate prompt`.
#[derive(Debug, Subcommand)]
pub enum PromptCommand {
    /// The templates there are
    List,
    /// The text of one, or of one of its versions: summarize, summarize@2, summarize@production
    Show(PromptShowArgs),
    /// Try one at the running gateway
    Run(PromptRunArgs),
    /// Run the tests that templates carry, at the running gateway
    Test(PromptTestArgs),
    /// What changed between two versions: the text, its tokens and its cost
    Diff(PromptDiffArgs),
    /// Publish the folder's text as a version, and move a label to it
    Publish(PromptPublishArgs),
}

/// `tollgate prompt show`.
#[derive(Args, Debug)]
pub struct PromptShowArgs {
    /// The template
    pub name: String,
}

/// `tollgate prompt run`.
#[derive(Args, Debug)]
pub struct PromptRunArgs {
    /// The template
    pub name: String,
    /// An input: NAME=VALUE, or NAME=@FILE
    #[arg(short, long = "input", value_name = "NAME=VALUE")]
    pub inputs: Vec<String>,
    /// The tenant's key that pays [default: $TOLLGATE_API_KEY]
    #[arg(long)]
    pub key: Option<String>,
}

/// `tollgate prompt test`.
#[derive(Args, Debug)]
pub struct PromptTestArgs {
    /// The templates; all of them if left out
    pub names: Vec<String>,
    /// The tenant's key that pays [default: $TOLLGATE_API_KEY]
    #[arg(long)]
    pub key: Option<String>,
}

/// `tollgate prompt diff`.
#[derive(Args, Debug)]
pub struct PromptDiffArgs {
    /// The older version: summarize@1
    pub old: String,
    /// The newer one: summarize
    pub new: String,
}

/// `tollgate prompt publish`.
#[derive(Args, Debug)]
pub struct PromptPublishArgs {
    /// The template
    pub name: String,
    /// The label that is to stand for it: production
    #[arg(long)]
    pub label: Option<String>,
    /// An earlier version, to which the label goes back
    #[arg(long, value_name = "NUMBER")]
    pub version: Option<u32>,
    /// Only so many of a hundred calls; for the others the label stands for what it did
    #[arg(long, value_name = "N", requires = "label")]
    pub percent: Option<u32>,
}
