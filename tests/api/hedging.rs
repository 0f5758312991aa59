//! Hedged requests: who is asked, who is taken, and what the other costs.

use std::time::Duration;

use serde_json::json;

use crate::batches::{begin, ended, line};
use crate::harness::eventually;
use crate::harness::ledger::entries;
use crate::harness::stage::{
    CHAT, EMBEDDINGS, RICH, chat, nothing_held, row_of, standing, streamed,
};
use crate::harness::upstream::Ended;
use crate::harness::upstream::script::Reply;
use crate::routing::{Several, WHOLE, any};

/// Two targets, of which the second is asked too where the first has not answered soon.
async fn hedged(accounts: &str) -> Several {
    let route = "route = \"ordered\"\nhedge_after = \"50ms\"";
    Several::new(route, "max_retries = 0", &["1.00", "2.00"], accounts).await
}

#[tokio::test]
async fn where_the_first_target_is_slow_the_next_is_asked_as_well_and_the_first_to_answer_is_taken()
{
    let several = hedged(RICH).await;
    for body in [chat("a prompt of some words"), streamed("a prompt of some words")] {
        let before = entries(&several.gateway).len();
        several.upstreams[0].push("gpt-4o-mini", Reply::whole(200, WHOLE).hanging_at(0));
        let answer = several.client.post(CHAT, &any(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-tollgate-provider"), Some("p1"));
        assert_eq!(answer.header("x-tollgate-attempts"), Some("2"));
        let row = row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
        assert_eq!((row.attempts, row.outcome.as_str()), (2, "completed"));

        let rows = entries(&several.gateway).split_off(before);
        let [lost, won] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((lost.kind.as_str(), lost.outcome.as_str()), ("attempt", "outrun"));
        // Its prompt may be on the bill: owed at a dollar a million, and the operator's.
        assert!(lost.input > 0);
        assert_eq!((lost.owed, lost.absorbed, lost.charged), (lost.input * 1_000, lost.owed, 0));
        assert_eq!(won.charged, (won.all_input() + won.all_output()) * 2_000);
        // Nobody reads what the slow one would still say.
        eventually("the other connection is closed", Duration::from_secs(10), async || {
            (several.upstreams[0].last().ended != Ended::Open).then_some(())
        })
        .await;
    }
    assert_eq!(several.asked(), [2, 2]);
    several.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_first_target_that_answers_after_all_is_taken_and_the_hedge_is_given_up() {
    let several = hedged(RICH).await;
    let late = Reply::whole(200, WHOLE).after(Duration::from_millis(400));
    several.upstreams[0].push("gpt-4o-mini", late);
    several.upstreams[1].push("gpt-4o-mini", Reply::whole(200, WHOLE).hanging_at(0));
    let answer = several.call("hi").await;
    assert_eq!(answer.header("x-tollgate-provider"), Some("p0"), "{}", answer.text());
    assert_eq!(several.asked(), [1, 1]);
    row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    let rows = entries(&several.gateway);
    let ends: Vec<_> = rows.iter().map(|row| (row.outcome.as_str(), row.requests)).collect();
    assert_eq!(ends, [("outrun", 0), ("completed", 1)]);
    several.gateway.audit().unwrap();
}

#[tokio::test]
async fn where_one_of_two_fails_the_other_is_waited_for() {
    let several = hedged(RICH).await;
    let failing = || {
        let body = "{\"error\":{\"message\":\"broken\",\"type\":\"server_error\"}}";
        Reply::whole(500, body).after(Duration::from_millis(300))
    };
    let fine = || Reply::whole(200, WHOLE).after(Duration::from_millis(1_500));
    for fails in [0, 1] {
        several.upstreams[fails].push("gpt-4o-mini", failing());
        several.upstreams[1 - fails].push("gpt-4o-mini", fine());
        let answer = several.call("hi").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answered = format!("p{}", 1 - fails);
        assert_eq!(answer.header("x-tollgate-provider"), Some(answered.as_str()));
        row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    }
    let rows = entries(&several.gateway);
    let ends: Vec<_> = rows.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(ends, ["failed", "completed", "failed", "completed"]);

    // Where both fail, so does the call, and nothing is left held.
    several.upstreams.iter().for_each(|upstream| upstream.push("gpt-4o-mini", failing()));
    assert_eq!(several.call("hi").await.status, 502);
    nothing_held(&several.gateway).await;
    several.gateway.audit().unwrap();
}

#[tokio::test]
async fn who_answers_in_time_is_asked_alone() {
    let route = "route = \"ordered\"\nhedge_after = \"10s\"";
    let several = Several::new(route, "", &["1.00", "2.00"], RICH).await;
    assert_eq!(several.call("hi").await.status, 200);
    assert_eq!(several.asked(), [1, 0]);
}

#[tokio::test]
async fn an_account_that_pays_for_attempts_pays_for_the_one_that_was_outrun_and_holds_it() {
    let accounts =
        "[accounts.acme]\nlimits = [\"$1000 per month\"]\nfailed_attempts = \"charge\"\n";
    let several = hedged(accounts).await;
    several.upstreams[0].push("gpt-4o-mini", Reply::whole(200, WHOLE).hanging_at(0));
    let answer = several.call("a prompt of some words").await;
    assert_eq!(answer.header("x-tollgate-provider"), Some("p1"), "{}", answer.text());
    row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    let rows = entries(&several.gateway);
    assert_eq!((rows[0].outcome.as_str(), rows[0].charged), ("outrun", rows[0].input * 1_000));
    let charged: i64 = rows.iter().map(|row| row.charged).sum();
    assert_eq!(standing(&several.gateway).await[0].posted, charged);
    several.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_line_of_a_batch_waits_for_its_target_and_is_never_hedged() {
    let several = hedged(RICH).await;
    let late = Reply::whole(200, WHOLE).after(Duration::from_millis(400));
    several.upstreams[0].push("gpt-4o-mini", late);
    let lines = line("one", CHAT, &any(chat("hi")));
    let batch = ended(&several.client, &begin(&several.client, &lines, CHAT).await).await;
    assert_eq!(
        batch["request_counts"],
        json!({"total": 1, "completed": 1, "failed": 0}),
        "{batch}"
    );
    assert_eq!(several.asked(), [1, 0]);
    nothing_held(&several.gateway).await;
    let ends: Vec<_> = entries(&several.gateway).into_iter().map(|row| row.outcome).collect();
    assert_eq!(ends, ["completed"]);
    // The same call of a client that waits is.
    let late = Reply::whole(200, WHOLE).after(Duration::from_millis(400));
    several.upstreams[0].push("gpt-4o-mini", late);
    assert_eq!(several.call("hi").await.status, 200);
    assert_eq!(several.asked(), [2, 1]);
}

#[tokio::test]
async fn embeddings_of_a_hedged_alias_do_not_wait_for_their_lane() {
    let lanes = format!("[lanes]\nmax_wait = \"60s\"\n{RICH}");
    let body = |say: &str| json!({"model": "any", "input": say});
    for (hedge, asked) in [("hedge_after = \"50s\"", 2), ("", 1)] {
        let route = format!("route = \"ordered\"\n{hedge}");
        let several = Several::new(&route, "", &["1.00", "2.00"], &lanes).await;
        let before = |count| {
            let upstream = &several.upstreams[0];
            let asked = async move || (upstream.count() >= count).then_some(());
            eventually("the provider is asked", Duration::from_secs(20), asked)
        };
        let busy = body("one @@before=3000@@").to_string();
        let busy = several.client.open("POST", EMBEDDINGS, busy.as_bytes()).await.unwrap();
        before(1).await;
        // It is answered while the other is in flight, or gathers until that is back.
        let answer = several.client.post(EMBEDDINGS, &body("two")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let open = several.upstreams[0].truths().iter().filter(|t| t.ended == Ended::Open).count();
        assert_eq!(open, asked - 1, "{hedge:?}");
        assert_eq!(busy.finish().await.unwrap().status, 200);
        nothing_held(&several.gateway).await;
        several.gateway.audit().unwrap();
    }
}
