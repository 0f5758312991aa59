//! The load side of the overhead comparison; `run.sh` beside it puts the pieces together.
//!
//! ```text
//! overhead upstream ADDRESS
//! overhead reply                                  the body of a whole answer of the upstream
//! overhead body whole|stream|long                 a request with a 1 KiB prompt, on standard output
//! overhead body fixed|fresh|other                 one that a cache may answer; one that differs from
//!                                                 call to call; one that does, and that none may answer
//! overhead drive  --url U --body FILE [--key K] [--conns N] [--secs S] [--warmup S] [--rate R] [--pid P]
//! overhead cold   --url U --body FILE [--key K] [--log FILE] -- COMMAND ARGS...
//! overhead table  ROWS                            Markdown from what run.sh collected
//! ```
//! `drive` without `--rate` is a closed loop over keep-alive connections. With it the loop is open:
//! every call has a due time, and its latency counts from there, so a stall is not hidden.
//! Loopback only, one thread, every run bounded. Results are `name=value` words on one line.

mod cold;
mod drive;
mod http;
mod process;
mod table;
mod upstream;

use std::net::SocketAddr;
use std::process::ExitCode;

type Outcome<T> = Result<T, String>;

/// What `drive` and `cold` are told.
struct Options {
    address: SocketAddr,
    request: Vec<u8>,
    conns: usize,
    secs: f64,
    warmup: f64,
    rate: f64,
    pid: Option<u32>,
    log: Option<String>,
    command: Vec<String>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("overhead: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Outcome<String> {
    let (verb, rest) = words.split_first().ok_or("say upstream, body, drive, cold or table")?;
    let first = || rest.first().ok_or(format!("{verb} needs an argument"));
    match verb.as_str() {
        "upstream" => upstream::serve(first()?),
        "reply" => Ok(upstream::reply()),
        "body" => body(first()?),
        "drive" => drive::run(Options::read(rest)?),
        "cold" => cold::run(&Options::read(rest)?),
        "table" => table::print(first()?),
        _ => Err(format!("no such verb: {verb}")),
    }
}

impl Options {
    fn read(words: &[String]) -> Outcome<Self> {
        let (mut url, mut file, mut key) = (None, None, None);
        let mut options = Options {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            request: Vec::new(),
            conns: 64,
            secs: 4.0,
            warmup: 1.0,
            rate: 0.0,
            pid: None,
            log: None,
            command: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(name) = words.next() {
            if name == "--" {
                options.command = words.cloned().collect();
                break;
            }
            let value = words.next().ok_or(format!("{name} needs a value"))?;
            let number = || value.parse::<f64>().map_err(|_| format!("{name}: not a number"));
            match name.as_str() {
                "--url" => url = Some(value),
                "--body" => file = Some(value),
                "--key" => key = Some(value),
                "--conns" => options.conns = number()? as usize,
                "--secs" => options.secs = number()?.min(120.0),
                "--warmup" => options.warmup = number()?.min(60.0),
                "--rate" => options.rate = number()?,
                "--pid" => options.pid = Some(number()? as u32),
                "--log" => options.log = Some(value.clone()),
                _ => return Err(format!("no such option: {name}")),
            }
        }
        let url = url.ok_or("--url is needed")?;
        let file = file.ok_or("--body is needed")?;
        let body = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        (options.address, options.request) = request(url, key, &body)?;
        Ok(options)
    }
}

fn request(url: &str, key: Option<&String>, body: &[u8]) -> Outcome<(SocketAddr, Vec<u8>)> {
    let rest = url.strip_prefix("http://").ok_or("only http:// URLs")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = host.parse().map_err(|_| "the URL needs IP:PORT")?;
    if !address.ip().is_loopback() {
        return Err("loopback addresses only".into());
    }
    let mut head = format!("POST /{path} HTTP/1.1\r\nhost: {host}\r\n");
    head.push_str("content-type: application/json\r\naccept: */*\r\n");
    if let Some(key) = key {
        head.push_str(&format!("authorization: Bearer {key}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    Ok((address, [head.as_bytes(), body].concat()))
}

/// A chat request with a prompt of 1 KiB.
fn body(kind: &str) -> Outcome<String> {
    const WORDS: [&str; 8] = ["the", "of", "and", "to", "in", "is", "for", "that"];
    let mut prompt = String::new();
    for word in (0..).map(|at| WORDS[at * 5 % WORDS.len()]) {
        if prompt.len() >= 1024 {
            break;
        }
        prompt.push_str(word);
        prompt.push(' ');
    }
    prompt.truncate(1024);
    let stream = ",\"stream\":true,\"stream_options\":{\"include_usage\":true}";
    let temperature = if matches!(kind, "fixed" | "fresh") { "0" } else { "0.7" };
    let more = match kind {
        "whole" | "fixed" => String::new(),
        "fresh" | "other" => format!(",\"user\":\"{}\"", drive::CHANGES),
        "stream" => stream.to_owned(),
        "long" => format!("{stream},\"user\":\"long\""),
        _ => return Err(format!("no such body: {kind}")),
    };
    Ok(format!(
        "{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"system\",\"content\":\"You are a \
         helpful assistant.\"}},{{\"role\":\"user\",\"content\":\"{prompt}\"}}],\
         \"temperature\":{temperature},\"max_tokens\":512{more}}}"
    ))
}
