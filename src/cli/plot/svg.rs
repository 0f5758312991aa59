//! A chart as an SVG file: no script, no font or picture from elsewhere, and a text for each part.

use std::fmt::Write;

use super::{Chart, MOST_SERIES, OTHER, Series, dollars};

const WIDTH: i64 = 960;
const HEIGHT: i64 = 440;
const LEFT: i64 = 96;
const RIGHT: i64 = 24;
const TOP: i64 = 56;
const BOTTOM: i64 = 96;
/// Lines behind the bars, at most.
const LINES: i64 = 10;
/// Names below the bars, at most.
const NAMES: usize = 12;
/// Told apart by people who tell few colours apart (Okabe and Ito); the last one is that of Other.
const COLOURS: [&str; MOST_SERIES + 1] =
    ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"];

/// The chart as a file of its own.
pub fn svg(chart: &Chart) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = draw(chart, &mut out);
    out
}

fn draw(chart: &Chart, out: &mut String) -> std::fmt::Result {
    let title = escape(&chart.title);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\" aria-label=\"{title}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{title}</text>"
    )?;
    let (floor, step) = (HEIGHT - BOTTOM, step(chart.tallest()));
    let top = chart.tallest().div_euclid(step).saturating_add(1).saturating_mul(step);
    let height = |value: i64| scale(value, top, floor - TOP);
    for line in (0..=LINES).map(|at| step.saturating_mul(at)).take_while(|line| *line <= top) {
        let y = floor - height(line);
        writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8,
            y + 4,
            dollars(line),
        )?;
    }
    let count = i64::try_from(chart.places.len()).unwrap_or(i64::MAX).max(1);
    let left =
        |at: usize| LEFT + scale(i64::try_from(at).unwrap_or(count), count, WIDTH - LEFT - RIGHT);
    let every = chart.places.len().div_ceil(NAMES).max(1);
    for (at, place) in chart.places.iter().enumerate() {
        let (x, end) = (left(at), left(at + 1));
        let width = (end - x - (end - x) / 5).max(1);
        let mut below = 0;
        for (series, colour) in chart.series.iter().zip(COLOURS) {
            let value = series.at(at);
            let above = i64::saturating_add(below, value.max(0));
            let (low, high) = (height(below), height(above));
            writeln!(
                out,
                "<rect x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{}\" fill=\"{}\"><title>{}</title></rect>",
                floor - high,
                high - low,
                if series.name == OTHER { COLOURS[MOST_SERIES] } else { colour },
                escape(&said(place, series, value)),
            )?;
            below = above;
        }
        if at.is_multiple_of(every) {
            let (x, y) = (x + width / 2, floor + 16);
            writeln!(
                out,
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\" transform=\"rotate(-30 {x} {y})\">{}</text>",
                escape(place)
            )?;
        }
    }
    legend(chart, out)?;
    out.write_str("</svg>\n")
}

fn legend(chart: &Chart, out: &mut String) -> std::fmt::Result {
    let named = chart.series.iter().zip(COLOURS).filter(|(series, _)| !series.name.is_empty());
    let (mut x, y) = (LEFT, 44);
    for (series, colour) in named {
        let colour = if series.name == OTHER { COLOURS[MOST_SERIES] } else { colour };
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"{y}\">{}</text>",
            y - 9,
            x + 14,
            escape(&series.name),
        )?;
        x += 30 + 7 * i64::try_from(series.name.chars().count()).unwrap_or(0);
    }
    Ok(())
}

fn said(place: &str, series: &Series, value: i64) -> String {
    let name = if series.name.is_empty() { String::new() } else { format!(" {}", series.name) };
    format!("{place}{name}: {}", dollars(value))
}

/// So much of `whole`, as so much of `length`.
fn scale(value: i64, whole: i64, length: i64) -> i64 {
    let part = i128::from(value) * i128::from(length) / i128::from(whole.max(1));
    i64::try_from(part).unwrap_or(length)
}

/// The distance of the lines behind the bars: 1, 2 or 5 of a power of ten.
fn step(tallest: i64) -> i64 {
    let mut power: i64 = 1;
    while power < i64::MAX / 100 {
        if let Some(step) = [1, 2, 5].map(|of| power * of).into_iter().find(|s| tallest / s < 8) {
            return step;
        }
        power *= 10;
    }
    power
}

/// A text as the text of an element or attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // No other control character may be in XML, escaped or not.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plot::tests::chart;

    #[test]
    fn parts_stand_on_each_other_and_reach_as_high_as_they_are_worth() {
        let drawn = svg(&chart(&[("Mon", "a", 4_000_000_000), ("Mon", "b", 2_000_000_000)]));
        let heights: Vec<i64> = drawn
            .lines()
            .filter(|line| line.contains("<title>"))
            .map(|line| {
                let rest = line.split(" height=\"").nth(1).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        assert!((heights[0] - 2 * heights[1]).abs() <= 1, "{heights:?}");
        assert!(drawn.contains("Mon a: $4") && drawn.contains(">$5<"), "{drawn}");
    }

    #[test]
    fn no_name_becomes_an_element_and_nothing_at_all_is_drawn_as_well() {
        let drawn = svg(&chart(&[("<script>&\"\u{1}", "a\u{0}</svg>", 1)]));
        assert!(!drawn.contains("<script") && drawn.matches("</svg>").count() == 1, "{drawn}");
        assert!(drawn.contains("&lt;script&gt;&amp;&quot; "), "{drawn}");
        for empty in [chart(&[]), chart(&[("Mon", "", 0)]), chart(&[("Mon", "", -5)])] {
            assert!(svg(&empty).ends_with("</svg>\n"));
        }
        assert!(svg(&chart(&[("Mon", "", i64::MAX), ("Tue", "", 1)])).contains("Tue"));
    }

    #[test]
    fn lines_are_few_and_at_round_amounts() {
        for tallest in [0, 1, 7, 8, 99, 12_345, 1_000_000_000, i64::MAX] {
            let step = step(tallest);
            assert!(tallest / step < 100, "{tallest}: {step}");
            let digits = step.to_string();
            assert!(digits.trim_end_matches('0').len() == 1, "{step}");
        }
    }
}
