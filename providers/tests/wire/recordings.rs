//! Real traffic of real providers: every line decodes, usage is what the provider wrote, a stream
//! reads the same however its bytes are split, and what we send is what was sent.

use serde_json::Value;
use tollgate_accounting::{Class, Usage};
use tollgate_providers::{BadRequest, Bounds, Dialect, Odd, Provider, Target, provider};

use super::support::{CLIENTS, Line, Read, decoded, lines, read_stream, splits};

/// File, provider, what its chat paths hold, the client dialect of its requests.
const WIRES: [(&str, &str, &str, Dialect); 20] = [
    ("openai", "openai", "/chat/completions", Dialect::OpenAiChat),
    ("azure", "azure", "/chat/completions", Dialect::OpenAiChat),
    ("groq", "groq", "/chat/completions", Dialect::OpenAiChat),
    ("mistral", "mistral", "/chat/completions", Dialect::OpenAiChat),
    ("deepseek", "deepseek", "/chat/completions", Dialect::OpenAiChat),
    ("openrouter", "openrouter", "/chat/completions", Dialect::OpenAiChat),
    ("ollama", "ollama", "/chat/completions", Dialect::OpenAiChat),
    ("cerebras", "cerebras", "/chat/completions", Dialect::OpenAiChat),
    ("perplexity", "perplexity", "/chat/completions", Dialect::OpenAiChat),
    ("anthropic", "anthropic", "/v1/messages", Dialect::AnthropicMessages),
    ("gemini", "gemini", "enerateContent", Dialect::GeminiGenerateContent),
    ("vertex", "vertex", "enerateContent", Dialect::GeminiGenerateContent),
    ("cohere", "cohere", "/v2/chat", Dialect::CohereChat),
    ("bedrock", "bedrock", "/converse", Dialect::BedrockConverse),
    ("bedrock", "bedrock", "/converse-stream", Dialect::BedrockConverse),
    ("openai", "openai_responses", "/responses", Dialect::OpenAiResponses),
    ("azure", "openai_responses", "/responses", Dialect::OpenAiResponses),
    ("deepseek", "openai_responses", "/responses", Dialect::OpenAiResponses),
    ("openrouter", "openai_responses", "/responses", Dialect::OpenAiResponses),
    ("xai", "openai_responses", "/responses", Dialect::OpenAiResponses),
];

/// Whether a success tells an error, by the raw JSON.
fn tells_error(line: &Line) -> bool {
    let data = line.body.lines().map(|l| l.strip_prefix("data:").unwrap_or(l));
    let frames = data.filter_map(|d| serde_json::from_str::<Value>(d.trim()).ok());
    frames
        .chain(serde_json::from_str(&line.body))
        .any(|v| v.get("error").is_some_and(|e| !e.is_null()))
}

