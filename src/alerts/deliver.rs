//! Deliveries after the Standard Webhooks convention: an id that stays, the time of the attempt, and an
//! HMAC-SHA256 over both and the body. What is not taken is sent again, later and later.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use ring::hmac;
use tollgate_accounting::{SECOND, Timestamp};

use super::Alerts;
use crate::clock;
use crate::ledger::{Delivery, Message};
use crate::upstream::{PostError, Poster};

/// Seconds until the next attempt, by how many there were: three days in all.
const WAITS: [i64; 9] = [5, 30, 120, 600, 3_600, 10_800, 21_600, 86_400, 130_000];
/// What a secret begins with, and how many bytes it has; both as the convention says.
const PREFIX: &str = "whsec_";
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Who is told, and the key that messages are signed with.
pub struct Hook {
    url: Uri,
    key: hmac::Key,
}

/// A secret that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook's secret is {PREFIX} and the base64 of 24 to 64 bytes")]
pub struct BadSecret;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotDelivered {
    /// There was no answer.
    #[error(transparent)]
    Unanswered(#[from] PostError),
    /// The answer was not one of success.
    #[error("the answer was {0}")]
    Refused(StatusCode),
}

impl Hook {
    /// Posts to `url`, signed with `secret`.
    ///
    /// # Errors
    /// Where the secret is not written as it must be.
    pub fn new(url: Uri, secret: &str) -> Result<Hook, BadSecret> {
        let encoded = secret.strip_prefix(PREFIX).ok_or(BadSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
        if !BYTES.contains(&bytes.len()) {
            return Err(BadSecret);
        }
        Ok(Hook { url, key: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    /// Sends one message and waits for it to be taken.
    ///
    /// # Errors
    /// Where it was not, as far as can be told.
    pub fn send(&self, poster: &Poster, id: &str, body: &str) -> Result<(), NotDelivered> {
        let seconds = clock::now().micros().div_euclid(SECOND);
        let mut headers = HeaderMap::new();
        let signature = self.signature(id, seconds, body);
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", &seconds.to_string()),
            ("webhook-signature", &signature),
        ] {
            let value =
                HeaderValue::from_str(value).map_err(http::Error::from).map_err(PostError::from)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let status = poster.post(&self.url, headers, body.to_owned().into())?;
        if status.is_success() { Ok(()) } else { Err(NotDelivered::Refused(status)) }
    }

    fn signature(&self, id: &str, seconds: i64, body: &str) -> String {
        let signed = hmac::sign(&self.key, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(signed.as_ref()))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({})", self.url)
    }
}

impl Alerts {
    /// Sends messages in turn, up to the first that is not taken: the receiver is not well then.
    pub(super) fn deliver(&self, hook: &Hook, due: &[Message]) {
        for message in due {
            let Message { id, kind, body, attempts, .. } = message;
            let sent = hook.send(&self.poster, id, body);
            if let Err(NotDelivered::Unanswered(PostError::Stopped)) = sent {
                return;
            }
            let now = clock::now();
            let (delivery, taken) = match sent {
                Ok(()) => (Delivery::Done, true),
                Err(why) => {
                    let next = next(*attempts, now);
                    tracing::warn!(id, kind, %why, again = next.is_some(), "an alert was not taken");
                    (Delivery::Failed(why.to_string(), next), false)
                }
            };
            // An attempt that cannot be written down is made again, with the same id.
            if self.ledger.told(id, now, delivery).is_err() || !taken {
                return;
            }
        }
    }
}

/// When a message is tried again after so many attempts before the one that failed now.
fn next(attempts: u32, now: Timestamp) -> Option<Timestamp> {
    let wait = WAITS.get(usize::try_from(attempts).unwrap_or(usize::MAX))?;
    Some(now.saturating_plus(wait * SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(secret: &str) -> Result<Hook, BadSecret> {
        Hook::new(Uri::from_static("http://127.0.0.1:1/"), secret)
    }

    #[test]
    fn a_signature_is_the_conventions() {
        // Of the convention's own libraries.
        let hook = hook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signature = hook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_and_written_as_one() {
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_?"] {
            assert_eq!(hook(bad).unwrap_err(), BadSecret, "{bad}");
        }
    }

    #[test]
    fn attempts_are_further_and_further_apart_and_end() {
        let now = Timestamp::from_micros(0);
        let times: Vec<_> = (0..).map_while(|attempts| next(attempts, now)).collect();
        assert!(times.is_sorted() && times.len() == WAITS.len());
    }
}
