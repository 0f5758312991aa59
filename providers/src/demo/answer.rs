//! What the demo says: prose out of a small corpus, JSON where asked for, calls to tools.

use super::schema;
use super::seed::Seed;
use crate::unified::{Block, ChatRequest, Message, ResponseFormat, Role, Tool, ToolChoice};

/// What one choice consists of.
pub(super) enum Answer {
    /// Words, each with the space before it.
    Words(Vec<String>),
    /// Calls: name and arguments.
    Calls(Vec<(String, String)>),
}

/// The most words of prose.
const MOST_WORDS: u64 = 4_000;

const OPENINGS: [&str; 6] = [
    "Here is what matters most.",
    "In short, it depends on where you look.",
    "Let us take it step by step.",
    "There are two sides to this.",
    "The plain answer comes first.",
    "It helps to begin with an example.",
];

const SUBJECTS: [&str; 10] = [
    "A toll road",
    "The ledger",
    "A careful reader",
    "Every token",
    "The night train",
    "A small team",
    "The old harbour",
    "Good accounting",
    "A quiet machine",
    "The second draft",
];

const VERBS: [&str; 10] = [
    "keeps",
    "counts",
    "remembers",
    "carries",
    "explains",
    "measures",
    "returns",
    "repairs",
    "crosses",
    "outlives",
];

const OBJECTS: [&str; 10] = [
    "what it was given",
    "the smallest part",
    "a promise made in writing",
    "more than it shows",
    "the distance between two numbers",
    "its own mistakes",
    "the weather of the day",
    "a bridge of many spans",
    "the last word",
    "whatever nobody checked",
];

const ENDINGS: [&str; 6] = [
    "before anyone asks",
    "and says so",
    "without a sound",
    "one line at a time",
    "as long as the sums agree",
    "until the morning",
];

/// The answer for one choice.
pub(super) fn answer(req: &ChatRequest<'_>, seed: &mut Seed) -> Answer {
    let asked = last_user_text(req);
    if let Some(calls) = calls(req, &asked, seed) {
        return Answer::Calls(calls);
    }
    let text = match &req.response_format {
        ResponseFormat::JsonSchema { schema: Some(schema), .. } => {
            schema::instance(schema.get(), seed)
        }
        ResponseFormat::JsonObject | ResponseFormat::JsonSchema { schema: None, .. } => {
            serde_json::json!({ "answer": sentence(seed) }).to_string()
        }
        ResponseFormat::Text | ResponseFormat::Other(_) => prose(req, &asked, seed),
    };
    Answer::Words(words(&text))
}

fn prose(req: &ChatRequest<'_>, asked: &str, seed: &mut Seed) -> String {
    if let Some(echo) = asked.trim_start().strip_prefix("echo:") {
        return echo.trim().to_owned();
    }
    if let Some(Message { role: Role::Tool, blocks, .. }) = req.messages.last() {
        return format!("The tool answered: {}", texts(blocks).trim());
    }
    let wanted = words_wanted(asked).unwrap_or_else(|| 20 + seed.below(60));
    let mut text = seed.pick(&OPENINGS).copied().unwrap_or_default().to_owned();
    let mut length = text.split(' ').count() as u64;
    while length < wanted {
        let next = sentence(seed);
        length += next.split(' ').count() as u64;
        text.push(' ');
        text.push_str(&next);
    }
    text
}

