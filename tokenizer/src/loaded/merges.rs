//! From a list of merges to what the encoder knows of each token: which merge makes it last.
//!
//! A list may hold several merges that make the same token, and merges of tokens that come later
//! in it. Both are settled by merging every token's own text as the reference does: whatever
//! single token is left is what can stand in an encoding, and its last merge is the only one that
//! ever makes it, since what merges within a token's text doesn't depend on what is around it.

use std::collections::HashMap;

use super::error::LoadError;
use super::file::File;

/// The tokens an encoding can hold, those that no merge makes first, then by rank.
pub(super) struct Ranked {
    /// The text, the file's number, left and right part by their places in this list.
    pub(super) tokens: Vec<Token>,
    pub(super) initial: u32,
    /// A bit for every token that is made of a later one, or of such a token.
    pub(super) irregular: Vec<u64>,
    /// Tokens that their own merges don't reach.
    pub(super) unreached: Vec<(Vec<u8>, u32)>,
}

/// A token that an encoding can hold.
pub(super) struct Token {
    pub(super) bytes: Vec<u8>,
    pub(super) id: u32,
    pub(super) parts: (u32, u32),
}

/// What is known of the vocabulary before it is ranked, by the file's numbers.
pub(super) struct Raw {
    /// Bytes of every token that has some, and the tokens that it starts as.
    tokens: Vec<(u32, Vec<u8>, Vec<u32>)>,
    /// (left, right) to rank and token.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// The tokens for the bytes of characters that are no tokens, if it has such.
    pub(super) bytes: Vec<u32>,
}

impl Raw {
    pub(super) fn new(file: &File<'_>) -> Result<Self, LoadError> {
        let number = |token: &str| file.vocabulary.get(token).copied();
        let unknown = |token: &str| LoadError::Vocabulary(format!("{token:?} is no token"));
        let mut merges = HashMap::with_capacity(file.merges.len());
        for ((left, right), rank) in file.merges.iter().zip(0_u32..) {
            let whole = format!("{left}{right}");
            let whole = number(&whole).ok_or_else(|| unknown(&whole))?;
            let pair = (
                number(left).ok_or_else(|| unknown(left))?,
                number(right).ok_or_else(|| unknown(right))?,
            );
            // Of a merge that is there twice, the reference keeps the last.
            merges.insert(pair, (rank, whole));
        }
        let of_bytes = file.pattern.is_some();
        let byte_of = byte_letters();
        let mut tokens = Vec::with_capacity(file.vocabulary.len());
        for (token, id) in &file.vocabulary {
            let starts = token.chars().map(|point| number(point.encode_utf8(&mut [0; 4])));
            let Some(starts) = starts.collect::<Option<Vec<u32>>>() else { continue };
            let bytes = if of_bytes {
                let bytes = token.chars().map(|letter| byte_of.get(&letter).copied());
                let Some(bytes) = bytes.collect::<Option<Vec<u8>>>() else { continue };
                bytes
            } else {
                token.as_bytes().to_vec()
            };
            if !starts.is_empty() {
                tokens.push((*id, bytes, starts));
            }
        }
        let bytes = if of_bytes {
            for (letter, byte) in &byte_of {
                number(letter.encode_utf8(&mut [0; 4]))
                    .ok_or_else(|| LoadError::Vocabulary(format!("no token for byte {byte}")))?;
            }
            Vec::new()
        } else {
            let fallback = |byte: u8| {
                let token = format!("<0x{byte:02X}>");
                // No character that isn't a token has such a byte.
                let own = char::from(byte);
                let spare = own.is_ascii().then(|| number(own.encode_utf8(&mut [0; 4]))).flatten();
                number(&token).or(spare).ok_or_else(|| unknown(&token))
            };
            (0..=255).map(fallback).collect::<Result<_, _>>()?
        };
        Ok(Self { tokens, merges, bytes })
    }

