//! What the specification demands of a Cost and Usage dataset, checked on the values as they are
//! written. Each rule is named by the column and the sentence of the specification (FOCUS 1.4, ratified
//! on 4 June 2026, "Cost and Usage", the column's Requirements) that it is taken from.
//!
//! Where to find them: repository FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, a rule that begins with a
//! column's name in `specification/datasets/cost_and_usage/columns/<name>.md`, one that names an attribute
//! (NullHandling, NumericFormat, DateTimeFormat, CurrencyFormat, ColumnHandling) in
//! `specification/attributes/`, what is mandatory in `specification/datasets/cost_and_usage/dataset.md`.
//! All were read there on 24 November 2026, in texts between versions 1.3 and the draft of 1.5; that each is
//! word for word what was ratified as 1.4 could not be seen. Not read: the files of InvoiceIssuerName,
//! ServiceName, ServiceProviderName, SubAccountId, BillingAccountId, ChargeDescription and ServiceCategory,
//! of which only what the dataset's table says is checked. That a charge lies within its billing period
//! stands in none of the texts that were read: it is a rule of our own, as is the order of columns being
//! more than recommended.
//!
//! Not checked, because a single row cannot show it or nothing here is of that kind: sums of an invoice,
//! commitments, taxes, credits, negotiated prices, identifiers that stay the same over time, price lists.

use super::Field;

/// Columns whose feature level is Mandatory, and whether null is allowed in them.
const MANDATORY: [(&str, bool); 21] = [
    ("BilledCost", false),
    ("BillingAccountId", false),
    ("BillingAccountName", true),
    ("BillingCurrency", false),
    ("BillingPeriodEnd", false),
    ("BillingPeriodStart", false),
    ("ChargeCategory", false),
    ("ChargeClass", true),
    ("ChargeDescription", true),
    ("ChargePeriodEnd", false),
    ("ChargePeriodStart", false),
    ("ContractedCost", false),
    ("EffectiveCost", false),
    ("HostProviderName", false),
    ("InvoiceIssuerName", false),
    ("ListCost", false),
    ("PricingQuantity", true),
    ("PricingUnit", true),
    ("ServiceCategory", false),
    ("ServiceName", false),
    ("ServiceProviderName", false),
];
/// Columns of numbers.
pub(super) const DECIMALS: [&str; 7] = [
    "BilledCost",
    "ConsumedQuantity",
    "ContractedCost",
    "EffectiveCost",
    "ListCost",
    "ListUnitPrice",
    "PricingQuantity",
];
const TIMES: [&str; 4] =
    ["BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"];
const CATEGORIES: [&str; 5] = ["Usage", "Purchase", "Tax", "Credit", "Adjustment"];
const FREQUENCIES: [&str; 3] = ["One-Time", "Recurring", "Usage-Based"];
/// Broken rules that are told.
const TOLD: usize = 20;

/// The rules that are broken, each with the row's number; nothing where all hold.
pub(super) fn check(columns: &[&str], rows: &[Vec<Field>]) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, _) in MANDATORY.iter().filter(|(name, _)| !columns.contains(name)) {
        broken.push(format!("{name} MUST be present in a FOCUS dataset"));
    }
    let custom = columns.iter().position(|name| name.starts_with("x_")).unwrap_or(columns.len());
    let (own, others) = columns.split_at(custom);
    if !own.is_sorted() || others.iter().any(|name| !name.starts_with("x_")) {
        broken.push(
            "ColumnHandling: columns are in alphabetical order, custom columns behind them"
                .to_owned(),
        );
    }
    for (at, row) in rows.iter().enumerate() {
        let row = Row { columns, row };
        let told = row.broken().into_iter().map(|rule| format!("row {}: {rule}", at + 1));
        broken.extend(told);
        if broken.len() >= TOLD {
            break;
        }
    }
    broken.truncate(TOLD);
    broken
}

struct Row<'r> {
    columns: &'r [&'r str],
    row: &'r [Field],
}

