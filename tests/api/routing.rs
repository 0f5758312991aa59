//! Several providers for one model: who is asked, who is left alone, and what a failure costs.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::client::{Client, Response};
use crate::harness::eventually;
use crate::harness::gateway::Gateway;
use crate::harness::ledger::{attempts_held, entries};
use crate::harness::stage::{CHAT, RICH, chat, row_of, streamed};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::script::Reply;

/// A whole reply of one token.
pub(crate) const WHOLE: &str = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\
                     \"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";

/// A gateway with an alias `any` over one scripted provider for each price, in that order.
pub(crate) struct Several {
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) gateway: Gateway,
    pub(crate) client: Client,
}

impl Several {
    /// `route` is the alias's lines, `provider` those of each provider, `{n}` its number; `prices`
    /// dollars a million.
    pub(crate) async fn new(
        route: &str,
        provider: &str,
        prices: &[&str],
        accounts: &str,
    ) -> Several {
        let mut upstreams = Vec::new();
        let mut tables = String::new();
        let mut targets = Vec::new();
        for (n, price) in prices.iter().enumerate() {
            let upstream = Upstream::start().await;
            let provider = provider.replace("{n}", &n.to_string());
            tables.push_str(&format!(
                "[providers.p{n}]\nkind = \"compatible\"\nbase_url = \"{}/v1\"\n\
                 api_key = \"env:UP_KEY\"\nmodels = [\"gpt-4o-mini\"]\n{provider}\n\
                 [prices.\"p{n}/gpt-4o-mini\"]\ninput = \"{price}\"\noutput = \"{price}\"\n\n",
                upstream.url
            ));
            let weight = if route.contains("weighted") { 1 + 2 * n } else { 1 };
            let weight = if weight > 1 { format!(", weight = {weight}") } else { String::new() };
            targets.push(format!("{{ provider = \"p{n}\", model = \"gpt-4o-mini\"{weight} }}"));
            upstreams.push(upstream);
        }
        // All of them, unless the route has its own lists.
        let own = route.contains("targets =");
        let targets = targets.join(", ");
        let targets = if own { String::new() } else { format!("targets = [{targets}]") };
        let alias = format!("[models.any]\n{route}\n{targets}\n\n");
        let gateway = Gateway::start(&format!("{tables}{alias}{accounts}"));
        let client = gateway.client("acme");
        Several { upstreams, gateway, client }
    }

    pub(crate) async fn call(&self, say: &str) -> Response {
        self.client.post(CHAT, &any(chat(say))).await
    }

    pub(crate) fn asked(&self) -> Vec<usize> {
        self.upstreams.iter().map(Upstream::count).collect()
    }
}

pub(crate) fn any(mut body: Value) -> Value {
    body["model"] = json!("any");
    body
}

/// A refusal for the rate of calls, for so many seconds.
fn busy(seconds: &str) -> Reply {
    let body = "{\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\"}}";
    Reply::whole(429, body).with_header("retry-after", seconds)
}

/// The providers of a quote, in the order they would be tried.
fn places(quote: &Value) -> Vec<&str> {
    let targets = quote["targets"].as_array().unwrap();
    targets.iter().map(|target| target["provider"].as_str().unwrap()).collect()
}

fn code(answer: &Response) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_is_left_alone() {
    let several = Several::new("route = \"ordered\"", "", &["1", "1"], RICH).await;
    several.upstreams[0].push("gpt-4o-mini", busy("60"));
    let answer = several.call("hi").await;
    assert_eq!(answer.header("x-tollgate-provider"), Some("p1"), "{}", answer.text());
    for _ in 0..5 {
        assert_eq!(several.call("hi").await.header("x-tollgate-provider"), Some("p1"));
    }
    assert_eq!(several.asked(), [1, 6]);
    // Now the other one too: nobody is left, and nobody is asked.
    several.upstreams[1].push("gpt-4o-mini", busy("30"));
    let answer = several.call("hi").await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    let answer = several.call("hi").await;
    assert_eq!((answer.status, code(&answer).as_str()), (429, "upstream_rate_limit"));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((25..=30).contains(&wait), "{wait}");
    assert_eq!(several.asked(), [1, 7]);
}

