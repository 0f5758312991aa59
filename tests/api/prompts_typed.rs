//! `tollgate prompt` as it is typed: a template tried, tested, compared and published from a shell, with
//! exit codes that a script can go by; and what is decided about prompts is on the chain.

use std::process::Output;

use serde_json::{Value, json};

use super::prompts::{EXTRACT, SUMMARIZE, Set};
use crate::harness::ledger::changes;
use crate::harness::stage::{INPUT_NANOS, RICH, nanos, row_of};

const TESTED: &str = "\n[[tests]]\nname = \"the seventh\"\ninputs = { text = \"x\" }\n\
    equals = { n = 7 }\nmax_tokens = 14\nmax_cost_usd = \"0.000019\"\n";

/// A template with a test in its front matter.
fn tested() -> String {
    let (front, text) = EXTRACT.rsplit_once("+++\n").unwrap();
    format!("{front}{TESTED}+++\n{text}")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// The provider answers while the command is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_tried_from_a_shell_and_its_call_is_charged_like_any_other() {
    let set = Set::new(&[("summarize", SUMMARIZE), ("extract", EXTRACT)], RICH).await;
    let key = set.gateway.key("acme");
    let file = set.gateway.dir().join("text");
    std::fs::write(&file, "@@tokens=7 prompt=30@@").unwrap();
    let input = format!("text=@{}", file.display());
    let told = ["prompt", "run", "summarize", "--key", &key, "-i", &input, "-i", "tone=kind"];
    let answer = set.gateway.run_json(&[&told[..], &["--json"]].concat());
    assert_eq!(answer["prompt"], "summarize@1", "{answer}");
    let row = row_of(&set.gateway, answer["id"].as_str().unwrap()).await;
    assert_eq!((row.input, row.output, row.json["account"].as_str()), (30, 7, Some("acme")));
    assert_eq!(set.upstream.last().json()["messages"][0]["content"], "Be kind.");
    let plain = set.gateway.run(&told);
    assert_eq!(out(&plain).trim_end(), answer["output"].as_str().unwrap().trim_end());
    assert!(err(&plain).contains("30 tokens in, 7 out"), "{plain:?}");
    // An object is printed as JSON, so that a script can read it.
    set.say("{\"n\":3}");
    let object = set.gateway.run(&["prompt", "run", "extract", "--key", &key, "-i", "text=x"]);
    assert_eq!(serde_json::from_str::<Value>(&out(&object)).unwrap(), json!({ "n": 3 }));
}

