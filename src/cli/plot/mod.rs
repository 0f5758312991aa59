//! Charts of a report: bars of what was charged, over time where the report is by time. As an SVG file
//! that stands alone, and in a terminal. Coordinates are integers, like the money they show.

mod svg;
mod terminal;

pub use svg::svg;
pub use terminal::terminal;

/// Series that are told apart; what is beyond them is one more, Other.
const MOST_SERIES: usize = 7;
const OTHER: &str = "Other";

/// What is drawn: a bar for each place, made of a part for each series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    /// What it shows, for people.
    pub title: String,
    /// The names of the bars, from left to right.
    pub places: Vec<String>,
    /// The parts of the bars.
    pub series: Vec<Series>,
}

/// The same part of every bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its name; empty where there is only one.
    pub name: String,
    /// Nano-dollars at each place.
    pub values: Vec<i64>,
}

impl Chart {
    /// Of (place, series, nano-dollars), in their order. The largest series stay apart.
    pub fn new(title: String, points: &[(String, String, i64)]) -> Chart {
        let mut places: Vec<String> = Vec::new();
        let mut series: Vec<Series> = Vec::new();
        for (place, name, value) in points {
            let at = places.iter().position(|have| have == place).unwrap_or_else(|| {
                places.push(place.clone());
                places.len() - 1
            });
            let found = series.iter().position(|have| have.name == *name).unwrap_or_else(|| {
                series.push(Series { name: name.clone(), values: Vec::new() });
                series.len() - 1
            });
            if let Some(Series { values, .. }) = series.get_mut(found) {
                values.resize(values.len().max(at + 1), 0);
                if let Some(sum) = values.get_mut(at) {
                    *sum = sum.saturating_add(*value);
                }
            }
        }
        series.iter_mut().for_each(|one| one.values.resize(places.len(), 0));
        Chart { title, places, series: largest(series) }
    }

    /// The tallest bar.
    fn tallest(&self) -> i64 {
        let bar = |at: usize| {
            self.series.iter().map(|one| one.at(at).max(0)).fold(0, i64::saturating_add)
        };
        (0..self.places.len()).map(bar).max().unwrap_or(0)
    }
}

impl Series {
    fn at(&self, place: usize) -> i64 {
        self.values.get(place).copied().unwrap_or(0)
    }

    fn sum(&self) -> i64 {
        self.values.iter().copied().fold(0, i64::saturating_add)
    }
}

/// The largest series, largest first, and the sum of the others.
fn largest(mut series: Vec<Series>) -> Vec<Series> {
    series.sort_by(|one, other| {
        let rank = |one: &Series| (one.name == OTHER, std::cmp::Reverse(one.sum()));
        rank(one).cmp(&rank(other)).then_with(|| one.name.cmp(&other.name))
    });
    if series.len() <= MOST_SERIES {
        return series;
    }
    let rest = series.split_off(MOST_SERIES);
    let mut other = Series { name: OTHER.to_owned(), values: Vec::new() };
    for one in rest {
        other.values.resize(other.values.len().max(one.values.len()), 0);
        for (sum, value) in other.values.iter_mut().zip(&one.values) {
            *sum = sum.saturating_add(*value);
        }
    }
    series.push(other);
    series
}

/// Nano-dollars as dollars.
fn dollars(nanos: i64) -> String {
    format!("${}", tollgate_accounting::Money::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn chart(points: &[(&str, &str, i64)]) -> Chart {
        let point = |(place, name, value): &(&str, &str, i64)| {
            ((*place).to_owned(), (*name).to_owned(), *value)
        };
        Chart::new("charged".to_owned(), &points.iter().map(point).collect::<Vec<_>>())
    }

    #[test]
    fn bars_stand_in_the_order_of_the_report_and_what_is_missing_is_nothing() {
        let made = chart(&[("Mon", "a", 5), ("Mon", "b", 7), ("Tue", "b", 1), ("Mon", "a", 1)]);
        assert_eq!(made.places, ["Mon", "Tue"]);
        let told: Vec<_> =
            made.series.iter().map(|s| (s.name.as_str(), s.values.as_slice())).collect();
        assert_eq!(told, [("b", &[7, 1][..]), ("a", &[6, 0])]);
        assert_eq!(made.tallest(), 13);
    }

    #[test]
    fn beyond_the_largest_series_there_is_one_other_that_has_the_rest() {
        let names: Vec<String> = (0..20).map(|at| format!("s{at:02}")).collect();
        let points: Vec<(&str, &str, i64)> =
            names.iter().enumerate().map(|(at, name)| ("Mon", name.as_str(), at as i64)).collect();
        let made = chart(&points);
        assert_eq!(made.series.len(), MOST_SERIES + 1);
        assert_eq!(
            (made.series[0].name.as_str(), made.series[MOST_SERIES].name.as_str()),
            ("s19", OTHER)
        );
        assert_eq!(made.series.iter().map(Series::sum).sum::<i64>(), (0..20).sum::<i64>());
    }
}
