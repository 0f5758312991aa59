//! What a call comes to: from what its attempts saw to the rows that are written and the amounts that
//! are posted. Pure, and the only place where that is decided; `settle`, a dropped hold, an expired
//! one and recovery after a crash all come through `post`.

use std::borrow::Cow;
use std::sync::Arc;

use tollgate_accounting::{
    Amounts, Charge, Class, FailedAttempts, Markup, Money, Overflow, PriceCard, PriceError,
    PriceList, Provenance, Rounding, ServiceTier, Terms, Timestamp, Usage,
};

use super::entry::{CallId, Counted, Entry, Kind, Lookup, Outcome, named};

/// Counts beyond this are not believed: a provider that reports them is broken, and our own count is
/// taken instead. (The largest context windows are near 10^7 tokens.)
const PLAUSIBLE_TOKENS: u64 = 1_000_000_000_000;

/// The most of an unknown tier's name that a row keeps.
const LONGEST_TIER: usize = 32;

/// Who calls, for what: the same on every row of the call.
#[derive(Clone, Debug)]
pub struct CallFacts {
    /// The call's id.
    pub id: CallId,
    /// When its request was received.
    pub received_at: Timestamp,
    /// The tenant's path.
    pub account: Arc<str>,
    /// The credential's id.
    pub key: Arc<str>,
    /// The operation, e.g. `chat.completions`.
    pub endpoint: Cow<'static, str>,
    /// The model as asked for.
    pub asked_model: Arc<str>,
    /// Prompt template and version.
    pub prompt: Option<Arc<str>>,
    /// The caller's tags, canonical.
    pub tags: Option<Arc<str>>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// On what terms the account is charged.
    pub terms: Terms,
    /// How it stood to the cache; a call that is settled after a crash does not know any more.
    pub cache: Option<Lookup>,
}

impl CallFacts {
    /// The template's name, without its version, as limits ask for it.
    pub fn prompt_name(&self) -> Option<&str> {
        let prompt = self.prompt.as_deref()?;
        Some(prompt.split_once('@').map_or(prompt, |(name, _)| name))
    }
}

/// How far an attempt got, which decides what can have been billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// No byte of the request can have been accepted.
    Planned,
    /// Bytes may have arrived; nothing was heard.
    Sent,
    /// The provider refused it with a status.
    Rejected,
    /// The provider accepted it: from here the prompt is owed.
    Accepted,
}

named!(Reach { Planned = "planned", Sent = "sent", Rejected = "rejected", Accepted = "accepted" });

/// One try at one target, and all that was seen of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// The provider's model.
    pub model: Arc<str>,
    /// The service tier the provider says it was processed in.
    pub tier: Option<Arc<str>>,
    /// Why this target is tried, where there was a choice.
    pub why: Option<Arc<str>>,
    /// The price in force when the call came in; the dearest that may apply until the provider says
    /// which tier it was processed in.
    pub card: Arc<PriceCard>,
    /// All cards of the target, and when the call came in: they decide the card once the tier is known.
    pub(super) prices: Option<(Arc<PriceList>, Timestamp)>,
    /// Our count of the input.
    pub input: Counted,
    /// How far it got.
    pub reach: Reach,
    /// The provider's status, where it answered.
    pub status: Option<u16>,
    /// Why it was given up, for people.
    pub error: Option<Arc<str>>,
    /// Usage the provider reported, merged.
    pub reported: Usage,
    /// What it says it charges, where it says so.
    pub reported_cost: Option<Money>,
    /// Output tokens seen, by our count.
    pub output_seen: u64,
    /// Output tokens passed on to the client, by our count.
    pub output_delivered: u64,
    /// Whether our count of the output is exact for this model.
    pub output_exact: bool,
    /// When the provider's first byte came.
    pub first_byte_at: Option<Timestamp>,
    /// What an answer that was kept spares the account; nothing is sent for it.
    pub saved: Option<Money>,
    /// How it ended, once it was given up; the last attempt's end is the call's.
    pub ended: Option<Outcome>,
}

impl Attempt {
    /// An attempt that has not been sent.
    pub fn new(
        provider: Arc<str>,
        model: Arc<str>,
        card: Arc<PriceCard>,
        input: Counted,
        output_exact: bool,
    ) -> Attempt {
        Attempt {
            provider,
            model,
            tier: None,
            why: None,
            card,
            prices: None,
            input,
            reach: Reach::Planned,
            status: None,
            error: None,
            reported: Usage::new(),
            reported_cost: None,
            output_seen: 0,
            output_delivered: 0,
            output_exact,
            first_byte_at: None,
            saved: None,
            ended: None,
        }
    }