impl Row<'_> {
    fn get(&self, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| *name == column)?;
        self.row.get(at)?.as_deref()
    }

    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut rule = |holds: bool, words: &str| {
            if !holds {
                broken.push(words.to_owned());
            }
        };
        let is = |column: &str, value: &str| self.get(column) == Some(value);
        let null = |column: &str| self.get(column).is_none();
        for (name, nullable) in MANDATORY {
            rule(nullable || !null(name), &format!("{name} MUST NOT be null"));
        }
        for name in self.columns {
            rule(
                !self.get(name).is_some_and(str::is_empty),
                &format!("{name}: NullHandling: no empty strings"),
            );
        }
        for name in DECIMALS {
            let good = self.get(name).is_none_or(|text| pico(text).is_some());
            rule(good, &format!("{name} MUST conform to NumericFormat requirements"));
        }
        for name in TIMES {
            let good = self.get(name).is_some_and(is_time);
            rule(good, &format!("{name} MUST conform to DateTimeFormat requirements"));
        }
        let before = |a: &str, b: &str| self.get(a) < self.get(b);
        rule(
            before("BillingPeriodStart", "BillingPeriodEnd"),
            "BillingPeriodEnd MUST be the exclusive end of the billing period",
        );
        rule(
            before("ChargePeriodStart", "ChargePeriodEnd"),
            "ChargePeriodEnd MUST be the exclusive end of the charge period",
        );
        let within = self.get("BillingPeriodStart") <= self.get("ChargePeriodStart")
            && self.get("ChargePeriodEnd") <= self.get("BillingPeriodEnd");
        rule(within, "a usage charge lies within its billing period");
        let currency = self.get("BillingCurrency").unwrap_or_default();
        let code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        rule(code, "BillingCurrency MUST conform to CurrencyFormat requirements");
        let category = self.get("ChargeCategory").unwrap_or_default();
        rule(CATEGORIES.contains(&category), "ChargeCategory MUST be one of the allowed values");
        rule(
            null("ChargeClass") || is("ChargeClass", "Correction"),
            "ChargeClass MUST be \"Correction\" or null",
        );
        let frequency = self.get("ChargeFrequency");
        rule(frequency.is_some(), "ChargeFrequency MUST NOT be null");
        rule(
            frequency.is_none_or(|f| FREQUENCIES.contains(&f)),
            "ChargeFrequency MUST be one of the allowed values",
        );
        rule(
            category != "Purchase" || frequency != Some("Usage-Based"),
            "ChargeFrequency MUST NOT be \"Usage-Based\" when ChargeCategory is \"Purchase\"",
        );
        rule(!null("ServiceSubcategory"), "ServiceSubcategory MUST NOT be null");
        let child = self.get("ServiceSubcategory").is_none_or(|s| s == "Generative AI");
        rule(
            child && is("ServiceCategory", "AI and Machine Learning"),
            "ServiceSubcategory MUST have one and only one parent ServiceCategory",
        );
        let correction = is("ChargeClass", "Correction");
        rule(
            category != "Usage" || correction || !null("ConsumedQuantity"),
            "ConsumedQuantity MUST NOT be null when ChargeCategory is \"Usage\" and ChargeClass is not \"Correction\"",
        );
        let bought = matches!(category, "Usage" | "Purchase") && !correction;
        for name in ["PricingQuantity", "ListUnitPrice", "SkuId", "SkuPriceId"] {
            let words = format!(
                "{name} MUST NOT be null when ChargeCategory is \"Usage\" or \"Purchase\" and ChargeClass is not \"Correction\""
            );
            rule(!bought || !null(name), &words);
            let words = format!("{name} MUST be null when ChargeCategory is \"Tax\"");
            rule(category != "Tax" || null(name), &words);
        }
        rule(
            null("PricingQuantity") || !null("SkuPriceId"),
            "PricingQuantity MUST be null when SkuPriceId is null",
        );
        rule(
            null("ListUnitPrice") == null("SkuPriceId"),
            "ListUnitPrice MUST be null when SkuPriceId is null, and only then",
        );
        rule(
            self.get("ListUnitPrice").is_none_or(|price| !price.starts_with('-')),
            "ListUnitPrice MUST be a non-negative decimal value",
        );
        rule(null("SkuMeter") || !null("SkuId"), "SkuMeter MUST be null when SkuId is null");
        rule(
            null("SubAccountName") == null("SubAccountId"),
            "SubAccountName MUST be null when SubAccountId is null, and only then",
        );
        rule(
            !null("BillingAccountName"),
            "BillingAccountName MUST NOT be null when the invoice issuer supports a display name",
        );
        rule(
            category == "Usage" || null("ConsumedQuantity"),
            "ConsumedQuantity MUST be null when ChargeCategory is not \"Usage\"",
        );
        rule(
            !null("SkuPriceId") || null("ConsumedQuantity"),
            "ConsumedQuantity MUST be null when SkuPriceId is null",
        );
        rule(
            null("ConsumedUnit") == null("ConsumedQuantity"),
            "ConsumedUnit MUST be null when ConsumedQuantity is null, and only then",
        );
        rule(
            null("PricingUnit") == null("PricingQuantity"),
            "PricingUnit MUST be null when PricingQuantity is null, and only then",
        );
        let parent = match (self.get("SkuId"), self.get("SkuPriceId")) {
            (Some(sku), Some(price)) => price.starts_with(sku),
            (None, Some(_)) => false,
            (_, None) => true,
        };
        rule(parent, "SkuPriceId MUST have one and only one parent SkuId");
        let amount = |column: &str| self.get(column).and_then(pico);
        let product = match (amount("ListUnitPrice"), amount("PricingQuantity")) {
            // A quantity is a whole number of ones, written as such.
            (Some(price), Some(count)) => price.checked_mul(count / ONE) == amount("ListCost"),
            _ => amount("ListCost") == amount("BilledCost"),
        };
        rule(
            product,
            "ListCost MUST equal the product of ListUnitPrice and PricingQuantity, or BilledCost without a ListUnitPrice",
        );
        rule(
            amount("ContractedCost") == amount("ListCost"),
            "ContractedCost MUST equal ListCost when no negotiated pricing terms apply",
        );
        rule(
            amount("EffectiveCost") == amount("BilledCost"),
            "EffectiveCost MUST match the BilledCost where no charge covers another",
        );
        broken
    }
}

