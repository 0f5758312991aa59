//! The disk of the ledger is full, or fails to flush, under the shipped binary. `disk.c` stands between
//! it and the C library.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::calls::{Plan, Seen};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{calls, open_holds};
use crate::harness::stage::{CHAT, RICH, chat, configuration, nothing_held, row_of, streamed};
use crate::harness::upstream::Upstream;
use crate::harness::{Dice, eventually, fresh_dir};
use crate::seed;

/// The words of `struct control`.
const LIMITED: u64 = 0;
const ROOM: u64 = 1;
const FAIL_SYNC: u64 = 2;
const NO_ROOM: u64 = 3;
const SYNC_FAILED: u64 = 4;
const WORDS: u64 = 5;

/// The preloaded library and the file it is told by.
struct Disk {
    library: PathBuf,
    path: PathBuf,
    control: std::fs::File,
}

impl Disk {
    fn new() -> Self {
        let dir = fresh_dir("disk");
        let (library, path) = (dir.join("disk.so"), dir.join("control"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/disk.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .args([source, "-ldl"])
            .status()
            .unwrap();
        assert!(built.success());
        std::fs::write(&path, [0; 8 * WORDS as usize]).unwrap();
        let control = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Disk { library, path, control }
    }

    fn stand_under(&self, gateway: &mut Gateway) {
        gateway.set_env("LD_PRELOAD", &self.library);
        gateway.set_env("TOLLGATE_DISK", &self.path);
    }

    fn set(&self, word: u64, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), word * 8).unwrap();
    }

    fn get(&self, word: u64) -> i64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, word * 8).unwrap();
        i64::from_ne_bytes(bytes)
    }

    fn fill(&self, room: i64) {
        self.set(ROOM, room);
        self.set(LIMITED, 1);
    }
}

async fn status(client: &Client) -> u16 {
    client.post(CHAT, &chat("@@tokens=3@@")).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_new_calls_settles_those_in_flight_and_loses_nothing() {
    let disk = Disk::new();
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::stopped(&configuration(&upstream, "", RICH));
    disk.stand_under(&mut gateway);
    gateway.up();
    let client = gateway.client("acme");
    assert_eq!(status(&client).await, 200);

    // Streams that are open when the disk fills, and end while it is full.
    let mut open = Vec::new();
    for _ in 0..12 {
        let body = streamed("@@tokens=40 pause=100@@").to_string();
        let mut exchange = client.open("POST", CHAT, body.as_bytes()).await.unwrap();
        assert!(exchange.until_text("content").await.unwrap());
        open.push(exchange);
    }
    disk.fill(0);
    eventually("new calls are refused", Duration::from_secs(10), async || {
        (status(&client).await == 503).then_some(())
    })
    .await;
    assert!(disk.get(NO_ROOM) > 0);
    let refused = client.post(CHAT, &chat("hello")).await;
    assert!(refused.text().contains("ledger_full"), "{}", refused.text());
    assert_eq!(gateway.admin_get("/readyz").await.status, 503);
    let made = gateway.run(&["key", "create", "--account", "acme"]);
    assert_eq!(
        made.status.code(),
        Some(1),
        "an administrative write is refused, and does not wait"
    );
    for exchange in open {
        let answer = exchange.finish().await.unwrap();
        let row = row_of(&gateway, answer.header("x-request-id").unwrap()).await;
        assert_eq!((row.output, row.outcome.as_str()), (40, "completed"));
    }
    assert_eq!(status(&client).await, 503, "settlements had room; new calls have none");
    nothing_held(&gateway).await;
    assert_eq!(open_holds(&gateway), 0);

    disk.fill(1 << 30);
    eventually("new calls are taken again", Duration::from_secs(10), async || {
        (status(&client).await == 200).then_some(())
    })
    .await;
    gateway.kill();
    gateway.up();
    nothing_held(&gateway).await;
    gateway.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_at_any_moment_of_a_mixed_load_loses_nothing() {
    let seed = seed();
    println!("TOLLGATE_SEED={seed}");
    let mut dice = Dice::new(seed);
    let disk = Disk::new();
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::stopped(&configuration(&upstream, "", RICH));
    disk.stand_under(&mut gateway);
    gateway.up();
    let key = gateway.key("acme");
    for round in 0..12 {
        // The first bytes after this many meet the end: within a page, a group, a checkpoint.
        disk.fill(dice.below(200_000) as i64);
        let load: Vec<_> = (0..4)
            .map(|worker| {
                let client = Client::with_key(&gateway.data, &key);
                let mut dice = Dice::new(seed ^ (round * 4 + worker));
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    for call in 0..40 {
                        let name = format!("r{round}w{worker}n{call}");
                        seen.push(Plan::roll(&mut dice, name).run(&client).await);
                    }
                    seen
                })
            })
            .collect();
        let mut seen = Vec::new();
        for worker in load {
            seen.extend(worker.await.unwrap());
        }
        if dice.below(2) == 0 {
            gateway.kill();
            disk.fill(1 << 30);
            gateway.up();
        } else {
            disk.fill(1 << 30);
        }
        nothing_held(&gateway).await;
        eventually("new calls are taken again", Duration::from_secs(10), async || {
            (status(&Client::with_key(&gateway.data, &key)).await == 200).then_some(())
        })
        .await;
        every_answered_call_has_one_row(&gateway, &seen);
        gateway.audit().unwrap();
    }
    assert!(disk.get(NO_ROOM) > 0, "the disk was never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flush_ends_the_process_and_the_next_start_reads_what_is_true() {
    for durability in ["power", "process"] {
        let disk = Disk::new();
        let upstream = Upstream::start().await;
        let mut gateway = Gateway::stopped(&configuration(&upstream, "", RICH));
        gateway.set_storage(&format!("durability = \"{durability}\""));
        disk.stand_under(&mut gateway);
        gateway.up();
        let client = gateway.client("acme");
        let mut seen = Vec::new();
        for number in 0..20 {
            seen.push(Plan::roll(&mut Dice::new(number), format!("f{number}")).run(&client).await);
        }
        disk.set(FAIL_SYNC, 1);
        // With `power` the first commit meets it, with `process` the first checkpoint.
        while gateway.is_running() {
            let name = format!("g{}", seen.len());
            let one = Plan::roll(&mut Dice::new(seen.len() as u64), name).run(&client).await;
            assert!(seen.len() < 20_000, "it goes on as if nothing had happened");
            seen.push(one);
        }
        let ended = gateway.wait(Duration::from_secs(5));
        assert_eq!(ended.code(), Some(70), "{durability}: {}", gateway.log());
        assert!(disk.get(SYNC_FAILED) > 0 && gateway.log().contains("cannot tell"));
        disk.set(FAIL_SYNC, 0);
        gateway.up();
        nothing_held(&gateway).await;
        every_answered_call_has_one_row(&gateway, &seen);
        let client = Client::with_key(&gateway.data, &gateway.key("acme"));
        assert_eq!(status(&client).await, 200);
        gateway.audit().unwrap();
    }
}

/// A call that was answered is settled by one row, and what was posted is what the rows say.
fn every_answered_call_has_one_row(gateway: &Gateway, seen: &[Seen]) {
    let rows = calls(gateway);
    for seen in seen.iter().filter(|seen| seen.status() == Some(200)) {
        let id = seen.id().unwrap();
        let rows = rows.get(id).unwrap_or_else(|| panic!("{id} has no row: {seen:?}"));
        let decisive = rows.iter().filter(|row| row.kind != "attempt");
        assert_eq!(decisive.count(), 1, "{rows:?}");
    }
}