/// Successes that tell no error.
pub(super) fn good(check: impl Fn(&'static dyn Provider, Dialect, &Line)) {
    chats(|provider, dialect, line| {
        if line.status == 200 && !tells_error(line) {
            check(provider, dialect, line);
        }
    });
}

fn chats(check: impl Fn(&'static dyn Provider, Dialect, &Line)) {
    for (file, kind, path, dialect) in WIRES {
        let provider = provider(kind).unwrap();
        let mut seen = 0;
        for line in lines(file) {
            let plain = line.path.split(['?', '#']).next().unwrap_or_default();
            if plain.ends_with(path) {
                check(provider, dialect, &line);
                seen += 1;
            }
        }
        assert!(seen > 0, "{file}");
    }
}

/// What the raw JSON says was used, read without any of the code under test.
pub(super) fn written(dialect: Dialect, usages: &[Value]) -> Usage {
    let last = |path: &[&str]| {
        usages
            .iter()
            .filter_map(|u| path.iter().try_fold(u, |v, k| v.get(k)))
            .filter_map(Value::as_u64)
            .max()
    };
    let mut usage = Usage::new();
    let mut set = |class, count: Option<u64>| {
        if let Some(count) = count {
            usage.set(class, count);
        }
    };
    if dialect == Dialect::BedrockConverse {
        set(Class::Input, last(&["inputTokens"]));
        set(Class::CacheRead, last(&["cacheReadInputTokens"]));
        set(Class::CacheWrite, last(&["cacheWriteInputTokens"]));
        set(Class::Output, last(&["outputTokens"]));
        return usage;
    }
    if dialect == Dialect::CohereChat {
        set(Class::Input, last(&["billed_units", "input_tokens"]));
        set(Class::Output, last(&["billed_units", "output_tokens"]));
        return usage;
    }
    if dialect == Dialect::GeminiGenerateContent {
        let of = |name: &str, modalities: &[&str]| {
            usages
                .iter()
                .filter_map(|u| u.get(name)?.as_array())
                .filter_map(|all| {
                    let counts = all
                        .iter()
                        .filter(|d| modalities.contains(&d["modality"].as_str().unwrap()));
                    let counts: Vec<u64> =
                        counts.map(|d| d["tokenCount"].as_u64().unwrap_or(0)).collect();
                    (!counts.is_empty()).then(|| counts.iter().sum::<u64>())
                })
                .max()
        };
        let fresh = |modalities: &[&str]| {
            let cached = of("cacheTokensDetails", modalities).unwrap_or(0);
            of("promptTokensDetails", modalities).map(|all| all - cached)
        };
        let (audio, image) = (fresh(&["AUDIO"]), fresh(&["IMAGE", "DOCUMENT"]));
        let cached = last(&["cachedContentTokenCount"]);
        let tools = last(&["toolUsePromptTokenCount"]).unwrap_or(0);
        let held = [audio, image, cached].iter().flatten().sum::<u64>();
        set(Class::AudioInput, audio);
        set(Class::ImageInput, image);
        set(Class::CacheRead, cached);
        set(Class::Input, last(&["promptTokenCount"]).map(|all| all + tools - held));
        let thoughts = last(&["thoughtsTokenCount"]);
        set(Class::Reasoning, thoughts);
        set(Class::Output, last(&["candidatesTokenCount"]).or(thoughts.map(|_| 0)));
        return usage;
    }
    if dialect == Dialect::AnthropicMessages {
        set(Class::Input, last(&["input_tokens"]));
        set(Class::CacheRead, last(&["cache_read_input_tokens"]));
        let long = last(&["cache_creation", "ephemeral_1h_input_tokens"]);
        let all = last(&["cache_creation_input_tokens"]);
        set(Class::CacheWriteLong, long);
        set(Class::CacheWrite, all.map(|all| all - long.unwrap_or(0)));
        let thinking = last(&["output_tokens_details", "thinking_tokens"]);
        set(Class::Reasoning, thinking);
        set(Class::Output, last(&["output_tokens"]).map(|all| all - thinking.unwrap_or(0)));
        set(Class::WebSearch, last(&["server_tool_use", "web_search_requests"]));
        return usage;
    }
    let (prompt, completion) = match dialect {
        Dialect::OpenAiResponses => ("input_tokens", "output_tokens"),
        _ => ("prompt_tokens", "completion_tokens"),
    };
    let input = |name| last(&[&format!("{prompt}_details"), name]);
    let output = |name| last(&[&format!("{completion}_details"), name]);
    let cached = input("cached_tokens").or(last(&["prompt_cache_hit_tokens"]));
    let reasoning = output("reasoning_tokens").or(last(&["reasoning_tokens"]));
    let parts = [cached, input("cache_write_tokens"), input("audio_tokens"), input("image_tokens")];
    let classes = [Class::CacheRead, Class::CacheWrite, Class::AudioInput, Class::ImageInput];
    classes.into_iter().zip(parts).for_each(|(class, count)| set(class, count));
    let held: u64 = parts.iter().flatten().sum();
    set(Class::Input, last(&[prompt]).and_then(|all| all.checked_sub(held)));
    let parts = [reasoning, output("audio_tokens"), output("image_tokens")];
    let classes = [Class::Reasoning, Class::AudioOutput, Class::ImageOutput];
    classes.into_iter().zip(parts).for_each(|(class, count)| set(class, count));
    let held: u64 = parts.iter().flatten().sum();
    set(Class::Output, last(&[completion]).map(|all| all - held));
    usage
}

/// Every usage object in a body, whole or streamed, read by looking for the word.
pub(super) fn usages(line: &Line) -> Vec<Value> {
    let from = |v: &Value| {
        [
            v.get("usage"),
            v.pointer("/x_groq/usage"),
            v.pointer("/message/usage"),
            v.get("usageMetadata"),
            v.pointer("/delta/usage"),
            v.pointer("/response/usage"),
        ]
        .into_iter()
        .flatten()
        .filter(|u| u.is_object())
        .cloned()
        .collect::<Vec<_>>()
    };
    if line.body_encoding.as_deref() == Some("base64") {
        let text = String::from_utf8_lossy(&line.bytes()).into_owned();
        let objects = text.match_indices("\"usage\":").map(|(at, word)| &text[at + word.len()..]);
        return objects
            .filter_map(|json| serde_json::Deserializer::from_str(json).into_iter().next()?.ok())
            .collect();
    }
    if !line.is_stream() {
        return from(&serde_json::from_str(&line.body).unwrap());
    }
    let data = line.body.lines().filter_map(|l| l.strip_prefix("data:")).map(str::trim);
    let frames: Vec<Value> = data.filter_map(|d| serde_json::from_str(d).ok()).collect();
    let mut all: Vec<Value> = frames.iter().flat_map(from).collect();
    // The output of a stream's beginning is a placeholder.
    for u in &mut all {
        if frames.first().and_then(|f| f.pointer("/message/usage")) == Some(u) {
            u.as_object_mut().unwrap().remove("output_tokens");
        }
    }
    all
}

/// Whether any count of a later usage object is less than before.
fn decreases(usages: &[Value]) -> bool {
    let mut most = std::collections::HashMap::new();
    let mut less = false;
    for (name, value) in usages.iter().filter_map(Value::as_object).flatten() {
        if let Some(count) = value.as_u64().filter(|_| name != "totalTokenCount") {
            less |= most.insert(name, count).is_some_and(|before| count < before);
        }
    }
    less
}

#[test]
fn usage_is_what_the_provider_wrote_class_by_class() {
    let (whole, streamed) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let odd = std::cell::Cell::new(0);
    good(|provider, dialect, line| {
        let expected = written(dialect, &usages(line));
        let found = if line.is_stream() {
            streamed.set(streamed.get() + 1);
            read_stream(provider, &[&line.bytes()[..]]).usage
        } else {
            whole.set(whole.get() + 1);
            provider.decode_reply(&line.bytes()).unwrap().usage
        };
        if expected.get(Class::Input).is_none() && found.odd.has(Odd::INCONSISTENT) {
            // OpenRouter, for Gemini, counts what was read from the cache as written to it too.
            let prompt = usages(line).last().and_then(|u| u["prompt_tokens"].as_u64());
            assert_eq!(found.usage.input_total(), prompt, "{}", line.source);
            odd.set(odd.get() + 1);
            return;
        }
        assert_eq!(found.usage, expected, "{}", line.source);
        // Google begins to count again in each step of what it runs itself; the most stands, and it is said.
        let restarted = dialect == Dialect::GeminiGenerateContent && decreases(&usages(line));
        let expected = if restarted { Odd::DECREASED } else { Odd::NONE };
        assert_eq!(found.odd, expected, "{}", line.source);
    });
    assert_eq!(odd.get(), 1);
    assert!(whole.get() > 200 && streamed.get() > 80, "{whole:?} {streamed:?}");
}

#[test]
fn every_reply_that_failed_is_understood() {
    let now = tollgate_accounting::Timestamp::from_micros(0);
    chats(|provider, _, line| {
        if line.status == 200 {
            return;
        }
        let failure = provider.classify(line.status, &|_| None, &line.bytes(), now);
        assert_eq!(failure.status, line.status);
        assert!(!failure.message.is_empty(), "{}", line.source);
        assert!(!failure.message.contains("sk-proj"), "{}", line.source);
    });
}

#[test]
fn an_error_inside_a_success_is_an_error() {
    let seen = std::cell::Cell::new(0);
    chats(|provider, _, line| {
        if line.status != 200 || !tells_error(line) {
            return;
        }
        seen.set(seen.get() + 1);
        let failed = if line.is_stream() {
            let read = read_stream(provider, &[&line.bytes()[..]]);
            !read.ended && read.error.is_some()
        } else {
            provider.decode_reply(&line.bytes()).is_err()
        };
        assert!(failed, "{}", line.source);
    });
    assert!(seen.get() >= 2, "{seen:?}");
}

#[test]
fn a_stream_reads_the_same_however_it_is_split() {
    chats(|provider, _, line| {
        if line.status != 200 || !line.is_stream() {
            return;
        }
        let whole = read_stream(provider, &[&line.bytes()[..]]);
        assert_eq!(whole.ended, !tells_error(line), "{}", line.source);
        for pieces in splits(&line.bytes()) {
            let split = read_stream(provider, &pieces);
            assert_eq!(
                split,
                whole,
                "{} in {:?}",
                line.source,
                pieces.iter().map(|p| p.len()).collect::<Vec<_>>()
            );
        }
    });
}

#[test]
fn a_frame_reads_the_same_whatever_frames_came_before_it() {
    chats(|provider, _, line| {
        let lines = line.body_encoding.as_deref() != Some("base64");
        if line.status != 200 || !line.is_stream() || !lines || line.body.contains("tool") {
            return;
        }
        // Each frame alone is read by nothing but the parser.
        let whole = read_stream(provider, &[&line.bytes()[..]]);
        let mut alone = String::new();
        for frame in line.body.replace("\r\n", "\n").split_inclusive("\n\n") {
            alone.push_str(&read_stream(provider, &[frame.as_bytes()]).texts.concat());
        }
        if whole.texts.len() == 1 {
            assert_eq!(whole.texts[0], alone, "{}", line.source);
        }
    });
}

#[test]
fn a_damaged_reply_or_request_is_an_error_or_is_read_but_nothing_panics() {
    chats(|provider, dialect, line| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ line.body.len() as u64;
        let mut next = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % bound.max(1)
        };
        let damages: [&[u8]; 8] = [b"", b"\"", b"}", b"-1", b"null", b"\n\n", b"\xff", b"[[["];
        for damage in damages {
            let (reply, request) =
                (line.bytes(), line.request.clone().unwrap_or_default().into_bytes());
            let [reply, request] = [reply, request].map(|mut bytes| {
                let at = next(bytes.len());
                let end = (at + next(40)).min(bytes.len());
                bytes.splice(at..end, damage.iter().copied());
                bytes
            });
            if line.is_stream() {
                let read = read_stream(provider, &[&reply[..]]);
                assert!(read.ended || read.error.is_some(), "{}", line.source);
            } else {
                let _ = provider.decode_reply(&reply);
                let now = tollgate_accounting::Timestamp::from_micros(0);
                let _ = provider.classify(500, &|_| None, &reply, now);
            }
            if let Ok(req) = dialect.decode_chat(&request, &Bounds::default()) {
                let to = Target { model: "x", max_output_tokens: Some(1), stream: true };
                let _ = provider.encode_chat(&req, &to);
            }
        }
    });
}

