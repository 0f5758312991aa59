//! Reports over a large ledger: how long a tenant's month and questions by the hour take from the
//! roll-ups, and whether every grouping comes to what the rows themselves do.
//!
//! `cargo bench -p tollgate --bench reports [-- ROWS]` makes a ledger of ROWS (1,000,000) over a month. Its
//! files lie below the build's folder, or in TOLLGATE_BENCH_DIR, and are removed. A sum that is not that
//! of the rows ends it with a failure; a time does not.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "figures are for people")]

mod shared;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tollgate::ledger::{
    Administered, Admission, Attempt, CallFacts, CallId, Counted, Durability, Filter, GroupBy,
    Ledger, Measure, Outcome, Question, Reach, Reader, Refused,
};
use tollgate_accounting::{
    AccountId, AccountSpec, Amounts, Facets, Money, PriceCard, Provenance, Terms, Timestamp,
};

use shared::{Place, a_second, card, folder, rows_asked, spec};

const TENANTS: u64 = 200;
/// 2026-10-01T00:00:00Z, and the month that the rows are spread over, in microseconds.
const START: i64 = 1_790_812_800_000_000;
const MONTH: i64 = 31 * 86_400 * 1_000_000;
/// How often each question is asked; the slowest answer but one is told beside the middle one.
const TIMES: usize = 9;

fn main() {
    let rows = rows_asked().unwrap_or(1_000_000);
    let place = Place::new(&folder());
    make(&place.db(), rows);
    let reader = Reader::open(&place.db()).unwrap();
    let bytes = std::fs::metadata(place.db()).unwrap().len();
    let sqlite = rusqlite::Connection::open(place.db()).unwrap();
    let count = |table: &str| -> i64 {
        sqlite.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    println!(
        "SQLite {}, {} MB: {} rows, roll-ups of {} hours of {} facets",
        rusqlite::version(),
        bytes / 1_000_000,
        count("entries"),
        count("rollups"),
        count("facets"),
    );
    for question in QUESTIONS {
        question.measure(&reader);
    }
    compare(&reader, &sqlite);
}

/// A question, and what it is called.
struct Asked {
    name: &'static str,
    account: Option<&'static str>,
    by: &'static [&'static str],
    /// Of the month, days from and to; all of it without.
    days: Option<(i64, i64)>,
    zone: &'static str,
}

const QUESTIONS: &[Asked] = &[
    Asked { name: "a tenant's month", account: Some("t042"), by: &[], days: None, zone: "UTC" },
    Asked {
        name: "the largest tenant's month",
        account: Some("t000"),
        by: &[],
        days: None,
        zone: "UTC",
    },
    Asked {
        name: "the same by model and day",
        account: Some("t000"),
        by: &["model", "day"],
        days: None,
        zone: "Asia/Kathmandu",
    },
    Asked {
        name: "the same by hour",
        account: Some("t000"),
        by: &["hour"],
        days: None,
        zone: "UTC",
    },
    Asked {
        name: "a day of all tenants by hour",
        account: None,
        by: &["account:1", "hour"],
        days: Some((14, 15)),
        zone: "UTC",
    },
    Asked {
        name: "a week of all models by hour",
        account: None,
        by: &["model", "hour"],
        days: Some((7, 14)),
        zone: "America/New_York",
    },
    Asked { name: "the month by hour", account: None, by: &["hour"], days: None, zone: "UTC" },
    Asked {
        name: "the month by tenant and hour",
        account: None,
        by: &["account:1", "hour"],
        days: None,
        zone: "UTC",
    },
    Asked {
        name: "the month by account",
        account: None,
        by: &["account"],
        days: None,
        zone: "UTC",
    },
];

impl Asked {
    fn measure(&self, reader: &Reader) {
        let at = |day: i64| Timestamp::from_micros(START + day * 86_400_000_000);
        let filter = Filter {
            account: self.account.map(str::to_owned),
            from: Some(at(self.days.map_or(0, |(from, _)| from))),
            to: Some(at(self.days.map_or(31, |(_, to)| to))),
            ..Filter::default()
        };
        let by = self.by.iter().map(|by| by.parse().unwrap()).collect();
        let zone = TimeZone::get(self.zone).unwrap();
        let question = Question { zone, ..Question::new(filter, by) };
        let (mut took, mut found) = (Vec::new(), 0);
        for _ in 0..TIMES {
            let since = Instant::now();
            found = reader.report(&question).unwrap().len();
            took.push(since.elapsed());
        }
        took.sort();
        let (middle, slow) = (took[TIMES / 2], took[TIMES - 2]);
        println!("{:<36} {found:>7} groups: {middle:>9.2?}, at most {slow:.2?}", self.name);
    }
}

