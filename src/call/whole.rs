//! A reply that is read to its end before any of it is passed on.

use std::sync::Arc;

use bytes::Bytes;
use tollgate_accounting::{Class, Usage};
use tollgate_providers::unified::{Answer, Block, Capability, MediaReply, Reply as ChatReply};
use tollgate_providers::{ErrorKind, ProviderError, UsageReport};

use tollgate_tokenizer::Family;

use super::answers::{Filling, is_withheld};
use super::repeat::Booked;
use super::services::{OnClientGone, Site};
use super::{CallError, Reply, Sizes, Told, Worker};
use crate::ledger::{OpenHold, Outcome};
use crate::routing::Target;
use crate::upstream::{Body, Broken};

/// The largest whole reply. Embeddings of a full batch are some tens of megabytes.
pub(super) const LARGEST: usize = 128 * 1024 * 1024;

/// The content type of a reply that is an object.
pub const JSON: &str = "application/json";

/// Receives the reply, reads its usage and settles the call.
///
/// Under `drain` the work goes on if the client leaves, so that what the provider reports is known.
pub(super) async fn receive(
    worker: &Worker,
    site: &Arc<Site>,
    target: &Target,
    body: Body,
    hold: OpenHold,
    told: Told,
    (booked, fill): (Option<Booked>, Option<Filling>),
) -> Result<Reply, CallError> {
    let (site, target) = (site.clone(), target.clone());
    let gone = site.on_client_gone;
    let services = worker.services.clone();
    let work = async move {
        let reply = finish(&services.sizes, &site, &target, body, hold, &told, fill).await;
        if let (Ok(Reply::Whole { body, kind, .. }), Some(booked)) = (&reply, booked) {
            booked.answered(kind, body.clone());
        }
        reply
    };
    match gone {
        OnClientGone::Cancel => work.await,
        OnClientGone::Drain => {
            let (done, reply) = tokio::sync::oneshot::channel();
            let drain = async move {
                let _ = done.send(work.await);
            };
            worker.services.drains.run(drain);
            reply.await.unwrap_or_else(|_| {
                let message = "the reply took longer than a drained call may";
                Err(CallError::Garbled(ProviderError::new(ErrorKind::Timeout, message)))
            })
        }
    }
}

async fn finish(
    sizes: &Sizes,
    site: &Site,
    target: &Target,
    body: Body,
    hold: OpenHold,
    told: &Told,
    fill: Option<Filling>,
) -> Result<Reply, CallError> {
    let bytes = match body.collect(LARGEST, site.endpoint.idle_timeout()).await {
        Ok(bytes) => bytes,
        Err(broken) => {
            let kind = match broken {
                Broken::Connection(_) => ErrorKind::Truncated,
                Broken::Idle(_) => ErrorKind::Timeout,
                Broken::TooLarge(_) => ErrorKind::TooLarge,
            };
            return Err(fail(hold, ProviderError::new(kind, broken.to_string())));
        }
    };
    let read = match told.needs {
        Capability::Chat | Capability::ServiceTiers => chat(site, target, &bytes, told),
        Capability::Embeddings => embeddings(site, &bytes, told),
        Capability::Moderations | Capability::Rerank => task(site, &bytes),
        Capability::Images | Capability::Speech | Capability::Transcriptions => {
            media(site, &bytes, told)
        }
    };
    match read {
        Ok(Read { usage, output_tokens, tier, withheld, body, kind }) => {
            if let Some(tier) = tier {
                hold.processed_in(&tier);
            }
            hold.on_attempt(|attempt| {
                attempt.reported = usage.usage;
                attempt.reported_cost = usage.cost;
                attempt.output_seen = output_tokens.unwrap_or(attempt.output_seen);
                attempt.output_delivered = attempt.output_seen;
                note_odd(&usage, &mut attempt.error);
            });
            let settled = hold.settle(Outcome::Completed);
            told.learn(sizes, target, &usage.usage, &settled);
            let body = body.unwrap_or(bytes);
            if let Some(fill) = fill.filter(|_| !withheld) {
                fill.whole(&body, &settled);
            }
            Ok(Reply::Whole { body, kind, settled })
        }
        Err(error) => Err(fail(hold, error)),
    }
}

