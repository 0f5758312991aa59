//! `[tokenizers]`: files that models are counted with, by `provider/model`.

use std::{fs::File, io::Read};

use tollgate_tokenizer::{Encoding, Family};

use super::{
    names::Served,
    reader::{Field, Section},
    snapshot::covers,
};

/// A larger file is no tokenizer; the largest of the known ones has 33 MB.
const LARGEST: u64 = 128 << 20;

/// Which models are counted with a file of their own.
#[derive(Debug, Default)]
pub struct Tokenizers(Vec<(String, Encoding)>);

impl Tokenizers {
    /// How a model is counted, if the file says so: by its own name, else by the longest pattern.
    pub fn family(&self, provider: &str, model: &str) -> Option<Family> {
        self.named(&format!("{provider}/{model}"))
    }

    /// The same for a name as `provider/model`.
    pub fn named(&self, name: &str) -> Option<Family> {
        let fits = self.0.iter().filter(|(pattern, _)| covers(pattern, name));
        // The name itself has no `*`, which makes it the longer of two that cover it.
        let best = fits.max_by_key(|(pattern, _)| (!pattern.ends_with('*'), pattern.len()))?;
        Some(Family::named(best.1))
    }
}

/// All of them, read and loaded.
pub(super) fn tokenizers(root: &Section<'_>, served: &Served<'_>) -> Tokenizers {
    let mut tokenizers = Vec::new();
    for (pattern, field) in root.section("tokenizers").iter().flat_map(Section::rest) {
        let provider = pattern.split_once('/').map(|(provider, _)| provider);
        match provider {
            Some(provider) if served.knows(provider) => {}
            Some(provider) => {
                let message = format!("there is no provider `{provider}`");
                field.key_error(&message, served.nearest_provider(provider).as_deref());
            }
            None => {
                let message = "a model is named as provider/model, or provider/beginning*";
                field.key_error(message, None);
            }
        }
        tokenizers.extend(load(&field).map(|encoding| (pattern.to_owned(), encoding)));
    }
    Tokenizers(tokenizers)
}

fn load(field: &Field<'_>) -> Option<Encoding> {
    let path = field.reader.resolve(field.text()?);
    let mut content = Vec::new();
    let read = File::open(&path).and_then(|f| f.take(LARGEST + 1).read_to_end(&mut content));
    if let Err(error) = read {
        return field.error(&format!("{} cannot be read: {error}", path.display()));
    }
    if content.len() as u64 > LARGEST {
        return field.error(&format!("{} is larger than {LARGEST} bytes", path.display()));
    }
    let name = path.display().to_string();
    match Encoding::load(&name, &content) {
        Ok(encoding) => Some(encoding),
        Err(error) => field.error(&format!("{name}: {error}")),
    }
}
