//! What the specification demands of a Cost and Usage dataset, checked on the values as they are
//! written. Each rule has the id that FOCUS 1.4 (ratified on 4 June 2026, the newest that is published)
//! gives it in its machine-readable model: repository FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, folder
//! `specification/requirements_model/releases/1.4/model_rules/`.
//!
//! Read there on 25 November 2026: `datasets/cost_and_usage/costandusage.json` (commit 0bdb5672e467) and
//! the file of every column that is written, of Tags, SkuPriceDetails and PricingCategory too (`columns/`,
//! commits 01a9b905272b, 17b96d38ec37, 5607beda4fe3, 7b86b8d56063 and others); of the attributes
//! (`attributes/`, commit 10aabf63a41b) NullHandling, StringHandling, KeyValueFormat, DateTimeFormat,
//! CurrencyFormat, UnitFormat, FocusColumnHandling and CustomColumnHandling. NumericFormat is not kept in
//! that folder: it was read in `releases/1.5/` (a draft; commit 26e315e921f3), where its rules say since
//! which version they hold. Where the condition of a rule contradicts its sentence
//! (CAU-ConsumedQuantity-C-006-C), the sentence holds.
//!
//! Not checked, as a file of charges cannot show it: what an invoice says (BilledCost-C-007, -012,
//! BillingCurrency-C-005, PricingUnit-C-009), what a provider's own price list says (PricingUnit-C-008,
//! SkuPriceId-C-013), that names and identifiers stay the same over time (StringHandling, SkuId-C-008 to
//! -010, SkuPriceId-C-009 and -010), that a charge corrects a closed billing period (ChargeClass-C-003 and
//! -004: no period is ever closed here, so none does), how a dataset is delivered (CostAndUsage-D-078 to
//! -081). Not written, as nothing here is of that kind: InvoiceId and InvoiceDetailId (Tollgate issues no
//! payable invoices), ContractedUnitPrice (its prices are those of its cards, for everybody),
//! BillingAccountType and SubAccountType (there is one of each), and the columns of commitments,
//! capacity, contracts, regions, resources, split costs and other currencies.
//!
//! Two rules are our own: that a charge lies within its billing period, and the order of columns (that
//! of ColumnHandling, which 1.4 removed).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Field;

