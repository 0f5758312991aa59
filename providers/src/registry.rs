//! Every provider by the name a configuration gives it. Adding one adds its folder and a line here.

use crate::Provider;
use crate::anthropic;
use crate::bedrock;
use crate::cohere;
use crate::compatible;
use crate::demo;
use crate::gemini;
use crate::openai;
use crate::openai_responses;

/// The provider of that kind.
pub fn provider(kind: &str) -> Option<&'static dyn Provider> {
    all().find(|p| p.name() == kind)
}

/// The kinds there are, in the order of their listing.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    all().map(|p| p.name())
}

fn all() -> impl Iterator<Item = &'static dyn Provider> {
    let listed: [&'static dyn Provider; 9] = [
        &openai::OPENAI,
        &openai_responses::RESPONSES,
        &anthropic::ANTHROPIC,
        &anthropic::VERTEX,
        &gemini::GEMINI,
        &gemini::VERTEX,
        &bedrock::BEDROCK,
        &cohere::COHERE,
        &demo::DEMO,
    ];
    listed.into_iter().chain(compatible::ALL.iter().map(|p| p as &dyn Provider))
}
