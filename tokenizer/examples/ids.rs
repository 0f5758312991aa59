//! Writes the token ids of texts, so that another implementation's can be held against them: each
//! line of the input is a text as a JSON string, each line of the output its ids.
//!
//! `cargo run --release -p tollgate-tokenizer --features json --example ids -- tokenizer.json < texts`

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::{env, fs, io};

use tollgate_tokenizer::Encoding;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("name a tokenizer.json")?;
    let encoding = Encoding::load(&path, &fs::read(&path)?)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let (mut ids, mut line) = (Vec::new(), String::new());
    for text in io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&text?)?;
        ids.clear();
        line.clear();
        encoding.encode(&text, &mut ids);
        if encoding.count(&text) != ids.len() as u64 {
            return Err(format!("the count of {text:?} is not the number of its ids").into());
        }
        let mut stream = encoding.stream();
        let mut at = 0;
        for (end, _) in text.char_indices().skip(1).chain([(text.len(), ' ')]) {
            // Every step of a short text, and some of a long one.
            if end - at > text.len() / 64 {
                let total = stream.push(&text[at..end]);
                at = end;
                if text.len() <= 2_000 && total != encoding.count(&text[..end]) {
                    return Err(format!("{text:?} as a stream up to {end}: {total}").into());
                }
            }
        }
        stream.push(&text[at..]);
        if stream.total() != ids.len() as u64 {
            return Err(format!("{text:?} as a stream: {}", stream.total()).into());
        }
        for id in &ids {
            write!(line, "{id} ")?;
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}
