//! The figures: reports, single calls and a tenant's own view are sums of the same rows.

use serde_json::{Value, json};

use crate::harness::stage::{CHAT, EMBEDDINGS, Stage, chat, nanos, streamed};

const ACCOUNTS: &str = "[accounts.acme]\nlimits = [\"$1000 per month\"]\n\n[accounts.acme.search]\n\n\
    [accounts.beta]\nlimits = [\"$1000 per month\"]\n";

/// A stage with a few calls of two tenants, all settled.
async fn used() -> Stage {
    let stage = Stage::new(ACCOUNTS).await;
    let (search, beta) = (stage.gateway.client("acme/search"), stage.gateway.client("beta"));
    for number in 1..=3 {
        let say = format!("@@tokens={} prompt=50 cached=10@@", number * 10);
        assert_eq!(search.post(CHAT, &chat(&say)).await.status, 200);
        assert_eq!(search.post(CHAT, &streamed(&say)).await.status, 200);
    }
    let mut large = chat("@@tokens=7 prompt=20@@");
    large["model"] = json!("gpt-4o");
    assert_eq!(beta.post(CHAT, &large).await.status, 200);
    let embed = json!({"model": "text-embedding-3-small", "input": "one two three"});
    let tagged = beta.and_header("x-tollgate-tags", "team=red");
    assert_eq!(tagged.post(EMBEDDINGS, &embed).await.status, 200);
    stage.nothing_held().await;
    stage
}

fn sum(rows: &Value, field: &str) -> u64 {
    let rows = rows["rows"].as_array().unwrap();
    rows.iter().map(|row| row[field].as_u64().unwrap_or_else(|| panic!("{field} in {row:?}"))).sum()
}

/// Money is a string, for a number would be read as a float.
fn charged(row: &Value) -> i64 {
    nanos(row["charged_usd"].as_str().unwrap_or_else(|| panic!("no money in {row}")))
}

#[tokio::test]
async fn a_report_is_the_sum_of_what_the_provider_reported() {
    let stage = used().await;
    let truths = stage.upstream.truths();
    let reported: Vec<_> = truths.iter().filter_map(|truth| truth.reported).collect();
    for by in
        ["account", "model", "account:1,model", "provider", "day", "hour", "week,key", "tag:team"]
    {
        let report = stage.gateway.run_json(&["report", "--by", by, "--format", "json"]);
        assert_eq!(sum(&report, "requests"), 8, "by {by}");
        assert_eq!(sum(&report, "input_tokens"), reported.iter().map(|u| u.prompt).sum::<u64>());
        assert_eq!(
            sum(&report, "output_tokens"),
            reported.iter().map(|u| u.completion).sum::<u64>()
        );
        assert_eq!(
            sum(&report, "cache_read_tokens"),
            reported.iter().map(|u| u.cached).sum::<u64>()
        );
        let total: i64 = report["rows"].as_array().unwrap().iter().map(charged).sum();
        // small: 6 calls; large: one; embed: three tokens.
        let small = 6 * (40 * 1_000 + 10 * 100) + 2 * (10 + 20 + 30) * 2_000;
        let large = 20 * 10_000 + 7 * 20_000;
        assert_eq!(total, small + large + 3 * 20, "by {by}");
    }
}

#[tokio::test]
async fn a_report_of_an_account_has_its_teams_and_nobody_else() {
    let stage = used().await;
    let report =
        stage.gateway.run_json(&["report", "--account", "acme", "--by", "account", "--json"]);
    assert_eq!(sum(&report, "requests"), 6, "{report}");
    let csv = stage.gateway.run(&["report", "--by", "account", "--format", "csv"]);
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert_eq!(csv.trim().lines().count(), 3, "{csv}");
    let header = csv.lines().next().unwrap();
    for column in ["account", "requests", "input_tokens", "output_tokens", "charged_usd"] {
        assert!(header.split(',').any(|name| name == column), "{header}");
    }
    let table = stage.gateway.run(&["report", "--by", "account"]);
    assert!(String::from_utf8(table.stdout).unwrap().contains("acme/search"));
}

#[tokio::test]
async fn one_call_can_be_looked_at_line_by_line() {
    let stage = used().await;
    let answer =
        stage.gateway.client("beta").post(CHAT, &chat("@@tokens=3 prompt=9 cached=4@@")).await;
    let id = answer.header("x-request-id").unwrap().to_owned();
    stage.row_of(&id).await;
    let shown = stage.gateway.run_json(&["request", "show", &id, "--json"]);
    assert_eq!(shown["account"], "beta", "{shown}");
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown}");
    let lines = shown["attempts"][0]["lines"].as_array().unwrap();
    let line = |class: &str| {
        let found = lines.iter().find(|line| line["class"] == class);
        found.unwrap_or_else(|| panic!("no {class} in {shown}"))["quantity"].clone()
    };
    assert_eq!([line("input"), line("cache_read"), line("output")], [json!(5), json!(4), json!(3)]);
    assert_eq!(charged(&shown), 5 * 1_000 + 4 * 100 + 3 * 2_000);
    let unknown = stage.gateway.run(&["request", "show", "no-such-call"]);
    assert_eq!(unknown.status.code(), Some(1));
}

