//! Prompts that accounts share: whoever was not let use one cannot tell it from one that never was, each
//! pays for its own calls, and what is decided holds from one call to the next and beyond the process.

use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::ledger::{self, entries};
use crate::harness::stage::{CHAT, nothing_held};

use super::prompts::{EXTRACT, SUMMARIZE, Set};

const THREE: &str = "[accounts.acme]\n[accounts.acme.search]\n\n[accounts.beta]\n[accounts.beta.ads]\n\n\
    [accounts.gamma]\n";
const RUN: &str = "/v1/prompts/summarize";
const SUBSCRIPTIONS: &str = "/v1/prompt-subscriptions";

struct Shared {
    set: Set,
    acme: Client,
    beta: Client,
    gamma: Client,
}

impl Shared {
    /// `summarize` is of acme, which offers it; `extract` is everybody's.
    async fn new() -> Shared {
        Shared::with("").await
    }

    /// With more of the configuration.
    async fn with(more: &str) -> Shared {
        let prompts = [("summarize", SUMMARIZE), ("extract", EXTRACT)];
        let set = Set::new(&prompts, &format!("{THREE}{more}")).await;
        let [acme, beta, gamma] = ["acme", "beta", "gamma"].map(|name| set.gateway.client(name));
        let gift = json!({ "prompt": "summarize", "account": "acme", "offered": true });
        let given = set.gateway.admin_client().post("/admin/prompt-owners", &gift).await;
        assert_eq!(given.status, 200, "{}", given.text());
        Shared { set, acme, beta, gamma }
    }

    /// Beta's subscription, which acme was not asked about yet.
    async fn asked(&self, limits: &[&str]) -> String {
        let wish = json!({ "prompt": "summarize", "limits": limits, "reason": "for letters" });
        let filed = self.beta.post(SUBSCRIPTIONS, &wish).await;
        assert_eq!(filed.status, 201, "{}", filed.text());
        assert_eq!(filed.json()["state"], "open");
        filed.json()["id"].as_str().unwrap().to_owned()
    }

    async fn accepted(&self, limits: &[&str]) -> String {
        let id = self.asked(limits).await;
        let answer = self.acme.post(&of(&id), &json!({ "state": "accepted" })).await;
        assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("accepted")));
        id
    }
}

fn of(id: &str) -> String {
    format!("{SUBSCRIPTIONS}/{id}")
}

async fn end(client: &Client, id: &str) -> Response {
    client.send("DELETE", &of(id), b"").await.unwrap()
}

async fn runs(client: &Client) -> u16 {
    client.post(RUN, &json!({ "inputs": { "text": "@@tokens=3 prompt=20@@" } })).await.status
}

