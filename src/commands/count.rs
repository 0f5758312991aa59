//! `tollgate count`.

use anyhow::Result;
use tollgate::call::Operation;
use tollgate::cli::{CountArgs, Exit, Global, Json, Output};
use tollgate_accounting::Provenance;
use tollgate_providers::{Bounds, Dialect};
use tollgate_tokenizer::family;

pub(super) fn run(_: &Global, args: &CountArgs, output: &mut Output) -> Result<Exit> {
    let text = super::input(args.file.as_deref())?;
    let (tokens, provenance) = count(&args.model, &text);
    if output.json() {
        let answer = Json::object([
            ("model", args.model.as_str().into()),
            ("tokens", tokens.into()),
            ("provenance", provenance.name().into()),
        ]);
        output.line(&answer.render())?;
    } else {
        let how = match provenance {
            Provenance::Estimated => " (estimated: this model's tokenizer is not known)",
            Provenance::Tokenized | Provenance::Reported => "",
        };
        output.line(&format!("{tokens}{how}"))?;
    }
    Ok(Exit::Good)
}

/// A text that is a chat request is counted as one; any other as it stands.
fn count(model: &str, text: &str) -> (u64, Provenance) {
    if text.trim_start().starts_with('{')
        && let Ok(request) = Dialect::OpenAiChat.decode_chat(text.as_bytes(), &Bounds::default())
    {
        let counted = Operation::Chat(Box::new(request)).count_as(model, &family(model));
        return (counted.tokens, counted.provenance);
    }
    let family = family(model);
    let provenance = if family.exact { Provenance::Tokenized } else { Provenance::Estimated };
    (family.count(text), provenance)
}
