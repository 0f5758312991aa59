//! `tollgate demo`: everything in one process. A demo provider, two tenants with budgets, a few calls,
//! then it serves; nothing is asked of the user but to read.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use http::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tollgate::app::Gateway;
use tollgate::cli::{CheckReport, DemoArgs, Exit, Format, Output};
use tollgate::config;
use tollgate::control::{Control, NewKey};
use tollgate::ledger::{Filter, GroupBy, Question, Reader};
use tollgate::telemetry;
use tollgate::upstream::request_local;

use super::report;

/// The file that the demo runs on: as good an example as any, so it is written where it can be read.
const CONFIG: &str = r#"# The demo's configuration. `tollgate check --config THIS` checks it.
[server]
listen = "127.0.0.1:PORT"

[storage]
path = "demo.db"

[providers.demo]
kind = "demo"                  # answers in this process: no key, no network

[models.chat]                  # a name that clients ask for
route = "ordered"
targets = [{ provider = "demo", model = "small" }]
max_output_tokens = 512

[prompts]
dir = "prompts"                # templates: each is an endpoint, and a model called prompt/NAME

[accounts.acme]
name = "Acme"
timezone = "Europe/Berlin"
limits = ["$5 per month", "200000 tokens per minute", "20 concurrent"]

[accounts.acme.search]
limits = ["$1 per day"]

[accounts.globex]
name = "Globex"
limits = ["$0.0001 per day"]   # so small that the demo can show a refusal
holds = "strict"               # hold the most a call can cost, rather than what it likely does
"#;

/// The templates that the demo serves.
const PROMPTS: [(&str, &str); 3] = [
    ("summarize.md", include_str!("../../prompts/summarize.md")),
    ("classify-ticket.md", include_str!("../../prompts/classify-ticket.md")),
    ("reply.md", include_str!("../../prompts/reply.md")),
];

/// What a temporary folder is cleaned up by.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A call that the demo makes.
struct Sample {
    label: &'static str,
    key: usize,
    path: &'static str,
    body: serde_json::Value,
}

