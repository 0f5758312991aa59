//! Reports against sums made by hand over the same rows, at random groupings and bounds.

use std::collections::BTreeMap;

use tollgate_accounting::{Class, Provenance, Usage};

use super::*;
use crate::ledger::entry::{GENESIS, Kind, Outcome};
use crate::ledger::rollup::{HOUR, Hour, Quarters, Rolled, pack};
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
        tier: dice.pick(&[None, Some("standard"), Some("flex")]).map(Into::into),
        why: None,
        reported_cost: None,
        cache: None,
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
        "service_tier",
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
        let question = Question { zone, ..Question::new(filter, by) };
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

type Edit = Box<dyn Fn(&Connection)>;

/// A change to the hours that a condition names.
fn edit(hours: &str, change: impl Fn(&mut (i64, Quarters)) + 'static) -> Edit {
    let select = format!("SELECT facet, hour, {HOUR} FROM rollups WHERE hour = {hours}");
    Box::new(move |connection| {
        let read = |row: &rusqlite::Row<'_>| {
            let (facet, hour): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok((facet, hour, Hour::read(row, 2, true)?.all()?))
        };
        let (facet, hour, quarters) = connection.query_row(&select, [], read).unwrap();
        let mut changed = (hour, quarters);
        change(&mut changed);
        let [sums, latency, first_byte] = pack(&changed.1);
        let update = "UPDATE rollups SET hour = ?3, sums = ?4, latency = ?5, first_byte = ?6
                      WHERE facet = ?1 AND hour = ?2";
        let values = rusqlite::params![facet, hour, changed.0, sums, latency, first_byte];
        assert_eq!(connection.execute(update, values).unwrap(), 1);
    })
}

#[test]
fn a_question_without_times_has_the_same_sums_and_no_times() {
    let mut dice = Dice(5);
    let entries: Vec<Entry> = (0..200).map(|_| entry(&mut dice)).collect();
    let (path, _store) = file("untimed", &entries);
    let reader = Reader::open(&path).unwrap();
    // The edges are read from rows, which have times.
    let from = Some(Timestamp::from_micros(START + 1_234_567));
    let filter = Filter { from, ..Filter::default() };
    let question = Question::new(filter, vec![GroupBy::Model, GroupBy::Time(Span::Day)]);
    let (timed, untimed) =
        (reader.report(&question).unwrap(), reader.report(&question.untimed()).unwrap());
    assert_eq!(timed.len(), untimed.len());
    for (timed, untimed) in timed.iter().zip(&untimed) {
        assert_eq!((&timed.keys, timed.sums.measures), (&untimed.keys, untimed.sums.measures));
        assert!(timed.latency().percentile_ms(50).is_some());
        assert_eq!(
            (untimed.latency(), untimed.first_byte()),
            (&Times::default(), &Times::default())
        );
    }
}

#[test]
fn a_ledger_of_an_older_schema_is_carried_on_with_its_roll_ups_or_not_read() {
    let path = fresh("older");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../../tests/faults/schema_1.sql")).unwrap();
    old.execute_batch("PRAGMA application_id = 1414483020; PRAGMA user_version = 1").unwrap();
    drop(old);
    assert!(matches!(Reader::open(&path), Err(StoreError::Older { found: 1, .. })));
    let store = store::open(&path, Durability::Process).unwrap();
    let sums = "SELECT count(*), sum(requests), sum(posted_input), sum(charged) FROM entries";
    let of_rows: [i64; 4] = store
        .connection
        .query_row(sums, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))
        .unwrap();
    let question = Question::new(Filter::default(), Vec::new());
    let rows = Reader::open(&path).unwrap().report(&question).unwrap();
    let measures = [Measure::Attempts, Measure::Requests, Measure::InputTokens, Measure::Charged];
    assert_eq!(measures.map(|measure| rows[0].count(measure)), of_rows);
    assert!(of_rows[0] > 0);
}

#[test]
fn a_roll_up_that_cannot_be_read_is_no_answer() {
    let mut dice = Dice(3);
    let (path, store) = file("unreadable", &[entry(&mut dice)]);
    let reader = Reader::open(&path).unwrap();
    let question = Question::new(Filter::default(), Vec::new());
    for bad in ["x''", "x'01'", "x'0f00'", "CAST(sums || x'00' AS BLOB)", "substr(sums, 1, 9)"] {
        store.connection.execute(&format!("UPDATE rollups SET sums = {bad}"), []).unwrap();
        assert!(reader.report(&question).is_err(), "{bad}");
        store.connection.execute_batch("DELETE FROM rollups; UPDATE rolled SET up_to = 0").unwrap();
        Rolled::open(&store.connection).unwrap();
        assert!(reader.report(&question).is_ok(), "after {bad}");
    }
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
    let add = |measure: Measure, add: i64| {
        move |(_, quarters): &mut (i64, Quarters)| {
            let sums = quarters.iter_mut().flatten().next().unwrap();
            sums.measures[measure as usize] += add;
        }
    };
    let sql = |change: &'static str| {
        move |connection: &Connection| connection.execute(change, []).map(drop).unwrap()
    };
    let [first, last] = ["min", "max"].map(|end| format!("(SELECT {end}(hour) FROM rollups)"));
    let both =
        [edit(&last, add(Measure::OutputTokens, 1)), edit(&first, add(Measure::OutputTokens, -1))];
    let changes: [(&str, Edit); 8] = [
        ("more", edit(&last, add(Measure::Charged, 1))),
        ("later", edit(&first, |(hour, _)| *hour += 25_000)),
        ("the next quarter", edit(&last, |(_, quarters)| quarters.rotate_right(1))),
        (
            "as much again elsewhere",
            Box::new(move |connection| both.iter().for_each(|edit| edit(connection))),
        ),
        ("none", Box::new(sql("DELETE FROM rollups"))),
        (
            "longer",
            edit(&first, |(_, quarters)| {
                quarters.iter_mut().flatten().for_each(|sums| sums.latency.add(5));
            }),
        ),
        ("other", Box::new(sql("UPDATE facets SET model = 'other'"))),
        ("fewer", Box::new(sql("UPDATE rolled SET up_to = up_to - 1"))),
    ];
    for (change, make) in &changes {
        make(&store.connection);
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
