//! Counts what comes in on standard input, as it comes.
//!
//! `cargo run -p tollgate-tokenizer --example count -- gpt-4o < README.md`

use std::error::Error;
use std::io::{BufRead, Write};

use tollgate_tokenizer::family;

fn main() -> Result<(), Box<dyn Error>> {
    let model = std::env::args().nth(1).unwrap_or_else(|| "gpt-4o".to_owned());
    let family = family(&model);
    let mut stream = family.encoding.stream();
    let (mut input, mut line) = (std::io::stdin().lock(), String::new());
    while input.read_line(&mut line)? > 0 {
        stream.push(&line);
        line.clear();
    }
    let tokens = family.scale(stream.total());
    let kind = if family.exact { "exact" } else { "estimated" };
    writeln!(std::io::stdout(), "{tokens} tokens of {model}, {kind} ({})", family.encoding.name())?;
    Ok(())
}