#[tokio::test]
async fn a_short_wait_is_waited_for_rather_than_refused() {
    let several = Several::new("", "max_retries = 0", &["1"], RICH).await;
    let answer = several.call("@@status=429 retry-after-ms=400 fail=1 key=a@@").await;
    assert_eq!(answer.status, 429);
    let began = std::time::Instant::now();
    assert_eq!(several.call("hi").await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_tenant_with_many_calls_leaves_others_their_share_of_a_providers_limit() {
    let accounts = "[accounts.acme]\nlimits = [\"$1000 per month\"]\n\
                    [accounts.other]\nlimits = [\"$1000 per month\"]\n";
    let several = Several::new("", "max_retries = 0", &["1"], accounts).await;
    // One call in 100 ms from now on.
    let told = Reply::whole(200, WHOLE)
        .with_header("x-ratelimit-limit-requests", "10")
        .with_header("x-ratelimit-remaining-requests", "0")
        .with_header("x-ratelimit-reset-requests", "1s");
    several.upstreams[0].push("gpt-4o-mini", told);
    assert_eq!(several.call("hi").await.status, 200);
    let other = several.gateway.client("other");
    let many = join_all((0..60).map(|_| several.call("hi")));
    let few = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let call = || async { other.post(CHAT, &any(chat("hi"))).await };
        join_all((0..4).map(|_| call())).await
    };
    let (many, few) = tokio::join!(many, few);
    let refused = many.iter().filter(|answer| answer.status == 429).count();
    assert!(refused > 0, "there was enough for everybody");
    assert!(few.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn a_provider_that_would_refuse_is_not_asked() {
    let several = Several::new("route = \"ordered\"", "", &["1", "1"], RICH).await;
    let told = Reply::whole(200, WHOLE)
        .with_header("x-ratelimit-limit-requests", "10")
        .with_header("x-ratelimit-remaining-requests", "1")
        .with_header("x-ratelimit-reset-requests", "9m0s");
    several.upstreams[0].push("gpt-4o-mini", told);
    for _ in 0..5 {
        assert_eq!(several.call("hi").await.status, 200);
    }
    assert_eq!(several.asked(), [2, 3]);
}

#[tokio::test]
async fn when_everything_fails_attempts_stay_near_the_calls() {
    let several = Several::new("route = \"ordered\"", "", &["1", "1"], RICH).await;
    let calls = 100;
    for _ in 0..calls / 10 {
        let all = join_all((0..10).map(|_| several.call("@@status=500@@"))).await;
        assert!(all.iter().all(|answer| matches!(answer.status, 502 | 503)));
    }
    let attempts: usize = several.asked().iter().sum();
    assert!(attempts <= calls * 12 / 10, "{attempts} attempts");
}

#[tokio::test]
async fn our_own_refusal_is_never_tried_again() {
    let accounts = "[accounts.acme]\nlimits = [\"2 requests per hour\"]\n";
    let several = Several::new("route = \"ordered\"", "", &["1", "1"], accounts).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(several.call("hi").await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(several.asked(), [2, 0]);
}

#[tokio::test]
async fn a_fallback_is_charged_once() {
    let provider = "first_byte_timeout = \"300ms\"";
    let several = Several::new("route = \"ordered\"", provider, &["1", "3"], RICH).await;
    for (say, provider) in [("@@tokens=5 fail=1 status=500 key=a@@", "p0"), ("hi", "p0")] {
        assert_eq!(several.call(say).await.header("x-tollgate-provider"), Some(provider));
    }
    // The first provider hears the call and says nothing in time; the second answers.
    let reply = "{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}";
    let late = Reply::whole(200, reply).after(Duration::from_secs(2));
    several.upstreams[0].push("gpt-4o-mini", late);
    let answer = several.call("@@tokens=5@@").await;
    assert_eq!(answer.header("x-tollgate-provider"), Some("p1"), "{}", answer.text());
    let row = row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    let attempts = row.json["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{row:?}");
    assert_eq!(attempts[0]["charged_usd"], "0");
    // It may be on the provider's bill: owed, and nobody's but the operator's.
    assert_eq!(attempts[0]["owed_usd"], attempts[0]["absorbed_usd"]);
    assert_ne!(attempts[0]["owed_usd"], "0");
    assert_eq!(attempts[1]["charged_usd"], row.charged_usd.as_str());
    assert_eq!(row.json["requests"], 1);
    assert_eq!(attempts[1]["reason"], "as written");
    several.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_failure_after_the_first_byte_is_told_and_settled_once() {
    let several = Several::new("route = \"ordered\"", "", &["1", "1"], RICH).await;
    let body = any(streamed("@@tokens=20 error-after=6@@"));
    let answer = several.client.post(CHAT, &body).await;
    let last: Value = serde_json::from_str(answer.data().last().unwrap()).unwrap();
    assert!(last["error"]["message"].is_string(), "{last}");
    assert_eq!(several.asked(), [1, 0]);
    let row = row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    assert_eq!((row.attempts, row.outcome.as_str()), (1, "failed"));
}

#[tokio::test]
async fn a_half_open_breaker_lets_one_call_through() {
    let several = Several::new("", "max_retries = 0", &["1"], RICH).await;
    for _ in 0..5 {
        assert_eq!(several.call("@@status=500@@").await.status, 502);
    }
    let refused = several.call("hi").await;
    assert_eq!((refused.status, code(&refused).as_str()), (503, "upstream_unavailable"));
    assert!(refused.header("retry-after-ms").is_some());
    assert_eq!(several.asked(), [5]);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let all = join_all((0..20).map(|_| several.call("@@before=2500@@"))).await;
    let through = all.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((through, several.asked()), (1, vec![6]));
    assert_eq!(several.call("hi").await.status, 200);
}

#[tokio::test]
async fn weights_are_shares_of_the_calls() {
    let several = Several::new("route = \"weighted\"", "", &["1", "1"], RICH).await;
    for _ in 0..20 {
        join_all((0..10).map(|_| several.call("hi"))).await;
    }
    // 1 : 3 of 200 is 50; five standard deviations are 31.
    let asked = several.asked();
    assert!((19..=81).contains(&asked[0]), "{asked:?}");
}

#[tokio::test]
async fn the_fastest_of_two_gets_the_calls() {
    let several = Several::new("route = \"fastest\"", "", &["1", "1"], RICH).await;
    let slow = Reply::frames(&[
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}",
        "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
        "[DONE]",
    ])
    .after(Duration::from_millis(400));
    several.upstreams[0].push("gpt-4o-mini", slow);
    for _ in 0..12 {
        let body = any(streamed("@@tokens=3@@"));
        assert_eq!(several.client.post(CHAT, &body).await.status, 200);
    }
    assert_eq!(several.asked(), [1, 11]);
}

#[tokio::test]
async fn the_cheapest_is_asked_and_a_quote_says_why() {
    let route = "route = \"cheapest\"";
    let several = Several::new(route, "", &["3", "1", "2"], RICH).await;
    assert_eq!(several.call("hi").await.header("x-tollgate-provider"), Some("p1"));
    several.upstreams[1].push("gpt-4o-mini", busy("60"));
    assert_eq!(several.call("hi").await.header("x-tollgate-provider"), Some("p2"));
    let quote = several.client.post("/v1/quote", &any(chat("hi"))).await.json();
    assert_eq!(places(&quote), ["p2", "p0"]);
    let reason = quote["targets"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("expected to cost $0.0"), "{reason}");
    let out = &quote["left_out"][0];
    assert_eq!((&out["provider"], &out["reason"]), (&json!("p1"), &json!("limit")));
    assert!(out["why"].as_str().unwrap().starts_with("asked to be left alone until"));

    let answer = several.call("hi").await;
    let row = row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    let reason = row.json["attempts"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("expected to cost $0.0"), "{reason}");
    assert!(reason.contains("; without p1/gpt-4o-mini (asked to be left alone until"), "{reason}");
    several.gateway.audit().unwrap();
}

#[tokio::test]
async fn a_call_without_a_choice_has_no_reason_on_its_row() {
    let several = Several::new("", "", &["1"], RICH).await;
    let answer = several.call("hi").await;
    let row = row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    assert_eq!(row.json["attempts"][0]["reason"], Value::Null, "{row:?}");
}

#[tokio::test]
async fn a_deadline_spans_all_attempts() {
    let several = Several::new("route = \"ordered\"", "", &["1", "1"], RICH).await;
    let began = std::time::Instant::now();
    let client = several.client.and_header("x-tollgate-deadline", "1");
    let answer = client.post(CHAT, &any(chat("@@before=5000@@"))).await;
    assert_eq!((answer.status, code(&answer).as_str()), (504, "upstream_timeout"));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(several.asked(), [1, 0]);
}

#[tokio::test]
async fn a_refusal_for_its_content_or_length_goes_on_to_the_targets_kept_for_it() {
    let target = |n: usize| format!("[{{ provider = \"p{n}\", model = \"gpt-4o-mini\" }}]");
    let route = format!(
        "targets = {}\non_content_policy = {}\non_context_length = {}",
        target(0),
        target(1),
        target(2)
    );
    let several = Several::new(&route, "", &["1", "2", "3"], RICH).await;
    for (code, provider) in [("content_filter", "p1"), ("context_length_exceeded", "p2")] {
        let body = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"no\"}}}}");
        several.upstreams[0].push("gpt-4o-mini", Reply::whole(400, &body));
        let answer = several.call("@@tokens=5@@").await;
        assert_eq!(answer.header("x-tollgate-provider"), Some(provider), "{}", answer.text());
        let row = row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
        assert_eq!(row.attempts, 2, "{row:?}");
    }
    assert_eq!(several.call("hi").await.header("x-tollgate-provider"), Some("p0"));
    assert_eq!(several.call("@@status=400@@").await.status, 400);
    assert_eq!(several.asked(), [4, 1, 1]);
    several.gateway.audit().unwrap();
}

#[tokio::test]
async fn an_account_asks_only_providers_that_are_tagged_with_what_it_requires() {
    let accounts = "[accounts.acme]\nrequire = [\"region:1\"]\nlimits = [\"$50 per month\"]\n";
    let tags = "tags = [\"all\", \"region:{n}\"]";
    let several = Several::new("route = \"ordered\"", tags, &["1", "2"], accounts).await;
    assert_eq!(several.call("hi").await.header("x-tollgate-provider"), Some("p1"));
    let quote = several.client.post("/v1/quote", &any(chat("hi"))).await.json();
    assert_eq!((places(&quote), &quote["left_out"][0]["reason"]), (vec!["p1"], &json!("tag")));
    let mut body = chat("hi");
    body["model"] = json!("p0/gpt-4o-mini");
    let answer = several.client.post(CHAT, &body).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "provider_not_allowed"));
    // Not even where the only other one fails.
    assert_eq!(several.call("@@status=500@@").await.status, 502);
    assert_eq!(several.asked()[0], 0);
}

#[tokio::test]
async fn a_target_beyond_a_ceiling_is_left_out_and_a_blend_weighs_cost_against_time() {
    let route = "route = \"blend\"\ncost_weight = 1\nlatency_weight = 0\nmax_cost = \"0.001\"";
    let several = Several::new(route, "", &["9", "1", "2"], RICH).await;
    let quote = several.client.post("/v1/quote", &any(chat("hi"))).await.json();
    assert_eq!(places(&quote), ["p1", "p2"]);
    assert_eq!(quote["route"], "blend");
    assert_eq!(quote["left_out"][0]["reason"], "price_ceiling");
    assert_eq!(several.call("hi").await.header("x-tollgate-provider"), Some("p1"));

    let several = Several::new("max_cost = \"0.000001\"", "", &["9"], RICH).await;
    let answer = several.call("hi").await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "price_ceiling"));
    assert_eq!(several.asked(), [0]);
}

