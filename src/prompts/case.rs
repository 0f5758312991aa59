//! Tests that a template carries: inputs, and what must be true of the answer and of its price.

use serde_json::{Map, Value};
use tollgate_accounting::Money;

use super::front::Notes;
use super::schema::Schema;
use super::settings::Placed;

/// One test.
#[derive(Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// The inputs.
    pub inputs: Map<String, Value>,
    /// The line it begins on.
    pub(super) line: usize,
    contains: Vec<String>,
    equals: Option<Value>,
    schema: Option<Schema>,
    max_cost: Option<Money>,
    max_tokens: Option<u64>,
}

/// What a call of the template gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer: a text, or a value of the output schema.
    pub output: Value,
    /// What it cost.
    pub cost: Money,
    /// Tokens read and written.
    pub tokens: u64,
}

const KEYS: [&str; 7] =
    ["name", "inputs", "contains", "equals", "schema", "max_cost_usd", "max_tokens"];

pub(super) fn read(test: &Placed, notes: &mut Notes<'_>) -> Option<Case> {
    let Value::Object(members) = &test.value else {
        notes.at(test.at, "a test is a table: [[tests]]");
        return None;
    };
    for unknown in members.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        notes.at(
            test.at,
            format!("unknown key `{unknown}` of a test; known here: {}", KEYS.join(", ")),
        );
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let mut bad = |what: &str| notes.at(test.at, format!("of a test, {what}"));
    let contains = match members.get("contains") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) if all.iter().all(Value::is_string) => {
            all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(_) => {
            bad("`contains` is a text or a list of texts");
            Vec::new()
        }
    };
    let schema = members.get("schema").map(|schema| Schema::new(schema.clone())).transpose();
    let schema = schema.map_err(|why| bad(&format!("`schema`: {why}"))).ok().flatten();
    let max_cost = members.get("max_cost_usd").and_then(|value| {
        let money = value.as_str().and_then(|text| text.parse().ok());
        if money.is_none() {
            bad("`max_cost_usd` is a decimal in quotes: \"0.01\"");
        }
        money
    });
    let max_tokens = members.get("max_tokens").and_then(|value| {
        if value.as_u64().is_none() {
            bad("`max_tokens` is a whole number");
        }
        value.as_u64()
    });
    let inputs = match members.get("inputs") {
        None => Map::new(),
        Some(Value::Object(inputs)) => inputs.clone(),
        Some(_) => {
            bad("`inputs` is a table");
            Map::new()
        }
    };
    let name = text("name").unwrap_or("unnamed").to_owned();
    let equals = members.get("equals").cloned();
    let line = notes.line_of(test.at);
    Some(Case { name, inputs, line, contains, equals, schema, max_cost, max_tokens })
}

impl Case {
    /// What the answer did wrong; nothing where the test passes.
    pub fn judge(&self, outcome: &Outcome) -> Vec<String> {
        let Outcome { output, cost, tokens } = outcome;
        let text = output.as_str().map_or_else(|| output.to_string(), str::to_owned);
        let missing = self.contains.iter().filter(|part| !text.contains(part.as_str()));
        let mut wrong: Vec<String> =
            missing.map(|part| format!("does not contain {part:?}")).collect();
        if self.equals.as_ref().is_some_and(|expected| expected != output) {
            wrong.push("is not what it must equal".to_owned());
        }
        if let Some(Err(mismatch)) = self.schema.as_ref().map(|schema| schema.check(output)) {
            wrong.push(mismatch.to_string());
        }
        if let Some(most) = self.max_cost.filter(|most| cost > most) {
            wrong.push(format!("cost ${cost}, more than ${most}"));
        }
        if let Some(most) = self.max_tokens.filter(|most| tokens > most) {
            wrong.push(format!("took {tokens} tokens, more than {most}"));
        }
        wrong
    }
}
