//! The last frames of a stream. Each way out settles the call first, so that what the client is told
//! is what the ledger says.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_accounting::{Class, Usage};
use tollgate_providers::{Event, FinishReason, ProviderError, UsageReport};

use super::Last;
use super::flow::Flow;
use crate::call::Sizes;
use crate::ledger::{Outcome, Refused, Settled};

impl Flow {
    /// The reply is whole.
    pub(super) fn end(mut self, sizes: &Sizes) -> (Last, Settled) {
        let report = self.report();
        let settled = self.hold.settle(Outcome::Completed);
        let reported = report.map_or_else(Usage::new, |report| report.usage);
        self.told.learn(sizes, &self.target, &reported, &settled);
        let told = told(&self.told.id, &settled);
        let member = format!("\"tollgate\":{told}");
        let mut out = Vec::new();
        match self.usage_frame {
            Some(frame) if self.same => {
                if self.told.include_usage {
                    out = with_member(&frame, &member);
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
        let others = without_member(&out, &member).into();
        (Last { first: out.into(), others, charged: settled.charged }, settled)
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
fn with_member(frame: &Bytes, member: &str) -> Vec<u8> {
    let Some(brace) = frame.iter().position(|byte| *byte == b'{') else { return frame.to_vec() };
    let (head, rest) = frame.split_at(brace + 1);
    [head, member.as_bytes(), b",", rest].concat()
}

/// The frames without a member that was written into them, and the comma that parts it from the others.
fn without_member(frames: &[u8], member: &str) -> Vec<u8> {
    let found = frames.windows(member.len()).position(|window| window == member.as_bytes());
    let Some(at) = found else { return frames.to_vec() };
    let (head, rest) = frames.split_at(at);
    let rest = rest.get(member.len()..).unwrap_or_default();
    match rest.strip_prefix(b",") {
        Some(rest) => [head, rest].concat(),
        None => [head.strip_suffix(b",").unwrap_or(head), rest].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_taken_out_wherever_it_stands() {
        let member = "\"tollgate\":{\"a\":1}";
        for (with, without) in [
            ("x: {\"tollgate\":{\"a\":1},\"b\":2}\n", "x: {\"b\":2}\n"),
            ("{\"b\":2,\"tollgate\":{\"a\":1}}", "{\"b\":2}"),
            ("{\"b\":2,\"tollgate\":{\"a\":1},\"c\":3}", "{\"b\":2,\"c\":3}"),
            ("{\"tollgate\":{\"a\":1}}", "{}"),
            ("{\"b\":2}", "{\"b\":2}"),
        ] {
            assert_eq!(without_member(with.as_bytes(), member), without.as_bytes(), "{with}");
        }
        let frame = Bytes::from_static(b"data: {\"b\":2}\n\n");
        assert_eq!(without_member(&with_member(&frame, member), member), frame);
    }
}
