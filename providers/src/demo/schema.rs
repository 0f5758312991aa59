//! An instance of a JSON Schema: simple, deterministic, and valid for the schemas that structured
//! outputs and tools use.

use serde_json::{Map, Value, json};

use super::seed::Seed;

/// How deep an instance nests. Recursive schemas end here.
const DEPTH: usize = 8;

const WORDS: [&str; 8] =
    ["amber", "harbour", "ledger", "meadow", "orbit", "quartz", "river", "toll"];

/// The JSON text of an instance of the schema.
pub(super) fn instance(schema: &str, seed: &mut Seed) -> String {
    let root: Value = serde_json::from_str(schema).unwrap_or(Value::Bool(true));
    build(&root, &root, seed, DEPTH).to_string()
}

fn build(root: &Value, schema: &Value, seed: &mut Seed, depth: usize) -> Value {
    let Value::Object(map) = schema else { return json!({}) };
    if let Some(value) = map.get("const") {
        return value.clone();
    }
    if let Some(Value::Array(values)) = map.get("enum") {
        return seed.pick(values).cloned().unwrap_or(Value::Null);
    }
    if depth == 0 {
        return Value::Null;
    }
    if let Some(Value::String(at)) = map.get("$ref") {
        let found = at.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return found.map_or(Value::Null, |found| build(root, found, seed, depth - 1));
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(options)) = map.get(name) {
            // Near the bottom a way out is taken where there is one.
            let null = options.iter().find(|o| o.get("type") == Some(&json!("null")));
            let option = if depth <= 2 { null.or(options.first()) } else { options.first() };
            return option.map_or(Value::Null, |option| build(root, option, seed, depth - 1));
        }
    }
    let kind = match map.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if map.contains_key("properties") => "object",
        _ if map.contains_key("items") => "array",
        _ => "string",
    };
    match kind {
        "object" => object(root, map, seed, depth),
        "array" => array(root, map, seed, depth),
        "string" => Value::String(string(map, seed)),
        "integer" => json!(integer(map, seed)),
        "number" => json!(integer(map, seed)),
        "boolean" => Value::Bool(seed.below(2) == 1),
        _ => Value::Null,
    }
}

fn object(root: &Value, map: &Map<String, Value>, seed: &mut Seed, depth: usize) -> Value {
    let required: Option<Vec<&str>> = map
        .get("required")
        .and_then(Value::as_array)
        .map(|r| r.iter().filter_map(Value::as_str).collect());
    let Some(Value::Object(properties)) = map.get("properties") else { return json!({}) };
    let wanted = |name: &str| {
        // Optional members are filled in too, except where a schema may be recursive.
        depth > 4 || required.as_ref().is_none_or(|r| r.contains(&name))
    };
    let members = properties.iter().filter(|(name, _)| wanted(name));
    Value::Object(members.map(|(n, s)| (n.clone(), build(root, s, seed, depth - 1))).collect())
}

fn array(root: &Value, map: &Map<String, Value>, seed: &mut Seed, depth: usize) -> Value {
    let bound = |name: &str| map.get(name).and_then(Value::as_u64);
    let least = bound("minItems").unwrap_or(u64::from(depth > 2)).min(16);
    let most = bound("maxItems").unwrap_or(least + 1).max(least).min(16);
    let length = least + seed.below(most - least + 1);
    let anything = json!({"type": "string"});
    let items = map.get("items").unwrap_or(&anything);
    Value::Array((0..length).map(|_| build(root, items, seed, depth - 1)).collect())
}

fn string(map: &Map<String, Value>, seed: &mut Seed) -> String {
    let bound =
        |name: &str| map.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    match map.get("format").and_then(Value::as_str) {
        Some("date") => return "2026-11-24".into(),
        Some("date-time") => return "2026-11-24T12:00:00Z".into(),
        Some("time") => return "12:00:00Z".into(),
        Some("email") => return "someone@example.com".into(),
        Some("uri") => return "https://example.com/".into(),
        Some("uuid") => return "018f5d6e-7a3b-7c4d-8e9f-0a1b2c3d4e5f".into(),
        _ => {}
    }
    let mut text = seed.pick(&WORDS).copied().unwrap_or_default().to_owned();
    let least = bound("minLength").unwrap_or(0).min(4_096);
    while text.len() < least {
        text.push('x');
    }
    text.truncate(bound("maxLength").unwrap_or(usize::MAX));
    text
}

fn integer(map: &Map<String, Value>, seed: &mut Seed) -> i64 {
    // Bounds may be written with a fraction; whole numbers inside them do for both types.
    let bound = |name: &str, up: bool| {
        let value = map.get(name)?;
        value
            .as_i64()
            .or_else(|| value.as_f64().map(|f| (if up { f.ceil() } else { f.floor() }) as i64))
    };
    let above = bound("exclusiveMinimum", false).map(|n| n.saturating_add(1));
    let below = bound("exclusiveMaximum", true).map(|n| n.saturating_sub(1));
    let least = bound("minimum", true).or(above);
    let most = bound("maximum", false).or(below);
    let least = least.unwrap_or_else(|| most.map_or(1, |most| most.min(1)));
    let most = most.unwrap_or(least.saturating_add(40)).max(least);
    let step = bound("multipleOf", true).unwrap_or(1).max(1);
    let span = most.abs_diff(least).min(1_000);
    let value = least.saturating_add_unsigned(seed.below(span.saturating_add(1)));
    let whole = value.div_euclid(step).saturating_mul(step);
    if whole < least { whole.saturating_add(step) } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(schema: &Value) -> Value {
        serde_json::from_str(&instance(&schema.to_string(), &mut Seed::of(&[b"x"]))).unwrap()
    }

    #[test]
    fn instances_keep_to_their_schema() {
        let person = json!({"type": "object", "required": ["name", "age", "tags", "kind"], "properties": {
            "name": {"type": "string", "minLength": 20}, "age": {"type": "integer", "minimum": 18, "maximum": 20},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
            "kind": {"enum": ["a", "b"]}, "on": {"type": "string", "format": "date"},
            "inner": {"$ref": "#/$defs/inner"}, "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}},
            "$defs": {"inner": {"type": "object", "properties": {"n": {"type": ["number", "null"]}}}}});
        let value = made(&person);
        assert!(value["name"].as_str().unwrap().len() >= 20);
        assert!((18..=20).contains(&value["age"].as_i64().unwrap()));
        assert_eq!(value["tags"].as_array().unwrap().len(), 2);
        assert!(["a", "b"].contains(&value["kind"].as_str().unwrap()));
        assert!(value["inner"]["n"].is_number() && value["maybe"].is_boolean());
    }

    #[test]
    fn a_schema_that_never_ends_is_cut() {
        let tree = json!({"$ref": "#/$defs/t", "$defs": {"t": {"type": "object", "required": ["next"],
            "properties": {"next": {"anyOf": [{"$ref": "#/$defs/t"}, {"type": "null"}]}}}}});
        assert!(made(&tree).to_string().len() < 200);
        let wide = json!({"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "minItems": 1000000,
            "items": {"$ref": "#/$defs/t"}}}});
        assert!(made(&wide).to_string().len() < 1_000_000);
        assert_eq!(made(&json!({"$ref": "#"})), Value::Null);
        assert_eq!(made(&json!(true)), json!({}));
    }
}
