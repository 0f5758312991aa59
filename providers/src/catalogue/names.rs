//! What our providers are called in the sources.

/// Our kind, its name in genai-prices, its name in models.dev. Others are called alike everywhere.
const NAMES: [(&str, &str, &str); 10] = [
    ("openai", "openai", "openai"),
    ("openai_responses", "openai", "openai"),
    ("gemini", "google", "google"),
    ("vertex", "google", "google-vertex"),
    ("vertex_anthropic", "google", "google-vertex-anthropic"),
    ("bedrock", "aws", "amazon-bedrock"),
    ("xai", "x-ai", "xai"),
    ("together", "together", "togetherai"),
    ("fireworks", "fireworks", "fireworks-ai"),
    ("ollama", "ollama", "ollama-cloud"),
];

/// The name in genai-prices.
pub(super) fn in_prices(provider: &str) -> &str {
    NAMES.iter().find(|(ours, _, _)| *ours == provider).map_or(provider, |(_, theirs, _)| theirs)
}

/// The name in models.dev.
pub(super) fn in_models(provider: &str) -> &str {
    NAMES.iter().find(|(ours, _, _)| *ours == provider).map_or(provider, |(_, _, theirs)| theirs)
}

/// Our name for a provider of a source; the first where several of ours go by it.
pub(super) fn ours(theirs: &str) -> &str {
    let found = NAMES.iter().find(|(_, prices, models)| [*prices, *models].contains(&theirs));
    found.map_or(theirs, |(ours, _, _)| ours)
}
