//! A copy made beside a working gateway is a whole ledger: it audits clean and takes the other's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::calls::Plan;
use crate::harness::Dice;
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{by_call, changes, entries, entries_after, tamper};
use crate::harness::stage::{CHAT, RICH, chat, configuration, nothing_held};
use crate::harness::upstream::Upstream;

async fn call_until(done: Arc<AtomicBool>, client: Client, name: &'static str) -> usize {
    let mut dice = Dice::new(name.len() as u64);
    let mut calls = 0;
    while !done.load(Ordering::Relaxed) {
        Plan::roll(&mut dice, format!("{name}{calls}")).run(&client).await;
        calls += 1;
    }
    calls
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_made_under_load_audits_clean_and_takes_the_ledgers_place() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&configuration(&upstream, "", RICH));
    let key = gateway.key("acme");
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = ["a", "bb", "ccc"]
        .into_iter()
        .map(|name| {
            let client = Client::with_key(&gateway.data, &key);
            tokio::spawn(call_until(Arc::clone(&done), client, name))
        })
        .collect();
    let mut sizes = Vec::new();
    for copy in ["one.db", "two.db", "three.db"] {
        let made = gateway.run_json(&["backup", copy, "--json"]);
        assert_eq!(made["ok"], true);
        sizes.push(made["entries"].as_u64().unwrap());
    }
    done.store(true, Ordering::Relaxed);
    for worker in load {
        assert!(worker.await.unwrap() > 0);
    }
    nothing_held(&gateway).await;
    assert!(sizes[0] < sizes[2] && sizes[2] > 0, "copies of a ledger that grows: {sizes:?}");

    // Neither an existing file nor a ledger in use is written over.
    let again = gateway.run(&["backup", "two.db"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("two.db exists"), "{again:?}");
    let in_use = gateway.run(&["restore", "two.db"]);
    assert_eq!(in_use.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&in_use.stderr).contains("in use"), "{in_use:?}");

    gateway.kill();
    let restored = gateway.run_json(&["restore", "two.db", "--json"]);
    assert_eq!(restored["entries"], sizes[1]);
    assert!(gateway.dir().join("tollgate.db.replaced").exists(), "what was there is kept");
    gateway.up();
    gateway.audit().unwrap();
    nothing_held(&gateway).await;
    // What was in flight when the copy was made is settled, with a row for each attempt that was over,
    // and the copy's keys are good.
    let copied = sizes[1] as i64;
    let settled = by_call(entries_after(&gateway, copied));
    for (id, rows) in &settled {
        let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
        let (last, earlier) = kinds.split_last().unwrap();
        assert!(
            *last == "recovery" && earlier.iter().all(|kind| *kind == "attempt"),
            "{id}: {kinds:?}"
        );
    }
    // That the key was made is a row too, of no call.
    let all = (entries(&gateway).len() + changes(&gateway).len()) as i64;
    assert_eq!(all, copied + settled.values().map(|rows| rows.len() as i64).sum::<i64>());
    let client = Client::with_key(&gateway.data, &key);
    assert_eq!(client.post(CHAT, &chat("hello @@tokens=3@@")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_does_not_agree_with_itself_is_neither_copied_nor_restored() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::start(&configuration(&upstream, "", RICH));
    let client = gateway.client("acme");
    for _ in 0..3 {
        assert_eq!(client.post(CHAT, &chat("hello @@tokens=3@@")).await.status, 200);
    }
    nothing_held(&gateway).await;
    gateway.kill();
    std::fs::copy(gateway.dir().join("tollgate.db"), gateway.dir().join("old.db")).unwrap();
    assert_eq!(tamper(&gateway, "UPDATE entries SET charged = 0 WHERE seq = 2"), 1);
    let refused = gateway.run(&["backup", "copy.db"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(
        !gateway.dir().join("copy.db").exists() && !gateway.dir().join("copy.db.partial").exists()
    );
    std::fs::copy(gateway.dir().join("tollgate.db"), gateway.dir().join("bad.db")).unwrap();
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (format!("tollgate.db{suffix}"), format!("bad.db{suffix}"));
        let _ = std::fs::copy(gateway.dir().join(from), gateway.dir().join(to));
    }
    let refused = gateway.run(&["restore", "bad.db"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(!gateway.dir().join("tollgate.db.replaced").exists());
}
