//! Everything that can be typed after `tollgate`. What cannot be right, a misspelt limit or date,
//! is refused here with exit code 2, before anything is opened.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tollgate_accounting::{Limit, Zone};

use super::{Exit, when::When};
use crate::ledger::GroupBy;

/// An AI model gateway whose token accounting is exactly right.
#[derive(Debug, Parser)]
#[command(name = "tollgate", bin_name = "tollgate", version, about, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 good, 1 something wrong was found, 2 asked wrongly.")]
pub struct Cli {
    /// What all commands share.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the command line. The error is the text to show and how to exit: a request for help
    /// is not a mistake.
    pub fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, Refused> {
        Cli::try_parse_from(arguments).map_err(|error| Refused {
            exit: if error.use_stderr() { Exit::Misuse } else { Exit::Good },
            plain: error.render().to_string(),
            styled: error.render().ansi().to_string(),
        })
    }
}

/// A command line that leads to a text instead of a command.
#[derive(Debug)]
pub struct Refused {
    /// [`Exit::Good`] where help or the version was asked for.
    pub exit: Exit,
    /// The text.
    pub plain: String,
    /// The same with colours.
    pub styled: String,
}

/// What all commands share.
#[derive(Args, Debug)]
pub struct Global {
    /// The configuration file [default: tollgate.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

impl Global {
    /// The configuration file, if one was named.
    pub fn named_config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The configuration file to read.
    pub fn config(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new("tollgate.toml"))
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try everything in one process: no file, no key, no network
    Demo(DemoArgs),
    /// Run the gateway; SIGHUP reloads the configuration, SIGTERM drains
    Serve,
    /// Find every mistake in the configuration at once
    Check,
    /// Create, list and revoke the keys that tenants call with
    #[command(subcommand)]
    Key(KeyCommand),
    /// What was used and what it cost, from the ledger
    Report(ReportArgs),
    /// What a tenant is charged for a month, line by line, with price versions
    Statement(StatementArgs),
    /// Look at single calls
    #[command(subcommand)]
    Request(RequestCommand),
    /// Count the tokens of a text, or of a chat request in JSON
    Count(CountArgs),
    /// What a call would cost at each target, and which limits it would meet
    Quote(QuoteArgs),
    /// The models that can be asked for, with their limits and prices
    Models(ModelsArgs),
    /// What models cost, by class and tier, where a price comes from and since when
    Prices(PricesArgs),
    /// Prompt templates: list, show, run, test, compare, publish
    #[command(subcommand)]
    Prompt(PromptCommand),
    /// Rate calls of a range anew at the prices configured now, and book the differences
    Rerate(RerateArgs),
    /// Lay a provider's bill beside what the ledger believes is owed
    Reconcile(ReconcileArgs),
    /// Verify the ledger: every sum and the chain of its rows
    Audit(AuditArgs),
    /// Copy the ledger, beside a running gateway too, and verify the copy
    Backup(BackupArgs),
    /// Put a verified copy in the ledger's place while no gateway runs; the old one is kept beside it
    Restore(RestoreArgs),
}

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

/// `tollgate key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key; it is shown this once and stored as a digest only
    Create(KeyCreateArgs),
    /// List keys, without their secrets
    List(KeyListArgs),
    /// Revoke a key; calls in flight end normally
    Revoke(KeyRevokeArgs),
}

/// `tollgate key create`.
#[derive(Args, Debug)]
pub struct KeyCreateArgs {
    /// The account it calls for: acme/search
    #[arg(long)]
    pub account: String,
    /// A name for people
    #[arg(long)]
    pub name: Option<String>,
    /// A limit of its own, "$5 per day"; can be given several times
    #[arg(long = "limit", value_name = "LIMIT")]
    pub limits: Vec<Limit>,
    /// When it stops working: 2027-01-01, +30d
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub expires: Option<When>,
}

/// `tollgate key list`.
#[derive(Args, Debug)]
pub struct KeyListArgs {
    /// Of this account and those below it only
    #[arg(long)]
    pub account: Option<String>,
    /// Show revoked and expired keys too
    #[arg(long)]
    pub all: bool,
}

/// `tollgate key revoke`.
#[derive(Args, Debug)]
pub struct KeyRevokeArgs {
    /// The key's id, as `key list` shows it
    pub id: String,
}

