//! Where a call may go: what it would be at each target of its route, put in order by the planner.

use std::sync::Arc;

use tollgate_accounting::{
    Class, Money, PriceCard, PriceError, Provenance, Rounding, ServiceTier, Timestamp, Usage,
};
use tollgate_providers::{BadRequest, Capability};

use super::CallError;
use super::cards::Cards;
use super::counting::{Alike, Estimate};
use super::defer;
use super::media;
use super::operation::Operation;
use super::prefixes::Warm;
use super::services::Runtime;
use super::sizes::{self, Sizes};
use crate::clock;
use crate::ledger::{Attempt, Counted, own_classes};
use crate::routing::{self, Exclusion, Leaves, Need, Offer, Reason, Route, Target};
use crate::tenants::{Caller, Priority};

/// Where one call may go.
pub(super) struct Planned<'r> {
    /// In the order they are tried, then those kept for particular refusals. Never empty.
    pub(super) candidates: Vec<Candidate<'r>>,
    /// Targets that are not asked, and why.
    pub(super) left_out: Vec<(&'r Target, Exclusion)>,
}

/// A target with what this call would be there.
pub(super) struct Candidate<'r> {
    pub(super) target: &'r Target,
    cards: Cards,
    pub(super) input: Counted,
    /// The input before its correction, where it is an estimate.
    pub(super) estimate: Option<Estimate>,
    /// What it will use of the provider's limits.
    pub(super) need: Need,
    pub(super) role: Role,
    /// Output tokens that it makes by our count before it says anything, where such are foreseen.
    foreseen: Option<u64>,
    /// Input tokens that should be in the provider's cache.
    pub(super) cached: u64,
    /// The cheaper tier that it is asked for in while its client can wait.
    pub(super) cheaper: Option<ServiceTier>,
    /// Why it has its place.
    pub(super) reason: Reason,
    /// Whether there was another to choose.
    choice: bool,
    /// Those that would else have been asked, and why they are not.
    passed_over: Option<Arc<str>>,
}

/// When a candidate's turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// In its place.
    Planned,
    /// When the prompt is too long for another.
    ContextLength,
    /// When another's content policy refuses it.
    ContentPolicy,
}

impl Candidate<'_> {
    /// The first or a further attempt at this target.
    pub(super) fn attempt(&self) -> Attempt {
        let Candidate { target, cards, input, .. } = self;
        let exact = target.family.exact && self.foreseen.is_none();
        let (provider, model) = (target.provider_name.clone(), target.model.clone());
        let card = cards.dearest(input.tokens);
        let attempt = Attempt::new(provider, model, card, *input, exact);
        let why = self.choice.then(|| match &self.passed_over {
            None => self.reason.to_string().into(),
            Some(others) => format!("{}; without {others}", self.reason).into(),
        });
        let mut attempt = attempt.priced(cards.prices.clone(), cards.at).because(why);
        attempt.output_seen = self.foreseen.unwrap_or(0);
        attempt
    }

    /// What is charged in the service tier it asks for.
    pub(super) fn card(&self) -> &Arc<PriceCard> {
        &self.cards.card
    }

    /// What is charged in the standard tier, where that is what was asked for in the end.
    pub(super) fn standard_card(&self) -> &Arc<PriceCard> {
        self.cards.prices.standard(self.cards.at).unwrap_or(&self.cards.card)
    }

    /// The most that the call can cost here with so much output.
    pub(super) fn bound(
        &self,
        operation: &Operation<'_>,
        output: u64,
    ) -> Result<Money, PriceError> {
        let searches = operation.searches(&self.target.family);
        let bound = |card: &Arc<PriceCard>| {
            let tokens = card.bound_within(operation.classes(), self.input.tokens, output)?;
            Ok::<_, PriceError>(tokens.checked_add(card.bound_of_searches(searches)?)?)
        };
        self.cards.all().try_fold(Money::ZERO, |most, card| Ok(most.max(bound(card)?)))
    }
}

/// What a call is planned with.
pub(super) struct Planner<'c> {
    pub(super) runtime: &'c Runtime,
    pub(super) sizes: &'c Sizes,
    pub(super) caller: &'c Caller,
    /// What a target must be tagged with.
    pub(super) required: &'c [Arc<str>],
    /// How urgent the call is.
    pub(super) priority: Priority,
    pub(super) operation: &'c Operation<'c>,
    /// Whether its client can wait for a cheaper tier.
    pub(super) defer: bool,
    /// The cap on each choice's output.
    pub(super) cap: u64,
    /// When the call came in, which decides its prices.
    pub(super) at: Timestamp,
    /// Whether targets of which little is known get the benefit of the doubt now and then.
    pub(super) curious: bool,
    /// The target that has worked on the call's beginning.
    pub(super) warm: Option<Warm>,
}