#[test]
fn the_frames_of_a_stream_are_its_bytes() {
    chats(|provider, _, line| {
        if line.status == 200 && line.is_stream() {
            let Read { raw, .. } = read_stream(provider, &[&line.bytes()[..]]);
            let added = raw.len().saturating_sub(line.body.len());
            assert!(
                raw.starts_with(&line.bytes()) || line.bytes().starts_with(&raw),
                "{}",
                line.source
            );
            assert!(added <= 2, "{added} {}", line.source);
        }
    });
}

#[test]
fn a_stream_that_is_cut_before_its_last_choice_ends_is_reported() {
    chats(|provider, _, line| {
        if line.status != 200 || !line.is_stream() {
            return;
        }
        let marks = [
            "\"finish_reason\":\"",
            "\"finish_reason\": \"",
            "\"stop_reason\":\"",
            "\"finishReason\": \"",
            "\"finishReason\":\"",
            "event: response.completed",
            "event: response.incomplete",
        ];
        let Some(end) = marks.iter().filter_map(|m| line.body.find(m)).min() else { return };
        let cut = line.body[..end].rfind("\n\n").unwrap_or(0);
        let read = read_stream(provider, &[&line.bytes()[..cut]]);
        assert!(!read.ended, "{}", line.source);
        assert_eq!(read.error.as_deref(), Some("truncated"), "{}", line.source);
    });
}