/// The provider accepted and did not deliver: owed, and absorbed by the operator.
pub(super) fn fail(hold: OpenHold, error: ProviderError) -> CallError {
    hold.give_up(Outcome::Truncated, &error.to_string());
    hold.settle(Outcome::Failed);
    CallError::Garbled(error)
}

/// A usage report that was odd is used as far as it is believable; the row says what was odd.
pub(super) fn note_odd(usage: &UsageReport, note: &mut Option<Arc<str>>) {
    if !usage.odd.is_none() {
        let names: Vec<&str> = usage.odd.names().collect();
        *note = Some(format!("odd usage: {}", names.join(", ")).into());
    }
}

/// What was found in a whole reply.
struct Read {
    usage: UsageReport,
    /// Our own count, for a provider that reports none; nothing where it was foreseen.
    output_tokens: Option<u64>,
    /// The service tier it was processed in, where the provider says.
    tier: Option<String>,
    /// Whether a filter kept some of it back.
    withheld: bool,
    /// The body rewritten, where the client reads another.
    body: Option<Bytes>,
    /// Its content type.
    kind: &'static str,
}

fn chat(site: &Site, target: &Target, bytes: &[u8], told: &Told) -> Result<Read, ProviderError> {
    let mut reply = site.adapter.decode_reply(bytes)?;
    let usage = reply.usage;
    let output_tokens = output_of(&reply, &target.family);
    let same = site.adapter.dialect() == told.dialect;
    if usage.usage.is_empty() {
        // The client's dialect has a usage block to fill, so it is told what is charged for.
        let counted = Usage::new().with(Class::Input, told.input_tokens);
        reply.usage.usage = counted.with(Class::Output, output_tokens);
    }
    let body = (!same).then(|| Bytes::from(told.dialect.encode_reply(&reply, &told.options())));
    let tier = reply.service_tier.as_deref().map(str::to_owned);
    let mut finishes = reply.choices.iter().filter_map(|choice| choice.finish.as_ref());
    let withheld = finishes.any(is_withheld);
    Ok(Read { usage, output_tokens: Some(output_tokens), tier, withheld, body, kind: JSON })
}

/// The output of a whole reply: as it is reported, and counted only where it is not.
pub(super) fn output_of(reply: &ChatReply<'_>, family: &Family) -> u64 {
    let usage = &reply.usage.usage;
    let reported = usage.get(Class::Output).and_then(|_| usage.output_total());
    let written = || reply.choices.iter().flat_map(|choice| &choice.blocks);
    reported.unwrap_or_else(|| written().map(|block| text(block, family)).sum())
}

fn embeddings(site: &Site, bytes: &[u8], told: &Told) -> Result<Read, ProviderError> {
    let mut reply = site.adapter.decode_embeddings(bytes)?;
    let usage = reply.usage;
    let body = (site.adapter.embeddings_dialect() != told.dialect).then(|| {
        if usage.usage.is_empty() {
            // The client is told what is charged for.
            reply.usage.usage = Usage::new().with(Class::Input, told.input_tokens);
        }
        told.dialect.encode_embeddings(&reply, told.vectors, &told.options()).into()
    });
    Ok(Read { usage, output_tokens: Some(0), tier: None, withheld: false, body, kind: JSON })
}

fn task(site: &Site, bytes: &[u8]) -> Result<Read, ProviderError> {
    let usage = site.adapter.decode_task(bytes)?;
    Ok(Read { usage, output_tokens: Some(0), tier: None, withheld: false, body: None, kind: JSON })
}

fn media(site: &Site, bytes: &[u8], told: &Told) -> Result<Read, ProviderError> {
    let answer = told.media.unwrap_or(Answer::Pictures { event: None });
    let MediaReply { usage, body, kind } = site.adapter.decode_media(answer, bytes)?;
    let output_tokens = usage.usage.get(Class::Output).and_then(|_| usage.usage.output_total());
    let body = body.map(Bytes::from);
    Ok(Read { usage, output_tokens, tier: None, withheld: false, body, kind })
}

fn text(block: &Block<'_>, family: &Family) -> u64 {
    match block {
        Block::Text { text, .. } | Block::Refusal { text } | Block::Thinking { text, .. } => {
            family.count(text)
        }
        Block::ToolCall { name, arguments, .. } => family.count(name) + family.count(arguments),
        _ => 0,
    }
}
