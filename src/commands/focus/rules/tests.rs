//! Each rule finds the row that breaks it.

use super::*;

fn good() -> (Vec<&'static str>, Vec<Field>) {
    let row = [
        ("BilledCost", "0.000000000006"),
        ("BillingAccountId", "acme"),
        ("BillingAccountName", "Acme"),
        ("BillingCurrency", "USD"),
        ("BillingPeriodEnd", "2026-12-01T00:00:00Z"),
        ("BillingPeriodStart", "2026-11-01T00:00:00Z"),
        ("ChargeCategory", "Usage"),
        ("ChargeClass", ""),
        ("ChargeDescription", "input tokens"),
        ("ChargeFrequency", "Usage-Based"),
        ("ChargePeriodEnd", "2026-11-25T00:00:00Z"),
        ("ChargePeriodStart", "2026-11-24T00:00:00Z"),
        ("ConsumedQuantity", "3"),
        ("ConsumedUnit", "Tokens"),
        ("ContractedCost", "0.000000000006"),
        ("EffectiveCost", "0.000000000006"),
        ("HostProviderName", "p"),
        ("InvoiceIssuerName", "i"),
        ("ListCost", "0.000000000006"),
        ("ListUnitPrice", "0.000000000002"),
        ("PricingCategory", "Standard"),
        ("PricingQuantity", "3"),
        ("PricingUnit", "Tokens"),
        ("ServiceCategory", "AI and Machine Learning"),
        ("ServiceName", "m"),
        ("ServiceProviderName", "p"),
        ("ServiceSubcategory", "Generative AI"),
        ("SkuId", "p/m"),
        ("SkuMeter", "input"),
        ("SkuPriceDetails", r#"{"x_ServiceTier":"standard"}"#),
        ("SkuPriceId", "p/m/input"),
        ("SubAccountId", "acme/search"),
        ("SubAccountName", "Search"),
        ("Tags", r#"{"team":"red"}"#),
        ("x_PriceVersion", "v"),
    ];
    let field = |(_, value): &(&str, &str)| (!value.is_empty()).then(|| (*value).to_owned());
    (row.iter().map(|(name, _)| *name).collect(), row.iter().map(field).collect())
}

#[test]
fn a_row_that_keeps_to_every_rule_passes() {
    let (columns, row) = good();
    assert_eq!(check(&columns, &[row]), Vec::<String>::new());
}

/// The row with one value changed.
fn broken(column: &str, value: Option<&str>) -> Vec<String> {
    let (columns, mut row) = good();
    let at = columns.iter().position(|name| *name == column).unwrap();
    row[at] = value.map(str::to_owned);
    check(&columns, &[row])
}

#[test]
fn every_rule_finds_the_row_that_breaks_it() {
    let cases = [
        ("BilledCost", Some("1e3"), "CAU-BilledCost-C-002-M"),
        ("BillingCurrency", Some("usd"), "CAU-BillingCurrency-C-003-M"),
        ("BillingPeriodStart", Some("2026-11-01"), "CAU-BillingPeriodStart-C-002-M"),
        ("BillingPeriodEnd", Some("2026-10-01T00:00:00Z"), "CAU-BillingPeriodEnd-C-004-M"),
        ("ChargePeriodEnd", Some("2026-11-23T00:00:00Z"), "CAU-ChargePeriodEnd-C-004-M"),
        ("ChargePeriodStart", Some("2026-10-24T00:00:00Z"), "within its billing period"),
        ("ChargeCategory", Some("Use"), "CAU-ChargeCategory-C-003-M"),
        ("ChargeClass", Some("Fix"), "CAU-ChargeClass-C-005-C"),
        ("ChargeFrequency", Some("Daily"), "CAU-ChargeFrequency-C-003-M"),
        ("ChargeCategory", Some("Purchase"), "CAU-ChargeFrequency-C-004-C"),
        ("ConsumedQuantity", None, "CAU-ConsumedQuantity-C-006-C"),
        ("ConsumedQuantity", Some("1,000"), "CAU-ConsumedQuantity-C-002-M"),
        ("ChargeCategory", Some("Adjustment"), "CAU-ConsumedQuantity-C-004-C"),
        ("SkuPriceId", None, "CAU-ConsumedQuantity-C-009-C"),
        ("ConsumedUnit", None, "CAU-ConsumedUnit-C-006-C"),
        ("ConsumedQuantity", None, "CAU-ConsumedUnit-C-005-C"),
        ("ConsumedUnit", Some("1000 tokens"), "CAU-ConsumedUnit-C-003-O"),
        ("PricingUnit", Some("tokens"), "CAU-PricingUnit-C-003-O"),
        ("PricingUnit", None, "CAU-PricingUnit-C-006-C"),
        ("PricingQuantity", None, "CAU-PricingUnit-C-005-C"),
        ("PricingQuantity", None, "CAU-PricingQuantity-C-005-C"),
        ("SkuPriceId", None, "CAU-PricingQuantity-C-011-C"),
        ("ChargeCategory", Some("Tax"), "CAU-PricingQuantity-C-004-C"),
        ("PricingCategory", None, "CAU-PricingCategory-C-004-C"),
        ("PricingCategory", Some("Cheap"), "CAU-PricingCategory-C-007-M"),
        ("PricingCategory", Some("Dynamic"), "CAU-PricingCategory-C-008-C"),
        ("SkuPriceId", None, "CAU-PricingCategory-C-012-C"),
        ("ChargeCategory", Some("Tax"), "CAU-PricingCategory-C-003-C"),
        ("ListCost", Some("0.000000000007"), "CAU-ListCost-C-011-C"),
        ("ContractedCost", Some("1"), "CAU-ContractedCost-C-008-M"),
        ("EffectiveCost", Some("0"), "CAU-EffectiveCost-C-015-C"),
        ("ListUnitPrice", Some("-1"), "CAU-ListUnitPrice-C-008-M"),
        ("ListUnitPrice", None, "CAU-ListUnitPrice-C-013-C"),
        ("ListUnitPrice", None, "CAU-ListUnitPrice-C-005-C"),
        ("SkuPriceId", None, "CAU-ListUnitPrice-C-012-C"),
        ("ChargeCategory", Some("Tax"), "CAU-ListUnitPrice-C-004-C"),
        ("SkuId", None, "CAU-SkuId-C-005-C"),
        ("ChargeCategory", Some("Tax"), "CAU-SkuId-C-004-C"),
        ("SkuId", None, "CAU-SkuMeter-C-004-C"),
        ("SkuMeter", None, "CAU-SkuMeter-C-005-C"),
        ("SkuPriceId", None, "CAU-SkuPriceId-C-005-C"),
        ("ChargeCategory", Some("Tax"), "CAU-SkuPriceId-C-004-C"),
        ("SkuId", None, "CAU-SkuPriceId-C-008-M"),
        ("SkuPriceId", None, "CAU-SkuPriceDetails-C-004-C"),
        ("SkuPriceDetails", Some("flex"), "CAU-SkuPriceDetails-C-001-M"),
        ("SkuPriceDetails", Some(r#"{"Tier":"flex"}"#), "CAU-SkuPriceDetails-C-017-C"),
        ("Tags", Some("team=red"), "CAU-Tags-C-001-M"),
        ("Tags", Some(r#"{"team":["red"]}"#), "CAU-Tags-C-001-M"),
        ("Tags", Some(r#"{"team":"red","team":"blue"}"#), "CAU-Tags-C-001-M"),
        ("ServiceCategory", Some("Cloud"), "CAU-ServiceCategory-C-003-M"),
        ("ServiceCategory", Some("Compute"), "CAU-ServiceSubcategory-C-004-M"),
        ("ServiceSubcategory", Some("Chat"), "CAU-ServiceSubcategory-C-003-M"),
        ("HostProviderName", Some("q"), "CAU-HostProviderName-C-010-M"),
        ("SubAccountId", None, "CAU-SubAccountName-C-004-C"),
        ("SubAccountName", None, "CAU-SubAccountName-C-005-C"),
        ("SubAccountId", Some("acme"), "CAU-SubAccountId-C-004-C"),
        ("ServiceName", Some(" "), "ATT-NullHandling-A-002-C"),
    ];
    for (column, value, id) in cases {
        let broken = broken(column, value);
        assert!(broken.iter().any(|rule| rule.contains(id)), "{column} {value:?}: {broken:?}");
    }
}

#[test]
fn what_is_never_null_is_told_by_the_rule_of_its_column() {
    for (column, _, number) in REQUIRED.iter().filter(|(.., number)| !number.is_empty()) {
        let (id, broken) = (format!("CAU-{column}-C-{number}: "), broken(column, None));
        assert!(broken.iter().any(|rule| rule.contains(&id)), "{column}: {broken:?}");
    }
}

#[test]
fn costs_without_a_price_are_what_is_billed() {
    let (columns, _) = good();
    let row = |category: &str| {
        let (columns, row) = good();
        let field = |(column, value): (&&str, Field)| match *column {
            "ChargeCategory" => Some(category.to_owned()),
            "ListCost" | "EffectiveCost" => Some("1".to_owned()),
            "ListUnitPrice" => None,
            _ => value,
        };
        columns.iter().zip(row).map(field).collect::<Vec<_>>()
    };
    for (category, effective) in [("Credit", "017-C"), ("Tax", "017-C"), ("Purchase", "016-C")] {
        let broken = check(&columns, &[row(category)]).join("\n");
        assert!(broken.contains("CAU-ListCost-C-008-M"), "{broken}");
        assert!(broken.contains(&format!("CAU-EffectiveCost-C-{effective}")), "{broken}");
    }
    let broken = check(&columns, &[row("Adjustment")]).join("\n");
    assert!(!broken.contains("CAU-EffectiveCost"), "{broken}");
}

#[test]
fn rows_of_one_name_agree() {
    for (column, value, id) in [
        ("ServiceCategory", "Compute", "CAU-ServiceName-C-005-C"),
        ("SkuId", "q/m", "CAU-SkuPriceId-C-008-M"),
        ("ListUnitPrice", "0.000000000003", "CAU-SkuPriceId-C-014-C"),
    ] {
        let (columns, row) = good();
        let mut other = row.clone();
        let at = columns.iter().position(|name| *name == column).unwrap();
        other[at] = Some(value.to_owned());
        let broken = check(&columns, &[row, other]);
        assert!(broken.iter().any(|rule| rule.starts_with("row 2: ") && rule.contains(id)));
    }
}

#[test]
fn columns_are_there_and_named_and_ordered_as_the_specification_has_them() {
    for (column, number, _) in REQUIRED {
        let (mut columns, _) = good();
        columns.retain(|name| *name != column);
        let broken = check(&columns, &[]);
        assert!(broken[0].starts_with(&format!("CAU-CostAndUsage-D-{number}: ")), "{broken:?}");
    }
    let (columns, _) = good();
    let mut swapped = columns.clone();
    swapped.swap(0, 1);
    assert!(check(&swapped, &[])[0].contains("alphabetical order"));
    let mut named = columns;
    named.insert(named.len() - 1, "Zone");
    assert!(check(&named, &[])[0].starts_with("ATT-CustomColumnHandling-A-002-M"));
}
