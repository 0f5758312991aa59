//! The gateway is killed under load, over and over: every call that got a byte has its row.

use std::sync::Arc;
use std::time::Duration;

use crate::calls::{Plan, Seen};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{configuration, nothing_held, row_of, standing};
use crate::harness::upstream::Upstream;
use crate::harness::{Dice, env_count};
use crate::seed;

const CLIENTS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_that_got_a_byte_has_its_row_after_a_kill() {
    let seed = seed();
    println!("TOLLGATE_SEED={seed}");
    let kills = env_count("TOLLGATE_KILLS", 100);
    let upstream = Upstream::start().await;
    let accounts = "[accounts.acme]\nlimits = [\"$1000 per month\", \"500 concurrent\"]\n";
    let mut gateway = Gateway::start(&configuration(&upstream, "", accounts));
    let key = Arc::new(gateway.key("acme"));
    let mut dice = Dice::new(seed);
    let (mut checked, mut calls) = (0, 0);
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
        tokio::time::sleep(Duration::from_millis(20 + dice.below(150))).await;
        gateway.kill();
        let mut seen = Vec::new();
        for worker in load {
            seen.extend(worker.await.unwrap());
        }
        gateway.up();
        calls += seen.len();
        checked += every_answered_call_has_its_row(&gateway, &seen).await;
        if let Err(problem) = gateway.audit() {
            panic!("after kill {kill} of seed {seed}: {problem}");
        }
    }
    assert!(checked > kills, "only {checked} of {calls} calls got a byte");
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

/// How many calls were answered; each has a row, and none is open any more.
async fn every_answered_call_has_its_row(gateway: &Gateway, seen: &[Seen]) -> usize {
    let answered = seen.iter().filter(|seen| seen.status() == Some(200));
    let mut count = 0;
    for id in answered.filter_map(Seen::id) {
        let row = row_of(gateway, id).await;
        assert!(row["input_tokens"].as_u64().unwrap() > 0, "{row}");
        count += 1;
    }
    count
}