pub(super) fn run(args: &DemoArgs, output: &mut Output) -> Result<Exit> {
    telemetry::log(Some(std::env::var("TOLLGATE_LOG").as_deref().unwrap_or("warn")));
    let folder = folder(args)?;
    let file = folder.path.join("demo.toml");
    std::fs::write(&file, CONFIG.replace("PORT", &args.port.to_string()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let prompts = folder.path.join("prompts");
    std::fs::create_dir_all(&prompts)
        .with_context(|| format!("cannot make {}", prompts.display()))?;
    for (name, text) in PROMPTS {
        let file = prompts.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let snapshot = match config::load(&file, &super::environment) {
        Ok(snapshot) => Arc::new(snapshot),
        Err(problems) => {
            let file = file.display().to_string();
            output.refused_by_check(&CheckReport { file: &file, problems: &problems })?;
            return Ok(Exit::Found);
        }
    };
    let database = snapshot.storage.path.clone();
    let gateway = Gateway::open(snapshot, super::source(&file)).context("cannot start")?;
    let shutdown = CancellationToken::new();
    let mut told: Result<()> = Ok(());
    gateway.serve(shutdown.clone(), |control, address, _| {
        told = show(control, address, &file, &database, output);
        if args.exit_after_samples || told.is_err() {
            shutdown.cancel();
        } else {
            told = output.remark("serving; stop with Ctrl-C").map_err(Into::into);
        }
    })?;
    told?;
    Ok(Exit::Good)
}

fn folder(args: &DemoArgs) -> Result<Folder> {
    let (path, temporary) = match &args.dir {
        Some(dir) => (dir.clone(), false),
        None => (std::env::temp_dir().join(format!("tollgate-demo-{}", std::process::id())), true),
    };
    std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let path = path.canonicalize().context("the demo's folder vanished")?;
    Ok(Folder { path, temporary })
}

/// Makes keys, calls, and prints what a new user wants to know.
fn show(
    control: &Control,
    address: SocketAddr,
    file: &Path,
    database: &Path,
    output: &mut Output,
) -> Result<()> {
    let key = |account: &str| -> Result<String> {
        let new = NewKey { account: account.into(), name: "demo".into(), ..NewKey::default() };
        Ok(control.create_key(new)?.0)
    };
    let keys = [key("acme/search")?, key("globex")?];
    let mut refused = None;
    {
        let samples = samples();
        let progress = output.progress(samples.len() as u64, "sample calls");
        for sample in &samples {
            progress.say(sample.label);
            let body = sample.body.to_string().into_bytes();
            let credential = &keys[sample.key];
            let (status, _, answer) =
                request_local(address, credential, Method::POST, sample.path, body)?;
            if status.as_u16() == 429 {
                let answer: serde_json::Value = serde_json::from_slice(&answer)?;
                refused = answer["error"]["message"].as_str().map(str::to_owned);
            } else if !status.is_success() {
                bail!("a sample call failed: {status} {}", String::from_utf8_lossy(&answer));
            }
            progress.step();
        }
    }
    let by = vec![GroupBy::Account(None), GroupBy::Model];
    let rows = Reader::open(database)?.report(&Question::new(Filter::default(), by.clone()))?;
    output.remark("What the sample calls used, from the ledger:")?;
    output.table(&report::table(&rows, None, &by, Format::Table), Format::Table)?;
    if let Some(refused) = refused {
        output.remark(&format!("One more call was refused, as it should be:\n  {refused}"))?;
    }
    output.line(&format!("\nbase URL      http://{address}/v1"))?;
    output.line(&format!("acme/search   {}", keys[0]))?;
    output.line(&format!("globex        {}", keys[1]))?;
    output.line(&format!(
        "\ncurl http://{address}/v1/chat/completions -H 'Authorization: Bearer {}' \\\n  \
         -H 'Content-Type: application/json' \\\n  \
         -d '{{\"model\": \"chat\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'",
        keys[0]
    ))?;
    output.line(&format!(
        "\npython -c 'from openai import OpenAI; print(OpenAI(base_url=\"http://{address}/v1\", \
         api_key=\"{}\").chat.completions.create(model=\"chat\", messages=[{{\"role\": \"user\", \
         \"content\": \"Hello\"}}]).choices[0].message.content)'",
        keys[0]
    ))?;
    output.line(&format!(
        "\ncurl http://{address}/v1/prompts/summarize -H 'Authorization: Bearer {}' \\\n  \
         -d '{{\"inputs\": {{\"text\": \"A toll road counts every car.\"}}}}'",
        keys[0]
    ))?;
    let config = file.display();
    output.line(&format!("\ntollgate report --config {config} --by account,model"))?;
    output.line(&format!("tollgate audit --config {config}"))?;
    Ok(())
}

fn samples() -> Vec<Sample> {
    let chat = |text: &str, stream: bool| {
        let message = json!({ "role": "user", "content": text });
        json!({ "model": "chat", "messages": [message], "stream": stream, "max_tokens": 64 })
    };
    let path = "/v1/chat/completions";
    let call = |label, key, body| Sample { label, key, path, body };
    let mut large = chat("Tell me everything you know.", false);
    large["max_tokens"] = json!(150);
    vec![
        call("a question", 0, chat("What does a token cost?", false)),
        call("a streamed answer", 0, chat("Explain budgets in 30 words.", true)),
        call("a request for JSON", 0, {
            let mut body = chat("Name a city.", false);
            body["response_format"] = json!({ "type": "json_object" });
            body
        }),
        Sample {
            label: "embeddings",
            key: 0,
            path: "/v1/embeddings",
            body: json!({ "model": "demo/embed", "input": ["one", "two words"] }),
        },
        Sample {
            label: "a moderation",
            key: 0,
            path: "/v1/moderations",
            body: json!({ "model": "demo/judge", "input": "What a lovely bridge." }),
        },
        Sample {
            label: "a ranking",
            key: 0,
            path: "/v1/rerank",
            body: json!({ "model": "demo/rank", "query": "who counts tokens?",
                "documents": ["The harbour at night.", "A ledger counts tokens."] }),
        },
        Sample {
            label: "a prompt template",
            key: 0,
            path: "/v1/prompts/classify-ticket",
            body: json!({ "inputs": { "message": "I was charged twice." } }),
        },
        call("another tenant", 1, chat("Hello", false)),
        call("a call beyond its budget", 1, large),
    ]
}