/// `tollgate report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Of this account and those below it only
    #[arg(long)]
    pub account: Option<String>,
    /// A row for each of these, in this order
    ///
    /// account (account:2 is two steps of it), model, asked_model, provider, prompt, key, tag
    /// (tag:team is one of them), endpoint, outcome; minute, hour, day, week, month
    #[arg(long, value_delimiter = ',', default_value = "account,model", value_name = "GROUPS")]
    pub by: Vec<GroupBy>,
    /// From this time on: 2026-11-01, 2026-11-01T09:30:00Z, today, month, -7d
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub from: Option<When>,
    /// Up to this time, not including it
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub to: Option<When>,
    /// As the ledger was at this time: without the corrections booked since
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub as_of: Option<When>,
    /// Only so many groups, the dearest; the rest is one row, Other
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Beside each figure, that of the period before; wants --from
    #[arg(long, requires = "from")]
    pub compare: bool,
    /// The zone of dates in --from and --to, and of days, weeks and months [default: the account's, else UTC]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<String>,
    /// How to print it [default: table]
    #[arg(long, value_enum)]
    pub format: Option<ReportFormat>,
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// RFC 4180, with a header line.
    Csv,
    /// `{"rows":[{...}]}`, money as decimal strings.
    Json,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Table,
    /// RFC 4180, with a header line.
    Csv,
    /// `{"rows":[{...}]}`, money as decimal strings.
    Json,
    /// Charges by the FinOps Open Cost and Usage Specification, as CSV; --by has no say in it.
    Focus,
}

impl ReportFormat {
    /// The format of the rows that were asked for; none of charges.
    pub fn of_rows(self) -> Option<Format> {
        match self {
            ReportFormat::Table => Some(Format::Table),
            ReportFormat::Csv => Some(Format::Csv),
            ReportFormat::Json => Some(Format::Json),
            ReportFormat::Focus => None,
        }
    }
}

impl Format {
    /// What was asked for: a named format, else JSON where `--json` says so, else a table.
    pub fn chosen(named: Option<Format>, global: &Global) -> Format {
        named.unwrap_or(if global.json { Format::Json } else { Format::Table })
    }
}

/// `tollgate statement`.
#[derive(Args, Debug)]
pub struct StatementArgs {
    /// The tenant, with everything below it
    #[arg(long)]
    pub account: String,
    /// The month of this time: 2026-11-01, month, -30d
    #[arg(long, value_name = "WHEN", default_value = "now", allow_hyphen_values = true)]
    pub month: When,
    /// A page that prints, instead of Markdown
    #[arg(long)]
    pub html: bool,
}

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
}

fn zone(name: &str) -> Result<String, String> {
    match Zone::named(name) {
        Some(_) => Ok(name.to_owned()),
        None => Err("there is no such time zone; write it like Europe/Berlin".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(line: &str) -> Result<Cli, Refused> {
        Cli::read(line.split(' ').map(|word| word.replace('_', " ").into()))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_asked_wrongly_exits_2_and_what_asks_for_help_exits_0() {
        let cases = [
            ("tollgate", Exit::Misuse),
            ("tollgate srve", Exit::Misuse),
            ("tollgate demo --port 70000", Exit::Misuse),
            ("tollgate report --by colour", Exit::Misuse),
            ("tollgate report --from someday", Exit::Misuse),
            ("tollgate report --timezone Mars/Olympus", Exit::Misuse),
            ("tollgate report --format xml", Exit::Misuse),
            ("tollgate key create", Exit::Misuse),
            ("tollgate key create --account a --limit lots", Exit::Misuse),
            ("tollgate request show", Exit::Misuse),
            ("tollgate --help", Exit::Good),
            ("tollgate report --help", Exit::Good),
            ("tollgate --version", Exit::Good),
        ];
        for (line, exit) in cases {
            match read(line) {
                Ok(_) => panic!("accepted: {line}"),
                Err(refused) => {
                    assert_eq!(refused.exit, exit, "{line}");
                    assert!(!refused.plain.contains('\u{1b}'), "{line}");
                }
            }
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in
            ["tollgate --json --config a.toml check", "tollgate check --config a.toml --json"]
        {
            let cli = read(line).unwrap();
            assert!(cli.global.json && cli.global.config() == Path::new("a.toml"), "{line}");
        }
        assert_eq!(read("tollgate serve").unwrap().global.config(), Path::new("tollgate.toml"));
    }

    #[test]
    fn a_report_is_asked_for_in_a_few_words() {
        let cli = read("tollgate report --by model,day --from -7d --to today --json").unwrap();
        let Command::Report(report) = cli.command else { panic!("not a report") };
        assert_eq!(report.by, [GroupBy::Model, GroupBy::Time(crate::ledger::Span::Day)]);
        assert!(report.from.is_some() && report.to.is_some());
        assert_eq!(Format::chosen(None, &cli.global), Format::Json);
        assert_eq!(Format::chosen(Some(Format::Csv), &cli.global), Format::Csv);
        let cli = read("tollgate report --format focus").unwrap();
        let Command::Report(report) = cli.command else { panic!("not a report") };
        assert_eq!(report.format, Some(ReportFormat::Focus));
    }

    #[test]
    fn a_key_takes_limits_and_an_end() {
        let line = "tollgate key create --account acme/ci --limit $5_per_day --limit \
                    2_concurrent --expires +30d";
        let Command::Key(KeyCommand::Create(create)) = read(line).unwrap().command else {
            panic!("not key create")
        };
        assert_eq!((create.limits.len(), create.expires.is_some()), (2, true));
    }
}
