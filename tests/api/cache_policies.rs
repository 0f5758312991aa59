//! For whom and how long replies are kept, and how a client is told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::Response;
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, RICH, Stage, chat, nanos, streamed};

fn fixed(mut body: Value) -> Value {
    body["temperature"] = json!(0);
    body
}

fn said(answer: &Response) -> &str {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-tollgate-cache").unwrap_or("nothing")
}

async fn twice(stage: &Stage, account: &str, body: &Value) -> (String, String) {
    let client = stage.gateway.client(account);
    let first = said(&client.post(CHAT, body).await).to_owned();
    (first, said(&client.post(CHAT, body).await).to_owned())
}

#[tokio::test]
async fn models_and_accounts_say_whether_and_how_long() {
    let tables = "[cache]\n[cache.models]\n\"gpt-4o\" = \"off\"\n[cache.accounts]\n\
        \"acme/legal\" = \"off\"\n\"globex\" = \"50ms\"\n\n\
        [accounts.acme]\n[accounts.acme.legal]\n[accounts.acme.search]\n[accounts.globex]\n";
    let stage = Stage::new(tables).await;
    let body = fixed(chat("@@tokens=5@@"));
    let mut large = body.clone();
    large["model"] = json!("gpt-4o");
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(twice(&stage, "acme/search", &body).await, pair("miss", "hit"));
    assert_eq!(twice(&stage, "acme/search", &large).await, pair("bypass", "bypass"));
    assert_eq!(twice(&stage, "acme/legal", &body).await, pair("bypass", "bypass"));
    let globex = stage.gateway.client("globex");
    assert_eq!(said(&globex.post(CHAT, &body).await), "miss");
    eventually("the reply is forgotten", Duration::from_secs(10), async || {
        (said(&globex.post(CHAT, &body).await) == "miss").then_some(())
    })
    .await;
}

