//! A chart as lines of a terminal: a name, a bar in eighths of a character, an amount.

use super::{Chart, Series, dollars};

/// Characters of the longest bar, and of a name.
const BAR: i64 = 40;
const NAME: usize = 40;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The chart's lines, of which each part of a bar is one.
pub fn terminal(chart: &Chart) -> Vec<String> {
    let parts: Vec<(String, i64)> = chart
        .places
        .iter()
        .enumerate()
        .flat_map(|(at, place)| {
            let several = chart.series.len() > 1;
            let part = move |series: &Series| (name(place, &series.name), series.at(at));
            chart.series.iter().map(part).filter(move |(_, value)| !several || *value != 0)
        })
        .collect();
    let widest = parts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let most = parts.iter().map(|(_, value)| *value).max().unwrap_or(0);
    let line = |(name, value): &(String, i64)| {
        let space = " ".repeat(widest - name.chars().count());
        format!("{name}{space} │{} {}", bar(*value, most), dollars(*value))
    };
    parts.iter().map(line).collect()
}

fn name(place: &str, series: &str) -> String {
    let whole = if series.is_empty() { place.to_owned() } else { format!("{place}  {series}") };
    // A name is the tenant's: what would move the cursor is no part of it.
    let mut shown: String = whole.chars().filter(|c| !c.is_control()).collect();
    if shown.chars().count() > NAME {
        shown = shown.chars().take(NAME - 1).chain(['…']).collect();
    }
    shown
}

fn bar(value: i64, most: i64) -> String {
    let eighths = i128::from(value.max(0)) * i128::from(BAR * 8) / i128::from(most.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0);
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plot::tests::chart;

    #[test]
    fn a_bar_is_as_long_as_its_amount_and_names_stand_in_a_column() {
        let lines = terminal(&chart(&[("Monday", "", 8), ("Tue", "", 4), ("Wed", "", -1)]));
        let length = |line: &String| line.matches('█').count();
        assert_eq!(lines.iter().map(length).collect::<Vec<_>>(), [40, 20, 0]);
        assert!(lines.iter().all(|line| line.chars().nth(7) == Some('│')), "{lines:?}");
        assert!(terminal(&Chart::default()).is_empty());
    }

    #[test]
    fn a_name_moves_no_cursor_and_is_cut_where_it_is_long() {
        let name = format!("\u{1b}[2J{}", "x".repeat(90));
        let lines = terminal(&chart(&[(name.as_str(), "a", 1), ("b", "c", 0)]));
        assert!(!lines[0].contains('\u{1b}') && lines[0].contains('…'), "{lines:?}");
        assert_eq!(lines.len(), 1, "a part of nothing is no line");
    }
}
