//! Calls that go to their provider in a batch of its own: each is held like any other without being sent,
//! and settled once when the provider's answer to it is read.

use std::sync::Arc;

use tollgate_accounting::{ServiceTier, Timestamp};
use tollgate_providers::{BadRequest, ProviderError, UsageReport};
use tollgate_tokenizer::Family;

use super::admit::{self, Ask};
use super::attempts::reason;
use super::services::Site;
use super::{CallError, Inbound, Operation, Runtime, Services, planning, repeat, whole};
use crate::clock;
use crate::ledger::{CallId, Handover, KeyName, OpenHold, Outcome, Reach};
use crate::tenants::{Caller, Holds, Priority};

/// What became of a line.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// The provider answered it with a status and a body.
    Answer(u16, &'a [u8]),
    /// It did not run; why.
    NotRun(&'a str),
    /// Nobody can say.
    Lost,
}

/// The provider and its model that all calls of that name go to, where that one takes batches and has a
/// price for them.
pub fn place(runtime: &Runtime, model: &str) -> Option<(Arc<str>, Arc<str>)> {
    let route = runtime.routes.find(model).ok().filter(|route| !route.has_choice())?;
    let target = route.targets.first()?;
    let site = runtime.providers.get(target.provider)?;
    let priced = target.prices.as_ref()?.at(ServiceTier::Batch, clock::now()).is_some();
    let takes = site.hand_over_batches && site.adapter.has_batches();
    (takes && priced).then(|| (target.provider_name.clone(), target.model.clone()))
}

/// The provider that a batch is handed over to, if there still is one of that name.
pub fn site<'r>(runtime: &'r Runtime, to: &Handover) -> Option<&'r Arc<Site>> {
    runtime.providers.iter().find(|site| *site.name == *to.provider && site.adapter.has_batches())
}

/// Holds a line on its whole path, at the price of batches, until then; where it may be, under a lowered
/// cap by the account's terms. Its hold stays open.
///
/// # Errors
/// Why it is not held.
pub fn hold(
    services: &Services,
    caller: &Caller,
    inbound: &Inbound,
    operation: &Operation<'_>,
    (to, (until, may_be_lowered)): (&Handover, (Timestamp, bool)),
) -> Result<(), CallError> {
    let runtime = services.runtime.load_full();
    let keyed = repeat::keyed(caller, inbound, operation);
    if let Some(used) = keyed.as_ref().and_then(|keyed| services.ledger.used(keyed)) {
        return Err(CallError::KeyUsed(used));
    }
    let route = super::route(&runtime, caller, operation)?;
    if !matches!(operation.asked_tier(), None | Some(ServiceTier::Standard | ServiceTier::Batch)) {
        let message = "this batch is made by its provider, which has no other tier for it";
        return Err(CallError::BadRequest(BadRequest::field("service_tier", message)));
    }
    let cap = admit::cap(&route, operation);
    let required = inbound.required(caller);
    let planner = planning::Planner {
        runtime: &runtime,
        sizes: &services.sizes,
        caller,
        required: &required,
        priority: Priority::Low,
        operation,
        defer: false,
        cap: cap.0,
        at: inbound.received_at,
        curious: false,
        warm: None,
    };
    let plan = [planner.batched(&route)?];
    let [candidate] = &plan;
    let target = candidate.target;
    let here = *target.provider_name == *to.provider && *target.model == *to.model;
    let site = site(&runtime, to).filter(|_| here).ok_or_else(|| moved(to))?;
    // What cannot be written is refused before anything is held for it.
    operation.encode(site.adapter, &target.model, None).map_err(CallError::BadRequest)?;
    let (keyed, route) = (keyed.as_ref(), &*route);
    let ask = Ask {
        caller,
        inbound,
        operation,
        plan: &plan,
        route,
        keyed,
        looked: None,
        until: Some(until),
        stays: false,
    };
    let holds = if may_be_lowered { caller.holds } else { Holds::Strict };
    let (_stays, _) =
        admit::fit(holds, operation, cap, 0, |output| admit::hold(&services.ledger, &ask, output))?;
    Ok(())
}

