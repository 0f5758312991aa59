//! The rates of counting, beside those of tiktoken-rs, in one run. More engines are in `peers/`.
//!
//! `taskset -c 1 cargo bench -p tollgate-tokenizer --bench counting`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench reports by printing")]

#[path = "shared/harness.rs"]
mod harness;
#[path = "../tests/support/hostile.rs"]
mod hostile;

use std::hint::black_box;
use std::time::{Duration, Instant};

use harness::{rate, rate_of_first, samples};
use hostile::{Chance, hostile};
use tollgate_tokenizer::{CountMemo, Encoding};

const LEAST: Duration = Duration::from_millis(150);

fn main() {
    if std::env::args().any(|argument| argument == "streams") {
        let samples = samples().unwrap();
        return streams(&samples[0].warm, &samples[3].warm);
    }
    if std::env::args().any(|argument| argument == "first") {
        let samples = samples().unwrap();
        for sample in &samples {
            let first = (0..8)
                .map(|_| rate_of_first(sample, &samples, |text| Encoding::O200kBase.count(text)))
                .fold(0.0, f64::max);
            println!("{} {first:.0}", sample.name);
        }
        return;
    }
    let start = Instant::now();
    black_box(Encoding::O200kBase.count("start"));
    println!("first count in the process: {:?}", start.elapsed());
    for encoding in Encoding::ALL {
        let start = Instant::now();
        encoding.warm_up();
        let (name, took) = (encoding.name(), start.elapsed());
        println!("{name}: {} bytes of tables, all touched in {took:?}", encoding.size());
    }
    println!();

    let samples = samples().unwrap();
    println!(
        "16 kB, MB/s | own | ns/token | tiktoken-rs | ratio | cold: own | tiktoken-rs | ratio"
    );
    let encodings = [
        (Encoding::O200kBase, tiktoken_rs::o200k_base_singleton()),
        (Encoding::Cl100kBase, tiktoken_rs::cl100k_base_singleton()),
    ];
    for (encoding, reference) in encodings {
        let theirs = |text: &str| reference.encode_ordinary(text).len() as u64;
        for sample in &samples {
            let cold = rate_of_first(sample, &samples, |text| encoding.count(text));
            let cold_theirs = rate_of_first(sample, &samples, theirs);
            let warm = rate(&sample.warm, LEAST, |text| encoding.count(text));
            let warm_theirs = rate(&sample.warm, LEAST, theirs);
            let token = sample.warm.len() as f64 * 1e3 / warm / encoding.count(&sample.warm) as f64;
            println!(
                "{:11} {:9} | {warm:6.1} | {token:5.1} | {warm_theirs:6.1} | {:5.1} | {cold:6.1} | {cold_theirs:6.1} | {:5.1}",
                encoding.name(),
                sample.name,
                warm / warm_theirs,
                cold / cold_theirs,
            );
        }
    }
    hostile_inputs();
    streams(&samples[0].warm, &samples[3].warm);
    repeats(&samples[0].warm);
}

fn hostile_inputs() {
    println!("\nhostile, 1 MB, MB/s | o200k_base | cl100k_base | o200k_base, 100 kB");
    let mut chance = Chance(0x1234_5678_9abc_def1);
    let shorter = hostile(&mut chance, 100_000);
    let mut all = hostile(&mut chance, 1_000_000);
    all.push(("spaces", " ".repeat(1_000_000)));
    for (at, (name, text)) in all.iter().enumerate() {
        let [o200k, cl100k] = [Encoding::O200kBase, Encoding::Cl100kBase]
            .map(|encoding| rate(text, LEAST, |text| encoding.count(text)));
        let short = shorter
            .get(at)
            .map_or(0.0, |(_, text)| rate(text, LEAST, |text| Encoding::O200kBase.count(text)));
        println!("{name:33} | {o200k:6.1} | {cl100k:6.1} | {short:6.1}");
    }
}

/// Deltas of five bytes, or of two characters.
fn streams(english: &str, chinese: &str) {
    println!("\nstream | ns a delta");
    for (name, text, characters) in [("english", english, 5), ("chinese", chinese, 2)] {
        let points: Vec<char> = text.chars().collect();
        let deltas: Vec<String> = points.chunks(characters).map(|c| c.iter().collect()).collect();
        let mut best = f64::MAX;
        for _ in 0..200 {
            let start = Instant::now();
            let mut stream = Encoding::O200kBase.stream();
            for delta in &deltas {
                black_box(stream.push(delta));
            }
            best = best.min(start.elapsed().as_secs_f64() * 1e9 / deltas.len() as f64);
        }
        println!("{name:7} | {best:5.0}");
    }
}

/// Messages of 4 kB of which nine in ten were counted before.
fn repeats(text: &str) {
    let memo = CountMemo::new(65_536);
    let message = |at: usize| format!("{at} {}", &text[..4090]);
    let messages: Vec<String> = (0..2_000).map(message).collect();
    let mut best = 0.0_f64;
    for fresh in messages.chunks(100) {
        let start = Instant::now();
        for (at, message) in fresh.iter().enumerate() {
            black_box(memo.count(Encoding::O200kBase, message));
            for back in 0..9 {
                let seen = &fresh[at.saturating_sub(back)];
                black_box(memo.count(Encoding::O200kBase, seen));
            }
        }
        best = best.max((fresh.len() * 10 * 4096) as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
    println!("\n90 % repeated messages of 4 kB: {best:.0} MB/s");
}
