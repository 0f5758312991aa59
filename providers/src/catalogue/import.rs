//! Newer price lists and models than the built-in ones, as an operator imports them: one file, with each
//! source's date and notice, asked before what is built in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Catalogue, CatalogueError, add_builtin, read_models, sources};

const GENAI_PRICES: &str = "genai-prices";

/// What is imported of the sources.
#[derive(Debug, Default, Clone, Deserialize, Serialize)]
pub struct Imports {
    /// genai-prices' `data.json`, as it came.
    genai_prices: Option<Source>,
    /// models.dev's `api.json`, reduced.
    models_dev: Option<Source>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
struct Source {
    /// When it was retrieved.
    date: String,
    /// Under which licence it is passed on.
    notice: String,
    data: Box<RawValue>,
}

/// Which source a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// genai-prices.
    GenaiPrices,
    /// models.dev.
    ModelsDev,
}

impl Maker {
    /// The source's name.
    pub const fn name(self) -> &'static str {
        match self {
            Maker::GenaiPrices => GENAI_PRICES,
            Maker::ModelsDev => "models.dev",
        }
    }
}

impl Imports {
    /// Reads what was written by [`Imports::write`].
    ///
    /// # Errors
    /// Where it is not that.
    pub fn read(text: &str) -> Result<Imports, CatalogueError> {
        serde_json::from_str(text).map_err(bad)
    }

    /// Takes a newer file of either source, in place of the one before.
    ///
    /// # Errors
    /// Where it is of neither.
    pub fn take(&mut self, text: &str, date: &str) -> Result<Maker, CatalogueError> {
        let source = |notice: &str, data| {
            Some(Source { date: date.to_owned(), notice: notice.to_owned(), data })
        };
        if text.trim_start().starts_with('[') {
            let data = serde_json::from_str(text).map_err(bad)?;
            let notice = include_str!("../../data/LICENSE.genai-prices");
            self.genai_prices = source(notice, data);
            return Ok(Maker::GenaiPrices);
        }
        let data = RawValue::from_string(reduce(text, date, None)?).map_err(bad)?;
        self.models_dev = source(include_str!("../../data/LICENSE.models-dev"), data);
        Ok(Maker::ModelsDev)
    }

    /// Writes them as one file.
    ///
    /// # Errors
    /// None that is known.
    pub fn write(&self) -> Result<String, CatalogueError> {
        serde_json::to_string(self).map_err(bad)
    }
}

impl<'d> Catalogue<'d> {
    /// What is imported and what is built in, in the order of their dates; of the same day, what is
    /// imported goes first. Of imports, genai-prices goes before models.dev, which knows less, unless it
    /// is older.
    ///
    /// # Errors
    /// Where an import holds what cannot be.
    pub fn with(imports: &'d Imports) -> Result<Catalogue<'d>, CatalogueError> {
        let (mut catalogue, dates) = (Catalogue::default(), sources()?);
        let older = |source: &&'d Source, date: &str| *source.date < *date;
        let (prices, models) = (imports.genai_prices.as_ref(), imports.models_dev.as_ref());
        if let Some(new) = prices.filter(|new| !older(new, dates.genai_prices)) {
            catalogue.add_prices(GENAI_PRICES, &new.date, new.data.get())?;
            catalogue.imported = 1;
        }
        if let Some(new) = models.filter(|new| !older(new, dates.models_dev)) {
            catalogue.newer = Some(read_models(&new.date, new.data.get())?);
        }
        add_builtin(&mut catalogue)?;
        if let Some(old) = prices.filter(|old| older(old, dates.genai_prices)) {
            catalogue.add_prices(GENAI_PRICES, &old.date, old.data.get())?;
        }
        if let Some(old) = models.filter(|old| older(old, dates.models_dev)) {
            catalogue.add_models(&old.date, old.data.get())?;
        }
        Ok(catalogue)
    }
}

#[derive(Deserialize)]
struct Provider {
    models: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    attachment: bool,
    #[serde(default)]
    reasoning: bool,
    #[serde(default)]
    tool_call: bool,
    #[serde(default)]
    structured_output: bool,
    temperature: Option<bool>,
    status: Option<String>,
    release_date: Option<String>,
    #[serde(default)]
    limit: Limit,
    #[serde(default)]
    modalities: Modalities,
    cost: Option<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
struct Limit {
    context: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
}

#[derive(Deserialize, Default)]
struct Modalities {
    #[serde(default)]
    input: Vec<String>,
    #[serde(default)]
    output: Vec<String>,
}

#[derive(Serialize)]
struct Row(
    Option<u64>,
    Option<u64>,
    Option<u64>,
    String,
    String,
    String,
    String,
    Option<Box<RawValue>>,
);

/// Reduces models.dev's `api.json` to the rows that the catalogue reads, a line a model: of these
/// providers, or of all.
///
/// # Errors
/// Where it is none, or has one of the providers no longer.
pub fn reduce(api: &str, date: &str, kept: Option<&[&str]>) -> Result<String, CatalogueError> {
    let mut all: BTreeMap<String, Provider> = serde_json::from_str(api).map_err(bad)?;
    if let Some(kept) = kept {
        if let Some(gone) = kept.iter().find(|name| !all.contains_key(**name)) {
            let message = format!("{gone} is no longer there");
            return Err(CatalogueError { file: "models.dev", message });
        }
        all.retain(|name, _| kept.contains(&name.as_str()));
    }
    let quoted = |text: &str| serde_json::to_string(text).map_err(bad);
    let mut out = format!("{{\"retrieved\":{},\"providers\":{{", quoted(date)?);
    for (i, (name, provider)) in all.into_iter().enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "\n" });
        out.push_str(&format!("{}:{{", quoted(&name)?));
        for (j, (id, model)) in provider.models.into_iter().enumerate() {
            out.push_str(if j > 0 { ",\n" } else { "\n" });
            let row = serde_json::to_string(&row(model).map_err(bad)?).map_err(bad)?;
            out.push_str(&format!("{}:{row}", quoted(&id)?));
        }
        out.push('}');
    }
    out.push_str("}}\n");
    Ok(out)
}

fn row(model: Model) -> Result<Row, serde_json::Error> {
    let letters =
        |names: &[String]| names.iter().filter_map(|n| n.chars().next()).collect::<String>();
    let mut flags = String::new();
    for (on, flag) in [
        (model.reasoning, 'r'),
        (model.tool_call, 't'),
        (model.structured_output, 's'),
        (model.attachment, 'a'),
        (model.temperature == Some(true), 'T'),
        (model.temperature == Some(false), 'N'),
        (model.status.as_deref() == Some("deprecated"), 'd'),
    ] {
        if on {
            flags.push(flag);
        }
    }
    // The source is indented; the text of its numbers is kept.
    let cost = model.cost.map(|raw| {
        let compact: String = raw.get().chars().filter(|c| !c.is_whitespace()).collect();
        RawValue::from_string(compact)
    });
    let Limit { context, input, output } = model.limit;
    let (takes, gives) = (letters(&model.modalities.input), letters(&model.modalities.output));
    let released = model.release_date.unwrap_or_default();
    Ok(Row(context, input, output, flags, takes, gives, released, cost.transpose()?))
}

fn bad(error: serde_json::Error) -> CatalogueError {
    CatalogueError { file: "import", message: error.to_string() }
}
