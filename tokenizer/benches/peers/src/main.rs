//! Tollgate's tokenizer beside other engines, in one run: rates, and how many strings each encodes
//! in another way than tiktoken-rs does. `peers dump FILE` writes strings with their ids for
//! `python.py`.

#[path = "../../../tests/support/mod.rs"]
mod support;
#[path = "../../shared/harness.rs"]
mod harness;

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use harness::{rate, rate_of_first, samples};
use support::{Chance, effort, encodings, fragments, hostile};
use tollgate_tokenizer::Encoding;

/// A name, a count, and ids.
type Engine = (&'static str, Box<dyn Fn(&str) -> u64 + Sync>, Box<dyn Fn(&str) -> Vec<u32> + Sync>);

fn engines() -> Result<Vec<Engine>, Box<dyn Error>> {
    let own = |text: &str| {
        let mut ids = Vec::new();
        Encoding::O200kBase.encode(text, &mut ids);
        ids
    };
    let reference = encodings()[0].1;
    let bpe = bpe_openai::o200k_base();
    let crate_tiktoken = tiktoken::get_encoding("o200k_base").ok_or("no o200k_base")?;
    let toktok: &'static toktok::Tokenizer =
        Box::leak(Box::new(toktok::Tokenizer::builtin("o200k_base")?));
    Ok(vec![
        ("tollgate", Box::new(|text| Encoding::O200kBase.count(text)), Box::new(own)),
        (
            "tiktoken-rs 0.12.1",
            Box::new(|text| reference.encode_ordinary(text).len() as u64),
            Box::new(|text| reference.encode_ordinary(text)),
        ),
        (
            "bpe-openai 0.3.2",
            Box::new(|text| bpe.count(text) as u64),
            Box::new(|text| bpe.encode(text)),
        ),
        (
            "toktok-rs 0.3.0",
            Box::new(|text| toktok.count(text.as_bytes()) as u64),
            Box::new(|text| toktok.encode(text.as_bytes())),
        ),
        (
            "tiktoken 4.1.2 (crate)",
            Box::new(|text| crate_tiktoken.count(text) as u64),
            Box::new(|text| crate_tiktoken.encode(text)),
        ),
    ])
}

/// Strings that are hard to encode: random ones, and every code point up to the third plane.
fn strings() -> Vec<String> {
    let mut chance = Chance(0x1234_5678_9abc_def1);
    let mut strings: Vec<String> =
        (0..effort(50_000, 500_000)).map(|_| fragments(&mut chance, 12)).collect();
    let points = (0..0x3_3480).filter_map(char::from_u32);
    strings.extend(points.map(|point| format!(" {point}a!{point} {point}{point}B")));
    strings.extend(hostile(&mut chance, 5_000).into_iter().map(|(_, text)| text));
    strings
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verb, file] = arguments.as_slice()
        && verb == "dump"
    {
        return dump(file);
    }
    let (samples, engines) = (samples()?, engines()?);
    let least = Duration::from_millis(150);
    println!("o200k_base, MB/s, warm / first pass");
    for (name, count, _) in &engines {
        print!("{name:23}");
        for sample in &samples {
            let warm = rate(&sample.warm, least, count);
            let first = rate_of_first(sample, &samples, count);
            print!(" | {} {warm:.0} / {first:.0}", sample.name);
        }
        println!();
    }
    println!("\nhostile, 1 MB, MB/s");
    for (name, count, _) in &engines {
        print!("{name:23}");
        for (kind, text) in hostile(&mut Chance(0x2345_6789_abcd_ef12), 1_000_000).iter().take(7) {
            print!(" | {kind} {:.1}", rate(text, least, count));
        }
        println!();
    }
    let strings = strings();
    println!("\nstrings encoded in another way than by tiktoken-rs, of {}", strings.len());
    let expected: Vec<Vec<u32>> = strings.iter().map(|text| engines[1].2(text)).collect();
    for (name, _, encode) in &engines {
        let wrong = strings.iter().zip(&expected).filter(|(text, ids)| encode(text) != **ids);
        println!("{name:23} | {}", wrong.count());
    }
    Ok(())
}

fn dump(file: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for text in strings() {
        let mut ids = Vec::new();
        Encoding::O200kBase.encode(&text, &mut ids);
        let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        writeln!(out, "{bytes} {}", ids.join(","))?;
    }
    Ok(())
}
