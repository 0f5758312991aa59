//! Borrowed strings and numbers of a JSON body.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A string of a body: borrowed from it where the JSON holds no escape, owned where it does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// The text as a string slice.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as a `String`, copied only where it was borrowed.
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }

    /// Whether the text still points into the body it came from.
    pub fn is_borrowed(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(s: &'a str) -> Self {
        Text(Cow::Borrowed(s))
    }
}

impl From<String> for Text<'_> {
    fn from(s: String) -> Self {
        Text(Cow::Owned(s))
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(s: Cow<'a, str>) -> Self {
        Text(s)
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

/// serde borrows for `&str` and `Cow` fields only where told to; this visitor always does when it can.
impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;
        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
            fn visit_string<E: de::Error>(self, v: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v)))
            }
        }
        deserializer.deserialize_str(Borrowing)
    }
}

/// A number kept as the characters the client wrote, so that it is carried without rounding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number<'a>(&'a str);

impl<'a> Number<'a> {
    /// Takes JSON text that must be a number within what an IEEE double can hold.
    pub fn parse(json: &'a str) -> Option<Self> {
        let first = *json.as_bytes().first()?;
        let looks = first == b'-' || first.is_ascii_digit();
        // The parse only proves that the value is finite; what is carried are the characters.
        (looks && json.parse::<f64>().is_ok_and(f64::is_finite)).then_some(Number(json))
    }

    /// The number as written.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_borrows_unless_escaped() {
        let plain: Text<'_> = serde_json::from_str(r#""plain""#).unwrap();
        assert!(plain.is_borrowed());
        let escaped: Text<'_> = serde_json::from_str(r#""a\nb""#).unwrap();
        assert!(!escaped.is_borrowed());
        assert_eq!(escaped, "a\nb");
    }

    #[test]
    fn numbers_must_be_finite() {
        assert!(Number::parse("0.70").is_some_and(|n| n.as_str() == "0.70"));
        for bad in ["1e400", "NaN", "inf", "\"1\"", "true", ""] {
            assert!(Number::parse(bad).is_none(), "{bad}");
        }
    }
}