#[tokio::test]
async fn the_operator_sees_each_targets_health_limits_and_spend() {
    let several = Several::new("route = \"ordered\"", "", &["1", "1"], RICH).await;
    several.upstreams[0].push("gpt-4o-mini", busy("60"));
    for _ in 0..3 {
        let answer = several.call("@@tokens=5@@").await;
        row_of(&several.gateway, answer.header("x-request-id").unwrap()).await;
    }
    let seen = several.gateway.admin_get("/admin/providers").await.json();
    let targets = seen["data"].as_array().unwrap();
    let get = |n: usize, name: &str| targets[n][name].clone();
    assert_eq!(targets.len(), 2, "{seen}");
    assert_eq!((get(0, "provider"), get(1, "provider")), (json!("p0"), json!("p1")));
    assert_eq!((get(0, "asked"), get(1, "asked")), (json!(1), json!(3)));
    assert!(targets[0]["keys"][0]["rests_until"].is_string(), "{seen}");
    assert_eq!((get(1, "breaker"), get(1, "in_flight")), (json!("closed"), json!(0)));
    assert!(targets[1]["first_byte_ms"]["p99"].is_u64(), "{seen}");
    assert_ne!(get(1, "owed_usd"), json!("0"));
    let metrics = several.gateway.admin_get("/metrics").await.text();
    assert!(metrics.contains("tollgate_target_breaker_open{provider=\"p1\""), "{metrics}");
}