#[test]
fn a_request_of_the_same_dialect_is_sent_byte_for_byte() {
    let checked = std::cell::Cell::new(0);
    chats(|provider, dialect, line| {
        let Some(body) = line.request.as_deref().filter(|_| dialect == provider.dialect()) else {
            return;
        };
        let Ok(req) = dialect.decode_chat(body.as_bytes(), &Bounds::default()) else { return };
        let to = Target {
            model: &req.model,
            max_output_tokens: req.max_output_tokens,
            stream: req.stream,
        };
        if provider.name() == "openai_responses" {
            // Nothing is kept there, so a body is written anew: see `responses_provider`.
            return;
        }
        let sent = provider.encode_chat(&req, &to).unwrap();
        let sent = String::from_utf8(sent.body).unwrap();
        let rewritten = ["mistral", "perplexity"];
        if !rewritten.contains(&provider.name()) {
            let usage = "\"stream_options\":{\"include_usage\":true},";
            assert_eq!(
                sent.replacen(usage, "", usize::from(!req.include_usage)),
                body,
                "{}",
                line.source
            );
            assert_eq!(
                sent.len() > body.len(),
                dialect == Dialect::OpenAiChat && req.stream && !req.include_usage
            );
            checked.set(checked.get() + 1);
        }
    });
    assert!(checked.get() > 150, "{checked:?}");
}

