//! The command line as scripts use it: exit codes, JSON, and the demo that needs nothing.

use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::fresh_dir;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{RICH, configuration};
use crate::harness::upstream::Upstream;

fn tollgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("TOLLGATE_ADMIN_KEY")
        .stdin(std::process::Stdio::null())
        .current_dir(fresh_dir("cli"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_needs_nothing_and_says_how_to_go_on() {
    let demo = tollgate(&["demo", "--port", "0", "--exit-after-samples"]);
    let said = text(&demo.stdout);
    assert!(demo.status.success(), "{said}{}", text(&demo.stderr));
    for word in ["http://127.0.0.1:", "curl", "OpenAI(", "report"] {
        assert!(said.contains(word), "no {word}: {said}");
    }
    assert!(!said.contains('\u{1b}'), "colours without a terminal: {said}");
}

#[test]
fn the_demos_ledger_can_be_kept_and_audited() {
    let dir = fresh_dir("demo");
    let place = dir.to_str().unwrap();
    let demo = tollgate(&["demo", "--port", "0", "--exit-after-samples", "--dir", place]);
    assert!(demo.status.success(), "{}", text(&demo.stderr));
    let config = dir.join("demo.toml");
    let config = config.to_str().unwrap();
    let report = tollgate(&["report", "--config", config, "--format", "json"]);
    let rows: Value = serde_json::from_str(&text(&report.stdout)).unwrap();
    assert!(!rows["rows"].as_array().unwrap().is_empty(), "{rows}");
    let audit = tollgate(&["audit", "--config", config]);
    assert_eq!(audit.status.code(), Some(0), "{}", text(&audit.stderr));
}

#[tokio::test]
async fn a_check_finds_every_mistake_with_its_line() {
    let upstream = Upstream::start().await;
    let bad = "[accounts.acme]\nlimits = [\"lots of tokens\"]\ncolour = \"blue\"\n\n\
               [models.fast]\ntargets = [{ provider = \"nobody\", model = \"x\" }]\n";
    let gateway = Gateway::stopped(&configuration(&upstream, "", bad));
    let check = gateway.run(&["check", "--json"]);
    assert_eq!(check.status.code(), Some(1));
    let report: Value = serde_json::from_str(&text(&check.stdout)).unwrap();
    let problems = report["problems"].as_array().unwrap();
    for word in ["accounts.acme.limits[0]", "colour", "nobody"] {
        let found = problems.iter().find(|problem| problem.to_string().contains(word));
        let found = found.unwrap_or_else(|| panic!("no {word}: {report}"));
        assert!(found["line"].as_u64().unwrap() > 5, "{found}");
    }
    // What cannot be checked cannot be served.
    assert!(!gateway.run(&["serve"]).status.success());
    gateway.configure(&configuration(&upstream, "", RICH));
    assert_eq!(gateway.run(&["check"]).status.code(), Some(0));
}

#[test]
fn what_is_asked_wrongly_exits_2() {
    for wrong in [&["fly"][..], &["serve", "--speed"], &["report", "--by", "colour"], &[]] {
        assert_eq!(tollgate(wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(tollgate(&["--help"]).status.code(), Some(0));
    assert_eq!(tollgate(&["serve", "--config", "nowhere.toml"]).status.code(), Some(1));
}

#[test]
fn tokens_are_counted_and_how_is_said() {
    let dir = fresh_dir("count");
    let file = dir.join("text");
    std::fs::write(&file, "hello world").unwrap();
    let file = file.to_str().unwrap();
    let counted = |model: &str| -> Value {
        let run = tollgate(&["count", "--model", model, file, "--json"]);
        assert!(run.status.success(), "{}", text(&run.stderr));
        serde_json::from_str(&text(&run.stdout)).unwrap()
    };
    assert_eq!(counted("gpt-4o")["tokens"], 2);
    assert_eq!(counted("gpt-4o")["provenance"], "tokenized");
    assert_eq!(counted("nobody-knows-it")["provenance"], "estimated");
}
