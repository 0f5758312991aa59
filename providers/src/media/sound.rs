//! How long a recording is, of the kinds whose bytes decide it: waves, and MP3 frame by frame. Others can
//! hold hours of silence in a few bytes.

/// Seconds, a begun one as a whole one; nothing where it cannot be measured.
pub(crate) fn seconds(file: &[u8]) -> Option<u64> {
    wave(file).or_else(|| mp3(file))
}

fn number(file: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = file.get(at..at + bytes)?;
    Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Samples as they are: all bytes of the file are taken to be such.
fn wave(file: &[u8]) -> Option<u64> {
    const INTEGERS: u64 = 1;
    const FLOATS: u64 = 3;
    if !file.starts_with(b"RIFF") || file.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12;
    while file.get(at..at + 4)? != b"fmt " {
        // Chunks are padded to an even length.
        let length = usize::try_from(number(file, at + 4, 4)?).ok()?;
        at = at.checked_add(8)?.checked_add(length)?.checked_add(length % 2)?;
    }
    let field = |offset, bytes| number(file, at + 8 + offset, bytes);
    let (format, channels, rate, bits) = (field(0, 2)?, field(2, 2)?, field(4, 4)?, field(14, 2)?);
    if !matches!(format, INTEGERS | FLOATS) {
        return None;
    }
    let a_second = rate.checked_mul(channels)?.checked_mul(bits.div_ceil(8))?;
    (a_second > 0).then(|| (file.len() as u64).div_ceil(a_second))
}

/// Kilobits a second of layer III, in the first and the later versions.
const BITRATES: [[u64; 15]; 2] = [
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// Every frame from the first to the last byte, tags before and behind left out; anything else between is
/// no MP3.
fn mp3(file: &[u8]) -> Option<u64> {
    let mut rest = file;
    while rest.starts_with(b"ID3") {
        let size = rest.get(6..10)?.iter().fold(0, |sum, byte| sum << 7 | usize::from(*byte & 127));
        rest = rest.get(10 + size..)?;
    }
    let mut micros = 0_u64;
    while !(rest.is_empty() || rest.starts_with(b"TAG") && rest.len() == 128) {
        let head = rest.get(..4)?;
        let (version, layer) = (head[1] >> 3 & 3, head[1] >> 1 & 3);
        if head[0] != 0xff || head[1] & 0xe0 != 0xe0 || layer != 1 || version == 1 {
            return None;
        }
        let first = version == 3;
        let kilobits = *BITRATES[usize::from(!first)].get(usize::from(head[2] >> 4))?;
        let rate = [44_100, 48_000, 32_000].get(usize::from(head[2] >> 2 & 3))?;
        let rate: u64 = match version {
            3 => *rate,
            2 => rate / 2,
            _ => rate / 4,
        };
        if kilobits == 0 {
            return None;
        }
        let samples: u64 = if first { 1_152 } else { 576 };
        let length = samples * 125 * kilobits / rate + u64::from(head[2] >> 1 & 1);
        micros += (samples * 1_000_000).div_ceil(rate);
        // The last one may be cut off.
        let length = usize::try_from(length).ok()?.min(rest.len());
        rest = rest.get(length..)?;
    }
    (micros > 0).then(|| micros.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(rate: u32, channels: u16, bits: u16, samples: usize) -> Vec<u8> {
        let mut out = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        out.extend([1_u16.to_le_bytes(), channels.to_le_bytes()].concat());
        out.extend(rate.to_le_bytes());
        // What the header says a second is is not believed.
        out.extend(u32::MAX.to_le_bytes());
        out.extend([4_u16.to_le_bytes(), bits.to_le_bytes()].concat());
        out.extend(b"data\xff\xff\xff\xff");
        out.extend(vec![0; samples * usize::from(channels) * usize::from(bits / 8)]);
        out
    }

    #[test]
    fn waves_are_as_long_as_their_bytes() {
        assert_eq!(seconds(&waves(8_000, 1, 16, 80_000)), Some(11));
        assert_eq!(seconds(&waves(44_100, 2, 16, 44_100)), Some(2));
        assert_eq!(seconds(&waves(0, 1, 16, 8)), None);
        let mut packed = waves(8_000, 1, 16, 80_000);
        packed[32] = 2;
        assert_eq!(seconds(&packed), None, "a form whose bytes say nothing");
    }

    #[test]
    fn an_mp3_is_as_long_as_its_frames_and_nothing_else_may_stand_between_them() {
        // 128 kbit/s at 44.1 kHz: 417 bytes are 26.1 ms.
        let frame = [&[0xff, 0xfb, 0x90, 0x00][..], &[0; 413]].concat();
        let hundred = frame.repeat(100);
        assert_eq!(seconds(&hundred), Some(3));
        let tagged = [b"ID3\x04\0\0\0\0\0\x02ab", &hundred[..], b"TAG", &[0; 125]].concat();
        assert_eq!(seconds(&tagged), Some(3));
        let mixed = [&hundred[..], b"OggS", &hundred].concat();
        assert_eq!(seconds(&mixed), None);
        // The slowest there is: 8 kbit/s at 8 kHz, 72 ms in 72 bytes.
        let slow = [&[0xff, 0xe3, 0x18, 0x00][..], &[0; 68]].concat();
        assert_eq!(seconds(&slow.repeat(1_000)), Some(72));
        for other in [&b"OggS"[..], b"fLaC", b"", b"RIFF", b"\xff\xfb"] {
            assert_eq!(seconds(other), None);
        }
    }
}