/// A column that has to be there: the number of the rule that says so (`CAU-CostAndUsage-D-`), and of the
/// column's own rule that it is never null (`CAU-<column>-C-`), where it has one.
const REQUIRED: [(&str, &str, &str); 33] = [
    ("BilledCost", "006-M", "003-M"),
    ("BillingAccountId", "024-M", "001-M"),
    ("BillingAccountName", "005-M", "003-C"),
    ("BillingCurrency", "035-M", "004-M"),
    ("BillingPeriodEnd", "010-M", "003-M"),
    ("BillingPeriodStart", "009-M", "003-M"),
    ("ChargeCategory", "008-M", "002-M"),
    ("ChargeClass", "026-M", ""),
    ("ChargeDescription", "025-M", "003-O"),
    ("ChargeFrequency", "027-O", "002-M"),
    ("ChargePeriodEnd", "028-M", "003-M"),
    ("ChargePeriodStart", "037-M", "003-M"),
    ("ConsumedQuantity", "011-C", ""),
    ("ConsumedUnit", "066-C", ""),
    ("ContractedCost", "030-M", "003-M"),
    ("EffectiveCost", "031-M", "003-M"),
    ("HostProviderName", "075-M", "006-M"),
    ("InvoiceIssuerName", "023-M", "003-M"),
    ("ListCost", "032-M", "003-M"),
    ("ListUnitPrice", "004-C", ""),
    ("PricingQuantity", "036-M", ""),
    ("PricingUnit", "068-M", ""),
    ("ServiceCategory", "040-M", "002-M"),
    ("ServiceName", "041-M", "003-M"),
    ("ServiceProviderName", "076-M", "003-M"),
    ("ServiceSubcategory", "042-O", "002-M"),
    ("SkuId", "060-C", ""),
    ("SkuMeter", "059-C", ""),
    ("SkuPriceDetails", "061-C", ""),
    ("SkuPriceId", "058-C", ""),
    ("SubAccountId", "019-C", ""),
    ("SubAccountName", "029-C", ""),
    ("Tags", "064-C", ""),
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
const PRICING: [&str; 4] = ["Standard", "Committed", "Dynamic", "Other"];
const SERVICES: [&str; 19] = [
    "AI and Machine Learning",
    "Analytics",
    "Business Applications",
    "Compute",
    "Databases",
    "Developer Tools",
    "Identity",
    "Integration",
    "Internet of Things",
    "Management and Governance",
    "Media",
    "Migration",
    "Mobile",
    "Multicloud",
    "Networking",
    "Other",
    "Security",
    "Storage",
    "Web",
];
/// The allowed values below [`AI`]; the others are never written.
const SUBCATEGORIES: [&str; 6] = [
    "AI Platforms",
    "Bots",
    "Generative AI",
    "Machine Learning",
    "Natural Language Processing",
    "Other (AI and Machine Learning)",
];
const AI: &str = "AI and Machine Learning";
/// What is null for a tax and never for what is used or bought, and the numbers of both rules.
const PRICED: [(&str, &str, &str); 5] = [
    ("ListUnitPrice", "004-C", "005-C"),
    ("PricingCategory", "003-C", "004-C"),
    ("PricingQuantity", "004-C", "005-C"),
    ("SkuId", "004-C", "005-C"),
    ("SkuPriceId", "004-C", "005-C"),
];
/// What is null where another is, and the number of the rule.
const NULL_WITH: [(&str, &str, &str); 10] = [
    ("ConsumedQuantity", "009-C", "SkuPriceId"),
    ("ConsumedUnit", "005-C", "ConsumedQuantity"),
    ("ListUnitPrice", "012-C", "SkuPriceId"),
    ("PricingCategory", "012-C", "SkuPriceId"),
    ("PricingQuantity", "011-C", "SkuPriceId"),
    ("PricingUnit", "005-C", "PricingQuantity"),
    ("SkuMeter", "004-C", "SkuId"),
    ("SkuPriceDetails", "004-C", "SkuPriceId"),
    ("SkuPriceId", "008-M", "SkuId"),
    ("SubAccountName", "004-C", "SubAccountId"),
];
/// What is given where another is.
const GIVEN_WITH: [(&str, &str, &str); 5] = [
    ("ConsumedUnit", "006-C", "ConsumedQuantity"),
    ("ListUnitPrice", "013-C", "SkuPriceId"),
    ("PricingUnit", "006-C", "PricingQuantity"),
    ("SkuMeter", "005-C", "SkuId"),
    ("SubAccountName", "005-C", "SubAccountId"),
];
/// Where all rows with the same values have one and the same other.
const ONE_EACH: [(&[&str], &str, &str); 3] = [
    (
        &["ServiceName"],
        "ServiceCategory",
        "CAU-ServiceName-C-005-C: ServiceName MUST have one and only one ServiceCategory",
    ),
    (
        &["SkuPriceId"],
        "SkuId",
        "CAU-SkuPriceId-C-008-M: SkuPriceId MUST have one and only one parent SkuId",
    ),
    (
        &["SkuPriceId", "x_PriceVersion"],
        "ListUnitPrice",
        "CAU-SkuPriceId-C-014-C: SkuPriceId MUST be a valid reference to the ListUnitPrice",
    ),
];
/// Broken rules that are told.
const TOLD: usize = 20;

/// The rules that are broken, each with the row's number; nothing where all hold.
pub(super) fn check(columns: &[&str], rows: &[Vec<Field>]) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, number, _) in REQUIRED.iter().filter(|(name, ..)| !columns.contains(name)) {
        let must = if number.ends_with('O') { "SHOULD" } else { "MUST" };
        broken.push(format!("CAU-CostAndUsage-D-{number}: CostAndUsage {must} include {name}"));
    }
    let known = |name: &str| name == "PricingCategory" || REQUIRED.iter().any(|r| r.0 == name);
    for name in columns.iter().filter(|name| !known(name) && !name.starts_with("x_")) {
        let words = "ATT-CustomColumnHandling-A-002-M: a custom column MUST include the x_ prefix";
        broken.push(format!("{words}: {name}"));
    }
    let custom = columns.iter().position(|name| name.starts_with("x_")).unwrap_or(columns.len());
    let (own, others) = columns.split_at(custom);
    if !own.is_sorted() || others.iter().any(|name| !name.starts_with("x_")) {
        broken.push("columns are in alphabetical order, custom columns behind them".to_owned());
    }
    let rows: Vec<Row<'_>> = rows.iter().map(|row| Row { columns, row }).collect();
    for (at, row) in rows.iter().enumerate() {
        let told = row.broken().into_iter().map(|rule| format!("row {}: {rule}", at + 1));
        broken.extend(told);
        if broken.len() >= TOLD {
            break;
        }
    }
    for (key, value, words) in ONE_EACH {
        let mut seen = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            let key: Option<Vec<&str>> = key.iter().map(|column| row.get(column)).collect();
            let Some(key) = key else { continue };
            if *seen.entry(key).or_insert_with(|| row.get(value)) != row.get(value) {
                broken.push(format!("row {}: {words}", at + 1));
            }
        }
    }
    broken.truncate(TOLD);
    broken
}

