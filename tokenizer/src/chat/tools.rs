//! Tools as OpenAI's models are shown them: declarations in the form of TypeScript.

use super::ToolCall;
use crate::json::Value;

/// The tool by which OpenAI's models call several at once.
pub(super) const PARALLEL: &str = "multi_tool_use.parallel";

/// What it is called with: the calls of one message, as the models write them (billed so, to the
/// token, for the recorded ones).
pub(super) fn parallel(calls: &[ToolCall<'_>]) -> String {
    let mut out = String::from("{\"tool_uses\":[");
    for (at, ToolCall { id: _, name, arguments }) in calls.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { "," });
        out.push_str("{\"recipient_name\":\"functions.");
        out.push_str(name);
        out.push_str("\",\"parameters\":");
        out.push_str(arguments);
        out.push('}');
    }
    out.push_str("]}");
    out
}

/// The text that a `tools` array (or the older `functions`) becomes.
pub(super) fn declared(tools: &Value<'_>) -> String {
    let mut out = String::from("namespace functions {\n\n");
    for tool in tools.items() {
        // Chat completions wrap the function, the responses API and `functions` don't.
        let function = tool.get("function").unwrap_or(tool);
        declare(function, &mut out);
    }
    out.push_str("} // namespace functions");
    out
}

fn declare(function: &Value<'_>, out: &mut String) {
    if let Some(text) = description(function) {
        out.push_str("// ");
        // Lines of a longer one lose their indentation (billed).
        for line in text.lines() {
            out.push_str(line.trim_start());
            out.push('\n');
        }
    }
    out.push_str("type ");
    out.push_str(function.get("name").and_then(Value::text).unwrap_or("function"));
    let parameters = function.get("parameters").unwrap_or(&Value::Null);
    if properties(parameters).is_empty() {
        out.push_str(" = () => any;\n\n");
        return;
    }
    out.push_str(" = (_: {\n");
    let root = Schema { root: parameters, depth: 0 };
    root.members(parameters, out);
    out.push_str("}) => any;\n\n");
}

fn description<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    value.get("description").and_then(Value::text).map(str::trim).filter(|text| !text.is_empty())
}

fn properties<'v, 'a>(schema: &'v Value<'a>) -> &'v [(std::borrow::Cow<'a, str>, Value<'a>)] {
    schema.get("properties").map_or(&[], Value::entries)
}

/// A place in a tool's schema: references are looked up from its root.
#[derive(Clone, Copy)]
struct Schema<'v, 'a> {
    root: &'v Value<'a>,
    depth: usize,
}

/// Deeper types, and references into themselves, become `any`.
const DEEPEST: usize = 8;

impl Schema<'_, '_> {
    fn members(self, schema: &Value<'_>, out: &mut String) {
        let required = schema.get("required").map_or(&[][..], Value::items);
        for (name, member) in properties(schema) {
            // Titles stand apart from descriptions, at every depth (billed).
            if let Some(title) = member.get("title").and_then(Value::text) {
                out.push_str("// ");
                out.push_str(title);
                out.push_str("\n//\n");
            }
            if let Some(text) = description(member).filter(|_| self.depth == 0) {
                out.push_str("// ");
                out.push_str(text);
                out.push('\n');
            }
            out.push_str(name);
            if !required.iter().any(|required| required.text() == Some(name)) {
                out.push('?');
            }
            out.push_str(": ");
            self.write(member, out);
            out.push_str(",\n");
        }
    }

    fn write(self, schema: &Value<'_>, out: &mut String) {
        if self.depth > DEEPEST {
            return out.push_str("any");
        }
        let deeper = Schema { root: self.root, depth: self.depth + 1 };
        if let Some(target) = schema.get("$ref").and_then(|path| self.follow(path.text()?)) {
            return deeper.write(target, out);
        }
        if let Some(options) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
            return join(options.items(), out, |option, out| deeper.write(option, out));
        }
        if let Some(values) = schema.get("enum") {
            return join(values.items(), out, crate::json::write);
        }
        match schema.get("type") {
            Some(Value::Array(types)) => {
                join(types, out, |name, out| deeper.named(name.text(), schema, out));
            }
            name => self.named(name.and_then(Value::text), schema, out),
        }
    }

    fn named(self, name: Option<&str>, schema: &Value<'_>, out: &mut String) {
        match name {
            Some("string") => out.push_str("string"),
            Some("number" | "integer") => out.push_str("number"),
            Some("boolean") => out.push_str("boolean"),
            Some("null") => out.push_str("null"),
            Some("array") => {
                match schema.get("items") {
                    Some(items) => {
                        Schema { root: self.root, depth: self.depth + 1 }.write(items, out)
                    }
                    None => out.push_str("any"),
                }
                out.push_str("[]");
            }
            Some("object") if !properties(schema).is_empty() => {
                out.push_str("{\n");
                Schema { root: self.root, depth: self.depth + 1 }.members(schema, out);
                out.push('}');
            }
            Some("object") => out.push_str("object"),
            _ => out.push_str("any"),
        }
    }

    /// The schema that a reference of the form `#/$defs/Name` names.
    fn follow(&self, path: &str) -> Option<&Value<'_>> {
        let mut at = self.root;
        for key in path.strip_prefix("#/")?.split('/') {
            at = at.get(key)?;
        }
        Some(at)
    }
}

fn join<'a, T>(items: &[T], out: &mut String, mut write: impl FnMut(&T, &mut String) + 'a) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(" | ");
        }
        write(item, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_declared_with_its_descriptions_and_optional_members() {
        let tools = r##"[{"type":"function","function":{"name":"weather","description":"Today.",
            "parameters":{"type":"object","properties":{
                "city":{"type":"string","description":"Where"},
                "unit":{"type":"string","enum":["c","f"]},
                "days":{"type":"array","items":{"$ref":"#/$defs/Day"}}},
                "$defs":{"Day":{"type":"object","properties":{"n":{"type":["integer","null"]}}}},
                "required":["city"]}}},{"name":"now"}]"##;
        let expected = "namespace functions {\n\n// Today.\ntype weather = (_: {\n// Where\n\
            city: string,\nunit?: \"c\" | \"f\",\ndays?: {\nn?: number | null,\n}[],\n}) => any;\n\n\
            type now = () => any;\n\n} // namespace functions";
        assert_eq!(declared(&crate::json::parse(tools).unwrap()), expected);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let tools =
            r##"[{"name":"f","parameters":{"properties":{"a":{"$ref":"#/properties/a"}}}}]"##;
        assert!(declared(&crate::json::parse(tools).unwrap()).contains("a?: any"));
    }
}