#[tokio::test]
async fn a_tenant_reads_its_own_figures_and_no_one_elses() {
    let stage = used().await;
    let (search, beta) = (stage.gateway.client("acme/search"), stage.gateway.client("beta"));
    let costs = |body: &Value| -> Value {
        let buckets = body["data"].as_array().unwrap();
        let results = buckets.iter().flat_map(|bucket| bucket["results"].as_array().unwrap());
        results.map(|result| result["amount"]["value"].clone()).collect()
    };
    let yesterday = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let path = format!("/v1/organization/costs?start_time={}", yesterday.as_secs() - 86_400);
    let search_costs = search.get(&path).await;
    assert_eq!(search_costs.status, 200, "{}", search_costs.text());
    let beta_costs = beta.get(&path).await;
    assert_ne!(costs(&search_costs.json()), costs(&beta_costs.json()));
    let answer = search.post(CHAT, &chat("hi")).await;
    let path = format!("/v1/usage/{}", answer.header("x-request-id").unwrap());
    stage.row(&answer).await;
    assert_eq!(search.get(&path).await.status, 200);
    assert_eq!(beta.get(&path).await.status, 404);
    let budgets = search.get("/v1/budgets").await;
    assert_eq!(budgets.status, 200);
    assert!(!budgets.text().contains("beta"), "{}", budgets.text());
}

#[tokio::test]
async fn a_report_is_drawn_into_a_file_and_into_a_terminal() {
    let stage = used().await;
    let file = stage.gateway.dir().join("month.svg");
    let report = ["report", "--by", "day,account", "--format", "json"];
    let drawn = [&report[..], &["--plot", file.to_str().unwrap()]].concat();
    let rows = stage.gateway.run_json(&drawn)["rows"].as_array().unwrap().clone();
    let svg = std::fs::read_to_string(&file).unwrap();
    for row in &rows {
        let (account, charged) =
            (row["account"].as_str().unwrap(), row["charged_usd"].as_str().unwrap());
        let told = format!("{} {account}: ${charged}</title>", row["day"].as_str().unwrap());
        assert!(svg.contains(&told), "no {told}: {svg}");
    }
    let chart = stage.gateway.run(&["report", "--by", "account", "--format", "chart"]);
    let chart = String::from_utf8(chart.stdout).unwrap();
    let accounts = stage.gateway.run_json(&["report", "--by", "account", "--json"]);
    for row in accounts["rows"].as_array().unwrap() {
        let (account, charged) =
            (row["account"].as_str().unwrap(), row["charged_usd"].as_str().unwrap());
        let line = chart.lines().find(|line| line.starts_with(&format!("{account} "))).unwrap();
        assert!(line.contains('│') && line.ends_with(&format!(" ${charged}")), "{line}");
    }
    let nowhere = stage.gateway.run(&["report", "--plot", "no/such/folder.svg"]);
    assert_eq!(nowhere.status.code(), Some(1), "{nowhere:?}");
}

/// Pico-dollars of a decimal.
fn pico(text: &str) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    sign * format!("{whole}{rest:0<12}").parse::<i128>().unwrap()
}

#[tokio::test]
async fn a_focus_export_and_a_statement_come_to_what_the_report_says() {
    let stage = used().await;
    let report = stage.gateway.run_json(&["report", "--by", "account", "--json"]);
    let charged: i64 = report["rows"].as_array().unwrap().iter().map(charged).sum();

    let export = stage.gateway.run(&["report", "--format", "focus"]);
    assert!(export.status.success(), "{export:?}");
    let export = String::from_utf8(export.stdout).unwrap();
    let mut lines = export.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let at = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let billed: i128 = rows.iter().map(|row| pico(row[at("BilledCost")])).sum();
    assert_eq!(billed, i128::from(charged) * 1_000, "{export}");
    let tokens = |meter: &str, model: &str| -> u64 {
        let mine =
            rows.iter().filter(|r| r[at("SkuMeter")] == meter && r[at("ServiceName")] == model);
        mine.map(|row| row[at("ConsumedQuantity")].parse::<u64>().unwrap()).sum()
    };
    assert_eq!(tokens("input", "gpt-4o-mini"), 6 * 40);
    assert_eq!(tokens("cache read", "gpt-4o-mini"), 6 * 10);
    assert_eq!(tokens("output", "gpt-4o"), 7);
    // A tenant itself is the billing account, and no sub account of its own; tags are an object.
    assert!(export.contains(",acme/search,acme/search,,"), "{export}");
    assert!(!export.contains(",beta,beta,,") && export.contains(",beta,beta,USD,"), "{export}");
    assert!(export.contains(r#","{""team"":""red""}","#), "{export}");

    let statement = stage.gateway.run(&["statement", "--account", "acme"]);
    assert!(statement.status.success(), "{statement:?}");
    let statement = String::from_utf8(statement.stdout).unwrap();
    let acme =
        stage.gateway.run_json(&["report", "--account", "acme", "--by", "account", "--json"]);
    let total = acme["rows"][0]["charged_usd"].as_str().unwrap();
    let said = statement.split("**Total: $").nth(1).unwrap().split("**").next().unwrap();
    assert_eq!(pico(said), pico(total), "{statement}");
    assert!(!statement.contains("beta"), "{statement}");
    let page = stage.gateway.run(&["statement", "--account", "acme", "--html"]);
    assert!(String::from_utf8(page.stdout).unwrap().contains(&format!("Total: ${said}")));
}