    /// With all cards of the target, for a call that came in at that instant.
    #[must_use]
    pub fn priced(self, prices: Arc<PriceList>, at: Timestamp) -> Attempt {
        Attempt { prices: Some((prices, at)), ..self }
    }

    /// Another like it, of which nothing was seen yet.
    pub(super) fn unsent(&self) -> Attempt {
        let Attempt { provider, model, card, input, output_exact, .. } = self.clone();
        let next = Attempt::new(provider, model, card, input, output_exact);
        Attempt { prices: self.prices.clone(), why: self.why.clone(), ..next }
    }

    /// With the reason for this target.
    #[must_use]
    pub fn because(self, why: Option<Arc<str>>) -> Attempt {
        Attempt { why, ..self }
    }

    /// The provider answered with this status.
    pub(super) fn answered(&mut self, status: u16, now: Timestamp) {
        self.status = Some(status);
        self.first_byte_at.get_or_insert(now);
        self.reach = if status < 400 { Reach::Accepted } else { Reach::Rejected };
    }

    /// It is over, and the call is not.
    pub(super) fn give_up(&mut self, ended: Outcome, why: &str) {
        self.ended = Some(ended);
        self.error = Some(why.into());
    }

    /// Takes the provider's word for the service tier, and charges by its card. One without a card
    /// leaves it at the dearest that was thought to apply, which the hold has room for.
    pub(super) fn processed_in(&mut self, name: &str) {
        let card = self.prices.as_ref().and_then(|(list, at)| {
            ServiceTier::reported(name).and_then(|tier| list.charged(tier, *at))
        });
        self.card = card.unwrap_or(&self.card).clone();
        self.tier = Some(match ServiceTier::reported(name) {
            Some(tier) => tier.name().into(),
            // A tier of which nothing is known: the row has its name, as far as that is one.
            None => name.chars().take(LONGEST_TIER).collect::<String>().to_lowercase().into(),
        });
    }
}

/// What a call comes to.
#[derive(Debug)]
pub(super) struct Posting {
    /// The rows, in the order of the attempts.
    pub entries: Vec<Entry>,
    /// What is posted against the limits of the call's path.
    pub used: Amounts,
}

/// Settles a call: one row an attempt; the last one decides the call and carries the charge.
///
/// An attempt that may have been billed but gave the client nothing is owed, and by the account's terms
/// absorbed by the operator or charged, never both. `held` is what the call held when it ended.
pub(super) fn post(
    facts: &CallFacts,
    attempts: &[Attempt],
    held: &Amounts,
    outcome: Outcome,
    kind: Kind,
    now: Timestamp,
) -> Posting {
    let mut entries = Vec::with_capacity(attempts.len());
    let mut used = Amounts { requests: 0, input_tokens: 0, output_tokens: 0, cost: Money::ZERO };
    let markup = facts.terms.markup;
    let counts = |a: &Attempt| a.reach > Reach::Planned || a.saved.is_some();
    let reached = attempts.iter().any(counts);
    for (index, attempt) in attempts.iter().enumerate() {
        let last = index + 1 == attempts.len();
        let ended = if last { outcome } else { attempt.ended.unwrap_or(Outcome::Failed) };
        let generated = Generated::of(attempt, ended, own_classes(&facts.endpoint));
        let (charge, posted, terms) = if let Some(saved) = attempt.saved {
            (Charge::cached(Money::ZERO, saved), Usage::new(), Markup::NONE)
        } else if last && tenant_pays(attempt, ended) {
            let usage = charged_usage(attempt, &generated, ended);
            (bill(attempt, &generated, &usage, held, markup), usage, markup)
        } else if facts.terms.failed == FailedAttempts::Charge {
            // The amount a call is that of the attempt which answered it.
            let share = markup.with_fee(Money::ZERO);
            (bill(attempt, &generated, &generated.usage, held, share), generated.usage, share)
        } else {
            let owed = cost(attempt, &generated.usage).unwrap_or(held.cost);
            (Charge::absorbed_attempt(owed), Usage::new(), Markup::NONE)
        };
        let entry = Entry {
            id: facts.id,
            attempt: u32::try_from(index + 1).unwrap_or(u32::MAX),
            kind: if last { kind } else { Kind::Attempt },
            at: now,
            received_at: facts.received_at,
            account: facts.account.clone(),
            key: facts.key.clone(),
            endpoint: facts.endpoint.clone(),
            asked_model: facts.asked_model.clone(),
            provider: attempt.provider.clone(),
            model: attempt.model.clone(),
            prompt: facts.prompt.clone(),
            tags: facts.tags.clone(),
            stream: facts.stream,
            outcome: ended,
            status: attempt.status,
            error: attempt.error.clone(),
            requests: u64::from(last && reached),
            input_provenance: generated.input_provenance,
            output_provenance: generated.output_provenance,
            usage: generated.usage,
            counted_input: attempt.input.tokens,
            delivered_output: attempt.output_delivered,
            posted_input: posted.input_total().unwrap_or(0),
            posted_output: posted.output_total().unwrap_or(0),
            tier: attempt.tier.clone(),
            why: attempt.why.clone(),
            reported_cost: attempt.reported_cost,
            terms: Some(terms).filter(|terms| *terms != Markup::NONE),
            card: attempt.card.version.as_str().into(),
            charged: charge.charged(),
            owed: charge.owed(),
            markup: charge.markup(),
            absorbed: charge.absorbed(),
            saved: charge.saved(),
            held: if last { held.cost } else { Money::ZERO },
            cache: facts.cache,
            first_byte_us: attempt.first_byte_at.map(|t| t.micros() - facts.received_at.micros()),
            total_us: now.micros() - facts.received_at.micros(),
        };
        used.requests += entry.requests;
        used.input_tokens = used.input_tokens.saturating_add(entry.posted_input);
        used.output_tokens = used.output_tokens.saturating_add(entry.posted_output);
        // Each charge is far from the ends of i64, and there are a handful.
        used.cost = used.cost.checked_add(entry.charged).unwrap_or(used.cost);
        entries.push(entry);
    }
    Posting { entries, used }
}