/// The names of prompts that a client is told of, by list and by document.
async fn seen(client: &Client) -> Vec<String> {
    let listed = client.get("/v1/prompts").await.json();
    let names = listed["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
    let names: Vec<String> = names.map(str::to_owned).collect();
    let document = client.get("/v1/openapi.json").await.json();
    for name in ["summarize", "extract"] {
        let told = document["paths"].get(format!("/v1/prompts/{name}")).is_some();
        assert_eq!(told, names.iter().any(|have| have == name), "{name}: {document}");
    }
    names
}

#[tokio::test]
async fn a_prompt_of_an_account_is_unknown_to_all_who_are_not_let_use_it() {
    let shared = Shared::new().await;
    let below = shared.set.gateway.client("acme/search");
    for client in [&shared.acme, &below] {
        assert_eq!(seen(client).await, ["extract", "summarize"]);
        assert_eq!(runs(client).await, 200);
    }
    let beta = &shared.beta;
    assert_eq!(seen(beta).await, ["extract"]);
    let chat =
        |model: &str| json!({ "model": model, "messages": [{ "role": "user", "content": "x" }] });
    for asked in ["", "@1", "@production"] {
        let name = |prompt: &str| format!("{prompt}{asked}");
        let pairs = [
            (beta.get(&format!("/v1/prompts/{}", name("summarize"))).await, name("summarize")),
            (
                beta.post(&format!("/v1/prompts/{}", name("summarize")), &json!({})).await,
                name("summarize"),
            ),
            (
                beta.post(CHAT, &chat(&format!("prompt/{}", name("summarize")))).await,
                name("summarize"),
            ),
        ];
        let never = [
            beta.get(&format!("/v1/prompts/{}", name("never"))).await,
            beta.post(&format!("/v1/prompts/{}", name("never")), &json!({})).await,
            beta.post(CHAT, &chat(&format!("prompt/{}", name("never")))).await,
        ];
        for ((found, name), never) in pairs.iter().zip(&never) {
            assert_eq!(found.status, 404, "{name}: {}", found.text());
            let same = never.text().replace("never", "summarize");
            assert_eq!(found.text(), same, "{name}");
        }
    }
    // New texts change nothing about whose a prompt is.
    shared.set.write("summarize", &SUMMARIZE.replace("Be", "Remain"));
    let reloaded = shared.set.gateway.admin_client().post("/admin/reload", &json!({})).await;
    assert_eq!((reloaded.status, runs(beta).await), (200, 404), "{}", reloaded.text());
    assert_eq!(runs(&shared.acme).await, 200);
    shared.set.say("{\"n\":3}");
    let everybodys = beta.post("/v1/prompts/extract", &json!({ "inputs": { "text": "x" } })).await;
    assert_eq!(everybodys.status, 200, "{}", everybodys.text());
    nothing_held(&shared.set.gateway).await;
    let calls = entries(&shared.set.gateway);
    let of_beta = calls.iter().filter(|row| row.account == "beta" && row.kind == "call");
    assert_eq!(of_beta.count(), 1, "{calls:?}");
}

#[tokio::test]
async fn a_subscription_holds_once_the_owner_accepted_it_and_only_the_subscriber_pays() {
    let shared = Shared::new().await;
    let Shared { set, acme, beta, gamma } = &shared;
    let offers = beta.get("/v1/prompt-offers").await.json();
    assert_eq!(offers["data"][0]["prompt"], "summarize", "{offers}");
    assert_eq!(
        (&offers["data"][0]["owner"], offers["data"].as_array().unwrap().len()),
        (&json!("acme"), 1)
    );
    let id = shared.asked(&[]).await;
    assert_eq!(runs(beta).await, 404);
    // Whoever asked does not answer, and nobody else sees it.
    for (client, status) in [(beta, 404), (gamma, 404)] {
        let answer = client.post(&of(&id), &json!({ "state": "accepted" })).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert_eq!(gamma.get(SUBSCRIPTIONS).await.json()["data"], json!([]));
    assert_eq!(end(gamma, &id).await.status, 404);
    assert_eq!(acme.get(SUBSCRIPTIONS).await.json()["data"][0]["reason"], "for letters");
    let answer = acme.post(&of(&id), &json!({ "state": "accepted", "note": "welcome" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(beta.get(SUBSCRIPTIONS).await.json()["data"][0]["note"], "welcome");
    assert_eq!(seen(beta).await, ["extract", "summarize"]);
    let below = set.gateway.client("beta/ads");
    assert_eq!([runs(beta).await, runs(&below).await, runs(gamma).await], [200, 200, 404]);
    nothing_held(&set.gateway).await;
    let report = set.gateway.run_json(&["report", "--by", "account,prompt", "--json"]);
    let told: Vec<_> =
        report["rows"].as_array().unwrap().iter().map(|row| &row["account"]).collect();
    assert_eq!(told.len(), 2, "{report}");
    assert!(told.iter().all(|account| account.as_str().unwrap().starts_with("beta")), "{report}");
    let statement = |account: &str| {
        let said = set.gateway.run(&["statement", "--account", account]);
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    assert!(statement("beta").contains("gpt-4o-mini"), "{}", statement("beta"));
    assert!(!statement("acme").contains("gpt-4o-mini"), "{}", statement("acme"));
    let again = acme.post(&of(&id), &json!({ "state": "refused" })).await;
    assert_eq!(again.status, 409, "{}", again.text());
    set.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_subscription_is_used_within_its_limits_and_other_prompts_are_not() {
    let shared = Shared::new().await;
    let Shared { set, acme, beta, .. } = &shared;
    let id = shared.asked(&["9 requests per day"]).await;
    let fewer = json!({ "state": "accepted", "limits": ["2 requests per day"] });
    let answer = acme.post(&of(&id), &fewer).await;
    assert_eq!(answer.json()["limits"], json!(["2 requests per day"]), "{}", answer.text());
    assert_eq!([runs(beta).await, runs(beta).await, runs(beta).await], [200, 200, 429]);
    let budgets = beta.get("/v1/budgets").await.json();
    assert!(budgets.to_string().contains("for prompt summarize"), "{budgets}");
    // Neither the owner nor the subscriber's other calls are bounded by them.
    assert_eq!(runs(acme).await, 200);
    set.say("{\"n\":3}");
    let other = beta.post("/v1/prompts/extract", &json!({ "inputs": { "text": "x" } })).await;
    assert_eq!(other.status, 200, "{}", other.text());
}

#[tokio::test]
async fn of_a_subscriptions_limit_and_the_accounts_own_of_that_prompt_the_lower_one_holds() {
    let own = "[[accounts.gamma.limit]]\nmetric = \"requests\"\namount = 2\nper = \"day\"\n\
        prompts = [\"summarize\"]\n";
    let shared = Shared::with(own).await;
    let admin = shared.set.gateway.admin_client();
    for (limit, expected) in
        [("1 requests per day", [200, 429]), ("5 requests per day", [200, 429])]
    {
        let wish = json!({ "account": "gamma", "prompt": "summarize", "limits": [limit] });
        let made = admin.post("/admin/prompt-subscriptions", &wish).await;
        assert_eq!(made.status, 201, "{}", made.text());
        // What was used stays used: one of two.
        assert_eq!([runs(&shared.gamma).await, runs(&shared.gamma).await], expected, "{limit}");
        let path = format!("/admin/prompt-subscriptions/{}", made.json()["id"].as_str().unwrap());
        assert_eq!(admin.send("DELETE", &path, b"").await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_subscription_that_is_ended_refuses_the_next_call_whoever_ends_it() {
    let mut shared = Shared::new().await;
    for by_owner in [true, false] {
        let id = shared.accepted(&[]).await;
        assert_eq!(runs(&shared.beta).await, 200);
        let by = if by_owner { &shared.acme } else { &shared.beta };
        let ended = end(by, &id).await;
        assert_eq!((ended.status, &ended.json()["state"]), (200, &json!("ended")));
        assert_eq!(runs(&shared.beta).await, 404);
        assert_eq!(seen(&shared.beta).await, ["extract"]);
    }
    // A refusal is the end as well; and each of these is remembered beyond the process.
    let id = shared.asked(&[]).await;
    assert_eq!(shared.acme.post(&of(&id), &json!({ "state": "refused" })).await.status, 200);
    let id = shared.accepted(&["3 requests per day"]).await;
    nothing_held(&shared.set.gateway).await;
    shared.set.gateway.kill();
    shared.set.gateway.up();
    for status in [200, 200, 200, 429] {
        assert_eq!(runs(&shared.beta).await, status);
    }
    assert_eq!([runs(&shared.gamma).await, runs(&shared.acme).await], [404, 200]);
    assert_eq!(end(&shared.acme, &id).await.status, 200);
    nothing_held(&shared.set.gateway).await;
    shared.set.gateway.kill();
    shared.set.gateway.up();
    assert_eq!(runs(&shared.beta).await, 404);
    let told = ledger::changes(&shared.set.gateway);
    for words in [
        "prompt summarize is of acme now, offered to others",
        "asked to use prompt summarize of acme",
        "subscription to prompt summarize of acme was accepted",
        "subscription to prompt summarize of acme was refused",
        "subscription to prompt summarize of acme was accepted within 3 requests per day",
        "subscription to prompt summarize of acme was ended",
    ] {
        assert!(told.iter().any(|line| line == words), "{words}: {told:?}");
    }
    shared.set.gateway.audit().unwrap();
}

#[tokio::test]
async fn what_is_not_offered_cannot_be_asked_for_and_a_new_owner_begins_with_nobody() {
    let shared = Shared::new().await;
    let Shared { set, acme, beta, gamma } = &shared;
    let admin = set.gateway.admin_client();
    shared.accepted(&[]).await;
    let offer = |offered: bool| json!({ "prompt": "summarize", "offered": offered });
    assert_eq!(beta.post("/v1/prompt-offers", &offer(false)).await.status, 404);
    assert_eq!(acme.post("/v1/prompt-offers", &offer(false)).await.status, 200);
    // Who has it keeps it; to others there is none.
    assert_eq!(runs(beta).await, 200);
    assert_eq!(gamma.get("/v1/prompt-offers").await.json()["data"], json!([]));
    let wish = |prompt: &str| json!({ "prompt": prompt });
    let refusals = [
        gamma.post(SUBSCRIPTIONS, &wish("summarize")).await,
        gamma.post(SUBSCRIPTIONS, &wish("never")).await,
        gamma.post(SUBSCRIPTIONS, &wish("extract")).await,
        acme.post(SUBSCRIPTIONS, &wish("summarize")).await,
    ];
    assert!(refusals.iter().all(|answer| answer.status == 404), "{refusals:?}");
    assert_eq!(beta.post(SUBSCRIPTIONS, &wish("summarize")).await.status, 409);
    let bad = json!({ "prompt": "summarize", "limits": ["a lot"] });
    assert_eq!(acme.post("/v1/prompt-offers", &offer(true)).await.status, 200);
    assert_eq!(gamma.post(SUBSCRIPTIONS, &bad).await.status, 400);
    let run = beta.post("/v1/runs", &json!({ "budget_usd": "1", "expires_in": 60 })).await.json();
    let run = Client::with_key(&set.gateway.data, run["key"].as_str().unwrap());
    assert_eq!(
        (runs(&run).await, run.post(SUBSCRIPTIONS, &wish("summarize")).await.status),
        (200, 403)
    );

    let give = async |account: Value| {
        let gift = json!({ "prompt": "summarize", "account": account });
        admin.post("/admin/prompt-owners", &gift).await.status
    };
    assert_eq!(give(json!("nobody")).await, 404);
    assert_eq!(give(json!("gamma")).await, 200);
    assert_eq!([runs(acme).await, runs(beta).await, runs(gamma).await], [404, 404, 200]);
    assert_eq!(give(Value::Null).await, 200);
    assert_eq!([runs(acme).await, runs(beta).await, runs(gamma).await], [200, 200, 200]);
}

#[tokio::test]
async fn the_operator_shares_by_command_beside_a_gateway_and_without_one() {
    let mut set = Set::new(&[("summarize", SUMMARIZE)], THREE).await;
    let clients = ["acme", "beta"].map(|name| set.gateway.client(name));
    let prompt = |set: &Set, verb: &[&str]| {
        let verb: Vec<&str> = ["prompt"].iter().chain(verb).chain(&["--json"]).copied().collect();
        set.gateway.run_json(&verb)
    };
    prompt(&set, &["share", "summarize", "--account", "acme"]);
    assert_eq!([runs(&clients[0]).await, runs(&clients[1]).await], [200, 404]);
    let subscribe =
        ["subscribe", "summarize", "--account", "beta", "--limit", "1 requests per day"];
    let made = prompt(&set, &subscribe);
    assert_eq!([runs(&clients[1]).await, runs(&clients[1]).await], [200, 429]);
    nothing_held(&set.gateway).await;
    set.gateway.kill();
    let ended = prompt(&set, &["unsubscribe", made["id"].as_str().unwrap()]);
    assert_eq!(ended["state"], "ended");
    prompt(&set, &["share", "summarize", "--account", "acme", "--offer"]);
    set.gateway.up();
    assert_eq!(runs(&clients[1]).await, 404);
    let wish = json!({ "prompt": "summarize" });
    let asked = clients[1].post(SUBSCRIPTIONS, &wish).await.json();
    let id = asked["id"].as_str().unwrap();
    let listed = prompt(&set, &["subscriptions"]);
    assert_eq!(listed.to_string().matches("psub_").count(), 2, "{listed}");
    assert_eq!(prompt(&set, &["answer", id, "accepted"])["state"], "accepted");
    assert_eq!(runs(&clients[1]).await, 200);
    let shown = set.gateway.admin_get("/admin/prompts").await.json();
    assert_eq!(shown["data"][0]["subscribers"], json!(["beta"]), "{shown}");
}
