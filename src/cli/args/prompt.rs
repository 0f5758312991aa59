//! `tollgate prompt`: templates tried, compared and published.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tollgate_accounting::Limit;

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
    /// Say whose one is: others use it only while they subscribe to it
    Share(PromptShareArgs),
    /// Let an account use another's
    Subscribe(PromptSubscribeArgs),
    /// Who subscribes to what
    Subscriptions,
    /// Answer an account that asked to use one
    Answer(PromptAnswerArgs),
    /// End a subscription: the next call is refused
    Unsubscribe(PromptUnsubscribeArgs),
    /// Write a file of dotprompt, Prompty or Langfuse as a template
    Import(PromptImportArgs),
}

/// `tollgate prompt share`.
#[derive(Args, Debug)]
pub struct PromptShareArgs {
    /// The template
    pub name: String,
    /// The account it belongs to; everybody's if left out
    #[arg(long)]
    pub account: Option<String>,
    /// Other accounts see it and may ask to use it
    #[arg(long, requires = "account")]
    pub offer: bool,
}

/// `tollgate prompt subscribe`.
#[derive(Args, Debug)]
pub struct PromptSubscribeArgs {
    /// The template
    pub name: String,
    /// The account that is to use it, and pays for its calls
    #[arg(long)]
    pub account: String,
    /// A limit of its use, "$5 per day"; can be given several times
    #[arg(long = "limit", value_name = "LIMIT")]
    pub limits: Vec<Limit>,
}

/// `tollgate prompt answer`.
#[derive(Args, Debug)]
pub struct PromptAnswerArgs {
    /// The subscription: psub_...
    pub id: String,
    /// What is said
    #[arg(value_enum)]
    pub verdict: PromptVerdict,
    /// A limit in the place of those wished; can be given several times
    #[arg(long = "limit", value_name = "LIMIT")]
    pub limits: Vec<Limit>,
    /// Words for the account
    #[arg(long)]
    pub note: Option<String>,
}

/// What is said to an account that asked to use a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PromptVerdict {
    /// It may
    Accepted,
    /// It may not
    Refused,
}

/// `tollgate prompt unsubscribe`.
#[derive(Args, Debug)]
pub struct PromptUnsubscribeArgs {
    /// The subscription: psub_...
    pub id: String,
}

/// `tollgate prompt import`.
#[derive(Args, Debug)]
pub struct PromptImportArgs {
    /// The file: .prompt, .prompty, or Langfuse's .json
    pub file: PathBuf,
    /// Whose file it is, where its ending does not say
    #[arg(long, value_enum)]
    pub from: Option<PromptMaker>,
    /// The model or alias that answers, in the place of the file's own
    #[arg(long)]
    pub model: Option<String>,
    /// Where the template is written, a file that is not there yet [default: standard output]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// Whose file is imported.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PromptMaker {
    /// Google's dotprompt
    Dotprompt,
    /// Microsoft's Prompty
    Prompty,
    /// JSON of Langfuse's API
    Langfuse,
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