/// Sums of one group: requests, input, output, charged, owed.
type Sums = [i64; 5];

const MEASURES: [Measure; 5] = [
    Measure::Requests,
    Measure::InputTokens,
    Measure::OutputTokens,
    Measure::Charged,
    Measure::Owed,
];

/// Groupings with what of a row they are by: a column of the query below, or a beginning of its instant.
const GROUPINGS: [(&str, usize); 11] = [
    ("account", 0),
    ("key", 1),
    ("endpoint", 2),
    ("asked_model", 3),
    ("provider", 4),
    ("model", 5),
    ("prompt", 6),
    ("tag", 7),
    ("outcome", 8),
    ("hour", 9),
    ("day", 10),
];

/// Reads every row once, sums by every grouping and every two of them, and asks the reports for the same.
fn compare(reader: &Reader, sqlite: &rusqlite::Connection) {
    let since = Instant::now();
    let pairs: Vec<Vec<usize>> = (0..GROUPINGS.len())
        .map(|one| vec![one])
        .chain([vec![0, 5], vec![0, 9], vec![1, 10], vec![5, 8], vec![6, 10], vec![3, 7, 10]])
        .collect();
    let mut sums: Vec<BTreeMap<Vec<Arc<str>>, Sums>> = vec![BTreeMap::new(); pairs.len()];
    let mut names = Names::default();
    let mut statement = sqlite
        .prepare(
            "SELECT account, key, endpoint, asked_model, provider, model, coalesce(prompt, ''),
                 coalesce(tags, ''), outcome, received_at, requests, posted_input, posted_output,
                 charged, owed FROM entries WHERE kind <> 'change'",
        )
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut read = 0_u64;
    while let Some(row) = rows.next().unwrap() {
        read += 1;
        let mut keys: Vec<Arc<str>> =
            (0..9).map(|at| names.of(row.get_ref(at).unwrap().as_str().unwrap())).collect();
        let seconds = row.get::<_, i64>(9).unwrap() / 1_000_000;
        keys.push(names.time(seconds / 3600, "%Y-%m-%dT%H:00Z", 3600));
        keys.push(names.time(seconds / 86_400, "%Y-%m-%d", 86_400));
        let amounts: Sums = std::array::from_fn(|at| row.get(10 + at).unwrap());
        for (pair, sums) in pairs.iter().zip(&mut sums) {
            let key = pair.iter().map(|at| keys[*at].clone()).collect();
            let sum = sums.entry(key).or_insert([0; 5]);
            sum.iter_mut().zip(amounts).for_each(|(sum, amount)| *sum += amount);
        }
    }
    for (pair, expected) in pairs.iter().zip(&sums) {
        let by: Vec<GroupBy> = pair.iter().map(|at| GROUPINGS[*at].0.parse().unwrap()).collect();
        let question = Question::new(Filter::default(), by.clone()).untimed();
        let found: BTreeMap<Vec<Arc<str>>, Sums> = reader
            .report(&question)
            .unwrap()
            .into_iter()
            .map(|row| (row.keys.clone(), MEASURES.map(|measure| row.count(measure))))
            .collect();
        let by: Vec<String> = by.iter().map(GroupBy::to_string).collect();
        assert!(found == *expected, "by {by:?} the report is not the sum of the rows");
    }
    println!(
        "{} groupings of {read} rows come to what the rows do ({:.1?})",
        pairs.len(),
        since.elapsed()
    );
}

/// Texts that come again and again, each kept once.
#[derive(Default)]
struct Names {
    texts: BTreeMap<String, Arc<str>>,
    times: BTreeMap<(i64, i64), Arc<str>>,
}

impl Names {
    fn of(&mut self, text: &str) -> Arc<str> {
        if let Some(name) = self.texts.get(text) {
            return name.clone();
        }
        let name: Arc<str> = text.into();
        self.texts.insert(text.to_owned(), name.clone());
        name
    }

    fn time(&mut self, at: i64, form: &str, seconds: i64) -> Arc<str> {
        let name = || {
            let at = jiff::Timestamp::from_second(at * seconds).unwrap();
            at.strftime(form).to_string().into()
        };
        self.times.entry((seconds, at)).or_insert_with(name).clone()
    }
}