    pub(super) fn rank(&self) -> Result<Ranked, LoadError> {
        let mut reached = Vec::new();
        let mut unreached = Vec::new();
        for (id, bytes, parts) in &self.tokens {
            match self.merge(parts.clone()) {
                Some((token, last)) if token == *id => reached.push((*id, last)),
                _ => unreached.push((bytes.clone(), *id)),
            }
        }
        // A token without a last merge is of rank -1, so to say; numbers settle their order.
        reached.sort_by_key(|(id, last)| (last.map(|(rank, _, _)| rank), *id));
        let bytes_of: HashMap<u32, &[u8]> =
            self.tokens.iter().map(|(id, bytes, _)| (*id, bytes.as_slice())).collect();
        let place: HashMap<u32, u32> = reached.iter().map(|(id, _)| *id).zip(0..).collect();
        let initial = reached.iter().take_while(|(_, last)| last.is_none()).count() as u32;
        let mut tokens = Vec::with_capacity(reached.len());
        let mut irregular = vec![0_u64; reached.len() / 64 + 1];
        let strange = || LoadError::Vocabulary("a merge of tokens that aren't reached".to_owned());
        let mut is_odd = vec![false; reached.len()];
        for ((id, last), own) in reached.iter().zip(0_u32..) {
            let part = |id: u32| place.get(&id).copied().ok_or_else(strange);
            let parts = match last {
                Some((_, left, right)) => (part(*left)?, part(*right)?),
                None => (own, own),
            };
            if let Some(odd) = is_odd.get_mut(own as usize) {
                *odd = parts.0 > own || parts.1 > own;
            }
            let bytes = bytes_of.get(id).map(|bytes| bytes.to_vec()).unwrap_or_default();
            tokens.push(Token { bytes, id: *id, parts });
        }
        // What is made of an odd token is odd. A part may come later, hence until nothing changes;
        // there are few of them.
        loop {
            let mut changed = false;
            for (at, token) in tokens.iter().enumerate() {
                let odd = |part: u32| is_odd.get(part as usize).copied().unwrap_or(false);
                if !odd(at as u32) && (odd(token.parts.0) || odd(token.parts.1)) {
                    is_odd[at] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        for (at, _) in is_odd.iter().enumerate().filter(|(_, odd)| **odd) {
            irregular[at / 64] |= 1 << (at % 64);
        }
        unreached.sort();
        Ok(Ranked { tokens, initial, irregular, unreached })
    }

    /// Merges by rank, leftmost first, until nothing merges: the token, if one is left, and its
    /// last merge.
    #[expect(clippy::type_complexity, reason = "a token, and a merge as rank, left, right")]
    fn merge(&self, mut parts: Vec<u32>) -> Option<(u32, Option<(u32, u32, u32)>)> {
        let look = |parts: &[u32], at: usize| {
            let pair = parts.get(at).copied().zip(parts.get(at + 1).copied())?;
            self.merges.get(&pair).copied()
        };
        let mut ranks: Vec<_> = (0..parts.len()).map(|at| look(&parts, at)).collect();
        let mut last = None;
        while parts.len() > 1 {
            let found = ranks.iter().enumerate().filter_map(|(at, rank)| Some(((*rank)?, at)));
            let ((rank, token), at) = found.min_by_key(|((rank, _), at)| (*rank, *at))?;
            last = Some((rank, parts[at], parts[at + 1]));
            parts.remove(at + 1);
            ranks.remove(at + 1);
            parts[at] = token;
            ranks[at] = look(&parts, at);
            if at > 0 {
                ranks[at - 1] = look(&parts, at - 1);
            }
        }
        Some((*parts.first()?, last))
    }
}

/// The printable letters that byte-level vocabularies write bytes with: what prints stands for
/// itself, the rest for what comes after the first 256 code points, in order.
fn byte_letters() -> HashMap<char, u8> {
    let prints = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut letters = HashMap::with_capacity(256);
    let mut next = 256;
    for byte in 0..=255 {
        let code = if prints(byte) { u32::from(byte) } else { next };
        next += u32::from(!prints(byte));
        letters.extend(char::from_u32(code).map(|letter| (letter, byte)));
    }
    letters
}
