//! What a provider is: encode, decode, classify.

use bytes::Bytes;
use tollgate_accounting::Timestamp;

use super::chat::ChatRequest;
use super::embeddings::{EmbeddingsReply, EmbeddingsRequest};
use super::error::{BadRequest, Failure, ProviderError};
use super::event::Frame;
use super::media::{Answer, MediaReply, MediaRequest};
use super::reply::Reply;
use super::task::TaskRequest;
use super::usage::UsageReport;
use crate::dialect::Dialect;

/// Looks up a response header by its lower-case name.
pub type HeaderLookup<'h> = dyn Fn(&str) -> Option<String> + 'h;

/// Where a request goes: one row of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Target<'t> {
    /// The model as the provider names it.
    pub model: &'t str,
    /// The cap on output tokens of each choice to be in force; `None` leaves the client's own.
    pub max_output_tokens: Option<u64>,
    /// Whether to ask the provider for a stream.
    pub stream: bool,
}

/// A request in a provider's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The HTTP method.
    pub method: &'static str,
    /// The path behind the provider's base URL, with its query.
    pub path: String,
    /// Headers besides the credential.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The fields of the request that this provider has no place for, by a written rule. To be told
    /// to the client in a header.
    pub dropped: Vec<String>,
}

impl Encoded {
    /// Asks for a service tier in a request of OpenAI's wire that says nothing of one, and says whether
    /// it does.
    pub fn ask_tier(&mut self, tier: &str) -> bool {
        const FIELD: &[u8] = b"\"service_tier\":\"";
        // It may stand there as null, and the last of two would count.
        let named = &FIELD[..FIELD.len() - 2];
        if self.body.windows(named.len()).any(|window| window == named) {
            return false;
        }
        let Some(open) = self.body.iter().position(|byte| *byte == b'{') else { return false };
        let rest = self.body.get(open + 1..).unwrap_or_default().trim_ascii_start();
        let end: &[u8] = if rest.starts_with(b"}") { b"\"" } else { b"\"," };
        let field = [FIELD, tier.as_bytes(), end].concat();
        self.body.splice(open + 1..open + 1, field);
        true
    }
}

/// How a provider takes its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// A header of its own.
    Header(&'static str),
    /// None: the provider is in this process.
    None,
}

/// What a provider can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Chat completions.
    Chat,
    /// Embeddings.
    Embeddings,
    /// Judging texts.
    Moderations,
    /// Putting documents in order.
    Rerank,
    /// Drawing pictures.
    Images,
    /// Reading aloud.
    Speech,
    /// Writing down what is said.
    Transcriptions,
    /// To process a call in a service tier of the client's choice.
    ServiceTiers,
}

/// A provider: pure translation between the hub's words and its own.
pub trait Provider: Send + Sync {
    /// The provider's kind, as a configuration names it.
    fn name(&self) -> &'static str;

    /// The dialect of its chat wire. A client of the same dialect gets the very bytes.
    fn dialect(&self) -> Dialect;

    /// The address its paths are appended to, where it has one of its own.
    fn base_url(&self) -> Option<&'static str>;

    /// How it takes its credential.
    fn auth(&self) -> Auth;

    /// The name of its service at AWS, where requests may be signed with an AWS access key instead.
    fn aws_service(&self) -> Option<&'static str> {
        None
    }

    /// Whether it can be asked that at all.
    fn can(&self, what: Capability) -> bool;

    /// Whether it makes batches of files as OpenAI does; see [`crate::batches`].
    fn has_batches(&self) -> bool {
        false
    }

    /// Writes a chat request.
    fn encode_chat(&self, req: &ChatRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest>;

    /// Writes a request for embeddings.
    fn encode_embeddings(
        &self,
        req: &EmbeddingsRequest<'_>,
        to: &Target<'_>,
    ) -> Result<Encoded, BadRequest>;

    /// Reads a whole chat reply that came with a 2xx status.
    fn decode_reply<'b>(&self, body: &'b [u8]) -> Result<Reply<'b>, ProviderError>;

    /// Reads a reply to a request for embeddings that came with a 2xx status.
    fn decode_embeddings<'b>(&self, body: &'b [u8]) -> Result<EmbeddingsReply<'b>, ProviderError>;

    /// The dialect of its embeddings. A client of the same one gets the very bytes.
    fn embeddings_dialect(&self) -> Dialect {
        Dialect::OpenAiEmbeddings
    }

    /// Writes a request that is answered without writing.
    fn encode_task(&self, req: &TaskRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        Ok(crate::task::encode(req, to))
    }

    /// Reads what a 2xx reply to such a request used.
    fn decode_task(&self, body: &[u8]) -> Result<UsageReport, ProviderError> {
        crate::task::decode(body)
    }

    /// Writes a request whose answer is not text.
    fn encode_media(&self, req: &MediaRequest<'_>, to: &Target<'_>) -> Result<Encoded, BadRequest> {
        crate::media::encode(req, to, false)
    }

    /// Reads a 2xx reply to such a request.
    fn decode_media(&self, answer: Answer, body: &[u8]) -> Result<MediaReply, ProviderError> {
        crate::media::decode(answer, body)
    }

    /// Reads a streamed chat reply. No frame larger than `frame_cap` bytes is accepted.
    fn decoder(&self, frame_cap: usize) -> Box<dyn StreamDecoder>;

    /// Says what a response that is no success means, and what to do about it.
    fn classify(
        &self,
        status: u16,
        headers: &HeaderLookup<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Failure;
}

/// Reads a stream in whatever pieces it arrives.
pub trait StreamDecoder: Send {
    /// Takes the next piece. Call [`StreamDecoder::next`] until it gives nothing, then push again.
    fn push(&mut self, chunk: Bytes);

    /// Says that no piece follows. What is pending is still given by `next`, which then fails with
    /// [`crate::ErrorKind::Truncated`] unless the stream had come to its end.
    fn finish(&mut self);

    /// The next whole frame; nothing where more bytes are needed or, after `finish`, all is read.
    /// After an error it gives nothing more.
    fn next(&mut self) -> Result<Option<Frame<'_>>, ProviderError>;

    /// What the provider reported so far, merged.
    fn usage(&self) -> &UsageReport;

    /// Whether the stream came to its proper end.
    fn ended(&self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_is_asked_for_where_the_request_says_nothing_of_one() {
        let cases = [
            ("{}", r#"{"service_tier":"flex"}"#),
            (r#" { "model":"m"}"#, r#" {"service_tier":"flex", "model":"m"}"#),
            (r#"{"model":"m","service_tier":null}"#, r#"{"model":"m","service_tier":null}"#),
            ("[]", "[]"),
        ];
        for (body, expected) in cases {
            let (path, headers, dropped) = (String::new(), Vec::new(), Vec::new());
            let body = body.as_bytes().to_vec();
            let mut encoded = Encoded { method: "POST", path, headers, body, dropped };
            let before = encoded.clone();
            assert_eq!(encoded.ask_tier("flex"), encoded != before);
            assert_eq!(String::from_utf8_lossy(&encoded.body), expected);
        }
    }
}