#[test]
fn what_was_sent_successfully_is_understood() {
    chats(|_, dialect, line| {
        if let (200, Some(body)) = (line.status, &line.request)
            && body.trim_start().starts_with('{')
            && CLIENTS.iter().any(|(client, _)| *client == dialect)
        {
            decoded(dialect, body.as_bytes(), line.is_stream(), |read| {
                // What is kept or made at OpenAI while nobody reads is not to be had here.
                let kept = |bad: &BadRequest| {
                    matches!(bad.param.as_deref(), Some("conversation" | "background"))
                };
                let fine = read.as_ref().err().is_none_or(kept);
                assert!(fine, "{:?} {}", read.err(), line.source);
            });
        }
    });
}

#[test]
fn embeddings_decode_and_their_usage_is_what_was_written() {
    let mut seen = 0;
    for (file, kind) in [
        ("azure", "azure"),
        ("mistral", "mistral"),
        ("openrouter", "openrouter"),
        ("perplexity", "perplexity"),
    ] {
        let provider = provider(kind).unwrap();
        for line in
            lines(file).into_iter().filter(|l| l.path.contains("/embeddings") && l.status == 200)
        {
            let bytes = line.bytes();
            let reply = provider.decode_embeddings(&bytes).unwrap();
            let raw: Value = serde_json::from_str(&line.body).unwrap();
            let expected = raw["usage"]["prompt_tokens"].as_u64();
            assert_eq!(reply.usage.usage.get(Class::Input), expected, "{}", line.source);
            assert_eq!(reply.vectors.len(), raw["data"].as_array().unwrap().len());
            let body = line.request.unwrap();
            let req = Dialect::OpenAiEmbeddings
                .decode_embeddings(body.as_bytes(), &Bounds::default())
                .unwrap();
            assert!(!req.input.is_empty());
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}