pub(super) fn sentence(seed: &mut Seed) -> String {
    let mut pick = |from: &[&'static str]| seed.pick(from).copied().unwrap_or_default();
    let (subject, verb) = (pick(&SUBJECTS), pick(&VERBS));
    format!("{subject} {verb} {} {}.", pick(&OBJECTS), pick(&ENDINGS))
}

/// `… 300 words …` asks for that many.
fn words_wanted(asked: &str) -> Option<u64> {
    let before = asked.split(" words").next().filter(|b| b.len() < asked.len())?;
    let number: u64 = before.rsplit(' ').next()?.parse().ok()?;
    Some(number.clamp(1, MOST_WORDS))
}

/// The tools to call: those that are forced, else those whose name the user's words hint at.
fn calls(req: &ChatRequest<'_>, asked: &str, seed: &mut Seed) -> Option<Vec<(String, String)>> {
    let functions: Vec<(&str, Option<&str>)> = req
        .tools
        .iter()
        .filter_map(|tool| match tool {
            Tool::Function { name, parameters, .. } => {
                Some((name.as_str(), parameters.map(|p| p.get())))
            }
            Tool::Other { .. } => None,
        })
        .collect();
    let asked = asked.to_lowercase();
    let hinted = |name: &str| {
        let mut parts = name.split(['_', '-', '.']).filter(|part| part.len() >= 4);
        parts.any(|part| asked.contains(&part.to_lowercase()))
    };
    let answered =
        matches!(req.messages.last(), Some(m) if m.role == Role::Tool || answers_a_tool(m));
    let mut chosen: Vec<_> = match &req.tool_choice {
        Some(ToolChoice::None) => return None,
        Some(ToolChoice::Named(wanted)) => {
            functions.iter().filter(|(name, _)| *wanted == *name).collect()
        }
        _ if answered => return None,
        Some(ToolChoice::Required) => {
            let hinted: Vec<_> = functions.iter().filter(|(name, _)| hinted(name)).collect();
            if hinted.is_empty() { functions.iter().take(1).collect() } else { hinted }
        }
        Some(ToolChoice::Auto | ToolChoice::Other(_)) | None => {
            functions.iter().filter(|(name, _)| hinted(name)).collect()
        }
    };
    if req.parallel_tool_calls == Some(false) {
        chosen.truncate(1);
    }
    let calls: Vec<_> = chosen
        .into_iter()
        .map(|(name, parameters)| {
            let arguments =
                parameters.map_or_else(|| "{}".to_owned(), |p| schema::instance(p, seed));
            ((*name).to_owned(), arguments)
        })
        .collect();
    (!calls.is_empty()).then_some(calls)
}

fn answers_a_tool(message: &Message<'_>) -> bool {
    message.blocks.iter().any(|b| matches!(b, Block::ToolResult { .. }))
}

fn last_user_text(req: &ChatRequest<'_>) -> String {
    let last = req.messages.iter().rev().find(|m| m.role == Role::User);
    last.map(|m| texts(&m.blocks)).unwrap_or_default()
}

/// The text in blocks, tool results included.
pub(super) fn texts(blocks: &[Block<'_>]) -> String {
    let mut all = String::new();
    for block in blocks {
        match block {
            Block::Text { text, .. } | Block::Refusal { text } | Block::Thinking { text, .. } => {
                all.push_str(text);
            }
            Block::ToolCall { name, arguments, .. } => {
                all.push_str(name);
                all.push_str(arguments);
            }
            // A tool's result holds no further results, but nothing here depends on it.
            Block::ToolResult { content, .. } => {
                for block in content {
                    if let Block::Text { text, .. } = block {
                        all.push_str(text);
                    }
                }
            }
            _ => {}
        }
    }
    all
}

/// Cuts a text before each space, so that the pieces laid end to end are the text.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for piece in text.split_inclusive(' ') {
        match words.last_mut() {
            Some(last) if last.ends_with(' ') => {
                last.pop();
                words.push(format!(" {piece}"));
            }
            _ => words.push(piece.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_laid_end_to_end_are_the_text() {
        for text in ["", "one", "one two", " lead", "trail ", "a  b", "  "] {
            assert_eq!(words(text).concat(), text, "{text:?}");
        }
        assert_eq!(words("a b c"), ["a", " b", " c"]);
    }

    #[test]
    fn a_number_of_words_can_be_asked_for() {
        assert_eq!(words_wanted("write 300 words on toll"), Some(300));
        assert_eq!(words_wanted("write 999999999 words"), Some(MOST_WORDS));
        for asked in ["many words", "300", "words", " words"] {
            assert_eq!(words_wanted(asked), None, "{asked}");
        }
    }
}
