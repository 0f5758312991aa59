//! Plans, raises and requests for more: each takes effect at once, what was used stays used, and each is
//! a row of the chained ledger.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::Client;
use crate::harness::stage::{CHAT, Stage, chat};
use crate::harness::{eventually, ledger};

const TWO_PLANS: &str = "[plans.free]\nlimits = [\"2 requests per day\"]\n\n\
    [plans.team]\nlimits = [\"4 requests per day\", \"$100 per month\"]\n\n\
    [accounts.acme]\nplan = \"free\"\n\n[accounts.other]\n";

async fn admit(stage: &Stage, account: &str, expected: &[u16]) {
    let client = stage.gateway.client(account);
    for (n, status) in expected.iter().enumerate() {
        let answer = client.post(CHAT, &chat("hi")).await;
        assert_eq!(answer.status, *status, "call {n}: {}", answer.text());
    }
}

fn changes(stage: &Stage) -> Vec<String> {
    ledger::changes(&stage.gateway)
}

#[tokio::test]
async fn an_account_has_the_limits_of_its_plan_and_a_new_plan_counts_what_was_used() {
    let stage = Stage::new(TWO_PLANS).await;
    let admin = stage.gateway.admin_client();
    admit(&stage, "acme", &[200, 200, 429]).await;
    let set = admin.post("/admin/plans", &json!({"account": "acme", "plan": "team"})).await;
    assert_eq!((set.status, &set.json()["plan"]), (200, &json!("team")), "{}", set.text());
    admit(&stage, "acme", &[200, 200, 429]).await;
    let shown = stage.gateway.client("acme").get("/v1/budgets").await.json();
    assert_eq!(shown["plan"], "team", "{shown}");
    let back = admin.post("/admin/plans", &json!({"account": "acme", "plan": null})).await;
    assert_eq!(back.json()["plan"], "free", "{}", back.text());
    admit(&stage, "acme", &[429]).await;
    let listed = admin.get("/admin/plans").await.json();
    assert_eq!(
        listed["data"][0],
        json!({
            "plan": "free", "limits": ["2 requests per day"], "accounts": ["acme"],
        })
    );
    for (account, plan) in [("acme", "gold"), ("nobody", "team")] {
        let answer = admin.post("/admin/plans", &json!({"account": account, "plan": plan})).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    let changes = changes(&stage);
    assert!(changes.contains(&"plan changed from free to team".to_owned()), "{changes:?}");
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_plan_decided_while_running_outlives_the_process() {
    let mut stage = Stage::new(TWO_PLANS).await;
    let wish = json!({"account": "acme", "plan": "team"});
    assert_eq!(stage.gateway.admin_client().post("/admin/plans", &wish).await.status, 200);
    admit(&stage, "acme", &[200, 200, 200]).await;
    stage.nothing_held().await;
    stage.gateway.kill();
    stage.gateway.up();
    admit(&stage, "acme", &[200, 429]).await;
}

#[tokio::test]
async fn a_raise_holds_until_its_end_and_not_longer() {
    let stage = Stage::new(TWO_PLANS).await;
    let admin = stage.gateway.admin_client();
    admit(&stage, "acme", &[200, 200, 429]).await;
    let end = (jiff::Timestamp::now() + Duration::from_millis(1500)).to_string();
    let wish = json!({"account": "acme", "limit": "3 requests per day", "expires_at": end});
    let raised = admin.post("/admin/raises", &wish).await;
    assert_eq!(raised.status, 201, "{}", raised.text());
    let shown = stage.gateway.client("acme").get("/v1/budgets").await.json();
    assert_eq!(shown["raises"][0]["limit"], "3 requests per day", "{shown}");
    assert_eq!(shown["data"][0]["capacity"], 3, "{shown}");
    admit(&stage, "acme", &[200, 429]).await;
    eventually("the raise is over", Duration::from_secs(10), async || {
        let shown = stage.gateway.client("acme").get("/v1/budgets").await.json();
        (shown["raises"] == json!([]) && shown["data"][0]["capacity"] == 2).then_some(())
    })
    .await;
    eventually("its end is a row", Duration::from_secs(10), async || {
        changes(&stage).contains(&"raise to 3 requests per day ended".to_owned()).then_some(())
    })
    .await;
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_raise_that_raises_nothing_is_refused_with_what_there_is() {
    let stage = Stage::new(TWO_PLANS).await;
    let admin = stage.gateway.admin_client();
    for (limit, status, told) in [
        ("2 requests per day", 400, "not more than"),
        ("9 requests per hour", 400, "2 requests per day"),
        ("plenty", 400, "not a limit"),
    ] {
        let wish = json!({"account": "acme", "limit": limit});
        let answer = admin.post("/admin/raises", &wish).await;
        assert_eq!(answer.status, status, "{limit}");
        assert!(answer.text().contains(told), "{limit}: {}", answer.text());
    }
    let taken = admin.send("DELETE", "/admin/raises/raise_none", b"").await.unwrap();
    assert_eq!(taken.status, 404);
}

#[tokio::test]
async fn a_request_for_more_is_filed_by_the_account_and_decided_by_the_administrator() {
    let stage = Stage::new(TWO_PLANS).await;
    let (admin, client) = (stage.gateway.admin_client(), stage.gateway.client("acme"));
    let wish = json!({"limit": "9 requests per day", "reason": "a demo on Friday"});
    let filed = client.post("/v1/budgets/requests", &wish).await;
    assert_eq!(filed.status, 201, "{}", filed.text());
    let id = filed.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(filed.json()["state"], "open");
    admit(&stage, "acme", &[200, 200, 429]).await;

    let listed = admin.get("/admin/budget-requests").await.json();
    assert_eq!(listed["data"][0]["reason"], "a demo on Friday", "{listed}");
    let path = format!("/admin/budget-requests/{id}");
    let verdict = json!({"state": "accepted", "limit": "3 requests per day", "note": "one more"});
    let decided = admin.post(&path, &verdict).await;
    assert_eq!(decided.json()["state"], "accepted", "{}", decided.text());
    admit(&stage, "acme", &[200, 429]).await;
    assert_eq!(admin.post(&path, &json!({"state": "refused"})).await.status, 409);

    let seen = client.get("/v1/budgets/requests").await.json();
    assert_eq!(
        (&seen["data"][0]["state"], &seen["data"][0]["note"]),
        (&json!("accepted"), &json!("one more"))
    );
    let others = stage.gateway.client("other").get("/v1/budgets/requests").await.json();
    assert_eq!(others["data"], json!([]), "another tenant's requests are its own");

    // Taken back, the raise is gone at once.
    let raise = decided.json()["raise"].as_str().unwrap().to_owned();
    let ended = admin.send("DELETE", &format!("/admin/raises/{raise}"), b"").await.unwrap();
    assert_eq!(ended.status, 200, "{}", ended.text());
    assert_eq!(client.get("/v1/budgets").await.json()["data"][0]["capacity"], 2);
    stage.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_bad_request_for_more_says_what_is_wrong() {
    let stage = Stage::new(TWO_PLANS).await;
    let client = stage.gateway.client("acme");
    let cases: [(Value, u16); 5] = [
        (json!({"limit": "1 requests per day"}), 400),
        (json!({"limit": "9 requests per day", "until": "soon"}), 400),
        (json!({"limit": "9 requests per day", "until": "2001-01-01T00:00:00Z"}), 400),
        (json!({"limit": "9 requests per day", "account": "other"}), 400),
        (json!({"limit": "9 requests per day", "reason": "x".repeat(2001)}), 422),
    ];
    for (wish, status) in cases {
        let answer = client.post("/v1/budgets/requests", &wish).await;
        assert_eq!(answer.status, status, "{wish}: {}", answer.text());
    }
    let wish = json!({"limit": "9 requests per day"});
    for n in 0..21 {
        let status = client.post("/v1/budgets/requests", &wish).await.status;
        assert_eq!(status, if n < 20 { 201 } else { 422 }, "{n}");
    }
}

#[tokio::test]
async fn a_limit_of_the_whole_gateway_holds_for_all_accounts() {
    let stage = Stage::new(
        "[gateway]\nlimits = [\"3 requests per day\"]\n\n[accounts.acme]\n\n[accounts.other]\n",
    )
    .await;
    admit(&stage, "acme", &[200, 200]).await;
    admit(&stage, "other", &[200, 429]).await;
    let refused = stage.gateway.client("acme").post(CHAT, &chat("hi")).await;
    let text = refused.text();
    assert!(text.contains("the gateway has a limit of 3 requests per day"), "{text}");
    let listed = stage.gateway.admin_client().get("/admin/limits").await.json();
    assert_eq!(
        listed["data"][0],
        json!({
            "account": "", "limit": "3 requests per day", "source": "config",
        })
    );
}

#[tokio::test]
async fn an_address_that_shows_wrong_keys_is_told_to_wait_and_a_valid_key_is_let_in() {
    let stage =
        Stage::new("[gateway]\nunauthenticated = [\"5 requests per hour\"]\n\n[accounts.acme]\n")
            .await;
    let wrong = Client::with_key(&stage.gateway.data, "sk-wrong");
    for _ in 0..5 {
        assert_eq!(wrong.post(CHAT, &chat("hi")).await.status, 401);
    }
    let told = wrong.post(CHAT, &chat("hi")).await;
    assert_eq!(told.status, 429, "{}", told.text());
    assert_eq!(told.header("x-should-retry"), Some("false"));
    assert!(told.header("retry-after").unwrap().parse::<u64>().unwrap() > 60);
    let other = wrong.post("/v1/messages", &json!({})).await;
    assert_eq!((other.status, &other.json()["type"]), (429, &json!("error")), "{}", other.text());
    // The administrator's plane counts the same address, and no valid key is ever held up.
    let guess = Client::with_key(&stage.gateway.admin, "guess");
    assert_eq!(guess.get("/admin/accounts").await.status, 429);
    admit(&stage, "acme", &[200]).await;
    assert_eq!(stage.gateway.admin_get("/admin/accounts").await.status, 200);
}

#[tokio::test]
async fn behind_a_trusted_proxy_one_clients_wrong_keys_hold_no_other_up() {
    let stage = Stage::new(
        "[gateway]\nunauthenticated = [\"2 requests per hour\"]\n\
         trusted_proxies = [\"127.0.0.0/8\"]\n\n[accounts.acme]\n",
    )
    .await;
    let wrong = Client::with_key(&stage.gateway.data, "sk-wrong");
    let from = |hops: &str| wrong.and_header("x-forwarded-for", hops);
    for status in [401, 401, 429] {
        assert_eq!(from("192.0.2.1").post(CHAT, &chat("hi")).await.status, status);
    }
    // What the client wrote itself stands before what the proxy adds.
    let forged = from("198.51.100.7, 192.0.2.1");
    assert_eq!(forged.post(CHAT, &chat("hi")).await.status, 429);
    assert_eq!(from("192.0.2.2").post(CHAT, &chat("hi")).await.status, 401);
    let guess = Client::with_key(&stage.gateway.admin, "guess");
    let guess = guess.and_header("x-forwarded-for", "192.0.2.1");
    assert_eq!(guess.get("/admin/accounts").await.status, 429);
}