/// Numbers that look random (splitmix64), so that the ledger is the same at every run.
fn dice(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes the rows through the real ledger: spread over the month as calls come in, a few tenants making
/// most of them (the first of 200 one in six), each with three models, two keys, a prompt and a tag.
fn make(path: &Path, rows: u64) {
    let opened = Ledger::open(path, Durability::Process, &specs, Box::new(|_| {})).unwrap();
    let ledger = &opened.ledger;
    let account = |at: usize| {
        let path = name(at);
        (ledger.with_book(|book| book.account(&path)).unwrap(), Arc::from(path))
    };
    let accounts: Vec<(AccountId, Arc<str>)> = (0..TENANTS as usize).map(account).collect();
    let models = [("small", "0.15", "0.60"), ("large", "2.50", "10.00"), ("tiny", "0.05", "0.20")];
    let cards = models.map(|(model, input, output)| card(model, input, output));
    let since = Instant::now();
    for row in 0..rows {
        let roll = dice(row);
        // The cube of an even number: small ones are many.
        let even = roll & 1023;
        let tenant = ((even * even * even * TENANTS) >> 30) as usize;
        let model = (roll >> 10) as usize % 3;
        let received = START + (i128::from(MONTH) * i128::from(row) / i128::from(rows)) as i64;
        let call = Call { roll, received, tenant, model: models[model].0, card: &cards[model] };
        let (charged, path) = &accounts[tenant];
        loop {
            match call.hold(ledger, *charged, path) {
                Ok(()) => break,
                Err(Refused::Busy) => std::thread::sleep(Duration::from_millis(1)),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    ledger.flush().unwrap();
    let took = since.elapsed();
    println!("writing: {rows} rows in {took:.2?}, {} rows a second", a_second(rows, took));
    opened.close();
}

struct Call<'b> {
    roll: u64,
    received: i64,
    tenant: usize,
    model: &'static str,
    card: &'b Arc<PriceCard>,
}

impl Call<'_> {
    fn hold(&self, ledger: &Ledger, charged: AccountId, path: &Arc<str>) -> Result<(), Refused> {
        let Call { roll, received, tenant, model, card } = self;
        let input = Counted { tokens: 50 + roll % 400, provenance: Provenance::Tokenized };
        let mut first =
            Attempt::new("openai".into(), (*model).into(), (*card).clone(), input, true);
        first.reach = Reach::Accepted;
        first.status = Some(200);
        first.output_seen = 20 + (roll >> 16) % 200;
        first.output_delivered = first.output_seen;
        let facts = CallFacts {
            id: CallId::new(),
            received_at: Timestamp::from_micros(*received),
            account: path.clone(),
            key: if *model == "tiny" { "k0123456789a" } else { "k0123456789b" }.into(),
            endpoint: "chat.completions".into(),
            asked_model: (*model).into(),
            prompt: (*model == "small" && roll >> 32 & 1 == 0).then(|| "summarize@1".into()),
            tags: tenant.is_multiple_of(4).then(|| "team=blue".into()),
            terms: Terms::default(),
            cache: None,
            stream: true,
        };
        let now = tollgate::clock::now();
        let hold = ledger.hold(Admission {
            facts,
            charged,
            charged_path: path,
            facets: Facets { model, endpoint: "chat.completions", prompt: None },
            ask: Amounts {
                requests: 1,
                input_tokens: 450,
                output_tokens: 220,
                cost: Money::from_nanos(10_000_000),
            },
            deadline: Timestamp::from_micros(now.micros() + 60_000_000),
            first,
            keyed: None,
            handed_over: false,
        })?;
        let ends = if roll >> 48 & 31 == 0 { Outcome::Cut } else { Outcome::Completed };
        hold.settle(ends);
        Ok(())
    }
}

/// Half of the tenants have a team below them that makes the calls.
fn name(at: usize) -> String {
    if at.is_multiple_of(2) { format!("t{at:03}/team") } else { format!("t{at:03}") }
}

fn specs(_: &Administered) -> Result<Vec<AccountSpec>, String> {
    let tenants =
        (0..TENANTS as usize).map(|at| spec(format!("t{at:03}"), &["$1000000 per month"]));
    let teams = (0..TENANTS as usize).step_by(2).map(|at| spec(name(at), &[]));
    Ok(tenants.chain(teams).collect())
}
