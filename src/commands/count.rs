//! `tollgate count`.

use std::fs::File;
use std::io::{Read, stdin};

use anyhow::{Context, Result, bail};
use tollgate::call::{Counting, Operation};
use tollgate::cli::{CountArgs, Exit, Global, Json, Output};
use tollgate_accounting::Provenance;
use tollgate_providers::{Bounds, Dialect};
use tollgate_tokenizer::{Encoding, Family, family};

/// Read at once; between two reads the progress is shown.
const CHUNK: usize = 1 << 20;
/// A larger JSON text is no request, and is counted as it stands.
const LARGEST_REQUEST: usize = 64 << 20;

pub(super) fn run(global: &Global, args: &CountArgs, output: &mut Output) -> Result<Exit> {
    let Some(family) = counted_as(global, args, output)? else { return Ok(Exit::Found) };
    let (tokens, provenance) = count(args, family, output)?;
    if output.json() {
        let answer = Json::object([
            ("model", args.model.as_str().into()),
            ("tokens", tokens.into()),
            ("provenance", provenance.name().into()),
        ]);
        output.line(&answer.render())?;
    } else {
        let how = match provenance {
            Provenance::Estimated => " (estimated)",
            Provenance::Tokenized | Provenance::Reported => "",
        };
        output.line(&format!("{tokens}{how}"))?;
    }
    Ok(Exit::Good)
}

/// How the model is counted; `None` if the configuration that could say so has errors, which were
/// shown.
fn counted_as(global: &Global, args: &CountArgs, output: &mut Output) -> Result<Option<Family>> {
    if let Some(path) = &args.tokenizer {
        let content =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.display().to_string();
        let encoding = Encoding::load(&name, &content).with_context(|| name.clone())?;
        return Ok(Some(Family::named(encoding)));
    }
    let mut own = None;
    if global.named_config().is_some() {
        let Some(snapshot) = super::configuration(global, output)? else { return Ok(None) };
        let alias = snapshot.models.get(&args.model).and_then(|alias| alias.targets.first());
        own = match alias {
            Some(target) => snapshot.tokenizers.family(&target.provider, &target.model),
            None => snapshot.tokenizers.named(&args.model),
        };
    }
    Ok(Some(own.unwrap_or_else(|| family(&args.model))))
}

/// A text that is a chat request is counted as one; any other as it stands, while it is read, so that
/// its size does not matter.
fn count(args: &CountArgs, family: Family, output: &Output) -> Result<(u64, Provenance)> {
    let (mut from, size) = open(args)?;
    let progress = output.progress(size.unwrap_or(0), "bytes counted");
    let mut counter = family.encoding.stream();
    // Everything so far, for as long as it may be a request.
    let mut request: Option<Vec<u8>> = Some(Vec::new());
    let mut pending: Vec<u8> = Vec::new();
    let (mut chunk, mut done) = (vec![0; CHUNK], 0_u64);
    loop {
        let read = from.read(&mut chunk).context("cannot read the text")?;
        let bytes = chunk.get(..read).unwrap_or_default();
        if read == 0 {
            break;
        }
        done += bytes.len() as u64;
        request = request.filter(|so_far| so_far.len() + read <= LARGEST_REQUEST);
        if let Some(so_far) = &mut request {
            so_far.extend_from_slice(bytes);
            if !so_far.trim_ascii_start().starts_with(b"{") {
                request = None;
            }
        }
        pending.extend_from_slice(bytes);
        let whole = whole_characters(&pending)?;
        if let Some(text) = pending.get(..whole).and_then(|t| std::str::from_utf8(t).ok()) {
            counter.push(text);
        }
        pending.drain(..whole);
        progress.at(done, size.unwrap_or(done).max(done));
    }
    if !pending.is_empty() {
        bail!("the text ends in the middle of a character: it is not UTF-8");
    }
    if let Some(body) = request
        && let Ok(request) = Dialect::OpenAiChat.decode_chat(&body, &Bounds::default())
    {
        let operation = Operation::Chat(Box::new(request));
        let counted = Counting::default().uncorrected(&operation, &args.model, &family);
        return Ok((counted.tokens, counted.provenance));
    }
    let provenance = if family.exact { Provenance::Tokenized } else { Provenance::Estimated };
    Ok((family.scale(counter.total()), provenance))
}

/// What to read, and its size where that is known.
fn open(args: &CountArgs) -> Result<(Box<dyn Read>, Option<u64>)> {
    let Some(path) = &args.file else { return Ok((Box::new(stdin().lock()), None)) };
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    let size = file.metadata().with_context(cannot)?.len();
    Ok((Box::new(file), Some(size)))
}

/// How many of the bytes are whole characters; a character may go on in the next chunk.
fn whole_characters(bytes: &[u8]) -> Result<usize> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => bail!("the text is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_be_split_between_two_reads() {
        let text = "aé".as_bytes();
        assert_eq!(whole_characters(text).unwrap(), 3);
        assert_eq!(whole_characters(&text[..2]).unwrap(), 1);
        assert!(whole_characters(b"a\xff").is_err());
    }
}
