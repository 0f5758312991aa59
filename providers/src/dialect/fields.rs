//! Typed reading of top-level fields, each fault naming its field.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::guard::{Bounds, Member, Outline, outline};
use crate::unified::{BadRequest, Number, Span, Spans, Text};

/// One top-level field: a name and the JSON text of its value.
pub(crate) struct Field<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) json: &'a str,
    pub(crate) span: Span,
}

impl<'a> Field<'a> {
    pub(crate) fn of(outline: &Outline<'a>, member: &Member<'a>) -> Result<Self, BadRequest> {
        let Member { key, escaped, value } = member;
        let name = if *escaped || key.bytes().any(|b| b < 0x20) {
            let quoted = format!("\"{key}\"");
            let name: String = serde_json::from_str(&quoted)
                .map_err(|_| BadRequest::whole("the name of a field is not a JSON string"))?;
            Text::from(name)
        } else {
            Text::from(*key)
        };
        Ok(Field { name, json: &outline.text[value.clone()], span: value.clone() })
    }

    pub(crate) fn is_null(&self) -> bool {
        self.json == "null"
    }

    pub(crate) fn bad(&self, message: impl fmt::Display) -> BadRequest {
        BadRequest::field(self.name.as_str(), format!("`{}` {message}", self.name))
    }

    /// Any type that serde can read; `null` is absent.
    pub(crate) fn read<T: Deserialize<'a>>(&self) -> Result<T, BadRequest> {
        serde_json::from_str(self.json).map_err(|e| self.bad(says(&e)))
    }

    pub(crate) fn optional<T: Deserialize<'a>>(&self) -> Result<Option<T>, BadRequest> {
        if self.is_null() { Ok(None) } else { self.read().map(Some) }
    }

    pub(crate) fn raw(&self) -> Result<&'a RawValue, BadRequest> {
        self.read()
    }

    /// A whole number within bounds. It must be written as digits: `1.0` and `1e3` are no counts.
    pub(crate) fn count(&self, least: u64, most: u64) -> Result<Option<u64>, BadRequest> {
        if self.is_null() {
            return Ok(None);
        }
        let json = self.json;
        let digits = json.strip_prefix('-').unwrap_or(json);
        if digits.is_empty()
            || !digits.bytes().all(|b| b.is_ascii_digit())
            || (digits.len() > 1 && digits.starts_with('0'))
        {
            return Err(self.bad("must be an integer"));
        }
        if json.starts_with('-') {
            return Err(self.bad(format_args!("must be at least {least}")));
        }
        match json.parse::<u64>() {
            Ok(n) if n < least => Err(self.bad(format_args!("must be at least {least}"))),
            Ok(n) if n <= most => Ok(Some(n)),
            _ => Err(self.bad(format_args!("must be at most {most}"))),
        }
    }

    /// A number that is carried as it was written.
    pub(crate) fn number(&self) -> Result<Option<Number<'a>>, BadRequest> {
        if self.is_null() {
            return Ok(None);
        }
        // serde_json decides what a JSON number is; we only ask that it be finite.
        self.read::<&RawValue>()?;
        Number::parse(self.json).map(Some).ok_or_else(|| self.bad("must be a finite number"))
    }

    /// An array, element by element; a fault names the index.
    pub(crate) fn each<T: Deserialize<'a>>(
        &self,
        take: impl FnMut(usize, T) -> Result<(), BadRequest>,
    ) -> Result<(), BadRequest> {
        let index = Cell::new(None);
        let fault = Cell::new(None);
        let mut de = serde_json::Deserializer::from_str(self.json);
        let seed = Each { index: &index, fault: &fault, take, element: PhantomData::<T> };
        match seed.deserialize(&mut de).and_then(|()| de.end()) {
            Ok(()) => Ok(()),
            Err(e) => Err(fault.take().unwrap_or_else(|| match index.get() {
                Some(i) => {
                    let param = format!("{}[{i}]", self.name);
                    let message = format!("`{param}` {}", says(&e));
                    BadRequest::field(param, message)
                }
                None => self.bad(says(&e)),
            })),
        }
    }
}

/// serde's words without the position, which counts from the value and not from the body.
pub(crate) fn says(e: &serde_json::Error) -> String {
    let full = e.to_string();
    let text = full.rsplit_once(" at line ").map_or(full.as_str(), |(text, _)| text);
    if e.is_data() {
        format!("is not as it should be: {text}")
    } else {
        format!("is not valid JSON: {text}")
    }
}

struct Each<'s, T, F> {
    index: &'s Cell<Option<usize>>,
    fault: &'s Cell<Option<BadRequest>>,
    take: F,
    element: PhantomData<T>,
}

impl<'de, T, F> DeserializeSeed<'de> for Each<'_, T, F>
where
    T: Deserialize<'de>,
    F: FnMut(usize, T) -> Result<(), BadRequest>,
{
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T, F> Visitor<'de> for Each<'_, T, F>
where
    T: Deserialize<'de>,
    F: FnMut(usize, T) -> Result<(), BadRequest>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        for i in 0.. {
            self.index.set(Some(i));
            let Some(element) = seq.next_element::<T>()? else { break };
            if let Err(bad) = (self.take)(i, element) {
                self.fault.set(Some(bad));
                return Err(serde::de::Error::custom("fault"));
            }
        }
        self.index.set(None);
        Ok(())
    }
}

/// Takes each field of a body once; gives where fields may be added.
pub(crate) fn members<'a>(
    body: &'a [u8],
    bounds: &Bounds,
    mut take: impl FnMut(Field<'a>) -> Result<(), BadRequest>,
) -> Result<Spans, BadRequest> {
    let outline = outline(body, bounds.max_depth, bounds.max_fields)?;
    let mut seen: Vec<Text<'a>> = Vec::with_capacity(outline.members.len());
    for member in &outline.members {
        let field = Field::of(&outline, member)?;
        if seen.contains(&field.name) {
            return Err(field.bad("is given twice"));
        }
        seen.push(field.name.clone());
        take(field)?;
    }
    let (insert_at, empty) = (outline.insert_at, outline.members.is_empty());
    Ok(Spans { insert_at, empty, ..Spans::default() })
}

/// A field that must be there is not.
pub(crate) fn missing(name: &str) -> BadRequest {
    BadRequest::field(name, format!("`{name}` is missing"))
}

/// An element of a field is at fault.
pub(crate) fn indexed(field: &str, index: usize, why: &str) -> BadRequest {
    let param = format!("{field}[{index}]");
    let message = format!("`{param}` {why}");
    BadRequest::field(param, message)
}
