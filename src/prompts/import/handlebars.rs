//! A dotprompt body, Handlebars with helpers of its own, as parts of ours:
//! <https://google.github.io/dotprompt/reference/template/>, <https://handlebarsjs.com/guide/>.

use super::draft::{Draft, Said, literal};
use super::path::{Place, Scope, resolve};
use super::{Told, speaker};
use crate::prompts::front::Speaker;

/// Blocks within blocks.
const DEEPEST: usize = 32;

/// A piece of a body: text, or what stands between braces.
enum Piece<'t> {
    Text(String),
    Tag { inner: &'t str, before: bool, after: bool, line: usize },
}

/// A block that is open.
struct Block {
    name: String,
    line: usize,
    /// How it ends here.
    close: &'static str,
    /// Whether names inside it are looked up in a scope of its own.
    scoped: bool,
}

/// Writes a body, which begins on that line, to the parts of a draft.
pub(super) fn parts(body: &str, first: usize, draft: &Draft, told: &mut Told<'_>) -> Vec<Said> {
    let pieces = stand_alone(cut(body, first, told));
    let said = vec![Said { speaker: Speaker::User, text: String::new(), line: first }];
    let mut writer = Writer { draft, told, said, blocks: Vec::new(), scopes: vec![Scope::ROOT] };
    for piece in pieces {
        match piece {
            Piece::Text(text) => writer.text(&text),
            Piece::Tag { inner, before, after, line } => writer.tag(inner, (before, after), line),
        }
    }
    if let Some(Block { name, line, .. }) = writer.blocks.pop() {
        writer.told.error(line, &name, "this block is not closed");
    }
    let mut said = writer.said;
    said.retain(|said| !said.text.trim().is_empty());
    said
}

/// Cuts a body at its tags.
fn cut<'t>(body: &'t str, first: usize, told: &mut Told<'_>) -> Vec<Piece<'t>> {
    let (mut pieces, mut text, mut at) = (Vec::new(), String::new(), 0);
    while let Some(rest) = body.get(at..) {
        let Some(open) = rest.find("{{") else {
            text.push_str(rest);
            break;
        };
        let line = first + body.bytes().take(at + open).filter(|byte| *byte == b'\n').count();
        let (before, tag) = rest.split_at(open);
        // A tag behind a backslash is text, up to its own end.
        let escaped = before.ends_with('\\');
        text.push_str(if escaped { before.strip_suffix('\\').unwrap_or(before) } else { before });
        let (open, close) = if tag.starts_with("{{!--") || tag.starts_with("{{~!--") {
            ("{{", "--}}")
        } else if tag.starts_with("{{{") {
            ("{{{", "}}}")
        } else {
            ("{{", "}}")
        };
        let tilde = tag.get(open.len()..).and_then(|t| t.find("--~}}")).filter(|_| close == "--}}");
        let end = tag.find(close).filter(|end| tilde.is_none_or(|t| t + open.len() > *end));
        let (end, close) = match (end, tilde) {
            (Some(end), _) => (end, close),
            (None, Some(tilde)) => (tilde + open.len(), "--~}}"),
            (None, None) => {
                told.error(line, "template", "a tag is not closed");
                break;
            }
        };
        let whole = tag.get(..end + close.len()).unwrap_or_default();
        at += before.len() + whole.len();
        if escaped {
            text.push_str(whole);
            continue;
        }
        let inner = tag.get(open.len()..end).unwrap_or_default();
        let (inner, left) = inner.strip_prefix('~').map_or((inner, false), |inner| (inner, true));
        let (inner, right) = inner.strip_suffix('~').map_or((inner, false), |inner| (inner, true));
        pieces.push(Piece::Text(std::mem::take(&mut text)));
        let after = right || close == "--~}}";
        pieces.push(Piece::Tag { inner: inner.trim(), before: left, after, line });
    }
    pieces.push(Piece::Text(text));
    pieces
}

/// A block's tag or a comment alone on its line takes the line with it, as Handlebars has it.
fn stand_alone(mut pieces: Vec<Piece<'_>>) -> Vec<Piece<'_>> {
    let blank = |text: &str| text.bytes().all(|byte| byte == b' ' || byte == b'\t');
    let (last, mut alone) = (pieces.len().saturating_sub(1), Vec::new());
    for (place, piece) in pieces.iter().enumerate() {
        let Piece::Tag { inner, .. } = piece else { continue };
        let first_word = inner.split_whitespace().next().unwrap_or_default();
        if !inner.starts_with(['#', '/', '!', '^']) && first_word != "else" {
            continue;
        }
        let text = |place: usize| match pieces.get(place) {
            Some(Piece::Text(text)) => text.as_str(),
            _ => "",
        };
        let before = text(place.saturating_sub(1));
        let begins = match before.rsplit_once('\n') {
            Some((_, tail)) => blank(tail),
            None => place == 1 && blank(before),
        };
        let after = text(place + 1);
        let ends = match after.split_once('\n') {
            Some((head, _)) => blank(head),
            None => place + 1 == last && blank(after),
        };
        if begins && ends {
            alone.push(place);
        }
    }
    for place in alone {
        if let Some(Piece::Text(before)) = pieces.get_mut(place.saturating_sub(1)) {
            before.truncate(before.trim_end_matches([' ', '\t']).len());
        }
        if let Some(Piece::Text(after)) = pieces.get_mut(place + 1) {
            *after = after.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned());
        }
    }
    pieces
}