struct Row<'r> {
    columns: &'r [&'r str],
    row: &'r [Field],
}

impl<'r> Row<'r> {
    fn get(&self, column: &str) -> Option<&'r str> {
        let at = self.columns.iter().position(|name| *name == column)?;
        self.row.get(at)?.as_deref()
    }

    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        self.forms(&mut broken);
        self.nulls(&mut broken);
        self.values(&mut broken);
        self.costs(&mut broken);
        broken
    }

    /// How values are written.
    fn forms(&self, broken: &mut Vec<String>) {
        for name in self.columns {
            if self.get(name).is_some_and(|text| text.trim().is_empty()) {
                broken.push(format!(
                    "ATT-NullHandling-A-002-C, ATT-StringHandling-A-015-O: {name} has no empty strings"
                ));
            }
        }
        let mut rule = rules(broken);
        for name in DECIMALS {
            let good = self.get(name).is_none_or(|text| pico(text).is_some());
            rule(good, name, "002-M", "MUST conform to NumericFormat requirements");
        }
        for name in TIMES {
            let good = self.get(name).is_some_and(is_time);
            rule(good, name, "002-M", "MUST conform to DateTimeFormat requirements");
        }
        for name in ["ConsumedUnit", "PricingUnit"] {
            let good = self.get(name).is_none_or(is_unit);
            rule(good, name, "003-O", "SHOULD conform to UnitFormat requirements");
        }
        for name in ["SkuPriceDetails", "Tags"] {
            let good = self.get(name).is_none_or(|text| object(text).is_some());
            rule(good, name, "001-M", "MUST conform to KeyValueFormat requirements");
        }
        let details = self.get("SkuPriceDetails").and_then(object).unwrap_or_default();
        let custom = details.keys().all(|key| key.starts_with("x_"));
        rule(custom, "SkuPriceDetails", "017-C", "property keys MUST begin with \"x_\"");
        let currency = self.get("BillingCurrency").unwrap_or_default();
        let code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        rule(code, "BillingCurrency", "003-M", "MUST conform to CurrencyFormat requirements");
    }

    /// What is null, and what is not.
    fn nulls(&self, broken: &mut Vec<String>) {
        let null = |column: &str| self.get(column).is_none();
        let mut rule = rules(broken);
        for (name, _, number) in REQUIRED.iter().filter(|(.., number)| !number.is_empty()) {
            let words = if number.ends_with('O') { "SHOULD NOT" } else { "MUST NOT" };
            rule(!null(name), name, number, &format!("{words} be null"));
        }
        for (name, number, other) in NULL_WITH {
            let words = format!("MUST be null when {other} is null");
            rule(null(name) || !null(other), name, number, &words);
        }
        for (name, number, other) in GIVEN_WITH {
            let words = format!("is not null when {other} is not null");
            rule(!null(name) || null(other), name, number, &words);
        }
        let category = self.get("ChargeCategory").unwrap_or_default();
        let correction = self.get("ChargeClass") == Some("Correction");
        let bought = matches!(category, "Usage" | "Purchase") && !correction;
        for (name, tax, usage) in PRICED {
            let words = "MUST be null when ChargeCategory is \"Tax\"";
            rule(category != "Tax" || null(name), name, tax, words);
            let words = "MUST NOT be null when ChargeCategory is \"Usage\" or \"Purchase\" and ChargeClass is not \"Correction\"";
            rule(!bought || !null(name), name, usage, words);
        }
        let name = "ConsumedQuantity";
        let words = "MUST be null when ChargeCategory is not \"Usage\"";
        rule(category == "Usage" || null(name), name, "004-C", words);
        let words = "MUST NOT be null when ChargeCategory is \"Usage\" and ChargeClass is not \"Correction\"";
        rule(category != "Usage" || correction || !null(name), name, "006-C", words);
    }

    /// Which values there may be, and which go together.
    fn values(&self, broken: &mut Vec<String>) {
        let before = |a: &str, b: &str| self.get(a) < self.get(b);
        let within = self.get("BillingPeriodStart") <= self.get("ChargePeriodStart")
            && self.get("ChargePeriodEnd") <= self.get("BillingPeriodEnd");
        if !within {
            broken.push("a charge lies within its billing period".to_owned());
        }
        let mut rule = rules(broken);
        let good = before("BillingPeriodStart", "BillingPeriodEnd");
        let words = "MUST be the exclusive end bound of the billing period";
        rule(good, "BillingPeriodEnd", "004-M", words);
        let good = before("ChargePeriodStart", "ChargePeriodEnd");
        let words = "MUST be the exclusive end bound of the effective period of the charge";
        rule(good, "ChargePeriodEnd", "004-M", words);
        let one_of = "MUST be one of the allowed values";
        for (name, number, allowed) in [
            ("ChargeCategory", "003-M", &CATEGORIES[..]),
            ("ChargeFrequency", "003-M", &FREQUENCIES),
            ("PricingCategory", "007-M", &PRICING),
            ("ServiceCategory", "003-M", &SERVICES),
            ("ServiceSubcategory", "003-M", &SUBCATEGORIES),
        ] {
            rule(self.get(name).is_none_or(|v| allowed.contains(&v)), name, number, one_of);
        }
        let class = self.get("ChargeClass").is_none_or(|class| class == "Correction");
        rule(class, "ChargeClass", "005-C", "MUST be \"Correction\" when it is not null");
        let metered = self.get("ChargeCategory") == Some("Purchase")
            && self.get("ChargeFrequency") == Some("Usage-Based");
        let words = "MUST NOT be \"Usage-Based\" when ChargeCategory is \"Purchase\"";
        rule(!metered, "ChargeFrequency", "004-C", words);
        let standard = self.get("PricingCategory").is_none_or(|category| category == "Standard");
        let words = "MUST be \"Standard\" when pricing is predetermined";
        rule(standard, "PricingCategory", "008-C", words);
        let parent = self.get("ServiceSubcategory").is_none_or(|s| SUBCATEGORIES.contains(&s))
            && self.get("ServiceCategory") == Some(AI);
        let words = "MUST have one and only one parent ServiceCategory";
        rule(parent, "ServiceSubcategory", "004-M", words);
        let host = self.get("HostProviderName") == self.get("ServiceProviderName");
        let words = "MUST equal ServiceProviderName where no other host is known";
        rule(host, "HostProviderName", "010-M", words);
        let sub = self.get("SubAccountId").is_none_or(|s| self.get("BillingAccountId") != Some(s));
        let words = "MUST be null when a charge is not related to a sub account";
        rule(sub, "SubAccountId", "004-C", words);
    }

    /// What costs come to.
    fn costs(&self, broken: &mut Vec<String>) {
        let amount = |column: &str| self.get(column).and_then(pico);
        let billed = amount("BilledCost");
        let mut rule = rules(broken);
        let price = self.get("ListUnitPrice").is_none_or(|price| !price.starts_with('-'));
        rule(price, "ListUnitPrice", "008-M", "MUST be a non-negative decimal value");
        match (amount("ListUnitPrice"), amount("PricingQuantity")) {
            (Some(price), Some(count)) => {
                // A quantity is a whole number of ones, written as such.
                let product = price.checked_mul(count / ONE) == amount("ListCost");
                let words = "MUST equal the product of ListUnitPrice and PricingQuantity";
                rule(product, "ListCost", "011-C", words);
            }
            _ => {
                let words = "MUST match the BilledCost when ListUnitPrice is null";
                rule(amount("ListCost") == billed, "ListCost", "008-M", words);
            }
        }
        let words = "MUST match the BilledCost when ContractedUnitPrice is null";
        rule(amount("ContractedCost") == billed, "ContractedCost", "008-M", words);
        let number = match self.get("ChargeCategory") {
            Some("Usage") => "015-C",
            Some("Purchase") => "016-C",
            Some("Tax" | "Credit") => "017-C",
            // An adjustment's MAY differ (018-C).
            _ => return,
        };
        let words = "MUST equal BilledCost where no charge covers another";
        rule(amount("EffectiveCost") == billed, "EffectiveCost", number, words);
    }
}

/// Takes down each rule of a column that does not hold, by its id.
fn rules(broken: &mut Vec<String>) -> impl FnMut(bool, &str, &str, &str) {
    |holds, column, number, words| {
        if !holds {
            broken.push(format!("CAU-{column}-C-{number}: {column} {words}"));
        }
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

/// `Tokens`: a noun, capitalised.
fn is_unit(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// A JSON object of plain values, none of its keys twice: it reads as it is written.
fn object(text: &str) -> Option<Map<String, Value>> {
    let object: Map<String, Value> = serde_json::from_str(text).ok()?;
    let plain = object.values().all(|value| !value.is_object() && !value.is_array());
    (plain && serde_json::to_string(&object).is_ok_and(|again| again == text)).then_some(object)
}

#[cfg(test)]
mod tests;
