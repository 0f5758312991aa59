//! The gateway is killed under load, over and over: every call that got a byte has its row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::calls::{Plan, Seen};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{Entry, by_call, entries, entries_after, open_holds};
use crate::harness::stage::{configuration, nothing_held, standing};
use crate::harness::upstream::{Truth, Upstream};
use crate::harness::{Dice, env_count, eventually};
use crate::seed;

const CLIENTS: u64 = 6;
/// Gateways that are killed beside each other, so that one works while others start.
const LANES: u64 = 4;
/// Kills between two audits, which read every row there is.
const AUDIT_EVERY: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_that_got_a_byte_has_its_row_after_a_kill() {
    let seed = seed();
    println!("TOLLGATE_SEED={seed}");
    let kills = env_count("TOLLGATE_KILLS", 500).div_ceil(LANES as usize);
    // A thread a lane: starting a gateway waits for its first lines.
    let lane = |lane| {
        let here = tokio::runtime::Handle::current();
        let run = move || here.block_on(kill_over_and_over(seed + lane, kills));
        tokio::task::spawn_blocking(run)
    };
    let lanes: Vec<_> = (0..LANES).map(lane).collect();
    for lane in lanes {
        lane.await.unwrap();
    }
}

async fn kill_over_and_over(seed: u64, kills: usize) {
    let upstream = Upstream::start().await;
    let accounts = "[accounts.acme]\nlimits = [\"$1000 per month\", \"500 concurrent\"]\n";
    let mut gateway = Gateway::start(&configuration(&upstream, "", accounts));
    let key = Arc::new(gateway.key("acme"));
    let mut dice = Dice::new(seed);
    let (mut checked, mut made, mut rows) = (0, 0, 0);
    for kill in 0..kills {
        let load: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let from = format!("k{kill}c{client}n");
                tokio::spawn(calls_until_it_dies(
                    gateway.data.clone(),
                    Arc::clone(&key),
                    from,
                    seed,
                ))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(15 + dice.below(100))).await;
        gateway.kill();
        let mut seen = Vec::new();
        for worker in load {
            seen.extend(worker.await.unwrap());
        }
        gateway.up();
        made += seen.len();
        eventually("the dead run's holds are settled", Duration::from_secs(10), async || {
            (open_holds(&gateway) == 0).then_some(())
        })
        .await;
        let new = entries_after(&gateway, rows);
        rows += new.len() as i64;
        checked += every_answered_call_has_its_row(new, &seen);
        if kill % AUDIT_EVERY == 0
            && let Err(problem) = gateway.audit()
        {
            panic!("after kill {kill} of seed {seed}: {problem}");
        }
    }
    assert!(checked > kills, "only {checked} of {made} calls got a byte");
    let recovered = entries(&gateway).iter().filter(|row| row.kind == "recovery").count();
    assert!(recovered > kills / 2, "only {recovered} calls were in flight at {kills} kills");
    no_row_says_more_than_was_made(&gateway, &upstream);
    nothing_held(&gateway).await;
    for limit in standing(&gateway).await {
        assert!(limit.posted <= limit.capacity, "{limit:?}");
    }
    gateway.audit().unwrap();
}

async fn calls_until_it_dies(url: String, key: Arc<String>, from: String, seed: u64) -> Vec<Seen> {
    let client = Client::with_key(&url, &key);
    let mut dice = Dice::new(seed ^ from.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte)));
    let mut seen = Vec::new();
    for number in 0..1_000 {
        let one = Plan::roll(&mut dice, format!("{from}{number}")).run(&client).await;
        let dead = one.answer.is_none();
        seen.push(one);
        if dead && std::net::TcpStream::connect(client.address).is_err() {
            break;
        }
    }
    seen
}

fn no_row_says_more_than_was_made(gateway: &Gateway, upstream: &Upstream) {
    let truths = upstream.truths().into_iter();
    let truths: BTreeMap<String, Truth> =
        truths.map(|truth| (format!("call={}", truth.key), truth)).collect();
    for row in entries(gateway).iter().filter(|row| row.kind == "recovery") {
        let begun = truths.get(&row.tags).map_or(0, |truth| truth.begun);
        assert!(row.all_output() <= begun as i64, "{begun} were made: {row:?}");
    }
}

/// How many calls were answered; each is settled by one row, and none is open any more.
fn every_answered_call_has_its_row(new: Vec<Entry>, seen: &[Seen]) -> usize {
    let rows = by_call(new);
    let mut count = 0;
    for seen in seen.iter().filter(|seen| seen.status() == Some(200)) {
        let id = seen.id().unwrap();
        let rows = rows.get(id).unwrap_or_else(|| panic!("{id} has no row: {seen:?}"));
        let decisive: Vec<_> = rows.iter().filter(|row| row.kind != "attempt").collect();
        let [row] = decisive[..] else { panic!("settled {} times: {rows:?}", decisive.len()) };
        assert!(row.all_input() > 0, "{row:?}");
        // What the provider failed to give is not the tenant's to pay.
        let free = row.outcome == "failed" || row.outcome == "truncated";
        assert!(row.charged == row.cost() || (free && row.charged == 0), "{row:?}");
        count += 1;
    }
    count
}
