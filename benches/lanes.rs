//! What an idle lane adds to a call, and what lanes spare when many call: the same embeddings through a
//! gateway with lanes and one without, by turns, before one scripted provider on loopback.
//!
//! `cargo bench -p tollgate --bench lanes`. Figures of one run compare; those of two machines don't.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "figures are for people")]

#[path = "../tests/harness/mod.rs"]
#[expect(dead_code, reason = "a measurement uses its part of the harness")]
mod harness;

use std::time::{Duration, Instant};

use harness::client::Client;
use harness::gateway::Gateway;
use harness::stage::{EMBEDDINGS, RICH, configuration};
use harness::upstream::Upstream;
use serde_json::json;

/// Calls one after the other, through each.
const CALLS: usize = 1_000;
/// Callers at once, and calls of each.
const CLIENTS: usize = 64;
const ROUNDS: usize = 10;

fn main() {
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    let upstream = Upstream::start().await;
    let start =
        |lanes: &str| Gateway::start(&configuration(&upstream, "", &format!("{lanes}{RICH}")));
    let (plain, lanes) = (start(""), start("[lanes]\n\n"));
    let through = [("alone", plain.client("acme")), ("lanes", lanes.client("acme"))];
    let mut times = [Vec::new(), Vec::new()];
    for call in 0..CALLS {
        // Whoever is second finds the machine warmer, so they take turns at that too.
        for turn in 0..2 {
            let at = (call + turn) % 2;
            times[at].push(one(&through[at].1, "").await);
        }
    }
    println!("one call after the other, {CALLS} through each:");
    for ((name, _), times) in through.iter().zip(&mut times) {
        times.sort_unstable();
        println!("{name}: p50 {:?}, p99 {:?}", times[CALLS / 2], times[CALLS * 99 / 100]);
    }
    println!("{CLIENTS} callers at once, {ROUNDS} calls each, a provider that takes 100 ms:");
    for (name, client) in &through {
        let (before, began) = (upstream.count(), Instant::now());
        let callers: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(rounds(client.clone()))).collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let requests = upstream.count() - before;
        println!("{name}: {requests} requests, {:.2?} in all", began.elapsed());
    }
}

async fn rounds(client: Client) {
    for _ in 0..ROUNDS {
        one(&client, "@@before=100@@").await;
    }
}

async fn one(client: &Client, more: &str) -> Duration {
    let text = format!("a short text to embed {more}");
    let began = Instant::now();
    let body = json!({"model": "text-embedding-3-small", "input": text});
    assert_eq!(client.post(EMBEDDINGS, &body).await.status, 200);
    began.elapsed()
}
