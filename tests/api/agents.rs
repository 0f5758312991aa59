//! Fifty agents at once on a budget that fits forty of their calls: how many are refused depends on how
//! much a call holds before it is sent; that none overspends does not.

use serde_json::{Value, json};

use crate::harness::stage::{CHAT, INPUT_NANOS, OUTPUT_NANOS, Stage, streamed};

const INPUT: i64 = 20;
const OUTPUT: i64 = 200;
const CALLS: usize = 50;
const FITS: i64 = 40;
/// Calls made before, one after the other, from which an account learns how long such replies are.
const BEFORE: i64 = 10;

/// Milliseconds between two frames, so that all fifty have asked long before the first is over.
const AT_ONCE: u64 = 15;

/// What became of the fifty calls.
#[derive(Debug)]
struct Outcome {
    refused: usize,
    cut: usize,
    whole: usize,
}

fn budget() -> i64 {
    (FITS + BEFORE) * (INPUT * INPUT_NANOS + OUTPUT * OUTPUT_NANOS)
}

/// An agent writes no more than it is asked to; what it asks for is far above that.
fn call(max_tokens: i64, pause: u64) -> Value {
    let mut body = streamed(&format!("@@tokens={OUTPUT} prompt={INPUT} pause={pause}@@"));
    body["max_tokens"] = json!(max_tokens);
    body
}

async fn run(holds: &str, max_tokens: i64) -> Outcome {
    let nanos = budget();
    let dollars = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let stage = Stage::new(&format!(
        "[accounts.acme]\nholds = \"{holds}\"\nlimits = [\"${dollars} per day\"]\n"
    ))
    .await;
    let client = stage.gateway.client("acme");
    for _ in 0..BEFORE {
        assert_eq!(client.post(CHAT, &call(OUTPUT, 0)).await.status, 200);
    }
    stage.nothing_held().await;
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.post(CHAT, &call(max_tokens, AT_ONCE)).await })
        })
        .collect();
    let mut outcome = Outcome { refused: 0, cut: 0, whole: 0 };
    for call in calls {
        let answer = call.await.unwrap();
        match answer.status {
            200 if answer.text().contains("\"finish_reason\":\"length\"") => outcome.cut += 1,
            200 => outcome.whole += 1,
            429 => outcome.refused += 1,
            status => panic!("{status}: {}", answer.text()),
        }
    }
    stage.nothing_held().await;
    let limit = stage.standing().await.into_iter().find(|l| l.metric == "cost").unwrap();
    assert!(limit.posted <= limit.capacity, "{holds} overspent: {limit:?}");
    stage.gateway.audit().unwrap();
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adaptive_hold_refuses_the_fewest_and_no_hold_overspends() {
    let adaptive = run("adaptive", 1000).await;
    let strict = run("strict", 1000).await;
    // The naive way: a call takes all that is left.
    let headroom = (FITS * (INPUT * INPUT_NANOS + OUTPUT * OUTPUT_NANOS)) / OUTPUT_NANOS - INPUT;
    let naive = run("strict", headroom).await;
    println!("of {CALLS} at once on a budget for {FITS}:");
    for (name, outcome) in [("adaptive", &adaptive), ("strict", &strict), ("naive", &naive)] {
        println!("{name}: {outcome:?}");
    }
    assert!(adaptive.whole + adaptive.cut >= 36, "{adaptive:?}");
    assert!(adaptive.refused < strict.refused, "{adaptive:?} {strict:?}");
    assert!(strict.refused < naive.refused, "{strict:?} {naive:?}");
    assert_eq!(naive.whole, 1, "{naive:?}");
}