impl Planner<'_> {
    /// Plans a call on its route.
    ///
    /// # Errors
    /// Why no target is asked.
    pub(super) fn plan<'r>(&self, route: &'r Route) -> Result<Planned<'r>, CallError> {
        let now = micros(clock::now());
        let chance = if route.targets.len() > 1 { chance() } else { 1 };
        let outputs = self.outputs(&route.targets, if self.curious { chance } else { 1 });
        let mut counts = Vec::new();
        let mut prospects: Vec<Prospect<'r>> = route
            .targets
            .iter()
            .zip(outputs)
            .map(|(target, output)| self.prospect(route, target, output, &mut counts))
            .collect();
        let offers: Vec<Offer> =
            prospects.iter().map(|prospect| self.offer(route, prospect, now)).collect();
        let plan = routing::plan(&route.rules, &offers, self.operation.stream(), chance);
        let mut candidates = Vec::with_capacity(plan.places.len());
        for place in &plan.places {
            let prospect = prospects.get_mut(place.target);
            candidates
                .extend(prospect.and_then(|p| p.candidate(route, Role::Planned, place.reason)));
        }
        let too_long = plan.left_out.iter().any(|o| matches!(o.why, Exclusion::Context { .. }));
        if !candidates.is_empty() || too_long {
            self.add_kept(route, &mut candidates, &mut counts);
        }
        let Some(first) = candidates.first_mut() else {
            return Err(self.none(route, &plan));
        };
        first.passed_over = passed_over(route, &plan.left_out);
        let target = |out: routing::LeftOut| Some((route.targets.get(out.target)?, out.why));
        let left_out = plan.left_out.into_iter().filter_map(target).collect();
        Ok(Planned { candidates, left_out })
    }

    /// The targets for particular refusals. Where nothing else fits the prompt, those for long ones are
    /// the plan.
    fn add_kept<'r>(
        &self,
        route: &'r Route,
        candidates: &mut Vec<Candidate<'r>>,
        counts: &mut Vec<Alike>,
    ) {
        let long = if candidates.is_empty() { Role::Planned } else { Role::ContextLength };
        let kept = [
            (&route.on_context_length, long, Reason::AfterContextLength),
            (&route.on_content_policy, Role::ContentPolicy, Reason::AfterContentPolicy),
        ];
        for (targets, role, reason) in kept {
            if candidates.is_empty() && role == Role::ContentPolicy {
                continue;
            }
            for (target, output) in targets.iter().zip(self.outputs(targets, 1)) {
                let mut prospect = self.prospect(route, target, output, counts);
                if prospect.unfit.is_none() {
                    candidates.extend(prospect.candidate(route, role, reason));
                }
            }
        }
    }

    /// The call as a line of a batch at the only target of its route, at that one's price for batches:
    /// whatever its reply names, it is charged as one.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn batched<'r>(&self, route: &'r Route) -> Result<Candidate<'r>, CallError> {
        let none = |why| {
            let left_out = vec![routing::LeftOut { target: 0, why }];
            self.none(route, &routing::Plan { places: Vec::new(), left_out })
        };
        let unpriced = || none(Exclusion::Unpriced(Some(ServiceTier::Batch)));
        let target = route.targets.first().ok_or_else(unpriced)?;
        let output = self.cap.saturating_mul(self.operation.choices());
        let mut prospect = self.prospect(route, target, output, &mut Vec::new());
        if let Some(why) = prospect.unfit.take() {
            return Err(none(why));
        }
        let cards = target.prices.as_ref().and_then(|list| Cards::batch(list, self.at));
        let candidate = prospect.candidate(route, Role::Planned, Reason::Written);
        let (candidate, cards) = candidate.zip(cards).ok_or_else(unpriced)?;
        Ok(Candidate { cards, ..candidate })
    }

    fn prospect<'r>(
        &self,
        route: &Route,
        target: &'r Target,
        output: u64,
        counts: &mut Vec<Alike>,
    ) -> Prospect<'r> {
        let Planner { runtime, operation, .. } = self;
        let site = runtime.providers.get(target.provider);
        // Where its tier reaches no provider, a call is a standard one there.
        let sent = site.is_some_and(|site| site.adapter.can(Capability::ServiceTiers));
        let tier = if sent { operation.asked_tier() } else { Some(ServiceTier::Standard) };
        let list = target.prices.as_ref().filter(|_| self.defer && sent && operation.leaves_tier());
        let cheaper = list.and_then(|list| defer::cheaper(list, self.at));
        let tier = if cheaper.is_some() { cheaper } else { tier };
        let own = target.prices.as_ref().and_then(|list| Cards::of(list, tier, self.at));
        let ceiling = || {
            let list = runtime.price_ceiling.as_ref()?;
            Cards::of(list, Some(ServiceTier::Standard), self.at)
        };
        let cards = own.or_else(|| ceiling().filter(|_| media::in_tokens(operation, target)));
        let untagged = self.required.iter().find(|tag| !target.tags.contains(tag));
        let unfit = if let Some(tag) = untagged {
            Some(Exclusion::Untagged(tag.clone()))
        } else if !site.is_some_and(|site| site.adapter.can(operation.needs())) {
            Some(Exclusion::Cannot(operation.endpoint()))
        } else if cards.is_none() {
            Some(Exclusion::Unpriced(tier.filter(|tier| *tier != ServiceTier::Standard)))
        } else if media::most_output(operation, route, target).is_none() {
            Some(Exclusion::Unbounded)
        } else if operation.is_media()
            && !cards.as_ref().is_some_and(|c| c.price_all(operation, output))
        {
            Some(Exclusion::Unpriced(None))
        } else {
            None
        };
        let foreseen = media::foreseen(operation, route, target);
        let mut prospect = Prospect {
            target,
            unfit,
            counted: None,
            foreseen,
            cheaper,
            need: Need::default(),
            cached: 0,
        };
        let (None, Some(cards)) = (&prospect.unfit, cards) else { return prospect };
        let (input, estimate) = runtime.counting.input_once(operation, target, counts);
        let leaves = match self.priority {
            Priority::Low => Leaves::Quarter,
            Priority::Normal | Priority::High => Leaves::Nothing,
        };
        prospect.need = Need { input_tokens: input.tokens, output_tokens: output, leaves };
        let warm = self.warm.as_ref().map_or(0, |warm| warm.at(target));
        prospect.cached = warm.min(input.tokens);
        // What a list says of a model may be out of date: it decides between targets, and where there
        // is only one the provider itself is asked.
        if route.targets.len() + route.on_context_length.len() > 1 {
            prospect.unfit = lacks(target, operation, input);
        }
        prospect.counted = Some((cards, input, estimate));
        prospect
    }

    fn offer(&self, route: &Route, prospect: &Prospect<'_>, now: u64) -> Offer {
        let Prospect { target, unfit, counted, need, cached, .. } = prospect;
        if unfit.is_some() {
            return Offer { unfit: unfit.clone(), ..Offer::default() };
        }
        let view = target.health.view(*need, now);
        let wanted = route.targets.len() > 1 || route.rules.max_cost.is_some();
        // The provider's cache is believed in as far as it proved true before.
        let believed = cached.saturating_mul(view.warmth) / 1_000;
        let cost = |cached| {
            let (cards, input, _) = counted.as_ref().filter(|_| wanted)?;
            let sides = own_classes(self.operation.endpoint());
            expected(&cards.card, sides, (input.tokens, cached), need.output_tokens)
        };
        let plain = cost(0);
        let cost = if believed == 0 { plain } else { cost(believed) };
        let saves = plain.zip(cost).and_then(|(plain, cost)| plain.checked_sub(cost).ok());
        Offer {
            unfit: None,
            cost,
            saves,
            output_tokens: need.output_tokens,
            weight: target.weight,
            view,
        }
    }

    /// Output tokens that a reply is likely to have at each, over all choices and within the cap.
    fn outputs(&self, targets: &[Target], chance: u64) -> Vec<u64> {
        let mean = |target| self.sizes.mean(target, &self.caller.account);
        let known: Vec<_> = targets.iter().map(mean).collect();
        let mut outputs = routing::likely_outputs(&known, sizes::UNKNOWN, chance);
        for output in &mut outputs {
            *output = (*output).min(self.cap).saturating_mul(self.operation.choices());
        }
        outputs
    }

    /// Why no target is asked: what can pass is told before what cannot.
    fn none(&self, route: &Route, plan: &routing::Plan) -> CallError {
        let model = || self.operation.model().to_owned();
        if let Some(not) = plan.ready_at() {
            let why = plan.left_out.iter().filter_map(|out| {
                let target = route.targets.get(out.target)?;
                Some(format!("{} {}", target.name(), out.why))
            });
            return CallError::NotReady { not, why: why.collect::<Vec<_>>().join("; ") };
        }
        let find = |name| plan.left_out.iter().find(|out| out.why.name() == name);
        if let Some(out) = find("latency_ceiling").or_else(|| find("price_ceiling")) {
            let why = format!("no target of {:?} is within its ceiling: {}", model(), out.why);
            return CallError::Ceiling { why, passes: out.why.name() == "latency_ceiling" };
        }
        if let Some(out) = find("context_window") {
            let message = format!("no target of {:?} takes this prompt: {}", model(), out.why);
            let bad = BadRequest::field("messages", message);
            return CallError::BadRequest(bad.with_code("context_length_exceeded"));
        }
        if let Some(out) = find("unbounded") {
            let target = route.targets.get(out.target).map_or_else(model, Target::name);
            let message = format!(
                "{target} {}, so its cost cannot be held: a recording is measured if it is WAV or MP3, \
                 and for a model without a rule the operator sets `max_output_tokens` under [models]",
                out.why
            );
            return CallError::BadRequest(BadRequest::field("model", message));
        }
        let Some(out) = find("unpriced") else {
            if let Some(out) = find("tag") {
                return CallError::Untagged { model: model(), why: out.why.to_string() };
            }
            return CallError::CannotDo { model: model(), endpoint: self.operation.endpoint() };
        };
        let mut target = route.targets.get(out.target).map_or_else(model, Target::name);
        if let Exclusion::Unpriced(Some(tier)) = &out.why {
            target.push_str(&format!(" at the {tier} service tier"));
        }
        CallError::Unpriced { target }
    }
}

