//! AWS's Signature Version 4: a request shows that its sender has a secret key without showing the key.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv4.html>

use ring::{digest, hmac};
use tollgate_accounting::Timestamp;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// An access key, and where its signatures are valid.
pub struct SigningKey {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    region: String,
    service: &'static str,
}

/// What is signed.
pub(super) struct Unsigned<'r> {
    pub(super) method: &'r str,
    /// The path as it is sent, percent-encoded.
    pub(super) path: &'r str,
    /// The query as it is sent, its parameters in the order of their names; empty where there is none.
    pub(super) query: &'r str,
    /// `host`, `content-type` and the like: lower-case names, in their order.
    pub(super) headers: &'r [(&'static str, &'r str)],
    pub(super) body: &'r [u8],
    pub(super) at: Timestamp,
}

impl SigningKey {
    /// The key whose signatures are for `service` in `region`.
    pub fn new(
        access_key_id: &str,
        secret_access_key: &str,
        session_token: Option<&str>,
        region: &str,
        service: &'static str,
    ) -> SigningKey {
        SigningKey {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            session_token: session_token.map(str::to_owned),
            region: region.to_owned(),
            service,
        }
    }

    /// The headers that make the request a signed one.
    pub(super) fn sign(&self, request: &Unsigned<'_>) -> Vec<(&'static str, String)> {
        let moment = moment(request.at);
        let day = moment.get(..8).unwrap_or_default();
        let mut headers: Vec<(&str, &str)> = request.headers.to_vec();
        headers.push(("x-amz-date", &moment));
        if let Some(token) = &self.session_token {
            headers.push(("x-amz-security-token", token));
        }
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let canonical = canonical(request, &headers, &names);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        let to_sign = format!("{ALGORITHM}\n{moment}\n{scope}\n{hash}");
        let signature = hex(hmac::sign(&self.of_day(day), to_sign.as_bytes()).as_ref());
        let id = &self.access_key_id;
        let shown = format!(
            "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
        );
        let token = self.session_token.clone().map(|token| ("x-amz-security-token", token));
        [("authorization", shown), ("x-amz-date", moment)].into_iter().chain(token).collect()
    }

    /// The key of one day, region and service.
    fn of_day(&self, day: &str) -> hmac::Key {
        let first = format!("AWS4{}", self.secret_access_key);
        let first = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
        [day, &self.region, self.service, "aws4_request"].iter().fold(first, |key, part| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
        })
    }
}

/// A key is never shown.
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}/{})", self.region, self.service)
    }
}

fn canonical(request: &Unsigned<'_>, headers: &[(&str, &str)], names: &str) -> String {
    let mut out = format!("{}\n{}\n{}\n", request.method, twice(request.path), request.query);
    for (name, value) in headers {
        out.push_str(&format!("{name}:{}\n", value.trim()));
    }
    let hash = hex(digest::digest(&digest::SHA256, request.body).as_ref());
    out.push_str(&format!("\n{names}\n{hash}"));
    out
}

/// The path encoded once more, slashes left alone, as every service but S3 has it.
fn twice(path: &str) -> String {
    path.replace('%', "%25")
}

/// As in `20150830T123600Z`.
fn moment(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    /// 2015-08-30 12:36:00 UTC.
    const AT: Timestamp = Timestamp::from_micros(1_440_938_160_000_000);
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    fn signed(request: &Unsigned<'_>, token: Option<&str>) -> Vec<(&'static str, String)> {
        SigningKey::new(ID, SECRET, token, "us-east-1", "service").sign(request)
    }

    /// AWS's published test suite: get-vanilla, post-vanilla, get-vanilla-query-order-key-case,
    /// post-x-www-form-urlencoded, post-sts-header-before.
    #[test]
    fn signatures_are_those_of_the_published_suite() {
        let bare = |method, query| Unsigned {
            method,
            path: "/",
            query,
            headers: &[HOST],
            body: b"",
            at: AT,
        };
        let form = Unsigned {
            headers: &[("content-type", "application/x-www-form-urlencoded"), HOST],
            body: b"Param1=value1",
            ..bare("POST", "")
        };
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        let posted = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        let queried = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        let formed = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        let temporary = "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";
        let cases = [
            (bare("GET", ""), None, vanilla),
            (bare("POST", ""), None, posted),
            (bare("GET", "Param1=value1&Param2=value2"), None, queried),
            (form, None, formed),
            (bare("POST", ""), Some(TOKEN), temporary),
        ];
        for (request, token, signature) in cases {
            let headers = signed(&request, token);
            let (_, shown) = &headers[0];
            assert!(shown.ends_with(&format!("Signature={signature}")), "{shown}");
            let scope =
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            assert!(shown.starts_with(scope), "{shown}");
            assert_eq!(headers[1], ("x-amz-date", "20150830T123600Z".to_owned()));
            assert_eq!(headers.get(2).map(|(_, token)| token.as_str()), token);
        }
    }

    #[test]
    fn an_encoded_path_is_encoded_once_more() {
        assert_eq!(twice("/model/a.b-v1%3A0/converse"), "/model/a.b-v1%253A0/converse");
    }

    #[test]
    fn a_key_is_not_shown_when_debugged() {
        let key = SigningKey::new(ID, SECRET, Some(TOKEN), "us-east-1", "bedrock");
        assert_eq!(format!("{key:?}"), "SigningKey(us-east-1/bedrock)");
    }
}