const ONE: i128 = 1_000_000_000_000;

/// A decimal as so many millionths of a millionth; none where it is no plain decimal.
fn pico(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(rest) || rest.len() > 12 || digits.ends_with('.')
    {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let rest: i128 = format!("{rest:0<12}").parse().ok()?;
    whole.checked_mul(ONE)?.checked_add(rest)?.checked_mul(sign)
}

/// `2026-11-24T00:00:00Z`.
fn is_time(text: &str) -> bool {
    text.len() == 20 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
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
            ("PricingQuantity", "3"),
            ("PricingUnit", "Tokens"),
            ("ServiceCategory", "AI and Machine Learning"),
            ("ServiceName", "m"),
            ("ServiceProviderName", "p"),
            ("ServiceSubcategory", "Generative AI"),
            ("SkuId", "p/m"),
            ("SkuMeter", "input"),
            ("SkuPriceId", "p/m/input"),
            ("SubAccountId", "acme/search"),
            ("SubAccountName", "Search"),
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

    #[test]
    fn every_rule_finds_the_row_that_breaks_it() {
        let cases = [
            ("BilledCost", None, "BilledCost MUST NOT be null"),
            ("BilledCost", Some("1e3"), "BilledCost MUST conform to NumericFormat"),
            ("BillingCurrency", Some("usd"), "CurrencyFormat"),
            ("BillingPeriodStart", Some("2026-11-01"), "DateTimeFormat"),
            (
                "BillingPeriodEnd",
                Some("2026-10-01T00:00:00Z"),
                "exclusive end of the billing period",
            ),
            ("ChargePeriodEnd", Some("2026-11-23T00:00:00Z"), "exclusive end of the charge period"),
            ("ChargePeriodStart", Some("2026-10-24T00:00:00Z"), "within its billing period"),
            ("ChargeCategory", Some("Use"), "ChargeCategory MUST be one of"),
            ("ChargeClass", Some("Fix"), "ChargeClass MUST be"),
            ("ConsumedQuantity", None, "ConsumedQuantity MUST NOT be null"),
            (
                "ChargeCategory",
                Some("Adjustment"),
                "ConsumedQuantity MUST be null when ChargeCategory",
            ),
            ("SkuPriceId", None, "ConsumedQuantity MUST be null when SkuPriceId"),
            ("ConsumedUnit", None, "ConsumedUnit MUST be null"),
            ("PricingUnit", None, "PricingUnit MUST be null"),
            ("SkuPriceId", Some("q/m"), "one and only one parent SkuId"),
            ("ListCost", Some("0.000000000007"), "ListCost MUST equal"),
            ("ContractedCost", Some("1"), "ContractedCost MUST equal"),
            ("ServiceCategory", Some("Compute"), "one and only one parent ServiceCategory"),
            ("ServiceName", Some(""), "no empty strings"),
            ("ChargeFrequency", None, "ChargeFrequency MUST NOT be null"),
            ("ChargeFrequency", Some("Daily"), "ChargeFrequency MUST be one of"),
            ("ChargeCategory", Some("Purchase"), "MUST NOT be \"Usage-Based\" when"),
            ("ChargeCategory", Some("Tax"), "SkuId MUST be null when ChargeCategory is \"Tax\""),
            ("ServiceSubcategory", None, "ServiceSubcategory MUST NOT be null"),
            ("SkuPriceId", None, "PricingQuantity MUST be null when SkuPriceId"),
            ("ListUnitPrice", None, "ListUnitPrice MUST be null when SkuPriceId is null, and only"),
            ("ListUnitPrice", Some("-1"), "non-negative"),
            ("SkuId", None, "SkuMeter MUST be null when SkuId"),
            ("SubAccountId", None, "SubAccountName MUST be null when SubAccountId"),
            ("BillingAccountName", None, "BillingAccountName MUST NOT be null"),
            ("EffectiveCost", Some("0"), "EffectiveCost MUST match"),
        ];
        for (column, value, words) in cases {
            let (columns, mut row) = good();
            let at = columns.iter().position(|name| *name == column).unwrap();
            row[at] = value.map(str::to_owned);
            let broken = check(&columns, &[row]);
            assert!(
                broken.iter().any(|rule| rule.contains(words)),
                "{column} {value:?}: {broken:?}"
            );
        }
        let (columns, row) = good();
        let broken = check(&columns[1..], &[row[1..].to_vec()]);
        assert!(broken[0].contains("BilledCost MUST be present"), "{broken:?}");
        let mut swapped = columns.clone();
        swapped.swap(0, 1);
        assert!(check(&swapped, &[])[0].contains("alphabetical order"));
    }
}
