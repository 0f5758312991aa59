//! The hold: what a call can cost at most, and how much of that is reserved before it is sent.

use std::sync::Arc;

use tollgate_accounting::{Amounts, Facets, Markup, Money, Rounding, Timestamp};

use super::Inbound;
use super::media;
use super::operation::Operation;
use super::planning::Candidate;
use crate::clock;
use crate::ledger::{
    Admission, Attempt, CallFacts, Keyed, Ledger, Lookup, OpenHold, Reach, Refused,
};
use crate::routing::Route;
use crate::tenants::{Caller, Holds};

/// The output cap of a choice where neither the client, the operator nor the catalogue names one.
const DEFAULT_CAP: u64 = 4096;
/// The least room for output that a call is worth sending for.
const LEAST_OUTPUT: u64 = 16;
/// How long a call may take in all; its hold is settled then, whoever still waits.
const LONGEST_CALL_MICROS: i64 = 3600 * 1_000_000;

/// Who asks to be admitted, with what, and where it may go.
pub(super) struct Ask<'a, 'r> {
    pub(super) caller: &'a Caller,
    pub(super) inbound: &'a Inbound,
    pub(super) operation: &'a Operation<'r>,
    pub(super) plan: &'a [Candidate<'r>],
    /// What it asked for.
    pub(super) route: &'a Route,
    pub(super) keyed: Option<&'a Keyed>,
    /// How it stands to the cache, where that may answer it.
    pub(super) looked: Option<Lookup>,
    /// Whether it goes on though its client leaves.
    pub(super) stays: bool,
    /// Until when its provider may have it, where it is a line of a batch that is handed over.
    pub(super) until: Option<Timestamp>,
}

/// An admitted call, and under which cap.
pub(super) struct Admitted {
    pub(super) hold: OpenHold,
    /// The cap to be sent, where it is not the client's own; told to the client.
    pub(super) cap: Option<u64>,
    /// Output tokens a reply of this model is likely to have, over all choices.
    pub(super) step: u64,
}

/// The cap on each choice's output: the client's, within the operator's; else the operator's, else the
/// model's. The flag says whether it differs from what the client wrote.
pub(super) fn cap(route: &Route, operation: &Operation<'_>) -> (u64, bool) {
    if operation.is_media() {
        return (media::most_of_all(operation, route), false);
    }
    let model = route.targets.iter().filter_map(|t| t.max_output_tokens).filter(|m| *m > 0).min();
    match (operation.asked_output(), route.max_output_tokens) {
        (Some(asked), Some(most)) if asked > most => (most, true),
        (Some(asked), _) => (asked, false),
        (None, Some(most)) => (model.map_or(most, |model| most.min(model)), true),
        (None, None) => (model.unwrap_or(DEFAULT_CAP), true),
    }
}

/// Holds the call on its whole path.
///
/// `strict` holds the bound. `adaptive` holds what such calls usually take where the reply can be cut
/// (a stream), and otherwise lowers the cap that is sent until the bound fits: the hold is never
/// smaller than what can be used under the cap in force.
pub(super) fn admit(
    ledger: &Ledger,
    ask: &Ask<'_, '_>,
    cap: (u64, bool),
    likely: u64,
) -> Result<Admitted, Refused> {
    let try_hold = |output: u64| hold(ledger, ask, output);
    let (hold, cap) = fit(ask.caller.holds, ask.operation, cap, likely, try_hold)?;
    Ok(Admitted { hold, cap, step: likely.max(LEAST_OUTPUT) })
}

