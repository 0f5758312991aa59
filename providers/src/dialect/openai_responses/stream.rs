//! Writes a stream in this dialect: items that are added, grow and are done, each event numbered, and
//! at the end the response as a whole.

use super::output::{Head, Item, Kind, Piece, Status, frame, write_summary};
use crate::dialect::json::Object;
use crate::dialect::openai_chat::tier_word;
use crate::dialect::{EncodeOptions, StreamEncoder};
use crate::unified::{Event, FinishReason, Part, UsageReport, WireError};

/// Writes events. The last one repeats the whole answer, so all of it is kept.
pub(crate) struct Encoder {
    head: Head,
    number: u64,
    started: bool,
    items: Vec<Item>,
    finish: Option<FinishReason<'static>>,
    /// Where what is only observed is written to.
    scratch: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(options: &EncodeOptions<'_>) -> Self {
        Encoder {
            head: Head::new(options),
            number: 0,
            started: false,
            items: Vec::new(),
            finish: None,
            scratch: Vec::new(),
        }
    }

    fn emit(&mut self, out: &mut Vec<u8>, kind: &str, write: impl FnOnce(&mut Object<'_>, &Self)) {
        let number = self.number;
        self.number = self.number.saturating_add(1);
        frame(out, number, kind, |event| write(event, self));
    }

    fn response(&mut self, out: &mut Vec<u8>, kind: &str, status: &Status<'_>) {
        self.emit(out, kind, |event, this| {
            this.head.write(event.key("response"), status, &this.items);
        });
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            self.response(out, "response.created", &Status::InProgress);
            self.response(out, "response.in_progress", &Status::InProgress);
        }
    }

    /// Adds an item and tells of it, still empty.
    fn add(&mut self, kind: Kind, out: &mut Vec<u8>) -> usize {
        let place = self.items.len();
        self.items.push(Item::new(&self.head.id, place, kind));
        self.emit(out, "response.output_item.added", |event, this| {
            event.num("output_index", place as u64);
            if let Some(item) = this.items.get(place) {
                item.write(event.key("item"), "in_progress");
            }
        });
        place
    }