#[tokio::test]
async fn of_a_providers_keys_the_one_with_the_most_left_is_shown() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::stopped(&format!(
        "[providers.up]\nkind = \"compatible\"\nbase_url = \"{}/v1\"\nmodels = [\"gpt-4o-mini\"]\n\
         api_keys = [\"file:one\", \"file:two\"]\n\
         [prices.\"up/gpt-4o-mini\"]\ninput = \"1\"\noutput = \"1\"\n{RICH}",
        upstream.url
    ));
    for name in ["one", "two"] {
        std::fs::write(gateway.dir().join(name), format!("sk-{name}")).unwrap();
    }
    gateway.up();
    let client = gateway.client("acme");
    let shown = || upstream.last().header("authorization").unwrap().to_owned();
    // Whichever is shown first has almost nothing left, the other plenty.
    for left in ["2", "90"] {
        let told = Reply::whole(200, WHOLE)
            .with_header("x-ratelimit-limit-requests", "100")
            .with_header("x-ratelimit-remaining-requests", left)
            .with_header("x-ratelimit-reset-requests", "99m0s");
        upstream.push("gpt-4o-mini", told);
        assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
    }
    let rich = shown();
    for _ in 0..6 {
        assert_eq!(client.post(CHAT, &chat("hi")).await.status, 200);
        assert_eq!(shown(), rich);
    }
}

