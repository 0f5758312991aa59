//! Writes a stream in this dialect: chunks, the usage chunk where asked for, `[DONE]`.

use super::finish_word;
use super::reply::write_choice;
use crate::dialect::json::{Object, array};
use crate::dialect::openai_chat::{has_both_sides, write_usage};
use crate::dialect::{EncodeOptions, StreamEncoder};
use crate::unified::{Event, Part, UsageReport, WireError};

/// Writes chunks. Every chunk repeats the reply's id and model, so it remembers them.
pub(crate) struct Encoder {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
}

impl Encoder {
    pub(crate) fn new(options: &EncodeOptions<'_>) -> Self {
        Encoder {
            id: options.id.to_owned(),
            model: options.model.to_owned(),
            created: options.created,
            include_usage: options.include_usage,
        }
    }

    /// One chunk with at most one choice.
    fn chunk(
        &self,
        out: &mut Vec<u8>,
        choice: Option<(u32, &str, Option<&str>)>,
        usage: Option<(&UsageReport, &[(&'static str, serde_json::Value)])>,
    ) {
        out.extend_from_slice(b"data: ");
        let mut top = Object::open(out);
        top.str("id", &self.id).str("object", "text_completion").num("created", self.created);
        top.str("model", &self.model);
        array(top.key("choices"), choice, |out, (index, text, reason)| {
            write_choice(out, index, text, reason);
        });
        match usage {
            Some((report, extra)) => write_usage(top.key("usage"), &report.usage, extra),
            None if self.include_usage => drop(top.raw("usage", "null")),
            None => {}
        }
        top.close();
        out.extend_from_slice(b"\n\n");
    }
}

impl StreamEncoder for Encoder {
    fn observe(&mut self, event: &Event<'_>) {
        if let Event::Start { id, model, created, .. } = event {
            let said = |text: &Option<crate::Text<'_>>| {
                text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned)
            };
            self.id = said(id).unwrap_or_else(|| std::mem::take(&mut self.id));
            self.model = said(model).unwrap_or_else(|| std::mem::take(&mut self.model));
            self.created = created.unwrap_or(self.created);
        }
    }

    fn encode(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        match event {
            Event::Start { .. } => self.observe(event),
            Event::Delta { choice, part: Part::Text(text) | Part::Refusal(text) } => {
                self.chunk(out, Some((*choice, text, None)), None);
            }
            // This dialect is text and nothing else.
            Event::Delta { .. } => {}
            Event::Finish { choice, reason } => {
                self.chunk(out, Some((*choice, "", Some(finish_word(reason)))), None);
            }
            Event::Usage(report) => self.usage(report, &[], out),
            Event::End => out.extend_from_slice(b"data: [DONE]\n\n"),
            Event::Error(error) => self.error(&error.to_wire(), out),
        }
    }

    fn usage(
        &mut self,
        report: &UsageReport,
        extra: &[(&'static str, serde_json::Value)],
        out: &mut Vec<u8>,
    ) {
        if self.include_usage && has_both_sides(&report.usage) {
            self.chunk(out, None, Some((report, extra)));
        }
    }

    fn error(&mut self, error: &WireError, out: &mut Vec<u8>) {
        crate::dialect::error::openai_event(error, out);
    }
}
