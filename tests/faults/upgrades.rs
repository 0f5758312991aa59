//! A ledger of the first schema is carried on by this build: its rows, its balances, and the call that
//! was in flight when its process was killed. `schema_1.sql` is such a file, as text, without its key.

use rusqlite::Connection;

use crate::harness::gateway::Gateway;
use crate::harness::ledger::{entries, open_holds};
use crate::harness::stage::{CHAT, RICH, chat, configuration, nothing_held, standing};
use crate::harness::upstream::Upstream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_the_first_schema_is_carried_on() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::stopped(&configuration(&upstream, "", RICH));
    let file = |name: &str| {
        let old = Connection::open(gateway.dir().join(name)).unwrap();
        old.execute_batch(include_str!("schema_1.sql")).unwrap();
        old.execute_batch("PRAGMA application_id = 1414483020; PRAGMA user_version = 1").unwrap();
    };
    file("tollgate.db");
    file("copy.db");
    let early = gateway.run(&["audit"]);
    assert_eq!(early.status.code(), Some(1));
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(said.contains("schema 1") && said.contains("tollgate serve"), "{said}");

    gateway.up();
    gateway.audit().unwrap();
    nothing_held(&gateway).await;
    assert_eq!(open_holds(&gateway), 0);
    let rows = entries(&gateway);
    let kinds: Vec<_> = rows.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["call", "call", "call", "recovery"]);
    assert_eq!(rows[3].all_input(), 9, "{:?}", rows[3]);
    let charged: i64 = rows.iter().map(|row| row.charged).sum();
    assert_eq!(standing(&gateway).await[0].posted, charged);
    let client = gateway.client("acme");
    assert_eq!(client.post(CHAT, &chat("hello @@tokens=3@@")).await.status, 200);
    nothing_held(&gateway).await;
    gateway.audit().unwrap();

    // A copy of that age is carried on when it is restored.
    gateway.kill();
    let restored = gateway.run_json(&["restore", "copy.db", "--json"]);
    assert_eq!(restored["entries"], 3);
    gateway.audit().unwrap();
    gateway.up();
    assert_eq!(entries(&gateway).len(), 4);
    gateway.audit().unwrap();
}
