//! The size of a picture, from the first bytes of its file.

use super::{Detail, Image};

impl Image {
    /// A picture as a request names it: of a `data:` URL the size is read from the picture itself,
    /// of any other the size is unknown.
    #[must_use]
    pub fn from_url(url: &str, detail: Detail) -> Self {
        let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        let size = data.and_then(|(_, data)| size(&decode(data.as_bytes())));
        Self { size, detail }
    }

    /// A picture of which the bytes are at hand.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], detail: Detail) -> Self {
        Self { size: size(bytes), detail }
    }
}

/// So much of a picture is decoded to find its size; a JPEG may carry a thumbnail in front of it.
const HEAD: usize = 256 * 1024;

fn decode(base64: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in base64.iter().take(HEAD) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// Width and height of a PNG, GIF, WebP or JPEG.
fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        let side = |at| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
        return Some((side(16)?, side(20)?));
    }
    let little = |at: usize| Some(u32::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    if bytes.starts_with(b"GIF8") {
        return Some((little(6)?, little(8)?));
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP" {
        let three = |at: usize| Some(little(at)? | u32::from(*bytes.get(at + 2)?) << 16);
        return match bytes.get(12..16)? {
            b"VP8X" => Some((three(24)? + 1, three(27)? + 1)),
            b"VP8L" => {
                let bits = little(21)? | little(23)? << 16;
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"VP8 " => Some((little(26)? & 0x3fff, little(28)? & 0x3fff)),
            _ => None,
        };
    }
    if bytes.starts_with(b"\xff\xd8") { jpeg(bytes) } else { None }
}

/// Goes from segment to segment up to the frame's.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let big = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let mut at = 2;
    loop {
        let marker = big(at)?;
        match marker {
            // Padding in front of a marker.
            0xffff => at += 1,
            // All the frames but the tables that have their numbers.
            0xffc0..=0xffcf if !matches!(marker, 0xffc4 | 0xffc8 | 0xffcc) => {
                return Some((u32::from(big(at + 7)?), u32::from(big(at + 5)?)));
            }
            0xff01..=0xfffe => at += 2 + usize::from(big(at + 2)?.max(2)),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_read_from_the_head_of_each_format() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\x2c\0\0\x01\x90";
        let gif = b"GIF89a\x2c\x01\x90\x01";
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x2b\x01\0\x8f\x01\0";
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x2b\xc1\x63\0";
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x2c\x01\x90\x01";
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc4\0\x02\xff\xc0\0\x0b\x08\x01\x90\x01\x2c";
        for bytes in [&png[..], gif, extended, lossless, lossy, jpeg] {
            assert_eq!(size(bytes), Some((300, 400)), "{bytes:?}");
            for cut in 0..bytes.len() {
                assert_eq!(size(&bytes[..cut]), None, "{bytes:?} cut to {cut}");
            }
        }
    }

    #[test]
    fn a_data_url_tells_its_size_and_another_does_not() {
        let gif = "data:image/gif;base64,R0lGODlhLAGQAQ==";
        assert_eq!(Image::from_url(gif, Detail::Low).size, Some((300, 400)));
        assert_eq!(Image::from_url("https://example.org/a.gif", Detail::Low).size, None);
        assert_eq!(Image::from_url("data:image/gif;base64,????", Detail::Auto).size, None);
    }
}
