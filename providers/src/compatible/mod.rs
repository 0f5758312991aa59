//! Providers that speak OpenAI's wire and differ in data only: one row each.

use crate::openai::{Audio, Completions, OpenAi, Paths, Profile, STANDARD};
use crate::unified::Auth;

/// Every provider that is a row.
pub static ALL: [OpenAi; 15] = [
    OpenAi::new(&COMPATIBLE),
    OpenAi::new(&VLLM),
    OpenAi::new(&OLLAMA),
    OpenAi::new(&AZURE),
    OpenAi::new(&AZURE_LEGACY),
    OpenAi::new(&GROQ),
    OpenAi::new(&MISTRAL),
    OpenAi::new(&DEEPSEEK),
    OpenAi::new(&OPENROUTER),
    OpenAi::new(&XAI),
    OpenAi::new(&TOGETHER),
    OpenAi::new(&FIREWORKS),
    OpenAi::new(&PERPLEXITY),
    OpenAi::new(&CEREBRAS),
    OpenAi::new(&MOONSHOT),
];

/// Any host that speaks OpenAI's chat wire. Its address is the operator's to give, and it is taken
/// to know the older name of the output cap, as nearly all such servers do. What else it has, its own
/// errors tell.
static COMPATIBLE: Profile = Profile {
    name: "compatible",
    cap_field: "max_tokens",
    moderations: true,
    rerank: true,
    images: true,
    audio: Audio::Plain,
    ..STANDARD
};

/// Serves base models too, which know no chat.
static VLLM: Profile = Profile {
    name: "vllm",
    completions: Completions::All,
    moderations: false,
    images: false,
    audio: Audio::None,
    ..COMPATIBLE
};

static OLLAMA: Profile = Profile {
    name: "ollama",
    base_url: Some("http://127.0.0.1:11434/v1"),
    moderations: false,
    rerank: false,
    images: false,
    audio: Audio::None,
    ..COMPATIBLE
};

/// Azure's v1 API: the address is the resource's, the model is the deployment's name.
static AZURE: Profile = Profile {
    name: "azure",
    auth: Auth::Header("api-key"),
    images: true,
    audio: Audio::Events,
    ..STANDARD
};

/// Azure's older API, whose base address ends in `/openai`.
static AZURE_LEGACY: Profile = Profile {
    name: "azure_legacy",
    paths: Paths::Deployments("2024-10-21"),
    audio: Audio::Plain,
    ..AZURE
};

static GROQ: Profile = Profile {
    name: "groq",
    base_url: Some("https://api.groq.com/openai/v1"),
    embeddings: false,
    ..STANDARD
};

/// Mistral answers 422 to a field it does not know, and always reports usage.
static MISTRAL: Profile = Profile {
    name: "mistral",
    base_url: Some("https://api.mistral.ai/v1"),
    moderations: true,
    cap_field: "max_tokens",
    stream_options: false,
    fields: Some(&[
        "model",
        "messages",
        "input",
        "encoding_format",
        "output_dimension",
        "output_dtype",
        "temperature",
        "top_p",
        "max_tokens",
        "stream",
        "stop",
        "random_seed",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "presence_penalty",
        "frequency_penalty",
        "n",
        "prediction",
        "prompt_mode",
        "reasoning_effort",
        "safe_prompt",
        "guardrails",
        "metadata",
    ]),
    renames: &[
        ("max_completion_tokens", "max_tokens"),
        ("seed", "random_seed"),
        ("dimensions", "output_dimension"),
    ],
    ..STANDARD
};

static DEEPSEEK: Profile = Profile {
    name: "deepseek",
    base_url: Some("https://api.deepseek.com"),
    cap_field: "max_tokens",
    embeddings: false,
    ..STANDARD
};

static OPENROUTER: Profile = Profile {
    name: "openrouter",
    base_url: Some("https://openrouter.ai/api/v1"),
    cap_field: "max_tokens",
    ..STANDARD
};

static XAI: Profile = Profile {
    name: "xai",
    base_url: Some("https://api.x.ai/v1"),
    reasoning_outside: true,
    embeddings: false,
    ..STANDARD
};

static TOGETHER: Profile = Profile {
    name: "together",
    base_url: Some("https://api.together.xyz/v1"),
    images: false,
    audio: Audio::None,
    moderations: false,
    completions: Completions::All,
    ..COMPATIBLE
};

static FIREWORKS: Profile = Profile {
    name: "fireworks",
    base_url: Some("https://api.fireworks.ai/inference/v1"),
    images: false,
    audio: Audio::None,
    moderations: false,
    completions: Completions::All,
    ..COMPATIBLE
};

static PERPLEXITY: Profile = Profile {
    name: "perplexity",
    base_url: Some("https://api.perplexity.ai"),
    cap_field: "max_tokens",
    stream_options: false,
    embeddings: true,
    ..STANDARD
};

static CEREBRAS: Profile = Profile {
    name: "cerebras",
    base_url: Some("https://api.cerebras.ai/v1"),
    embeddings: false,
    ..STANDARD
};

static MOONSHOT: Profile = Profile {
    name: "moonshotai",
    base_url: Some("https://api.moonshot.ai/v1"),
    embeddings: false,
    moderations: false,
    rerank: false,
    images: false,
    audio: Audio::None,
    ..COMPATIBLE
};
