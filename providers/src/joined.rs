//! Requests that differ only in a list, as embeddings, moderations and texts to complete do, joined into
//! one, and its reply parted again: each gets its own results, numbered as it knows them, and its part of
//! the usage.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::json::{Object, array};
use crate::guard::{Outline, outline};
use crate::openai::told;
use crate::unified::{ErrorKind, ProviderError};

/// The lists of a request and of its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lists {
    /// `input` and `data`.
    Embeddings,
    /// `input` and `results`.
    Moderations,
    /// `prompt` and `choices`, each of which is written.
    Completions,
}

impl Lists {
    fn inputs(self) -> &'static str {
        match self {
            Lists::Embeddings | Lists::Moderations => "input",
            Lists::Completions => "prompt",
        }
    }

    fn results(self) -> &'static str {
        match self {
            Lists::Embeddings => "data",
            Lists::Moderations => "results",
            Lists::Completions => "choices",
        }
    }
}

/// A request in an OpenAI-like provider's own words, opened at its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// What stands around the list.
    terms: Terms,
    items: Vec<Box<str>>,
}

/// All of a request but its list. Requests with equal terms can be one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    before: Box<str>,
    after: Box<str>,
    /// Tokens and texts cannot stand in one list.
    tokens: bool,
}

impl Parcel {
    /// Opens a request; nothing where it is of a kind that is not joined: without its list, or with
    /// other things than texts, or tokens, in it.
    pub fn open(body: &[u8], lists: Lists) -> Option<Parcel> {
        let Outline { text, members, .. } = outline(body, usize::MAX, usize::MAX).ok()?;
        let mut inputs = members.iter().filter(|member| member.key == lists.inputs());
        let span = inputs.next()?.value.clone();
        if inputs.next().is_some() {
            return None;
        }
        let (list, before, after) =
            (text.get(span.clone())?, text.get(..span.start)?, text.get(span.end..)?);
        let items: Vec<&RawValue> = match list.as_bytes().first()? {
            b'"' => vec![serde_json::from_str(list).ok()?],
            b'[' => serde_json::from_str(list).ok()?,
            _ => return None,
        };
        let all = |first: fn(u8) -> bool| {
            items.iter().all(|item| item.get().bytes().next().is_some_and(first))
        };
        let (tokens, items) = if items.is_empty() {
            return None;
        } else if all(|byte| byte == b'"') {
            (false, items.into_iter().map(|item| item.get().into()).collect())
        } else if lists != Lists::Embeddings {
            // Objects are parts of one input to a judge, not several; tokens are no text to complete.
            return None;
        } else if all(|byte| byte.is_ascii_digit()) {
            (true, vec![list.into()])
        } else if all(|byte| byte == b'[') {
            (true, items.into_iter().map(|item| item.get().into()).collect())
        } else {
            return None;
        };
        let terms = Terms { before: before.into(), after: after.into(), tokens };
        Some(Parcel { terms, items })
    }

    /// What requests that it is joined with have in common with it.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How many results it is to have.
    pub fn items(&self) -> usize {
        self.items.len()
    }
}

/// One request of several whose terms are equal, its list in their order.
pub fn join<'p>(parcels: impl Iterator<Item = &'p Parcel> + Clone) -> Vec<u8> {
    let Some(Terms { before, after, .. }) = parcels.clone().next().map(Parcel::terms) else {
        return Vec::new();
    };
    let mut out = Vec::from(before.as_bytes());
    array(&mut out, parcels.flat_map(|parcel| &parcel.items), |out, item| {
        out.extend_from_slice(item.as_bytes());
    });
    out.extend_from_slice(after.as_bytes());
    out
}

/// What one of the joined requests has in the reply.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Results.
    pub items: usize,
    /// The tokens of its inputs, by our count.
    pub tokens: u64,
}

