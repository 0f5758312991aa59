//! Answers from the cache: which calls may have one, what one comes to in the ledger, and how a reply
//! gets there. An answer given again counts one request and costs nothing; its row says what it spared.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tollgate_accounting::{Amounts, Money, PriceCard, Provenance};
use tollgate_providers::{Dialect, FinishReason};

use super::admit::{self, Ask};
use super::repeat::{Booked, First};
use super::{
    Answered, CallError, Inbound, JSON, Operation, Origin, Reply, Runtime, Served, Services,
};
use crate::cache::{self, Answer, Asked, Cache, Content, Fingerprint, Form, Kept, Scope};
use crate::clock;
use crate::ledger::{Attempt, Counted, OpenHold, Outcome, Refused, Settled};
use crate::prompts::Keep;
use crate::routing::{Route, Target};
use crate::tenants::Caller;

/// What a client asks of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// An answer from it, if there is one; else the call is made and its reply kept.
    #[default]
    Allowed,
    /// Nothing: the call is made, and its reply is not kept.
    NoStore,
    /// The call is made, and its reply replaces what is kept.
    Refresh,
    /// An answer from it or none.
    Only,
}

/// How a call stood to the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cached {
    /// The answer is from it.
    Hit {
        /// Whole seconds since it was made.
        age: i64,
        /// Whole seconds for which it will be given.
        left: i64,
        /// Its entity tag.
        tag: String,
        /// What the account was charged for it the first time.
        saved: Money,
    },
    /// It is the answer of an identical call that was in flight.
    Joined {
        /// What that was charged, where it is over.
        saved: Option<Money>,
    },
    /// There was none yet.
    Miss,
    /// The call cannot be answered from it, or its client did not want that.
    Bypass,
}

impl Cached {
    /// What the call would have cost, as far as that is known.
    pub fn saved(&self) -> Option<Money> {
        match self {
            Cached::Hit { saved, .. } => Some(*saved),
            Cached::Joined { saved } => *saved,
            Cached::Miss | Cached::Bypass => None,
        }
    }
}

/// Where a call's answer comes from.
pub(super) enum Seat {
    /// It is kept.
    Kept(Arc<Kept>),
    /// The call is to be made; its reply may be kept.
    Make(Option<Fill>, Option<Cached>),
}

/// Looks a call up.
pub(super) async fn look(
    runtime: &Runtime,
    services: &Services,
    caller: &Caller,
    inbound: &Inbound,
    operation: &Operation<'_>,
    route: &Route,
    cap: u64,
) -> Result<Seat, CallError> {
    let wish = inbound.cache_use();
    let make = |fill, cached| match wish {
        CacheUse::Only => Err(CallError::NotCached),
        _ => Ok(Seat::Make(fill, cached)),
    };
    let Some(cache) = services.cache.get() else { return make(None, None) };
    let asked = match operation {
        Operation::Chat(request) => Asked::Chat(request),
        Operation::Embeddings(request) => Asked::Embeddings(request),
        // Nothing is kept of what is not written: it is cheap, and its models change behind their names.
        // A picture is drawn anew each time.
        Operation::Task(_) | Operation::Media(_) => return make(None, Some(Cached::Bypass)),
    };
    let prompt = inbound.prompt.as_ref();
    let read = prompt.map_or(operation.dialect(), |prompt| prompt.dialect);
    let given_again = is_given_again(operation.dialect()) && is_given_again(read);
    let keep = prompt.and_then(|prompt| prompt.keep);
    let off = wish == CacheUse::NoStore || keep == Some(Keep::Off);
    if off || !given_again || !cache::is_deterministic(asked) {
        return make(None, Some(Cached::Bypass));
    }
    let site = |target: &'_ Target| runtime.providers.get(target.provider);
    let policy = cache.policy();
    let Some(keep_for) = policy.keep_for(&caller.account, &caller.key, operation.model()) else {
        return make(None, Some(Cached::Bypass));
    };
    let keep_for = match keep {
        Some(Keep::For(most)) => keep_for.min(most),
        Some(Keep::Off | Keep::Refresh) | None => keep_for,
    };
    let targets = route.targets.iter().map(|target| {
        (
            &*target.provider_name,
            site(target).map_or("", |site| site.endpoint.address()),
            &*target.model,
        )
    });
    let targets: Vec<_> = targets.collect();
    let required = inbound.required(caller);
    let scope = Scope {
        owner: policy.owner(&caller.account),
        dialect: read,
        prompt: prompt.map(|prompt| &*prompt.tag),
        targets: &targets,
        require: &required,
        cap,
        headers: &inbound.dialect_headers,
    };
    let key = cache::fingerprint(&scope, asked);
    let form = match operation {
        Operation::Chat(request) if request.stream => Form::Stream { usage: request.include_usage },
        Operation::Chat(_)
        | Operation::Embeddings(_)
        | Operation::Task(_)
        | Operation::Media(_) => Form::Whole,
    };
    if wish != CacheUse::Refresh {
        let kept = match cache.get(&key, form, keep_for) {
            None => fetch(&cache, key, read, form, keep_for).await,
            kept => kept,
        };
        if let Some(answer) = kept {
            return Ok(Seat::Kept(answer));
        }
    }
    make(Some(Fill { cache, key, keep_for, dialect: read, form }), Some(Cached::Miss))
}