/// The classes that our own counts of a call's input and output are of, by its operation.
pub fn own_classes(endpoint: &str) -> (Class, Class) {
    match endpoint {
        "images.generations" => (Class::Input, Class::ImageOutput),
        "images.edits" => (Class::ImageInput, Class::ImageOutput),
        "audio.speech" => (Class::Input, Class::AudioOutput),
        "audio.transcriptions" | "audio.translations" => (Class::AudioInput, Class::Output),
        _ => (Class::Input, Class::Output),
    }
}

/// What the provider made, as far as it is known, and how.
struct Generated {
    usage: Usage,
    input_provenance: Option<Provenance>,
    output_provenance: Option<Provenance>,
}

impl Generated {
    fn of(attempt: &Attempt, ended: Outcome, own: (Class, Class)) -> Generated {
        match attempt.reach {
            Reach::Planned | Reach::Rejected => {
                Generated { usage: Usage::new(), input_provenance: None, output_provenance: None }
            }
            // Bytes went out and nothing came back: the prompt may be on the bill. Where the answer is
            // foreseen and nobody waited for it, so may that.
            Reach::Sent => {
                let usage = Usage::new().with(own.0, attempt.input.tokens);
                let left = matches!(ended, Outcome::ClientGone | Outcome::Expired);
                let output = Some(attempt.output_seen).filter(|seen| left && *seen > 0);
                Generated {
                    usage: output.map_or(usage, |output| usage.with(own.1, output)),
                    input_provenance: Some(Provenance::Estimated),
                    output_provenance: output.map(|_| Provenance::Estimated),
                }
            }
            Reach::Accepted => Generated::accepted(attempt, ended, own),
        }
    }

    fn accepted(attempt: &Attempt, ended: Outcome, (read, written): (Class, Class)) -> Generated {
        let reported = &attempt.reported;
        let mut usage = Usage::new();
        let reported_input = believed(reported, Class::Input, Usage::input_total);
        let input_provenance = if reported_input.is_some() {
            copy(reported, &mut usage, Class::is_input);
            Provenance::Reported
        } else {
            usage.set(read, attempt.input.tokens);
            attempt.input.provenance
        };
        let reported_output = believed(reported, Class::Output, Usage::output_total);
        // A reply that broke off has no final usage; a provider that reports as it goes (Anthropic)
        // has said less than what was seen since.
        let behind = ended != Outcome::Completed
            && reported_output.is_none_or(|tokens| tokens < attempt.output_seen);
        let output_provenance = if reported_output.is_some() && !behind {
            copy(reported, &mut usage, Class::is_output);
            Provenance::Reported
        } else {
            usage.set(written, attempt.output_seen);
            if attempt.output_exact { Provenance::Tokenized } else { Provenance::Estimated }
        };
        let searches = reported.get(Class::WebSearch);
        if let Some(searches) = searches.filter(|count| *count <= PLAUSIBLE_TOKENS) {
            usage.set(Class::WebSearch, searches);
        }
        let guess = |p| if ended == Outcome::Recovered { Provenance::Estimated } else { p };
        Generated {
            usage,
            input_provenance: Some(guess(input_provenance)),
            output_provenance: Some(guess(output_provenance)),
        }
    }
}

