//! `prompt diff`: what changed in the text, and what that does to tokens and cost.

use anyhow::Result;
use serde_json::json;
use tollgate::call::Runtime;
use tollgate::cli::Output;
use tollgate::clock;
use tollgate::prompts::Version;
use tollgate_accounting::{Class, Money, Rounding, Usage};

/// Beyond so many pairs of lines, all old lines go and all new ones come.
const MOST_PAIRS: usize = 4_000_000;

/// What a template's own text comes to before any input is in it.
struct Size {
    tokens: u64,
    cost: Option<Money>,
}

pub(super) fn show(runtime: &Runtime, versions: [&Version; 2], output: &mut Output) -> Result<()> {
    let [old, new] = versions;
    let [before, after] = versions.map(|version| size(runtime, version));
    let lines = changes(&old.text, &new.text);
    if output.json() {
        let side = |version: &Version, size: &Option<Size>| {
            json!({
                "prompt": &*version.tag,
                "template_tokens": size.as_ref().map(|size| size.tokens),
                "template_cost_usd": size.as_ref().and_then(|s| s.cost).map(|cost| cost.to_string()),
            })
        };
        let value =
            json!({ "old": side(old, &before), "new": side(new, &after), "changes": lines });
        output.line(&value.to_string())?;
        return Ok(());
    }
    output.line(&format!("--- {}\n+++ {}", old.tag, new.tag))?;
    for line in &lines {
        output.line(line)?;
    }
    if let (Some(before), Some(after)) = (before, after) {
        let tokens = i128::from(after.tokens) - i128::from(before.tokens);
        output.line(&format!(
            "\ntokens of the text   {} -> {} ({tokens:+})",
            before.tokens, after.tokens
        ))?;
        if let (Some(was), Some(is)) = (before.cost, after.cost) {
            output.line(&format!("cost of the text     ${was} -> ${is} a call"))?;
        }
    }
    Ok(())
}

fn size(runtime: &Runtime, version: &Version) -> Option<Size> {
    let route = runtime.routes.find(&version.template.model).ok()?;
    let target = route.targets.first()?;
    let tokens = version.template.parts().map(|(_, text)| target.family.count(text)).sum();
    let usage = Usage::new().with(Class::Input, tokens);
    let cost = target.card(clock::now()).and_then(|card| card.cost(&usage, Rounding::Up).ok());
    Some(Size { tokens, cost })
}

/// Lines that went (`-`), came (`+`) or stayed (` `), by the longest common subsequence.
fn changes(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let marked = |mark: char, lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| format!("{mark}{line}")).collect()
    };
    if old.len().saturating_mul(new.len()) > MOST_PAIRS {
        return [marked('-', &old), marked('+', &new)].concat();
    }
    // common[i][j]: the length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            out.push(format!(" {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if common[i + 1][j] >= common[i][j + 1] {
            out.push(format!("-{}", old[i]));
            i += 1;
        } else {
            out.push(format!("+{}", new[j]));
            j += 1;
        }
    }
    out.extend(marked('-', &old[i..]));
    out.extend(marked('+', &new[j..]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stayed_is_not_told_as_changed() {
        let cases: [(&str, &str, &[&str]); 4] = [
            ("a\nb\nc", "a\nc", &[" a", "-b", " c"]),
            ("a\nc", "a\nb\nc", &[" a", "+b", " c"]),
            ("a", "b", &["-a", "+b"]),
            ("", "", &[]),
        ];
        for (old, new, expected) in cases {
            assert_eq!(changes(old, new), expected, "{old:?} {new:?}");
        }
    }
}
