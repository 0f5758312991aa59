//! Writes the checked-in data of this crate again, from its sources: the vocabularies from the
//! official `.tiktoken` files and the Unicode classes from the `regex-syntax` the references use.
//!
//! `cargo run -p tollgate-tokenizer --example make_data -- <directory with the .tiktoken files>`

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let source = env::args().nth(1).ok_or("name the directory that holds the .tiktoken files")?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    for name in ["o200k_base", "cl100k_base"] {
        let ranks = fs::read_to_string(Path::new(&source).join(format!("{name}.tiktoken")))?;
        fs::write(data.join(format!("{name}.vocab")), vocabulary(&ranks)?)?;
    }
    fs::write(data.join("classes.ranges"), classes()?)?;
    Ok(())
}

/// Each token in rank order: its length, where its last merge splits it, its bytes.
fn vocabulary(ranks: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut tokens = Vec::new();
    for (expected, line) in ranks.lines().enumerate() {
        let (word, rank) = line.split_once(' ').ok_or("a line without a rank")?;
        if rank.parse::<usize>()? != expected {
            return Err("ranks are not consecutive".into());
        }
        tokens.push(base64(word)?);
    }
    let by_bytes: HashMap<&[u8], usize> =
        tokens.iter().enumerate().map(|(rank, token)| (token.as_slice(), rank)).collect();
    let mut out = Vec::new();
    for token in &tokens {
        out.push(u8::try_from(token.len())?);
        out.push(u8::try_from(last_merge(token, &by_bytes)?)?);
        out.extend_from_slice(token);
    }
    Ok(out)
}

/// Merges the token's bytes by rank until two parts are left; 0 for a single byte.
fn last_merge(token: &[u8], ranks: &HashMap<&[u8], usize>) -> Result<usize, Box<dyn Error>> {
    let mut cuts: Vec<usize> = (0..=token.len()).collect();
    while cuts.len() > 3 {
        let lowest = (0..cuts.len() - 2)
            .filter_map(|at| ranks.get(&token[cuts[at]..cuts[at + 2]]).map(|rank| (*rank, at)))
            .min()
            .ok_or("a token that its own merges cannot reach")?;
        cuts.remove(lowest.1 + 1);
    }
    Ok(if cuts.len() == 3 { cuts[1] } else { 0 })
}

/// Lines of `first last class`, in hexadecimal; a code point in no line is punctuation.
fn classes() -> Result<String, Box<dyn Error>> {
    let mut class_of = vec!['p'; 0x11_0000];
    let classes = [
        (r"[\p{P}\p{S}]", 'y'),
        (r"\p{Lu}", 'u'),
        (r"\p{Lt}", 'u'),
        (r"\p{Ll}", 'l'),
        (r"\p{Lm}", 'o'),
        (r"\p{Lo}", 'o'),
        (r"\p{M}", 'm'),
        (r"\p{N}", 'n'),
        (r"\s", 's'),
        (r"[\r\n]", 'r'),
    ];
    for (pattern, class) in classes {
        let parsed = regex_syntax::Parser::new().parse(pattern)?;
        let regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(set)) =
            parsed.into_kind()
        else {
            return Err("not a class".into());
        };
        for range in set.ranges() {
            class_of[range.start() as usize..=range.end() as usize].fill(class);
        }
    }
    let mut out = String::new();
    let mut first = 0;
    for at in 1..=class_of.len() {
        if at == class_of.len() || class_of[at] != class_of[first] {
            if class_of[first] != 'p' {
                out.push_str(&format!("{first:x} {:x} {}\n", at - 1, class_of[first]));
            }
            first = at;
        }
    }
    Ok(out)
}

fn base64(word: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for byte in word.bytes().take_while(|byte| *byte != b'=') {
        let value = ALPHABET.iter().position(|letter| *letter == byte).ok_or("not base64")?;
        bits = bits << 6 | u32::try_from(value)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff)?);
        }
    }
    Ok(out)
}
