//! One vocabulary: read from its data file, and arranged into the tables that counting reads.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::arrange::tables::{self, Fit};
use crate::arrange::trie;
use crate::sha256;

/// The tokens in rank order, and where each one's last merge splits it.
pub(crate) struct Vocabulary {
    tokens: Vec<Vec<u8>>,
    splits: Vec<usize>,
}

impl Vocabulary {
    /// Reads length, split, bytes of each token.
    pub(crate) fn read(mut data: &[u8]) -> Result<Self, Box<dyn Error>> {
        let mut vocabulary = Self { tokens: Vec::new(), splits: Vec::new() };
        while let [length, split, rest @ ..] = data {
            let (token, after) =
                rest.split_at_checked(usize::from(*length)).ok_or("a token is cut off")?;
            vocabulary.tokens.push(token.to_vec());
            vocabulary.splits.push(usize::from(*split));
            data = after;
        }
        Ok(vocabulary)
    }

    /// The SHA-256 of these tokens written as an official `.tiktoken` file.
    pub(crate) fn official_checksum(&self) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut file = Vec::new();
        for (rank, token) in self.tokens.iter().enumerate() {
            for group in token.chunks(3) {
                let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
                let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
                for at in 0..4 {
                    let letter = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
                    file.push(if at > group.len() { b'=' } else { letter });
                }
            }
            file.push(b' ');
            file.extend_from_slice(rank.to_string().as_bytes());
            file.push(b'\n');
        }
        sha256::hex(&file)
    }
}

/// As close as pilots of a byte can be found for.
const FIT: Fit = Fit { bits: 17, slack: 26 };

/// Writes the tables into `out` and returns the source of the static that includes them.
pub(crate) fn arrange(
    vocabulary: &Vocabulary,
    mark: usize,
    name: &str,
    out: &Path,
) -> Result<String, Box<dyn Error>> {
    let ids: HashMap<&[u8], u32> =
        vocabulary.tokens.iter().zip(0..).map(|(token, id)| (token.as_slice(), id)).collect();
    let trie = trie::build(&vocabulary.tokens);
    let pieces = tables::pieces(&vocabulary.tokens, FIT).ok_or("no seed places the pieces")?;
    let records = tables::records(&vocabulary.tokens, &parts(vocabulary, &ids)?);
    let pairs = tables::pairs(&records, FIT).ok_or("no seed places the pairs")?;

    let mut source = String::new();
    writeln!(source, "pub(crate) static {name}: Vocabulary = Vocabulary {{")?;
    let table = |field: &str, width: usize, bytes: Vec<u8>| -> Result<String, Box<dyn Error>> {
        let file = format!("{name}.{field}");
        let bytes_length = bytes.len();
        fs::write(out.join(&file), bytes)?;
        let bytes = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))");
        let chunks = match width {
            1 => String::new(),
            width => format!(".as_chunks::<{width}>().0"),
        };
        Ok(format!(
            "    {field}: {{ static TABLE: Aligned<[u8; {length}]> = Aligned(*{bytes}); \
             {borrow}TABLE.0{chunks} }},",
            length = bytes_length,
            borrow = if width == 1 { "&" } else { "" },
        ))
    };
    let of_u64 = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let of_u32 = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // Three bytes a token, and one more so that the last can be read as four.
    let of_u24 = |words: &[u32]| {
        let mut bytes: Vec<u8> =
            words.iter().flat_map(|word| word.to_le_bytes().into_iter().take(3)).collect();
        bytes.push(0);
        bytes
    };
    writeln!(source, "    mark: {mark},")?;
    writeln!(source, "    piece_seed: {},", pieces.seed)?;
    writeln!(source, "    piece_bits: {},", FIT.bits)?;
    writeln!(source, "    rows: rows({}, {}),", pieces.short_slots, pieces.long_slots)?;
    writeln!(source, "    pair_seed: {},", pairs.seed)?;
    writeln!(source, "    pair_bits: {},", FIT.bits)?;
    writeln!(source, "    pair_slots: {},", pairs.slots.len())?;
    writeln!(source, "    root: {},", trie.root)?;
    writeln!(source, "    initial: 256,")?;
    writeln!(source, "    more: None,")?;
    writeln!(source, "{}", table("piece_pilots", 1, pieces.pilots)?)?;
    writeln!(source, "{}", table("pieces", 8, of_u64(&pieces.words))?)?;
    writeln!(source, "{}", table("trie", 4, of_u32(&trie.slots))?)?;
    writeln!(source, "{}", table("trie_tokens", 1, of_u24(&trie.tokens))?)?;
    writeln!(source, "{}", table("records", 8, of_u64(&records))?)?;
    writeln!(source, "{}", table("pair_filter", 8, of_u64(&pairs.filter))?)?;
    writeln!(source, "{}", table("pair_pilots", 1, pairs.pilots)?)?;
    writeln!(source, "{}", table("pairs", 4, of_u32(&pairs.slots))?)?;
    writeln!(source, "}};")?;
    Ok(source)
}

/// Each token's left and right part; of a single byte, itself.
fn parts(
    vocabulary: &Vocabulary,
    ids: &HashMap<&[u8], u32>,
) -> Result<Vec<(u32, u32)>, Box<dyn Error>> {
    let id = |bytes: &[u8]| ids.get(bytes).copied().ok_or("a part is no token");
    let mut parts = Vec::new();
    for (token, split) in vocabulary.tokens.iter().zip(&vocabulary.splits) {
        parts.push(match split {
            0 => (id(token)?, id(token)?),
            split => (id(&token[..*split])?, id(&token[*split..])?),
        });
    }
    Ok(parts)
}
