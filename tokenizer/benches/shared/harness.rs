//! What the benches share: the texts, and how a rate is taken.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

/// A text of 16 kB to count over and over, and the text behind it to count once.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) warm: String,
    pub(crate) cold: String,
}

const SIZE: usize = 16 * 1024;

/// The texts of `benches/texts`. What is shorter than two samples is split in half.
pub(crate) fn samples() -> io::Result<Vec<Sample>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = [folder.join("benches/texts"), folder.join("../texts")]
        .into_iter()
        .find(|folder| folder.is_dir())
        .unwrap_or_default();
    ["english", "code", "json", "chinese", "japanese", "mixed"]
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(folder.join(format!("{name}.txt")))?;
            let middle = boundary(&text, SIZE.min(text.len() / 2));
            // A short text is counted whole when warm.
            let warm = if middle < SIZE { boundary(&text, SIZE.min(text.len())) } else { middle };
            Ok(Sample { name, warm: text[..warm].into(), cold: text[middle..].into() })
        })
        .collect()
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The best rate of single passes, in MB/s: what the text takes when nothing else runs.
pub(crate) fn rate(text: &str, least: Duration, mut count: impl FnMut(&str) -> u64) -> f64 {
    let (start, mut best, mut passes) = (Instant::now(), Duration::MAX, 0);
    while passes < 3 || start.elapsed() < least {
        let pass = Instant::now();
        black_box(count(black_box(text)));
        best = best.min(pass.elapsed());
        passes += 1;
    }
    text.len() as f64 / best.as_secs_f64() / 1e6
}

/// The best rate, in MB/s, of first passes over a text after others: each in a thread of its own,
/// which remembers nothing.
pub(crate) fn rate_of_first(
    sample: &Sample,
    others: &[Sample],
    count: impl Fn(&str) -> u64 + Sync,
) -> f64 {
    let trial = || {
        for other in others {
            black_box(count(&other.warm));
        }
        black_box(count(&sample.warm));
        let pass = Instant::now();
        black_box(count(black_box(&sample.cold)));
        pass.elapsed()
    };
    let run = || std::thread::scope(|scope| scope.spawn(trial).join().unwrap_or(Duration::MAX));
    let best = (0..40).map(|_| run()).min().unwrap_or(Duration::MAX);
    sample.cold.len() as f64 / best.as_secs_f64() / 1e6
}
