//! The last frames of a stream. Each way out settles the call first, so that what the client is told
//! is what the ledger says.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_accounting::{Class, Usage};
use tollgate_providers::{Event, FinishReason, ProviderError, UsageReport};

use super::flow::Flow;
use crate::call::Sizes;
use crate::call::answers::Filling;
use crate::ledger::{Outcome, Refused, Settled};

impl Flow {
    /// The reply is whole.
    pub(super) fn end(
        mut self,
        sizes: &Sizes,
        filling: Option<Filling>,
        ready: &mut VecDeque<Bytes>,
    ) {
        let report = self.report();
        let last = self.last();
        let settled = self.hold.settle(Outcome::Completed);
        if let (Some(filling), Some(last)) = (filling, last) {
            filling.end(&last, &settled);
        }
        let reported = report.map_or_else(Usage::new, |report| report.usage);
        self.told.learn(sizes, &self.target, &reported, &settled);
        let told = told(&self.told.id, &settled);
        let mut out = Vec::new();
        match self.usage_frame {
            Some(frame) if self.same => {
                if self.told.include_usage {
                    out = with_member(&frame, "tollgate", &told);
                }
            }
            // It came along with content, as some providers send it.
            None if self.same && report.is_some() => {}
            // The provider reported no usage of its own, or in another dialect.
            _ => {
                let report = report.unwrap_or_else(|| counted(&settled));
                self.encoder.usage(&report, &[("tollgate", told)], &mut out);
            }
        }
        match self.end_frame {
            Some(frame) if self.same => out.extend_from_slice(&frame),
            _ => self.encoder.encode(&Event::End, &mut out),
        }
        push(ready, out);
    }

    /// The last frames as the provider wrote them, for whoever is given the reply again: without what
    /// the ledger says of this call. `None` where they are ours, or the reply was withheld.
    fn last(&self) -> Option<Vec<u8>> {
        let end = self.end_frame.as_ref().filter(|_| self.same && !self.tally.withheld())?;
        match &self.usage_frame {
            Some(usage) if self.told.include_usage => Some([&usage[..], &end[..]].concat()),
            None if self.told.include_usage && self.report().is_none() => None,
            _ => Some(end.to_vec()),
        }
    }

    /// The reply broke off: the client is sent an error that its SDK raises, and no false end.
    pub(super) fn fail(
        mut self,
        outcome: Outcome,
        error: &ProviderError,
        ready: &mut VecDeque<Bytes>,
    ) {
        self.hold.give_up(outcome, &error.to_string());
        let settled = self.hold.settle(outcome);
        let mut wire = error.to_wire();
        wire.extra.push(("tollgate", told(&self.told.id, &settled)));
        let mut out = Vec::new();
        self.encoder.error(&wire, &mut out);
        push(ready, out);
    }

    /// Nothing is left to hold: the reply ends as one that reached its cap, and says why.
    pub(super) fn cut(mut self, refused: &Refused, ready: &mut VecDeque<Bytes>) {
        let reason = match refused {
            Refused::Limit(refusal) => json!({
                "cut": "budget",
                "limit": &*refusal.limit,
                "account": &*refusal.account,
                "available": refusal.available,
            }),
            _ => json!({ "cut": "ledger" }),
        };
        let unfinished = self.tally.unfinished();
        self.hold.give_up(Outcome::Cut, &format!("cut: {reason}"));
        let settled = self.hold.settle(Outcome::Cut);
        let mut told = told(&self.told.id, &settled);
        if let (Value::Object(told), Value::Object(reason)) = (&mut told, &reason) {
            told.extend(reason.clone());
        }
        // A comment, which every client skips and a person finds; the usage chunk has it too.
        let mut out = format!(": tollgate {told}\n\n").into_bytes();
        for choice in unfinished {
            let finish = Event::Finish { choice, reason: FinishReason::Length };
            self.encoder.encode(&finish, &mut out);
        }
        self.encoder.usage(&counted(&settled), &[("tollgate", told)], &mut out);
        self.encoder.encode(&Event::End, &mut out);
        push(ready, out);
    }
}

fn push(ready: &mut VecDeque<Bytes>, out: Vec<u8>) {
    if !out.is_empty() {
        ready.push_back(Bytes::from(out));
    }
}

/// What the ledger says of the call.
fn told(id: &str, settled: &Settled) -> Value {
    json!({
        "request_id": id,
        "cost_usd": settled.charged.to_string(),
        "input_provenance": settled.input.provenance.name(),
        "output_provenance": settled.output.provenance.name(),
    })
}

/// A usage report of what was settled, where the provider's own is not to be had.
fn counted(settled: &Settled) -> UsageReport {
    let usage = Usage::new()
        .with(Class::Input, settled.input.tokens)
        .with(Class::Output, settled.output.tokens);
    UsageReport { usage, ..UsageReport::default() }
}

/// The frame with one more member in its JSON object; every byte of the provider's is kept.
fn with_member(frame: &Bytes, name: &str, value: &Value) -> Vec<u8> {
    let Some(brace) = frame.iter().position(|byte| *byte == b'{') else { return frame.to_vec() };
    let (head, rest) = frame.split_at(brace + 1);
    let member = format!("\"{name}\":{value},");
    [head, member.as_bytes(), rest].concat()
}
