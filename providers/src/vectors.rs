//! Vectors as OpenAI packs them: base64 of little-endian 32-bit floats.

/// A vector's numbers, packed.
pub(crate) fn pack(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    base64(&bytes)
}

/// A JSON array of numbers, packed; an array that is none is an empty vector.
pub(crate) fn packed(json: &str) -> String {
    let numbers: Vec<f32> = serde_json::from_str(json).unwrap_or_default();
    pack(&numbers)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_everyone_writes_it() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn a_vector_is_packed_number_by_number() {
        assert_eq!(packed("[1.0, -2]"), "AACAPwAAAMA=");
        assert_eq!(packed("{}"), "");
    }
}
