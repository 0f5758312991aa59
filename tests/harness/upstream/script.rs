//! What a request may ask of the provider, and the reply as steps that a connection plays.

use std::time::Duration;

use super::openai::Usage;

/// A directive found in a request: `@@tokens=20 pause=5 reset=900 key=a7@@`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Output tokens of each choice, before the request's own cap.
    pub(super) tokens: u64,
    /// Milliseconds before the first byte, and between the frames of a stream.
    pub(super) before: u64,
    pub(super) pause: u64,
    /// Anything but 200 is an error reply; with `fail=N` only for the key's first N requests.
    pub(super) status: u16,
    pub(super) fail: u64,
    pub(super) key: String,
    /// `Retry-After` of an error, in seconds, and `retry-after-ms`.
    pub(super) retry_after: Option<String>,
    pub(super) retry_after_ms: Option<String>,
    /// Bytes of the reply (head and framing included) after which the connection is reset, closed
    /// or left hanging.
    reset: Option<usize>,
    fin: Option<usize>,
    hang: Option<usize>,
    /// missing, null, twice, huge, negative, decreasing; empty: as it should be.
    pub(super) usage: String,
    /// Prompt tokens to report instead of the count of words, and the part that was cached.
    pub(super) prompt: Option<u64>,
    pub(super) cached: u64,
    pub(super) reasoning: u64,
    /// False leaves out `[DONE]` (or `message_stop`); `finish=no` the finish reason before it too.
    pub(super) done: bool,
    pub(super) finish: bool,
    /// After how many tokens an error comes inside the 200.
    pub(super) error_after: Option<u64>,
    /// A refusal instead of content.
    pub(super) refuse: bool,
    /// The service tier the reply names.
    pub(super) tier: String,
    /// What the usage says the reply cost, in dollars.
    pub(super) cost: String,
    /// A line without an end, of so many bytes, after the first tokens.
    pub(super) flood: usize,
}

/// One thing a connection does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A piece of the body, the output tokens in it and the usage that it reports in full.
    Send(Vec<u8>, u64, Option<Usage>),
    Pause(Duration),
    /// These bytes over and over, without end of line, until so many are sent.
    Flood(usize),
}

/// Where a reply is broken off, in bytes from the start of its head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Reset(usize),
    Fin(usize),
    Hang(usize),
}

/// A reply: head, body and where it breaks.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// A whole body goes out with its length, a stream in chunks.
    pub(super) streamed: bool,
    pub(super) steps: Vec<Step>,
    pub(super) before: Duration,
    pub(super) cut: Option<Cut>,
}

impl Script {
    /// The directive in these bytes, or the defaults.
    pub(super) fn find(body: &[u8]) -> Self {
        let mut script =
            Script { tokens: 8, status: 200, done: true, finish: true, ..Script::default() };
        let text = String::from_utf8_lossy(body);
        let Some(directive) = text.split("@@").nth(1) else { return script };
        for word in directive.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            script.set(name, value);
        }
        script
    }

    fn set(&mut self, name: &str, value: &str) {
        let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{name}={value}"));
        match name {
            "tokens" => self.tokens = number(),
            "before" => self.before = number(),
            "pause" => self.pause = number(),
            "status" => self.status = u16::try_from(number()).unwrap(),
            "fail" => self.fail = number(),
            "key" => value.clone_into(&mut self.key),
            "retry-after" => self.retry_after = Some(value.to_owned()),
            "retry-after-ms" => self.retry_after_ms = Some(value.to_owned()),
            "reset" => self.reset = Some(number() as usize),
            "fin" => self.fin = Some(number() as usize),
            "hang" => self.hang = Some(number() as usize),
            "usage" => value.clone_into(&mut self.usage),
            "prompt" => self.prompt = Some(number()),
            "cached" => self.cached = number(),
            "reasoning" => self.reasoning = number(),
            "done" => self.done = value != "no",
            "finish" => self.finish = value != "no",
            "error-after" => self.error_after = Some(number()),
            "refuse" => self.refuse = true,
            "tier" => value.clone_into(&mut self.tier),
            "cost" => value.clone_into(&mut self.cost),
            "flood" => self.flood = number() as usize,
            _ => panic!("no such directive: {name}"),
        }
    }

    /// Adds the delay and the break that the directive asks for.
    pub(super) fn spoil(&self, mut reply: Reply) -> Reply {
        reply.before = Duration::from_millis(self.before);
        reply.cut = match (self.reset, self.fin, self.hang) {
            (Some(at), _, _) => Some(Cut::Reset(at)),
            (_, Some(at), _) => Some(Cut::Fin(at)),
            (_, _, Some(at)) => Some(Cut::Hang(at)),
            (None, None, None) => None,
        };
        reply
    }
}

impl Reply {
    /// A body sent at once with its length.
    pub(crate) fn whole(status: u16, body: &str) -> Self {
        Reply {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            streamed: false,
            steps: vec![Step::Send(body.as_bytes().to_vec(), 0, None)],
            before: Duration::ZERO,
            cut: None,
        }
    }

    /// An event stream, one chunk a step.
    pub(crate) fn stream(steps: Vec<Step>) -> Self {
        Reply {
            status: 200,
            headers: vec![("content-type".into(), "text/event-stream".into())],
            streamed: true,
            steps,
            before: Duration::ZERO,
            cut: None,
        }
    }

    /// An event stream of these `data:` payloads.
    pub(crate) fn frames(payloads: &[&str]) -> Self {
        let send = |payload: &&str| Step::text(&format!("data: {payload}\n\n"));
        Reply::stream(payloads.iter().map(send).collect())
    }

    /// The request is taken, and the connection closed without an answer.
    pub(crate) fn none() -> Self {
        Reply { cut: Some(Cut::Fin(0)), ..Reply::whole(200, "{}") }
    }

    /// Stands still after so many bytes of its head and body, until the other side closes.
    pub(crate) fn hanging_at(mut self, at: usize) -> Self {
        self.cut = Some(Cut::Hang(at));
        self
    }

    /// Nothing of it is sent before so long.
    pub(crate) fn after(mut self, before: Duration) -> Self {
        self.before = before;
        self
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Step {
    pub(crate) fn text(text: &str) -> Self {
        Step::Send(text.as_bytes().to_vec(), 0, None)
    }
}