/// A side's reported total. Without its plain class, which every provider reports, the rest of a side
/// is a fragment (the decoder refused the total itself) and no total.
fn believed(usage: &Usage, plain: Class, total: fn(&Usage) -> Option<u64>) -> Option<u64> {
    usage.get(plain)?;
    total(usage).filter(|tokens| *tokens <= PLAUSIBLE_TOKENS)
}

fn copy(from: &Usage, to: &mut Usage, side: fn(Class) -> bool) {
    for (class, count) in from.iter().filter(|(class, _)| side(*class)) {
        to.set(class, count);
    }
}

/// Whether the tenant pays for the deciding attempt: when it got a reply or part of one, or left while
/// one was being made. Where the provider failed it, the operator absorbs what is owed.
fn tenant_pays(attempt: &Attempt, ended: Outcome) -> bool {
    match ended {
        Outcome::Completed
        | Outcome::Cut
        | Outcome::ClientGone
        | Outcome::Expired
        | Outcome::Cached
        | Outcome::Joined
        | Outcome::Recovered => attempt.reach >= Reach::Sent,
        Outcome::Truncated => attempt.reach == Reach::Accepted,
        Outcome::Failed | Outcome::Unreachable | Outcome::Outrun => {
            attempt.reach == Reach::Accepted && attempt.output_delivered > 0
        }
    }
}

/// What the tenant is charged for. A stream that was cut because nothing was left to hold is charged
/// for what was passed on; what the provider made beyond it is absorbed, so a cut never overspends.
fn charged_usage(attempt: &Attempt, generated: &Generated, ended: Outcome) -> Usage {
    match ended {
        Outcome::Cut => passed_on(generated.usage, attempt.output_delivered),
        _ => generated.usage,
    }
}

/// The usage of a reply that was cut: what was passed on of the output, and nothing else of it.
pub(super) fn passed_on(mut usage: Usage, delivered: u64) -> Usage {
    for class in Class::ALL.into_iter().filter(|c| c.is_output()) {
        if usage.get(class).is_some() {
            usage.set(class, 0);
        }
    }
    usage.set(Class::Output, delivered);
    usage
}

/// The legs of an attempt that the tenant pays for, with the markup on what it is charged for.
/// What was generated beyond that is absorbed.
///
/// Where a cost cannot be computed (the sum overflows, a class without a price appears) what was held is
/// taken, which holds the markup already, so the failure is never free.
fn bill(
    attempt: &Attempt,
    generated: &Generated,
    charged: &Usage,
    held: &Amounts,
    terms: Markup,
) -> Charge {
    let all = |owed| Charge::priced(owed, held.cost).unwrap_or(Charge::ZERO);
    let Ok(owed) = cost(attempt, &generated.usage) else { return all(held.cost) };
    let Ok(base) = cost(attempt, charged) else { return all(owed) };
    let legs = |charged: Money| {
        Charge::priced(base, charged)?.plus(&Charge::absorbed_attempt(owed.checked_sub(base)?))
    };
    terms
        .price_call(base, Rounding::HalfEven)
        .and_then(legs)
        .or_else(|Overflow| legs(base))
        .unwrap_or_else(|Overflow| all(owed))
}

/// The card's cost of a usage; nothing costs nothing.
fn cost(attempt: &Attempt, usage: &Usage) -> Result<Money, PriceError> {
    if usage.is_empty() {
        return Ok(Money::ZERO);
    }
    attempt.card.cost(usage, Rounding::HalfEven)
}

/// What a failed attempt adds to its call, where the account pays for such: held before the next one.
pub(super) fn failed(facts: &CallFacts, attempt: &Attempt) -> Option<Amounts> {
    let (terms, ended) = (facts.terms, attempt.ended.unwrap_or(Outcome::Failed));
    let usage = Generated::of(attempt, ended, own_classes(&facts.endpoint)).usage;
    if terms.failed == FailedAttempts::Absorb || usage.is_empty() {
        return None;
    }
    // Without a cost it will be settled at what was held, which is held.
    let cost = cost(attempt, &usage).ok()?;
    Some(Amounts {
        requests: 0,
        input_tokens: usage.input_total().unwrap_or(0),
        output_tokens: 0,
        cost: terms.markup.price(cost, Rounding::Up).ok()?,
    })
}

#[cfg(test)]
mod tests;
