//! Takes out of a provider's words what looks like a credential: some providers echo the key they refuse.

use std::ops::Range;

/// Prefixes that mark a credential whatever follows.
const MARKS: [&str; 12] =
    ["sk-", "pk-", "rk-", "gsk_", "xai-", "AIza", "AKIA", "ASIA", "eyJ", "hf_", "pplx-", "Bearer "];

/// The text with every credential in it replaced by its first characters and an ellipsis.
pub(crate) fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for word in words(text) {
        let value = &text[word.clone()];
        let after_bearer = text[..word.start].to_ascii_lowercase().ends_with("bearer ");
        if after_bearer || is_secret(value) {
            out.push_str(&text[kept..word.start]);
            out.extend(value.chars().take(3));
            out.push('…');
            kept = word.end;
        }
    }
    out.push_str(&text[kept..]);
    out
}

/// Stretches of the characters that credentials are made of.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let part =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '+' | '/' | '=');
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(part)?;
        let end = text[start..].find(|c| !part(c)).map_or(text.len(), |length| start + length);
        at = end;
        Some(start..end)
    })
}

fn is_secret(word: &str) -> bool {
    let marked =
        MARKS.iter().any(|mark| word.strip_prefix(mark).is_some_and(|rest| rest.len() >= 8));
    // A long run of mixed letters and digits without a dot is a key; an id such as `chatcmpl-…` or a
    // model's name is shorter.
    let (digits, letters) = word.chars().fold((0, 0), |(d, l), c| {
        (d + usize::from(c.is_ascii_digit()), l + usize::from(c.is_ascii_alphabetic()))
    });
    let opaque = word.len() >= 32 && digits >= 4 && letters >= 4 && !word.contains(['.', '/']);
    let starred = word.len() >= 12 && word.contains("****");
    marked || opaque || starred
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_and_words_are_left() {
        let cases = [
            (
                "Incorrect API key provided: sk-proj-abc123DEF456. Find it",
                "Incorrect API key provided: sk-… Find it",
            ),
            ("key sk-abcde*****************wxyz", "key sk-…"),
            ("Authorization: Bearer abc", "Authorization: Bearer abc…"),
            ("invalid x-api-key 0123456789abcdef0123456789abcdef", "invalid x-api-key 012…"),
            ("API key AIzaSyA-1234567890 not valid", "API key AIz… not valid"),
            (
                "the model gpt-4o-mini-2024-07-18 at https://api.openai.com/v1/models does not exist",
                "the model gpt-4o-mini-2024-07-18 at https://api.openai.com/v1/models does not exist",
            ),
            ("maximum context length is 8192 tokens", "maximum context length is 8192 tokens"),
            ("", ""),
            ("é漢🦀 sk-", "é漢🦀 sk-"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }
}
