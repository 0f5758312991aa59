//! A ledger that was changed behind the gateway's back is found by the audit.

use std::time::Duration;

use crate::harness::ledger::tamper;
use crate::harness::stage::{CHAT, RICH, Stage, chat, streamed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_ledger_fails_its_audit() {
    let mut stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for _ in 0..4 {
        assert_eq!(client.post(CHAT, &chat("@@tokens=20@@")).await.status, 200);
        assert_eq!(client.post(CHAT, &streamed("@@tokens=20@@")).await.status, 200);
    }
    stage.nothing_held().await;
    stage.gateway.signal("TERM");
    stage.gateway.wait(Duration::from_secs(10));
    stage.gateway.audit().unwrap();

    let ledger = stage.gateway.dir().join("tollgate.db");
    let good = std::fs::read(&ledger).unwrap();
    for change in [
        "UPDATE entries SET charged = charged - 1 WHERE seq = 3",
        "UPDATE entries SET output = output - 1 WHERE seq = 5",
        "UPDATE entries SET account = 'beta' WHERE seq = 2",
        "UPDATE entries SET at = at + 1 WHERE seq = 7",
        "DELETE FROM entries WHERE seq = 4",
        "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)",
        "UPDATE entries SET seq = 1000 WHERE seq = 1",
        "UPDATE balances SET fields = zeroblob(length(fields)) WHERE limit_key = ''",
        "UPDATE rollups SET hour = hour + 1",
        "UPDATE rolled SET up_to = 0",
    ] {
        assert!(tamper(&stage.gateway, change) > 0, "{change} changed nothing");
        let audit = stage.gateway.run(&["audit"]);
        let said = String::from_utf8_lossy(&audit.stdout).into_owned()
            + &String::from_utf8_lossy(&audit.stderr);
        assert_eq!(audit.status.code(), Some(1), "{change}: {said}");
        for suffix in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(ledger.with_extension(suffix));
        }
        std::fs::write(&ledger, &good).unwrap();
        stage.gateway.audit().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_before_it_is_served() {
    let mut stage = Stage::new(RICH).await;
    let client = stage.gateway.client("acme");
    for _ in 0..30 {
        assert_eq!(client.post(CHAT, &chat("@@tokens=20@@")).await.status, 200);
    }
    stage.nothing_held().await;
    stage.gateway.signal("TERM");
    stage.gateway.wait(Duration::from_secs(10));
    let ledger = stage.gateway.dir().join("tollgate.db");
    let good = std::fs::read(&ledger).unwrap();
    // A letter of how calls ended. Where they moved, pages keep bytes that nobody reads: so all.
    let mut bad = good.clone();
    for at in 0..good.len() - 9 {
        if &good[at..at + 9] == b"completed" {
            bad[at] ^= 1;
        }
    }
    assert_ne!(good, bad);
    std::fs::write(&ledger, bad).unwrap();
    assert_ne!(stage.gateway.run(&["audit"]).status.code(), Some(0));
}