/// Tries holds for so many output tokens until one is taken; with it comes the cap to be sent, where
/// it is not the client's own. A quote walks the same steps without taking anything.
pub(super) fn fit<H>(
    holds: Holds,
    operation: &Operation<'_>,
    (cap, ours): (u64, bool),
    likely: u64,
    try_hold: impl Fn(u64) -> Result<H, Refused>,
) -> Result<(H, Option<u64>), Refused> {
    let choices = operation.choices();
    let bound = cap.saturating_mul(choices);
    let sent = ours.then_some(cap).filter(|_| bound > 0);
    let mut output = match holds {
        Holds::Adaptive if operation.stream() => bound.min(likely),
        Holds::Adaptive | Holds::Strict => bound,
    };
    let refused = match try_hold(output) {
        Ok(hold) => return Ok((hold, sent)),
        Err(refused) => refused,
    };
    // A picture is not drawn smaller for want of money.
    if holds == Holds::Strict || operation.is_media() || !about_output(&refused) {
        return Err(refused);
    }
    while output / 2 >= LEAST_OUTPUT.saturating_mul(choices) {
        output /= 2;
        match try_hold(output) {
            Ok(hold) if operation.stream() => return Ok((hold, sent)),
            Ok(hold) => return Ok((hold, Some(output / choices))),
            Err(next) if about_output(&next) => {}
            Err(next) => return Err(next),
        }
    }
    // The first refusal names what the call asked for; the smaller ones were ours.
    Err(refused)
}

/// What a call of so much output is held at: the dearest of the targets that it may be sent to, with
/// the account's markup.
pub(super) fn ask(
    operation: &Operation<'_>,
    plan: &[Candidate<'_>],
    markup: Markup,
    output_tokens: u64,
) -> Result<Amounts, Refused> {
    let mut cost = Money::ZERO;
    let mut input_tokens = 0;
    for candidate in plan {
        let bound = candidate.bound(operation, output_tokens);
        cost = cost.max(bound.map_err(|_| Refused::Uncountable)?);
        input_tokens = input_tokens.max(candidate.input.tokens);
    }
    let cost = markup.price_call(cost, Rounding::Up).map_err(|_| Refused::Uncountable)?;
    Ok(Amounts { requests: 1, input_tokens, output_tokens, cost })
}

/// Holds so much output of a call.
pub(super) fn hold(
    ledger: &Ledger,
    asking: &Ask<'_, '_>,
    output_tokens: u64,
) -> Result<OpenHold, Refused> {
    let Ask { caller, operation, plan, .. } = *asking;
    let Some(first) = plan.first() else { return Err(Refused::Uncountable) };
    let ask = ask(operation, plan, caller.terms.markup, output_tokens)?;
    let mut first = first.attempt();
    if asking.until.is_some() {
        // It leaves with others, and from then on the provider may have it.
        first.reach = Reach::Sent;
    }
    take(ledger, asking, first, ask)
}

/// Holds so much for a call whose first attempt is that one.
pub(super) fn take(
    ledger: &Ledger,
    asking: &Ask<'_, '_>,
    first: Attempt,
    ask: Amounts,
) -> Result<OpenHold, Refused> {
    let Ask { caller, inbound, operation, plan: _, route: _, keyed, looked, until, stays: _ } =
        *asking;
    let now = clock::now();
    let model: Arc<str> = operation.model().into();
    let prompt = inbound.prompt.as_ref();
    let deadline = inbound.deadline.map_or(i64::MAX, Timestamp::micros);
    let longest = now.saturating_plus(LONGEST_CALL_MICROS).micros();
    ledger.hold(Admission {
        charged: caller.charged,
        charged_path: &caller.charged_path,
        facets: Facets {
            model: &model.clone(),
            endpoint: operation.endpoint(),
            prompt: prompt.map(|prompt| &*prompt.name),
        },
        ask,
        deadline: until.unwrap_or(Timestamp::from_micros(deadline.min(longest))),
        first,
        keyed: keyed.cloned(),
        handed_over: until.is_some(),
        facts: CallFacts {
            id: inbound.id,
            received_at: inbound.received_at,
            account: caller.account.clone(),
            key: caller.key.clone(),
            endpoint: operation.endpoint().into(),
            asked_model: model,
            prompt: prompt.map(|prompt| prompt.tag.clone()),
            tags: inbound.tags.clone(),
            stream: operation.stream(),
            terms: caller.terms,
            cache: looked,
        },
    })
}

/// Whether a smaller output could change the answer.
fn about_output(refused: &Refused) -> bool {
    use tollgate_accounting::Metric::{Cost, OutputTokens, Tokens};
    matches!(refused, Refused::Limit(refusal) if matches!(refusal.metric, Some(Cost | OutputTokens | Tokens)))
}