struct Writer<'w, 't> {
    draft: &'w Draft,
    told: &'w mut Told<'t>,
    said: Vec<Said>,
    blocks: Vec<Block>,
    scopes: Vec<Scope>,
}

impl Writer<'_, '_> {
    fn text(&mut self, text: &str) {
        if let Some(said) = self.said.last_mut() {
            let at_line_start = said.text.is_empty() || said.text.ends_with('\n');
            said.text.push_str(&literal(text, at_line_start));
        }
    }

    fn put(&mut self, open: &str, inside: &str, close: &str, (before, after): (bool, bool)) {
        if let Some(said) = self.said.last_mut() {
            let (left, right) = (if before { "-" } else { "" }, if after { "-" } else { "" });
            said.text.push_str(&format!("{open}{left} {inside} {right}{close}"));
        }
    }

    fn say(&mut self, inside: &str, trims: (bool, bool)) {
        self.put("{{", inside, "}}", trims);
    }

    fn statement(&mut self, inside: &str, trims: (bool, bool)) {
        self.put("{%", inside, "%}", trims);
    }

    fn tag(&mut self, inner: &str, trims: (bool, bool), line: usize) {
        let done = if inner.starts_with('!') {
            if trims != (false, false) {
                self.put("{#", "", "#}", trims);
            }
            Ok(())
        } else if let Some(rest) = inner.strip_prefix('#') {
            self.open(rest.trim(), trims, line)
        } else if let Some(name) = inner.strip_prefix('/') {
            self.close(name.trim(), trims)
        } else if inner == "^" || inner == "else" {
            self.otherwise(trims)
        } else if let Some(rest) = inner.strip_prefix("else ") {
            self.or_if(rest.trim(), trims)
        } else {
            self.value(inner, trims, line)
        };
        if let Err(why) = done {
            let field = format!("{{{{{inner}}}}}");
            self.told.error(line, &field, why);
        }
    }

    fn value(&mut self, inner: &str, trims: (bool, bool), line: usize) -> Result<(), String> {
        let words = words(inner)?;
        match words.as_slice() {
            ["history"] => Err("a template has no history here: it is one call".to_owned()),
            [path] if !path.starts_with('>') => {
                let place = self.find(path)?;
                if place.may_be("array") || place.may_be("object") {
                    if place.is("array") || place.is("object") {
                        return Err("a list or an object is written with {{json ..}}".to_owned());
                    }
                    let why = "may be a list or an object, which are written otherwise here";
                    self.told.warn(line, path, why);
                }
                self.say(&place.or("\"\""), trims);
                Ok(())
            }
            ["role", role] => {
                let name = quoted(role).ok_or("a role is a word in quotes")?;
                let speaker = speaker(name)
                    .ok_or_else(|| format!("nobody speaks as {name:?}: system, user or model"))?;
                if !self.blocks.is_empty() {
                    return Err(
                        "a role inside a block: who speaks does not depend on inputs".into()
                    );
                }
                self.said.push(Said { speaker, text: String::new(), line });
                Ok(())
            }
            ["json", path, rest @ ..] => {
                let place = self.find(path)?;
                let indent = match rest {
                    [] => String::new(),
                    [indent] => match indent.strip_prefix("indent=").map(str::parse::<u8>) {
                        Some(Ok(indent)) => format!("(indent={indent})"),
                        _ => return Err(format!("`{indent}` is not read")),
                    },
                    _ => return Err("json takes one value".to_owned()),
                };
                let why = "is spaced here, and has <, >, & and ' as escapes: the same JSON";
                self.told.warn(line, "json", why);
                self.say(&format!("{} | tojson{indent}", place.or("none")), trims);
                Ok(())
            }
            [partial, ..] if partial.starts_with('>') => {
                Err("a partial is another file: put its text in its place".to_owned())
            }
            ["media", ..] => Err("a template is of text only here".to_owned()),
            [helper, ..] => Err(format!("there is no helper `{helper}` here")),
            [] => Err("says nothing".to_owned()),
        }
    }