/// What the cache's file has, read where it holds up nobody else.
async fn fetch(
    cache: &Arc<Cache>,
    key: Fingerprint,
    dialect: Dialect,
    form: Form,
    keep_for: Duration,
) -> Option<Arc<Kept>> {
    cache.disk()?;
    let cache = cache.clone();
    let fetch = move || cache.fetch(&key, dialect, form, keep_for);
    tokio::task::spawn_blocking(fetch).await.ok().flatten()
}

/// Whether replies to that dialect's requests may be given again; a new dialect has to be placed here.
fn is_given_again(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenAiChat
        | Dialect::OpenAiCompletions
        | Dialect::OpenAiEmbeddings
        | Dialect::GeminiEmbedContent
        | Dialect::GeminiBatchEmbedContents
        | Dialect::AnthropicMessages => true,
        // A response is kept by its provider under an id, which makes it one call's own.
        Dialect::OpenAiResponses
        // Its requests have not been read for what may act or change behind a name.
        | Dialect::GeminiGenerateContent
        // They ask for no chat and no vectors, and are not kept at all.
        | Dialect::OpenAiModerations
        | Dialect::OpenAiImages
        | Dialect::OpenAiEdits
        | Dialect::OpenAiSpeech
        | Dialect::OpenAiTranscriptions
        | Dialect::OpenAiTranslations
        | Dialect::Rerank
        // No client speaks these.
        | Dialect::CohereChat
        | Dialect::CohereEmbed
        | Dialect::BedrockConverse
        | Dialect::BedrockInvoke
        | Dialect::VertexPredict => false,
    }
}

/// Where a reply that is given to another call was made, and at what price.
pub(super) struct Made<'a> {
    pub(super) provider: &'a Arc<str>,
    pub(super) model: &'a Arc<str>,
    pub(super) card: &'a Arc<PriceCard>,
}

/// Holds what a call that is not made comes to: one request, no tokens, no money.
pub(super) async fn hold(
    services: &Services,
    ask: &Ask<'_, '_>,
    made: Made<'_>,
    saved: Money,
) -> Result<OpenHold, Refused> {
    let Made { provider, model, card } = made;
    // Nothing is sent, so nothing is counted; a crash between hold and row finds a call of no tokens.
    let input = Counted { tokens: 0, provenance: Provenance::Tokenized };
    let amounts = Amounts { requests: 1, input_tokens: 0, output_tokens: 0, cost: Money::ZERO };
    let hold = || {
        let mut first = Attempt::new(provider.clone(), model.clone(), card.clone(), input, true);
        first.saved = Some(saved);
        admit::take(&services.ledger, ask, first, amounts)
    };
    services.queues.admit(hold).await
}

