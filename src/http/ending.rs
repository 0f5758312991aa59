//! What clients of a name are told that comes to its end.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tollgate_accounting::Timestamp;

use crate::routing::End;

/// `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a link to what takes its place (RFC 5829).
pub(super) fn headers(headers: &mut HeaderMap, end: &End) {
    let End { deprecated, sunset, successor } = end;
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    if let Some(at) = deprecated {
        put(HeaderName::from_static("deprecation"), format!("@{}", seconds(*at)));
    }
    if let Some(at) = sunset.and_then(|at| jiff::Timestamp::from_second(seconds(at)).ok()) {
        let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        put(HeaderName::from_static("sunset"), date);
    }
    if let Some(name) = successor {
        put(header::LINK, format!("</v1/models/{}>; rel=\"successor-version\"", escaped(name)));
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

/// A name as part of a path.
fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte);
    let piece = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_as_its_standard_says() {
        let at = |seconds: i64| Some(Timestamp::from_micros(seconds * 1_000_000));
        let end = End {
            deprecated: at(1_688_169_599),
            sunset: at(784_111_777),
            successor: Some("new<er".to_owned()),
        };
        let mut told = HeaderMap::new();
        headers(&mut told, &end);
        assert_eq!(told["deprecation"], "@1688169599");
        assert_eq!(told["sunset"], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(told["link"], "</v1/models/new%3Cer>; rel=\"successor-version\"");
    }
}