    /// An event about an item, or with `part` about a part of it.
    fn about(
        &mut self,
        out: &mut Vec<u8>,
        kind: &str,
        place: usize,
        part: Option<(&str, usize)>,
        write: impl FnOnce(&mut Object<'_>, &Item),
    ) {
        self.emit(out, kind, |event, this| {
            let Some(item) = this.items.get(place) else { return };
            event.str("item_id", &item.id).num("output_index", place as u64);
            if let Some((name, index)) = part {
                event.num(name, index as u64);
            }
            write(event, item);
        });
    }

    /// Whether the last item can grow by what `fits` names.
    fn open(&self, fits: impl Fn(&Kind) -> bool) -> Option<usize> {
        let last = self.items.last().is_some_and(|item| !item.done && fits(&item.kind));
        self.items.len().checked_sub(1).filter(|_| last)
    }

    fn text(&mut self, text: &str, refusal: bool, out: &mut Vec<u8>) {
        let place = match self.open(|kind| matches!(kind, Kind::Message(_))) {
            Some(place) => place,
            None => {
                self.close(out, false);
                self.add(Kind::Message(Vec::new()), out)
            }
        };
        let Some(Item { kind: Kind::Message(pieces), .. }) = self.items.get_mut(place) else {
            return;
        };
        if pieces.last().is_none_or(|piece| piece.refusal != refusal) {
            let before = pieces.len();
            if before > 0 {
                self.close_part(place, before - 1, out);
            }
            if let Some(Item { kind: Kind::Message(pieces), .. }) = self.items.get_mut(place) {
                pieces.push(Piece::new(refusal));
            }
            self.part(out, "response.content_part.added", place, before);
        }
        let Some(Item { kind: Kind::Message(pieces), .. }) = self.items.get_mut(place) else {
            return;
        };
        let index = pieces.len().saturating_sub(1);
        if let Some(piece) = pieces.last_mut() {
            piece.text.push_str(text);
        }
        let kind = if refusal { "response.refusal.delta" } else { "response.output_text.delta" };
        self.about(out, kind, place, Some(("content_index", index)), |event, _| {
            event.str("delta", text);
            if !refusal {
                event.raw("logprobs", "[]");
            }
        });
    }

    fn part(&mut self, out: &mut Vec<u8>, kind: &str, place: usize, index: usize) {
        self.about(out, kind, place, Some(("content_index", index)), |event, item| {
            if let Kind::Message(pieces) = &item.kind
                && let Some(piece) = pieces.get(index)
            {
                piece.write(event.key("part"));
            }
        });
    }

    fn close_part(&mut self, place: usize, index: usize, out: &mut Vec<u8>) {
        let refusal = matches!(
            self.items.get(place).map(|item| &item.kind),
            Some(Kind::Message(pieces)) if pieces.get(index).is_some_and(|p| p.refusal)
        );
        let kind = if refusal { "response.refusal.done" } else { "response.output_text.done" };
        self.about(out, kind, place, Some(("content_index", index)), |event, item| {
            let Kind::Message(pieces) = &item.kind else { return };
            let Some(piece) = pieces.get(index) else { return };
            if piece.refusal {
                event.str("refusal", &piece.text);
            } else {
                event.str("text", &piece.text);
                piece.write_logprobs(event);
            }
        });
        self.part(out, "response.content_part.done", place, index);
    }

    /// The open reasoning item; a new one where none is.
    fn reasoning(&mut self, out: &mut Vec<u8>) -> usize {
        if let Some(place) = self.open(|kind| matches!(kind, Kind::Reasoning { .. })) {
            return place;
        }
        self.close(out, false);
        self.add(Kind::Reasoning { text: None, encrypted: None }, out)
    }

    fn think(&mut self, more: &str, out: &mut Vec<u8>) {
        let place = self.reasoning(out);
        let Some(Item { kind: Kind::Reasoning { text, .. }, .. }) = self.items.get_mut(place)
        else {
            return;
        };
        let first = text.is_none();
        text.get_or_insert_default().push_str(more);
        let part = Some(("summary_index", 0));
        if first {
            self.about(out, "response.reasoning_summary_part.added", place, part, |event, _| {
                write_summary(event.key("part"), "");
            });
        }
        self.about(out, "response.reasoning_summary_text.delta", place, part, |event, _| {
            event.str("delta", more);
        });
    }

    fn seal(&mut self, data: &str, out: &mut Vec<u8>) {
        let place = self.reasoning(out);
        if let Some(Item { kind: Kind::Reasoning { encrypted, .. }, .. }) =
            self.items.get_mut(place)
        {
            encrypted.get_or_insert_default().push_str(data);
        }
    }

    fn arguments(&mut self, call: u32, json: &str, out: &mut Vec<u8>) {
        let place = self.items.iter().rposition(
            |item| matches!(&item.kind, Kind::Call { index, .. } if *index == call && !item.done),
        );
        let Some(place) = place else { return };
        if let Some(Item { kind: Kind::Call { arguments, .. }, .. }) = self.items.get_mut(place) {
            arguments.push_str(json);
        }
        self.about(out, "response.function_call_arguments.delta", place, None, |event, _| {
            event.str("delta", json);
        });
    }

    /// Ends what is open. Calls whose arguments may still grow stay open unless `all` are to end:
    /// some providers write the arguments of several calls in turns.
    fn close(&mut self, out: &mut Vec<u8>, all: bool) {
        for place in 0..self.items.len() {
            let Some(item) = self.items.get(place).filter(|item| !item.done) else { continue };
            let growing = match &item.kind {
                Kind::Call { arguments, .. } => {
                    serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_err()
                }
                Kind::Message(_) | Kind::Reasoning { .. } => false,
            };
            if all || !growing {
                self.done(place, out);
            }
        }
    }

    fn done(&mut self, place: usize, out: &mut Vec<u8>) {
        match self.items.get(place).map(|item| &item.kind) {
            Some(Kind::Message(pieces)) => {
                if let Some(last) = pieces.len().checked_sub(1) {
                    self.close_part(place, last, out);
                }
            }
            Some(Kind::Reasoning { text: Some(_), .. }) => {
                let part = Some(("summary_index", 0));
                let text = |item: &Item| match &item.kind {
                    Kind::Reasoning { text, .. } => text.clone().unwrap_or_default(),
                    Kind::Message(_) | Kind::Call { .. } => String::new(),
                };
                let kind = "response.reasoning_summary_text.done";
                self.about(out, kind, place, part, |event, item| {
                    event.str("text", &text(item));
                });
                let kind = "response.reasoning_summary_part.done";
                self.about(out, kind, place, part, |event, item| {
                    write_summary(event.key("part"), &text(item));
                });
            }
            Some(Kind::Call { .. }) => {
                let kind = "response.function_call_arguments.done";
                self.about(out, kind, place, None, |event, item| {
                    if let Kind::Call { name, arguments, .. } = &item.kind {
                        event.str("name", name).str("arguments", arguments);
                    }
                });
            }
            Some(Kind::Reasoning { text: None, .. }) | None => {}
        }
        if let Some(item) = self.items.get_mut(place) {
            item.done = true;
        }
        self.emit(out, "response.output_item.done", |event, this| {
            event.num("output_index", place as u64);
            if let Some(item) = this.items.get(place) {
                item.write(event.key("item"), "completed");
            }
        });
    }

    fn grow(&mut self, part: &Part<'_>, out: &mut Vec<u8>) {
        match part {
            Part::Text(text) => self.text(text, false, out),
            Part::Refusal(text) => self.text(text, true, out),
            Part::Reasoning(text) => self.think(text, out),
            Part::Signature(data) => self.seal(data, out),
            Part::RedactedReasoning(data) => {
                self.close(out, false);
                self.seal(data, out);
                self.close(out, false);
            }
            Part::ToolCallStart { index, id, name } => {
                self.close(out, false);
                let (call_id, name) = (id.to_string(), name.to_string());
                self.add(
                    Kind::Call { index: *index, call_id, name, arguments: String::new() },
                    out,
                );
            }
            Part::ToolCallArguments { index, json } => self.arguments(*index, json, out),
            Part::Logprobs(json) => {
                let last = self.items.last_mut().map(|item| &mut item.kind);
                if let Some(Kind::Message(pieces)) = last
                    && let Some(piece) = pieces.last_mut()
                {
                    piece.add_logprobs(json);
                }
            }
            // This dialect has no place for it.
            Part::Other(_) => {}
        }
    }
}

impl StreamEncoder for Encoder {
    fn observe(&mut self, event: &Event<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.encode(event, &mut scratch);
        scratch.clear();
        self.scratch = scratch;
    }

    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { id: _, model, created, service_tier } => {
                if let Some(model) = model.as_deref().filter(|m| !m.is_empty()) {
                    self.head.model = model.to_owned();
                }
                self.head.created = created.unwrap_or(self.head.created);
                if let Some(tier) = service_tier.as_deref().and_then(tier_word) {
                    self.head.service_tier = Some(tier.to_owned());
                }
                self.start(out);
            }
            // This dialect has one choice; requests for more do not get here.
            Event::Delta { choice: 0, part } => {
                self.start(out);
                self.grow(part, out);
            }
            Event::Finish { choice: 0, reason } => {
                self.start(out);
                self.close(out, true);
                self.finish = Some(reason.clone().into_owned());
            }
            Event::Delta { .. } | Event::Finish { .. } => {}
            Event::Usage(report) => self.head.usage.merge(report),
            Event::End => {
                self.start(out);
                self.close(out, true);
                let status = Status::of(self.finish.as_ref());
                let kind = match status {
                    Status::Incomplete(_) => "response.incomplete",
                    _ => "response.completed",
                };
                self.response(out, kind, &status);
            }
            Event::Error(error) => self.error(&error.to_wire(), out),
        }
    }

    fn usage(
        &mut self,
        report: &UsageReport,
        extra: &[(&'static str, serde_json::Value)],
        _: &mut Vec<u8>,
    ) {
        self.head.usage = *report;
        self.head.extra = extra.to_vec();
    }

    /// The response failed. The event repeats the error at its top, where OpenAI's SDKs look for what
    /// they are to raise.
    fn error(&mut self, error: &WireError, out: &mut Vec<u8>) {
        self.start(out);
        self.emit(out, "response.failed", |event, this| {
            this.head.write(event.key("response"), &Status::Failed(error), &this.items);
            let mut inner = event.object("error");
            crate::dialect::error::openai_members(error, &mut inner);
            inner.close();
        });
    }
}