/// An answer that was not made for the call that gets it.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// It was kept.
    Kept(&'a Kept),
    /// It was made for a call that this one had joined.
    Joined(&'a Answer),
}

/// Gives an answer again that is kept, or was made for a call that this one had joined: one request
/// against the limits, one row, nothing owed.
pub(super) async fn give(
    services: &Services,
    ask: &Ask<'_, '_>,
    first: Option<First>,
    given: Given<'_>,
) -> Result<Served, CallError> {
    let (answer, outcome) = match given {
        Given::Kept(kept) => (&kept.answer, Outcome::Cached),
        Given::Joined(answer) => (answer, Outcome::Joined),
    };
    let Answer { provider, model, card, max_output_tokens, charged, made_at, .. } = answer;
    let hold = hold(services, ask, Made { provider, model, card }, *charged).await?;
    let booked = ask.keyed.zip(first).map(|(k, first)| Booked::new(&services.ledger, k, first));
    let durable = hold.durable();
    let settled = hold.settle(outcome);
    durable.await?;
    if let Some(booked) = booked {
        // What is kept may be forgotten or replaced; the key's answer stays.
        let (kind, body) = answer.content.joined();
        booked.answered(kind, body);
    }
    let cached = match given {
        Given::Kept(kept) => {
            let age = clock::now().micros().saturating_sub(made_at.micros()).max(0) / 1_000_000;
            let keep_for = i64::try_from(answer.keep_for.as_secs()).unwrap_or(i64::MAX);
            let left = keep_for.saturating_sub(age).max(0);
            Cached::Hit { age, left, tag: kept.tag.clone(), saved: *charged }
        }
        Given::Joined(_) => Cached::Joined { saved: Some(*charged) },
    };
    let from = Origin {
        deferred: None,
        provider: provider.clone(),
        model: model.clone(),
        attempts: 0,
        max_output_tokens: *max_output_tokens,
        dropped: Vec::new(),
        cached: Some(cached),
        end: ask.route.end.clone(),
    };
    let reply = match &answer.content {
        Content::Whole(body) => Reply::Whole { body: body.clone(), kind: JSON, settled },
        Content::Stream(pieces) => Reply::Again { pieces: pieces.clone(), settled },
    };
    Ok(Served::Made(Answered { from, reply }))
}

/// Where a reply is to be kept.
pub(super) struct Fill {
    cache: Arc<Cache>,
    key: Fingerprint,
    keep_for: Duration,
    /// That the client reads.
    dialect: Dialect,
    form: Form,
}

impl Fill {
    /// What makes two calls in flight the same.
    pub(super) fn key(&self) -> (Fingerprint, Form) {
        (self.key, self.form)
    }

    /// The answer, where it has come to be kept meanwhile.
    pub(super) fn kept(&self) -> Option<Arc<Kept>> {
        self.cache.get(&self.key, self.form, self.keep_for)
    }

    /// The reply comes from there.
    pub(super) fn from(
        self,
        caller: &Caller,
        inbound: &Inbound,
        operation: &Operation<'_>,
        from: &Origin,
        card: Arc<PriceCard>,
    ) -> Filling {
        let answer = Answer {
            account: caller.account.clone(),
            prompt: inbound.prompt.as_ref().map(|prompt| prompt.tag.clone()),
            asked_model: operation.model().into(),
            provider: from.provider.clone(),
            model: from.model.clone(),
            card,
            max_output_tokens: from.max_output_tokens,
            charged: Money::ZERO,
            made_at: clock::now(),
            keep_for: self.keep_for,
            dialect: self.dialect,
            form: self.form,
            content: Content::Whole(Bytes::new()),
        };
        Filling { fill: self, answer, pieces: Some(Vec::new()), bytes: 0 }
    }
}

/// A reply on its way, of which a copy is kept. Dropped before its end, nothing is.
pub(super) struct Filling {
    fill: Fill,
    answer: Answer,
    /// Of a stream, while it is not too large.
    pieces: Option<Vec<Bytes>>,
    bytes: usize,
}

impl Filling {
    /// A piece of a stream, as the client gets it.
    pub(super) fn piece(&mut self, piece: &Bytes) {
        self.bytes = self.bytes.saturating_add(piece.len());
        if !self.fill.cache.fits(self.bytes) {
            self.pieces = None;
        }
        if let Some(pieces) = &mut self.pieces {
            // A copy of its own size: the piece may be a small part of a large buffer.
            pieces.push(Bytes::copy_from_slice(piece));
        }
    }

    /// The stream came to its end, with these last bytes.
    pub(super) fn end(mut self, last: &[u8], settled: &Settled) {
        self.piece(&Bytes::copy_from_slice(last));
        if let Some(pieces) = self.pieces.take() {
            self.keep(Content::Stream(pieces), settled);
        }
    }

    /// The reply is whole.
    pub(super) fn whole(self, body: &Bytes, settled: &Settled) {
        self.keep(Content::Whole(body.clone()), settled);
    }

    /// The answer that the reply is for other calls, kept or not.
    pub(super) fn answer(&self) -> Answer {
        self.answer.clone()
    }

    fn keep(self, content: Content, settled: &Settled) {
        let Filling { fill: Fill { cache, key, .. }, answer, .. } = self;
        cache.keep(key, Answer { charged: settled.charged, content, ..answer });
    }
}

/// Whether a reply that ended so was withheld or put off, and must not be given again.
pub(super) fn is_withheld(reason: &FinishReason<'_>) -> bool {
    matches!(reason, FinishReason::ContentFilter | FinishReason::Refusal | FinishReason::Pause)
}
