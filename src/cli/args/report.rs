//! `tollgate report` and `tollgate statement`: what was used and what is charged for it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tollgate_accounting::Zone;

use super::super::when::When;
use super::Format;
use crate::ledger::GroupBy;

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
    /// Draw what was charged into a file as well: bars over time where the report is by time
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
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
    /// Bars of what was charged, for people.
    Chart,
    /// Charges by the FinOps Open Cost and Usage Specification, as CSV; --by has no say in it.
    Focus,
}

impl ReportFormat {
    /// The format of the rows that were asked for; none of charges or a chart.
    pub fn of_rows(self) -> Option<Format> {
        match self {
            ReportFormat::Table => Some(Format::Table),
            ReportFormat::Csv => Some(Format::Csv),
            ReportFormat::Json => Some(Format::Json),
            ReportFormat::Chart | ReportFormat::Focus => None,
        }
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

fn zone(name: &str) -> Result<String, String> {
    match Zone::named(name) {
        Some(_) => Ok(name.to_owned()),
        None => Err("there is no such time zone; write it like Europe/Berlin".to_owned()),
    }
}
