//! JSON Schema as inputs and outputs are held to it: nothing is fetched, and patterns are matched in
//! time linear in the text.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value, json};

/// How many violations are told; the rest would repeat them.
const TOLD: usize = 8;

/// A value does not keep to its schema. One sentence a violation, with where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Mismatch(pub Vec<String>);

/// A schema and what checks it.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) value: Value,
    validator: Validator,
}

impl Schema {
    pub(super) fn new(value: Value) -> Result<Schema, String> {
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        let validator = options.build(&value).map_err(|error| {
            let at = error.instance_path().to_string();
            if at.is_empty() { error.to_string() } else { format!("{error} (at {at})") }
        })?;
        Ok(Schema { value, validator })
    }

    /// Says where a value departs from the schema. Values are not repeated: they may be large.
    pub(super) fn check(&self, value: &Value) -> Result<(), Mismatch> {
        let told = |error: jsonschema::ValidationError<'_>| {
            let at = error.instance_path().to_string();
            let what = error.masked().to_string();
            if at.is_empty() { what } else { format!("{at}: {what}") }
        };
        let violations: Vec<String> =
            self.validator.iter_errors(value).take(TOLD).map(told).collect();
        if violations.is_empty() { Ok(()) } else { Err(Mismatch(violations)) }
    }
}

/// The schema of an object with these members, and no other.
pub(super) fn object(properties: Map<String, Value>, required: &[String]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
