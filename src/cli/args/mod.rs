//! Everything that can be typed after `tollgate`. What cannot be right, a misspelt limit or date,
//! is refused here with exit code 2, before anything is opened.

mod alerts;
mod batches;
mod call;
mod correct;
mod demo;
mod file;
mod key;
mod models;
mod prompt;
mod report;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use alerts::{AlertsCommand, AlertsListArgs};
pub use batches::BatchesArgs;
pub use call::{CountArgs, QuoteArgs, RequestCommand, RequestShowArgs};
pub use correct::{ReconcileArgs, RerateArgs};
pub use demo::DemoArgs;
pub use file::{AuditArgs, BackupArgs, RestoreArgs};
pub use key::{KeyCommand, KeyCreateArgs, KeyListArgs, KeyRevokeArgs};
pub use models::{ModelsArgs, ModelsCommand, ModelsImportArgs, PricesArgs};
pub use prompt::{
    PromptAnswerArgs, PromptCommand, PromptDiffArgs, PromptImportArgs, PromptMaker,
    PromptPublishArgs, PromptRunArgs, PromptShareArgs, PromptShowArgs, PromptSubscribeArgs,
    PromptTestArgs, PromptUnsubscribeArgs, PromptVerdict,
};
pub use report::{ReportArgs, ReportFormat, StatementArgs};

use super::Exit;

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
    /// What is told to a webhook without being asked: a trial of it, and what was told
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// The batches of all accounts, newest first, and how far they are
    Batches(BatchesArgs),
    /// Verify the ledger: every sum and the chain of its rows
    Audit(AuditArgs),
    /// Copy the ledger, beside a running gateway too, and verify the copy
    Backup(BackupArgs),
    /// Put a verified copy in the ledger's place while no gateway runs; the old one is kept beside it
    Restore(RestoreArgs),
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

impl Format {
    /// What was asked for: a named format, else JSON where `--json` says so, else a table.
    pub fn chosen(named: Option<Format>, global: &Global) -> Format {
        named.unwrap_or(if global.json { Format::Json } else { Format::Table })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::ledger::GroupBy;

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
