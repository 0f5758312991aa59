//! One vocabulary: read from its data file, and arranged into the tables that counting reads.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::{hashing, sha256, trie};

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
    let pieces = pieces(&vocabulary.tokens).ok_or("no seed places the pieces")?;
    let records = records(vocabulary, &ids)?;
    let pairs = pairs(&records).ok_or("no seed places the pairs")?;

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
    writeln!(source, "    piece_bits: {PIECE_BITS},")?;
    writeln!(source, "    rows: rows({}, {}),", pieces.short_slots, pieces.long_slots)?;
    writeln!(source, "    pair_seed: {},", pairs.seed)?;
    writeln!(source, "    pair_bits: {PAIR_BITS},")?;
    writeln!(source, "    pair_slots: {},", pairs.slots.len())?;
    writeln!(source, "    root: {},", trie.root)?;
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

const PIECE_BITS: u32 = 17;
const PAIR_BITS: u32 = 17;

struct Pieces {
    seed: u64,
    pilots: Vec<u8>,
    short_slots: usize,
    long_slots: usize,
    words: Vec<u64>,
}

/// Every token of up to 15 bytes; those of up to seven take one word, the others two.
fn pieces(tokens: &[Vec<u8>]) -> Option<Pieces> {
    let keys: Vec<(u64, u64, usize)> = tokens
        .iter()
        .filter(|token| token.len() <= hashing::PACKED)
        .map(|token| {
            let mut bytes = [0; 16];
            bytes[..token.len()].copy_from_slice(token);
            let raw = u128::from_le_bytes(bytes);
            let (low, high) =
                hashing::Packing::of(token.len()).pack(raw as u64, (raw >> 64) as u64);
            (low, high, usize::from(token.len() > 7))
        })
        .collect();
    let long = keys.iter().filter(|(_, _, region)| *region == 1).count();
    let sizes = [roomy(keys.len() - long), roomy(long)];
    (1..32).find_map(|seed| {
        let hashed: Vec<(u64, usize)> = keys
            .iter()
            .map(|(low, high, region)| (hashing::of_key(*low, *high, seed), *region))
            .collect();
        let placed = hashing::place(&hashed, &sizes, PIECE_BITS)?;
        let mut words = vec![0; sizes[0] + 2 * sizes[1]];
        for ((low, high, region), slot) in keys.iter().zip(&placed.slots) {
            if *region == 0 {
                words[*slot] = *low;
            } else {
                words[sizes[0] + 2 * slot] = *low;
                words[sizes[0] + 2 * slot + 1] = *high;
            }
        }
        let [short_slots, long_slots] = sizes;
        Some(Pieces { seed, pilots: placed.pilots, short_slots, long_slots, words })
    })
}

/// One slot in 27 stays empty, which lets a pilot be found in a byte.
fn roomy(keys: usize) -> usize {
    keys + keys / 26 + 1
}

/// A token's left and right part, its longest proper prefix that is a token, its length: 18, 18,
/// 18 and 10 bits. A single byte is its own left and right part.
fn records(vocabulary: &Vocabulary, ids: &HashMap<&[u8], u32>) -> Result<Vec<u64>, Box<dyn Error>> {
    let id = |bytes: &[u8]| ids.get(bytes).copied().map(u64::from).ok_or("a part is no token");
    let mut records = Vec::new();
    for (token, split) in vocabulary.tokens.iter().zip(&vocabulary.splits) {
        let own = id(token)?;
        let (left, right) = match split {
            0 => (own, own),
            split => (id(&token[..*split])?, id(&token[*split..])?),
        };
        let prefix = (1..token.len()).rev().find_map(|length| id(&token[..length]).ok());
        let length = token.len() as u64;
        records.push(left | right << 18 | prefix.unwrap_or(own) << 36 | length << 54);
    }
    Ok(records)
}

struct Pairs {
    seed: u64,
    pilots: Vec<u8>,
    slots: Vec<u32>,
    filter: Vec<u64>,
}

/// For two adjacent tokens, the token they merge into: 18 bits, under a 14-bit fingerprint.
fn pairs(records: &[u64]) -> Option<Pairs> {
    let keys: Vec<(u32, u32, u32)> = records
        .iter()
        .zip(0..)
        .filter(|(record, _)| *record >> 54 > 1)
        .map(|(record, id)| ((record & 0x3_ffff) as u32, (record >> 18 & 0x3_ffff) as u32, id))
        .collect();
    let size = roomy(keys.len());
    (1..32).find_map(|seed| {
        let hashed: Vec<(u64, usize)> = keys
            .iter()
            .map(|(left, right, _)| (hashing::of_pair(*left, *right, seed), 0))
            .collect();
        let placed = hashing::place(&hashed, &[size], PAIR_BITS)?;
        // An empty slot names token 0, a single byte, which no pair merges into.
        let mut slots = vec![0; size];
        let mut filter = vec![0; 1 << (hashing::FILTER_BITS - 6)];
        for (((_, _, id), (hash, _)), slot) in keys.iter().zip(&hashed).zip(&placed.slots) {
            let (word, bit) = hashing::filter(*hash);
            filter[word] |= 1 << bit;
            slots[*slot] = hashing::fingerprint(*hash) << 18 | id;
        }
        Some(Pairs { seed, pilots: placed.pilots, slots, filter })
    })
}
