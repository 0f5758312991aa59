//! The house rules as a test: which floor may import which, and what is banned where, each with its
//! reason. ARCHITECTURE.md draws the same picture for people.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails the test that reads it")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src/` by floor. A module imports only modules of lower floors, and itself.
const FLOORS: [(u8, &[&str]); 5] = [
    (1, &["clock"]),
    (2, &["cache", "tenants", "routing", "upstream", "ledger", "prompts"]),
    (3, &["alerts", "batches", "call", "control"]),
    (4, &["http"]),
    (5, &["app", "cli", "commands", "config", "telemetry"]),
];

/// Imports that go up or sideways, each with the reason why it may.
const EXCEPTIONS: [(&str, &str, &str); 5] = [
    ("upstream", "ledger", "`send` asks for an open hold: no hold, no send"),
    ("commands", "*", "the command line sits on everything"),
    ("app", "*", "floor 5 puts the house together"),
    ("telemetry", "*", "floor 5 is fed by the ledger's entries"),
    ("cli", "config", "problems of a configuration are rendered"),
];

/// A ban: the text, where it is allowed, why it is banned and what to use instead.
struct Ban {
    text: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        text: "axum::",
        allowed: &["src/http/"],
        why: "only `http` knows axum; hand other modules a plain type",
    },
    Ban {
        text: "INSERT INTO entries",
        allowed: &["src/ledger/writer.rs"],
        why: "only the ledger's writer writes entries; settle an OpenHold",
    },
    Ban {
        text: "rusqlite",
        allowed: &["src/ledger/", "src/cache/disk/"],
        why: "only the ledger touches its database, and the cache's file is no other's; ask its Reader",
    },
    Ban {
        text: "client::legacy",
        allowed: &["src/upstream/"],
        why: "only `upstream` opens outbound connections",
    },
    Ban {
        text: "TcpStream::connect",
        allowed: &["src/upstream/"],
        why: "only `upstream` opens outbound connections",
    },
    Ban {
        text: "env::var",
        allowed: &["src/main.rs", "src/commands/", "src/config/"],
        why: "only main, its commands and config read the environment; pass the value in",
    },
    Ban {
        text: "tokio::spawn",
        allowed: &[],
        why: "an untracked task outlives its shutdown; use a TaskTracker",
    },
    Ban {
        text: "unbounded_channel",
        allowed: &[],
        why: "everything has a bound; use a bounded channel and refuse beyond it",
    },
    Ban {
        text: "mpsc::channel()",
        allowed: &[],
        why: "std's plain channel has no bound; use sync_channel",
    },
    Ban {
        text: "SystemTime",
        allowed: &["src/clock.rs"],
        why: "time is read in one place and passed in",
    },
    Ban {
        text: "anyhow",
        allowed: &["src/main.rs", "src/commands/"],
        why: "errors a caller acts on are typed; anyhow is for the command line",
    },
    Ban {
        text: "f64",
        // Metrics are floats by their format; a temperature is compared, a demo's vectors made up; the
        // correction of an estimate is a fit, and what comes of it an integer.
        allowed: &[
            "tokenizer/src/correction.rs",
            "src/telemetry/",
            "providers/src/unified/text.rs",
            "providers/src/anthropic/",
            "providers/src/demo/",
        ],
        why: "no float near money or tokens; use integers",
    },
    Ban {
        text: "f32",
        allowed: &["providers/src/demo/", "providers/src/vectors.rs"],
        why: "no float near money or tokens",
    },
    Ban {
        text: "println!",
        allowed: &[],
        why: "only cli::Output writes to the terminal, where a closed pipe is no panic",
    },
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the product below `folder`, with its code: comments, and the tests at a file's
/// end, are not code of the product.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let test_file = |path: &PathBuf| path.file_name().is_some_and(|name| name == "tests.rs");
    found.retain(|path| !test_file(path));
    let text = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, lines.collect::<Vec<_>>().join("\n"))
    };
    found.into_iter().map(text).collect()
}

/// The module of `src/` that a file belongs to; the crate root and `main.rs` have none.
fn module(file: &str) -> Option<&str> {
    let rest = file.strip_prefix("src/")?;
    let name = rest.split('/').next()?.trim_end_matches(".rs");
    (name != "lib" && name != "main").then_some(name)
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

/// Modules named after `crate::` or `tollgate::`, in `use` lines and in paths.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["crate::", "tollgate::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = &code[at + start.len()..];
            if let Some(list) = rest.strip_prefix('{') {
                let list = list.split('}').next().unwrap_or_default();
                let names = list.split(',').map(|n| n.trim().split("::").next().unwrap_or(""));
                found.extend(names.map(str::to_owned));
            } else {
                let name: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.push(name);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_floor_imports_only_the_floors_below_it() {
    let mut broken = Vec::new();
    for (file, code) in sources("src") {
        let Some(from) = module(&file) else { continue };
        let Some(here) = floor(from) else {
            broken.push(format!("{file}: module {from} has no floor; give it one here"));
            continue;
        };
        for to in imports(&code) {
            let Some(there) = floor(&to).filter(|_| to != from) else { continue };
            let excused = EXCEPTIONS
                .iter()
                .any(|(one, other, _)| *one == from && (*other == to || *other == "*"));
            if there >= here && !excused {
                broken.push(format!("{file} (floor {here}) imports {to} (floor {there})"));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_pure_crates_import_nothing_that_touches_the_world() {
    let outside = ["std::net", "std::fs", "std::env", "std::thread", "tokio", "tracing"];
    let mut broken = Vec::new();
    for krate in ["accounting/src", "tokenizer/src", "providers/src"] {
        for (file, code) in sources(krate) {
            for word in outside.iter().filter(|word| code.contains(**word)) {
                broken.push(format!(
                    "{file} names {word}: the pure crates do no I/O and keep no time"
                ));
            }
        }
    }
    for (file, code) in sources("accounting/src") {
        for word in ["serde", "async ", "Instant::now"].iter().filter(|word| code.contains(**word))
        {
            broken.push(format!("{file} names {word}"));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn what_is_banned_is_nowhere_but_where_its_reason_allows_it() {
    let mut broken = Vec::new();
    let folders = ["src", "accounting/src", "tokenizer/src", "providers/src"];
    for (file, code) in folders.iter().flat_map(|folder| sources(folder)) {
        for ban in BANS {
            let allowed = ban.allowed.iter().any(|place| file.starts_with(place));
            if !allowed && code.contains(ban.text) {
                broken.push(format!("{file} has {:?}: {}", ban.text, ban.why));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn a_file_is_a_room_of_at_most_500_lines() {
    let folders = ["src", "accounting/src", "tokenizer/src", "providers/src", "tests"];
    let long: Vec<String> = folders
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|(file, code)| (file, code.lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(file, lines)| format!("{file}: {lines} lines; is it one room, or several?"))
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

#[test]
fn architecture_names_every_module_and_every_module_has_its_place() {
    let picture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut missing = Vec::new();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let shown = picture.contains(&format!("{}/", name)) || picture.contains(&name);
        if !shown {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md does not draw {missing:?}");
}
