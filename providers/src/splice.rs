//! Replaces a few values in a body and leaves every other byte as it was.

use crate::unified::{Source, Span, Spans};

/// The edits to one body.
pub(crate) struct Splice<'s> {
    body: &'s [u8],
    spans: &'s Spans,
    edits: Vec<(Span, Vec<u8>)>,
    inserts: Vec<u8>,
}

impl<'s> Splice<'s> {
    pub(crate) fn new(source: &'s Source<'_>) -> Self {
        Splice { body: source.body, spans: &source.spans, edits: Vec::new(), inserts: Vec::new() }
    }

    /// Gives the field at `span` this value, or adds the field where there is none.
    pub(crate) fn set(&mut self, name: &str, span: Option<&Span>, value: Vec<u8>) {
        match span {
            Some(span) if self.body.get(span.clone()) == Some(&value[..]) => {}
            Some(span) => self.edits.push((span.clone(), value)),
            None => {
                // Names are ours and hold nothing that JSON would escape.
                self.inserts.extend_from_slice(format!("\"{name}\":").as_bytes());
                self.inserts.extend_from_slice(&value);
                self.inserts.push(b',');
            }
        }
    }

    /// The body with the edits made.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.edits.sort_by_key(|(span, _)| span.start);
        let grown: usize = self.edits.iter().map(|(_, value)| value.len()).sum();
        let mut out = Vec::with_capacity(self.body.len() + grown + self.inserts.len());
        if self.spans.empty {
            self.inserts.pop();
        }
        let mut at = self.spans.insert_at;
        out.extend_from_slice(&self.body[..at]);
        out.extend_from_slice(&self.inserts);
        for (span, value) in self.edits {
            out.extend_from_slice(&self.body[at..span.start]);
            out.extend_from_slice(&value);
            at = span.end;
        }
        out.extend_from_slice(&self.body[at..]);
        out
    }
}
