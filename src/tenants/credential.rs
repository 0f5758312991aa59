//! The form of a key: `sk-tg-<id>-<secret><check>`. The id finds it, the secret has 256 bits, and the
//! check lets a mistyped key be refused without looking anything up.

use std::fmt;

/// Characters of the public id.
const ID: usize = 12;
/// Characters of the secret: 43 of 62 letters and digits are just over 256 bits.
const SECRET: usize = 43;
/// Characters of the check.
const CHECK: usize = 6;
const PREFIX: &str = "sk-tg-";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public part of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID]);

impl KeyId {
    /// Reads an id as `Display` writes it.
    pub fn parse(text: &str) -> Option<KeyId> {
        let id: [u8; ID] = text.as_bytes().try_into().ok()?;
        id.iter().all(u8::is_ascii_alphanumeric).then_some(KeyId(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only letters and digits of ASCII get in, so this is always text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is kept of a key: enough to recognise it, not to use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The public part.
    pub id: KeyId,
    /// Keyed digest of the whole key.
    pub digest: [u8; 32],
    /// The last characters, for people.
    pub hint: String,
}

/// The key of the digests. It lies outside the database, so a copy of that opens nothing.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    /// A new one.
    pub fn random() -> Result<Pepper, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Pepper(bytes))
    }

    /// One that was stored as 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Pepper> {
        blake3::Hash::from_hex(text.trim()).ok().map(|h| Pepper(*h.as_bytes()))
    }

    /// For storing it, in a file that only the gateway can read.
    pub fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    pub(super) fn digest(&self, key: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.0, key.as_bytes())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}

/// Makes a key. The text is shown to its owner once and is nowhere kept.
pub fn mint(pepper: &Pepper) -> Result<(String, Credential), getrandom::Error> {
    let id: [u8; ID] = letters()?;
    let secret: [u8; SECRET] = letters()?;
    let id = KeyId(id);
    let body = format!("{PREFIX}{id}-{}", String::from_utf8_lossy(&secret));
    let key = format!("{body}{}", check(&body));
    let hint = key[key.len() - 4..].to_owned();
    let digest = *pepper.digest(&key).as_bytes();
    Ok((key, Credential { id, digest, hint }))
}

/// The id of a key that has the form of one; no secret is looked at.
pub fn well_formed(key: &str) -> Option<KeyId> {
    let rest = key.strip_prefix(PREFIX)?;
    if rest.len() != ID + 1 + SECRET + CHECK || !rest.is_ascii() {
        return None;
    }
    let (id, secret) = rest.split_once('-')?;
    let id = KeyId::parse(id)?;
    let letters =
        secret.len() == SECRET + CHECK && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    let (body, given) = key.split_at(key.len() - CHECK);
    (letters && check(body) == given).then_some(id)
}

fn check(body: &str) -> String {
    let hash = blake3::hash(body.as_bytes());
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    hash.as_bytes()[..CHECK].iter().map(letter).collect()
}

/// Uniform letters: bytes beyond the largest multiple of 62 are drawn again.
fn letters<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut out = [0; N];
    let mut filled = 0;
    while filled < N {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes)?;
        for byte in bytes.iter().filter(|b| **b < 248).take(N - filled) {
            out[filled] = ALPHABET[usize::from(*byte) % ALPHABET.len()];
            filled += 1;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_form_and_any_changed_letter_breaks_it() {
        let pepper = Pepper::random().unwrap();
        let (key, credential) = mint(&pepper).unwrap();
        assert_eq!(well_formed(&key), Some(credential.id));
        for at in 0..key.len() {
            let mut changed = key.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert_ne!(well_formed(&changed), Some(credential.id), "letter {at}");
        }
        for bad in ["", "sk-tg-", "Bearer x", "sk-tg-é", &key[..key.len() - 1]] {
            assert_eq!(well_formed(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_digest_depends_on_the_pepper() {
        let (key, credential) = mint(&Pepper::random().unwrap()).unwrap();
        assert_ne!(*Pepper::random().unwrap().digest(&key).as_bytes(), credential.digest);
    }
}
