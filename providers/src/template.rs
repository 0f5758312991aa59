//! A short way to read the frames a stream is made of.
//!
//! Nearly every frame of a stream is the one before it with another text in it. Once one was parsed,
//! the next is compared with it: where the bytes before and behind the text are the same, and the text
//! is a plain JSON string, parsing it could find nothing but that text.

use memchr::memmem;

/// A frame with a hole where its text stood, and another where OpenAI pads frames to hide their length.
#[derive(Default)]
pub(crate) struct Template {
    choice: u32,
    before: Vec<u8>,
    behind: Vec<u8>,
    /// What follows the padding, where there is any; `behind` then ends where it begins.
    padded: Option<Vec<u8>>,
}

const PADDING: &[u8] = b"\"obfuscation\":\"";

impl Template {
    /// Learns from a frame that holds this text, which must lie in it, and says nothing else.
    pub(crate) fn learn(&mut self, data: &[u8], choice: u32, text: &str) {
        let at = (text.as_ptr() as usize).wrapping_sub(data.as_ptr() as usize);
        let (Some(before), Some(rest)) =
            (data.get(..at), data.get(at.saturating_add(text.len())..))
        else {
            return;
        };
        self.choice = choice;
        self.before.clear();
        self.before.extend_from_slice(before);
        let pad = memmem::find(rest, PADDING).map(|pad| pad + PADDING.len());
        let end = pad.and_then(|pad| Some(pad + memchr::memchr(b'"', &rest[pad..])?));
        self.behind.clear();
        match pad.zip(end) {
            Some((pad, end)) if plain(&rest[pad..end]).is_some() => {
                self.behind.extend_from_slice(&rest[..pad]);
                self.padded = Some(rest[end..].to_vec());
            }
            _ => {
                self.behind.extend_from_slice(rest);
                self.padded = None;
            }
        }
    }

    /// The choice and the text, where the frame is the one learnt from with another text.
    pub(crate) fn read<'f>(&self, data: &'f [u8]) -> Option<(u32, &'f str)> {
        if self.before.is_empty() {
            return None;
        }
        let rest = data.strip_prefix(&self.before[..])?;
        let (text, behind) = rest.split_at(memchr::memchr(b'"', rest)?);
        let left = behind.strip_prefix(&self.behind[..])?;
        match &self.padded {
            None if left.is_empty() => {}
            Some(end) => {
                plain(left.strip_suffix(&end[..])?)?;
            }
            None => return None,
        }
        let text = plain(text)?;
        (!text.is_empty()).then_some((self.choice, text))
    }
}

/// The bytes as the inside of a JSON string that holds no escape.
fn plain(bytes: &[u8]) -> Option<&str> {
    let odd = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
    if bytes.iter().any(odd) { None } else { std::str::from_utf8(bytes).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &str = r#"{"id":"a","choices":[{"delta":{"content":"one"}}]}"#;

    fn learnt(frame: &str, text: &str) -> Template {
        let at = frame.find(text).unwrap();
        let mut template = Template::default();
        template.learn(frame.as_bytes(), 3, &frame[at..at + text.len()]);
        template
    }

    #[test]
    fn only_another_text_is_taken() {
        let template = learnt(FRAME, "one");
        assert_eq!(
            template.read(FRAME.replace("one", "zwölf 🦀").as_bytes()),
            Some((3, "zwölf 🦀"))
        );
        let others = [
            FRAME.replace("one", "o\\ne"),
            FRAME.replace("one", "o\nne"),
            FRAME.replace("one", ""),
            FRAME.replace("one", "o\",\"content\":\"x"),
            FRAME.replace("\"a\"", "\"b\""),
            FRAME.replace("}}]}", "}}],\"error\":1}"),
            FRAME.replace("}}]}", "}}]} "),
            String::new(),
        ];
        for frame in others {
            assert_eq!(template.read(frame.as_bytes()), None, "{frame}");
        }
        assert_eq!(template.read(&FRAME.as_bytes()[..45]), None);
        assert_eq!(
            template.read(b"{\"id\":\"a\",\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}"),
            None
        );
        assert_eq!(Template::default().read(FRAME.as_bytes()), None);
    }

    #[test]
    fn padding_may_differ() {
        let frame = r#"{"c":"one","x":null,"obfuscation":"Zk3"}"#;
        let template = learnt(frame, "one");
        assert_eq!(
            template.read(frame.replace("Zk3", "").replace("one", "2").as_bytes()),
            Some((3, "2"))
        );
        assert_eq!(template.read(frame.replace("Zk3", "a\",\"error\":\"b").as_bytes()), None);
        assert_eq!(template.read(frame.replace("null", "1").as_bytes()), None);
    }

    #[test]
    fn a_text_that_lies_elsewhere_teaches_nothing() {
        let mut template = Template::default();
        template.learn(FRAME.as_bytes(), 0, "one");
        assert_eq!(template.read(FRAME.as_bytes()), None);
    }
}