/// Parts a reply: for each share a reply of its own, in the same order. Counts of the usage are split by
/// [`split`]: by the inputs, and those of what was written by the texts, which `count` counts. What of it
/// is no count is left out.
///
/// # Errors
/// Where the reply is an error, or has not exactly the results that were asked for.
pub fn part(
    reply: &[u8],
    lists: Lists,
    shares: &[Share],
    count: impl Fn(&str) -> u64,
) -> Result<Vec<Vec<u8>>, ProviderError> {
    let malformed = |why: &str| ProviderError::new(ErrorKind::Malformed, why);
    let outline =
        outline(reply, usize::MAX, usize::MAX).map_err(|bad| malformed(&bad.to_string()))?;
    let member = |name: &str| {
        let member = outline.members.iter().find(|member| member.key == name)?;
        outline.text.get(member.value.clone())
    };
    if let Some(error) = member("error").filter(|error| *error != "null") {
        return Err(told(error));
    }
    let results = member(lists.results()).unwrap_or_default();
    let results: Vec<&RawValue> =
        serde_json::from_str(results).map_err(|_| malformed("the reply has no results"))?;
    let asked = shares.iter().map(|share| share.items).sum::<usize>();
    if results.len() != asked {
        let message = format!("the reply has {} results for {asked} inputs", results.len());
        return Err(malformed(&message));
    }
    let results =
        in_order(&results).ok_or_else(|| malformed("the reply's numbering is no order"))?;
    let weights: Vec<u64> = shares.iter().map(|share| share.tokens).collect();
    let usages = member("usage").and_then(|usage| match lists {
        Lists::Embeddings | Lists::Moderations => Some(objects(&counts(usage, &weights), shares)),
        Lists::Completions => {
            let mut results = results.iter();
            let mut own = |share: &Share| {
                results.by_ref().take(share.items).map(|result| count(&result.text())).sum()
            };
            let texts: Vec<u64> = shares.iter().map(&mut own).collect();
            of_written(usage, &weights, &texts)
        }
    });
    let mut from = 0;
    let mut parts = Vec::with_capacity(shares.len());
    for (at, share) in shares.iter().enumerate() {
        let own = results.get(from..from + share.items).unwrap_or_default();
        from += share.items;
        let mut out = Vec::new();
        let mut top = Object::open(&mut out);
        for member in outline.members.iter().filter(|member| !member.escaped) {
            if member.key == lists.results() {
                array(top.key(member.key), own.iter().enumerate(), |out, (index, result)| {
                    result.write(index, out);
                });
            } else if member.key == "usage" {
                if let Some(usage) = usages.as_ref().and_then(|usages| usages.get(at)) {
                    top.raw("usage", usage);
                }
            } else if let Some(value) = outline.text.get(member.value.clone()) {
                top.raw(member.key, value);
            }
        }
        top.close();
        parts.push(out);
    }
    Ok(parts)
}

/// A total by weights: each has the whole part of its share, and what is left goes, one each, to those
/// with the largest remainders, of equals to the earlier. The parts sum up to the total. Weights that are
/// all nothing count as equal.
pub fn split(total: u64, weights: &[u64]) -> Vec<u64> {
    let all: u128 = weights.iter().copied().map(u128::from).sum();
    let weight = |own: u64| if all == 0 { 1 } else { u128::from(own) };
    let all = if all == 0 { weights.len() as u128 } else { all };
    if all == 0 {
        return Vec::new();
    }
    let exact = weights.iter().map(|own| u128::from(total) * weight(*own));
    let mut parts: Vec<(u64, u128)> =
        exact.map(|share| (u64::try_from(share / all).unwrap_or(u64::MAX), share % all)).collect();
    let left = total - parts.iter().map(|(part, _)| *part).sum::<u64>();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(parts.get(*at).map_or(0, |(_, rest)| *rest)));
    for at in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        if let Some((part, _)) = parts.get_mut(at) {
            *part += 1;
        }
    }
    parts.into_iter().map(|(part, _)| part).collect()
}

/// One result, opened at its number where it has one.
struct Numbered<'a> {
    whole: &'a str,
    before: &'a str,
    number: Option<usize>,
    after: &'a str,
}

