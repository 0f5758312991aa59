//! Reports against sums made by hand over the same rows, at random groupings and bounds.

use std::collections::BTreeMap;

use tollgate_accounting::{Class, Provenance, Usage};

use super::*;
use crate::ledger::entry::{GENESIS, Kind, Outcome};
use crate::ledger::rollup::Rolled;
use crate::ledger::writer::insert_entry;
use crate::ledger::{Durability, audit};

/// Small numbers that look random: xorshift64 (Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

const START: i64 = 1_793_000_000_000_000;

fn entry(dice: &mut Dice) -> Entry {
    let input = dice.below(1000);
    let output = dice.below(100);
    let money = |nanos: u64| Money::from_nanos(nanos as i64);
    let received_at = Timestamp::from_micros(START + dice.below(3 * 86_400_000_000) as i64);
    let absorbed = dice.below(50);
    let owed = input + output + absorbed;
    Entry {
        id: CallId::new(),
        attempt: 1,
        kind: *dice.pick(&[Kind::Call, Kind::Call, Kind::Attempt, Kind::Recovery]),
        at: received_at,
        received_at,
        account: (*dice.pick(&["acme", "acme/search", "acme/search/eu", "acme0", "beta"])).into(),
        key: (*dice.pick(&["k1", "k2"])).into(),
        endpoint: "chat.completions".into(),
        asked_model: "fast".into(),
        provider: (*dice.pick(&["a", "b"])).into(),
        model: (*dice.pick(&["small", "large"])).into(),
        prompt: dice.pick(&[None, Some("sum@1"), Some("sum@2")]).map(Into::into),
        tags: dice.pick(&[None, Some("env=x,team=red"), Some("team=blue")]).map(Into::into),
        stream: false,
        outcome: *dice.pick(&[Outcome::Completed, Outcome::Cut, Outcome::Failed]),
        status: Some(200),
        error: None,
        requests: dice.below(2),
        usage: Usage::new().with(Class::Input, input).with(Class::Output, output),
        input_provenance: Some(*dice.pick(&[Provenance::Reported, Provenance::Tokenized])),
        output_provenance: Some(*dice.pick(&[Provenance::Reported, Provenance::Estimated])),
        counted_input: input,
        delivered_output: output,
        posted_input: input,
        posted_output: output,
        tier: None,
        why: None,
        reported_cost: None,
        terms: None,
        card: "c".into(),
        charged: money(owed - absorbed),
        owed: money(owed),
        markup: Money::ZERO,
        absorbed: money(absorbed),
        saved: Money::ZERO,
        held: Money::ZERO,
        first_byte_us: Some(dice.below(1_000_000) as i64),
        total_us: dice.below(9_000_000) as i64,
    }
}

fn fresh(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir.join("ledger.db")
}

/// A file with these rows, of which the roll-ups were built in several goes.
fn file(name: &str, entries: &[Entry]) -> (PathBuf, store::Store) {
    let path = fresh(name);
    let store = store::open(&path, Durability::Process).unwrap();
    let (mut chain, mut scratch) = (GENESIS, Vec::new());
    for part in entries.chunks(entries.len() / 3 + 1) {
        let transaction = store.connection.unchecked_transaction().unwrap();
        for entry in part {
            chain = entry.chain(&chain, &mut scratch);
            insert_entry(&transaction, entry, &chain).unwrap();
        }
        transaction.commit().unwrap();
        Rolled::open(&store.connection).unwrap();
    }
    (path, store)
}

