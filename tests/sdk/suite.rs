//! The sets of client code, each with the environment that it runs in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A set of client code.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Suite {
    /// OpenAI's Python SDK as its users get it today.
    OpenAi,
    /// The same files with the version before.
    OpenAiBefore,
    /// The Python SDKs of the other providers.
    Direct,
    /// Frameworks in Python.
    Frameworks,
    /// The SDKs for Node.js.
    Node,
    /// OpenAI's Python SDK with a real embedding model behind the gateway.
    Embedding,
}

impl Suite {
    /// Those that any provider can be behind of.
    pub(crate) const ALL: [Suite; 5] =
        [Suite::OpenAi, Suite::OpenAiBefore, Suite::Direct, Suite::Frameworks, Suite::Node];

    /// Runs every file of it against the target that `about` describes. Fails with the runner's words.
    pub(crate) fn run(self, about: &str) {
        let output = match self {
            Suite::OpenAi => python("latest", "openai", about),
            Suite::OpenAiBefore => python("frameworks", "openai", about),
            Suite::Direct => python("latest", "direct", about),
            Suite::Frameworks => python("frameworks", "frameworks", about),
            Suite::Node => node(about),
            Suite::Embedding => python("embedding", "embedding", about),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?}\n{text}\n{problem}");
        let ran = text.contains(" passed") || text.lines().any(|l| l.starts_with("# pass "));
        assert!(ran && !text.contains("# pass 0"), "{self:?} ran no test: {text}");
    }
}

fn python(environment: &str, folder: &str, about: &str) -> Output {
    Command::new(environments().join(environment).join("bin/python"))
        .args(["-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=short"])
        .arg("--rootdir")
        .arg(here().join("python"))
        .arg(here().join("python").join(folder))
        .env("TOLLGATE_SDK", about)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("OPENAI_API_KEY")
        .output()
        .unwrap()
}

fn node(about: &str) -> Output {
    let folder = here().join("node");
    let tests = ["openai", "anthropic"].map(|name| folder.join(format!("{name}.test.mjs")));
    node_command()
        .args(["--test", "--test-reporter=tap"])
        .args(tests)
        .env("TOLLGATE_SDK", about)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The Node.js of the locked packages.
pub(crate) fn node_command() -> Command {
    environments();
    Command::new(here().join("node/node_modules/.bin/node"))
}

/// Where the Python environments lie; made where they are missing.
pub(crate) fn environments() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let made = Command::new(here().join("install")).output().unwrap();
        let problem = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "the environments of the SDKs: {problem}");
        PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
    })
}

pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}
