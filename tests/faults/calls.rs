//! One call of a mixed load: what is asked, how it is broken, and what the client saw of it.

use serde_json::{Value, json};

use crate::harness::Dice;
use crate::harness::client::{Client, Response};
use crate::harness::stage::{CHAT, chat, streamed};

/// A call to make.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) key: String,
    pub(crate) kind: Kind,
    body: Value,
    /// The client leaves after so many bytes of the answer.
    leave_after: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Stream,
    /// A stream whose client did not ask for usage.
    QuietStream,
    /// The client leaves at a random byte.
    Cancelled,
    /// The provider fails, whatever is tried.
    Failing,
    /// The provider fails once.
    Retried,
    /// The provider breaks off at a random byte.
    Broken,
    /// The provider reports no usage.
    Uncounted,
    /// The provider sends an error inside the stream.
    ErrorInside,
}

/// What the client saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) plan: Plan,
    /// Nothing where the client left, or the gateway died, before the head was whole.
    pub(crate) answer: Option<Response>,
}

const KINDS: [Kind; 12] = [
    Kind::Whole,
    Kind::Whole,
    Kind::Stream,
    Kind::Stream,
    Kind::QuietStream,
    Kind::Cancelled,
    Kind::Cancelled,
    Kind::Failing,
    Kind::Retried,
    Kind::Broken,
    Kind::Uncounted,
    Kind::ErrorInside,
];

impl Plan {
    pub(crate) fn roll(dice: &mut Dice, key: String) -> Self {
        let kind = KINDS[dice.below(KINDS.len() as u64) as usize];
        let tokens = 1 + dice.below(60);
        let pause = dice.below(2);
        let mut say = format!("say something @@key={key} tokens={tokens} pause={pause}");
        let mut leave_after = None;
        match kind {
            Kind::Whole | Kind::Stream | Kind::QuietStream => {
                say.push_str(&format!(" cached={} reasoning={}", dice.below(3), dice.below(4)));
            }
            Kind::Cancelled => leave_after = Some(dice.below(6_000) as usize),
            Kind::Failing => {
                let status = [400, 403, 500, 503][dice.below(4) as usize];
                say.push_str(&format!(" status={status}"));
            }
            Kind::Retried => say.push_str(" fail=1 status=503 retry-after-ms=5"),
            Kind::Broken => {
                let how = ["fin", "reset"][dice.below(2) as usize];
                say.push_str(&format!(" {how}={}", dice.below(4_000)));
            }
            Kind::Uncounted => say.push_str(" usage=missing"),
            Kind::ErrorInside => say.push_str(&format!(" error-after={}", dice.below(tokens))),
        }
        say.push_str("@@");
        let mut body = match kind {
            Kind::Whole => chat(&say),
            Kind::Failing | Kind::Retried | Kind::Broken | Kind::Uncounted
                if dice.below(2) == 0 =>
            {
                chat(&say)
            }
            _ => streamed(&say),
        };
        if kind == Kind::QuietStream {
            body.as_object_mut().unwrap().remove("stream_options");
        }
        body["max_tokens"] = json!(80);
        Plan { key, kind, body, leave_after }
    }

    /// Makes the call, tagged with its key; an answer that ends early is what it is.
    pub(crate) async fn run(self, client: &Client) -> Seen {
        let client = client.and_header("x-tollgate-tags", &format!("call={}", self.key));
        let body = self.body.to_string();
        let Ok(mut exchange) = client.open("POST", CHAT, body.as_bytes()).await else {
            return Seen { plan: self, answer: None };
        };
        if let Some(bytes) = self.leave_after {
            let _ = exchange.until(bytes).await;
            return Seen { plan: self, answer: exchange.so_far() };
        }
        Seen { plan: self, answer: exchange.finish().await.ok() }
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.body["stream"] == true
    }
}

impl Seen {
    pub(crate) fn id(&self) -> Option<&str> {
        self.answer.as_ref()?.header("x-request-id")
    }

    pub(crate) fn status(&self) -> Option<u16> {
        self.answer.as_ref().map(|answer| answer.status)
    }

    /// Output tokens that the client has: one for each delta with text.
    pub(crate) fn delivered(&self) -> u64 {
        let Some(answer) = &self.answer else { return 0 };
        let frames = answer.data().into_iter().filter_map(|data| {
            let frame: Value = serde_json::from_str(&data).ok()?;
            let text = frame["choices"][0]["delta"]["content"].as_str()?.to_owned();
            (!text.is_empty()).then_some(())
        });
        frames.count() as u64
    }
}
