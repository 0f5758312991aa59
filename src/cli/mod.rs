//! The command line's own part: what can be typed, and how answers look. Nothing here knows what
//! an answer means; `main` asks the services and hands the result to [`Output`].

mod args;
mod csv;
mod json;
mod output;
mod plot;
mod problems;
mod progress;
mod table;
mod terminal;
mod when;

pub use args::{
    AlertsCommand, AlertsListArgs, AuditArgs, BackupArgs, BatchesArgs, Cli, Color, Command,
    CountArgs, DemoArgs, Format, Global, KeyCommand, KeyCreateArgs, KeyListArgs, KeyRevokeArgs,
    ModelsArgs, ModelsCommand, ModelsImportArgs, PricesArgs, PromptAnswerArgs, PromptCommand,
    PromptDiffArgs, PromptImportArgs, PromptMaker, PromptPublishArgs, PromptRunArgs,
    PromptShareArgs, PromptShowArgs, PromptSubscribeArgs, PromptTestArgs, PromptUnsubscribeArgs,
    PromptVerdict, QuoteArgs, ReconcileArgs, Refused, ReportArgs, ReportFormat, RequestCommand,
    RequestShowArgs, RerateArgs, RestoreArgs, StatementArgs,
};
pub use json::Json;
pub use output::Output;
pub use plot::{Chart, svg, terminal};
pub use problems::CheckReport;
pub use progress::Progress;
pub use table::{Align, Cell, Column, Table};
pub use when::{BadWhen, When};

/// How a command ended, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked, and found nothing wrong.
    Good,
    /// It found something wrong.
    Found,
    /// It was asked wrongly.
    Misuse,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(match exit {
            Exit::Good => 0,
            Exit::Found => 1,
            Exit::Misuse => 2,
        })
    }
}