#[tokio::test]
async fn what_a_prompt_does_not_take_is_told_in_words_and_by_the_exit_code() {
    let set = Set::new(&[("summarize", SUMMARIZE)], RICH).await;
    let key = set.gateway.key("acme");
    let cases: [(&[&str], &str); 6] = [
        (&["run", "summarize", "--key", &key], "text"),
        (&["run", "summarize", "--key", &key, "-i", "text=x", "-i", "tone=rude"], "tone"),
        (&["run", "summarize", "--key", &key, "-i", "text"], "NAME=VALUE"),
        (&["run", "summarise", "--key", &key, "-i", "text=x"], "summarize"),
        (&["run", "summarize", "--key", "tg-nobody", "-i", "text=x"], "key"),
        (&["test", "--key", &key], "tests"),
    ];
    for (words, said) in cases {
        let refused = set.gateway.run(&[&["prompt"], words].concat());
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {refused:?}");
        assert!(err(&refused).contains(said), "{words:?} said {:?}", err(&refused));
        assert_eq!(out(&refused), "", "{words:?}");
    }
    assert_eq!(set.upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tests_in_a_template_run_against_the_gateway_and_a_failed_one_is_exit_code_1() {
    let tested = tested();
    let set = Set::new(&[("extract", &tested), ("summarize", SUMMARIZE)], RICH).await;
    let key = set.gateway.key("acme");
    let test = ["prompt", "test", "--key", &key];
    set.say("{\"n\":7}");
    let passed = set.gateway.run(&test);
    assert_eq!(passed.status.code(), Some(0), "{passed:?}");
    let table = out(&passed);
    assert!(table.contains("the seventh") && table.contains("passed"), "{table}");
    assert!(table.contains("0.000019"), "{table}");
    // The repair that a wrong answer leads to is part of its cost.
    set.say("seven");
    set.say("{\"n\":7}");
    let dear = set.gateway.run(&[&test[..], &["extract", "--json"]].concat());
    assert_eq!(dear.status.code(), Some(1), "{dear:?}");
    let row = &serde_json::from_str::<Value>(&out(&dear)).unwrap()["rows"][0];
    assert_eq!((&row["result"], &row["tokens"]), (&json!("FAILED"), &json!("28")), "{row}");
    let why = row["why"].as_str().unwrap();
    assert!(why.contains("0.000038") && why.contains("14"), "{row}");
    set.say("{\"n\":8}");
    let wrong = set.gateway.run(&test);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert!(out(&wrong).contains("must equal"), "{wrong:?}");
}

#[tokio::test]
async fn two_versions_are_compared_by_text_tokens_and_cost() {
    let set = Set::new(&[("summarize", SUMMARIZE)], RICH).await;
    set.write("summarize", &SUMMARIZE.replace("Be {{ tone }}.", "Be {{ tone }} and brief."));
    let diff = ["prompt", "diff", "summarize@1", "summarize"];
    let differs = set.gateway.run_json_of(&[&diff[..], &["--json"]].concat(), 1);
    let lines: Vec<&str> =
        differs["changes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(lines.contains(&"-Be {{ tone }}.") && lines.contains(&"+Be {{ tone }} and brief."));
    assert!(lines.contains(&" {{ text }}"), "what stayed is shown as such: {lines:?}");
    let tokens = |side: &str| differs[side]["template_tokens"].as_u64().unwrap();
    // " and brief" is two tokens.
    assert_eq!(tokens("new") - tokens("old"), 2, "{differs}");
    for side in ["old", "new"] {
        let cost = nanos(differs[side]["template_cost_usd"].as_str().unwrap());
        assert_eq!(cost, tokens(side) as i64 * INPUT_NANOS, "{differs}");
    }
    let shown = out(&set.gateway.run(&diff));
    assert!(shown.contains("--- summarize@1") && shown.contains("(+2)"), "{shown}");
    let same = set.gateway.run(&["prompt", "diff", "summarize@1", "summarize@1"]);
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    assert_eq!(
        set.gateway.run(&["prompt", "diff", "summarize@1", "nobody"]).status.code(),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_labels_are_rows_of_the_chain_that_survive_a_kill() {
    let mut set = Set::new(&[("summarize", SUMMARIZE)], RICH).await;
    let first = changes(&set.gateway);
    assert!(first.iter().any(|row| row.starts_with("prompt summarize@1 was published: blake3 ")));
    set.write("summarize", &SUMMARIZE.replace("Be {{ tone }}.", "Be very {{ tone }}."));
    let publish = ["prompt", "publish", "summarize", "--label", "production"];
    let done = set.gateway.run(&publish);
    assert!(done.status.success(), "{done:?}");
    let told = changes(&set.gateway).pop().unwrap();
    assert!(told.starts_with("prompt summarize@2 was published: blake3 "), "{told}");
    assert!(told.ends_with("prompt summarize@production stands for version 2 now"), "{told}");
    let back = set.gateway.run(&[&publish[..], &["--version", "1"]].concat());
    assert!(back.status.success(), "{back:?}");
    assert_eq!(
        changes(&set.gateway).pop().unwrap(),
        "prompt summarize@production stands for version 1 now"
    );
    set.gateway.kill();
    set.gateway.up();
    set.gateway.audit().unwrap();
    let key = set.gateway.key("acme");
    let run = ["prompt", "run", "summarize@production", "--key", &key, "-i", "text=x", "--json"];
    assert_eq!(set.gateway.run_json(&run)["prompt"], "summarize@1");
    // Publishing what there is already decides nothing, so it leaves no row.
    let rows = changes(&set.gateway).len();
    assert!(set.gateway.run(&["prompt", "publish", "summarize"]).status.success());
    assert_eq!(changes(&set.gateway).len(), rows);
}

#[tokio::test]
async fn a_label_can_try_another_version_for_a_part_of_the_calls() {
    let mut set = Set::new(&[("summarize", SUMMARIZE)], RICH).await;
    let publish = |more: &[&str]| {
        set.gateway
            .run(&[&["prompt", "publish", "summarize", "--label", "production"], more].concat())
    };
    let early = publish(&["--percent", "50"]);
    assert_eq!(early.status.code(), Some(1), "nothing to divide with: {early:?}");
    assert!(publish(&[]).status.success());
    set.write("summarize", &SUMMARIZE.replace("Be {{ tone }}.", "Be very {{ tone }}."));
    for wrong in ["0", "100"] {
        assert_eq!(publish(&["--percent", wrong]).status.code(), Some(1), "{wrong}");
    }
    assert!(publish(&["--percent", "50"]).status.success());
    assert_eq!(
        changes(&set.gateway).pop().unwrap().rsplit_once("prompt ").unwrap().1,
        "summarize@production stands for version 1 now, and for version 2 in 50 of a hundred calls"
    );
    set.gateway.kill();
    set.gateway.up();
    let client = set.gateway.client("acme");
    let run = json!({ "inputs": { "text": "@@tokens=1 prompt=2@@" } });
    let mut taken = [0; 2];
    for at in 0..60 {
        let tag = if at % 2 == 0 {
            let answer = client.post("/v1/prompts/summarize@production", &run).await.json();
            answer["prompt"].as_str().unwrap().to_owned()
        } else {
            let words = [json!({ "role": "user", "content": "@@tokens=1@@" })];
            let body = json!({ "model": "prompt/summarize@production", "messages": words });
            let answer = client.post("/v1/chat/completions", &body).await;
            let row = row_of(&set.gateway, answer.header("x-request-id").unwrap()).await;
            row.json["prompt"].as_str().unwrap().to_owned()
        };
        taken[usize::from(tag == "summarize@2")] += 1;
    }
    // Sixty throws of a coin are fewer than five times on one side once in 10^12.
    assert!(taken.iter().all(|count| *count >= 5), "{taken:?}");
    let listed = set.gateway.admin_client().get("/admin/prompts").await.json();
    let data = listed["data"].as_array().unwrap();
    assert_eq!((&data[0]["labels"], &data[1]["labels"]), (&json!(["production"]), &json!([])));
    assert_eq!(data[1]["trials"], json!({ "production": 50 }), "{listed}");
    // What each costs is a report; the trial's end is a move of the label.
    let report = set.gateway.run_json(&["report", "--by", "prompt", "--json"]);
    assert_eq!(report["rows"].as_array().unwrap().len(), 2, "{report}");
    let moved = json!({ "name": "summarize", "label": "production", "version": 2 });
    assert_eq!(set.gateway.admin_client().post("/admin/prompts/labels", &moved).await.status, 200);
    for _ in 0..10 {
        let answer = client.post("/v1/prompts/summarize@production", &run).await.json();
        assert_eq!(answer["prompt"], "summarize@2");
    }
    set.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_report_as_of_an_instant_has_the_rows_written_by_then_and_no_more() {
    let set = Set::new(&[("summarize", SUMMARIZE)], RICH).await;
    let client = set.gateway.client("acme");
    let run = json!({ "inputs": { "text": "@@tokens=7 prompt=30@@" } });
    let first = client.post("/v1/prompts/summarize", &run).await.json();
    row_of(&set.gateway, first["id"].as_str().unwrap()).await;
    let then = jiff::Timestamp::now().to_string();
    let second = client.post("/v1/prompts/summarize", &run).await.json();
    row_of(&set.gateway, second["id"].as_str().unwrap()).await;
    let report = |more: &[&str]| {
        set.gateway.run_json(&[&["report", "--by", "prompt", "--json"], more].concat())
    };
    assert_eq!(report(&[])["rows"][0]["requests"], 2);
    let rows = report(&["--as-of", &then]);
    assert_eq!(rows["rows"][0]["requests"], 1, "{rows}");
    assert_eq!(rows["rows"][0]["charged_usd"], first["cost_usd"], "{rows}");
    assert_eq!(report(&["--as-of", "2020-01-01"])["rows"], json!([]));
}
