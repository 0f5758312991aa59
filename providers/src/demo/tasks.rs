//! What the demo judges and puts in order: by plain words, so that anybody can see why.

use serde::Deserialize;

use super::{Call, Response, whole};
use crate::dialect::json::{Object, array};
use crate::unified::{Task, TaskRequest};

/// Categories, and what of a text is of them.
const HARMFUL: [(&str, &[&str]); 4] = [
    ("harassment", &["idiot", "stupid", "shut up"]),
    ("hate", &["hate"]),
    ("self-harm", &["hurt myself", "kill myself"]),
    ("violence", &["kill", "attack", "murder", "bomb"]),
];

/// Answers a request to judge or to put in order.
pub(super) fn respond(call: &Call<'_>, req: &TaskRequest<'_>) -> Response {
    let mut out = Vec::new();
    let mut top = Object::open(&mut out);
    top.str("id", if req.task == Task::Moderate { "modr-demo" } else { "rank-demo" });
    top.str("model", &req.model);
    match req.task {
        Task::Moderate => array(top.key("results"), &req.texts, |out, text| judge(out, text)),
        Task::Rank => rank(top.key("results"), call, req),
    }
    let query = req.query.as_deref().map_or(0, |query| (call.count)(query));
    let tokens: u64 = req.texts.iter().map(|text| (call.count)(text) + query).sum();
    let mut usage = top.object("usage");
    usage.num("prompt_tokens", tokens).num("total_tokens", tokens);
    usage.close();
    top.close();
    whole(out)
}

fn judge(out: &mut Vec<u8>, text: &str) {
    let text = text.to_lowercase();
    let found = HARMFUL.map(|(name, words)| (name, words.iter().any(|word| text.contains(word))));
    let mut object = Object::open(out);
    object.value("flagged", &found.iter().any(|(_, found)| *found));
    let mut categories = object.object("categories");
    for (name, found) in &found {
        categories.value(name, found);
    }
    categories.close();
    let mut scores = object.object("category_scores");
    for (name, found) in &found {
        scores.raw(name, if *found { "0.98" } else { "0.01" });
    }
    scores.close();
    object.close();
}

#[derive(Deserialize)]
struct Wish {
    top_n: Option<usize>,
}

/// By the share of the query's words that a document has, of equals the earlier first.
fn rank(out: &mut Vec<u8>, call: &Call<'_>, req: &TaskRequest<'_>) {
    let words = |text: &str| -> Vec<String> {
        let letters = |c: char| !c.is_alphanumeric();
        text.to_lowercase().split(letters).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let query = words(req.query.as_deref().unwrap_or_default());
    let share = |text: &str| {
        let has = words(text);
        let found = query.iter().filter(|word| has.contains(word)).count();
        found * 1_000 / query.len().max(1)
    };
    let mut order: Vec<(usize, usize)> =
        req.texts.iter().enumerate().map(|(index, text)| (index, share(text))).collect();
    order.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
    let wish = serde_json::from_slice(call.body).unwrap_or(Wish { top_n: None });
    order.truncate(wish.top_n.unwrap_or(order.len()));
    array(out, &order, |out, (index, share)| {
        let mut object = Object::open(out);
        object.num("index", *index as u64);
        object.raw("relevance_score", &format!("{}.{:03}", share / 1_000, share % 1_000));
        object.close();
    });
}