#[tokio::test]
async fn accounts_of_a_group_share_answers_and_no_others_do() {
    let tables = "[cache]\n[cache.groups]\nresearch = [\"acme/search\", \"globex\"]\n\n\
        [accounts.acme]\n[accounts.acme.search]\n[accounts.acme.search.one]\n[accounts.globex]\n";
    let stage = Stage::new(tables).await;
    let body = fixed(chat("@@tokens=5@@"));
    let first = stage.gateway.client("acme/search/one").post(CHAT, &body).await;
    assert_eq!(said(&first), "miss");
    let shared = stage.gateway.client("globex").post(CHAT, &body).await;
    assert_eq!((said(&shared), &shared.body), ("hit", &first.body));
    assert_eq!(said(&stage.gateway.client("acme").post(CHAT, &body).await), "miss");
    let row = stage.row(&shared).await;
    assert_eq!((row.json["account"].as_str(), nanos(&row.charged_usd)), (Some("globex"), 0));
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_hit_says_how_old_it_is_and_a_client_that_has_it_gets_no_body() {
    let stage = Stage::new(&format!("[cache]\nttl = \"10m\"\n\n{RICH}")).await;
    let client = stage.gateway.client("acme");
    for body in [fixed(chat("a @@tokens=5@@")), fixed(streamed("b @@tokens=5@@"))] {
        let first = client.post(CHAT, &body).await;
        assert_eq!((said(&first), first.header("etag")), ("miss", None));
        let hit = client.post(CHAT, &body).await;
        assert_eq!(said(&hit), "hit");
        let age = hit.header("age").unwrap().parse::<u64>().unwrap();
        let left = hit.header("cache-control").unwrap().strip_prefix("private, max-age=").unwrap();
        assert_eq!(left.parse::<u64>().unwrap() + age, 600);
        let tag = hit.header("etag").unwrap();
        for known in [tag.to_owned(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let same = client.and_header("if-none-match", &known).post(CHAT, &body).await;
            assert_eq!((same.status, same.body.len()), (304, 0), "{known}");
            assert_eq!(same.header("etag"), Some(tag));
            assert_eq!(stage.row(&same).await.outcome, "cached");
        }
        let other = client.and_header("if-none-match", "\"other\"").post(CHAT, &body).await;
        assert_eq!((said(&other), other.status), ("hit", 200));
    }
    let held = stage.gateway.admin_get("/admin/cache").await.json();
    assert_eq!((&held["entries"], held["bytes"].as_u64().unwrap() > 0), (&json!(2), true));
    let purged = stage.gateway.admin_client().send("DELETE", "/admin/cache?prompt=none", b"").await;
    assert_eq!(purged.unwrap().status, 204);
    assert_eq!(stage.gateway.admin_get("/admin/cache").await.json()["entries"], 2);
}

#[test]
fn a_policy_for_what_is_not_there_is_refused_with_the_nearest_name() {
    let gateway = Gateway::stopped(
        "[cache]\n[cache.accounts]\nacne = \"off\"\n[cache.groups]\na = [\"acme\"]\n\
         b = [\"acme\"]\n[cache.models]\nx = \"soon\"\n\n[accounts.acme]\n",
    );
    let checked = gateway.run(&["check"]);
    let text = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success(), "{text}");
    for problem in
        ["there is no account `acne`", "`acme`", "of the group `a` already", "not a duration"]
    {
        assert!(text.contains(problem), "{problem}: {text}");
    }
}

#[tokio::test]
async fn reports_tell_of_the_calls_that_could_be_answered_how_many_were_and_what_that_saved() {
    let tables = "[cache]\n\n[accounts.acme]\n[accounts.globex]\n";
    let stage = Stage::new(tables).await;
    let (acme, globex) = (stage.gateway.client("acme"), stage.gateway.client("globex"));
    let body = fixed(chat("@@tokens=5@@"));
    let first = acme.post(CHAT, &body).await;
    assert_eq!((said(&first), first.header("x-tollgate-saved-usd")), ("miss", None));
    let paid = stage.row(&first).await.charged_usd;
    for _ in 0..2 {
        let again = acme.post(CHAT, &body).await;
        assert_eq!(said(&again), "hit");
        assert_eq!(again.header("x-tollgate-saved-usd"), Some(&*paid));
        assert_eq!(stage.row(&again).await.json["cache"], "hit");
    }
    // None of these could be answered: not fixed, not wanted, or wanted anew.
    assert_eq!(said(&acme.post(CHAT, &chat("@@tokens=5@@")).await), "bypass");
    for word in ["no-store", "refresh"] {
        let answer = acme.and_header("x-tollgate-cache", word).post(CHAT, &body).await;
        assert!(stage.row(&answer).await.json["cache"].is_null(), "{word}");
    }
    let mut failing = fixed(chat("@@status=500@@"));
    failing["model"] = json!("gpt-4o");
    assert_eq!(globex.post(CHAT, &failing).await.status, 502);
    stage.nothing_held().await;
    let figures = |row: &Value| {
        let words = |name: &str| row[name].as_str().map(str::to_owned);
        let saved = nanos(&words("saved_usd").unwrap());
        let counts = ["requests", "cache_hits", "cache_misses"].map(|n| row[n].as_i64().unwrap());
        (counts, words("cache_hit_rate"), saved)
    };
    let rate = |text: &str| Some(text.to_owned());
    let told = |by: &str| stage.gateway.run_json(&["report", "--by", by, "--format", "json"]);
    let of = |report: &Value, by: &str, name: &str| {
        let rows = report["rows"].as_array().unwrap();
        figures(rows.iter().find(|row| row[by] == name).unwrap())
    };
    let accounts = told("account");
    let saved = 2 * nanos(&paid);
    assert_eq!(of(&accounts, "account", "acme"), ([6, 2, 1], rate("0.666"), saved));
    let globex = of(&accounts, "account", "globex");
    assert_eq!((globex.0[1..].to_vec(), globex.1), (vec![0, 1], rate("0")));
    let models = told("model");
    assert_eq!(of(&models, "model", "gpt-4o-mini").1, rate("0.666"));
    let csv = stage.gateway.run(&["report", "--by", "cache_hits", "--format", "csv"]);
    assert!(!csv.status.success(), "it is a figure, not a group");
    let csv = stage.gateway.run(&["report", "--by", "account", "--format", "csv"]);
    let csv = String::from_utf8(csv.stdout).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|name| *name == "cache_hit_rate").unwrap();
    assert!(lines.any(|line| line[0] == "acme" && line[at] == "0.666"), "{csv}");
    let admin = stage.gateway.admin_client().get("/admin/reports?by=account&account=acme").await;
    assert_eq!(figures(&admin.json()["rows"][0]), ([6, 2, 1], rate("0.666"), saved));
    let held = stage.gateway.admin_client().get("/admin/cache").await.json();
    let accounts = held["accounts"].as_array().unwrap();
    assert_eq!((accounts.len(), &accounts[0]["account"]), (1, &json!("acme")));
    assert_eq!((&accounts[0]["bytes"], accounts[0]["entries"].as_u64()), (&held["bytes"], Some(1)));
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_restart_keeps_hits_byte_for_byte_for_whom_they_were_until_they_are_purged() {
    let tables = "[cache]\ndisk = \"cache.db\"\n\n[accounts.acme]\n[accounts.globex]\n";
    let mut stage = Stage::new(tables).await;
    let body = fixed(chat("@@tokens=5@@"));
    let mut plain = fixed(streamed("b @@tokens=5@@"));
    plain.as_object_mut().unwrap().remove("stream_options");
    let mut firsts = Vec::new();
    for body in [&body, &plain] {
        let first = stage.gateway.client("acme").post(CHAT, body).await;
        assert_eq!(said(&first), "miss");
        firsts.push((body, stage.row(&first).await.charged_usd, first));
    }
    let written = async |stage: &Stage, replies: u64| {
        let admin = stage.gateway.admin_client();
        eventually("the replies are in the file", Duration::from_secs(30), async || {
            let held = admin.get("/admin/cache").await.json();
            (held["disk"]["entries"] == replies).then_some(())
        })
        .await;
    };
    written(&stage, 2).await;
    stage.gateway.kill();
    stage.gateway.up();
    let asked = stage.upstream.count();
    for (body, paid, first) in &firsts {
        let again = stage.gateway.client("acme").post(CHAT, body).await;
        assert_eq!(said(&again), "hit", "{}", stage.gateway.log());
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("content-type"), first.header("content-type"));
        let row = stage.row(&again).await;
        assert_eq!((row.outcome.as_str(), row.input, row.output), ("cached", 0, 0));
        assert_eq!(row.json["attempts"][0]["saved_usd"], **paid);
        assert_eq!(nanos(&row.charged_usd), 0);
    }
    assert_eq!(stage.upstream.count(), asked);
    let other = stage.gateway.client("globex").post(CHAT, &body).await;
    assert_eq!(said(&other), "miss", "it was for another account");
    written(&stage, 3).await;
    let purged =
        stage.gateway.admin_client().send("DELETE", "/admin/cache?account=acme", b"").await;
    assert_eq!(purged.unwrap().status, 204);
    stage.gateway.kill();
    stage.gateway.up();
    assert_eq!(said(&stage.gateway.client("acme").post(CHAT, &body).await), "miss");
    assert_eq!(said(&stage.gateway.client("globex").post(CHAT, &body).await), "hit");
    // Whatever becomes of the file, it is an answer that is not there.
    let file = stage.gateway.dir().join("cache.db");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.iter_mut().skip(100).for_each(|byte| *byte = 0x5a);
    for bytes in [bytes, b"no file of ours".to_vec()] {
        stage.gateway.kill();
        for end in ["-wal", "-shm"] {
            let _none = std::fs::remove_file(stage.gateway.dir().join(format!("cache.db{end}")));
        }
        std::fs::write(&file, bytes).unwrap();
        stage.gateway.up();
        assert_eq!(said(&stage.gateway.client("globex").post(CHAT, &body).await), "miss");
        assert_eq!(said(&stage.gateway.client("globex").post(CHAT, &body).await), "hit");
        assert!(stage.gateway.log().contains("the cache's file"), "{}", stage.gateway.log());
    }
    stage.gateway.audit().unwrap();
}