#[tokio::test]
async fn a_conversation_stays_where_its_beginning_is_cached() {
    let upstreams = [Upstream::start().await, Upstream::start().await];
    let mut tables = String::new();
    for (n, upstream) in upstreams.iter().enumerate() {
        tables.push_str(&format!(
            "[providers.p{n}]\nkind = \"compatible\"\nbase_url = \"{}/v1\"\napi_key = \"env:UP_KEY\"\n\
             models = [\"gpt-4o-mini\"]\n[prices.\"p{n}/gpt-4o-mini\"]\ninput = \"10\"\noutput = \"10\"\n\
             cache_read = \"1\"\n",
            upstream.url
        ));
    }
    let gateway = Gateway::start(&format!(
        "{tables}[models.any]\nroute = \"weighted\"\ntargets = [{{ provider = \"p0\", model = \
         \"gpt-4o-mini\" }}, {{ provider = \"p1\", model = \"gpt-4o-mini\" }}]\n{RICH}"
    ));
    let client = gateway.client("acme");
    let body = any(chat(&"The same long beginning. ".repeat(800)));
    let first = client.post(CHAT, &body).await;
    let warm = first.header("x-tollgate-provider").unwrap().to_owned();
    // By its weight alone it would be there half of the time.
    for _ in 0..12 {
        let mut next = body.clone();
        let messages = next["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": "Go on."}));
        messages.push(json!({"role": "user", "content": "@@prompt=4010 cached=4000@@"}));
        let answer = client.post(CHAT, &next).await;
        assert_eq!(answer.header("x-tollgate-provider"), Some(warm.as_str()), "{}", answer.text());
    }
    gateway.audit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_may_have_been_billed_has_its_row_though_the_process_dies_in_the_next() {
    let provider = "max_retries = 0";
    let mut several = Several::new("route = \"ordered\"", provider, &["1.00", "2.00"], RICH).await;
    // The first takes the request and closes; the second takes it and says nothing.
    several.upstreams[0].push("gpt-4o-mini", Reply::none());
    several.upstreams[1].push("gpt-4o-mini", Reply::whole(200, WHOLE).hanging_at(0));
    let body = any(chat("a prompt of some words")).to_string();
    let call = several.client.open("POST", CHAT, body.as_bytes()).await.unwrap();
    eventually("the second attempt is in the file", Duration::from_secs(10), async || {
        (several.asked() == [1, 1] && attempts_held(&several.gateway) == 2).then_some(())
    })
    .await;
    several.gateway.kill();
    drop(call);
    several.gateway.up();

    let rows = entries(&several.gateway);
    let ends: Vec<_> = rows.iter().map(|row| (row.kind.as_str(), row.outcome.as_str())).collect();
    assert_eq!(ends, [("attempt", "unreachable"), ("recovery", "recovered")]);
    assert_eq!(rows[0].id, rows[1].id);
    let [first, second] = &rows[..] else { panic!("{rows:?}") };
    assert!(first.input > 0, "{first:?}");
    // A dollar a million is a thousand nano-dollars a token; the operator bears what failed.
    assert_eq!((first.owed, first.absorbed, first.charged), (first.input * 1_000, first.owed, 0));
    assert_eq!((second.requests, second.owed), (1, second.input * 2_000));
    several.gateway.audit().unwrap();
}
