//! What the SDKs talk to: a gateway, the providers behind it, and how each behaviour is brought about.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Map, Value, json};

use crate::harness::gateway::Gateway;
use crate::suite::{Suite, environments, here, node_command};

/// One account a purpose: each file of tests spends its own.
const ACCOUNTS: &str = r#"
[gateway]
unauthenticated = []  # all suites come from one address, and each shows wrong keys

[accounts.main]
limits = ["$1000 per month"]

[accounts.second]
limits = ["$1000 per month"]

[accounts.third]
limits = ["$1000 per month"]

[accounts.poor]
limits = ["2 requests per day"]

[accounts.brisk]
limits = ["2 requests per second"]

[accounts.bound]
limits = ["$1000 per month"]
models = ["ALLOWED"]

[accounts.slow]
limits = ["3 requests per minute"]
"#;

const OPENAI_PROVIDER: &str = r#"
[providers.up]
kind = "compatible"
base_url = "URL/v1"
api_key = "env:UP_KEY"
max_retries = 0
models = ["gpt-4o-mini", "text-embedding-3-small"]

[prices."up/gpt-4o-mini"]
input = "1.00"
output = "2.00"
cache_read = "0.10"

[prices."up/text-embedding-3-small"]
input = "0.02"
"#;

const ANTHROPIC_PROVIDER: &str = r#"
[providers.claude]
kind = "anthropic"
base_url = "URL/v1"
api_key = "env:UP_KEY"
max_retries = 0
models = ["claude-3-5-haiku-latest"]

[prices."claude/claude-3-5-haiku-latest"]
input = "1.00"
output = "2.00"
cache_read = "0.10"
cache_write = "1.25"
"#;

const GPT: &str = "up/gpt-4o-mini";
const CLAUDE: &str = "claude/claude-3-5-haiku-latest";
const EMBED: &str = "up/text-embedding-3-small";

/// A gateway to be started anew for each suite, because limits are used up.
pub(crate) struct Target {
    tables: String,
    /// By client family: a name of a behaviour to the model and the words that bring it about.
    openai: Value,
    anthropic: Value,
    /// What the far side cannot do at all: tests that need it are left out.
    lacks: Vec<&'static str>,
}

impl Target {
    /// The scripted provider, each client with the dialect it speaks.
    pub(crate) fn scripted(url: &str) -> Self {
        let mut openai = scripted_asks(GPT);
        openai["embed"] = json!([EMBED, ""]);
        openai["refusal"] = json!([GPT, "@@refuse@@"]);
        openai["error-inside"] = json!([GPT, "@@tokens=20 error-after=5@@"]);
        let anthropic = scripted_asks(CLAUDE);
        Target { tables: scripted_tables(url), openai, anthropic, lacks: Vec::new() }
    }

    /// The scripted provider, each client with the dialect it does not speak.
    pub(crate) fn crossed(url: &str) -> Self {
        let mut openai = scripted_asks(CLAUDE);
        openai["embed"] = json!([EMBED, ""]);
        // Anthropic's wire has one answer to a question and no log probabilities.
        let lacks = vec!["choices", "logprobs"];
        Target { tables: scripted_tables(url), openai, anthropic: scripted_asks(GPT), lacks }
    }

    /// The demo provider, in the gateway's own process.
    pub(crate) fn demo() -> Self {
        let asks = json!({
            "chat": ["demo/fast", ""],
            "long": ["demo/fast", "Use 300 words."],
            "embed": ["demo/embed", ""],
            "draw": ["demo/draw", ""],
            "speak": ["demo/speak", ""],
            "listen": ["demo/listen", ""],
            "judge": ["demo/judge", ""],
            "truncated": ["demo/cut", ""],
            "error-inside": ["demo/error", ""],
            "status-429": ["demo/429", ""],
        });
        let accounts = ACCOUNTS.replace("ALLOWED", "demo/embed");
        Target {
            tables: format!("[providers.demo]\nkind = \"demo\"\nmax_retries = 0\n{accounts}"),
            openai: asks.clone(),
            anthropic: asks,
            // It refuses two of three calls, so a test behind others may meet the third.
            lacks: vec!["steady-errors"],
        }
    }

    /// The mock of the providers, each client with the dialect it speaks.
    pub(crate) fn mocked(mock: &Mock) -> Self {
        let mut openai = mocked_asks(GPT);
        openai["embed"] = json!([EMBED, ""]);
        Target {
            tables: scripted_tables(&mock.url),
            openai,
            anthropic: mocked_asks(CLAUDE),
            // It answers what it was given, whatever was asked for.
            lacks: vec!["base64", "choices", "embedding-usage", "logprobs", "token-input"],
        }
    }

    /// A real embedding model, whose calls ride together.
    pub(crate) fn embedding(model: &Mock) -> Self {
        let lanes = "[lanes]\nmax_wait = \"5s\"\n";
        Target {
            tables: format!("{}{lanes}", scripted_tables(&model.url)),
            openai: json!({"embed": [EMBED, model.url]}),
            anthropic: json!({}),
            lacks: Vec::new(),
        }
    }

    /// Runs the suite and audits the ledger.
    pub(crate) async fn run(self, suite: Suite) {
        let gateway = Gateway::start(&self.tables);
        let accounts = ["main", "second", "third", "poor", "brisk", "slow", "bound"];
        let keys: Map<String, Value> =
            accounts.iter().map(|name| ((*name).to_owned(), json!(gateway.key(name)))).collect();
        let about = json!({
            "base_url": format!("{}/v1", gateway.data), "keys": keys, "lacks": self.lacks,
            "asks": self.openai, "anthropic_asks": self.anthropic,
        });
        tokio::task::spawn_blocking(move || suite.run(&about.to_string())).await.unwrap();
        gateway.audit().unwrap();
    }
}

fn scripted_tables(url: &str) -> String {
    let providers = format!("{OPENAI_PROVIDER}{ANTHROPIC_PROVIDER}").replace("URL", url);
    providers + &ACCOUNTS.replace("ALLOWED", EMBED)
}

/// What the scripted provider does on either wire.
fn scripted_asks(model: &str) -> Value {
    let mut asks = json!({
        "chat": [model, "@@tokens=12@@"],
        "long": [model, "@@tokens=40@@"],
        "truncated": [model, "@@tokens=20 finish=no done=no usage=missing@@"],
    });
    for status in [400, 404, 409, 422, 429, 500, 503] {
        asks[format!("status-{status}")] = json!([model, format!("@@status={status}@@")]);
    }
    asks
}

fn mocked_asks(model: &str) -> Value {
    let mut asks = json!({"chat": [model, ""]});
    for status in [400, 404, 429, 500] {
        asks[format!("status-{status}")] = json!([model, format!("Fail with {status}.")]);
    }
    asks
}

/// A provider's process; it ends when this is dropped.
pub(crate) struct Mock {
    child: Child,
    /// `http://127.0.0.1:PORT`, with no path.
    pub(crate) url: String,
}

impl Mock {
    /// A mock of the providers.
    pub(crate) fn start() -> Self {
        let mut command = node_command();
        command.arg(here().join("node/mock.mjs"));
        Mock::run(command)
    }

    /// The embedding model.
    pub(crate) fn model() -> Self {
        let mut command = Command::new(environments().join("embedding/bin/python"));
        command.arg(here().join("python/embedding/model.py")).env("OPENBLAS_NUM_THREADS", "1");
        Mock::run(command)
    }

    /// A program whose first line is where it listens.
    fn run(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "it did not start: {url}");
        Mock { child, url }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
