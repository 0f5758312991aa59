//! A provider whose requests are signed instead of carrying a key.

use serde_json::json;

use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::stage::{CHAT, chat};
use crate::harness::upstream::Upstream;
use crate::harness::upstream::script::Reply;

const TABLES: &str = r#"
[providers.aws]
kind = "bedrock"
base_url = "URL"
access_key_id = "env:UP_KEY"
secret_access_key = "env:TOLLGATE_ADMIN_KEY"
session_token = "env:UP_KEY"
region = "eu-west-1"
models = ["amazon.nova-lite-v1:0"]

[prices."aws/amazon.nova-lite-v1:0"]
input = "1"
output = "2"

[accounts.acme]
limits = ["$10 per month"]
"#;

#[tokio::test]
async fn a_request_to_bedrock_is_signed_and_its_usage_is_charged() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::start(&TABLES.replace("URL", &upstream.url));
    let client: Client = gateway.client("acme");
    let message = json!({"role": "assistant", "content": [{"text": "Sun."}]});
    let reply = json!({"output": {"message": message}, "stopReason": "end_turn",
        "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}});
    // The model stands in the path, so the provider sees none in the body.
    upstream.push("", Reply::whole(200, &reply.to_string()));
    let mut asked = chat("hi");
    asked["model"] = json!("aws/amazon.nova-lite-v1:0");
    let answer = client.post(CHAT, &asked).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Sun.");
    assert_eq!(answer.json()["usage"]["total_tokens"], 7);
    let sent = upstream.last();
    assert_eq!(sent.path, "/model/amazon.nova-lite-v1%3A0/converse");
    let shown = sent.header("authorization").unwrap();
    let date = sent.header("x-amz-date").unwrap();
    let scope = format!("/{}/eu-west-1/bedrock/aws4_request, ", &date[..8]);
    assert!(shown.starts_with("AWS4-HMAC-SHA256 Credential="), "{shown}");
    assert!(shown.contains(&scope), "{shown}");
    let names = "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(shown.contains(names), "{shown}");
    assert!(sent.header("x-amz-security-token").is_some());
    assert!(upstream.url.ends_with(sent.header("host").unwrap()));
    gateway.audit().unwrap();
}