/// The first few of those that were left out, for the row of the target that was asked instead.
fn passed_over(route: &Route, left_out: &[routing::LeftOut]) -> Option<Arc<str>> {
    const TOLD: usize = 3;
    let told = left_out.iter().take(TOLD);
    let told = told
        .filter_map(|out| Some(format!("{} ({})", route.targets.get(out.target)?.name(), out.why)));
    let told = told.collect::<Vec<_>>().join(", ");
    let more = left_out.len().saturating_sub(TOLD);
    match (told.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(told.into()),
        (false, more) => Some(format!("{told} and {more} more").into()),
    }
}

/// A target that is being looked at.
struct Prospect<'r> {
    target: &'r Target,
    unfit: Option<Exclusion>,
    /// Taken by the candidate that it becomes.
    counted: Option<(Cards, Counted, Option<Estimate>)>,
    foreseen: Option<u64>,
    cheaper: Option<ServiceTier>,
    need: Need,
    cached: u64,
}

impl<'r> Prospect<'r> {
    fn candidate(&mut self, route: &Route, role: Role, reason: Reason) -> Option<Candidate<'r>> {
        let (cards, input, estimate) = self.counted.take()?;
        let Prospect { target, foreseen, cheaper, need, cached, .. } = *self;
        let choice = route.has_choice();
        let passed_over = None;
        Some(Candidate {
            target,
            cards,
            input,
            estimate,
            need,
            role,
            foreseen,
            cached,
            cheaper,
            reason,
            choice,
            passed_over,
        })
    }
}