fn moved(to: &Handover) -> CallError {
    let why = format!("the model does not go to {}/{} any more", to.provider, to.model);
    CallError::Unreachable { why, late: false, attempts: 0 }
}

/// A held line as its provider reads it: under the cap that it is held for.
///
/// # Errors
/// Where it cannot be written any more.
pub fn written(
    runtime: &Runtime,
    operation: &Operation<'_>,
    hold: &OpenHold,
    to: &Handover,
) -> Result<Vec<u8>, CallError> {
    let site = site(runtime, to).ok_or_else(|| moved(to))?;
    let cap = Some(hold.held_output() / operation.choices().max(1)).filter(|cap| *cap > 0);
    let ours = cap.filter(|_| cap != operation.asked_output());
    let encoded = operation.encode(site.adapter, &to.model, ours);
    encoded.map(|encoded| encoded.body).map_err(CallError::BadRequest)
}

/// Settles a line by what became of it, unless it is settled; its call, where it was one.
///
/// # Errors
/// What is wrong with the answer, for the client.
pub fn settle(
    services: &Services,
    line: &KeyName,
    to: &Handover,
    given: Given<'_>,
) -> Option<(CallId, Result<(), CallError>)> {
    let runtime = services.runtime.load();
    let handed = services.ledger.handed_over(line)?;
    let (id, hold) = (handed.id, handed.hold);
    Some((id, end(&runtime, line, to, given, hold)))
}

fn end(
    runtime: &Runtime,
    line: &KeyName,
    to: &Handover,
    given: Given<'_>,
    hold: Option<OpenHold>,
) -> Result<(), CallError> {
    let (status, body) = match given {
        Given::Answer(status, body) => (status, body),
        Given::NotRun(why) => {
            if let Some(hold) = hold {
                hold.on_attempt(|attempt| attempt.reach = Reach::Planned);
                hold.give_up(Outcome::Failed, why);
                hold.settle(Outcome::Failed);
            }
            return Ok(());
        }
        Given::Lost => {
            hold.map(|hold| hold.settle(Outcome::Expired));
            return Ok(());
        }
    };
    let site = site(runtime, to).ok_or_else(|| moved(to))?;
    if status >= 300 {
        let failure = site.adapter.classify(status, &|_: &str| None, body, clock::now());
        let error = CallError::Provider { failure, attempts: 1 };
        if let Some(hold) = hold {
            hold.answered(status);
            hold.give_up(Outcome::Failed, &reason(&error));
            hold.settle(Outcome::Failed);
        }
        return Err(error);
    }
    let asked = hold.as_ref().map(OpenHold::asked_model);
    let read = read(site, line, body, &family(runtime, asked.as_deref(), to));
    match (hold, read) {
        (Some(hold), Ok((usage, output))) => {
            hold.answered(status);
            // It came in a batch, whatever tier its reply names.
            hold.processed_in(ServiceTier::Batch.name());
            hold.on_attempt(|attempt| {
                attempt.reported = usage.usage;
                attempt.reported_cost = usage.cost;
                attempt.output_seen = output;
                attempt.output_delivered = output;
                whole::note_odd(&usage, &mut attempt.error);
            });
            hold.settle(Outcome::Completed);
            Ok(())
        }
        (Some(hold), Err(error)) => {
            hold.answered(status);
            Err(whole::fail(hold, error))
        }
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => Err(CallError::Garbled(error)),
    }
}

fn read(
    site: &Site,
    line: &KeyName,
    body: &[u8],
    family: &Family,
) -> Result<(UsageReport, u64), ProviderError> {
    if &*line.endpoint == "embeddings" {
        return Ok((site.adapter.decode_embeddings(body)?.usage, 0));
    }
    let reply = site.adapter.decode_reply(body)?;
    let output = whole::output_of(&reply, family);
    Ok((reply.usage, output))
}

/// How its text is counted where the provider does not say.
fn family(runtime: &Runtime, asked: Option<&str>, to: &Handover) -> Family {
    let route = asked.and_then(|asked| runtime.routes.find(asked).ok());
    let target = route.as_ref().and_then(|route| route.targets.first());
    target.map_or_else(|| tollgate_tokenizer::family(&to.model), |target| target.family)
}
