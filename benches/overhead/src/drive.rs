//! The load: closed or open loop, whole or streamed answers, on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::{Mutex, mpsc};
use tokio::time::sleep;

use crate::http::Connection;
use crate::process::{cpu_ms, memory_kib};
use crate::{Options, Outcome};

/// What of a request is another in each call, where it is there.
pub const CHANGES: &str = "call-000000000000";

/// What was counted while measuring was on.
struct Tally {
    on: Cell<bool>,
    calls: Cell<u64>,
    good: Cell<u64>,
    bad: Cell<u64>,
    chunks: Cell<u64>,
    first_problem: RefCell<Option<String>>,
    total: RefCell<Histogram<u64>>,
    first: RefCell<Histogram<u64>>,
}

type Due = Rc<Mutex<mpsc::UnboundedReceiver<Instant>>>;

pub fn run(options: Options) -> Outcome<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    tokio::task::LocalSet::new().block_on(&runtime, load(options))
}

async fn load(options: Options) -> Outcome<String> {
    let tally = Rc::new(Tally::new());
    let options = Rc::new(options);
    let due = (options.rate > 0.0).then(|| pace(&options));
    for at in 0..options.conns {
        // Spread over half the warm-up, or all the streams' chunks would fall together.
        let spread = if due.is_some() { 0.0 } else { options.warmup / 2.0 };
        let wait = Duration::from_secs_f64(spread * at as f64 / options.conns as f64);
        let (options, tally, due) = (Rc::clone(&options), Rc::clone(&tally), due.clone());
        tokio::task::spawn_local(async move {
            sleep(wait).await;
            work(&options, &tally, due).await;
        });
    }
    sleep(Duration::from_secs_f64(options.warmup)).await;
    let before = options.pid.map(cpu_ms).transpose()?;
    let start = Instant::now();
    tally.on.set(true);
    sleep(Duration::from_secs_f64(options.secs)).await;
    tally.on.set(false);
    let secs = start.elapsed().as_secs_f64();
    let after = options.pid.map(cpu_ms).transpose()?;
    let memory = options.pid.map(memory_kib).transpose()?;
    Ok(tally.line(secs, before.zip(after).map(|(a, b)| b - a), memory))
}

/// Due times from a thread of its own: its sleep is finer than the runtime's timer.
fn pace(options: &Options) -> Due {
    let (send, receive) = mpsc::unbounded_channel();
    let step = Duration::from_secs_f64(1.0 / options.rate);
    let end = Instant::now() + Duration::from_secs_f64(options.warmup + options.secs);
    std::thread::spawn(move || {
        let mut due = Instant::now();
        while due < end {
            due += step;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if send.send(due).is_err() {
                return;
            }
        }
    });
    Rc::new(Mutex::new(receive))
}

async fn work(options: &Options, tally: &Tally, due: Option<Due>) {
    let mut connection = Connection::new(options.address);
    let mut request = options.request.clone();
    let changes = request.windows(CHANGES.len()).position(|bytes| bytes == CHANGES.as_bytes());
    loop {
        if let Some(at) = changes {
            let number = format!("call-{:012}", tally.next());
            request[at..at + CHANGES.len()].copy_from_slice(number.as_bytes());
        }
        let start = match &due {
            None => Instant::now(),
            Some(due) => match due.lock().await.recv().await {
                Some(start) => start,
                None => return,
            },
        };
        let mut first = None;
        let answer = connection
            .call(&request, &mut |piece| {
                first.get_or_insert_with(|| start.elapsed());
                if tally.on.get() {
                    tally.count_events(piece);
                }
            })
            .await;
        match answer {
            Ok(200) => tally.good(start.elapsed(), first.unwrap_or_default()),
            Ok(status) => tally.bad(format!("status {status}")),
            Err(error) => {
                tally.bad(error.to_string());
                sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

impl Tally {
    fn new() -> Self {
        // In nanoseconds, up to two minutes: longer than any call may take.
        let bounds = Histogram::new_with_bounds(1, 120_000_000_000, 3);
        let histogram = || RefCell::new(bounds.clone().unwrap_or_else(|_| unreachable!()));
        Tally {
            on: Cell::new(false),
            calls: Cell::new(0),
            good: Cell::new(0),
            bad: Cell::new(0),
            chunks: Cell::new(0),
            first_problem: RefCell::new(None),
            total: histogram(),
            first: histogram(),
        }
    }

    /// A number that no call of this process or of an earlier one has.
    fn next(&self) -> u64 {
        let next = self.calls.get() + 1;
        self.calls.set(next);
        u64::from(std::process::id()) * 1_000_000_000 % 1_000_000_000_000 + next
    }

    /// Events that begin in this piece. One cut between two reads inside its `data:` is missed,
    /// alike for every subject.
    fn count_events(&self, piece: &[u8]) {
        let events = piece.windows(6).filter(|window| window == b"data: ").count();
        self.chunks.set(self.chunks.get() + events as u64);
    }

    fn good(&self, took: Duration, first: Duration) {
        if self.on.get() {
            self.good.set(self.good.get() + 1);
            let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.total.borrow_mut().saturating_record(nanos(took));
            self.first.borrow_mut().saturating_record(nanos(first));
        }
    }

    fn bad(&self, problem: String) {
        if self.on.get() {
            self.bad.set(self.bad.get() + 1);
            self.first_problem.borrow_mut().get_or_insert(problem);
        }
    }

    fn line(&self, secs: f64, cpu: Option<f64>, memory: Option<(u64, u64)>) -> String {
        let (good, chunks) = (self.good.get() as f64, self.chunks.get() as f64);
        let at = |histogram: &RefCell<Histogram<u64>>, quantile| {
            histogram.borrow().value_at_quantile(quantile) as f64 / 1000.0
        };
        let mut line = format!(
            "per_s={:.1} bad={} p50_us={:.1} p99_us={:.1} first_p50_us={:.1} first_p99_us={:.1}",
            good / secs,
            self.bad.get(),
            at(&self.total, 0.5),
            at(&self.total, 0.99),
            at(&self.first, 0.5),
            at(&self.first, 0.99),
        );
        if chunks > 0.0 {
            line.push_str(&format!(" chunks_per_s={:.1}", chunks / secs));
        }
        if let Some(cpu) = cpu {
            line.push_str(&format!(" cpu_us_call={:.2}", cpu * 1000.0 / good.max(1.0)));
            if chunks > 0.0 {
                line.push_str(&format!(" cpu_us_chunk={:.2}", cpu * 1000.0 / chunks));
            }
        }
        if let Some((now, peak)) = memory {
            line.push_str(&format!(" rss_kib={now} peak_kib={peak}"));
        }
        if let Some(problem) = self.first_problem.borrow().as_ref() {
            eprintln!("overhead: the first of {} failed calls: {problem}", self.bad.get());
        }
        line
    }
}
