//! What a name in a Handlebars template stands for here, by the schema of the inputs: an expression,
//! what must be true for it to have a value, and its type.

use serde_json::Value;

use super::draft::Draft;

/// Where names are looked up.
#[derive(Clone)]
pub(super) struct Scope {
    /// The expression of `this`; none at the root.
    this: Option<Place>,
    /// Whether it is an item of a loop.
    pub(super) looped: bool,
}

/// A value of the inputs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) expression: String,
    /// What must be true for it to be there.
    pub(super) given: Vec<String>,
    /// None where nothing is known of it.
    schema: Option<Value>,
}

impl Scope {
    pub(super) const ROOT: Scope = Scope { this: None, looped: false };

    pub(super) fn of(this: Place, looped: bool) -> Scope {
        Scope { this: Some(this), looped }
    }
}

impl Place {
    fn plain(expression: &str, kind: &str) -> Place {
        let schema = Some(serde_json::json!({ "type": kind }));
        Place { expression: expression.to_owned(), given: Vec::new(), schema }
    }

    /// Whether it may be of that JSON type.
    pub(super) fn may_be(&self, kind: &str) -> bool {
        let Some(schema) = &self.schema else { return true };
        match &schema["type"] {
            Value::String(only) => only == kind,
            Value::Array(kinds) => kinds.iter().any(|one| one == kind),
            _ => match schema["enum"].as_array() {
                Some(values) => values.iter().any(|value| match kind {
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    _ => true,
                }),
                None => true,
            },
        }
    }

    /// Whether it is of that type, but for null.
    pub(super) fn is(&self, kind: &str) -> bool {
        let others = ["string", "number", "integer", "boolean", "array", "object"];
        self.schema.is_some()
            && self.may_be(kind)
            && !others.iter().any(|other| *other != kind && self.may_be(other))
    }

    /// Its condition, joined with another.
    pub(super) fn and(&self, last: &str) -> String {
        let all: Vec<&str> = self.given.iter().map(String::as_str).chain([last]).collect();
        all.join(" and ")
    }

    /// The expression, or another where it has no value.
    pub(super) fn or(&self, otherwise: &str) -> String {
        if self.given.is_empty() {
            self.expression.clone()
        } else {
            format!("({} if {} else {otherwise})", self.expression, self.given.join(" and "))
        }
    }

    /// An item of it, under a name.
    pub(super) fn item(&self, name: &str) -> Place {
        let schema = self.schema.as_ref().and_then(|schema| schema.get("items")).cloned();
        let given = match &schema {
            Some(schema) if is_nullable(schema) => vec![format!("{name} is not none")],
            Some(_) => Vec::new(),
            None => vec![format!("{name} is not none")],
        };
        Place { expression: name.to_owned(), given, schema }
    }

    fn member(&self, name: &str) -> Result<Place, String> {
        if !self.may_be("object") {
            return Err(format!("`{}` is no object, so it has no `{name}`", self.expression));
        }
        let expression = format!("{}.{name}", self.expression);
        let schema = self.schema.as_ref().map(|schema| &schema["properties"][name]);
        let known = schema.filter(|schema| schema.is_object()).cloned();
        if known.is_none() && self.schema.as_ref().is_some_and(|s| s["properties"].is_object()) {
            return Err(format!("the schema of `{}` has no `{name}`", self.expression));
        }
        let required = self.schema.as_ref().and_then(|schema| schema["required"].as_array());
        let needed = required.is_some_and(|names| names.iter().any(|one| one == name));
        let mut given = self.given.clone();
        may_lack(&mut given, &expression, !needed, known.as_ref());
        Ok(Place { expression, given, schema: known })
    }
}

/// What a path stands for, as it is written in a tag.
pub(super) fn resolve(path: &str, scopes: &[Scope], draft: &Draft) -> Result<Place, String> {
    if let Some(name) = path.strip_prefix('@') {
        if let Some(rest) = name.strip_prefix("root.") {
            return from(&Scope::ROOT, rest, draft);
        }
        let in_loop = scopes.last().is_some_and(|scope| scope.looped);
        return match name {
            "index" if in_loop => Ok(Place::plain("loop.index0", "integer")),
            "first" if in_loop => Ok(Place::plain("loop.first", "boolean")),
            "last" if in_loop => Ok(Place::plain("loop.last", "boolean")),
            _ => Err(format!("@{name} has no value here")),
        };
    }
    let (mut rest, mut up) = (path, 0);
    while let Some(shorter) = rest.strip_prefix("../") {
        (rest, up) = (shorter, up + 1);
    }
    let scope = scopes.len().checked_sub(up + 1).and_then(|place| scopes.get(place));
    let scope = scope.ok_or("there is nothing so far up")?;
    let rest = if rest == ".." { return Err("`..` alone is not read".to_owned()) } else { rest };
    from(scope, rest, draft)
}

fn from(scope: &Scope, path: &str, draft: &Draft) -> Result<Place, String> {
    let path = path.strip_prefix("./").unwrap_or(path);
    let (mut place, rest) = match (&scope.this, path) {
        (Some(this), "this" | ".") => (this.clone(), None),
        (Some(this), path) => (this.clone(), Some(path.strip_prefix("this.").unwrap_or(path))),
        (None, path) => {
            let path = path.strip_prefix("this.").unwrap_or(path);
            let (first, rest) = path.split_once('.').map_or((path, None), |(f, r)| (f, Some(r)));
            (input(first, draft)?, rest)
        }
    };
    for name in rest.into_iter().flat_map(|rest| rest.split('.')) {
        if !is_word(name) {
            return Err(format!("{name:?} is no name of a member here"));
        }
        place = place.member(name)?;
    }
    Ok(place)
}

fn input(name: &str, draft: &Draft) -> Result<Place, String> {
    if !is_word(name) {
        return Err(format!("{name:?} is no name of an input here"));
    }
    let input = draft
        .input(name)
        .ok_or_else(|| format!("`{name}` is used, but input.schema says nothing of it"))?;
    let mut given = Vec::new();
    let lacks = input.optional && input.schema.get("default").is_none();
    may_lack(&mut given, name, lacks, Some(&input.schema));
    Ok(Place { expression: name.to_owned(), given, schema: Some(input.schema.clone()) })
}

/// Notes how a value may be absent, or null, which Handlebars both writes as nothing.
fn may_lack(given: &mut Vec<String>, name: &str, absent: bool, schema: Option<&Value>) {
    if absent {
        given.push(format!("{name} is defined"));
    }
    if schema.is_none_or(is_nullable) {
        given.push(format!("{name} is not none"));
    }
}

fn is_nullable(schema: &Value) -> bool {
    let null = |kind: &Value| kind == "null";
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(null),
        Value::Null => schema["enum"].is_null(),
        kind => null(kind),
    }
}

/// Whether a text can be a name in a template.
pub(super) fn is_word(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(inner)
}