/// What a model is known not to do that this call asks for.
fn lacks(target: &Target, operation: &Operation<'_>, input: Counted) -> Option<Exclusion> {
    let able = &target.abilities;
    if let Some(window) = able.input_tokens {
        // An estimate is given the benefit of the doubt.
        let slack = if input.provenance == Provenance::Estimated { input.tokens / 10 } else { 0 };
        if input.tokens - slack > window {
            return Some(Exclusion::Context { tokens: input.tokens, window });
        }
    }
    let asked = operation.asks();
    [
        (asked.tools, able.tools, "tools"),
        (asked.images, able.images, "pictures"),
        (asked.audio, able.audio, "sound"),
    ]
    .into_iter()
    .find_map(|(asked, able, what)| {
        (asked && able == Some(false)).then_some(Exclusion::Cannot(what))
    })
}

/// What a call of so many tokens is expected to cost, so many of its input read from a cache.
fn expected(
    card: &PriceCard,
    (read, written): (Class, Class),
    (input, cached): (u64, u64),
    output: u64,
) -> Option<Money> {
    let cached = cached.min(input);
    let mut usage = Usage::new().with(read, input - cached).with(written, output);
    if cached > 0 {
        usage.set(Class::CacheRead, cached);
    }
    card.cost(&usage, Rounding::HalfEven).ok()
}

pub(super) fn micros(at: Timestamp) -> u64 {
    u64::try_from(at.micros()).unwrap_or(0)
}

/// A random number for choices; without one, the clock's low digits do.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => micros(clock::now()),
    }
}