    fn open(&mut self, inner: &str, trims: (bool, bool), line: usize) -> Result<(), String> {
        let words = words(inner)?;
        let (name, mut scoped, mut close) =
            (words.first().copied().unwrap_or_default(), false, "endif");
        if self.blocks.len() >= DEEPEST {
            return Err(format!("blocks are nested deeper than {DEEPEST}"));
        }
        match words.as_slice() {
            ["if", path] => {
                let truth = self.truth(path)?;
                self.statement(&format!("if {truth}"), trims);
            }
            ["unless", path] => {
                let truth = self.truth(path)?;
                self.statement(&format!("if not ({truth})"), trims);
            }
            ["ifEquals", left, right] => {
                let equal = self.equal(left, right)?;
                self.statement(&format!("if {equal}"), trims);
            }
            ["unlessEquals", left, right] => {
                let equal = self.equal(left, right)?;
                self.statement(&format!("if not ({equal})"), trims);
            }
            ["with", path] => {
                let (truth, place) = (self.truth(path)?, self.find(path)?);
                self.statement(&format!("if {truth}"), trims);
                self.scopes.push(Scope::of(place, false));
                scoped = true;
            }
            ["each", path] => {
                let place = self.find(path)?;
                if !place.is("array") {
                    return Err("each goes over a list: its schema is an array's".to_owned());
                }
                let taken = |name: &String| self.draft.input(name).is_some();
                let item = (self.scopes.len()..).map(|n| format!("item{n}")).find(|n| !taken(n));
                let item = item.unwrap_or_default();
                self.statement(&format!("for {item} in {}", place.or("[]")), trims);
                self.scopes.push(Scope::of(place.item(&item), true));
                (scoped, close) = (true, "endfor");
            }
            _ => return Err(format!("there is no such block here: {name}")),
        }
        self.blocks.push(Block { name: name.to_owned(), line, close, scoped });
        Ok(())
    }

    fn close(&mut self, name: &str, trims: (bool, bool)) -> Result<(), String> {
        let block = self.blocks.pop().filter(|block| block.name == name);
        let Block { close, scoped, .. } = block.ok_or("closes what is not open")?;
        if scoped {
            self.scopes.pop();
        }
        self.statement(close, trims);
        Ok(())
    }

    fn otherwise(&mut self, trims: (bool, bool)) -> Result<(), String> {
        let block = self.blocks.last_mut().ok_or("stands in no block")?;
        // What is said otherwise is said outside: names are looked up there again.
        if std::mem::take(&mut block.scoped) {
            self.scopes.pop();
        }
        self.statement("else", trims);
        Ok(())
    }

    fn or_if(&mut self, inner: &str, trims: (bool, bool)) -> Result<(), String> {
        let words = words(inner)?;
        let is_plain = self.blocks.last().is_some_and(|b| !b.scoped && b.close == "endif");
        let ["if", path] = words.as_slice() else { return Err("only `else if` is read".into()) };
        if !is_plain {
            return Err("`else if` belongs to an if".to_owned());
        }
        let truth = self.truth(path)?;
        self.statement(&format!("elif {truth}"), trims);
        Ok(())
    }

    fn find(&self, path: &str) -> Result<Place, String> {
        resolve(path, &self.scopes, self.draft)
    }

    /// When a value counts as true: an object always does, of the rest what is not empty.
    fn truth(&self, path: &str) -> Result<String, String> {
        let place = self.find(path)?;
        if place.is("object") {
            return Ok(place.and("true"));
        }
        Ok(place.and(&place.expression))
    }

    fn equal(&self, left: &str, right: &str) -> Result<String, String> {
        let side = |side: &str| match side {
            "true" | "false" => Ok::<_, String>(side.to_owned()),
            _ if side.parse::<i64>().is_ok() => Ok(side.to_owned()),
            _ => match quoted(side) {
                Some(text) => Ok(serde_json::Value::from(text).to_string()),
                None => Ok(self.find(side)?.or("none")),
            },
        };
        Ok(format!("{} == {}", side(left)?, side(right)?))
    }
}

/// A text in quotes, without them.
fn quoted(word: &str) -> Option<&str> {
    ['"', '\''].iter().find_map(|quote| {
        let inside = word.strip_prefix(*quote)?.strip_suffix(*quote)?;
        (!inside.contains([*quote, '\\'])).then_some(inside)
    })
}

/// The words of a tag; what is in quotes is one.
fn words(inner: &str) -> Result<Vec<&str>, String> {
    let (mut words, mut rest) = (Vec::new(), inner.trim());
    while let Some(first) = rest.chars().next() {
        let end = if first == '"' || first == '\'' {
            let inside = rest.get(1..).unwrap_or_default();
            inside.find(first).ok_or("a quote is not closed")? + 2
        } else {
            rest.find(char::is_whitespace).unwrap_or(rest.len())
        };
        let (word, tail) = rest.split_at(end);
        if word.contains(['(', ')', '|']) && !word.starts_with(['"', '\'']) {
            return Err("an expression inside a tag is not read".to_owned());
        }
        words.push(word);
        rest = tail.trim_start();
    }
    Ok(words)
}
