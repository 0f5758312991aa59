//! A question about use or costs, as OpenAI's query parameters put it.

use tollgate_accounting::ServiceTier;

use crate::http::Failed;
use crate::http::query::pairs;
use crate::ledger::{GroupBy, ReportRow, Span};

/// The question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) width: Width,
    limit: usize,
    /// What to split by, in the order asked for.
    pub(super) by: Vec<Split>,
    /// Which rows: each must be one of its list.
    pub(super) only: Vec<(GroupBy, Vec<String>)>,
    /// Only what was made in a batch, or only what was not.
    pub(super) batch: Option<bool>,
    /// Whether it asks for what cannot be here, such as use by a person: then nothing is the answer.
    pub(super) of_nothing: bool,
}

/// What results are split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    /// `project_id`: an account here.
    Project,
    /// `api_key_id`.
    Key,
    /// `model`; `line_item` of costs.
    Model,
    /// `service_tier`, as far as providers tell it.
    Tier,
    /// `user_id`, which nobody has here: all of it is in one group.
    User,
    /// `batch`: whether a provider made it in a batch of its own, which its tier says.
    Batch,
    /// `api_source`: none has one that is told, here.
    Source,
}

impl Split {
    /// The group of a report that it is, where results differ by it.
    pub(super) const fn group(self) -> Option<GroupBy> {
        match self {
            Split::Project => Some(GroupBy::Account(None)),
            Split::Key => Some(GroupBy::Key),
            Split::Model => Some(GroupBy::Model),
            Split::Tier => Some(GroupBy::ServiceTier),
            Split::User | Split::Batch | Split::Source => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Minute,
    Hour,
    Day,
}

impl Width {
    pub(super) const fn seconds(self) -> i64 {
        match self {
            Width::Minute => 60,
            Width::Hour => 3600,
            Width::Day => 86_400,
        }
    }

    /// Buckets where the question does not say, and at most; OpenAI's own figures, of which that of days
    /// is the one for costs.
    const fn limits(self) -> (usize, usize) {
        match self {
            Width::Minute => (60, 1440),
            Width::Hour => (24, 168),
            Width::Day => (7, 180),
        }
    }

    pub(super) const fn group(self) -> GroupBy {
        match self {
            Width::Minute => GroupBy::Time(Span::Minute),
            Width::Hour => GroupBy::Time(Span::Hour),
            Width::Day => GroupBy::Time(Span::Day),
        }
    }
}

impl Question {
    /// Reads it; `costs` have other parameters than use. Times are seconds since the epoch.
    pub(super) fn parse(query: &str, costs: bool, now: i64) -> Result<Question, Failed> {
        let (mut start, mut end, mut limit) = (None, None, None);
        let (mut width, mut by, mut page) = (Width::Day, Vec::new(), None);
        let (mut only, mut of_nothing) = (Vec::<(GroupBy, Vec<String>)>::new(), false);
        let mut batch = None;
        for (name, value) in pairs(query) {
            let number = || {
                value
                    .parse::<i64>()
                    .map_err(|_| Failed::parameter(&name, format!("{name} takes a whole number")))
            };
            let values = || value.split(',').map(str::to_owned);
            match name.trim_end_matches("[]") {
                "start_time" => start = Some(number()?),
                "end_time" => end = Some(number()?),
                "limit" => limit = Some(number()?),
                "page" => page = Some(value),
                "bucket_width" => width = bucket(&name, &value, costs)?,
                "group_by" => {
                    for one in value.split(',') {
                        let one = split(one, costs)?;
                        if !by.contains(&one) {
                            by.push(one);
                        }
                    }
                }
                "project_ids" => allow(&mut only, GroupBy::Account(None), values()),
                "api_key_ids" => allow(&mut only, GroupBy::Key, values()),
                "models" if !costs => allow(&mut only, GroupBy::Model, values()),
                "line_items" if costs => allow(&mut only, GroupBy::Model, values()),
                // Nobody has a name here.
                "user_ids" if !costs => of_nothing = true,
                "batch" if !costs => match value.as_str() {
                    "true" => batch = Some(true),
                    "false" => batch = Some(false),
                    _ => return Err(Failed::parameter("batch", "batch is true or false")),
                },
                // What has no counterpart is refused: ignored, it would answer another question.
                other => {
                    let message = format!("{other} is not supported here");
                    return Err(Failed::parameter(other, message));
                }
            }
        }
        let start =
            start.ok_or_else(|| Failed::parameter("start_time", "start_time is required"))?;
        let start = match page {
            None => start,
            Some(page) => page
                .strip_prefix("page_")
                .and_then(|at| at.parse().ok())
                .ok_or_else(|| Failed::parameter("page", "this is no page that was given out"))?,
        };
        let (usual, most) = width.limits();
        let limit = limit.map_or(Ok(usual), usize::try_from).unwrap_or(0);
        if limit == 0 || limit > most {
            return Err(Failed::parameter("limit", format!("limit is between 1 and {most}")));
        }
        let end = end.unwrap_or(now + 1);
        // Far outside these, buckets could not be counted; nothing is recorded there.
        if !(0..=253_402_300_799).contains(&start) || end <= start {
            return Err(Failed::parameter("start_time", "start_time is not before end_time"));
        }
        Ok(Question { start, end, width, limit, by, only, batch, of_nothing })
    }

    /// The starts of the page's buckets, and whether there are more.
    pub(super) fn buckets(&self) -> (Vec<i64>, bool) {
        let width = self.width.seconds();
        let first = self.start.div_euclid(width) * width;
        let all = (0_i64..).map(|at| first + at * width).take_while(|start| *start < self.end);
        let mut starts: Vec<i64> = all.take(self.limit + 1).collect();
        let more = starts.len() > self.limit;
        starts.truncate(self.limit);
        (starts, more)
    }

    /// What a report is grouped by, besides time, to answer it.
    pub(super) fn groups(&self) -> Vec<GroupBy> {
        let mut groups: Vec<GroupBy> = self.by.iter().filter_map(|split| split.group()).collect();
        if self.by_batch() && !groups.contains(&GroupBy::ServiceTier) {
            groups.push(GroupBy::ServiceTier);
        }
        groups
    }

    fn by_batch(&self) -> bool {
        self.batch.is_some() || self.by.contains(&Split::Batch)
    }

    /// The report's rows as they are split: of tiers that were told apart only to know a batch by, those
    /// that are none are one.
    pub(super) fn split(&self, rows: Vec<ReportRow>) -> Vec<ReportRow> {
        if !self.by_batch() {
            return rows;
        }
        let tier = self.groups().iter().position(|group| *group == GroupBy::ServiceTier);
        let apart = self.by.contains(&Split::Tier);
        let mut split: Vec<ReportRow> = Vec::new();
        for mut row in rows {
            let Some(told) = tier.and_then(|at| row.keys.get_mut(at + 1)) else { continue };
            let is_batch = **told == *ServiceTier::Batch.name();
            if self.batch.is_some_and(|wanted| wanted != is_batch) {
                continue;
            }
            if !apart && !is_batch {
                *told = "".into();
            }
            match split.iter_mut().find(|one| one.keys == row.keys) {
                Some(one) => one.merge(&row),
                None => split.push(row),
            }
        }
        split
    }

    /// The bucket's name among the report's rows.
    pub(super) fn label(&self, start: i64) -> String {
        let Ok(at) = jiff::Timestamp::from_second(start) else { return String::new() };
        let form = match self.width {
            Width::Minute => "%Y-%m-%dT%H:%MZ",
            Width::Hour => "%Y-%m-%dT%H:00Z",
            Width::Day => "%Y-%m-%d",
        };
        at.strftime(form).to_string()
    }
}

/// Adds to what is allowed of a group: the same parameter may come several times.
fn allow(
    only: &mut Vec<(GroupBy, Vec<String>)>,
    by: GroupBy,
    values: impl Iterator<Item = String>,
) {
    match only.iter_mut().find(|(have, _)| *have == by) {
        Some((_, allowed)) => allowed.extend(values),
        None => only.push((by, values.collect())),
    }
}

fn bucket(name: &str, value: &str, costs: bool) -> Result<Width, Failed> {
    match value {
        "1m" if !costs => Ok(Width::Minute),
        "1h" if !costs => Ok(Width::Hour),
        "1d" => Ok(Width::Day),
        _ => Err(Failed::parameter(name, "bucket_width is 1m, 1h or 1d; for costs only 1d")),
    }
}

fn split(name: &str, costs: bool) -> Result<Split, Failed> {
    match name {
        "project_id" => Ok(Split::Project),
        "api_key_id" => Ok(Split::Key),
        "user_id" => Ok(Split::User),
        "api_source" => Ok(Split::Source),
        "line_item" if costs => Ok(Split::Model),
        "model" if !costs => Ok(Split::Model),
        "service_tier" if !costs => Ok(Split::Tier),
        "batch" if !costs => Ok(Split::Batch),
        _ => {
            Err(Failed::parameter("group_by", format!("{name} is not something to group by here")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str) -> Result<Question, Failed> {
        Question::parse(query, false, 1_000_000)
    }

    #[test]
    fn buckets_are_whole_widths_and_pages_follow_each_other() {
        let asked = question("start_time=90000&end_time=400000&limit=2").ok().unwrap();
        assert_eq!(asked.buckets(), (vec![86_400, 172_800], true));
        let next =
            question("start_time=90000&end_time=400000&limit=2&page=page_259200").ok().unwrap();
        assert_eq!(next.buckets(), (vec![259_200, 345_600], false));
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        for bad in [
            "",
            "start_time=x",
            "start_time=5&end_time=5",
            "start_time=0&limit=0",
            "start_time=0&limit=9999",
            "start_time=0&bucket_width=2d",
            "start_time=0&group_by=size",
            "start_time=0&batch=maybe",
            "start_time=0&sizes=256x256",
            "start_time=0&page=7",
        ] {
            assert!(question(bad).is_err(), "{bad}");
        }
        let good =
            question("start_time=0&bucket_width=1h&group_by%5B%5D=model&group_by[]=project_id");
        assert_eq!(good.ok().unwrap().by, [Split::Model, Split::Project]);
    }

    #[test]
    fn filters_add_up_and_what_cannot_be_here_is_nothing() {
        let asked = question("start_time=0&models=a&models[]=b,c&project_ids=acme").ok().unwrap();
        let models = ["a", "b", "c"].map(str::to_owned).to_vec();
        let expected =
            [(GroupBy::Model, models), (GroupBy::Account(None), vec!["acme".to_owned()])];
        assert_eq!((asked.only.as_slice(), asked.of_nothing), (expected.as_slice(), false));
        assert!(question("start_time=0&user_ids=u").ok().unwrap().of_nothing);
        let batch = question("start_time=0&batch=true").ok().unwrap();
        assert_eq!((batch.batch, batch.of_nothing), (Some(true), false));
        assert_eq!(batch.groups(), [GroupBy::ServiceTier]);
    }
}