#[test]
fn a_report_is_the_sum_of_its_rows_at_every_grouping_and_between_any_two_instants() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let entries: Vec<Entry> = (0..800).map(|_| entry(&mut dice)).collect();
    let (path, _store) = file("report", &entries);
    let reader = Reader::open(&path).unwrap();
    let groups = [
        "account",
        "account:1",
        "account:2",
        "key",
        "model",
        "provider",
        "prompt",
        "tag",
        "tag:team",
        "endpoint",
        "outcome",
        "minute",
        "hour",
        "day",
        "week",
        "month",
    ];
    for round in 0..70 {
        let by: Vec<GroupBy> =
            (0..dice.below(3)).map(|_| dice.pick(&groups).parse().unwrap()).collect();
        let mut bound = || Timestamp::from_micros(START + dice.below(3 * 86_400_000_000) as i64);
        let (from, to) = (bound(), bound());
        let filter = Filter {
            account: (round % 3 == 0).then(|| "acme".to_owned()),
            from: (round % 2 == 0).then_some(from),
            to: (round % 5 < 2).then_some(to),
            as_of: None,
            only: if round % 7 == 0 { vec![(GroupBy::Key, vec!["k1".into()])] } else { Vec::new() },
        };
        let zones: [&str; 3] = ["UTC", "Asia/Kathmandu", "America/New_York"];
        let name = *dice.pick(&zones);
        let zone = TimeZone::get(name).unwrap();
        let mut clock = group::Clock::new(zone.clone());
        let mut expected: BTreeMap<Vec<Arc<str>>, Sums> = BTreeMap::new();
        for entry in &entries {
            let facet = crate::ledger::rollup::Facet::of(entry);
            let of_acme = *entry.account == *"acme" || entry.account.starts_with("acme/");
            let wanted = filter.from.is_none_or(|from| entry.received_at >= from)
                && filter.to.is_none_or(|to| entry.received_at < to)
                && (filter.account.is_none() || of_acme)
                && (filter.only.is_empty() || *entry.key == *"k1");
            if wanted {
                let key = |by: &GroupBy| match by {
                    GroupBy::Time(span) => clock.name(*span, entry.received_at.micros()),
                    by => by.of(&facet).into(),
                };
                expected.entry(by.iter().map(key).collect()).or_default().add_entry(entry);
            }
        }
        if by.is_empty() {
            expected.entry(Vec::new()).or_default();
        }
        let question = Question { filter, by, zone, top: None };
        let found: BTreeMap<_, _> =
            reader.report(&question).unwrap().into_iter().map(|row| (row.keys, row.sums)).collect();
        assert_eq!(found, expected, "{question:?}");
        let top = Question { top: Some(2), ..question.clone() };
        let charged =
            |rows: Vec<ReportRow>| -> i64 { rows.iter().map(|r| r.count(Measure::Charged)).sum() };
        assert_eq!(
            charged(reader.report(&top).unwrap()),
            charged(reader.report(&question).unwrap()),
            "with Other: {question:?}"
        );
    }
}

#[test]
fn the_dearest_groups_stay_and_the_rest_is_other() {
    let mut dice = Dice(7);
    let entries: Vec<Entry> = (0..300).map(|_| entry(&mut dice)).collect();
    let (path, _store) = file("top", &entries);
    let reader = Reader::open(&path).unwrap();
    let by: Vec<GroupBy> = vec!["account".parse().unwrap(), "day".parse().unwrap()];
    let question = Question { top: Some(1), ..Question::new(Filter::default(), by) };
    let rows = reader.report(&question).unwrap();
    let accounts: std::collections::BTreeSet<_> =
        rows.iter().map(|row| row.keys[0].clone()).collect();
    assert_eq!(accounts.len(), 2);
    assert!(accounts.contains("Other"));
    let days: Vec<_> = rows.iter().map(|row| row.keys[1].clone()).collect();
    assert!(days.is_sorted(), "{days:?}");
}

#[test]
fn roll_ups_that_are_not_the_sums_of_the_rows_are_found() {
    let mut dice = Dice(11);
    let mut free = entry(&mut dice);
    // A row that needs no price card and no balance to agree with.
    free.kind = Kind::Adjustment;
    let entries: Vec<Entry> = (0..40)
        .map(|at| Entry {
            received_at: Timestamp::from_micros(START + at * 1_000_000_000),
            ..free.clone()
        })
        .collect();
    let (path, store) = file("prints", &entries);
    let found = || audit(&path, |_, _| {}).unwrap();
    assert_eq!(found().unwrap().entries, 40);
    for change in [
        "UPDATE rollups SET charged = charged + 1 WHERE quarter = (SELECT max(quarter) FROM rollups)",
        "UPDATE rollups SET quarter = quarter + 100000 WHERE quarter = (SELECT min(quarter) FROM rollups)",
        "UPDATE rollups SET output_tokens = output_tokens + CASE quarter % 2 WHEN 0 THEN 1 ELSE -1 END",
        "DELETE FROM rollups",
        "UPDATE rollups SET latency = x'0501'",
        "UPDATE facets SET model = 'other'",
        "UPDATE rolled SET up_to = up_to - 1",
    ] {
        store.connection.execute_batch("BEGIN").unwrap();
        store.connection.execute(change, []).unwrap();
        store.connection.execute_batch("COMMIT").unwrap();
        let told = found();
        assert!(matches!(told, Err(crate::ledger::Discrepancy::Rollups(_))), "{change}: {told:?}");
        store
            .connection
            .execute_batch("DELETE FROM rollups; DELETE FROM facets; UPDATE rolled SET up_to = 0")
            .unwrap();
        Rolled::open(&store.connection).unwrap();
        assert!(found().is_ok(), "after {change}");
    }
}