impl<'a> Numbered<'a> {
    fn of(raw: &'a RawValue) -> Numbered<'a> {
        let text = raw.get();
        let whole = Numbered { whole: text, before: text, number: None, after: "" };
        let Ok(outline) = outline(text.as_bytes(), usize::MAX, usize::MAX) else { return whole };
        let Some(index) = outline.members.iter().find(|member| member.key == "index") else {
            return whole;
        };
        let span = index.value.clone();
        let parts = (text.get(..span.start), text.get(span.clone()), text.get(span.end..));
        let (Some(before), Some(number), Some(after)) = parts else { return whole };
        match number.parse() {
            Ok(number) => Numbered { whole: text, before, number: Some(number), after },
            Err(_) => whole,
        }
    }

    /// What was written, where that is a text.
    fn text(&self) -> String {
        #[derive(Deserialize)]
        struct Choice {
            #[serde(default)]
            text: String,
        }
        serde_json::from_str(self.whole).map_or_else(|_| String::new(), |Choice { text }| text)
    }

    fn write(&self, number: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        if self.number.is_some() {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        out.extend_from_slice(self.after.as_bytes());
    }
}

/// The results by their numbers, where they have them, and as they stand where none has; nothing where
/// the numbers are not those from 0 on.
fn in_order<'a>(results: &[&'a RawValue]) -> Option<Vec<Numbered<'a>>> {
    let mut results: Vec<_> = results.iter().map(|raw| Numbered::of(raw)).collect();
    if results.iter().all(|result| result.number.is_none()) {
        return Some(results);
    }
    results.sort_by_key(|result| result.number);
    let numbers = results.iter().map(|result| result.number);
    numbers.eq((0..results.len()).map(Some)).then_some(results)
}

/// The counts of a usage block, each split.
fn counts<'a>(usage: &'a str, weights: &[u64]) -> Vec<(&'a str, Vec<u64>)> {
    let Ok(outline) = outline(usage.as_bytes(), usize::MAX, usize::MAX) else { return Vec::new() };
    let count = |member: &crate::guard::Member<'a>| {
        let total = usage.get(member.value.clone())?.parse().ok()?;
        (!member.escaped).then(|| (member.key, split(total, weights)))
    };
    outline.members.iter().filter_map(count).collect()
}

/// The usage of each where nothing was written.
fn objects(counts: &[(&str, Vec<u64>)], shares: &[Share]) -> Vec<String> {
    (0..shares.len()).map(|at| object(counts, at)).collect()
}

fn object(counts: &[(&str, Vec<u64>)], at: usize) -> String {
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    for (name, split) in counts {
        object.num(name, split.get(at).copied().unwrap_or(0));
    }
    object.close();
    String::from_utf8(out).unwrap_or_default()
}

/// The usage of each where something was: what was read by the inputs, what was written by the texts, the
/// details of either like what they are a part of. None where it does not tell both.
fn of_written(usage: &str, inputs: &[u64], texts: &[u64]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Told<'a> {
        prompt_tokens: u64,
        completion_tokens: u64,
        #[serde(borrow, default)]
        prompt_tokens_details: Option<&'a RawValue>,
        #[serde(borrow, default)]
        completion_tokens_details: Option<&'a RawValue>,
    }
    let told: Told<'_> = serde_json::from_str(usage).ok()?;
    let (read, written) = (split(told.prompt_tokens, inputs), split(told.completion_tokens, texts));
    let details = |raw: Option<&'_ RawValue>, of: &[u64]| -> Vec<String> {
        // By the parts themselves: so no part of a part is more than it.
        let counts = raw.map_or_else(Vec::new, |raw| counts(raw.get(), of));
        (0..of.len()).map(|at| object(&counts, at)).collect()
    };
    let reads = details(told.prompt_tokens_details, &read);
    let writes = details(told.completion_tokens_details, &written);
    let each = read.iter().zip(&written).zip(reads.iter().zip(&writes));
    let each = each.map(|((read, written), (reads, writes))| {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.num("prompt_tokens", *read).num("completion_tokens", *written);
        object.num("total_tokens", read.saturating_add(*written));
        object.raw("prompt_tokens_details", reads).raw("completion_tokens_details", writes);
        object.close();
        String::from_utf8(out).unwrap_or_default()
    });
    Some(each.collect())
}

#[cfg(test)]
mod tests;
